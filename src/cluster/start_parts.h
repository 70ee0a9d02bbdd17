/* start_parts.h: what the ways to begin share. */
#ifndef FR_CLUSTER_START_PARTS_H
#define FR_CLUSTER_START_PARTS_H

#include "cluster/start.h"

/* Evenly from [0, 1), 53 bits. */
static inline double fr_draw(fr_rng *r) {
    return (double)(fr_rng_u64(r) >> 11) * 0x1p-53;
}
/* One point that counts, a heavier one more likely. */
int64_t fr_start_one(const fr_points *p, fr_rng *rng);
/* Rows by number, where rising ones are read fastest, and little of a mapped file is in memory at a time. */
void fr_start_rows(const fr_points *p, int64_t count, const int64_t *row, fr_reader *reader,
                   float *out);
void fr_sort_rows(int64_t *row, int64_t count);
/* k different points that count, in rising order. row: [k] */
fr_status fr_start_different(const fr_points *p, int64_t k, fr_rng *rng, int64_t *row);

fr_status fr_start_plusplus(const fr_points *p, int64_t k, fr_rng *rng, fr_reader *reader,
                            fr_pool *pool, float *centroids);
fr_status fr_start_parallel(const fr_points *p, const fr_kmeans_opts *o, fr_rng *rng,
                            fr_reader *reader, fr_pool *pool, float *centroids);

/* ---- start_draw.c: rows drawn by how far they are from what was drawn before ---- */

/* Rows that are summed together: to find a row of a number drawn, as many must be looked at. */
enum { FR_GRAIN = 128 };

typedef struct fr_far {
    const fr_points *p;
    fr_pool *pool;
    const double *upto; /* [grains]: weight times squared distance, all up to and with this one */
    /* Of rows first .. first + count - 1, at most a grain: squared distances, by one thread. */
    void (*distances)(void *arg, size_t thread, int64_t first, int64_t count, float *out);
    void *arg;
} fr_far;

static inline int64_t fr_grains(const fr_points *p) {
    return (p->rows + FR_GRAIN - 1) / FR_GRAIN;
}
static inline float fr_weight(const fr_points *p, int64_t row) {
    return p->weights ? p->weights[row] : 1;
}
/* row[i]: the row in which at[i] (0 .. 1) of the whole sum lies. The sum is above zero, and so is the part of every
 * row that is found. */
void fr_far_find(const fr_far *f, int64_t count, const double *at, int64_t *row);
/* The same with at[count] drawn. */
void fr_far_draw(const fr_far *f, int64_t count, fr_rng *rng, double *at, int64_t *row);

#endif
