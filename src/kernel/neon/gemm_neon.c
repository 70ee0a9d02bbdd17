/* gemm_neon.c: 8 x 12 tiles: 24 sums, three registers of B, two of A whose lanes multiply. Tiles of
 * fewer than eight rows load the values of A one by one. */
#include <arm_neon.h>

#include "kernel/kernel.h"

#define MR 8
#define NR 12

#define INLINE static inline __attribute__((always_inline))

typedef struct three {
    float32x4_t v[3];
} three;

/* s += one k: rows values of A times 12 of B. */
INLINE void multiply(const int rows, float32x4_t s[MR][3], const float *a, three b) {
    if (rows == MR) {
        float32x4_t lo = vld1q_f32(a), hi = vld1q_f32(a + 4);
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++) {
            s[0][j] = vfmaq_laneq_f32(s[0][j], b.v[j], lo, 0);
            s[1][j] = vfmaq_laneq_f32(s[1][j], b.v[j], lo, 1);
            s[2][j] = vfmaq_laneq_f32(s[2][j], b.v[j], lo, 2);
            s[3][j] = vfmaq_laneq_f32(s[3][j], b.v[j], lo, 3);
            s[4][j] = vfmaq_laneq_f32(s[4][j], b.v[j], hi, 0);
            s[5][j] = vfmaq_laneq_f32(s[5][j], b.v[j], hi, 1);
            s[6][j] = vfmaq_laneq_f32(s[6][j], b.v[j], hi, 2);
            s[7][j] = vfmaq_laneq_f32(s[7][j], b.v[j], hi, 3);
        }
        return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++) {
        if (i < rows) {
            float32x4_t x = vld1q_dup_f32(a + i);
            s[i][0] = vfmaq_f32(s[i][0], b.v[0], x);
            s[i][1] = vfmaq_f32(s[i][1], b.v[1], x);
            s[i][2] = vfmaq_f32(s[i][2], b.v[2], x);
        }
    }
}

INLINE three load_b(const float *b) {
    return (three){{vld1q_f32(b), vld1q_f32(b + 4), vld1q_f32(b + 8)}};
}

/* The low halves of the pairs are the even k, the high halves the odd ones. */
INLINE three even(three pairs) {
    for (int j = 0; j < 3; j++)
        pairs.v[j] = vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(pairs.v[j]), 16));
    return pairs;
}
INLINE three odd(three pairs) {
    uint32x4_t high = vdupq_n_u32(0xffff0000u);
    for (int j = 0; j < 3; j++)
        pairs.v[j] = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pairs.v[j]), high));
    return pairs;
}

INLINE void tile(const int rows, const bool bf16, size_t steps, const float *a, const float *b,
                 float *c, size_t ldc, bool add) {
    float32x4_t s[MR][3];
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++) s[i][0] = s[i][1] = s[i][2] = vdupq_n_f32(0);
    for (size_t p = 0; p < steps; p++, b += NR) {
        three v = load_b(b);
        if (bf16) {
            multiply(rows, s, a, even(v));
            a += rows;
            v = odd(v);
        }
        multiply(rows, s, a, v);
        a += rows;
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++, c += ldc) {
        if (i < rows) {
            three old = {{vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)}};
            if (add) old = load_b(c);
            for (int j = 0; j < 3; j++)
                vst1q_f32(c + 4 * j, add ? vaddq_f32(old.v[j], s[i][j]) : s[i][j]);
        }
    }
}

INLINE void by_rows(int rows, const bool bf16, size_t steps, const void *a, const void *b, float *c,
                    size_t ldc, bool add) {
    switch (rows) {
    case 1: tile(1, bf16, steps, a, b, c, ldc, add); break;
    case 2: tile(2, bf16, steps, a, b, c, ldc, add); break;
    case 3: tile(3, bf16, steps, a, b, c, ldc, add); break;
    case 4: tile(4, bf16, steps, a, b, c, ldc, add); break;
    case 5: tile(5, bf16, steps, a, b, c, ldc, add); break;
    case 6: tile(6, bf16, steps, a, b, c, ldc, add); break;
    case 7: tile(7, bf16, steps, a, b, c, ldc, add); break;
    default: tile(8, bf16, steps, a, b, c, ldc, add); break;
    }
}

static void gemm_f32_neon(int rows, size_t steps, const void *a, const void *b, float *c,
                          size_t ldc, bool add) {
    by_rows(rows, false, steps, a, b, c, ldc, add);
}

static void gemm_f32_bf16_neon(int rows, size_t steps, const void *a, const void *b, float *c,
                               size_t ldc, bool add) {
    by_rows(rows, true, steps, a, b, c, ldc, add);
}

void fr_gemm_fill_neon(fr_gemm_kernels *out) {
    out->mr = MR;
    out->nr = NR;
    out->tile[FR_GEMM_F32] = gemm_f32_neon;
    out->tile[FR_GEMM_F32_BF16] = gemm_f32_bf16_neon;
}
