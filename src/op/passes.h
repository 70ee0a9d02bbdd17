/* passes.h: what passes outside this room look at in operators of few bits: the attributes of qlinear, and the
 * numbers of its operands. */
#ifndef FR_OP_PASSES_H
#define FR_OP_PASSES_H

#include <frugal/ops.h>

typedef struct fr_qlinear_attr {
    int32_t format; /* place in fr_formats + 1 */
    int32_t rows;   /* fr_rows_kind */
    int32_t act;    /* fr_fn */
    int32_t out;    /* fr_dtype */
    int32_t next;   /* fr_rows_kind */
    int32_t next_group;
    int64_t n, k;
    float add, next_add;
} fr_qlinear_attr;

/* Parts of the weight stand from FR_QLINEAR_PARTS on, as many as fr_qweight has. */
enum {
    FR_QLINEAR_X,
    FR_QLINEAR_PARTS,
    FR_QLINEAR_BY = FR_QLINEAR_PARTS + 5,
    FR_QLINEAR_DOWN,
    FR_QLINEAR_LOW,
    FR_QLINEAR_UP,
    FR_QLINEAR_BIAS,
    FR_QLINEAR_RESIDUAL,
    FR_QLINEAR_NEXT_BY,
    FR_QLINEAR_NEXT_DOWN,
    FR_QLINEAR_INPUTS
};

/* The rows that a qlinear of this attribute multiplies with, and their group (0: their own). */
fr_rows_kind fr_qlinear_rows(const fr_qlinear_attr *a, int32_t *group);

#endif
