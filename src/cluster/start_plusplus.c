#include "cluster/start_parts.h"
fr_status fr_start_plusplus(const fr_points *p, int64_t k, fr_rng *rng, fr_reader *reader,
                            fr_pool *pool, float *centroids) {
    (void)p, (void)k, (void)rng, (void)reader, (void)pool, (void)centroids;
    return fr_fail(FR_UNSUPPORTED, "k-means++ is not there yet.");
}
