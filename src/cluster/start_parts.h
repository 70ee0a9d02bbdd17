/* start_parts.h: what the ways to begin share. */
#ifndef FR_CLUSTER_START_PARTS_H
#define FR_CLUSTER_START_PARTS_H

#include "cluster/start.h"

/* Evenly from [0, 1), 53 bits. */
static inline double fr_draw(fr_rng *r) {
    return (double)(fr_rng_u64(r) >> 11) * 0x1p-53;
}
/* k different points that count, in rising order; a heavier one more likely. row: [k]. */
fr_status fr_start_different(const fr_points *p, int64_t k, fr_rng *rng, int64_t *row);
/* k-means++, greedy; row: [k], which points were taken. */
fr_status fr_start_plusplus(const fr_points *p, int64_t k, fr_rng *rng, fr_reader *reader,
                            fr_pool *pool, float *centroids);
fr_status fr_start_parallel(const fr_points *p, const fr_kmeans_opts *o, fr_rng *rng,
                            fr_reader *reader, fr_pool *pool, float *centroids);

#endif
