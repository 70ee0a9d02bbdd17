/* perplexity.h: the part of `frugal eval` that weighs a file of text. */
#ifndef FR_CLI_PERPLEXITY_H
#define FR_CLI_PERPLEXITY_H

#include "eval/eval.h"

typedef struct fr_weighing {
    const char *model, *file, *json; /* json may be NULL */
    const char *kv;                  /* as fr_cli_kv has it; NULL: what the model says */
    fr_perplexity_opts o;
} fr_weighing;

fr_status fr_weigh_file(fr_weighing *w);

#endif
