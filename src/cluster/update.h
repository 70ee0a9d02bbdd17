/* update.h: new centroids from labels: sums of the points of each cluster.
 *
 * Two ways, chosen by size alone: `private`, a block's rows are added to sums of the thread while they are still in
 * its cache, right behind the assignment; `sorted`, labels are counted, sorted (the inverse of the assignment), and
 * each cluster's rows are added in rising order by the thread that owns the cluster. Neither needs atomics; both add
 * in an order that only the points and the labels decide. */
#ifndef FR_CLUSTER_UPDATE_H
#define FR_CLUSTER_UPDATE_H

#include "cluster/cluster.h"

/* Sums, weights and sizes of clusters. */
typedef struct fr_sums {
    int64_t k, width;
    double *sum;    /* [k, width] */
    double *weight; /* [k] */
    int64_t *size;  /* [k] */
} fr_sums;

fr_status fr_sums_new(int64_t k, int64_t width, fr_sums *out);
void fr_sums_free(fr_sums *s);

/* Sums of all points by label, from nothing. memory: bytes of working memory it may take. */
fr_status fr_update_sums(const fr_points *p, const int32_t *label, int64_t memory,
                         fr_reader *reader, fr_pool *pool, fr_sums *s);
/* Means; a cluster without points keeps what `centroids` holds. Cosine: of length 1. */
void fr_update_means(const fr_sums *s, fr_metric metric, float *centroids);

#endif
