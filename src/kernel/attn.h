/* attn.h (kernel): the pieces of tiled attention, forward and backward.
 *
 * Rows of one side (queries) lie across the lanes of a vector, rows of the other (keys) are
 * broadcast. So the softmax of a query never crosses lanes, and no tile is ever transposed between
 * the two products:
 *
 *     score:       s[j][lane]  = sum_d rows[j][d] * panel[d][lane]          S^T = K Q^T
 *     softmax:     p[j][lane]  = exp2(c s[j][lane] - c top[lane])
 *     accumulate:  o[d][lane] += sum_j cols[j][d] * p[j][lane]              O^T += V^T P^T
 *
 * With keys in the lanes and queries broadcast the same two products make the gradients of k and v,
 * and with v in the lanes the state of linear attention.
 *
 * Sources are rows behind a list of pointers (any stride, any gathering), f32 or bf16 (`half`).
 * They are first copied to tiles:
 *
 *     panel  [dim][lanes]             lanes rows, transposed; a NULL row is zeros
 *     rows   [count][ld]              as they are; ld = fr_attn_ld(dim); zeros up to whole groups
 *     cols   [dim / group][cap][group]  cut into narrow columns, zeros past dim; cap rows reserved
 *
 * A path in bf16 keeps pairs side by side for the dot instruction: panel [dim/2][lanes][2], rows as
 * above, cols [dim/group][cap/2][group][2], p [count/2][lanes][2]. Sums are f32 all the same.
 * Counts need not be whole groups; buffers must have room for count rounded up to FR_ATTN_GROUP. */
#ifndef FR_KERNEL_ATTN_H
#define FR_KERNEL_ATTN_H

#include <frugal/ops.h>

#define FR_ATTN_LANES 64 /* most lanes of any path */
#define FR_ATTN_GROUP 16 /* every group divides it */

/* Values from one row of `rows` to the next; also dim rounded up as panels and sums need it. */
static inline int64_t fr_attn_ld(int64_t dim) {
    return (dim + 15) / 16 * 16;
}

typedef struct fr_attn_path {
    int lanes, group;
    bool pairs; /* tiles hold bf16 */
    void (*pack_panel)(const void *const *row, bool half, int64_t dim, void *panel);
    void (*pack_rows)(const void *const *row, int64_t count, bool half, int64_t dim, void *rows);
    /* False when a value is NaN or infinite. */
    bool (*pack_cols)(const void *const *row, int64_t count, bool half, int64_t dim, int64_t cap,
                      void *cols);
    void (*score)(const void *panel, const void *rows, int64_t count, int64_t dim, float *s);
    /* One tile of the online softmax: raises top, turns s into p in place, scales sum by what the
     * rise of top costs (which goes to `fade`) and adds p, as accumulate will have it. A lane that saw nothing has top -inf. */
    void (*softmax)(float *s, int64_t count, float c, float *top, float *sum, float *fade);
    /* o [fr_attn_ld(dim)][lanes]; fade NULL: 1. Column blocks of cols are cap rows apart. */
    void (*accumulate)(const void *p, const void *cols, int64_t count, int64_t dim, int64_t cap,
                       const float *fade, float *o);

    /* Backward, of all pairs of a tile at once. s becomes p = exp2(c s - lse), dp becomes ds = p (dp - delta),
     * both as rows [count][lanes] in the type of the path with rows of zeros up to a whole FR_ATTN_GROUP; ds as
     * accumulate wants it goes to `pairs`, but for paths in f32: there ds itself is that. */
    void (*grad)(float *s, float *dp, int64_t count, float c, const float *lse, const float *delta,
                 void *pairs);
    /* The rows of a panel as spread wants them: [lanes][ld], or [lanes / 2][ld][2]. */
    void (*pack_spread)(const void *const *row, bool half, int64_t dim, void *out);
    /* out[j][d] += sum over lanes of w[j][lane] rows[lane][d], whole FR_ATTN_GROUPs of j; out [count][ld]. */
    void (*spread)(const void *w, const void *rows, int64_t count, int64_t dim, float *out);
} fr_attn_path;

typedef struct fr_attn_kernels {
    fr_attn_path f32;
    fr_attn_path bf16; /* score is NULL when the machine has no bf16 dot product: use f32 */

    /* Masks over s [count][f32.lanes]: what is not visible becomes -inf. */
    /* Lane l sees rows lo[l] <= j < hi[l]. */
    void (*mask_lanes)(float *s, int64_t count, int lanes, const int32_t *lo, const int32_t *hi);
    /* Row j is seen by lanes lo[j] <= l < hi[j]. */
    void (*mask_rows)(float *s, int64_t count, int lanes, const int32_t *lo, const int32_t *hi);
    /* row[l][d] = o[d][l] * by[l], for rows that are not NULL. */
    void (*store)(const float *o, int lanes, int64_t dim, const float *by, bool half,
                  void *const *row);

    /* Backward, f32.lanes wide: p = exp2(c s - lse), ds = p (dp - delta). Over lanes only ds is
     * wanted (in dp); over rows p replaces s too. */
    void (*grad_lanes)(float *s, float *dp, int64_t count, float c, const float *lse,
                       const float *delta);
    void (*grad_rows)(float *s, float *dp, int64_t count, float c, const float *lse,
                      const float *delta);

    /* Few queries: count keys straight from memory against one query q [dim] in f32, into top, sum
     * and o [dim] (unscaled by sum), which it begins. s: room for count floats. */
    void (*decode)(const float *q, const void *k, const void *v, int64_t k_stride, int64_t v_stride,
                   bool half, int64_t count, int64_t dim, float c, float *s, float *top, float *sum,
                   float *o);

    /* Rotary: pairs of values turned by angles, out may be x. Split: pair i is (i, pairs + i);
     * pairs: (2i, 2i + 1). (a, b) becomes (a cos - b sin, a sin + b cos). */
    void (*rope_split)(const void *x, void *out, bool half, int64_t pairs, const float *cosine,
                       const float *sine);
    void (*rope_pairs)(const void *x, void *out, bool half, int64_t pairs, const float *cosine,
                       const float *sine);
} fr_attn_kernels;

void fr_attn_kernels_fill(unsigned cpu, fr_attn_kernels *out);

#endif
