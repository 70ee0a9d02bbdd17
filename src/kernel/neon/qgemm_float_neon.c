/* qgemm_float_neon.c: low-bit weights times rows of floats: W4A16 and FP8, widened to f32, in tiles of
 * 8 x 8.
 *
 * A group's sum is one chain of multiply-adds for each column, whatever the tile, so that a row has the
 * same bits in a product of one row and of a thousand; where a tile has too few rows to hide the time of a
 * multiply-add, it works on several groups at once. */
#include <arm_neon.h>
#include <string.h>

#include "kernel/kernel.h"

#define INLINE static inline __attribute__((always_inline))

#define MR 8
#define NR 8

typedef enum weight_kind { W4A16, E4M3, E5M2 } weight_kind;

typedef struct pair_f32 { /* 8 columns */
    float32x4_t v[2];
} pair_f32;

/* Weights of 8 columns at 4 k. */
typedef struct four {
    pair_f32 k[4];
} four;

/* A nibble, where it stands in its word, is the code times a power of two; converting divides by it. */
INLINE float32x4_t nibble(uint32x4_t words, const int n) {
    uint32x4_t code = vandq_u32(words, vdupq_n_u32(15u << (4 * n)));
    switch (n) {
    case 0: return vcvtq_f32_u32(code);
    case 1: return vcvtq_n_f32_u32(code, 4);
    case 2: return vcvtq_n_f32_u32(code, 8);
    case 3: return vcvtq_n_f32_u32(code, 12);
    case 4: return vcvtq_n_f32_u32(code, 16);
    case 5: return vcvtq_n_f32_u32(code, 20);
    case 6: return vcvtq_n_f32_u32(code, 24);
    default: return vcvtq_n_f32_u32(code, 28);
    }
}

INLINE four weights_w4a16(const uint8_t *b) {
    uint32x4_t words = vreinterpretq_u32_u8(vld1q_u8(b));
    four w;
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        const int n = k / 2 + 4 * (k % 2);
        w.k[k] = (pair_f32){{nibble(words, n), nibble(words, n + 2)}};
    }
    return w;
}

/* Bytes of 4 columns at k and k + 1 as f16. E5M2 is its upper half. E4M3, one place further down, has the
 * bits of the f16 that is the value / 256. */
INLINE float16x8_t two_k(const bool e5m2, uint8x16_t bytes, const int k) {
    static const uint8_t places[2][16] = {
        {255, 0, 255, 4, 255, 8, 255, 12, 255, 1, 255, 5, 255, 9, 255, 13},
        {255, 2, 255, 6, 255, 10, 255, 14, 255, 3, 255, 7, 255, 11, 255, 15}};
    int16x8_t h = vreinterpretq_s16_u8(vqtbl1q_u8(bytes, vld1q_u8(places[k / 2])));
    if (!e5m2) h = vandq_s16(vshrq_n_s16(h, 1), vdupq_n_s16((int16_t)0xbfff));
    return vreinterpretq_f16_s16(h);
}

INLINE four weights_fp8(const bool e5m2, const uint8_t *b) {
    four w;
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
        uint8x16_t bytes = vld1q_u8(b + 16 * j);
#pragma GCC unroll 2
        for (int k = 0; k < 4; k += 2) {
            float16x8_t h = two_k(e5m2, bytes, k);
            w.k[k].v[j] = vcvt_f32_f16(vget_low_f16(h));
            w.k[k + 1].v[j] = vcvt_high_f32_f16(h);
        }
    }
    return w;
}

INLINE void multiply(pair_f32 *s, const four *w, float32x4_t x) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
        s->v[j] = vfmaq_laneq_f32(s->v[j], w->k[0].v[j], x, 0);
        s->v[j] = vfmaq_laneq_f32(s->v[j], w->k[1].v[j], x, 1);
        s->v[j] = vfmaq_laneq_f32(s->v[j], w->k[2].v[j], x, 2);
        s->v[j] = vfmaq_laneq_f32(s->v[j], w->k[3].v[j], x, 3);
    }
}

/* s += 4 k, from the codes of the first row at a. */
INLINE void step(const int rows, const weight_kind kind, const uint8_t *b, const char *a,
                 size_t lda, pair_f32 s[MR]) {
    four w = kind == W4A16 ? weights_w4a16(b) : weights_fp8(kind == E5M2, b);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        uint16x4_t x = vld1_u16((const uint16_t *)(a + (size_t)i * lda));
        multiply(&s[i], &w, vreinterpretq_f32_u32(vshll_n_u16(x, 16)));
    }
}

INLINE pair_f32 scales_of(const weight_kind kind, const fr_qtile *t, int64_t g) {
    const fr_qpanel *p = t->panel;
    const char *s = (const char *)t->b + p->scales + (size_t)g * p->scale_bytes;
    if (kind != W4A16)
        return (pair_f32){{vld1q_f32((const float *)s), vld1q_f32((const float *)s + 4)}};
    uint16x8_t u = vld1q_u16((const uint16_t *)s);
    if (p->bf16_scales)
        return (pair_f32){{vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(u), 16)),
                           vreinterpretq_f32_u32(vshll_high_n_u16(u, 16))}};
    float16x8_t h = vreinterpretq_f16_u16(u);
    return (pair_f32){{vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h)}};
}

INLINE pair_f32 zeros_of(const fr_qtile *t, int64_t g) {
    uint16x8_t z = vmovl_u8(vld1_u8((const uint8_t *)t->b + t->panel->zeros + (size_t)g * NR));
    return (pair_f32){
        {vcvtq_f32_u32(vmovl_u16(vget_low_u16(z))), vcvtq_f32_u32(vmovl_high_u16(z))}};
}

/* Adds a group's sums to those of the tile. */
INLINE void add_group(const int rows, const weight_kind kind, const fr_qtile *t, int64_t g,
                      const pair_f32 s[MR]) {
    pair_f32 scale = scales_of(kind, t, g), zero = scale;
    if (kind == W4A16) zero = zeros_of(t, g);
    const char *a = (const char *)t->a + (kind == W4A16 ? t->row->less : t->row->scales);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        float own = *(const float *)(a + (size_t)i * t->lda + 4 * (size_t)g);
        float *sum = (float *)t->sum + (size_t)i * t->lds;
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            float32x4_t in_group = s[i].v[j], by = scale.v[j];
            if (kind == W4A16)
                in_group = vfmaq_n_f32(in_group, zero.v[j], own);
            else
                by = vmulq_n_f32(by, own);
            if (kind == E4M3) in_group = vmulq_n_f32(in_group, 256.0f);
            vst1q_f32(sum + 4 * j, vfmaq_f32(vld1q_f32(sum + 4 * j), in_group, by));
        }
    }
}

/* `many` groups from g. */
INLINE void some_groups(const int rows, const int many, const weight_kind kind, const fr_qtile *t,
                        int64_t g) {
    const int64_t group = t->panel->group;
    const size_t bytes = t->panel->code_bytes, step_bytes = kind == W4A16 ? 2 * NR : 4 * NR;
    const uint8_t *b = fr_qpanel_codes(t->panel, t->b, g);
    const char *a = (const char *)t->a + 2 * g * group;
    pair_f32 s[4][MR];
#pragma GCC unroll 4
    for (int c = 0; c < many; c++) {
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) s[c][i].v[0] = s[c][i].v[1] = vdupq_n_f32(0);
    }
    for (int64_t k = 0; k < group; k += 4, b += step_bytes, a += 8) {
#pragma GCC unroll 4
        for (int c = 0; c < many; c++)
            step(rows, kind, b + (size_t)c * bytes, a + 2 * c * group, t->lda, s[c]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < many; c++) add_group(rows, kind, t, g + c, s[c]);
}

INLINE void tile(const int rows, const weight_kind kind, const fr_qtile *t) {
    const int many = rows == 1 ? 4 : rows <= 3 ? 2 : 1;
    int64_t g = t->g0, end = t->g0 + t->groups;
    if (!t->add)
        for (int i = 0; i < rows; i++)
            memset((float *)t->sum + (size_t)i * t->lds, 0, NR * sizeof(float));
    for (; g + many <= end; g += many) some_groups(rows, many, kind, t, g);
    if (many > 1)
        for (; g < end; g++) some_groups(rows, 1, kind, t, g);
}

INLINE void by_rows(const weight_kind kind, const fr_qtile *t) {
    switch (t->rows) {
    case 1: tile(1, kind, t); break;
    case 2: tile(2, kind, t); break;
    case 3: tile(3, kind, t); break;
    case 4: tile(4, kind, t); break;
    case 5: tile(5, kind, t); break;
    case 6: tile(6, kind, t); break;
    case 7: tile(7, kind, t); break;
    default: tile(8, kind, t); break;
    }
}

static void w4a16(const fr_qtile *t) {
    by_rows(W4A16, t);
}
static void fp8(const fr_qtile *t) {
    if (t->panel->e5m2)
        by_rows(E5M2, t);
    else
        by_rows(E4M3, t);
}

void fr_qgemm_fill_neon_float(fr_qgemm_kernels *out) {
    out->way[FR_Q_W4A16] = (struct fr_qgemm_way){MR, NR, w4a16};
    out->way[FR_Q_FP8] = (struct fr_qgemm_way){MR, NR, fp8};
}
