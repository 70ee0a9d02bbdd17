/* sampling_options.h: how tokens are chosen, as options that all commands share which make text. */
#ifndef FR_CLI_SAMPLING_OPTIONS_H
#define FR_CLI_SAMPLING_OPTIONS_H

#include <getopt.h>

#include "text/text.h"

enum { FR_SAMPLING_OPTIONS = 18, FR_SAMPLING_FIRST = 1000, FR_SAMPLING_MOST = 64 };

typedef struct fr_sampling_call {
    fr_sampling how;
    fr_logit_bias bias[FR_SAMPLING_MOST];
    const char *stops[FR_SAMPLING_MOST];
    size_t stop_count;
    const char *grammar, *schema; /* files */
    bool json;
} fr_sampling_call;

/* Writes them behind those of the command, with an empty one at the end. Short: t and s. */
void fr_sampling_options(const struct option *own, size_t count, struct option *all);
/* One option, taken: 0; else the exit code. Not one of these: -1. */
int fr_sampling_take(fr_sampling_call *c, const char *command, int option, const char *word);
/* Their part of a help page. */
#define FR_SAMPLING_HELP                                                                           \
    "how freely it speaks; what is given takes effect in this order:\n"                            \
    "      --bias TOKEN=X         raise (or lower) the logit of a token, by its number; may be\n"  \
    "                             said more than once; -inf: never\n"                              \
    "      --grammar FILE         only texts of this grammar, in the notation GBNF\n"              \
    "      --json                 only a JSON object\n"                                            \
    "      --schema FILE          only JSON of this JSON schema\n"                                 \
    "      --repetition-penalty X divide the logits of tokens that were there (1: nothing)\n"      \
    "      --presence-penalty X   take X from the logit of a token that was there\n"               \
    "      --frequency-penalty X  take X as often as it was there\n"                               \
    "      --penalty-window N     all three look at the last N tokens (default: 64; -1: all)\n"    \
    "      --top-k N              choose among the N likeliest tokens only (default: 0, all)\n"    \
    "      --typical-p X          those of about the usual surprise, which have the share X\n"     \
    "      --top-p X              choose among the likeliest that together have the share X\n"     \
    "      --min-p X              not those with less than the share X of the likeliest's\n"       \
    "  -t, --temperature T        0 always says the likeliest, right for sums and questions; "     \
    "0.8\n"                                                                                        \
    "                             makes each text another (default: 0)\n"                          \
    "  -s, --seed N               another choice with the same words (default: 1)\n"               \
    "      --stop TEXT            end before this text; may be said more than once\n"

/* What the text must be, made from the options; all NULL when it is free. */
typedef struct fr_form {
    fr_grammar *grammar;
    fr_token_trie *trie;
    fr_constraint *constraint;
} fr_form;
fr_status fr_form_new(const fr_sampling_call *c, const fr_tokenizer *t, const int32_t *ends,
                      int32_t count, fr_form *out);
void fr_form_free(fr_form *f);

#endif
