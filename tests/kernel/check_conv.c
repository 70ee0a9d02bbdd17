/* check_conv.c: the kernels of depthwise convolution and pooling against their references. */
#include "check.h"

typedef struct row_case {
    int rows, kw, stride, dilation, before;
    int64_t in_width, out_width, channels;
} row_case;

/* Buffers of one case; pixels stand `gap` values further apart than the channels need. */
typedef struct buffers {
    fr_dw_row d;
    const void *in[64];
    size_t out_values, w_values;
} buffers;

static void make(buffers *b, const row_case *r, bool half, bool bias, int gap, check_kind kind) {
    int64_t step = r->channels + gap;
    memset(b, 0, sizeof *b);
    for (int i = 0; i < r->rows; i++) {
        size_t n = (size_t)(r->in_width ? (r->in_width - 1) * step + r->channels : 0);
        /* One row of padding where there are several. */
        if (r->rows > 1 && i == r->rows - 1) continue;
        b->in[i] = half ? (const void *)check_bf16(n, kind) : (const void *)check_f32(n, kind);
    }
    b->w_values = (size_t)(r->rows * r->kw) * (size_t)step;
    b->out_values = (size_t)(r->out_width ? (r->out_width - 1) * step + r->channels : 0);
    b->d = (fr_dw_row){.in = b->in,
                       .rows = r->rows,
                       .kw = r->kw,
                       .stride = r->stride,
                       .dilation = r->dilation,
                       .before = r->before,
                       .in_step = step,
                       .in_width = r->in_width,
                       .w = check_f32(b->w_values, CHECK_NORMAL),
                       .w_step = step,
                       .bias = bias ? check_f32((size_t)r->channels, CHECK_NORMAL) : NULL,
                       .out_step = step,
                       .out_width = r->out_width,
                       .channels = r->channels};
}

/* Sums of up to 49 products of normal numbers. */
static const double BOUND = 2e-5;

static void run_rows(const fr_conv_kernels *k, const fr_conv_kernels *ref, const row_case *r,
                     bool half) {
    buffers b;
    make(&b, r, half, r->channels % 2, r->channels % 3, CHECK_NORMAL);
    float *got = check_f32(b.out_values, CHECK_NORMAL);
    float *want = check_copy(got, b.out_values * sizeof(float));
    (half ? k->dw_bf16 : k->dw_f32)(&b.d, got);
    (half ? ref->dw_bf16 : ref->dw_f32)(&b.d, want);
    check_close(got, want, b.out_values, BOUND, BOUND);
    (half ? k->dw_back_bf16 : k->dw_back_f32)(&b.d, got);
    (half ? ref->dw_back_bf16 : ref->dw_back_f32)(&b.d, want);
    check_close(got, want, b.out_values, BOUND, BOUND);
    float *dw = check_f32(b.w_values, CHECK_NORMAL);
    float *dw_want = check_copy(dw, b.w_values * sizeof(float));
    if (half) {
        uint16_t *dy = check_bf16(b.out_values, CHECK_NORMAL);
        k->dw_weight_bf16(&b.d, dy, dw);
        ref->dw_weight_bf16(&b.d, dy, dw_want);
    } else {
        float *dy = check_f32(b.out_values, CHECK_NORMAL);
        k->dw_weight_f32(&b.d, dy, dw);
        ref->dw_weight_f32(&b.d, dy, dw_want);
    }
    check_close(dw, dw_want, b.w_values, BOUND, BOUND);
}

static void run_depthwise(const fr_kernels *k, const fr_kernels *ref) {
    static const int64_t widths[] = {0, 1, 2, 3, 7, 16, 21};
    for (int kw = 1; kw <= 7; kw++)
        for (int stride = 1; stride <= 3; stride++)
            for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
                for (int64_t c = 0; c < 70; c = c < 20 ? c + 3 : c + 11) {
                    row_case r = {.rows = kw > 4 ? kw : 3,
                                  .kw = kw,
                                  .stride = stride,
                                  .dilation = c % 5 == 4 ? 2 : 1,
                                  .before = kw / 2,
                                  .in_width = widths[w],
                                  .channels = c};
                    r.out_width = (widths[w] + stride - 1) / stride;
                    for (int half = 0; half < 2; half++) {
                        if (!check_begin("conv.depthwise k=%d stride=%d width=%d c=%d %s", kw,
                                         stride, (int)widths[w], (int)c, half ? "bf16" : "f32"))
                            continue;
                        run_rows(&k->conv, &ref->conv, &r, half);
                        check_end();
                    }
                }
}

static void run_sums(const fr_conv_kernels *k, const fr_conv_kernels *ref, size_t n,
                     check_kind kind) {
    float *a = check_f32(n, kind), *b = check_copy(a, n * sizeof(float));
    float *x = check_f32(n, kind);
    uint16_t *h = check_bf16(n, kind);
    k->add_f32(a, x, n), ref->add_f32(b, x, n);
    check_close(a, b, n, 0, 0);
    k->add_bf16(a, h, n), ref->add_bf16(b, h, n);
    check_close(a, b, n, 0, 0);
    a = check_f32(n, CHECK_NORMAL), b = check_copy(a, n * sizeof(float));
    x = check_f32(n, CHECK_NORMAL), h = check_bf16(n, CHECK_NORMAL);
    k->axpy_f32(a, 0.3f, x, n), ref->axpy_f32(b, 0.3f, x, n);
    k->axpy_bf16(a, -1.7f, h, n), ref->axpy_bf16(b, -1.7f, h, n);
    check_close(a, b, n, 1e-6, 1e-6);
}

static void run_pools(const fr_conv_kernels *k, const fr_conv_kernels *ref, size_t n,
                      check_kind kind) {
    const void *tap[9], *half[9];
    float *a = check_f32(n, kind), *b = check_f32(n, kind);
    for (int i = 0; i < 9; i++) tap[i] = check_f32(n, kind), half[i] = check_bf16(n, kind);
    for (int taps = 0; taps < 10; taps++) {
        k->pool_max_f32(a, tap, taps, n), ref->pool_max_f32(b, tap, taps, n);
        check_close(a, b, n, 0, 0);
        k->pool_max_bf16(a, half, taps, n), ref->pool_max_bf16(b, half, taps, n);
        check_close(a, b, n, 0, 0);
        k->pool_avg_f32(a, tap, taps, 0.25f, n), ref->pool_avg_f32(b, tap, taps, 0.25f, n);
        check_close(a, b, n, 0, 0);
        k->pool_avg_bf16(a, half, taps, 0.25f, n), ref->pool_avg_bf16(b, half, taps, 0.25f, n);
        check_close(a, b, n, 0, 0);
    }
}

static void run_max(const fr_conv_kernels *k, const fr_conv_kernels *ref, size_t n,
                    check_kind kind) {
    float *a = check_f32(n, kind), *b = check_copy(a, n * sizeof(float));
    int32_t *i = check_alloc(n * sizeof *i), *j = check_copy(i, n * sizeof *i);
    for (int tap = 0; tap < 4; tap++) {
        float *x = check_f32(n, kind);
        if (tap == 2) x = check_copy(a, n * sizeof(float)); /* all ties */
        k->max_f32(a, i, tap, x, n), ref->max_f32(b, j, tap, x, n);
        uint16_t *h = check_bf16(n, kind);
        k->max_bf16(a, i, 10 + tap, h, n), ref->max_bf16(b, j, 10 + tap, h, n);
    }
    check_close(a, b, n, 0, 0);
    check_same(i, j, n, sizeof *i);
    float *x = check_f32(n, kind);
    for (int tap = 0; tap < 14; tap++)
        k->add_where(a, i, tap, x, n), ref->add_where(b, j, tap, x, n);
    check_close(a, b, n, 0, 0);
}

static void run(const fr_kernels *k, const fr_kernels *ref) {
    run_depthwise(k, ref);
    for (int kind = 0; kind < CHECK_KIND_COUNT; kind++)
        for (size_t n = 0; n < 3000; n = n < 70 ? n + 1 : n * 5 + 7) {
            if (check_begin("conv.sums kind=%d n=%zu", kind, n)) {
                run_sums(&k->conv, &ref->conv, n, (check_kind)kind);
                check_end();
            }
            if (check_begin("conv.pools kind=%d n=%zu", kind, n)) {
                run_pools(&k->conv, &ref->conv, n, (check_kind)kind);
                check_end();
            }
            if (check_begin("conv.max kind=%d n=%zu", kind, n)) {
                run_max(&k->conv, &ref->conv, n, (check_kind)kind);
                check_end();
            }
        }
}

/* ---- speed ---- */

typedef struct timed {
    buffers b;
    void (*fn)(const fr_dw_row *, float *);
    float *out;
} timed;

static void once(void *arg) {
    timed *t = arg;
    t->fn(&t->b.d, t->out);
}

static void bench(const fr_kernels *k) {
    for (int form = 0; form < 4; form++) {
        int kw = form < 2 ? 3 : 5, stride = form % 2 + 1;
        row_case r = {kw, kw, stride, 1, kw / 2, 64, 64 / stride, 256};
        char name[64];
        snprintf(name, sizeof name, "depthwise %d stride %d, 256 channels", kw, stride);
        timed t = {.fn = k->conv.dw_f32};
        make(&t.b, &r, false, true, 0, CHECK_NORMAL);
        t.b.in[kw - 1] = t.b.in[0];
        t.out = check_f32(t.b.out_values, CHECK_NORMAL);
        check_bench(name, CHECK_F32, 2.0 * kw * kw * (double)t.b.out_values,
                    4.0 * ((double)kw * 64 * 256 + (double)t.b.out_values), once, &t);
    }
}

CHECK_FAMILY("conv", run, bench)
