/* charsmap.c: SentencePiece's character maps, and all that it does to a text before its models see it (Kudo and
 * Richardson 2018).
 *
 * A map is an array of units of 32 bits, a trie over bytes (a double array, Aoe 1989): of a unit, bits 0 to 7 and 31
 * are the byte that leads there, bit 8 says that a text ends, bits 10 to 30 (times 256 with bit 9) lead on. */
#include <string.h>

#include <utf8proc.h>

#include "text/tokenizer_parts.h"

static uint32_t load(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

fr_status fr_charsmap_read(const uint8_t *data, size_t bytes, fr_charsmap *out) {
    *out = (fr_charsmap){0};
    if (!bytes) return FR_OK;
    size_t trie = bytes >= 4 ? load(data) : 0;
    if (!trie || trie % 4 || trie > bytes - 4) {
        return fr_fail(FR_FORMAT, "the character map is broken: %zu bytes, of which %zu are a trie",
                       bytes, trie);
    }
    out->units = data + 4;
    out->unit_count = trie / 4;
    out->texts = (const char *)data + 4 + trie;
    out->text_bytes = bytes - 4 - trie;
    if (!out->text_bytes || out->texts[out->text_bytes - 1]) {
        return fr_fail(FR_FORMAT, "the character map's last text has no end");
    }
    return FR_OK;
}

/* What the text begins with becomes *to: the longest entry, or the shortest. Returns its bytes, 0: none. */
static size_t look_up(const fr_charsmap *m, const char *text, size_t bytes, bool longest,
                      const char **to) {
    size_t found = 0, at = 0;
    if (!m->unit_count) return 0;
    uint32_t unit = load(m->units);
    at ^= (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
    for (size_t i = 0; i < bytes && text[i]; i++) {
        at ^= (uint8_t)text[i];
        if (at >= m->unit_count) break;
        unit = load(m->units + 4 * at);
        if ((unit & (1u << 31 | 0xFF)) != (uint8_t)text[i]) break;
        at ^= (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
        if (!(unit >> 8 & 1) || at >= m->unit_count) continue;
        uint32_t value = load(m->units + 4 * at) & 0x7FFFFFFF;
        if (value >= m->text_bytes) continue;
        found = i + 1;
        *to = m->texts + value;
        if (!longest) break;
    }
    return found;
}

/* ---- as the `tokenizers` package does it ---- */

static fr_status map_char(const fr_charsmap *m, const char *text, size_t bytes, fr_growing *out) {
    const char *to;
    if (look_up(m, text, bytes, false, &to)) return fr_append(out, to, strlen(to));
    return fr_append(out, text, bytes);
}

/* What a reader takes for one character: whole, when it is short and the map has it, else part by part. The package
 * takes the shortest entry for the whole. */
static fr_status map_grapheme(const fr_charsmap *m, const char *text, size_t bytes,
                              fr_growing *out) {
    const char *to;
    if (bytes < 6 && look_up(m, text, bytes, false, &to)) return fr_append(out, to, strlen(to));
    for (size_t i = 0, n; i < bytes; i += n) {
        int32_t c;
        n = fr_char_at(text + i, bytes - i, &c);
        FR_TRY(map_char(m, text + i, n, out));
    }
    return FR_OK;
}

fr_status fr_map_graphemes(const fr_charsmap *m, const char *text, size_t bytes, fr_growing *out) {
    utf8proc_int32_t state = 0;
    int32_t before = -1;
    size_t start = 0;
    for (size_t i = 0, n; i < bytes; i += n) {
        int32_t c;
        n = fr_char_at(text + i, bytes - i, &c);
        bool cut = before < 0 || c < 0 || utf8proc_grapheme_break_stateful(before, c, &state);
        if (cut && i > start) {
            FR_TRY(map_grapheme(m, text + start, i - start, out));
            start = i;
        }
        if (before < 0 || c < 0) state = 0;
        before = c;
    }
    return map_grapheme(m, text + start, bytes - start, out);
}

/* ---- as SentencePiece does it ---- */

/* What the text begins with, and what that becomes. */
static size_t next_part(const fr_tokenizer *t, const fr_charsmap *m, const char *text, size_t bytes,
                        const char **to, size_t *to_bytes) {
    const fr_find *user = fr_finder_longest(&t->users, text, bytes);
    int32_t c;
    size_t n = user ? user->bytes : look_up(m, text, bytes, true, to);
    *to_bytes = n && !user ? strlen(*to) : n;
    if (n && !user) return n;
    if (!n) n = *to_bytes = fr_char_at(text, bytes, &c);
    *to = text;
    return n;
}

static fr_status append_spaced(fr_growing *out, const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == ' ') {
            FR_TRY(fr_append(out, FR_SPACE, FR_SPACE_BYTES));
        } else {
            FR_TRY(fr_append(out, text + i, 1));
        }
    }
    return FR_OK;
}

fr_status fr_normalize_sentence(const fr_tokenizer *t, const fr_rewrite *r, const char *text,
                                size_t bytes, fr_growing *out) {
    const char *to;
    size_t to_bytes, n;
    bool tidy = !r->extra_spaces, space = tidy;
    while (tidy && bytes) {
        n = next_part(t, &r->map, text, bytes, &to, &to_bytes);
        if (to_bytes != 1 || *to != ' ') break;
        text += n;
        bytes -= n;
    }
    if (!bytes) return FR_OK;
    if (r->dummy_prefix && !r->as_suffix) FR_TRY(fr_append(out, FR_SPACE, FR_SPACE_BYTES));
    for (; bytes; text += n, bytes -= n) {
        n = next_part(t, &r->map, text, bytes, &to, &to_bytes);
        while (space && to_bytes && *to == ' ') {
            to++;
            to_bytes--;
        }
        FR_TRY(append_spaced(out, to, to_bytes));
        if (to_bytes) space = tidy && to[to_bytes - 1] == ' ';
    }
    while (tidy && out->count >= FR_SPACE_BYTES &&
           !memcmp(out->text + out->count - FR_SPACE_BYTES, FR_SPACE, FR_SPACE_BYTES)) {
        out->count -= FR_SPACE_BYTES;
    }
    if (r->dummy_prefix && r->as_suffix) FR_TRY(fr_append(out, FR_SPACE, FR_SPACE_BYTES));
    return FR_OK;
}
