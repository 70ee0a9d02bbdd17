/* decoder_layer.c: one layer of a decoder.
 *
 * Most: x + o(attention(turned q, turned k, v)) of the normed x, then x + down(act(gate) up) of the normed sum; the
 * sums ride on the linears as their residual. Gemma 2 norms what attention and MLP give before it adds them. Every
 * node stands in a scope of the name that its parameters have in Hugging Face's files. */
#include "model/decoder_build.h"

#include <string.h>

#include "format/format.h"

void dec_enter(const dec_build *b, const char *before, const char *name) {
    char full[160];
    if (b->layer >= 0)
        snprintf(full, sizeof full, "%smodel.layers.%lld.%s", before, (long long)b->layer, name);
    else
        snprintf(full, sizeof full, "%s%s", before, name);
    fr_scope(b->g, full);
}

/* ---- linears and norms ---- */

fr_val dec_matrix(const dec_build *b, const char *name, int64_t rows, int64_t cols) {
    return fr_param(b->g, name, b->type, 2, (int64_t[]){rows, cols});
}

/* B (A x) alpha / rank + y (Hu et al., LoRA, 2021). */
static fr_val adapted(const dec_build *b, const char *name, int64_t rows, int64_t cols, fr_val x,
                      fr_val y) {
    int64_t rank = b->o->lora_rank;
    dec_enter(b, "base_model.model.", name);
    fr_val down = dec_matrix(b, "lora_A.weight", rank, cols);
    fr_val up = dec_matrix(b, "lora_B.weight", rows, rank);
    fr_val low = fr_linear(b->g, x, down, FR_NONE, FR_NONE, FR_FN_NONE);
    low = fr_affine(b->g, low, b->o->lora_alpha / (float)rank, 0);
    y = fr_linear(b->g, low, up, FR_NONE, y, FR_FN_NONE);
    fr_scope_end(b->g);
    return y;
}

/* The matrix "weight" of the open scope, when the store holds it in few bits. */
static bool held(const dec_build *b, fr_quantized *q) {
    char name[192];
    if (!b->o || !b->o->store) return false;
    snprintf(name, sizeof name, "%s.weight", b->g->scope);
    if (!fr_quantized_is(b->o->store, name)) return false;
    fr_status st = fr_quantized_open(b->o->store, name, q);
    if (st) fr_emit_fail(b->g, st);
    return st == FR_OK;
}

static fr_val part(const dec_build *b, const fr_quantized *q, int i) {
    char name[64];
    snprintf(name, sizeof name, "weight.%s", q->format->part_name[i]);
    return fr_param(b->g, name, q->part[i].dtype, q->part[i].rank, q->part[i].dim);
}

/* What a file holds in few bits is as large as the configuration says. */
static bool fits(const dec_build *b, const fr_quantized *q, int64_t rows, int64_t cols) {
    if (q->rows == rows && q->cols == cols) return true;
    fr_emit_fail(b->g, fr_fail(FR_FORMAT,
                               "The matrix '%s.weight' is %lld x %lld, and the model's "
                               "configuration wants %lld x %lld.",
                               b->g->scope, (long long)q->rows, (long long)q->cols, (long long)rows,
                               (long long)cols));
    return false;
}

/* The weight that parameters of the scope now open make up, when the store holds it in few bits that have a product:
 * its parts are parameters "weight.codes" and so on. What has none is decoded when it is loaded. */
bool dec_few_bits(const dec_build *b, int64_t rows, int64_t cols, fr_qweight *out) {
    fr_quantized q;
    if (!held(b, &q) || !fits(b, &q, rows, cols)) return false;
    if (!fr_qlinear_takes(q.format->name, q.rows, q.cols)) return false;
    *out = (fr_qweight){.format = q.format->name, .n = q.rows, .k = q.cols};
    for (int i = 0; i < q.format->parts; i++) out->part[i] = part(b, &q, i);
    return true;
}

/* Rows of the table of tokens, in the type of weights. In few bits it stays as it is in the store, where the output's
 * weight, which may be the same table, is in few bits too. */
fr_val dec_embed(const dec_build *b, fr_val ids) {
    const fr_decoder *m = b->m;
    const fr_store *store = b->o ? b->o->store : NULL;
    fr_quantized q;
    bool apart = !m->tied || (store && fr_quantized_is(store, "lm_head.weight"));
    if (!apart || !held(b, &q) || !fits(b, &q, m->vocab, m->width))
        return fr_embedding(b->g, dec_matrix(b, "weight", m->vocab, m->width), ids);
    fr_qweight table = {.format = q.format->name, .n = q.rows, .k = q.cols};
    for (int i = 0; i < q.format->parts; i++) table.part[i] = part(b, &q, i);
    return fr_embedding_few(b->g, &table, ids, b->type);
}

/* The same of a weight whose columns have an order of their own (GPTQ's desc_act): x is brought into it first. */
static bool in_other_order(const dec_build *b, fr_qweight *out, fr_val *x) {
    static const char end[] = "-perm";
    char format[32];
    fr_quantized q;
    if (!held(b, &q)) return false;
    size_t length = strlen(q.format->name), less = sizeof end - 1;
    if (length <= less || strcmp(q.format->name + length - less, end)) return false;
    snprintf(format, sizeof format, "%.*s", (int)(length - less), q.format->name);
    const fr_qformat *straight = fr_format_find(format);
    if (!straight || !fr_qlinear_takes(format, q.rows, q.cols)) return false;
    *out = (fr_qweight){.format = straight->name, .n = q.rows, .k = q.cols};
    for (int i = 0; i < straight->parts; i++) out->part[i] = part(b, &q, i);
    *x = fr_gather(b->g, *x, part(b, &q, straight->parts), fr_desc(b->g, *x)->rank - 1);
    return true;
}

/* FR_NOTYPE: as it is. */
static fr_val as(const dec_build *b, fr_val x, fr_dtype type) {
    return type == FR_NOTYPE || fr_desc(b->g, x)->dtype == type ? x : fr_cast(b->g, x, type);
}

static fr_val project(const dec_build *b, const char *name, int64_t rows, int64_t cols, bool bias,
                      fr_val x, fr_val residual, fr_dtype type) {
    fr_qweight q;
    fr_val y, plus = FR_NONE, in = x;
    dec_enter(b, "", name);
    if (bias) plus = fr_param(b->g, "bias", b->type, 1, (int64_t[]){rows});
    if (dec_few_bits(b, rows, cols, &q) || in_other_order(b, &q, &in)) {
        fr_qlinear_opts opts = {.bias = plus, .residual = residual, .out = type};
        y = fr_qlinear(b->g, in, &q, &opts, NULL);
    } else {
        x = as(b, x, b->flow);
        y = fr_linear(b->g, x, dec_matrix(b, "weight", rows, cols), plus, residual, FR_FN_NONE);
    }
    fr_scope_end(b->g);
    return b->o && b->o->lora_rank > 0 ? adapted(b, name, rows, cols, x, y) : y;
}

fr_val dec_project(const dec_build *b, const char *name, int64_t rows, int64_t cols, bool bias,
                   fr_val x, fr_val residual) {
    return project(b, name, rows, cols, bias, x, residual, b->flow);
}

fr_val dec_inner(const dec_build *b, const char *name, int64_t rows, int64_t cols, bool bias,
                 fr_val x) {
    return project(b, name, rows, cols, bias, x, FR_NONE, b->inner);
}

/* By 1 + weight the norm is the adaptive one, whose scale is the weight. */
fr_val dec_norm(const dec_build *b, const char *name, int64_t width, fr_val x) {
    bool one = b->m->norm_plus_one;
    dec_enter(b, "", name);
    fr_val w = fr_param(b->g, "weight", b->type, 1, (int64_t[]){width});
    fr_val y = fr_rmsnorm(b->g, x, one ? FR_NONE : w, one ? w : FR_NONE, FR_NONE, b->m->eps);
    fr_scope_end(b->g);
    return y;
}

/* ---- attention ---- */

static fr_val as_heads(const dec_build *b, const char *name, int64_t count, fr_val y) {
    dec_enter(b, "", name);
    y = fr_reshape(b->g, y, 4, (int64_t[]){0, 0, count, b->m->head_dim});
    fr_scope_end(b->g);
    return y;
}

static fr_val heads(const dec_build *b, const char *name, int64_t count, fr_val x) {
    const fr_decoder *m = b->m;
    fr_val y = dec_inner(b, name, count * m->head_dim, m->width, m->bias, x);
    return as_heads(b, name, count, y);
}

/* q, k and v. In one piece they are the heads of one linear, in that order. */
static void queries_keys_values(const dec_build *b, fr_val x, fr_val out[3]) {
    const fr_decoder *m = b->m;
    if (!m->fused) {
        out[0] = heads(b, "self_attn.q_proj", m->heads, x);
        out[1] = heads(b, "self_attn.k_proj", m->kv_heads, x);
        out[2] = heads(b, "self_attn.v_proj", m->kv_heads, x);
        return;
    }
    fr_val y = heads(b, "self_attn.qkv_proj", m->heads + 2 * m->kv_heads, x);
    dec_enter(b, "", "self_attn");
    out[0] = fr_slice(b->g, y, 2, 0, m->heads);
    out[1] = fr_slice(b->g, y, 2, m->heads, m->kv_heads);
    out[2] = fr_slice(b->g, y, 2, m->heads + m->kv_heads, m->kv_heads);
    fr_scope_end(b->g);
}

static fr_val turn(const dec_build *b, fr_val x, fr_val pos) {
    const fr_decoder *m = b->m;
    const float scale = fr_rotation_attention(m);
    fr_rope_opts o = {.theta = m->rope.theta,
                      .inv_freq = b->freq,
                      .axis_dim = {(int32_t)m->rope.turned},
                      .scale = scale == 1 ? 0 : scale};
    if (m->rope.stretch == FR_STRETCH_LONG) {
        o.original = (int32_t)(m->rope.original ? m->rope.original : m->context);
        if (b->cache) o.length = b->cache->most != FR_NONE ? b->cache->most : b->cache->length;
    }
    return fr_rope(b->g, x, pos, &o);
}

/* New keys and values go into their pages first; queries then look at all that the pages hold. */
static fr_val attend_pages(const dec_build *b, fr_val q, fr_val k, fr_val v) {
    const fr_decoder_cache *c = b->cache;
    const fr_decoder *m = b->m;
    int64_t bytes = (int64_t)fr_kv_page_bytes(c->kind, (int32_t)m->kv_heads, (int32_t)m->head_dim);
    int64_t dim[] = {c->pages, bytes};
    fr_val keys = fr_state(b->g, "keys", FR_U8, 2, dim);
    fr_val values = fr_state(b->g, "values", FR_U8, 2, dim);
    keys = fr_kv_write(b->g, keys, k, c->table, c->start, c->kind);
    values = fr_kv_write(b->g, values, v, c->table, c->start, c->kind);
    fr_paged_attention_opts o = {.kind = c->kind,
                                 .scale = m->score_scale,
                                 .cap = m->score_cap,
                                 .window = (int32_t)fr_decoder_window(m, b->layer)};
    return fr_paged_attention(b->g, q, keys, values, c->table, c->length, &o);
}

static fr_val attend_whole(const dec_build *b, fr_val q, fr_val k, fr_val v) {
    const fr_decoder *m = b->m;
    int32_t window = (int32_t)fr_decoder_window(m, b->layer);
    fr_attention_opts o = {.scale = m->score_scale,
                           .cap = m->score_cap,
                           .mask = window ? FR_MASK_WINDOW : FR_MASK_CAUSAL,
                           .window = window,
                           .first = b->first};
    return fr_attention(b->g, q, k, v, &o);
}

static fr_val attend(const dec_build *b, fr_val x, fr_val pos) {
    const fr_decoder *m = b->m;
    fr_val qkv[3];
    queries_keys_values(b, x, qkv);
    if (m->head_norm) {
        qkv[0] = dec_norm(b, "self_attn.q_norm", m->head_dim, qkv[0]);
        qkv[1] = dec_norm(b, "self_attn.k_norm", m->head_dim, qkv[1]);
    }
    dec_enter(b, "", "self_attn");
    fr_val q = turn(b, qkv[0], pos), k = turn(b, qkv[1], pos);
    fr_val a = b->cache ? attend_pages(b, q, k, qkv[2]) : attend_whole(b, q, k, qkv[2]);
    a = fr_reshape(b->g, a, 3, (int64_t[]){0, 0, m->heads * m->head_dim});
    fr_scope_end(b->g);
    return a;
}

/* ---- the MLP ---- */

static fr_val gated(const dec_build *b, fr_val x) {
    const fr_decoder *m = b->m;
    fr_fn act = m->act ? m->act : FR_FN_SILU;
    fr_val gate, up = FR_NONE;
    if (m->fused) {
        gate = dec_inner(b, "mlp.gate_up_proj", 2 * m->hidden, m->width, false, x);
    } else {
        gate = dec_inner(b, "mlp.gate_proj", m->hidden, m->width, false, x);
        up = dec_inner(b, "mlp.up_proj", m->hidden, m->width, false, x);
    }
    dec_enter(b, "", "mlp");
    if (up != FR_NONE && fr_desc(b->g, up)->dtype != fr_desc(b->g, gate)->dtype)
        gate = as(b, gate, b->flow), up = as(b, up, b->flow); /* one of them is no few bits */
    fr_val y = fr_glu(b->g, gate, up, act);
    fr_scope_end(b->g);
    return y;
}

static fr_val mlp(const dec_build *b, fr_val x, fr_val residual) {
    const fr_decoder *m = b->m;
    if (m->experts) return dec_experts(b, x, residual);
    return dec_project(b, "mlp.down_proj", m->width, m->hidden, false, gated(b, x), residual);
}

/* ---- the layer ---- */

static fr_val added(const dec_build *b, const char *name, fr_val x, fr_val y) {
    y = dec_norm(b, name, b->m->width, y);
    dec_enter(b, "", name);
    x = fr_add(b->g, x, y);
    fr_scope_end(b->g);
    return x;
}

fr_val dec_layer(const dec_build *b, fr_val x, fr_val pos) {
    const fr_decoder *m = b->m;
    int64_t q = m->heads * m->head_dim;
    fr_val a = attend(b, dec_norm(b, "input_layernorm", m->width, x), pos), y;
    a = dec_project(b, "self_attn.o_proj", m->width, q, m->bias_out, a, m->around ? FR_NONE : x);
    if (!m->around) {
        y = dec_norm(b, "post_attention_layernorm", m->width, a);
        return mlp(b, y, a);
    }
    x = added(b, "post_attention_layernorm", x, a);
    y = mlp(b, dec_norm(b, "pre_feedforward_layernorm", m->width, x), FR_NONE);
    return added(b, "post_feedforward_layernorm", x, y);
}
