/* convert_ref.c: the meaning of the conversions, in plain C. */
#include <string.h>

#include "kernel/convert_list.h"

static float from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}
static uint32_t to_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

void convert_bf16_to_f32_ref(const uint16_t *in, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = from_bits((uint32_t)in[i] << 16);
}

void convert_f32_to_bf16_ref(const float *in, size_t n, uint16_t *out) {
    for (size_t i = 0; i < n; i++) {
        uint32_t u = to_bits(in[i]);
        if ((u & 0x7fffffffu) > 0x7f800000u)
            out[i] = (uint16_t)(u >> 16 | 0x40);
        else
            out[i] = (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
}

/* Denormals are whole multiples of 2^-24; a NaN keeps its payload and becomes quiet. */
static float f16_value(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff;
    if (e == 31) return from_bits(sign | 0x7f800000u | m << 13 | (m ? 0x400000u : 0));
    if (e) return from_bits(sign | (e + 112) << 23 | m << 13);
    float v = (float)m * 0x1p-24f;
    return sign ? -v : v;
}

static uint16_t f16_round(float x) {
    uint32_t u = to_bits(x), sign = u >> 16 & 0x8000, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00); /* 65520 and more */
    if (a < 0x38800000u) {
        /* Below 2^-14: adding 0.5 rounds to a multiple of 2^-24, nearest even. */
        uint32_t m = to_bits(from_bits(a) + 0.5f) - 0x3f000000u;
        return (uint16_t)(sign | m);
    }
    uint32_t r = a + 0xfff + (a >> 13 & 1);
    return (uint16_t)(sign | (r - 0x38000000u) >> 13);
}

void convert_f16_to_f32_ref(const uint16_t *in, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = f16_value(in[i]);
}
void convert_f32_to_f16_ref(const float *in, size_t n, uint16_t *out) {
    for (size_t i = 0; i < n; i++) out[i] = f16_round(in[i]);
}
