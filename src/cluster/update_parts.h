/* update_parts.h: between the files of the update (update.h): update.c (what they have in common, means),
 * update_striped.c, update_sorted.c. */
#ifndef FR_CLUSTER_UPDATE_PARTS_H
#define FR_CLUSTER_UPDATE_PARTS_H

#include "cluster/update.h"

struct fr_adder {
    const fr_points *p;
    fr_sums *to;
    int64_t k, width, item, wave; /* rows of an item and of a wave */
    bool striped;
    /* Striped: the sums of each stripe of a wave in floats, and the first row of the wave's first stripe. Behind the
     * sums of its clusters a stripe has room for those that were full: flushed of them, sums of clusters full[]. */
    int64_t stripes, wave_first, room;
    float *sum;
    double *weight;
    int64_t *size, *flushed;
    int32_t *full;
    /* Sorted: labels of a wave by chunk, counted; rows in the order of their labels; a row of each thread. */
    int64_t chunk;
    int32_t *order;
    int64_t *count, *offset;
    float *row;
    int threads;
    /* What a job reads. */
    int64_t first, rows;
    const int32_t *label;
};

static inline int64_t fr_whole_blocks(int64_t rows) {
    return (rows + FR_POINTS_BLOCK - 1) / FR_POINTS_BLOCK * FR_POINTS_BLOCK;
}

bool fr_striped_fits(const fr_points *p, int64_t k);
fr_status fr_striped_new(fr_adder *a, int64_t memory);
void fr_striped_merge(fr_adder *a, int64_t end, fr_pool *pool);

fr_status fr_sorted_new(fr_adder *a, int64_t memory);
void fr_sorted_add(fr_adder *a, int64_t first, int64_t end, const int32_t *label, fr_pool *pool);

#endif
