/* normal.c: see normal.h. For form C nothing below U+0300 can change by itself or join what stands before it, so that
 * most texts cost one look at each byte; for the other forms nothing that is ASCII. */
#include "text/normal.h"

#include <string.h>

#include <utf8proc.h>

#include "text/tokenizer_parts.h"

fr_status fr_append(fr_growing *g, const void *text, size_t bytes) {
    FR_TRY(fr_grow((void **)&g->text, &g->cap, g->count + bytes, 1));
    if (bytes) memcpy(g->text + g->count, text, bytes);
    g->count += bytes;
    return FR_OK;
}

/* ---- normal forms ---- */

static const utf8proc_option_t form_options[] = {
    [FR_REWRITE_C] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
    [FR_REWRITE_D] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
    [FR_REWRITE_KC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
    [FR_REWRITE_KD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT};

static fr_status append_form(fr_growing *g, int kind, const char *text, size_t bytes) {
    const utf8proc_uint8_t *s = (const utf8proc_uint8_t *)text;
    utf8proc_option_t o = form_options[kind];
    utf8proc_ssize_t most = utf8proc_decompose(s, (utf8proc_ssize_t)bytes, NULL, 0, o);
    if (most < 0) return fr_fail(FR_FORMAT, "normal form: %s", utf8proc_errmsg(most));
    /* One more, as the characters become UTF-8 and a zero in the same place. */
    utf8proc_int32_t *chars = fr_alloc_array(FR_MEM_OTHER, (size_t)most + 1, sizeof *chars);
    if (!chars) return FR_NOMEM;
    utf8proc_ssize_t n = utf8proc_decompose(s, (utf8proc_ssize_t)bytes, chars, most, o);
    if (n >= 0) n = utf8proc_reencode(chars, n, o);
    fr_status status = n < 0 ? fr_fail(FR_FORMAT, "normal form: %s", utf8proc_errmsg(n))
                             : fr_append(g, chars, (size_t)n);
    fr_free(chars);
    return status;
}

fr_status fr_normal_form(int kind, const char *text, size_t bytes, fr_growing *out) {
    while (bytes) {
        size_t broken, valid = fr_utf8_valid(text, bytes, &broken);
        if (valid) FR_TRY(append_form(out, kind, text, valid));
        if (broken) FR_TRY(fr_append(out, text + valid, broken));
        text += valid + broken;
        bytes -= valid + broken;
    }
    return FR_OK;
}

static bool below(const char *text, size_t bytes, uint8_t limit) {
    size_t n = 0;
    while (n < bytes && (uint8_t)text[n] < limit) n++;
    return n == bytes;
}

/* ---- character by character ---- */

/* Only of U+0130 lower case takes two characters. */
int32_t fr_lower_char(int32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return utf8proc_tolower(c);
}

static bool is_mark(int32_t c) {
    if (c < 0x300) return false;
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
}

static fr_status lower(const char *text, size_t bytes, fr_growing *out) {
    for (size_t i = 0, n; i < bytes; i += n) {
        int32_t c;
        char utf8[4];
        n = fr_char_at(text + i, bytes - i, &c);
        if (c == 0x130) {
            FR_TRY(fr_append(out, "i\xCC\x87", 3));
        } else if (c < 0) {
            FR_TRY(fr_append(out, text + i, n));
        } else {
            FR_TRY(fr_append(out, utf8, fr_char_put(utf8, fr_lower_char(c))));
        }
    }
    return FR_OK;
}

static fr_status strip_accents(const char *text, size_t bytes, fr_growing *out) {
    for (size_t i = 0, n; i < bytes; i += n) {
        int32_t c;
        n = fr_char_at(text + i, bytes - i, &c);
        if (!is_mark(c)) FR_TRY(fr_append(out, text + i, n));
    }
    return FR_OK;
}

/* ---- replacements ---- */

static fr_status replace(const fr_rewrite *r, const char *text, size_t bytes, fr_growing *out) {
    size_t from = strlen(r->from), to = strlen(r->to);
    for (const char *at; (at = memmem(text, bytes, r->from, from));) {
        size_t n = (size_t)(at - text);
        FR_TRY(fr_append(out, text, n));
        FR_TRY(fr_append(out, r->to, to));
        text += n + from;
        bytes -= n + from;
    }
    return fr_append(out, text, bytes);
}

static fr_status replace_matches(const fr_rewrite *r, fr_pattern_scratch *scratch, const char *text,
                                 size_t bytes, fr_growing *out) {
    size_t at = 0, start, end;
    while (at < bytes) {
        FR_TRY(fr_pattern_find(r->pattern, scratch, text, bytes, at, &start, &end));
        if (!end) break;
        FR_TRY(fr_append(out, text + at, start - at));
        FR_TRY(fr_append(out, r->to, strlen(r->to)));
        at = end;
    }
    return fr_append(out, text + at, bytes - at);
}

static fr_status replace_in_valid(const fr_rewrite *r, fr_pattern_scratch *scratch,
                                  const char *text, size_t bytes, fr_growing *out) {
    while (bytes) {
        size_t broken, valid = fr_utf8_valid(text, bytes, &broken);
        if (valid) FR_TRY(replace_matches(r, scratch, text, valid, out));
        FR_TRY(fr_append(out, text + valid, broken));
        text += valid + broken;
        bytes -= valid + broken;
    }
    return FR_OK;
}

static fr_status strip(const fr_rewrite *r, const char *text, size_t bytes, fr_growing *out) {
    size_t n;
    while (r->right && (n = fr_space_before(text, bytes))) bytes -= n;
    while (r->left && (n = fr_space_at(text, bytes))) {
        text += n;
        bytes -= n;
    }
    return fr_append(out, text, bytes);
}

static fr_status prepend(const fr_rewrite *r, const char *text, size_t bytes, fr_growing *out) {
    FR_TRY(fr_append(out, r->to, strlen(r->to)));
    return fr_append(out, text, bytes);
}

/* ---- all steps ---- */

static bool leaves_alone(const fr_rewrite *r, const char *text, size_t bytes) {
    switch (r->kind) {
    case FR_REWRITE_C: return below(text, bytes, 0xCC); /* CC begins U+0300 */
    case FR_REWRITE_D:
    case FR_REWRITE_KC:
    case FR_REWRITE_KD: return below(text, bytes, 0x80);
    case FR_REWRITE_ACCENTS: return below(text, bytes, 0xCC);
    case FR_REWRITE_PREPEND: return !bytes;
    case FR_REWRITE_REPLACE: return !r->pattern && !memmem(text, bytes, r->from, strlen(r->from));
    default: return false;
    }
}

static fr_status run(const fr_tokenizer *t, const fr_rewrite *r, fr_pattern_scratch *scratch,
                     const char *text, size_t bytes, fr_growing *out) {
    switch (r->kind) {
    case FR_REWRITE_C:
    case FR_REWRITE_D:
    case FR_REWRITE_KC:
    case FR_REWRITE_KD: return fr_normal_form(r->kind, text, bytes, out);
    case FR_REWRITE_LOWER: return lower(text, bytes, out);
    case FR_REWRITE_ACCENTS: return strip_accents(text, bytes, out);
    case FR_REWRITE_BERT: return fr_normalize_bert(r, text, bytes, out);
    case FR_REWRITE_PREPEND: return prepend(r, text, bytes, out);
    case FR_REWRITE_REPLACE:
        return r->pattern ? replace_in_valid(r, scratch, text, bytes, out)
                          : replace(r, text, bytes, out);
    case FR_REWRITE_STRIP: return strip(r, text, bytes, out);
    case FR_REWRITE_MAP: return fr_map_graphemes(&r->map, text, bytes, out);
    case FR_REWRITE_SENTENCE: return fr_normalize_sentence(t, r, text, bytes, out);
    }
    return FR_OK;
}

fr_status fr_rewrite_text(const fr_tokenizer *t, fr_pattern_scratch *scratch, const char *text,
                          size_t bytes, char **out, size_t *out_bytes) {
    fr_growing now = {0}, next = {0};
    fr_status status = FR_OK;
    const char *at = text;
    *out = NULL;
    *out_bytes = bytes;
    for (size_t i = 0; status == FR_OK && i < t->rewrite_count; i++) {
        const fr_rewrite *r = &t->rewrites[i];
        if (leaves_alone(r, at, *out_bytes)) continue;
        next.count = 0;
        status = fr_append(&next, "", 0);
        if (status == FR_OK) status = fr_grow((void **)&next.text, &next.cap, 1, 1);
        if (status == FR_OK) status = run(t, r, scratch, at, *out_bytes, &next);
        fr_growing swap = now;
        now = next;
        next = swap;
        at = now.text;
        *out_bytes = now.count;
    }
    fr_free(next.text);
    if (status != FR_OK) {
        fr_free(now.text);
        return status;
    }
    *out = now.text;
    return FR_OK;
}
