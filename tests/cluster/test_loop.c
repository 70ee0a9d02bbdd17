/* test_loop.c: points that weigh more or nothing, clusters that nobody chose, when iterations end, and attempts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/lloyd.h"
#include "cluster/made.h"

/* ---- weights, empties ---- */

static void test_weights(void **state) {
    (void)state;
    int64_t n = 400, k = 5, d = 3, m = 0;
    float *x = made_points(MADE_CLUSTERED, n, d, 2), weight[400];
    float *twice = fr_alloc(FR_MEM_OTHER, (size_t)(3 * n * d) * sizeof *twice);
    int64_t from[1200];
    for (int64_t i = 0; i < n; i++) {
        weight[i] = (float)(i % 3);
        for (int64_t w = 0; w < i % 3; w++) {
            memcpy(twice + m * d, x + i * d, (size_t)d * sizeof *x);
            from[m++] = i;
        }
    }
    fr_tensor given = made_tensor(x, k, d), w = fr_tensor_make(FR_F32, 1, &n, weight);
    fr_kmeans_opts o = made_options(k, 30, 0);
    o.start = FR_START_GIVEN;
    o.given = &given;
    o.empty = FR_EMPTY_KEEP; /* a farthest point that is there twice would leave its twin */
    made_result want = made_run(twice, m, d, &o);
    o.weights = &w;
    made_result got = made_run(x, n, d, &o);
    for (int64_t i = 0; i < m; i++) assert_int_equal(got.labels[from[i]], want.labels[i]);
    for (int64_t i = 0; i < k * d; i++)
        assert_true(fabsf(got.centroids[i] - want.centroids[i]) < 5e-7f * fabsf(want.centroids[i]));
    assert_true(fabs(got.stats.inertia - want.stats.inertia) < 1e-6 * want.stats.inertia);
    made_free(&want);
    made_free(&got);
    o.weights = NULL;
    want = made_run(x, n, d, &o);
    for (int64_t i = 0; i < n; i++) weight[i] = 1;
    o.weights = &w;
    got = made_run(x, n, d, &o);
    made_same(&got, &want, n, k * d);
    made_free(&want);
    made_free(&got);
    fr_free(twice);
    fr_free(x);
}

static made_result run_empty(const float *x, int64_t n, int64_t d, fr_kmeans_empty empty,
                             int64_t iterations) {
    float start[] = {0, 0, 1000, 0, 1000, 0, 0, -1000}; /* only the first has points */
    fr_tensor given = made_tensor(start, 4, d);
    fr_kmeans_opts o = made_options(4, iterations, 0);
    o.start = FR_START_GIVEN;
    o.given = &given;
    o.empty = empty;
    return made_run(x, n, d, &o);
}

static void test_empty(void **state) {
    (void)state;
    int64_t n = 300, d = 2;
    float *x = made_points(MADE_RANDOM, n, d, 2);
    x[77 * d] = 30;
    x[200 * d] = -20;
    x[5 * d] = 10;
    made_result r = run_empty(x, n, d, FR_EMPTY_KEEP, 3);
    assert_int_equal(r.sizes[0], n);
    assert_int_equal(r.stats.empty,
                     6); /* the labels of the second iteration are those of the first */
    assert_true(r.centroids[4] == 1000 && r.centroids[7] == -1000);
    made_free(&r);
    r = run_empty(x, n, d, FR_EMPTY_FARTHEST, 1);
    assert_int_equal(r.stats.empty, 3);
    assert_true(r.centroids[1 * d] == 30 && r.centroids[2 * d] == -20 && r.centroids[3 * d] == 10);
    double mean = 0;
    for (int64_t i = 0; i < n; i++)
        if (i != 77 && i != 200 && i != 5) mean += (double)x[i * d] / 297;
    assert_true(fabs((double)r.centroids[0] - mean) < 1e-6); /* they left their cluster */
    made_check(&r, x, n, d, 4);
    made_free(&r);
    r = run_empty(x, n, d, FR_EMPTY_SPLIT, 20);
    for (int j = 0; j < 4; j++) assert_true(r.sizes[j] > 0);
    made_check(&r, x, n, d, 4);
    made_free(&r);
    float start[] = {0, 0, 0, 0}, centroids[4];
    fr_tensor t = made_tensor(x, n, d), given = made_tensor(start, 2, d);
    fr_kmeans_opts o = made_options(2, 5, 0);
    o.start = FR_START_GIVEN;
    o.given = &given;
    o.empty = FR_EMPTY_REFUSE;
    assert_int_equal(fr_kmeans(&t, &o, &(fr_kmeans_out){.centroids = centroids}), FR_INVALID);
    assert_string_equal(fr_message(),
                        "after iteration 1 no point is nearest to centroid 1, and empty "
                        "clusters are refused");
    fr_free(x);
}

/* More clusters than different points: nothing to move, no end without an end. */
static void test_few_different(void **state) {
    (void)state;
    int64_t n = 100, d = 3, k = 10;
    float *x = made_points(MADE_RANDOM, n, d, 2);
    for (int64_t i = 0; i < n * d; i++) x[i] = x[i % (4 * d)];
    for (int empty = FR_EMPTY_FARTHEST; empty <= FR_EMPTY_SPLIT; empty++)
        for (int m = FR_KMEANS_AUTO; m <= FR_KMEANS_YINYANG; m++) {
            fr_kmeans_opts o = made_options(k, 40, 0);
            o.empty = (fr_kmeans_empty)empty;
            o.method = (fr_kmeans_method)m;
            made_result r = made_run(x, n, d, &o);
            made_check(&r, x, n, d, k);
            if (empty == FR_EMPTY_FARTHEST) assert_true(r.stats.inertia < 1e-9);
            made_free(&r);
        }
    fr_free(x);
}

/* A pass, and whether the sums behind it are those of the labels. */
static fr_adding check_pass(fr_lloyd *l, const float *x) {
    fr_pass pass;
    fr_centroids_set(l->c, l->centroid, l->pool);
    memcpy(l->before, l->centroid, (size_t)(l->k * l->width) * sizeof *l->before);
    fr_pass_run(l, FR_PASS_ADD, &pass);
    for (int64_t j = 0; j < l->k * l->width; j++) {
        double sum = 0, size = 0;
        for (int64_t i = 0; i < l->n; i++) {
            if (l->label[i] != j / l->width) continue;
            sum += (double)x[i * l->width + j % l->width];
            size += fabs((double)x[i * l->width + j % l->width]);
        }
        assert_true(fabs(l->sums.sum[j] - sum) <= 1e-6 * size);
    }
    return fr_adder_way(l->adder);
}

/* A centroid that loses all its points when hardly any other point moves: the one that fills it leaves its cluster once,
 * not once in the sums and once more as a point that moved. */
static void test_empty_late(void **state) {
    (void)state;
    int64_t n = 4000, d = 2, k = 20;
    float *x = made_points(MADE_RANDOM, n, d, 4), centroid[40];
    int32_t *label = fr_alloc(FR_MEM_OTHER, (size_t)n * sizeof *label);
    fr_tensor t = made_tensor(x, n, d);
    fr_points p;
    fr_pool *pool;
    assert_int_equal(fr_points_of(&t, 0, false, &p), FR_OK);
    assert_int_equal(fr_pool_new(2, &pool), FR_OK);
    for (int empty = FR_EMPTY_FARTHEST; empty <= FR_EMPTY_SPLIT; empty++) {
        fr_kmeans_opts o = made_options(k, 20, 0);
        fr_lloyd l;
        o.empty = (fr_kmeans_empty)empty;
        memcpy(centroid, x, sizeof centroid);
        assert_int_equal(fr_lloyd_init(&l, &p, &o, 1 << 20, NULL, pool, centroid, label), FR_OK);
        for (int64_t i = 0; i < n; i++) label[i] = -1;
        for (int i = 0; i < 3; i++) check_pass(&l, x);
        assert_int_equal(check_pass(&l, x), FR_ADD_MOVED);
        centroid[7 * 2] = 1e6f;
        assert_int_equal(check_pass(&l, x), FR_ADD_MOVED);
        assert_int_equal(l.sums.size[7], 0);
        assert_int_equal(fr_empty_fill(&l), FR_OK);
        check_pass(&l, x);
        assert_true((l.sums.size[7] > 0) == (empty != FR_EMPTY_KEEP));
        fr_lloyd_free(&l);
    }
    fr_pool_free(pool);
    fr_free(label);
    fr_free(x);
}

/* ---- when it stops ---- */

typedef struct seen {
    int64_t calls, stop_at;
    double inertia, first;
    bool rose;
} seen;

static bool on_iteration(void *arg, const fr_kmeans_progress *p) {
    seen *s = arg;
    assert_int_equal(p->iteration, ++s->calls);
    if (s->calls == 1) s->first = p->inertia;
    if (s->calls > 1 && p->inertia > s->inertia * (1 + 1e-7)) s->rose = true;
    s->inertia = p->inertia;
    return s->calls != s->stop_at;
}

static void test_stops(void **state) {
    (void)state;
    int64_t n = 3000, k = 25, d = 4;
    float *x = made_points(MADE_RANDOM, n, d, 2);
    for (int metric = FR_EUCLID; metric <= FR_COSINE; metric++) {
        seen s = {0};
        fr_kmeans_opts o = made_options(k, 1000, 0);
        o.metric = (fr_metric)metric;
        o.on_iteration = on_iteration;
        o.arg = &s;
        made_result all = made_run(x, n, d, &o);
        assert_true(all.stats.converged && all.stats.iterations < 1000);
        assert_int_equal(s.calls, all.stats.iterations);
        assert_false(s.rose);
        assert_true(s.first > s.inertia);
        /* What is told on the way comes from sums, and those from floats. */
        assert_true(fabs(s.inertia - all.stats.inertia) < 1e-7 * s.first);
        s = (seen){.stop_at = 3};
        made_result stopped = made_run(x, n, d, &o);
        assert_int_equal(s.calls, 3);
        assert_false(stopped.stats.converged);
        if (metric == FR_EUCLID) made_check(&stopped, x, n, d, k);
        made_free(&stopped);
        made_free(&all);
    }
    fr_kmeans_opts o = made_options(k, 1000, 1e-2);
    made_result soon = made_run(x, n, d, &o);
    assert_true(soon.stats.converged);
    made_check(&soon, x, n, d, k);
    int64_t iterations = soon.stats.iterations;
    made_free(&soon);
    o.tolerance = 0;
    made_result late = made_run(x, n, d, &o);
    assert_true(late.stats.iterations > iterations);
    o.tolerance = -1;
    o.iterations = late.stats.iterations + 5;
    made_result full = made_run(x, n, d, &o);
    assert_int_equal(full.stats.iterations, o.iterations);
    assert_false(full.stats.converged);
    assert_memory_equal(full.labels, late.labels, (size_t)n * sizeof *full.labels);
    made_free(&late);
    made_free(&full);
    o.iterations = 0;
    made_result none = made_run(x, n, d, &o);
    made_check(&none, x, n, d, k);
    made_free(&none);
    fr_free(x);
}

static void test_interrupt(void **state) {
    (void)state;
    float x[] = {0, 1, 5, 6}, centroids[2];
    fr_tensor t = made_tensor(x, 4, 1);
    fr_kmeans_opts o = made_options(2, 10, -1);
    fr_interrupt_raise();
    assert_int_equal(fr_kmeans(&t, &o, &(fr_kmeans_out){.centroids = centroids}), FR_INTERRUPTED);
    fr_interrupt_clear();
    assert_int_equal(fr_kmeans(&t, &o, &(fr_kmeans_out){.centroids = centroids}), FR_OK);
}

static void test_attempts(void **state) {
    (void)state;
    int64_t n = 500, k = 9, d = 2;
    float *x = made_points(MADE_CLUSTERED, n, d, 6);
    fr_kmeans_opts o = made_options(k, 100, 0);
    made_result one = made_run(x, n, d, &o);
    o.attempts = 6;
    made_result best = made_run(x, n, d, &o);
    assert_true(best.stats.inertia <= one.stats.inertia);
    made_check(&best, x, n, d, k);
    made_free(&one);
    made_free(&best);
    fr_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),       cmocka_unit_test(test_empty),
        cmocka_unit_test(test_few_different), cmocka_unit_test(test_empty_late),
        cmocka_unit_test(test_stops),         cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_attempts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
