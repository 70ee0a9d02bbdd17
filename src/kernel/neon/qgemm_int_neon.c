/* qgemm_int_neon.c: low-bit products with whole numbers, without the dot instruction: products of signed
 * bytes are added up in 16 bits as long as they fit: 16 steps of 15 * 127, or two of 128 * 127. */
#include <arm_neon.h>
#include <string.h>

#include "kernel/kernel.h"

#define INLINE static inline __attribute__((always_inline))

#define MR        4
#define SUM_STEPS 16

typedef struct weights {
    int8x16_t v[2];
} weights;
typedef struct whole {
    int32x4_t v[2];
} whole;
typedef struct sums { /* of two columns each: a lane for every k modulo 4 */
    int16x8_t v[4];
} sums;

INLINE sums no_sums(void) {
    int16x8_t zero = vdupq_n_s16(0);
    return (sums){{zero, zero, zero, zero}};
}
INLINE int8x16_t spread(int8x16_t x, const int lane) {
    int32x4_t w = vreinterpretq_s32_s8(x);
    switch (lane) {
    case 0: return vreinterpretq_s8_s32(vdupq_laneq_s32(w, 0));
    case 1: return vreinterpretq_s8_s32(vdupq_laneq_s32(w, 1));
    case 2: return vreinterpretq_s8_s32(vdupq_laneq_s32(w, 2));
    default: return vreinterpretq_s8_s32(vdupq_laneq_s32(w, 3));
    }
}
INLINE void dot(sums *s, weights w, int8x16_t x, const int lane) {
    int8x16_t four = spread(x, lane);
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
        s->v[2 * j] = vmlal_s8(s->v[2 * j], vget_low_s8(w.v[j]), vget_low_s8(four));
        s->v[2 * j + 1] = vmlal_high_s8(s->v[2 * j + 1], w.v[j], four);
    }
}
INLINE whole read_sums(const sums *s) {
    return (whole){{vpaddq_s32(vpaddlq_s16(s->v[0]), vpaddlq_s16(s->v[1])),
                    vpaddq_s32(vpaddlq_s16(s->v[2]), vpaddlq_s16(s->v[3]))}};
}

#include "kernel/neon/qgemm_nibbles.h"

/* ---- W8A8: weights made signed, so that sums begin at 0 instead of `start` ---- */

INLINE weights bytes_of(const uint8_t *b) {
    const uint8x16_t half = vdupq_n_u8(128);
    return (weights){{vreinterpretq_s8_u8(veorq_u8(vld1q_u8(b), half)),
                      vreinterpretq_s8_u8(veorq_u8(vld1q_u8(b + 16), half))}};
}

INLINE void w8a8_tile(const int rows, const fr_qtile *t) {
    enum { GROUP = 128 };
    const uint8_t *b = fr_qpanel_codes(t->panel, t->b, t->g0);
    const int8_t *a = (const int8_t *)t->a + (size_t)t->g0 * GROUP;
    int32x4_t wide[MR][4]; /* of two columns each, two lanes for one */
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
        wide[i][0] = wide[i][1] = wide[i][2] = wide[i][3] = vdupq_n_s32(0);
    for (int64_t k = 0; k < t->groups * GROUP; k += 8, a += 8, b += 8 * NR) {
        weights first = bytes_of(b), second = bytes_of(b + 4 * NR);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            int8x8_t eight = vld1_s8(a + (size_t)i * t->lda);
            int8x16_t x = vcombine_s8(eight, eight);
            sums s = no_sums();
            dot(&s, first, x, 0);
            dot(&s, second, x, 1);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) wide[i][j] = vpadalq_s16(wide[i][j], s.v[j]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
        int32_t *sum = (int32_t *)t->sum + (size_t)i * t->lds;
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            int32x4_t s = vpaddq_s32(wide[i][2 * j], wide[i][2 * j + 1]);
            vst1q_s32(sum + 4 * j, t->add ? vaddq_s32(vld1q_s32(sum + 4 * j), s) : s);
        }
    }
}

static void w8a8(const fr_qtile *t) {
    switch (t->rows) {
    case 1: w8a8_tile(1, t); break;
    case 2: w8a8_tile(2, t); break;
    case 3: w8a8_tile(3, t); break;
    default: w8a8_tile(4, t); break;
    }
}

void fr_qgemm_fill_neon_int(fr_qgemm_kernels *out) {
    nibbles_fill(out);
    out->way[FR_Q_W8A8] = (struct fr_qgemm_way){MR, NR, w8a8};
}
