/* update_parts.h: between the files of the update (update.h): update.c (which points are added up, and how; means),
 * update_striped.c, update_sorted.c, update_moved.c. */
#ifndef FR_CLUSTER_UPDATE_PARTS_H
#define FR_CLUSTER_UPDATE_PARTS_H

#include "cluster/update.h"

/* A row of the wave that moved, its cluster before, and |x|^2. */
typedef struct fr_move {
    int32_t row, from;
    double square;
} fr_move;

struct fr_adder {
    const fr_points *p;
    fr_sums *to;
    int64_t k, width;
    fr_adding all, way, next; /* of all points; of this pass and the next */
    /* Striped: rows of a stripe, stripes of a wave, the first row of the wave; sums of each stripe in floats. Behind the
     * sums of its clusters a stripe has room for those that were full: flushed of them, sums of clusters full[]. */
    int64_t item, stripes, wave_first, room;
    float *sum;
    double *weight, *square;
    int64_t *size, *flushed;
    int32_t *full;
    /* Sorted: labels of a wave by chunk, counted; rows in the order of their labels. */
    int64_t wave, chunk;
    int32_t *order;
    int64_t *count, *offset;
    /* Moved: who moved, behind the first row of each block, and how many of it; which part has a cluster. */
    int64_t moved_wave, parts;
    fr_move *moves;
    int32_t *noted;
    int64_t copies; /* of a block */
    float *copy, *copy_weight;
    uint8_t *owner;
    /* Of each cluster the weighted sum of |x|^2, from a pass on that added these up, too, and the most that it was times
     * the weight. */
    bool squared;
    double *squares, *base;
    float *row; /* of each thread */
    int threads;
    /* What a job reads. */
    int64_t first, rows;
    const int32_t *label; /* of the row `first` */
};

static inline int64_t fr_whole_blocks(int64_t rows) {
    return (rows + FR_POINTS_BLOCK - 1) / FR_POINTS_BLOCK * FR_POINTS_BLOCK;
}

bool fr_striped_fits(const fr_points *p, int64_t k);
fr_status fr_striped_new(fr_adder *a, int64_t memory);
void fr_striped_merge(fr_adder *a, int64_t end, fr_pool *pool);

fr_status fr_sorted_new(fr_adder *a, int64_t memory);
void fr_sorted_add(fr_adder *a, int64_t end, const int32_t *label, fr_pool *pool);

fr_status fr_moved_new(fr_adder *a, int64_t memory);
void fr_moved_add(fr_adder *a, int64_t end, const int32_t *label, fr_pool *pool);
/* Behind a pass with squares: its sums are what moves begin with. */
void fr_moved_base(fr_adder *a);
/* Behind a pass of moves: whether the next may go on from its sums. */
bool fr_moved_trusted(fr_adder *a);

#endif
