/* models.c: see models.h; layer by layer the same as tests/oracle/training.py. */
#include "models.h"

const lm_config lm_small = {.vocab = 40,
                            .dim = 32,
                            .layers = 4,
                            .heads = 4,
                            .kv_heads = 2,
                            .hidden = 64,
                            .batch = 3,
                            .tokens = 24};

static fr_val matrix(fr_graph *g, const char *name, int64_t rows, int64_t cols) {
    return fr_param(g, name, FR_F32, 2, (int64_t[]){rows, cols});
}
static fr_val vector(fr_graph *g, const char *name, int64_t n) {
    return fr_param(g, name, FR_F32, 1, (int64_t[]){n});
}
static fr_val project(fr_graph *g, fr_val x, const char *name, int64_t rows, int64_t cols) {
    return fr_linear(g, x, matrix(g, name, rows, cols), FR_NONE, FR_NONE, FR_FN_NONE);
}
static fr_val heads(fr_graph *g, fr_val x, int64_t count, int64_t dim) {
    return fr_reshape(g, x, 4, (int64_t[]){0, 0, count, dim});
}

static fr_val layer(fr_graph *g, fr_val x, fr_val pos, const lm_config *c) {
    const int64_t dim = c->dim, each = c->dim / c->heads;
    fr_rope_opts rope = {0};
    fr_attention_opts causal = {.mask = FR_MASK_CAUSAL};
    fr_val y = fr_rmsnorm(g, x, vector(g, "norm1", dim), FR_NONE, FR_NONE, 1e-5f);
    fr_val q = heads(g, project(g, y, "q", dim, dim), c->heads, each);
    fr_val k = heads(g, project(g, y, "k", c->kv_heads * each, dim), c->kv_heads, each);
    fr_val v = heads(g, project(g, y, "v", c->kv_heads * each, dim), c->kv_heads, each);
    q = fr_rope(g, q, pos, &rope);
    k = fr_rope(g, k, pos, &rope);
    fr_val a = fr_attention(g, q, k, v, &causal);
    a = fr_reshape(g, a, 3, (int64_t[]){0, 0, dim});
    x = fr_add(g, x, project(g, a, "o", dim, dim));
    y = fr_rmsnorm(g, x, vector(g, "norm2", dim), FR_NONE, FR_NONE, 1e-5f);
    fr_val gate = project(g, y, "gate", c->hidden, dim), up = project(g, y, "up", c->hidden, dim);
    return fr_add(g, x, project(g, fr_glu(g, gate, up, FR_FN_SILU), "down", dim, c->hidden));
}

fr_val model_lm(fr_graph *g, const lm_config *c) {
    int64_t shape[] = {c->batch, c->tokens};
    fr_val ids = fr_input(g, "tokens", FR_I32, 2, shape);
    fr_val target = fr_input(g, "target", FR_I32, 2, shape);
    fr_val pos = fr_input(g, "pos", FR_I32, 2, (int64_t[]){c->tokens, 1});
    fr_val x = fr_embedding(g, matrix(g, "embed", c->vocab, c->dim), ids);
    for (int i = 0; i < c->layers; i++) {
        char name[32];
        snprintf(name, sizeof name, "layers.%d", i);
        fr_scope(g, name);
        x = layer(g, x, pos, c);
        fr_scope_end(g);
    }
    x = fr_rmsnorm(g, x, vector(g, "norm", c->dim), FR_NONE, FR_NONE, 1e-5f);
    return fr_cross_entropy(g, project(g, x, "head", c->vocab, c->dim), target);
}

/* ---- the autoencoder ---- */

enum { CHANNELS = 12, LATENT = 4 };

static fr_val conv(fr_graph *g, fr_val x, const char *name, int64_t out, int64_t in, int kernel,
                   int stride, int groups) {
    fr_scope(g, name);
    fr_val w = fr_param(g, "weight", FR_F32, 4, (int64_t[]){out, kernel, kernel, in / groups});
    fr_val b = vector(g, "bias", out);
    int pad = kernel / 2;
    fr_val y = fr_conv2d(g, x, w, b, FR_NONE,
                         &(fr_conv_opts){.stride = {1, stride, stride},
                                         .before = {0, pad, pad},
                                         .after = {0, pad, pad},
                                         .groups = groups});
    fr_scope_end(g);
    return y;
}

fr_val model_autoencoder(fr_graph *g, int batch) {
    const int wide = 2 * CHANNELS;
    fr_val x = fr_input(g, "x", FR_F32, 4, (int64_t[]){batch, 16, 16, 3});
    fr_val y = fr_unary(g, conv(g, x, "in", CHANNELS, 3, 3, 1, 1), FR_FN_SILU);
    y = conv(g, y, "down", wide, CHANNELS, 3, 2, 1);
    y = fr_groupnorm(g, y, vector(g, "norm.weight", wide), vector(g, "norm.bias", wide), 4, 1e-5f);
    y = fr_unary(g, conv(g, y, "depth", wide, wide, 3, 1, wide), FR_FN_GELU);
    y = conv(g, y, "latent", LATENT, wide, 1, 1, 1);
    y = fr_unary(g, conv(g, y, "from", wide, LATENT, 3, 1, 1), FR_FN_HSWISH);
    y = fr_pixel_shuffle(g, conv(g, y, "up", 4 * CHANNELS, wide, 3, 1, 1), 2);
    y = conv(g, y, "out", 3, CHANNELS, 3, 1, 1);
    return fr_mse(g, y, x);
}
