/* qgemm_nibbles.h: tiles of 6 x 16 for weights of 4 bits and rows of 8 or fewer, in registers of 32 bytes.
 *
 * One load holds 4 k of 16 columns: 8 columns in its low nibbles, 8 in its high ones. Four codes of a row,
 * spread over the register, meet both halves. Included by who has named the instructions of a dot:
 *
 *     DOT_STEPS                steps of 4 k that sums can take before they must be read
 *     dot(first, &sums, w, a)  sums (0 if first) + products of w >= 0 and the four codes at a, in any split
 *     dot_read(sums)           the split sums as 32 bits
 *     dot_times(sums, &by)     the same times a number of 0 .. 255 in every column
 *
 * There are sixteen registers: 12 split sums, two of weights, two for the products. So constants are read
 * from memory again and again, and whole sums lie where the tile has to put them in the end. */
#ifndef FR_KERNEL_QGEMM_NIBBLES_H
#define FR_KERNEL_QGEMM_NIBBLES_H

#include "kernel/avx2/qgemm_pair.h"

static const union {
    uint8_t bytes[32];
    __m256i v;
} low_nibbles = {{15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
                  15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15}};

/* Codes of one step. */
INLINE pair nibbles_of(const uint8_t *b) {
    __m256i both = _mm256_load_si256((const __m256i *)b), high = _mm256_srli_epi16(both, 4);
    return (pair){{and_with(both, &low_nibbles.v), and_with(high, &low_nibbles.v)}};
}

/* Split sums of some steps of 4 k. */
INLINE void steps_of(const int rows, const int steps, const uint8_t *b, const rows_at *a,
                     pair s[MR]) {
#pragma GCC unroll 32
    for (int p = 0; p < steps; p++) {
        pair w = nibbles_of(b + 32 * p);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) dot(p == 0, &s[i], w, a->row[i] + 4 * p);
    }
}

INLINE void begin(const fr_qtile *t) {
    if (t->add) return;
    for (int i = 0; i < t->rows; i++)
        memset((int32_t *)t->sum + (size_t)i * t->lds, 0, NR * sizeof(int32_t));
}

/* ---- sums of whole numbers: W4A8, W4A8_G128 ---- */

INLINE pair load_u8(const uint8_t *p) {
    return (pair){{_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)),
                   _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8)))}};
}
INLINE pair load_u16(const uint8_t *p) {
    return (pair){{_mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)p)),
                   _mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)p + 1))}};
}

/* + z less: both fit 16 bits, and the upper half of z's lanes is 0. */
INLINE void add_zeros(const int rows, const fr_qtile *t, int64_t g) {
    pair z = load_u16((const uint8_t *)t->b + t->panel->zeros + g * (2 * NR));
    const char *less = (const char *)t->a + t->row->less + 4 * (size_t)g;
    __m256i *sum = t->sum;
    const size_t lda = t->lda, lds = t->lds;
    for (int i = 0; i < rows; i++, less += lda, sum += lds / 8) {
        __m256i l = four_codes(less);
        sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(z.v[0], l));
        sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(z.v[1], l));
    }
}

INLINE void int_tile(const int rows, const fr_qkind kind, const fr_qtile *t) {
    enum { STEPS = 128 / 4 };
    const size_t lds = t->lds / 8;
    const uint8_t *b = fr_qpanel_codes(t->panel, t->b, t->g0);
    rows_at a = rows_of(rows, t, (size_t)t->g0 * 128);
    __m256i *const sums = t->sum;
    begin(t);
    for (int64_t g = t->g0, end = g + t->groups; g < end; g++) {
        pair by = {0}, s[MR];
        if (kind == FR_Q_W4A8_G128) {
            add_zeros(rows, t, g);
            by = load_u8((const uint8_t *)t->b + t->panel->scales + (size_t)g * NR);
        }
        for (int p = 0; p < STEPS; p += DOT_STEPS, b += 32 * DOT_STEPS) {
            steps_of(rows, DOT_STEPS, b, &a, s);
            forward(rows, &a, 4 * DOT_STEPS);
            __m256i *sum = sums;
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++, sum += lds) {
#pragma GCC unroll 2
                for (int j = 0; j < 2; j++) {
                    __m256i part =
                        kind == FR_Q_W4A8 ? dot_read(s[i].v[j]) : dot_times(s[i].v[j], &by.v[j]);
                    sum[j] = _mm256_add_epi32(sum[j], part);
                }
            }
        }
    }
}

/* ---- whole numbers within a group, floats over groups: W4A4 ---- */

INLINE void group_scales(const fr_qtile *t, int64_t g, __m256 f[2]) {
    const uint8_t *s = (const uint8_t *)t->b + t->panel->scales + g * (2 * NR);
    if (t->panel->bf16_scales) {
        pair u = load_u16(s);
        for (int j = 0; j < 2; j++) f[j] = _mm256_castsi256_ps(_mm256_slli_epi32(u.v[j], 16));
    } else {
        for (int j = 0; j < 2; j++) f[j] = _mm256_cvtph_ps(_mm_load_si128((const __m128i *)s + j));
    }
}

/* sum = fma(s + less, sx * scale, sum) */
INLINE __m256 add_group(__m256 sum, __m256i s, __m256i less, __m256 sx, const __m256 *scale) {
    __m256 in_group = _mm256_cvtepi32_ps(_mm256_add_epi32(dot_read(s), less));
    return _mm256_fmadd_ps(in_group, mul_with(sx, scale), sum);
}

INLINE void w4a4_tile(const int rows, const fr_qtile *t) {
    enum { GROUP = 64, STEPS = GROUP / 4 };
    const size_t lds = t->lds;
    const uint8_t *b = fr_qpanel_codes(t->panel, t->b, t->g0);
    rows_at a = rows_of(rows, t, (size_t)(t->g0 * GROUP));
    /* From the codes of this group to its scale and its less: they come nearer. */
    int64_t sx = (int64_t)t->row->scales + t->g0 * (4 - GROUP);
    int64_t less = (int64_t)t->row->less + t->g0 * (4 - GROUP);
    float *const sums = t->sum;
    begin(t);
    for (int64_t g = t->g0, end = g + t->groups; g < end; g++, b += 32 * STEPS) {
        float *sum = sums;
        pair s[MR];
        __m256 scale[2];
        group_scales(t, g, scale);
        steps_of(rows, STEPS, b, &a, s);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++, sum += lds) {
            __m256i l = four_codes(a.row[i] + less);
            __m256 x = _mm256_broadcast_ss((const float *)(a.row[i] + sx));
            for (int j = 0; j < 16; j += 8) {
                __m256 old = _mm256_load_ps(sum + j);
                _mm256_store_ps(sum + j, add_group(old, s[i].v[j / 8], l, x, &scale[j / 8]));
            }
        }
        forward(rows, &a, GROUP);
        sx += 4 - GROUP, less += 4 - GROUP;
    }
}

/* ---- the tiles ---- */

INLINE void nibbles(const int rows, const fr_qkind kind, const fr_qtile *t) {
    if (kind == FR_Q_W4A8 || kind == FR_Q_W4A8_G128)
        int_tile(rows, kind, t);
    else
        w4a4_tile(rows, t);
}

INLINE void nibbles_by_rows(const fr_qkind kind, const fr_qtile *t) {
    switch (t->rows) {
    case 1: nibbles(1, kind, t); break;
    case 2: nibbles(2, kind, t); break;
    case 3: nibbles(3, kind, t); break;
    case 4: nibbles(4, kind, t); break;
    case 5: nibbles(5, kind, t); break;
    default: nibbles(6, kind, t); break;
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

static void nibbles_fill(fr_qgemm_kernels *out) {
    out->way[FR_Q_W4A8] = (struct fr_qgemm_way){MR, NR, w4a8};
    out->way[FR_Q_W4A8_G128] = (struct fr_qgemm_way){MR, NR, w4a8_g128};
    out->way[FR_Q_W4A4] = (struct fr_qgemm_way){MR, NR, w4a4};
}

#endif
