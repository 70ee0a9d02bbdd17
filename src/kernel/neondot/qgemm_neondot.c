/* qgemm_neondot.c: low-bit products with whole numbers by the dot instruction: four products of signed
 * bytes, added to 32 bits, exact. A lane of a register with 16 codes of a row meets 4 columns. */
#include <arm_neon.h>
#include <string.h>

#include "kernel/kernel.h"

#define INLINE static inline __attribute__((always_inline))

#define MR        8
#define SUM_STEPS 32

typedef struct weights {
    int8x16_t v[2];
} weights;
typedef struct whole {
    int32x4_t v[2];
} whole;
typedef whole sums;

INLINE sums no_sums(void) {
    return (sums){{vdupq_n_s32(0), vdupq_n_s32(0)}};
}
INLINE void dot(sums *s, weights w, int8x16_t x, const int lane) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) switch (lane) {
        case 0: s->v[j] = vdotq_laneq_s32(s->v[j], w.v[j], x, 0); break;
        case 1: s->v[j] = vdotq_laneq_s32(s->v[j], w.v[j], x, 1); break;
        case 2: s->v[j] = vdotq_laneq_s32(s->v[j], w.v[j], x, 2); break;
        default: s->v[j] = vdotq_laneq_s32(s->v[j], w.v[j], x, 3); break;
        }
}
INLINE whole read_sums(const sums *s) {
    return *s;
}

#include "kernel/neon/qgemm_nibbles.h"

/* ---- W8A8: weights made signed, so that sums begin at 0 instead of `start` ---- */

INLINE void w8a8_tile(const int rows, const fr_qtile *t) {
    enum { GROUP = 128 };
    const uint8_t *b = fr_qpanel_codes(t->panel, t->b, t->g0);
    const int8_t *a = (const int8_t *)t->a + (size_t)t->g0 * GROUP;
    sums s[MR];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        const int32_t *sum = (const int32_t *)t->sum + (size_t)i * t->lds;
        s[i] = no_sums();
        if (t->add) s[i] = (sums){{vld1q_s32(sum), vld1q_s32(sum + 4)}};
    }
    for (int64_t k = 0; k < t->groups * GROUP; k += 16, a += 16) {
        int8x16_t x[MR];
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) x[i] = vld1q_s8(a + (size_t)i * t->lda);
#pragma GCC unroll 4
        for (int lane = 0; lane < 4; lane++, b += 4 * NR) {
            const uint8x16_t half = vdupq_n_u8(128);
            weights w = {{vreinterpretq_s8_u8(veorq_u8(vld1q_u8(b), half)),
                          vreinterpretq_s8_u8(veorq_u8(vld1q_u8(b + 16), half))}};
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) dot(&s[i], w, x[i], lane);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        int32_t *sum = (int32_t *)t->sum + (size_t)i * t->lds;
        vst1q_s32(sum, s[i].v[0]);
        vst1q_s32(sum + 4, s[i].v[1]);
    }
}

static void w8a8(const fr_qtile *t) {
    switch (t->rows) {
    case 1: w8a8_tile(1, t); break;
    case 2: w8a8_tile(2, t); break;
    case 3: w8a8_tile(3, t); break;
    case 4: w8a8_tile(4, t); break;
    case 5: w8a8_tile(5, t); break;
    case 6: w8a8_tile(6, t); break;
    case 7: w8a8_tile(7, t); break;
    default: w8a8_tile(8, t); break;
    }
}

void fr_qgemm_fill_neon_dot(fr_qgemm_kernels *out) {
    nibbles_fill(out);
    out->way[FR_Q_W8A8] = (struct fr_qgemm_way){MR, NR, w8a8};
}
