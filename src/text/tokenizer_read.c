/* tokenizer_read.c: a tokenizer.json: the model's vocabulary and merges, the added tokens, and what stands around a
 * text. Its pre-tokenizer is read by read_steps.c.
 *
 * What Frugal would do otherwise than the `tokenizers` package is refused by name. "truncation" and "padding" are
 * for batches and passed over. */
#include <string.h>

#include "text/read.h"

#define FILE_MOST ((size_t)512 << 20)

fr_status fr_read_type(const fr_json *j, const char *what, const char **type) {
    *type = NULL;
    if (json_is_object(j)) FR_TRY(fr_json_string(j, "type", NULL, type));
    if (*type) return FR_OK;
    return fr_fail(FR_FORMAT, "the %s is not an object with a \"type\"", what);
}

fr_status fr_read_refuse(const char *what, const char *type) {
    return fr_fail(FR_UNSUPPORTED, "the %s \"%.100s\" is not one that Frugal can do", what, type);
}

/* ---- the model ---- */

static fr_status check_model(const fr_json *m) {
    const char *type, *text;
    bool fallback;
    double dropout;
    if (!json_is_object(m)) return fr_fail(FR_FORMAT, "there is no \"model\"");
    FR_TRY(fr_json_string(m, "type", "BPE", &type)); /* old files name none */
    if (strcmp(type, "BPE") != 0) {
        return fr_fail(FR_UNSUPPORTED,
                       "the model is of the type \"%.100s\"; only byte-level BPE is read", type);
    }
    FR_TRY(fr_json_bool(m, "byte_fallback", false, &fallback));
    if (fallback) {
        return fr_fail(FR_UNSUPPORTED,
                       "the model has \"byte_fallback\" (a SentencePiece one); only "
                       "byte-level BPE is read");
    }
    FR_TRY(fr_json_f64(m, "dropout", 0, &dropout));
    if (dropout != 0) {
        return fr_fail(FR_UNSUPPORTED,
                       "the model has a \"dropout\" of %g, which would leave out "
                       "merges by chance",
                       dropout);
    }
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < FR_COUNT(affixes); i++) {
        FR_TRY(fr_json_string(m, affixes[i], "", &text));
        if (*text) {
            return fr_fail(FR_UNSUPPORTED, "the model has a \"%s\", which byte-level BPE has not",
                           affixes[i]);
        }
    }
    return FR_OK;
}

static fr_status read_vocab(fr_tokenizer *t, const fr_json *vocab) {
    if (!json_is_object(vocab)) return fr_fail(FR_FORMAT, "the model has no \"vocab\"");
    json_t *j = (json_t *)(uintptr_t)vocab; /* Jansson walks objects that it may change */
    size_t most = 0;
    for (void *at = json_object_iter(j); at; at = json_object_iter_next(j, at)) {
        const json_t *id = json_object_iter_value(at);
        if (!json_is_integer(id)) {
            return fr_fail(FR_FORMAT, "the token \"%.100s\" has no whole number as its id",
                           json_object_iter_key(at));
        }
        most = FR_MAX_OF(most, (size_t)FR_MAX_OF(json_integer_value(id), 0));
    }
    /* The ids come in any order: all must fit from the first on. */
    FR_TRY(fr_tokenizer_reserve(t, json_object_size(vocab), most));
    for (void *at = json_object_iter(j); at; at = json_object_iter_next(j, at)) {
        const char *name = json_object_iter_key(at);
        FR_TRY(fr_tokenizer_put(t, json_integer_value(json_object_iter_value(at)), name,
                                strlen(name), FR_TOKEN_VOCAB));
    }
    return FR_OK;
}

static fr_status side_of_merge(const fr_tokenizer *t, const char *name, size_t bytes, int32_t *id) {
    const fr_string *s = fr_strings_find(&t->names, name, bytes);
    *id = s ? s->value : -1;
    if (s) return FR_OK;
    return fr_fail(FR_FORMAT, "a merge has \"%.*s\", which is no token", (int)FR_MIN(bytes, 100),
                   name);
}

/* "a b" or ["a", "b"]. */
static fr_status read_merge(fr_tokenizer *t, const fr_json *m, size_t rank) {
    const char *left, *right;
    size_t left_bytes;
    if (json_is_string(m)) {
        left = json_string_value(m);
        const char *space = strchr(left, ' ');
        if (!space || strchr(space + 1, ' ')) {
            return fr_fail(FR_FORMAT, "merge %zu, \"%.100s\", is not two tokens", rank, left);
        }
        left_bytes = (size_t)(space - left);
        right = space + 1;
    } else {
        left = json_string_value(json_array_get(m, 0));
        right = json_string_value(json_array_get(m, 1));
        if (!left || !right || json_array_size(m) != 2) {
            return fr_fail(FR_FORMAT, "merge %zu is not two tokens", rank);
        }
        left_bytes = strlen(left);
    }
    int32_t a, b;
    FR_TRY(side_of_merge(t, left, left_bytes, &a));
    FR_TRY(side_of_merge(t, right, strlen(right), &b));
    return fr_tokenizer_put_merge(t, a, b);
}

static fr_status read_model(fr_tokenizer *t, const fr_json *m) {
    FR_TRY(check_model(m));
    FR_TRY(fr_json_bool(m, "ignore_merges", false, &t->ignore_merges));
    FR_TRY(read_vocab(t, fr_json_get(m, "vocab")));
    const fr_json *merges = fr_json_get(m, "merges");
    if (!json_is_array(merges)) return fr_fail(FR_FORMAT, "the model has no \"merges\"");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        FR_TRY(read_merge(t, json_array_get(merges, i), i));
    }
    return FR_OK;
}

/* ---- added tokens ---- */

static fr_status read_added_token(fr_tokenizer *t, const fr_json *a) {
    static const struct {
        const char *key;
        uint32_t flag;
    } switches[] = {{"special", FR_TOKEN_SPECIAL},
                    {"lstrip", FR_TOKEN_LSTRIP},
                    {"rstrip", FR_TOKEN_RSTRIP},
                    {"normalized", FR_TOKEN_NORMALIZED}};
    const char *name = NULL;
    int64_t id;
    bool on;
    if (!json_is_object(a)) return fr_fail(FR_FORMAT, "an added token is not an object");
    FR_TRY(fr_json_string(a, "content", NULL, &name));
    FR_TRY(fr_json_i64(a, "id", -1, &id));
    if (!name || !*name) return fr_fail(FR_FORMAT, "an added token has no \"content\"");
    FR_TRY(fr_json_bool(a, "single_word", false, &on));
    if (on) {
        return fr_fail(FR_UNSUPPORTED,
                       "the added token \"%.100s\" has \"single_word\", which "
                       "Frugal cannot do",
                       name);
    }
    uint32_t flags = FR_TOKEN_ADDED;
    for (size_t i = 0; i < FR_COUNT(switches); i++) {
        FR_TRY(fr_json_bool(a, switches[i].key, false, &on));
        if (on) flags |= switches[i].flag;
    }
    return fr_tokenizer_put(t, id, name, strlen(name), flags);
}

static fr_status read_added(fr_tokenizer *t, const fr_json *list) {
    if (!list || json_is_null(list)) return FR_OK;
    if (!json_is_array(list)) return fr_fail(FR_FORMAT, "\"added_tokens\" is not a list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        FR_TRY(read_added_token(t, json_array_get(list, i)));
    }
    return FR_OK;
}

/* ---- the whole ---- */

static fr_status read_normalizer(fr_tokenizer *t, const fr_json *n) {
    const char *type;
    if (!n || json_is_null(n)) return FR_OK;
    FR_TRY(fr_read_type(n, "normalizer", &type));
    t->nfc = strcmp(type, "NFC") == 0;
    if (t->nfc) return FR_OK;
    return fr_read_refuse("normalizer", type);
}

static fr_status read_decoder(const fr_json *d) {
    const char *type;
    if (!d || json_is_null(d)) return FR_OK;
    FR_TRY(fr_read_type(d, "decoder", &type));
    if (strcmp(type, "ByteLevel") != 0) return fr_read_refuse("decoder", type);
    return FR_OK;
}

/* Where no template says it, the usual names do. */
static void guess_ends(fr_tokenizer *t) {
    static const char *const begins[] = {"<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>"};
    static const char *const ends[] = {"</s>",  "<|end_of_text|>", "<|endoftext|>",
                                       "<eos>", "<|im_end|>",      "<|eot_id|>"};
    for (size_t i = 0; t->bos < 0 && i < FR_COUNT(begins); i++) {
        t->bos = fr_tokenizer_find(t, begins[i]);
    }
    for (size_t i = 0; t->eos < 0 && i < FR_COUNT(ends); i++) {
        t->eos = fr_tokenizer_find(t, ends[i]);
    }
}

static fr_status read_all(fr_tokenizer *t, const fr_json *j) {
    if (!json_is_object(j)) return fr_fail(FR_FORMAT, "this is not a tokenizer.json");
    FR_TRY(read_model(t, fr_json_get(j, "model")));
    FR_TRY(read_added(t, fr_json_get(j, "added_tokens")));
    FR_TRY(read_normalizer(t, fr_json_get(j, "normalizer")));
    FR_TRY(fr_read_steps(t, fr_json_get(j, "pre_tokenizer")));
    FR_TRY(read_decoder(fr_json_get(j, "decoder")));
    FR_TRY(fr_tokenizer_finish(t));
    FR_TRY(fr_read_post(t, fr_json_get(j, "post_processor")));
    guess_ends(t);
    return FR_OK;
}

fr_status fr_tokenizer_parse(const char *text, size_t bytes, const char *name, fr_tokenizer **out) {
    fr_json *j = NULL;
    fr_tokenizer *t = NULL;
    *out = NULL;
    FR_TRY(fr_json_parse(text, bytes, name, &j));
    fr_status status = fr_tokenizer_new(&t);
    if (status == FR_OK) status = read_all(t, j);
    fr_json_free(j);
    if (status == FR_OK) {
        *out = t;
        return FR_OK;
    }
    fr_tokenizer_free(t);
    return status == FR_NOMEM ? status : fr_fail_in(status, "%s", name);
}

/* ---- files ---- */

/* "bos_token": "<s>", or {"content": "<s>"}; what is no token here does not count. */
static fr_status read_end(const fr_tokenizer *t, const fr_json *config, const char *key,
                          int32_t *id) {
    const fr_json *named = fr_json_get(config, key);
    const char *name = NULL;
    if (json_is_object(named)) {
        FR_TRY(fr_json_string(named, "content", NULL, &name));
    } else {
        FR_TRY(fr_json_string(config, key, NULL, &name));
    }
    int32_t found = name ? fr_tokenizer_find(t, name) : -1;
    if (found >= 0) *id = found;
    return FR_OK;
}

/* The tokenizer_config.json beside the file knows best which tokens begin and end a text. */
static fr_status read_config(fr_tokenizer *t, const char *file) {
    const char *slash = strrchr(file, '/');
    char *path = fr_format("%.*stokenizer_config.json", slash ? (int)(slash - file) + 1 : 0, file);
    if (!path) return FR_NOMEM;
    fr_json *config = NULL;
    fr_status status = FR_OK;
    if (fr_path_exists(path)) {
        status = fr_json_load(path, &config);
        if (status == FR_OK) status = read_end(t, config, "bos_token", &t->bos);
        if (status == FR_OK) status = read_end(t, config, "eos_token", &t->eos);
    }
    fr_json_free(config);
    fr_free(path);
    return status;
}

static fr_status open_file(const char *file, fr_tokenizer **out) {
    char *text;
    size_t bytes;
    FR_TRY(fr_read_file(file, FILE_MOST, &text, &bytes));
    fr_status status = fr_tokenizer_parse(text, bytes, file, out);
    fr_free(text);
    FR_TRY(status);
    status = read_config(*out, file);
    if (status == FR_OK) return FR_OK;
    fr_tokenizer_free(*out);
    *out = NULL;
    return status;
}

fr_status fr_tokenizer_open(const char *path, fr_tokenizer **out) {
    *out = NULL;
    char *file = fr_path_is_dir(path) ? fr_path_join(path, "tokenizer.json") : fr_strdup(path);
    if (!file) return FR_NOMEM;
    fr_status status = open_file(file, out);
    fr_free(file);
    return status;
}
