/* qgemm_int_avx512vnni.c: products of bytes with weights of 8 and 4 bits, in tiles of 12 x 32.
 *
 * VPDPBUSD multiplies 64 unsigned bytes (weights: 16 columns, 4 values of k) with 64 signed ones (four codes of
 * a row, spread to all columns as they are loaded) and adds them up in 32-bit lanes, once a cycle. A step
 * is two of them a row; 64 bytes of 4-bit codes become the two operands with two ANDs and a shift, which
 * other units do. Sums stay in registers.
 *
 * In groups of 128, the sums of a group times its scale go to totals, which for many rows lie in the first
 * cache. What the zeros add is a product of its own, over groups instead of k, and comes first. */
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/simd/by_rows.h"

#define MR    12
#define NR    32
#define GROUP 128
/* How far ahead weights are asked for, in bytes: past the end of a panel too, where the processor's own guess
 * breaks off. */
#define AHEAD 16384

#define INLINE static inline __attribute__((always_inline))

/* Codes of rows, by threes: three addresses are one register and the distance. */
typedef struct codes {
    const char *row[MR / 3];
    size_t lda;
} codes;

typedef char records[1 << 20]; /* says that memory is read */

/* In assembly, because gcc 12 copies and spills the sums of the intrinsic, which halves the rate, and makes an
 * address of its own for every row. */
INLINE void dot(__m512i *sum, __m512i weights, const codes *a, int row) {
    const char *p = a->row[row / 3];
    switch (row % 3) {
    case 0:
        __asm__("vpdpbusd (%2)%{1to16%}, %1, %0"
                : "+v"(*sum)
                : "v"(weights), "r"(p), "m"(*(const records *)p));
        break;
    case 1:
        __asm__("vpdpbusd (%2,%3)%{1to16%}, %1, %0"
                : "+v"(*sum)
                : "v"(weights), "r"(p), "r"(a->lda), "m"(*(const records *)p));
        break;
    default:
        __asm__("vpdpbusd (%2,%3,2)%{1to16%}, %1, %0"
                : "+v"(*sum)
                : "v"(weights), "r"(p), "r"(a->lda), "m"(*(const records *)p));
    }
}

/* Both factors pairs of 16 bits. */
INLINE void dot_pairs(__m512i *sum, __m512i x, const int16_t *a) {
    __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(*sum) : "v"(x), "m"(*(const int16_t(*)[2])a));
}

INLINE void load_weights(fr_qkind kind, const char *b, __m512i w[2]) {
    const __m512i low = _mm512_set1_epi8(15);
    w[0] = _mm512_load_si512(b);
    __asm__("" : "+v"(w[0])); /* loaded once, not for every use */
    if (kind == FR_Q_W8A8) {
        w[1] = _mm512_load_si512(b + 64);
        __asm__("" : "+v"(w[1]));
    } else {
        w[1] = _mm512_and_si512(_mm512_srli_epi32(w[0], 4), low);
        w[0] = _mm512_and_si512(w[0], low);
    }
}

/* Asks for the weights of a step, a while from now: the next panel lies behind this one, in the order in which
 * it is read. With few rows memory sets the pace, and they come into the first cache. */
INLINE void ask(int rows, fr_qkind kind, const char *b) {
    const int lines = kind == FR_Q_W8A8 ? 2 : 1; /* of 64 bytes, a step */
#pragma GCC unroll 2
    for (int l = 0; l < lines; l++) {
        if (rows <= 8)
            _mm_prefetch(b + AHEAD + 64 * l, _MM_HINT_T0);
        else
            _mm_prefetch(b + AHEAD + 64 * l, _MM_HINT_T1);
    }
}

/* The steps of one group; `a` goes on to the next. A single row has two sums, s[0] and s[1], which take turns,
 * because each waits 4 cycles for itself. */
INLINE void add_group(int rows, fr_qkind kind, codes *a, const char *b, __m512i s[MR][2]) {
    const int turns = rows == 1 ? 2 : 1;
    for (int k = 0; k < GROUP; k += 16) {
#pragma GCC unroll 4
        for (int u = 0; u < 4; u++) {
            __m512i w[2];
            load_weights(kind, b, w);
            ask(rows, kind, b);
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
                if (i >= rows) continue;
                __m512i *sum = s[i + u % turns];
                dot(&sum[0], w[0], a, i);
                dot(&sum[1], w[1], a, i);
            }
            b += kind == FR_Q_W8A8 ? 128 : 64;
#pragma GCC unroll 4
            for (int q = 0; q < MR / 3; q++) a->row[q] += 4;
        }
    }
}

INLINE void join_turns(int rows, __m512i s[MR][2]) {
    if (rows > 1) return;
    s[0][0] = _mm512_add_epi32(s[0][0], s[1][0]);
    s[0][1] = _mm512_add_epi32(s[0][1], s[1][1]);
    s[1][0] = s[1][1] = _mm512_setzero_si512();
}

/* What begins the sums. */
INLINE void begin(int rows, fr_qkind kind, const fr_qtile *t, __m512i s[MR][2]) {
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        s[i][0] = s[i][1] = _mm512_setzero_si512();
        if (i >= rows) continue;
        if (t->add) {
            const int32_t *sum = (const int32_t *)t->sum + (size_t)i * t->lds;
            s[i][0] = _mm512_load_si512(sum);
            s[i][1] = _mm512_load_si512(sum + 16);
        } else if (kind == FR_Q_W8A8) {
            const char *start = (const char *)t->a + (size_t)i * t->lda + t->row->start;
            s[i][0] = s[i][1] = _mm512_set1_epi32(*(const int32_t *)start);
        }
    }
}

/* 16 columns, two groups of zeros: pairs. */
INLINE __m512i pairs(const char *group, const char *next) {
    __m512i x = _mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)group));
    __m512i y = _mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)next));
    return _mm512_or_si512(x, _mm512_slli_epi32(y, 16));
}

/* The zeros of all groups of the call times what the rows have for them, which fits 16 bits. */
INLINE void add_zeros(int rows, const fr_qtile *t, __m512i s[MR][2]) {
    enum { MANY = 64 };
    int16_t less[MR][MANY];
    const char *z = (const char *)t->b + t->panel->zeros + (size_t)t->g0 * (2 * NR);
    for (int64_t g = 0; g < t->groups; g += MANY) {
        int64_t left = t->groups - g, count = left < MANY ? left : MANY;
        for (int i = 0; i < rows; i++) {
            const int32_t *from =
                (const int32_t *)((const char *)t->a + (size_t)i * t->lda + t->row->less) + t->g0 +
                g;
            for (int64_t j = 0; j < count; j += 16) {
                __mmask16 some = (__mmask16)(count - j < 16 ? (1 << (count - j)) - 1 : 0xffff);
                _mm256_storeu_si256(
                    (__m256i *)(less[i] + j),
                    _mm512_cvtepi32_epi16(_mm512_maskz_loadu_epi32(some, from + j)));
            }
        }
        /* Behind an odd last group there is more of the panel, which meets 0. */
        for (int64_t j = 0; j < count; j += 2, z += 4 * NR) {
            __m512i z0 = pairs(z, z + 2 * NR), z1 = pairs(z + NR, z + 3 * NR);
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
                if (i >= rows) continue;
                dot_pairs(&s[i][0], z0, less[i] + j);
                dot_pairs(&s[i][1], z1, less[i] + j);
            }
        }
    }
}

/* The sums of a group times its scales go to the totals. */
INLINE void add_scaled(int rows, const char *scales, __m512i s[MR][2], __m512i total[MR][2]) {
    __m512i s2[2];
    s2[0] = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)scales));
    s2[1] = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)scales + 1));
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        if (i >= rows) continue;
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            total[i][h] = _mm512_add_epi32(total[i][h], _mm512_mullo_epi32(s[i][h], s2[h]));
            s[i][h] = _mm512_setzero_si512();
        }
    }
}

INLINE void store(int rows, const fr_qtile *t, __m512i s[MR][2]) {
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        if (i >= rows) continue;
        int32_t *sum = (int32_t *)t->sum + (size_t)i * t->lds;
        _mm512_store_si512(sum, s[i][0]);
        _mm512_store_si512(sum + 16, s[i][1]);
    }
}

INLINE codes codes_of(const fr_qtile *t) {
    codes a = {.lda = t->lda};
#pragma GCC unroll 4
    for (size_t q = 0; q < MR / 3; q++)
        a.row[q] = (const char *)t->a + t->g0 * GROUP + 3 * q * t->lda;
    return a;
}

INLINE void tile(int rows, fr_qkind kind, const fr_qtile *t) {
    const int64_t bytes = kind == FR_Q_W8A8 ? GROUP * NR : GROUP * NR / 2; /* of a group */
    const char *b = fr_qpanel_codes(t->panel, t->b, t->g0), *end = b + t->groups * bytes;
    codes a = codes_of(t);
    __m512i s[MR][2];
    begin(rows, kind, t, s);
    for (; b < end; b += bytes) add_group(rows, kind, &a, b, s);
    join_turns(rows, s);
    store(rows, t, s);
}

INLINE void tile_g128(int rows, const fr_qtile *t) {
    const int64_t bytes = GROUP * NR / 2;
    const char *b = fr_qpanel_codes(t->panel, t->b, t->g0), *end = b + t->groups * bytes;
    const char *scales = (const char *)t->b + t->panel->scales + t->g0 * NR;
    codes a = codes_of(t);
    __m512i s[MR][2], total[MR][2];
    begin(rows, FR_Q_W4A8_G128, t, total);
    add_zeros(rows, t, total);
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) s[i][0] = s[i][1] = _mm512_setzero_si512();
    for (; b < end; b += bytes, scales += NR) {
        add_group(rows, FR_Q_W4A8_G128, &a, b, s);
        join_turns(rows, s);
        add_scaled(rows, scales, s, total);
    }
    store(rows, t, total);
}

INLINE void tile_of(int rows, fr_qkind kind, const fr_qtile *t) {
    if (kind == FR_Q_W4A8_G128)
        tile_g128(rows, t);
    else
        tile(rows, kind, t);
}

INLINE void by_rows(fr_qkind kind, const fr_qtile *t) {
    FR_BY_ROWS_12(t->rows, tile_of, kind, t);
}

static void tile_w8a8(const fr_qtile *t) {
    by_rows(FR_Q_W8A8, t);
}
static void tile_w4a8(const fr_qtile *t) {
    by_rows(FR_Q_W4A8, t);
}
static void tile_w4a8_g128(const fr_qtile *t) {
    by_rows(FR_Q_W4A8_G128, t);
}

void fr_qgemm_fill_avx512vnni_int(fr_qgemm_kernels *out) {
    out->way[FR_Q_W8A8] = (struct fr_qgemm_way){MR, NR, tile_w8a8};
    out->way[FR_Q_W4A8] = (struct fr_qgemm_way){MR, NR, tile_w4a8};
    out->way[FR_Q_W4A8_G128] = (struct fr_qgemm_way){MR, NR, tile_w4a8_g128};
}
