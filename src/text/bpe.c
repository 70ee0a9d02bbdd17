/* bpe.c: learns merges from texts (Sennrich, Haddow, Birch 2016).
 *
 * Each distinct piece is kept once, with how often it stands. Counts of neighbouring pairs are kept up to date: a merge
 * visits the pieces that had its pair and no others. The next merge comes from a heap whose entries are
 * looked at again when they come up: counts of old pairs only fall, and pairs that grew are put in anew. The merges are
 * those of the trainer of the `tokenizers` package, one by one. */
#include <string.h>

#include "text/heap.h"
#include "text/tokenizer_parts.h"

/* Words with the mark or space before them, digits one by one, other marks with the line ends behind them, white
 * space: that of Llama 3 but for the digits. */
#define PATTERN                                                                                    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "                          \
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"                                                               \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define NO_NODE UINT32_MAX

typedef struct piece {
    size_t start; /* in symbols */
    uint32_t count;
    int64_t times;
} piece;

typedef struct pair {
    int32_t left, right;
    int64_t count;
    uint32_t places; /* the latest node of the words that had it at some time */
    bool grew;       /* in `grown` */
} pair;

typedef struct node {
    uint32_t word, next;
} node;

typedef struct training {
    fr_tokenizer *t;
    fr_arena *arena;   /* texts of the pieces */
    fr_strings pieces; /* to their words */
    piece *words;
    size_t word_count, word_cap;
    int32_t *symbols;
    size_t symbol_count, symbol_cap;
    fr_pairs index; /* rank: where in pairs */
    pair *pairs;
    size_t pair_count, pair_cap;
    node *nodes;
    size_t node_count, node_cap;
    fr_heap heap; /* (-count when it was put in, key of the pair) */
    int32_t *grown;
    size_t grown_count, grown_cap;
} training;

/* ---- the pieces ---- */

static fr_status count_piece(void *arg, const char *text, size_t bytes) {
    training *r = arg;
    fr_string *there = fr_strings_find(&r->pieces, text, bytes);
    if (there) {
        r->words[there->value].times++;
        return FR_OK;
    }
    if (r->word_count == INT32_MAX || bytes > INT32_MAX) {
        return fr_fail(FR_UNSUPPORTED, "more text than merges can be learned from");
    }
    char *copy = fr_arena_alloc(r->arena, bytes + 1);
    if (!copy) return FR_NOMEM;
    memcpy(copy, text, bytes);
    FR_TRY(fr_strings_add(&r->pieces, copy, bytes, (int32_t)r->word_count));
    FR_TRY(fr_grow((void **)&r->words, &r->word_cap, r->word_count + 1, sizeof *r->words));
    FR_TRY(
        fr_grow((void **)&r->symbols, &r->symbol_cap, r->symbol_count + bytes, sizeof *r->symbols));
    for (size_t i = 0; i < bytes; i++) {
        r->symbols[r->symbol_count + i] = r->t->byte_ids[(uint8_t)text[i]];
    }
    r->words[r->word_count++] = (piece){r->symbol_count, (uint32_t)bytes, 1};
    r->symbol_count += bytes;
    return FR_OK;
}

static fr_status count_all(training *r, fr_text_source *source, void *arg) {
    fr_pattern_scratch *scratch;
    FR_TRY(fr_pattern_scratch_new(&scratch));
    const char *text;
    size_t bytes;
    fr_status status = FR_OK;
    while (status == FR_OK && source(arg, &text, &bytes)) {
        status = fr_split_text(r->t, scratch, text, bytes, true, count_piece, r);
    }
    fr_pattern_scratch_free(scratch);
    return status;
}

/* ---- counts ---- */

static fr_status add_to_pair(training *r, int32_t left, int32_t right, int64_t times, uint32_t w) {
    fr_pair *there = fr_pairs_find(&r->index, left, right);
    int32_t at = there ? there->rank : (int32_t)r->pair_count;
    if (!there) {
        if (r->pair_count == INT32_MAX) return fr_fail(FR_UNSUPPORTED, "too many pairs of tokens");
        FR_TRY(fr_pairs_put(&r->index, left, right, at, 0));
        FR_TRY(fr_grow((void **)&r->pairs, &r->pair_cap, r->pair_count + 1, sizeof *r->pairs));
        r->pairs[r->pair_count++] = (pair){left, right, 0, NO_NODE, false};
    }
    pair *p = &r->pairs[at];
    p->count += times;
    if (times < 0) return FR_OK;
    if (!p->grew) {
        FR_TRY(fr_grow((void **)&r->grown, &r->grown_cap, r->grown_count + 1, sizeof *r->grown));
        r->grown[r->grown_count++] = at;
        p->grew = true;
    }
    if (p->places != NO_NODE && r->nodes[p->places].word == w) return FR_OK;
    if (r->node_count == NO_NODE) return fr_fail(FR_UNSUPPORTED, "too many places of pairs");
    FR_TRY(fr_grow((void **)&r->nodes, &r->node_cap, r->node_count + 1, sizeof *r->nodes));
    r->nodes[r->node_count] = (node){w, p->places};
    p->places = (uint32_t)r->node_count++;
    return FR_OK;
}

/* The most frequent pair comes out first, the smaller one of two. */
static fr_status push(training *r, const pair *p) {
    return fr_heap_push(&r->heap, (fr_heap_item){-p->count, fr_pair_key(p->left, p->right)});
}

static fr_status push_grown(training *r) {
    for (size_t i = 0; i < r->grown_count; i++) {
        pair *p = &r->pairs[r->grown[i]];
        p->grew = false;
        FR_TRY(push(r, p));
    }
    r->grown_count = 0;
    return FR_OK;
}

static fr_status count_pairs(training *r) {
    for (size_t w = 0; w < r->word_count; w++) {
        const piece *word = &r->words[w];
        for (uint32_t i = 0; i + 1 < word->count; i++) {
            const int32_t *s = r->symbols + word->start + i;
            FR_TRY(add_to_pair(r, s[0], s[1], word->times, (uint32_t)w));
        }
    }
    return push_grown(r);
}

/* Replaces the pair in one word, from left to right, each time as if it were the only one. */
static fr_status merge_in_word(training *r, uint32_t w, int32_t left, int32_t right, int32_t id) {
    piece *word = &r->words[w];
    int32_t *s = r->symbols + word->start;
    uint32_t kept = 0, count = word->count;
    for (uint32_t i = 0; i < count; i++) {
        bool here = s[i] == left && i + 1 < count && s[i + 1] == right;
        if (!here) {
            s[kept++] = s[i];
            continue;
        }
        FR_TRY(add_to_pair(r, left, right, -word->times, w));
        if (kept) {
            FR_TRY(add_to_pair(r, s[kept - 1], left, -word->times, w));
            FR_TRY(add_to_pair(r, s[kept - 1], id, word->times, w));
        }
        if (i + 2 < count) {
            FR_TRY(add_to_pair(r, right, s[i + 2], -word->times, w));
            FR_TRY(add_to_pair(r, id, s[i + 2], word->times, w));
        }
        s[kept++] = id;
        i++;
    }
    word->count = kept;
    return FR_OK;
}

/* The id of both names together, made where there is none; -1 where that is a special token, which no text may turn
 * into. */
static fr_status joined_id(fr_tokenizer *t, int32_t left, int32_t right, int32_t *id) {
    char *name;
    size_t bytes;
    FR_TRY(fr_tokenizer_join(t, left, right, &name, &bytes));
    const fr_string *there = fr_strings_find(&t->names, name, bytes);
    fr_status status = FR_OK;
    if (!there) {
        *id = (int32_t)t->size;
        status = fr_tokenizer_put(t, *id, name, bytes, FR_TOKEN_VOCAB);
    } else {
        *id = t->tokens[there->value].flags & FR_TOKEN_ADDED ? -1 : there->value;
    }
    fr_free(name);
    return status;
}

static fr_status merge_everywhere(training *r, const pair *p, int32_t id) {
    int32_t left = p->left, right = p->right; /* p moves when pairs are added */
    for (uint32_t n = p->places; n != NO_NODE; n = r->nodes[n].next) {
        FR_TRY(merge_in_word(r, r->nodes[n].word, left, right, id));
    }
    return push_grown(r);
}

static fr_status learn(training *r, int32_t vocab) {
    while (r->heap.count && fr_tokenizer_size(r->t) < vocab) {
        fr_heap_item item = fr_heap_pop(&r->heap);
        int32_t left = (int32_t)(item.second >> 32), right = (int32_t)item.second;
        const pair *p = &r->pairs[fr_pairs_find(&r->index, left, right)->rank];
        if (p->count < 2) continue;
        if (p->count != -item.first) {
            FR_TRY(push(r, p));
            continue;
        }
        int32_t id;
        FR_TRY(joined_id(r->t, left, right, &id));
        if (id < 0) continue;
        FR_TRY(fr_tokenizer_put_merge(r->t, left, right));
        FR_TRY(merge_everywhere(r, p, id));
    }
    return FR_OK;
}

/* ---- the tokenizer around it ---- */

static fr_status put_first_tokens(fr_tokenizer *t, const fr_bpe_opts *opts) {
    for (int i = 0; i < opts->special_count; i++) {
        const char *name = opts->special[i];
        size_t broken, bytes = strlen(name);
        if (!bytes || fr_utf8_valid(name, bytes, &broken) != bytes ||
            fr_strings_find(&t->names, name, bytes)) {
            return fr_fail(FR_INVALID,
                           "the special token \"%.100s\" is empty, stands twice or is "
                           "not UTF-8",
                           name);
        }
        FR_TRY(fr_tokenizer_put(t, i, name, bytes,
                                FR_TOKEN_VOCAB | FR_TOKEN_ADDED | FR_TOKEN_SPECIAL));
    }
    fr_byte_char chars[256];
    fr_byte_chars(chars);
    for (int b = 0; b < 256; b++) {
        int32_t id = opts->special_count + chars[b].order;
        t->byte_ids[b] = id;
        FR_TRY(fr_tokenizer_put(t, id, chars[b].utf8, chars[b].bytes, FR_TOKEN_VOCAB));
    }
    return FR_OK;
}

static fr_status begin(fr_tokenizer *t, const fr_bpe_opts *opts) {
    if (opts->special_count < 2 || opts->vocab < opts->special_count + 256) {
        return fr_fail(FR_INVALID,
                       "a vocabulary of %d tokens with %d special ones: it needs two special ones "
                       "or more, 256 bytes, and merges",
                       opts->vocab, opts->special_count);
    }
    fr_step split = {.kind = FR_STEP_SPLIT, .source = PATTERN};
    fr_step bytes = {.kind = FR_STEP_BYTES};
    FR_TRY(fr_tokenizer_reserve(t, (size_t)opts->special_count + 256,
                                (size_t)opts->special_count + 255));
    FR_TRY(put_first_tokens(t, opts));
    FR_TRY(fr_tokenizer_put_step(t, &split));
    FR_TRY(fr_tokenizer_put_step(t, &bytes));
    FR_TRY(fr_grow((void **)&t->around, &t->around_cap, 1, sizeof *t->around));
    t->around[0] = t->bos = 0;
    t->before = 1;
    t->eos = 1;
    return FR_OK;
}

static fr_status train(training *r, const fr_bpe_opts *opts, fr_text_source *source, void *arg) {
    FR_TRY(begin(r->t, opts));
    FR_TRY(count_all(r, source, arg));
    FR_TRY(count_pairs(r));
    FR_TRY(learn(r, opts->vocab));
    return fr_tokenizer_finish(r->t);
}

fr_status fr_bpe_train(const fr_bpe_opts *opts, fr_text_source *source, void *arg,
                       fr_tokenizer **out) {
    *out = NULL;
    training r = {0};
    r.arena = fr_arena_new();
    if (!r.arena) return FR_NOMEM;
    fr_status status = fr_tokenizer_new(&r.t);
    if (status == FR_OK) status = train(&r, opts, source, arg);
    if (status == FR_OK) {
        *out = r.t;
    } else {
        fr_tokenizer_free(r.t);
    }
    fr_strings_free(&r.pieces);
    fr_pairs_free(&r.index);
    fr_free(r.words);
    fr_free(r.symbols);
    fr_free(r.pairs);
    fr_free(r.nodes);
    fr_heap_free(&r.heap);
    fr_free(r.grown);
    fr_arena_free(r.arena);
    return status;
}
