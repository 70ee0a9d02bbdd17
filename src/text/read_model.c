/* read_model.c: of a tokenizer.json, the model: BPE, Unigram, WordPiece, with its vocabulary. */
#include <math.h>
#include <string.h>

#include "text/read.h"

/* ---- vocabulary and merges ---- */

static fr_status read_vocab(fr_tokenizer *t, const fr_json *vocab) {
    if (!json_is_object(vocab)) return fr_fail(FR_FORMAT, "the model has no \"vocab\"");
    json_t *j = (json_t *)(uintptr_t)vocab; /* Jansson walks objects that it may change */
    size_t most = 0;
    for (void *at = json_object_iter(j); at; at = json_object_iter_next(j, at)) {
        const json_t *id = json_object_iter_value(at);
        if (!json_is_integer(id)) {
            return fr_fail(FR_FORMAT, "the token \"%.100s\" has no whole number as its id",
                           json_object_iter_key(at));
        }
        most = FR_MAX_OF(most, (size_t)FR_MAX_OF(json_integer_value(id), 0));
    }
    /* The ids come in any order: all must fit from the first on. */
    FR_TRY(fr_tokenizer_reserve(t, json_object_size(vocab), most));
    for (void *at = json_object_iter(j); at; at = json_object_iter_next(j, at)) {
        const char *name = json_object_iter_key(at);
        FR_TRY(fr_tokenizer_put(t, json_integer_value(json_object_iter_value(at)), name,
                                strlen(name), FR_TOKEN_VOCAB));
    }
    return FR_OK;
}

static fr_status side_of_merge(const fr_tokenizer *t, const char *name, size_t bytes, int32_t *id) {
    const fr_string *s = fr_strings_find(&t->names, name, bytes);
    *id = s ? s->value : -1;
    if (s) return FR_OK;
    return fr_fail(FR_FORMAT, "a merge has \"%.*s\", which is no token", (int)FR_MIN(bytes, 100),
                   name);
}

/* "a b" or ["a", "b"]. */
static fr_status read_merge(fr_tokenizer *t, const fr_json *m, size_t rank) {
    const char *left, *right;
    size_t left_bytes;
    if (json_is_string(m)) {
        left = json_string_value(m);
        const char *space = strchr(left, ' ');
        if (!space || strchr(space + 1, ' ')) {
            return fr_fail(FR_FORMAT, "merge %zu, \"%.100s\", is not two tokens", rank, left);
        }
        left_bytes = (size_t)(space - left);
        right = space + 1;
    } else {
        left = json_string_value(json_array_get(m, 0));
        right = json_string_value(json_array_get(m, 1));
        if (!left || !right || json_array_size(m) != 2) {
            return fr_fail(FR_FORMAT, "merge %zu is not two tokens", rank);
        }
        left_bytes = strlen(left);
    }
    int32_t a, b;
    FR_TRY(side_of_merge(t, left, left_bytes, &a));
    FR_TRY(side_of_merge(t, right, strlen(right), &b));
    return fr_tokenizer_put_merge(t, a, b);
}

static fr_status read_merges(fr_tokenizer *t, const fr_json *merges) {
    if (!json_is_array(merges)) return fr_fail(FR_FORMAT, "the model has no \"merges\"");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        FR_TRY(read_merge(t, json_array_get(merges, i), i));
    }
    return FR_OK;
}

/* ---- the kinds ---- */

static fr_status read_unknown(fr_tokenizer *t, const fr_json *m) {
    const char *name;
    FR_TRY(fr_json_string(m, "unk_token", NULL, &name));
    t->unknown = name ? fr_tokenizer_find(t, name) : -1;
    if (!name || t->unknown >= 0) return FR_OK;
    return fr_fail(FR_FORMAT, "the \"unk_token\" \"%.100s\" is no token", name);
}

static fr_status read_bpe(fr_tokenizer *t, const fr_json *m) {
    double dropout;
    const char *text;
    t->model = FR_PIECES_CHARS; /* until the pre-tokenizer says ByteLevel */
    FR_TRY(fr_json_f64(m, "dropout", 0, &dropout));
    if (dropout != 0) {
        return fr_fail(FR_UNSUPPORTED,
                       "the model has a \"dropout\" of %g, which would leave out "
                       "merges by chance",
                       dropout);
    }
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < FR_COUNT(affixes); i++) {
        FR_TRY(fr_json_string(m, affixes[i], "", &text));
        if (*text) {
            return fr_fail(FR_UNSUPPORTED, "the model has a \"%s\", which Frugal cannot do",
                           affixes[i]);
        }
    }
    FR_TRY(fr_json_bool(m, "ignore_merges", false, &t->ignore_merges));
    FR_TRY(fr_json_bool(m, "byte_fallback", false, &t->byte_fallback));
    FR_TRY(fr_json_bool(m, "fuse_unk", false, &t->fuse_unknown));
    FR_TRY(read_vocab(t, fr_json_get(m, "vocab")));
    FR_TRY(read_unknown(t, m));
    return read_merges(t, fr_json_get(m, "merges"));
}

static fr_status read_word_piece(fr_tokenizer *t, const fr_json *m) {
    const char *prefix;
    t->model = FR_PIECES_WORDS;
    FR_TRY(fr_json_string(m, "continuing_subword_prefix", "##", &prefix));
    FR_TRY(fr_json_i64(m, "max_input_chars_per_word", 100, &t->word_most));
    if (t->word_most < 0 || t->word_most > 1000000) {
        return fr_fail(FR_FORMAT, "a \"max_input_chars_per_word\" of %lld is absurd",
                       (long long)t->word_most);
    }
    t->prefix = fr_arena_strdup(t->arena, prefix);
    if (!t->prefix) return FR_NOMEM;
    FR_TRY(read_vocab(t, fr_json_get(m, "vocab")));
    FR_TRY(read_unknown(t, m));
    return t->unknown >= 0 ? FR_OK : fr_fail(FR_FORMAT, "WordPiece has no \"unk_token\"");
}

/* [["<unk>", 0.0], ["a", -3.5]]: the place is the id. */
static fr_status read_unigram(fr_tokenizer *t, const fr_json *m) {
    const fr_json *vocab = fr_json_get(m, "vocab");
    size_t count = json_array_size(vocab);
    int64_t unknown;
    t->model = FR_PIECES_UNIGRAM;
    if (!count) return fr_fail(FR_FORMAT, "the model has no \"vocab\"");
    FR_TRY(fr_json_bool(m, "byte_fallback", false, &t->byte_fallback));
    FR_TRY(fr_json_i64(m, "unk_id", -1, &unknown));
    if (unknown >= (int64_t)count || unknown < 0) {
        return fr_fail(FR_FORMAT, "the \"unk_id\" %lld of Unigram is no token", (long long)unknown);
    }
    t->unknown = (int32_t)unknown;
    FR_TRY(fr_tokenizer_reserve(t, count, count - 1));
    FR_TRY(fr_tokenizer_reserve_scores(t, count));
    double least = INFINITY;
    for (size_t i = 0; i < count; i++) {
        const fr_json *pair = json_array_get(vocab, i), *score = json_array_get(pair, 1);
        const char *name = json_string_value(json_array_get(pair, 0));
        if (!name || !json_is_number(score)) {
            return fr_fail(FR_FORMAT, "entry %zu of the vocabulary is not a text and a score", i);
        }
        FR_TRY(fr_tokenizer_put(t, (int64_t)i, name, strlen(name), FR_TOKEN_VOCAB));
        t->scores[i] = json_number_value(score);
        least = FR_MIN(least, t->scores[i]);
    }
    t->unknown_score = least - FR_UNKNOWN_PENALTY;
    return FR_OK;
}

fr_status fr_read_model(fr_tokenizer *t, const fr_json *m) {
    const char *type;
    if (!json_is_object(m)) return fr_fail(FR_FORMAT, "there is no \"model\"");
    FR_TRY(fr_json_string(m, "type", "BPE", &type)); /* old files name none */
    if (strcmp(type, "BPE") == 0) return read_bpe(t, m);
    if (strcmp(type, "WordPiece") == 0) return read_word_piece(t, m);
    if (strcmp(type, "Unigram") == 0) return read_unigram(t, m);
    return fr_read_refuse("model", type);
}
