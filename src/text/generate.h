/* generate.h: a language model writes on: many prompts at once, each over its own pages of keys and values.
 *
 *     fr_generator_new(&model.decoder, model.store, &(fr_generator_opts){.pool = pool}, &g);
 *     fr_generate(g, prompts, count, &(fr_generate_opts){.most = 100, ...}, out, NULL);
 *
 * A prompt that is done makes room for the next one in line; one waits for pages, too, where the cache is small.
 * Prompts that are the same and stand side by side are read once: their texts fork from it. What comes out for a
 * prompt has the same bits whatever its neighbours, its place, the pieces in which it is read and the threads
 * (engine.h says why), and with or without drafts.
 *
 * Drafts (speculative decoding, Leviathan et al. 2023; lookup in the text itself, Saxena 2023): some tokens are guessed,
 * the model weighs them all in one run, and as many stay as it would have chosen itself. At each place the sampler
 * draws what it would have drawn without a draft, from the model's own distribution and with the same random number;
 * the guess stays when it is that. So the text is the same, drawn or greedy, and not only its distribution. A model
 * that drafts draws with the same random numbers, which makes the two agree more often than independent draws would. */
#ifndef FR_TEXT_GENERATE_H
#define FR_TEXT_GENERATE_H

#include "text/engine.h"
#include "text/sampler.h"
#include "text/tokenizer.h"

typedef struct fr_generator_opts {
    fr_pool *pool;
    int32_t batch;   /* sequences at once; 0: 32 */
    int64_t context; /* these are of engine.h */
    int64_t chunk;
    size_t cache;
    fr_kv_kind pages;
    fr_dtype weights;
    fr_dtype flow;
    /* A smaller model that drafts, with the same tokens. NULL: none. */
    const fr_decoder *draft;
    const fr_store *draft_store;
} fr_generator_opts;

typedef struct fr_generator fr_generator;
/* The stores must outlive it. */
fr_status fr_generator_new(const fr_decoder *m, const fr_store *weights,
                           const fr_generator_opts *opts, fr_generator **out);
void fr_generator_free(fr_generator *g);
/* Whose sequences are all closed between calls, but for one that was kept. */
fr_engine *fr_generator_engine(fr_generator *g);

/* Why a sequence ended. */
typedef enum fr_ended {
    FR_ENDED_STOP,   /* a token to stop at, which is not part of the text */
    FR_ENDED_MOST,   /* as many tokens as were asked for */
    FR_ENDED_FULL,   /* the context is full */
    FR_ENDED_CALLER, /* on_token said so */
    FR_ENDED_GRAMMAR /* the constraint is fulfilled, and nothing may follow */
} fr_ended;

typedef struct fr_generate_opts {
    fr_sampling sampling;
    struct fr_constraint *constraint; /* what all texts must be (grammar.h); NULL: anything */
    int64_t most;                     /* new tokens of each */
    const int32_t *stop;              /* these end a text, beside the model's own end */
    int32_t stops;
    bool past_end; /* the model's own end does not end a text */
    /* Tokens that are guessed at a time: by the model that drafts where there is one, else by what followed the same
     * last tokens before. 0: none. */
    int32_t drafts;
    /* Of one prompt: its pages stay for the next call, which reads only what its prompt has more. For a chat. */
    bool keep;
    /* Called with each new token of prompt `which`, in the order in which they come; false ends this text. May be
     * NULL. */
    bool (*on_token)(void *arg, size_t which, int32_t token);
    void *arg;
} fr_generate_opts;

/* New tokens are put behind what out[i] holds. why may be NULL. Draw t of prompt i is number t of stream i. */
fr_status fr_generate(fr_generator *g, const fr_tokens *prompts, size_t count,
                      const fr_generate_opts *opts, fr_tokens *out, fr_ended *why);

typedef struct fr_generate_stats {
    int64_t prompt, read;  /* tokens of all prompts, and those of them that had to be read */
    int64_t made;          /* tokens */
    int64_t guessed, kept; /* tokens of drafts, and those of them that stayed */
} fr_generate_stats;
/* Of all calls so far. */
fr_generate_stats fr_generator_stats(const fr_generator *g);

#endif
