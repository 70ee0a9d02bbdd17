/* test_bounds.c: bounds save comparisons and change nothing: labels, centroids and iterations are those of Lloyd, bit
 * for bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/made.h"

static const fr_kmeans_method methods[] = {FR_KMEANS_HAMERLY, FR_KMEANS_YINYANG, FR_KMEANS_AUTO};

static void compare(const float *x, int64_t n, int64_t d, fr_kmeans_opts o) {
    o.method = FR_KMEANS_LLOYD;
    made_result want = made_run(x, n, d, &o);
    for (size_t m = 0; m < FR_COUNT(methods); m++) {
        o.method = methods[m];
        made_result got = made_run(x, n, d, &o);
        made_same(&got, &want, n, o.k * d);
        made_free(&got);
    }
    made_free(&want);
}

static void test_same_as_lloyd(void **state) {
    (void)state;
    const int64_t widths[] = {1, 2, 3, 17, 64}, ks[] = {1, 2, 16, 40, 101};
    for (int kind = MADE_RANDOM; kind <= MADE_GRID; kind++)
        for (size_t w = 0; w < FR_COUNT(widths); w++)
            for (size_t i = 0; i < FR_COUNT(ks); i++) {
                int64_t n = 1500, d = widths[w];
                float *x = made_points((made_kind)kind, n, d, 11 + w);
                fr_kmeans_opts o = fr_kmeans_defaults(ks[i]);
                o.start = FR_START_RANDOM;
                o.iterations = 12;
                o.tolerance = 0;
                o.threads = 1 + (int)(i % 2);
                o.metric = kind == MADE_RANDOM && d > 2 && i % 2 ? FR_COSINE : FR_EUCLID;
                if (kind == MADE_GRID) o.empty = FR_EMPTY_SPLIT;
                compare(x, n, d, o);
                fr_free(x);
            }
}

/* Far from the origin f32 scores are coarse: many ties, and many that only rounding decides. */
static void test_far_from_origin(void **state) {
    (void)state;
    int64_t n = 2000, d = 3;
    float *x = made_points(MADE_RANDOM, n, d, 5);
    for (int64_t i = 0; i < n * d; i++) x[i] = 1000 + x[i];
    fr_kmeans_opts o = fr_kmeans_defaults(20);
    o.start = FR_START_RANDOM;
    o.iterations = 15;
    o.tolerance = -1;
    compare(x, n, d, o);
    fr_free(x);
}

/* Points on the middle between two centroids, and one float beside it. */
static void test_near_ties(void **state) {
    (void)state;
    int64_t n = 3000, d = 2;
    float *x = made_points(MADE_RANDOM, n, d, 5), given[8] = {-1, 0, 1, 0, 3, 0, 5, 0};
    for (int64_t i = 0; i < n; i++) {
        float middle = (float)(i % 3 * 2);
        x[i * d] = i % 5 == 1   ? nextafterf(middle, 9)
                   : i % 5 == 2 ? nextafterf(middle, -9)
                   : i % 5 == 3 ? given[i % 4 * 2]
                                : middle;
        x[i * d + 1] = 0.001f * x[i * d + 1];
    }
    fr_kmeans_opts o = fr_kmeans_defaults(4);
    fr_tensor first = made_tensor(given, 4, d);
    o.start = FR_START_GIVEN;
    o.given = &first;
    o.tolerance = -1;
    o.iterations = 10;
    compare(x, n, d, o);
    fr_free(x);
}

/* f32 at its worst: every product falls just below the middle between two floats, and, when the second centroid has
 * moved a thousandth, just above it. So its score sinks by far more than it moved, and below that of the first, which
 * is nearer still: bounds of true distances are right about that, and only their slack says what f32 will. */
static void test_rounding_decides(void **state) {
    (void)state;
    enum { D = 65, LAST = D - 1 };
    static float first[2 * D],
        x[3 * D]; /* points: the first centroid, where the second goes, and one to judge */
    float weight[] = {1, 1, 0};
    for (int j = 0; j < 2; j++)
        first[j * D] = x[j * D] = 4096; /* squared 2^24: floats are 2 apart */
    x[2 * D] = 4096;
    for (int v = 1; v < LAST; v++) {
        first[D + v] = 0.9995f;
        x[D + v] = 1.0005f;
        x[2 * D + v] = 1;
    }
    first[D + LAST] = x[D + LAST] = 13;
    fr_kmeans_opts o = made_options(2, 1, -1);
    fr_tensor given = made_tensor(first, 2, D);
    fr_tensor weights = fr_tensor_make(FR_F32, 1, (int64_t[]){3}, weight);
    o.start = FR_START_GIVEN;
    o.given = &given;
    o.weights = &weights;
    compare(x, 3, D, o);
    made_result r = made_run(x, 3, D, &o);
    double gap;
    assert_int_equal(r.labels[2], 1);
    assert_int_equal(made_nearest(x + 2 * D, r.centroids, 2, D, &gap), 0);
    assert_true(gap > 100);
    made_free(&r);
}

/* Where clusters are clear most comparisons are saved; AUTO finds that out by itself. */
static void test_saves(void **state) {
    (void)state;
    int64_t n = 40000, d = 8;
    float *x = made_points(MADE_RANDOM, n, d, 3), center[64 * 8];
    fr_random_normal(5, 5, 0, center, FR_COUNT(center));
    for (int64_t i = 0; i < n * d; i++) x[i] += 6 * center[i / d % 64 * d + i % d];
    fr_kmeans_opts o = fr_kmeans_defaults(64);
    o.start = FR_START_RANDOM;
    o.iterations = 30;
    o.tolerance = -1;
    o.method = FR_KMEANS_LLOYD;
    made_result want = made_run(x, n, d, &o);
    assert_int_equal(want.stats.products, 31 * n * o.k);
    const double share[] = {0.4, 0.3, 0.7};
    for (size_t m = 0; m < FR_COUNT(methods); m++) {
        o.method = methods[m];
        made_result got = made_run(x, n, d, &o);
        made_same(&got, &want, n, o.k * d);
        print_message("method %d: %.3f of the products\n", (int)got.stats.method,
                      (double)got.stats.products / (double)want.stats.products);
        assert_true((double)got.stats.products < share[m] * (double)want.stats.products);
        made_free(&got);
    }
    made_free(&want);
    fr_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_lloyd), cmocka_unit_test(test_far_from_origin),
        cmocka_unit_test(test_near_ties),     cmocka_unit_test(test_rounding_decides),
        cmocka_unit_test(test_saves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
