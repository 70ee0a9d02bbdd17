/* small_floats.h: the small float types in plain C, for references and for what no vector takes. */
#ifndef FR_KERNEL_SMALL_FLOATS_H
#define FR_KERNEL_SMALL_FLOATS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float small_from_bf16(uint32_t h) {
    uint32_t u = h << 16;
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static inline uint16_t small_to_bf16(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40); /* quiet NaN */
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

/* A float of `mantissa` bits whose exponent field has the given bias: magnitude bits only. */
static inline float small_value(unsigned bits, int mantissa, int bias) {
    unsigned e = bits >> mantissa, m = bits & ((1u << mantissa) - 1);
    if (!e) return ldexpf((float)m, 1 - bias - mantissa);
    return ldexpf((float)(m | 1u << mantissa), (int)e - bias - mantissa);
}

/* The magnitude bits nearest to x >= 0, ties to even, without regard to the largest there is. */
static inline unsigned small_nearest(float x, int mantissa, int bias) {
    int e;
    if (x == 0) return 0;
    frexpf(x, &e); /* x = f 2^e, 0.5 <= f < 1 */
    e = e - 1 < 1 - bias ? 1 - bias : e - 1;
    unsigned steps = (unsigned)rintf(ldexpf(x, mantissa - e));
    return ((unsigned)(e + bias - 1) << mantissa) + steps;
}

static inline float small_from_f16(unsigned h) {
    float x =
        (h & 0x7c00) == 0x7c00 ? (h & 0x3ff ? NAN : INFINITY) : small_value(h & 0x7fff, 10, 15);
    return h & 0x8000 ? -x : x;
}

/* x rounded to f16, finite: what is larger becomes 65504. NaN stays. */
static inline float small_round_f16(float x) {
    if (x != x) return x;
    float a = fabsf(x);
    a = a >= 65504.0f ? 65504.0f : small_value(small_nearest(a, 10, 15), 10, 15);
    return copysignf(a, x);
}

static inline float small_from_e4m3(unsigned b) {
    float x = (b & 0x7f) == 0x7f ? NAN : small_value(b & 0x7f, 3, 7);
    return b & 0x80 ? -x : x;
}

/* x rounded to E4M3, finite: what is larger becomes 448. NaN stays. */
static inline float small_round_e4m3(float x) {
    if (x != x) return x;
    float a = fabsf(x);
    a = a >= 448.0f ? 448.0f : small_value(small_nearest(a, 3, 7), 3, 7);
    return copysignf(a, x);
}

static inline float small_from_e5m2(unsigned b) {
    return small_from_f16((b & 0xff) << 8);
}

#endif
