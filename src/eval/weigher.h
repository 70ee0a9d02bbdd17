/* weigher.h: how unexpected texts are to a language model, over the same pages of keys and values that it generates
 * with, so that what pages in few bits cost shows.
 *
 * Long rows go through in pieces, each over the pages of those before it: logits of a piece at a time are kept. */
#ifndef FR_EVAL_WEIGHER_H
#define FR_EVAL_WEIGHER_H

#include "model/model.h"
#include "text/text.h"

/* How (un)expected texts were, over all tokens that count. */
typedef struct fr_surprise {
    double nats; /* - log likelihood, with the end of the document */
    int64_t tokens, bytes;
} fr_surprise;

typedef struct fr_weigher fr_weigher;
/* Rows of up to `context` tokens, `room` tokens of all rows together. The model must outlive it. */
fr_status fr_weigher_new(const fr_model *m, fr_kv_kind pages, int64_t context, int64_t room,
                         fr_pool *pool, fr_weigher **out);
void fr_weigher_free(fr_weigher *w);

enum { FR_WEIGHER_SETS = 2 };
/* ids [rows, width]; a set of targets is the same, -1 where a token does not count, or NULL. Adds to the nats and
 * tokens of sum[set]. */
fr_status fr_weigher_add(fr_weigher *w, int64_t rows, int64_t width, const int32_t *ids,
                         const int32_t *const target[FR_WEIGHER_SETS],
                         fr_surprise *const sum[FR_WEIGHER_SETS]);

int64_t fr_weigher_room(const fr_weigher *w);

/* ---- many texts ---- */

/* Texts of ids, one behind the other. */
typedef struct fr_texts {
    fr_tokens ids;
    int32_t *length;
    int32_t *given; /* so many of them are given, not foretold */
    size_t count, cap, given_cap;
    size_t ended; /* ids of all texts so far */
} fr_texts;
/* The ids that were added since the last text are one; none are none. */
fr_status fr_texts_end(fr_texts *t, size_t given);
void fr_texts_free(fr_texts *t);
/* The tokens of a row that holds the longest. */
int64_t fr_texts_width(const fr_texts *t);

/* Each id but the first of a text is foretold: what is given adds to sum[0], the rest to sum[1]. No text may be longer
 * than the weigher has room for. */
fr_status fr_weigher_texts(fr_weigher *w, const fr_texts *t,
                           fr_surprise *const sum[FR_WEIGHER_SETS]);

/* e to the nats a token (or a byte); 0 where there are none. */
double fr_surprise_a_token(fr_surprise s);
double fr_surprise_a_byte(fr_surprise s);

/* ---- a file of text ---- */

typedef struct fr_perplexity_opts {
    int64_t context; /* tokens of a chunk; 0: 2048, or the model's context where that is less */
    int64_t chunks;  /* at most; 0: all */
    /* Called after each chunk; may be NULL. */
    void (*on_chunk)(void *arg, int64_t done, int64_t of);
    void *arg;
} fr_perplexity_opts;

typedef struct fr_perplexity {
    double value,
        error; /* e to the mean of the means of the chunks; its standard error, over chunks */
    int64_t chunks, tokens; /* tokens that were foretold */
    double bits_a_byte;     /* of the text that the chunks are */
    double seconds;
} fr_perplexity;
/* As papers count it: ids are cut into chunks that know nothing of each other, the tail is dropped, each chunk gives
 * the mean over its tokens but the first. */
fr_status fr_perplexity_of(const fr_model *m, fr_kv_kind pages, fr_pool *pool, const int32_t *ids,
                           int64_t count, int64_t bytes, const fr_perplexity_opts *o,
                           fr_perplexity *out);

#endif
