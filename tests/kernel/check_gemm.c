/* check_gemm.c: the tiles of matrix products against sums in f64, packing and epilogue against plain
 * C bit for bit. The panels of a table have its own height and width, so the tiles of two tables
 * cannot be compared with each other. */
#include "check.h"

static float from_bf16(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, 4);
    return x;
}

/* Value `half` of lane i of a panel. */
static double lane(const void *panel, bool bf16, size_t i, int half) {
    if (bf16) return from_bf16(((const uint16_t *)panel)[2 * i + half]);
    return ((const float *)panel)[i];
}

static void check_tile(const fr_kernels *k, fr_gemm_kind kind, int rows, size_t steps,
                       check_kind values, bool add) {
    const fr_gemm_kernels *g = &k->gemm;
    const size_t nr = (size_t)g->nr, ldc = nr + 3;
    const int halves = kind == FR_GEMM_F32 ? 1 : 2;
    const bool wide = kind == FR_GEMM_F32_BF16, dot = kind == FR_GEMM_BF16;
    size_t a_count = steps * rows;
    const void *a = dot ? (const void *)check_bf16(a_count * 2, values)
                        : check_f32(a_count * (wide ? 2 : 1), values);
    const void *b = kind == FR_GEMM_F32 ? (const void *)check_f32(steps * nr, values)
                                        : check_bf16(steps * nr * 2, values);
    size_t c_count = ((size_t)rows - 1) * ldc + nr;
    float *c = check_f32(c_count, CHECK_NORMAL), *old = check_copy(c, c_count * 4);
    g->tile[kind](rows, steps, a, b, c, ldc, add);
    for (size_t i = 0; i < c_count; i++) {
        size_t row = i / ldc, col = i % ldc;
        if (col >= nr) { /* between the rows: not to be touched */
            check_same(c + i, old + i, 1, 4);
            continue;
        }
        double sum = add ? old[i] : 0, size = fabs(sum);
        for (size_t p = 0; p < steps; p++) {
            for (int h = 0; h < halves; h++) {
                double x = wide ? ((const float *)a)[(2 * p + h) * rows + row]
                                : lane(a, dot, p * rows + row, h);
                double product = x * lane(b, kind != FR_GEMM_F32, p * nr + col, h);
                sum += product, size += fabs(product);
            }
        }
        check_value(c[i], sum, 0, (2.0 * (double)steps * halves + 4) * 0x1p-24 * size + 1e-37);
    }
}

static void check_tiles(const fr_kernels *k) {
    static const char *const names[] = {"f32", "f32_bf16", "bf16"};
    static const size_t lengths[] = {0, 1, 2, 3, 17, 130};
    for (int kind = 0; kind < FR_GEMM_KINDS; kind++) {
        if (!k->gemm.tile[kind]) continue;
        for (int rows = 1; rows <= k->gemm.mr; rows++)
            for (size_t s = 0; s < sizeof lengths / sizeof *lengths; s++) {
                if (!check_begin("gemm.tile %s rows=%d steps=%zu", names[kind], rows, lengths[s]))
                    continue;
                check_tile(k, (fr_gemm_kind)kind, rows, lengths[s], CHECK_NORMAL, s & 1);
                check_tile(k, (fr_gemm_kind)kind, rows, lengths[s], CHECK_UNIFORM, !(s & 1));
                check_end();
            }
    }
}

/* rows, lanes, width of a panel; all three ways to fill it. */
static void check_pack(const fr_kernels *k, const fr_kernels *ref, int n, size_t count, int width) {
    size_t panel = (count + 1) * (size_t)width * 4, ld = count + 2;
    const float *rows = check_f32(n ? (size_t)(n - 1) * ld + count : 0, CHECK_EXTREME);
    void *got = check_alloc(count * (size_t)width * 4), *want = check_alloc(panel);
    k->gemm.pack_rows(rows, ld * 4, n, count, width, got);
    ref->gemm.pack_rows(rows, ld * 4, n, count, width, want);
    check_same(got, want, count * (size_t)width, 4);

    ld = (size_t)n + 1;
    const float *cols = check_f32(count ? (count - 1) * ld + (size_t)n : 0, CHECK_EXTREME);
    k->gemm.pack_cols(cols, ld * 4, n, count, width, got);
    ref->gemm.pack_cols(cols, ld * 4, n, count, width, want);
    check_same(got, want, count * (size_t)width, 4);

    const uint16_t *half = check_bf16(count ? (count - 1) * ld + (size_t)n : 0, CHECK_EXTREME);
    size_t lanes = (count + 1) / 2 * (size_t)width;
    void *pairs = check_alloc(lanes * 4);
    k->gemm.pack_pairs(half, ld * 2, n, count, width, pairs);
    ref->gemm.pack_pairs(half, ld * 2, n, count, width, want);
    check_same(pairs, want, lanes, 4);
}

static void check_packs(const fr_kernels *k, const fr_kernels *ref) {
    static const size_t counts[] = {0, 1, 2, 7, 15, 16, 17, 33};
    for (int width = 1; width <= k->gemm.nr; width++) {
        if (width > k->gemm.mr && width != k->gemm.nr) continue;
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            if (!check_begin("gemm.pack width=%d count=%zu", width, counts[c])) continue;
            check_pack(k, ref, width, counts[c], width);
            check_pack(k, ref, width / 2, counts[c], width);
            check_end();
        }
    }
}

static void check_store(const fr_kernels *k, const fr_kernels *ref, int cols, int mode) {
    const bool c_bf16 = mode & 1, r_bf16 = mode & 2, accumulate = mode & 4, residual = mode & 8;
    const int rows = 3;
    const size_t ldc = (size_t)cols + 2, count = (rows - 1) * ldc + (size_t)cols;
    const size_t size = c_bf16 ? 2 : 4;
    float *tile = check_f32((size_t)rows * (size_t)cols, CHECK_NORMAL);
    float *same = check_copy(tile, (size_t)rows * (size_t)cols * 4);
    const float *bias = check_f32((size_t)cols, CHECK_NORMAL);
    k->gemm.scale_bias(tile, (size_t)cols, rows, cols, 0.7f, mode & 1 ? bias : NULL);
    ref->gemm.scale_bias(same, (size_t)cols, rows, cols, 0.7f, mode & 1 ? bias : NULL);
    check_close(tile, same, (size_t)rows * (size_t)cols, 1e-6, 1e-6);

    void *c = c_bf16 ? (void *)check_bf16(count, CHECK_NORMAL) : check_f32(count, CHECK_NORMAL);
    void *want = check_copy(c, count * size);
    const void *r =
        r_bf16 ? (void *)check_bf16(count, CHECK_NORMAL) : check_f32(count, CHECK_NORMAL);
    fr_gemm_store s = {tile, (size_t)cols, rows,   cols,  c, ldc, residual ? r : NULL,
                       ldc,  accumulate,   c_bf16, r_bf16};
    k->gemm.store(&s);
    s.c = want;
    ref->gemm.store(&s);
    check_same(c, want, count, size);
}

static void run(const fr_kernels *k, const fr_kernels *ref) {
    check_tiles(k);
    check_packs(k, ref);
    for (int cols = 1; cols <= k->gemm.nr; cols++) {
        for (int mode = 0; mode < 16; mode++) {
            if (!check_begin("gemm.store cols=%d mode=%d", cols, mode)) continue;
            check_store(k, ref, cols, mode);
            check_end();
        }
    }
}

/* ---- times ---- */

typedef struct timing {
    const fr_gemm_kernels *g;
    fr_gemm_kind kind;
    int rows;
    size_t steps;
    float *a, *b, *c;
} timing;

static void once(void *arg) {
    const timing *t = arg;
    t->g->tile[t->kind](t->rows, t->steps, t->a, t->b, t->c, (size_t)t->g->nr, true);
}

static void bench(const fr_kernels *k) {
    static const char *const names[] = {"f32", "f32_bf16", "bf16"};
    timing t = {.g = &k->gemm, .steps = 512};
    size_t mr = (size_t)t.g->mr, nr = (size_t)t.g->nr;
    t.a = check_f32(t.steps * mr * 2, CHECK_NORMAL);
    t.b = check_f32(t.steps * nr, CHECK_NORMAL);
    t.c = check_f32(mr * nr, CHECK_NORMAL);
    memset(t.b, 0, t.steps * nr * 4); /* as bf16 pairs the bits of floats would soon be NaN */
    for (int kind = 0; kind < FR_GEMM_KINDS; kind++) {
        if (!t.g->tile[kind]) continue;
        const int rows[] = {1, 4, t.g->mr};
        for (int i = 0; i < 3; i++) {
            char name[64];
            t.kind = (fr_gemm_kind)kind, t.rows = rows[i];
            snprintf(name, sizeof name, "gemm.tile %s %dx%d", names[kind], t.rows, t.g->nr);
            double ops =
                2.0 * t.rows * (double)nr * (double)t.steps * (kind == FR_GEMM_F32 ? 1 : 2);
            check_bench(name, kind == FR_GEMM_BF16 ? CHECK_BF16 : CHECK_F32, ops,
                        (double)(t.steps * nr) * 4, once, &t);
        }
    }
}

CHECK_FAMILY("gemm", run, bench)
