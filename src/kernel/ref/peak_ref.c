/* peak_ref.c: what plain C reaches; see kernel/peak.h. */
#include <string.h>

#include "kernel/kernel.h"

#define SUMS 24

static double peak_f32_ref(size_t rounds, float *sink) {
    float s[SUMS] = {0}, x = 0.5f + *sink, y = 0.25f;
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < SUMS; i++) s[i] = s[i] * x + y;
    for (int i = 0; i < SUMS; i++) *sink += s[i] * 1e-30f;
    return 2.0 * SUMS * (double)rounds;
}

static double peak_int8_ref(size_t rounds, float *sink) {
    int32_t s[SUMS] = {0};
    int8_t a = (int8_t)(3 + (int)*sink);
    for (size_t r = 0; r < rounds; r++) {
        int8_t b = (int8_t)(r & 15); /* no sum is known before */
        for (int i = 0; i < SUMS; i++) s[i] = (s[i] + a * b) & 0xffffff;
    }
    for (int i = 0; i < SUMS; i++) *sink += (float)s[i] * 1e-30f;
    return 2.0 * SUMS * (double)rounds;
}

static uint64_t read_ref(const void *p, size_t bytes) {
    const char *c = p;
    uint64_t sum = 0, word;
    for (size_t i = 0; i + 64 <= bytes; i += 64) {
        for (int j = 0; j < 64; j += 8) {
            memcpy(&word, c + i + j, 8);
            sum += word;
        }
    }
    return sum;
}

void fr_peak_fill_ref(fr_peak_kernels *out) {
    *out = (fr_peak_kernels){.f32 = peak_f32_ref, .int8 = peak_int8_ref, .read = read_ref};
}
