/* nearest_avx512bf16.c: bounds from pairs of bf16 by VDPBF16PS, and points brought to them. */
#include <immintrin.h>

#define BOUNDS_FLOATS
#define BOUNDS_DOT(x, c, sum) (sum = _mm512_dpbf16_ps(sum, (__m512bh)(x), (__m512bh)(c)))
#include "kernel/simd/nearest_bounds.h"

void fr_nearest_fill_avx512bf16(fr_nearest_kernels *out);

INLINE __m512 widen(__m256i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* 32 values, of which `left` are there, as 16 pairs. norm and lost are added to. */
INLINE __m512i round_pairs(const float *x, const float *middle, size_t left, __m512 norm[2],
                           __m512 lost[2]) {
    const __mmask16 m0 = (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
    const __mmask16 m1 = (__mmask16)(left >= 32   ? 0xffff
                                     : left <= 16 ? 0
                                                  : (1u << (left - 16)) - 1);
    __m512 a = _mm512_sub_ps(_mm512_maskz_loadu_ps(m0, x), _mm512_maskz_loadu_ps(m0, middle));
    __m512 b =
        _mm512_sub_ps(_mm512_maskz_loadu_ps(m1, x + 16), _mm512_maskz_loadu_ps(m1, middle + 16));
    __m512i p = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    __m512 ra = _mm512_sub_ps(a, widen(_mm512_castsi512_si256(p)));
    __m512 rb = _mm512_sub_ps(b, widen(_mm512_extracti64x4_epi64(p, 1)));
    norm[0] = _mm512_fmadd_ps(a, a, norm[0]), norm[1] = _mm512_fmadd_ps(b, b, norm[1]);
    lost[0] = _mm512_fmadd_ps(ra, ra, lost[0]), lost[1] = _mm512_fmadd_ps(rb, rb, lost[1]);
    return p;
}

static void pairs_row(const float *x, const float *middle, size_t width, uint32_t *out, float *norm,
                      float *lost) {
    const __m512 zero = _mm512_setzero_ps();
    __m512 n[2] = {zero, zero}, l[2] = {zero, zero};
    size_t d = 0;
    for (; d + 32 <= width; d += 32)
        _mm512_storeu_si512(out + d / 2, round_pairs(x + d, middle + d, 32, n, l));
    if (d < width) {
        const __mmask16 keep = (__mmask16)((1u << (width - d + 1) / 2) - 1);
        _mm512_mask_storeu_epi32(out + d / 2, keep,
                                 round_pairs(x + d, middle + d, width - d, n, l));
    }
    *norm = _mm512_reduce_add_ps(_mm512_add_ps(n[0], n[1]));
    *lost = _mm512_reduce_add_ps(_mm512_add_ps(l[0], l[1]));
}

static float pairs(const float *rows, size_t count, size_t stride, const float *middle,
                   size_t width, int bias, uint32_t *out, size_t out_stride, float *norm,
                   float *lost) {
    (void)bias;
    for (size_t i = 0; i < count; i++)
        pairs_row(rows + i * stride, middle, width, out + i * out_stride, norm + i, lost + i);
    return 1;
}

void fr_nearest_fill_avx512bf16(fr_nearest_kernels *out) {
    out->bounds[FR_NEAREST_BF16].scan = bounds_scan;
    out->bounds[FR_NEAREST_BF16].round = pairs;
}
