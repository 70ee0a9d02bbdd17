/* perplexity.h: the part of `frugal eval` that weighs a file of text. */
#ifndef FR_CLI_PERPLEXITY_H
#define FR_CLI_PERPLEXITY_H

#include "eval/eval.h"

typedef struct fr_weighing {
    const char *model, *file, *json; /* json may be NULL */
    const char *kv;                  /* "bf16", "f16", "8" or "4"; NULL: what the model says */
    fr_perplexity_opts o;
} fr_weighing;

/* Whether the word names a way to keep keys and values. */
bool fr_kv_of_word(const char *word, fr_kv_kind *out);
fr_status fr_weigh_file(fr_weighing *w);

#endif
