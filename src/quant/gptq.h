/* gptq.h: rounding a matrix so that the outputs of its linear stay, not its weights (Frantar et al., GPTQ, 2022).
 *
 *     fr_gptq_prepare(&hessian, &opts, pool, &way);    once for all linears of one input
 *     fr_gptq_round(&way, w, &q, pool);                scales of q have been chosen (range.h, format/grid.h)
 *
 * Columns are rounded one after another, the ones with large inputs first; what a column got wrong is made up for by
 * those that come after it. */
#ifndef FR_QUANT_GPTQ_H
#define FR_QUANT_GPTQ_H

#include "format/format.h"
#include "quant/hessian.h"

typedef struct fr_gptq_opts {
    float damp;      /* of the mean of the diagonal, added to it; 0: 0.01 */
    bool file_order; /* columns in their own order; otherwise by falling diagonal */
} fr_gptq_opts;

typedef struct fr_gptq_way {
    int64_t n;
    int32_t *order; /* position -> column; the last position is rounded first */
    float *l;       /* [n, n]: H = L LT of the columns in this order */
    int64_t dead;   /* columns whose input is always 0: their weights become 0 */
    bool *is_dead;
    int tries; /* more damping was needed so often */
} fr_gptq_way;

/* The Hessian must be finished. */
fr_status fr_gptq_prepare(const fr_hessian *h, const fr_gptq_opts *opts, fr_pool *pool,
                          fr_gptq_way *out);
void fr_gptq_free(fr_gptq_way *g);
/* w [q->rows, n]; codes of q are filled. */
fr_status fr_gptq_round(const fr_gptq_way *g, const float *w, fr_quantized *q, fr_pool *pool);
/* What comes beside the Hessian, in bytes. */
double fr_gptq_bytes(int64_t n, int64_t rows);

#endif
