/* qgemm_groups.c: weights in groups of 32 with scales of 16 bits (W4A16_OFF, W6A16, W8A16: GGUF's blocks, mostly) times
 * rows of floats, widened to f32, in tiles of two vectors of columns.
 *
 * A code, where it stands in its word, is the code times a power of two, and rows are multiplied by the inverse once a
 * group. A group's sum is one chain of multiply-adds for each column, whatever the tile, so that a row has the same
 * bits in a product of one row and of a thousand; where a tile has too few rows to hide the time of a multiply-add, it
 * works on several groups at once. */
#include "kernel/kernel.h"
#include "kernel/simd/vec.h"

#ifdef FR_ISA

#define INLINE static inline __attribute__((always_inline))
#define MR     (FR_VLEN == 8 ? 6 : 8)
#define NR     (2 * FR_VLEN)
#define GROUP  32

typedef enum weight_kind { W4, W6, W6_HALVES, W8 } weight_kind;

/* ---- rows ---- */

INLINE void FR_NAME(widen)(const weight_kind kind, const int count, const uint16_t *a, float *out) {
    static const float nibble[16] = {
        1.0f, 0x1p-16f, 0x1p-4f, 0x1p-20f, 1.0f, 0x1p-16f, 0x1p-4f, 0x1p-20f,
        1.0f, 0x1p-16f, 0x1p-4f, 0x1p-20f, 1.0f, 0x1p-16f, 0x1p-4f, 0x1p-20f,
    };
    vf32 by = kind == W8 ? vset1(0x1p-24f) : vload(nibble);
    for (int k = 0; k < count; k += FR_VLEN) vstore(out + k, vmul(vload_bf16(a + k), by));
}

/* ---- weights ---- */

/* Words of the columns of one half, with the codes of the second half where those of the first were. */
INLINE vi32 FR_NAME(words)(const weight_kind kind, const char *b, const int half) {
    if (kind == W8) return viload((const int32_t *)b + half * FR_VLEN);
    vi32 x = viload((const int32_t *)b);
    return half ? vishr(x, 8) : x;
}

/* The high pairs of bits of step `odd` of two, each four places above its nibble. */
INLINE vi32 FR_NAME(high_bits)(const char *high, const int odd, const int half) {
    vi32 y = viload((const int32_t *)high);
    if (odd) return half ? vishr(y, 6) : vishr(y, 4);
    return half ? vishl(y, 2) : vishl(y, 4);
}

INLINE vf32 FR_NAME(weight)(const weight_kind kind, vi32 x, vi32 high, const int k) {
    const int n = k % 2 * 16 + k / 2 * 4;
    if (kind == W8) {
        x = k == 0 ? vishl(x, 24) : k == 1 ? vishl(x, 16) : k == 2 ? vishl(x, 8) : x;
        return vtof(k ? viand(x, viset1((int32_t)0xff000000)) : x);
    }
    x = viand(x, viset1(15 << n));
    if (kind != W4) x = visub(vior(x, viand(high, viset1(48 << n))), viset1(32 << n));
    return vtof(x);
}

/* s += 4 k. x: widened, GROUP from one row to the next. */
INLINE void FR_NAME(step)(const int rows, const weight_kind kind, const char *b, const char *high,
                          const int odd, const float *x, vf32 s[][2]) {
    vi32 x0 = FR_NAME(words)(kind, b, 0), x1 = FR_NAME(words)(kind, b, 1), h0 = x0, h1 = x1;
    if (kind == W6 || kind == W6_HALVES)
        h0 = FR_NAME(high_bits)(high, odd, 0), h1 = FR_NAME(high_bits)(high, odd, 1);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        vf32 w0 = FR_NAME(weight)(kind, x0, h0, k), w1 = FR_NAME(weight)(kind, x1, h1, k);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            vf32 v = vset1(x[i * GROUP + k]);
            s[i][0] = vfma(v, w0, s[i][0]);
            s[i][1] = vfma(v, w1, s[i][1]);
        }
    }
}

/* ---- sums ---- */

/* Adds the sums of a unit to those of the tile. */
INLINE void FR_NAME(add_unit)(const int rows, const weight_kind kind, const fr_qtile *t,
                              int64_t unit, vf32 s[][2]) {
    const fr_qpanel *p = t->panel;
    const int64_t g = kind == W6_HALVES ? unit / 2 : unit;
    const bool late = kind == W6_HALVES && unit % 2;
    const char *first = (const char *)t->b + p->scales + (size_t)g * p->scale_bytes;
    const char *second = (const char *)t->b + p->zeros + (size_t)g * p->zero_bytes;
    const uint16_t *scales = (const uint16_t *)(late ? second : first);
    const uint16_t *offsets = (const uint16_t *)second;
    const char *less = (const char *)t->a + t->row->less + 4 * (size_t)g;
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
        vf32 by = vload_f16(scales + j * FR_VLEN), off = by;
        if (kind == W4 || kind == W6) off = vload_f16(offsets + j * FR_VLEN);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            float *sum = (float *)t->sum + (size_t)i * t->lds + j * FR_VLEN;
            vf32 y = vload(sum), in_group = s[i][j];
            if (kind == W4 || kind == W6) {
                vf32 l = vset1(*(const float *)(less + (size_t)i * t->lda));
                if (kind == W4) in_group = vfma(l, vset1(8.0f), in_group);
                y = vfma(off, l, y);
            }
            vstore(sum, vfma(in_group, by, y));
        }
    }
}

/* `many` units from `first` on: groups, or halves with scales of their own, in the order of k. */
INLINE void FR_NAME(some_units)(const int rows, const int many, const weight_kind kind,
                                const fr_qtile *t, int64_t first) {
    _Alignas(64) float wide[MR * GROUP];
    vf32 s[MR][MR][2];
    const char *b[MR], *high[MR];
    const size_t step = (kind == W8 ? 4 : 2) * NR;
    const int parts = kind == W6_HALVES ? 2 : 1, length = GROUP / parts;
#pragma GCC unroll 8
    for (int c = 0; c < many; c++) {
        const int64_t g = (first + c) / parts, part = (first + c) % parts;
        b[c] = (const char *)fr_qpanel_codes(t->panel, t->b, g) + (size_t)part * 4 * step;
        high[c] = (const char *)fr_qpanel_codes(t->panel, t->b, g) + (8 + (size_t)part * 2) * step;
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            const char *row = (const char *)t->a + (size_t)i * t->lda;
            FR_NAME(widen)
            (kind, length, (const uint16_t *)row + (first + c) * length,
             wide + (c * rows + i) * GROUP);
            s[c][i][0] = s[c][i][1] = vzero();
        }
    }
    for (size_t k = 0; k < (size_t)length; k += 8) {
#pragma GCC unroll 8
        for (int c = 0; c < many; c++) {
            const char *codes = b[c] + k / 4 * step, *bits = high[c] + k / 8 * step;
            const float *x = wide + c * rows * GROUP + k;
            FR_NAME(step)(rows, kind, codes, bits, 0, x, s[c]);
            FR_NAME(step)(rows, kind, codes + step, bits, 1, x + 4, s[c]);
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < many; c++) FR_NAME(add_unit)(rows, kind, t, first + c, s[c]);
}

INLINE void FR_NAME(tile)(const int rows, const weight_kind kind, const fr_qtile *t) {
    const int many = rows == 1 ? 4 : rows == 2 ? 2 : 1, parts = kind == W6_HALVES ? 2 : 1;
    int64_t u = t->g0 * parts, end = (t->g0 + t->groups) * parts;
    if (!t->add)
        for (int i = 0; i < rows; i++)
            memset((float *)t->sum + (size_t)i * t->lds, 0, NR * sizeof(float));
    for (; u + many <= end; u += many) FR_NAME(some_units)(rows, many, kind, t, u);
    if (many > 1)
        for (; u < end; u++) FR_NAME(some_units)(rows, 1, kind, t, u);
}

INLINE void FR_NAME(by_rows)(const weight_kind kind, const fr_qtile *t) {
    switch (t->rows) {
    case 1: FR_NAME(tile)(1, kind, t); break;
    case 2: FR_NAME(tile)(2, kind, t); break;
    case 3: FR_NAME(tile)(3, kind, t); break;
    case 4: FR_NAME(tile)(4, kind, t); break;
    case 5: FR_NAME(tile)(5, kind, t); break;
#if FR_VLEN == 8
    default: FR_NAME(tile)(6, kind, t); break;
#else
    case 6: FR_NAME(tile)(6, kind, t); break;
    case 7: FR_NAME(tile)(7, kind, t); break;
    default: FR_NAME(tile)(8, kind, t); break;
#endif
    }
}

static void FR_NAME(tile_w4)(const fr_qtile *t) {
    FR_NAME(by_rows)(W4, t);
}
static void FR_NAME(tile_w6)(const fr_qtile *t) {
    if (t->panel->halves)
        FR_NAME(by_rows)(W6_HALVES, t);
    else
        FR_NAME(by_rows)(W6, t);
}
static void FR_NAME(tile_w8)(const fr_qtile *t) {
    FR_NAME(by_rows)(W8, t);
}

void FR_NAME(fr_qgemm_fill_groups)(fr_qgemm_kernels *out) {
    out->way[FR_Q_W4A16_OFF] = (struct fr_qgemm_way){MR, NR, FR_NAME(tile_w4)};
    out->way[FR_Q_W6A16] = (struct fr_qgemm_way){MR, NR, FR_NAME(tile_w6)};
    out->way[FR_Q_W8A16] = (struct fr_qgemm_way){MR, NR, FR_NAME(tile_w8)};
}

#endif
