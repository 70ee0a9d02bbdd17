/* peak_avx2.c: multiply-adds of 8 floats, bytes by way of 16 bits, and 32-byte loads. There are 16
 * registers, so 12 sums and their operands; twelve are enough for two units of latency 4 or 5. */
#include <immintrin.h>

#include "kernel/kernel.h"

#define SUMS 12

static double peak_f32_avx2(size_t rounds, float *sink) {
    __m256 s[SUMS], x = _mm256_set1_ps(0.5f + *sink), y = _mm256_set1_ps(0.25f);
    float lanes[8];
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) s[i] = _mm256_set1_ps((float)i);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) s[i] = _mm256_fmadd_ps(s[i], x, y);
    }
#pragma GCC unroll 12
    for (int i = 1; i < SUMS; i++) s[0] = _mm256_add_ps(s[0], s[i]);
    _mm256_storeu_ps(lanes, s[0]);
    for (int i = 0; i < 8; i++) *sink += lanes[i] * 1e-30f;
    return 16.0 * SUMS * (double)rounds;
}

static double peak_int8_avx2(size_t rounds, float *sink) {
    __m256i s[SUMS], a = _mm256_set1_epi8((char)(3 + (int)*sink)), one = _mm256_set1_epi16(1);
    int32_t lanes[8];
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) s[i] = _mm256_set1_epi32(i);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            __m256i b = one;
            __asm__("" : "+x"(b)); /* another product each time, as far as the compiler knows */
            s[i] = _mm256_add_epi32(s[i], _mm256_madd_epi16(_mm256_maddubs_epi16(b, a), one));
        }
    }
#pragma GCC unroll 12
    for (int i = 1; i < SUMS; i++) s[0] = _mm256_add_epi32(s[0], s[i]);
    _mm256_storeu_si256((__m256i *)lanes, s[0]);
    for (int i = 0; i < 8; i++) *sink += (float)lanes[i] * 1e-30f;
    return 64.0 * SUMS * (double)rounds;
}

static uint64_t read_avx2(const void *p, size_t bytes) {
    const char *c = p;
    __m256i even = _mm256_setzero_si256(), odd = even;
    uint64_t lanes[4];
    for (size_t i = 0; i + 64 <= bytes; i += 64) {
        even = _mm256_add_epi64(even, _mm256_loadu_si256((const __m256i *)(c + i)));
        odd = _mm256_add_epi64(odd, _mm256_loadu_si256((const __m256i *)(c + i + 32)));
    }
    _mm256_storeu_si256((__m256i *)lanes, _mm256_add_epi64(even, odd));
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

void fr_peak_fill_avx2(fr_peak_kernels *out) {
    out->f32 = peak_f32_avx2;
    out->int8 = peak_int8_avx2;
    out->read = read_avx2;
}
