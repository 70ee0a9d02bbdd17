/* block8.c: see block8.h; the loops over values are kernels (kernel/optim.h). */
#include "train/block8.h"

#include <float.h>
#include <math.h>
#include <string.h>

float fr_map8_encode(const fr_map8 *m, const float *x, size_t n, bool keep, uint8_t *code) {
    float range[2];
    fr_kernel()->optim.range(x, n, range);
    float largest = fmaxf(-range[0], range[1]);
    if (!(largest >= FLT_MIN)) {
        memset(code, m->zero, n);
        return 0;
    }
    fr_kernel()->optim.map8_encode(m, x, 1 / largest, keep, n, code);
    return largest;
}

void fr_map8_decode(const fr_map8 *m, const uint8_t *code, size_t n, float largest, float *x) {
    fr_kernel()->optim.map8_decode(m, code, largest, n, x);
}

fr_even8 fr_even8_encode(const float *x, size_t n, bool around_zero, uint8_t *code) {
    float range[2];
    fr_kernel()->optim.range(x, n, range);
    fr_even8 e = {.low = around_zero ? 0 : range[0]};
    e.scale = around_zero ? fmaxf(-range[0], range[1]) / 127 : (range[1] - range[0]) / 255;
    if (!(e.scale >= FLT_MIN)) e.scale = 0;
    float shift = around_zero ? 127.5f : 0.5f, by = e.scale > 0 ? 1 / e.scale : 0;
    fr_kernel()->optim.even8_encode(x, e.low, by, shift, n, code);
    return e;
}

void fr_even8_decode(fr_even8 e, const uint8_t *code, size_t n, bool around_zero, float *x) {
    fr_kernel()->optim.even8_decode(code, e.low, e.scale, around_zero ? 127 : 0, n, x);
}
