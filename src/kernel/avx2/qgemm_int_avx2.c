/* qgemm_int_avx2.c: low-bit products with whole numbers, without a dot instruction.
 *
 * VPMADDUBSW multiplies unsigned with signed bytes and adds neighbours in 16 bits, cutting off what does
 * not fit. A code of 4 bits (NVFP4: 0 .. 24) fits many times: 8 steps of 2 * 15 * 127 stay below 2^15, and
 * so do all 16 steps of a group of W4A4. Weights of 8 bits do not fit once: even and odd k are taken apart
 * into 16 bits on both sides. */
#include <immintrin.h>
#include <string.h>

#include "kernel/kernel.h"

#define INLINE static inline __attribute__((always_inline))

#define DOT_STEPS 8

INLINE __m256i dot(const bool first, __m256i sums, __m256i w, __m256i a) {
    __m256i products = _mm256_maddubs_epi16(w, a);
    return first ? products : _mm256_add_epi16(sums, products);
}
INLINE __m256i dot_read(__m256i sums) {
    return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}
INLINE __m256i dot_times(__m256i sums, __m256i by) {
    return _mm256_madd_epi16(sums, _mm256_or_si256(by, _mm256_slli_epi32(by, 16)));
}

#include "kernel/avx2/qgemm_nibbles.h"

/* ---- W8A8 ---- */

enum { GROUP = 128 };

/* The codes of a group, with 16 bits each: even k in the first half, odd k in the second. */
INLINE void widen(const int8_t *a, int16_t out[GROUP]) {
    for (int k = 0; k < GROUP; k += 32) {
        __m256i both = _mm256_load_si256((const __m256i *)(a + k));
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(both, 8), 8);
        _mm256_store_si256((__m256i *)(out + k / 2), even);
        _mm256_store_si256((__m256i *)(out + GROUP / 2 + k / 2), _mm256_srai_epi16(both, 8));
    }
}

INLINE void bytes_step(const int rows, const uint8_t *b, const int16_t *a, __m256i s[MR][2]) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
        __m256i both = _mm256_load_si256((const __m256i *)b + j);
        __m256i even = _mm256_and_si256(both, _mm256_set1_epi16(255));
        __m256i odd = _mm256_srli_epi16(both, 8);
#pragma GCC unroll 6
        for (int i = 0; i < MR; i++) {
            if (i < rows) {
                const char *x = (const char *)(a + i * GROUP);
                s[i][j] = _mm256_add_epi32(s[i][j], _mm256_madd_epi16(even, four_codes(x)));
                s[i][j] = _mm256_add_epi32(s[i][j], _mm256_madd_epi16(odd, four_codes(x + GROUP)));
            }
        }
    }
}

INLINE void w8a8_tile(const int rows, const fr_qtile *t) {
    _Alignas(64) int16_t wide[MR * GROUP];
    __m256i s[MR][2];
#pragma GCC unroll 6
    for (int i = 0; i < MR; i++) {
        if (i < rows) {
            s[i][0] = s[i][1] = four_codes((const char *)t->a + (size_t)i * t->lda + t->row->start);
            if (t->add) s[i][0] = at(t, i)[0], s[i][1] = at(t, i)[1];
        }
    }
    for (int64_t g = t->g0; g < t->g0 + t->groups; g++) {
        const uint8_t *b = (const uint8_t *)t->b + (size_t)g * (GROUP * NR);
        for (int i = 0; i < rows; i++)
            widen((const int8_t *)t->a + (size_t)i * t->lda + (size_t)g * GROUP, wide + i * GROUP);
        for (int k = 0; k < GROUP; k += 4) bytes_step(rows, b + k * NR, wide + k / 2, s);
    }
#pragma GCC unroll 6
    for (int i = 0; i < MR; i++)
        if (i < rows) at(t, i)[0] = s[i][0], at(t, i)[1] = s[i][1];
}

static void w8a8(const fr_qtile *t) {
    switch (t->rows) {
    case 1: w8a8_tile(1, t); break;
    case 2: w8a8_tile(2, t); break;
    case 3: w8a8_tile(3, t); break;
    case 4: w8a8_tile(4, t); break;
    case 5: w8a8_tile(5, t); break;
    default: w8a8_tile(6, t); break;
    }
}

void fr_qgemm_fill_avx2_int(fr_qgemm_kernels *out) {
    nibbles_fill(out);
    out->way[FR_Q_W8A8] = (struct fr_qgemm_way){MR, NR, w8a8};
}
