/* merge.c: merges the symbols of one piece, lowest rank first, leftmost first among equals.
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

static fr_status merge_short(const fr_tokenizer *t, const uint8_t *piece, size_t n,
                             fr_tokens *out) {
    int32_t ids[SHORT], ranks[SHORT];
    for (size_t i = 0; i < n; i++) ids[i] = t->byte_ids[piece[i]];
    for (size_t i = 0; i + 1 < n; i++) ranks[i] = rank_of(t, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) best = ranks[i] < ranks[best] ? i : best;
        if (ranks[best] == NO_RANK) break;
        ids[best] = t->merges[ranks[best]].id;
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        if (best + 1 < n) {
            memmove(ranks + best + 1, ranks + best + 2, (n - best - 2) * sizeof *ranks);
            ranks[best] = rank_of(t, ids[best], ids[best + 1]);
        }
        if (best) ranks[best - 1] = rank_of(t, ids[best - 1], ids[best]);
    }
    for (size_t i = 0; i < n; i++) FR_TRY(fr_tokens_add(out, ids[i]));
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
        if (s[at].id < 0 || gone == n || rank_of(t, s[at].id, s[gone].id) != item.first) continue;
        s[at].id = t->merges[item.first].id;
        s[at].next = s[gone].next;
        s[gone].id = -1;
        if (s[gone].next != n) s[s[gone].next].previous = at;
        FR_TRY(want(t, l, at, n));
        if (at) FR_TRY(want(t, l, s[at].previous, n));
    }
    return FR_OK;
}

static fr_status merge_long(const fr_tokenizer *t, const uint8_t *piece, uint32_t n,
                            fr_tokens *out) {
    longer l = {.symbols = fr_alloc_array(FR_MEM_OTHER, n, sizeof *l.symbols)};
    if (!l.symbols) return FR_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        l.symbols[i] = (symbol){t->byte_ids[piece[i]], i + 1, i ? i - 1 : 0};
    }
    fr_status status = merge_list(t, &l, n);
    for (uint32_t i = 0; status == FR_OK && i < n; i = l.symbols[i].next) {
        status = fr_tokens_add(out, l.symbols[i].id);
    }
    fr_free(l.symbols);
    fr_heap_free(&l.heap);
    return status;
}

fr_status fr_merge_piece(const fr_tokenizer *t, const char *piece, size_t bytes, fr_tokens *out) {
    if (t->ignore_merges) {
        const fr_string *whole = fr_strings_find(&t->whole, piece, bytes);
        if (whole) return fr_tokens_add(out, whole->value);
    }
    if (bytes <= SHORT) return merge_short(t, (const uint8_t *)piece, bytes, out);
    if (bytes > UINT32_MAX - 1) {
        return fr_fail(FR_UNSUPPORTED, "a piece of text of %zu bytes without a cut", bytes);
    }
    return merge_long(t, (const uint8_t *)piece, (uint32_t)bytes, out);
}
