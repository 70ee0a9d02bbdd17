/* op.h: what an operator is. Every operator of Frugal is one constant `fr_op`, and its file holds
 * all that is known about it: shape rule, run, gradient, cost.
 *
 * The floor above (graph) calls these hooks; it knows nothing of any single operator. A hook sees
 * its tensors through an fr_call and never allocates: scratch was measured before and planned into
 * the arena of the graph.
 *
 * Rules for run():
 *  - outputs are contiguous; inputs too, unless their bit is set in op->strided;
 *  - work is cut by size, never by thread count, and sums are taken in a fixed order, so that the
 *    bits do not depend on the pool (see fr_pool_run);
 *  - where bf16 storage is accepted, arithmetic is f32 and rounding happens once, at the store. */
#ifndef FR_OP_H
#define FR_OP_H

#include <frugal/ops.h>

#include "base/base.h"
#include "kernel/kernel.h"
#include "tensor/tensor.h"

typedef struct fr_op fr_op;
typedef struct fr_builder fr_builder;

/* Attributes of a node are a plain struct of the operator's own, copied by value. */
#define FR_ATTR_MAX 160

/* Everything a hook may look at. During shape inference data pointers are NULL. */
typedef struct fr_call {
    const fr_op *op;
    const void *attr;
    int nin, nout;
    const fr_tensor *in; /* dtype FR_NOTYPE: absent */
    fr_tensor *out;
    void *scratch; /* 64-byte aligned, op->scratch() bytes */
    /* What op->pack() made of constant inputs, or NULL. In scratch() it only tells whether there will
     * be some: it points at nothing yet. */
    const void *packed;
    fr_pool *pool;
} fr_call;

static inline bool fr_has(const fr_call *c, int i) {
    return i < c->nin && c->in[i].dtype != FR_NOTYPE;
}

/* What one run of a node takes. */
typedef struct fr_cost {
    double ops;   /* multiplications and additions, each counted */
    double read;  /* bytes of activations read */
    double write; /* bytes written */
    double param; /* bytes of parameters read; filled in by the graph */
} fr_cost;

/* A gradient rule adds nodes to the graph: given the gradients of the outputs it fills those of
 * the inputs that are needed; FR_NONE means zero. */
typedef struct fr_grad {
    fr_graph *g;
    const fr_op *op;
    const void *attr;
    int nin, nout;
    const fr_val *in, *out; /* the forward values, FR_NONE where absent */
    const fr_val *dout;     /* FR_NONE: that output has no influence on the loss */
    const bool *need;       /* which inputs want a gradient */
    fr_val *din;
} fr_grad;

/* One field of the attribute struct, for printing and for saving: what the fields say is what a saved
 * graph keeps, so together they must cover all of the struct that matters. */
typedef enum fr_attr_kind {
    FR_ATTR_END,
    FR_ATTR_I32,
    FR_ATTR_I64,
    FR_ATTR_F32,
    FR_ATTR_BOOL,
    /* All below are i32 that choose from a list: shown and saved as words. */
    FR_ATTR_FN,
    FR_ATTR_BINARY,
    FR_ATTR_REDUCTION,
    FR_ATTR_MASK,
    FR_ATTR_DTYPE,
    FR_ATTR_ROWS,   /* fr_rows_kind */
    FR_ATTR_BEFORE, /* fr_before */
    FR_ATTR_FORMAT, /* place in fr_formats + 1; 0: none */
    FR_ATTR_KV,     /* fr_kv_kind */
} fr_attr_kind;
typedef struct fr_attr_field {
    const char *name;
    fr_attr_kind kind;
    size_t offset;
    int count; /* elements of an array; 0 means 1 */
} fr_attr_field;

/* The word for a value of one of the kinds that choose; NULL when it has none. And back. */
const char *fr_attr_word(fr_attr_kind kind, int32_t value);
bool fr_attr_from_word(fr_attr_kind kind, const char *word, int32_t *value);

enum {
    FR_OP_VIEW = 1, /* out[0] may be a view of in[0]: view() says which */
    FR_OP_INPLACE0 =
        2, /* out[0] may share memory with in[0], of as many values and bytes, that dies here */
    FR_OP_INPLACE1 = 4, /* the same for in[1] */
    FR_OP_STATE = 8,    /* writes in[0], which is a state, and out[0] is that state */
    FR_OP_NO_GRAD = 16, /* has no gradient by nature (arg-max, index outputs) */
};

struct fr_op {
    const char *name;
    int nin_min, nin_max, nout;
    unsigned flags;
    uint32_t strided; /* bit i: input i may be a strided view whose last axis is
                        contiguous; bit 31 stands for all from there on */
    size_t attr_bytes;
    const fr_attr_field *fields; /* may be NULL */

    /* Checks the inputs, fills dtype, rank and dim of the outputs; strides are set by the caller. */
    fr_status (*shape)(const fr_call *c);
    fr_status (*run)(const fr_call *c);
    /* Optional. */
    size_t (*scratch)(const fr_call *c);
    /* For FR_OP_VIEW: fills stride and the offset in values of out[0] over in[0]; false when this
     * one cannot be a view (then run() copies). in[0] may be strided. */
    bool (*view)(const fr_call *c, fr_tensor *out, int64_t *offset);
    /* Weights that never change are repacked once. Bit i of the result of can_pack: input i would
     * be packed; the call passes those tensors with data. Zero bytes: nothing to pack. */
    uint32_t pack_inputs;
    size_t (*pack_bytes)(const fr_call *c);
    fr_status (*pack)(const fr_call *c, void *out);
    fr_status (*grad)(fr_grad *r);
    /* Fills ops (default: one a value of output), and read where not all of the inputs is read; the
     * graph counts the other bytes. */
    void (*cost)(const fr_call *c, fr_cost *cost);
};

/* ---- the builder: how constructors and gradient rules add nodes ---- */

/* fr_graph begins with this; op calls up through it without knowing the graph. */
struct fr_builder {
    /* Adds a node; the outputs are consecutive values, the first is returned. FR_NONE inputs are
     * absent. An error is kept, and the result is FR_NONE. */
    fr_val (*emit)(fr_graph *g, const fr_op *op, int nin, const fr_val *in, const void *attr);
    /* The description (shape, dtype) of a value; never NULL, FR_NOTYPE for FR_NONE. */
    const fr_tensor *(*desc)(const fr_graph *g, fr_val v);
    /* Keeps an error found by a constructor. */
    fr_val (*refuse)(fr_graph *g, fr_status st);
};

static inline fr_val fr_emit(fr_graph *g, const fr_op *op, int nin, const fr_val *in,
                             const void *attr) {
    return ((const fr_builder *)g)->emit(g, op, nin, in, attr);
}
static inline const fr_tensor *fr_desc(const fr_graph *g, fr_val v) {
    return ((const fr_builder *)g)->desc(g, v);
}
static inline fr_val fr_emit_fail(fr_graph *g, fr_status st) {
    return ((const fr_builder *)g)->refuse(g, st);
}

/* ---- all operators ---- */

/* Every operator, ended by NULL; `frugal inspect`, the printer and the tests go through it. */
extern const fr_op *const fr_ops[];
const fr_op *fr_op_find(const char *name);

/* The attributes that passes outside this room look at. */
typedef struct fr_linear_attr {
    int32_t act; /* fr_fn */
} fr_linear_attr;

typedef struct fr_conv_attr {
    int32_t act;  /* fr_fn */
    int32_t axes; /* spatial: 2 or 3; pictures use places 1 and 2 of the arrays */
    int32_t groups;
    int32_t stride[3], dilation[3], before[3], after[3];
    int32_t size[3]; /* conv_transpose: of its output */
} fr_conv_attr;

extern const fr_op fr_op_linear; /* x, w, bias, residual */
extern const fr_op fr_op_matmul;
extern const fr_op fr_op_quantize_rows; /* x, weight, bias, scale, shift, up, by, down */
extern const fr_op fr_op_qlinear;
extern const fr_op fr_op_binary;
extern const fr_op fr_op_affine;
extern const fr_op fr_op_unary;
extern const fr_op fr_op_glu;
extern const fr_op fr_op_modulate;
extern const fr_op fr_op_gated_add;
extern const fr_op fr_op_cast;
extern const fr_op fr_op_rmsnorm;   /* x, weight, scale, shift */
extern const fr_op fr_op_layernorm; /* x, weight, bias, scale, shift */
extern const fr_op fr_op_groupnorm;
extern const fr_op fr_op_batchnorm;
extern const fr_op fr_op_batchnorm_train;
extern const fr_op fr_op_softmax;
extern const fr_op fr_op_cross_entropy;
extern const fr_op fr_op_mse;
extern const fr_op fr_op_attention;
extern const fr_op fr_op_attention_grad;
extern const fr_op fr_op_paged_attention; /* q, k, v, table, kv_len */
extern const fr_op fr_op_kv_write;        /* pages, x, table, start */
extern const fr_op fr_op_linear_attention;
extern const fr_op fr_op_linear_attention_grad;
extern const fr_op fr_op_rope;
extern const fr_op fr_op_conv;           /* two or three spatial axes; x, w, bias, residual */
extern const fr_op fr_op_conv_transpose; /* x, w, bias, residual */
extern const fr_op fr_op_conv_weight_grad;
extern const fr_op fr_op_pixel_shuffle;
extern const fr_op fr_op_pixel_unshuffle;
extern const fr_op fr_op_upsample_nearest;
extern const fr_op fr_op_avgpool;
extern const fr_op fr_op_maxpool;
extern const fr_op fr_op_avgpool_grad;
extern const fr_op fr_op_maxpool_grad;
extern const fr_op fr_op_reshape;
extern const fr_op fr_op_permute;
extern const fr_op fr_op_slice;
extern const fr_op fr_op_concat;
extern const fr_op fr_op_pad;
extern const fr_op fr_op_embedding;
extern const fr_op fr_op_embedding_few; /* ids, parts of the table */
extern const fr_op fr_op_gather;
extern const fr_op fr_op_scatter_add;
extern const fr_op fr_op_reduce;
extern const fr_op fr_op_topk;
extern const fr_op fr_op_argmax;
extern const fr_op fr_op_assign;
extern const fr_op fr_op_update_rows;
extern const fr_op fr_op_route;
extern const fr_op fr_op_expert_rows; /* x, share */
extern const fr_op fr_op_expert;      /* sum, x, share, parts of gate, up and down */

#include "op/gemm.h"
#include "op/passes.h"
#include "op/peaks.h"

/* Share is f32 [.., experts], a row for each of x, and has this expert. */
fr_status fr_share_check(const char *op, const fr_tensor *x, const fr_tensor *share,
                         int32_t expert);

/* Whether qlinear multiplies with weights [n, k] in this format; says nothing when it does not. */
bool fr_qlinear_takes(const char *format, int64_t n, int64_t k);

#endif
