/* gemm_avx512bf16.c: the same 14 x 32 tiles over pairs: VDPBF16PS multiplies two pairs and adds
 * both products to an f32 sum, so that a step does twice the work. */
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/simd/by_rows.h"

#define MR 14
#define NR 32

/* Of other widths and types. */
static void (*any_store)(const fr_gemm_store *s);

static inline __attribute__((always_inline)) void tile_bf16(const int rows, size_t steps,
                                                            const float *a, const float *b,
                                                            float *c, size_t ldc, bool add) {
    __m512 s[MR][2];
#pragma GCC unroll 14
    for (int i = 0; i < MR; i++) s[i][0] = s[i][1] = _mm512_setzero_ps();
    for (size_t p = 0; p < steps; p++) {
        __m512bh b0 = (__m512bh)_mm512_loadu_ps(b), b1 = (__m512bh)_mm512_loadu_ps(b + 16);
#pragma GCC unroll 14
        for (int i = 0; i < MR; i++) {
            if (i < rows) { /* set1 is a load here: the pair is not touched as a float */
                __m512bh x = (__m512bh)_mm512_set1_ps(a[i]);
                s[i][0] = _mm512_dpbf16_ps(s[i][0], x, b0);
                s[i][1] = _mm512_dpbf16_ps(s[i][1], x, b1);
            }
        }
        a += rows, b += NR;
    }
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

static void gemm_bf16_avx512bf16(int rows, size_t steps, const void *a, const void *b, float *c,
                                 size_t ldc, bool add) {
    FR_BY_ROWS_14(rows, tile_bf16, steps, a, b, c, ldc, add);
}

static inline __m512 widen(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

/* 32 columns to bf16, both halves rounded by one instruction, which takes denormals for zero. */
static inline void store_32(const fr_gemm_store *s, const float *t, const char *r, uint16_t *c) {
    __m512 a = _mm512_loadu_ps(t), b = _mm512_loadu_ps(t + 16);
    if (r) {
        __m512i x = _mm512_loadu_si512(r);
        a = _mm512_add_ps(a, widen(_mm512_castsi512_si256(x)));
        b = _mm512_add_ps(b, widen(_mm512_extracti64x4_epi64(x, 1)));
    }
    if (s->accumulate) {
        __m512i x = _mm512_loadu_si512(c);
        a = _mm512_add_ps(a, widen(_mm512_castsi512_si256(x)));
        b = _mm512_add_ps(b, widen(_mm512_extracti64x4_epi64(x, 1)));
    }
    __m512bh both = _mm512_cvtne2ps_pbh(b, a);
    _mm512_storeu_si512(c, (__m512i)both);
}

static void store(const fr_gemm_store *s) {
    if (!s->c_bf16 || s->cols != NR || (s->residual && !s->residual_bf16)) {
        any_store(s);
        return;
    }
    for (int i = 0; i < s->rows; i++) {
        const char *r = s->residual ? (const char *)s->residual + (size_t)i * s->ldr * 2 : NULL;
        store_32(s, s->tile + (size_t)i * s->ld, r, (uint16_t *)s->c + (size_t)i * s->ldc);
    }
}

void fr_gemm_fill_avx512bf16(fr_gemm_kernels *out) {
    any_store = out->store;
    out->store = store;
    out->tile[FR_GEMM_BF16] = gemm_bf16_avx512bf16;
}
