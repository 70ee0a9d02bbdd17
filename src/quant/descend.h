/* descend.h: codes made better one by one, after GPTQ or plain rounding (coordinate descent: Behdin et al., QuantEase,
 * 2023).
 *
 * With all other codes of a row as they are, the error of outputs is a parabola in one of them: it becomes what lies
 * nearest to the parabola's lowest point. GPTQ makes up for a column only by those that come after it; here each
 * column sees all others, until nothing changes or the sweeps are over. Rows do not know of each other. */
#ifndef FR_QUANT_DESCEND_H
#define FR_QUANT_DESCEND_H

#include "format/format.h"
#include "quant/hessian.h"

/* w [q->rows, n] are the weights that q stands for; the Hessian must be finished. Codes of q change, scales do not. */
fr_status fr_descend(const fr_hessian *h, const float *w, int sweeps, fr_quantized *q,
                     fr_pool *pool);

#endif
