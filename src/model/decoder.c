/* decoder.c: the graph of a decoder-only transformer (Llama, Touvron et al. 2023, and its relatives): embedding,
 * layers (decoder_layer.c), the last norm, logits, loss. */
#include "model/decoder.h"

#include "model/decoder_build.h"

/* What positions turn by, when that is not a power of theta. */
static fr_val frequencies(fr_graph *g, const fr_decoder *m) {
    float f[2 * FR_ROPE_PAIRS];
    const int64_t n = fr_rotation_pairs(m);
    const bool two = m->rope.stretch == FR_STRETCH_LONG;
    if (m->rope.stretch == FR_STRETCH_NONE) return FR_NONE;
    if (n > FR_ROPE_PAIRS)
        return fr_emit_fail(g,
                            fr_fail(FR_UNSUPPORTED,
                                    "Heads of %lld values are too long for a stretched context; at "
                                    "most %d are supported.",
                                    (long long)m->head_dim, 2 * FR_ROPE_PAIRS));
    fr_rotation_frequencies(m, f);
    fr_tensor t = fr_tensor_make(FR_F32, two ? 2 : 1, two ? (int64_t[]){2, n} : &n, f);
    return fr_constant(g, &t);
}

static dec_build begin(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o) {
    fr_dtype type = o && o->weights != FR_NOTYPE ? o->weights : FR_F32;
    fr_dtype flow = o && o->flow != FR_NOTYPE ? o->flow : type;
    return (dec_build){
        .g = g, .m = m, .o = o, .type = type, .flow = flow, .inner = flow, .layer = -1};
}

static fr_val body(dec_build *b, fr_val ids, fr_val pos) {
    dec_enter(b, "", "model.embed_tokens");
    fr_val x = dec_embed(b, ids);
    const float scale = b->m->embed_scale;
    if (b->flow != b->type) x = fr_cast(b->g, x, b->flow);
    if (scale != 0 && scale != 1) x = fr_affine(b->g, x, scale, 0);
    fr_scope_end(b->g);
    b->freq = frequencies(b->g, b->m);
    for (b->layer = 0; b->layer < b->m->layers; b->layer++) {
        if (b->o && b->o->recompute) fr_recompute_begin(b->g, "layer");
        x = dec_layer(b, x, pos);
        if (b->o && b->o->recompute) fr_recompute_end(b->g);
    }
    b->layer = -1;
    return dec_norm(b, "model.norm", b->m->width, x);
}

fr_val fr_decoder_body(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, fr_val ids,
                       fr_val pos) {
    dec_build b = begin(g, m, o);
    return body(&b, ids, pos);
}

fr_val fr_decoder_layer(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, int64_t number,
                        fr_val x, fr_val pos) {
    dec_build b = begin(g, m, o);
    b.layer = number;
    b.flow = b.inner = fr_desc(g, x)->dtype;
    b.freq = frequencies(g, m);
    return dec_layer(&b, x, pos);
}

fr_val fr_decoder_cached(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, fr_val ids,
                         fr_val pos, const fr_decoder_cache *cache) {
    dec_build b = begin(g, m, o);
    b.cache = cache;
    /* Queries, keys, and what a gate lets through: next to their rows in 8 bits and to pages, the rounding is little. */
    if (b.type == FR_BF16 && cache->kind != FR_KV_F32 && o->lora_rank <= 0) b.inner = FR_BF16;
    return body(&b, ids, pos);
}

fr_val fr_decoder_logits(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o,
                         fr_val hidden) {
    dec_build b = begin(g, m, o);
    fr_qweight q;
    dec_enter(&b, "", "lm_head");
    fr_val y, w = FR_NONE;
    /* Also of a tied model: the table stays as it is, its copy is small. */
    if (dec_few_bits(&b, m->vocab, m->width, &q)) {
        y = fr_qlinear(g, hidden, &q, NULL, NULL);
    } else {
        if (m->tied) w = fr_graph_find(g, "model.embed_tokens.weight");
        if (w == FR_NONE) w = dec_matrix(&b, "weight", m->vocab, m->width);
        y = fr_linear(g, hidden, w, FR_NONE, FR_NONE, FR_FN_NONE);
    }
    if (m->logit_cap != 0) {
        y = fr_unary(g, fr_affine(g, y, 1 / m->logit_cap, 0), FR_FN_TANH);
        y = fr_affine(g, y, m->logit_cap, 0);
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
    dec_build b = begin(g, m, o);
    if (o && o->apart) b.first = fr_input(g, "first", FR_I32, 2, shape);
    fr_val x = body(&b, ids, pos);
    return fr_cross_entropy(g, fr_decoder_logits(g, m, o, x), target);
}
