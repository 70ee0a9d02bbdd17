/* qgemm_int_avx512vnni.c: products of bytes with weights of 8 and 4 bits, in tiles of 12 x 32.
 *
 * VPDPBUSD multiplies 64 unsigned bytes (weights: 16 columns, 4 values of k) with 64 signed ones (four codes of
 * a row, spread to all columns as they are loaded) and adds them up in 32-bit lanes, once a cycle. A step
 * is two of them a row; 64 bytes of 4-bit codes become the two operands with two ANDs and a shift. In
 * assembly, because gcc 12 copies and spills the sums of the intrinsic, which halves the rate.
 *
 * Few rows: a sum waits 4 cycles for itself, so they have several, which take turns. */
#include <immintrin.h>

#include "kernel/kernel.h"

#define MR          12
#define NR          32
#define GROUP_STEPS 32 /* of 4 k */
/* How far ahead of its use a panel is fetched: what memory delivers in its own latency, and half more. */
#define AHEAD 2048

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS void dot(__m512i *sum, __m512i weights, const char *a) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(*sum) : "v"(weights), "m"(*(const int32_t *)a));
}

/* Pairs of 16 bits. */
ALWAYS void dot_pairs(__m512i *sum, __m512i x, const int32_t *a) {
    __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(*sum) : "v"(x), "m"(*a));
}

ALWAYS void load_weights(fr_qkind kind, const char *b, __m512i w[2]) {
    const __m512i low = _mm512_set1_epi8(15);
    w[0] = _mm512_load_si512(b);
    if (kind == FR_Q_W8A8) {
        w[1] = _mm512_load_si512(b + 64);
    } else {
        w[1] = _mm512_and_si512(_mm512_srli_epi32(w[0], 4), low);
        w[0] = _mm512_and_si512(w[0], low);
    }
}

/* `steps` steps added to the sums of each row. */
ALWAYS void add_steps(int rows, fr_qkind kind, int64_t steps, const char *a, size_t lda,
                      const char *b, __m512i s[MR][2]) {
    const int turns = rows == 1 ? 4 : rows == 2 ? 2 : 1;
    const size_t step_bytes = kind == FR_Q_W8A8 ? 128 : 64;
    __m512i more[3][2][2];
#pragma GCC unroll 3
    for (int u = 1; u < turns; u++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) more[u - 1][i][0] = more[u - 1][i][1] = _mm512_setzero_si512();
    for (int64_t p = 0; p < steps; p += 4) {
#pragma GCC unroll 4
        for (int u = 0; u < 4; u++) {
            __m512i w[2];
            load_weights(kind, b, w);
            _mm_prefetch(b + AHEAD, _MM_HINT_T0);
            if (kind == FR_Q_W8A8) _mm_prefetch(b + AHEAD + 64, _MM_HINT_T0);
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
                if (i >= rows) continue;
                __m512i *sum = u % turns ? more[u % turns - 1][i] : s[i];
                dot(&sum[0], w[0], a + (size_t)i * lda + 4 * u);
                dot(&sum[1], w[1], a + (size_t)i * lda + 4 * u);
            }
            b += step_bytes;
        }
        a += 16;
    }
#pragma GCC unroll 3
    for (int u = 1; u < turns; u++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++)
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++)
                if (i < rows) s[i][h] = _mm512_add_epi32(s[i][h], more[u - 1][i][h]);
}

/* W8A8 and W4A8: the sums of all groups. */
ALWAYS void tile_plain(int rows, fr_qkind kind, const fr_qtile *t) {
    const char *a = t->a, *b = (const char *)t->b + t->panel->code_bytes * (size_t)t->g0;
    int32_t *sum = t->sum;
    __m512i s[MR][2];
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        if (i >= rows) continue;
        const int32_t *old = sum + (size_t)i * t->lds;
        if (t->add) {
            s[i][0] = _mm512_load_si512(old);
            s[i][1] = _mm512_load_si512(old + 16);
        } else if (kind == FR_Q_W8A8) {
            s[i][0] = s[i][1] =
                _mm512_set1_epi32(*(const int32_t *)(a + (size_t)i * t->lda + t->row->start));
        } else {
            s[i][0] = s[i][1] = _mm512_setzero_si512();
        }
    }
    add_steps(rows, kind, t->groups * GROUP_STEPS, a + t->g0 * GROUP_STEPS * 4, t->lda, b, s);
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        if (i >= rows) continue;
        _mm512_store_si512(sum + (size_t)i * t->lds, s[i][0]);
        _mm512_store_si512(sum + (size_t)i * t->lds + 16, s[i][1]);
    }
}

/* W4A8_G128: a group's sums times its scales, less its zeros, are added to those in memory. */
ALWAYS void tile_groups(int rows, const fr_qtile *t) {
    const fr_qpanel *p = t->panel;
    const char *panel = t->b;
    for (int64_t g = t->g0; g < t->g0 + t->groups; g++) {
        const char *a = (const char *)t->a + g * GROUP_STEPS * 4;
        const char *less = (const char *)t->a + t->row->less + g * 4;
        int32_t *sum = t->sum;
        __m512i s[MR][2];
#pragma GCC unroll 12
        for (int i = 0; i < MR; i++) s[i][0] = s[i][1] = _mm512_setzero_si512();
        add_steps(rows, FR_Q_W4A8_G128, GROUP_STEPS, a, t->lda, panel + p->code_bytes * (size_t)g,
                  s);
        const char *scales = panel + p->scales + p->scale_bytes * (size_t)g;
        const char *zeros = panel + p->zeros + p->zero_bytes * (size_t)g;
        __m512i s2[2], z[2];
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            s2[h] = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(scales + 16 * h)));
            /* The zero in the low half of a lane; the upper half of `less` meets 0. */
            z[h] = _mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)(zeros + 32 * h)));
        }
        bool add = t->add || g > t->g0;
#pragma GCC unroll 12
        for (int i = 0; i < MR; i++) {
            if (i >= rows) continue;
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                int32_t *to = sum + (size_t)i * t->lds + 16 * h;
                __m512i x = _mm512_mullo_epi32(s[i][h], s2[h]);
                dot_pairs(&x, z[h], (const int32_t *)(less + (size_t)i * t->lda));
                if (add) x = _mm512_add_epi32(x, _mm512_load_si512(to));
                _mm512_store_si512(to, x);
            }
        }
    }
}

ALWAYS void tile(int rows, fr_qkind kind, const fr_qtile *t) {
    if (kind == FR_Q_W4A8_G128)
        tile_groups(rows, t);
    else
        tile_plain(rows, kind, t);
}

ALWAYS void choose(fr_qkind kind, const fr_qtile *t) {
    switch (t->rows) {
    case 1: tile(1, kind, t); break;
    case 2: tile(2, kind, t); break;
    case 3: tile(3, kind, t); break;
    case 4: tile(4, kind, t); break;
    case 5: tile(5, kind, t); break;
    case 6: tile(6, kind, t); break;
    case 7: tile(7, kind, t); break;
    case 8: tile(8, kind, t); break;
    case 9: tile(9, kind, t); break;
    case 10: tile(10, kind, t); break;
    case 11: tile(11, kind, t); break;
    default: tile(12, kind, t); break;
    }
}

static void tile_w8a8(const fr_qtile *t) {
    choose(FR_Q_W8A8, t);
}
static void tile_w4a8(const fr_qtile *t) {
    choose(FR_Q_W4A8, t);
}
static void tile_w4a8_g128(const fr_qtile *t) {
    choose(FR_Q_W4A8_G128, t);
}

void fr_qgemm_fill_avx512vnni_int(fr_qgemm_kernels *out) {
    out->way[FR_Q_W8A8] = (struct fr_qgemm_way){MR, NR, tile_w8a8};
    out->way[FR_Q_W4A8] = (struct fr_qgemm_way){MR, NR, tile_w4a8};
    out->way[FR_Q_W4A8_G128] = (struct fr_qgemm_way){MR, NR, tile_w4a8_g128};
}
