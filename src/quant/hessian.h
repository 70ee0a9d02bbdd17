/* hessian.h: how the inputs of a linear go together: H = sum x xT over all rows that it was shown.
 *
 * The error that wrong weights make in the outputs is tr((w - w^) H (w - w^)T), so H is all that rounding needs to
 * know of the data. Rows come in pieces: each piece is summed by itself and then added, so that a hundred thousand
 * rows lose no more digits than a thousand. A few rows are kept as they are, to measure errors on. */
#ifndef FR_QUANT_HESSIAN_H
#define FR_QUANT_HESSIAN_H

#include "base/base.h"

typedef struct fr_hessian {
    int64_t n;     /* values of a row */
    double rows;   /* so many were added */
    float *h;      /* [n, n]; the upper half counts until fr_hessian_finish */
    float *most;   /* [n], largest magnitudes */
    float *sample; /* [samples, n] */
    int64_t samples, room;
    double every; /* one of so many rows is kept */
    void *scratch;
    size_t scratch_bytes;
} fr_hessian;

/* total: how many rows will come, about; `samples` of them are kept, evenly. products false: only the rest is
 * kept, no H. */
fr_status fr_hessian_new(int64_t n, int64_t total, int64_t samples, bool products, fr_hessian *out);
void fr_hessian_free(fr_hessian *h);
/* rows of n values, one after another. */
fr_status fr_hessian_add(fr_hessian *h, const float *x, int64_t rows, fr_pool *pool);
/* H = 2 / rows of the sum, both halves. */
void fr_hessian_finish(fr_hessian *h, fr_pool *pool);
/* Bytes that one of this size takes, scratch and all. */
double fr_hessian_bytes(int64_t n, int64_t samples);

#endif
