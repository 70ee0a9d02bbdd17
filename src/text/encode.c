/* encode.c: a text as ids: added tokens are looked for first, what lies between them is cut into pieces, and pieces
 * are merged. */
#include <string.h>

#include "text/tokenizer_parts.h"

typedef struct encoding {
    const fr_tokenizer *t;
    fr_pattern_scratch *scratch;
    bool special;
    fr_tokens *out;
} encoding;

static fr_status merge(void *arg, const char *piece, size_t bytes) {
    const encoding *e = arg;
    return fr_merge_piece(e->t, piece, bytes, e->out);
}

/* The longest added token at the start of a text, or -1: narrows the sorted names byte by byte. */
static int32_t longest(const fr_tokenizer *t, const fr_finder *f, const char *text, size_t bytes) {
    size_t low = 0, high = f->count;
    int32_t best = -1;
    for (size_t n = 0; n < bytes && low < high; n++) {
        uint8_t c = (uint8_t)text[n];
        /* The names low .. high - 1 begin with n bytes of the text; a name that ends here has a zero. */
        size_t a = low, b = high;
        while (a < b) {
            size_t middle = (a + b) / 2;
            if ((uint8_t)t->tokens[f->ids[middle]].name[n] < c) {
                a = middle + 1;
            } else {
                b = middle;
            }
        }
        low = a;
        b = high;
        while (a < b) {
            size_t middle = (a + b) / 2;
            if ((uint8_t)t->tokens[f->ids[middle]].name[n] <= c) {
                a = middle + 1;
            } else {
                b = middle;
            }
        }
        high = a;
        if (low < high && t->tokens[f->ids[low]].name_bytes == n + 1) best = f->ids[low];
    }
    return best;
}

static fr_status between(const encoding *e, int pass, const char *text, size_t bytes);

/* Cuts at the tokens of one finder; the rest goes on to the next pass. */
static fr_status cut_at_added(const encoding *e, int pass, const char *text, size_t bytes) {
    const fr_finder *f = &e->t->finders[pass];
    size_t done = 0;
    for (size_t i = 0; i < bytes;) {
        int32_t id = -1;
        if (f->starts[(uint8_t)text[i]]) id = longest(e->t, f, text + i, bytes - i);
        if (id < 0) {
            i++;
            continue;
        }
        const fr_token *token = &e->t->tokens[id];
        size_t start = i, end = i + token->bytes, space;
        i = end;
        if (!e->special && (token->flags & FR_TOKEN_SPECIAL)) continue;
        if (token->flags & FR_TOKEN_LSTRIP) {
            while (start > done && (space = fr_space_before(text + done, start - done))) {
                start -= space;
            }
        }
        if (token->flags & FR_TOKEN_RSTRIP) {
            while (end < bytes && (space = fr_space_at(text + end, bytes - end))) end += space;
        }
        FR_TRY(between(e, pass + 1, text + done, start - done));
        FR_TRY(fr_tokens_add(e->out, id));
        i = done = end;
    }
    return between(e, pass + 1, text + done, bytes - done);
}

static fr_status between(const encoding *e, int pass, const char *text, size_t bytes) {
    if (!bytes) return FR_OK;
    if (pass == 2) return fr_split_text(e->t, e->scratch, text, bytes, merge, (void *)(uintptr_t)e);
    const fr_finder *f = &e->t->finders[pass];
    bool idle = !f->count || (!e->special && f->all_special);
    return idle ? between(e, pass + 1, text, bytes) : cut_at_added(e, pass, text, bytes);
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
    if (status == FR_OK) status = between(&e, 0, text, bytes);
    for (size_t i = 0; status == FR_OK && i < behind; i++) {
        status = fr_tokens_add(out, t->around[t->before + i]);
    }
    fr_pattern_scratch_free(e.scratch);
    return status;
}
