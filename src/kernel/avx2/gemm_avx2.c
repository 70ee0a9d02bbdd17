/* gemm_avx2.c: 6 x 16 tiles: 12 sums, two registers of B, one of A spread over its lanes. */
#include <immintrin.h>

#include "kernel/kernel.h"

#define MR 6
#define NR 16

#define INLINE static inline __attribute__((always_inline))

/* s += one k: rows values of A times 16 of B. */
INLINE void multiply(const int rows, __m256 s[MR][2], const float *a, __m256 b0, __m256 b1) {
#pragma GCC unroll 6
    for (int i = 0; i < MR; i++) {
        if (i < rows) {
            __m256 x = _mm256_broadcast_ss(a + i);
            s[i][0] = _mm256_fmadd_ps(x, b0, s[i][0]);
            s[i][1] = _mm256_fmadd_ps(x, b1, s[i][1]);
        }
    }
}

INLINE __m256 even(__m256 pairs) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pairs), 16));
}
INLINE __m256 odd(__m256 pairs) {
    return _mm256_and_ps(pairs, _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000u)));
}

INLINE void tile(const int rows, const bool bf16, size_t steps, const float *a, const float *b,
                 float *c, size_t ldc, bool add) {
    __m256 s[MR][2];
#pragma GCC unroll 6
    for (int i = 0; i < MR; i++) s[i][0] = s[i][1] = _mm256_setzero_ps();
    for (size_t p = 0; p < steps; p++, b += NR) {
        if (bf16) { /* the low halves are the even k, the high halves the odd ones */
            multiply(rows, s, a, even(_mm256_loadu_ps(b)), even(_mm256_loadu_ps(b + 8)));
            a += rows;
            multiply(rows, s, a, odd(_mm256_loadu_ps(b)), odd(_mm256_loadu_ps(b + 8)));
        } else {
            multiply(rows, s, a, _mm256_loadu_ps(b), _mm256_loadu_ps(b + 8));
        }
        a += rows;
    }
#pragma GCC unroll 6
    for (int i = 0; i < MR; i++, c += ldc) {
        if (i < rows) {
            if (add) {
                s[i][0] = _mm256_add_ps(_mm256_loadu_ps(c), s[i][0]);
                s[i][1] = _mm256_add_ps(_mm256_loadu_ps(c + 8), s[i][1]);
            }
            _mm256_storeu_ps(c, s[i][0]);
            _mm256_storeu_ps(c + 8, s[i][1]);
        }
    }
}

INLINE void by_rows(int rows, const bool bf16, size_t steps, const void *a, const void *b, float *c,
                    size_t ldc, bool add) {
    switch (rows) {
    case 1: tile(1, bf16, steps, a, b, c, ldc, add); break;
    case 2: tile(2, bf16, steps, a, b, c, ldc, add); break;
    case 3: tile(3, bf16, steps, a, b, c, ldc, add); break;
    case 4: tile(4, bf16, steps, a, b, c, ldc, add); break;
    case 5: tile(5, bf16, steps, a, b, c, ldc, add); break;
    default: tile(6, bf16, steps, a, b, c, ldc, add); break;
    }
}

static void gemm_f32_avx2(int rows, size_t steps, const void *a, const void *b, float *c,
                          size_t ldc, bool add) {
    by_rows(rows, false, steps, a, b, c, ldc, add);
}

static void gemm_f32_bf16_avx2(int rows, size_t steps, const void *a, const void *b, float *c,
                               size_t ldc, bool add) {
    by_rows(rows, true, steps, a, b, c, ldc, add);
}

/* Turns 8 x 8. */
INLINE void transpose8(__m256 r[8]) {
    __m256 t[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) { /* r[4i + q]: column q of each half, rows 4i .. 4i+3 */
        r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
        r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
        t[q] = _mm256_permute2f128_ps(r[q], r[4 + q], 0x20);
        t[4 + q] = _mm256_permute2f128_ps(r[q], r[4 + q], 0x31);
    }
#pragma GCC unroll 8
    for (int q = 0; q < 8; q++) r[q] = t[q];
}

static __m256i first_lanes(int n) {
    static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0};
    return _mm256_loadu_si256((const __m256i *)(window + 8 - n));
}

/* Up to 8 rows, `cols` of their lanes, to `lanes` columns of the panel. */
static void pack_block(const char *in, size_t stride, int rows, int cols, float *out, int width,
                       int lanes) {
    __m256 r[8];
    __m256i load = first_lanes(cols), keep = first_lanes(lanes);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        r[i] = i < rows ? _mm256_maskload_ps((const float *)(in + (size_t)i * stride), load)
                        : _mm256_setzero_ps();
    transpose8(r);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        if (j < cols) _mm256_maskstore_ps(out + (size_t)j * width, keep, r[j]);
}

static void pack_rows_avx2(const void *in, size_t stride, int rows, size_t count, int width,
                           void *out) {
    for (size_t p = 0; p < count; p += 8) {
        int cols = count - p < 8 ? (int)(count - p) : 8;
        for (int g = 0; g < width; g += 8) {
            const char *from = (const char *)in + (size_t)g * stride + p * 4;
            int have = rows - g < 0 ? 0 : rows - g;
            int lanes = width - g < 8 ? width - g : 8;
            pack_block(from, stride, have, cols, (float *)out + p * width + g, width, lanes);
        }
    }
}

void fr_gemm_fill_avx2(fr_gemm_kernels *out) {
    out->mr = MR;
    out->nr = NR;
    out->tile[FR_GEMM_F32] = gemm_f32_avx2;
    out->tile[FR_GEMM_F32_BF16] = gemm_f32_bf16_avx2;
    out->pack_rows = pack_rows_avx2;
}
