/* decoder_build.h: what the files that build a decoder's graph share.
 *
 *     decoder.c         the whole: embedding, layers, logits, loss
 *     decoder_layer.c   linears and norms by name; a layer
 *     experts.c         the MLP of a layer that has several */
#ifndef FR_MODEL_DECODER_BUILD_H
#define FR_MODEL_DECODER_BUILD_H

#include "model/decoder.h"

typedef struct dec_build {
    fr_graph *g;
    const fr_decoder *m;
    const fr_decoder_opts *o;
    fr_dtype type;
    fr_dtype flow;  /* of what flows from layer to layer; FR_NOTYPE: as it comes */
    fr_dtype inner; /* of what products in few bits hand to attention and to the gated unit */
    int64_t layer;  /* -1: outside of the layers */
    const fr_decoder_cache *cache;
    fr_val first; /* where the text of each token begins, or FR_NONE */
    fr_val freq;  /* fr_rotation_frequencies, or FR_NONE: by theta alone */
} dec_build;

/* Opens a scope: "model.layers.3.self_attn.q_proj", or "model.norm" outside of the layers. */
void dec_enter(const dec_build *b, const char *before, const char *name);
/* The parameter `name` of the open scope. */
fr_val dec_matrix(const dec_build *b, const char *name, int64_t rows, int64_t cols);
/* Whether the store holds "weight" of the open scope in few bits that have a product; its parts become parameters. */
bool dec_few_bits(const dec_build *b, int64_t rows, int64_t cols, fr_qweight *out);
fr_val dec_embed(const dec_build *b, fr_val ids);
/* x wT + bias + residual of the linear `name`, with its adapter where there are any. */
fr_val dec_project(const dec_build *b, const char *name, int64_t rows, int64_t cols, bool bias,
                   fr_val x, fr_val residual);
/* The same, of type `inner` where the weight is in few bits. */
fr_val dec_inner(const dec_build *b, const char *name, int64_t rows, int64_t cols, bool bias,
                 fr_val x);
fr_val dec_norm(const dec_build *b, const char *name, int64_t width, fr_val x);
/* residual + what the chosen experts make of x. */
fr_val dec_experts(const dec_build *b, fr_val x, fr_val residual);
fr_val dec_layer(const dec_build *b, fr_val x, fr_val pos);

#endif
