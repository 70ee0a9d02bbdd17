/* check_qrow.c: rows of activations in few bits, against the plain C version, bit for bit: whole records,
 * also of what is not finite. */
#include "check.h"

static const char *const names[FR_ROWS_KINDS] = {
    [FR_ROWS_INT8] = "int8",   [FR_ROWS_INT4] = "int4", [FR_ROWS_UINT4] = "uint4",
    [FR_ROWS_NVFP4] = "nvfp4", [FR_ROWS_FP8] = "fp8",   [FR_ROWS_BF16] = "bf16",
};

typedef enum values { NORMAL, WIDE, EXTREME, ZEROS, TIES, TINY, NEAR, VALUES } values;
static const char *const value_names[] = {"normal", "wide", "extreme", "zeros",
                                          "ties",   "tiny", "near"};

/* Quarters of a scale that comes out exactly, or a last place or two beside them: the middles between codes
 * and their neighbours. */
static void make_near(fr_rows_kind kind, size_t n, float *x) {
    static const int top[FR_ROWS_KINDS] = {1, 127, 7, 15, 6, 448, 1};
    static const int bits[FR_ROWS_KINDS] = {1, 16, 10, 10, 3, 14, 1};
    float s = 1 + (float)(check_random() % (1u << bits[kind])) / (float)(1u << bits[kind]);
    for (size_t i = 0; i < n; i++) {
        float v = s * 0.25f * (float)(check_random() % (4 * (unsigned)top[kind] - 1));
        for (uint32_t j = check_random() % 3; j > 0 && v > 0; j--)
            v = nextafterf(v, check_random() % 2 ? INFINITY : 0);
        x[i] = i % 16 == 0 ? s * (float)top[kind] : check_random() % 2 ? v : -v;
    }
}

static float *make(fr_rows_kind kind, size_t n, values how) {
    float *x = check_f32(n, how == WIDE      ? CHECK_WIDE
                            : how == EXTREME ? CHECK_EXTREME
                                             : CHECK_NORMAL);
    for (size_t i = 0; i < n; i++) {
        if (how == ZEROS) x[i] = i % 2 ? 0.0f : -0.0f;
        /* halves between the codes of every kind, with a largest value that makes scales round */
        if (how == TIES)
            x[i] = i % 32 == 0 ? 6.0f * 7.0f * 127.0f
                               : (float)((int)(check_random() % 513) - 256) * 0.5f * 21.0f;
        if (how == TINY) x[i] *= i / 64 % 2 ? 1e-41f : 1e-5f;
    }
    if (how == NEAR) make_near(kind, n, x);
    return x;
}

static void *record(size_t bytes) {
    char *p = check_alloc(bytes + 64);
    p += -(uintptr_t)p & 63;
    memset(p, 0, bytes);
    return p;
}

/* NaN may have any bits. */
static void same_floats(const void *got, const void *want, size_t n, bool close) {
    const float *g = got, *w = want;
    float scale = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(w[i])) scale = fmaxf(scale, fabsf(w[i]));
    for (size_t i = 0; i < n; i++) {
        if (w[i] != w[i] && g[i] != g[i]) continue;
        if (close && isfinite(w[i]) && isfinite(g[i]))
            check_value(g[i], w[i], 1e-4, 1e-3 * scale);
        else if (!close)
            check_same(g + i, w + i, 1, 4);
    }
}

static void check_one(const fr_kernels *k, const fr_kernels *ref, const fr_qrow *r, const float *x,
                      float add, const float *by) {
    char *got = record(r->bytes), *want = record(r->bytes);
    k->qrow.quantize[r->kind](r, x, add, by, got);
    ref->qrow.quantize[r->kind](r, x, add, by, want);
    size_t n = (size_t)r->groups, codes = (size_t)r->padded;
    if (r->code_bytes == 2) {
        for (size_t i = 0; i < codes; i++) {
            uint16_t g = ((uint16_t *)got)[i], w = ((uint16_t *)want)[i];
            if ((g & 0x7fff) > 0x7f80 && (w & 0x7fff) > 0x7f80) continue;
            check_same(&g, &w, 1, 2);
        }
    } else {
        check_same(got, want, codes, 1);
    }
    if (r->start > r->scales)
        same_floats(got + r->scales, want + r->scales, (r->start - r->scales) / 4, false);
    if (r->kind == FR_ROWS_INT8) check_same(got + r->start, want + r->start, 1, 4);
    if (r->kind == FR_ROWS_BF16)
        same_floats(got + r->less, want + r->less, n, true); /* order of a sum */
    else if (r->kind != FR_ROWS_FP8)
        check_same(got + r->less, want + r->less, n, 4);
}

/* Values that bf16 holds, so that only the order of the sums differs. */
static void *kept(const fr_kernels *k, int rows, int64_t width, int64_t ld, float *v) {
    char *out = record((size_t)(rows * ld));
    for (int64_t i = 0; i < rows * width; i++)
        v[i] = (float)((int)(check_random() % 255) - 127) / 64.0f;
    for (int i = 0; i < rows; i++) k->qrow.keep(v + i * width, width, out + i * ld);
    return out;
}

static void check_low(const fr_kernels *k, int rows, int ranks, int64_t width) {
    int64_t ld = fr_qrow_kept(width, k->qrow.low_bytes) + 64;
    float *x = check_alloc((size_t)(rows * width) * 4),
          *d = check_alloc((size_t)(ranks * width) * 4);
    float *low = check_alloc((size_t)(rows * ranks) * 4);
    fr_qrow_low t = {.rows = rows, .ranks = ranks, .k = width, .ldx = ld, .ldd = ld};
    t.x = kept(k, rows, width, ld, x), t.down = kept(k, ranks, width, ld, d);
    t.low = low, t.ldl = ranks;
    k->qrow.low(&t);
    for (int i = 0; i < rows; i++)
        for (int r = 0; r < ranks; r++) {
            double sum = 0, size = 0, each = 0;
            for (int64_t p = 0; p < width; p++) {
                each = (double)x[i * width + p] * (double)d[r * width + p];
                sum += each, size += fabs(each);
            }
            check_value(low[i * ranks + r], (float)sum, 0, 1e-6 * size);
        }
}

static void run_low(const fr_kernels *k) {
    static const int rows[] = {1, 2, 3, 7}, ranks[] = {1, 5, 8, 19};
    static const int64_t widths[] = {1, 15, 31, 32, 33, 63, 64, 500};
    for (size_t i = 0; i < 4 * 4 * 8; i++) {
        int m = rows[i % 4], n = ranks[i / 4 % 4];
        if (!check_begin("qrow.low %d x %d k=%d", m, n, (int)widths[i / 16])) continue;
        check_low(k, m, n, widths[i / 16]);
        check_end();
    }
}

static void run(const fr_kernels *k, const fr_kernels *ref) {
    run_low(k);
    static const int64_t lengths[] = {1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200, 500, 1024};
    for (int kind = FR_ROWS_FLOAT + 1; kind < FR_ROWS_KINDS; kind++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            for (int how = 0; how < VALUES; how++) {
                if (!check_begin("qrow.%s k=%d %s", names[kind], (int)lengths[l], value_names[how]))
                    continue;
                fr_qrow r;
                fr_qrow_of((fr_rows_kind)kind, lengths[l], l % 2 ? 64 : 0, &r);
                const float *x = make((fr_rows_kind)kind, (size_t)lengths[l], (values)how);
                const float *by = check_range((size_t)lengths[l], 0.1f, 3.0f);
                check_one(k, ref, &r, x, 0, NULL);
                check_one(k, ref, &r, x, 0.171875f, NULL);
                check_one(k, ref, &r, x, 0, by);
                check_one(k, ref, &r, x, 0.171875f, by);
                check_end();
            }
}

typedef struct timing {
    const fr_kernels *k;
    fr_qrow r;
    const float *x;
    void *out;
} timing;
static void once(void *arg) {
    timing *t = arg;
    t->k->qrow.quantize[t->r.kind](&t->r, t->x, 0, NULL, t->out);
}

typedef struct low_timing {
    const fr_kernels *k;
    fr_qrow_low t;
} low_timing;
static void low_once(void *arg) {
    low_timing *l = arg;
    l->k->qrow.low(&l->t);
}

/* Six rows against 32 ranks. */
static void bench_low(const fr_kernels *k) {
    if (!check_begin("qrow.low")) return;
    int64_t ld = fr_qrow_kept(3072, k->qrow.low_bytes) + 64;
    float *v = check_alloc(32 * 3072 * 4);
    low_timing l = {k, {.rows = 6, .ranks = 32, .k = 3072, .ldx = ld, .ldd = ld, .ldl = 32}};
    l.t.x = kept(k, 6, 3072, ld, v), l.t.down = kept(k, 32, 3072, ld, v);
    l.t.low = check_alloc(6 * 32 * 4);
    check_bench("qrow.low 6 x 32 k=3072", k->qrow.low_bytes == 2 ? CHECK_BF16 : CHECK_F32,
                2.0 * 6 * 32 * 3072, 0, low_once, &l);
    check_end();
}

static void bench(const fr_kernels *k) {
    bench_low(k);
    for (int kind = FR_ROWS_FLOAT + 1; kind < FR_ROWS_KINDS; kind++) {
        if (!check_begin("qrow.%s", names[kind])) continue;
        timing t = {.k = k};
        fr_qrow_of((fr_rows_kind)kind, 3072, 0, &t.r);
        t.out = record(t.r.bytes);
        t.x = kind == FR_ROWS_UINT4 ? check_range(3072, 0, 4) : check_f32(3072, CHECK_NORMAL);
        char name[32];
        snprintf(name, sizeof name, "qrow.%s 3072", names[kind]);
        check_bench(name, CHECK_NO_PEAK, 3072, 3072 * 4 + (double)t.r.bytes, once, &t);
        check_end();
    }
}

CHECK_FAMILY("qrow", run, bench)
