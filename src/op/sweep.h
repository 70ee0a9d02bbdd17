/* sweep.h: the reduction of any set of axes, for this room alone; sums in a fixed order. */
#ifndef FR_OP_SWEEP_H
#define FR_OP_SWEEP_H

#include "op/each.h"

/* x is contiguous; out has one value for every position of the axes not in the mask, in order. Means
 * divide by the product of the reduced axes. */
size_t fr_sweep_scratch(const fr_tensor *x, unsigned axes);
void fr_sweep_run(const fr_tensor *x, unsigned axes, fr_reduction kind, const fr_tensor *out,
                  void *scratch, fr_pool *pool);

#endif
