/* test_hadamard.c: every matrix that can be constructed has rows at right angles; fast products are the products that
 * the signs say, forwards and back, over rows and columns, with the same bits for any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "quant/hadamard.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static const int64_t sizes[] = {1,  2,  4,   8,   12,  20,  24,  28,  36,  40,  44,  52,
                                60, 64, 108, 140, 148, 156, 172, 104, 240, 344, 624, 896};

static void check_orthogonal(int64_t n) {
    fr_hadamard *h;
    ok(fr_hadamard_new(n, &h));
    int8_t *sign = fr_alloc(FR_MEM_OTHER, (size_t)(n * n));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) sign[i * n + j] = (int8_t)fr_hadamard_sign(h, i, j);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            int64_t sum = 0;
            for (int64_t k = 0; k < n; k++) sum += sign[i * n + k] * sign[j * n + k];
            if (sum != (i == j ? n : 0))
                fail_msg("size %lld: rows %lld and %lld give %lld", (long long)n, (long long)i,
                         (long long)j, (long long)sum);
        }
    fr_free(sign);
    fr_hadamard_free(h);
}

static void test_orthogonal(void **state) {
    (void)state;
    for (size_t i = 0; i < FR_COUNT(sizes); i++) check_orthogonal(sizes[i]);
}

/* x H, or x HT, by the definition. */
static void slow(const fr_hadamard *h, bool back, const float *x, double *y) {
    const int64_t n = fr_hadamard_size(h);
    for (int64_t j = 0; j < n; j++) {
        y[j] = 0;
        for (int64_t i = 0; i < n; i++)
            y[j] += (double)x[i] * (back ? fr_hadamard_sign(h, j, i) : fr_hadamard_sign(h, i, j));
        y[j] /= sqrt((double)n);
    }
}

static void check_products(int64_t n, bool back, fr_pool *pool) {
    enum { ROWS = 11 };
    fr_hadamard *h;
    ok(fr_hadamard_new(n, &h));
    const int64_t stride = n + 3;
    const size_t count = (size_t)(ROWS * stride);
    float *x = fr_alloc(FR_MEM_OTHER, count * 4), *rows = fr_alloc(FR_MEM_OTHER, count * 4);
    float *one = fr_alloc(FR_MEM_OTHER, count * 4), *cols = fr_alloc(FR_MEM_OTHER, count * 4);
    double *want = fr_alloc(FR_MEM_OTHER, (size_t)n * sizeof *want);
    fr_random_normal(1, (uint64_t)n, 0, x, count);
    memcpy(rows, x, count * 4);
    memcpy(one, x, count * 4);
    ok(fr_hadamard_rows(h, back, rows, ROWS, stride, pool));
    ok(fr_hadamard_rows(h, back, one, ROWS, stride, NULL));
    assert_memory_equal(rows, one, count * 4);
    for (int64_t r = 0; r < ROWS; r++) {
        slow(h, back, x + r * stride, want);
        for (int64_t i = 0; i < n; i++) {
            if (fabs((double)rows[r * stride + i] - want[i]) > 1e-6)
                fail_msg("size %lld, row %lld, value %lld: %g, not %g", (long long)n, (long long)r,
                         (long long)i, (double)rows[r * stride + i], want[i]);
        }
        assert_memory_equal(rows + r * stride + n, x + r * stride + n, 3 * 4); /* untouched */
    }
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t i = 0; i < n; i++) cols[i * ROWS + r] = x[r * stride + i];
    ok(fr_hadamard_columns(h, back, cols, ROWS, ROWS, pool));
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t i = 0; i < n; i++)
            assert_true(cols[i * ROWS + r] == rows[r * stride + i]); /* the same bits */
    ok(fr_hadamard_rows(h, !back, rows, ROWS, stride, pool));
    for (size_t i = 0; i < count; i++) assert_true(fabsf(rows[i] - x[i]) < 1e-6f);
    fr_free(x), fr_free(rows), fr_free(one), fr_free(cols), fr_free(want);
    fr_hadamard_free(h);
}

static void test_products(void **state) {
    (void)state;
    fr_pool *pool;
    ok(fr_pool_new(3, &pool));
    for (size_t i = 0; i < FR_COUNT(sizes); i++)
        for (int back = 0; back < 2; back++) check_products(sizes[i], back, pool);
    fr_pool_free(pool);
}

/* What is in one channel goes to all of them, in equal parts. */
static void test_spread(void **state) {
    (void)state;
    fr_hadamard *h;
    float x[96] = {[17] = 96};
    ok(fr_hadamard_new(96, &h));
    ok(fr_hadamard_rows(h, false, x, 1, 96, NULL));
    for (int i = 0; i < 96; i++) assert_true(fabsf(fabsf(x[i]) - sqrtf(96)) < 1e-5f);
    fr_hadamard_free(h);
}

static void test_refuse(void **state) {
    (void)state;
    static const struct {
        int64_t n;
        const char *says;
    } bad[] = {{0, "No matrix"},      {-4, "No matrix"},     {3, "multiples of 4"},
               {6, "multiples of 4"}, {92, "none of those"}, {4 * 9973, "none of those"}};
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        fr_hadamard *h;
        assert_int_not_equal(fr_hadamard_new(bad[i].n, &h), FR_OK);
        if (!strstr(fr_message(), bad[i].says)) fail_msg("%s", fr_message());
        assert_null(h);
    }
}

/* Sizes that published models have. */
static void test_sizes(void **state) {
    (void)state;
    static const int64_t real[] = {2048,  4096,  5120,  3072,  3584,  896,  1536,  8192,
                                   11008, 14336, 13824, 18944, 8960,  4864, 28672, 27648,
                                   29568, 5632,  9216,  2304,  20480, 7168, 17920, 25600,
                                   12288, 9728,  6144,  64,    96,    128};
    for (size_t i = 0; i < FR_COUNT(real); i++) {
        fr_hadamard *h;
        ok(fr_hadamard_new(real[i], &h));
        fr_hadamard_free(h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orthogonal), cmocka_unit_test(test_products),
        cmocka_unit_test(test_spread),     cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
