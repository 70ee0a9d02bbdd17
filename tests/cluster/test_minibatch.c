/* test_minibatch.c: mini-batches find what exact k-means finds where it is easy, come near where it is not, and are the
 * same for any threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/made.h"

static fr_kmeans_opts options(int64_t k) {
    fr_kmeans_opts o = fr_kmeans_defaults(k);
    o.method = FR_KMEANS_MINIBATCH;
    o.batch = 500;
    o.iterations = 20;
    return o;
}

static void test_near_the_exact(void **state) {
    (void)state;
    enum { N = 20000, D = 8, K = 25 };
    for (int kind = 0; kind < 2; kind++) {
        float *x = made_points(kind ? MADE_CLUSTERED : MADE_RANDOM, N, D, 3);
        fr_kmeans_opts o = options(K), exact = fr_kmeans_defaults(K);
        exact.start = FR_START_PARALLEL;
        made_result some = made_run(x, N, D, &o), all = made_run(x, N, D, &exact);
        made_check(&some, x, N, D, K);
        assert_int_equal(some.stats.method, FR_KMEANS_MINIBATCH);
        assert_true(some.stats.iterations <= 20);
        if (!(some.stats.inertia < all.stats.inertia * 1.1))
            fail_msg("%g, exact %g", some.stats.inertia, all.stats.inertia);
        made_free(&some);
        made_free(&all);
        fr_free(x);
    }
}

static void test_same_for_any_threads(void **state) {
    (void)state;
    enum { N = 5000, D = 6, K = 40 };
    float *x = made_points(MADE_CLUSTERED, N, D, 8), *weight = made_points(MADE_RANDOM, N, 1, 9);
    for (int i = 0; i < N; i++) weight[i] = i % 3 ? fabsf(weight[i]) : 0;
    for (int metric = FR_EUCLID; metric <= FR_DOT; metric++) {
        fr_tensor w = fr_tensor_make(FR_F32, 1, (int64_t[]){N}, weight);
        fr_kmeans_opts o = options(K);
        o.metric = (fr_metric)metric;
        o.weights = &w;
        o.iterations = 5;
        o.threads = 1;
        made_result one = made_run(x, N, D, &o);
        o.threads = 3;
        made_result three = made_run(x, N, D, &o);
        assert_memory_equal(one.centroids, three.centroids, K * D * sizeof(float));
        assert_memory_equal(one.labels, three.labels, N * sizeof(int32_t));
        assert_true(one.stats.inertia == three.stats.inertia);
        made_free(&one);
        made_free(&three);
    }
    fr_free(x);
    fr_free(weight);
}

/* All but one of the first centroids are far from every point: they are starved, and put onto points. */
static void test_starved_are_fed(void **state) {
    (void)state;
    enum { N = 4000, D = 2, K = 16 };
    float *x = made_points(MADE_RANDOM, N, D, 5), far[K * D] = {0};
    for (int i = 0; i < N; i++) x[i * D] += 20 * (float)(i % K);
    for (int j = 1; j < K; j++) far[j * D] = 1e5f * (float)j;
    fr_tensor given = made_tensor(far, K, D);
    fr_kmeans_opts o = options(K);
    o.start = FR_START_GIVEN;
    o.given = &given;
    o.iterations = 50;
    for (int empty = 0; empty < 2; empty++) {
        o.empty = empty ? FR_EMPTY_KEEP : FR_EMPTY_FARTHEST;
        made_result r = made_run(x, N, D, &o);
        int64_t used = 0;
        for (int j = 0; j < K; j++) used += r.sizes[j] > 0;
        assert_true(empty ? used == 1 : used == K);
        assert_true((r.stats.empty > 0) == !empty);
        made_free(&r);
    }
    fr_free(x);
}

static bool stop_at_two(void *arg, const fr_kmeans_progress *p) {
    *(int64_t *)arg = p->iteration;
    return p->iteration < 2 && p->inertia > 0;
}

static void test_ends(void **state) {
    (void)state;
    enum { N = 3000, D = 3, K = 5 };
    float *x = made_points(MADE_RANDOM, N, D, 5);
    fr_kmeans_opts o = options(K);
    int64_t last = 0;
    o.tolerance = -1; /* no early end */
    o.iterations = 7;
    made_result r = made_run(x, N, D, &o);
    assert_true(r.stats.iterations == 7 && !r.stats.converged);
    made_free(&r);
    o.on_iteration = stop_at_two;
    o.arg = &last;
    r = made_run(x, N, D, &o);
    assert_true(r.stats.iterations == 2 && last == 2);
    made_free(&r);
    o = options(K);
    o.iterations = 10000;
    r = made_run(x, N, D, &o);
    assert_true(r.stats.converged && r.stats.iterations < 1000);
    made_free(&r);
    o.batch = 10 * N; /* more than there are */
    r = made_run(x, N, D, &o);
    made_check(&r, x, N, D, K);
    made_free(&r);
    fr_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near_the_exact),
        cmocka_unit_test(test_same_for_any_threads),
        cmocka_unit_test(test_starved_are_fed),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
