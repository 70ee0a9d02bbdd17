/* range.h: how wide the range of a row's codes is to be: what it cuts off against the size of its steps. */
#ifndef FR_QUANT_RANGE_H
#define FR_QUANT_RANGE_H

#include "format/format.h"
#include "quant/hessian.h"

/* Chooses the scales of all rows of q for w [q->rows, q->cols], without a search: ratio 1. */
fr_status fr_range_plain(const float *w, fr_quantized *q, fr_pool *pool);
/* With one: each row takes of the ratios 1 and 1 - 0.8 i / 80, i = 1 .. 80, that with the smallest squared error of
 * its outputs for the rows that the Hessian kept; ratio: the mean of those chosen, may be NULL. */
fr_status fr_range_search(const float *w, const fr_hessian *h, fr_quantized *q, fr_pool *pool,
                          double *ratio);
/* Rounds each value to the nearest, with the scales chosen. */
fr_status fr_range_round(const float *w, fr_quantized *q, fr_pool *pool);

/* Squared outputs of w and of w - q, summed over the rows that the Hessian kept. */
fr_status fr_output_error(const float *w, const fr_quantized *q, const fr_hessian *h, fr_pool *pool,
                          double *whole, double *error);

#endif
