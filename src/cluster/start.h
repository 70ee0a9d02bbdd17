/* start.h: the first centroids. */
#ifndef FR_CLUSTER_START_H
#define FR_CLUSTER_START_H

#include "cluster/cluster.h"

/* Writes [k, width] floats; the same for any number of threads. attempt: which of fr_kmeans_opts.attempts, from 0.
 * problem: which of a batch (given centroids, and the stream of random numbers). */
fr_status fr_start(const fr_points *p, const fr_kmeans_opts *o, int64_t problem, int64_t attempt,
                   fr_reader *reader, fr_pool *pool, float *centroids);

#endif
