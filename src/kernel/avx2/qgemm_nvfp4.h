/* qgemm_nvfp4.h: tiles of 12 x 16 for NVFP4, in registers of 32 bytes, over the dot of qgemm_nibbles.h.
 *
 * There is as much to do after a block of 16 k as in it. So some blocks are unpacked into memory once for
 * all rows, and three rows at a time keep all their sums, those of floats too, in registers. */
#ifndef FR_KERNEL_QGEMM_NVFP4_H
#define FR_KERNEL_QGEMM_NVFP4_H

#include "kernel/avx2/qgemm_nibbles.h"

enum { NVFP4_MR = 12, BLOCKS = 8 };

typedef struct block {
    __m256i w[4][2];
    __m256 scale[2];
} block;

INLINE void unpack(const fr_qtile *t, int64_t g, block *out) {
    /* Twice the value of E2M1, plus 12. */
    const __m256i value = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const uint8_t *b = fr_qpanel_codes(t->panel, t->b, g);
    const char *scales = (const char *)t->b + t->panel->scales;
    for (int p = 0; p < 4; p++) {
        pair codes = nibbles_of(b + p * 32);
        out->w[p][0] = _mm256_shuffle_epi8(value, codes.v[0]);
        out->w[p][1] = _mm256_shuffle_epi8(value, codes.v[1]);
    }
    /* The bits of E4M3, moved to those of f16, are the value / 256. */
    __m128i e4m3 = _mm_load_si128((const __m128i *)scales + g);
    __m256i f16 = _mm256_slli_epi16(_mm256_cvtepu8_epi16(e4m3), 7);
    const __m256 unit = _mm256_set1_ps(256.0f);
    out->scale[0] = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(f16)), unit);
    out->scale[1] = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(f16, 1)), unit);
}

INLINE void nvfp4_block(const rows_at *a, const int rows, const block *b, int64_t sx, int64_t less,
                        pair_f32 sum[3]) {
    pair s[3];
#pragma GCC unroll 4
    for (int p = 0; p < 4; p++) {
        pair w = {{load(&b->w[p][0]), load(&b->w[p][1])}};
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++) dot(p == 0, &s[i], w, a->row[i] + 4 * p);
    }
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++) {
        __m256i l = four_codes(a->row[i] + less);
        __m256 x = _mm256_broadcast_ss((const float *)(a->row[i] + sx));
        sum[i].v[0] = add_group(sum[i].v[0], s[i].v[0], l, x, &b->scale[0]);
        sum[i].v[1] = add_group(sum[i].v[1], s[i].v[1], l, x, &b->scale[1]);
    }
}

/* Some rows from `first`, some blocks from g. */
INLINE void nvfp4_rows(const int rows, const fr_qtile *t, int first, int64_t g, int64_t count,
                       const block *b) {
    const size_t lds = t->lds;
    rows_at a = rows_of(rows, t, (size_t)first * t->lda + (size_t)g * 16);
    int64_t sx = (int64_t)t->row->scales - 12 * g, less = (int64_t)t->row->less - 12 * g;
    float *const sums = (float *)t->sum + (size_t)first * lds;
    pair_f32 sum[3];
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++) sum[i].v[j] = _mm256_load_ps(sums + (size_t)i * lds + 8 * j);
    for (const block *end = b + count; b < end; b++, sx -= 12, less -= 12) {
        nvfp4_block(&a, rows, b, sx, less, sum);
        forward(rows, &a, 16);
    }
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++) _mm256_store_ps(sums + (size_t)i * lds + 8 * j, sum[i].v[j]);
}

static void nvfp4(const fr_qtile *t) {
    block blocks[BLOCKS];
    begin(t);
    for (int64_t g = t->g0, end = g + t->groups; g < end; g += BLOCKS) {
        int64_t count = end - g < BLOCKS ? end - g : BLOCKS;
        for (int64_t n = 0; n < count; n++) unpack(t, g + n, &blocks[n]);
        int i = 0;
        for (; i + 3 <= t->rows; i += 3) nvfp4_rows(3, t, i, g, count, blocks);
        if (t->rows - i == 2) nvfp4_rows(2, t, i, g, count, blocks);
        if (t->rows - i == 1) nvfp4_rows(1, t, i, g, count, blocks);
    }
}

static void nvfp4_fill(fr_qgemm_kernels *out) {
    out->way[FR_Q_NVFP4] = (struct fr_qgemm_way){NVFP4_MR, NR, nvfp4};
}

#endif
