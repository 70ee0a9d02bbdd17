/* quantize_text.c: the texts of `frugal quantize`: to calibrate on, and others to see what it cost.
 *
 * Of a file the first nine tenths are for calibration, in pieces that lie evenly in it, and the rest is for measuring.
 * Without a file both are lines of the world of text, of different splits. */
#include <stdlib.h>
#include <string.h>

#include "cli/quantize.h"

enum { ROOM = 4096, MOST_TEXT = 1 << 30 };

static fr_status add_ids(fr_texts *t, const int32_t *ids, size_t count) {
    for (size_t i = 0; i < count; i++) FR_TRY(fr_tokens_add(&t->ids, ids[i]));
    return fr_texts_end(t, 0);
}

/* ---- lines of the world ---- */

static fr_status add_line(const fr_tokenizer *k, const fr_line *l, int64_t most, fr_texts *t) {
    const size_t prompt = (size_t)l->prompt;
    if (fr_tokenizer_bos(k) >= 0) FR_TRY(fr_tokens_add(&t->ids, fr_tokenizer_bos(k)));
    FR_TRY(fr_tokenizer_encode(k, l->text, prompt, 0, &t->ids));
    size_t given = t->ids.count - t->ended;
    FR_TRY(fr_tokenizer_encode(k, l->text + prompt, (size_t)l->bytes - prompt, 0, &t->ids));
    if (fr_tokenizer_eos(k) >= 0) FR_TRY(fr_tokens_add(&t->ids, fr_tokenizer_eos(k)));
    if ((int64_t)(t->ids.count - t->ended) <= most) return fr_texts_end(t, given);
    t->ids.count = t->ended;
    return FR_OK;
}

static fr_status add_lines(const fr_tokenizer *k, fr_line_split split, uint64_t seed, int64_t most,
                           int64_t tokens, fr_texts *t) {
    fr_line line;
    for (uint64_t i = 0; (int64_t)t->ids.count < tokens && i < 10000000; i++) {
        fr_line_make(seed, i, -1, split, &line);
        FR_TRY(add_line(k, &line, most, t));
    }
    return FR_OK;
}

/* ---- a file ---- */

static bool holds_ids(const char *text) {
    return text[strspn(text, "0123456789, \t\r\n[]")] == 0 && text[strcspn(text, "0123456789")];
}

static fr_status read_ids(const char *text, const char *file, fr_tokens *ids) {
    for (const char *p = text; *(p += strcspn(p, "0123456789"));) {
        char *end;
        unsigned long id = strtoul(p, &end, 10);
        if (id > INT32_MAX)
            return fr_fail(FR_FORMAT, "%s holds the token %.20s, which no model has.", file, p);
        FR_TRY(fr_tokens_add(ids, (int32_t)id));
        p = end;
    }
    return FR_OK;
}

/* A model that is given ids needs no tokenizer. */
static fr_status encode(const fr_model *m, const char *text, size_t bytes, fr_tokens *ids) {
    fr_tokenizer *k;
    FR_TRY(fr_tokenizer_open(m->path, &k));
    fr_status st = fr_tokenizer_encode(k, text, bytes, FR_ENCODE_BOS, ids);
    fr_tokenizer_free(k);
    return st;
}

static fr_status read_file(const char *file, const fr_model *m, fr_tokens *ids) {
    char *text;
    size_t bytes;
    FR_TRY(fr_read_file(file, MOST_TEXT, &text, &bytes));
    fr_status st = FR_OK;
    if (!bytes)
        st = fr_fail(FR_INVALID, "%s is empty, and nothing can be calibrated on it.", file);
    else if (holds_ids(text) && strlen(text) == bytes)
        st = read_ids(text, file, ids);
    else
        st = encode(m, text, bytes, ids);
    fr_free(text);
    return st;
}

/* Pieces of `length` tokens that lie evenly in ids. */
static fr_status cut(const int32_t *ids, int64_t count, int64_t length, int64_t pieces,
                     fr_texts *t) {
    int64_t all = FR_MAX_OF(count / length, (int64_t)1), n = FR_MIN(all, pieces);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i * all / n * length;
        FR_TRY(add_ids(t, ids + at, (size_t)FR_MIN(length, count - at)));
    }
    return FR_OK;
}

static fr_status from_file(const fr_quantize_call *c, const fr_model *m, int64_t length,
                           fr_texts *calibrate, fr_texts *measure) {
    fr_tokens ids = {0};
    fr_status st = read_file(c->calibrate, m, &ids);
    int64_t n = (int64_t)ids.count, first = n - n / 10;
    if (!st && n < 2) st = fr_fail(FR_INVALID, "%s holds less than two tokens.", c->calibrate);
    if (!st) st = cut(ids.ids, first, length, c->samples, calibrate);
    if (!st && c->evaluate > 0 && n - first > 1)
        st = cut(ids.ids + first, n - first, length, (c->evaluate + length - 1) / length, measure);
    fr_free(ids.ids);
    return st;
}

static fr_status from_world(const fr_quantize_call *c, const fr_model *m, int64_t length,
                            fr_texts *calibrate, fr_texts *measure) {
    fr_tokenizer *k;
    bool wanted = fr_quantize_wants_texts(&c->o.recipe);
    if (!wanted && !c->evaluate) return FR_OK;
    FR_TRY(fr_tokenizer_open(m->path, &k));
    fr_status st = FR_OK;
    if (wanted) st = add_lines(k, FR_LINES_TRAIN, c->seed, length, c->samples * length, calibrate);
    if (!st) st = add_lines(k, FR_LINES_HELD_OUT, c->seed, length, c->evaluate, measure);
    fr_tokenizer_free(k);
    return st;
}

fr_status fr_quantize_texts(const fr_quantize_call *c, const fr_model *m, fr_texts *calibrate,
                            fr_texts *measure) {
    int64_t length = FR_MIN(c->tokens, m->decoder.context);
    return c->calibrate ? from_file(c, m, length, calibrate, measure)
                        : from_world(c, m, length, calibrate, measure);
}

/* ---- weighing ---- */

fr_status fr_quantize_weigh(const fr_model *m, const fr_texts *t, fr_pool *pool, fr_surprise *whole,
                            fr_surprise *answers) {
    const int64_t longest = fr_texts_width(t), room = FR_MAX_OF(longest, (int64_t)ROOM);
    fr_weigher *w;
    fr_surprise given = {0};
    *whole = *answers = (fr_surprise){0};
    FR_TRY(fr_weigher_new(m, m->pages, longest, room, pool, &w));
    fr_status st = fr_weigher_texts(w, t, (fr_surprise *[]){&given, answers});
    fr_weigher_free(w);
    *whole = *answers;
    whole->nats += given.nats, whole->tokens += given.tokens;
    return st;
}
