/* test_faces.c: labels by known centroids, options and points that make no sense, and no memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/made.h"

/* ---- predict ---- */

static void test_predict(void **state) {
    (void)state;
    int64_t n = 1500, k = 14, d = 6;
    float *x = made_points(MADE_CLUSTERED, n, d, 6), distance[1500];
    int32_t labels[1500];
    for (int metric = FR_EUCLID; metric <= FR_DOT; metric++) {
        fr_kmeans_opts o = made_options(k, 5, -1);
        o.metric = (fr_metric)metric;
        made_result r = made_run(x, n, d, &o);
        fr_tensor t = made_tensor(x, n, d), c = made_tensor(r.centroids, k, d);
        double sum = 0;
        o.threads = 2;
        assert_int_equal(fr_kmeans_predict(&t, &c, &o, labels, distance), FR_OK);
        assert_memory_equal(labels, r.labels, sizeof labels);
        for (int64_t i = 0; i < n; i++) sum += (double)distance[i];
        assert_true(fabs(sum - r.stats.inertia) < 1e-6 * fabs(sum));
        assert_int_equal(fr_kmeans_predict(&t, &c, &o, labels, NULL), FR_OK);
        c.dim[1] = d - 1;
        assert_int_equal(fr_kmeans_predict(&t, &c, &o, labels, NULL), FR_INVALID);
        made_free(&r);
    }
    fr_free(x);
}

/* ---- what makes no sense ---- */

static fr_kmeans_opts wrong(int which) {
    fr_kmeans_opts o = made_options(3, 5, 0);
    static float w[4] = {1, 1, 1, 1};
    static fr_tensor weights;
    int64_t three = 3;
    weights = fr_tensor_make(FR_F32, 1, &three, w);
    switch (which) {
    case 0: o.k = 0; break;
    case 1: o.k = 5; break;
    case 2: o.iterations = -1; break;
    case 3: o.attempts = 0; break;
    case 4: o.tolerance = (double)NAN; break;
    case 5: o.memory = 10; break;
    case 6: o.metric = (fr_metric)9; break;
    case 7: o.empty = (fr_kmeans_empty)9; break;
    case 8: o.weights = &weights; break;
    case 9: o.metric = FR_DOT, o.method = FR_KMEANS_HAMERLY; break;
    case 10: o.threads = -1; break;
    case 11: o.start = FR_START_GIVEN; break;
    default: o.k = 3; break;
    }
    return o;
}

static void test_refused(void **state) {
    (void)state;
    float x[] = {1, 2, 3, 4, 5, 6, 7, 8}, centroids[16];
    fr_kmeans_out out = {.centroids = centroids};
    fr_tensor t = made_tensor(x, 4, 2);
    for (int i = 0; i < 12; i++) {
        fr_kmeans_opts o = wrong(i);
        fr_message_clear();
        if (fr_kmeans(&t, &o, &out) != FR_INVALID) fail_msg("wrong option %d is taken", i);
        assert_true(strlen(fr_message()) > 20);
    }
    fr_kmeans_opts o = wrong(99);
    assert_int_equal(fr_kmeans(&t, &o, &out), FR_OK);
    x[5] = INFINITY;
    assert_int_equal(fr_kmeans(&t, &o, &out), FR_INVALID);
    assert_non_null(strstr(fr_message(), "2"));
    t.rank = 1;
    assert_int_equal(fr_kmeans(&t, &o, &out), FR_INVALID);
    t = made_tensor(x, 0, 2);
    assert_int_equal(fr_kmeans(&t, &o, &out), FR_INVALID);
    t = fr_tensor_make(FR_I32, 2, (int64_t[]){4, 2}, x);
    assert_int_equal(fr_kmeans(&t, &o, &out), FR_INVALID);
    assert_int_equal(fr_kmeans(NULL, &o, &out), FR_INVALID);
}

static void test_no_memory(void **state) {
    (void)state;
    float *x = made_points(MADE_CLUSTERED, 600, 3, 6), centroids[60];
    fr_tensor t = made_tensor(x, 600, 3);
    const fr_kmeans_method method[] = {FR_KMEANS_LLOYD, FR_KMEANS_HAMERLY, FR_KMEANS_YINYANG};
    for (size_t m = 0; m < FR_COUNT(method); m++) {
        int failed = 0;
        fr_kmeans_opts o = made_options(20, 3, 0);
        o.method = method[m];
        o.attempts = 2;
        for (long after = 1; after < 80; after++) {
            fr_memory_fail_after(after);
            fr_status st = fr_kmeans(&t, &o, &(fr_kmeans_out){.centroids = centroids});
            fr_memory_fail_after(0);
            assert_true(st == FR_OK || st == FR_NOMEM);
            failed += st == FR_NOMEM;
        }
        assert_true(failed > 10);
    }
    fr_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_predict),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
