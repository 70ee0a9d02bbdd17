/* test_packed.c: checkpoints that AWQ, GPTQ and QServe packed (tests/oracle/packed_models.py) give the logits that
 * transformers gets from what they mean; FP8 and INT8 with their scales are taken as they are; what cannot be read is
 * refused with a sentence. */
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
    char key[64];
    snprintf(key, sizeof key, "%s.%s", name, what);
    return fr_store_find(golden, key);
}

/* Out of order, and yet in few bits: the order is read, and the codes. */
static void has_order(const fr_model *m, const fr_decoder_opts *o) {
    fr_graph *g = made_graph(&m->decoder, o, 16);
    assert_true(fr_graph_find(g, "model.layers.0.self_attn.q_proj.weight.order") != FR_NONE);
    fr_graph_free(g);
}

static const char *format_of(const fr_model *m, const char *name) {
    char key[160];
    snprintf(key, sizeof key, "frugal.format.model.layers.0.%s.weight", name);
    const char *text = json_string_value(fr_json_get(fr_store_metadata(m->store), key));
    return text ? text : "none";
}

static void starts(const char *text, const char *with) {
    if (strncmp(text, with, strlen(with))) fail_msg("\"%s\" instead of \"%s\"", text, with);
}

static void test_logits(void **state) {
    (void)state;
    static const struct {
        const char *name, *attention, *mlp;
        double most; /* in few bits: activations of 8 bits cost more than bf16 */
    } cases[] = {{"awq", "uint4-z-g32 ", "uint4-z-g32 ", 3e-2},
                 {"gptq", "uint4-z-g32-perm ", "uint4-z-g32 ", 3e-2},
                 {"qserve", "qoq-channel ", "qoq-", 5e-2}};
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        char path[512];
        fr_model m;
        snprintf(path, sizeof path, "%s/golden/model/packed/%s", FR_TESTS_DIR, cases[i].name);
        made_ok(fr_model_open(path, &m));
        starts(format_of(&m, "self_attn.q_proj"), cases[i].attention);
        starts(format_of(&m, "mlp.down_proj"), cases[i].mlp);
        fr_named_tensor *list; /* all weights as floats, parts left out */
        size_t count, found = 0;
        made_ok(fr_model_weights(&m, &list, &count));
        for (size_t k = 0; k < count; k++) {
            assert_null(strstr(list[k].name, ".codes"));
            found += strstr(list[k].name, "_proj.weight") && list[k].tensor->rank == 2;
        }
        assert_true(found == 7 && count == 12);
        fr_free(list);
        fr_decoder_opts exact = {.weights = FR_F32}, few = {.weights = FR_BF16, .store = m.store};
        const fr_tensor *ids = want(cases[i].name, "ids"), *logits = want(cases[i].name, "logits");
        double a = made_off(&m, &exact, ids, logits), b = made_off(&m, &few, ids, logits);
        if (!strcmp(cases[i].name, "gptq")) has_order(&m, &few);
        print_message("%-8s f32 %.2g, few bits and bf16 %.2g\n", cases[i].name, a, b);
        if (!(a < 1e-4 && b < cases[i].most)) fail_msg("%s is too far away", cases[i].name);
        fr_model_close(&m);
    }
}

/* How many products in few bits give bf16 in a graph over pages of a kind. */
static int half_products(const fr_model *m, fr_dtype weights, fr_kv_kind kind, int *all) {
    fr_graph *g = fr_graph_new();
    fr_decoder_opts o = {.weights = weights, .flow = FR_F32, .store = m->store};
    fr_decoder_cache c = {.kind = kind, .pages = 4};
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){1, 5});
    fr_val pos = fr_input(g, "pos", FR_I32, 3, (int64_t[]){1, 5, 1});
    c.table = fr_input(g, "table", FR_I32, 2, (int64_t[]){1, 4});
    c.start = fr_input(g, "start", FR_I32, 1, (int64_t[]){1});
    c.length = fr_input(g, "length", FR_I32, 1, (int64_t[]){1});
    fr_val x = fr_decoder_cached(g, &m->decoder, &o, ids, pos, &c);
    made_ok(fr_graph_check(g));
    assert_int_equal(fr_desc(g, x)->dtype, FR_F32);
    int half = *all = 0;
    for (size_t i = 0; i < g->node_count; i++) {
        if (strcmp(g->nodes[i]->op->name, "qlinear") != 0) continue;
        half += fr_desc(g, g->nodes[i]->out0)->dtype == FR_BF16;
        ++*all;
    }
    fr_graph_free(g);
    return half;
}

/* What flows from layer to layer is f32; inside of one q, k, v, gate and up are bf16, but where all is to be exact. */
static void test_inner(void **state) {
    (void)state;
    fr_model m;
    int all;
    made_ok(fr_model_open(FR_TESTS_DIR "/golden/model/packed/awq", &m));
    assert_int_equal(half_products(&m, FR_BF16, FR_KV_8, &all), 5 * m.decoder.layers);
    assert_int_equal(all, 7 * m.decoder.layers);
    assert_int_equal(half_products(&m, FR_BF16, FR_KV_F32, &all), 0);
    assert_int_equal(half_products(&m, FR_F32, FR_KV_8, &all), 0);
    assert_int_equal(all, 7 * m.decoder.layers);
    fr_model_close(&m);
}

/* ---- folders made here ---- */

static char dir[64];

#define CONFIG                                                                                     \
    "\"model_type\": \"llama\", \"vocab_size\": 8, \"hidden_size\": 32, \"intermediate_size\": "   \
    "32, \"num_hidden_layers\": 1, \"num_attention_heads\": 2"

static void put_config(const char *more) {
    char path[128], text[600];
    snprintf(path, sizeof path, "%s/config.json", dir);
    snprintf(text, sizeof text, "{" CONFIG "%s}", more);
    made_ok(fr_write_file(path, text, strlen(text)));
}

static void put_tensors(const fr_named_tensor *list, size_t count) {
    char path[128];
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    made_ok(fr_safetensors_write(path, list, count, NULL, 0));
}

#define Q "model.layers.0.self_attn.q_proj."

/* A matrix in FP8 blocks, and one in INT8, become what they would be when we quantize. */
static void test_scales_beside(void **state) {
    (void)state;
    static const struct {
        const char *format, *scale, *config;
    } cases[] = {
        {"fp8-128x128", "weight_scale_inv",
         ", \"quantization_config\": {\"quant_method\": \"fp8\", \"weight_block_size\": [128, "
         "128]}"},
        {"fp8-e4m3-tensor", "weight_scale",
         ", \"quantization_config\": {\"quant_method\": \"fp8\"}"},
        {"int8-channel", "dequant_scale", ""}};
    float x[32 * 32];
    fr_random_normal(1, 2, 0, x, FR_COUNT(x));
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_quantized q, back;
        fr_model m;
        char scale[96];
        made_ok(fr_quantize(fr_format_find(cases[i].format), NULL, x, 32, 32, &q));
        snprintf(scale, sizeof scale, Q "%s", cases[i].scale);
        fr_named_tensor list[] = {{Q "weight", &q.part[0]}, {scale, &q.part[1]}};
        put_config(cases[i].config);
        put_tensors(list, 2);
        made_ok(fr_model_open(dir, &m));
        made_ok(fr_quantized_open(m.store, Q "weight", &back));
        assert_string_equal(back.format->name, cases[i].format);
        float y[32], z[32];
        for (int64_t r = 0; r < 32; r++) {
            q.format->decode(&q, r, 1, y);
            back.format->decode(&back, r, 1, z);
            assert_memory_equal(y, z, sizeof y);
        }
        if (i == 2) /* QServe's have no norms: they are ones */
            assert_true(*(float *)fr_store_find(m.store, "model.norm.weight")->data == 1);
        fr_model_close(&m);
        fr_quantized_free(&q);
    }
}

static void refused(const char *config, const fr_named_tensor *list, size_t count,
                    const char *text) {
    fr_model m;
    put_config(config);
    put_tensors(list, count);
    fr_message_clear();
    assert_int_not_equal(fr_model_open(dir, &m), FR_OK);
    if (!strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
    assert_null(m.store);
}

#define METHOD(text) ", \"quantization_config\": {" text "}"

static void test_refuse(void **state) {
    (void)state;
    int32_t words[32 * 8] = {0};
    fr_tensor w = fr_tensor_make(FR_I32, 2, (int64_t[]){32, 4}, words);
    fr_named_tensor one[] = {{Q "qweight", &w}};
    refused("", one, 1, "no \"quantization_config\"");
    refused(METHOD("\"quant_method\": \"hqq\""), one, 1, "packed by \"hqq\"");
    refused(METHOD("\"quant_method\": \"awq\", \"version\": \"gemv\""), one, 1, "\"gemv\"");
    refused(METHOD("\"quant_method\": \"awq\", \"bits\": 3"), one, 1, "3 bits");
    refused(METHOD("\"quant_method\": \"gptq\", \"bits\": 2"), one, 1, "2 bits");
    refused(METHOD("\"quant_method\": \"gptq\", \"checkpoint_format\": \"marlin\""), one, 1,
            "\"marlin\"");
    refused(METHOD("\"quant_method\": \"fp8\", \"weight_block_size\": [64, 128]"), one, 1,
            "128 x 128");
    refused(METHOD("\"quant_method\": \"awq\""), one, 1, "There is no tensor '" Q "qzeros'");
    refused(METHOD("\"quant_method\": 7"), one, 1, "quant_method");
}

/* ---- the whole ---- */

static int begin(void **state) {
    char path[512];
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/frugal-packed-XXXXXX");
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/golden/model/packed/golden.safetensors", FR_TESTS_DIR);
    return fr_store_open(path, &golden) != FR_OK;
}

static int end(void **state) {
    char path[128];
    (void)state;
    fr_store_close(golden);
    snprintf(path, sizeof path, "%s/config.json", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    unlink(path);
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_inner),
        cmocka_unit_test(test_scales_beside),
        cmocka_unit_test(test_refuse),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
