/* qgemm_fp8_avx512bf16.c: weights of E4M3 or E5M2 times rows of bf16: 12 x 32 tiles with VDPBF16PS.
 *
 * A code's bits moved to where bf16 has them, with the upper bits of its exponent set to a constant, are the
 * value times a power of two, which the scale of the group makes up for. That holds but for zeros and denormals, of
 * which ordinary weights have one in ten thousand: a line of codes that has any goes through a table too. NaN and
 * infinity count as the numbers that would follow the largest. */
#include "kernel/avx512bf16/pair.h"
#include "kernel/kernel.h"
#include "kernel/simd/by_rows.h"

#define INLINE static inline __attribute__((always_inline))
#define MR     12
#define NR     32
/* As in qgemm_w4a16_avx512bf16.c. */
#define FAR_AHEAD    (160 << 10)
#define AHEAD        1024
#define AHEAD_GROUPS 8

/* The pairs of even (0) or odd words of 32 bits: each code in the upper half of a lane. */
#define PAIR(a, b)    (int)(0x00800080u | (a) << 8 | (b) << 24)
#define PAIRS(a)      PAIR(a, a + 1), PAIR(a + 4, a + 5), PAIR(a + 8, a + 9), PAIR(a + 12, a + 13)
#define FOUR_TIMES(x) x, x, x, x
static const int spread[2][16]
    __attribute__((aligned(64))) = {{FOUR_TIMES(PAIRS(0u))}, {FOUR_TIMES(PAIRS(2u))}};

typedef struct kind {
    int shift;         /* from the upper half of a lane to the place in bf16 */
    short keep, above; /* bits of the code; constant bits of the exponent */
    char exponent;     /* its bits in a code */
    float scale;       /* what `above` leaves to make up for */
    uint16_t small[32] __attribute__((aligned(64))); /* codes with no exponent */
} kind;
static const kind e4m3 = {
    4,    (short)0x87f0, 0x3800,
    0x78, 0x1p8f,        {0, 0x3700, 0x3780, 0x37c0, 0x3800, 0x3820, 0x3840, 0x3860},
};
static const kind e5m2 = {
    3, (short)0x8fe0, 0x3000, 0x7c, 0x1p16f, {0, 0x2f80, 0x3000, 0x3040},
};

static inline __m512bh decode(const kind *f, __m512i x, int odd) {
    __m512i y = _mm512_shuffle_epi8(x, _mm512_load_si512(spread[odd]));
    y = _mm512_srai_epi16(y, (unsigned)f->shift);
    return (__m512bh)_mm512_ternarylogic_epi32(y, _mm512_set1_epi16(f->keep),
                                               _mm512_set1_epi16(f->above), 0xea);
}

/* The same, right for zeros and denormals too. */
static inline __m512bh decode_all(const kind *f, const char *b, int odd) {
    __m512i x = _mm512_load_si512(b);
    __m512i y = _mm512_shuffle_epi8(x, _mm512_load_si512(spread[odd]));
    __mmask32 small = _mm512_testn_epi16_mask(y, _mm512_set1_epi16((short)(f->exponent << 8)));
    __m512i by_table =
        _mm512_permutexvar_epi16(_mm512_srli_epi16(y, 8), _mm512_load_si512(f->small));
    by_table = _mm512_ternarylogic_epi32(y, _mm512_set1_epi16((short)0x8000), by_table, 0xea);
    return (__m512bh)_mm512_mask_mov_epi16((__m512i)decode(f, x, odd), small, by_table);
}

/* s += 4 k. */
INLINE void four_k(const int rows, const kind *f, const char *b, const char *a, size_t lda,
                   __m512 s[][2]) {
    const __m512i exponent = _mm512_set1_epi8(f->exponent);
    __m512i x0 = _mm512_load_si512(b), x1 = _mm512_load_si512(b + 64);
    __m512bh w[2][2] = {{decode(f, x0, 0), decode(f, x1, 0)}, {decode(f, x0, 1), decode(f, x1, 1)}};
    bool small = !_kortestz_mask64_u8(_mm512_testn_epi8_mask(x0, exponent),
                                      _mm512_testn_epi8_mask(x1, exponent));
    if (__builtin_expect(small, 0)) {
        w[0][0] = decode_all(f, b, 0), w[0][1] = decode_all(f, b + 64, 0);
        w[1][0] = decode_all(f, b, 1), w[1][1] = decode_all(f, b + 64, 1);
    }
#pragma GCC unroll 2
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < rows; i++) {
            __m512bh v = spread_pair(a + (size_t)i * lda + 4 * p);
            s[i][0] = _mm512_dpbf16_ps(s[i][0], v, w[p][0]);
            s[i][1] = _mm512_dpbf16_ps(s[i][1], v, w[p][1]);
        }
}

/* `many` groups from g, in the order of k. */
INLINE void some_groups(const int rows, const int many, const kind *f, const fr_qtile *t,
                        int64_t g) {
    const bool ahead = rows <= 8;
    const size_t lda = t->lda, bytes = t->panel->code_bytes, a_bytes = (size_t)t->panel->group * 2;
    const char *a = (const char *)t->a + (size_t)g * a_bytes;
    const char *b = fr_qpanel_codes(t->panel, t->b, g), *end = b + bytes;
    const float *scale = (const float *)((const char *)t->b + t->panel->scales) + g * NR;
    const size_t near = many > 1 ? (size_t)many * bytes : AHEAD; /* where these are done */
    __m512 s[2][MR][2];
#pragma GCC unroll 2
    for (int c = 0; c < many; c++) {
        for (int i = 0; i < rows; i++) s[c][i][0] = s[c][i][1] = _mm512_setzero_ps();
        if (ahead) {
            const char *next = (const char *)(scale + (c + AHEAD_GROUPS) * NR);
            _mm_prefetch(next, _MM_HINT_T0);
            _mm_prefetch(next + 64, _MM_HINT_T0);
        }
    }
    for (; b < end; b += 128, a += 8)
#pragma GCC unroll 2
        for (int c = 0; c < many; c++) {
            const char *codes = b + (size_t)c * bytes;
            if (ahead) {
                _mm_prefetch(codes + FAR_AHEAD, _MM_HINT_T1);
                _mm_prefetch(codes + FAR_AHEAD + 64, _MM_HINT_T1);
                _mm_prefetch(codes + near, _MM_HINT_T0);
                _mm_prefetch(codes + near + 64, _MM_HINT_T0);
            }
            four_k(rows, f, codes, a + (size_t)c * a_bytes, lda, s[c]);
        }
    const char *row_scale = (const char *)t->a + t->row->scales + 4 * g;
#pragma GCC unroll 2
    for (int c = 0; c < many; c++, scale += NR, row_scale += 4) {
        const __m512 by0 = _mm512_mul_ps(_mm512_load_ps(scale), _mm512_set1_ps(f->scale));
        const __m512 by1 = _mm512_mul_ps(_mm512_load_ps(scale + 16), _mm512_set1_ps(f->scale));
        float *sum = t->sum;
        for (int i = 0; i < rows; i++, sum += t->lds) {
            __m512 by = _mm512_set1_ps(*(const float *)(row_scale + (size_t)i * lda));
            __m512 y0 = _mm512_load_ps(sum), y1 = _mm512_load_ps(sum + 16);
            _mm512_store_ps(sum, _mm512_fmadd_ps(s[c][i][0], _mm512_mul_ps(by, by0), y0));
            _mm512_store_ps(sum + 16, _mm512_fmadd_ps(s[c][i][1], _mm512_mul_ps(by, by1), y1));
        }
    }
}

/* As in qgemm_w4a16_avx512bf16.c: one chain a group and column, few rows by several groups at once. */
INLINE void groups(const int rows, const kind *f, const fr_qtile *t) {
    const int many = rows <= 3 ? 2 : 1;
    int64_t g = t->g0, end = t->g0 + t->groups;
    float *sum = t->sum;
    for (int i = 0; i < rows && !t->add; i++, sum += t->lds) {
        _mm512_store_ps(sum, _mm512_setzero_ps());
        _mm512_store_ps(sum + 16, _mm512_setzero_ps());
    }
    for (; g + many <= end; g += many) some_groups(rows, many, f, t, g);
    if (many > 1)
        for (; g < end; g++) some_groups(rows, 1, f, t, g);
}

static void tile_fp8(const fr_qtile *t) {
    if (t->panel->e5m2)
        FR_BY_ROWS_12(t->rows, groups, &e5m2, t);
    else
        FR_BY_ROWS_12(t->rows, groups, &e4m3, t);
}

void fr_qgemm_fill_avx512bf16_fp8(fr_qgemm_kernels *out) {
    out->way[FR_Q_FP8] = (struct fr_qgemm_way){MR, NR, tile_fp8};
}
