/* made.h: points, and k-means as slow and plain as it can be, for the tests of this room. */
#ifndef FR_TESTS_CLUSTER_MADE_H
#define FR_TESTS_CLUSTER_MADE_H

#include "cluster/cluster.h"

typedef enum made_kind { MADE_RANDOM, MADE_CLUSTERED, MADE_DUPLICATES, MADE_GRID } made_kind;

/* [n, d] floats; free them. */
float *made_points(made_kind kind, int64_t n, int64_t d, uint64_t seed);
fr_tensor made_tensor(float *x, int64_t n, int64_t d);

/* The nearest of c [k, d] in doubles, the lowest among equals; *gap: how much farther the next is, squared. */
int32_t made_nearest(const float *x, const float *c, int64_t k, int64_t d, double *gap);

/* From points at random. */
fr_kmeans_opts made_options(int64_t k, int64_t iterations, double tolerance);

typedef struct made_result {
    float *centroids;
    int32_t *labels;
    int64_t *sizes;
    fr_kmeans_stats stats;
} made_result;
/* Runs k-means on one problem; the options' threads and method as given. */
made_result made_run(const float *x, int64_t n, int64_t d, const fr_kmeans_opts *o);
void made_free(made_result *r);
/* Bit for bit. values: of the centroids, K x D */
void made_same(const made_result *a, const made_result *b, int64_t n, int64_t values);
/* Labels are the nearest centroids wherever floats can tell, sizes count them, inertia is theirs. */
void made_check(const made_result *r, const float *x, int64_t n, int64_t d, int64_t k);

#endif
