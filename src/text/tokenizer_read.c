/* tokenizer_read.c: a tokenizer.json: its added tokens, and files and folders. Its model is read by read_model.c, what
 * is done to a text before and after by read_normal.c and read_steps.c.
 *
 * What Frugal would do otherwise than the `tokenizers` package is refused by name. "truncation" and "padding" are
 * for batches and passed over. */
#include <string.h>

#include "text/read.h"
#include "text/sentence.h"

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

/* ---- added tokens ---- */

static fr_status read_added_token(fr_tokenizer *t, const fr_json *a) {
    static const struct {
        const char *key;
        uint32_t flag;
    } switches[] = {{"special", FR_TOKEN_SPECIAL},
                    {"lstrip", FR_TOKEN_LSTRIP},
                    {"rstrip", FR_TOKEN_RSTRIP},
                    {"normalized", FR_TOKEN_NORMALIZED},
                    {"single_word", FR_TOKEN_WORD}};
    const char *name = NULL;
    int64_t id;
    bool on;
    if (!json_is_object(a)) return fr_fail(FR_FORMAT, "an added token is not an object");
    FR_TRY(fr_json_string(a, "content", NULL, &name));
    FR_TRY(fr_json_i64(a, "id", -1, &id));
    if (!name || !*name) return fr_fail(FR_FORMAT, "an added token has no \"content\"");
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

/* Where no template says it, the usual names do. */
void fr_guess_ends(fr_tokenizer *t) {
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
    FR_TRY(fr_read_model(t, fr_json_get(j, "model")));
    FR_TRY(read_added(t, fr_json_get(j, "added_tokens")));
    FR_TRY(fr_read_normalizer(t, fr_json_get(j, "normalizer")));
    FR_TRY(fr_read_steps(t, fr_json_get(j, "pre_tokenizer")));
    FR_TRY(fr_read_decoder(t, fr_json_get(j, "decoder")));
    FR_TRY(fr_tokenizer_finish(t));
    FR_TRY(fr_read_post(t, fr_json_get(j, "post_processor")));
    fr_guess_ends(t);
    return FR_OK;
}

static fr_status parse_json(const char *text, size_t bytes, const char *name, fr_tokenizer **out) {
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

static bool is_json(const char *text, size_t bytes) {
    size_t i = 0;
    while (i < bytes && strchr(" \t\r\n", text[i]) && text[i]) i++;
    return i < bytes && (text[i] == '{' || text[i] == '[');
}

static bool is_model(const char *text, size_t bytes, const char *name) {
    return fr_path_has_suffix(name, ".model") && !is_json(text, bytes);
}

fr_status fr_tokenizer_parse(const char *text, size_t bytes, const char *name, fr_tokenizer **out) {
    if (!is_model(text, bytes, name)) return parse_json(text, bytes, name, out);
    return fr_sentence_parse((const uint8_t *)text, bytes, name, out);
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

/* A tokenizer.model does not say what is put around a text; this may. */
static fr_status read_around(fr_tokenizer *t, const fr_json *config) {
    bool begin, end;
    FR_TRY(fr_json_bool(config, "add_bos_token", t->before > 0, &begin));
    FR_TRY(fr_json_bool(config, "add_eos_token", t->behind > 0, &end));
    t->before = t->behind = 0;
    if (begin && t->bos >= 0) FR_TRY(fr_tokenizer_put_around(t, t->bos, false));
    return end && t->eos >= 0 ? fr_tokenizer_put_around(t, t->eos, true) : FR_OK;
}

/* The tokenizer_config.json beside the file knows best which tokens begin and end a text. */
static fr_status read_config(fr_tokenizer *t, const char *file, bool model) {
    const char *slash = strrchr(file, '/');
    char *path = fr_format("%.*stokenizer_config.json", slash ? (int)(slash - file) + 1 : 0, file);
    if (!path) return FR_NOMEM;
    fr_json *config = NULL;
    fr_status status = FR_OK;
    if (fr_path_exists(path)) {
        status = fr_json_load(path, &config);
        if (status == FR_OK) status = read_end(t, config, "bos_token", &t->bos);
        if (status == FR_OK) status = read_end(t, config, "eos_token", &t->eos);
        if (status == FR_OK && model) status = read_around(t, config);
    }
    fr_json_free(config);
    fr_free(path);
    return status;
}

static fr_status open_file(const char *file, fr_tokenizer **out) {
    char *text;
    size_t bytes;
    FR_TRY(fr_read_file(file, FILE_MOST, &text, &bytes));
    bool model = is_model(text, bytes, file);
    fr_status status = fr_tokenizer_parse(text, bytes, file, out);
    fr_free(text);
    FR_TRY(status);
    status = read_config(*out, file, model);
    if (status == FR_OK) return FR_OK;
    fr_tokenizer_free(*out);
    *out = NULL;
    return status;
}

/* The file of a folder: the first of these that is there; where none is, the usual one is missed. */
static char *file_in(const char *folder) {
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "spiece.model",
                                        "sentencepiece.bpe.model"};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        char *file = fr_path_join(folder, names[i]);
        if (!file || fr_path_exists(file)) return file;
        fr_free(file);
    }
    return fr_path_join(folder, names[0]);
}

fr_status fr_tokenizer_open(const char *path, fr_tokenizer **out) {
    *out = NULL;
    if (fr_path_has_suffix(path, ".gguf")) return fr_open_gguf(path, out);
    char *file = fr_path_is_dir(path) ? file_in(path) : fr_strdup(path);
    if (!file) return FR_NOMEM;
    fr_status status = open_file(file, out);
    fr_free(file);
    return status;
}
