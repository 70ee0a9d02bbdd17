/* engine.h: a language model over one pool of pages: sequences that grow, fork, shrink and end, step by step.
 *
 *     fr_engine_new(&model.decoder, model.store, &(fr_engine_opts){.pool = pool}, &e);
 *     fr_engine_open(e, 0, &s);
 *     fr_feed f = {.sequence = s, .ids = prompt, .count = n, .wanted = 1};
 *     fr_engine_step(e, &f, 1);                         f.logits: what may come behind the prompt
 *     f = (fr_feed){.sequence = s, .ids = &token, .count = 1, .wanted = 1, .made = true};
 *     fr_engine_step(e, &f, 1);                         and behind the token that was chosen
 *
 * A step takes any number of sequences, each with as many tokens as are ready: a prompt of thousands, the one token
 * that was chosen, a few that were only guessed (speculative decoding: those that were wrong are taken back by
 * fr_engine_cut). All go the same way: rows of one graph, whose keys and values lie in pages of 64 tokens in 16, 8 or
 * 4 bits. A fork shares all pages with what it came from and copies one only when it is written (pages.h), so that
 * ten answers to one prompt hold the prompt once, and reading it once is enough.
 *
 * Same bits. The logits behind a token depend on the tokens of its own sequence before it and on nothing else: not on
 * what else is in the step, not on how its tokens were cut into steps, not on threads or on where its pages lie. All
 * sums of a row are made in an order of their own: in products over k, in attention over the tokens before. But there
 * are two such orders in attention, one made for many tokens at once (floats, tiles of 256 keys) and one for few
 * (straight from the codes of a page; with 8 or 4 bits in integers), whose results differ in the last places, in 4
 * bits in the third. Which one a token takes does not follow from how many come together, but is said: `made` is
 * false for what was given and true for what was chosen. So a chat that keeps its pages does not see the very bits
 * of one that reads its own answers again as a prompt; everything else agrees bit for bit.
 * Exceptions: models with more than 32 query heads for a key head have one order only; and of models with
 * FR_STRETCH_LONG a text has the bits of a short or of a long one, as fr_engine_limit says.
 *
 * An engine is one thread's business: it spreads its own work over the pool. */
#ifndef FR_TEXT_ENGINE_H
#define FR_TEXT_ENGINE_H

#include "model/model.h"

typedef struct fr_engine_opts {
    fr_pool *pool;
    int32_t sequences; /* open at once; 0: 32 */
    int64_t context;   /* tokens of a sequence at most; 0: the model's */
    int64_t chunk;     /* tokens of a sequence that go through at once; 0: 512 */
    size_t cache;     /* bytes for keys and values; 0: what the sequences may need, at most 2 GiB */
    fr_kv_kind pages; /* how keys and values are kept; 0 is bf16 */
    fr_dtype weights; /* FR_BF16 or FR_F32; FR_NOTYPE: bf16 */
    fr_dtype flow;    /* of what flows from layer to layer; FR_NOTYPE: f32 */
} fr_engine_opts;

typedef struct fr_engine fr_engine;
/* The store must outlive it. */
fr_status fr_engine_new(const fr_decoder *m, const fr_store *weights, const fr_engine_opts *opts,
                        fr_engine **out);
void fr_engine_free(fr_engine *e);

const fr_decoder *fr_engine_model(const fr_engine *e);
int64_t fr_engine_context(const fr_engine *e);

/* An empty sequence. promise: it will have as many tokens at most, and its pages are kept for it (0: it takes what is
 * free as it goes, and a step may fail for want of pages). FR_NOMEM, without a message, when places or pages do not
 * suffice now. */
fr_status fr_engine_open(fr_engine *e, int64_t promise, int32_t *sequence);
/* One that begins with the first `tokens` tokens of another, whose pages it shares. */
fr_status fr_engine_fork(fr_engine *e, int32_t from, int64_t tokens, int64_t promise,
                         int32_t *sequence);
/* How many tokens an empty sequence may come to have (else what it was promised, or the context): models that turn
 * long texts otherwise than short ones must know it from the first token. A fork is as what it came from. */
void fr_engine_limit(fr_engine *e, int32_t sequence, int64_t tokens);
int64_t fr_engine_length(const fr_engine *e, int32_t sequence);
/* Takes back all but the first `tokens` tokens. */
void fr_engine_cut(fr_engine *e, int32_t sequence, int64_t tokens);
void fr_engine_close(fr_engine *e, int32_t sequence);

typedef struct fr_feed {
    int32_t sequence;
    const int32_t *ids; /* tokens that come next */
    int64_t count;
    int64_t wanted;      /* logits behind so many of them, the last ones */
    bool made;           /* chosen by a sampler, or guessed; not part of a prompt */
    const float *logits; /* out: [wanted][vocab], good until the next step */
} fr_feed;
/* No sequence may stand in it twice. After a failure some feeds may have been taken in: see fr_engine_length. */
fr_status fr_engine_step(fr_engine *e, fr_feed *feeds, size_t count);

typedef struct fr_engine_stats {
    int32_t pages, held, peak; /* in all, held now, held at most */
    size_t page;               /* bytes of one, in all layers, keys and values */
    int64_t prompt, made;      /* tokens that went through */
    int64_t runs;              /* of the graph */
    size_t arena;              /* bytes of activations */
} fr_engine_stats;
fr_engine_stats fr_engine_stats_of(const fr_engine *e);

/* Where the time of runs goes that read prompts, and of those for tokens that were made. */
typedef struct fr_engine_times {
    fr_op_times op;
    double seconds; /* of the runs: with what is between operators */
} fr_engine_times;
/* From now on runs are timed. */
fr_status fr_engine_time(fr_engine *e);
fr_engine_times fr_engine_times_of(const fr_engine *e, bool made);

#endif
