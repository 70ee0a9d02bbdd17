/* frugal/ops.h: one constructor an operator. Each adds a node to the graph and returns its first
 * output; further outputs, where there are any, come through pointers.
 *
 * Layouts: activations are row-major with the fastest axis last. Tokens: [batch, tokens, heads, dim].
 * Pictures: [batch, height, width, channels]; video adds frames before height.
 * Where an operand is optional pass FR_NONE. */
#ifndef FRUGAL_OPS_H
#define FRUGAL_OPS_H

#include <frugal/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Functions of one value. Up to HSWISH they may also be fused behind a linear or a convolution. */
typedef enum fr_fn {
    FR_FN_NONE = 0,
    FR_FN_RELU,
    FR_FN_RELU6,
    FR_FN_SILU,
    FR_FN_GELU,      /* with erf */
    FR_FN_GELU_TANH, /* the tanh form */
    FR_FN_SIGMOID,
    FR_FN_TANH,
    FR_FN_HSWISH,
    FR_FN_EXP,
    FR_FN_LOG,
    FR_FN_SQRT,
    FR_FN_RSQRT,
    FR_FN_SQUARE,
    FR_FN_ABS,
    FR_FN_NEG,
    FR_FN_RECIP,
    FR_FN_SIN,
    FR_FN_COS,
    FR_FN_COUNT
} fr_fn;

typedef enum fr_binary {
    FR_ADD,
    FR_SUB,
    FR_MUL,
    FR_DIV,
    FR_MAX,
    FR_MIN,
    FR_BINARY_COUNT
} fr_binary;
typedef enum fr_reduction { FR_SUM, FR_MEAN, FR_AMAX, FR_REDUCTION_COUNT } fr_reduction;

/* What a row of activations becomes before a product with weights in few bits. */
typedef enum fr_rows_kind {
    FR_ROWS_FLOAT = 0, /* stays as it is */
    FR_ROWS_INT8,      /* a scale a row */
    FR_ROWS_INT4,      /* groups of 64, -7 .. 7 */
    FR_ROWS_UINT4,     /* groups of 64, 0 .. 15: for what is never negative */
    FR_ROWS_NVFP4,     /* 4-bit floats, blocks of 16 */
    FR_ROWS_FP8,       /* E4M3, groups of 128 */
    FR_ROWS_BF16,      /* 16 bits: only the weights are in few bits */
    FR_ROWS_KINDS
} fr_rows_kind;

/* How pages of keys and values keep them; docs/formats.md has the bytes. */
typedef enum fr_kv_kind {
    FR_KV_BF16 = 0,
    FR_KV_F16,
    FR_KV_F32, /* as computed in f32: twice the memory, nothing rounded */
    FR_KV_8,   /* value = code * scale + offset: the offset is the least value, rounded down */
    FR_KV_4,
    FR_KV_8_QOQ, /* value = code * scale - scale * offset: the bytes of QServe's pages */
    FR_KV_4_QOQ,
    FR_KV_KINDS
} fr_kv_kind;
#define FR_KV_TOKENS 64 /* of a page */
/* In a table of pages: what is written there is lost, and what is read means nothing. For rows that only fill up a
 * batch. */
#define FR_NOWHERE (-1)

/* ---- products ---- */

/* act(x wT + bias) + residual. x [..., k], w [n, k], bias [n], residual [..., n]. */
FR_API fr_val fr_linear(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual, fr_fn act);
/* scale * a b over the last two axes, either transposed; leading axes broadcast. */
FR_API fr_val fr_matmul(fr_graph *g, fr_val a, fr_val b, bool ta, bool tb, float scale);

/* ---- products with weights in few bits ---- */

/* What happens to a row before it is put into few bits. */
typedef enum fr_before {
    FR_BEFORE_NONE = 0,
    FR_BEFORE_RMSNORM,
    FR_BEFORE_LAYERNORM,
    FR_BEFORE_GLU, /* fn(x) * up */
    FR_BEFORE_FN,  /* fn(x) */
    FR_BEFORE_KINDS
} fr_before;

typedef struct fr_quantize_opts {
    fr_rows_kind kind;
    int32_t group; /* FR_ROWS_BF16: that of the weights, 32, 64 or 128; 0: 128 */
    fr_before before;
    fr_fn fn;
    float eps;
    fr_val weight, bias; /* of a norm, [k] */
    fr_val scale, shift; /* after it: * (1 + scale) + shift, as fr_rmsnorm has them */
    fr_val up;   /* of FR_BEFORE_GLU, like x; FR_NONE: the last axis of x holds gate then up */
    float add;   /* then + add, */
    fr_val by;   /* then * by, f32 [k]: what smooths */
    fr_val down; /* [rank, k]: the low-rank branch, of what is before `add` and `by` */
} fr_quantize_opts;

/* x [..., k] as rows for fr_qlinear: u8 [..., bytes of a row], in a layout that lives only as long as a run.
 * low may be NULL; else it gets (what is before) downT, f32 [..., rank]. */
FR_API fr_val fr_quantize_rows(fr_graph *g, fr_val x, const fr_quantize_opts *opts, fr_val *low);

/* A weight [n, k] in a format of docs/formats.md: its parts in that order; FR_NONE past the last. */
typedef struct fr_qweight {
    const char *format;
    int64_t n, k;
    fr_val part[5];
} fr_qweight;

typedef struct fr_qlinear_opts {
    fr_fn act;
    fr_val bias, residual;
    /* For x in floats: what its rows become. FR_ROWS_FLOAT: what goes with the weight's format. */
    fr_rows_kind rows;
    float add;
    fr_val by, down;
    /* The second half of the low-rank branch: up [n, rank]; low from fr_quantize_rows when x is rows. */
    fr_val low, up;
    fr_dtype out; /* f32 or bf16; FR_NOTYPE: that of x, f32 when x is rows */
    /* What comes out is rows for the next product, without a trip through memory. */
    fr_rows_kind next;
    int32_t next_group;
    float next_add;
    fr_val next_by, next_down;
} fr_qlinear_opts;

/* act(x wT + low upT + bias) + residual, where x is floats [..., k] or rows from fr_quantize_rows.
 * next_low may be NULL; else it gets the next branch's first half. */
FR_API fr_val fr_qlinear(fr_graph *g, fr_val x, const fr_qweight *w, const fr_qlinear_opts *opts,
                         fr_val *next_low);

/* Rows of such a matrix by i32 numbers [...], as f32 or bf16 [..., k]. */
FR_API fr_val fr_embedding_few(fr_graph *g, const fr_qweight *table, fr_val ids, fr_dtype out);

/* ---- experts ---- */

/* How much of each expert a row takes: softmax of the `chosen` largest of the last axis, 0 for the others; f32. */
FR_API fr_val fr_route(fr_graph *g, fr_val logits, int chosen);
/* x [..., k] where share [..., experts] of this expert is not 0; 0 elsewhere. */
FR_API fr_val fr_expert_rows(fr_graph *g, fr_val x, fr_val share, int expert);

typedef struct fr_expert_opts {
    int32_t expert, chosen; /* this one; and of all, how many a row takes */
    fr_fn act;
    /* Gate and up [n, k], down [k, n]. format NULL: floats, part[0]. */
    fr_qweight weight[3];
} fr_expert_opts;

/* sum + share[..., expert] * down(act(gate x) * (up x)), computed for the rows whose share is not 0 and no others;
 * sum is like x [..., k]. Has no gradient. */
FR_API fr_val fr_expert(fr_graph *g, fr_val sum, fr_val x, fr_val share, const fr_expert_opts *o);

/* ---- value by value ---- */

/* a op b with NumPy broadcasting. */
FR_API fr_val fr_binary_op(fr_graph *g, fr_binary kind, fr_val a, fr_val b);
FR_API fr_val fr_add(fr_graph *g, fr_val a, fr_val b);
FR_API fr_val fr_sub(fr_graph *g, fr_val a, fr_val b);
FR_API fr_val fr_mul(fr_graph *g, fr_val a, fr_val b);
/* scale * x + shift */
FR_API fr_val fr_affine(fr_graph *g, fr_val x, float scale, float shift);
FR_API fr_val fr_unary(fr_graph *g, fr_val x, fr_fn fn);
/* act(gate) * up; with up == FR_NONE the last axis of gate holds gate then up. */
FR_API fr_val fr_glu(fr_graph *g, fr_val gate, fr_val up, fr_fn act);
/* x * (1 + scale) + shift, scale and shift broadcast (adaptive norm). */
FR_API fr_val fr_modulate(fr_graph *g, fr_val x, fr_val scale, fr_val shift);
/* residual + gate * x, gate broadcast. */
FR_API fr_val fr_gated_add(fr_graph *g, fr_val residual, fr_val gate, fr_val x);
FR_API fr_val fr_cast(fr_graph *g, fr_val x, fr_dtype t);

/* ---- normalization, over the last axis unless said otherwise ---- */

/* x / rms(x) * weight, then * (1 + scale) + shift where those are given. */
FR_API fr_val fr_rmsnorm(fr_graph *g, fr_val x, fr_val weight, fr_val scale, fr_val shift,
                         float eps);
FR_API fr_val fr_layernorm(fr_graph *g, fr_val x, fr_val weight, fr_val bias, fr_val scale,
                           fr_val shift, float eps);
/* Channels are the last axis, cut into groups; statistics over all axes but the first. */
FR_API fr_val fr_groupnorm(fr_graph *g, fr_val x, fr_val weight, fr_val bias, int groups,
                           float eps);
/* With the running statistics: y = (x - mean) / sqrt(var + eps) * weight + bias. */
FR_API fr_val fr_batchnorm(fr_graph *g, fr_val x, fr_val weight, fr_val bias, fr_val mean,
                           fr_val var, float eps);
/* With the statistics of this batch, which come out too (biased variance). */
FR_API fr_val fr_batchnorm_train(fr_graph *g, fr_val x, fr_val weight, fr_val bias, float eps,
                                 fr_val *mean, fr_val *var);

/* ---- softmax and losses ---- */

FR_API fr_val fr_softmax(fr_graph *g, fr_val x);
/* Mean over the rows whose target is not negative. logits [..., classes], target i32 [...]. */
FR_API fr_val fr_cross_entropy(fr_graph *g, fr_val logits, fr_val target);
FR_API fr_val fr_mse(fr_graph *g, fr_val a, fr_val b);

/* ---- attention ---- */

typedef enum fr_mask {
    FR_MASK_FULL = 0,
    FR_MASK_CAUSAL, /* query i of m sees keys 0 .. n - m + i of n */
    FR_MASK_WINDOW, /* causal, and only the last `window` of them */
    FR_MASK_BLOCKS, /* a list of visible key blocks for every query block */
} fr_mask;

typedef struct fr_attention_opts {
    float scale; /* 0: 1 / sqrt(dim) */
    float cap;   /* above 0: a score s, scaled, becomes cap tanh(s / cap); has no gradient */
    fr_mask mask;
    int32_t window;
    int32_t block_q, block_k; /* sizes of FR_MASK_BLOCKS */
    fr_val block_start;       /* i32 [query blocks + 1], where each list starts */
    fr_val block_index;       /* i32 [visible pairs], key blocks, rising within a list */
    fr_val kv_len;            /* i32 [batch]: how many keys of a cache count; FR_NONE: all */
    fr_val
        first; /* i32 [batch, m], never falling: the first key that a query sees, where several texts
                     lie in one row; FR_NONE: that of the mask */
} fr_attention_opts;

/* q [batch, m, heads, dim], k and v [batch, n, kv_heads, dim]; heads is a multiple of kv_heads.
 * opts NULL: full, default scale. */
FR_API fr_val fr_attention(fr_graph *g, fr_val q, fr_val k, fr_val v,
                           const fr_attention_opts *opts);
/* ---- attention over pages ---- */

/* Bytes of a page: the keys or the values of FR_KV_TOKENS tokens. 0: no page holds such heads. */
FR_API size_t fr_kv_page_bytes(fr_kv_kind kind, int32_t heads, int32_t dim);

/* Puts x [batch, tokens, heads, dim] into pages, a state u8 [pages, bytes of a page]: row i of sequence b
 * becomes token (start[b] + i) % 64 of page table[b][(start[b] + i) / 64]. table i32 [batch, most pages],
 * start i32 [batch]. NaN is kept as 0, and what is beyond the largest value of the kind (65504; in bf16
 * and f32 the largest finite one) as that. Returns the new state. */
FR_API fr_val fr_kv_write(fr_graph *g, fr_val pages, fr_val x, fr_val table, fr_val start,
                          fr_kv_kind kind);

typedef struct fr_paged_attention_opts {
    fr_kv_kind kind;
    float scale;    /* 0: 1 / sqrt(dim) */
    float cap;      /* as in fr_attention_opts */
    int32_t window; /* how many keys a query sees at most, its own among them; 0: all before it */
} fr_paged_attention_opts;

/* q [batch, m, heads, dim] over the first kv_len[b] tokens of its pages, causal: query i sees the first
 * kv_len[b] - m + i + 1. k and v: u8 [pages, bytes of a page], both found through one table i32 [batch, most
 * pages]; kv_len i32 [batch]. heads is a multiple of the heads of a page. */
FR_API fr_val fr_paged_attention(fr_graph *g, fr_val q, fr_val k, fr_val v, fr_val table,
                                 fr_val kv_len, const fr_paged_attention_opts *opts);

/* relu(q) (relu(k)T v) / (relu(q) sum relu(k) + eps), linear in tokens. */
FR_API fr_val fr_linear_attention(fr_graph *g, fr_val q, fr_val k, fr_val v, float eps);

typedef struct fr_rope_opts {
    bool interleaved;    /* pairs (0,1), (2,3)...; otherwise (i, i + dim/2) */
    int32_t axes;        /* 1 to 3; 0 means 1 */
    int32_t axis_dim[3]; /* values of dim that turn with each axis, even; 0 0 0: all with axis 0 */
    float theta;         /* base; 0: 10000 */
    fr_val inv_freq;     /* f32 [sum of axis_dim / 2] in place of theta; FR_NONE: theta */
    float scale;         /* of cosine and sine; 0: 1 */
    /* Above 0: inv_freq is two lists [2, ...], and a text of more tokens than this turns by the second one. How
     * many it has: length i32 [batch]; FR_NONE: its largest position (of axis 0) and one. */
    int32_t original;
    fr_val length;
} fr_rope_opts;

/* x [batch, tokens, heads, dim]; pos i32 [tokens, axes] or [batch, tokens, axes]. Values past the
 * sum of axis_dim pass unchanged. Half-split pairs stay inside an axis. */
FR_API fr_val fr_rope(fr_graph *g, fr_val x, fr_val pos, const fr_rope_opts *opts);

/* ---- convolution and resampling, channels last ---- */

typedef struct fr_conv_opts {
    int32_t stride[3];   /* frames, height, width; for pictures set [1] and [2]; 0 means 1 */
    int32_t dilation[3]; /* 0 means 1 */
    int32_t before[3], after[3]; /* zero padding */
    int32_t groups;              /* 0 means 1; groups == channels is depthwise */
    fr_fn act;
} fr_conv_opts;

/* x [n, h, w, c], w [out, kh, kw, c / groups], bias [out], residual like the output. */
FR_API fr_val fr_conv2d(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual,
                        const fr_conv_opts *opts);
/* x [n, t, h, w, c], w [out, kt, kh, kw, c / groups]. */
FR_API fr_val fr_conv3d(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual,
                        const fr_conv_opts *opts);
/* The transposed convolution: the gradient of a convolution with these options, for its input.
 * x [n, h, w, in], w [in, kh, kw, out / groups] -> [n, size[1], size[2], out], where `size` is one
 * that the convolution takes to h, w. */
FR_API fr_val fr_conv2d_transpose(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual,
                                  const fr_conv_opts *opts, const int size[3]);
FR_API fr_val fr_conv3d_transpose(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual,
                                  const fr_conv_opts *opts, const int size[3]);
/* [n, h, w, c r r] -> [n, h r, w r, c] and back; channel order as in PyTorch (c, then row, col). */
FR_API fr_val fr_pixel_shuffle(fr_graph *g, fr_val x, int r);
FR_API fr_val fr_pixel_unshuffle(fr_graph *g, fr_val x, int r);
FR_API fr_val fr_upsample_nearest(fr_graph *g, fr_val x, int ry, int rx);
/* kernel, stride, padding the same both ways; padding does not count in the average. */
FR_API fr_val fr_avgpool(fr_graph *g, fr_val x, int kernel, int stride, int pad);
FR_API fr_val fr_maxpool(fr_graph *g, fr_val x, int kernel, int stride, int pad);

/* ---- shape ---- */

/* dim 0 copies the axis of x at the same place, one -1 takes what is left. A view. */
FR_API fr_val fr_reshape(fr_graph *g, fr_val x, int rank, const int64_t *dim);
FR_API fr_val fr_permute(fr_graph *g, fr_val x, const int *perm);
/* x[start : start + count] along an axis; negative start counts from the end; count -1: the rest. */
FR_API fr_val fr_slice(fr_graph *g, fr_val x, int axis, int64_t start, int64_t count);
FR_API void fr_split(fr_graph *g, fr_val x, int axis, int parts, fr_val *out);
FR_API fr_val fr_concat(fr_graph *g, int count, const fr_val *x, int axis);
FR_API fr_val fr_pad(fr_graph *g, fr_val x, const int64_t *before, const int64_t *after,
                     float value);

/* ---- indices ---- */

/* table[ids]: ids i32 [...], table [rows, dim] -> [..., dim]. */
FR_API fr_val fr_embedding(fr_graph *g, fr_val table, fr_val ids);
/* x[index] along an axis: index i32 [n]. */
FR_API fr_val fr_gather(fr_graph *g, fr_val x, fr_val index, int axis);
/* zeros with `rows` along the axis, then out[index[i]] += x[i]. */
FR_API fr_val fr_scatter_add(fr_graph *g, fr_val x, fr_val index, int axis, int64_t rows);

/* ---- reductions ---- */

/* Over the axes in the bit mask; kept axes stay as 1 when keep. */
FR_API fr_val fr_reduce(fr_graph *g, fr_val x, fr_reduction kind, unsigned axes, bool keep);
/* The k largest of the last axis, falling, ties to the lower index; index i32. */
FR_API fr_val fr_topk(fr_graph *g, fr_val x, int k, fr_val *index);
FR_API fr_val fr_argmax(fr_graph *g, fr_val x);

/* ---- state ---- */

/* state = value, after everything made before has read it. Returns the new value. */
FR_API fr_val fr_assign(fr_graph *g, fr_val state, fr_val value);
/* state[:, pos : pos + n] = rows along the axis, in place; pos i32 [1]. Returns the new state. */
FR_API fr_val fr_update_rows(fr_graph *g, fr_val state, fr_val rows, fr_val pos, int axis);

#ifdef __cplusplus
}
#endif
#endif
