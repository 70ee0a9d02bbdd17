/* qgemm_nibbles.h: tiles of 6 x 16 for weights of 4 bits and rows of 8 or fewer, for registers of 32 bytes.
 *
 * One load holds 4 k of 16 columns: 8 columns in its low nibbles, 8 in its high ones. Four codes of a row,
 * spread over the register, meet both halves. Included by who has named the instructions of a dot:
 *
 *     DOT_STEPS               steps of 4 k that sums can take before they must be read
 *     dot(first, sums, w, a)  sums (unless first) + the products of w >= 0 and a, in any split
 *     dot_read(sums)          the split sums as 32 bits
 *     dot_times(sums, by)     the same times a number of 0 .. 255 in every column
 *
 * Sums that do not fit into 16 registers lie where the tile has to put them in the end. */
#ifndef FR_KERNEL_QGEMM_NIBBLES_H
#define FR_KERNEL_QGEMM_NIBBLES_H

#define MR 6
#define NR 16

typedef struct pair { /* the columns of the low and of the high nibbles */
    __m256i v[2];
} pair;
typedef struct pair_f32 {
    __m256 v[2];
} pair_f32;

/* Weights of one step. NVFP4: twice the value of E2M1, plus 12. */
INLINE pair weights(const fr_qkind kind, const uint8_t *b) {
    const __m256i low = _mm256_set1_epi8(15);
    __m256i both = _mm256_load_si256((const __m256i *)b);
    pair w = {{_mm256_and_si256(both, low), _mm256_and_si256(_mm256_srli_epi16(both, 4), low)}};
    if (kind == FR_Q_NVFP4) {
        const __m256i value = _mm256_broadcastsi128_si256(
            _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
        w.v[0] = _mm256_shuffle_epi8(value, w.v[0]);
        w.v[1] = _mm256_shuffle_epi8(value, w.v[1]);
    }
    return w;
}

INLINE __m256i four_codes(const char *a) {
    int32_t four;
    memcpy(&four, a, 4);
    return _mm256_set1_epi32(four);
}

INLINE void step(const int rows, const fr_qkind kind, const bool first, const uint8_t *b,
                 const char *a, size_t lda, pair s[MR]) {
    pair w = weights(kind, b);
#pragma GCC unroll 6
    for (int i = 0; i < MR; i++) {
        if (i < rows) {
            __m256i x = four_codes(a + (size_t)i * lda);
            s[i].v[0] = dot(first, s[i].v[0], w.v[0], x);
            s[i].v[1] = dot(first, s[i].v[1], w.v[1], x);
        }
    }
}

/* Split sums of some steps of 4 k. */
INLINE void steps_of(const int rows, const fr_qkind kind, const int steps, const uint8_t *b,
                     const char *a, size_t lda, pair s[MR]) {
    step(rows, kind, true, b, a, lda, s);
    for (int p = 1; p < steps; p++) step(rows, kind, false, b + 32 * p, a + 4 * p, lda, s);
}

INLINE __m256i *at(const fr_qtile *t, int i) {
    return (__m256i *)((int32_t *)t->sum + (size_t)i * t->lds);
}

INLINE void begin(const fr_qtile *t) {
    if (t->add) return;
    for (int i = 0; i < t->rows; i++) at(t, i)[0] = at(t, i)[1] = _mm256_setzero_si256();
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
    pair z = load_u16((const uint8_t *)t->b + t->panel->zeros + (size_t)g * (2 * NR));
    const char *less = (const char *)t->a + t->row->less + 4 * (size_t)g;
    for (int i = 0; i < rows; i++) {
        __m256i l = four_codes(less + (size_t)i * t->lda), *sum = at(t, i);
        sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(z.v[0], l));
        sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(z.v[1], l));
    }
}

INLINE void int_tile(const int rows, const fr_qkind kind, const fr_qtile *t) {
    enum { STEPS = 128 / 4 };
    const fr_qpanel *p = t->panel;
    begin(t);
    for (int64_t g = t->g0; g < t->g0 + t->groups; g++) {
        const uint8_t *b = (const uint8_t *)t->b + (size_t)g * (STEPS * 32);
        const char *a = (const char *)t->a + (size_t)g * 128;
        pair by = {0}, s[MR];
        if (kind == FR_Q_W4A8_G128) {
            add_zeros(rows, t, g);
            by = load_u8((const uint8_t *)t->b + p->scales + (size_t)g * NR);
        }
        for (int k = 0; k < STEPS; k += DOT_STEPS, b += 32 * DOT_STEPS, a += 4 * DOT_STEPS) {
            steps_of(rows, kind, DOT_STEPS, b, a, t->lda, s);
#pragma GCC unroll 6
            for (int i = 0; i < MR; i++) {
                if (i < rows) {
                    for (int j = 0; j < 2; j++) {
                        __m256i part =
                            kind == FR_Q_W4A8 ? dot_read(s[i].v[j]) : dot_times(s[i].v[j], by.v[j]);
                        at(t, i)[j] = _mm256_add_epi32(at(t, i)[j], part);
                    }
                }
            }
        }
    }
}

/* ---- whole numbers within a group, floats over groups: W4A4, NVFP4 ---- */

INLINE pair_f32 group_scales(const fr_qkind kind, const fr_qtile *t, int64_t g) {
    const fr_qpanel *p = t->panel;
    const uint8_t *s = (const uint8_t *)t->b + p->scales;
    pair_f32 f;
    if (kind == FR_Q_NVFP4) {
        /* The bits of E4M3, moved to those of f16, are the value / 256. */
        __m128i e4m3 = _mm_load_si128((const __m128i *)(s + (size_t)g * NR));
        __m256i f16 = _mm256_slli_epi16(_mm256_cvtepu8_epi16(e4m3), 7);
        const __m256 unit = _mm256_set1_ps(256.0f);
        f.v[0] = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(f16)), unit);
        f.v[1] = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(f16, 1)), unit);
    } else if (p->bf16_scales) {
        pair u = load_u16(s + (size_t)g * (2 * NR));
        for (int j = 0; j < 2; j++) f.v[j] = _mm256_castsi256_ps(_mm256_slli_epi32(u.v[j], 16));
    } else {
        const __m128i *h = (const __m128i *)(s + (size_t)g * (2 * NR));
        for (int j = 0; j < 2; j++) f.v[j] = _mm256_cvtph_ps(_mm_load_si128(h + j));
    }
    return f;
}

INLINE void group_tile(const int rows, const fr_qkind kind, const fr_qtile *t) {
    const int steps = (kind == FR_Q_NVFP4 ? 16 : 64) / 4;
    begin(t);
    for (int64_t g = t->g0; g < t->g0 + t->groups; g++) {
        pair s[MR];
        const char *a = t->a, *sx = a + t->row->scales + 4 * (size_t)g;
        const char *less = a + t->row->less + 4 * (size_t)g;
        steps_of(rows, kind, steps, (const uint8_t *)t->b + (size_t)g * (size_t)(32 * steps),
                 a + (size_t)g * (size_t)(4 * steps), t->lda, s);
        pair_f32 scale = group_scales(kind, t, g);
#pragma GCC unroll 6
        for (int i = 0; i < MR; i++) {
            if (i < rows) {
                __m256 x = _mm256_broadcast_ss((const float *)(sx + (size_t)i * t->lda));
                __m256i l = four_codes(less + (size_t)i * t->lda);
                for (int j = 0; j < 2; j++) {
                    float *sum = (float *)(at(t, i) + j);
                    __m256 whole = _mm256_cvtepi32_ps(_mm256_add_epi32(dot_read(s[i].v[j]), l));
                    __m256 by = _mm256_mul_ps(x, scale.v[j]);
                    _mm256_store_ps(sum, _mm256_fmadd_ps(whole, by, _mm256_load_ps(sum)));
                }
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
