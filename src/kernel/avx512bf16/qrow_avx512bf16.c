/* qrow_avx512bf16.c: the low-rank branch's first half with the dot instruction of bf16: rows and ranks are
 * pairs along k, three rows against eight ranks at a time. Memory is idle meanwhile, so every step asks for
 * two lines of what comes next. */
#include "kernel/kernel.h"
#include "kernel/simd/vec.h"

#define ROWS  3
#define RANKS 8

static void keep_bf16(const float *x, int64_t k, void *out) {
    uint16_t *to = out;
    for (int64_t i = 0; i < k; i += 32) {
        size_t left = (size_t)(k - i), high = left > 16 ? left - 16 : 0;
        vf32 a = left < 16 ? vload_n(x + i, left) : vload(x + i), b = vzero();
        if (high) b = high < 16 ? vload_n(x + i + 16, high) : vload(x + i + 16);
        _mm512_storeu_si512(to + i, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
}

typedef struct ahead {
    const char *at, *end;
} ahead;

static inline void ask(ahead *a) {
    __builtin_prefetch(a->at, 0, 2);
    __builtin_prefetch(a->at + 64, 0, 2);
    a->at += a->at < a->end ? 128 : 0;
}

static inline __attribute__((always_inline)) void low_tile(const fr_qrow_low *t, const int rows,
                                                           const int ranks, const char *x,
                                                           const char *down, float *low,
                                                           ahead *next) {
    __m512 sum[ROWS][RANKS];
#pragma GCC unroll 8
    for (int j = 0; j < ranks; j++)
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++) sum[i][j] = vzero();
    for (int64_t p = 0; p < fr_qrow_kept(t->k, 2); p += 64) {
        __m512bh v[ROWS];
        ask(next);
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++) v[i] = (__m512bh)_mm512_loadu_si512(x + p + i * t->ldx);
#pragma GCC unroll 8
        for (int j = 0; j < ranks; j++) {
            __m512bh d = (__m512bh)_mm512_loadu_si512(down + p + j * t->ldd);
#pragma GCC unroll 3
            for (int i = 0; i < rows; i++) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], v[i], d);
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < ranks; j++)
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++) low[i * t->ldl + j] = vsum(sum[i][j]);
}

static void low_bf16(const fr_qrow_low *t) {
    ahead next = {t->next ? t->next : t->x, NULL};
    if (t->next && t->next_bytes > 128) next.end = next.at + t->next_bytes - 128;
    for (int i = 0; i < t->rows; i += ROWS)
        for (int64_t j = 0; j < t->ranks; j += RANKS) {
            const char *x = (const char *)t->x + i * t->ldx,
                       *d = (const char *)t->down + j * t->ldd;
            float *low = t->low + i * t->ldl + j;
            int rows = t->rows - i < ROWS ? t->rows - i : ROWS;
            int64_t ranks = t->ranks - j < RANKS ? t->ranks - j : RANKS;
            if (rows == ROWS && ranks == RANKS)
                low_tile(t, ROWS, RANKS, x, d, low, &next);
            else if (ranks == RANKS)
                for (int r = 0; r < rows; r++)
                    low_tile(t, 1, RANKS, x + r * t->ldx, d, low + r * t->ldl, &next);
            else
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < ranks; c++)
                        low_tile(t, 1, 1, x + r * t->ldx, d + c * t->ldd, low + r * t->ldl + c,
                                 &next);
        }
}

void fr_qrow_fill_avx512bf16(fr_qrow_kernels *out) {
    out->low_bytes = 2;
    out->keep = keep_bf16;
    out->low = low_bf16;
}
