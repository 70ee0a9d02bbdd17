/* test_kmeans.c: what k-means means, from outside: against plain loops in doubles and scikit-learn's results; the same
 * bits for any threads, types and batches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/made.h"
#include "tensor/tensor.h"

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
        fr_kmeans_opts o = made_options(k, size[i].iterations, -1);
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
        fr_kmeans_opts o = made_options(k, 7, -1);
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

/* Products in few bits change nothing, whether what they need of the points is kept from pass to pass or not, while the
 * centroids run away from where they began. */
static void test_few_bits(void **state) {
    (void)state;
    const int64_t n = 5200, k = 70, d = 120;
    float *x = made_points(MADE_CLUSTERED, n, d, 12);
    float *first = fr_alloc(FR_MEM_OTHER, (size_t)(k * d) * sizeof *first);
    assert_non_null(first);
    for (int64_t i = 0; i < k * d; i++) first[i] = x[i] + 50;
    fr_tensor given = made_tensor(first, k, d);
    fr_kmeans_opts o = made_options(k, 9, -1);
    o.start = FR_START_GIVEN, o.given = &given, o.products = FR_PRODUCTS_F32;
    o.method = FR_KMEANS_LLOYD;
    for (int metric = FR_EUCLID; metric <= FR_DOT; metric++) {
        o.metric = (fr_metric)metric, o.products = FR_PRODUCTS_F32, o.memory = 64 << 20;
        made_result want = made_run(x, n, d, &o);
        for (int products = FR_PRODUCTS_AUTO; products <= FR_PRODUCTS_INT8; products++)
            for (int kept = 0; kept < 2; kept++) {
                o.products = (fr_kmeans_products)products;
                o.memory = kept ? 64 << 20 : 1 << 20;
                made_result r = made_run(x, n, d, &o);
                made_same(&r, &want, n, k * d);
                made_free(&r);
            }
        made_free(&want);
    }
    fr_free(first);
    fr_free(x);
}

static void test_same_bits(void **state) {
    (void)state;
    const struct { int64_t n, k, d; } size[] = {{5000, 20, 7}, {9000, 8, 2}, {2000, 700, 96}};
    for (size_t i = 0; i < FR_COUNT(size); i++) {
        int64_t n = size[i].n, k = size[i].k, d = size[i].d;
        float *x = made_points(MADE_CLUSTERED, n, d, 2);
        fr_kmeans_opts o = made_options(k, 4, 0);
        o.threads = 1;
        made_result want = made_run(x, n, d, &o);
        for (int threads = 1; threads <= 3; threads++)
            for (int small = 0; small < 2; small++) {
                o.threads = threads;
                o.memory = small ? 1 << 20 : 64 << 20;
                made_result got = made_run(x, n, d, &o);
                made_same(&got, &want, n, k * d);
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
    fr_kmeans_opts o = made_options(k, 5, 0);
    made_result want = made_run(x, n, d, &o);
    made_result got = made_run(x, n, d, &o); /* for its memory */
    fr_tensor t = fr_tensor_make(FR_BF16, 2, (int64_t[]){n, d}, half);
    t.stride[0] = 1;
    t.stride[1] = n;
    fr_kmeans_out out = {got.centroids, got.labels, got.sizes, &got.stats};
    assert_int_equal(fr_kmeans(&t, &o, &out), FR_OK);
    made_same(&got, &want, n, k * d);
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
    fr_kmeans_opts o = made_options(k, 50, 0);
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
            made_same(&got, &want, n, k * d);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),    cmocka_unit_test(test_plain),
        cmocka_unit_test(test_products),  cmocka_unit_test(test_few_bits),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_types),
        cmocka_unit_test(test_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
