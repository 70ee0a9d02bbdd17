/* unigram.c: the pieces whose scores (log-probabilities) sum to the most (Kudo 2018), found from the left: for each
 * place of the text the best way to get there. Among equals the way that was found first stays. */
#include <math.h>
#include <string.h>

#include "text/tokenizer_parts.h"

#define SHORT 128

typedef struct way {
    double sum;
    size_t from; /* SIZE_MAX: none yet */
    int32_t id;  /* -1: not known */
} way;

static void offer(const fr_tokenizer *t, way *w, double sum, size_t from, int32_t id) {
    if (t->single) sum = (float)sum;
    if (w->from == SIZE_MAX || sum > w->sum) *w = (way){sum, from, id};
}

static void find_ways(const fr_tokenizer *t, const char *text, size_t bytes, way *ways) {
    for (size_t i = 0; i <= bytes; i++) ways[i] = (way){0, SIZE_MAX, -1};
    for (size_t i = 0, n; i < bytes; i += n) {
        int32_t c, node = 0;
        bool alone = false;
        n = fr_char_at(text + i, bytes - i, &c);
        for (size_t k = i; k < bytes; k++) {
            const fr_pair *p = fr_pairs_find(&t->trie.nodes, node, (uint8_t)text[k]);
            if (!p) break;
            node = p->id;
            if (p->rank < 0) continue;
            offer(t, &ways[k + 1], t->scores[p->rank] + ways[i].sum, i, p->rank);
            alone = alone || k + 1 - i == n;
        }
        if (!alone) offer(t, &ways[i + n], t->unknown_score + ways[i].sum, i, -1);
    }
}

/* The way to the end, turned round: from[i] of each place on it becomes the place after. */
static fr_status follow(const fr_tokenizer *t, const char *text, size_t bytes, way *ways,
                        fr_tokens *out) {
    size_t at = bytes, next = bytes;
    int32_t id = 0;
    while (at) {
        way w = ways[at];
        ways[at].from = next;
        ways[at].id = id;
        next = at;
        id = w.id;
        at = w.from;
    }
    ways[0].from = next;
    ways[0].id = id;
    while (at < bytes) {
        size_t end = ways[at].from;
        bool known = ways[at].id >= 0 && ways[at].id != t->unknown;
        if (known) {
            FR_TRY(fr_tokens_add(out, ways[at].id));
        } else {
            while (end < bytes && (ways[end].id < 0 || ways[end].id == t->unknown)) {
                end = ways[end].from;
            }
            const fr_string *whole =
                t->plain_find ? NULL : fr_strings_find(&t->names, text + at, end - at);
            bool is = whole && (t->tokens[whole->value].flags & FR_TOKEN_VOCAB);
            FR_TRY(is ? fr_tokens_add(out, whole->value)
                      : fr_put_unknown(t, text + at, end - at, out));
        }
        at = end;
    }
    return FR_OK;
}

fr_status fr_unigram_piece(const fr_tokenizer *t, const char *piece, size_t bytes, fr_tokens *out) {
    way here[SHORT + 1], *ways = here;
    if (bytes > SHORT) ways = fr_alloc_array(FR_MEM_OTHER, bytes + 1, sizeof *ways);
    if (!ways) return FR_NOMEM;
    find_ways(t, piece, bytes, ways);
    fr_status status = follow(t, piece, bytes, ways, out);
    if (ways != here) fr_free(ways);
    return status;
}
