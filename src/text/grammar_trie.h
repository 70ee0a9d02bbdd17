/* grammar_trie.h: the bytes of all tokens as a tree, for those that walk through it. */
#ifndef FR_TEXT_GRAMMAR_TRIE_H
#define FR_TEXT_GRAMMAR_TRIE_H

#include "text/grammar.h"

typedef struct fr_trie_node {
    uint8_t byte;
    uint16_t depth;         /* of the byte in its token */
    uint32_t end;           /* the next node that is not below this one */
    uint32_t first, tokens; /* those that end here, in ids */
} fr_trie_node;

struct fr_token_trie {
    fr_trie_node *nodes;
    size_t count;
    int32_t *ids;
    uint32_t deepest;
    int32_t vocab;
    const char **texts; /* by id; NULL: in no text */
    uint32_t *bytes;
    fr_arena *arena;
};

#endif
