/* test_quantize.c: models in few bits: near the model that they were made from, the same bytes after a stop, sentences
 * for what cannot be done. */
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
#include "model/model.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}
static void fails(fr_status st, fr_status want, const char *text) {
    if (st != want || !strstr(fr_message(), text))
        fail_msg("status %d without \"%s\": %s", (int)st, text, fr_message());
}

enum { VOCAB = 96, TEXTS = 12, LONGEST = 40, TOKENS = 32 };

static char dir[] = "/tmp/frugal-quantize-XXXXXX";

static char *in_dir(const char *name) {
    static char path[4][256];
    static int turn;
    char *p = path[turn = (turn + 1) % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* Two small models with random weights, and with channels that are far larger than the others. */
static const fr_decoder small = {.vocab = VOCAB,
                                 .width = 128,
                                 .hidden = 256,
                                 .layers = 3,
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_dim = 32,
                                 .context = 64,
                                 .eps = 1e-5f,
                                 .rope = {.theta = 10000},
                                 .tied = true,
                                 .bos = -1};

static void make_model(const char *name, bool tied, bool bias, fr_family family) {
    fr_decoder m = small;
    m.tied = tied, m.bias = bias, m.family = family;
    if (family == FR_FAMILY_MIXTRAL) m.experts = 4, m.chosen = 2;
    fr_graph *g = fr_graph_new();
    fr_session *s;
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){1, 16});
    fr_val pos = fr_input(g, "pos", FR_I32, 2, (int64_t[]){16, 1});
    fr_output(g, "y", fr_decoder_logits(g, &m, NULL, fr_decoder_body(g, &m, NULL, ids, pos)));
    ok(fr_session_new(g, &s));
    ok(fr_decoder_init(s, g, &m, 5));
    ok(fr_decoder_save(in_dir(name), &m, s, g));
    fr_session_free(s);
    fr_graph_free(g);
}

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(dir)) return -1;
    make_model("tied", true, false, FR_FAMILY_LLAMA);
    make_model("biased", false, true, FR_FAMILY_QWEN2);
    make_model("experts", false, false, FR_FAMILY_MIXTRAL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) ? -1 : 0;
}

/* ---- texts ---- */

static int32_t ids[TEXTS * LONGEST], lengths[TEXTS];

static fr_quantizing with(const char *recipe) {
    fr_rng rng = fr_rng_new(3, 3);
    for (int i = 0; i < TEXTS; i++) lengths[i] = LONGEST - i;
    for (int i = 0; i < TEXTS * LONGEST; i++) ids[i] = (int32_t)fr_rng_below(&rng, VOCAB);
    const fr_quantize_recipe *r = fr_quantize_recipe_find(recipe);
    assert_non_null(r);
    return (fr_quantizing){.recipe = *r, .ids = ids, .length = lengths, .texts = TEXTS};
}

static fr_quantize_report quantize(const char *model, const char *out, const fr_quantizing *o) {
    fr_model m;
    fr_quantize_report r;
    ok(fr_model_open(in_dir(model), &m));
    ok(fr_quantize_model(&m, in_dir(out), o, &r));
    fr_model_close(&m);
    return r;
}

/* ---- logits ---- */

static float *logits_of(const char *name) {
    fr_model m;
    fr_session *s;
    int32_t some[TOKENS], at[TOKENS];
    ok(fr_model_open(in_dir(name), &m));
    fr_graph *g = fr_graph_new();
    fr_decoder_opts o = {.weights = FR_BF16, .flow = FR_F32, .store = m.store};
    fr_val in0 = fr_input(g, "ids", FR_I32, 2, (int64_t[]){1, TOKENS});
    fr_val in1 = fr_input(g, "pos", FR_I32, 2, (int64_t[]){TOKENS, 1});
    fr_val x = fr_decoder_body(g, &m.decoder, &o, in0, in1);
    fr_output(g, "y", fr_cast(g, fr_decoder_logits(g, &m.decoder, &o, x), FR_F32));
    ok(fr_session_new(g, &s));
    ok(fr_session_load(s, m.store));
    for (int i = 0; i < TOKENS; i++) some[i] = i * 29 % VOCAB, at[i] = i;
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){1, TOKENS}, some),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){TOKENS, 1}, at)};
    ok(fr_session_run(s, in, 2));
    float *y = fr_alloc(FR_MEM_OTHER, TOKENS * VOCAB * sizeof *y);
    memcpy(y, fr_session_output(s, "y")->data, TOKENS * VOCAB * sizeof *y);
    fr_session_free(s);
    fr_graph_free(g);
    fr_model_close(&m);
    return y;
}

/* Root of the share of squares. */
static double apart(const char *a, const char *b) {
    float *x = logits_of(a), *y = logits_of(b);
    double error = 0, size = 0;
    for (int i = 0; i < TOKENS * VOCAB; i++) {
        error += pow((double)x[i] - (double)y[i], 2);
        size += pow((double)x[i], 2);
    }
    fr_free(x);
    fr_free(y);
    return sqrt(error / size);
}

static void near_the_original(void **state) {
    (void)state;
    /* A token that goes to other experts than before is far away at once: these have bounds of their own. */
    static const struct {
        const char *recipe;
        double most, experts;
    } want[] = {{"w8a8kv8", 0.06, 0.11},    {"rtn-w8a8kv8", 0.06, 0.18},
                {"w4a16-g128", 0.4, 0.7},   {"qoq-w4a8kv4-g128", 0.45, 0.75},
                {"qoq-w4a8kv4", 0.5, 0.75}, {"rtn-w4a8kv4-g128", 0.45, 0.8}};
    static const char *const models[] = {"tied", "biased", "experts"};
    for (size_t k = 0; k < FR_COUNT(models); k++)
        for (size_t i = 0; i < FR_COUNT(want); i++) {
            if (getenv("FRUGAL_TEST_SHORT") && i % FR_COUNT(models) != k) continue;
            fr_quantizing o = with(want[i].recipe);
            char out[64];
            snprintf(out, sizeof out, "%s-%s", models[k], want[i].recipe);
            fr_quantize_report r = quantize(models[k], out, &o);
            double d = apart(models[k], out);
            print_message("    %s: logits %.3f apart, %.2f bits, weights %.1f dB, outputs %.1f\n",
                          out, d, r.linear_bits, r.layer[1].weights, r.layer[1].outputs);
            assert_true(d < (k == 2 ? want[i].experts : want[i].most));
            assert_true(r.layers == small.layers && r.linear_bits < 9);
            fr_free(r.layer);
        }
}

/* With weights in 8 bits the passes of QoQ show no more than rounding without them. */
static void passes_alone_change_nothing(void **state) {
    (void)state;
    fr_quantizing o = with("qoq-w4a8kv4-g128");
    o.recipe.format = "int8-channel";
    o.recipe.head = 16;
    fr_quantize_report r = quantize("biased", "passes", &o);
    fr_free(r.layer);
    o = with("rtn-w8a8kv8");
    r = quantize("biased", "nearest", &o);
    double d = apart("biased", "passes"), nearest = apart("biased", "nearest");
    print_message("    %.4f apart, without passes %.4f\n", d, nearest);
    assert_true(d < 1.3 * nearest);
    fr_free(r.layer);
}

/* Orders, sizes and turns that go into experts do not change what comes out, nor who is chosen. */
static void passes_go_into_experts(void **state) {
    (void)state;
    fr_quantizing o = with("qoq-w4a8kv4-g128");
    o.recipe.format = "int8-channel";
    o.recipe.head = 16;
    fr_quantize_report r = quantize("experts", "experts-passes", &o);
    fr_model m;
    const double outputs = r.layer[1].outputs;
    fr_free(r.layer);
    o = with("rtn-w8a8kv8");
    r = quantize("experts", "experts-nearest", &o);
    double d = apart("experts", "experts-passes"), nearest = apart("experts", "experts-nearest");
    print_message("    %.4f apart, without passes %.4f, outputs %.1f dB\n", d, nearest, outputs);
    assert_true(d < 1.3 * nearest && outputs > 40);
    fr_free(r.layer);
    ok(fr_model_open(in_dir("experts-passes"), &m));
    assert_true(fr_quantized_is(m.store, "model.layers.1.block_sparse_moe.experts.3.w2.weight"));
    assert_false(fr_quantized_is(m.store, "model.layers.1.block_sparse_moe.gate.weight"));
    fr_model_close(&m);
}

/* Out to GGUF and in again. */
static void others_can_read_it(void **state) {
    (void)state;
    static const struct {
        fr_dtype blocks;
        double most;
    } want[] = {{FR_BF16, 1e-6}, {FR_Q8_0, 0.03}, {FR_Q4_0, 0.45}};
    static const char *const models[] = {"tied", "biased"};
    for (size_t k = 0; k < FR_COUNT(models); k++)
        for (size_t i = 0; i < FR_COUNT(want); i++) {
            fr_model m;
            double bytes;
            ok(fr_model_open(in_dir(models[k]), &m));
            ok(fr_gguf_export(&m, in_dir("out.gguf"), want[i].blocks, &bytes));
            fr_model_close(&m);
            double d = apart(models[k], "out.gguf");
            print_message("    %s: %.4f apart, %.0f bytes\n", models[k], d, bytes);
            assert_true(d < want[i].most && bytes > 0);
        }
}

static void gguf_of_others_is_refused(void **state) {
    (void)state;
    fr_model m;
    ok(fr_model_open(in_dir("tied"), &m));
    m.decoder.rope.stretch = FR_STRETCH_YARN;
    fails(fr_gguf_export(&m, in_dir("no.gguf"), FR_Q8_0, NULL), FR_UNSUPPORTED, "GGUF");
    fr_model_close(&m);
}

/* ---- stopping ---- */

static void stop_at(void *arg, double layers) {
    if (layers >= *(double *)arg) fr_interrupt_raise();
}

static void same_file(const char *a, const char *b, const char *file) {
    char pa[300], pb[300], *x, *y;
    size_t n, m;
    snprintf(pa, sizeof pa, "%s/%s", in_dir(a), file);
    snprintf(pb, sizeof pb, "%s/%s", in_dir(b), file);
    ok(fr_read_file(pa, 0, &x, &n));
    ok(fr_read_file(pb, 0, &y, &m));
    assert_int_equal(n, m);
    if (memcmp(x, y, n) != 0) fail_msg("%s differs", file);
    fr_free(x);
    fr_free(y);
}

static void goes_on_after_a_stop(void **state) {
    (void)state;
    fr_quantizing o = with("qoq-w4a8kv4-g128");
    fr_model m;
    fr_quantize_report r = quantize("tied", "once", &o);
    fr_free(r.layer);
    ok(fr_model_open(in_dir("tied"), &m));
    double stops[] = {0.2, 1.5, 2.2};
    for (size_t i = 0; i < FR_COUNT(stops); i++) {
        o.on_progress = stop_at, o.arg = &stops[i];
        fails(fr_quantize_model(&m, in_dir("twice"), &o, &r), FR_INTERRUPTED, "");
        fr_interrupt_clear();
        assert_true(fr_path_exists(in_dir("twice/.partial")));
        assert_false(fr_path_exists(in_dir("twice/model.safetensors")));
    }
    o.on_progress = NULL;
    fr_quantizing other = o;
    other.recipe.gptq = false;
    fails(fr_quantize_model(&m, in_dir("twice"), &other, &r), FR_INVALID, "--fresh");
    ids[3]++;
    fails(fr_quantize_model(&m, in_dir("twice"), &o, &r), FR_INVALID, "--fresh");
    ids[3]--;
    ok(fr_pool_new(3, &o.pool));
    ok(fr_quantize_model(&m, in_dir("twice"), &o, &r));
    assert_int_equal(r.resumed, 2);
    assert_true(r.layer[0].outputs > 0 && r.layer[0].linear[0]);
    same_file("once", "twice", "model.safetensors");
    same_file("once", "twice", "config.json");
    assert_false(fr_path_exists(in_dir("twice/.partial")));
    fr_free(r.layer);
    fr_pool_free(o.pool);
    fr_model_close(&m);
}

/* ---- what cannot be done ---- */

static void sentences(void **state) {
    (void)state;
    fr_model m;
    fr_quantize_report r;
    fr_quantizing o = with("qoq-w4a8kv4");
    assert_null(fr_quantize_recipe_find("qoq-w3"));
    ok(fr_model_open(in_dir("tied"), &m));
    o.recipe.format = "int5";
    fails(fr_quantize_model(&m, in_dir("x"), &o, &r), FR_INVALID, "int5");
    o.recipe.format = "nvfp4";
    fails(fr_quantize_model(&m, in_dir("x"), &o, &r), FR_UNSUPPORTED, "value by value");
    o = with("qoq-w4a8kv4");
    o.recipe.head = 5;
    fails(fr_quantize_model(&m, in_dir("x"), &o, &r), FR_INVALID, "4, 8 or 16");
    o = with("qoq-w4a8kv4");
    o.texts = 0;
    fails(fr_quantize_model(&m, in_dir("x"), &o, &r), FR_INVALID, "texts");
    o = with("qoq-w4a8kv4");
    ids[5] = VOCAB;
    fails(fr_quantize_model(&m, in_dir("x"), &o, &r), FR_INVALID, "token 96");
    o = with("qoq-w4a8kv4");
    lengths[2] = 65;
    fails(fr_quantize_model(&m, in_dir("y"), &o, &r), FR_INVALID, "text 2");
    fr_model_close(&m);
    o = with("rtn-w8a8kv8");
    r = quantize("tied", "done", &o);
    fr_free(r.layer);
    ok(fr_model_open(in_dir("done"), &m));
    fails(fr_quantize_model(&m, in_dir("z"), &o, &r), FR_INVALID, "in few bits already");
    fr_model_close(&m);
}

static void memory_of_a_large_one(void **state) {
    (void)state;
    fr_decoder m = {.vocab = 32000, .width = 4096, .hidden = 11008, .layers = 32, .heads = 32};
    m.kv_heads = 32, m.head_dim = 128, m.context = 4096;
    static int32_t length[128];
    for (int i = 0; i < 128; i++) length[i] = 1024;
    fr_quantizing o = with("qoq-w4a8kv4-g128");
    o.length = length, o.texts = 128;
    double bytes = fr_quantize_bytes(&m, &o);
    print_message("    7B, 128 texts of 1024 tokens: %.1f GB\n", bytes / 1e9);
    assert_true(bytes > 3e9 && bytes < 20e9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_the_original),     cmocka_unit_test(passes_alone_change_nothing),
        cmocka_unit_test(others_can_read_it),    cmocka_unit_test(gguf_of_others_is_refused),
        cmocka_unit_test(goes_on_after_a_stop),  cmocka_unit_test(sentences),
        cmocka_unit_test(memory_of_a_large_one), cmocka_unit_test(passes_go_into_experts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
