/* made.c: see made.h. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/made.h"

float *made_points(made_kind kind, int64_t n, int64_t d, uint64_t seed) {
    float *x = fr_alloc(FR_MEM_OTHER, (size_t)(n * d) * sizeof *x);
    assert_non_null(x);
    fr_random_normal(seed, 1, 0, x, (size_t)(n * d));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) {
            float *v = &x[i * d + j];
            if (kind == MADE_CLUSTERED) {
                float c[1];
                fr_random_normal(seed, 2, (uint64_t)(i % 9 * d + j), c, 1);
                *v = 4 * c[0] + 0.3f * *v;
            }
            if (kind == MADE_DUPLICATES) *v = x[i % (n / 7 + 1) * d + j];
            if (kind == MADE_GRID) *v = (float)((i * 7 + j * 3) % 5);
        }
    return x;
}

fr_tensor made_tensor(float *x, int64_t n, int64_t d) {
    return fr_tensor_make(FR_F32, 2, (int64_t[]){n, d}, x);
}

static double distance(const float *x, const float *c, int64_t d) {
    double s = 0;
    for (int64_t i = 0; i < d; i++)
        s += ((double)x[i] - (double)c[i]) * ((double)x[i] - (double)c[i]);
    return s;
}

int32_t made_nearest(const float *x, const float *c, int64_t k, int64_t d, double *gap) {
    double best = INFINITY, second = INFINITY;
    int32_t label = 0;
    for (int64_t j = 0; j < k; j++) {
        double s = distance(x, c + j * d, d);
        if (s < best) {
            second = best;
            best = s;
            label = (int32_t)j;
        } else if (s < second) {
            second = s;
        }
    }
    if (gap) *gap = second - best;
    return label;
}

fr_kmeans_opts made_options(int64_t k, int64_t iterations, double tolerance) {
    fr_kmeans_opts o = fr_kmeans_defaults(k);
    o.start = FR_START_RANDOM;
    o.iterations = iterations;
    o.tolerance = tolerance;
    return o;
}

made_result made_run(const float *x, int64_t n, int64_t d, const fr_kmeans_opts *o) {
    made_result r = {0};
    fr_tensor t = made_tensor((float *)(uintptr_t)x, n, d);
    r.centroids = fr_alloc(FR_MEM_OTHER, (size_t)(o->k * d) * sizeof(float));
    r.labels = fr_alloc(FR_MEM_OTHER, (size_t)n * sizeof(int32_t));
    r.sizes = fr_alloc(FR_MEM_OTHER, (size_t)o->k * sizeof(int64_t));
    fr_kmeans_out out = {r.centroids, r.labels, r.sizes, &r.stats};
    if (fr_kmeans(&t, o, &out)) fail_msg("%s", fr_message());
    return r;
}

void made_free(made_result *r) {
    fr_free(r->centroids);
    fr_free(r->labels);
    fr_free(r->sizes);
}

void made_same(const made_result *a, const made_result *b, int64_t n, int64_t values) {
    for (int64_t i = 0; i < n; i++)
        if (a->labels[i] != b->labels[i])
            fail_msg("point %lld has label %d and %d", (long long)i, a->labels[i], b->labels[i]);
    assert_memory_equal(a->centroids, b->centroids, (size_t)values * sizeof(float));
    assert_true(a->stats.inertia == b->stats.inertia);
    assert_int_equal(a->stats.iterations, b->stats.iterations);
}

void made_check(const made_result *r, const float *x, int64_t n, int64_t d, int64_t k) {
    double inertia = 0, longest = 0;
    int64_t all = 0;
    for (int64_t j = 0; j < k; j++)
        longest = fmax(longest, distance(r->centroids + j * d, (float[1024]){0}, d));
    for (int64_t i = 0; i < n; i++) {
        double gap, own = distance(x + i * d, r->centroids + r->labels[i] * d, d);
        int32_t want = made_nearest(x + i * d, r->centroids, k, d, &gap);
        double margin =
            4 * 6e-8 * (distance(x + i * d, (float[1024]){0}, d) + longest) * sqrt((double)d);
        double best = distance(x + i * d, r->centroids + want * d, d);
        if (r->labels[i] != want && own - best > margin)
            fail_msg("point %lld has label %d, and %d is nearer by %g", (long long)i, r->labels[i],
                     want, own - best);
        inertia += own;
    }
    assert_true(fabs(r->stats.inertia - inertia) <= 1e-9 * inertia + 1e-12);
    for (int64_t j = 0; j < k; j++) {
        int64_t size = 0;
        for (int64_t i = 0; i < n; i++) size += r->labels[i] == j;
        assert_int_equal(size, r->sizes[j]);
        all += size;
    }
    assert_int_equal(all, n);
}
