/* made.c: see made.h. */
#include "made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#define SHAPE                                                                                      \
    .vocab = MADE_VOCAB, .width = 48, .hidden = 40, .layers = 2, .heads = 4, .kv_heads = 2,        \
    .head_dim = 12, .context = 64, .eps = 1e-5f, .bos = -1, .rope = {.theta = 100}

const made_kind made_kinds[] = {
    {"llama", {SHAPE}},
    {"llama tied", {SHAPE, .tied = true}},
    {"llama with biases", {SHAPE, .bias = true, .bias_out = true}},
    {"mistral", {SHAPE, .family = FR_FAMILY_MISTRAL, .window = 9}},
    {"qwen2", {SHAPE, .family = FR_FAMILY_QWEN2, .bias = true, .tied = true}},
    {"qwen3", {SHAPE, .family = FR_FAMILY_QWEN3, .head_norm = true}},
    {"phi3", {SHAPE, .family = FR_FAMILY_PHI3, .fused = true}},
    {"norms of 1 + weight", {SHAPE, .norm_plus_one = true, .embed_scale = 3}},
    {"gemma2",
     {SHAPE, .family = FR_FAMILY_GEMMA2, .around = true, .norm_plus_one = true, .tied = true,
      .window = 9, .window_even = true, .score_cap = 2, .logit_cap = 3, .embed_scale = 7,
      .act = FR_FN_GELU_TANH}},
    {"mixtral", {SHAPE, .family = FR_FAMILY_MIXTRAL, .experts = 4, .chosen = 2}},
    {NULL, {0}},
};

void made_ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

void made_fails(fr_status st, const char *text) {
    assert_int_not_equal(st, FR_OK);
    if (!strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
}

/* ---- graphs ---- */

typedef struct run {
    fr_graph *g;
    fr_taps taps;
    fr_session *s;
} run;

fr_graph *made_graph(const fr_decoder *m, const fr_decoder_opts *o, int64_t tokens) {
    fr_graph *g = fr_graph_new();
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){1, tokens});
    fr_val pos = fr_input(g, "pos", FR_I32, 2, (int64_t[]){tokens, 1});
    fr_val x = fr_decoder_body(g, m, o, ids, pos);
    fr_output(g, "logits", fr_decoder_logits(g, m, o, x));
    return g;
}

static fr_graph *build(const fr_decoder *m) {
    return made_graph(m, NULL, MADE_TOKENS);
}

bool made_can(const fr_decoder *m) {
    fr_graph *g = build(m);
    bool can = fr_graph_check(g) == FR_OK;
    fr_graph_free(g);
    return can;
}

static run go(const made *a) {
    run r = {.g = build(&a->m)};
    int32_t ids[MADE_TOKENS], pos[MADE_TOKENS];
    made_ok(fr_taps_add(r.g, &r.taps));
    made_ok(fr_session_new(r.g, &r.s));
    for (size_t i = 0; i < a->count; i++)
        made_ok(fr_session_set(r.s, fr_graph_find(r.g, a->list[i].name), a->list[i].tensor));
    for (int i = 0; i < MADE_TOKENS; i++) ids[i] = i * 29 % MADE_VOCAB, pos[i] = i;
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){1, MADE_TOKENS}, ids),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){MADE_TOKENS, 1}, pos)};
    made_ok(fr_session_run(r.s, in, 2));
    return r;
}

static void stop(run *r) {
    fr_session_free(r->s);
    fr_taps_free(&r->taps);
    fr_graph_free(r->g);
}

float *made_logits(const made *a) {
    run r = go(a);
    float *y = fr_alloc(FR_MEM_OTHER, MADE_TOKENS * MADE_VOCAB * sizeof *y);
    memcpy(y, fr_session_output(r.s, "logits")->data, MADE_TOKENS * MADE_VOCAB * sizeof *y);
    stop(&r);
    return y;
}

/* |got - want| / |want| */
static double off(const fr_tensor *got, const fr_tensor *want) {
    const float *b = want->data;
    float *a = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(got), sizeof *a);
    double d = 0, sum = 0;
    made_ok(fr_tensor_to_f32(got, a));
    for (int64_t i = 0; i < fr_values(want); i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        sum += (double)b[i] * (double)b[i];
    }
    fr_free(a);
    return sqrt(d / sum);
}

double made_off(const fr_model *m, const fr_decoder_opts *o, const fr_tensor *ids,
                const fr_tensor *logits) {
    int64_t n = logits->dim[logits->rank - 2];
    int32_t pos[64];
    fr_pool *pool;
    fr_session *s;
    fr_graph *g = made_graph(&m->decoder, o, n);
    assert_true(n <= (int64_t)FR_COUNT(pos) && fr_values(ids) >= n);
    made_ok(fr_pool_new(2, &pool));
    made_ok(fr_session_new_with(g, &(fr_session_opts){.pool = pool}, &s));
    made_ok(fr_session_load(s, m->store));
    for (int32_t i = 0; i < n; i++) pos[i] = i;
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){1, n}, ids->data),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){n, 1}, pos)};
    made_ok(fr_session_run(s, in, 2));
    double d = off(fr_session_output(s, "logits"), logits);
    fr_session_free(s);
    fr_pool_free(pool);
    fr_graph_free(g);
    return d;
}

double made_apart(const float *x, const float *y) {
    double most = 0, size = 0;
    for (int i = 0; i < MADE_TOKENS * MADE_VOCAB; i++) {
        most = fmax(most, fabs((double)x[i] - (double)y[i]));
        size = fmax(size, fabs((double)x[i]));
    }
    return most / size;
}

void made_most(const made *a, fr_tap_kind kind, const char *name, int64_t channels, float *most) {
    run r = go(a);
    const fr_tap *tap = fr_taps_find(&r.taps, kind, name);
    if (!tap) fail_msg("there is no tap '%s'", name);
    const fr_tensor *x = fr_taps_read(&r.taps, (size_t)(tap - r.taps.tap), r.s);
    memset(most, 0, (size_t)channels * sizeof *most);
    made_ok(fr_channel_most(x, channels, most, NULL));
    stop(&r);
}

/* ---- weights ---- */

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), k = strlen(end);
    return n >= k && !strcmp(name + n - k, end);
}

static void fill(const fr_decoder *m, const char *name, fr_tensor *t, uint64_t seed) {
    const size_t n = (size_t)fr_values(t);
    float *x = t->data, scale = 1 / sqrtf((float)fr_dim(t, -1)), mean = 0;
    if (t->rank == 1) {
        bool bias = ends_with(name, ".bias");
        scale = bias ? 0.5f : 0.3f;
        mean = bias || m->norm_plus_one ? 0 : 1;
    }
    fr_random_normal(seed, fr_random_stream(name), 0, x, n);
    for (size_t i = 0; i < n; i++) x[i] = mean + scale * x[i];
}

static void block(size_t count, size_t names, size_t values, made *out, fr_tensor **tensors,
                  char **text, float **data) {
    const size_t heads = count * (sizeof *out->list + sizeof **tensors);
    out->list = fr_alloc(FR_MEM_OTHER, heads + fr_round_up(names, 8) + values * sizeof(float));
    assert_non_null(out->list);
    *tensors = (fr_tensor *)(out->list + count);
    *data = (float *)(*tensors + count);
    *text = (char *)(*data + values);
}

static void layout(const made *like, made *out) {
    size_t names = 0, values = 0;
    fr_tensor *t;
    char *text;
    float *data;
    for (size_t i = 0; i < like->count; i++) {
        names += strlen(like->list[i].name) + 1;
        values += (size_t)fr_values(like->list[i].tensor);
    }
    block(like->count, names, values, out, &t, &text, &data);
    for (size_t i = 0; i < like->count; i++) {
        t[i] = *like->list[i].tensor;
        t[i].data = data;
        data += fr_values(&t[i]);
        out->list[i] = (fr_named_tensor){text, &t[i]};
        strcpy(text, like->list[i].name);
        text += strlen(text) + 1;
    }
    out->count = like->count;
    out->m = like->m;
}

void made_new(const fr_decoder *m, uint64_t seed, made *out) {
    fr_graph *g = build(m);
    fr_named_tensor params[200];
    made like = {.m = *m, .list = params};
    made_ok(fr_graph_check(g));
    for (fr_val v = 1; (size_t)v < g->value_count; v++)
        if (fr_value_of(g, v)->kind == FR_VALUE_PARAM) {
            assert_true(like.count < FR_COUNT(params));
            params[like.count++] =
                (fr_named_tensor){fr_value_of(g, v)->name, &fr_value_of(g, v)->desc};
        }
    layout(&like, out);
    fr_graph_free(g);
    for (size_t i = 0; i < out->count; i++) {
        fr_tensor t = *out->list[i].tensor;
        fill(m, out->list[i].name, &t, seed);
    }
}

void made_copy(const made *a, made *out) {
    layout(a, out);
    for (size_t i = 0; i < a->count; i++)
        memcpy(out->list[i].tensor->data, a->list[i].tensor->data, fr_bytes(a->list[i].tensor));
}

void made_free(made *a) {
    fr_free(a->list);
}

float *made_values(const made *a, const char *name) {
    for (size_t i = 0; i < a->count; i++)
        if (!strcmp(a->list[i].name, name)) return a->list[i].tensor->data;
    return NULL;
}
