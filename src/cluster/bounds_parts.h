/* bounds_parts.h: what Hamerly's and Yinyang's bounds share.
 *
 * Bounds are kept as they were when they were found, corrected by how far centroids had moved by then: so a pass reads
 * them and writes only those that are found anew. Floats are rounded to the safe side: `up` for what must not be too
 * small, `down` for what must not be too large. */
#ifndef FR_CLUSTER_BOUNDS_PARTS_H
#define FR_CLUSTER_BOUNDS_PARTS_H

#include "cluster/bounds.h"
#include "kernel/kernel.h"

#include <math.h>

/* Rounding of a bound in one operation with floats is given back by this. */
#define FR_WIDEN 2.4e-7f

/* What a thread works with. */
typedef struct fr_bound_worker {
    int32_t list[FR_POINTS_BLOCK], label[FR_POINTS_BLOCK];
    float best[FR_POINTS_BLOCK], second[FR_POINTS_BLOCK];
    float *rows;  /* gathered */
    float *score; /* [k] */
    struct fr_group_found *found;
} fr_bound_worker;

/* The two lowest scores of a group. */
typedef struct fr_group_found {
    int32_t group, nearest;
    float best, second;
} fr_group_found;

/* Centroids in groups of neighbours. */
typedef struct fr_groups {
    int64_t k, width, count;
    int32_t *order;  /* [k]: centroid numbers, group after group */
    int32_t *place;  /* [k]: where a centroid stands in `order` */
    float *rows;     /* [k, width] in that order */
    fr_centroids *c; /* of them */
} fr_groups;
enum { FR_GROUP = 16 }; /* centroids of a group; the last may have fewer */

struct fr_bounds {
    fr_kmeans_method method;
    fr_metric metric;
    int64_t n, k, width;
    int threads;
    int64_t passes;
    bool fresh; /* there are no bounds yet */
    const fr_centroids *c;
    float *upper; /* [n] */
    float *lower; /* [n] or [n, groups] */
    double *step; /* [k]: how far each centroid went just now */
    double *moved,
        *away; /* [k]: of each centroid, in all; [k] or [groups]: of those it must not meet */
    float *up, *down; /* the same, rounded up */
    float *near;      /* [k]: no other centroid is nearer to this one */
    float slack;      /* a label is proven where l^2 - u^2 is more */
    /* From a score to a squared distance: factor * score + |x|^2 + square, off by no more than factor * error. */
    double factor, lowest, highest, reach, largest;
    fr_groups groups;
    fr_bound_worker *workers;
    int64_t gather; /* rows gathered at a time */
};

static inline float fr_up(double v) {
    return (float)(v + fabs(v) * 1.3e-7 + 1.5e-45);
}
static inline float fr_down(double v) {
    return (float)(v - fabs(v) * 1.3e-7 - 1.5e-45);
}
static inline bool fr_sure(float u, float l, float slack) {
    return l > u && (l - u) * (l + u) > slack;
}

/* How far an f32 score of a point of that length is from the true one, at most. */
double fr_bounds_error(const fr_bounds *b, double length);
/* Bounds of distances from a score: at most, at least. square: |x|^2. */
double fr_bounds_above(const fr_bounds *b, double score, double square);
double fr_bounds_below(const fr_bounds *b, double score, double square);
/* reach, slack and what else follows from where centroids [k, width] are. largest: no |x|^2 is more. */
void fr_bounds_place(fr_bounds *b, const float *centroid, double largest);
/* near[j] for all centroids [k, width], which l->c holds. */
void fr_bounds_near(const fr_bounds *b, fr_lloyd *l, const float *centroid, float *near);
/* A distance, not too small: between two rows; of centroid j before and after the last update. */
double fr_bounds_move(const float *from, const float *to, int64_t width);
double fr_bounds_step(const fr_lloyd *l, int64_t j);

int64_t fr_hamerly_label(fr_bounds *b, fr_bound_worker *bw, int64_t first, int64_t count,
                         const float *rows, int32_t *label, fr_worker *w);
int64_t fr_yinyang_label(fr_bounds *b, fr_bound_worker *bw, int64_t first, int64_t count,
                         const float *rows, int32_t *label, fr_worker *w);

fr_status fr_groups_make(fr_groups *g, const float *centroid, int64_t k, int64_t width,
                         fr_metric metric);
void fr_groups_set(fr_groups *g, const float *centroid, fr_pool *pool);
void fr_groups_free(fr_groups *g);

#endif
