/* attn.h (simd): what the sources of tiled attention share: how wide a panel is, how many rows are
 * broadcast together, and 2^x.
 *
 * A product keeps GROUP x COLS vectors of sums in registers. Every step of the inner loop loads
 * COLS vectors and broadcasts GROUP values for GROUP * COLS multiply-adds; with 16 sums the loads
 * stay under the multiply-adds on every machine, and latency is hidden. */
#ifndef FR_KERNEL_SIMD_ATTN_H
#define FR_KERNEL_SIMD_ATTN_H

#include "kernel/attn.h"
#include "kernel/simd/vec.h"

#if FR_VLEN == 16
#define COLS  2
#define GROUP 8
#elif FR_VLEN == 8
#define COLS  2
#define GROUP 4
#else
#define COLS  4
#define GROUP 4
#endif
#define LANES (COLS * FR_VLEN)

/* 2^x for x <= 0 and NaN: 2^n (1 + f q(f)), f = x - n within 1/2; a minimax q with relative error
 * 1.1e-7 of the whole. Below 2^-150 it is zero; -inf gives zero, zero gives one exactly. */
static inline vf32 attn_exp2(vf32 x) {
    x = vmax(vset1(-152.0f), x); /* this order keeps NaN */
    vf32 n = vround(x);
    vf32 f = vsub(x, n);
    vf32 q = vset1(1.326472726e-03f);
    q = vfma(q, f, vset1(9.671512710e-03f));
    q = vfma(q, f, vset1(5.550733744e-02f));
    q = vfma(q, f, vset1(2.402224208e-01f));
    q = vfma(q, f, vset1(6.931469776e-01f));
    return vscale2(vfma(q, f, vset1(1.0f)), n);
}

/* One row as floats, FR_VLEN at a time. */
static inline vf32 attn_load(const void *row, bool half, int64_t at) {
    return half ? vload_bf16((const uint16_t *)row + at) : vload((const float *)row + at);
}
static inline vf32 attn_load_n(const void *row, bool half, int64_t at, size_t n) {
    return half ? vload_bf16_n((const uint16_t *)row + at, n) : vload_n((const float *)row + at, n);
}

void FR_NAME(attn_pack_panel)(const void *const *row, bool half, int64_t dim, void *panel);
void FR_NAME(attn_pack_rows)(const void *const *row, int64_t count, bool half, int64_t dim,
                             void *rows);
bool FR_NAME(attn_pack_cols)(const void *const *row, int64_t count, bool half, int64_t dim,
                             int64_t cap, void *cols);
void FR_NAME(attn_store)(const float *o, int lanes, int64_t dim, const float *by, bool half,
                         void *const *row);
void FR_NAME(attn_score)(const void *panel, const void *rows, int64_t count, int64_t dim, float *s);
void FR_NAME(attn_softmax)(float *s, int64_t count, float c, float *top, float *sum, float *fade);
void FR_NAME(attn_accumulate)(const void *p, const void *cols, int64_t count, int64_t dim,
                              int64_t cap, const float *fade, float *o);
void FR_NAME(attn_grad_lanes)(float *s, float *dp, int64_t count, float c, const float *lse,
                              const float *delta);
void FR_NAME(attn_grad_rows)(float *s, float *dp, int64_t count, float c, const float *lse,
                             const float *delta);
void FR_NAME(attn_grad)(float *s, float *dp, int64_t count, float c, const float *lse,
                        const float *delta, void *pairs);
void FR_NAME(attn_pack_spread)(const void *const *row, bool half, int64_t dim, void *out);
void FR_NAME(attn_spread)(const void *w, const void *rows, int64_t count, int64_t dim, float *out);
void FR_NAME(attn_decode)(const float *q, const void *k, const void *v, int64_t k_stride,
                          int64_t v_stride, bool half, int64_t count, int64_t dim, float c,
                          float *s, float *top, float *sum, float *o);
void FR_NAME(attn_mask_lanes)(float *s, int64_t count, int lanes, const int32_t *lo,
                              const int32_t *hi);
void FR_NAME(rope_split)(const void *x, void *out, bool half, int64_t pairs, const float *cosine,
                         const float *sine);
void FR_NAME(rope_pairs)(const void *x, void *out, bool half, int64_t pairs, const float *cosine,
                         const float *sine);

#endif
