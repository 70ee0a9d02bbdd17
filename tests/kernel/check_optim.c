/* check_optim.c: the kernels of optimizers that keep little, against plain C. */
#include "check.h"

enum { LONGEST = 12000 };
static size_t next_length(size_t n) {
    return n < 70 ? n + 1 : n * 5 + 7;
}

/* Sums of squares: every term is positive, so the bound is relative. */
static double sum_bound(size_t n) {
    return 1e-6 + 6e-8 * sqrt((double)n);
}

static void run_came(const fr_kernels *k, const fr_kernels *ref) {
    for (size_t n = 0; n < LONGEST; n = next_length(n)) {
        if (!check_begin("optim.came n=%zu", n)) continue;
        float *g = check_f32(n, CHECK_NORMAL), *col = check_range(n, 0.1f, 3),
              *m = check_f32(n, CHECK_NORMAL), *p = check_f32(n, CHECK_NORMAL),
              *sum = check_range(n, 0, 1), *m2 = check_copy(m, 4 * n), *p2 = check_copy(p, 4 * n),
              *sum2 = check_copy(sum, 4 * n);
        check_value(k->optim.came_squares(g, n, sum), ref->optim.came_squares(g, n, sum2),
                    sum_bound(n), 0);
        check_close(sum, sum2, n, 1e-6, 0);
        check_value(k->optim.came_length(g, col, 0.7f, n), ref->optim.came_length(g, col, 0.7f, n),
                    sum_bound(n), 0);
        check_value(k->optim.came_moment(g, col, 0.7f, 0.9f, n, m, sum),
                    ref->optim.came_moment(g, col, 0.7f, 0.9f, n, m2, sum2), sum_bound(n), 1e-6);
        check_close(m, m2, n, 1e-6, 1e-6);
        check_close(sum, sum2, n, 1e-5, 1e-6);
        k->optim.came_step(m, col, 0.01f, 0.99f, n, p);
        ref->optim.came_step(m2, col, 0.01f, 0.99f, n, p2);
        check_close(p, p2, n, 1e-6, 1e-6);
        check_end();
    }
}

static void run_plain(const fr_kernels *k, const fr_kernels *ref) {
    for (size_t n = 0; n < LONGEST; n = next_length(n)) {
        if (!check_begin("optim.plain n=%zu", n)) continue;
        float *g = check_f32(n, CHECK_NORMAL), *v = check_range(n, 0, 1),
              *v2 = check_copy(v, 4 * n), *m = check_f32(n, CHECK_NORMAL),
              *m2 = check_copy(m, 4 * n);
        for (size_t i = 0; i < n; i += 3) g[i] = v[i] = v2[i] = 0; /* nothing there yet */
        check_value(k->optim.came_plain(g, 0.7f, 0.99f, 1e-30f, n, v),
                    ref->optim.came_plain(g, 0.7f, 0.99f, 1e-30f, n, v2), 2 * sum_bound(n), 0);
        check_close(v, v2, n, 1e-6, 0);
        k->optim.came_plain_moment(g, v, 0.7f, 0.9f, n, m);
        ref->optim.came_plain_moment(g, v2, 0.7f, 0.9f, n, m2);
        check_close(m, m2, n, 2e-6, 2e-6);
        check_end();
    }
}

static void run_even(const fr_kernels *k, const fr_kernels *ref) {
    for (size_t n = 0; n < LONGEST; n = next_length(n)) {
        if (!check_begin("optim.even8 n=%zu", n)) continue;
        float *x = check_f32(n, CHECK_NORMAL), *y = check_alloc(4 * n), *y2 = check_alloc(4 * n),
              range[2], range2[2];
        uint8_t *code = check_alloc(n), *code2 = check_alloc(n);
        k->optim.range(x, n, range);
        ref->optim.range(x, n, range2);
        check_same(range, range2, 2, 4);
        float by = range[1] > range[0] ? 255 / (range[1] - range[0]) : 0;
        k->optim.even8_encode(x, range[0], by, 0.5f, n, code);
        ref->optim.even8_encode(x, range[0], by, 0.5f, n, code2);
        for (size_t i = 0; i < n; i++) { /* a contracted product may round another way */
            float at = (x[i] - range[0]) * by + 0.5f;
            if (code[i] != code2[i] && !(fabsf(at - roundf(at)) < 1e-4f))
                check_fail("%g becomes %d, not %d", (double)x[i], code[i], code2[i]);
        }
        k->optim.even8_decode(code, range[0], 0.01f, 0, n, y);
        ref->optim.even8_decode(code, range[0], 0.01f, 0, n, y2);
        check_close(y, y2, n, 1e-6, 1e-6);
        k->optim.even8_decode(code, 0, 0.01f, 127, n, y);
        ref->optim.even8_decode(code, 0, 0.01f, 127, n, y2);
        check_same(y, y2, n, 4);
        check_end();
    }
}

/* Numbers from all decades; another code than that of the reference is as near up to rounding. */
static void run_map(const fr_kernels *k, const fr_kernels *ref) {
    fr_map8 map;
    for (int kind = 0; kind < 4; kind++)
        for (size_t n = 0; n < LONGEST; n = next_length(n)) {
            if (!check_begin("optim.map8 kind=%d n=%zu", kind, n)) continue;
            bool signs = kind & 1, keep = kind & 2;
            fr_map8_make(&map, signs);
            float *x = check_range(n, -1, 1), *y = check_alloc(4 * n);
            uint8_t *code = check_alloc(n), *want = check_alloc(n);
            for (size_t i = 0; i < n; i++) {
                x[i] *= i % 7 ? powf(10, -(float)(i % 9)) : 0;
                if (!signs) x[i] = fabsf(x[i]);
                if (i == 5) x[i] = 1;
                if (i == 6 && signs) x[i] = -1;
            }
            k->optim.map8_encode(&map, x, 1, keep, n, code);
            ref->optim.map8_encode(&map, x, 1, keep, n, want);
            for (size_t i = 0; i < n; i++) {
                double a = fabs((double)map.value[code[i]] - x[i]),
                       b = fabs((double)map.value[want[i]] - x[i]);
                if (code[i] != want[i] && !(a - b <= 2e-6 * fabs((double)x[i])))
                    check_fail("%g becomes %d, not %d", (double)x[i], code[i], want[i]);
            }
            k->optim.map8_decode(&map, code, 0.3f, n, y);
            for (size_t i = 0; i < n; i++) check_value(y[i], map.value[code[i]] * 0.3f, 0, 0);
            check_end();
        }
}

static void run(const fr_kernels *k, const fr_kernels *ref) {
    run_came(k, ref);
    run_plain(k, ref);
    run_even(k, ref);
    run_map(k, ref);
}

/* ---- times: a block that stays in the first cache ---- */

enum { N = 2048 };
typedef struct bench_arg {
    const fr_optim_kernels *k;
    fr_map8 map;
    float x[N], col[N], m[N], y[N];
    uint8_t code[N];
} bench_arg;

static void once_moment(void *p) {
    bench_arg *b = p;
    b->y[0] = b->k->came_moment(b->x, b->col, 0.7f, 0.9f, N, b->m, b->y);
}
static void once_step(void *p) {
    bench_arg *b = p;
    b->k->came_step(b->m, b->col, 0.01f, 0.99f, N, b->y);
}
static void once_even_encode(void *p) {
    bench_arg *b = p;
    b->k->even8_encode(b->x, -4, 30, 0.5f, N, b->code);
}
static void once_even_decode(void *p) {
    bench_arg *b = p;
    b->k->even8_decode(b->code, -4, 0.03f, 0, N, b->y);
}
static void once_map_encode(void *p) {
    bench_arg *b = p;
    b->k->map8_encode(&b->map, b->x, 0.2f, false, N, b->code);
}
static void once_map_decode(void *p) {
    bench_arg *b = p;
    b->k->map8_decode(&b->map, b->code, 0.2f, N, b->y);
}

static void bench(const fr_kernels *k) {
    static bench_arg b;
    b.k = &k->optim;
    fr_map8_make(&b.map, true);
    for (int i = 0; i < N; i++) b.x[i] = fminf(4, fmaxf(-4, check_normal())), b.col[i] = 1;
    check_bench("optim.came_moment", CHECK_F32, 8 * N, 24.0 * N, once_moment, &b);
    check_bench("optim.came_step", CHECK_F32, 4 * N, 16.0 * N, once_step, &b);
    check_bench("optim.even8_encode", CHECK_NO_PEAK, 0, 5.0 * N, once_even_encode, &b);
    check_bench("optim.even8_decode", CHECK_NO_PEAK, 0, 5.0 * N, once_even_decode, &b);
    check_bench("optim.map8_encode", CHECK_NO_PEAK, 0, 5.0 * N, once_map_encode, &b);
    check_bench("optim.map8_decode", CHECK_NO_PEAK, 0, 5.0 * N, once_map_decode, &b);
}

CHECK_FAMILY("optim", run, bench)
