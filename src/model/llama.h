/* llama.h: decoder-only transformers of the Llama kind: RMSNorm, rotary positions, grouped heads, SwiGLU.
 *
 * Tensor names, config.json and the order of operations are those of Hugging Face's LlamaForCausalLM. */
#ifndef FR_MODEL_LLAMA_H
#define FR_MODEL_LLAMA_H

#include <frugal/ops.h>

#include "graph/graph.h"

typedef struct fr_llama {
    int64_t vocab, width, hidden; /* hidden: of the MLP */
    int64_t layers, heads, kv_heads, head_dim;
    int64_t context; /* tokens that it was trained for */
    float eps, theta;
    bool tied;        /* the embedding is the output's weight too */
    int32_t bos, eos; /* -1: none */
} fr_llama;

/* From and to a config.json; what the file says and we cannot do is refused by name. */
fr_status fr_llama_read(const fr_json *config, fr_llama *out);
fr_status fr_llama_write(const fr_llama *m, fr_dtype weights, fr_json **out);

typedef struct fr_llama_opts {
    fr_dtype weights; /* of matrices, norms and what flows: FR_F32 or FR_BF16; FR_NOTYPE: f32 */
    fr_dtype flow;    /* of what flows, when it is another type: FR_F32 over weights of bf16 */
    bool recompute;   /* layers are computed again in the backward pass */
    bool apart; /* fr_llama_loss: several texts lie in a row, each of which sees only itself */
    int lora_rank; /* 0: none; else every linear gets W + (alpha / rank) B A, named as PEFT names them */
    float lora_alpha;
} fr_llama_opts;

/* ids i32 [batch, tokens], pos i32 [tokens, 1] -> hidden state after the last norm, [batch, tokens, width]. */
fr_val fr_llama_body(fr_graph *g, const fr_llama *m, const fr_llama_opts *o, fr_val ids,
                     fr_val pos);
fr_val fr_llama_logits(fr_graph *g, const fr_llama *m, const fr_llama_opts *o, fr_val body);
/* Inputs "tokens", "target" (-1: does not count), i32 [batch, tokens], and "pos" [tokens, 1]; with apart also "first",
 * i32 [batch, tokens]: where the text of each token begins. The mean loss. */
fr_val fr_llama_loss(fr_graph *g, const fr_llama *m, const fr_llama_opts *o, int64_t batch,
                     int64_t tokens);

/* The body over a cache in pages of FR_KV_TOKENS tokens, states "model.layers.N.self_attn.keys" and
 * ".values": what is given are the tokens that come next. */
typedef struct fr_llama_cache {
    fr_kv_kind kind;
    int64_t pages; /* that a layer has, of keys and of values */
    fr_val table;  /* i32 [batch, most pages of a sequence]: which page holds its tokens 64 i .. */
    fr_val start, length; /* i32 [batch]: tokens before these, and with them */
} fr_llama_cache;
/* pos i32 [batch, tokens, 1]. */
fr_val fr_llama_cached(fr_graph *g, const fr_llama *m, const fr_llama_opts *o, fr_val ids,
                       fr_val pos, const fr_llama_cache *cache);

/* Values of all parameters; operations of a step of training (forward and backward) for one token. */
int64_t fr_llama_params(const fr_llama *m);
double fr_llama_train_flops(const fr_llama *m, int64_t tokens);
/* The start of what is not yet bound: normal, deviation 1 / sqrt(in), of the embedding 0.05, of what leads back
 * into the residual stream / sqrt(2 layers); norms 1; of adapters A normal with deviation 1 / sqrt(in), B zero.
 * A model with new adapters: init first, then fr_session_load of the base. */
fr_status fr_llama_init(fr_session *s, const fr_graph *g, const fr_llama *m, uint64_t seed);

#endif
