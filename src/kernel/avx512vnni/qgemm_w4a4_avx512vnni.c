/* qgemm_w4a4_avx512vnni.c: 4 bits by 4 bits, in groups of 64: VPDPBUSD multiplies the weights of 16
 * columns (code + 8, unsigned) at 4 values of k with the row's codes, which the instruction itself
 * spreads from memory.
 *
 * A part is 6 rows by 32 columns: 12 registers of integers for the group, 12 of floats for the
 * sums. VPDPBUSD shares its pipe with float multiplications, 16 of the ones and 2 of the others for
 * every register and group: the bound is 89% of the peak. Unpacking and converting run beside it;
 * stores would not, which is why the sums stay in registers. A tile of more rows is two parts.
 */
#include <immintrin.h>

#include "kernel/avx512vnni/qgemm_parts.h"
#include "kernel/kernel.h"

#define MR    12
#define NR    32
#define PART  QGEMM_PART
#define GROUP 64
/* Groups that the second part reads again before they have left the second cache. */
#define CHUNK 48
/* How many bytes of codes before their use memory is asked for them. */
#define AHEAD 4096

/* Assembly, because gcc 12 copies and spills the sums of the intrinsic. */
static inline __attribute__((always_inline)) void dot(__m512i *sum, __m512i weights,
                                                      const void *four) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0"
            : "+v"(*sum)
            : "v"(weights), "m"(*(const int32_t *)four));
}

static inline __m512 scales16(const void *at, bool bf16) {
    __m256i h = _mm256_loadu_si256(at);
    if (bf16) return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
    return _mm512_cvtph_ps(h);
}

static inline __attribute__((always_inline)) void part(const int rows, const fr_qtile *t, int row,
                                                       int64_t g0, int64_t groups, bool add) {
    const __m512i low = _mm512_set1_epi8(15);
    const bool bf16 = t->panel->bf16_scales;
    const char *b = fr_qpanel_codes(t->panel, t->b, g0);
    const char *s = (const char *)t->b + t->panel->scales + g0 * (2 * NR);
    const char *x[PART]; /* a group's codes; its scale and `less` from there */
    ptrdiff_t scale = (ptrdiff_t)t->row->scales + g0 * (4 - GROUP);
    ptrdiff_t less = (ptrdiff_t)t->row->less + g0 * (4 - GROUP);
    float *out[PART];
    __m512 sum[PART][2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        x[i] = (const char *)t->a + (size_t)(row + i) * t->lda + g0 * GROUP;
        out[i] = (float *)t->sum + (size_t)(row + i) * t->lds;
        sum[i][0] = add ? _mm512_load_ps(out[i]) : _mm512_setzero_ps();
        sum[i][1] = add ? _mm512_load_ps(out[i] + 16) : _mm512_setzero_ps();
    }
    for (; groups > 0; groups--) {
        __m512i dots[PART][2];
        _mm_prefetch(s + AHEAD / 16, _MM_HINT_T0); /* 16 bytes of codes for one of scales */
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++)
            dots[i][0] = dots[i][1] = _mm512_set1_epi32(*(const int32_t *)(x[i] + less));
#pragma GCC unroll 16
        for (int k = 0; k < GROUP; k += 4) {
            __m512i both = _mm512_load_si512(b + 16 * k);
            _mm_prefetch(b + 16 * k + AHEAD, _MM_HINT_T0);
            __m512i first = _mm512_and_si512(both, low);
            __m512i second = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) {
                dot(&dots[i][0], first, x[i] + k);
                dot(&dots[i][1], second, x[i] + k);
            }
        }
        __m512 s0 = scales16(s, bf16), s1 = scales16(s + NR, bf16);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m512 sx = _mm512_set1_ps(*(const float *)(x[i] + scale));
            sum[i][0] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[i][0]), _mm512_mul_ps(sx, s0), sum[i][0]);
            sum[i][1] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[i][1]), _mm512_mul_ps(sx, s1), sum[i][1]);
            x[i] += GROUP;
        }
        b += GROUP / 2 * NR, s += 2 * NR;
        scale += 4 - GROUP, less += 4 - GROUP;
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        _mm512_store_ps(out[i], sum[i][0]);
        _mm512_store_ps(out[i] + 16, sum[i][1]);
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

static void w4a4_avx512vnni(const fr_qtile *t) {
    qgemm_parts(t, CHUNK, some_rows);
}

void fr_qgemm_fill_avx512vnni_w4a4(fr_qgemm_kernels *out) {
    out->way[FR_Q_W4A4] = (struct fr_qgemm_way){MR, NR, w4a4_avx512vnni};
}
