/* attn_rope.c: turning pairs of values by angles (RoFormer, Su et al. 2021). */
#include "kernel/simd/attn.h"

static inline void put(void *out, bool half, int64_t at, vf32 v, size_t n) {
    if (n == FR_VLEN) {
        if (half)
            vstore_bf16((uint16_t *)out + at, v);
        else
            vstore((float *)out + at, v);
    } else if (half)
        vstore_bf16_n((uint16_t *)out + at, v, n);
    else
        vstore_n((float *)out + at, v, n);
}

void FR_NAME(rope_split)(const void *x, void *out, bool half, int64_t pairs, const float *cosine,
                         const float *sine) {
    int64_t i = 0;
    for (; i + FR_VLEN <= pairs; i += FR_VLEN) {
        vf32 a = attn_load(x, half, i), b = attn_load(x, half, pairs + i);
        vf32 c = vload(cosine + i), s = vload(sine + i);
        put(out, half, i, vfnma(b, s, vmul(a, c)), FR_VLEN);
        put(out, half, pairs + i, vfma(a, s, vmul(b, c)), FR_VLEN);
    }
    if (i < pairs) {
        size_t n = (size_t)(pairs - i);
        vf32 a = attn_load_n(x, half, i, n), b = attn_load_n(x, half, pairs + i, n);
        vf32 c = vload_n(cosine + i, n), s = vload_n(sine + i, n);
        put(out, half, i, vfnma(b, s, vmul(a, c)), n);
        put(out, half, pairs + i, vfma(a, s, vmul(b, c)), n);
    }
}

/* The compiler takes the even and odd values apart; a block goes through a buffer, for bf16 and for
 * out == x. */
void FR_NAME(rope_pairs)(const void *x, void *out, bool half, int64_t pairs, const float *cosine,
                         const float *sine) {
    float in[2 * FR_VLEN], to[2 * FR_VLEN];
    for (int64_t i = 0; i < pairs; i += FR_VLEN) {
        int64_t left = 2 * (pairs - i);
        for (int h = 0; h < 2 && h * FR_VLEN < left; h++) {
            int64_t at = 2 * i + h * FR_VLEN, n = left - h * FR_VLEN;
            vstore(in + h * FR_VLEN,
                   n >= FR_VLEN ? attn_load(x, half, at) : attn_load_n(x, half, at, (size_t)n));
        }
        int64_t m = pairs - i < FR_VLEN ? pairs - i : FR_VLEN;
        for (int64_t j = 0; j < m; j++) {
            float a = in[2 * j], b = in[2 * j + 1], c = cosine[i + j], s = sine[i + j];
            to[2 * j] = fmaf(-b, s, a * c);
            to[2 * j + 1] = fmaf(a, s, b * c);
        }
        for (int h = 0; h < 2 && h * FR_VLEN < left; h++) {
            int64_t n = left - h * FR_VLEN;
            put(out, half, 2 * i + h * FR_VLEN, vload(to + h * FR_VLEN),
                (size_t)(n < FR_VLEN ? n : FR_VLEN));
        }
    }
}
