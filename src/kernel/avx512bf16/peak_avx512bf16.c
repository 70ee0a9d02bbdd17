/* peak_avx512bf16.c: VDPBF16PS: 32 products of bf16 into 16 sums. */
#include <immintrin.h>

#include "kernel/kernel.h"

#define SUMS 24

static double peak_bf16_avx512bf16(size_t rounds, float *sink) {
    __m512 s[SUMS];
    __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f + *sink), _mm512_set1_ps(0.5f));
    __m512bh b = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1), _mm512_set1_ps(-1));
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) s[i] = _mm512_set1_ps((float)i);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) s[i] = _mm512_dpbf16_ps(s[i], a, b);
    }
#pragma GCC unroll 24
    for (int i = 1; i < SUMS; i++) s[0] = _mm512_add_ps(s[0], s[i]);
    *sink += _mm512_reduce_add_ps(s[0]) * 1e-30f;
    return 64.0 * SUMS * (double)rounds;
}

void fr_peak_fill_avx512bf16(fr_peak_kernels *out) {
    out->bf16 = peak_bf16_avx512bf16;
}
