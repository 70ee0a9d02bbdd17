/* kvattn_avx512.c: the online softmax of a page, with the four rows side by side in each quarter of a vector. */
#define FR_ISA avx512
#include "kernel/kvattn.h"
#include "kernel/simd/attn.h"

enum { ROWS = FR_KVATTN_ROWS, TOKENS = FR_KV_TOKENS };

static inline __m512 each(const float *x) {
    return _mm512_broadcast_f32x4(_mm_loadu_ps(x));
}
static inline __m512 most_of(__m512 x) {
    x = _mm512_max_ps(x, _mm512_shuffle_f32x4(x, x, 0x4e));
    return _mm512_max_ps(x, _mm512_shuffle_f32x4(x, x, 0xb1));
}
static inline __m512 sum_of(__m512 x) {
    x = _mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0x4e));
    return _mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0xb1));
}

/* What a row does not see. */
static void hide(float *s, const int32_t *lo, const int32_t *hi) {
    for (int r = 0; r < ROWS; r++) {
        for (int t = 0; t < lo[r]; t++) s[t * ROWS + r] = -INFINITY;
        for (int t = hi[r] > 0 ? hi[r] : 0; t < TOKENS; t++) s[t * ROWS + r] = -INFINITY;
    }
}

void kvattn_softmax_page_avx512(float *s, const int32_t *lo, const int32_t *hi, float c, float *top,
                                float *sum, float *fade);

void kvattn_softmax_page_avx512(float *s, const int32_t *lo, const int32_t *hi, float c, float *top,
                                float *sum, float *fade) {
    const __m512 old = each(top), none = _mm512_set1_ps(-INFINITY), scale = _mm512_set1_ps(c);
    __m512 most[4] = {old, old, old, old}, all[4];
    hide(s, lo, hi);
    for (int i = 0; i < TOKENS * ROWS; i += 64)
        for (int j = 0; j < 4; j++)
            most[j] = _mm512_max_ps(most[j], _mm512_loadu_ps(s + i + 16 * j));
    most[0] =
        most_of(_mm512_max_ps(_mm512_max_ps(most[0], most[1]), _mm512_max_ps(most[2], most[3])));
    const __m512 base = _mm512_mask_mov_ps(most[0], _mm512_cmp_ps_mask(most[0], none, _CMP_EQ_OQ),
                                           _mm512_setzero_ps());
    const __m512 less = attn_exp2(_mm512_mul_ps(_mm512_sub_ps(old, base), scale));
    for (int j = 0; j < 4; j++) all[j] = _mm512_setzero_ps();
    for (int i = 0; i < TOKENS * ROWS; i += 64)
        for (int j = 0; j < 4; j++) {
            const __m512 x = _mm512_loadu_ps(s + i + 16 * j);
            const __m512 p = attn_exp2(_mm512_mul_ps(_mm512_sub_ps(x, base), scale));
            all[j] = _mm512_add_ps(all[j], p);
            _mm512_storeu_ps(s + i + 16 * j, p);
        }
    const __m512 added =
        sum_of(_mm512_add_ps(_mm512_add_ps(all[0], all[1]), _mm512_add_ps(all[2], all[3])));
    _mm_storeu_ps(sum, _mm512_castps512_ps128(_mm512_fmadd_ps(each(sum), less, added)));
    _mm_storeu_ps(fade, _mm512_castps512_ps128(less));
    _mm_storeu_ps(top, _mm512_castps512_ps128(most[0]));
}
