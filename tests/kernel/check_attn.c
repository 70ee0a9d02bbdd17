/* check_attn.c: the pieces of tiled attention. A path packs in a layout of its own, so a path is
 * taken through a whole tile (pack, score, mask, softmax, accumulate, store) and held against plain
 * sums in double; the other kernels against their reference. */
#include "check.h"

enum { CAP = 48 };

typedef struct tile {
    int64_t count, dim;
    bool half;
    const void *q[FR_ATTN_LANES], *k[CAP], *v[CAP];
    int32_t lo[FR_ATTN_LANES], hi[FR_ATTN_LANES];
} tile;

static double at(const void *row, bool half, int64_t d) {
    if (!half) return (double)((const float *)row)[d];
    uint32_t u = (uint32_t)((const uint16_t *)row)[d] << 16;
    float x;
    memcpy(&x, &u, 4);
    return (double)x;
}

static void *random_row(const tile *t) {
    return t->half ? (void *)check_bf16((size_t)t->dim, CHECK_NORMAL)
                   : (void *)check_f32((size_t)t->dim, CHECK_NORMAL);
}

/* Lane 2 is no row at all, lane 1 sees nothing, the others a stretch. */
static void fill(tile *t, int lanes) {
    for (int l = 0; l < lanes; l++) {
        t->q[l] = l == 2 ? NULL : random_row(t);
        t->lo[l] = (int32_t)(check_random() % (uint64_t)t->count);
        t->hi[l] = t->lo[l] + 1 + (int32_t)(check_random() % (uint64_t)(t->count - t->lo[l]));
        if (l == 1) t->hi[l] = t->lo[l];
    }
    for (int64_t j = 0; j < t->count; j++) {
        t->k[j] = random_row(t);
        t->v[j] = random_row(t);
    }
}

static void expect(const tile *t, int l, float c, double *y, double *top, double *sum) {
    *top = -INFINITY;
    *sum = 0;
    for (int64_t d = 0; d < t->dim; d++) y[d] = 0;
    double s[CAP];
    for (int64_t j = t->lo[l]; j < t->hi[l]; j++) {
        s[j] = 0;
        for (int64_t d = 0; d < t->dim; d++)
            s[j] += at(t->q[l], t->half, d) * at(t->k[j], t->half, d);
        if (s[j] > *top) *top = s[j];
    }
    for (int64_t j = t->lo[l]; j < t->hi[l]; j++) {
        double p = exp2((s[j] - *top) * (double)c);
        *sum += p;
        for (int64_t d = 0; d < t->dim; d++) y[d] += p * at(t->v[j], t->half, d);
    }
}

/* The weights of a lane as they are multiplied. */
static double sum_of_pairs(const float *p, int64_t count, int lanes, int l) {
    double sum = 0;
    for (int64_t j = 0; j < count; j++)
        sum += at((const uint16_t *)(const void *)p + j / 2 * 2 * lanes + j % 2, true, 2 * l);
    return sum;
}

static void whole_tile(const fr_attn_kernels *k, const fr_attn_path *path, int64_t count,
                       int64_t dim, bool half) {
    tile t = {.count = count, .dim = dim, .half = half};
    const size_t ld = (size_t)fr_attn_ld(dim), lanes = (size_t)path->lanes;
    fill(&t, path->lanes);
    void *panel = check_alloc(4 * ld * lanes), *rows = check_alloc(4 * CAP * ld);
    void *cols = check_alloc(4 * CAP * ld);
    float *s = check_alloc(4 * CAP * lanes), *o = check_alloc(4 * ld * lanes);
    float *top = check_alloc(4 * lanes), *sum = check_alloc(4 * lanes);
    float *fade = check_alloc(4 * lanes);
    path->pack_panel(t.q, half, dim, panel);
    path->pack_rows(t.k, count, half, dim, rows);
    if (!path->pack_cols(t.v, count, half, dim, CAP, cols)) check_fail("finite values called not");
    for (size_t l = 0; l < lanes; l++) top[l] = -INFINITY, sum[l] = 0;
    memset(o, 0, 4 * ld * lanes);
    path->score(panel, rows, count, dim, s);
    k->mask_lanes(s, count, path->lanes, t.lo, t.hi);
    path->softmax(s, count, 0.3f, top, sum, fade);
    path->accumulate(s, cols, count, dim, CAP, fade, o);
    void *out[FR_ATTN_LANES];
    float *by = check_alloc(4 * lanes);
    for (size_t l = 0; l < lanes; l++) {
        out[l] = l == 2 ? NULL : check_alloc((size_t)dim * sizeof(float));
        by[l] = 1;
    }
    k->store(o, path->lanes, dim, by, false, out);
    double *y = check_alloc((size_t)dim * sizeof(double)), high, all;
    const double tol = path->pairs ? 1e-2 : 2e-6;
    for (int l = 0; l < path->lanes; l++) {
        if (!out[l]) continue;
        expect(&t, l, 0.3f, y, &high, &all);
        check_value((double)top[l], high, 1e-5, 1e-4);
        if (path->pairs)
            check_value((double)sum[l], sum_of_pairs(s, count, path->lanes, l), 1e-6, 0);
        check_value((double)sum[l], all, path->pairs ? 4e-3 : 1e-4, 0);
        for (int64_t d = 0; d < dim; d++)
            check_value((double)((float *)out[l])[d], y[d], 1e-4, tol * (double)count);
    }
}

static void bad_values(const fr_attn_path *path, bool half) {
    tile t = {.count = 5, .dim = 21, .half = half};
    fill(&t, path->lanes);
    void *cols = check_alloc(4 * CAP * 32), *row = random_row(&t);
    const float inf = INFINITY;
    if (half)
        ((uint16_t *)row)[20] = 0x7fc0;
    else
        memcpy((float *)row + 20, &inf, 4);
    t.v[3] = row;
    if (path->pack_cols(t.v, 5, half, 21, CAP, cols)) check_fail("did not see the bad value");
}

static void paths(const fr_kernels *k) {
    const int64_t dims[] = {1, 2, 7, 15, 16, 17, 33, 64, 128};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int64_t count = 1; count <= CAP; count += count < 18 ? 1 : 10)
            for (int kind = 0; kind < 3; kind++) {
                if (kind == 2 && !k->attn.bf16.score) continue;
                if (!check_begin("attn.tile kind=%d count=%d dim=%d", kind, (int)count,
                                 (int)dims[i]))
                    continue;
                whole_tile(&k->attn, kind == 2 ? &k->attn.bf16 : &k->attn.f32, count, dims[i],
                           kind > 0);
                check_end();
            }
    if (check_begin("attn.pack_cols not finite")) {
        bad_values(&k->attn.f32, false);
        bad_values(&k->attn.f32, true);
        if (k->attn.bf16.score) bad_values(&k->attn.bf16, true);
        check_end();
    }
}

static void grads(const fr_kernels *k) {
    const int lanes = k->attn.f32.lanes;
    for (int64_t count = 1; count < 20; count++) {
        if (!check_begin("attn.grad count=%d", (int)count)) continue;
        const size_t n = (size_t)(count * lanes);
        float *s = check_f32(n, CHECK_NORMAL), *dp = check_f32(n, CHECK_NORMAL);
        float *s2 = check_copy(s, 4 * n), *dp2 = check_copy(dp, 4 * n);
        float *lse = check_range((size_t)FR_ATTN_LANES, 1, 3);
        float *delta = check_f32((size_t)FR_ATTN_LANES, CHECK_NORMAL);
        float *was = check_copy(s, 4 * n), *dwas = check_copy(dp, 4 * n);
        k->attn.grad_lanes(s, dp, count, 0.7f, lse, delta);
        k->attn.grad_rows(s2, dp2, count, 0.7f, lse, delta);
        for (size_t i = 0; i < n; i++) {
            size_t l = i % (size_t)lanes, j = i / (size_t)lanes;
            double p = exp2((double)was[i] * (double)0.7f - (double)lse[l]);
            double r = exp2((double)was[i] * (double)0.7f - (double)lse[j]);
            check_value((double)dp[i], p * ((double)dwas[i] - (double)delta[l]), 1e-5, 1e-6);
            check_value((double)s2[i], r, 1e-5, 1e-7);
            check_value((double)dp2[i], r * ((double)dwas[i] - (double)delta[j]), 1e-5, 1e-6);
        }
        check_end();
    }
}

/* p and ds of a tile, and what they make of rows of keys (accumulate) and of queries (spread). */
static void backward(const fr_attn_path *path, int64_t count, int64_t dim, bool half) {
    const int64_t lanes = path->lanes, ld = fr_attn_ld(dim);
    const size_t n = (size_t)(CAP * lanes);
    tile t = {.count = count, .dim = dim, .half = half};
    fill(&t, path->lanes);
    float *s = check_f32(n, CHECK_NORMAL), *dp = check_f32(n, CHECK_NORMAL);
    float *was = check_copy(s, 4 * n), *dwas = check_copy(dp, 4 * n);
    float *lse = check_range((size_t)lanes, 1, 3), *delta = check_f32((size_t)lanes, CHECK_NORMAL);
    void *pairs = check_alloc(4 * n), *cols = check_alloc((size_t)(4 * CAP * ld));
    void *rows = check_alloc((size_t)(4 * lanes * ld));
    float *dq = check_alloc((size_t)(4 * ld * lanes)), *dk = check_alloc((size_t)(4 * CAP * ld));
    float *dv = check_alloc((size_t)(4 * CAP * ld));
    memset(dq, 0, (size_t)(4 * ld * lanes));
    for (int64_t i = 0; i < CAP * ld; i++) dk[i] = dv[i] = 1;
    path->pack_cols(t.k, count, half, dim, CAP, cols);
    path->pack_spread(t.q, half, dim, rows);
    path->grad(s, dp, count, 0.7f, lse, delta, pairs);
    path->accumulate(path->pairs ? pairs : dp, cols, count, dim, CAP, NULL, dq);
    path->spread(dp, rows, count, dim, dk);
    path->spread(s, rows, count, dim, dv);
    const double rel = path->pairs ? 2e-2 : 1e-5, tol = path->pairs ? 2e-2 : 1e-5;
    for (int64_t d = 0; d < dim; d++) {
        double want[FR_ATTN_LANES] = {0};
        for (int64_t j = 0; j < CAP; j++) {
            double k = 1, v = 1;
            for (int64_t l = 0; l < lanes && j < count; l++) {
                double p = exp2((double)was[j * lanes + l] * (double)0.7f - (double)lse[l]);
                double ds = p * ((double)dwas[j * lanes + l] - (double)delta[l]);
                want[l] += ds * at(t.k[j], half, d);
                if (!t.q[l]) continue;
                k += ds * at(t.q[l], half, d);
                v += p * at(t.q[l], half, d);
            }
            check_value((double)dk[j * ld + d], k, rel, tol * (double)lanes);
            check_value((double)dv[j * ld + d], v, rel, tol * (double)lanes);
        }
        for (int64_t l = 0; l < lanes; l++)
            check_value((double)dq[d * lanes + l], want[l], rel, tol * (double)count);
    }
}

static void backwards(const fr_kernels *k) {
    const int64_t dims[] = {1, 15, 16, 17, 32, 48, 64};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int64_t count = 1; count <= CAP; count += count < 18 ? 1 : 10)
            for (int kind = 0; kind < 3; kind++) {
                const fr_attn_path *path = kind == 2 ? &k->attn.bf16 : &k->attn.f32;
                if (!path->score || !check_begin("attn.backward kind=%d count=%d dim=%d", kind,
                                                 (int)count, (int)dims[i]))
                    continue;
                backward(path, count, dims[i], kind > 0);
                check_end();
            }
}

static void decodes(const fr_kernels *k, const fr_kernels *ref) {
    const int64_t dims[] = {1, 5, 16, 31, 64, 72, 128};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int64_t count = 1; count < 40; count += 3)
            for (int half = 0; half < 2; half++) {
                const int64_t dim = dims[i], stride = dim + 3;
                if (!check_begin("attn.decode half=%d count=%d dim=%d", half, (int)count, (int)dim))
                    continue;
                size_t n = (size_t)((count - 1) * stride + dim);
                void *x = half ? (void *)check_bf16(n, CHECK_NORMAL) : check_f32(n, CHECK_NORMAL);
                void *v = half ? (void *)check_bf16(n, CHECK_NORMAL) : check_f32(n, CHECK_NORMAL);
                float *q = check_f32((size_t)dim, CHECK_NORMAL), top[2], sum[2];
                float *s = check_alloc(4 * (size_t)count), *o = check_alloc(4 * (size_t)dim);
                float *s2 = check_alloc(4 * (size_t)count), *o2 = check_alloc(4 * (size_t)dim);
                k->attn.decode(q, x, v, stride, stride, half, count, dim, 0.2f, s, top, sum, o);
                ref->attn.decode(q, x, v, stride, stride, half, count, dim, 0.2f, s2, top + 1,
                                 sum + 1, o2);
                check_value((double)top[0], (double)top[1], 1e-5, 1e-5);
                check_value((double)sum[0], (double)sum[1], 1e-5, 0);
                check_close(o, o2, (size_t)dim, 1e-4, 1e-5 * (double)count);
                check_end();
            }
}

static void ropes(const fr_kernels *k, const fr_kernels *ref) {
    for (int64_t pairs = 0; pairs < 40; pairs++)
        for (int kind = 0; kind < 4; kind++) {
            if (!check_begin("attn.rope kind=%d pairs=%d", kind, (int)pairs)) continue;
            const bool half = kind & 1;
            const size_t n = (size_t)(2 * pairs), bytes = n * (half ? 2 : 4);
            void *x = half ? (void *)check_bf16(n, CHECK_NORMAL) : check_f32(n, CHECK_NORMAL);
            void *same = check_copy(x, bytes), *out = check_alloc(bytes);
            float *c = check_f32((size_t)pairs, CHECK_NORMAL);
            float *s = check_f32((size_t)pairs, CHECK_NORMAL);
            void (*turn)(const void *, void *, bool, int64_t, const float *, const float *) =
                kind < 2 ? k->attn.rope_split : k->attn.rope_pairs;
            (kind < 2 ? ref->attn.rope_split : ref->attn.rope_pairs)(x, out, half, pairs, c, s);
            turn(same, same, half, pairs, c, s); /* in place */
            check_same(same, out, n, half ? 2 : 4);
            check_end();
        }
}

static void run(const fr_kernels *k, const fr_kernels *ref) {
    paths(k);
    grads(k);
    backwards(k);
    decodes(k, ref);
    ropes(k, ref);
}

enum { BENCH_KEYS = 256, BENCH_DIM = 128 };
typedef struct bench_arg {
    const fr_attn_path *path;
    void *panel, *rows;
    float *s, *o, top[FR_ATTN_LANES], sum[FR_ATTN_LANES], fade[FR_ATTN_LANES];
} bench_arg;

static void once_score(void *arg) {
    bench_arg *b = arg;
    b->path->score(b->panel, b->rows, BENCH_KEYS, BENCH_DIM, b->s);
}
static void once_softmax(void *arg) {
    bench_arg *b = arg;
    b->path->softmax(b->s, BENCH_KEYS, 0.1f, b->top, b->sum, b->fade);
}
static void once_accumulate(void *arg) {
    bench_arg *b = arg;
    b->path->accumulate(b->s, b->rows, BENCH_KEYS, BENCH_DIM, BENCH_KEYS, b->fade, b->o);
}

static void bench_path(const fr_attn_path *path, const char *type, check_peak peak) {
    static const float one = 1.0f;
    const size_t lanes = (size_t)path->lanes;
    bench_arg b = {.path = path,
                   .panel = check_alloc(4 * BENCH_DIM * lanes),
                   .rows = check_alloc(4 * BENCH_KEYS * BENCH_DIM),
                   .s = check_alloc(4 * BENCH_KEYS * lanes),
                   .o = check_alloc(4 * BENCH_DIM * lanes)};
    memset(b.panel, 0, 4 * BENCH_DIM * lanes);
    memset(b.rows, 0, 4 * BENCH_KEYS * BENCH_DIM);
    memset(b.o, 0, 4 * BENCH_DIM * lanes);
    for (int l = 0; l < FR_ATTN_LANES; l++) b.fade[l] = one;
    const double ops = 2.0 * BENCH_KEYS * BENCH_DIM * (double)lanes;
    char name[64];
    snprintf(name, sizeof name, "attn.score %s", type);
    check_bench(name, peak, ops, 0, once_score, &b);
    snprintf(name, sizeof name, "attn.softmax %s", type);
    check_bench(name, CHECK_NO_PEAK, 0, 8.0 * BENCH_KEYS * (double)lanes, once_softmax, &b);
    snprintf(name, sizeof name, "attn.accumulate %s", type);
    check_bench(name, peak, ops, 0, once_accumulate, &b);
}

static void bench(const fr_kernels *k) {
    bench_path(&k->attn.f32, "f32", CHECK_F32);
    if (k->attn.bf16.score) bench_path(&k->attn.bf16, "bf16", CHECK_BF16);
}

CHECK_FAMILY("attn", run, bench)
