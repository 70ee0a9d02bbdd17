/* qgemm_groups_avx512bf16.c: weights in groups of 32 with scales of 16 bits (W4A16_OFF, W6A16, W8A16) times rows of
 * bf16: 12 x 32 tiles with VDPBF16PS.
 *
 * Codes become signed bf16 numbers: of 4 bits by VPERMW in a table, as in qgemm_w4a16; of 6 bits, once the high pair
 * of bits stands above its nibble, by VPERMI2W in a table of 64; of 8 bits by way of floats, whose upper halves are
 * exact and put together in pairs. */
#include "kernel/avx512bf16/pair.h"
#include "kernel/kernel.h"
#include "kernel/simd/by_rows.h"

#define INLINE static inline __attribute__((always_inline))
#define MR     12
#define NR     32
#define GROUP  32
/* As in qgemm_w4a16: so far ahead that the next panel is in the second cache when this one ends. */
#define FAR_AHEAD    (80 << 10)
#define AHEAD        1024
#define AHEAD_GROUPS 12

typedef enum weight_kind { W4, W6, W6_HALVES, W8 } weight_kind;

/* bf16 of -8 .. 7, twice, and of -32 .. 31. */
static const uint16_t four_bits[32] __attribute__((aligned(64))) = {
    0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000,
    0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040,
    0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0,
};
static const uint16_t six_bits[64] __attribute__((aligned(64))) = {
    0xc200, 0xc1f8, 0xc1f0, 0xc1e8, 0xc1e0, 0xc1d8, 0xc1d0, 0xc1c8, 0xc1c0, 0xc1b8, 0xc1b0,
    0xc1a8, 0xc1a0, 0xc198, 0xc190, 0xc188, 0xc180, 0xc170, 0xc160, 0xc150, 0xc140, 0xc130,
    0xc120, 0xc110, 0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80, 0x0000,
    0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0x4100, 0x4110, 0x4120, 0x4130,
    0x4140, 0x4150, 0x4160, 0x4170, 0x4180, 0x4188, 0x4190, 0x4198, 0x41a0, 0x41a8, 0x41b0,
    0x41b8, 0x41c0, 0x41c8, 0x41d0, 0x41d8, 0x41e0, 0x41e8, 0x41f0, 0x41f8,
};

INLINE __m512bh lookup4(__m512i codes) {
    return (__m512bh)_mm512_permutexvar_epi16(codes, _mm512_load_si512(four_bits));
}
INLINE __m512bh lookup6(__m512i codes) {
    return (__m512bh)_mm512_permutex2var_epi16(_mm512_load_si512(six_bits), codes,
                                               _mm512_load_si512(six_bits + 32));
}

/* The nibble at n of each 16 bits from low, everything else from high. */
INLINE __m512i under(__m512i low, __m512i high, const int n) {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi16((int16_t)(15 << n)), low, high, 0xca);
}

/* Weights of 4 k: [pair of k][half of the columns]. */
typedef struct four_k {
    __m512bh w[2][2];
} four_k;

INLINE four_k weights4(const char *b, const bool few) {
    __m512i x = _mm512_load_si512(b);
    /* Words from the next byte on save a shift, which is what one or two rows are short of. */
    __m512i y = few ? _mm512_loadu_si512(b + 1) : _mm512_srli_epi16(x, 8);
    return (four_k){{{lookup4(x), lookup4(y)},
                     {lookup4(_mm512_srli_epi16(x, 4)), lookup4(_mm512_srli_epi16(y, 4))}}};
}

/* high: of both halves, four places above the nibbles. */
INLINE four_k weights6(const char *b, __m512i high0, __m512i high1) {
    __m512i x = _mm512_load_si512(b), y = _mm512_srli_epi16(x, 8);
    return (four_k){{{lookup6(under(x, high0, 0)), lookup6(under(y, high1, 0))},
                     {lookup6(_mm512_srli_epi16(under(x, high0, 4), 4)),
                      lookup6(_mm512_srli_epi16(under(y, high1, 4), 4))}}};
}

/* Byte `at` of every word as the upper one of a word, as a float 2^24 times too large. */
INLINE __m512i byte_as_float(__m512i x, const int at) {
    const __m512i top = _mm512_set1_epi32((int)0xff000000);
    if (at < 3) x = _mm512_slli_epi32(x, (unsigned)(24 - 8 * at));
    if (at) x = _mm512_and_si512(x, top);
    return _mm512_castps_si512(_mm512_cvtepi32_ps(x));
}

INLINE __m512bh byte_pair(__m512i x, const int at) {
    __m512i even = byte_as_float(x, at), odd = byte_as_float(x, at + 1);
    return (__m512bh)_mm512_or_si512(_mm512_srli_epi32(even, 16), odd);
}

INLINE four_k weights8(const char *b) {
    __m512i x = _mm512_load_si512(b), y = _mm512_load_si512(b + 64);
    return (four_k){{{byte_pair(x, 0), byte_pair(y, 0)}, {byte_pair(x, 2), byte_pair(y, 2)}}};
}

/* ---- sums ---- */

INLINE __m512 half_floats(const char *at) {
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)at));
}

INLINE void multiply(const int rows, const four_k *w, const char *a, size_t lda, __m512 s[][2]) {
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < rows; i++) {
            __m512bh v = spread_pair(a + (size_t)i * lda + 4 * p);
            s[i][0] = _mm512_dpbf16_ps(s[i][0], v, w->w[p][0]);
            s[i][1] = _mm512_dpbf16_ps(s[i][1], v, w->w[p][1]);
        }
}

/* Adds the sums of a unit to those of the tile. */
INLINE void add_unit(const int rows, const weight_kind kind, const fr_qtile *t, int64_t unit,
                     __m512 s[][2]) {
    const fr_qpanel *p = t->panel;
    const int64_t g = kind == W6_HALVES ? unit / 2 : unit;
    const char *first = (const char *)t->b + p->scales + (size_t)g * (NR * 2);
    const char *second = (const char *)t->b + p->zeros + (size_t)g * (NR * 2);
    const char *by = kind == W6_HALVES && unit % 2 ? second : first;
    const char *less = (const char *)t->a + t->row->less + 4 * g;
    __m512 by0 = half_floats(by), by1 = half_floats(by + 32), off0 = by0, off1 = by1;
    if (kind == W4 || kind == W6) off0 = half_floats(second), off1 = half_floats(second + 32);
    if (kind == W8) { /* sums are 2^24 too large */
        by0 = _mm512_mul_ps(by0, _mm512_set1_ps(0x1p-24f));
        by1 = _mm512_mul_ps(by1, _mm512_set1_ps(0x1p-24f));
    }
    float *sum = t->sum;
    for (int i = 0; i < rows; i++, sum += t->lds) {
        __m512 y0 = _mm512_load_ps(sum), y1 = _mm512_load_ps(sum + 16);
        if (kind == W4 || kind == W6) {
            __m512 l = _mm512_set1_ps(*(const float *)(less + (size_t)i * t->lda));
            y0 = _mm512_fmadd_ps(off0, l, y0), y1 = _mm512_fmadd_ps(off1, l, y1);
        }
        _mm512_store_ps(sum, _mm512_fmadd_ps(s[i][0], by0, y0));
        _mm512_store_ps(sum + 16, _mm512_fmadd_ps(s[i][1], by1, y1));
    }
}

INLINE void fetch(const char *b, const int lines) {
    for (int i = 0; i < lines; i++) {
        _mm_prefetch(b + FAR_AHEAD + 64 * i, _MM_HINT_T1);
        _mm_prefetch(b + AHEAD + 64 * i, _MM_HINT_T0);
    }
}

/* 8 k; the high bits of W6A16 are one line. */
INLINE void eight_k(const int rows, const weight_kind kind, const char *b, const char *high,
                    const char *a, size_t lda, __m512 s[][2]) {
    if (kind == W4 || kind == W8) {
        for (int i = 0; i < 2; i++, b += kind == W8 ? 128 : 64) {
            four_k w = kind == W8 ? weights8(b) : weights4(b, rows <= 2);
            multiply(rows, &w, a + 8 * i, lda, s);
        }
        return;
    }
    __m512i h = _mm512_load_si512(high);
    four_k w = weights6(b, _mm512_slli_epi16(h, 4), _mm512_slli_epi16(h, 2));
    multiply(rows, &w, a, lda, s);
    w = weights6(b + 64, _mm512_srli_epi16(h, 4), _mm512_srli_epi16(h, 6));
    multiply(rows, &w, a + 8, lda, s);
}

/* `many` units from `first` on: groups, or halves with scales of their own, in the order of k. */
INLINE void some_units(const int rows, const int many, const weight_kind kind, const fr_qtile *t,
                       int64_t first) {
    const int parts = kind == W6_HALVES ? 2 : 1, length = GROUP / parts;
    const int step = kind == W8 ? 256 : 128; /* bytes of codes of 8 k */
    const bool ahead = rows <= 8;
    __m512 s[4][MR][2];
    const char *b[4], *high[4];
#pragma GCC unroll 4
    for (int c = 0; c < many; c++) {
        const int64_t g = (first + c) / parts, part = (first + c) % parts;
        const char *codes = fr_qpanel_codes(t->panel, t->b, g);
        b[c] = codes + part * 2 * step, high[c] = codes + 4 * step + part * 2 * 64;
        for (int i = 0; i < rows; i++) s[c][i][0] = s[c][i][1] = _mm512_setzero_ps();
        if (ahead) {
            const char *panel = t->b;
            size_t next = ((size_t)g + AHEAD_GROUPS) * (NR * 2);
            _mm_prefetch(panel + t->panel->scales + next, _MM_HINT_T0);
            if (kind != W8) _mm_prefetch(panel + t->panel->zeros + next, _MM_HINT_T0);
        }
    }
    const char *a = (const char *)t->a + first * length * 2;
    for (int k = 0; k < length / 8; k++)
#pragma GCC unroll 4
        for (int c = 0; c < many; c++) {
            const char *codes = b[c] + k * step, *bits = high[c] + k * 64;
            if (ahead) fetch(codes, step / 64);
            if (ahead && (kind == W6 || kind == W6_HALVES)) fetch(bits, 1);
            eight_k(rows, kind, codes, bits, a + c * length * 2 + k * 16, t->lda, s[c]);
        }
#pragma GCC unroll 4
    for (int c = 0; c < many; c++) add_unit(rows, kind, t, first + c, s[c]);
}

/* A group's sum is one chain for each column, so that a row has the same bits in a product of one row and of many; few
 * rows work on several groups at once, so that no sum waits for the one before. */
INLINE void groups(const int rows, const weight_kind kind, const fr_qtile *t) {
    const int many = rows == 1 ? 4 : rows <= 3 ? 2 : 1, parts = kind == W6_HALVES ? 2 : 1;
    int64_t u = t->g0 * parts, end = (t->g0 + t->groups) * parts;
    float *sum = t->sum;
    for (int i = 0; i < rows && !t->add; i++, sum += t->lds) {
        _mm512_store_ps(sum, _mm512_setzero_ps());
        _mm512_store_ps(sum + 16, _mm512_setzero_ps());
    }
    for (; u + many <= end; u += many) some_units(rows, many, kind, t, u);
    if (many > 1)
        for (; u < end; u++) some_units(rows, 1, kind, t, u);
}

INLINE void by_rows(const weight_kind kind, const fr_qtile *t) {
    FR_BY_ROWS_12(t->rows, groups, kind, t);
}

static void tile_w4(const fr_qtile *t) {
    by_rows(W4, t);
}
static void tile_w6(const fr_qtile *t) {
    by_rows(W6, t);
}
static void tile_w6_halves(const fr_qtile *t) {
    by_rows(W6_HALVES, t);
}
static void tile_w6_any(const fr_qtile *t) {
    t->panel->halves ? tile_w6_halves(t) : tile_w6(t);
}
static void tile_w8(const fr_qtile *t) {
    by_rows(W8, t);
}

void fr_qgemm_fill_avx512bf16_groups(fr_qgemm_kernels *out) {
    out->way[FR_Q_W4A16_OFF] = (struct fr_qgemm_way){MR, NR, tile_w4};
    out->way[FR_Q_W6A16] = (struct fr_qgemm_way){MR, NR, tile_w6_any};
    out->way[FR_Q_W8A16] = (struct fr_qgemm_way){MR, NR, tile_w8};
}
