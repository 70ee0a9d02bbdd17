/* grid.c: see grid.h. */
#include "format/grid.h"

#include "format/parts.h"

fr_status fr_grid_check(const fr_qformat *f) {
    if (f->choose && f->round) return FR_OK;
    return fr_fail(FR_UNSUPPORTED, "%s does not round a row value by value.", f->name);
}

void fr_grid_put(fr_quantized *q, int64_t row, const int16_t *codes) {
    int64_t bytes = q->part[0].dim[1];
    uint8_t *out = (uint8_t *)q->part[0].data + row * bytes;
    if (bytes == q->cols) {
        for (int64_t c = 0; c < q->cols; c++) out[c] = (uint8_t)codes[c];
        return;
    }
    memset(out, 0, (size_t)bytes);
    for (int64_t c = 0; c < q->cols; c++) fr_put_nibble(out, c, (unsigned)codes[c]);
}
