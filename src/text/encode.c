/* encode.c: a text as ids: added tokens are looked for first, what lies between them is cut into pieces, and pieces
 * are merged. */
#include <string.h>

#include <utf8proc.h>

#include "text/tokenizer_parts.h"

typedef struct encoding {
    const fr_tokenizer *t;
    fr_pattern_scratch *scratch;
    bool special;
    fr_tokens *out;
} encoding;

static fr_status put_piece(void *arg, const char *piece, size_t bytes) {
    const encoding *e = arg;
    switch (e->t->model) {
    case FR_PIECES_UNIGRAM: return fr_unigram_piece(e->t, piece, bytes, e->out);
    case FR_PIECES_WORDS: return fr_word_piece(e->t, piece, bytes, e->out);
    default: return fr_merge_piece(e->t, piece, bytes, e->out);
    }
}

/* \w of the package's pattern: letters, marks, digits, and what joins them. */
static bool is_word_char(int32_t c) {
    if (c < 0x80) return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    utf8proc_category_t k = utf8proc_category(c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC ||
           c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
           (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
           (c >= 0x1F170 && c <= 0x1F189);
}

/* Whether no letter stands beside text[start .. end). */
static bool stands_alone(const char *text, size_t bytes, size_t start, size_t end) {
    int32_t c;
    size_t before = start;
    while (before && start - before < 4 && (before == start || (text[before] & 0xC0) == 0x80)) {
        before--;
    }
    if (start && fr_char_at(text + before, start - before, &c) == start - before &&
        is_word_char(c)) {
        return false;
    }
    if (end == bytes) return true;
    fr_char_at(text + end, bytes - end, &c);
    return !is_word_char(c);
}

/* The ways of a text, in this order. */
enum { FIND_FIRST, NORMALIZE, FIND_NORMAL, SPLIT };

/* first: nothing of the text stands before it. */
static fr_status go_on(const encoding *e, int from, const char *text, size_t bytes, bool first);

/* Cuts at the added tokens; what lies between goes on. */
static fr_status cut_at_added(const encoding *e, const fr_finder *f, int next, const char *text,
                              size_t bytes, bool first) {
    size_t done = 0;
    for (size_t i = 0; i < bytes;) {
        const fr_find *found = fr_finder_longest(f, text + i, bytes - i);
        if (!found) {
            i++;
            continue;
        }
        const fr_token *token = &e->t->tokens[found->id];
        size_t start = i, end = i + found->bytes, space;
        i = end;
        if (!e->special && (token->flags & FR_TOKEN_SPECIAL)) continue;
        if ((token->flags & FR_TOKEN_WORD) && !stands_alone(text, bytes, start, end)) continue;
        if (token->flags & FR_TOKEN_LSTRIP) {
            while (start > done && (space = fr_space_before(text + done, start - done))) {
                start -= space;
            }
        }
        if (token->flags & FR_TOKEN_RSTRIP) {
            while (end < bytes && (space = fr_space_at(text + end, bytes - end))) end += space;
        }
        FR_TRY(go_on(e, next, text + done, start - done, first && !done));
        FR_TRY(fr_tokens_add(e->out, found->id));
        i = done = end;
    }
    return go_on(e, next, text + done, bytes - done, first && !done);
}

static fr_status normalize(const encoding *e, const char *text, size_t bytes, bool first) {
    char *changed = NULL;
    size_t changed_bytes;
    FR_TRY(fr_rewrite_text(e->t, e->scratch, text, bytes, &changed, &changed_bytes));
    fr_status status = go_on(e, FIND_NORMAL, changed ? changed : text, changed_bytes, first);
    fr_free(changed);
    return status;
}

static bool idle(const encoding *e, const fr_finder *f) {
    return !f->count || (!e->special && f->all_special);
}

static fr_status go_on(const encoding *e, int from, const char *text, size_t bytes, bool first) {
    const fr_finder *f = e->t->finders;
    if (!bytes) return FR_OK;
    switch (from) {
    case FIND_FIRST:
        if (!idle(e, &f[0])) return cut_at_added(e, &f[0], NORMALIZE, text, bytes, first);
        /* fall through */
    case NORMALIZE:
        if (e->t->rewrite_count) return normalize(e, text, bytes, first);
        /* fall through */
    case FIND_NORMAL:
        if (!idle(e, &f[1])) return cut_at_added(e, &f[1], SPLIT, text, bytes, first);
        /* fall through */
    default:
        return fr_split_text(e->t, e->scratch, text, bytes, first, put_piece, (void *)(uintptr_t)e);
    }
}

fr_status fr_tokenizer_encode(const fr_tokenizer *t, const char *text, size_t bytes, unsigned how,
                              fr_tokens *out) {
    encoding e = {t, NULL, how & FR_ENCODE_SPECIAL, out};
    FR_TRY(fr_pattern_scratch_new(&e.scratch));
    fr_status status = FR_OK;
    size_t before = how & FR_ENCODE_BOS ? t->before : 0;
    size_t behind = how & FR_ENCODE_BOS ? t->behind : 0;
    for (size_t i = 0; status == FR_OK && i < before; i++) {
        status = fr_tokens_add(out, t->around[i]);
    }
    if (status == FR_OK) status = go_on(&e, FIND_FIRST, text, bytes, true);
    for (size_t i = 0; status == FR_OK && i < behind; i++) {
        status = fr_tokens_add(out, t->around[t->before + i]);
    }
    fr_pattern_scratch_free(e.scratch);
    return status;
}
