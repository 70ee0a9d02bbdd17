/* nearest_neondot.c: bounds from bytes by the dot instruction, of signed codes. */
#include <arm_neon.h>

#define BOUNDS_DOT(x, c, sum)                                                                      \
    (sum = vdotq_s32(sum, vreinterpretq_s8_s32(c), vreinterpretq_s8_s32(x)))
#include "kernel/simd/nearest_bounds.h"

void fr_nearest_fill_neondot(fr_nearest_kernels *out);

void fr_nearest_fill_neondot(fr_nearest_kernels *out) {
    out->bounds[FR_NEAREST_INT8].scan = bounds_scan;
    out->bounds[FR_NEAREST_INT8].bias = 0;
}
