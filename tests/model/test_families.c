/* test_families.c: each family gives the logits of transformers (tests/oracle/families.py): all tokens at once, and over
 * pages a piece and then token by token; in f32, in bf16, with linears in few bits. And no switch of a family is for
 * nothing: with any of them turned over the logits are others. Configurations come back as they were written.
 *
 * With FRUGAL_KEEP=FOLDER the configurations that we write stay there, for families.py --check. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/format.h"
#include "model/model.h"

enum { TOKENS = 40, VOCAB = 64, PIECE = 13 };

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static const char *const names[] = {"llama3",    "linear",     "yarn",      "mscale",
                                    "mistral",   "qwen2",      "qwen3",     "gemma2",
                                    "phi3-long", "phi3-short", "phi3-part", "mixtral"};

typedef struct golden {
    const char *name;
    fr_decoder m;
    fr_store *data;
    const int32_t *ids;
    const float *logits; /* [TOKENS][VOCAB] */
} golden;

static golden open_golden(const char *name) {
    char path[512];
    fr_json *config;
    golden x = {.name = name};
    snprintf(path, sizeof path, "%s/golden/model/families/%s.json", FR_TESTS_DIR, name);
    ok(fr_json_load(path, &config));
    ok(fr_decoder_read(config, &x.m));
    fr_json_free(config);
    snprintf(path, sizeof path, "%s/golden/model/families/%s.safetensors", FR_TESTS_DIR, name);
    ok(fr_store_open(path, &x.data));
    x.ids = fr_store_find(x.data, "ids")->data;
    x.logits = fr_store_find(x.data, "logits")->data;
    return x;
}

/* ---- weights from names, as in families.py ---- */

static bool within(const char *name, const char *part) {
    return strstr(name, part) != NULL;
}

static void fill(const fr_decoder *m, const char *name, int rank, float *x, size_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *c = name; *c; c++) h = (h ^ (uint8_t)*c) * 0x100000001b3u;
    for (size_t i = 0; i < n; i++) {
        uint64_t z = h + (i + 1) * 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        z = (z ^ z >> 31) >> 56;
        x[i] = (float)(2 * (int)z - 255) / 256;
        if (within(name, ".bias"))
            x[i] /= 2;
        else if (rank == 1)
            x[i] = x[i] / 2 + (m->family == FR_FAMILY_GEMMA2 ? 0 : 1);
        else if (!within(name, "embed_tokens"))
            x[i] /= 4;
        x[i] = fr_bf16_to_f32(fr_f32_to_bf16(x[i]));
    }
}

static void fill_all(const fr_decoder *m, const fr_graph *g, fr_session *s) {
    for (fr_val v = 1; (size_t)v < g->value_count; v++) {
        const fr_value *value = fr_value_of(g, v);
        if (value->kind != FR_VALUE_PARAM || value->parts || within(value->name, ".weight."))
            continue;
        fr_tensor t = fr_tensor_make(FR_F32, value->desc.rank, value->desc.dim, NULL);
        size_t n = (size_t)fr_values(&t);
        t.data = fr_alloc_array(FR_MEM_OTHER, n, sizeof(float));
        fill(m, value->name, t.rank, t.data, n);
        ok(fr_session_set(s, v, &t));
        fr_free(t.data);
    }
}

/* ---- all tokens at once, and over pages ---- */

static void keep(fr_session *s, int64_t count, float *out) {
    const fr_tensor *y = fr_session_output(s, "logits");
    assert_int_equal(fr_values(y), count * VOCAB);
    ok(fr_tensor_to_f32(y, out));
}

static void whole(const golden *x, const fr_decoder *m, const fr_decoder_opts *o, float *out) {
    int32_t pos[TOKENS];
    for (int i = 0; i < TOKENS; i++) pos[i] = i;
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){1, TOKENS}, (void *)(uintptr_t)x->ids),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){TOKENS, 1}, pos)};
    fr_graph *g = fr_graph_new();
    fr_session *s;
    fr_val ids = fr_input(g, "ids", FR_I32, 2, in[0].dim);
    fr_val at = fr_input(g, "pos", FR_I32, 2, in[1].dim);
    fr_output(g, "logits", fr_decoder_logits(g, m, o, fr_decoder_body(g, m, o, ids, at)));
    ok(fr_session_new(g, &s));
    fill_all(m, g, s);
    if (o->store) ok(fr_session_load(s, o->store));
    ok(fr_session_run(s, in, 2));
    keep(s, TOKENS, out);
    fr_session_free(s);
    fr_graph_free(g);
}

static fr_graph *paged_graph(const fr_decoder *m, const fr_decoder_opts *o, fr_kv_kind kind,
                             bool most) {
    fr_graph *g = fr_graph_new();
    const int64_t one[] = {1, 1, 1};
    fr_decoder_cache c = {.kind = kind, .pages = 1};
    fr_val ids = fr_input(g, "ids", FR_I32, 2, one), pos = fr_input(g, "pos", FR_I32, 3, one);
    c.table = fr_input(g, "table", FR_I32, 2, one);
    c.start = fr_input(g, "start", FR_I32, 1, one);
    c.length = fr_input(g, "length", FR_I32, 1, one);
    if (most) c.most = fr_input(g, "most", FR_I32, 1, one);
    fr_val y = fr_decoder_cached(g, m, o, ids, pos, &c);
    fr_output(g, "logits", fr_decoder_logits(g, m, o, y));
    ok(fr_fuse(g, FR_FUSE_ALL, NULL));
    return g;
}

/* A piece of the text, then one token after the other. */
static void pieces(const golden *x, const fr_decoder *m, const fr_decoder_opts *o, fr_kv_kind kind,
                   int32_t piece, float *out) {
    const bool most = m->rope.stretch == FR_STRETCH_LONG;
    fr_graph *g = paged_graph(m, o, kind, most);
    fr_session *s;
    ok(fr_session_new(g, &s));
    fill_all(m, g, s);
    if (o->store) ok(fr_session_load(s, o->store));
    for (int32_t at = 0, n = piece; at < TOKENS; at += n, n = 1) {
        int32_t pos[TOKENS], page = 0, end = at + n, all = TOKENS;
        for (int i = 0; i < n; i++) pos[i] = at + i;
        fr_tensor in[] = {
            fr_tensor_make(FR_I32, 2, (int64_t[]){1, n}, (void *)(uintptr_t)(x->ids + at)),
            fr_tensor_make(FR_I32, 3, (int64_t[]){1, n, 1}, pos),
            fr_tensor_make(FR_I32, 2, (int64_t[]){1, 1}, &page),
            fr_tensor_make(FR_I32, 1, (int64_t[]){1}, &at),
            fr_tensor_make(FR_I32, 1, (int64_t[]){1}, &end),
            fr_tensor_make(FR_I32, 1, (int64_t[]){1}, &all),
        };
        ok(fr_session_run(s, in, most ? 6 : 5));
        keep(s, n, out + at * VOCAB);
    }
    fr_session_free(s);
    fr_graph_free(g);
}

static void steps(const golden *x, const fr_decoder *m, const fr_decoder_opts *o, fr_kv_kind kind,
                  float *out) {
    pieces(x, m, o, kind, PIECE, out);
}

static double apart(const float *got, const float *want) {
    double d = 0, sum = 0;
    for (int i = 0; i < TOKENS * VOCAB; i++) {
        d += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        sum += (double)want[i] * (double)want[i];
    }
    return sqrt(d / sum);
}

static void near(const char *name, const char *what, const float *got, const float *want,
                 double most) {
    const double d = apart(got, want);
    print_message("  %-12s %-28s %.2g\n", name, what, d);
    if (!(d <= most)) fail_msg("%s, %s: %.3g apart, at most %.3g", name, what, d, most);
}

/* Over pages of 32 bits nothing is lost; over those of 16 what f16 takes from keys and values, in one piece as in
 * steps. */
static void test_f32(void **state) {
    (void)state;
    static float got[TOKENS * VOCAB], once[TOKENS * VOCAB];
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        golden x = open_golden(names[i]);
        whole(&x, &x.m, &(fr_decoder_opts){.weights = FR_F32}, got);
        near(names[i], "f32, all at once", got, x.logits, 2e-6);
        steps(&x, &x.m, &(fr_decoder_opts){.weights = FR_F32}, FR_KV_F32, got);
        near(names[i], "f32, steps", got, x.logits, 2e-6);
        steps(&x, &x.m, &(fr_decoder_opts){.weights = FR_F32}, FR_KV_F16, got);
        near(names[i], "f32, steps, f16 pages", got, x.logits, 4e-4);
        pieces(&x, &x.m, &(fr_decoder_opts){.weights = FR_F32}, FR_KV_F16, TOKENS, once);
        near(names[i], "f32, steps and one piece", got, once, 2e-5);
        fr_store_close(x.data);
    }
}

static void test_bf16(void **state) {
    (void)state;
    static float got[TOKENS * VOCAB];
    const fr_decoder_opts o = {.weights = FR_BF16}, mixed = {.weights = FR_BF16, .flow = FR_F32};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        golden x = open_golden(names[i]);
        whole(&x, &x.m, &o, got);
        near(names[i], "bf16, all at once", got, x.logits, 2e-2);
        steps(&x, &x.m, &o, FR_KV_BF16, got);
        near(names[i], "bf16, steps", got, x.logits, 2e-2);
        steps(&x, &x.m, &mixed, FR_KV_BF16, got);
        near(names[i], "bf16 weights, f32, steps", got, x.logits, 1e-2);
        fr_store_close(x.data);
    }
}

/* ---- few bits ---- */

typedef struct parts {
    fr_named_tensor list[256];
    fr_meta_pair meta[64];
    fr_quantized q[64];
    fr_tensor plain[64];
    size_t count, metas, qs, plains;
    fr_arena *arena;
} parts;

static bool is_linear(const fr_value *v) {
    return v->desc.rank == 2 && !within(v->name, "embed_tokens") && !within(v->name, "lm_head");
}

static void add_part(parts *p, const fr_decoder *m, const fr_value *v) {
    const int64_t *dim = v->desc.dim;
    fr_tensor *t = &p->plain[p->plains++];
    *t = fr_tensor_make(FR_F32, v->desc.rank, dim, NULL);
    const size_t n = (size_t)fr_values(t);
    float *x = t->data = fr_alloc_array(FR_MEM_OTHER, n, sizeof *x);
    fill(m, v->name, t->rank, x, n);
    if (!is_linear(v)) {
        p->list[p->count++] = (fr_named_tensor){v->name, t};
        return;
    }
    const fr_qformat *f = fr_format_find("int8-channel");
    ok(fr_quantize(f, NULL, x, dim[0], dim[1], &p->q[p->qs]));
    ok(fr_quantized_list(&p->q[p->qs++], v->name, p->arena, p->list, &p->count, p->meta,
                         &p->metas));
}

/* The same model with all linears of its layers in 8 bits, as a file. */
static void write_few_bits(const golden *x, const char *path) {
    static parts p;
    fr_graph *g = fr_graph_new();
    const int64_t one[] = {1, 1};
    memset(&p, 0, sizeof p);
    p.arena = fr_arena_new();
    fr_val ids = fr_input(g, "ids", FR_I32, 2, one), pos = fr_input(g, "pos", FR_I32, 2, one);
    fr_decoder_logits(g, &x->m, NULL, fr_decoder_body(g, &x->m, NULL, ids, pos));
    for (fr_val v = 1; (size_t)v < g->value_count; v++)
        if (fr_value_of(g, v)->kind == FR_VALUE_PARAM) add_part(&p, &x->m, fr_value_of(g, v));
    ok(fr_safetensors_write(path, p.list, p.count, p.meta, p.metas));
    for (size_t i = 0; i < p.qs; i++) fr_quantized_free(&p.q[i]);
    for (size_t i = 0; i < p.plains; i++) fr_free(p.plain[i].data);
    fr_arena_free(p.arena);
    fr_graph_free(g);
}

/* Biases, residuals and pieces that hold several linears go through products in few bits too. */
static void test_few_bits(void **state) {
    (void)state;
    static const char *const some[] = {"linear", "qwen2", "gemma2", "phi3-part", "mixtral"};
    static float got[TOKENS * VOCAB];
    char path[] = "/tmp/frugal-families-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < FR_COUNT(some); i++) {
        golden x = open_golden(some[i]);
        fr_store *store;
        write_few_bits(&x, path);
        ok(fr_store_open(path, &store));
        whole(&x, &x.m, &(fr_decoder_opts){.weights = FR_F32, .store = store}, got);
        near(some[i], "in 8 bits", got, x.logits, 3e-2);
        assert_true(apart(got, x.logits) > 1e-4);
        steps(&x, &x.m, &(fr_decoder_opts){.weights = FR_F32, .store = store}, FR_KV_F16, got);
        near(some[i], "in 8 bits, steps", got, x.logits, 3e-2);
        fr_store_close(store);
        fr_store_close(x.data);
    }
    unlink(path);
}

/* ---- switches ---- */

/* By ten times what test_f32 allows, at once and over pages. */
static void differs(const golden *x, const char *what, const fr_decoder *m) {
    static float got[TOKENS * VOCAB];
    whole(x, m, &(fr_decoder_opts){.weights = FR_F32}, got);
    double d = apart(got, x->logits);
    print_message("  %-12s other %-20s %.2g\n", x->name, what, d);
    if (!(d > 2e-5)) fail_msg("%s: another %s is %.3g apart only", x->name, what, d);
    if (!m->window && m->rope.stretch != FR_STRETCH_LONG) return;
    steps(x, m, &(fr_decoder_opts){.weights = FR_F32}, FR_KV_F32, got);
    d = apart(got, x->logits);
    if (!(d > 2e-5)) fail_msg("%s, steps: another %s is %.3g apart only", x->name, what, d);
}

#define OTHER(family, member, value)                                                               \
    do {                                                                                           \
        golden x = open_golden(family);                                                            \
        fr_decoder m = x.m;                                                                        \
        m.member = (value);                                                                        \
        differs(&x, #member, &m);                                                                  \
        fr_store_close(x.data);                                                                    \
    } while (0)

static void test_switches(void **state) {
    (void)state;
    OTHER("llama3", rope.stretch, FR_STRETCH_NONE);
    OTHER("llama3", rope.factor, 7);
    OTHER("llama3", rope.low, 1.5f);
    OTHER("llama3", rope.high, 5);
    OTHER("llama3", rope.original, 40);
    OTHER("llama3", tied, false);
    OTHER("linear", rope.factor, 3);
    OTHER("linear", bias, false);
    OTHER("linear", bias_out, false);
    OTHER("yarn", rope.high, 4);
    OTHER("yarn", rope.low, 2);
    OTHER("yarn", rope.attention, 1);
    OTHER("yarn", rope.original, 64);
    OTHER("mscale", rope.mscale, 0);
    OTHER("mscale", rope.mscale_all, 1);
    OTHER("mscale", rope.truncate, true);
    OTHER("mistral", window, x.m.window + 1);
    OTHER("mistral", window, x.m.window - 1);
    OTHER("qwen2", bias, false);
    OTHER("qwen2", window, x.m.window + 1);
    OTHER("qwen2", window_from, 0);
    OTHER("qwen3", head_norm, false);
    OTHER("gemma2", score_cap, 0);
    OTHER("gemma2", score_scale, 0);
    OTHER("gemma2", logit_cap, 0);
    OTHER("gemma2", window, x.m.window + 1);
    OTHER("gemma2", window_even, false);
    OTHER("gemma2", norm_plus_one, false);
    OTHER("gemma2", embed_scale, 1);
    OTHER("gemma2", act, FR_FN_GELU);
    OTHER("gemma2", act, FR_FN_SILU);
    OTHER("mixtral", chosen, 1);
    OTHER("mixtral", chosen, 3);
    OTHER("phi3-long", rope.original, TOKENS);
    OTHER("phi3-long", rope.attention, 1);
    OTHER("phi3-short", rope.original, TOKENS - 1);
    OTHER("phi3-part", rope.turned, 0);
    OTHER("phi3-part", window, x.m.window + 1);
}

/* ---- configurations ---- */

static void same_rotation(const fr_rotation *a, const fr_rotation *b) {
    assert_true(a->stretch == b->stretch && a->theta == b->theta && a->factor == b->factor &&
                a->low == b->low && a->high == b->high && a->attention == b->attention &&
                a->mscale == b->mscale && a->mscale_all == b->mscale_all &&
                a->truncate == b->truncate && a->original == b->original && a->turned == b->turned);
    assert_memory_equal(a->short_factor, b->short_factor, sizeof a->short_factor);
    assert_memory_equal(a->long_factor, b->long_factor, sizeof a->long_factor);
}

static void same(const fr_decoder *a, const fr_decoder *b) {
    assert_int_equal(a->family, b->family);
    assert_memory_equal(&a->vocab, &b->vocab,
                        offsetof(fr_decoder, eps) - offsetof(fr_decoder, vocab));
    same_rotation(&a->rope, &b->rope);
    assert_true(a->eps == b->eps && a->act == b->act && a->tied == b->tied && a->bias == b->bias &&
                a->bias_out == b->bias_out && a->head_norm == b->head_norm &&
                a->around == b->around && a->norm_plus_one == b->norm_plus_one &&
                a->fused == b->fused);
    assert_true(a->window == b->window && a->window_even == b->window_even &&
                a->window_from == b->window_from && a->score_scale == b->score_scale &&
                a->score_cap == b->score_cap && a->logit_cap == b->logit_cap &&
                a->embed_scale == b->embed_scale && a->experts == b->experts &&
                a->chosen == b->chosen);
    assert_true(a->bos == b->bos && a->eos_count == b->eos_count);
    assert_memory_equal(a->eos, b->eos, sizeof a->eos);
}

static void there_and_back(const fr_decoder *m, const char *name) {
    const char *dir = getenv("FRUGAL_KEEP");
    fr_decoder again;
    fr_json *c;
    ok(fr_decoder_write(m, FR_BF16, &c));
    ok(fr_decoder_read(c, &again));
    same(m, &again);
    if (dir) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s.json", dir, name);
        ok(fr_json_save(c, path));
    }
    fr_json_free(c);
}

static void test_write(void **state) {
    (void)state;
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        golden x = open_golden(names[i]);
        there_and_back(&x.m, names[i]);
        fr_store_close(x.data);
        if (!strcmp(names[i], "phi3-part"))
            for (x.m.head_dim = 6; x.m.head_dim < 200; x.m.head_dim += 2)
                for (x.m.rope.turned = 2; x.m.rope.turned < x.m.head_dim; x.m.rope.turned += 2)
                    there_and_back(&x.m, "part");
    }
}

/* What no file has but a program may ask for. */
static void test_long_heads(void **state) {
    (void)state;
    golden x = open_golden("linear");
    fr_graph *g = fr_graph_new();
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){1, 1});
    fr_val pos = fr_input(g, "pos", FR_I32, 2, (int64_t[]){1, 1});
    x.m.head_dim = 1024;
    fr_decoder_body(g, &x.m, NULL, ids, pos);
    assert_int_not_equal(fr_graph_check(g), FR_OK);
    if (!strstr(fr_message(), "1024 values")) fail_msg("%s", fr_message());
    fr_graph_free(g);
    fr_store_close(x.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_switches),   cmocka_unit_test(test_write),
        cmocka_unit_test(test_long_heads), cmocka_unit_test(test_few_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
