/* qrow_low.c: the low-rank branch's first half over vec.h, in f32: three rows against some ranks at a time,
 * both read along k, so that nothing is packed. */
#include "kernel/kernel.h"
#include "kernel/simd/vec.h"

#ifdef FR_ISA

#define ROWS  3
#define RANKS (FR_VLEN == 8 ? 4 : 8) /* what 16 or 32 registers hold */

void FR_NAME(fr_qrow_keep)(const float *x, int64_t k, void *out) {
    memcpy(out, x, (size_t)k * 4);
    memset((float *)out + k, 0, (size_t)(fr_qrow_kept(k, 4) - k * 4));
}

static inline __attribute__((always_inline)) void
low_tile(const fr_qrow_low *t, int rows, int ranks, const char *x, const char *down, float *low) {
    vf32 sum[ROWS][RANKS];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < ranks; j++) sum[i][j] = vzero();
    for (int64_t p = 0; p < fr_qrow_kept(t->k, 4); p += FR_VLEN * 4) {
        vf32 v[ROWS];
        for (int i = 0; i < rows; i++) v[i] = vload((const float *)(x + p + i * t->ldx));
        for (int j = 0; j < ranks; j++) {
            vf32 d = vload((const float *)(down + p + j * t->ldd));
            for (int i = 0; i < rows; i++) sum[i][j] = vfma(v[i], d, sum[i][j]);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < ranks; j++) low[i * t->ldl + j] = vsum(sum[i][j]);
}

void FR_NAME(fr_qrow_low)(const fr_qrow_low *t) {
    for (int i = 0; i < t->rows; i += ROWS)
        for (int64_t j = 0; j < t->ranks; j += RANKS) {
            const char *x = (const char *)t->x + i * t->ldx,
                       *d = (const char *)t->down + j * t->ldd;
            float *low = t->low + i * t->ldl + j;
            int rows = t->rows - i < ROWS ? t->rows - i : ROWS;
            int64_t ranks = t->ranks - j < RANKS ? t->ranks - j : RANKS;
            if (rows == ROWS && ranks == RANKS)
                low_tile(t, ROWS, RANKS, x, d, low);
            else
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < ranks; c++)
                        low_tile(t, 1, 1, x + r * t->ldx, d + c * t->ldd, low + r * t->ldl + c);
        }
}

#endif
