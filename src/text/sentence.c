/* sentence.c: see sentence.h. SentencePiece merges whichever two neighbours make the piece with the highest score; here
 * all pairs that make a piece are listed once, so that merging goes by pairs of ids, as everywhere. */
#include "text/sentence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/read.h"

#define PIECE_MOST 512

fr_status fr_put_scored(fr_tokenizer *t, size_t id, const char *name, size_t bytes, double score,
                        int64_t type, uint32_t user_flags) {
    static const uint32_t flags[FR_PIECE_TYPES] = {
        [FR_PIECE_NORMAL] = FR_TOKEN_VOCAB,
        [FR_PIECE_UNKNOWN] = FR_TOKEN_VOCAB | FR_TOKEN_APART | FR_TOKEN_SPECIAL,
        [FR_PIECE_CONTROL] = FR_TOKEN_VOCAB | FR_TOKEN_APART | FR_TOKEN_SPECIAL | FR_TOKEN_ADDED,
        [FR_PIECE_USER] = FR_TOKEN_VOCAB,
        [FR_PIECE_UNUSED] = FR_TOKEN_VOCAB | FR_TOKEN_APART,
        [FR_PIECE_BYTE] = FR_TOKEN_VOCAB | FR_TOKEN_APART};
    size_t broken;
    if (fr_utf8_valid(name, bytes, &broken) != bytes || memchr(name, 0, bytes)) {
        return fr_fail(FR_FORMAT, "the name of token %zu is not text", id);
    }
    if (type < FR_PIECE_NORMAL || type >= FR_PIECE_TYPES) {
        return fr_fail(FR_FORMAT, "token %zu, \"%.*s\", is of the type %lld; 1 to 6 are known", id,
                       (int)FR_MIN(bytes, 100), name, (long long)type);
    }
    if (!isfinite(score)) {
        return fr_fail(FR_FORMAT, "token %zu, \"%.*s\", has no finite score", id,
                       (int)FR_MIN(bytes, 100), name);
    }
    uint32_t f = flags[type] | (type == FR_PIECE_USER ? user_flags : 0);
    if (type == FR_PIECE_UNKNOWN) t->unknown = (int32_t)id;
    t->scores[id] = score;
    char *ended = fr_arena_alloc(t->arena, bytes + 1); /* messages take names that end */
    if (!ended) return FR_NOMEM;
    memcpy(ended, name, bytes);
    return fr_tokenizer_put(t, (int64_t)id, ended, bytes, f);
}

/* ---- merges ---- */

static bool merges_into(const fr_token *token) {
    uint32_t f = token->flags & (FR_TOKEN_VOCAB | FR_TOKEN_APART | FR_TOKEN_USER | FR_TOKEN_ADDED);
    return token->name && f == FR_TOKEN_VOCAB;
}

/* The id of a half: a piece, or a character that is none but stands within one. -1: neither. */
static fr_status half_of(fr_tokenizer *t, const char *text, size_t bytes, int32_t *id) {
    const fr_string *s = fr_strings_find(&t->names, text, bytes);
    int32_t c;
    *id = -1;
    if (s && merges_into(&t->tokens[s->value])) *id = s->value;
    if (s || fr_char_at(text, bytes, &c) < bytes) return FR_OK;
    s = fr_strings_find(&t->parts, text, bytes);
    *id = s ? s->value : (int32_t)(t->size + t->parts.count);
    return s ? FR_OK : fr_strings_add(&t->parts, text, bytes, *id);
}

static fr_status put_pairs(fr_tokenizer *t, int32_t id, int32_t rank) {
    const fr_token *token = &t->tokens[id];
    size_t first;
    int32_t c;
    if (token->name_bytes > PIECE_MOST) {
        return fr_fail(FR_UNSUPPORTED, "the token %d is %u bytes long; up to %d are merged", id,
                       token->name_bytes, PIECE_MOST);
    }
    if (!token->name_bytes) return FR_OK;
    first = fr_char_at(token->name, token->name_bytes, &c);
    for (size_t n = first; n < token->name_bytes;) {
        int32_t left, right;
        FR_TRY(half_of(t, token->name, n, &left));
        FR_TRY(half_of(t, token->name + n, token->name_bytes - n, &right));
        if (left >= 0 && right >= 0) {
            FR_TRY(
                fr_grow((void **)&t->merges, &t->merge_cap, t->merge_count + 1, sizeof *t->merges));
            t->merges[t->merge_count++] = (fr_merge){left, right, id};
            FR_TRY(fr_pairs_put(&t->pairs, left, right, rank, id));
        }
        n += fr_char_at(token->name + n, token->name_bytes - n, &c);
    }
    return FR_OK;
}

static int by_score(const void *a, const void *b, void *arg) {
    const double *scores = arg;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (scores[x] != scores[y]) return scores[x] > scores[y] ? -1 : 1;
    return x < y ? -1 : x > y;
}

fr_status fr_merge_by_scores(fr_tokenizer *t) {
    int32_t *order = fr_alloc_array(FR_MEM_OTHER, t->size + 1, sizeof *order), rank = 0;
    fr_status status = order ? FR_OK : FR_NOMEM;
    size_t count = 0;
    if (!order) return status;
    for (size_t i = 0; i < t->size; i++) {
        if (merges_into(&t->tokens[i])) order[count++] = (int32_t)i;
    }
    if (count) qsort_r(order, count, sizeof *order, by_score, t->scores);
    for (size_t i = 0; status == FR_OK && i < count; i++) {
        /* Equals share a rank: then the leftmost pair of the text comes first, whichever it is. */
        rank += i && t->scores[order[i]] != t->scores[order[i - 1]];
        status = put_pairs(t, order[i], rank);
    }
    fr_free(order);
    return status;
}

void fr_set_scores(fr_tokenizer *t) {
    double least = INFINITY;
    for (size_t i = 0; i < t->score_count; i++) {
        if (merges_into(&t->tokens[i])) least = FR_MIN(least, t->scores[i]);
    }
    t->unknown_score = (double)(float)((isfinite(least) ? least : 0) - FR_UNKNOWN_PENALTY);
    for (size_t i = 0; i < t->score_count; i++) {
        if (!(t->tokens[i].flags & FR_TOKEN_USER)) continue;
        t->scores[i] = 1;
    }
}

/* ---- parts ---- */

fr_status fr_read_part(fr_tokenizer *t, fr_part_reader *read, const char *json) {
    fr_json *j;
    FR_TRY(fr_json_parse(json, strlen(json), "a part of a tokenizer", &j));
    fr_status status = read(t, j);
    fr_json_free(j);
    return status;
}

fr_status fr_read_space_decoder(fr_tokenizer *t, int strip) {
#define BACK                                                                                       \
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"          \
    "\"\\u2581\"},"                                                                                \
    "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}"
    if (!strip) return fr_read_part(t, fr_read_decoder, BACK "]}");
    char *json =
        fr_format(BACK ",{\"type\":\"Strip\",\"content\":\" \",\"start\":%d,\"stop\":0}]}", strip);
    fr_status status = json ? fr_read_part(t, fr_read_decoder, json) : FR_NOMEM;
    fr_free(json);
    return status;
}
