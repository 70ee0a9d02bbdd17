/* update.h: new centroids from labels: sums of the points of each cluster, in doubles.
 *
 * Two ways, chosen by the points and K alone. `Striped`, where the sums of all clusters in floats take half of a core's
 * own cache at most: the points are cut into stripes, a stripe's rows are added to sums of its own right behind their
 * assignment, while they are in the cache, and the stripes' sums are added up in doubles, in the order of the stripes.
 * Floats never add up more than a few rows: before it comes to 200 a cluster's sum is set aside and begins anew, so
 * that an error is about 1e-7 of the sum of the absolute values, and no more than 1.2e-5 of it whatever the values.
 * `Sorted`, otherwise, or if weights are far from 1 (2^24): labels are counted and sorted (the inverse of the
 * assignment), and each cluster's rows are added in rising order to its sum, in doubles, by whoever has the cluster.
 * Neither needs atomics; in both the order of additions follows from the points and the labels alone. */
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
void fr_sums_clear(fr_sums *s);

/* Adding up the points of one problem, a wave of rows at a time:
 *
 *     fr_adder_begin
 *     first = 0; while (first < rows) {
 *         end = fr_adder_wave(a, first, the end of what can be read now)
 *         rows first .. end - 1, cut at multiples of `item` rows, on any threads: striped: a block's rows to
 *         fr_adder_block, the blocks of an item in order
 *         fr_adder_end(a, first, end, label)
 *         first = end
 *     } */
typedef struct fr_adder fr_adder;
fr_status fr_adder_new(const fr_points *p, int64_t k, int64_t memory, int threads, fr_adder **out);
void fr_adder_free(fr_adder *a);
bool fr_adder_striped(const fr_adder *a);
int64_t fr_adder_item(const fr_adder *a); /* rows, a multiple of FR_POINTS_BLOCK */

int64_t fr_adder_wave_rows(const fr_adder *a); /* at most */

void fr_adder_begin(fr_adder *a, fr_sums *s); /* s NULL: nothing will be added up */
int64_t fr_adder_wave(const fr_adder *a, int64_t first, int64_t end);
void fr_adder_block(fr_adder *a, int64_t first, int64_t count, const float *rows,
                    const int32_t *label);
void fr_adder_end(fr_adder *a, int64_t first, int64_t end, const int32_t *label, fr_pool *pool);
/* Instead of fr_adder_end, for a pass that adds nothing up. */
void fr_adder_skip(fr_adder *a, int64_t end);

/* Sums of all points by label, from nothing. memory: bytes of working memory it may take. */
fr_status fr_update_sums(const fr_points *p, const int32_t *label, int64_t memory,
                         fr_reader *reader, fr_pool *pool, fr_sums *s);
/* Means; a cluster without points (or weight) keeps what `centroids` holds. Cosine: of length 1, and a mean of zero
 * keeps it, too. */
void fr_update_means(const fr_sums *s, fr_metric metric, float *centroids, fr_pool *pool);

#endif
