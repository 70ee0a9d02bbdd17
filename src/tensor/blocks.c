/* blocks.c: GGUF's block formats, decoded to the bit as their reference does it.
 *
 * Simple formats: 32 values, one f16 scale d, for the "_1" kinds an f16 offset m:
 *
 *     Q4_0  d, 16 bytes of nibbles             x = d (q - 8)
 *     Q4_1  d, m, 16 bytes of nibbles          x = d q + m
 *     Q5_0  d, 32 fifth bits, 16 bytes         x = d (q - 16)
 *     Q5_1  d, m, 32 fifth bits, 16 bytes      x = d q + m
 *     Q8_0  d, 32 signed bytes                 x = d q
 *
 * In byte i of the nibbles the low one is value i and the high one is value i + 16.
 *
 * K formats: 256 values in groups with scales of their own, which are small integers times an f16:
 *
 *     Q4_K  d, dmin, 8 pairs of 6-bit (s, m), nibbles             x = (d s) q - (dmin m)
 *     Q5_K  the same, then 256 fifth bits, nibbles                x = (d s) q - (dmin m)
 *     Q6_K  nibbles, 256 pairs of high bits, 16 signed s, d       x = (d s) (q - 32)
 *
 * Every product and sum is a single float operation in that order. */
#include "tensor/blocks.h"

#include <math.h>

static float half_at(const uint8_t *p) {
    return fr_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static uint32_t word_at(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void decode_q4_0(const uint8_t *in, float *out) {
    float d = half_at(in);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((in[2 + i] & 15) - 8);
        out[i + 16] = d * (float)((in[2 + i] >> 4) - 8);
    }
}

static void decode_q4_1(const uint8_t *in, float *out) {
    float d = half_at(in), m = half_at(in + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(in[4 + i] & 15) + m;
        out[i + 16] = d * (float)(in[4 + i] >> 4) + m;
    }
}

/* The fifth bit of value i, at its place. */
static int fifth(uint32_t bits, int i) {
    return (int)(bits >> i & 1) << 4;
}

static void decode_q5_0(const uint8_t *in, float *out) {
    float d = half_at(in);
    uint32_t high = word_at(in + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(((in[6 + i] & 15) | fifth(high, i)) - 16);
        out[i + 16] = d * (float)(((in[6 + i] >> 4) | fifth(high, i + 16)) - 16);
    }
}

static void decode_q5_1(const uint8_t *in, float *out) {
    float d = half_at(in), m = half_at(in + 2);
    uint32_t high = word_at(in + 4);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((in[8 + i] & 15) | fifth(high, i)) + m;
        out[i + 16] = d * (float)((in[8 + i] >> 4) | fifth(high, i + 16)) + m;
    }
}

static void decode_q8_0(const uint8_t *in, float *out) {
    float d = half_at(in);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)in[2 + i];
}

/* Group g of Q4_K and Q5_K: its 6-bit scale and offset in the 12 packed bytes. The first four pairs
 * lie in the low six bits; the others are nibbles whose top two bits sit above the first four. */
static void k_scale(const uint8_t *p, int g, float *scale, float *offset) {
    int s, m;
    if (g < 4) {
        s = p[g] & 63;
        m = p[g + 4] & 63;
    } else {
        s = (p[g + 4] & 15) | (p[g - 4] >> 6) << 4;
        m = (p[g + 4] >> 4) | (p[g] >> 6) << 4;
    }
    *scale = (float)s;
    *offset = (float)m;
}

static void decode_q4_k(const uint8_t *in, float *out) {
    float d = half_at(in), dmin = half_at(in + 2), scale, offset;
    const uint8_t *nibbles = in + 16;
    for (int g = 0; g < 8; g++) {
        k_scale(in + 4, g, &scale, &offset);
        float ds = d * scale, dm = dmin * offset;
        for (int i = 0; i < 32; i++) {
            int q = nibbles[g / 2 * 32 + i] >> (g & 1) * 4 & 15;
            out[g * 32 + i] = ds * (float)q - dm;
        }
    }
}

static void decode_q5_k(const uint8_t *in, float *out) {
    float d = half_at(in), dmin = half_at(in + 2), scale, offset;
    const uint8_t *high = in + 16, *nibbles = in + 48;
    for (int g = 0; g < 8; g++) {
        k_scale(in + 4, g, &scale, &offset);
        float ds = d * scale, dm = dmin * offset;
        for (int i = 0; i < 32; i++) {
            int q = (nibbles[g / 2 * 32 + i] >> (g & 1) * 4 & 15) | (high[i] >> g & 1) << 4;
            out[g * 32 + i] = ds * (float)q - dm;
        }
    }
}

/* Two halves of 128 values; in each, rows of 32: the low nibbles of 64 bytes, then the high ones,
 * and for row r the bits 2r, 2r + 1 of 32 bytes. */
static void decode_q6_k(const uint8_t *in, float *out) {
    const int8_t *scale = (const int8_t *)(in + 192);
    float d = half_at(in + 208);
    for (int at = 0; at < 256; at++) {
        int half = at / 128, row = at / 32 % 4, i = at % 32;
        int low = in[half * 64 + (row & 1) * 32 + i] >> (row >> 1) * 4 & 15;
        int high = in[128 + half * 32 + i] >> row * 2 & 3;
        out[at] = d * (float)scale[at / 16] * (float)((low | high << 4) - 32);
    }
}

bool fr_decode_blocks(fr_dtype t, const uint8_t *in, size_t n, float *out) {
    void (*decode)(const uint8_t *, float *);
    switch (t) {
    case FR_Q4_0: decode = decode_q4_0; break;
    case FR_Q4_1: decode = decode_q4_1; break;
    case FR_Q5_0: decode = decode_q5_0; break;
    case FR_Q5_1: decode = decode_q5_1; break;
    case FR_Q8_0: decode = decode_q8_0; break;
    case FR_Q4_K: decode = decode_q4_k; break;
    case FR_Q5_K: decode = decode_q5_k; break;
    case FR_Q6_K: decode = decode_q6_k; break;
    default: return false;
    }
    const fr_dtype_info *info = fr_dtype_get(t);
    size_t block = (size_t)info->block, bytes = (size_t)info->bytes;
    for (size_t i = 0; i < n / block; i++) decode(in + i * bytes, out + i * block);
    return true;
}

/* d = max |x| / 127, q = round(x / d), halves away from zero; a block with a value that is not
 * finite keeps no meaning, but its bytes are still well defined. */
void fr_encode_q8_0(const float *in, size_t n, uint8_t *out) {
    for (size_t b = 0; b < n / 32; b++, in += 32, out += 34) {
        float largest = 0.0f;
        for (int i = 0; i < 32; i++) largest = fmaxf(largest, fabsf(in[i]));
        float d = largest / 127.0f, inverse = d == 0.0f ? 0.0f : 1.0f / d;
        uint16_t half = fr_f32_to_f16(d);
        out[0] = (uint8_t)half;
        out[1] = (uint8_t)(half >> 8);
        for (int i = 0; i < 32; i++) {
            float q = roundf(in[i] * inverse);
            /* Out of range only where 1 / d overflowed, and then d itself becomes 0. */
            out[2 + i] = q >= -127.0f && q <= 127.0f ? (uint8_t)(int8_t)q : 0;
        }
    }
}
