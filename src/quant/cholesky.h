/* cholesky.h: A = L LT of a symmetric positive matrix, in blocks over the kernels of products. */
#ifndef FR_QUANT_CHOLESKY_H
#define FR_QUANT_CHOLESKY_H

#include "base/base.h"

/* In place: reads the lower half of a [n, n], leaves L there; what is above the diagonal does not matter. positive:
 * false when it is not (then a is spoilt). */
fr_status fr_cholesky(float *a, int64_t n, fr_pool *pool, bool *positive);

#endif
