/* test_kmeans.c: exact k-means from outside: against plain loops in doubles and scikit-learn's results, the same bits
 * for any threads, and what happens at every edge. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/made.h"
#include "tensor/tensor.h"

static fr_kmeans_opts options(int64_t k, int64_t iterations, double tolerance) {
    fr_kmeans_opts o = fr_kmeans_defaults(k);
    o.start = FR_START_RANDOM;
    o.iterations = iterations;
    o.tolerance = tolerance;
    return o;
}

static void same(const made_result *a, const made_result *b, int64_t n, int64_t values) {
    assert_memory_equal(a->labels, b->labels, (size_t)n * sizeof *a->labels);
    assert_memory_equal(a->centroids, b->centroids, (size_t)values * sizeof(float));
    assert_true(a->stats.inertia == b->stats.inertia);
    assert_int_equal(a->stats.iterations, b->stats.iterations);
}

/* ---- scikit-learn ---- */

static const fr_tensor *find(const fr_store *s, const char *name, int i, const char *what) {
    char text[64];
    if (i < 0)
        snprintf(text, sizeof text, "%s.%s", name, what);
    else
        snprintf(text, sizeof text, "%s.%d.%s", name, i, what);
    return fr_store_find(s, text);
}

static void golden_case(const fr_store *s, const char *name, int iterations,
                        fr_kmeans_method method) {
    const fr_tensor *x = find(s, name, -1, "points"), *start = find(s, name, -1, "start");
    const fr_tensor *labels = find(s, name, iterations, "labels");
    const fr_tensor *centroids = find(s, name, iterations, "centroids");
    const fr_tensor *inertia = find(s, name, iterations, "inertia");
    const fr_tensor *done = find(s, name, iterations, "iterations");
    assert_true(x && start && labels && centroids && inertia && done);
    fr_kmeans_opts o = fr_kmeans_defaults(start->dim[0]);
    o.start = FR_START_GIVEN;
    o.given = start;
    o.weights = find(s, name, -1, "weights");
    o.iterations = iterations ? iterations : 500;
    o.tolerance = 0;
    o.method = method;
    made_result r = made_run(x->data, x->dim[0], x->dim[1], &o);
    for (int64_t i = 0; i < x->dim[0]; i++)
        if (r.labels[i] != ((int32_t *)labels->data)[i])
            fail_msg("%s, %d iterations: point %d", name, iterations, (int)i);
    for (int64_t i = 0; i < start->dim[0] * x->dim[1]; i++)
        assert_true(fabsf(r.centroids[i] - ((float *)centroids->data)[i]) < 1e-5f);
    double want = (double)((float *)inertia->data)[0];
    assert_true(fabs(r.stats.inertia - want) < 1e-6 * want);
    assert_int_equal(r.stats.iterations, ((int32_t *)done->data)[0]);
    made_free(&r);
}

static void test_golden(void **state) {
    (void)state;
    const char *name[] = {"random", "clustered", "weighted", "empty", "wide", "line"};
    const int iterations[] = {1, 2, 5, 0};
    fr_store *s;
    assert_int_equal(fr_store_open(FR_TESTS_DIR "/golden/cluster/kmeans.safetensors", &s), FR_OK);
    for (size_t c = 0; c < FR_COUNT(name); c++)
        for (size_t i = 0; i < FR_COUNT(iterations); i++)
            for (int m = FR_KMEANS_AUTO; m <= FR_KMEANS_YINYANG; m++)
                golden_case(s, name[c], iterations[i], (fr_kmeans_method)m);
    fr_store_close(s);
}

/* ---- plain loops ---- */

/* Lloyd in doubles, from c, in place; empty clusters stay. */
static void plain_lloyd(const float *x, int64_t n, int64_t d, double *c, int64_t k,
                        int iterations) {
    double *sum = fr_alloc(FR_MEM_OTHER, (size_t)(k * (d + 1)) * sizeof *sum);
    for (int t = 0; t < iterations; t++) {
        memset(sum, 0, (size_t)(k * (d + 1)) * sizeof *sum);
        for (int64_t i = 0; i < n; i++) {
            double best = INFINITY;
            int64_t label = 0;
            for (int64_t j = 0; j < k; j++) {
                double s = 0;
                for (int64_t v = 0; v < d; v++)
                    s += ((double)x[i * d + v] - c[j * d + v]) *
                         ((double)x[i * d + v] - c[j * d + v]);
                if (s < best) best = s, label = j;
            }
            for (int64_t v = 0; v < d; v++) sum[label * (d + 1) + v] += (double)x[i * d + v];
            sum[label * (d + 1) + d]++;
        }
        for (int64_t j = 0; j < k; j++)
            for (int64_t v = 0; v < d && sum[j * (d + 1) + d] > 0; v++)
                c[j * d + v] = sum[j * (d + 1) + v] / sum[j * (d + 1) + d];
    }
    fr_free(sum);
}

static void test_plain(void **state) {
    (void)state;
    const struct {
        int64_t n, k, d;
        int iterations;
    } size[] = {{1, 1, 1, 3},     {17, 17, 2, 2},   {500, 7, 1, 9},    {700, 12, 3, 9},
                {600, 20, 31, 5}, {300, 9, 513, 3}, {600, 500, 140, 1}};
    for (size_t i = 0; i < FR_COUNT(size); i++) {
        int64_t n = size[i].n, k = size[i].k, d = size[i].d;
        float *x = made_points(i % 2 ? MADE_RANDOM : MADE_CLUSTERED, n, d, 4);
        double *c = fr_alloc(FR_MEM_OTHER, (size_t)(k * d) * sizeof *c);
        for (int64_t v = 0; v < k * d; v++) c[v] = (double)x[v];
        plain_lloyd(x, n, d, c, k, size[i].iterations);
        fr_kmeans_opts o = options(k, size[i].iterations, -1);
        fr_tensor given = made_tensor(x, k, d);
        o.start = FR_START_GIVEN;
        o.given = &given;
        o.empty = FR_EMPTY_KEEP;
        made_result r = made_run(x, n, d, &o);
        made_check(&r, x, n, d, k);
        for (int64_t v = 0; v < k * d; v++) assert_true(fabs((double)r.centroids[v] - c[v]) < 1e-5);
        assert_int_equal(r.stats.iterations, size[i].iterations);
        made_free(&r);
        fr_free(c);
        fr_free(x);
    }
}

/* Cosine: centroids have length 1 and win by the product; dot: by the product. */
static void test_products(void **state) {
    (void)state;
    int64_t n = 900, k = 11, d = 12;
    float *x = made_points(MADE_CLUSTERED, n, d, 8);
    for (int metric = FR_COSINE; metric <= FR_DOT; metric++) {
        fr_kmeans_opts o = options(k, 7, -1);
        o.metric = (fr_metric)metric;
        made_result r = made_run(x, n, d, &o);
        double inertia = 0;
        for (int64_t i = 0; i < n; i++) {
            double best = -INFINITY, own = 0, length = 0;
            for (int64_t v = 0; v < d; v++) length += (double)x[i * d + v] * (double)x[i * d + v];
            for (int64_t j = 0; j < k; j++) {
                double s = 0;
                for (int64_t v = 0; v < d; v++)
                    s += (double)x[i * d + v] * (double)r.centroids[j * d + v];
                if (metric == FR_COSINE) s /= sqrt(length);
                if (s > best) best = s;
                if (j == r.labels[i]) own = s;
            }
            assert_true(own >= best - 1e-6 * sqrt(length));
            inertia += metric == FR_COSINE ? 1 - own : -own;
        }
        assert_true(fabs(r.stats.inertia - inertia) < 1e-5 * fabs(inertia));
        for (int64_t j = 0; j < k && metric == FR_COSINE; j++) {
            double length = 0;
            for (int64_t v = 0; v < d; v++)
                length += (double)r.centroids[j * d + v] * (double)r.centroids[j * d + v];
            assert_true(fabs(length - 1) < 1e-6);
        }
        made_free(&r);
    }
    fr_free(x);
}

/* ---- the same bits ---- */

static void test_same_bits(void **state) {
    (void)state;
    const struct { int64_t n, k, d; } size[] = {{5000, 20, 7}, {9000, 8, 2}, {2000, 700, 96}};
    for (size_t i = 0; i < FR_COUNT(size); i++) {
        int64_t n = size[i].n, k = size[i].k, d = size[i].d;
        float *x = made_points(MADE_CLUSTERED, n, d, 2);
        fr_kmeans_opts o = options(k, 4, 0);
        o.threads = 1;
        made_result want = made_run(x, n, d, &o);
        for (int threads = 1; threads <= 3; threads++)
            for (int small = 0; small < 2; small++) {
                o.threads = threads;
                o.memory = small ? 1 << 20 : 64 << 20;
                made_result got = made_run(x, n, d, &o);
                same(&got, &want, n, k * d);
                made_free(&got);
            }
        made_free(&want);
        fr_free(x);
    }
}

/* f16 and bf16, and any strides, are the floats that they stand for. */
static void test_types(void **state) {
    (void)state;
    int64_t n = 800, k = 9, d = 10;
    float *x = made_points(MADE_RANDOM, n, d, 2);
    uint16_t *half = fr_alloc(FR_MEM_OTHER, (size_t)(n * d) * 2);
    for (int64_t i = 0; i < n * d; i++) { /* bf16: the upper half of a float */
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        bits &= 0xffff0000u;
        memcpy(&x[i], &bits, 4);
        half[(i % d) * n + i / d] = (uint16_t)(bits >> 16);
    }
    fr_kmeans_opts o = options(k, 5, 0);
    made_result want = made_run(x, n, d, &o);
    made_result got = made_run(x, n, d, &o); /* for its memory */
    fr_tensor t = fr_tensor_make(FR_BF16, 2, (int64_t[]){n, d}, half);
    t.stride[0] = 1;
    t.stride[1] = n;
    fr_kmeans_out out = {got.centroids, got.labels, got.sizes, &got.stats};
    assert_int_equal(fr_kmeans(&t, &o, &out), FR_OK);
    same(&got, &want, n, k * d);
    made_free(&got);
    made_free(&want);
    fr_free(half);
    fr_free(x);
}

/* Problems of a batch are what each would be alone, whether side by side or one after another. */
static void test_batch(void **state) {
    (void)state;
    int64_t b = 7, n = 300, k = 6, d = 5;
    float *x = made_points(MADE_CLUSTERED, b * n, d, 12), start[7 * 6 * 5];
    for (int64_t i = 0; i < b; i++) memcpy(start + i * k * d, x + i * n * d, sizeof(float) * 30);
    fr_tensor given = fr_tensor_make(FR_F32, 3, (int64_t[]){b, k, d}, start);
    fr_tensor t = fr_tensor_make(FR_F32, 3, (int64_t[]){b, n, d}, x);
    fr_kmeans_opts o = options(k, 50, 0);
    o.start = FR_START_GIVEN;
    for (int threads = 1; threads <= 3; threads++) {
        float centroids[7 * 6 * 5];
        int32_t labels[7 * 300];
        int64_t sizes[7 * 6];
        fr_kmeans_stats stats[7];
        o.threads = threads;
        o.given = &given;
        fr_kmeans_out out = {centroids, labels, sizes, stats};
        assert_int_equal(fr_kmeans(&t, &o, &out), FR_OK);
        for (int64_t i = 0; i < b; i++) {
            fr_tensor one = made_tensor(start + i * k * d, k, d);
            o.given = &one;
            made_result want = made_run(x + i * n * d, n, d, &o);
            made_result got = {centroids + i * k * d, labels + i * n, sizes + i * k, stats[i]};
            same(&got, &want, n, k * d);
            made_free(&want);
        }
    }
    x[4 * n * d + 10 * d + 1] = NAN;
    o.given = &given;
    float centroids[7 * 6 * 5];
    assert_int_equal(fr_kmeans(&t, &o, &(fr_kmeans_out){.centroids = centroids}), FR_INVALID);
    assert_non_null(strstr(fr_message(), "10"));
    t.dim[0] = 0;
    assert_int_equal(fr_kmeans(&t, &o, &(fr_kmeans_out){.centroids = centroids}), FR_OK);
    fr_free(x);
}

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
    fr_kmeans_opts o = options(k, 30, 0);
    o.start = FR_START_GIVEN;
    o.given = &given;
    o.empty = FR_EMPTY_KEEP; /* a farthest point that is there twice would leave its twin */
    made_result want = made_run(twice, m, d, &o);
    o.weights = &w;
    made_result got = made_run(x, n, d, &o);
    for (int64_t i = 0; i < m; i++) assert_int_equal(got.labels[from[i]], want.labels[i]);
    for (int64_t i = 0; i < k * d; i++)
        assert_true(fabsf(got.centroids[i] - want.centroids[i]) < 1e-6f);
    assert_true(fabs(got.stats.inertia - want.stats.inertia) < 1e-6 * want.stats.inertia);
    made_free(&want);
    made_free(&got);
    o.weights = NULL;
    want = made_run(x, n, d, &o);
    for (int64_t i = 0; i < n; i++) weight[i] = 1;
    o.weights = &w;
    got = made_run(x, n, d, &o);
    same(&got, &want, n, k * d);
    made_free(&want);
    made_free(&got);
    fr_free(twice);
    fr_free(x);
}

static made_result run_empty(const float *x, int64_t n, int64_t d, fr_kmeans_empty empty,
                             int64_t iterations) {
    float start[] = {0, 0, 1000, 0, 1000, 0, 0, -1000}; /* only the first has points */
    fr_tensor given = made_tensor(start, 4, d);
    fr_kmeans_opts o = options(4, iterations, 0);
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
    fr_kmeans_opts o = options(2, 5, 0);
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
            fr_kmeans_opts o = options(k, 40, 0);
            o.empty = (fr_kmeans_empty)empty;
            o.method = (fr_kmeans_method)m;
            made_result r = made_run(x, n, d, &o);
            made_check(&r, x, n, d, k);
            if (empty == FR_EMPTY_FARTHEST) assert_true(r.stats.inertia < 1e-9);
            made_free(&r);
        }
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
        fr_kmeans_opts o = options(k, 1000, 0);
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
    fr_kmeans_opts o = options(k, 1000, 1e-2);
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
    fr_kmeans_opts o = options(2, 10, -1);
    fr_interrupt_raise();
    assert_int_equal(fr_kmeans(&t, &o, &(fr_kmeans_out){.centroids = centroids}), FR_INTERRUPTED);
    fr_interrupt_clear();
    assert_int_equal(fr_kmeans(&t, &o, &(fr_kmeans_out){.centroids = centroids}), FR_OK);
}

static void test_attempts(void **state) {
    (void)state;
    int64_t n = 500, k = 9, d = 2;
    float *x = made_points(MADE_CLUSTERED, n, d, 6);
    fr_kmeans_opts o = options(k, 100, 0);
    made_result one = made_run(x, n, d, &o);
    o.attempts = 6;
    made_result best = made_run(x, n, d, &o);
    assert_true(best.stats.inertia <= one.stats.inertia);
    made_check(&best, x, n, d, k);
    made_free(&one);
    made_free(&best);
    fr_free(x);
}

/* ---- predict ---- */

static void test_predict(void **state) {
    (void)state;
    int64_t n = 1500, k = 14, d = 6;
    float *x = made_points(MADE_CLUSTERED, n, d, 6), distance[1500];
    int32_t labels[1500];
    for (int metric = FR_EUCLID; metric <= FR_DOT; metric++) {
        fr_kmeans_opts o = options(k, 5, -1);
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
    fr_kmeans_opts o = options(3, 5, 0);
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
        fr_kmeans_opts o = options(20, 3, 0);
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
        cmocka_unit_test(test_golden),        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_products),      cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_types),         cmocka_unit_test(test_batch),
        cmocka_unit_test(test_weights),       cmocka_unit_test(test_empty),
        cmocka_unit_test(test_few_different), cmocka_unit_test(test_stops),
        cmocka_unit_test(test_interrupt),     cmocka_unit_test(test_attempts),
        cmocka_unit_test(test_predict),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
