/* hadamard.h: products with orthonormal Hadamard matrices: all values +-1 / sqrt(n), rows at right angles.
 *
 * They spread what is large in one channel over all channels (Ashkboos et al., QuaRot, 2024). A size is k 2^m: the
 * matrix is the Kronecker product of one of k x k and of Sylvester's of 2^m x 2^m, that is h(i, j) = b(i / 2^m,
 * j / 2^m) s(i % 2^m, j % 2^m). k is 1 or a multiple of 4 for which a matrix can be constructed (hadamard_base.c).
 * Sums are taken in f64, in an order that depends on n alone. */
#ifndef FR_QUANT_HADAMARD_H
#define FR_QUANT_HADAMARD_H

#include "base/base.h"

typedef struct fr_hadamard fr_hadamard;

/* FR_UNSUPPORTED when there is no matrix of that size, or none that we can construct. */
fr_status fr_hadamard_new(int64_t n, fr_hadamard **out);
void fr_hadamard_free(fr_hadamard *h);
int64_t fr_hadamard_size(const fr_hadamard *h);
/* 1 or -1 */
int fr_hadamard_sign(const fr_hadamard *h, int64_t row, int64_t col);

/* Each row of x [rows, n] becomes row H / sqrt(n), or with `back` row HT / sqrt(n), which undoes it. Row i begins at
 * x + i stride. */
fr_status fr_hadamard_rows(const fr_hadamard *h, bool back, float *x, int64_t rows, int64_t stride,
                           fr_pool *pool);
/* x [n, cols] becomes (H / sqrt(n))T x, or with `back` (H / sqrt(n)) x: what fr_hadamard_rows does to the rows of
 * the transposed matrix. Row i begins at x + i stride. */
fr_status fr_hadamard_columns(const fr_hadamard *h, bool back, float *x, int64_t cols,
                              int64_t stride, fr_pool *pool);

#endif
