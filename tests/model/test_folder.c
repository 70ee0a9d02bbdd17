/* test_folder.c: configurations that are read, refused and written; folders written and read again, found by name.
 *
 * With FRUGAL_KEEP=FOLDER the files stay there, for check_transformers.sh. */
#include "../made_model.h"

/* ---- config.json ---- */

#define SHAPE                                                                                      \
    "\"vocab_size\": 80, \"hidden_size\": 64, \"intermediate_size\": 72, \"num_hidden_layers\": "  \
    "2, "                                                                                          \
    "\"num_attention_heads\": 4"

#define SHAPE3                                                                                     \
    "\"vocab_size\": 80, \"hidden_size\": 64, \"intermediate_size\": 72, \"num_hidden_layers\": "  \
    "3, \"num_attention_heads\": 4"
#define KV      ", \"num_key_value_heads\": 2"
#define MISTRAL KV ", \"model_type\": \"mistral\""
#define MIXTRAL KV ", \"model_type\": \"mixtral\""
#define QWEN    KV ", \"model_type\": \"qwen2\", \"use_sliding_window\": true, \"sliding_window\": 4"
#define GEMMA   KV ", \"model_type\": \"gemma2\""

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

/* What the families' configurations mean by what they leave out. */
static void test_defaults(void **state) {
    (void)state;
    fr_decoder m;
    ok(read_text("{" SHAPE GEMMA "}", &m));
    assert_true(m.family == FR_FAMILY_GEMMA2 && m.head_dim == 256 && m.window == 4096 &&
                m.window_even && m.score_cap == 50 && m.logit_cap == 30 && m.tied && m.around &&
                m.norm_plus_one && m.act == FR_FN_GELU_TANH && m.embed_scale == 8 &&
                m.score_scale == 0.0625f && m.context == 8192);
    ok(read_text("{" SHAPE GEMMA ", \"attn_logit_softcapping\": null, \"sliding_window\": null, "
                 "\"final_logit_softcapping\": null}",
                 &m));
    assert_true(!m.window && !m.window_even && m.score_cap == 0 && m.logit_cap == 0);
    ok(read_text("{" SHAPE MISTRAL "}", &m));
    assert_true(m.window == 4096 && !m.window_even && m.context == 131072);
    ok(read_text("{" SHAPE MISTRAL ", \"sliding_window\": null}", &m));
    assert_int_equal(m.window, 0);
    ok(read_text("{" SHAPE MIXTRAL "}", &m));
    assert_true(!m.window && m.experts == 8 && m.chosen == 2 && m.rope.theta == 1000000);
    ok(read_text("{" SHAPE KV ", \"model_type\": \"qwen2\", \"sliding_window\": 4}", &m));
    assert_true(m.bias && !m.bias_out && !m.window && !m.head_norm);
    ok(read_text("{" SHAPE QWEN ", \"max_window_layers\": 1}", &m));
    assert_true(m.window == 4 && m.window_from == 1 && !fr_decoder_window(&m, 0) &&
                fr_decoder_window(&m, 1) == 4);
    ok(read_text("{" SHAPE KV ", \"model_type\": \"qwen3\"}", &m));
    assert_true(!m.bias && m.head_norm && m.head_dim == 128);
    ok(read_text("{" SHAPE ", \"model_type\": \"phi3\", \"partial_rotary_factor\": 0.75}", &m));
    assert_true(m.fused && m.rope.turned == 12 && m.eps == 1e-5f);
    ok(read_text("{" SHAPE ", \"attention_bias\": true}", &m));
    assert_true(m.bias && m.bias_out);
}

static void test_refuse(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{}", "vocab_size"},
        {"[1]", "no object"},
        {"{" SHAPE ", \"model_type\": \"mamba\"}", "\"mamba\""},
        {"{" SHAPE ", \"hidden_act\": \"mish\"}", "\"mish\""},
        {"{" SHAPE ", \"model_type\": \"phi3\", \"attention_bias\": true}", "attention_bias"},
        {"{" SHAPE ", \"mlp_bias\": true}", "mlp_bias"},
        {"{" SHAPE ", \"rope_scaling\": {\"rope_type\": \"dynamic\", \"factor\": 8}}",
         "\"dynamic\""},
        {"{" SHAPE ", \"rope_scaling\": {\"type\": \"linear\"}}", "does not say \"factor\""},
        {"{" SHAPE ", \"rope_scaling\": [8]}",
         "\"rope_scaling\" of the model's configuration is no object"},
        {"{" SHAPE ", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1}}}",
         "a rotation for some layers"},
        {"{" SHAPE
         ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, "
         "\"high_freq_factor\": 4}}",
         "must be above \"low_freq_factor\""},
        {"{" SHAPE
         ", \"rope_theta\": 1, \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8}}",
         "with \"yarn\" it must be above 1"},
        {"{" SHAPE ", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 1e-44}}",
         "no numbers"},
        {"{" SHAPE ", \"head_dim\": 514, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}",
         "heads of 514 values"},
        {"{" SHAPE ", \"rope_scaling\": {\"type\": \"su\", \"short_factor\": [1, 1]}}",
         "\"short_factor\" of the model's configuration must be a list of 8 numbers"},
        {"{" SHAPE
         ", \"rope_scaling\": {\"type\": \"su\", \"short_factor\": [1, 1, 1, 0, 1, 1, 1, 1]}}",
         "Number 3 of \"short_factor\""},
        {"{" SHAPE
         ", \"rope_scaling\": {\"type\": \"su\", \"original_max_position_embeddings\": 1, "
         "\"short_factor\": [1, 1, 1, 1, 1, 1, 1, 1], \"long_factor\": [1, 1, 1, 1, 1, 1, 1, 1]}}",
         "texts of one token"},
        {"{" SHAPE ", \"model_type\": \"phi3\", \"partial_rotary_factor\": 0.2}", "pairs to turn"},
        {"{" SHAPE ", \"model_type\": \"phi3\", \"partial_rotary_factor\": 1.5}", "pairs to turn"},
        {"{" SHAPE ", \"model_type\": \"mistral\"}", "share 8 heads"},
        {"{" SHAPE MISTRAL ", \"sliding_window\": 0}", "\"sliding_window\""},
        {"{" SHAPE MISTRAL ", \"sliding_window\": -4}", "\"sliding_window\""},
        {"{" SHAPE QWEN ", \"max_window_layers\": -1}", "\"max_window_layers\""},
        {"{" SHAPE QWEN ", \"layer_types\": [\"full_attention\"]}", "for each layer"},
        {"{" SHAPE QWEN ", \"layer_types\": [\"full_attention\", 1]}", "for each layer"},
        {"{" SHAPE3 QWEN
         ", \"layer_types\": [\"full_attention\", \"sliding_attention\", \"full_attention\"]}",
         "changes at layer 2"},
        {"{" SHAPE MIXTRAL ", \"num_local_experts\": 4, \"num_experts_per_tok\": 5}",
         "5 of 4 experts"},
        {"{" SHAPE MIXTRAL ", \"num_local_experts\": 5000}", "2 of 5000 experts"},
        {"{" SHAPE GEMMA ", \"attn_logit_softcapping\": 0}", "attn_logit_softcapping"},
        {"{" SHAPE GEMMA ", \"query_pre_attn_scalar\": -256}", "query_pre_attn_scalar"},
        {"{" SHAPE GEMMA ", \"use_bidirectional_attention\": true}", "only causal"},
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
    fr_decoder m = {.vocab = 1024,
                    .width = 256,
                    .hidden = 768,
                    .layers = 4,
                    .heads = 8,
                    .kv_heads = 2,
                    .head_dim = 32,
                    .context = 512,
                    .eps = 1e-5f,
                    .rope = {.theta = 12345.678f},
                    .tied = true};
    fr_decoder back;
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

/* Counted by hand for each switch. */
static void test_count(void **state) {
    (void)state;
    fr_decoder m = {.vocab = 10,
                    .width = 8,
                    .hidden = 6,
                    .layers = 3,
                    .heads = 4,
                    .kv_heads = 2,
                    .head_dim = 4,
                    .tied = true};
    const int64_t plain = 10 * 8 + 3 * (8 * 2 * 6 * 4 + 3 * 8 * 6 + 2 * 8) + 8;
    assert_int_equal(fr_decoder_params(&m), plain);
    const double flops = fr_decoder_train_flops(&m, 9);
    assert_true(flops == 6 * (3.0 * (384 + 144) + 80 + 3 * 16 * 2 * 5));
    m.bias = m.bias_out = m.head_norm = m.around = true;
    assert_int_equal(fr_decoder_params(&m), plain + 3 * (32 + 8 + 8 + 16));
    assert_true(fr_decoder_train_flops(&m, 9) == flops);
    m.bias = m.bias_out = m.head_norm = m.around = false;
    m.experts = 5, m.chosen = 2;
    assert_int_equal(fr_decoder_params(&m), plain + 3 * (4 * 144 + 5 * 8));
    assert_true(fr_decoder_train_flops(&m, 9) == flops + 6 * 3 * (144 + 5 * 8));
    m.experts = m.chosen = 0;
    m.window = 3; /* nine tokens see 1, 2, 3, 3 ... */
    m.window_even = true;
    assert_true(fr_decoder_train_flops(&m, 9) == flops - 6 * 2 * 16 * 2 * (5 - 24 / 9.0));
}

/* ---- folders ---- */

static const char golden[] = FR_TESTS_DIR "/golden/model/untied";
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
    fr_model a, b;
    fr_session *s;
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

/* The second file's tokens end a text too; what is written has all of them. */
static void test_ends(void **state) {
    (void)state;
    static const char more[] = "{\"eos_token_id\": [1, 7, 5]}";
    fr_model m, back;
    fr_named_tensor *w;
    size_t count;
    ok(fr_model_open(golden, &m));
    ok(fr_model_weights(&m, &w, &count));
    ok(fr_model_folder_write(within("ends"), &m.decoder, w, count));
    ok(fr_write_file(within("ends/generation_config.json"), more, sizeof more - 1));
    ok(fr_model_open(within("ends"), &back));
    assert_true(back.decoder.eos_count == 3 && back.decoder.eos[0] == 1 &&
                back.decoder.eos[1] == 7 && back.decoder.eos[2] == 5);
    ok(fr_model_folder_write(within("ends2"), &back.decoder, w, count));
    fr_model_close(&back);
    fr_json *j;
    ok(fr_json_load(within("ends2/generation_config.json"), &j));
    assert_int_equal(json_array_size(fr_json_get(j, "eos_token_id")), 3);
    fr_json_free(j);
    ok(fr_write_file(within("ends/generation_config.json"), "{\"eos_token_id\": \"x\"}", 21));
    fails(fr_model_open(within("ends"), &back), "eos_token_id");
    ok(fr_write_file(within("ends/generation_config.json"), "{", 1));
    fails(fr_model_open(within("ends"), &back), "generation_config.json");
    fr_free(w);
    fr_model_close(&m);
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
    (void)state;
    return getenv("FRUGAL_KEEP") ? 0 : remove_folder(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),     cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_count),
        cmocka_unit_test(test_ends),     cmocka_unit_test(test_write),
        cmocka_unit_test(test_folder),   cmocka_unit_test(test_find),
        cmocka_unit_test(test_fresh),    cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
