/* read_steps.c: of a tokenizer.json, the pre-tokenizer (how a text is cut) and the post-processor (what stands around
 * it). */
#include <string.h>

#include "text/read.h"

/* ---- pre-tokenizer ---- */

static fr_status read_split(fr_tokenizer *t, const fr_json *j) {
    fr_step s = {.kind = FR_STEP_SPLIT};
    const fr_json *pattern = fr_json_get(j, "pattern");
    const char *cut = NULL;
    FR_TRY(fr_json_string(pattern, "Regex", NULL, &s.source));
    if (!s.source) {
        FR_TRY(fr_json_string(pattern, "String", NULL, &s.source));
        s.literal = true;
    }
    if (!s.source) return fr_fail(FR_FORMAT, "a Split has neither a \"Regex\" nor a \"String\"");
    FR_TRY(fr_json_bool(j, "invert", false, &s.invert));
    FR_TRY(fr_json_string(j, "behavior", "", &cut));
    while (s.cut < FR_CUT_COUNT && strcmp(fr_cut_names[s.cut], cut) != 0) s.cut++;
    if (s.cut == FR_CUT_COUNT) return fr_read_refuse("behavior of a Split", cut);
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
    return fr_read_refuse("pre-tokenizer", type);
}

fr_status fr_read_steps(fr_tokenizer *t, const fr_json *pre_tokenizer) {
    if (pre_tokenizer && !json_is_null(pre_tokenizer)) FR_TRY(read_step(t, pre_tokenizer, 0));
    if (t->step_count && t->steps[t->step_count - 1].kind == FR_STEP_BYTES) return FR_OK;
    return fr_fail(FR_UNSUPPORTED, "the pre-tokenizer does not end with ByteLevel; only byte-level "
                                   "BPE is read");
}

/* ---- post-processor ---- */

static fr_status put_around(fr_tokenizer *t, int32_t id, bool behind) {
    size_t n = t->before + t->behind;
    FR_TRY(fr_grow((void **)&t->around, &t->around_cap, n + 1, sizeof *t->around));
    t->around[n] = id;
    if (behind) {
        t->behind++;
    } else {
        t->before++;
    }
    return FR_OK;
}

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
            FR_TRY(put_around(t, (int32_t)id, behind));
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
    FR_TRY(put_around(t, cls, false));
    FR_TRY(put_around(t, sep, true));
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
