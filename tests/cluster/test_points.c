/* test_points.c: rows of every type and layout read as floats, what is wrong with points named by its row, variances
 * far from the origin, and the same from a file that is read ahead. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/made.h"

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static fr_points points_of(const fr_tensor *t, bool unit) {
    fr_points p;
    assert_int_equal(fr_points_of(t, 0, unit, &p), FR_OK);
    return p;
}

static void assert_rows(const fr_points *p, const float *want, int64_t from, int64_t count) {
    float *scratch = fr_alloc_array(FR_MEM_OTHER, fr_points_scratch(p, count), sizeof *scratch);
    const float *got = fr_points_rows(p, from, count, scratch);
    for (int64_t i = 0; i < count * p->width; i++) assert_true(got[i] == want[from * p->width + i]);
    for (int64_t i = 0; i < count; i++) {
        fr_points_row(p, from + i, scratch ? scratch : (float[8]){0});
    }
    fr_free(scratch);
}

/* The same 70 x 5 numbers, which every type holds, in every type and in three layouts. */
static void test_types_and_layouts(void **state) {
    (void)state;
    enum { N = 700, D = 5 };
    static const fr_dtype types[] = {FR_F32, FR_F16, FR_BF16, FR_F64, FR_U8, FR_I8, FR_I32};
    static float want[N * D], turned[D * N], wide[N * (D + 3)];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++) {
            want[i * D + j] = turned[j * N + i] = wide[i * (D + 3) + j] = (float)((i * 3 + j) % 97);
        }
    for (size_t k = 0; k < FR_COUNT(types); k++) {
        static uint8_t data[N * (D + 3) * 8];
        size_t bytes = (size_t)fr_dtype_get(types[k])->bytes;
        const float *from[] = {want, turned, wide};
        const int64_t strides[][2] = {{D, 1}, {1, N}, {D + 3, 1}};
        for (int l = 0; l < 3; l++) {
            size_t values = l == 2 ? FR_COUNT(wide) : FR_COUNT(want);
            if (types[k] == FR_F64)
                for (size_t i = 0; i < values; i++)
                    memcpy(data + 8 * i, &(double){(double)from[l][i]}, 8);
            else if (types[k] == FR_U8 || types[k] == FR_I8)
                for (size_t i = 0; i < values; i++) data[i] = (uint8_t)from[l][i];
            else if (types[k] == FR_I32)
                for (size_t i = 0; i < values; i++)
                    memcpy(data + bytes * i, &(int32_t){(int32_t)from[l][i]}, 4);
            else
                assert_int_equal(fr_encode(types[k], from[l], values, data), FR_OK);
            fr_tensor t = fr_tensor_make(types[k], 2, DIMS(N, D), data);
            memcpy(t.stride, strides[l], sizeof strides[l]);
            fr_points p = points_of(&t, false);
            assert_true((fr_points_scratch(&p, 1) == 0) == (types[k] == FR_F32 && l == 0));
            assert_rows(&p, want, 0, N);
            assert_rows(&p, want, 512, N - 512);
            assert_int_equal(fr_points_check(&p, NULL, NULL), FR_OK);
        }
    }
}

/* Of a batch, with strides of its own; every second column of a wider one, which nothing reads fast. */
static void test_batch_and_odd_strides(void **state) {
    (void)state;
    float x[2 * 3 * 4];
    for (int i = 0; i < 24; i++) x[i] = (float)i;
    fr_tensor t = fr_tensor_make(FR_F32, 3, DIMS(2, 3, 4), x);
    fr_points p;
    assert_int_equal(fr_points_of(&t, 1, false, &p), FR_OK);
    assert_rows(&p, x + 12, 0, 3);
    assert_int_equal(fr_points_of(&t, 2, false, &p), FR_INVALID);
    t.dim[2] = 2;
    t.stride[2] = 2;
    t.stride[1] = -4;
    t.data = x + 8; /* rows backwards */
    assert_int_equal(fr_points_of(&t, 1, false, &p), FR_OK);
    assert_rows(&p, (const float[]){20, 22, 16, 18, 12, 14}, 0, 3);
}

static void test_unit(void **state) {
    (void)state;
    float x[] = {3, 4, 1e-30f, 0, 0, -1e30f};
    fr_tensor t = fr_tensor_make(FR_F32, 2, DIMS(3, 2), x);
    fr_points p = points_of(&t, true);
    assert_rows(&p, (const float[]){0.6f, 0.8f, 1, 0, 0, -1}, 0, 3);
    assert_int_equal(fr_points_check(&p, NULL, NULL), FR_OK);
    assert_true(p.largest_square >= 1 && p.largest_square < 1.001f);
}

static void refused(const fr_tensor *t, int64_t problem, bool unit, const char *says) {
    fr_points p;
    fr_status st = fr_points_of(t, problem, unit, &p);
    if (st == FR_OK) st = fr_points_check(&p, NULL, NULL);
    assert_int_equal(st, FR_INVALID);
    if (!strstr(fr_message(), says)) fail_msg("'%s' does not say '%s'", fr_message(), says);
}

static void test_bad_rows_are_named(void **state) {
    (void)state;
    enum { N = 2000, D = 3 };
    static float x[2 * N * D];
    for (int i = 0; i < 2 * N * D; i++) x[i] = (float)(i % 11 + 1);
    fr_tensor t = fr_tensor_make(FR_F32, 2, DIMS(2 * N, D), x);
    fr_tensor b = fr_tensor_make(FR_F32, 3, DIMS(2, N, D), x);
    x[3 * 3001 + 2] = NAN;
    refused(&t, 0, false, "Row 3001 of the points has NaN in column 2");
    refused(&b, 1, true, "Row 1001 of problem 1 of the points has NaN in column 2");
    x[3 * 2999 + 1] = -INFINITY;
    refused(&t, 0, false, "Row 2999 of the points has an infinite value in column 1");
    x[3 * 7] = 2e19f;
    refused(&t, 0, false, "Row 7 of the points is so long");
    memset(x + 9, 0, 12);
    refused(&t, 0, true, "Row 3 of the points is all zeros");
    t.data = NULL;
    refused(&t, 0, false, "no values");
    t = fr_tensor_make(FR_F32, 2, DIMS(0, D), x);
    refused(&t, 0, false, "no points");
    t = fr_tensor_make(FR_F32, 1, DIMS(4), x);
    refused(&t, 0, false, "[N, D]");
}

static void test_weights(void **state) {
    (void)state;
    float x[] = {1, 2, 3}, w[] = {1, 0, -1};
    fr_tensor t = fr_tensor_make(FR_F32, 2, DIMS(3, 1), x);
    fr_points p = points_of(&t, false);
    p.weights = w;
    assert_int_equal(fr_points_check(&p, NULL, NULL), FR_INVALID);
    assert_non_null(strstr(fr_message(), "weight of row 2"));
    w[2] = NAN;
    assert_int_equal(fr_points_check(&p, NULL, NULL), FR_INVALID);
    w[0] = w[2] = 0;
    assert_int_equal(fr_points_check(&p, NULL, NULL), FR_INVALID);
    w[1] = 0.5f;
    assert_int_equal(fr_points_check(&p, NULL, NULL), FR_OK);
}

/* Against plain sums in double around the true mean; far from the origin, and with one far-off row. */
static void test_variance(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {3, 2}, {513, 1}, {5000, 7}, {300, 513}};
    for (int odd = 0; odd < 3; odd++)
        for (size_t s = 0; s < FR_COUNT(shapes); s++) {
            int64_t n = shapes[s][0], d = shapes[s][1];
            float *x = made_points(MADE_RANDOM, n, d, 3);
            for (int64_t i = 0; i < n * d; i++) x[i] += odd == 1 ? 4096 : 0;
            if (odd == 2) x[0] = 30000;
            double all = 0, longest = 0;
            for (int64_t j = 0; j < d; j++) {
                double mean = 0;
                for (int64_t i = 0; i < n; i++) mean += (double)x[i * d + j] / (double)n;
                for (int64_t i = 0; i < n; i++) all += pow((double)x[i * d + j] - mean, 2);
            }
            for (int64_t i = 0; i < n; i++) {
                double square = 0;
                for (int64_t j = 0; j < d; j++) square += pow((double)x[i * d + j], 2);
                longest = FR_MAX_OF(longest, square);
            }
            all /= (double)(n * d);
            fr_tensor t = made_tensor(x, n, d);
            fr_points p = points_of(&t, false), q = p;
            fr_pool *pool;
            assert_int_equal(fr_pool_new(3, &pool), FR_OK);
            assert_int_equal(fr_points_check(&p, NULL, NULL), FR_OK);
            assert_int_equal(fr_points_check(&q, NULL, pool), FR_OK);
            fr_pool_free(pool);
            assert_true(p.mean_variance == q.mean_variance);
            assert_true(fabs(p.mean_variance - all) <= 1e-5 * all);
            assert_true((double)p.largest_square >= longest &&
                        (double)p.largest_square <= longest * 1.001 + 1e-30);
            fr_free(x);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_and_layouts),
        cmocka_unit_test(test_batch_and_odd_strides),
        cmocka_unit_test(test_unit),
        cmocka_unit_test(test_bad_rows_are_named),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_variance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
