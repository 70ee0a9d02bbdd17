/* sampling_options.c: see sampling_options.h. */
#include "cli/sampling_options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum {
    TOP_K = FR_SAMPLING_FIRST,
    TOP_P,
    MIN_P,
    TYPICAL_P,
    REPEAT,
    PRESENCE,
    FREQUENCY,
    WINDOW,
    BIAS,
    STOP,
    GRAMMAR,
    SCHEMA,
    JSON
};

static const struct option options[] = {
    {"temperature", required_argument, NULL, 't'},
    {"seed", required_argument, NULL, 's'},
    {"top-k", required_argument, NULL, TOP_K},
    {"top-p", required_argument, NULL, TOP_P},
    {"min-p", required_argument, NULL, MIN_P},
    {"typical-p", required_argument, NULL, TYPICAL_P},
    {"repetition-penalty", required_argument, NULL, REPEAT},
    {"presence-penalty", required_argument, NULL, PRESENCE},
    {"frequency-penalty", required_argument, NULL, FREQUENCY},
    {"penalty-window", required_argument, NULL, WINDOW},
    {"bias", required_argument, NULL, BIAS},
    {"stop", required_argument, NULL, STOP},
    {"grammar", required_argument, NULL, GRAMMAR},
    {"schema", required_argument, NULL, SCHEMA},
    {"json", no_argument, NULL, JSON},
};
_Static_assert(FR_COUNT(options) < FR_SAMPLING_OPTIONS, "room for all, and one that is empty");

typedef struct limits {
    int option;
    double low, high;
    bool whole;
    const char *what;
} limits;
static const limits numbers[] = {
    {'t', 0, 100, false, "a temperature from 0 to 100"},
    {'s', 0, 1e15, true, "a seed, which is whole and from 0 to 10^15"},
    {TOP_K, 0, 1e9, true, "a number of tokens from 0 (all) to 10^9"},
    {TOP_P, 0, 1, false, "a share from 0 to 1"},
    {MIN_P, 0, 1, false, "a share from 0 to 1"},
    {TYPICAL_P, 0, 1, false, "a share from 0 to 1"},
    {REPEAT, 0.01, 100, false, "a penalty from 0.01 to 100"},
    {PRESENCE, -100, 100, false, "a penalty from -100 to 100"},
    {FREQUENCY, -100, 100, false, "a penalty from -100 to 100"},
    {WINDOW, -1, 1e9, true, "a number of tokens, or -1 for all"},
};

void fr_sampling_options(const struct option *own, size_t count, struct option *all) {
    memcpy(all, own, count * sizeof *own);
    memcpy(all + count, options, sizeof options);
    all[count + FR_COUNT(options)] = (struct option){0};
}

static int take_bias(fr_sampling_call *c, const char *command, const char *word) {
    char *end;
    double id = strtod(word, &end), v = 0;
    bool good = end != word && *end == '=' && id >= 0 && id < 1e9 && id == floor(id);
    if (good && !strcmp(end + 1, "-inf"))
        v = -INFINITY;
    else
        good = good && fr_cli_number(end + 1, -1e6, 1e6, &v);
    if (!good)
        return fr_cli_usage(command, "\"%s\" is no bias: the number of a token, =, what to add",
                            word);
    if (c->how.biases == FR_SAMPLING_MOST)
        return fr_cli_usage(command, "there are more than %d biases", FR_SAMPLING_MOST);
    c->bias[c->how.biases++] = (fr_logit_bias){(int32_t)id, (float)v};
    c->how.bias = c->bias;
    return 0;
}

static int take_stop(fr_sampling_call *c, const char *command, const char *word) {
    if (!*word) return fr_cli_usage(command, "--stop wants a text that is not empty");
    if (c->stop_count == FR_SAMPLING_MOST)
        return fr_cli_usage(command, "there are more than %d texts to stop at", FR_SAMPLING_MOST);
    c->stops[c->stop_count++] = word;
    return 0;
}

static int take_form(fr_sampling_call *c, const char *command, int option, const char *word) {
    if (c->grammar || c->schema || c->json)
        return fr_cli_usage(command, "one of --grammar, --schema and --json is enough");
    if (option == GRAMMAR) c->grammar = word;
    if (option == SCHEMA) c->schema = word;
    c->json = option == JSON;
    return 0;
}

int fr_sampling_take(fr_sampling_call *c, const char *command, int option, const char *word) {
    double v = 0;
    for (size_t i = 0; i < FR_COUNT(numbers); i++) {
        const limits *l = &numbers[i];
        if (l->option != option) continue;
        if (!fr_cli_number(word, l->low, l->high, &v) || (l->whole && v != floor(v)))
            return fr_cli_usage(command, "\"%s\" is not %s", word, l->what);
    }
    switch (option) {
    case 't': c->how.temperature = (float)v; return 0;
    case 's': c->how.seed = (uint64_t)v; return 0;
    case TOP_K: c->how.top_k = (int32_t)v; return 0;
    case TOP_P: c->how.top_p = (float)v; return 0;
    case MIN_P: c->how.min_p = (float)v; return 0;
    case TYPICAL_P: c->how.typical_p = (float)v; return 0;
    case REPEAT: c->how.repetition_penalty = (float)v; return 0;
    case PRESENCE: c->how.presence_penalty = (float)v; return 0;
    case FREQUENCY: c->how.frequency_penalty = (float)v; return 0;
    case WINDOW: c->how.penalty_window = (int32_t)v; return 0;
    case BIAS: return take_bias(c, command, word);
    case STOP: return take_stop(c, command, word);
    case GRAMMAR:
    case SCHEMA:
    case JSON: return take_form(c, command, option, word);
    default: return -1;
    }
}

/* ---- the form of a text ---- */

static fr_status read_grammar(const fr_sampling_call *c, fr_grammar **out) {
    enum { MOST = 16 << 20 };
    const char *path = c->grammar ? c->grammar : c->schema;
    char *text;
    size_t bytes;
    if (c->json) return fr_grammar_json(out);
    FR_TRY(fr_read_file(path, MOST, &text, &bytes));
    fr_status st = c->grammar ? fr_grammar_parse(text, bytes, path, out)
                              : fr_grammar_schema(text, bytes, path, out);
    fr_free(text);
    return st;
}

fr_status fr_form_new(const fr_sampling_call *c, const fr_tokenizer *t, const int32_t *ends,
                      int32_t count, fr_form *out) {
    *out = (fr_form){0};
    if (!c->grammar && !c->schema && !c->json) return FR_OK;
    fr_status st = read_grammar(c, &out->grammar);
    if (!st) st = fr_token_trie_new(t, &out->trie);
    if (!st) st = fr_constraint_new(out->grammar, out->trie, ends, count, &out->constraint);
    if (st) fr_form_free(out);
    return st;
}

void fr_form_free(fr_form *f) {
    fr_constraint_free(f->constraint);
    fr_token_trie_free(f->trie);
    fr_grammar_free(f->grammar);
    *f = (fr_form){0};
}
