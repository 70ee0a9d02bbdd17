/* update.h: new centroids from labels: sums of the points of each cluster, in doubles.
 *
 * All points are added up in one of two ways, chosen by the points and K. `Striped`, where the sums of all clusters in
 * floats take half of a core's own cache at most: the points are cut into stripes, a stripe's rows are added to sums of
 * its own right behind their assignment, while they are in the cache, and the stripes' sums are added up in doubles, in
 * the order of the stripes. Floats never add up more than a few rows: before it comes to 200 a cluster's sum is set
 * aside and begins anew, so that an error is about 1e-7 of the sum of the absolute values, and no more than 1.2e-5 of it
 * whatever the values.
 * `Sorted`, otherwise, or if weights are far from 1 (2^24): labels are counted and sorted (the inverse of the
 * assignment), and each cluster's rows are added in rising order to its sum, in doubles, by whoever has the cluster.
 * Where few labels changed since the last sums, only these points are added, `Moved`: off the sum of the cluster before,
 * onto that of the cluster now, in doubles. The errors of the sums that it began with stay; so they may not be those of
 * numbers far larger than what is left (the sum of |x|^2 of each cluster is watched), or all points are added up again.
 * None needs atomics; the order of additions follows from the points and their labels, now and before, alone. */
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

/* Adding up the points of one problem, pass by pass, a wave of rows at a time:
 *
 *     fr_adder_begin
 *     first = 0; while (first < rows) {
 *         end = fr_adder_wave(a, first, the end of what can be read now)
 *         rows first .. end - 1, cut at multiples of `item` rows, on any threads: striped: a block's rows to
 *         fr_adder_block, the blocks of an item in order; moved: a block's labels before and now to fr_adder_note
 *         fr_adder_end(a, first, end, label)
 *         first = end
 *     }
 *     fr_adder_finish */
typedef struct fr_adder fr_adder;
typedef enum fr_adding { FR_ADD_NOTHING, FR_ADD_STRIPED, FR_ADD_SORTED, FR_ADD_MOVED } fr_adding;
fr_status fr_adder_new(const fr_points *p, int64_t k, int64_t memory, int threads, fr_adder **out);
void fr_adder_free(fr_adder *a);
int64_t fr_adder_wave_rows(const fr_adder *a); /* at most */

/* s: what the last pass left there, if there was one; NULL: nothing will be added up. */
void fr_adder_begin(fr_adder *a, fr_sums *s);
fr_adding fr_adder_way(const fr_adder *a); /* of this pass */
int64_t fr_adder_item(const fr_adder *a);  /* rows, a multiple of FR_POINTS_BLOCK */
int64_t fr_adder_wave(fr_adder *a, int64_t first, int64_t end);
void fr_adder_block(fr_adder *a, int64_t first, int64_t count, const float *rows,
                    const int32_t *label);
void fr_adder_note(fr_adder *a, int64_t first, int64_t count, const float *rows,
                   const int32_t *before, const int32_t *label);
void fr_adder_end(fr_adder *a, int64_t first, int64_t end, const int32_t *label, fr_pool *pool);
/* moved: how many points. What the next pass adds up follows from it. */
void fr_adder_finish(fr_adder *a, int64_t moved);
/* The sums are no longer those of the labels. */
void fr_adder_forget(fr_adder *a);

/* Sums of all points by label, from nothing. memory: bytes of working memory it may take. */
fr_status fr_update_sums(const fr_points *p, const int32_t *label, int64_t memory,
                         fr_reader *reader, fr_pool *pool, fr_sums *s);
/* Means; a cluster without points (or weight) keeps what `centroids` holds. Cosine: of length 1, and a mean of zero
 * keeps it, too. */
void fr_update_means(const fr_sums *s, fr_metric metric, float *centroids, fr_pool *pool);

#endif
