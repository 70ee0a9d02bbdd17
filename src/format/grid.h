/* grid.h: rounding value by value, with the scales chosen before: for those who correct the values that are left
 * by the error of those that are done (GPTQ), and for those who look for better scales.
 *
 *     fr_quantized_new(f, rows, cols, &q);
 *     fr_grid_choose(&q, row, x, 1);                    the scales that fr_quantize would choose
 *     codes[c] = fr_grid_round(&q, row, c, x, &value);  the code, and what it decodes to
 *     fr_grid_put(&q, row, codes);
 *
 * Rows are apart from each other: different threads may do different rows. */
#ifndef FR_FORMAT_GRID_H
#define FR_FORMAT_GRID_H

#include "format/format.h"

/* Refuses formats that do not round value by value. */
fr_status fr_grid_check(const fr_qformat *f);
/* Scales of one row from x [cols], which must be finite; shrink in (0, 1]: the range that they span becomes so
 * much smaller, and what is outside is cut off. */
static inline fr_status fr_grid_choose(fr_quantized *q, int64_t row, const float *x, float shrink) {
    return q->format->choose(x, shrink, q, row);
}
static inline int fr_grid_round(const fr_quantized *q, int64_t row, int64_t col, float x,
                                float *value) {
    return q->format->round(q, row, col, x, value);
}
/* Codes of a whole row. */
void fr_grid_put(fr_quantized *q, int64_t row, const int16_t *codes);

#endif
