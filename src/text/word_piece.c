/* word_piece.c: a word is the longest token that it begins with, then the longest one for what is left, and so on; the
 * tokens inside a word begin with "##". A word that comes out so in no way is one unknown token. */
#include "text/tokenizer_parts.h"

/* The token and its bytes; 0: none. */
static size_t longest(const fr_tokenizer *t, int32_t node, const char *text, size_t bytes,
                      int32_t *id) {
    size_t best = 0;
    for (size_t i = 0; i < bytes; i++) {
        const fr_pair *p = fr_pairs_find(&t->trie.nodes, node, (uint8_t)text[i]);
        if (!p) break;
        node = p->id;
        if (p->rank < 0) continue;
        best = i + 1;
        *id = p->rank;
    }
    return best;
}

static int64_t chars_in(const char *text, size_t bytes) {
    int64_t count = 0;
    int32_t c;
    for (size_t i = 0; i < bytes; count++) i += fr_char_at(text + i, bytes - i, &c);
    return count;
}

fr_status fr_word_piece(const fr_tokenizer *t, const char *piece, size_t bytes, fr_tokens *out) {
    size_t before = out->count;
    bool good = bytes <= (size_t)t->word_most || chars_in(piece, bytes) <= t->word_most;
    for (size_t at = 0; good && at < bytes;) {
        int32_t id, node = at ? t->inside : 0;
        size_t n = node < 0 ? 0 : longest(t, node, piece + at, bytes - at, &id);
        good = n > 0;
        if (good) FR_TRY(fr_tokens_add(out, id));
        at += n;
    }
    if (good) return FR_OK;
    out->count = before;
    return fr_put_unknown(t, piece, bytes, out);
}
