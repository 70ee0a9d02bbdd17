/* tokenizer_write.c: a tokenizer as the tokenizer.json of the `tokenizers` package. */
#include <string.h>

#include "text/tokenizer_parts.h"

/* Jansson takes over what it is given, also when it fails: one test at the end is enough. */

static json_t *added_tokens(const fr_tokenizer *t) {
    json_t *list = json_array();
    for (size_t i = 0; i < t->size; i++) {
        const fr_token *token = &t->tokens[i];
        uint32_t f = token->flags;
        if (!(f & (FR_TOKEN_ADDED | FR_TOKEN_USER))) continue;
        json_array_append_new(
            list,
            json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", (int)i, "content", token->name,
                      "single_word", (f & FR_TOKEN_WORD) != 0, "lstrip", (f & FR_TOKEN_LSTRIP) != 0,
                      "rstrip", (f & FR_TOKEN_RSTRIP) != 0, "normalized",
                      (f & FR_TOKEN_NORMALIZED) != 0, "special", (f & FR_TOKEN_SPECIAL) != 0));
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
        default: break; /* those are only read, and written as they were */
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

static bool in_file(const fr_tokenizer *t, int32_t id) {
    return (size_t)id < t->size && (t->tokens[id].flags & FR_TOKEN_VOCAB);
}

static json_t *merges_of(const fr_tokenizer *t) {
    json_t *merges = json_array();
    bool pairs = has_space(t);
    for (size_t i = 0; i < t->merge_count; i++) {
        const fr_merge *m = &t->merges[i];
        if (!in_file(t, m->left) || !in_file(t, m->right)) continue;
        const char *left = t->tokens[m->left].name, *right = t->tokens[m->right].name;
        json_array_append_new(merges, pairs ? json_pack("[s,s]", left, right)
                                            : json_sprintf("%s %s", left, right));
    }
    return merges;
}

static json_t *vocab_of(const fr_tokenizer *t) {
    json_t *vocab = json_object();
    for (size_t i = 0; i < t->size; i++) {
        if (!in_file(t, (int32_t)i)) continue;
        json_object_set_new(vocab, t->tokens[i].name, json_integer((json_int_t)i));
    }
    return vocab;
}

static json_t *scored_vocab_of(const fr_tokenizer *t) {
    json_t *vocab = json_array();
    for (size_t i = 0; i < t->score_count; i++) {
        json_array_append_new(vocab, json_pack("[s,f]", t->tokens[i].name, t->scores[i]));
    }
    return vocab;
}

static json_t *model(const fr_tokenizer *t) {
    const char *unknown = t->unknown >= 0 ? t->tokens[t->unknown].name : NULL;
    switch (t->model) {
    case FR_PIECES_UNIGRAM:
        return json_pack("{s:s,s:i,s:o,s:b}", "type", "Unigram", "unk_id", t->unknown, "vocab",
                         scored_vocab_of(t), "byte_fallback", t->byte_fallback);
    case FR_PIECES_WORDS:
        return json_pack("{s:s,s:s?,s:s,s:I,s:o}", "type", "WordPiece", "unk_token", unknown,
                         "continuing_subword_prefix", t->prefix, "max_input_chars_per_word",
                         (json_int_t)t->word_most, "vocab", vocab_of(t));
    default:
        return json_pack("{s:s,s:n,s:s?,s:n,s:n,s:b,s:b,s:b,s:o,s:o}", "type", "BPE", "dropout",
                         "unk_token", unknown, "continuing_subword_prefix", "end_of_word_suffix",
                         "fuse_unk", t->fuse_unknown, "byte_fallback", t->byte_fallback,
                         "ignore_merges", t->ignore_merges, "vocab", vocab_of(t), "merges",
                         merges_of(t));
    }
}

/* What was read is written as it was. */
static json_t *kept(fr_json *part, json_t *made) {
    if (!part) return made;
    json_decref(made);
    return json_incref(part);
}

fr_status fr_tokenizer_save(const fr_tokenizer *t, const char *path) {
    bool bytes = t->model == FR_PIECES_BYTES;
    if (t->unwritable) {
        return fr_fail(FR_UNSUPPORTED, "a tokenizer.json has no words for the normalizer of this "
                                       "tokenizer; keep the file that it came from");
    }
    json_t *all = json_pack(
        "{s:s,s:n,s:n,s:o,s:o,s:o,s:o,s:o,s:o}", "version", "1.0", "truncation", "padding",
        "added_tokens", added_tokens(t), "normalizer", kept(t->normalizer, json_null()),
        "pre_tokenizer", kept(t->pre_tokenizer, bytes ? pre_tokenizer(t) : json_null()),
        "post_processor", post_processor(t), "decoder",
        kept(t->decoder, bytes ? byte_level(NULL) : json_null()), "model", model(t));
    fr_status status =
        all ? fr_json_save(all, path) : fr_fail(FR_NOMEM, "out of memory for the tokenizer's JSON");
    json_decref(all);
    return status;
}
