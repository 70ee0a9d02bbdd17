/* e2m1.h: the 4-bit float of NVFP4 and MXFP4: a sign (bit 3) and one of 0, 0.5, 1, 1.5, 2, 3, 4, 6. */
#ifndef FR_FORMAT_E2M1_H
#define FR_FORMAT_E2M1_H

#include <math.h>

#include "format/format.h"

static inline float fr_e2m1_value(unsigned code) {
    static const float value[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                    -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
    return value[code & 15u];
}

/* The code of x: the nearest value, ties to the even code, 6 for all that is larger. dither: 0, or a
 * number in [-0.5, 0.5), in steps of the grid about x, for stochastic rounding. What rounds to zero
 * keeps its sign. The three cases are the steps 0.5, 1 and 2 of the grid. */
static inline unsigned fr_e2m1_code(float x, float dither) {
    float a = fabsf(x);
    unsigned sign = signbit(x) ? 8u : 0u;
    if (a < 2.0f) return sign | (unsigned)rintf(2.0f * a + dither);
    if (a < 4.0f) return sign | (2u + (unsigned)rintf(a + dither));
    return sign | (rintf(a / 2.0f + dither) > 2.0f ? 7u : 6u);
}

/* The dither of the value at `place` (row * cols + col): the same wherever work is cut. */
#define FR_DITHER_STREAM 0x66726469746865ull /* "frdithe": the seed may serve other streams too */
static inline float fr_dither(const fr_quant_opts *o, int64_t place) {
    uint32_t word;
    if (!o || !o->stochastic) return 0.0f;
    fr_random_u32(o->seed, FR_DITHER_STREAM, (uint64_t)place, &word, 1);
    return (float)(word >> 8) * 0x1p-24f - 0.5f;
}

#endif
