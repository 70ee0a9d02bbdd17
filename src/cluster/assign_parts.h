/* assign_parts.h: between the files of the assignment: assign.c (centroids, the way chosen), assign_scan.c (in f32),
 * assign_pairs.c (proofs in bf16). */
#ifndef FR_CLUSTER_ASSIGN_PARTS_H
#define FR_CLUSTER_ASSIGN_PARTS_H

#include "cluster/assign.h"
#include "kernel/kernel.h"

/* How a block of rows is cut. Rows of a part stay in the second cache beside a set of panels; where rows are so long
 * that not even few of them would, chains are made in pieces. Rows that lie so far apart that they push each other
 * out of the first cache are copied. */
typedef struct fr_assign_plan {
    bool across;  /* points in the lanes */
    size_t rows;  /* of a part, whole tiles of the largest height */
    size_t set;   /* panels */
    size_t piece; /* coordinates */
    bool copied;
    size_t stride; /* of copies */
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
    bool pairs_wanted,
        pairs_good; /* there is memory for them; no number is too large to be proven */
    size_t pair_steps, pair_set,
        pair_stride; /* steps of a row, the last is for errors; panels of a set; of rows */
    uint32_t *pairs; /* [panel_count][pair_steps][kernels' width] */
    float *low,
        *fixed; /* what a score has beside products, less errors that no point adds to; these [k] */
    float *reach, *slip; /* [k] lengths, and errors of rounding: bf16 values */
    float *middle;       /* [width] the mean of the centroids */
};

/* Where rows are packed and lanes kept, cut out of a thread's scratch. */
typedef struct fr_assign_space {
    void *packed;         /* the rows of a part, or a panel of `across` */
    float *best, *second; /* [rows of a part][lanes] */
    int32_t *index;
    float *sums;                      /* [rows of a part][set][width], of pieces */
    float *spill_best, *spill_second; /* for results of a filled-up panel of `across` */
    int32_t *spill_label;
    /* Of bf16, a value a row of a part: square lengths and what rounding took of them, which become the two factors
     * of the error; least scores; rows to be looked at again, and copies of some. */
    float *slack, *length, *least;
    int32_t *again;
    float *gather; /* [FR_ASSIGN_GATHER][width] */
} fr_assign_space;

enum { FR_ASSIGN_GATHER = 56 /* rows that are looked at again together */ };

void fr_assign_carve(const fr_centroids *c, void *scratch, fr_assign_space *s, size_t *bytes);

/* Every score in f32. best and second may be NULL. */
void fr_assign_scan(const fr_centroids *c, int64_t count, const float *rows,
                    const fr_assign_space *s, int32_t *label, float *best, float *second);

/* Panel p and the mean, of centroids that were set; whether their numbers are good for it. */
void fr_pairs_middle(fr_centroids *c);
void fr_pairs_panel(fr_centroids *c, size_t p);
bool fr_pairs_good(const fr_centroids *c);
/* Labels by bf16 where it proves them, else in f32; how many it did not prove. */
int64_t fr_assign_pairs(const fr_centroids *c, int64_t count, const float *rows,
                        const fr_assign_space *s, int32_t *label);

#endif
