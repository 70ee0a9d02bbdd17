/* qgemm_nvfp4_avx512vnni.c: NVFP4 by NVFP4, in blocks of 16: a table of 16 bytes turns the E2M1
 * codes of the weights into 2 E2M1 + 12, unsigned, which VPDPBUSD multiplies with the codes of the
 * row, 4 values of k at a time.
 *
 * A part is 6 rows by 32 columns with all sums in registers, as in qgemm_w4a4_avx512vnni.c. Here 4
 * VPDPBUSD stand beside the 2 float multiplications: the bound is 67% of the peak. */
#include <immintrin.h>

#include "kernel/avx512vnni/qgemm_parts.h"
#include "kernel/kernel.h"

#define MR    12
#define NR    32
#define PART  QGEMM_PART
#define BLOCK 16
/* Blocks that the second part reads again before they have left the second cache. */
#define CHUNK 192
/* How many bytes of codes before their use memory is asked for them. */
#define AHEAD 4096

/* Assembly, because gcc 12 copies and spills the sums of the intrinsic. */
static inline __attribute__((always_inline)) void dot(__m512i *sum, __m512i weights,
                                                      const void *four) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0"
            : "+v"(*sum)
            : "v"(weights), "m"(*(const int32_t *)four));
}

/* 16 scales, each divided by 2^8, exact: E4M3 moved up by 7 bits is the f16 of that value, even a
 * subnormal one. The sums are kept as much too small. Formats let no sign and no NaN in here. */
static inline __m512 scales8(const void *at) {
    __m256i h = _mm256_cvtepu8_epi16(_mm_load_si128(at));
    return _mm512_cvtph_ps(_mm256_slli_epi16(h, 7));
}

static inline __attribute__((always_inline)) void part(const int rows, const fr_qtile *t, int row,
                                                       int64_t g0, int64_t groups, bool add) {
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i doubled = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const char *b = fr_qpanel_codes(t->panel, t->b, g0);
    const char *s = (const char *)t->b + t->panel->scales + g0 * NR;
    const char *x[PART]; /* a block's codes; its scale and `less` from there */
    ptrdiff_t scale = (ptrdiff_t)t->row->scales + g0 * (4 - BLOCK);
    ptrdiff_t less = (ptrdiff_t)t->row->less + g0 * (4 - BLOCK);
    float *out[PART];
    __m512 sum[PART][2];
    const __m512 in = _mm512_set1_ps(0x1p-8f), back = _mm512_set1_ps(0x1p8f);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        x[i] = (const char *)t->a + (size_t)(row + i) * t->lda + g0 * BLOCK;
        out[i] = (float *)t->sum + (size_t)(row + i) * t->lds;
        sum[i][0] = add ? _mm512_mul_ps(_mm512_load_ps(out[i]), in) : _mm512_setzero_ps();
        sum[i][1] = add ? _mm512_mul_ps(_mm512_load_ps(out[i] + 16), in) : _mm512_setzero_ps();
    }
    for (; groups > 0; groups--) {
        __m512i dots[PART][2];
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++)
            dots[i][0] = dots[i][1] = _mm512_set1_epi32(*(const int32_t *)(x[i] + less));
        _mm_prefetch(s + AHEAD / 8, _MM_HINT_T0);
#pragma GCC unroll 4
        for (int k = 0; k < BLOCK; k += 4) {
            __m512i both = _mm512_load_si512(b + 16 * k);
            _mm_prefetch(b + 16 * k + AHEAD, _MM_HINT_T0);
            __m512i first = _mm512_shuffle_epi8(doubled, _mm512_and_si512(both, low));
            __m512i second =
                _mm512_shuffle_epi8(doubled, _mm512_and_si512(_mm512_srli_epi16(both, 4), low));
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) {
                dot(&dots[i][0], first, x[i] + k);
                dot(&dots[i][1], second, x[i] + k);
            }
        }
        __m512 s0 = scales8(s), s1 = scales8(s + NR / 2);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m512 sx = _mm512_set1_ps(*(const float *)(x[i] + scale));
            sum[i][0] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[i][0]), _mm512_mul_ps(sx, s0), sum[i][0]);
            sum[i][1] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[i][1]), _mm512_mul_ps(sx, s1), sum[i][1]);
            x[i] += BLOCK;
        }
        b += BLOCK / 2 * NR, s += NR;
        scale += 4 - BLOCK, less += 4 - BLOCK;
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        _mm512_store_ps(out[i], _mm512_mul_ps(sum[i][0], back));
        _mm512_store_ps(out[i] + 16, _mm512_mul_ps(sum[i][1], back));
    }
}

static void some_rows(int rows, const fr_qtile *t, int row, int64_t g0, int64_t groups, bool add) {
    switch (rows) {
    case 1: part(1, t, row, g0, groups, add); break;
    case 2: part(2, t, row, g0, groups, add); break;
    case 3: part(3, t, row, g0, groups, add); break;
    case 4: part(4, t, row, g0, groups, add); break;
    case 5: part(5, t, row, g0, groups, add); break;
    default: part(6, t, row, g0, groups, add); break;
    }
}

static void nvfp4_avx512vnni(const fr_qtile *t) {
    qgemm_parts(t, CHUNK, some_rows);
}

void fr_qgemm_fill_avx512vnni_nvfp4(fr_qgemm_kernels *out) {
    out->way[FR_Q_NVFP4] = (struct fr_qgemm_way){MR, NR, nvfp4_avx512vnni};
}
