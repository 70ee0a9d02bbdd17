/* decode.c: ids as text. What a token adds in the middle of a text is known from the start; only the first token of a
 * text, and the ends of the whole, may be said otherwise. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_parts.h"

static fr_status replace(fr_growing *g, const char *from, const char *to) {
    size_t n = strlen(from), at = 0;
    fr_growing out = {0};
    fr_status status = FR_OK;
    const char *found;
    if (!g->count || !n || !memmem(g->text, g->count, from, n)) return FR_OK;
    while (status == FR_OK && (found = memmem(g->text + at, g->count - at, from, n))) {
        size_t before = (size_t)(found - g->text) - at;
        status = fr_append(&out, g->text + at, before);
        if (status == FR_OK) status = fr_append(&out, to, strlen(to));
        at += before + n;
    }
    if (status == FR_OK) status = fr_append(&out, g->text + at, g->count - at);
    fr_free(g->text);
    *g = out;
    return status;
}

static fr_status put_before(fr_growing *g, const char *text) {
    size_t n = strlen(text);
    FR_TRY(fr_grow((void **)&g->text, &g->cap, g->count + n, 1));
    memmove(g->text + n, g->text, g->count);
    memcpy(g->text, text, n);
    g->count += n;
    return FR_OK;
}

static void cut_start(fr_growing *g, size_t bytes) {
    g->count -= bytes;
    memmove(g->text, g->text + bytes, g->count);
}

static bool begins_with(const fr_growing *g, const char *text, size_t bytes) {
    return g->count >= bytes && (!bytes || !memcmp(g->text, text, bytes));
}

static void strip(fr_growing *g, const fr_say *s) {
    size_t n = strlen(s->from), gone = 0;
    for (int64_t i = 0; i < s->start && g->count - gone >= n; i++, gone += n) {
        if (memcmp(g->text + gone, s->from, n)) break;
    }
    if (gone) cut_start(g, gone);
    for (int64_t i = 0; i < s->stop && g->count >= n; i++, g->count -= n) {
        if (memcmp(g->text + g->count - n, s->from, n)) break;
    }
}

/* "I do n't ." -> "I don't." */
static fr_status clean_up(fr_growing *g) {
    static const char *const pairs[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (size_t i = 0; i < FR_COUNT(pairs); i++) FR_TRY(replace(g, pairs[i][0], pairs[i][1]));
    return FR_OK;
}

static fr_status say_words(fr_growing *g, const fr_say *s, bool first) {
    size_t n = strlen(s->from);
    if (!first && n && begins_with(g, s->from, n)) {
        cut_start(g, n);
    } else if (!first) {
        FR_TRY(put_before(g, " "));
    }
    return s->first ? clean_up(g) : FR_OK;
}

/* <0x41> */
static bool is_byte(fr_growing *g) {
    if (g->count != 6 || memcmp(g->text, "<0x", 3) || g->text[5] != '>') return false;
    char digits[3] = {g->text[3], g->text[4], 0}, *end;
    if (!strchr("0123456789abcdefABCDEF", digits[0])) return false;
    long byte = strtol(digits, &end, 16);
    if (*end) return false;
    g->text[0] = (char)byte;
    g->count = 1;
    return true;
}

/* What is done token by token. */
static fr_status say(const fr_tokenizer *t, const char *name, size_t bytes, bool first,
                     fr_growing *g) {
    bool byte = false;
    FR_TRY(fr_grow((void **)&g->text, &g->cap, 8, 1));
    g->count = 0;
    FR_TRY(fr_append(g, name, bytes));
    for (size_t i = 0; i < t->say_count && !byte; i++) {
        const fr_say *s = &t->says[i];
        switch (s->kind) {
        case FR_SAY_REPLACE: FR_TRY(replace(g, s->from, s->to)); break;
        case FR_SAY_BYTES: byte = is_byte(g); break;
        case FR_SAY_FUSE: return FR_OK;
        case FR_SAY_STRIP: strip(g, s); break;
        case FR_SAY_WORDS: FR_TRY(say_words(g, s, first)); break;
        case FR_SAY_META: FR_TRY(replace(g, s->from, first && s->first ? "" : " ")); break;
        case FR_SAY_JOIN:
            if (!first) FR_TRY(put_before(g, " "));
            break;
        }
        if (!g->text) FR_TRY(fr_grow((void **)&g->text, &g->cap, 8, 1));
    }
    return FR_OK;
}

static fr_status say_once(fr_tokenizer *t, fr_token *token, const char *name, size_t bytes,
                          fr_growing *g) {
    FR_TRY(say(t, name, bytes, false, g));
    char *text = fr_arena_alloc(t->arena, g->count + 1);
    if (!text) return FR_NOMEM;
    if (g->count) memcpy(text, g->text, g->count);
    token->text = text;
    token->bytes = (uint32_t)g->count;
    return FR_OK;
}

/* An added token that is looked for in normalized texts is also said so. */
fr_status fr_say_tokens(fr_tokenizer *t) {
    fr_growing g = {0};
    fr_status status = FR_OK;
    for (size_t i = 0; status == FR_OK && i < t->size; i++) {
        fr_token *token = &t->tokens[i];
        if (token->name) status = say_once(t, token, token->name, token->name_bytes, &g);
    }
    for (size_t i = 0; status == FR_OK && i < t->finders[1].count; i++) {
        const fr_find *f = &t->finders[1].items[i];
        status = say_once(t, &t->tokens[f->id], f->text, f->bytes, &g);
    }
    fr_free(g.text);
    return status;
}

static fr_status say_first(const fr_tokenizer *t, int32_t id, fr_growing *out) {
    const fr_token *token = &t->tokens[id];
    const fr_finder *f = &t->finders[1];
    for (size_t i = 0; (token->flags & FR_TOKEN_NORMALIZED) && i < f->count; i++) {
        if (f->items[i].id == id) return say(t, f->items[i].text, f->items[i].bytes, true, out);
    }
    return say(t, token->name, token->name_bytes, true, out);
}

/* What is done to the whole. */
static void say_whole(const fr_tokenizer *t, fr_growing *g) {
    bool fused = false;
    for (size_t i = 0; i < t->say_count; i++) {
        if (fused && t->says[i].kind == FR_SAY_STRIP) strip(g, &t->says[i]);
        fused = fused || t->says[i].kind == FR_SAY_FUSE;
    }
}

static fr_status append_tokens(const fr_tokenizer *t, const int32_t *ids, size_t count,
                               bool special, fr_growing *out) {
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        const fr_token *token = &t->tokens[ids[i]];
        if (!token->name || (!special && (token->flags & FR_TOKEN_SPECIAL))) continue;
        if (first && t->firsts) {
            FR_TRY(say_first(t, ids[i], out));
        } else {
            uint32_t gone = t->trims && !out->count && token->bytes && token->text[0] == ' ';
            FR_TRY(fr_append(out, token->text + gone, token->bytes - gone));
        }
        first = false;
    }
    say_whole(t, out);
    return FR_OK;
}

fr_status fr_tokenizer_decode(const fr_tokenizer *t, const int32_t *ids, size_t count, bool special,
                              char **text, size_t *bytes) {
    *text = NULL;
    *bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= 0 && (size_t)ids[i] < t->size) continue;
        return fr_fail(FR_INVALID, "the id %d stands for no token; the tokenizer has 0 to %zu",
                       ids[i], t->size - 1);
    }
    fr_growing out = {0};
    fr_status status = fr_grow((void **)&out.text, &out.cap, 4 * count + 1, 1);
    if (status == FR_OK) status = append_tokens(t, ids, count, special, &out);
    if (status == FR_OK) status = fr_append(&out, "", 1);
    if (status != FR_OK) {
        fr_free(out.text);
        return status;
    }
    *text = out.text;
    *bytes = out.count - 1;
    return FR_OK;
}
