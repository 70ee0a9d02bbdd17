/* kvattn.h (kernel): attention over pages of keys and values, one page and one of its heads at a time.
 *
 * The bytes of a page are docs/formats.md's. Four rows of queries that share a head are worked on together, so
 * that a page is read once; which four, and in which order pages come, is the caller's business. For value
 * x[t] of token t (code * scale + offset, or code * scale - scale * offset):
 *
 *     query      what the other kernels want of q, made once
 *     score      s[t][row] = sum_d q[row][d] k[t][d]
 *     softmax    top, sum and fade of each row as in attn.h; s becomes p = exp2(c s - c top)
 *     add        sums[row] = sums[row] * fade[row] + sum_t p[t][row] v[t]
 *     result     sums in the order of channels
 *
 * Where integers are multiplied (8 and 4 bits on AVX-512 VNNI) q and p are rounded: in 4 bits q to 8 bits a
 * row, p * scale to 8 bits of the largest in the page; in 8 bits to 15 and 14. What rounding takes from their sum
 * is made up for at the middle code, so only what differs between channels or tokens is ever lost. So it is where p
 * is rounded to bf16: the sum of a page is what it was.
 *
 * Rows and dim beyond what is there are zeros. Tokens outside lo .. hi may hold anything, and need p = 0. */
#ifndef FR_KERNEL_KVATTN_H
#define FR_KERNEL_KVATTN_H

#include <frugal/ops.h>

#define FR_KVATTN_ROWS 4

typedef struct fr_kvattn_head {
    fr_kv_kind kind;
    int64_t dim;
    const void *codes;                 /* rows of the FR_KV_TOKENS tokens, one after another */
    const uint16_t *scale, *offset;    /* f16; NULL where values are no codes */
    const struct fr_kvattn_head *next; /* what will be read after this one, or NULL: a hint */
} fr_kvattn_head;

/* Bytes of a row. */
static inline size_t fr_kvattn_row(fr_kv_kind kind, int64_t dim) {
    return (size_t)dim *
           (kind == FR_KV_F32                        ? 32
            : kind <= FR_KV_F16                      ? 16
            : kind == FR_KV_8 || kind == FR_KV_8_QOQ ? 8
                                                     : 4) /
           8;
}
/* dim as the buffers want it, and their sizes. All are 64-byte aligned. */
static inline int64_t fr_kvattn_ld(int64_t dim) {
    return (dim + 127) / 128 * 128;
}
static inline size_t fr_kvattn_query_bytes(int64_t dim) {
    return (size_t)(FR_KVATTN_ROWS * fr_kvattn_ld(dim)) * 4 + 256;
}
/* Zeros to begin with. */
static inline size_t fr_kvattn_sums_bytes(int64_t dim) {
    return (size_t)(FR_KVATTN_ROWS * fr_kvattn_ld(dim)) * 4 + 64;
}

typedef struct fr_kvattn_way {
    int64_t step; /* divides dim */
    /* rows of q lie ldq apart; rows <= FR_KVATTN_ROWS */
    void (*query)(const float *q, int64_t ldq, int rows, int64_t dim, void *record);
    void (*score)(const void *record, const fr_kvattn_head *k, float *s);
    void (*add)(const float *p, const fr_kvattn_head *v, int lo, int hi, const float *fade,
                void *sums);
    void (*result)(const void *sums, int64_t dim, float *out); /* out [FR_KVATTN_ROWS][ld] */
} fr_kvattn_way;

typedef struct fr_kvattn_kernels {
    fr_kvattn_way way[FR_KV_KINDS]; /* the fastest, where its step divides dim */
    fr_kvattn_way any[FR_KV_KINDS]; /* any dim, in f32 */

    /* Row r sees tokens lo[r] <= t < hi[r]; top -inf and sum 0 to begin with. */
    void (*softmax)(float *s, const int32_t *lo, const int32_t *hi, float c, float *top, float *sum,
                    float *fade);
    /* Tokens token .. token + count - 1 as they are: out [count][dim], bf16 (`half`) or f32. */
    void (*read)(const fr_kvattn_head *h, int token, int count, bool half, void *out);
    /* One token of one head: x [dim] into its row, and its scale and offset where there are any. The bytes
     * of fr_kv_page_write; NaN counts as 0, and what is too large as the largest. */
    void (*write)(fr_kv_kind kind, const float *x, int64_t dim, void *row, uint16_t *scale,
                  uint16_t *offset);
} fr_kvattn_kernels;

static inline const fr_kvattn_way *fr_kvattn_way_of(const fr_kvattn_kernels *k, fr_kv_kind kind,
                                                    int64_t dim) {
    return dim % k->way[kind].step == 0 ? &k->way[kind] : &k->any[kind];
}

void fr_kvattn_kernels_fill(unsigned cpu, fr_kvattn_kernels *out);

/* ---- between kvattn.c and the files that hold the kernels ---- */

void fr_kvattn_fill_ref(fr_kvattn_kernels *out);

#endif
