/* peak_avx512.c: multiply-adds of 16 floats, bytes by way of 16 bits, and 64-byte loads. */
#include <immintrin.h>

#include "kernel/kernel.h"

#define SUMS 24

static double peak_f32_avx512(size_t rounds, float *sink) {
    __m512 s[SUMS], x = _mm512_set1_ps(0.5f + *sink), y = _mm512_set1_ps(0.25f);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) s[i] = _mm512_set1_ps((float)i);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) s[i] = _mm512_fmadd_ps(s[i], x, y);
    }
#pragma GCC unroll 24
    for (int i = 1; i < SUMS; i++) s[0] = _mm512_add_ps(s[0], s[i]);
    *sink += _mm512_reduce_add_ps(s[0]) * 1e-30f;
    return 32.0 * SUMS * (double)rounds;
}

/* Without VNNI: pairs to 16 bits, pairs of those to 32, added. */
static double peak_int8_avx512(size_t rounds, float *sink) {
    __m512i s[SUMS], a = _mm512_set1_epi8((char)(3 + (int)*sink)), one = _mm512_set1_epi16(1);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) s[i] = _mm512_set1_epi32(i);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) {
            __m512i pairs = _mm512_maddubs_epi16(s[i], a); /* feeds on the sum: not to be hoisted */
            s[i] = _mm512_add_epi32(s[i], _mm512_madd_epi16(pairs, one));
        }
    }
#pragma GCC unroll 24
    for (int i = 1; i < SUMS; i++) s[0] = _mm512_add_epi32(s[0], s[i]);
    *sink += (float)_mm512_reduce_add_epi32(s[0]) * 1e-30f;
    return 128.0 * SUMS * (double)rounds;
}

static uint64_t read_avx512(const void *p, size_t bytes) {
    const char *c = p;
    __m512i s[4];
    size_t i = 0;
    for (int j = 0; j < 4; j++) s[j] = _mm512_setzero_si512();
    for (; i + 256 <= bytes; i += 256) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            s[j] = _mm512_add_epi64(s[j], _mm512_loadu_si512(c + i + 64 * j));
    }
    for (; i + 64 <= bytes; i += 64) s[0] = _mm512_add_epi64(s[0], _mm512_loadu_si512(c + i));
    s[0] = _mm512_add_epi64(_mm512_add_epi64(s[0], s[1]), _mm512_add_epi64(s[2], s[3]));
    /* Not by the reduction of the header, whose overflow is one of signed numbers. */
    uint64_t lanes[8], sum = 0;
    _mm512_storeu_si512(lanes, s[0]);
    for (int j = 0; j < 8; j++) sum += lanes[j];
    return sum;
}

void fr_peak_fill_avx512(fr_peak_kernels *out) {
    out->f32 = peak_f32_avx512;
    out->int8 = peak_int8_avx512;
    out->read = read_avx512;
}
