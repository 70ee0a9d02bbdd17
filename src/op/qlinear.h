/* qlinear.h: what the files of the operator qlinear share. */
#ifndef FR_OP_QLINEAR_H
#define FR_OP_QLINEAR_H

#include "op/qgemm.h"

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

enum { X, PARTS, BY = PARTS + FR_PARTS, DOWN, LOW, UP, BIAS, RESIDUAL, NEXT_BY, NEXT_DOWN, INPUTS };

/* The first dimension of input i; 0: it is not there. */
static inline int64_t fr_qlinear_rank(const fr_call *c, int i) {
    return fr_has(c, i) ? c->in[i].dim[0] : 0;
}

fr_status fr_qlinear_shape(const fr_call *c);

#endif
