/* test_folder.c: configurations that are read, refused and written; folders written and read again, found by name.
 *
 * With FRUGAL_KEEP=FOLDER the files stay there, for check_transformers.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/model.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}
static void fails(fr_status st, const char *text) {
    assert_int_not_equal(st, FR_OK);
    if (!strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
}

/* ---- config.json ---- */

#define SHAPE                                                                                      \
    "\"vocab_size\": 80, \"hidden_size\": 64, \"intermediate_size\": 72, \"num_hidden_layers\": "  \
    "2, "                                                                                          \
    "\"num_attention_heads\": 4"

static fr_status read_text(const char *text, fr_decoder *m) {
    fr_json *j;
    ok(fr_json_parse(text, strlen(text), "config.json", &j));
    fr_status st = fr_decoder_read(j, m);
    fr_json_free(j);
    return st;
}

static void test_read(void **state) {
    (void)state;
    fr_decoder m;
    ok(read_text("{" SHAPE "}", &m));
    assert_true(m.vocab == 80 && m.width == 64 && m.hidden == 72 && m.layers == 2 && m.heads == 4);
    assert_true(m.kv_heads == 4 && m.head_dim == 16 && m.context == 2048 && !m.tied);
    assert_true(m.eps == 1e-6f && m.rope.theta == 10000 && m.bos == -1 && !m.eos_count);
    ok(read_text("{" SHAPE ", \"head_dim\": null, \"rope_scaling\": null, \"rope_theta\": 5e5, "
                 "\"num_key_value_heads\": 2, \"eos_token_id\": [3, 4], \"bos_token_id\": 1, "
                 "\"tie_word_embeddings\": true, \"rms_norm_eps\": 1e-05}",
                 &m));
    assert_true(m.kv_heads == 2 && m.rope.theta == 500000 && m.eos_count == 2 && m.eos[0] == 3 &&
                m.eos[1] == 4 && m.bos == 1 && m.tied);
    assert_true(m.eps == 1e-5f);
    ok(read_text("{" SHAPE ", \"rope_parameters\": {\"rope_type\": \"default\", "
                 "\"rope_theta\": 2000.0}, \"head_dim\": 32}",
                 &m));
    assert_true(m.rope.theta == 2000 && m.head_dim == 32);
}

static void test_refuse(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{}", "vocab_size"},
        {"[1]", "no object"},
        {"{" SHAPE ", \"model_type\": \"mamba\"}", "\"mamba\""},
        {"{" SHAPE ", \"hidden_act\": \"gelu\"}", "\"gelu\""},
        {"{" SHAPE ", \"attention_bias\": true}", "attention_bias"},
        {"{" SHAPE ", \"mlp_bias\": true}", "mlp_bias"},
        {"{" SHAPE ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}}", "\"llama3\""},
        {"{" SHAPE ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}", "\"linear\""},
        {"{" SHAPE ", \"rope_parameters\": {\"rope_type\": \"yarn\"}}", "\"yarn\""},
        {"{" SHAPE ", \"rope_parameters\": {\"partial_rotary_factor\": 0.5}}", "part of each head"},
        {"{" SHAPE ", \"num_key_value_heads\": 3}", "evenly"},
        {"{" SHAPE ", \"head_dim\": 15}", "pairs"},
        {"{" SHAPE ", \"head_dim\": -2}", "head_dim"},
        {"{" SHAPE ", \"head_dim\": \"a\"}", "head_dim"},
        {"{" SHAPE ", \"max_position_embeddings\": 99999999999}", "max_position_embeddings"},
        {"{" SHAPE ", \"rms_norm_eps\": 0}", "rms_norm_eps"},
        {"{" SHAPE ", \"rope_theta\": -1}", "rope_theta"},
        {"{" SHAPE ", \"eos_token_id\": \"x\"}", "eos_token_id"},
    };
    fr_decoder m;
    for (size_t i = 0; i < FR_COUNT(bad); i++) fails(read_text(bad[i].text, &m), bad[i].says);
}

static void test_write(void **state) {
    (void)state;
    fr_decoder m =
                   {
                       .vocab = 1024,
                       .width = 256,
                       .hidden = 768,
                       .layers = 4,
                       .heads = 8,
                       .kv_heads = 2,
                       .head_dim = 32,
                       .context = 512,
                       .eps = 1e-5f,
                       .rope = {.theta = 12345.678f},
                       .tied = true,
                       .bos = 0,
                   },
               back;
    fr_json *j;
    ok(fr_decoder_write(&m, FR_BF16, &j));
    ok(fr_decoder_read(j, &back));
    assert_memory_equal(&m.vocab, &back.vocab, offsetof(fr_decoder, eps));
    assert_true(back.eps == m.eps && back.rope.theta == m.rope.theta && back.tied &&
                back.bos == 0 && !back.eos_count);
    fr_json_free(j);
    /* 4 layers of 256 x (2 x 256 + 2 x 64 + 3 x 768) + 2 x 256, an embedding, a norm. */
    assert_int_equal(fr_decoder_params(&m), 4 * (256 * 2944 + 512) + 1024 * 256 + 256);
    m.tied = false;
    assert_int_equal(fr_decoder_params(&m), 4 * (256 * 2944 + 512) + 2 * 1024 * 256 + 256);
}

/* ---- folders ---- */

static char dir[256] = "/tmp/frugal-model-XXXXXX";

static char *within(const char *name) {
    static char path[4][512];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* What the golden model holds, written by us and read again: the same bytes. */
static void test_folder(void **state) {
    (void)state;
    char golden[512];
    fr_model a, b;
    fr_session *s;
    snprintf(golden, sizeof golden, "%s/golden/model/untied", FR_TESTS_DIR);
    ok(fr_model_open(golden, &a));
    fr_graph *g = fr_graph_new();
    fr_output(g, "loss", fr_decoder_loss(g, &a.decoder, &(fr_decoder_opts){.lora_rank = 2}, 1, 4));
    ok(fr_session_new_with(g, &(fr_session_opts){.train = true}, &s));
    ok(fr_decoder_init(s, g, &a.decoder, 1));
    for (size_t i = 0; i < fr_store_count(a.store); i++) {
        fr_val v = fr_graph_find(g, fr_store_name(a.store, i));
        if (v != FR_NONE) ok(fr_session_set(s, v, fr_store_tensor(a.store, i)));
    }
    ok(fr_decoder_save(within("copy"), &a.decoder, s, g));
    ok(fr_model_open(within("copy"), &b));
    assert_string_equal(json_string_value(fr_json_get(fr_store_metadata(b.store), "format")), "pt");
    size_t compared = 0;
    for (size_t i = 0; i < fr_store_count(b.store); i++) {
        const fr_tensor *t = fr_store_tensor(b.store, i);
        const fr_tensor *want = fr_store_find(a.store, fr_store_name(b.store, i));
        assert_true(want && t->dtype == FR_BF16 && fr_same_shape(t, want));
        assert_memory_equal(t->data, want->data, fr_bytes(want));
        compared++;
    }
    assert_int_equal(compared, 2 * 9 + 3);
    fr_model_close(&a);
    fr_model_close(&b);
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_find(void **state) {
    (void)state;
    char *path;
    ok(fr_make_dirs(within("shelf/tiny")));
    ok(fr_write_file(within("shelf/tiny/config.json"), "{}", 2));
    setenv("FRUGAL_MODELS", within("shelf"), 1);
    ok(fr_model_find("tiny", &path));
    assert_string_equal(path, within("shelf/tiny"));
    fr_free(path);
    ok(fr_model_find(within("shelf/tiny"), &path));
    fr_free(path);
    fails(fr_model_find("huge", &path), within("shelf"));
    fails(fr_model_find("huge", &path), "share/frugal/models");
    fails(fr_model_find("no/where", &path), "no/where");
    fails(fr_model_find("", &path), "no name");
    fr_model m;
    fails(fr_model_open("huge", &m), "\"huge\"");
    fails(fr_model_open("tiny", &m), "tiny"); /* no weights */
    unsetenv("FRUGAL_MODELS");
}

/* A model of our own making, its logits beside it: for transformers to read. */
static void test_fresh(void **state) {
    (void)state;
    fr_decoder m = {.vocab = 90,
                    .width = 48,
                    .hidden = 64,
                    .layers = 3,
                    .heads = 6,
                    .kv_heads = 3,
                    .head_dim = 16,
                    .context = 64,
                    .eps = 1e-5f,
                    .rope = {.theta = 2000},
                    .tied = true,
                    .bos = 0,
                    .eos = {1},
                    .eos_count = 1};
    enum { BATCH = 2, TOKENS = 20 };
    int32_t ids[BATCH * TOKENS], pos[TOKENS];
    for (int i = 0; i < BATCH * TOKENS; i++) ids[i] = i * 37 % 90;
    for (int i = 0; i < TOKENS; i++) pos[i] = i;
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, TOKENS}, ids),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){TOKENS, 1}, pos)};
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "ids", FR_I32, 2, in[0].dim),
           at = fr_input(g, "pos", FR_I32, 2, in[1].dim);
    fr_output(g, "logits", fr_decoder_logits(g, &m, NULL, fr_decoder_body(g, &m, NULL, x, at)));
    fr_session *s;
    fr_model back;
    ok(fr_session_new(g, &s));
    ok(fr_session_init_random(s, 3, 0.3f));
    ok(fr_decoder_save(within("fresh"), &m, s, g));
    ok(fr_model_open(within("fresh"), &back));
    assert_memory_equal(&m.vocab, &back.decoder.vocab, offsetof(fr_decoder, eps));
    ok(fr_session_load(s, back.store)); /* what the file holds, rounded */
    ok(fr_session_run(s, in, 2));
    fr_named_tensor data[] = {{"ids", &in[0]}, {"logits", fr_session_output(s, "logits")}};
    ok(fr_safetensors_write(within("fresh/golden.safetensors"), data, 2, NULL, 0));
    fr_session_free(s);
    fr_graph_free(g);
    fr_model_close(&back);
}

/* Opened, changed into floats, given outliers, written. */
static fr_status whole_way(const char *from) {
    fr_model m;
    fr_named_tensor *w = NULL;
    size_t count;
    FR_TRY(fr_model_open(from, &m));
    fr_status st = fr_model_weights(&m, &w, &count);
    if (!st)
        st =
            fr_outliers(&m.decoder, &(fr_outlier_opts){.share = 0.01, .factor = 2}, w, count, NULL);
    if (!st) st = fr_model_folder_write(within("memory"), &m.decoder, w, count);
    fr_free(w);
    fr_model_close(&m);
    return st;
}

static void test_out_of_memory(void **state) {
    (void)state;
    char golden[512];
    snprintf(golden, sizeof golden, "%s/golden/model/untied", FR_TESTS_DIR);
    size_t before = fr_memory_total().now;
    long n = 1;
    for (;; n++) {
        fr_memory_fail_after(n);
        fr_status st = whole_way(golden);
        fr_memory_fail_after(0);
        assert_int_equal(fr_memory_total().now, before);
        if (st == FR_OK) break;
        /* A store says of a config that could not be read only that there is none. */
        if (st != FR_NOMEM && st != FR_FORMAT) fail_msg("%ld: %d %s", n, st, fr_message());
        assert_true(n < 10000);
    }
    assert_true(n > 30);
}

static int make(void **state) {
    (void)state;
    const char *keep = getenv("FRUGAL_KEEP");
    if (keep) return snprintf(dir, sizeof dir, "%s", keep) >= (int)sizeof dir;
    return mkdtemp(dir) ? 0 : -1;
}
static int clean(void **state) {
    char command[600];
    (void)state;
    if (getenv("FRUGAL_KEEP")) return 0;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),          cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_write),         cmocka_unit_test(test_folder),
        cmocka_unit_test(test_find),          cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
