/* decoder.c: the graph of a decoder-only transformer (Llama, Touvron et al. 2023, and its relatives).
 *
 * A layer: x + o(attention(rope(q), rope(k), v)) of the normed x, then x + down(silu(gate) * up) of the normed
 * sum. The sums ride on the linears as their residual. Every node stands in a scope of the name that its
 * parameters have in Hugging Face's files, so parameters are called like there. */
#include "model/decoder.h"

#include <math.h>
#include <string.h>

#include "format/format.h"

typedef struct build {
    fr_graph *g;
    const fr_decoder *m;
    const fr_decoder_opts *o;
    fr_dtype type;
    int64_t layer; /* -1: outside of the layers */
    const fr_decoder_cache *cache;
    fr_val first; /* where the text of each token begins, or FR_NONE */
} build;

static build begin(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o) {
    fr_dtype type = o && o->weights != FR_NOTYPE ? o->weights : FR_F32;
    return (build){.g = g, .m = m, .o = o, .type = type, .layer = -1};
}

/* "model.layers.3.self_attn.q_proj", or "model.norm" outside of the layers. */
static void enter(const build *b, const char *before, const char *name) {
    char full[160];
    if (b->layer >= 0)
        snprintf(full, sizeof full, "%smodel.layers.%lld.%s", before, (long long)b->layer, name);
    else
        snprintf(full, sizeof full, "%s%s", before, name);
    fr_scope(b->g, full);
}

static fr_val matrix(const build *b, const char *name, int64_t rows, int64_t cols) {
    return fr_param(b->g, name, b->type, 2, (int64_t[]){rows, cols});
}

/* B (A x) alpha / rank + y (Hu et al., LoRA, 2021). */
static fr_val adapted(const build *b, const char *name, int64_t rows, int64_t cols, fr_val x,
                      fr_val y) {
    int64_t rank = b->o->lora_rank;
    enter(b, "base_model.model.", name);
    fr_val down = matrix(b, "lora_A.weight", rank, cols);
    fr_val up = matrix(b, "lora_B.weight", rows, rank);
    fr_val low = fr_linear(b->g, x, down, FR_NONE, FR_NONE, FR_FN_NONE);
    low = fr_affine(b->g, low, b->o->lora_alpha / (float)rank, 0);
    y = fr_linear(b->g, low, up, FR_NONE, y, FR_FN_NONE);
    fr_scope_end(b->g);
    return y;
}

/* The weight that parameters of the scope now open make up, when the store holds it in few bits: its parts are
 * parameters "weight.codes" and so on. */
static bool few_bits(const build *b, fr_qweight *out) {
    char name[192];
    if (!b->o || !b->o->store) return false;
    snprintf(name, sizeof name, "%s.weight", b->g->scope);
    fr_quantized q;
    if (!fr_quantized_is(b->o->store, name)) return false;
    fr_status st = fr_quantized_open(b->o->store, name, &q);
    if (st) {
        fr_emit_fail(b->g, st);
        return false;
    }
    *out = (fr_qweight){.format = q.format->name, .n = q.rows, .k = q.cols};
    for (int i = 0; i < q.format->parts; i++) {
        snprintf(name, sizeof name, "weight.%s", q.format->part_name[i]);
        out->part[i] = fr_param(b->g, name, q.part[i].dtype, q.part[i].rank, q.part[i].dim);
    }
    return true;
}

static fr_val project(const build *b, const char *name, int64_t rows, int64_t cols, fr_val x,
                      fr_val residual) {
    fr_qweight q;
    fr_val y;
    enter(b, "", name);
    if (few_bits(b, &q)) {
        y = fr_qlinear(b->g, x, &q, &(fr_qlinear_opts){.residual = residual}, NULL);
    } else {
        fr_val w = matrix(b, "weight", rows, cols);
        y = fr_linear(b->g, x, w, FR_NONE, residual, FR_FN_NONE);
    }
    fr_scope_end(b->g);
    return b->o && b->o->lora_rank > 0 ? adapted(b, name, rows, cols, x, y) : y;
}

static fr_val norm(const build *b, const char *name, fr_val x) {
    enter(b, "", name);
    fr_val w = fr_param(b->g, "weight", b->type, 1, (int64_t[]){b->m->width});
    fr_val y = fr_rmsnorm(b->g, x, w, FR_NONE, FR_NONE, b->m->eps);
    fr_scope_end(b->g);
    return y;
}

/* ---- a layer ---- */

static fr_val heads(const build *b, const char *name, int64_t count, fr_val x) {
    fr_val y = project(b, name, count * b->m->head_dim, b->m->width, x, FR_NONE);
    enter(b, "", name);
    y = fr_reshape(b->g, y, 4, (int64_t[]){0, 0, count, b->m->head_dim});
    fr_scope_end(b->g);
    return y;
}

/* New keys and values go into their pages first; queries then look at all that the pages hold. */
static fr_val attend_pages(const build *b, fr_val q, fr_val k, fr_val v) {
    const fr_decoder_cache *c = b->cache;
    int64_t bytes =
        (int64_t)fr_kv_page_bytes(c->kind, (int32_t)b->m->kv_heads, (int32_t)b->m->head_dim);
    int64_t dim[] = {c->pages, bytes};
    fr_val keys = fr_state(b->g, "keys", FR_U8, 2, dim);
    fr_val values = fr_state(b->g, "values", FR_U8, 2, dim);
    keys = fr_kv_write(b->g, keys, k, c->table, c->start, c->kind);
    values = fr_kv_write(b->g, values, v, c->table, c->start, c->kind);
    return fr_paged_attention(b->g, q, keys, values, c->table, c->length,
                              &(fr_paged_attention_opts){.kind = c->kind});
}

static fr_val attend(const build *b, fr_val x, fr_val pos) {
    const fr_decoder *m = b->m;
    fr_rope_opts rope = {.theta = m->rope.theta};
    fr_val q = heads(b, "self_attn.q_proj", m->heads, x);
    fr_val k = heads(b, "self_attn.k_proj", m->kv_heads, x);
    fr_val v = heads(b, "self_attn.v_proj", m->kv_heads, x);
    enter(b, "", "self_attn");
    q = fr_rope(b->g, q, pos, &rope);
    k = fr_rope(b->g, k, pos, &rope);
    fr_val a = b->cache
                   ? attend_pages(b, q, k, v)
                   : fr_attention(b->g, q, k, v,
                                  &(fr_attention_opts){.mask = FR_MASK_CAUSAL, .first = b->first});
    a = fr_reshape(b->g, a, 3, (int64_t[]){0, 0, m->heads * m->head_dim});
    fr_scope_end(b->g);
    return a;
}

static fr_val layer(const build *b, fr_val x, fr_val pos) {
    const fr_decoder *m = b->m;
    fr_val a = attend(b, norm(b, "input_layernorm", x), pos);
    x = project(b, "self_attn.o_proj", m->width, m->heads * m->head_dim, a, x);
    fr_val y = norm(b, "post_attention_layernorm", x);
    fr_val gate = project(b, "mlp.gate_proj", m->hidden, m->width, y, FR_NONE);
    fr_val up = project(b, "mlp.up_proj", m->hidden, m->width, y, FR_NONE);
    enter(b, "", "mlp");
    y = fr_glu(b->g, gate, up, m->act ? m->act : FR_FN_SILU);
    fr_scope_end(b->g);
    return project(b, "mlp.down_proj", m->width, m->hidden, y, x);
}

/* ---- the whole ---- */

static fr_val body(build *b, fr_val ids, fr_val pos) {
    enter(b, "", "model.embed_tokens");
    fr_val table = matrix(b, "weight", b->m->vocab, b->m->width);
    fr_val x = fr_embedding(b->g, table, ids);
    if (b->o && b->o->flow != FR_NOTYPE && b->o->flow != b->type) x = fr_cast(b->g, x, b->o->flow);
    fr_scope_end(b->g);
    for (b->layer = 0; b->layer < b->m->layers; b->layer++) {
        if (b->o && b->o->recompute) fr_recompute_begin(b->g, "layer");
        x = layer(b, x, pos);
        if (b->o && b->o->recompute) fr_recompute_end(b->g);
    }
    b->layer = -1;
    return norm(b, "model.norm", x);
}

fr_val fr_decoder_body(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, fr_val ids,
                       fr_val pos) {
    build b = begin(g, m, o);
    return body(&b, ids, pos);
}

fr_val fr_decoder_layer(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, int64_t number,
                        fr_val x, fr_val pos) {
    build b = begin(g, m, o);
    b.layer = number;
    return layer(&b, x, pos);
}

fr_val fr_decoder_cached(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, fr_val ids,
                         fr_val pos, const fr_decoder_cache *cache) {
    build b = begin(g, m, o);
    b.cache = cache;
    return body(&b, ids, pos);
}

fr_val fr_decoder_logits(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o,
                         fr_val hidden) {
    build b = begin(g, m, o);
    fr_qweight q;
    enter(&b, "", "lm_head");
    fr_val y, w = FR_NONE;
    if (few_bits(&b, &q)) { /* also of a tied model: the table stays as it is, its copy is small */
        y = fr_qlinear(g, hidden, &q, NULL, NULL);
    } else {
        if (!m->tied) w = matrix(&b, "weight", m->vocab, m->width);
        if (m->tied) w = fr_graph_find(g, "model.embed_tokens.weight");
        y = fr_linear(g, hidden, w, FR_NONE, FR_NONE, FR_FN_NONE);
    }
    fr_scope_end(g);
    return y;
}

/* Logits of bf16 stay so: the loss sums in f32, and what their rounding costs is noise of 2^-9 of a logit. */
fr_val fr_decoder_loss(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, int64_t batch,
                       int64_t tokens) {
    int64_t shape[] = {batch, tokens};
    fr_val ids = fr_input(g, "tokens", FR_I32, 2, shape);
    fr_val target = fr_input(g, "target", FR_I32, 2, shape);
    fr_val pos = fr_input(g, "pos", FR_I32, 2, (int64_t[]){tokens, 1});
    build b = begin(g, m, o);
    if (o && o->apart) b.first = fr_input(g, "first", FR_I32, 2, shape);
    fr_val x = body(&b, ids, pos);
    return fr_cross_entropy(g, fr_decoder_logits(g, m, o, x), target);
}

/* ---- how it starts ---- */

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), k = strlen(end);
    return n >= k && !strcmp(name + n - k, end);
}

/* What goes in with deviation 1 comes out so, whatever the width; GPT-2's 0.02 suits widths of 2500, and at 256
 * leaves attention nearly blind for the first thousands of steps. */
static float deviation(const fr_decoder *m, const char *name, const fr_tensor *shape) {
    if (ends_with(name, "lora_A.weight")) return 1 / sqrtf((float)shape->dim[1]);
    if (ends_with(name, "lora_B.weight")) return 0;
    if (ends_with(name, "embed_tokens.weight")) return 0.05f;
    float even = 1 / sqrtf((float)shape->dim[1]);
    bool back = ends_with(name, "o_proj.weight") || ends_with(name, "down_proj.weight");
    return back ? even / sqrtf(2 * (float)m->layers) : even;
}

static fr_status start(fr_session *s, const fr_graph *g, const fr_decoder *m, uint64_t seed,
                       fr_val v) {
    const fr_value *value = fr_value_of(g, v);
    fr_tensor t = fr_tensor_make(FR_F32, value->desc.rank, value->desc.dim, NULL);
    size_t n = (size_t)fr_values(&t);
    float *x = t.data = fr_alloc_array(FR_MEM_OTHER, n, sizeof *x);
    if (!x) return FR_NOMEM;
    float scale = deviation(m, value->name, &t);
    if (t.rank > 1) fr_random_normal(seed, fr_random_stream(value->name), 0, x, n);
    for (size_t i = 0; i < n; i++) x[i] = t.rank == 1 ? 1 : scale * x[i];
    fr_status st = fr_session_set(s, v, &t);
    fr_free(x);
    return st;
}

fr_status fr_decoder_init(fr_session *s, const fr_graph *g, const fr_decoder *m, uint64_t seed) {
    for (fr_val v = 1; (size_t)v < g->value_count; v++) {
        const fr_value *value = fr_value_of(g, v);
        if (value->kind == FR_VALUE_PARAM && !value->parts && !fr_session_tensor(s, v))
            FR_TRY(start(s, g, m, seed, v));
    }
    return FR_OK;
}
