/* paged_attention.c: causal attention of the last m tokens over pages of keys and values (PagedAttention, Kwon
 * et al., 2023; pages in few bits as in QServe, Lin et al., 2024).
 *
 * Inputs q, k, v, table, kv_len. A query that sees no key gives zeros. */
#include <math.h>

#include "op/paged.h"

static fr_status bad_shapes(const fr_call *c, const char *why) {
    char q[FR_SHAPE_TEXT], k[FR_SHAPE_TEXT], v[FR_SHAPE_TEXT], t[FR_SHAPE_TEXT], n[FR_SHAPE_TEXT];
    return fr_fail(FR_INVALID,
                   "paged_attention: q is %s, k %s, v %s, the table %s and kv_len %s; %s",
                   fr_shape_text(&c->in[PAGED_Q], q), fr_shape_text(&c->in[PAGED_K], k),
                   fr_shape_text(&c->in[PAGED_V], v), fr_shape_text(&c->in[PAGED_TABLE], t),
                   fr_shape_text(&c->in[PAGED_KV_LEN], n), why);
}

static fr_status check_operands(const fr_call *c) {
    const fr_tensor *q = &c->in[PAGED_Q], *k = &c->in[PAGED_K], *v = &c->in[PAGED_V];
    const fr_tensor *table = &c->in[PAGED_TABLE], *len = &c->in[PAGED_KV_LEN];
    if (q->rank != 4 || (q->dtype != FR_F32 && q->dtype != FR_BF16))
        return bad_shapes(c, "q must be [batch, tokens, heads, dim] in f32 or bf16");
    if (k->rank != 2 || k->dtype != FR_U8 || v->dtype != FR_U8 || !fr_same_shape(k, v))
        return bad_shapes(c, "k and v must be u8 [pages, bytes of a page], of one shape");
    if (table->rank != 2 || table->dtype != FR_I32 || table->dim[0] != q->dim[0])
        return bad_shapes(c, "the table must be i32 [batch, most pages]");
    if (len->rank != 1 || len->dtype != FR_I32 || len->dim[0] != q->dim[0])
        return bad_shapes(c, "kv_len must be i32 [batch]");
    if (q->dim[1] > INT32_MAX || table->dim[1] > INT32_MAX / FR_KV_TOKENS)
        return bad_shapes(c, "there are more tokens than 2^31 - 1");
    if (q->dim[2] < 1 || q->dim[2] > INT32_MAX || q->dim[3] > INT32_MAX)
        return bad_shapes(c, "there are no heads, or too many or too long ones");
    return FR_OK;
}

/* Heads of a page follow from its bytes. */
static fr_status find_layout(const fr_call *c, fr_kv_layout *out) {
    const fr_paged_attr *at = c->attr;
    const int32_t dim = (int32_t)c->in[PAGED_Q].dim[3];
    const int64_t bytes = c->in[PAGED_K].dim[1];
    fr_kv_layout one;
    FR_TRY(fr_kv_layout_of((fr_kv_kind)at->kind, 1, dim, &one));
    const int64_t heads = bytes / (int64_t)one.bytes;
    if (bytes % (int64_t)one.bytes || heads < 1 || c->in[PAGED_Q].dim[2] % heads)
        return fr_fail(FR_INVALID,
                       "paged_attention: a page of %lld bytes must hold whole heads of %zu bytes, "
                       "and the %lld "
                       "heads of q must be a multiple of them",
                       (long long)bytes, one.bytes, (long long)c->in[PAGED_Q].dim[2]);
    return fr_kv_layout_of((fr_kv_kind)at->kind, (int32_t)heads, dim, out);
}

static fr_status shape_rule(const fr_call *c) {
    const fr_paged_attr *at = c->attr;
    fr_kv_layout layout;
    FR_TRY(check_operands(c));
    if (!(at->scale >= 0.0f) || !isfinite(at->scale))
        return fr_fail(FR_INVALID, "paged_attention: scale must be a positive number, not %g",
                       (double)at->scale);
    if (!(at->cap >= 0.0f) || !isfinite(at->cap))
        return fr_fail(FR_INVALID,
                       "paged_attention: cap must be a positive number, or 0 for none, not %g",
                       (double)at->cap);
    if (at->window < 0)
        return fr_fail(FR_INVALID, "paged_attention: a window of %d keys makes no sense",
                       (int)at->window);
    FR_TRY(find_layout(c, &layout));
    c->out[0].dtype = c->in[PAGED_Q].dtype;
    c->out[0].rank = 4;
    for (int i = 0; i < 4; i++) c->out[0].dim[i] = c->in[PAGED_Q].dim[i];
    return FR_OK;
}

static fr_status shape_of(const fr_call *c, paged_shape *p) {
    const fr_paged_attr *at = c->attr;
    *p = (paged_shape){.pages = c->in[PAGED_K].dim[0],
                       .most = c->in[PAGED_TABLE].dim[1],
                       .k = c->in[PAGED_K].data,
                       .v = c->in[PAGED_V].data,
                       .table = c->in[PAGED_TABLE].data};
    FR_TRY(find_layout(c, &p->layout));
    const fr_attention_attr attr = {.scale = at->scale,
                                    .cap = at->cap,
                                    .mask = at->window ? FR_MASK_WINDOW : FR_MASK_CAUSAL,
                                    .window = at->window};
    fr_tensor keys = c->in[PAGED_Q];
    keys.dim[1] = p->most * FR_KV_TOKENS;
    keys.dim[2] = p->layout.heads;
    p->a = attn_shape_of(&attr, &c->in[PAGED_Q], &keys, NULL, NULL, &c->in[PAGED_KV_LEN]);
    p->a.pages = p;
    return FR_OK;
}

static size_t scratch(const fr_call *c) {
    paged_shape p;
    if (!fr_values(&c->out[0]) || shape_of(c, &p)) return 0;
    return paged_is_decode(&p) ? paged_decode_scratch(&p, c->pool)
                               : attn_tile_scratch(&p.a, c->pool);
}

fr_status paged_check_table(const char *op, const int32_t *table, int64_t b, int64_t count,
                            int64_t pages) {
    for (int64_t i = 0; i < count; i++)
        if (table[i] < FR_NOWHERE || table[i] >= pages)
            return fr_fail(
                FR_INVALID,
                "%s: the table of sequence %lld names page %d at place %lld, but there are %lld",
                op, (long long)b, (int)table[i], (long long)i, (long long)pages);
    return FR_OK;
}

static fr_status check_data(const paged_shape *p) {
    for (int64_t b = 0; b < p->a.batch; b++) {
        const int64_t len = p->a.kv_len[b];
        if (len < 0 || len > p->most * FR_KV_TOKENS)
            return fr_fail(
                FR_INVALID,
                "paged_attention: kv_len[%lld] is %lld, but the table has room for %lld tokens",
                (long long)b, (long long)len, (long long)(p->most * FR_KV_TOKENS));
        FR_TRY(paged_check_table("paged_attention", p->table + b * p->most, b,
                                 (len + FR_KV_TOKENS - 1) / FR_KV_TOKENS, p->pages));
    }
    return FR_OK;
}

fr_kvattn_head paged_head(const paged_shape *p, const uint8_t *side, int64_t b, int64_t page,
                          int64_t head) {
    const fr_kv_layout *l = &p->layout;
    const int32_t place = p->table[b * p->most + page];
    const uint8_t *at = side + (size_t)FR_MAX_OF(place, 0) * l->bytes;
    fr_kvattn_head h = {.kind = l->kind, .dim = l->dim};
    h.codes = at + (size_t)(head * FR_KV_TOKENS) * l->row;
    if (l->bits < 16) {
        h.scale = (const uint16_t *)(const void *)(at + l->scales) + head * FR_KV_TOKENS;
        h.offset = (const uint16_t *)(const void *)(at + l->offsets) + head * FR_KV_TOKENS;
    }
    return h;
}

void attn_pages_read(const struct paged_shape *p, int64_t b, int64_t head, int64_t first,
                     int64_t count, void *k, void *v) {
    const size_t row = (size_t)p->a.dim * (p->a.half ? 2 : 4);
    for (int64_t done = 0; done < count;) {
        const int64_t page = (first + done) / FR_KV_TOKENS, token = (first + done) % FR_KV_TOKENS;
        const int64_t n = FR_MIN(count - done, FR_KV_TOKENS - token);
        const fr_kvattn_head kh = paged_head(p, p->k, b, page, head),
                             vh = paged_head(p, p->v, b, page, head);
        fr_kernel()->kvattn.read(&kh, (int)token, (int)n, p->a.half,
                                 (char *)k + (size_t)done * row);
        fr_kernel()->kvattn.read(&vh, (int)token, (int)n, p->a.half,
                                 (char *)v + (size_t)done * row);
        done += n;
    }
}

static fr_status run(const fr_call *c) {
    paged_shape p;
    FR_TRY(shape_of(c, &p));
    FR_TRY(check_data(&p));
    if (!fr_values(&c->out[0])) return FR_OK;
    if (paged_is_decode(&p))
        paged_decode_run(&p, c);
    else
        attn_tile_run(&p.a, c);
    return FR_OK;
}

/* As if all pages of the table were full: how many are is not known before a run. */
static void cost(const fr_call *c, fr_cost *out) {
    paged_shape p;
    if (shape_of(c, &p)) return;
    const attn_shape *a = &p.a;
    const double softmax = a->squeeze != 0.0f ? 16.0 : 4.0;
    out->ops = attn_pairs(a) * (double)(a->batch * a->heads) * (4.0 * (double)a->dim + softmax);
    out->read = (double)fr_bytes(&c->in[PAGED_Q]) +
                2.0 * (double)(a->batch * p.most) * ((double)p.layout.bytes + 2);
}

static const fr_attr_field fields[] = {
    {"kind", FR_ATTR_KV, offsetof(fr_paged_attr, kind), 0},
    {"scale", FR_ATTR_F32, offsetof(fr_paged_attr, scale), 0},
    {"cap", FR_ATTR_F32, offsetof(fr_paged_attr, cap), 0},
    {"window", FR_ATTR_I32, offsetof(fr_paged_attr, window), 0},
    {NULL, FR_ATTR_END, 0, 0},
};

const fr_op fr_op_paged_attention = {
    .name = "paged_attention",
    .nin_min = 5,
    .nin_max = 5,
    .nout = 1,
    .flags = FR_OP_NO_GRAD,
    .strided = 1u << PAGED_Q,
    .attr_bytes = sizeof(fr_paged_attr),
    .fields = fields,
    .shape = shape_rule,
    .run = run,
    .scratch = scratch,
    .cost = cost,
};

fr_val fr_paged_attention(fr_graph *g, fr_val q, fr_val k, fr_val v, fr_val table, fr_val kv_len,
                          const fr_paged_attention_opts *opts) {
    const fr_val in[] = {q, k, v, table, kv_len};
    const fr_paged_attr at = {(int32_t)opts->kind, opts->scale, opts->cap, opts->window};
    return fr_emit(g, &fr_op_paged_attention, 5, in, &at);
}
