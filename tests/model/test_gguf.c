/* test_gguf.c: GGUF files of every family and every type of numbers (tests/oracle/gguf_models.py) give the logits that
 * transformers gets from the same weights; what a file says wrongly is refused with a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/format.h"
#include "made.h"

static fr_store *golden;

static const fr_tensor *want(const char *name, const char *what) {
    char full[80];
    snprintf(full, sizeof full, "%s.%s", name, what);
    const fr_tensor *t = fr_store_find(golden, full);
    if (!t) fail_msg("the golden file has no %s", full);
    return t;
}

static void path_of(const char *name, char out[512]) {
    snprintf(out, 512, "%s/golden/model/gguf/%s.gguf", FR_TESTS_DIR, name);
}

/* In f32, decoded: the same function. As products in few bits, and all in bf16: near it. */
static void check_logits(const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char path[512];
        fr_model m;
        path_of(names[i], path);
        made_ok(fr_model_open(path, &m));
        fr_decoder_opts exact = {.weights = FR_F32}, few = {.weights = FR_BF16, .store = m.store};
        const fr_tensor *ids = want(names[i], "ids");
        double a = made_off(&m, &exact, ids, want(names[i], "logits"));
        double b = made_off(&m, &exact, ids, want(names[i], "few"));
        double c = made_off(&m, &few, ids, want(names[i], "logits"));
        print_message("%-12s f32 %.2g, first ten %.2g, few bits and bf16 %.2g\n", names[i], a, b,
                      c);
        if (!(a < 1e-4 && b < 1e-4 && c < 3e-2)) fail_msg("%s is too far away", names[i]);
        fr_model_close(&m);
    }
}

static void test_logits(void **state) {
    (void)state;
    static const char *const names[] = {"every_type", "llama3", "qwen2",  "qwen3",
                                        "gemma2",     "phi3",   "mixtral"};
    check_logits(names, FR_COUNT(names));
}

/* Stacked experts become matrices of their own. */
static void test_experts(void **state) {
    (void)state;
    char path[512], name[128];
    fr_model m;
    path_of("mixtral", path);
    made_ok(fr_model_open(path, &m));
    assert_true(m.decoder.family == FR_FAMILY_MIXTRAL && m.decoder.experts == 4 &&
                m.decoder.chosen == 2);
    for (int e = 0; e < 4; e++)
        for (int w = 1; w <= 3; w++) {
            fr_quantized q;
            snprintf(name, sizeof name, "model.layers.0.block_sparse_moe.experts.%d.w%d.weight", e,
                     w);
            made_ok(fr_quantized_open(m.store, name, &q));
            assert_true(q.format == (w == 1 ? &fr_q4_0 : &fr_q8_0));
        }
    assert_non_null(fr_store_find(m.store, "model.layers.0.block_sparse_moe.gate.weight.blocks"));
    fr_model_close(&m);
}

/* Weights stay in the mapping, but for the rows of q and k; each has its Hugging Face's name. */
static void test_store(void **state) {
    (void)state;
    char path[512];
    fr_model m;
    path_of("every_type", path);
    made_ok(fr_model_open(path, &m));
    size_t owned = fr_memory_stat(FR_MEM_WEIGHTS).now;
    assert_true(owned > 0 && owned < (32 + 16) * 256 * 2);
    assert_true(fr_quantized_is(m.store, "model.embed_tokens.weight"));
    assert_true(fr_quantized_is(m.store, "model.layers.0.self_attn.q_proj.weight"));
    assert_string_equal(
        json_string_value(fr_json_get(fr_store_metadata(m.store),
                                      "frugal.format.model.layers.0.mlp.gate_proj.weight")),
        "q4_1 32 256");
    const fr_tensor *norm =
        fr_store_find(m.store, "model.layers.0.post_attention_layernorm.weight");
    assert_true(norm && norm->dtype == FR_F32);
    assert_true(m.decoder.bos == 0 && m.decoder.eos_count == 1 && m.decoder.eos[0] == 1);
    assert_true(!m.decoder.tied && m.decoder.head_dim == 8 && m.decoder.context == 64);
    fr_model_close(&m);
    path_of("llama3", path);
    made_ok(fr_model_open(path, &m));
    assert_true(m.decoder.tied && fr_quantized_is(m.store, "lm_head.weight"));
    fr_model_close(&m);
}

/* A table in blocks is looked up in them, tied or not; without the store it is floats. */
static void test_table(void **state) {
    (void)state;
    static const char *const names[] = {"every_type", "llama3"};
    for (int i = 0; i < 4; i++) {
        char path[512];
        fr_model m;
        path_of(names[i / 2], path);
        made_ok(fr_model_open(path, &m));
        fr_graph *g = fr_graph_new();
        fr_decoder_opts o = {.weights = FR_BF16, .store = i % 2 ? m.store : NULL};
        fr_output(g, "loss", fr_decoder_loss(g, &m.decoder, &o, 1, 4));
        int few = 0, floats = 0;
        for (size_t n = 0; n < g->node_count; n++) {
            few += g->nodes[n]->op == &fr_op_embedding_few;
            floats += g->nodes[n]->op == &fr_op_embedding;
        }
        assert_true(few == i % 2 && floats == !few);
        fr_graph_free(g);
        fr_model_close(&m);
    }
}

/* ---- files that are wrong ---- */

/* The same golden file with some bytes replaced. */
static fr_status open_changed(const char *name, const char *from, const char *to, size_t more,
                              const void *value, size_t bytes) {
    char path[512], copy[] = "/tmp/frugal-gguf-XXXXXX", file[64];
    char *data;
    size_t size;
    fr_model m;
    path_of(name, path);
    made_ok(fr_read_file(path, 0, &data, &size));
    char *at = memmem(data, size, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    memcpy(at + strlen(from) + more, value, bytes);
    assert_non_null(mkdtemp(copy));
    snprintf(file, sizeof file, "%s/m.gguf", copy);
    made_ok(fr_write_file(file, data, size));
    fr_message_clear();
    fr_status st = fr_model_open(file, &m);
    if (!st) { /* then it is the session that misses something */
        fr_graph *g = fr_graph_new();
        fr_session *s;
        fr_decoder_opts o = {.store = m.store};
        fr_output(g, "loss", fr_decoder_loss(g, &m.decoder, &o, 1, 4));
        st = fr_session_new_with(g, &(fr_session_opts){0}, &s);
        if (!st) st = fr_session_load(s, m.store);
        fr_session_free(s);
        fr_graph_free(g);
    }
    fr_model_close(&m);
    unlink(file);
    rmdir(copy);
    fr_free(data);
    return st;
}

static void test_refuse(void **state) {
    (void)state;
    const uint64_t fewer = 31;
    const uint32_t none = 0, odd = 3, many = 1 << 30, five = 5;
    made_fails(open_changed("qwen2", "architecture", "architecture", 12, "mamba", 5), "\"mamba\"");
    made_fails(open_changed("qwen2", "output_norm.weight", "output_mean.weight", 0, "", 0),
               "'output_mean.weight'");
    made_fails(open_changed("qwen2", "blk.0.attn_k.weight", "blk.7.attn_k.weight", 0, "", 0),
               "'blk.7.attn_k.weight', but the model has 1 layers");
    made_fails(open_changed("qwen2", "token_embd", "tokem_embd", 0, "", 0), "'token_embd.weight'");
    made_fails(open_changed("qwen2", "qwen2.attention.head_count_kv",
                            "qwen2.attention.head_count_qv", 0, "", 0),
               "configuration wants 32 x 32");
    made_fails(open_changed("llama3", "llama.attention.head_count", "llama.attention.head_count", 4,
                            &odd, 4),
               "heads");
    made_fails(open_changed("llama3", "llama.block_count", "llama.block_count", 4, &none, 4),
               "layers");
    made_fails(open_changed("llama3", "llama.block_count", "llama.block_count", 4, &many, 4),
               "num_hidden_layers");
    made_fails(
        open_changed("llama3", "llama.feed_forward_length", "llama.feed_forward_lengtt", 0, "", 0),
        "does not say \"llama.feed_forward_length\"");
    made_fails(open_changed("llama3", "llama.rope.dimension_count", "llama.rope.dimension_count", 4,
                            &five, 4),
               "part of each head");
    made_fails(open_changed("mixtral", "llama.expert_count", "llama.expert_count", 4, &five, 4),
               "matrices of 5 experts");
    made_fails(open_changed("gemma2", "blk.1.ffn_norm.weight", "blk.0.ffn_norm.weight", 0, "", 0),
               "twice");
    made_fails(
        open_changed("qwen2", "blk.0.ffn_up.weight", "blk.0.ffn_up.weight", 4 + 8, &fewer, 8),
        "'model.layers.0.mlp.up_proj.weight' is 31 x 32");
}

static void test_vocabulary(void **state) {
    (void)state;
    /* The table of tokens has 32 rows; the tokenizer's list becomes longer by what stands behind it. */
    const uint64_t rows = 31;
    made_fails(open_changed("qwen2", "token_embd.weight", "token_embd.weight", 4 + 8, &rows, 8),
               "the tokenizer has 32 tokens, but 'token_embd.weight' has 31 rows");
}

static int open_data(void **state) {
    char path[512];
    (void)state;
    snprintf(path, sizeof path, "%s/golden/model/gguf/golden.safetensors", FR_TESTS_DIR);
    return fr_store_open(path, &golden) != FR_OK;
}

static int close_data(void **state) {
    (void)state;
    fr_store_close(golden);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),     cmocka_unit_test(test_experts),
        cmocka_unit_test(test_store),      cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_vocabulary), cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, open_data, close_data);
}
