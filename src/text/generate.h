/* generate.h: a language model writes on: many prompts at once, each over its own pages of keys and values.
 *
 *     fr_generator_new(&model.decoder, model.store, &(fr_generator_opts){.pool = pool}, &g);
 *     fr_generate(g, prompts, count, &(fr_generate_opts){.most = 100, ...}, out, NULL);
 *
 * A prompt that is done makes room for the next one in line; one waits for pages, too, where the cache is small. What comes out for a prompt does not depend on its
 * neighbours, except where two logits are as good as equal. */
#ifndef FR_TEXT_GENERATE_H
#define FR_TEXT_GENERATE_H

#include "model/model.h"
#include "text/sample.h"
#include "text/tokenizer.h"

typedef struct fr_generator_opts {
    fr_pool *pool;
    int32_t batch;    /* sequences at once; 0: 32 */
    int64_t context;  /* tokens of a sequence, with its prompt; 0: the model's */
    size_t cache;     /* bytes for keys and values; 0: what the batch may need, at most 2 GiB */
    fr_kv_kind pages; /* how keys and values are kept; 0 is bf16 */
    fr_dtype weights; /* FR_BF16 or FR_F32; FR_NOTYPE: bf16 */
    fr_dtype flow;    /* of what flows between them; FR_NOTYPE: f32 */
} fr_generator_opts;

typedef struct fr_generator fr_generator;
/* The store must outlive it. */
fr_status fr_generator_new(const fr_decoder *m, const fr_store *weights,
                           const fr_generator_opts *opts, fr_generator **out);
void fr_generator_free(fr_generator *g);

/* Why a sequence ended. */
typedef enum fr_ended {
    FR_ENDED_STOP,   /* a token to stop at, which is not part of the text */
    FR_ENDED_MOST,   /* as many tokens as were asked for */
    FR_ENDED_FULL,   /* the context is full */
    FR_ENDED_CALLER, /* on_token said so */
} fr_ended;

typedef struct fr_generate_opts {
    fr_sampling sampling;
    int64_t most;        /* new tokens of each */
    const int32_t *stop; /* these end a text, beside the model's own end */
    int32_t stops;
    bool past_end; /* the model's own end does not end a text */
    /* Called with each new token of prompt `which`, in the order in which they come; false ends this text. May be
     * NULL. */
    bool (*on_token)(void *arg, size_t which, int32_t token);
    void *arg;
} fr_generate_opts;

/* New tokens are put behind what out[i] holds. why may be NULL. Draw t of prompt i is number t of stream i. */
fr_status fr_generate(fr_generator *g, const fr_tokens *prompts, size_t count,
                      const fr_generate_opts *opts, fr_tokens *out, fr_ended *why);

#endif
