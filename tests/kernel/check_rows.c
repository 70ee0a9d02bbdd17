/* check_rows.c: the row kernels against their references: every function over every kind of number
 * and every tail, sums with bounds that follow from their length. */
#include "check.h"

/* Lengths: every tail twice over, then longer ones. */
static size_t next_length(size_t n) {
    return n < 70 ? n + 1 : n * 5 + 7;
}
enum { LONGEST = 12000 };

static const char *const fn_name[FR_FN_COUNT] = {
    "none", "relu", "relu6", "silu",   "gelu", "gelu_tanh", "sigmoid", "tanh", "hswish", "exp",
    "log",  "sqrt", "rsqrt", "square", "abs",  "neg",       "recip",   "sin",  "cos"};

/* Where the reference in floats is itself the less exact one the bound is absolute. */
static void run_unary(const fr_kernels *k, const fr_kernels *ref) {
    for (int fn = 0; fn < FR_FN_COUNT; fn++)
        for (int kind = 0; kind < CHECK_KIND_COUNT; kind++)
            for (size_t n = 0; n < LONGEST; n = next_length(n)) {
                if (!check_begin("rows.unary.%s kind=%d n=%zu", fn_name[fn], kind, n)) continue;
                float *x = check_f32(n, (check_kind)kind), *y = check_alloc(4 * n),
                      *want = check_alloc(4 * n), *same = check_copy(x, 4 * n);
                k->rows.unary((fr_fn)fn, x, n, y);
                ref->rows.unary((fr_fn)fn, x, n, want);
                check_close(y, want, n, 1e-6, 1e-6);
                k->rows.unary((fr_fn)fn, same, n, same);
                check_same(same, y, n, 4);
                check_end();
            }
}

static void run_unary_grad(const fr_kernels *k, const fr_kernels *ref) {
    for (int fn = 0; fn < FR_FN_COUNT; fn++)
        for (int kind = 0; kind <= CHECK_WIDE; kind++)
            for (size_t n = 0; n < LONGEST; n = next_length(n)) {
                if (!check_begin("rows.unary_grad.%s kind=%d n=%zu", fn_name[fn], kind, n))
                    continue;
                float *x = check_f32(n, (check_kind)kind), *dy = check_f32(n, CHECK_NORMAL),
                      *dx = check_alloc(4 * n), *want = check_alloc(4 * n);
                k->rows.unary_grad((fr_fn)fn, x, dy, n, dx);
                ref->rows.unary_grad((fr_fn)fn, x, dy, n, want);
                check_close(dx, want, n, 2e-6, 5e-6);
                check_end();
            }
}

static void run_glu(const fr_kernels *k, const fr_kernels *ref) {
    for (int fn = 0; fn < FR_FN_COUNT; fn++)
        for (size_t n = 0; n < LONGEST; n = next_length(n)) {
            if (!check_begin("rows.glu.%s n=%zu", fn_name[fn], n)) continue;
            float *gate = check_range(n, fn == FR_FN_LOG ? 0.1f : -6, 6),
                  *up = check_f32(n, CHECK_NORMAL), *dy = check_f32(n, CHECK_NORMAL),
                  *a = check_alloc(4 * n), *b = check_alloc(4 * n), *c = check_alloc(4 * n),
                  *d = check_alloc(4 * n);
            k->rows.glu((fr_fn)fn, gate, up, n, a);
            ref->rows.glu((fr_fn)fn, gate, up, n, b);
            check_close(a, b, n, 2e-6, 2e-6);
            k->rows.glu_grad((fr_fn)fn, gate, up, dy, n, a, c);
            ref->rows.glu_grad((fr_fn)fn, gate, up, dy, n, b, d);
            check_close(a, b, n, 4e-6, 1e-5);
            check_close(c, d, n, 4e-6, 1e-5);
            check_end();
        }
}

static void run_binary(const fr_kernels *k, const fr_kernels *ref) {
    for (int op = 0; op < FR_BINARY_COUNT; op++)
        for (int kind = 0; kind < CHECK_KIND_COUNT; kind++)
            for (size_t n = 0; n < LONGEST; n = next_length(n)) {
                if (!check_begin("rows.binary.%d kind=%d n=%zu", op, kind, n)) continue;
                float *a = check_f32(n, (check_kind)kind), *b = check_f32(n, (check_kind)kind),
                      *y = check_alloc(4 * n), *want = check_alloc(4 * n);
                float s = *check_f32(1, (check_kind)kind);
                fr_binary what = (fr_binary)op;
                k->rows.binary(what, a, b, n, y);
                ref->rows.binary(what, a, b, n, want);
                check_close(y, want, n, 0, 0);
                k->rows.binary_scalar(what, a, s, n, y);
                ref->rows.binary_scalar(what, a, s, n, want);
                check_close(y, want, n, 0, 0);
                k->rows.scalar_binary(what, s, b, n, y);
                ref->rows.scalar_binary(what, s, b, n, want);
                check_close(y, want, n, 0, 0);
                check_end();
            }
}

static void run_arithmetic(const fr_kernels *k, const fr_kernels *ref) {
    for (int kind = 0; kind <= CHECK_UNIFORM; kind++)
        for (size_t n = 0; n < LONGEST; n = next_length(n)) {
            if (!check_begin("rows.arithmetic kind=%d n=%zu", kind, n)) continue;
            check_kind of = (check_kind)kind;
            float *a = check_f32(n, of), *b = check_f32(n, of), *c = check_f32(n, of),
                  *y = check_copy(c, 4 * n), *want = check_copy(c, 4 * n);
            k->rows.axpy(-1.5f, a, n, y);
            ref->rows.axpy(-1.5f, a, n, want);
            check_close(y, want, n, 1e-6, 2e-5);
            k->rows.affine(a, 3.25f, -0.5f, n, y);
            ref->rows.affine(a, 3.25f, -0.5f, n, want);
            check_close(y, want, n, 1e-6, 2e-5);
            k->rows.mul_add(a, b, c, n, y);
            ref->rows.mul_add(a, b, c, n, want);
            check_close(y, want, n, 1e-6, 2e-5);
            k->rows.modulate(a, b, kind ? c : NULL, n, y);
            ref->rows.modulate(a, b, kind ? c : NULL, n, want);
            check_close(y, want, n, 1e-6, 2e-5);
            check_end();
        }
}

static double size_sum(const float *a, const float *b, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += fabs((double)a[i] * (b ? (double)b[i] : 1));
    return s;
}

static void run_sums(const fr_kernels *k, const fr_kernels *ref) {
    for (int kind = 0; kind <= CHECK_UNIFORM; kind++)
        for (size_t n = 0; n < 100000; n = next_length(n)) {
            if (!check_begin("rows.sums kind=%d n=%zu", kind, n)) continue;
            float *a = check_f32(n, (check_kind)kind), *b = check_f32(n, (check_kind)kind);
            /* A running f32 sum over n / 16 terms: half a unit of the sum of sizes a term at worst.
             */
            double bound = 6e-8 * (3 + sqrt((double)n));
            float one[2], two[2];
            check_value(k->rows.sum(a, n), ref->rows.sum(a, n), 1e-7, bound * size_sum(a, NULL, n));
            check_value(k->rows.dot(a, b, n), ref->rows.dot(a, b, n), 1e-7,
                        bound * size_sum(a, b, n));
            check_value(k->rows.sum_squares(a, n), ref->rows.sum_squares(a, n), 1e-7 + bound, 0);
            k->rows.moments(a, 0.75f, n, one);
            ref->rows.moments(a, 0.75f, n, two);
            check_value(one[0], two[0], 1e-7, bound * (size_sum(a, NULL, n) + (double)n));
            check_value(one[1], two[1], 1e-7 + bound, 0);
            check_end();
        }
}

static void run_max(const fr_kernels *k, const fr_kernels *ref) {
    for (int kind = 0; kind < CHECK_KIND_COUNT; kind++)
        for (size_t n = 0; n < LONGEST; n = next_length(n)) {
            if (!check_begin("rows.max kind=%d n=%zu", kind, n)) continue;
            float *x = check_f32(n, (check_kind)kind);
            if (kind == CHECK_UNIFORM) /* ties */
                for (size_t i = 0; i < n; i++) x[i] = floorf(x[i]);
            check_value(k->rows.max(x, n), ref->rows.max(x, n), 0, 0);
            if (n && k->rows.argmax(x, n) != ref->rows.argmax(x, n))
                check_fail("argmax is %zu, the reference gives %zu", k->rows.argmax(x, n),
                           ref->rows.argmax(x, n));
            check_end();
        }
}

static void run_softmax(const fr_kernels *k, const fr_kernels *ref) {
    for (int kind = 0; kind < CHECK_KIND_COUNT; kind++)
        for (size_t n = 0; n < LONGEST; n = next_length(n)) {
            if (!check_begin("rows.softmax kind=%d n=%zu", kind, n)) continue;
            float *x = check_f32(n, (check_kind)kind), *y = check_alloc(4 * n),
                  *want = check_alloc(4 * n), *dy = check_f32(n, CHECK_NORMAL);
            float top = ref->rows.max(x, n);
            double bound = 1e-6 + 6e-8 * sqrt((double)n);
            check_value(k->rows.exp_sum(x, top, n, NULL), ref->rows.exp_sum(x, top, n, NULL), bound,
                        0);
            float s = k->rows.exp_sum(x, top, n, y), t = ref->rows.exp_sum(x, top, n, want);
            check_value(s, t, bound, 0);
            check_close(y, want, n, 1e-6, 1e-37);
            k->rows.exp_scaled(x, top, 0.3f, n, y);
            ref->rows.exp_scaled(x, top, 0.3f, n, want);
            check_close(y, want, n, 1e-6, 1e-37);
            k->rows.softmax_grad(dy, x, 0.25f, n, y);
            ref->rows.softmax_grad(dy, x, 0.25f, n, want);
            check_close(y, want, n, 1e-6, 1e-6);
            check_end();
        }
}

/* which: bits choose weight, bias, scale, shift. */
static void run_norm(const fr_kernels *k, const fr_kernels *ref) {
    for (int which = 0; which < 16; which++)
        for (size_t n = 0; n < 3000; n = next_length(n)) {
            if (!check_begin("rows.norm which=%d n=%zu", which, n)) continue;
            float *x = check_f32(n, CHECK_UNIFORM), *w = check_f32(n, CHECK_NORMAL),
                  *b = check_f32(n, CHECK_NORMAL), *dy = check_f32(n, CHECK_NORMAL),
                  *y = check_alloc(4 * n), *want = check_alloc(4 * n);
            fr_norm_row r = {0.7f, 0.2f, 0.01f};
            const float *w1 = which & 1 ? w : NULL, *b1 = which & 2 ? b : NULL;
            const float *s1 = which & 4 ? b : NULL, *t1 = which & 8 ? dy : NULL;
            k->rows.norm(x, r, w1, b1, s1, t1, n, y);
            ref->rows.norm(x, r, w1, b1, s1, t1, n, want);
            check_close(y, want, n, 2e-6, 2e-6);
            float one[2], two[2];
            k->rows.norm_sums(x, r, w1, dy, n, one);
            ref->rows.norm_sums(x, r, w1, dy, n, two);
            check_value(one[0], two[0], 1e-6, 1e-6 * (double)n);
            check_value(one[1], two[1], 1e-6, 4e-6 * (double)n);
            k->rows.norm_grad(x, r, w1, dy, 0.1f, -0.3f, n, y);
            ref->rows.norm_grad(x, r, w1, dy, 0.1f, -0.3f, n, want);
            check_close(y, want, n, 2e-6, 2e-6);
            float *dw = check_copy(w, 4 * n), *dw2 = check_copy(w, 4 * n),
                  *db = check_copy(b, 4 * n), *db2 = check_copy(b, 4 * n);
            k->rows.norm_weight_grad(x, r, dy, n, which & 1 ? NULL : dw, which & 2 ? NULL : db);
            ref->rows.norm_weight_grad(x, r, dy, n, which & 1 ? NULL : dw2, which & 2 ? NULL : db2);
            check_close(dw, dw2, n, 2e-6, 4e-6);
            check_close(db, db2, n, 2e-6, 4e-6);
            check_end();
        }
}

static void run_channel(const fr_kernels *k, const fr_kernels *ref) {
    for (size_t n = 0; n < 3000; n = next_length(n)) {
        if (!check_begin("rows.channel n=%zu", n)) continue;
        float *x = check_f32(n, CHECK_UNIFORM), *c = check_f32(n, CHECK_NORMAL),
              *p = check_f32(n, CHECK_NORMAL), *q = check_f32(n, CHECK_NORMAL),
              *dy = check_f32(n, CHECK_NORMAL), *a = check_copy(p, 4 * n),
              *b = check_copy(q, 4 * n), *a2 = check_copy(p, 4 * n), *b2 = check_copy(q, 4 * n);
        k->rows.channel_moments(x, c, n, a, b);
        ref->rows.channel_moments(x, c, n, a2, b2);
        check_close(a, a2, n, 1e-6, 1e-5);
        check_close(b, b2, n, 1e-6, 1e-4);
        k->rows.channel_sums(x, c, dy, n, a, b);
        ref->rows.channel_sums(x, c, dy, n, a2, b2);
        check_close(a, a2, n, 1e-6, 1e-5);
        check_close(b, b2, n, 1e-6, 1e-4);
        k->rows.channel_affine(x, c, p, q, n, a);
        ref->rows.channel_affine(x, c, p, q, n, a2);
        check_close(a, a2, n, 1e-6, 1e-5);
        k->rows.channel_grad(x, c, dy, p, q, dy, n, a);
        ref->rows.channel_grad(x, c, dy, p, q, dy, n, a2);
        check_close(a, a2, n, 1e-6, 1e-5);
        check_end();
    }
}

static void run_optimizers(const fr_kernels *k, const fr_kernels *ref) {
    for (size_t n = 0; n < LONGEST; n = next_length(n)) {
        if (!check_begin("rows.optimizers n=%zu", n)) continue;
        float *p = check_f32(n, CHECK_NORMAL), *m = check_f32(n, CHECK_NORMAL),
              *v = check_range(n, 0, 2), *g = check_f32(n, CHECK_NORMAL),
              *p2 = check_copy(p, 4 * n), *m2 = check_copy(m, 4 * n), *v2 = check_copy(v, 4 * n);
        k->rows.adamw(n, p, m, v, g, 1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.271f, 0.003f);
        ref->rows.adamw(n, p2, m2, v2, g, 1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.271f, 0.003f);
        check_close(p, p2, n, 1e-6, 1e-6);
        check_close(m, m2, n, 1e-6, 1e-6);
        check_close(v, v2, n, 1e-6, 1e-6);
        k->rows.sgd(n, p, n % 2 ? m : NULL, g, 1e-2f, 0.9f, 0.1f);
        ref->rows.sgd(n, p2, n % 2 ? m2 : NULL, g, 1e-2f, 0.9f, 0.1f);
        check_close(p, p2, n, 2e-6, 2e-6);
        check_close(m, m2, n, 2e-6, 2e-6);
        check_end();
    }
}

static void run(const fr_kernels *k, const fr_kernels *ref) {
    run_unary(k, ref);
    run_unary_grad(k, ref);
    run_glu(k, ref);
    run_binary(k, ref);
    run_arithmetic(k, ref);
    run_sums(k, ref);
    run_max(k, ref);
    run_softmax(k, ref);
    run_norm(k, ref);
    run_channel(k, ref);
    run_optimizers(k, ref);
}

/* ---- times: arrays that stay in the first cache ---- */

enum { N = 2048 };
typedef struct bench_arg {
    const fr_rows_kernels *k;
    fr_fn fn;
    float *a, *b, *c, *d, *y;
} bench_arg;
static void once_unary(void *p) {
    bench_arg *b = p;
    b->k->unary(b->fn, b->a, N, b->y);
}
static void once_unary_grad(void *p) {
    bench_arg *b = p;
    b->k->unary_grad(b->fn, b->a, b->b, N, b->y);
}
static void once_add(void *p) {
    bench_arg *b = p;
    b->k->binary(FR_ADD, b->a, b->b, N, b->y);
}
static void once_mul_add(void *p) {
    bench_arg *b = p;
    b->k->mul_add(b->a, b->b, b->c, N, b->y);
}
static void once_sum(void *p) {
    bench_arg *b = p;
    b->y[0] = b->k->sum(b->a, N);
}
static void once_moments(void *p) {
    bench_arg *b = p;
    b->k->moments(b->a, 0, N, b->y);
}
static void once_max(void *p) {
    bench_arg *b = p;
    b->y[0] = b->k->max(b->a, N);
}
static void once_exp_sum(void *p) {
    bench_arg *b = p;
    b->y[0] = b->k->exp_sum(b->a, 4, N, b->y);
}
static void once_norm(void *p) {
    bench_arg *b = p;
    b->k->norm(b->a, (fr_norm_row){0, 1, 0}, b->b, NULL, NULL, NULL, N, b->y);
}
static void once_adamw(void *p) {
    bench_arg *b = p;
    b->k->adamw(N, b->a, b->b, b->c, b->d, 1e-3f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.5f, 0.5f);
}

static void bench(const fr_kernels *k) {
    bench_arg b = {&k->rows,     FR_FN_NONE,   calloc(N, 4), calloc(N, 4),
                   calloc(N, 4), calloc(N, 4), calloc(N, 4)};
    if (!b.a || !b.b || !b.c || !b.d || !b.y) exit(2);
    for (int i = 0; i < N; i++) {
        b.a[i] = check_normal();
        b.b[i] = check_normal();
        b.d[i] = check_normal();
    }
    for (int fn = FR_FN_RELU; fn < FR_FN_COUNT; fn++) {
        char name[64];
        b.fn = (fr_fn)fn;
        snprintf(name, sizeof name, "rows.unary.%s", fn_name[fn]);
        check_bench(name, CHECK_NO_PEAK, 0, 8.0 * N, once_unary, &b);
    }
    b.fn = FR_FN_SILU;
    check_bench("rows.unary_grad.silu", CHECK_NO_PEAK, 0, 12.0 * N, once_unary_grad, &b);
    check_bench("rows.binary.add", CHECK_F32, N, 12.0 * N, once_add, &b);
    check_bench("rows.mul_add", CHECK_F32, 2 * N, 16.0 * N, once_mul_add, &b);
    check_bench("rows.sum", CHECK_F32, N, 4.0 * N, once_sum, &b);
    check_bench("rows.moments", CHECK_F32, 4 * N, 4.0 * N, once_moments, &b);
    check_bench("rows.max", CHECK_F32, N, 4.0 * N, once_max, &b);
    check_bench("rows.exp_sum", CHECK_NO_PEAK, 0, 8.0 * N, once_exp_sum, &b);
    check_bench("rows.norm", CHECK_F32, 4 * N, 12.0 * N, once_norm, &b);
    check_bench("rows.adamw", CHECK_F32, 12 * N, 28.0 * N, once_adamw, &b);
    free(b.a);
    free(b.b);
    free(b.c);
    free(b.d);
    free(b.y);
}

CHECK_FAMILY("rows", run, bench)
