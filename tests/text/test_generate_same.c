/* test_generate_same.c: what comes out of a sequence has the same bits alone and in any batch, for any pieces in which
 * its prompt is read, any number of threads, forked or not, and with drafts of either kind; with weights in f32 and
 * in 4 bits, with rows in 8 and in bf16. */
#include <math.h>

#include "../made_model.h"
#include "made_text.h"
#include "format/format.h"
#include "text/generate.h"

enum { VOCAB = 90, CONTEXT = 400, WIDTH = 128 };

/* ---- random models in folders ---- */

enum { FLOATS, BITS, GROUPS, OTHER, MODELS }; /* OTHER: one layer, other weights, the same tokens */

static char root[] = "/tmp/frugal-same-XXXXXX";
static fr_model models[MODELS];
static fr_pool *pool;

static void write_floats(const char *dir, int layers, uint64_t seed, int64_t window) {
    fr_decoder m = {.vocab = VOCAB,
                    .width = WIDTH,
                    .hidden = 256,
                    .layers = layers,
                    .heads = 8,
                    .kv_heads = 2,
                    .head_dim = 16,
                    .context = CONTEXT,
                    .eps = 1e-5f,
                    .rope = {.theta = 10000},
                    .family = window ? FR_FAMILY_MISTRAL : FR_FAMILY_LLAMA,
                    .window = window,
                    .bos = 0,
                    .eos = {1},
                    .eos_count = 1};
    make_model(dir, &m, seed, 0.15f);
}

/* The linears of a model rounded to a format. */
static void write_bits(const fr_model *from, const char *format, const char *dir) {
    fr_arena *arena = fr_arena_new();
    size_t n = fr_store_count(from->store), count = 0, metas = 0;
    fr_named_tensor *list = fr_arena_alloc(arena, n * FR_PARTS * sizeof *list);
    fr_meta_pair *meta = fr_arena_alloc(arena, n * sizeof *meta);
    fr_quantized *q = fr_arena_alloc(arena, n * sizeof *q);
    for (size_t i = 0; i < n; i++) {
        const char *name = fr_store_name(from->store, i);
        const fr_tensor *t = fr_store_tensor(from->store, i);
        if (!strstr(name, "_proj")) {
            list[count++] = (fr_named_tensor){name, t};
            continue;
        }
        float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(t), sizeof *x);
        ok(fr_tensor_to_f32(t, x));
        ok(fr_quantize(fr_format_find(format), NULL, x, t->dim[0], t->dim[1], &q[i]));
        ok(fr_quantized_list(&q[i], name, arena, list, &count, meta, &metas));
        fr_free(x);
    }
    char *path = fr_path_join(dir, "model.safetensors");
    ok(fr_make_dirs(dir));
    ok(fr_safetensors_write(path, list, count, meta, metas));
    fr_free(path);
    for (size_t i = 0; i < n; i++) fr_quantized_free(&q[i]);
    fr_arena_free(arena);
    char command[2000];
    snprintf(command, sizeof command, "cp '%s'/config.json '%s'/", from->path, dir);
    assert_int_equal(system(command), 0);
}

static fr_generator *open_with(int which, int32_t batch, int64_t chunk, fr_pool *threads,
                               int draft) {
    fr_generator *g;
    fr_generator_opts o = {.pool = threads, .batch = batch, .chunk = chunk};
    o.pages = which == BITS ? FR_KV_4 : FR_KV_F16;
    o.weights = which == FLOATS ? FR_F32 : FR_NOTYPE;
    if (draft >= 0) {
        o.draft = &models[draft].decoder;
        o.draft_store = models[draft].store;
    }
    ok(fr_generator_new(&models[which].decoder, models[which].store, &o, &g));
    return g;
}

/* ---- texts ---- */

enum { PROMPTS = 7, MADE = 40 };
static const int lengths[PROMPTS] = {1, 300, 70, 64, 129, 17, 200};

static void same_texts(const fr_tokens *a, const fr_tokens *b, size_t n, const char *what) {
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i].count, b[i].count);
        for (size_t t = 0; t < a[i].count; t++)
            if (a[i].ids[t] != b[i].ids[t])
                fail_msg("%s: token %zu of text %zu is %d, not %d", what, t, i, a[i].ids[t],
                         b[i].ids[t]);
    }
}

static void compare(int which, const fr_generate_opts *o) {
    fr_tokens prompts[PROMPTS], want[PROMPTS] = {0};
    for (int i = 0; i < PROMPTS; i++) prompts[i] = made_prompt(VOCAB, (uint64_t)i, lengths[i]);
    fr_generator *g = open_with(which, 1, 512, NULL, -1);
    ok(fr_generate(g, prompts, PROMPTS, o, want, NULL));
    fr_generator_free(g);
    const struct {
        int32_t batch;
        int64_t chunk;
        int32_t drafts;
        int draft;
        const char *what;
    } ways[] = {{7, 512, 0, -1, "in a batch of 7"},
                {1, 16, 0, -1, "in pieces of 16"},
                {7, 64, 0, -1, "in pieces of 64"},
                {3, 256, 0, -1, "in pieces of 256"},
                {7, 7, 0, -1, "in pieces of 7"},
                {2, 64, 5, -1, "with 5 drafts"},
                {7, 100, 3, OTHER, "with a model that drafts 3"},
                {1, 512, 9, OTHER, "with a model that drafts 9"}};
    for (size_t k = 0; k < FR_COUNT(ways); k++) {
        if (getenv("FRUGAL_TEST_SHORT") && (k + (o->sampling.temperature > 0)) % 2) continue;
        fr_tokens out[PROMPTS] = {0};
        fr_generate_opts with = *o;
        with.drafts = ways[k].drafts;
        g = open_with(which, ways[k].batch, ways[k].chunk, pool, ways[k].draft);
        ok(fr_generate(g, prompts, PROMPTS, &with, out, NULL));
        same_texts(out, want, PROMPTS, ways[k].what);
        free_tokens(out, PROMPTS);
        fr_generator_free(g);
    }
    free_tokens(prompts, PROMPTS);
    free_tokens(want, PROMPTS);
}

static const fr_generate_opts greedy = {.most = MADE, .past_end = true};
static const fr_generate_opts drawn = {
    .sampling = {.temperature = 0.9f, .top_p = 0.95f, .seed = 3}, .most = MADE, .past_end = true};

static void test_floats(void **state) {
    (void)state;
    compare(FLOATS, &greedy);
    compare(FLOATS, &drawn);
}

static void test_bits(void **state) {
    (void)state;
    compare(BITS, &greedy);
    compare(BITS, &drawn);
}

/* A window that does not end where pieces do. */
static void test_window(void **state) {
    (void)state;
    fr_decoder plain = models[FLOATS].decoder;
    models[FLOATS].decoder.window = 90;
    models[FLOATS].decoder.family = FR_FAMILY_MISTRAL;
    compare(FLOATS, &drawn);
    models[FLOATS].decoder = plain;
}

/* Five texts of a prompt read it once, and are what they are with neighbours of other prompts. */
static void test_shared_prompt(void **state) {
    (void)state;
    enum { TEXTS = 5 };
    for (int32_t batch = 2; batch <= 5; batch += 3)
        for (int which = FLOATS; which <= BITS; which++) {
            fr_tokens prompts[TEXTS], alone[TEXTS], out[TEXTS] = {0},
                                                    p = made_prompt(VOCAB, 77, 150);
            for (int i = 0; i < TEXTS; i++) {
                prompts[i] = p;
                alone[i] = made_prompt(VOCAB, 200 + (uint64_t)i, 3 + i);
            }
            fr_generator *g = open_with(which, batch, 64, pool, -1);
            ok(fr_generate(g, prompts, TEXTS, &drawn, out, NULL));
            fr_generate_stats s = fr_generator_stats(g);
            assert_true(s.read == 150 && s.prompt == 5 * 150 && s.made == 5 * MADE);
            assert_int_equal(fr_engine_stats_of(fr_generator_engine(g)).held, 0);
            for (int i = 0; i < TEXTS; i++) {
                fr_tokens all[TEXTS], made[TEXTS] = {0};
                memcpy(all, alone, sizeof all);
                all[i] = p;
                ok(fr_generate(g, all, TEXTS, &drawn, made, NULL));
                same_texts(&out[i], &made[i], 1, "shared");
                free_tokens(made, TEXTS);
            }
            fr_generator_free(g);
            free_tokens(out, TEXTS);
            free_tokens(alone, TEXTS);
            fr_free(p.ids);
        }
}

/* ---- drafts ---- */

/* A model that drafts for itself is always right, and a text that repeats itself is guessed from itself. */
static void test_drafts(void **state) {
    (void)state;
    const fr_generate_opts *ways[] = {&greedy, &drawn};
    fr_tokens p[2] = {made_prompt(VOCAB, 5, 40), {0}};
    for (int i = 0; i < 60; i++) ok(fr_tokens_add(&p[1], 5 + i % 4));
    for (int k = 0; k < 2; k++) {
        fr_tokens out[2] = {0};
        fr_generate_opts o = *ways[k];
        o.drafts = 4;
        fr_generator *g = open_with(FLOATS, 2, 64, pool, FLOATS);
        ok(fr_generate(g, p, 2, &o, out, NULL));
        fr_generate_stats s = fr_generator_stats(g);
        assert_true(s.guessed > MADE && s.kept == s.guessed);
        fr_generator_free(g);
        free_tokens(out, 2);
    }
    fr_tokens out[1] = {0};
    fr_generate_opts o = greedy;
    o.drafts = 6;
    o.most = 200;
    fr_generator *g = open_with(FLOATS, 1, 64, pool, -1);
    ok(fr_generate(g, &p[1], 1, &o, out, NULL));
    fr_generate_stats s = fr_generator_stats(g);
    assert_true(s.guessed > 0);
    fr_engine_stats e = fr_engine_stats_of(fr_generator_engine(g));
    assert_true(s.kept == 0 || e.runs < 200);
    fr_generator_free(g);
    free_tokens(out, 1);
    free_tokens(p, 2);
}

/* The share of every token behind a sequence. */
static void shares(fr_engine *e, const int32_t *ids, int64_t n, double *p) {
    int32_t s;
    ok(fr_engine_open(e, 0, &s));
    fr_feed f = {.sequence = s, .ids = ids, .count = n, .wanted = 1};
    ok(fr_engine_step(e, &f, 1));
    double sum = 0;
    for (int i = 0; i < VOCAB; i++) sum += p[i] = exp((double)f.logits[i] * 0.8);
    for (int i = 0; i < VOCAB; i++) p[i] /= sum;
    fr_engine_close(e, s);
}

/* The second token of drawn texts, with a model that drafts another distribution: chi-square over all tokens. */
static void test_distribution(void **state) {
    (void)state;
    const size_t texts = getenv("FRUGAL_TEST_SHORT") ? 300 : 3000; /* then only that it runs */
    fr_tokens p = made_prompt(VOCAB, 9, 12), *prompts = calloc(texts, sizeof *prompts),
              *out = calloc(texts, sizeof *out);
    fr_generate_opts o = {
        .sampling = {.temperature = 1.25f, .seed = 8}, .most = 4, .past_end = true};
    o.drafts = 3;
    for (size_t i = 0; i < texts; i++) prompts[i] = p;
    fr_generator *g = open_with(FLOATS, 64, 64, pool, OTHER);
    ok(fr_generate(g, prompts, texts, &o, out, NULL));
    fr_generate_stats stats = fr_generator_stats(g);
    assert_true(stats.kept > (int64_t)texts / 30 && stats.kept < stats.guessed);
    double first[VOCAB], next[VOCAB], want[VOCAB] = {0}, chi = 0, rest = (double)texts;
    int hits[VOCAB] = {0}, bins = 0, left = (int)texts;
    shares(fr_generator_engine(g), p.ids, 12, first);
    for (int32_t t = 0; t < VOCAB; t++) {
        ok(fr_tokens_add(&p, t));
        shares(fr_generator_engine(g), p.ids, 13, next);
        p.count--;
        for (int i = 0; i < VOCAB; i++) want[i] += (double)texts * first[t] * next[i];
    }
    for (size_t i = 0; i < texts; i++) hits[out[i].ids[1]]++;
    for (int i = 0; i < VOCAB; i++) {
        if (want[i] < 10) continue;
        chi += (hits[i] - want[i]) * (hits[i] - want[i]) / want[i];
        left -= hits[i];
        rest -= want[i];
        bins++;
    }
    if (rest > 10) chi += (left - rest) * (left - rest) / rest;
    assert_true(bins > 20 || texts < 3000);
    if (chi > bins + 4 * sqrt(2.0 * bins)) fail_msg("chi-square %.1f over %d tokens", chi, bins);
    fr_generator_free(g);
    free_tokens(out, texts);
    free(out);
    free(prompts);
    fr_free(p.ids);
}

/* ---- pages that stay ---- */

static void test_keep(void **state) {
    (void)state;
    fr_tokens p = made_prompt(VOCAB, 4, 100), said = {0}, more = {0}, again = {0};
    fr_generate_opts o = greedy;
    o.keep = true;
    fr_generator *g = open_with(FLOATS, 1, 64, pool, -1);
    ok(fr_generate(g, &p, 1, &o, &said, NULL));
    for (size_t i = 0; i < said.count; i++) ok(fr_tokens_add(&p, said.ids[i]));
    for (int i = 0; i < 20; i++) ok(fr_tokens_add(&p, 7 + i));
    ok(fr_generate(g, &p, 1, &o, &more, NULL));
    fr_generate_stats s = fr_generator_stats(g);
    assert_int_equal(s.read, 100 + 1 + 20); /* the last token made was never in the pages */
    assert_int_equal(more.count, MADE);
    /* Another beginning: only what agrees is used, and the text is that of a fresh start. */
    p.count = 90;
    p.ids[60] ^= 1;
    ok(fr_generate(g, &p, 1, &o, &again, NULL));
    assert_int_equal(fr_generator_stats(g).read - s.read, 30);
    fr_tokens fresh = {0};
    ok(fr_generate(g, &p, 1, &greedy, &fresh, NULL));
    same_texts(&again, &fresh, 1, "kept");
    assert_int_equal(fr_engine_stats_of(fr_generator_engine(g)).held, 0);
    fails(fr_generate(g, (fr_tokens[]){p, p}, 2, &o, (fr_tokens[2]){{0}}, NULL), "one text");
    fr_generator_free(g);
    fr_free(p.ids);
    fr_free(said.ids);
    fr_free(more.ids);
    fr_free(again.ids);
    fr_free(fresh.ids);
}

/* ---- the engine by itself ---- */

static fr_engine *open_engine(int which, int64_t context) {
    fr_engine *e;
    fr_engine_opts o = {.pool = pool, .sequences = 4, .chunk = 48, .context = context};
    o.pages = which == BITS ? FR_KV_4 : FR_KV_8;
    ok(fr_engine_new(&models[which].decoder, models[which].store, &o, &e));
    return e;
}

static void step(fr_engine *e, int32_t s, const int32_t *ids, int64_t n, bool made, float *last) {
    fr_feed f = {.sequence = s, .ids = ids, .count = n, .wanted = n > 3 ? 2 : 1, .made = made};
    ok(fr_engine_step(e, &f, 1));
    memcpy(last, f.logits + (f.wanted - 1) * VOCAB, VOCAB * sizeof *last);
}

/* Forks, cuts and pieces: the logits are those of a sequence that was fed the same tokens at once. */
static void test_fork(void **state) {
    (void)state;
    for (int which = FLOATS; which <= GROUPS; which++) {
        fr_engine *e = open_engine(which, 0);
        fr_tokens t = made_prompt(VOCAB, 1, 200), u = made_prompt(VOCAB, 2, 200);
        float x[VOCAB], y[VOCAB];
        int32_t a, b, c;
        ok(fr_engine_open(e, 0, &a));
        step(e, a, t.ids, 150, false, x);
        ok(fr_engine_fork(e, a, 100, 0, &b));
        step(e, b, u.ids, 77, false, y); /* writes into a page that a holds */
        step(e, a, t.ids + 150, 50, false, x);
        ok(fr_engine_open(e, 0, &c));
        step(e, c, t.ids, 200, false, y);
        assert_memory_equal(x, y, sizeof x);
        fr_engine_cut(e, c, 100);
        step(e, c, u.ids, 77, false, x);
        fr_engine_cut(e, b, 130);
        step(e, b, u.ids + 30, 47, false, y);
        assert_memory_equal(x, y, sizeof x);
        /* Tokens one by one and some at a time. */
        for (int i = 0; i < 9; i++) step(e, c, t.ids + i, 1, true, x);
        step(e, b, t.ids, 2, true, y);
        step(e, b, t.ids + 2, 7, true, y);
        assert_memory_equal(x, y, sizeof x);
        fr_engine_close(e, a);
        fr_engine_close(e, b);
        fr_engine_close(e, c);
        assert_int_equal(fr_engine_stats_of(e).held, 0);
        fr_free(t.ids);
        fr_free(u.ids);
        fr_engine_free(e);
    }
}

static void test_refuse(void **state) {
    (void)state;
    fr_engine *e = open_engine(FLOATS, 100);
    fr_tokens t = made_prompt(VOCAB, 1, 120);
    int32_t s;
    ok(fr_engine_open(e, 0, &s));
    fr_feed f[2] = {{.sequence = s, .ids = t.ids, .count = 101, .wanted = 1}};
    fails(fr_engine_step(e, f, 1), "0 tokens and 101 more do not fit into a context of 100");
    f[0].count = 90;
    ok(fr_engine_step(e, f, 1));
    f[0].count = 11;
    fails(fr_engine_step(e, f, 1), "90 tokens and 11 more");
    f[0].count = 0;
    fails(fr_engine_step(e, f, 1), "0 tokens");
    f[0].count = 1;
    f[1] = f[0];
    fails(fr_engine_step(e, f, 2), "twice");
    f[0].sequence = s + 1;
    fails(fr_engine_step(e, f, 1), "no sequence");
    f[1].ids = (int32_t[]){-1};
    fails(fr_engine_step(e, f + 1, 1), "no token -1");
    for (int i = 0; i < 3; i++) ok(fr_engine_open(e, 0, &s));
    assert_int_equal(fr_engine_open(e, 0, &s), FR_NOMEM);
    fr_engine_free(e);
    fr_free(t.ids);
}

static int make(void **state) {
    (void)state;
    if (!mkdtemp(root) || fr_pool_new(2, &pool)) return -1;
    char path[MODELS][100];
    for (int i = 0; i < MODELS; i++) snprintf(path[i], sizeof path[i], "%s/%d", root, i);
    write_floats(path[FLOATS], 2, 7, 0);
    write_floats(path[OTHER], 1, 9, 0);
    ok(fr_model_open(path[FLOATS], &models[FLOATS]));
    write_bits(&models[FLOATS], "qoq-g128", path[BITS]);
    ok(fr_model_open(path[BITS], &models[BITS]));
    write_bits(&models[FLOATS], "int4-g128", path[GROUPS]);
    ok(fr_model_open(path[GROUPS], &models[GROUPS]));
    ok(fr_model_open(path[OTHER], &models[OTHER]));
    return 0;
}

static int clean(void **state) {
    (void)state;
    for (int i = 0; i < MODELS; i++) fr_model_close(&models[i]);
    fr_pool_free(pool);
    return remove_folder(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats), cmocka_unit_test(test_bits),
        cmocka_unit_test(test_window), cmocka_unit_test(test_shared_prompt),
        cmocka_unit_test(test_drafts), cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_keep),   cmocka_unit_test(test_fork),
        cmocka_unit_test(test_refuse),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
