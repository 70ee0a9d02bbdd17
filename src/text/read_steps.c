/* read_steps.c: of a tokenizer.json, the pre-tokenizer (how a text is cut) and the post-processor (what stands around
 * it). */
#include <string.h>

#include "text/read.h"

/* ---- pre-tokenizer ---- */

static fr_status read_cut(const fr_json *j, const char *what, const char *usual, fr_cut *cut) {
    const char *name;
    FR_TRY(fr_json_string(j, "behavior", usual, &name));
    *cut = 0;
    while (*cut < FR_CUT_COUNT && strcmp(fr_cut_names[*cut], name) != 0) ++*cut;
    return *cut == FR_CUT_COUNT ? fr_read_refuse(what, name) : FR_OK;
}

static fr_status read_split(fr_tokenizer *t, const fr_json *j) {
    fr_step s = {.kind = FR_STEP_SPLIT};
    const fr_json *pattern = fr_json_get(j, "pattern");
    FR_TRY(fr_json_string(pattern, "Regex", NULL, &s.source));
    if (!s.source) {
        FR_TRY(fr_json_string(pattern, "String", NULL, &s.source));
        s.literal = true;
    }
    if (!s.source) return fr_fail(FR_FORMAT, "a Split has neither a \"Regex\" nor a \"String\"");
    FR_TRY(fr_json_bool(j, "invert", false, &s.invert));
    FR_TRY(read_cut(j, "behavior of a Split", "", &s.cut));
    return fr_tokenizer_put_step(t, &s);
}

static fr_status read_digits(fr_tokenizer *t, const fr_json *j) {
    fr_step s = {.kind = FR_STEP_DIGITS};
    FR_TRY(fr_json_bool(j, "individual_digits", false, &s.flag));
    s.source = s.flag ? "\\p{N}" : "\\p{N}+";
    return fr_tokenizer_put_step(t, &s);
}

static fr_status read_byte_level(fr_tokenizer *t, const fr_json *j) {
    fr_step s = {.kind = FR_STEP_BYTES};
    FR_TRY(fr_json_bool(j, "add_prefix_space", true, &s.prefix_space));
    FR_TRY(fr_json_bool(j, "use_regex", true, &s.flag));
    if (s.flag) s.source = FR_GPT2_PATTERN;
    return fr_tokenizer_put_step(t, &s);
}

static fr_status read_metaspace(fr_tokenizer *t, const fr_json *j) {
    fr_step s = {.kind = FR_STEP_META};
    FR_TRY(fr_json_string(j, "replacement", FR_SPACE, &s.mark));
    FR_TRY(fr_json_bool(j, "split", true, &s.flag));
    FR_TRY(fr_read_put(j, &s.put));
    if (!*s.mark) return fr_fail(FR_FORMAT, "the pre-tokenizer Metaspace has no mark");
    return fr_tokenizer_put_step(t, &s);
}

/* Those that have a place of their own in the package, and here are cuts at a kind of character. */
static fr_status read_plain_step(fr_tokenizer *t, const fr_json *j, const char *type, bool *known) {
    fr_step space = {.kind = FR_STEP_SPACE, .cut = FR_CUT_REMOVED};
    fr_step marks = {.kind = FR_STEP_MARKS, .cut = FR_CUT_ISOLATED};
    *known = true;
    if (strcmp(type, "WhitespaceSplit") == 0) return fr_tokenizer_put_step(t, &space);
    if (strcmp(type, "BertPreTokenizer") == 0) {
        FR_TRY(fr_tokenizer_put_step(t, &space));
        return fr_tokenizer_put_step(t, &marks);
    }
    if (strcmp(type, "Punctuation") == 0) {
        FR_TRY(read_cut(j, "behavior of Punctuation", "Isolated", &marks.cut));
        return fr_tokenizer_put_step(t, &marks);
    }
    fr_step words = {.cut = FR_CUT_REMOVED,
                     .invert = true,
                     .source = "[\\w\\x{200C}\\x{200D}]+|[^\\w\\s\\x{200C}\\x{200D}]+"};
    if (strcmp(type, "Whitespace") == 0) return fr_tokenizer_put_step(t, &words);
    fr_step at = {.cut = FR_CUT_REMOVED, .literal = true};
    if (strcmp(type, "CharDelimiterSplit") == 0) {
        FR_TRY(fr_json_string(j, "delimiter", " ", &at.source));
        return fr_tokenizer_put_step(t, &at);
    }
    *known = false;
    return FR_OK;
}

static fr_status read_step(fr_tokenizer *t, const fr_json *j, int depth) {
    const char *type;
    FR_TRY(fr_read_type(j, "pre-tokenizer", &type));
    bool bytes_done = t->step_count && t->steps[t->step_count - 1].kind == FR_STEP_BYTES;
    if (strcmp(type, "Sequence") == 0) {
        const fr_json *list = fr_json_get(j, "pretokenizers");
        if (depth || !json_is_array(list)) {
            return fr_fail(FR_FORMAT, "the pre-tokenizer Sequence is not one list");
        }
        for (size_t i = 0; i < json_array_size(list); i++) {
            FR_TRY(read_step(t, json_array_get(list, i), 1));
        }
        return FR_OK;
    }
    if (bytes_done) {
        return fr_fail(FR_UNSUPPORTED, "the pre-tokenizer \"%.100s\" stands behind ByteLevel",
                       type);
    }
    if (strcmp(type, "Split") == 0) return read_split(t, j);
    if (strcmp(type, "Digits") == 0) return read_digits(t, j);
    if (strcmp(type, "ByteLevel") == 0) return read_byte_level(t, j);
    if (strcmp(type, "Metaspace") == 0) return read_metaspace(t, j);
    bool known;
    FR_TRY(read_plain_step(t, j, type, &known));
    return known ? FR_OK : fr_read_refuse("pre-tokenizer", type);
}

/* Where pieces are bytes, no step may put marks or cut by what only other models have. */
static fr_status check_steps(const fr_tokenizer *t, bool bytes) {
    int metas = 0;
    for (size_t i = 0; i < t->step_count; i++) metas += t->steps[i].kind == FR_STEP_META;
    if (bytes && t->model != FR_PIECES_CHARS) {
        return fr_fail(FR_UNSUPPORTED, "the pre-tokenizer ByteLevel stands before a model that is "
                                       "not BPE");
    }
    if (metas <= !bytes) return FR_OK;
    return fr_fail(FR_UNSUPPORTED, "the pre-tokenizer \"Metaspace\" stands before ByteLevel or "
                                   "another Metaspace");
}

fr_status fr_read_steps(fr_tokenizer *t, const fr_json *pre_tokenizer) {
    if (pre_tokenizer && !json_is_null(pre_tokenizer)) {
        t->pre_tokenizer = json_incref((json_t *)(uintptr_t)pre_tokenizer);
        FR_TRY(read_step(t, pre_tokenizer, 0));
    }
    bool bytes = t->step_count && t->steps[t->step_count - 1].kind == FR_STEP_BYTES;
    FR_TRY(check_steps(t, bytes));
    if (bytes) t->model = FR_PIECES_BYTES;
    return FR_OK;
}

/* ---- post-processor ---- */

static fr_status token_named(const fr_tokenizer *t, const char *name, int32_t *id) {
    *id = name ? fr_tokenizer_find(t, name) : -1;
    if (*id >= 0) return FR_OK;
    return fr_fail(FR_FORMAT, "the post-processor puts \"%.100s\", which is no token",
                   name ? name : "");
}

/* [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]; the text stands there once. */
static fr_status read_single(fr_tokenizer *t, const fr_json *single, const fr_json *specials) {
    bool behind = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const fr_json *part = json_array_get(single, i);
        const fr_json *special = fr_json_get(part, "SpecialToken");
        if (!special && fr_json_get(part, "Sequence") && !behind) {
            behind = true;
            continue;
        }
        const char *name;
        FR_TRY(fr_json_string(special, "id", NULL, &name));
        const fr_json *ids = name ? fr_json_get(fr_json_get(specials, name), "ids") : NULL;
        if (!json_array_size(ids)) {
            return fr_fail(FR_FORMAT, "the template of the post-processor is not complete");
        }
        for (size_t k = 0; k < json_array_size(ids); k++) {
            int64_t id = json_integer_value(json_array_get(ids, k));
            if (id < 0 || (size_t)id >= t->size || !json_is_integer(json_array_get(ids, k))) {
                return fr_fail(FR_FORMAT, "the post-processor puts an id that no token has");
            }
            FR_TRY(fr_tokenizer_put_around(t, (int32_t)id, behind));
        }
    }
    return behind ? FR_OK : fr_fail(FR_FORMAT, "the template of the post-processor has no text");
}

/* The end that a template names in pairs only. */
static void end_of_pair(fr_tokenizer *t, const fr_json *pair) {
    for (size_t i = 0; i < json_array_size(pair); i++) {
        const char *name = json_string_value(
            fr_json_get(fr_json_get(json_array_get(pair, i), "SpecialToken"), "id"));
        int32_t id = name ? fr_tokenizer_find(t, name) : -1;
        if (id >= 0 && id != t->bos && t->eos < 0) t->eos = id;
    }
}

static fr_status read_template(fr_tokenizer *t, const fr_json *j) {
    FR_TRY(read_single(t, fr_json_get(j, "single"), fr_json_get(j, "special_tokens")));
    if (t->before) t->bos = t->around[0];
    if (t->behind) t->eos = t->around[t->before + t->behind - 1];
    end_of_pair(t, fr_json_get(j, "pair"));
    return FR_OK;
}

/* "cls": ["<s>", 0] stands before, "sep" behind. */
static fr_status read_cls_sep(fr_tokenizer *t, const fr_json *j) {
    int32_t cls, sep;
    FR_TRY(token_named(t, json_string_value(json_array_get(fr_json_get(j, "cls"), 0)), &cls));
    FR_TRY(token_named(t, json_string_value(json_array_get(fr_json_get(j, "sep"), 0)), &sep));
    FR_TRY(fr_tokenizer_put_around(t, cls, false));
    FR_TRY(fr_tokenizer_put_around(t, sep, true));
    t->bos = cls;
    t->eos = sep;
    return FR_OK;
}

static fr_status read_post(fr_tokenizer *t, const fr_json *j, int depth) {
    const char *type;
    FR_TRY(fr_read_type(j, "post-processor", &type));
    if (strcmp(type, "ByteLevel") == 0) return FR_OK; /* it only moves the places of tokens */
    if (strcmp(type, "Sequence") == 0 && !depth) {
        const fr_json *list = fr_json_get(j, "processors");
        for (size_t i = 0; i < json_array_size(list); i++) {
            FR_TRY(read_post(t, json_array_get(list, i), 1));
        }
        return FR_OK;
    }
    if (t->before || t->behind) {
        return fr_fail(FR_UNSUPPORTED, "two post-processors put tokens around a text");
    }
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(t, j);
    bool cls = strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0;
    return cls ? read_cls_sep(t, j) : fr_read_refuse("post-processor", type);
}

fr_status fr_read_post(fr_tokenizer *t, const fr_json *post_processor) {
    if (!post_processor || json_is_null(post_processor)) return FR_OK;
    return read_post(t, post_processor, 0);
}
