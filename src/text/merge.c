/* merge.c: merges the symbols of one piece, lowest rank first, leftmost first among equals.
 *
 * Pieces are mostly words: for up to SHORT symbols the ranks of neighbours lie in an array, and the lowest is looked
 * for each time. A longer piece takes a heap of (rank, place) over a linked list: n log n. */
#include <string.h>

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

/* A pair that could be merged when it was put in; it is stale when its rank is no more that of its place. */
typedef struct wish {
    int32_t rank;
    uint32_t at;
} wish;

typedef struct longer {
    symbol *symbols;
    wish *heap;
    size_t count, cap;
} longer;

static bool before(wish a, wish b) {
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static fr_status push(longer *l, wish w) {
    FR_TRY(fr_grow((void **)&l->heap, &l->cap, l->count + 1, sizeof *l->heap));
    size_t i = l->count++;
    for (; i && before(w, l->heap[(i - 1) / 2]); i = (i - 1) / 2) l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = w;
    return FR_OK;
}

static wish pop(longer *l) {
    wish top = l->heap[0], last = l->heap[--l->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= l->count) break;
        child += child + 1 < l->count && before(l->heap[child + 1], l->heap[child]);
        if (!before(l->heap[child], last)) break;
        l->heap[i] = l->heap[child];
        i = child;
    }
    l->heap[i] = last;
    return top;
}

/* n is the mark of the end. */
static fr_status want(const fr_tokenizer *t, longer *l, uint32_t at, uint32_t n) {
    uint32_t next = l->symbols[at].next;
    if (next == n) return FR_OK;
    int32_t rank = rank_of(t, l->symbols[at].id, l->symbols[next].id);
    return rank == NO_RANK ? FR_OK : push(l, (wish){rank, at});
}

static fr_status merge_list(const fr_tokenizer *t, longer *l, uint32_t n) {
    symbol *s = l->symbols;
    for (uint32_t i = 0; i < n; i++) FR_TRY(want(t, l, i, n));
    while (l->count) {
        wish w = pop(l);
        uint32_t gone = s[w.at].next;
        if (s[w.at].id < 0 || gone == n || rank_of(t, s[w.at].id, s[gone].id) != w.rank) continue;
        s[w.at].id = t->merges[w.rank].id;
        s[w.at].next = s[gone].next;
        s[gone].id = -1;
        if (s[gone].next != n) s[s[gone].next].previous = w.at;
        FR_TRY(want(t, l, w.at, n));
        if (w.at) FR_TRY(want(t, l, s[w.at].previous, n));
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
    fr_free(l.heap);
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
