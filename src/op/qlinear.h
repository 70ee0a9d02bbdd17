/* qlinear.h: what the files of the operator qlinear share. */
#ifndef FR_OP_QLINEAR_H
#define FR_OP_QLINEAR_H

#include "op/qgemm.h"

enum {
    X = FR_QLINEAR_X,
    PARTS = FR_QLINEAR_PARTS,
    BY = FR_QLINEAR_BY,
    DOWN = FR_QLINEAR_DOWN,
    LOW = FR_QLINEAR_LOW,
    UP = FR_QLINEAR_UP,
    BIAS = FR_QLINEAR_BIAS,
    RESIDUAL = FR_QLINEAR_RESIDUAL,
    NEXT_BY = FR_QLINEAR_NEXT_BY,
    NEXT_DOWN = FR_QLINEAR_NEXT_DOWN,
    INPUTS = FR_QLINEAR_INPUTS
};
_Static_assert(BY - PARTS == FR_PARTS, "all parts of a format are operands");

/* The first dimension of input i; 0: it is not there. */
static inline int64_t fr_qlinear_rank(const fr_call *c, int i) {
    return fr_has(c, i) ? c->in[i].dim[0] : 0;
}

fr_status fr_qlinear_shape(const fr_call *c);

#endif
