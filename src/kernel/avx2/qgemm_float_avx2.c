/* qgemm_float_avx2.c: low-bit weights times rows of floats: W4A16 and FP8, widened to f32, in tiles of
 * 6 x 16; and the finish of all kinds.
 *
 * Rows are widened once a group. A group's sum is one chain of multiply-adds for each column, whatever the
 * tile, so that a row has the same bits in a product of one row and of a thousand; where a tile has too few
 * rows to hide the time of a multiply-add, it works on several groups at once. */
#include <immintrin.h>
#include <string.h>

#include "kernel/kernel.h"

#define INLINE static inline __attribute__((always_inline))

#define MR 6
#define NR 16
enum { MAX_GROUP = 128 };

typedef struct pair { /* the 8 columns of the first half, and of the second */
    __m256 v[2];
} pair;

/* Weights of 16 columns at 4 k, as floats; W4A16: times 16^q, q as in `unscale`. */
typedef struct four {
    pair k[4];
} four;

/* One nibble of every word, where it stands, is the code times a power of 16. The second half's columns
 * come to the same places by one shift, and rows make up for the power. */
INLINE four weights_w4a16(const uint8_t *b) {
    __m256i first = _mm256_load_si256((const __m256i *)b), second = _mm256_srli_epi32(first, 8);
    four w;
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        const __m256i mask = _mm256_set1_epi32(15 << (4 * (k / 2 + 4 * (k % 2))));
        w.k[k].v[0] = _mm256_cvtepi32_ps(_mm256_and_si256(first, mask));
        w.k[k].v[1] = _mm256_cvtepi32_ps(_mm256_and_si256(second, mask));
    }
    return w;
}

/* Bytes of 8 columns at k and k + 1, as the upper halves of 16 bits; E4M3 one place further down, where
 * its bits are those of the f16 that is the value / 256. */
INLINE __m256i two_k(const bool e5m2, __m256i bytes, const int k) {
    const char o = (char)-1, a = (char)k, b = (char)(k + 1);
    const __m256i places = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(o, a, o, (char)(a + 4), o, (char)(a + 8), o, (char)(a + 12), o, b, o,
                      (char)(b + 4), o, (char)(b + 8), o, (char)(b + 12)));
    __m256i high = _mm256_shuffle_epi8(bytes, places);
    if (!e5m2)
        high = _mm256_and_si256(_mm256_srai_epi16(high, 1), _mm256_set1_epi16((short)0xbfff));
    return _mm256_permute4x64_epi64(high, 0xd8);
}

INLINE four weights_fp8(const bool e5m2, const uint8_t *b) {
    four w;
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
        __m256i bytes = _mm256_load_si256((const __m256i *)b + j);
#pragma GCC unroll 2
        for (int k = 0; k < 4; k += 2) {
            __m256i two = two_k(e5m2, bytes, k);
            w.k[k].v[j] = _mm256_cvtph_ps(_mm256_castsi256_si128(two));
            w.k[k + 1].v[j] = _mm256_cvtph_ps(_mm256_extracti128_si256(two, 1));
        }
    }
    return w;
}

typedef enum weight_kind { W4A16, E4M3, E5M2 } weight_kind;

INLINE four weights(const weight_kind kind, const uint8_t *b) {
    return kind == W4A16 ? weights_w4a16(b) : weights_fp8(kind == E5M2, b);
}

/* What a row's values are multiplied with, by k modulo 4, so that the product is that of the true weight. */
INLINE __m256 unscale(const weight_kind kind) {
    if (kind == W4A16)
        return _mm256_broadcast_ps(
            &(const __m128){1.0f, 1.0f / 65536.0f, 1.0f / 16.0f, 1.0f / 1048576.0f});
    return _mm256_set1_ps(kind == E4M3 ? 256.0f : 1.0f);
}

INLINE void widen(const weight_kind kind, const uint16_t *a, int64_t count, float *out) {
    for (int64_t k = 0; k < count; k += 8) {
        __m256i u = _mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)(a + k)));
        __m256 x = _mm256_castsi256_ps(_mm256_slli_epi32(u, 16));
        _mm256_store_ps(out + k, kind == E5M2 ? x : _mm256_mul_ps(x, unscale(kind)));
    }
}

/* s += one step of 4 k, in the order of k. */
INLINE void step(const int rows, const weight_kind kind, const uint8_t *b, const float *x,
                 pair s[MR]) {
    four w = weights(kind, b);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
#pragma GCC unroll 6
        for (int i = 0; i < MR; i++) {
            if (i < rows) {
                __m256 a = _mm256_broadcast_ss(x + i * MAX_GROUP + k);
                s[i].v[0] = _mm256_fmadd_ps(a, w.k[k].v[0], s[i].v[0]);
                s[i].v[1] = _mm256_fmadd_ps(a, w.k[k].v[1], s[i].v[1]);
            }
        }
    }
}

INLINE pair scales_of(const weight_kind kind, const fr_qtile *t, int64_t g) {
    const fr_qpanel *p = t->panel;
    const char *s = (const char *)t->b + p->scales + (size_t)g * p->scale_bytes;
    pair f;
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
        if (kind != W4A16)
            f.v[j] = _mm256_load_ps((const float *)s + 8 * j);
        else if (p->bf16_scales)
            f.v[j] = _mm256_castsi256_ps(_mm256_slli_epi32(
                _mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)s + j)), 16));
        else
            f.v[j] = _mm256_cvtph_ps(_mm_load_si128((const __m128i *)s + j));
    }
    return f;
}

/* Adds a group's sums to those of the tile. */
INLINE void add_group(const int rows, const weight_kind kind, const fr_qtile *t, int64_t g,
                      const pair s[MR]) {
    pair scale = scales_of(kind, t, g), zero;
    const uint8_t *zeros = (const uint8_t *)t->b + t->panel->zeros + (size_t)g * NR;
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++)
        zero.v[j] = kind != W4A16 ? _mm256_setzero_ps()
                                  : _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(
                                        _mm_loadl_epi64((const __m128i *)(zeros + 8 * j))));
    const char *a = (const char *)t->a + 4 * (size_t)g;
#pragma GCC unroll 6
    for (int i = 0; i < MR; i++) {
        if (i < rows) {
            const char *row = a + (size_t)i * t->lda;
            __m256 own = _mm256_broadcast_ss(
                (const float *)(row + (kind == W4A16 ? t->row->less : t->row->scales)));
            for (int j = 0; j < 2; j++) {
                float *sum = (float *)t->sum + (size_t)i * t->lds + 8 * j;
                __m256 old = _mm256_load_ps(sum), by = scale.v[j], in_group = s[i].v[j];
                if (kind == W4A16)
                    in_group = _mm256_fmadd_ps(zero.v[j], own, in_group);
                else
                    by = _mm256_mul_ps(own, by);
                _mm256_store_ps(sum, _mm256_fmadd_ps(in_group, by, old));
            }
        }
    }
}

/* `many` groups from g. */
INLINE void some_groups(const int rows, const int many, const weight_kind kind, const fr_qtile *t,
                        int64_t g) {
    _Alignas(64) float wide[MR * MAX_GROUP];
    pair s[MR][MR];
    const int64_t group = t->panel->group;
    const size_t bytes = t->panel->code_bytes;
    const uint8_t *b = (const uint8_t *)t->b + (size_t)g * bytes;
#pragma GCC unroll 6
    for (int c = 0; c < many; c++) {
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            const char *row = (const char *)t->a + (size_t)i * t->lda;
            widen(kind, (const uint16_t *)row + (g + c) * group, group,
                  wide + (c * rows + i) * MAX_GROUP);
            s[c][i].v[0] = s[c][i].v[1] = _mm256_setzero_ps();
        }
    }
    const size_t step_bytes = kind == W4A16 ? 2 * NR : 4 * NR;
    for (int64_t k = 0; k < group; k += 4, b += step_bytes) {
#pragma GCC unroll 6
        for (int c = 0; c < many; c++)
            step(rows, kind, b + (size_t)c * bytes, wide + c * rows * MAX_GROUP + k, s[c]);
    }
#pragma GCC unroll 6
    for (int c = 0; c < many; c++) add_group(rows, kind, t, g + c, s[c]);
}

INLINE void tile(const int rows, const weight_kind kind, const fr_qtile *t) {
    const int many = rows == 1 ? 4 : rows == 2 ? 2 : 1;
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
    default: tile(6, kind, t); break;
    }
}

static void w4a16_avx2(const fr_qtile *t) {
    by_rows(W4A16, t);
}
static void fp8_avx2(const fr_qtile *t) {
    if (t->panel->e5m2)
        by_rows(E5M2, t);
    else
        by_rows(E4M3, t);
}

/* ---- finish ---- */

INLINE void finish_row(const fr_qkind kind, const fr_qtile *t, int i) {
    const fr_qpanel *p = t->panel;
    const float *scale = (const float *)((const char *)t->b + p->column_scale);
    const float *zero = (const float *)((const char *)t->b + p->column_zero);
    const char *a = (const char *)t->a + (size_t)i * t->lda;
    float *y = (float *)t->sum + (size_t)i * t->lds, sx = 1;
    int32_t start = 0;
    if (kind != FR_Q_FP8) {
        memcpy(&sx, a + t->row->scales, 4);
        memcpy(&start, a + t->row->start, 4);
    }
    const __m256 by = _mm256_set1_ps(sx), codes = _mm256_set1_ps((float)start / 128.0f);
    for (int j = 0; j < p->nr; j += 8) {
        __m256 v = _mm256_load_ps(y + j), s = _mm256_load_ps(scale + j);
        if (kind != FR_Q_FP8) v = _mm256_cvtepi32_ps(_mm256_castps_si256(v));
        if (kind == FR_Q_W4A8)
            v = _mm256_fmadd_ps(v, s, _mm256_mul_ps(_mm256_load_ps(zero + j), codes));
        else
            v = _mm256_mul_ps(v, s);
        _mm256_store_ps(y + j, kind == FR_Q_FP8 ? v : _mm256_mul_ps(v, by));
    }
}

static void finish_avx2(const fr_qtile *t) {
    const fr_qkind kind = t->panel->kind;
    if (kind == FR_Q_W4A4 || kind == FR_Q_W4A16) return;
    for (int i = 0; i < t->rows; i++) {
        if (kind == FR_Q_W4A8)
            finish_row(FR_Q_W4A8, t, i);
        else if (kind == FR_Q_W8A8 || kind == FR_Q_W4A8_G128)
            finish_row(FR_Q_W8A8, t, i);
        else /* NVFP4 and FP8: y = sum * scale */
            finish_row(FR_Q_FP8, t, i);
    }
}

void fr_qgemm_fill_avx2_float(fr_qgemm_kernels *out) {
    out->way[FR_Q_W4A16] = (struct fr_qgemm_way){MR, NR, w4a16_avx2};
    out->way[FR_Q_FP8] = (struct fr_qgemm_way){MR, NR, fp8_avx2};
    out->finish = finish_avx2;
}
