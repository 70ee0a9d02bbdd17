/* trie.c: tokens by their bytes, one table entry a byte; the root is node 0. */
#include "text/tokenizer_parts.h"

fr_status fr_trie_add(fr_trie *t, const char *text, size_t bytes, int32_t value) {
    int32_t node = 0;
    if (!t->count) t->count = 1;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)text[i];
        bool last = i + 1 == bytes;
        const fr_pair *there = fr_pairs_find(&t->nodes, node, byte);
        int32_t child = there ? there->id : t->count, ends = there ? there->rank : -1;
        if (!there && t->count == INT32_MAX) return fr_fail(FR_UNSUPPORTED, "too many tokens");
        if (!there) t->count++;
        if (!there || last) {
            FR_TRY(fr_pairs_put(&t->nodes, node, byte, last ? value : ends, child));
        }
        node = child;
    }
    return FR_OK;
}
