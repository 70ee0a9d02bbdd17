/* quantize_encoder.c: `frugal quantize` of an encoder of texts: the texts, and what it did to vectors.
 *
 * Of a file each line is a text, and every tenth is kept for measuring. Without one the texts are, a quarter each,
 * sentences of everyday English, lines of the world of text, sentences of which a third of the pieces is another one
 * of the vocabulary by lot, and such of which all are; measured is on other sentences and on held out lines. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/quantize.h"
#include "text/text.h"
#include "world/world.h"

enum { SAMPLES = 600, MEASURE = 200, MOST_TEXT = 1 << 30 };

typedef struct lines {
    fr_arena *arena;
    const char **text;
    size_t count, cap;
} lines;

typedef struct texts {
    fr_tokenizer *k;
    int64_t most;    /* tokens of a text */
    int32_t *length; /* of each */
    size_t count, cap;
    fr_tokens ids;
    lines measure;
} texts;

typedef struct likeness {
    size_t texts;
    double mean, least, same; /* cosines; share of texts whose nearest other text is the same */
} likeness;

/* ---- texts ---- */

static fr_status keep_line(lines *l, const char *text) {
    FR_TRY(fr_grow((void **)&l->text, &l->cap, l->count + 1, sizeof *l->text));
    l->text[l->count] = fr_arena_strdup(l->arena, text);
    return l->text[l->count++] ? FR_OK : FR_NOMEM;
}

/* What was added to the ids since `first` is a text; it may have lost its end. */
static fr_status end_text(texts *t, size_t first) {
    const size_t n = FR_MIN(t->ids.count - first, (size_t)t->most);
    t->ids.count = first + n;
    if (!n) return FR_OK;
    FR_TRY(fr_grow((void **)&t->length, &t->cap, t->count + 1, sizeof *t->length));
    t->length[t->count++] = (int32_t)n;
    return FR_OK;
}

static fr_status add_text(texts *t, const char *text) {
    const size_t first = t->ids.count;
    FR_TRY(fr_tokenizer_encode(t->k, text, strlen(text), FR_ENCODE_BOS, &t->ids));
    return end_text(t, first);
}

/* A piece by lot that is a part of texts. */
static int32_t piece(const texts *t, fr_rng *r) {
    const uint32_t size = (uint32_t)fr_tokenizer_size(t->k);
    int32_t id = (int32_t)fr_rng_below(r, size);
    for (int i = 0; i < 100 && fr_tokenizer_special(t->k, id); i++)
        id = (int32_t)fr_rng_below(r, size);
    return id;
}

/* The text, with one of so many of its pieces changed to another by lot. */
static fr_status add_changed(texts *t, const char *text, uint64_t seed, uint64_t number,
                             uint32_t every) {
    const size_t first = t->ids.count, before = t->count;
    fr_rng r = fr_rng_new(seed, fr_random_stream("pieces") + number);
    FR_TRY(add_text(t, text));
    for (size_t i = first; t->count > before && i < t->ids.count; i++)
        if (!fr_tokenizer_special(t->k, t->ids.ids[i]) && !fr_rng_below(&r, every))
            t->ids.ids[i] = piece(t, &r);
    return FR_OK;
}

static void world_line(uint64_t seed, uint64_t number, fr_line_split split, char *text) {
    fr_line line;
    fr_line_make(seed, number, -1, split, &line);
    memcpy(text, line.text, (size_t)line.bytes);
    text[line.bytes] = 0;
}

static fr_status made_texts(const fr_quantize_call *c, int64_t samples, int64_t measure, texts *t) {
    char text[FR_LINE_TEXT + 1];
    for (int64_t i = 0; i < samples; i++) {
        const uint64_t number = (uint64_t)i;
        if (i % 4 == 1)
            world_line(c->seed, number, FR_LINES_TRAIN, text);
        else
            fr_sentence_make(c->seed, number, text);
        if (i % 4 < 2)
            FR_TRY(add_text(t, text));
        else
            FR_TRY(add_changed(t, text, c->seed, number, i % 4 == 2 ? 3 : 1));
    }
    for (int64_t i = 0; i < measure; i++) {
        if (i % 2)
            world_line(c->seed, (uint64_t)i, FR_LINES_HELD_OUT, text);
        else
            fr_sentence_make(c->seed, (uint64_t)(samples + i), text);
        FR_TRY(keep_line(&t->measure, text));
    }
    return FR_OK;
}

static fr_status file_texts(const fr_quantize_call *c, int64_t samples, int64_t measure, texts *t) {
    char *memory;
    size_t bytes;
    int64_t number = 0;
    FR_TRY(fr_read_file(c->calibrate, MOST_TEXT, &memory, &bytes));
    fr_status st = FR_OK;
    if (memchr(memory, 0, bytes))
        st = fr_fail(FR_FORMAT, "%s holds zero bytes, so it is no text.", c->calibrate);
    for (char *at = memory, *end = memory + bytes; at < end && !st; number++) {
        char *stop = at + strcspn(at, "\n"), *next = stop + 1;
        *stop = 0;
        if (stop > at && stop[-1] == '\r') stop[-1] = 0;
        if (number % 10 == 9 && (int64_t)t->measure.count < measure)
            st = keep_line(&t->measure, at);
        else if (number % 10 != 9 && (int64_t)t->count < samples)
            st = add_text(t, at);
        at = next;
    }
    fr_free(memory);
    if (!st && !t->count)
        st = fr_fail(FR_INVALID, "%s is empty, and nothing can be calibrated on it.", c->calibrate);
    return st;
}

static fr_status find_texts(const fr_quantize_call *c, const fr_encoder_folder *m, texts *t) {
    const int64_t samples = c->samples ? c->samples : SAMPLES;
    const int64_t measure = c->evaluate < 0 ? MEASURE : c->evaluate;
    t->most = FR_MIN(c->tokens, m->encoder.context);
    t->measure.arena = fr_arena_new();
    if (!t->measure.arena) return FR_NOMEM;
    FR_TRY(fr_tokenizer_open(m->path, &t->k));
    return c->calibrate ? file_texts(c, samples, measure, t) : made_texts(c, samples, measure, t);
}

static void texts_free(texts *t) {
    fr_tokenizer_free(t->k);
    fr_free(t->length);
    fr_free(t->ids.ids);
    fr_free(t->measure.text);
    fr_arena_free(t->measure.arena);
}

/* ---- vectors before and after ---- */

/* x [count][width], of length 1; fr_free it. */
static fr_status vectors(const char *folder, fr_pool *pool, const lines *l, float **x,
                         int64_t *width) {
    fr_embedder *e;
    *x = NULL;
    FR_TRY(fr_embedder_open(folder, pool, &e));
    const int64_t n = *width = fr_embedder_width(e);
    *x = fr_alloc_array(FR_MEM_OTHER, (l->count + 1) * (size_t)n, sizeof **x);
    fr_status st = *x ? fr_embed(e, l->text, l->count, *x, NULL) : FR_NOMEM;
    fr_embedder_free(e);
    for (size_t i = 0; !st && i < l->count; i++) {
        double squares = 0;
        float *row = *x + i * (size_t)n;
        for (int64_t k = 0; k < n; k++) squares += (double)row[k] * (double)row[k];
        for (int64_t k = 0; k < n && squares > 0; k++)
            row[k] = (float)((double)row[k] / sqrt(squares));
    }
    return st;
}

static double product(const float *a, const float *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static size_t nearest(const float *x, size_t count, int64_t n, size_t row) {
    double most = -2;
    size_t at = row;
    for (size_t i = 0; i < count; i++) {
        const double near = i == row ? -2 : product(x + row * (size_t)n, x + i * (size_t)n, n);
        if (near > most) most = near, at = i;
    }
    return at;
}

static void compare(const float *was, const float *now, size_t count, int64_t n, likeness *out) {
    *out = (likeness){.texts = count, .least = 2};
    for (size_t i = 0; i < count; i++) {
        const double like = product(was + i * (size_t)n, now + i * (size_t)n, n);
        out->mean += like / (double)count;
        out->least = FR_MIN(out->least, like);
        out->same += (nearest(was, count, n, i) == nearest(now, count, n, i)) / (double)count;
    }
}

/* ---- the work ---- */

static fr_status choose_recipe(fr_quantize_call *c) {
    if (c->blocks)
        return fr_fail(FR_UNSUPPORTED,
                       "There is no GGUF of encoders: the recipe %s is for decoders.", c->recipe);
    if (c->of_decoders)
        return fr_fail(FR_INVALID,
                       "An encoder takes --format, --range-search and --gptq of the recipe's "
                       "switches; the others are for decoders.");
    if (!c->recipe) c->o.recipe.name = fr_encoder_recipes[0].name;
    return FR_OK;
}

static fr_status fit(const fr_quantize_call *c, const fr_encoder_folder *m) {
    char need[32], have[32];
    const double bytes = fr_encoder_quantize_bytes(&m->encoder, &c->o);
    fr_show_bytes(need, bytes);
    if (c->memory > 0 && bytes > c->memory)
        return fr_fail(FR_NOMEM, "Quantizing %s takes %s of memory, and %s are allowed.", m->path,
                       need, fr_show_bytes(have, c->memory));
    if (!fr_is_quiet()) fprintf(stderr, "memory: at most %s beside the mapped file\n", need);
    return FR_OK;
}

static void on_progress(void *arg, double layers) {
    fr_progress_update(arg, layers);
}

static fr_status make(fr_quantize_call *c, const fr_encoder_folder *m, const texts *t,
                      fr_quantize_report *report, likeness *like) {
    float *was = NULL, *now = NULL;
    int64_t width;
    fr_status st = FR_OK;
    if (t->measure.count) st = vectors(m->path, c->o.pool, &t->measure, &was, &width);
    if (!st) {
        fr_progress bar = fr_progress_start("quantizing", (double)m->encoder.layers, "layers");
        c->o.on_progress = on_progress, c->o.arg = &bar;
        st = fr_encoder_quantize(m, c->out, &c->o, report);
        fr_progress_end(&bar);
    }
    if (!st && t->measure.count) st = vectors(c->out, c->o.pool, &t->measure, &now, &width);
    if (!st && t->measure.count) compare(was, now, t->measure.count, width, like);
    fr_free(was);
    fr_free(now);
    return st;
}

static void print_outcome(const fr_quantize_call *c, const fr_quantize_report *r, double bytes,
                          const likeness *like, double seconds) {
    char a[32], b[32];
    fr_quantize_print_layers(r, false);
    printf("\nlinears: %.2f bits a weight; file: %s, before %s (%.2f times smaller)\n",
           r->linear_bits, fr_show_bytes(a, r->bytes), fr_show_bytes(b, bytes),
           r->bytes > 0 ? bytes / r->bytes : 0);
    if (like->texts)
        printf("cosine of vectors before and after: %.5f on average, %.5f at least; the same "
               "nearest text for "
               "%.1f%% of %zu\n",
               like->mean, like->least, 100 * like->same, like->texts);
    printf("%s: %s in %s, %s\n", c->out, c->o.recipe.name, c->o.recipe.format,
           fr_show_time(a, seconds));
}

static fr_status write_json(const fr_quantize_call *c, const fr_quantize_report *r, double bytes,
                            const likeness *like) {
    fr_json *j = json_pack("{ss ss ss sf sf sf sf sf sf}", "model", c->model, "recipe",
                           c->o.recipe.name, "weights", c->o.recipe.format, "bits_a_weight",
                           r->linear_bits, "bytes", r->bytes, "bytes_before", bytes, "cosine",
                           like->mean, "least_cosine", like->least, "same_nearest", like->same);
    fr_status st = j ? fr_json_save(j, c->json) : fr_fail(FR_NOMEM, "The figures are no JSON.");
    fr_json_free(j);
    return st;
}

fr_status fr_quantize_encoder(fr_quantize_call *c, const fr_encoder_folder *m) {
    texts t = {0};
    likeness like = {0};
    fr_quantize_report report = {0};
    const double begin = fr_now();
    double bytes = 0;
    FR_TRY(choose_recipe(c));
    FR_TRY(fr_cli_pool(&c->o.pool));
    fr_interrupt_watch();
    for (size_t i = 0; i < fr_store_count(m->store); i++)
        bytes += (double)fr_bytes(fr_store_shape(m->store, i));
    fr_status st = find_texts(c, m, &t);
    c->o.ids = t.ids.ids, c->o.length = t.length, c->o.texts = t.count;
    if (!st) st = fit(c, m);
    if (!st) st = make(c, m, &t, &report, &like);
    if (!st) print_outcome(c, &report, bytes, &like, fr_now() - begin);
    if (!st && c->json) st = write_json(c, &report, bytes, &like);
    fr_free(report.layer);
    texts_free(&t);
    return st;
}
