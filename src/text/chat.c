/* chat.c: see chat.h. */
#include "text/chat.h"

#include <stdio.h>
#include <string.h>

#include "text/tokenizer_parts.h"

/* Put into what people say, inside of the names of special tokens; where it stands, the text is cut before it is made
 * tokens. It is no character of any text (Unicode keeps it free for such uses). */
#define CUT "\xEF\xB7\x90"

struct fr_chat {
    const fr_tokenizer *t;
    fr_template *template;
    char *source;
    char *bos, *eos;
    bool plain;
    int32_t ends[8];
    int32_t end_count;
};

/* ---- where the template comes from ---- */

static char *token_name(const fr_tokenizer *t, int32_t id) {
    if (id < 0 || (size_t)id >= t->size || !t->tokens[id].name) return fr_strdup("");
    return fr_format("%.*s", (int)t->tokens[id].name_bytes, t->tokens[id].name);
}

/* A name in tokenizer_config.json: a text, or an object with one. */
static char *configured(const fr_json *config, const char *key, const fr_tokenizer *t, int32_t id) {
    const fr_json *j = json_object_get(config, key);
    if (json_is_object(j)) j = json_object_get(j, "content");
    return json_is_string(j) ? fr_strdup(json_string_value(j)) : token_name(t, id);
}

/* One text, or several with names: the one for talk. */
static const char *of_config(const fr_json *config) {
    const fr_json *j = json_object_get(config, "chat_template");
    for (size_t i = 0; json_is_array(j) && i < json_array_size(j); i++) {
        const fr_json *one = json_array_get(j, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && !strcmp(name, "default"))
            return json_string_value(json_object_get(one, "template"));
    }
    return json_string_value(j);
}

/* By tokens that only one family has. */
static const char *family_of(const fr_tokenizer *t) {
    static const char *const marks[][2] = {{"<|im_start|>", "chatml"},
                                           {"<|start_header_id|>", "llama3"},
                                           {"<start_of_turn>", "gemma"},
                                           {"[INST]", "mistral"},
                                           {"<|assistant|>", "phi3"}};
    for (size_t i = 0; i < FR_COUNT(marks); i++)
        if (fr_tokenizer_find(t, marks[i][0]) >= 0) return marks[i][1];
    return "plain";
}

static fr_status parse(fr_chat *c, const char *text, size_t bytes, const char *source) {
    if (!(c->source = fr_strdup(source))) return FR_NOMEM;
    c->plain = !strcmp(source, "plain");
    return fr_template_parse(text, bytes, source, &c->template);
}

static fr_status from_file(fr_chat *c, const char *path) {
    enum { MOST = 4 << 20 };
    char *text;
    size_t bytes;
    FR_TRY(fr_read_file(path, MOST, &text, &bytes));
    fr_status st = parse(c, text, bytes, path);
    fr_free(text);
    return st;
}

static fr_status beside(fr_chat *c, const fr_store *model, bool *there) {
    const char *path = fr_store_path(model);
    char *file = fr_path_is_dir(path) ? fr_path_join(path, "chat_template.jinja") : NULL;
    *there = file && fr_path_exists(file);
    fr_status st = *there ? from_file(c, file) : FR_OK;
    fr_free(file);
    return st;
}

static fr_status find_template(fr_chat *c, const fr_store *model, const char *wanted) {
    bool there = false;
    const char *text;
    if (wanted && (text = fr_chat_known(wanted))) return parse(c, text, strlen(text), wanted);
    if (wanted && !fr_path_exists(wanted))
        return fr_fail(FR_INVALID,
                       "%s is no file with a chat template, and none of chatml, llama2, llama3, "
                       "mistral, gemma, phi3, plain.",
                       wanted);
    if (wanted) return from_file(c, wanted);
    FR_TRY(beside(c, model, &there));
    if (there) return FR_OK;
    text = of_config(fr_store_config(model, "tokenizer_config.json"));
    if (text) return parse(c, text, strlen(text), "tokenizer_config.json");
    text = json_string_value(json_object_get(fr_store_metadata(model), "tokenizer.chat_template"));
    if (text) return parse(c, text, strlen(text), "tokenizer.chat_template");
    const char *family = family_of(c->t);
    text = fr_chat_known(family);
    return parse(c, text, strlen(text), family);
}

/* ---- what ends an answer ---- */

static void add_end(fr_chat *c, int64_t id) {
    if (id < 0 || id >= fr_tokenizer_size(c->t) || c->end_count == FR_COUNT(c->ends)) return;
    for (int32_t i = 0; i < c->end_count; i++)
        if (c->ends[i] == id) return;
    c->ends[c->end_count++] = (int32_t)id;
}

static void find_ends(fr_chat *c, const fr_store *model) {
    static const char *const marks[] = {"<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>",
                                        "<|eom_id|>"};
    const fr_json *ids =
        json_object_get(fr_store_config(model, "generation_config.json"), "eos_token_id");
    add_end(c, fr_tokenizer_eos(c->t));
    if (json_is_integer(ids)) add_end(c, json_integer_value(ids));
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (json_is_integer(json_array_get(ids, i)))
            add_end(c, json_integer_value(json_array_get(ids, i)));
    for (size_t i = 0; i < FR_COUNT(marks) && !c->plain; i++)
        add_end(c, fr_tokenizer_find(c->t, marks[i]));
}

fr_status fr_chat_new(const fr_store *model, const fr_tokenizer *t, const char *template,
                      fr_chat **out) {
    *out = NULL;
    fr_chat *c = fr_alloc(FR_MEM_OTHER, sizeof *c);
    if (!c) return FR_NOMEM;
    c->t = t;
    const fr_json *config = fr_store_config(model, "tokenizer_config.json");
    c->bos = configured(config, "bos_token", t, fr_tokenizer_bos(t));
    c->eos = configured(config, "eos_token", t, fr_tokenizer_eos(t));
    fr_status st = c->bos && c->eos ? find_template(c, model, template) : FR_NOMEM;
    if (!st) find_ends(c, model);
    if (st)
        fr_chat_free(c);
    else
        *out = c;
    return st;
}

void fr_chat_free(fr_chat *c) {
    if (!c) return;
    fr_template_free(c->template);
    fr_free(c->source);
    fr_free(c->bos);
    fr_free(c->eos);
    fr_free(c);
}

const char *fr_chat_source(const fr_chat *c) {
    return c->source;
}

bool fr_chat_is_plain(const fr_chat *c) {
    return c->plain;
}

const int32_t *fr_chat_ends(const fr_chat *c, int32_t *count) {
    *count = c->end_count;
    return c->ends;
}

/* ---- what was said ---- */

/* Bytes of the special token's name that a text begins with; 0: none. */
static size_t special_at(const fr_tokenizer *t, const char *text, size_t bytes) {
    size_t longest = 0;
    for (size_t i = 0; i < t->size; i++) {
        const fr_token *k = &t->tokens[i];
        if (!(k->flags & FR_TOKEN_SPECIAL) || !k->name || k->name_bytes > bytes) continue;
        if (k->name_bytes > longest && !memcmp(k->name, text, k->name_bytes))
            longest = k->name_bytes;
    }
    return longest;
}

/* Most special tokens begin with one of few bytes, and most texts have none of those. */
static void first_bytes(const fr_tokenizer *t, bool starts[256]) {
    memset(starts, 0, 256 * sizeof *starts);
    for (size_t i = 0; i < t->size; i++)
        if ((t->tokens[i].flags & FR_TOKEN_SPECIAL) && t->tokens[i].name && t->tokens[i].name_bytes)
            starts[(uint8_t)t->tokens[i].name[0]] = true;
}

static fr_json *guarded_text(const fr_tokenizer *t, const char *text, size_t bytes) {
    bool starts[256];
    char *out = fr_alloc_array(FR_MEM_OTHER, 4, bytes + 1);
    size_t n = 0;
    if (!out) return NULL;
    first_bytes(t, starts);
    for (size_t i = 0; i < bytes; i++) {
        if (bytes - i >= 3 && !memcmp(text + i, CUT, 3)) {
            i += 2;
            continue;
        }
        bool special = starts[(uint8_t)text[i]] && special_at(t, text + i, bytes - i);
        out[n++] = text[i];
        while (i + 1 < bytes && ((uint8_t)text[i + 1] & 0xC0) == 0x80) out[n++] = text[++i];
        if (special) {
            memcpy(out + n, CUT, 3);
            n += 3;
        }
    }
    fr_json *j = json_stringn(out, n);
    fr_free(out);
    return j;
}

/* A copy in which the texts of people's messages are guarded. */
static fr_json *guarded(const fr_tokenizer *t, const fr_json *j, bool inside) {
    if (json_is_string(j) && inside)
        return guarded_text(t, json_string_value(j), json_string_length(j));
    if (json_is_array(j)) {
        fr_json *list = json_array();
        for (size_t i = 0; i < json_array_size(j); i++)
            json_array_append_new(list, guarded(t, json_array_get(j, i), inside));
        return list;
    }
    if (!json_is_object(j)) return json_deep_copy(j);
    fr_json *object = json_object(), *value;
    const char *key;
    json_object_foreach((fr_json *)(uintptr_t)j, key, value)
        json_object_set_new(object, key, guarded(t, value, inside || !strcmp(key, "content")));
    return object;
}

static fr_status apply(const fr_chat *c, const fr_json *messages, const fr_json *extra, bool answer,
                       bool guard, char **text, size_t *bytes) {
    fr_json *v = extra ? json_deep_copy(extra) : json_object();
    fr_json *list = guard ? guarded(c->t, messages, false) : json_deep_copy(messages);
    *text = NULL;
    bool good = v && list && !json_object_set_new(v, "messages", list) &&
                !json_object_set_new(v, "bos_token", json_string(c->bos)) &&
                !json_object_set_new(v, "eos_token", json_string(c->eos)) &&
                !json_object_set_new(v, "add_generation_prompt", json_boolean(answer));
    fr_status st = good ? fr_template_apply(c->template, v, 0, text, bytes)
                        : fr_fail(FR_NOMEM, "The conversation does not fit into memory.");
    fr_json_free(v);
    return st;
}

fr_status fr_chat_text(const fr_chat *c, const fr_json *messages, const fr_json *extra, bool answer,
                       char **text, size_t *bytes) {
    return apply(c, messages, extra, answer, false, text, bytes);
}

fr_status fr_chat_tokens(const fr_chat *c, const fr_json *messages, const fr_json *extra,
                         bool answer, fr_tokens *out) {
    char *text;
    size_t bytes;
    FR_TRY(apply(c, messages, extra, answer, true, &text, &bytes));
    unsigned how = FR_ENCODE_SPECIAL | (c->plain ? FR_ENCODE_BOS : 0);
    fr_status st = FR_OK;
    const char *at = text, *end = text + bytes;
    do {
        const char *cut = memmem(at, (size_t)(end - at), CUT, 3), *to = cut ? cut : end;
        st = fr_tokenizer_encode(c->t, at, (size_t)(to - at), how, out);
        how = FR_ENCODE_SPECIAL;
        at = cut ? cut + 3 : NULL;
    } while (at && !st);
    fr_free(text);
    return st;
}
