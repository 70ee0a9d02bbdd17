/* qgemm_float_avx2.c: low-bit weights times rows of floats: W4A16 and FP8, widened to f32, in tiles of
 * 6 x 16.
 *
 * Rows are widened once a group. A group's sum is one chain of multiply-adds for each column, whatever the
 * tile, so that a row has the same bits in a product of one row and of a thousand; where a tile has too few
 * rows to hide the time of a multiply-add, it works on several groups at once. */
#include "kernel/avx2/qgemm_pair.h"

enum { MAX_GROUP = 128 };

typedef enum weight_kind { W4A16, E4M3, E5M2 } weight_kind;

/* ---- weights of 16 columns at one k, as floats ---- */

static const union {
    uint32_t words[8];
    __m256i v;
} nibble_of_k[4] = {
    {{0xf, 0xf, 0xf, 0xf, 0xf, 0xf, 0xf, 0xf}},
    {{0xf0000, 0xf0000, 0xf0000, 0xf0000, 0xf0000, 0xf0000, 0xf0000, 0xf0000}},
    {{0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0}},
    {{0xf00000, 0xf00000, 0xf00000, 0xf00000, 0xf00000, 0xf00000, 0xf00000, 0xf00000}}};

/* One nibble of every word, where it stands, is the code times a power of 16, for which `widen` makes up.
 * The second half's columns come to the same places by one shift. */
INLINE pair_f32 weights_w4a16(const int rows, const uint8_t *b, __m256i second, const int k) {
    if (rows < 4) {
        __m256i mask = nibble_of_k[k].v, first = *(const __m256i *)b;
        return (pair_f32){{_mm256_cvtepi32_ps(_mm256_and_si256(first, mask)),
                           _mm256_cvtepi32_ps(_mm256_and_si256(second, mask))}};
    }
    __m256i first = load((const __m256i *)b);
    return (pair_f32){{_mm256_cvtepi32_ps(and_with(first, &nibble_of_k[k].v)),
                       _mm256_cvtepi32_ps(and_with(second, &nibble_of_k[k].v))}};
}

#define O -1 /* a byte of zeros */
static const union {
    int8_t bytes[32];
    __m256i v;
} bytes_of_k[2] = {{{O, 0, O, 4, O, 8, O, 12, O, 1, O, 5, O, 9, O, 13,
                     O, 0, O, 4, O, 8, O, 12, O, 1, O, 5, O, 9, O, 13}},
                   {{O, 2, O, 6, O, 10, O, 14, O, 3, O, 7, O, 11, O, 15,
                     O, 2, O, 6, O, 10, O, 14, O, 3, O, 7, O, 11, O, 15}}};
#undef O
static const union {
    uint16_t words[16];
    __m256i v;
} not_exponent_top = {{0xbfff, 0xbfff, 0xbfff, 0xbfff, 0xbfff, 0xbfff, 0xbfff, 0xbfff, 0xbfff,
                       0xbfff, 0xbfff, 0xbfff, 0xbfff, 0xbfff, 0xbfff, 0xbfff}};

/* 4 k of 16 columns as f16: out[k][column]. E5M2 is the upper half of an f16. E4M3, one place further down,
 * has the bits of the f16 that is the value / 256. */
INLINE void to_f16(const bool e5m2, const uint8_t *b, uint16_t out[4][NR]) {
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++) {
        const int j = n % 2, k = n / 2; /* half of the columns, half of the k */
        __m256i two = _mm256_load_si256((const __m256i *)b + j);
        __asm__("vpshufb %1, %0, %0" : "+x"(two) : "m"(bytes_of_k[k].v));
        if (!e5m2) two = and_with(_mm256_srai_epi16(two, 1), &not_exponent_top.v);
        two = _mm256_permute4x64_epi64(two, 0xd8); /* one k a half register */
        _mm_store_si128((__m128i *)&out[2 * k][8 * j], _mm256_castsi256_si128(two));
        _mm_store_si128((__m128i *)&out[2 * k + 1][8 * j], _mm256_extracti128_si256(two, 1));
    }
}

INLINE pair_f32 from_f16(const uint16_t *h) {
    return (pair_f32){{_mm256_cvtph_ps(_mm_load_si128((const __m128i *)h)),
                       _mm256_cvtph_ps(_mm_load_si128((const __m128i *)h + 1))}};
}

/* ---- rows ---- */

/* W4A16: by k modulo 4, so that the product is that of the true code. */
INLINE void widen(const weight_kind kind, const uint16_t *a, int64_t count, float *out) {
    const __m256 unscale = _mm256_broadcast_ps(
        &(const __m128){1.0f, 1.0f / 65536.0f, 1.0f / 16.0f, 1.0f / 1048576.0f});
    for (int64_t k = 0; k < count; k += 8) {
        __m256i u = _mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)(a + k)));
        __m256 x = _mm256_castsi256_ps(_mm256_slli_epi32(u, 16));
        _mm256_store_ps(out + k, kind == W4A16 ? _mm256_mul_ps(x, unscale) : x);
    }
}

/* ---- sums ---- */

/* s += x w; one statement, as gcc would otherwise load all first and run out of registers. */
INLINE void multiply(pair_f32 *s, pair_f32 w, const float *x) {
    __m256 spread;
    __asm__("vbroadcastss %3, %2\n\t"
            "vfmadd231ps %2, %4, %0\n\t"
            "vfmadd231ps %2, %5, %1"
            : "+x"(s->v[0]), "+x"(s->v[1]), "=&x"(spread)
            : "m"(*x), "x"(w.v[0]), "x"(w.v[1]));
}

/* s += one step of 4 k, in the order of k. */
INLINE void step(const int rows, const weight_kind kind, const uint8_t *b, const float *x,
                 pair_f32 s[MR]) {
    _Alignas(32) uint16_t h[4][NR];
    __m256i second = _mm256_setzero_si256();
    if (kind == W4A16)
        second = _mm256_srli_epi32(load((const __m256i *)b), 8);
    else
        to_f16(kind == E5M2, b, h);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        pair_f32 w = kind == W4A16 ? weights_w4a16(rows, b, second, k) : from_f16(h[k]);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) multiply(&s[i], w, x + i * MAX_GROUP + k);
    }
}

INLINE pair_f32 scales_of(const weight_kind kind, const fr_qtile *t, int64_t g) {
    const fr_qpanel *p = t->panel;
    const char *s = (const char *)t->b + p->scales + (size_t)g * p->scale_bytes;
    pair_f32 f;
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
                      const pair_f32 s[MR]) {
    pair_f32 scale = scales_of(kind, t, g), zero;
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
                if (kind == E4M3) in_group = _mm256_mul_ps(in_group, _mm256_set1_ps(256.0f));
                _mm256_store_ps(sum, _mm256_fmadd_ps(in_group, by, old));
            }
        }
    }
}

/* `many` groups from g. */
INLINE void some_groups(const int rows, const int many, const weight_kind kind, const fr_qtile *t,
                        int64_t g) {
    _Alignas(64) float wide[MR * MAX_GROUP];
    pair_f32 s[MR][MR];
    const int64_t group = t->panel->group;
    const size_t bytes = t->panel->code_bytes;
    const uint8_t *b = fr_qpanel_codes(t->panel, t->b, g);
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

void fr_qgemm_fill_avx2_float(fr_qgemm_kernels *out) {
    out->way[FR_Q_W4A16] = (struct fr_qgemm_way){MR, NR, w4a16_avx2};
    out->way[FR_Q_FP8] = (struct fr_qgemm_way){MR, NR, fp8_avx2};
}
