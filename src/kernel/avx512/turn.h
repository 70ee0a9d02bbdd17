/* turn.h: rows and columns of 16 vectors of 16 exchanged. */
#ifndef FR_KERNEL_AVX512_TURN_H
#define FR_KERNEL_AVX512_TURN_H

#include <immintrin.h>

/* Turns 16 x 16: at each level, pairs of rows at twice the distance exchange halves. */
static inline __attribute__((always_inline)) void transpose16(__m512i r[16]) {
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* r[4i + q]: column q of each 128-bit part, rows 4i .. 4i+3 */
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) { /* parts 0 and 2, then 1 and 3, of two groups of rows */
        t[q] = _mm512_shuffle_i32x4(r[q], r[4 + q], 0x88);
        t[4 + q] = _mm512_shuffle_i32x4(r[q], r[4 + q], 0xdd);
        t[8 + q] = _mm512_shuffle_i32x4(r[8 + q], r[12 + q], 0x88);
        t[12 + q] = _mm512_shuffle_i32x4(r[8 + q], r[12 + q], 0xdd);
    }
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
        r[q] = _mm512_shuffle_i32x4(t[q], t[8 + q], 0x88);
        r[8 + q] = _mm512_shuffle_i32x4(t[q], t[8 + q], 0xdd);
        r[4 + q] = _mm512_shuffle_i32x4(t[4 + q], t[12 + q], 0x88);
        r[12 + q] = _mm512_shuffle_i32x4(t[4 + q], t[12 + q], 0xdd);
    }
}

#endif
