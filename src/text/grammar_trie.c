/* grammar_trie.c: the bytes of all tokens as a tree, written down in the order of a walk through it. */
#include <stdlib.h>
#include <string.h>

#include "text/grammar_trie.h"

typedef struct entry {
    const char *text;
    uint32_t bytes;
    int32_t id;
} entry;

static int by_bytes(const void *a, const void *b) {
    const entry *l = a, *r = b;
    int c = memcmp(l->text, r->text, FR_MIN(l->bytes, r->bytes));
    if (c) return c;
    if (l->bytes != r->bytes) return l->bytes < r->bytes ? -1 : 1;
    return l->id - r->id;
}

static uint32_t shared(const entry *a, const entry *b) {
    uint32_t n = 0, most = FR_MIN(a->bytes, b->bytes);
    while (n < most && a->text[n] == b->text[n]) n++;
    return n;
}

/* Nodes that the tree will have. */
static size_t count_nodes(const entry *list, size_t n) {
    size_t nodes = 0;
    for (size_t i = 0; i < n; i++)
        nodes += list[i].bytes - (i ? shared(&list[i - 1], &list[i]) : 0);
    return nodes;
}

/* open[d]: the node at depth d of the token before. */
static fr_status fill(fr_token_trie *t, const entry *list, size_t n) {
    uint32_t *open = fr_alloc_array(FR_MEM_STATE, t->deepest + 1, sizeof *open), depth = 0;
    if (!open) return FR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        uint32_t keep = i ? shared(&list[i - 1], &list[i]) : 0;
        for (; depth > keep; depth--) t->nodes[open[depth - 1]].end = (uint32_t)t->count;
        for (; depth < list[i].bytes; depth++) {
            open[depth] = (uint32_t)t->count;
            t->nodes[t->count++] = (fr_trie_node){.byte = (uint8_t)list[i].text[depth],
                                                  .depth = (uint16_t)depth,
                                                  .first = (uint32_t)i};
        }
        t->nodes[open[depth - 1]].tokens++;
        t->ids[i] = list[i].id;
    }
    for (; depth > 0; depth--) t->nodes[open[depth - 1]].end = (uint32_t)t->count;
    fr_free(open);
    return FR_OK;
}

static fr_status keep_texts(fr_token_trie *t, const entry *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char *text = fr_arena_alloc(t->arena, list[i].bytes + 1);
        if (!text) return FR_NOMEM;
        memcpy(text, list[i].text, list[i].bytes);
        t->texts[list[i].id] = text;
        t->bytes[list[i].id] = list[i].bytes;
    }
    return FR_OK;
}

static fr_status build(fr_token_trie *t, entry *list, size_t n) {
    for (size_t i = 0; i < n; i++) t->deepest = FR_MAX_OF(t->deepest, list[i].bytes);
    if (n) qsort(list, n, sizeof *list, by_bytes);
    t->nodes = fr_alloc_array(FR_MEM_STATE, count_nodes(list, n) + 1, sizeof *t->nodes);
    t->ids = fr_alloc_array(FR_MEM_STATE, n + 1, sizeof *t->ids);
    t->texts = fr_alloc(FR_MEM_STATE, (size_t)t->vocab * sizeof *t->texts);
    t->bytes = fr_alloc(FR_MEM_STATE, (size_t)t->vocab * sizeof *t->bytes);
    t->arena = fr_arena_new();
    if (!t->nodes || !t->ids || !t->texts || !t->bytes || !t->arena) return FR_NOMEM;
    FR_TRY(fill(t, list, n));
    return keep_texts(t, list, n);
}

fr_status fr_token_trie_of(const char *const *texts, const size_t *bytes, int32_t count,
                           fr_token_trie **out) {
    enum { MOST_BYTES = 1 << 15 }; /* a longer token is in no text that a grammar makes */
    *out = NULL;
    if (count < 1) return fr_fail(FR_INVALID, "There are %d tokens.", count);
    fr_token_trie *t = fr_alloc(FR_MEM_STATE, sizeof *t);
    entry *list = fr_alloc_array(FR_MEM_OTHER, (size_t)count, sizeof *list);
    size_t n = 0;
    for (int32_t i = 0; i < count && list; i++)
        if (texts[i] && bytes[i] && bytes[i] <= MOST_BYTES)
            list[n++] = (entry){texts[i], (uint32_t)bytes[i], i};
    if (t) t->vocab = count;
    fr_status st = t && list ? build(t, list, n) : FR_NOMEM;
    fr_free(list);
    if (st)
        fr_token_trie_free(t);
    else
        *out = t;
    return st;
}

fr_status fr_token_trie_new(const fr_tokenizer *tokenizer, fr_token_trie **out) {
    int32_t n = fr_tokenizer_size(tokenizer);
    *out = NULL;
    const char **texts = fr_alloc(FR_MEM_OTHER, (size_t)n * sizeof *texts);
    size_t *bytes = fr_alloc(FR_MEM_OTHER, (size_t)n * sizeof *bytes);
    for (int32_t i = 0; i < n && texts && bytes; i++)
        if (!fr_tokenizer_special(tokenizer, i))
            texts[i] = fr_tokenizer_bytes(tokenizer, i, &bytes[i]);
    fr_status st = texts && bytes ? fr_token_trie_of(texts, bytes, n, out) : FR_NOMEM;
    fr_free((void *)texts);
    fr_free(bytes);
    return st;
}

void fr_token_trie_free(fr_token_trie *t) {
    if (!t) return;
    fr_free(t->nodes);
    fr_free(t->ids);
    fr_free((void *)t->texts);
    fr_free(t->bytes);
    fr_arena_free(t->arena);
    fr_free(t);
}
