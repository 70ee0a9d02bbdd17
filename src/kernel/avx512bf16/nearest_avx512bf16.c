/* nearest_avx512bf16.c: the same tiles over pairs of bf16, by VDPBF16PS, and points brought to them. */
#include <immintrin.h>

#define NEAREST_DOT(x, c, sum) _mm512_dpbf16_ps(sum, (__m512bh)(x), (__m512bh)(c))
#include "kernel/simd/nearest.h"
#include "kernel/avx512/turn.h"

void fr_nearest_fill_avx512bf16(fr_nearest_kernels *out);

static void scan_bf16(const fr_nearest_scan *s) {
    nearest_heights(true, s);
}

/* 16 pairs of a row from x, of which `left` values are there. norm and lost are added to. */
INLINE __m512i round_pairs(const float *x, size_t left, __m512 *norm, __m512 *lost) {
    const __mmask16 m0 = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
    const __mmask16 m1 = left >= 32   ? 0xffff
                         : left <= 16 ? 0
                                      : (__mmask16)((1u << (left - 16)) - 1);
    __m512 a = _mm512_maskz_loadu_ps(m0, x), b = _mm512_maskz_loadu_ps(m1, x + 16);
    __m512i p = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    __m512 ra = _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_slli_epi32(
                                     _mm512_cvtepu16_epi32(_mm512_castsi512_si256(p)), 16)));
    __m512 rb = _mm512_sub_ps(b, _mm512_castsi512_ps(_mm512_slli_epi32(
                                     _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(p, 1)), 16)));
    *norm = _mm512_fmadd_ps(b, b, _mm512_fmadd_ps(a, a, *norm));
    *lost = _mm512_fmadd_ps(rb, rb, _mm512_fmadd_ps(ra, ra, *lost));
    return p;
}

static void pairs(const float *x, size_t stride, int rows, size_t width, int height, uint32_t *out,
                  float *norm, float *lost) {
    const __mmask16 keep = (__mmask16)((1u << height) - 1);
    __m512 n[16], l[16];
    for (int i = 0; i < 16; i++) n[i] = l[i] = _mm512_setzero_ps();
    for (size_t d = 0; d < width; d += 32) {
        __m512i r[16];
        for (int i = 0; i < 16; i++)
            r[i] = i < rows ? round_pairs(x + (size_t)i * stride + d, width - d, n + i, l + i)
                            : _mm512_setzero_si512();
        transpose16(r);
        uint32_t *to = out + d / 2 * (size_t)height;
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++)
            if (d + 2 * (size_t)j < width) _mm512_mask_storeu_epi32(to + j * height, keep, r[j]);
    }
    for (int i = 0; i < rows; i++) {
        norm[i] = _mm512_reduce_add_ps(n[i]);
        lost[i] = _mm512_reduce_add_ps(l[i]);
    }
}

void fr_nearest_fill_avx512bf16(fr_nearest_kernels *out) {
    out->scan_bf16 = scan_bf16;
    out->pairs = pairs;
}
