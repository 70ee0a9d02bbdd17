/* assign_parts.h: between the files of the assignment: assign.c (centroids, the way chosen), assign_scan.c (in f32),
 * assign_pairs.c (proofs in bf16). */
#ifndef FR_CLUSTER_ASSIGN_PARTS_H
#define FR_CLUSTER_ASSIGN_PARTS_H

#include "cluster/assign.h"
#include "kernel/kernel.h"

/* How a block of rows is cut. Rows of a part are packed together and stay in the second cache beside a set of panels;
 * where rows are so long that not even few of them would, chains are made in pieces. */
typedef struct fr_assign_plan {
    bool across;  /* points in the lanes */
    size_t rows;  /* of a part, whole tiles of the largest height */
    size_t set;   /* panels */
    size_t piece; /* coordinates */
} fr_assign_plan;

struct fr_centroids {
    int64_t k, width;
    fr_metric metric;
    const fr_kernels *kernels;
    float factor;
    float *rows;   /* [k, width] */
    float *panels; /* [panel_count][width][kernels' width]; none of a plan with `across` */
    float *square; /* [panel_count][kernels' width]: |c|^2, or 0; +inf past k */
    size_t panel_count;
    bool narrow; /* the upper half of the last panel is empty */
    fr_assign_plan plan;

    /* In bf16; see assign_pairs.c. */
    bool pairs_wanted, pairs_good; /* asked for and possible; not too large to be rounded */
    uint32_t *pairs;               /* [panel_count][(width + 1) / 2 + 1][kernels' width] */
    float *low;                    /* as square, less what rounding may take */
    float *reach, *slip;           /* [k], bf16 values: lengths, and errors of rounding */
    double *middle;                /* [width], the mean of the centroids */
};

static inline size_t fr_pair_steps(const fr_centroids *c) {
    return ((size_t)c->width + 1) / 2;
}

/* Where rows are packed and lanes kept, cut out of a thread's scratch. */
typedef struct fr_assign_space {
    void *packed;         /* [rows of a part][piece], or a panel of `across` */
    float *best, *second; /* [rows of a part][lanes] */
    int32_t *index;
    float *sums;                      /* [rows of a part][set][width], of pieces */
    float *spill_best, *spill_second; /* for results of a filled-up tile */
    int32_t *spill_label;
    float *gather; /* [GATHER][width] */
    float *few;    /* three floats a row of a part, of bf16 */
} fr_assign_space;

enum { FR_ASSIGN_GATHER = 64 /* rows that are looked at again together */ };

/* Sizes; scratch NULL: only counted. */
size_t fr_assign_carve(const fr_centroids *c, void *scratch, fr_assign_space *s);

/* Every score in f32. best and second may be NULL. */
void fr_assign_scan(const fr_centroids *c, int64_t count, const float *rows,
                    const fr_assign_space *s, int32_t *label, float *best, float *second);

#endif
