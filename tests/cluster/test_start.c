/* test_start.c: first centroids: they are points, drawn by weight and distance, the same for any threads; what
 * k-means++ is worth, and points that coincide. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/made.h"
#include "cluster/start.h"
#include "cluster/start_parts.h"

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static const fr_kmeans_start drawn[] = {FR_START_RANDOM, FR_START_PLUSPLUS, FR_START_PARALLEL};

static fr_points points_of(float *x, int64_t n, int64_t d, bool unit, const float *weights) {
    fr_points p;
    fr_tensor t = made_tensor(x, n, d);
    assert_int_equal(fr_points_of(&t, 0, unit, &p), FR_OK);
    p.weights = weights;
    assert_int_equal(fr_points_check(&p, NULL, NULL), FR_OK);
    return p;
}

static float *start(const fr_points *p, fr_kmeans_opts *o, int threads) {
    fr_pool *pool;
    float *c = fr_alloc_array(FR_MEM_OTHER, (size_t)(o->k * p->width), sizeof *c);
    assert_int_equal(fr_pool_new(threads, &pool), FR_OK);
    if (fr_start(p, o, 0, 0, NULL, pool, c) != FR_OK) fail_msg("%s", fr_message());
    fr_pool_free(pool);
    return c;
}

static double left_over(const fr_points *p, const float *c, int64_t k) {
    double sum = 0;
    float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)p->width, sizeof *x);
    for (int64_t i = 0; i < p->rows; i++) {
        double least = INFINITY;
        fr_points_row(p, i, x);
        for (int64_t j = 0; j < k; j++) {
            double square = 0;
            for (int64_t l = 0; l < p->width; l++) {
                double e = (double)x[l] - (double)c[j * p->width + l];
                square += e * e;
            }
            least = FR_MIN(least, square);
        }
        sum += least;
    }
    fr_free(x);
    return sum;
}

static bool is_row(const fr_points *p, const float *c) {
    float x[64];
    for (int64_t i = 0; i < p->rows; i++) {
        fr_points_row(p, i, x);
        if (memcmp(x, c, (size_t)p->width * sizeof *x) == 0) return true;
    }
    return false;
}

/* Seeds, problems and attempts give other centroids, threads the same. */
static void test_same_for_any_threads(void **state) {
    (void)state;
    enum { N = 3000, D = 7, K = 20 };
    float *x = made_points(MADE_CLUSTERED, N, D, 5), *w = made_points(MADE_RANDOM, N, 1, 6);
    for (int i = 0; i < N; i++) w[i] = i % 5 ? fabsf(w[i]) : 0;
    for (size_t s = 0; s < FR_COUNT(drawn); s++)
        for (int how = 0; how < 4; how++) {
            fr_points p = points_of(x, N, D, how & 1, how & 2 ? w : NULL);
            fr_kmeans_opts o = fr_kmeans_defaults(K);
            o.start = drawn[s];
            o.metric = how & 1 ? FR_COSINE : FR_EUCLID;
            size_t bytes = K * D * sizeof(float);
            float *one = start(&p, &o, 1), *three = start(&p, &o, 3);
            assert_memory_equal(one, three, bytes);
            o.seed = 8;
            float *other = start(&p, &o, 2);
            assert_memory_not_equal(one, other, bytes);
            if (drawn[s] != FR_START_PARALLEL)
                for (int j = 0; j < K; j++) assert_true(is_row(&p, one + j * D));
            fr_free(one);
            fr_free(three);
            fr_free(other);
        }
    fr_free(x);
    fr_free(w);
}

/* Thirty tight clusters far apart: k-means++ and k-means|| find all of them; drawing evenly does not. */
static void test_finds_all_clusters(void **state) {
    (void)state;
    enum { N = 6000, D = 4, K = 30 };
    float *x = made_points(MADE_RANDOM, N, D, 2);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++) x[i * D + j] += 1000 * (float)((i % K * (j + 3)) % 31);
    fr_points p = points_of(x, N, D, false, NULL);
    for (int seed = 0; seed < 5; seed++)
        for (size_t s = 0; s < FR_COUNT(drawn); s++) {
            fr_kmeans_opts o = fr_kmeans_defaults(K);
            o.start = drawn[s];
            o.seed = (uint64_t)seed;
            float *c = start(&p, &o, 2);
            double left = left_over(&p, c, K) / N;
            assert_true((left < 100) == (drawn[s] != FR_START_RANDOM));
            fr_free(c);
        }
    fr_free(x);
}

/* The second of two: with a chance in proportion to weight times squared distance (with one candidate it is exactly
 * that; of three candidates the best is taken, so here only what must never be drawn). */
static void test_weight_zero_is_never_drawn(void **state) {
    (void)state;
    enum { N = 40 };
    float x[N], w[N];
    for (int i = 0; i < N; i++) {
        x[i] = (float)i * (i % 2 ? 100 : 1);
        w[i] = i % 2 ? 0 : (float)(1 + i % 3);
    }
    fr_points p = points_of(x, N, 1, false, w);
    for (int seed = 0; seed < 60; seed++)
        for (size_t s = 0; s < FR_COUNT(drawn); s++) {
            fr_kmeans_opts o = fr_kmeans_defaults(seed % 20 + 1);
            o.start = drawn[s];
            o.seed = (uint64_t)seed;
            float *c = start(&p, &o, 1);
            for (int64_t j = 0; j < o.k; j++) {
                /* What k-means|| gives are means; of points that count, here all below N. */
                assert_true(c[j] >= 0 && c[j] < N);
                assert_true(drawn[s] == FR_START_PARALLEL || (int)c[j] % 2 == 0);
                for (int64_t i = 0; i < j; i++) assert_true(c[i] != c[j]);
            }
            fr_free(c);
        }
    fr_kmeans_opts o = fr_kmeans_defaults(21);
    float c[21];
    for (size_t s = 0; s < FR_COUNT(drawn); s++) {
        o.start = drawn[s];
        assert_int_equal(fr_start(&p, &o, 0, 0, NULL, NULL, c), FR_INVALID);
        assert_non_null(strstr(fr_message(), "21 clusters are more than the 20 points"));
    }
}

static void distances_of(void *arg, size_t thread, int64_t first, int64_t count, float *out) {
    (void)thread;
    for (int64_t i = 0; i < count; i++) out[i] = ((float *)arg)[first + i];
}

/* Every number of 0 .. 1 falls into the row where the running sum passes it, and none into a row of nothing. */
static void test_draws_by_distance(void **state) {
    (void)state;
    enum { N = 1000, DRAWS = 100000 };
    static float d[N], w[N];
    static double at[DRAWS], upto[N], want[N];
    static int64_t row[DRAWS], count[N];
    double sum = 0, all = 0;
    for (int i = 0; i < N; i++) {
        d[i] = i % 7 ? (float)(i % 13) : 0;
        w[i] = i > 300 && i < 600 ? 0 : (float)(i % 3);
        sum += (double)(w[i] * d[i]);
        want[i] = sum;
        if (i % FR_GRAIN == FR_GRAIN - 1 || i == N - 1) upto[i / FR_GRAIN] = sum;
    }
    fr_points p = {.rows = N, .width = 1, .weights = w};
    fr_far far = {.p = &p, .upto = upto, .distances = distances_of, .arg = d};
    for (int i = 0; i < DRAWS; i++) at[i] = (double)i / (DRAWS - 1); /* 1 itself too */
    fr_far_find(&far, DRAWS, at, row);
    for (int i = 0; i < DRAWS; i++) count[row[i]]++;
    for (int i = 0; i < N; i++) {
        double share = (double)(w[i] * d[i]) / sum * DRAWS;
        assert_true(fabs((double)count[i] - share) <= 2);
        assert_true(count[i] == 0 || share > 0);
        all += (double)count[i];
    }
    assert_true(all == DRAWS && want[N - 1] == sum);
}

/* Fewer different points than clusters: it ends, and takes different rows. All the same, K = N, K = 1. */
static void test_duplicates(void **state) {
    (void)state;
    enum { N = 700, D = 3 };
    static float x[N * D];
    for (int distinct = 1; distinct < 6; distinct += 2)
        for (size_t s = 0; s < FR_COUNT(drawn); s++) {
            for (int i = 0; i < N * D; i++) x[i] = (float)(i / D % distinct);
            fr_points p = points_of(x, N, D, false, NULL);
            static const int64_t many[] = {1, 8, 40, N};
            for (int m = 0; m < 4; m++) {
                fr_kmeans_opts o = fr_kmeans_defaults(many[m]);
                o.start = drawn[s];
                float *c = start(&p, &o, 2);
                if (o.k >= 8 && s) assert_true(left_over(&p, c, o.k) == 0);
                fr_free(c);
            }
        }
    for (int i = 0; i < N * D; i++) x[i] = (float)(i / D);
    fr_points p = points_of(x, N, D, false, NULL);
    for (size_t s = 0; s < FR_COUNT(drawn); s++) { /* each once */
        fr_kmeans_opts o = fr_kmeans_defaults(N);
        o.start = drawn[s];
        float *c = start(&p, &o, 2);
        assert_true(left_over(&p, c, N) == 0);
        fr_free(c);
    }
}

static void test_given(void **state) {
    (void)state;
    float x[] = {0, 1, 2, 3, 4, 5, 6, 7}, g[] = {9, 8, 7, 6, 5, 4, 3, 2}, c[4];
    fr_points p = points_of(x, 4, 2, false, NULL);
    fr_kmeans_opts o = fr_kmeans_defaults(2);
    o.start = FR_START_GIVEN;
    assert_int_equal(fr_start(&p, &o, 0, 0, NULL, NULL, c), FR_INVALID);
    fr_tensor t = fr_tensor_make(FR_F32, 3, DIMS(2, 2, 2), g);
    o.given = &t;
    assert_int_equal(fr_start(&p, &o, 1, 0, NULL, NULL, c), FR_OK);
    assert_memory_equal(c, g + 4, sizeof c);
    assert_int_equal(fr_start(&p, &o, 2, 0, NULL, NULL, c), FR_INVALID);
    t = fr_tensor_make(FR_F32, 2, DIMS(4, 2), g);
    assert_int_equal(fr_start(&p, &o, 0, 0, NULL, NULL, c), FR_INVALID);
    assert_non_null(strstr(fr_message(), "2 of width 2"));
    t = fr_tensor_make(FR_F32, 2, DIMS(2, 2), g);
    g[3] = NAN;
    assert_int_equal(fr_start(&p, &o, 0, 0, NULL, NULL, c), FR_INVALID);
    assert_non_null(strstr(fr_message(), "Row 1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_for_any_threads),
        cmocka_unit_test(test_finds_all_clusters),
        cmocka_unit_test(test_weight_zero_is_never_drawn),
        cmocka_unit_test(test_draws_by_distance),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
