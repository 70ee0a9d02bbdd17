/* attention.c: exact attention, softmax(scale q kT + mask) v, with grouped heads.
 *
 * Inputs q, k, v, block_start, block_index, kv_len, first; outputs y and lse [batch, heads, m], the
 * logarithm of each row's sum of exponentials, from which the backward pass makes the weights
 * again. A query that sees no key gives zeros and lse -inf. */
#include <math.h>

#include "op/attention.h"

static fr_status bad_shapes(const fr_call *c, const char *why) {
    char q[FR_SHAPE_TEXT], k[FR_SHAPE_TEXT], v[FR_SHAPE_TEXT];
    return fr_fail(FR_INVALID, "attention: q is %s, k is %s and v is %s; %s",
                   fr_shape_text(&c->in[ATTN_Q], q), fr_shape_text(&c->in[ATTN_K], k),
                   fr_shape_text(&c->in[ATTN_V], v), why);
}

static fr_status check_operands(const fr_call *c) {
    const fr_tensor *q = &c->in[ATTN_Q], *k = &c->in[ATTN_K], *v = &c->in[ATTN_V];
    if (q->rank != 4 || k->rank != 4 || v->rank != 4)
        return bad_shapes(c, "each must be [batch, tokens, heads, dim]");
    if ((q->dtype != FR_F32 && q->dtype != FR_BF16) || k->dtype != q->dtype || v->dtype != q->dtype)
        return bad_shapes(c, "all must be f32 or all bf16");
    if (!fr_same_shape(k, v)) return bad_shapes(c, "k and v must have one shape");
    if (q->dim[0] != k->dim[0]) return bad_shapes(c, "the batches differ");
    if (q->dim[3] != k->dim[3]) return bad_shapes(c, "the last axes differ");
    if (q->dim[2] == 0 || k->dim[2] == 0 || q->dim[2] % k->dim[2])
        return bad_shapes(c, "the heads of q must be a multiple of those of k");
    if (q->dim[1] > INT32_MAX || k->dim[1] > INT32_MAX)
        return bad_shapes(c, "there are more tokens than 2^31 - 1");
    return FR_OK;
}

static bool is_list(const fr_tensor *t, int64_t least) {
    return t->dtype == FR_I32 && t->rank == 1 && (least < 0 || t->dim[0] == least);
}

static fr_status check_blocks(const fr_call *c, const fr_attention_attr *at) {
    const bool wanted = at->mask == FR_MASK_BLOCKS;
    if (!wanted) {
        if (fr_has(c, ATTN_BLOCK_START) || fr_has(c, ATTN_BLOCK_INDEX))
            return bad_shapes(c, "block lists go with FR_MASK_BLOCKS alone");
        return FR_OK;
    }
    if (at->block_q <= 0 || at->block_k <= 0)
        return fr_fail(FR_INVALID,
                       "attention: block lists need block_q and block_k above 0, not %d "
                       "and %d",
                       (int)at->block_q, (int)at->block_k);
    if (!fr_has(c, ATTN_BLOCK_START) || !fr_has(c, ATTN_BLOCK_INDEX))
        return bad_shapes(c, "FR_MASK_BLOCKS needs block_start and block_index");
    int64_t blocks = (c->in[ATTN_Q].dim[1] + at->block_q - 1) / at->block_q;
    if (!is_list(&c->in[ATTN_BLOCK_START], blocks + 1) || !is_list(&c->in[ATTN_BLOCK_INDEX], -1)) {
        char s[FR_SHAPE_TEXT], x[FR_SHAPE_TEXT];
        return fr_fail(
            FR_INVALID,
            "attention: block_start is %s and block_index %s; wanted i32 [%lld] for %lld "
            "query blocks, and i32 [pairs]",
            fr_shape_text(&c->in[ATTN_BLOCK_START], s), fr_shape_text(&c->in[ATTN_BLOCK_INDEX], x),
            (long long)blocks + 1, (long long)blocks);
    }
    if (fr_has(c, ATTN_KV_LEN)) return bad_shapes(c, "block lists and kv_len do not go together");
    if (fr_has(c, ATTN_FIRST)) return bad_shapes(c, "block lists and first do not go together");
    return FR_OK;
}

static fr_status check_opts(const fr_call *c) {
    const fr_attention_attr *at = c->attr;
    if (at->mask < FR_MASK_FULL || at->mask > FR_MASK_BLOCKS)
        return fr_fail(FR_INVALID, "attention: there is no mask number %d", (int)at->mask);
    if (!(at->scale >= 0.0f) || !isfinite(at->scale))
        return fr_fail(FR_INVALID, "attention: scale must be a positive number, not %g",
                       (double)at->scale);
    if (!(at->cap >= 0.0f) || !isfinite(at->cap))
        return fr_fail(FR_INVALID,
                       "attention: cap must be a positive number, or 0 for none, not %g",
                       (double)at->cap);
    if (at->mask == FR_MASK_WINDOW && at->window <= 0)
        return fr_fail(FR_INVALID, "attention: a sliding window needs window above 0, not %d",
                       (int)at->window);
    FR_TRY(check_blocks(c, at));
    if (fr_has(c, ATTN_KV_LEN) && !is_list(&c->in[ATTN_KV_LEN], c->in[ATTN_Q].dim[0])) {
        char s[FR_SHAPE_TEXT];
        return fr_fail(FR_INVALID,
                       "attention: kv_len is %s; wanted i32 [%lld], one a "
                       "batch (FR_NONE when all keys count)",
                       fr_shape_text(&c->in[ATTN_KV_LEN], s), (long long)c->in[ATTN_Q].dim[0]);
    }
    return FR_OK;
}

static fr_status check_first(const fr_call *c) {
    if (!fr_has(c, ATTN_FIRST)) return FR_OK;
    const fr_tensor *first = &c->in[ATTN_FIRST], *q = &c->in[ATTN_Q];
    if (first->dtype == FR_I32 && first->rank == 2 && first->dim[0] == q->dim[0] &&
        first->dim[1] == q->dim[1])
        return FR_OK;
    char s[FR_SHAPE_TEXT];
    return fr_fail(FR_INVALID, "attention: first is %s; wanted i32 [%lld, %lld], one a query",
                   fr_shape_text(first, s), (long long)q->dim[0], (long long)q->dim[1]);
}

fr_status attn_shape_rule(const fr_call *c) {
    FR_TRY(check_operands(c));
    FR_TRY(check_opts(c));
    FR_TRY(check_first(c));
    const fr_tensor *q = &c->in[ATTN_Q];
    c->out[0].dtype = q->dtype;
    c->out[0].rank = 4;
    for (int i = 0; i < 4; i++) c->out[0].dim[i] = q->dim[i];
    c->out[1].dtype = FR_F32;
    c->out[1].rank = 3;
    c->out[1].dim[0] = q->dim[0];
    c->out[1].dim[1] = q->dim[2];
    c->out[1].dim[2] = q->dim[1];
    return FR_OK;
}

static const fr_tensor *given(const fr_call *c, int i) {
    return fr_has(c, i) ? &c->in[i] : NULL;
}

static attn_shape shape_of(const fr_call *c) {
    attn_shape a =
        attn_shape_of(c->attr, &c->in[ATTN_Q], &c->in[ATTN_K], given(c, ATTN_BLOCK_START),
                      given(c, ATTN_BLOCK_INDEX), given(c, ATTN_KV_LEN));
    a.first = fr_has(c, ATTN_FIRST) ? c->in[ATTN_FIRST].data : NULL;
    return a;
}

static size_t scratch(const fr_call *c) {
    attn_shape a = shape_of(c);
    if (!fr_values(&c->out[0])) return 0;
    return attn_is_decode(&a) ? attn_decode_scratch(&a, c->pool) : attn_tile_scratch(&a, c->pool);
}

static fr_status run(const fr_call *c) {
    attn_shape a = shape_of(c);
    FR_TRY(attn_check_data(&a));
    if (!fr_values(&c->out[0])) {
        float *lse = c->out[1].data; /* dim 0, or nothing at all */
        for (int64_t i = 0; i < fr_values(&c->out[1]); i++) lse[i] = logf((float)a.n);
        return FR_OK;
    }
    if (attn_is_decode(&a))
        attn_decode_run(&a, c);
    else
        attn_tile_run(&a, c);
    return FR_OK;
}

/* Keys seen by queries that see 1, 2, .. `ends` keys, or `most` of them where that is less. */
static double seen_up_to(double ends, double most) {
    if (ends <= 0) return 0;
    const double rise = ends < most ? ends : most;
    return rise * (rise + 1) / 2 + (ends - rise) * most;
}

double attn_pairs(const attn_shape *a) {
    if (a->attr.mask == FR_MASK_BLOCKS) return (double)a->pairs * a->attr.block_q * a->attr.block_k;
    const double m = (double)a->m, n = (double)a->n;
    const bool window = a->attr.mask == FR_MASK_WINDOW;
    if (a->attr.mask != FR_MASK_CAUSAL && !window) return m * n;
    const double most = window ? (double)a->attr.window : n;
    return seen_up_to(n, most) - seen_up_to(n - m, most);
}

/* Two products of dim multiply-adds a pair, and about four operations of the softmax. */
static void cost(const fr_call *c, fr_cost *out) {
    attn_shape a = shape_of(c);
    const double softmax = a.squeeze != 0.0f ? 16.0 : 4.0;
    out->ops = attn_pairs(&a) * (double)(a.batch * a.heads) * (4.0 * (double)a.dim + softmax);
}

const fr_attr_field attn_fields[] = {
    {"scale", FR_ATTR_F32, offsetof(fr_attention_attr, scale), 0},
    {"cap", FR_ATTR_F32, offsetof(fr_attention_attr, cap), 0},
    {"mask", FR_ATTR_MASK, offsetof(fr_attention_attr, mask), 0},
    {"window", FR_ATTR_I32, offsetof(fr_attention_attr, window), 0},
    {"block_q", FR_ATTR_I32, offsetof(fr_attention_attr, block_q), 0},
    {"block_k", FR_ATTR_I32, offsetof(fr_attention_attr, block_k), 0},
    {NULL, FR_ATTR_END, 0, 0},
};

const fr_op fr_op_attention = {
    .name = "attention",
    .nin_min = 3,
    .nin_max = 7,
    .nout = 2,
    .strided = 1u << ATTN_Q | 1u << ATTN_K | 1u << ATTN_V,
    .attr_bytes = sizeof(fr_attention_attr),
    .fields = attn_fields,
    .shape = attn_shape_rule,
    .run = run,
    .scratch = scratch,
    .grad = attn_grad_rule,
    .cost = cost,
};

fr_val fr_attention(fr_graph *g, fr_val q, fr_val k, fr_val v, const fr_attention_opts *opts) {
    fr_attention_attr at = {0};
    fr_val in[7] = {q, k, v};
    if (opts) {
        at = (fr_attention_attr){opts->scale,  opts->cap,     (int32_t)opts->mask,
                                 opts->window, opts->block_q, opts->block_k};
        in[ATTN_BLOCK_START] = opts->block_start;
        in[ATTN_BLOCK_INDEX] = opts->block_index;
        in[ATTN_KV_LEN] = opts->kv_len;
        in[ATTN_FIRST] = opts->first;
    }
    return fr_emit(g, &fr_op_attention, 7, in, &at);
}
