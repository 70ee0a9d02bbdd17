/* embed.c: texts -> tokens -> states of an encoder -> a vector each.
 *
 * Texts go through in batches of about the same length (Reimers and Gurevych, "Sentence-BERT", 2019, pool the states
 * so); what fills up a row is masked, and does not count in the mean. */
#include "text/embed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "text/embed_parts.h"
#include "text/tokenizer.h"

enum {
    ROWS = 32,   /* of a run */
    TOKENS = 16, /* widths are multiples of this, so that few plans serve all */
};

struct fr_embedder {
    fr_encoder m;
    fr_pooling pooling;
    int64_t most;
    size_t behind; /* tokens that stand behind every text */
    fr_store *store;
    fr_tokenizer *tokenizer;
    fr_graph *graph;
    fr_session *session;
    int32_t *ids, *pos, *length; /* of a run */
};

/* ---- opening ---- */

static fr_status read_config(fr_embedder *e, const char *path) {
    const char *kind;
    const fr_json *config = fr_store_config(e->store, "config.json");
    if (!config && fr_message()[0]) return FR_FORMAT;
    if (!config)
        return fr_fail(FR_FORMAT, "%s has no config.json, which says what kind of model it is.",
                       path);
    FR_TRY(fr_json_string(config, "model_type", "", &kind));
    if (strcmp(kind, "bert"))
        return fr_fail(FR_UNSUPPORTED,
                       "%s is no encoder of texts: its model_type is \"%s\", and embeddings need "
                       "\"bert\".",
                       path, kind);
    return fr_encoder_read(config, &e->m);
}

/* How many tokens a text gets before and behind it: the empty text is nothing but these. */
static fr_status read_frame(fr_embedder *e) {
    fr_tokens t = {0};
    fr_status st = fr_tokenizer_encode(e->tokenizer, "", 0, FR_ENCODE_BOS, &t);
    if (!st && !t.count) st = fr_fail(FR_UNSUPPORTED, "The tokenizer puts no token before a text.");
    if (!st && e->most <= (int64_t)t.count)
        st = fr_fail(FR_FORMAT, "Texts of at most %lld tokens leave no room for words.",
                     (long long)e->most);
    e->behind = t.count ? t.count - 1 : 0;
    fr_free(t.ids);
    if (!st && fr_tokenizer_size(e->tokenizer) > e->m.vocab)
        st = fr_fail(FR_FORMAT, "The tokenizer has %d tokens, and the encoder only %lld.",
                     (int)fr_tokenizer_size(e->tokenizer), (long long)e->m.vocab);
    return st;
}

static fr_status build(fr_embedder *e, fr_pool *pool) {
    fr_graph *g = e->graph = fr_graph_new();
    if (!g) return FR_NOMEM;
    const fr_encoder_opts o = {.store = e->store};
    const fr_session_opts so = {.pool = pool};
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){ROWS, TOKENS});
    fr_val pos = fr_input(g, "pos", FR_I32, 1, (int64_t[]){TOKENS});
    fr_val length = fr_input(g, "length", FR_I32, 1, (int64_t[]){ROWS});
    fr_output(g, "states", fr_encoder_body(g, &e->m, &o, ids, pos, FR_NONE, length));
    FR_TRY(fr_graph_check(g));
    FR_TRY(fr_fuse(g, FR_FUSE_ALL, NULL));
    FR_TRY(fr_session_new_with(g, &so, &e->session));
    return fr_session_load(e->session, e->store);
}

static fr_status make_room(fr_embedder *e) {
    const size_t n = (size_t)fr_round_up((size_t)e->most, TOKENS);
    e->ids = fr_alloc_array(FR_MEM_OTHER, ROWS * n, sizeof *e->ids);
    e->pos = fr_alloc_array(FR_MEM_OTHER, n, sizeof *e->pos);
    e->length = fr_alloc_array(FR_MEM_OTHER, ROWS, sizeof *e->length);
    return e->ids && e->pos && e->length ? FR_OK : FR_NOMEM;
}

static fr_status open_all(fr_embedder *e, const char *path, fr_pool *pool) {
    FR_TRY(fr_store_open(path, &e->store));
    FR_TRY(read_config(e, path));
    FR_TRY(fr_pooling_read(path, &e->pooling));
    e->most = e->m.context;
    if (e->pooling.most && e->pooling.most < e->most) e->most = e->pooling.most;
    FR_TRY(fr_tokenizer_open(path, &e->tokenizer));
    FR_TRY(read_frame(e));
    FR_TRY(make_room(e));
    return build(e, pool);
}

fr_status fr_embedder_open(const char *name, fr_pool *pool, fr_embedder **out) {
    char *path;
    *out = NULL;
    FR_TRY(fr_model_find(name, &path));
    fr_embedder *e = fr_alloc(FR_MEM_OTHER, sizeof *e);
    fr_status st = FR_NOMEM;
    if (e) {
        *e = (fr_embedder){0};
        st = open_all(e, path, pool);
        if (st)
            fr_embedder_free(e);
        else
            *out = e;
    }
    fr_free(path);
    return st;
}

void fr_embedder_free(fr_embedder *e) {
    if (!e) return;
    fr_session_free(e->session);
    fr_graph_free(e->graph);
    fr_tokenizer_free(e->tokenizer);
    fr_store_close(e->store);
    fr_free(e->ids);
    fr_free(e->pos);
    fr_free(e->length);
    fr_free(e);
}

int64_t fr_embedder_width(const fr_embedder *e) {
    return e->m.width;
}

int64_t fr_embedder_most(const fr_embedder *e) {
    return e->most;
}

/* ---- embedding ---- */

typedef struct text {
    fr_tokens ids;
    float *out;
} text;

/* What is too long loses the end of its words and keeps what stands behind every text. */
static bool shorten(const fr_embedder *e, fr_tokens *t) {
    const size_t most = (size_t)e->most, n = t->count;
    if (n <= most) return false;
    memmove(t->ids + most - e->behind, t->ids + n - e->behind, e->behind * sizeof *t->ids);
    t->count = most;
    return true;
}

static int by_length(const void *a, const void *b) {
    const text *x = a, *y = b;
    if (x->ids.count != y->ids.count) return x->ids.count < y->ids.count ? -1 : 1;
    return (x->out > y->out) - (x->out < y->out);
}

/* The mean of the states of n tokens, or the first; sums are doubles. */
static void pool_row(const fr_embedder *e, const float *states, int64_t n, float *out) {
    const int64_t width = e->m.width, count = e->pooling.first ? 1 : n;
    double squares = 0;
    for (int64_t j = 0; j < width; j++) {
        double sum = 0;
        for (int64_t i = 0; i < count; i++) sum += (double)states[i * width + j];
        sum /= (double)count;
        out[j] = (float)sum;
        squares += sum * sum;
    }
    if (!e->pooling.normalize || squares <= 0) return;
    for (int64_t j = 0; j < width; j++) out[j] = (float)((double)out[j] / sqrt(squares));
}

static fr_status run_rows(fr_embedder *e, const text *t, int64_t rows) {
    const int64_t longest = (int64_t)t[rows - 1].ids.count;
    const int64_t n = (int64_t)fr_round_up((size_t)longest, TOKENS);
    /* No position beyond the last that has an embedding. */
    const int64_t width = FR_MIN(n, e->m.context);
    for (int64_t r = 0; r < rows; r++) {
        const fr_tokens *ids = &t[r].ids;
        e->length[r] = (int32_t)ids->count;
        for (int64_t i = 0; i < width; i++)
            e->ids[r * width + i] = i < e->length[r] ? ids->ids[i] : 0;
    }
    for (int64_t i = 0; i < width; i++) e->pos[i] = (int32_t)i;
    const fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){rows, width}, e->ids),
                            fr_tensor_make(FR_I32, 1, &width, e->pos),
                            fr_tensor_make(FR_I32, 1, &rows, e->length)};
    FR_TRY(fr_session_run(e->session, in, 3));
    const float *states = fr_session_output(e->session, "states")->data;
    for (int64_t r = 0; r < rows; r++)
        pool_row(e, states + r * width * e->m.width, e->length[r], t[r].out);
    return FR_OK;
}

static fr_status embed_all(fr_embedder *e, const char *const *texts, size_t count, text *t,
                           float *out, size_t *cut) {
    for (size_t i = 0; i < count; i++) {
        t[i].out = out + i * (size_t)e->m.width;
        FR_TRY(fr_tokenizer_encode(e->tokenizer, texts[i], strlen(texts[i]), FR_ENCODE_BOS,
                                   &t[i].ids));
        *cut += shorten(e, &t[i].ids);
    }
    qsort(t, count, sizeof *t, by_length);
    for (size_t i = 0; i < count; i += ROWS)
        FR_TRY(run_rows(e, t + i, (int64_t)FR_MIN(ROWS, count - i)));
    return FR_OK;
}

fr_status fr_embed(fr_embedder *e, const char *const *texts, size_t count, float *out,
                   size_t *cut) {
    size_t longer = 0;
    text *t = fr_alloc_array(FR_MEM_OTHER, count + 1, sizeof *t);
    if (!t) return FR_NOMEM;
    memset(t, 0, (count + 1) * sizeof *t);
    fr_status st = embed_all(e, texts, count, t, out, &longer);
    for (size_t i = 0; i < count; i++) fr_free(t[i].ids.ids);
    fr_free(t);
    if (cut) *cut = longer;
    return st;
}
