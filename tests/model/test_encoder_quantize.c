/* test_encoder_quantize.c: encoders in few bits: near the one that they were made from, nearer than by plain rounding, the same
 * bytes for any number of threads, sentences for what cannot be done. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/format.h"
#include "model/encoder_quantize.h"
#include "model/model.h"

enum { VOCAB = 64, WIDTH = 128, HIDDEN = 256, LAYERS = 2, TEXTS = 80, LONGEST = 24 };

static char dir[] = "/tmp/frugal-encoder-XXXXXX";

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}
static void fails(fr_status st, const char *text) {
    if (!st || !strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
}

static char *in_dir(const char *name) {
    static char path[4][256];
    static int turn;
    char *p = path[turn = (turn + 1) % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static const char config[] =
    "{\"model_type\": \"bert\", \"vocab_size\": 64, \"hidden_size\": 128, \"intermediate_size\": "
    "256,"
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"max_position_embeddings\": 32,"
    " \"type_vocab_size\": 2, \"layer_norm_eps\": 1e-5}";

/* ---- a small encoder with random weights, of which some inputs are much larger than others ---- */

static fr_session *open_body(const fr_encoder_folder *m, fr_graph *g) {
    fr_session *s;
    const fr_encoder_opts o = {.store = m->store};
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){1, 16});
    fr_val pos = fr_input(g, "pos", FR_I32, 1, (int64_t[]){16});
    fr_output(g, "y", fr_encoder_body(g, &m->encoder, &o, ids, pos, FR_NONE, FR_NONE));
    ok(fr_session_new(g, &s));
    return s;
}

static void spread(const char *name, float *x, int64_t n) {
    const bool norm = strstr(name, "LayerNorm") != NULL, weight = strstr(name, ".weight") != NULL;
    for (int64_t i = 0; i < n; i++) {
        if (norm && weight) x[i] = 1 + (i % 17 ? 0 : 4);
        if (!norm && weight) x[i] *= strstr(name, "embeddings") ? 1.f : 0.1f;
    }
}

static void make_encoder(const char *name) {
    fr_json *j;
    fr_encoder_folder m = {0};
    fr_graph *g = fr_graph_new();
    fr_named_tensor list[64];
    size_t count = 0;
    ok(fr_json_parse(config, strlen(config), "config.json", &j));
    ok(fr_encoder_read(j, &m.encoder));
    fr_session *s = open_body(&m, g);
    ok(fr_session_init_random(s, 7, 1));
    for (fr_val v = 1; (size_t)v < g->value_count; v++) {
        const fr_value *value = fr_value_of(g, v);
        fr_tensor *t = value->kind == FR_VALUE_PARAM ? fr_session_tensor(s, v) : NULL;
        if (!t) continue;
        spread(value->name, t->data, fr_values(t));
        list[count++] = (fr_named_tensor){value->name, t};
    }
    ok(fr_make_dirs(in_dir(name)));
    char *path = fr_path_join(in_dir(name), "config.json");
    ok(fr_json_save(j, path));
    fr_free(path);
    ok(fr_safetensors_write_sharded(in_dir(name), list, count, NULL, 0, (uint64_t)1 << 30));
    fr_session_free(s);
    fr_graph_free(g);
    fr_json_free(j);
}

/* Texts of a language whose next word depends on the one before. */
static size_t make_texts(uint64_t seed, int32_t *ids, int32_t *length) {
    size_t n = 0;
    fr_rng r = fr_rng_new(seed, 0);
    for (int i = 0; i < TEXTS; i++) {
        length[i] = 6 + (int32_t)fr_rng_below(&r, LONGEST - 5);
        for (int32_t k = 0, id = 1; k < length[i]; k++) {
            ids[n++] = id;
            id = (id * 5 + (int32_t)fr_rng_below(&r, 9)) % VOCAB;
        }
    }
    return n;
}

/* ---- how near two folders are ---- */

static void states_of(const char *name, float *out) {
    static int32_t ids[TEXTS * LONGEST], length[TEXTS];
    int32_t pos[LONGEST];
    fr_encoder_folder m;
    fr_graph *g = fr_graph_new();
    ok(fr_encoder_open(in_dir(name), &m));
    assert_non_null(m.path);
    fr_session *s = open_body(&m, g);
    ok(fr_session_load(s, m.store));
    make_texts(99, ids, length);
    for (int32_t i = 0; i < LONGEST; i++) pos[i] = i;
    for (int64_t i = 0, at = 0; i < TEXTS; at += length[i++]) {
        const int64_t n = length[i];
        const fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){1, n}, ids + at),
                                fr_tensor_make(FR_I32, 1, &n, pos)};
        ok(fr_session_run(s, in, 2));
        const float *y = fr_session_output(s, "y")->data;
        for (int64_t c = 0; c < WIDTH; c++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++) sum += (double)y[k * WIDTH + c];
            out[i * WIDTH + c] = (float)(sum / (double)n);
        }
    }
    fr_session_free(s);
    fr_graph_free(g);
    fr_encoder_close(&m);
}

static double cosine(const char *a, const char *b) {
    static float x[TEXTS * WIDTH], y[TEXTS * WIDTH];
    double mean = 0;
    states_of(a, x);
    states_of(b, y);
    for (int i = 0; i < TEXTS; i++) {
        double xy = 0, xx = 0, yy = 0;
        for (int c = i * WIDTH; c < (i + 1) * WIDTH; c++) {
            xy += (double)x[c] * (double)y[c];
            xx += (double)x[c] * (double)x[c], yy += (double)y[c] * (double)y[c];
        }
        mean += xy / sqrt(xx * yy) / TEXTS;
    }
    return mean;
}

static fr_status quantize(const char *from, const char *out, const char *recipe, int threads,
                          fr_quantize_report *report) {
    static int32_t ids[TEXTS * LONGEST], length[TEXTS];
    fr_encoder_folder m;
    fr_pool *pool;
    ok(fr_encoder_open(in_dir(from), &m));
    ok(fr_pool_new(threads, &pool));
    make_texts(1, ids, length);
    const fr_quantizing o = {.recipe = *fr_encoder_recipe_find(recipe),
                             .ids = ids,
                             .length = length,
                             .texts = TEXTS,
                             .pool = pool};
    fr_status st = fr_encoder_quantize(&m, in_dir(out), &o, report);
    fr_pool_free(pool);
    fr_encoder_close(&m);
    return st;
}

static double made(const char *recipe, double least_bits, double most_bits) {
    fr_quantize_report r;
    ok(quantize("model", recipe, recipe, 2, &r));
    assert_int_equal(r.layers, LAYERS);
    assert_true(r.linear_bits > least_bits && r.linear_bits < most_bits);
    for (int i = 0; i < LAYERS; i++) {
        const fr_layer_report *l = &r.layer[i];
        assert_true(l->weights > 10 && l->weights < 70);
        if (strncmp(recipe, "rtn", 3))
            assert_true(l->outputs > 10 && l->worst <= l->outputs + 1e-9);
        if (strncmp(recipe, "rtn", 3)) assert_true(l->linear[0]);
    }
    fr_free(r.layer);
    return cosine("model", recipe);
}

static void test_near(void **state) {
    (void)state;
    make_encoder("model");
    const double four = made("w4a8-g128", 4, 4.5), plain = made("rtn-w4a8-g128", 4, 4.5);
    const double eight = made("w8a8", 8, 8.5), wide = made("w4a16-g128", 4, 4.5);
    if (getenv("FRUGAL_SAY")) printf("%.6f %.6f %.6f %.6f\n", four, plain, eight, wide);
    if (!(1 - four < 0.03 * (1 - plain))) fail_msg("cosine %.5f, to the nearest %.5f", four, plain);
    if (eight < 0.9995 || wide < 0.99) fail_msg("cosine %.5f in 8 bits, %.5f", eight, wide);
    made("w4a8", 4, 4.5);
}

static void test_threads(void **state) {
    (void)state;
    char *a, *b;
    size_t n, m;
    fr_quantize_report r;
    ok(quantize("model", "one", "w4a8-g128", 1, &r));
    fr_free(r.layer);
    ok(fr_read_file(in_dir("one/model.safetensors"), 0, &a, &n));
    ok(fr_read_file(in_dir("w4a8-g128/model.safetensors"), 0, &b, &m));
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    fr_free(a);
    fr_free(b);
}

/* ---- what cannot be ---- */

static void test_wrong(void **state) {
    (void)state;
    fr_quantize_report r;
    fr_encoder_folder m;
    fr_model decoder;
    fails(quantize("w4a8-g128", "again", "w4a8-g128", 2, &r), "in few bits already");
    ok(fr_encoder_open(in_dir("model"), &m));
    int32_t ids[64] = {0}, length = 8;
    fr_quantizing o = {.recipe = fr_encoder_recipes[0], .ids = ids, .length = &length, .texts = 1};
    ids[3] = VOCAB;
    fails(fr_encoder_quantize(&m, in_dir("no"), &o, &r), "the token 64; the model has 64");
    ids[3] = 0, length = 33;
    fails(fr_encoder_quantize(&m, in_dir("no"), &o, &r), "33 tokens; the model takes 1 to 32");
    o.texts = 0;
    fails(fr_encoder_quantize(&m, in_dir("no"), &o, &r), "wants texts");
    o.recipe.format = "int5";
    fails(fr_encoder_quantize(&m, in_dir("no"), &o, &r), "no number format 'int5'");
    o = (fr_quantizing){.recipe = fr_encoder_recipes[0], .ids = ids, .length = &length, .texts = 1};
    length = 8;
    m.encoder.layers = 3;
    fails(fr_encoder_quantize(&m, in_dir("no"), &o, &r), "encoder.layer.2.");
    assert_false(fr_path_exists(in_dir("no/config.json")));
    fr_encoder_close(&m);
    fails(fr_model_open(in_dir("model"), &decoder), "frugal embed");
    ok(fr_encoder_open(FR_TESTS_DIR "/../models/tales", &m)); /* no encoder, and no failure */
    assert_null(m.path);
    fails(fr_encoder_open(in_dir("nowhere"), &m), "nowhere");
}

/* One text of one token, all of it the same: nothing varies. */
static void test_little(void **state) {
    (void)state;
    fr_quantize_report r;
    fr_encoder_folder m;
    int32_t id = 5, length = 1;
    ok(fr_encoder_open(in_dir("model"), &m));
    fr_quantizing o = {.recipe = fr_encoder_recipes[0], .ids = &id, .length = &length, .texts = 1};
    ok(fr_encoder_quantize(&m, in_dir("little"), &o, &r));
    fr_free(r.layer);
    fr_encoder_close(&m);
    assert_true(isfinite(cosine("model", "little")));
}

static int setup(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_little),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
