/* peak_neon.c: multiply-adds of 4 floats, bytes by widening products or the dot instruction, and
 * 16-byte loads. */
#include <arm_neon.h>

#include "kernel/kernel.h"

#define SUMS 24

static double peak_f32_neon(size_t rounds, float *sink) {
    float32x4_t s[SUMS], x = vdupq_n_f32(0.5f + *sink), y = vdupq_n_f32(0.25f);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) s[i] = vdupq_n_f32((float)i);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) s[i] = vfmaq_f32(s[i], x, y);
    }
#pragma GCC unroll 24
    for (int i = 1; i < SUMS; i++) s[0] = vaddq_f32(s[0], s[i]);
    *sink += vaddvq_f32(s[0]) * 1e-30f;
    return 8.0 * SUMS * (double)rounds;
}

/* Products to 16 bits, added in pairs to 32. */
static double peak_int8_neon(size_t rounds, float *sink) {
    int32x4_t s[SUMS];
    int8x8_t a = vdup_n_s8((int8_t)(3 + (int)*sink));
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) s[i] = vdupq_n_s32(i);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) {
            int8x8_t b = vget_low_s8(vreinterpretq_s8_s32(s[i])); /* not to be hoisted */
            s[i] = vpadalq_s16(s[i], vmull_s8(a, b));
        }
    }
#pragma GCC unroll 24
    for (int i = 1; i < SUMS; i++) s[0] = vaddq_s32(s[0], s[i]);
    *sink += (float)vaddvq_s32(s[0]) * 1e-30f;
    return 16.0 * SUMS * (double)rounds;
}

__attribute__((target("arch=armv8.2-a+dotprod"))) static double peak_int8_neon_dot(size_t rounds,
                                                                                   float *sink) {
    int32x4_t s[SUMS];
    int8x16_t a = vdupq_n_s8((int8_t)(3 + (int)*sink)), b = vdupq_n_s8(1);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) s[i] = vdupq_n_s32(i);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) s[i] = vdotq_s32(s[i], a, b);
    }
#pragma GCC unroll 24
    for (int i = 1; i < SUMS; i++) s[0] = vaddq_s32(s[0], s[i]);
    *sink += (float)vaddvq_s32(s[0]) * 1e-30f;
    return 32.0 * SUMS * (double)rounds;
}

static uint64_t read_neon(const void *p, size_t bytes) {
    const uint64_t *w = p;
    uint64x2_t s[4];
    for (int j = 0; j < 4; j++) s[j] = vdupq_n_u64(0);
    for (size_t i = 0; i + 8 <= bytes / 8; i += 8) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) s[j] = vaddq_u64(s[j], vld1q_u64(w + i + 2 * j));
    }
    return vaddvq_u64(vaddq_u64(vaddq_u64(s[0], s[1]), vaddq_u64(s[2], s[3])));
}

void fr_peak_fill_neon(fr_peak_kernels *out) {
    out->f32 = peak_f32_neon;
    out->int8 = peak_int8_neon;
    out->read = read_neon;
}

void fr_peak_fill_neon_dot(fr_peak_kernels *out) {
    out->int8 = peak_int8_neon_dot;
}
