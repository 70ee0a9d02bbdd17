/* qgemm_nibbles.h: tiles of MR x 8 for weights of 4 bits and rows of 8 or fewer, on NEON.
 *
 * One load holds 4 k of 8 columns: 4 columns in its low nibbles, 4 in its high ones. Included by who has
 * named the instructions of a dot and MR, the rows for whose sums there are registers:
 *
 *     sums, no_sums            sums of 8 columns in any split
 *     SUM_STEPS                steps of 4 k that sums can take before they must be read
 *     dot(&sums, w, x, lane)   + products of signed w and the four codes in a lane of x
 *     read_sums(&sums)         what they come to, in 32 bits
 */
#ifndef FR_KERNEL_QGEMM_NIBBLES_H
#define FR_KERNEL_QGEMM_NIBBLES_H

#define NR 8

typedef struct pair_f32 {
    float32x4_t v[2];
} pair_f32;

/* Weights of one step. NVFP4: twice the value of E2M1, with its sign, so that nothing is to be taken off. */
INLINE weights weights_of(const fr_qkind kind, const uint8_t *b) {
    uint8x16_t both = vld1q_u8(b);
    uint8x16_t low = vandq_u8(both, vdupq_n_u8(15)), high = vshrq_n_u8(both, 4);
    weights w = {{vreinterpretq_s8_u8(low), vreinterpretq_s8_u8(high)}};
    if (kind == FR_Q_NVFP4) {
        static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
        int8x16_t table = vld1q_s8(doubled);
        w = (weights){{vqtbl1q_s8(table, low), vqtbl1q_s8(table, high)}};
    }
    return w;
}

/* Sums of `steps` times 4 k, a multiple of 16 k, from the codes of the first row at a. */
INLINE void steps_of(const int rows, const fr_qkind kind, const int steps, const uint8_t *b,
                     const int8_t *a, size_t lda, sums s[MR]) {
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) s[i] = no_sums();
#pragma GCC unroll 1
    for (int p = 0; p < steps; p += 4, a += 16) {
        int8x16_t x[MR];
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) x[i] = vld1q_s8(a + (size_t)i * lda);
#pragma GCC unroll 4
        for (int lane = 0; lane < 4; lane++, b += 4 * NR / 2) {
            weights w = weights_of(kind, b);
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) dot(&s[i], w, x[i], lane);
        }
    }
}

INLINE void begin(const fr_qtile *t) {
    if (t->add) return;
    for (int i = 0; i < t->rows; i++)
        memset((int32_t *)t->sum + (size_t)i * t->lds, 0, NR * sizeof(int32_t));
}

/* ---- sums of whole numbers: W4A8, W4A8_G128 ---- */

/* sum += (codes, times s2) + z less, a row. */
INLINE void add_int(const fr_qkind kind, const fr_qtile *t, int64_t g, bool zeros, const sums *s,
                    int32_t less, int32_t *sum) {
    const fr_qpanel *p = t->panel;
    const uint8_t *b = t->b;
    whole part = read_sums(s);
    if (kind == FR_Q_W4A8_G128) {
        uint16x8_t s2 = vmovl_u8(vld1_u8(b + p->scales + (size_t)g * NR));
        part.v[0] = vmulq_s32(part.v[0], vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(s2))));
        part.v[1] = vmulq_s32(part.v[1], vreinterpretq_s32_u32(vmovl_high_u16(s2)));
        if (zeros) {
            int16x8_t z = vld1q_s16((const int16_t *)(b + p->zeros) + g * NR);
            part.v[0] = vmlaq_n_s32(part.v[0], vmovl_s16(vget_low_s16(z)), less);
            part.v[1] = vmlaq_n_s32(part.v[1], vmovl_high_s16(z), less);
        }
    }
    vst1q_s32(sum, vaddq_s32(vld1q_s32(sum), part.v[0]));
    vst1q_s32(sum + 4, vaddq_s32(vld1q_s32(sum + 4), part.v[1]));
}

INLINE void int_tile(const int rows, const fr_qkind kind, const fr_qtile *t) {
    enum { STEPS = 128 / 4 };
    begin(t);
    for (int64_t g = t->g0; g < t->g0 + t->groups; g++) {
        const uint8_t *b = fr_qpanel_codes(t->panel, t->b, g);
        const char *a = (const char *)t->a + (size_t)g * 128;
        const char *less = (const char *)t->a + t->row->less + 4 * (size_t)g;
        for (int k = 0; k < STEPS; k += SUM_STEPS) {
            sums s[MR];
            steps_of(rows, kind, SUM_STEPS, b + k * (4 * NR / 2), (const int8_t *)a + 4 * k, t->lda,
                     s);
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++)
                add_int(kind, t, g, k == 0, &s[i], *(const int32_t *)(less + (size_t)i * t->lda),
                        (int32_t *)t->sum + (size_t)i * t->lds);
        }
    }
}

/* ---- whole numbers within a group, floats over groups: W4A4, NVFP4 ---- */

INLINE pair_f32 group_scales(const fr_qkind kind, const fr_qtile *t, int64_t g) {
    const fr_qpanel *p = t->panel;
    const uint8_t *s = (const uint8_t *)t->b + p->scales + (size_t)g * p->scale_bytes;
    if (kind == FR_Q_NVFP4) {
        /* The bits of E4M3, moved to those of f16, are the value / 256. */
        float16x8_t h = vreinterpretq_f16_u16(vshlq_n_u16(vmovl_u8(vld1_u8(s)), 7));
        return (pair_f32){{vmulq_n_f32(vcvt_f32_f16(vget_low_f16(h)), 256.0f),
                           vmulq_n_f32(vcvt_high_f32_f16(h), 256.0f)}};
    }
    uint16x8_t u = vld1q_u16((const uint16_t *)s);
    if (p->bf16_scales)
        return (pair_f32){{vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(u), 16)),
                           vreinterpretq_f32_u32(vshll_high_n_u16(u, 16))}};
    float16x8_t h = vreinterpretq_f16_u16(u);
    return (pair_f32){{vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h)}};
}

INLINE void group_tile(const int rows, const fr_qkind kind, const fr_qtile *t) {
    const int steps = (kind == FR_Q_NVFP4 ? 16 : 64) / 4;
    begin(t);
    for (int64_t g = t->g0; g < t->g0 + t->groups; g++) {
        const char *a = t->a, *sx = a + t->row->scales + 4 * (size_t)g;
        const char *less = a + t->row->less + 4 * (size_t)g;
        sums s[MR];
        steps_of(rows, kind, steps, fr_qpanel_codes(t->panel, t->b, g),
                 (const int8_t *)a + g * (4 * steps), t->lda, s);
        pair_f32 scale = group_scales(kind, t, g);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            whole in_group = read_sums(&s[i]);
            float x = *(const float *)(sx + (size_t)i * t->lda);
            int32_t l = kind == FR_Q_NVFP4 ? 0 : *(const int32_t *)(less + (size_t)i * t->lda);
            float *sum = (float *)t->sum + (size_t)i * t->lds;
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++) {
                float32x4_t v = vcvtq_f32_s32(vaddq_s32(in_group.v[j], vdupq_n_s32(l)));
                float32x4_t by = vmulq_n_f32(scale.v[j], x);
                vst1q_f32(sum + 4 * j, vfmaq_f32(vld1q_f32(sum + 4 * j), v, by));
            }
        }
    }
}

/* ---- the tiles ---- */

INLINE void nibbles(const int rows, const fr_qkind kind, const fr_qtile *t) {
    if (kind == FR_Q_W4A8 || kind == FR_Q_W4A8_G128)
        int_tile(rows, kind, t);
    else
        group_tile(rows, kind, t);
}

INLINE void nibbles_by_rows(const fr_qkind kind, const fr_qtile *t) {
    switch (t->rows) {
    case 1: nibbles(1, kind, t); break;
    case 2: nibbles(2, kind, t); break;
    case 3: nibbles(3, kind, t); break;
    case 4: nibbles(4, kind, t); break;
#if MR > 4
    case 5: nibbles(5, kind, t); break;
    case 6: nibbles(6, kind, t); break;
    case 7: nibbles(7, kind, t); break;
    case 8: nibbles(8, kind, t); break;
#endif
    default: break;
    }
}

static void w4a8(const fr_qtile *t) {
    nibbles_by_rows(FR_Q_W4A8, t);
}
static void w4a8_g128(const fr_qtile *t) {
    nibbles_by_rows(FR_Q_W4A8_G128, t);
}
static void w4a4(const fr_qtile *t) {
    nibbles_by_rows(FR_Q_W4A4, t);
}
static void nvfp4(const fr_qtile *t) {
    nibbles_by_rows(FR_Q_NVFP4, t);
}

static void nibbles_fill(fr_qgemm_kernels *out) {
    out->way[FR_Q_W4A8] = (struct fr_qgemm_way){MR, NR, w4a8};
    out->way[FR_Q_W4A8_G128] = (struct fr_qgemm_way){MR, NR, w4a8_g128};
    out->way[FR_Q_W4A4] = (struct fr_qgemm_way){MR, NR, w4a4};
    out->way[FR_Q_NVFP4] = (struct fr_qgemm_way){MR, NR, nvfp4};
}

#endif
