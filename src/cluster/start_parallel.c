#include "cluster/start_parts.h"
fr_status fr_start_parallel(const fr_points *p, const fr_kmeans_opts *o, fr_rng *rng,
                            fr_reader *reader, fr_pool *pool, float *centroids) {
    (void)p, (void)o, (void)rng, (void)reader, (void)pool, (void)centroids;
    return fr_fail(FR_UNSUPPORTED, "k-means|| is not there yet.");
}
