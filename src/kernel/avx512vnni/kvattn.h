/* kvattn.h (avx512vnni): what the two halves of attention over pages of bytes share. */
#ifndef FR_KERNEL_AVX512VNNI_KVATTN_H
#define FR_KERNEL_AVX512VNNI_KVATTN_H

#include <immintrin.h>
#include <string.h>

#include "kernel/kvattn.h"

enum { ROWS = FR_KVATTN_ROWS, TOKENS = FR_KV_TOKENS };

/* gcc copies the sums of the intrinsic about. */
static inline __m512i dot(__m512i sum, __m512i u, __m512i s) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(s));
    return sum;
}

/* Scales and offsets of tokens outside lo .. hi are zeros. */
static inline void affine(const fr_kvattn_head *h, int lo, int hi, float *scale, float *offset) {
    const bool qoq = h->kind == FR_KV_8_QOQ || h->kind == FR_KV_4_QOQ;
    for (int t = 0; t < TOKENS; t += 16) {
        __m512 s = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(h->scale + t)));
        __m512 o = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(h->offset + t)));
        if (qoq) o = _mm512_fnmadd_ps(s, o, _mm512_setzero_ps());
        if (lo > t || hi < t + 16) {
            const int from = lo - t < 0 ? 0 : lo - t > 16 ? 16 : lo - t;
            const int to = hi - t < from ? from : hi - t > 16 ? 16 : hi - t;
            const __mmask16 in = (__mmask16)((1u << to) - (1u << from));
            s = _mm512_maskz_mov_ps(in, s);
            o = _mm512_maskz_mov_ps(in, o);
        }
        _mm512_store_ps(scale + t, s);
        _mm512_store_ps(offset + t, o);
    }
}

/* Four values of as many tokens, each for its four rows. */
static inline __m512 by_token(const float *x) {
    const __m512i place = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    return _mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_load_ps(x)), place);
}

static inline void fetch(const fr_kvattn_head *next, size_t from, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)next->codes + from + i, _MM_HINT_T1);
}
static inline void fetch_scales(const fr_kvattn_head *next) {
    for (int t = 0; t < TOKENS; t += 32) {
        _mm_prefetch((const char *)(next->scale + t), _MM_HINT_T1);
        _mm_prefetch((const char *)(next->offset + t), _MM_HINT_T1);
    }
}

/* The half of the values; the other is in kvattn_avx512vnni.c. */
void kvattn_add_4_avx512vnni(const float *p, const fr_kvattn_head *v, int lo, int hi,
                             const float *fade, void *sums);
void kvattn_add_8_avx512vnni(const float *p, const fr_kvattn_head *v, int lo, int hi,
                             const float *fade, void *sums);
void kvattn_result_4_avx512vnni(const void *sums, int64_t dim, float *out);
void kvattn_result_8_avx512vnni(const void *sums, int64_t dim, float *out);

#endif
