/* test_gemm.c: the product driver against sums in f64, with the error bound of a sum in any order,
 * under every table of kernels; and the same bits with any number of threads, packed or not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "op/gemm.h"

typedef struct shape {
    int64_t m, n, k;
} shape;

/* One product with everything it needs, and its answer. */
typedef struct product {
    fr_gemm g;
    char *a, *b, *c, *bias, *residual; /* as allocated; g points `shift` values into them */
    size_t c_values;
    double *want, *bound; /* of every `each`-th value of C */
    int64_t each;
} product;

enum { BIAS = 1, RESIDUAL = 2, ALIAS = 4, ACCUMULATE = 8, ALPHA = 16, BF16_C = 32, WIDE_LD = 64 };

static fr_rng rng;

static float draw(void) {
    return fr_rng_normal(&rng);
}
static float draw_wild(void) {
    return ldexpf(draw(), (int)fr_rng_below(&rng, 41) - 20);
}

static char *values(size_t n, fr_dtype t, float (*next)(void)) {
    char *p = malloc(n * 4 + 16);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        float x = next();
        uint16_t h = fr_f32_to_bf16(x);
        if (t == FR_BF16) {
            memcpy(p + i * 2, &h, 2);
        } else {
            memcpy(p + i * 4, &x, 4);
        }
    }
    return p;
}

static double value(const void *p, fr_dtype t, int64_t i) {
    if (t == FR_BF16) return fr_bf16_to_f32(((const uint16_t *)p)[i]);
    return ((const float *)p)[i];
}

static double act64(fr_fn fn, double x) {
    switch (fn) {
    case FR_FN_RELU: return x < 0 ? 0 : x;
    case FR_FN_RELU6: return x < 0 ? 0 : x > 6 ? 6 : x;
    case FR_FN_SILU: return x / (1 + exp(-x));
    case FR_FN_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case FR_FN_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case FR_FN_SIGMOID: return 1 / (1 + exp(-x));
    case FR_FN_TANH: return tanh(x);
    case FR_FN_HSWISH: return x * act64(FR_FN_RELU6, x + 3) / 6;
    default: return x;
    }
}

/* The answer, and how far a sum in f32, in any order and grouping, may be from it: every product
 * and every addition rounds once, the dot instruction a few times more. Under sanitizers a large product is looked at
 * here and there. */
static void answer(product *p) {
    const fr_gemm *g = &p->g;
    size_t count = (size_t)(g->m * g->n) + 1;
    p->each = getenv("FRUGAL_TEST_SHORT") && g->m * g->n * g->k > 100000 ? 31 : 1;
    p->want = calloc(count, sizeof(double));
    p->bound = calloc(count, sizeof(double));
    assert_non_null(p->want);
    assert_non_null(p->bound);
    const double eps = ldexp(1, -24);
    double alpha = g->alpha == 0 ? 1 : g->alpha;
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->n; j++) {
            if ((i * g->n + j) % p->each) continue;
            double sum = 0, size = 0;
            for (int64_t q = 0; q < g->k; q++) {
                double a = value(g->a, g->a_type, g->ta ? q * g->lda + i : i * g->lda + q);
                double b = value(g->b, g->b_type, g->tb ? j * g->ldb + q : q * g->ldb + j);
                sum += a * b, size += fabs(a * b);
            }
            double bias = g->bias ? value(g->bias, g->bias_type, j) : 0;
            double x = act64(g->act, alpha * sum + bias), more = fabs(bias) + fabs(x);
            if (g->residual) x += value(g->residual, g->residual_type, i * g->ldr + j);
            double old = g->accumulate ? value(g->c, g->c_type, i * g->ldc + j) : 0;
            more += fabs(x) + fabs(x + old);
            x += old;
            double bound =
                (2.0 * (double)g->k + 4) * eps * size * fabs(alpha) * 1.2 + 8 * eps * more;
            if (g->act != FR_FN_NONE) bound += 1e-6 * (1 + fabs(alpha * sum + bias));
            if (g->c_type == FR_BF16) bound += ldexp(1, -8) * fabs(x) + 1e-38;
            p->want[i * g->n + j] = x;
            /* The dot instruction takes denormals for zero. */
            p->bound[i * g->n + j] = bound + (double)(g->k + 1) * 3e-38;
        }
    }
}

static product make(shape s, fr_dtype a, fr_dtype b, bool ta, bool tb, int what, fr_fn act,
                    float (*next)(void)) {
    product p = {0};
    fr_gemm *g = &p.g;
    int64_t wide = what & WIDE_LD ? 3 : 0;
    *g = (fr_gemm){.m = s.m, .n = s.n, .k = s.k, .ta = ta, .tb = tb, .a_type = a, .b_type = b};
    g->c_type = what & BF16_C ? FR_BF16 : FR_F32;
    g->lda = (ta ? s.m : s.k) + wide, g->ldb = (tb ? s.k : s.n) + wide;
    g->ldc = s.n + wide, g->ldr = s.n + 2 * wide;
    g->act = act;
    if (what & ALPHA) g->alpha = 0.375f;
    g->accumulate = what & ACCUMULATE;
    /* One value past the start: aligned to a value and to nothing more. */
    p.a = values((size_t)((ta ? s.k : s.m) * g->lda + 2), a, next);
    p.b = values((size_t)((tb ? s.n : s.k) * g->ldb + 2), b, next);
    p.c_values = (size_t)(s.m * g->ldc + 2);
    p.c = values(p.c_values, g->c_type, next);
    g->a = p.a + (a == FR_BF16 ? 2 : 4);
    g->b = p.b + (b == FR_BF16 ? 2 : 4);
    g->c = p.c + (g->c_type == FR_BF16 ? 2 : 4);
    if (what & BIAS) {
        g->bias_type = b;
        p.bias = values((size_t)s.n + 1, b, next);
        g->bias = p.bias + (b == FR_BF16 ? 2 : 4);
    }
    if (what & ALIAS) {
        g->residual = g->c, g->ldr = g->ldc, g->residual_type = g->c_type;
    } else if (what & RESIDUAL) {
        g->residual_type = a;
        p.residual = values((size_t)(s.m * g->ldr + 1), a, next);
        g->residual = p.residual;
    }
    return p;
}

static void drop(product *p) {
    free(p->a), free(p->b), free(p->c), free(p->bias), free(p->residual);
    free(p->want), free(p->bound);
}

/* Runs into a copy of C (so that the product can be run again) and returns it. */
static char *run(const product *p, fr_pool *pool, bool packed) {
    fr_gemm g = p->g;
    size_t bytes = p->c_values * (g.c_type == FR_BF16 ? 2 : 4);
    char *c = malloc(bytes);
    assert_non_null(c);
    memcpy(c, p->c, bytes);
    g.c = c + ((const char *)p->g.c - p->c);
    if (p->g.residual == p->g.c) g.residual = g.c;
    void *b = NULL;
    if (packed) {
        b = fr_alloc(FR_MEM_OTHER, fr_gemm_pack_bytes(&g));
        assert_non_null(b);
        fr_gemm_pack_b(&g, b, pool);
        g.b_packed = b;
        g.b = NULL;
    }
    size_t need = fr_gemm_scratch(&g, pool);
    unsigned char *scratch = fr_alloc(FR_MEM_OTHER, need + 64);
    assert_non_null(scratch);
    memset(scratch, 0xff, need + 64); /* NaN wherever nothing was written */
    fr_gemm_run(&g, scratch, pool);
    for (int i = 0; i < 64; i++) assert_int_equal(scratch[need + i], 0xff);
    fr_free(scratch);
    fr_free(b);
    return c;
}

static void compare(const product *p, const char *c) {
    const fr_gemm *g = &p->g;
    size_t size = g->c_type == FR_BF16 ? 2 : 4;
    const char *first = c + size;
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->n; j++) {
            if ((i * g->n + j) % p->each) continue;
            double x = value(first, g->c_type, i * g->ldc + j), want = p->want[i * g->n + j];
            bool good = isnan(want)   ? isnan(x)
                        : isinf(want) ? x == want
                                      : fabs(x - want) <= p->bound[i * g->n + j];
            if (!good)
                fail_msg("%s: %ldx%ldx%ld a %d b %d c %d ta %d tb %d act %d bias %d res %d acc %d: "
                         "[%ld,%ld] is %.9g, want %.9g within %.3g",
                         fr_kernel()->name, (long)g->m, (long)g->n, (long)g->k, g->a_type,
                         g->b_type, g->c_type, g->ta, g->tb, g->act, g->bias != NULL,
                         g->residual != NULL, g->accumulate, (long)i, (long)j, x, want,
                         p->bound[i * g->n + j]);
        }
        /* What lies between the rows is not ours. */
        size_t from = (size_t)(i * g->ldc + g->n + 1) * size;
        assert_memory_equal(c + from, p->c + from, (size_t)(g->ldc - g->n) * size);
    }
    assert_memory_equal(c, p->c, size);
}

/* ---- every table ---- */

static void under_each_table(void (*body)(void)) {
    const unsigned sets[] = {0,
                             FR_CPU_AVX2,
                             FR_CPU_AVX2 | FR_CPU_AVX512,
                             FR_CPU_AVX2 | FR_CPU_AVX512 | FR_CPU_AVX512BF16,
                             FR_CPU_NEON,
                             ~0u};
    fr_gemm_kernels done;
    for (size_t i = 0; i < FR_COUNT(sets); i++) {
        if (sets[i] != ~0u && (sets[i] & ~fr_cpu_flags())) continue;
        fr_kernels table;
        fr_kernels_fill(sets[i] & fr_cpu_flags(), &table);
        if (i && !memcmp(&table.gemm, &done, sizeof done)) continue;
        done = table.gemm;
        fr_kernel_use(&table);
        rng = fr_rng_new(7, i);
        body();
        fr_kernel_use(NULL);
    }
}

static void check(shape s, fr_dtype a, fr_dtype b, bool ta, bool tb, int what, fr_fn act,
                  float (*next)(void)) {
    product p = make(s, a, b, ta, tb, what, act, next);
    answer(&p);
    char *plain = run(&p, NULL, false), *packed = run(&p, NULL, true);
    compare(&p, plain);
    compare(&p, packed);
    assert_memory_equal(plain, packed, p.c_values * (p.g.c_type == FR_BF16 ? 2 : 4));
    free(plain);
    free(packed);
    drop(&p);
}

static void sweep(void) {
    const int64_t ms[] = {0, 1, 2, 5, 6, 7, 13, 14, 15, 29}, ns[] = {0, 1, 7, 15, 31, 32, 33, 65};
    const int64_t ks[] = {0, 1, 2, 3, 17, 64};
    const fr_dtype types[] = {FR_F32, FR_BF16};
    int turn = 0;
    for (size_t i = 0; i < FR_COUNT(ms); i++)
        for (size_t j = 0; j < FR_COUNT(ns); j++)
            for (size_t q = 0; q < FR_COUNT(ks); q++)
                for (int t = 0; t < 4; t++, turn++)
                    check((shape){ms[i], ns[j], ks[q]}, types[t & 1], types[t >> 1],
                          fr_rng_below(&rng, 2), fr_rng_below(&rng, 2),
                          (int)fr_rng_below(&rng, 128), turn % (FR_FN_HSWISH + 1), draw);
}
static void test_sweep(void **state) {
    (void)state;
    under_each_table(sweep);
}

/* Several blocks and chunks in each direction. */
static const shape big[] = {
    {130, 200, 1100},
    {40, 4300, 30},
    {5000, 9, 500},
    {9, 37, 20001},
    {3, 300, 1537},
    {350, 70, 513},
    /* B packed by the kernel in passing, straight into C and by way of partial sums: */
    {350, 96, 1100},
    {1, 70, 1030},
    {340, 70, 1030},
    /* A packed by the task that uses it: */
    {690, 20, 1100},
    {690, 20, 1100},
};
static void large(void) {
    const fr_dtype types[] = {FR_F32, FR_BF16};
    for (size_t i = 0; i < FR_COUNT(big); i++) {
        if (!fr_kernel()->cpu && i != 0 && i != 3) continue; /* plain C is slow */
        if (getenv("FRUGAL_TEST_SHORT") && big[i].m > 40) continue;
        for (int t = 0; t < 4; t++)
            check(big[i], types[t & 1], types[t >> 1], t & 1, i & 1, t == 0 ? 0 : BIAS | RESIDUAL,
                  t == 3 ? FR_FN_SILU : FR_FN_NONE, draw);
    }
}
static void test_large(void **state) {
    (void)state;
    under_each_table(large);
}

static void wild(void) {
    for (int t = 0; t < 24; t++)
        check((shape){1 + fr_rng_below(&rng, 40), 1 + fr_rng_below(&rng, 80),
                      1 + fr_rng_below(&rng, 700)},
              t & 1 ? FR_F32 : FR_BF16, t & 2 ? FR_F32 : FR_BF16, t & 4, t & 8, t & 16 ? BIAS : 0,
              FR_FN_NONE, draw_wild);
}
static void test_wild(void **state) {
    (void)state;
    under_each_table(wild);
}

static float draw_odd(void) {
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0f, 1, -1, 2};
    uint32_t i = fr_rng_below(&rng, 200);
    return i < FR_COUNT(odd) ? odd[i] : draw();
}
static void not_finite(void) {
    for (int t = 0; t < 64; t++)
        check((shape){1 + fr_rng_below(&rng, 20), 1 + fr_rng_below(&rng, 40),
                      1 + fr_rng_below(&rng, 9)},
              t & 1 ? FR_F32 : FR_BF16, t & 2 ? FR_F32 : FR_BF16, t & 4, t & 8, t & 16 ? BIAS : 0,
              t & 32 ? FR_FN_RELU : FR_FN_NONE, draw_odd);
}
static void test_not_finite(void **state) {
    (void)state;
    under_each_table(not_finite);
}

/* ---- bits ---- */

static void threads(void) {
    const int counts[] = {2, 3, 8};
    for (size_t i = 0; i < FR_COUNT(big); i++) {
        if (!fr_kernel()->cpu && i != 0) continue;
        fr_dtype type = i & 1 ? FR_BF16 : FR_F32;
        product p = make(big[i], type, type, false, i < 6, BIAS | ALIAS, FR_FN_GELU, draw);
        char *one = run(&p, NULL, false);
        for (size_t t = 0; t < FR_COUNT(counts); t++) {
            fr_pool *pool;
            assert_int_equal(fr_pool_new(counts[t], &pool), FR_OK);
            char *many = run(&p, pool, t & 1);
            assert_memory_equal(one, many, p.c_values * (p.g.c_type == FR_BF16 ? 2 : 4));
            free(many);
            fr_pool_free(pool);
        }
        free(one);
        drop(&p);
    }
}
static void test_threads(void **state) {
    (void)state;
    under_each_table(threads);
}

/* A row does not depend on how many rows there are. */
static void rows_alone(void) {
    for (int types = 0; types < 3; types++) { /* all f32; b in bf16; both */
        fr_dtype ta = types == 2 ? FR_BF16 : FR_F32, tb = types ? FR_BF16 : FR_F32;
        product p = make((shape){40, 70, 1500}, ta, tb, false, true, BIAS, FR_FN_NONE, draw);
        char *all = run(&p, NULL, false);
        for (int m = 1; m <= 14; m++)
            for (int i = 40 - (m == 1 ? 14 : m); i <= 40 - m; i++) {
                product some = p;
                some.g.m = m;
                some.g.a = (const char *)p.g.a + (size_t)(i * p.g.lda) * (ta == FR_BF16 ? 2 : 4);
                char *rows = run(&some, NULL, m % 2);
                assert_memory_equal(rows + 4, all + 4 + (size_t)i * 70 * 4, (size_t)m * 70 * 4);
                free(rows);
            }
        free(all);
        drop(&p);
    }
}
static void test_rows_alone(void **state) {
    (void)state;
    under_each_table(rows_alone);
}

typedef struct made_rows {
    const char *a;
    int64_t lda;
    size_t size;
} made_rows;

static void make_rows(void *arg, int64_t row, int64_t rows, int64_t k0, int64_t count, void *out,
                      int64_t ld) {
    const made_rows *m = arg;
    for (int64_t i = 0; i < rows; i++)
        memcpy((char *)out + (size_t)(i * ld) * m->size,
               m->a + (size_t)((row + i) * m->lda + k0) * m->size, (size_t)count * m->size);
}
static void callback(void) {
    for (int t = 0; t < 8; t++) {
        fr_dtype a = t & 1 ? FR_BF16 : FR_F32, b = t & 2 ? FR_BF16 : FR_F32;
        product p =
            make((shape){61, 33, t & 4 ? 1029 : 77}, a, b, false, true, BIAS, FR_FN_RELU, draw);
        made_rows m = {p.g.a, p.g.lda, a == FR_BF16 ? 2 : 4};
        char *plain = run(&p, NULL, false);
        p.g.a = NULL, p.g.a_rows = make_rows, p.g.a_arg = &m;
        char *made = run(&p, NULL, true);
        assert_memory_equal(plain, made, p.c_values * 4);
        free(plain);
        free(made);
        drop(&p);
    }
}
static void test_callback(void **state) {
    (void)state;
    under_each_table(callback);
}

/* ---- batches ---- */

static void batch_of(shape s, int64_t count, fr_pool *pool) {
    product p =
        make((shape){s.m * count, s.n, s.k}, FR_F32, FR_F32, false, true, 0, FR_FN_NONE, draw);
    char *want = run(&p, NULL, false);
    fr_gemm_batch b = {p.g, count, s.m * s.k, 0, s.m * s.n};
    b.g.m = s.m;
    float *c = malloc((size_t)(s.m * count * s.n) * 4);
    assert_non_null(c);
    b.g.c = c;
    void *scratch = fr_alloc(FR_MEM_OTHER, fr_gemm_batch_scratch(&b, pool));
    assert_non_null(scratch);
    fr_gemm_batch_run(&b, scratch, pool);
    assert_memory_equal(c, want + 4, (size_t)(s.m * count * s.n) * 4);
    fr_free(scratch);
    free(c);
    free(want);
    drop(&p);
}
static void batches(void) {
    fr_pool *pool;
    assert_int_equal(fr_pool_new(3, &pool), FR_OK);
    batch_of((shape){5, 33, 20}, 17, pool);
    batch_of((shape){64, 64, 64}, 9, pool);
    batch_of((shape){1, 7, 3}, 1, NULL);
    if (fr_kernel()->cpu) batch_of((shape){330, 320, 300}, 2, pool); /* one product after another */
    fr_pool_free(pool);
}
static void test_batches(void **state) {
    (void)state;
    under_each_table(batches);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sweep),    cmocka_unit_test(test_large),
        cmocka_unit_test(test_wild),     cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_rows_alone),
        cmocka_unit_test(test_callback), cmocka_unit_test(test_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
