/* gemm_avx512.c: 14 x 32 tiles: 28 sums, two registers of B, one of A spread over its lanes. A step
 * costs 2 + 14 loads for 28 multiply-adds, so that even two multiply-adds a cycle are fed. */
#include <immintrin.h>

#include "kernel/avx512/turn.h"
#include "kernel/kernel.h"
#include "kernel/simd/by_rows.h"

#define MR 14
#define NR 32

#define INLINE static inline __attribute__((always_inline))

/* s += one k: rows values of A times 32 of B. */
INLINE void multiply(const int rows, __m512 s[MR][2], const float *a, __m512 b0, __m512 b1) {
#pragma GCC unroll 14
    for (int i = 0; i < MR; i++) {
        if (i < rows) {
            __m512 x = _mm512_set1_ps(a[i]);
            s[i][0] = _mm512_fmadd_ps(x, b0, s[i][0]);
            s[i][1] = _mm512_fmadd_ps(x, b1, s[i][1]);
        }
    }
}

/* The lines of C, asked for while the sums are made: they come from the last cache or from memory,
 * and every store would wait for them. */
INLINE void fetch(const int rows, const float *c, size_t ldc) {
#pragma GCC unroll 14
    for (int i = 0; i < MR; i++, c += ldc) {
        if (i < rows) {
            __builtin_prefetch(c, 1);
            __builtin_prefetch(c + 16, 1);
        }
    }
}

INLINE void finish(const int rows, __m512 s[MR][2], float *c, size_t ldc, bool add) {
#pragma GCC unroll 14
    for (int i = 0; i < MR; i++, c += ldc) {
        if (i < rows) {
            if (add) {
                s[i][0] = _mm512_add_ps(_mm512_loadu_ps(c), s[i][0]);
                s[i][1] = _mm512_add_ps(_mm512_loadu_ps(c + 16), s[i][1]);
            }
            _mm512_storeu_ps(c, s[i][0]);
            _mm512_storeu_ps(c + 16, s[i][1]);
        }
    }
}

INLINE void tile(const int rows, const bool bf16, size_t steps, const float *a, const float *b,
                 float *c, size_t ldc, bool add) {
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    __m512 s[MR][2];
#pragma GCC unroll 14
    for (int i = 0; i < MR; i++) s[i][0] = s[i][1] = _mm512_setzero_ps();
    fetch(rows, c, ldc);
    for (size_t p = 0; p < steps; p++, b += NR) {
        __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
        if (bf16) { /* the low halves are the even k, the high halves the odd ones */
            __m512i u0 = _mm512_castps_si512(b0), u1 = _mm512_castps_si512(b1);
            multiply(rows, s, a, _mm512_castsi512_ps(_mm512_slli_epi32(u0, 16)),
                     _mm512_castsi512_ps(_mm512_slli_epi32(u1, 16)));
            a += rows;
            b0 = _mm512_castsi512_ps(_mm512_and_si512(u0, high));
            b1 = _mm512_castsi512_ps(_mm512_and_si512(u1, high));
        }
        multiply(rows, s, a, b0, b1);
        a += rows;
    }
    finish(rows, s, c, ldc, add);
}

INLINE void by_rows(int rows, const bool bf16, size_t steps, const void *a, const void *b, float *c,
                    size_t ldc, bool add) {
    FR_BY_ROWS_14(rows, tile, bf16, steps, a, b, c, ldc, add);
}

static void gemm_f32_avx512(int rows, size_t steps, const void *a, const void *b, float *c,
                            size_t ldc, bool add) {
    by_rows(rows, false, steps, a, b, c, ldc, add);
}

static void gemm_f32_bf16_avx512(int rows, size_t steps, const void *a, const void *b, float *c,
                                 size_t ldc, bool add) {
    by_rows(rows, true, steps, a, b, c, ldc, add);
}

/* Rows of B lie a page or more apart, where no hardware looks ahead: they are asked for, into the
 * second cache (in the first they would push each other out), then into the first. */
#define FAR  64 /* steps */
#define NEAR 6

INLINE void first(const int rows, size_t steps, const float *a, const float *b, size_t ldb,
                  float *packed, float *c, size_t ldc, bool add) {
    __m512 s[MR][2];
#pragma GCC unroll 14
    for (int i = 0; i < MR; i++) s[i][0] = s[i][1] = _mm512_setzero_ps();
    fetch(rows, c, ldc);
    const char *row = (const char *)b;
    for (size_t p = 0; p < steps; p++, row += ldb * 4, packed += NR, a += rows) {
        __m512 b0 = _mm512_loadu_ps(row), b1 = _mm512_loadu_ps(row + 64);
        _mm_prefetch(row + FAR * ldb * 4, _MM_HINT_T1);
        _mm_prefetch(row + FAR * ldb * 4 + 64, _MM_HINT_T1);
        _mm_prefetch(row + NEAR * ldb * 4, _MM_HINT_T0);
        _mm_prefetch(row + NEAR * ldb * 4 + 64, _MM_HINT_T0);
        _mm512_storeu_ps(packed, b0);
        _mm512_storeu_ps(packed + 16, b1);
        multiply(rows, s, a, b0, b1);
    }
    finish(rows, s, c, ldc, add);
}

static void first_avx512(int rows, size_t steps, const float *a, const float *b, size_t ldb,
                         float *packed, float *c, size_t ldc, bool add) {
    FR_BY_ROWS_14(rows, first, steps, a, b, ldb, packed, c, ldc, add);
}

/* Up to 16 rows, their lanes p .. p+cols-1, to columns first .. first+lanes-1 of the panel. */
INLINE void pack_block(const char *in, size_t stride, int rows, int cols, uint32_t *out, int width,
                       int lanes) {
    __m512i r[16];
    __mmask16 load = (__mmask16)((1u << cols) - 1), keep = (__mmask16)((1u << lanes) - 1);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        r[i] = i < rows ? _mm512_maskz_loadu_epi32(load, in + (size_t)i * stride)
                        : _mm512_setzero_si512();
    transpose16(r);
    /* Constant indices keep the rows in registers. */
#pragma GCC unroll 16
    for (int j = 0; j < 16; j++)
        if (j < cols) _mm512_mask_storeu_epi32(out + (size_t)j * width, keep, r[j]);
}

/* So many streams are more than the hardware follows by itself. Into the second cache: rows at a
 * power of two would push each other out of the first. */
INLINE void fetch_rows(const char *in, size_t stride, int rows) {
    for (int i = 0; i < rows; i++) _mm_prefetch(in + (size_t)i * stride + 768, _MM_HINT_T1);
}

static void pack_rows_avx512(const void *in, size_t stride, int rows, size_t count, int width,
                             void *out) {
    for (size_t p = 0; p < count; p += 16) {
        fetch_rows((const char *)in + p * 4, stride, rows);
        int cols = count - p < 16 ? (int)(count - p) : 16;
        for (int g = 0; g < width; g += 16) {
            const char *from = (const char *)in + (size_t)g * stride + p * 4;
            int have = rows - g < 0 ? 0 : rows - g;
            int lanes = width - g < 16 ? width - g : 16;
            uint32_t *to = (uint32_t *)out + p * width + g;
            if (have >= 16 && cols == 16 && lanes == 16) {
                pack_block(from, stride, 16, 16, to, width, 16);
            } else {
                pack_block(from, stride, have, cols, to, width, lanes);
            }
        }
    }
}

/* Rows a page apart again: so many ahead of their use. */
#define AHEAD 32

/* 16 lanes or fewer of a panel. Whole stores are quicker than masked ones; what they write too much, the next
 * steps write again: `left` lanes of them. */
INLINE void put_lanes(uint32_t *out, __m512i x, int lanes, size_t left) {
    if (lanes >= 16 || left >= 16)
        _mm512_storeu_si512(out, x);
    else
        _mm512_mask_storeu_epi32(out, (__mmask16)((1u << lanes) - 1), x);
}

INLINE uint32_t mask_of(int values) {
    return values >= 16 ? 0xffff : values <= 0 ? 0 : (1u << values) - 1;
}

static void pack_cols_avx512(const void *in, size_t stride, int cols, size_t count, int width,
                             void *out) {
    const char *row = in;
    uint32_t *o = out;
    for (size_t p = 0; p < count; p++, row += stride, o += width) {
        size_t left = (count - p) * (size_t)width;
        for (int g = 0; g < width; g += 16) {
            _mm_prefetch(row + AHEAD * stride + (size_t)g * 4, _MM_HINT_T0);
            __mmask16 have = (__mmask16)mask_of(cols - g);
            put_lanes(o + g, _mm512_maskz_loadu_epi32(have, row + (size_t)g * 4), width - g,
                      left - (size_t)g);
        }
    }
}

static void pack_pairs_avx512(const void *in, size_t stride, int cols, size_t count, int width,
                              void *out) {
    const char *row = in;
    uint32_t *o = out;
    for (size_t p = 0; p < count; p += 2, row += 2 * stride, o += width) {
        size_t left = (count - p + 1) / 2 * (size_t)width;
        for (int g = 0; g < width; g += 16) {
            const char *at = row + (size_t)g * 2;
            _mm_prefetch(at + AHEAD * stride, _MM_HINT_T0);
            _mm_prefetch(at + AHEAD * stride + stride, _MM_HINT_T0);
            __mmask16 have = (__mmask16)mask_of(cols - g), both = p + 1 < count ? have : 0;
            __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(have, at));
            __m512i up = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(both, at + stride));
            put_lanes(o + g, _mm512_or_si512(low, _mm512_slli_epi32(up, 16)), width - g,
                      left - (size_t)g);
        }
    }
}

void fr_gemm_fill_avx512(fr_gemm_kernels *out) {
    out->mr = MR;
    out->nr = NR;
    out->tile[FR_GEMM_F32] = gemm_f32_avx512;
    out->tile[FR_GEMM_F32_BF16] = gemm_f32_bf16_avx512;
    out->first = first_avx512;
    out->pack_rows = pack_rows_avx512;
    out->pack_cols = pack_cols_avx512;
    out->pack_pairs = pack_pairs_avx512;
}
