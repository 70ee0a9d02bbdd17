/* test_generate.c: token by token over pages is what the whole graph says at once; neighbours in a batch, pieces of
 * long prompts and places that are used again change nothing; sampling draws what it should. */
#include "../made_model.h"
#include "made_text.h"
#include "text/generate.h"

/* ---- a random model in a folder ---- */

enum { VOCAB = 90, CONTEXT = 400 };

static char dir[] = "/tmp/frugal-generate-XXXXXX";
static fr_model model;
static fr_pool *pool;

static void write_model(void) {
    fr_decoder m = {.vocab = VOCAB,
                    .width = 48,
                    .hidden = 64,
                    .layers = 2,
                    .heads = 6,
                    .kv_heads = 2,
                    .head_dim = 16,
                    .context = CONTEXT,
                    .eps = 1e-5f,
                    .rope = {.theta = 10000},
                    .tied = false,
                    .bos = 0,
                    .eos = {1},
                    .eos_count = 1};
    make_model(dir, &m, 7, 0.25f);
    ok(fr_model_open(dir, &model));
}

/* The logits behind every token of a text, from the graph without a cache. */
typedef struct whole {
    fr_graph *g;
    fr_session *s;
} whole;

static whole open_whole(void) {
    whole w = {.g = fr_graph_new()};
    fr_val ids = fr_input(w.g, "ids", FR_I32, 2, (int64_t[]){1, 2});
    fr_val pos = fr_input(w.g, "pos", FR_I32, 2, (int64_t[]){2, 1});
    fr_val x = fr_decoder_body(w.g, &model.decoder, NULL, ids, pos);
    fr_output(w.g, "logits", fr_decoder_logits(w.g, &model.decoder, NULL, x));
    ok(fr_session_new(w.g, &w.s));
    ok(fr_session_load(w.s, model.store));
    return w;
}

static const float *whole_logits(whole *w, const fr_tokens *t) {
    static int32_t pos[CONTEXT];
    for (int32_t i = 0; i < CONTEXT; i++) pos[i] = i;
    int64_t n = (int64_t)t->count;
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){1, n}, t->ids),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){n, 1}, pos)};
    ok(fr_session_run(w->s, in, 2));
    return fr_session_output(w->s, "logits")->data;
}

static void close_whole(whole *w) {
    fr_session_free(w->s);
    fr_graph_free(w->g);
}

static fr_generator *open_generator(int32_t batch, fr_kv_kind pages, fr_dtype weights) {
    fr_generator *g;
    fr_generator_opts o = {.pool = pool, .batch = batch, .pages = pages, .weights = weights};
    ok(fr_generator_new(&model.decoder, model.store, &o, &g));
    return g;
}

/* ---- greedy ---- */

enum { PROMPTS = 9 };
static const int lengths[PROMPTS] = {1, 5, 64, 63, 17, 300, 128, 2, 33};
static const fr_generate_opts greedy = {.most = 40, .past_end = true};

/* Every token is the likeliest after those before it, up to what 11 bits of a key can shift. */
static void follow(whole *w, const fr_tokens *prompt, const fr_tokens *made, double slack) {
    fr_tokens all = {0};
    for (size_t i = 0; i < prompt->count; i++) ok(fr_tokens_add(&all, prompt->ids[i]));
    for (size_t i = 0; i < made->count; i++) ok(fr_tokens_add(&all, made->ids[i]));
    const float *logits = whole_logits(w, &all);
    for (size_t i = prompt->count; i < all.count; i++) {
        const float *x = logits + (i - 1) * VOCAB;
        int32_t best = 0;
        for (int32_t v = 1; v < VOCAB; v++)
            if (x[v] > x[best]) best = v;
        double behind = (double)x[best] - (double)x[all.ids[i]];
        if (behind > slack)
            fail_msg("token %zu is %d, and %d is %.3g likelier", i, all.ids[i], best, behind);
    }
    fr_free(all.ids);
}

static void test_greedy(void **state) {
    (void)state;
    whole w = open_whole();
    fr_tokens prompts[PROMPTS], out[PROMPTS] = {0}, alone[PROMPTS] = {0};
    fr_ended why[PROMPTS];
    for (int i = 0; i < PROMPTS; i++) prompts[i] = made_prompt(VOCAB, (uint64_t)i, lengths[i]);
    fr_generator *g = open_generator(4, FR_KV_F16, FR_F32);
    ok(fr_generate(g, prompts, PROMPTS, &greedy, out, why));
    fr_generator *single; /* by one thread, too */
    fr_generator_opts alone_opts = {.batch = 1, .pages = FR_KV_F16, .weights = FR_F32};
    ok(fr_generator_new(&model.decoder, model.store, &alone_opts, &single));
    for (int i = 0; i < PROMPTS; i++) {
        assert_int_equal(why[i], FR_ENDED_MOST);
        assert_int_equal(out[i].count, 40);
        follow(&w, &prompts[i], &out[i], 0.01);
        ok(fr_generate(single, &prompts[i], 1, &greedy, &alone[i], NULL));
        assert_int_equal(alone[i].count, 40);
        assert_memory_equal(alone[i].ids, out[i].ids, 40 * sizeof(int32_t));
    }
    free_tokens(prompts, PROMPTS);
    free_tokens(out, PROMPTS);
    free_tokens(alone, PROMPTS);
    fr_generator_free(g);
    fr_generator_free(single);
    close_whole(&w);
}

/* With weights and pages of bf16, as models run: near what f32 says. */
static void test_half(void **state) {
    (void)state;
    whole w = open_whole();
    fr_tokens prompt = made_prompt(VOCAB, 3, 50), out = {0};
    fr_generator *g = open_generator(2, FR_KV_BF16, FR_NOTYPE);
    ok(fr_generate(g, &prompt, 1, &greedy, &out, NULL));
    follow(&w, &prompt, &out, 0.2);
    fr_generator_free(g);
    fr_generator_opts o = {.pool = pool, .flow = FR_BF16};
    ok(fr_generator_new(&model.decoder, model.store, &o, &g));
    out.count = 0;
    ok(fr_generate(g, &prompt, 1, &greedy, &out, NULL));
    assert_int_equal(out.count, 40);
    follow(&w, &prompt, &out, 0.3);
    fr_free(prompt.ids);
    fr_free(out.ids);
    fr_generator_free(g);
    close_whole(&w);
}

/* ---- how a text ends ---- */

typedef struct heard {
    size_t count, most;
    int32_t token[64];
} heard;

static bool hear(void *arg, size_t which, int32_t token) {
    heard *h = arg;
    assert_int_equal(which, 0);
    h->token[h->count++] = token;
    return h->count < h->most;
}

static void test_end(void **state) {
    (void)state;
    fr_generator *g = open_generator(3, FR_KV_BF16, FR_F32);
    fr_tokens prompt = made_prompt(VOCAB, 5, 20), out = {0}, longer = {0}, cut = {0},
              full = made_prompt(VOCAB, 6, 390);
    fr_tokens tail = {0};
    fr_ended why;
    ok(fr_generate(g, &prompt, 1, &greedy, &out, &why));
    /* A stop is where it stood in the text without one; what it stops is kept. */
    size_t at = 7;
    for (size_t i = 0; i < at; i++)
        if (out.ids[i] == out.ids[at]) at = i;
    fr_generate_opts o = greedy;
    o.stop = &out.ids[at];
    o.stops = 1;
    ok(fr_generate(g, &prompt, 1, &o, &cut, &why));
    assert_int_equal(why, FR_ENDED_STOP);
    assert_int_equal(cut.count, at);
    assert_memory_equal(cut.ids, out.ids, at * sizeof(int32_t));
    /* Each token is told once, in order; and the caller may end it. */
    heard h = {.most = 12};
    o = greedy;
    o.on_token = hear;
    o.arg = &h;
    ok(fr_generate(g, &prompt, 1, &o, &longer, &why));
    assert_int_equal(why, FR_ENDED_CALLER);
    assert_int_equal(h.count, 12);
    assert_memory_equal(h.token, out.ids, 12 * sizeof(int32_t));
    /* 390 tokens leave room for 10, and the last needs no page. */
    ok(fr_generate(g, &full, 1, &greedy, &tail, &why));
    assert_int_equal(why, FR_ENDED_FULL);
    assert_int_equal(tail.count, 11);
    fr_free(prompt.ids);
    fr_free(out.ids);
    fr_free(longer.ids);
    fr_free(cut.ids);
    fr_free(full.ids);
    fr_free(tail.ids);
    fr_generator_free(g);
}

static void test_refuse(void **state) {
    (void)state;
    fr_generator *g = open_generator(1, FR_KV_BF16, FR_F32);
    fr_tokens none = {0}, good = made_prompt(VOCAB, 1, 3),
              much = made_prompt(VOCAB, 1, CONTEXT + 1), out = {0};
    fr_generate_opts o = {.most = 0};
    fails(fr_generate(g, &good, 1, &o, &out, NULL), "no text");
    fails(fr_generate(g, &none, 1, &greedy, &out, NULL), "Prompt 0 has 0 tokens");
    fails(fr_generate(g, &much, 1, &greedy, &out, NULL), "401 tokens");
    o = greedy;
    o.sampling.temperature = -1;
    fails(fr_generate(g, &good, 1, &o, &out, NULL), "temperature");
    good.ids[1] = VOCAB;
    fails(fr_generate(g, &good, 1, &greedy, &out, NULL), "no token 90");
    good.ids[1] = 5;
    ok(fr_generate(g, &good, 1, &greedy, &out, NULL)); /* and it still works */
    fr_free(good.ids);
    fr_free(much.ids);
    fr_free(out.ids);
    fr_generator_free(g);
    fr_generator_opts bad = {.batch = -1};
    fails(fr_generator_new(&model.decoder, model.store, &bad, &g), "make no sense");
}

/* ---- memory ---- */

static fr_status short_text(const fr_tokens *prompt) {
    fr_model m;
    fr_generator *g = NULL;
    fr_tokens out = {0};
    FR_TRY(fr_model_open(dir, &m));
    fr_status st = fr_generator_new(&m.decoder, m.store, &(fr_generator_opts){.batch = 2}, &g);
    if (!st) st = fr_generate(g, prompt, 1, &(fr_generate_opts){.most = 3}, &out, NULL);
    fr_free(out.ids);
    fr_generator_free(g);
    fr_model_close(&m);
    return st;
}

static void test_out_of_memory(void **state) {
    (void)state;
    fr_tokens prompt = made_prompt(VOCAB, 1, 5);
    size_t before = fr_memory_total().now;
    long n = 1;
    for (;; n++) {
        fr_memory_fail_after(n);
        fr_status st = short_text(&prompt);
        fr_memory_fail_after(0);
        assert_int_equal(fr_memory_total().now, before);
        if (st == FR_OK) break;
        /* A store says of a config that could not be read only that there is none. */
        if (st != FR_NOMEM && st != FR_FORMAT) fail_msg("%ld: %d %s", n, st, fr_message());
        assert_true(n < 10000);
    }
    assert_true(n > 50);
    fr_free(prompt.ids);
}

/* ---- sampling ---- */

/* The same seed gives the same text, in whatever batch; another seed another one. */
static void test_seed(void **state) {
    (void)state;
    fr_tokens prompts[3], a[3] = {0}, b[3] = {0}, c[3] = {0};
    for (int i = 0; i < 3; i++) prompts[i] = made_prompt(VOCAB, (uint64_t)i, 10 + i);
    fr_generate_opts o = {.sampling = {.temperature = 0.8f, .top_k = 20, .top_p = 0.9f, .seed = 4},
                          .most = 30,
                          .past_end = true};
    fr_generator *many = open_generator(3, FR_KV_F16, FR_F32),
                 *one = open_generator(1, FR_KV_F16, FR_F32);
    ok(fr_generate(many, prompts, 3, &o, a, NULL));
    ok(fr_generate(one, prompts, 3, &o, b, NULL));
    o.sampling.seed = 5;
    ok(fr_generate(many, prompts, 3, &o, c, NULL));
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(a[i].ids, b[i].ids, 30 * sizeof(int32_t));
        assert_int_not_equal(memcmp(a[i].ids, c[i].ids, 30 * sizeof(int32_t)), 0);
    }
    free_tokens(prompts, 3);
    free_tokens(a, 3);
    free_tokens(b, 3);
    free_tokens(c, 3);
    fr_generator_free(many);
    fr_generator_free(one);
}

/* ---- pages ---- */

/* A cache for little more than one sequence: the others wait, and write what they would have written. */
static void test_small_cache(void **state) {
    (void)state;
    fr_tokens prompts[PROMPTS], out[PROMPTS] = {0}, want[PROMPTS] = {0};
    size_t page = fr_kv_page_bytes(FR_KV_BF16, 2, 16) * 2 * 2;
    fr_generator_opts o = {.pool = pool, .batch = 4, .cache = 7 * page};
    fr_generator *g, *wide = open_generator(4, FR_KV_BF16, FR_NOTYPE);
    for (int i = 0; i < PROMPTS; i++) prompts[i] = made_prompt(VOCAB, (uint64_t)i, lengths[i]);
    ok(fr_generator_new(&model.decoder, model.store, &o, &g));
    ok(fr_generate(g, prompts, PROMPTS, &greedy, out, NULL));
    ok(fr_generate(wide, prompts, PROMPTS, &greedy, want, NULL));
    for (int i = 0; i < PROMPTS; i++) {
        assert_int_equal(out[i].count, 40);
        assert_memory_equal(out[i].ids, want[i].ids, 40 * sizeof(int32_t));
        out[i].count = 0;
    }
    /* Prompts that are the same, and no room for what they share beside a text. */
    fr_tokens twins[2] = {made_prompt(VOCAB, 3, 350), made_prompt(VOCAB, 3, 350)};
    ok(fr_generate(g, twins, 2, &greedy, out, NULL));
    assert_int_equal(out[0].count, 40);
    assert_memory_equal(out[0].ids, out[1].ids, 40 * sizeof(int32_t));
    free_tokens(twins, 2);
    free_tokens(prompts, PROMPTS);
    free_tokens(out, PROMPTS);
    free_tokens(want, PROMPTS);
    fr_generator_free(g);
    fr_generator_free(wide);
    o.cache = 6 * page; /* and 400 tokens want 7 */
    fails(fr_generator_new(&model.decoder, model.store, &o, &g), "does not hold one sequence");
}

static int make(void **state) {
    (void)state;
    if (!mkdtemp(dir) || fr_pool_new(2, &pool)) return -1;
    write_model();
    return 0;
}
static int clean(void **state) {
    (void)state;
    fr_model_close(&model);
    fr_pool_free(pool);
    return remove_folder(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),        cmocka_unit_test(test_half),
        cmocka_unit_test(test_end),           cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_seed),          cmocka_unit_test(test_small_cache),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
