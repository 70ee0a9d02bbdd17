/* merge.c: merges the symbols of one piece, lowest rank first, leftmost first among equals. Symbols are bytes, or
 * characters where the model is SentencePiece's; there a text may be one piece, and is cut where no merge can reach over.
 *
 * Pieces are mostly words: for up to SHORT symbols the ranks of neighbours lie in an array, and the lowest is looked
 * for each time. A longer piece takes a heap of (rank, place) over a linked list: n log n. */
#include <string.h>

#include "text/heap.h"
#include "text/tokenizer_parts.h"

#define SHORT   64
#define NO_RANK INT32_MAX

static int32_t rank_of(const fr_tokenizer *t, int32_t left, int32_t right) {
    const fr_pair *p = fr_pairs_find(&t->pairs, left, right);
    return p ? p->rank : NO_RANK;
}

fr_status fr_put_unknown(const fr_tokenizer *t, const char *text, size_t bytes, fr_tokens *out) {
    bool all = t->byte_fallback;
    for (size_t i = 0; all && i < bytes; i++) all = t->byte_ids[(uint8_t)text[i]] >= 0;
    for (size_t i = 0; all && i < bytes; i++) {
        FR_TRY(fr_tokens_add(out, t->byte_ids[(uint8_t)text[i]]));
    }
    return all || t->unknown < 0 ? FR_OK : fr_tokens_add(out, t->unknown);
}

/* ---- characters ---- */

/* What a text begins with as a symbol: -1 when the vocabulary has no such. */
static int32_t symbol_at(const fr_tokenizer *t, const char *text, size_t bytes, size_t *taken) {
    const fr_find *user = fr_finder_longest(&t->users, text, bytes);
    int32_t c;
    if (user) {
        *taken = user->bytes;
        return user->id;
    }
    *taken = fr_char_at(text, bytes, &c);
    if (c < FR_CHARS && (c < 0 || t->char_ids[c] >= 0)) return c < 0 ? -1 : t->char_ids[c];
    const fr_string *s = NULL;
    if (c >= FR_CHARS) s = fr_strings_find(&t->names, text, *taken);
    if (s && (t->tokens[s->value].flags & (FR_TOKEN_VOCAB | FR_TOKEN_APART)) == FR_TOKEN_VOCAB) {
        return s->value;
    }
    if (t->parts.count) s = fr_strings_find(&t->parts, text, *taken);
    return t->parts.count && s ? s->value : -1;
}

/* The symbols of a piece, at most one a byte. Characters that are none become bytes; where there are no bytes, one
 * unknown token stands for all up to the next character that is one. */
static size_t symbols_of(const fr_tokenizer *t, const char *piece, size_t bytes, int32_t *ids) {
    size_t n = 0, taken;
    bool unknown = false;
    for (size_t i = 0; i < bytes; i += taken) {
        int32_t id = symbol_at(t, piece + i, bytes - i, &taken);
        bool as_bytes = id < 0 && t->byte_fallback;
        for (size_t k = 0; as_bytes && k < taken; k++) {
            as_bytes = t->byte_ids[(uint8_t)piece[i + k]] >= 0;
        }
        for (size_t k = 0; as_bytes && k < taken; k++) {
            ids[n++] = t->byte_ids[(uint8_t)piece[i + k]];
        }
        if (as_bytes || (id < 0 && t->unknown < 0)) continue;
        if (unknown && (id >= 0 || !t->fuse_unknown)) ids[n++] = t->unknown;
        unknown = id < 0;
        if (id >= 0) ids[n++] = id;
    }
    if (unknown) ids[n++] = t->unknown;
    return n;
}

/* A character that is no token may be left over where none was merged with it. */
static fr_status put_symbol(const fr_tokenizer *t, int32_t id, size_t start, fr_tokens *out) {
    if ((size_t)id < t->size) return fr_tokens_add(out, id);
    const fr_string *s = &t->parts.items[(size_t)id - t->size];
    bool again = t->fuse_unknown && out->count > start && out->ids[out->count - 1] == t->unknown;
    return again && !t->byte_fallback ? FR_OK : fr_put_unknown(t, s->text, s->bytes, out);
}

static size_t start_symbols(const fr_tokenizer *t, const char *piece, size_t bytes, int32_t *ids) {
    if (t->model == FR_PIECES_CHARS) return symbols_of(t, piece, bytes, ids);
    for (size_t i = 0; i < bytes; i++) ids[i] = t->byte_ids[(uint8_t)piece[i]];
    return bytes;
}

/* ---- short pieces ---- */

static fr_status merge_short(const fr_tokenizer *t, const char *piece, size_t bytes,
                             fr_tokens *out) {
    int32_t ids[SHORT], ranks[SHORT];
    size_t n = start_symbols(t, piece, bytes, ids), start = out->count;
    for (size_t i = 0; i + 1 < n; i++) ranks[i] = rank_of(t, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) best = ranks[i] < ranks[best] ? i : best;
        if (ranks[best] == NO_RANK) break;
        ids[best] = fr_pairs_find(&t->pairs, ids[best], ids[best + 1])->id;
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        if (best + 1 < n) {
            memmove(ranks + best + 1, ranks + best + 2, (n - best - 2) * sizeof *ranks);
            ranks[best] = rank_of(t, ids[best], ids[best + 1]);
        }
        if (best) ranks[best - 1] = rank_of(t, ids[best - 1], ids[best]);
    }
    for (size_t i = 0; i < n; i++) FR_TRY(put_symbol(t, ids[i], start, out));
    return FR_OK;
}

/* ---- long pieces ---- */

typedef struct symbol {
    int32_t id; /* -1: merged into the one before */
    uint32_t next, previous;
} symbol;

/* The heap holds (rank, place) of pairs that could be merged when they were put in; an item is stale when its rank is
 * no more that of its place. */
typedef struct longer {
    symbol *symbols;
    fr_heap heap;
} longer;

/* n is the mark of the end. */
static fr_status want(const fr_tokenizer *t, longer *l, uint32_t at, uint32_t n) {
    uint32_t next = l->symbols[at].next;
    if (next == n) return FR_OK;
    int32_t rank = rank_of(t, l->symbols[at].id, l->symbols[next].id);
    return rank == NO_RANK ? FR_OK : fr_heap_push(&l->heap, (fr_heap_item){rank, at});
}

static fr_status merge_list(const fr_tokenizer *t, longer *l, uint32_t n) {
    symbol *s = l->symbols;
    for (uint32_t i = 0; i < n; i++) FR_TRY(want(t, l, i, n));
    while (l->heap.count) {
        fr_heap_item item = fr_heap_pop(&l->heap);
        uint32_t at = (uint32_t)item.second, gone = s[at].next;
        if (s[at].id < 0 || gone == n) continue;
        const fr_pair *p = fr_pairs_find(&t->pairs, s[at].id, s[gone].id);
        if (!p || p->rank != item.first) continue;
        s[at].id = p->id;
        s[at].next = s[gone].next;
        s[gone].id = -1;
        if (s[gone].next != n) s[s[gone].next].previous = at;
        FR_TRY(want(t, l, at, n));
        if (at) FR_TRY(want(t, l, s[at].previous, n));
    }
    return FR_OK;
}

static fr_status merge_symbols(const fr_tokenizer *t, longer *l, const int32_t *ids, uint32_t n,
                               fr_tokens *out) {
    size_t start = out->count;
    for (uint32_t i = 0; i < n; i++) {
        l->symbols[i] = (symbol){ids[i], i + 1, i ? i - 1 : 0};
    }
    FR_TRY(merge_list(t, l, n));
    for (uint32_t i = 0; i < n; i = l->symbols[i].next) {
        FR_TRY(put_symbol(t, l->symbols[i].id, start, out));
    }
    return FR_OK;
}

static fr_status merge_long(const fr_tokenizer *t, const char *piece, size_t bytes,
                            fr_tokens *out) {
    longer l = {.symbols = fr_alloc_array(FR_MEM_OTHER, bytes, sizeof *l.symbols)};
    int32_t *ids = fr_alloc_array(FR_MEM_OTHER, bytes, sizeof *ids);
    fr_status status = FR_NOMEM;
    if (l.symbols && ids) {
        uint32_t n = (uint32_t)start_symbols(t, piece, bytes, ids);
        status = n ? merge_symbols(t, &l, ids, n, out) : FR_OK;
    }
    fr_free(l.symbols);
    fr_free(ids);
    fr_heap_free(&l.heap);
    return status;
}

static fr_status merge_any(const fr_tokenizer *t, const char *piece, size_t bytes, fr_tokens *out) {
    if (bytes <= SHORT) return merge_short(t, piece, bytes, out);
    if (bytes > UINT32_MAX - 1) {
        return fr_fail(FR_UNSUPPORTED, "a piece of text of %zu bytes without a cut", bytes);
    }
    return merge_long(t, piece, bytes, out);
}

/* Up to the next word: a mark of a space behind what is none. */
static size_t word_bytes(const char *text, size_t bytes) {
    size_t i = 0;
    while (i + FR_SPACE_BYTES <= bytes && !memcmp(text + i, FR_SPACE, FR_SPACE_BYTES)) {
        i += FR_SPACE_BYTES;
    }
    const char *next = memmem(text + i, bytes - i, FR_SPACE, FR_SPACE_BYTES);
    return next ? (size_t)(next - text) : bytes;
}

fr_status fr_merge_piece(const fr_tokenizer *t, const char *piece, size_t bytes, fr_tokens *out) {
    if (t->ignore_merges) {
        const fr_string *whole = fr_strings_find(&t->whole, piece, bytes);
        if (whole) return fr_tokens_add(out, whole->value);
    }
    while (t->cut_at_spaces && bytes > SHORT) {
        size_t n = word_bytes(piece, bytes);
        FR_TRY(merge_any(t, piece, n, out));
        piece += n;
        bytes -= n;
    }
    return bytes ? merge_any(t, piece, bytes, out) : FR_OK;
}
