/* lloyd.h: one problem at work: centroids, labels and sums, passes over the points, and the loop around them. */
#ifndef FR_CLUSTER_LLOYD_H
#define FR_CLUSTER_LLOYD_H

#include "cluster/assign.h"
#include "cluster/update.h"

typedef struct fr_bounds fr_bounds;

/* What a thread works with. */
typedef struct fr_worker {
    float *rows;  /* of a block, where they must be copied */
    void *assign; /* fr_assign_scratch */
    int32_t label[FR_POINTS_BLOCK], before[FR_POINTS_BLOCK];
    int64_t moved, products, rechecked, refused;
    double update_seconds;
} fr_worker;

typedef struct fr_lloyd {
    const fr_points *p;
    const fr_kmeans_opts *o;
    fr_reader *reader;
    fr_pool *pool;
    int64_t n, k, width, problem, attempt;
    int64_t memory; /* of working memory, for this problem */
    double began;   /* when the call began */
    fr_centroids *c;
    float *centroid, *before; /* [k, width]: now, and before the last update */
    double *move;             /* [k] how far each went, squared */
    int32_t *label;           /* [n] */
    fr_adder *adder;
    fr_sums sums;
    int threads;
    fr_worker *workers;
    double *part; /* a number for each block of a wave */
    char *codes;  /* of the points in few bits, codes_each bytes a block; NULL: none are kept */
    size_t codes_each;
    double squares,
        weight;        /* weighted sum of |x|^2, and of weights: for the inertia while it runs */
    fr_bounds *bounds; /* NULL: every distance */
    fr_kmeans_stats stats;
} fr_lloyd;

/* centroid: [k, width] and label: [n], the caller's. */
fr_status fr_lloyd_init(fr_lloyd *l, const fr_points *p, const fr_kmeans_opts *o, int64_t memory,
                        fr_reader *reader, fr_pool *pool, float *centroid, int32_t *label);
void fr_lloyd_free(fr_lloyd *l);
/* From the centroids that are there to the end; labels belong to the centroids then. */
fr_status fr_lloyd_run(fr_lloyd *l);
/* Labels and inertia of the centroids that are there now, whatever there was. */
void fr_lloyd_relabel(fr_lloyd *l);

/* One pass over all points. */
typedef enum fr_pass_kind {
    FR_PASS_ADD = 1,     /* labels, and sums by them */
    FR_PASS_LABEL = 2,   /* labels alone */
    FR_PASS_INERTIA = 4, /* of the labels, found in this pass or there before */
    FR_PASS_SQUARES = 8, /* l->squares and l->weight */
} fr_pass_kind;
typedef struct fr_pass {
    int64_t moved;
    double inertia;
} fr_pass;
void fr_pass_run(fr_lloyd *l, unsigned kind, fr_pass *out);

/* Centroids that no point chose are dealt with as the options say, behind the update of the means. */
fr_status fr_empty_fill(fr_lloyd *l);

/* Rows to length 1; false where one has none. */
bool fr_unit_rows(float *rows, int64_t count, int64_t width);

#endif
