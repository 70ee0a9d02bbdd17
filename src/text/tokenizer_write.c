/* tokenizer_write.c: a tokenizer as the tokenizer.json of the `tokenizers` package. */
#include <string.h>

#include "text/tokenizer_parts.h"

/* Jansson takes over what it is given, also when it fails: one test at the end is enough. */

static json_t *added_tokens(const fr_tokenizer *t) {
    json_t *list = json_array();
    for (size_t i = 0; i < t->size; i++) {
        const fr_token *token = &t->tokens[i];
        uint32_t f = token->flags;
        if (!(f & FR_TOKEN_ADDED)) continue;
        json_array_append_new(list, json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", (int)i,
                                              "content", token->name, "single_word", 0, "lstrip",
                                              (f & FR_TOKEN_LSTRIP) != 0, "rstrip",
                                              (f & FR_TOKEN_RSTRIP) != 0, "normalized",
                                              (f & FR_TOKEN_NORMALIZED) != 0, "special",
                                              (f & FR_TOKEN_SPECIAL) != 0));
    }
    return list;
}

static json_t *byte_level(const fr_step *s) {
    return json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space",
                     s && s->prefix_space, "trim_offsets", 1, "use_regex", !s || s->flag);
}

static json_t *pre_tokenizer(const fr_tokenizer *t) {
    json_t *list = json_array();
    for (size_t i = 0; i < t->step_count; i++) {
        const fr_step *s = &t->steps[i];
        json_t *step = NULL;
        switch (s->kind) {
        case FR_STEP_SPLIT:
            step = json_pack("{s:s,s:{s:s},s:s,s:b}", "type", "Split", "pattern",
                             s->literal ? "String" : "Regex", s->source, "behavior",
                             fr_cut_names[s->cut], "invert", s->invert);
            break;
        case FR_STEP_DIGITS:
            step = json_pack("{s:s,s:b}", "type", "Digits", "individual_digits", s->flag);
            break;
        case FR_STEP_BYTES: step = byte_level(s); break;
        }
        json_array_append_new(list, step);
    }
    return json_pack("{s:s,s:o}", "type", "Sequence", "pretokenizers", list);
}

static void add_template_token(const fr_tokenizer *t, json_t *list, json_t *all, int32_t id,
                               int type) {
    const char *name = t->tokens[id].name;
    json_array_append_new(list,
                          json_pack("{s:{s:s,s:i}}", "SpecialToken", "id", name, "type_id", type));
    json_object_set_new(all, name,
                        json_pack("{s:s,s:[i],s:[s]}", "id", name, "ids", id, "tokens", name));
}

static void add_template_text(const fr_tokenizer *t, json_t *list, json_t *all, const char *text,
                              int type) {
    for (size_t i = 0; i < t->before; i++) add_template_token(t, list, all, t->around[i], type);
    json_array_append_new(list,
                          json_pack("{s:{s:s,s:i}}", "Sequence", "id", text, "type_id", type));
    for (size_t i = t->before; i < t->before + t->behind; i++) {
        add_template_token(t, list, all, t->around[i], type);
    }
}

/* Between the two texts of a pair stands the end, if no end stands there anyway: which token it is, the file says
 * nowhere else. */
static json_t *post_processor(const fr_tokenizer *t) {
    if (!t->before && !t->behind) return json_null();
    json_t *single = json_array(), *pair = json_array(), *all = json_object();
    add_template_text(t, single, all, "A", 0);
    add_template_text(t, pair, all, "A", 0);
    if (t->eos >= 0 && !t->behind) add_template_token(t, pair, all, t->eos, 0);
    add_template_text(t, pair, all, "B", 1);
    return json_pack("{s:s,s:o,s:o,s:o}", "type", "TemplateProcessing", "single", single, "pair",
                     pair, "special_tokens", all);
}

/* Merges are spelled "a b", which every version reads, unless that would not be clear. */
static bool has_space(const fr_tokenizer *t) {
    for (size_t i = 0; i < t->merge_count; i++) {
        if (strchr(t->tokens[t->merges[i].id].name, ' ')) return true;
    }
    return false;
}

static json_t *model(const fr_tokenizer *t) {
    json_t *vocab = json_object(), *merges = json_array();
    for (size_t i = 0; i < t->size; i++) {
        if (!(t->tokens[i].flags & FR_TOKEN_VOCAB)) continue;
        json_object_set_new(vocab, t->tokens[i].name, json_integer((json_int_t)i));
    }
    bool pairs = has_space(t);
    for (size_t i = 0; i < t->merge_count; i++) {
        const char *left = t->tokens[t->merges[i].left].name;
        const char *right = t->tokens[t->merges[i].right].name;
        json_array_append_new(merges, pairs ? json_pack("[s,s]", left, right)
                                            : json_sprintf("%s %s", left, right));
    }
    return json_pack("{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:b,s:o,s:o}", "type", "BPE", "dropout",
                     "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                     "byte_fallback", 0, "ignore_merges", t->ignore_merges, "vocab", vocab,
                     "merges", merges);
}

fr_status fr_tokenizer_save(const fr_tokenizer *t, const char *path) {
    json_t *normalizer = t->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
    json_t *all = json_pack("{s:s,s:n,s:n,s:o,s:o,s:o,s:o,s:o,s:o}", "version", "1.0", "truncation",
                            "padding", "added_tokens", added_tokens(t), "normalizer", normalizer,
                            "pre_tokenizer", pre_tokenizer(t), "post_processor", post_processor(t),
                            "decoder", byte_level(NULL), "model", model(t));
    fr_status status =
        all ? fr_json_save(all, path) : fr_fail(FR_NOMEM, "out of memory for the tokenizer's JSON");
    json_decref(all);
    return status;
}
