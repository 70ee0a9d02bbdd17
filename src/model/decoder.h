/* decoder.h: decoder-only transformers: RMSNorm, rotary positions, grouped heads, gated MLPs.
 *
 * One builder for the families of fr_family, which differ by the numbers below. Tensor names, config.json and the
 * order of operations are those of Hugging Face's classes (LlamaForCausalLM and so on). */
#ifndef FR_MODEL_DECODER_H
#define FR_MODEL_DECODER_H

#include <frugal/ops.h>

#include "graph/graph.h"

/* Whose files: names of tensors, meaning of the config, and what of the below is set. */
typedef enum fr_family {
    FR_FAMILY_LLAMA,
    FR_FAMILY_MISTRAL,
    FR_FAMILY_MIXTRAL,
    FR_FAMILY_QWEN2,
    FR_FAMILY_QWEN3,
    FR_FAMILY_GEMMA2,
    FR_FAMILY_PHI3,
    FR_FAMILIES
} fr_family;
extern const char *const fr_family_names[FR_FAMILIES]; /* "llama": model_type of config.json */

typedef enum fr_stretch { /* how positions beyond those of the training turn */
                          FR_STRETCH_NONE,
                          FR_STRETCH_LINEAR,
                          FR_STRETCH_LLAMA3,
                          FR_STRETCH_YARN,
                          FR_STRETCH_LONG /* "longrope", "su": a factor for each pair, one list for short texts and one for long ones */
} fr_stretch;

#define FR_ROPE_PAIRS 256 /* at most: heads of 512 values */

typedef struct fr_rotation {
    fr_stretch stretch;
    float theta, factor;
    float low, high; /* llama3: low_freq_factor, high_freq_factor; yarn: beta_slow, beta_fast */
    float attention; /* factor on cosine and sine; 0: what the stretch says */
    float mscale, mscale_all; /* yarn; 0: not there */
    bool truncate;            /* yarn: bounds are rounded to whole pairs */
    int64_t original;         /* tokens before it was stretched; 0: the context */
    int64_t turned;           /* values of a head that turn at all, the first ones; 0: all of it */
    float short_factor[FR_ROPE_PAIRS], long_factor[FR_ROPE_PAIRS]; /* FR_STRETCH_LONG */
} fr_rotation;

typedef struct fr_decoder {
    fr_family family;
    int64_t vocab, width, hidden; /* hidden: of the MLP, or of one expert */
    int64_t layers, heads, kv_heads, head_dim;
    int64_t context; /* tokens that it was trained for */
    float eps;
    fr_rotation rope;
    fr_fn act;               /* of the gate; 0: SiLU */
    bool tied;               /* the embedding is the output's weight too */
    bool bias;               /* of q, k and v */
    bool bias_out;           /* of what attention gives */
    bool head_norm;          /* RMSNorm of each head of q and k before they turn */
    bool around;             /* norms behind attention and MLP too (Gemma 2) */
    bool norm_plus_one;      /* norms multiply by 1 + weight */
    bool fused;              /* the file has qkv_proj and gate_up_proj in one piece each */
    int64_t window;          /* a token sees so many at most, itself among them; 0: all before it */
    bool window_even;        /* only in layers 0, 2, 4 ... */
    int64_t window_from;     /* only from this layer on */
    float score_scale;       /* of q k; 0: 1 / sqrt(head_dim) */
    float score_cap;         /* scores become cap tanh(score / cap); 0: no cap */
    float logit_cap;         /* the same of logits */
    float embed_scale;       /* of what the embedding gives; 0: 1 */
    int64_t experts, chosen; /* of which each token takes so many; 0: one MLP for all */
    int32_t bos;             /* -1: none */
    int32_t eos[8], eos_count; /* any of them ends a text */
} fr_decoder;

/* From and to a config.json; what the file says and we cannot do is refused by name. */
fr_status fr_decoder_read(const fr_json *config, fr_decoder *out);
/* Tokens that end a text: those that a generation_config.json names, beside the config's. */
fr_status fr_decoder_read_ends(const fr_json *generation, fr_decoder *m);
fr_status fr_decoder_write(const fr_decoder *m, fr_dtype weights, fr_json **out);

typedef struct fr_decoder_opts {
    fr_dtype weights; /* of matrices, norms and what flows: FR_F32 or FR_BF16; FR_NOTYPE: f32 */
    /* Of what flows, when it is another type: FR_F32 over weights of bf16. Over a cache what products in few bits hand
     * to attention and to the gated unit is bf16 all the same, but with pages in f32. */
    fr_dtype flow;
    bool recompute; /* layers are computed again in the backward pass */
    bool apart; /* fr_decoder_loss: several texts lie in a row, each of which sees only itself */
    /* Linears whose weight this store holds in few bits (format.h, "frugal.format.NAME") run so; all others are
     * floats. NULL: all are floats. */
    const fr_store *store;
    int lora_rank; /* 0: none; else every linear gets W + (alpha / rank) B A, named as PEFT names them */
    float lora_alpha;
} fr_decoder_opts;

/* ids i32 [batch, tokens], pos i32 [tokens, 1] -> hidden state after the last norm, [batch, tokens, width]. */
fr_val fr_decoder_body(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, fr_val ids,
                       fr_val pos);
/* One layer alone: x [batch, tokens, width] -> the same. */
fr_val fr_decoder_layer(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, int64_t layer,
                        fr_val x, fr_val pos);
fr_val fr_decoder_logits(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, fr_val body);
/* Inputs "tokens", "target" (-1: does not count), i32 [batch, tokens], and "pos" [tokens, 1]; with apart also "first",
 * i32 [batch, tokens]: where the text of each token begins. The mean loss. */
fr_val fr_decoder_loss(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, int64_t batch,
                       int64_t tokens);

/* The body over a cache in pages of FR_KV_TOKENS tokens, states "model.layers.N.self_attn.keys" and
 * ".values": what is given are the tokens that come next. */
typedef struct fr_decoder_cache {
    fr_kv_kind kind;
    int64_t pages; /* that a layer has, of keys and of values */
    fr_val table;  /* i32 [batch, most pages of a sequence]: which page holds its tokens 64 i .. */
    fr_val start, length; /* i32 [batch]: tokens before these, and with them */
    /* i32 [batch]: as many tokens as a text may come to have. FR_STRETCH_LONG turns by its long list where that is
     * above rope.original, and from the first token on: keys in a cache cannot be turned again. FR_NONE: length,
     * right for texts that stay on one side. */
    fr_val most;
} fr_decoder_cache;
/* pos i32 [batch, tokens, 1]. */
fr_val fr_decoder_cached(fr_graph *g, const fr_decoder *m, const fr_decoder_opts *o, fr_val ids,
                         fr_val pos, const fr_decoder_cache *cache);

/* What a position turns each pair of a head by: [fr_rotation_pairs], for FR_STRETCH_LONG twice that, of short texts and
 * of long ones; and the factor of cosine and sine. */
int64_t fr_rotation_pairs(const fr_decoder *m);
void fr_rotation_frequencies(const fr_decoder *m, float *out);
float fr_rotation_attention(const fr_decoder *m);
/* How many tokens a token of a layer sees at most; 0: all before it. */
int64_t fr_decoder_window(const fr_decoder *m, int64_t layer);

/* Values of all parameters; operations of a step of training (forward and backward) for one token. */
int64_t fr_decoder_params(const fr_decoder *m);
double fr_decoder_train_flops(const fr_decoder *m, int64_t tokens);
/* The start of what is not yet bound: normal, deviation 1 / sqrt(in), of the embedding 0.05, of what leads back
 * into the residual stream / sqrt(2 layers); norms as if they were not there, biases 0; of adapters A normal with
 * deviation 1 / sqrt(in), B zero. A model with new adapters: init first, then fr_session_load of the base. */
fr_status fr_decoder_init(fr_session *s, const fr_graph *g, const fr_decoder *m, uint64_t seed);

#endif
