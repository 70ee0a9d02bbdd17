/* norm.h: what the forward and backward sides of the row norms share, for this room alone. */
#ifndef FR_OP_NORM_H
#define FR_OP_NORM_H

#include "op/each.h"

typedef struct fr_norm_attr {
    float eps;
    bool centered; /* layernorm; else rmsnorm */
    int32_t want;  /* of the gradient: 1 of the weight, 2 of the bias */
} fr_norm_attr;

/* eps must be a number from 0 up, and `centered` that of the operator. */
fr_status fr_norm_check(const fr_norm_attr *a, bool centered);

/* Row `row` of x, counted over all leading axes, begins at value fr_row_start(x, x, row); that of an
 * operand which broadcasts to x at fr_row_start(x, operand, row). */
size_t fr_row_start(const fr_tensor *x, const fr_tensor *operand, size_t row);
size_t fr_row_count(const fr_tensor *x);

/* The statistics of n values from `at` on, as the kernels want them. */
fr_norm_row fr_norm_stats(const fr_tensor *x, size_t at, size_t n, const fr_norm_attr *a);

#endif
