/* assign_parts.h: between the files of the assignment: assign.c (labels of a block, scratch), assign_centroids.c (their
 * layout, and the way that labels are found), assign_scan.c (in f32), assign_few.c (bounds by products in bf16 and int8),
 * assign_prove.c (what bounds prove, and what becomes of the other rows). */
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

/* How labels are found: by bounds in few bits, or in f32 alone. */
typedef enum fr_assign_way {
    FR_WAY_BF16 = FR_NEAREST_BF16,
    FR_WAY_INT8 = FR_NEAREST_INT8,
    FR_WAY_F32
} fr_assign_way;

/* Centroids in few bits; see assign_few.c. Arrays but `fixed` and `slip` are [panel_count][kernels' width]. */
typedef struct fr_few_centroids {
    bool wanted[FR_NEAREST_KINDS], good; /* no number is too large to be proven */
    size_t steps, set;                   /* of a row; panels of a set */
    size_t stride, widest;               /* of rows of points: now, and at most */
    int32_t mask;                        /* bits of a panel's number */
    uint32_t *panels;                    /* [panel_count][steps][kernels' width] */
    int32_t *start;
    float *step, *low, *reach, *fixed, *slip;
    float slip_most, low_most, reach_most; /* slip_most: of reach */
} fr_few_centroids;

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

    /* Of both kinds of bounds: */
    bool has_middle;
    int32_t version;      /* of it */
    float *middle, *mean; /* [width] about the mean of the centroids; their mean now */
    double *squares;      /* of blocks of their columns */
    double middle_length;
    float longest, largest; /* length of a centroid, and its score beside products */
    fr_few_centroids few;
    fr_assign_way way; /* of the rows to come */
    bool give_up;      /* the way did not pay */
    /* Sets of centroids until ways that did not pay are tried again, and how long that will take next time. */
    int wait, patience;
};

/* Where rows are packed and lanes kept, cut out of a thread's scratch. */
typedef struct fr_assign_space {
    void *packed;         /* the rows of a part, or a panel of `across` */
    float *best, *second; /* [rows of a part][lanes], of bounds [..][width] */
    int32_t *index;
    float *sums;                      /* [rows of a part][set][width], of pieces */
    float *spill_best, *spill_second; /* for results of a filled-up panel of `across` */
    int32_t *spill_label;
    /* Of bounds, a value a row of a part: factors of the error, lengths, limits; rows that are not proven; those to be
     * looked at again, and copies of some. */
    float *error, *unit, *length, *limit;
    int32_t *open, *again;
    float *gather; /* [FR_ASSIGN_GATHER][width] */
    /* [FR_CANDIDATES + k + lanes] who may be nearest to whom, and their scores. */
    int32_t *candidate_row, *candidate;
    float *score;
} fr_assign_space;

enum {
    FR_ASSIGN_GATHER = 56, /* rows that are looked at again together */
    FR_FEW_MOST = 4096,    /* coordinates, at most, of rows in few bits */
    FR_CANDIDATES = 256,   /* that are compared together, and those of one row more */
    FR_WORK_SHARE = 12,    /* bounds of a tile that take as long as one product of its own in f32 */
};

void fr_assign_carve(const fr_centroids *c, void *scratch, fr_assign_space *s, size_t *bytes);

/* A part of a block: rows that are looked at together. */
typedef struct fr_assign_part {
    const fr_centroids *c;
    const fr_assign_space *s;
    const float *rows;
    size_t count;
    int32_t *label;
} fr_assign_part;

/* Every score in f32. best and second may be NULL. */
void fr_assign_scan(const fr_centroids *c, int64_t count, const float *rows,
                    const fr_assign_space *s, int32_t *label, float *best, float *second);

/* Panel p of the centroids in few bits; what follows from all panels; bytes of scratch for points. */
void fr_few_set(fr_centroids *c, size_t p);
void fr_few_end(fr_centroids *c);
size_t fr_few_scratch(const fr_centroids *c);
/* The chain of f32 errs by no more than this times |x| |c|. */
double fr_chain_error(const fr_centroids *c);

/* Labels of rows by bounds where these prove them, else in f32. False: bounds leave so much open that the rows from
 * `*done` on are better looked at in another way. */
bool fr_assign_few(const fr_centroids *c, size_t count, const float *rows, const fr_assign_space *s,
                   fr_assigned *out, size_t *done);
/* Of a part whose lanes hold bounds: labels, and how many were open; *work: f32 products that took. */
int64_t fr_assign_prove(const fr_assign_part *p, int64_t *work);

#endif
