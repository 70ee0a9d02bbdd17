/* peak_avx512vnni.c: VPDPBUSD: 64 products of bytes into 16 sums. In assembly, because gcc 12
 * copies and spills the sums of the intrinsic, which halves the rate. */
#include <immintrin.h>

#include "kernel/kernel.h"

#define SUMS 24

static double peak_int8_avx512vnni(size_t rounds, float *sink) {
    __m512i s[SUMS], a = _mm512_set1_epi8((char)(3 + (int)*sink)), b = _mm512_set1_epi8(1);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) s[i] = _mm512_set1_epi32(i);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) __asm__("vpdpbusd %2, %1, %0" : "+v"(s[i]) : "v"(a), "v"(b));
    }
#pragma GCC unroll 24
    for (int i = 1; i < SUMS; i++) s[0] = _mm512_add_epi32(s[0], s[i]);
    *sink += (float)_mm512_reduce_add_epi32(s[0]) * 1e-30f;
    return 128.0 * SUMS * (double)rounds;
}

void fr_peak_fill_avx512vnni(fr_peak_kernels *out) {
    out->int8 = peak_int8_avx512vnni;
}
