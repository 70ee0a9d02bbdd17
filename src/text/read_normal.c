/* read_normal.c: of a tokenizer.json, the normalizer (what is done to a text first) and the decoder (how names of tokens
 * become text). */
#include <string.h>

#include "text/read.h"

/* ---- normalizer ---- */

static fr_status text_of(const fr_json *j, const char *part, const char *key, const char **out) {
    FR_TRY(fr_json_string(j, key, NULL, out));
    return *out ? FR_OK : fr_fail(FR_FORMAT, "the %s has no \"%s\"", part, key);
}

/* {"pattern": {"String": " "} or {"Regex": " +"}, "content": "x"} */
static fr_status read_replace(fr_tokenizer *t, const fr_json *j) {
    fr_rewrite r = {.kind = FR_REWRITE_REPLACE};
    const fr_json *pattern = fr_json_get(j, "pattern");
    const char *regex;
    FR_TRY(text_of(j, "normalizer Replace", "content", &r.to));
    FR_TRY(fr_json_string(pattern, "Regex", NULL, &regex));
    if (!regex) {
        FR_TRY(text_of(pattern, "normalizer Replace's pattern", "String", &r.from));
        if (!*r.from) return fr_fail(FR_FORMAT, "the normalizer Replace looks for nothing");
        return fr_tokenizer_put_rewrite(t, &r);
    }
    FR_TRY(fr_pattern_new(regex, false, &r.pattern));
    fr_status status = fr_tokenizer_put_rewrite(t, &r);
    if (status != FR_OK &&
        (!t->rewrite_count || t->rewrites[t->rewrite_count - 1].pattern != r.pattern)) {
        fr_pattern_free(r.pattern);
    }
    return status;
}

static fr_status read_bert(fr_tokenizer *t, const fr_json *j) {
    fr_rewrite r = {.kind = FR_REWRITE_BERT};
    FR_TRY(fr_json_bool(j, "clean_text", true, &r.clean));
    FR_TRY(fr_json_bool(j, "handle_chinese_chars", true, &r.chinese));
    FR_TRY(fr_json_bool(j, "lowercase", true, &r.lower));
    r.accents = r.lower;
    if (!json_is_null(fr_json_get(j, "strip_accents"))) {
        FR_TRY(fr_json_bool(j, "strip_accents", r.lower, &r.accents));
    }
    return fr_tokenizer_put_rewrite(t, &r);
}

static int sixbits(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static fr_status read_map(fr_tokenizer *t, const fr_json *j) {
    fr_rewrite r = {.kind = FR_REWRITE_MAP};
    const char *text = json_string_value(fr_json_get(j, "precompiled_charsmap"));
    if (!text) return FR_OK; /* there is none */
    size_t length = strlen(text), bytes = 0;
    uint8_t *data = fr_arena_alloc(t->arena, length / 4 * 3 + 3);
    uint32_t bits = 0;
    if (!data) return FR_NOMEM;
    while (length && text[length - 1] == '=') length--;
    for (size_t i = 0; i < length; i++) {
        int six = sixbits(text[i]);
        if (six < 0) return fr_fail(FR_FORMAT, "the \"precompiled_charsmap\" is not base64");
        bits = bits << 6 | (uint32_t)six;
        if (i % 4) data[bytes++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    FR_TRY(fr_charsmap_read(data, bytes, &r.map));
    return bytes ? fr_tokenizer_put_rewrite(t, &r) : FR_OK;
}

static fr_status read_simple(fr_tokenizer *t, const fr_json *j, const char *type) {
    static const struct {
        const char *type;
        int kind;
    } kinds[] = {{"NFC", FR_REWRITE_C},           {"NFD", FR_REWRITE_D},
                 {"NFKC", FR_REWRITE_KC},         {"NFKD", FR_REWRITE_KD},
                 {"Lowercase", FR_REWRITE_LOWER}, {"StripAccents", FR_REWRITE_ACCENTS},
                 {"Strip", FR_REWRITE_STRIP},     {"Prepend", FR_REWRITE_PREPEND}};
    fr_rewrite r = {0};
    size_t i = 0;
    while (i < FR_COUNT(kinds) && strcmp(kinds[i].type, type) != 0) i++;
    if (i == FR_COUNT(kinds)) return fr_read_refuse("normalizer", type);
    r.kind = kinds[i].kind;
    if (r.kind == FR_REWRITE_STRIP) {
        FR_TRY(fr_json_bool(j, "strip_left", true, &r.left));
        FR_TRY(fr_json_bool(j, "strip_right", true, &r.right));
    }
    if (r.kind == FR_REWRITE_PREPEND) {
        FR_TRY(text_of(j, "normalizer Prepend", "prepend", &r.to));
    }
    return fr_tokenizer_put_rewrite(t, &r);
}

static fr_status read_normalizer(fr_tokenizer *t, const fr_json *n, int depth) {
    const char *type;
    FR_TRY(fr_read_type(n, "normalizer", &type));
    if (strcmp(type, "Sequence") == 0) {
        const fr_json *list = fr_json_get(n, "normalizers");
        if (depth || !json_is_array(list)) {
            return fr_fail(FR_FORMAT, "the normalizer Sequence is not one list");
        }
        for (size_t i = 0; i < json_array_size(list); i++) {
            FR_TRY(read_normalizer(t, json_array_get(list, i), 1));
        }
        return FR_OK;
    }
    if (strcmp(type, "Replace") == 0) return read_replace(t, n);
    if (strcmp(type, "BertNormalizer") == 0) return read_bert(t, n);
    if (strcmp(type, "Precompiled") == 0) return read_map(t, n);
    return read_simple(t, n, type);
}

fr_status fr_read_normalizer(fr_tokenizer *t, const fr_json *normalizer) {
    if (!normalizer || json_is_null(normalizer)) return FR_OK;
    t->normalizer = json_incref((json_t *)(uintptr_t)normalizer);
    return read_normalizer(t, normalizer, 0);
}

/* ---- decoder ---- */

static fr_status read_say_replace(const fr_json *j, fr_say *s) {
    FR_TRY(text_of(fr_json_get(j, "pattern"), "decoder Replace's pattern", "String", &s->from));
    return text_of(j, "decoder Replace", "content", &s->to);
}

static fr_status read_say_strip(const fr_json *j, fr_say *s) {
    FR_TRY(text_of(j, "decoder Strip", "content", &s->from));
    FR_TRY(fr_json_i64(j, "start", 0, &s->start));
    FR_TRY(fr_json_i64(j, "stop", 0, &s->stop));
    return *s->from ? FR_OK : fr_fail(FR_FORMAT, "the decoder Strip takes nothing away");
}

static fr_status read_say_words(const fr_json *j, fr_say *s) {
    FR_TRY(fr_json_string(j, "prefix", "##", &s->from));
    return fr_json_bool(j, "cleanup", true, &s->first);
}

/* The older way to say it is a bool. */
fr_status fr_read_put(const fr_json *j, fr_put *out) {
    const char *scheme;
    bool prefix;
    FR_TRY(fr_json_bool(j, "add_prefix_space", true, &prefix));
    FR_TRY(fr_json_string(j, "prepend_scheme", prefix ? "always" : "never", &scheme));
    *out = FR_PUT_ALWAYS;
    if (strcmp(scheme, "first") == 0) *out = FR_PUT_FIRST;
    if (strcmp(scheme, "never") == 0) *out = FR_PUT_NEVER;
    if (*out == FR_PUT_ALWAYS && strcmp(scheme, "always") != 0) {
        return fr_read_refuse("prepend_scheme", scheme);
    }
    return FR_OK;
}

static fr_status read_say_meta(const fr_json *j, fr_say *s) {
    fr_put put;
    FR_TRY(fr_json_string(j, "replacement", FR_SPACE, &s->from));
    FR_TRY(fr_read_put(j, &put));
    s->first = put != FR_PUT_NEVER;
    return FR_OK;
}

static fr_status read_say(fr_tokenizer *t, const fr_json *d, int depth) {
    const char *type;
    fr_say s = {0};
    fr_status status = FR_OK;
    FR_TRY(fr_read_type(d, "decoder", &type));
    if (strcmp(type, "Sequence") == 0 && !depth) {
        const fr_json *list = fr_json_get(d, "decoders");
        for (size_t i = 0; i < json_array_size(list); i++) {
            FR_TRY(read_say(t, json_array_get(list, i), 1));
        }
        return FR_OK;
    }
    bool fused = false;
    for (size_t i = 0; i < t->say_count; i++) fused |= t->says[i].kind == FR_SAY_FUSE;
    if (strcmp(type, "Strip") == 0) {
        s.kind = FR_SAY_STRIP;
        status = read_say_strip(d, &s);
    } else if (fused && strcmp(type, "Fuse") != 0) {
        return fr_fail(FR_UNSUPPORTED, "the decoder \"%.100s\" stands behind Fuse", type);
    } else if (strcmp(type, "Replace") == 0) {
        s.kind = FR_SAY_REPLACE;
        status = read_say_replace(d, &s);
    } else if (strcmp(type, "WordPiece") == 0) {
        s.kind = FR_SAY_WORDS;
        status = read_say_words(d, &s);
    } else if (strcmp(type, "Metaspace") == 0) {
        s.kind = FR_SAY_META;
        status = read_say_meta(d, &s);
    } else if (strcmp(type, "ByteFallback") == 0) {
        s.kind = FR_SAY_BYTES;
    } else if (strcmp(type, "Fuse") == 0) {
        s.kind = FR_SAY_FUSE;
    } else {
        return fr_read_refuse("decoder", type);
    }
    FR_TRY(status);
    return fr_tokenizer_put_say(t, &s);
}

/* Models of bytes have one way back. */
static fr_status check_byte_decoder(const fr_json *d) {
    const char *type;
    FR_TRY(fr_read_type(d, "decoder", &type));
    const fr_json *only = fr_json_get(d, "decoders");
    if (strcmp(type, "Sequence") == 0 && json_array_size(only) == 1) {
        FR_TRY(fr_read_type(json_array_get(only, 0), "decoder", &type));
    }
    return strcmp(type, "ByteLevel") == 0 ? FR_OK : fr_read_refuse("decoder", type);
}

fr_status fr_read_decoder(fr_tokenizer *t, const fr_json *decoder) {
    bool none = !decoder || json_is_null(decoder);
    if (!none) t->decoder = json_incref((json_t *)(uintptr_t)decoder);
    if (t->model == FR_PIECES_BYTES) return none ? FR_OK : check_byte_decoder(decoder);
    fr_say join = {.kind = FR_SAY_JOIN};
    return none ? fr_tokenizer_put_say(t, &join) : read_say(t, decoder, 0);
}
