/* encoder.c: the graph of BERT (Devlin et al., "BERT: Pre-training of deep bidirectional transformers", 2018).
 *
 * The sum of three embeddings, normed; then layers that norm behind each sum: x = norm(x + o(attention(x))),
 * x = norm(x + down(act(up(x)))). The sums ride on the linears as their residual. */
#include "model/encoder.h"

#include "model/decoder_build.h"

typedef struct enc_build {
    dec_build dec; /* with no decoder: linears, in few bits or not, are its own */
    fr_decoder_opts opts;
    const fr_encoder *m;
    const char *prefix;
    int64_t layer; /* -1: the embeddings */
    char name[128];
} enc_build;

/* The full name of a module; good until the next. */
static const char *full(enc_build *b, const char *name) {
    if (b->layer < 0)
        snprintf(b->name, sizeof b->name, "%sembeddings.%s", b->prefix, name);
    else
        snprintf(b->name, sizeof b->name, "%sencoder.layer.%lld.%s", b->prefix, (long long)b->layer,
                 name);
    return b->name;
}

static fr_val table(enc_build *b, const char *name, int64_t rows) {
    dec_enter(&b->dec, "", full(b, name));
    fr_val w = dec_matrix(&b->dec, "weight", rows, b->m->width);
    fr_scope_end(b->dec.g);
    return w;
}

static fr_val linear(enc_build *b, const char *name, int64_t rows, int64_t cols, fr_val x,
                     fr_val residual) {
    return dec_project(&b->dec, full(b, name), rows, cols, true, x, residual);
}

static fr_val norm(enc_build *b, const char *name, fr_val x) {
    fr_graph *g = b->dec.g;
    dec_enter(&b->dec, "", full(b, name));
    fr_val w = fr_param(g, "weight", b->dec.type, 1, &b->m->width);
    fr_val bias = fr_param(g, "bias", b->dec.type, 1, &b->m->width);
    x = fr_layernorm(g, x, w, bias, FR_NONE, FR_NONE, b->m->eps);
    fr_scope_end(g);
    return x;
}

static fr_val embed(enc_build *b, fr_val ids, fr_val pos, fr_val type) {
    fr_graph *g = b->dec.g;
    fr_val words = table(b, "word_embeddings", b->m->vocab);
    fr_val places = table(b, "position_embeddings", b->m->context);
    fr_val types = table(b, "token_type_embeddings", b->m->types);
    fr_val kind = type ? fr_embedding(g, types, type) : fr_slice(g, types, 0, 0, 1);
    fr_val x = fr_add(g, fr_embedding(g, words, ids), kind);
    return norm(b, "LayerNorm", fr_add(g, x, fr_embedding(g, places, pos)));
}

static fr_val as_heads(const enc_build *b, fr_val x) {
    const fr_encoder *m = b->m;
    return fr_reshape(b->dec.g, x, 4, (int64_t[]){0, 0, m->heads, m->width / m->heads});
}

const char *const fr_encoder_linears[FR_ENCODER_LINEARS] = {
    "attention.self.query",   "attention.self.key", "attention.self.value",
    "attention.output.dense", "intermediate.dense", "output.dense"};

static fr_val one_layer(enc_build *b, fr_val x, fr_val length, fr_val y[FR_ENCODER_LINEARS]) {
    const fr_encoder *m = b->m;
    fr_graph *g = b->dec.g;
    fr_attention_opts o = {.kv_len = length};
    for (int i = 0; i < 3; i++)
        y[i] = linear(b, fr_encoder_linears[i], m->width, m->width, x, FR_NONE);
    fr_val a = fr_attention(g, as_heads(b, y[0]), as_heads(b, y[1]), as_heads(b, y[2]), &o);
    a = fr_reshape(g, a, 3, (int64_t[]){0, 0, m->width});
    y[3] = linear(b, fr_encoder_linears[3], m->width, m->width, a, x);
    x = norm(b, "attention.output.LayerNorm", y[3]);
    y[4] = linear(b, fr_encoder_linears[4], m->hidden, m->width, x, FR_NONE);
    y[5] = linear(b, fr_encoder_linears[5], m->width, m->hidden, fr_unary(g, y[4], m->act), x);
    return norm(b, "output.LayerNorm", y[5]);
}

const char *fr_encoder_prefix(const fr_store *store) {
    static const char probe[] = "bert.embeddings.word_embeddings.weight";
    return store && fr_store_find(store, probe) ? "bert." : "";
}

static void begin(enc_build *b, fr_graph *g, const fr_encoder *m, const fr_encoder_opts *o) {
    *b = (enc_build){.m = m, .prefix = fr_encoder_prefix(o ? o->store : NULL), .layer = -1};
    b->opts = (fr_decoder_opts){.store = o ? o->store : NULL};
    b->dec = (dec_build){.g = g, .o = &b->opts, .type = FR_F32, .layer = -1};
    if (o && o->weights != FR_NOTYPE) b->dec.type = o->weights;
}

fr_val fr_encoder_embed(fr_graph *g, const fr_encoder *m, const fr_encoder_opts *o, fr_val ids,
                        fr_val pos, fr_val type) {
    enc_build b;
    begin(&b, g, m, o);
    return embed(&b, ids, pos, type);
}

fr_val fr_encoder_layer(fr_graph *g, const fr_encoder *m, const fr_encoder_opts *o, int64_t layer,
                        fr_val x, fr_val length, fr_val y[FR_ENCODER_LINEARS]) {
    enc_build b;
    begin(&b, g, m, o);
    b.layer = layer;
    return one_layer(&b, x, length, y);
}

fr_val fr_encoder_body(fr_graph *g, const fr_encoder *m, const fr_encoder_opts *o, fr_val ids,
                       fr_val pos, fr_val type, fr_val length) {
    enc_build b;
    fr_val y[FR_ENCODER_LINEARS];
    begin(&b, g, m, o);
    fr_val x = embed(&b, ids, pos, type);
    for (b.layer = 0; b.layer < m->layers; b.layer++) x = one_layer(&b, x, length, y);
    return x;
}
