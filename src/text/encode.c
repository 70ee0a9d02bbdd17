/* encode.c: a text as ids: added tokens are looked for first, what lies between them is cut into pieces, and pieces
 * are merged. */
#include <string.h>

#include "text/normal.h"
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

/* The ways of a text, in this order. */
enum { FIND_FIRST, NORMALIZE, FIND_NORMAL, SPLIT };

static fr_status go_on(const encoding *e, int from, const char *text, size_t bytes);

/* Cuts at the added tokens; what lies between goes on. */
static fr_status cut_at_added(const encoding *e, const fr_finder *f, int next, const char *text,
                              size_t bytes) {
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
        FR_TRY(go_on(e, next, text + done, start - done));
        FR_TRY(fr_tokens_add(e->out, id));
        i = done = end;
    }
    return go_on(e, next, text + done, bytes - done);
}

static fr_status normalize(const encoding *e, const char *text, size_t bytes) {
    char *changed = NULL;
    size_t changed_bytes;
    FR_TRY(fr_nfc(text, bytes, &changed, &changed_bytes));
    fr_status status = go_on(e, FIND_NORMAL, changed ? changed : text, changed_bytes);
    fr_free(changed);
    return status;
}

static bool idle(const encoding *e, const fr_finder *f) {
    return !f->count || (!e->special && f->all_special);
}

static fr_status go_on(const encoding *e, int from, const char *text, size_t bytes) {
    const fr_finder *f = e->t->finders;
    if (!bytes) return FR_OK;
    switch (from) {
    case FIND_FIRST:
        if (!idle(e, &f[0])) return cut_at_added(e, &f[0], NORMALIZE, text, bytes);
        /* fall through */
    case NORMALIZE:
        if (e->t->nfc) return normalize(e, text, bytes);
        /* fall through */
    case FIND_NORMAL:
        if (!idle(e, &f[1])) return cut_at_added(e, &f[1], SPLIT, text, bytes);
        /* fall through */
    default: return fr_split_text(e->t, e->scratch, text, bytes, merge, (void *)(uintptr_t)e);
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
    if (status == FR_OK) status = go_on(&e, FIND_FIRST, text, bytes);
    for (size_t i = 0; status == FR_OK && i < behind; i++) {
        status = fr_tokens_add(out, t->around[t->before + i]);
    }
    fr_pattern_scratch_free(e.scratch);
    return status;
}
