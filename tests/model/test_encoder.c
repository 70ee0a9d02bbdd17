/* test_encoder.c: a small BertModel gives the states of transformers (tests/oracle/bert.py): rows of different lengths
 * together and alone, with types of tokens and without; in bf16 and in 8 bits; wrong configurations are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/format.h"
#include "model/model.h"

enum { ROWS = 3, TOKENS = 16, WIDTH = 32 };

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

typedef struct run {
    fr_graph *g;
    fr_session *s;
    fr_store *store;
    const int32_t *ids, *types, *lengths;
} run;

/* few: another file of the weights. */
static run start(const char *few, fr_dtype weights, bool types) {
    run r = {.g = fr_graph_new()};
    fr_encoder m;
    fr_json *config;
    ok(fr_json_load(FR_TESTS_DIR "/golden/model/bert/config.json", &config));
    ok(fr_encoder_read(config, &m));
    fr_json_free(config);
    ok(fr_store_open(few ? few : FR_TESTS_DIR "/golden/model/bert", &r.store));
    const fr_encoder_opts o = {.weights = weights, .store = r.store};
    const int64_t dim[] = {ROWS, TOKENS};
    fr_val ids = fr_input(r.g, "ids", FR_I32, 2, dim);
    fr_val pos = fr_input(r.g, "pos", FR_I32, 1, dim + 1);
    fr_val length = fr_input(r.g, "length", FR_I32, 1, dim);
    fr_val type = types ? fr_input(r.g, "type", FR_I32, 2, dim) : FR_NONE;
    fr_output(r.g, "states", fr_encoder_body(r.g, &m, &o, ids, pos, type, length));
    ok(fr_fuse(r.g, FR_FUSE_ALL, NULL));
    ok(fr_session_new(r.g, &r.s));
    ok(fr_session_load(r.s, r.store));
    r.ids = fr_store_find(r.store, "golden.ids")->data;
    r.types = fr_store_find(r.store, "golden.types")->data;
    r.lengths = fr_store_find(r.store, "golden.lengths")->data;
    return r;
}

static void end(run *r) {
    fr_session_free(r->s);
    fr_graph_free(r->g);
    fr_store_close(r->store);
}

/* The largest difference of what counts, over rows first .. first + rows - 1 cut to `tokens`. */
static double differ(run *r, const char *golden, bool types, int64_t first, int64_t rows,
                     int64_t tokens) {
    int32_t ids[ROWS * TOKENS], type[ROWS * TOKENS], pos[TOKENS], length[ROWS];
    static float states[ROWS * TOKENS * WIDTH];
    for (int64_t i = 0; i < rows * tokens; i++) {
        const int64_t from = (first + i / tokens) * TOKENS + i % tokens;
        ids[i] = r->ids[from];
        type[i] = r->types[from];
    }
    for (int32_t i = 0; i < TOKENS; i++) pos[i] = i;
    memcpy(length, r->lengths + first, (size_t)rows * sizeof *length);
    const int64_t dim[] = {rows, tokens};
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, dim, ids), fr_tensor_make(FR_I32, 1, dim + 1, pos),
                      fr_tensor_make(FR_I32, 1, dim, length), fr_tensor_make(FR_I32, 2, dim, type)};
    ok(fr_session_run(r->s, in, types ? 4 : 3));
    ok(fr_tensor_to_f32(fr_session_output(r->s, "states"), states));
    const float *want = fr_store_find(r->store, golden)->data;
    double most = 0;
    for (int64_t b = 0; b < rows; b++)
        for (int64_t i = 0; i < length[b] * WIDTH; i++) {
            double d = fabs((double)states[b * tokens * WIDTH + i] -
                            (double)want[(first + b) * TOKENS * WIDTH + i]);
            if (!(d <= most)) most = d;
        }
    return most;
}

static void expect_states(const char *few, fr_dtype weights, bool types, double least) {
    const char *golden = types ? "golden.states" : "golden.first";
    run r = start(few, weights, types);
    double all = differ(&r, golden, types, 0, ROWS, TOKENS);
    double one = differ(&r, golden, types, 1, 1, r.lengths[1]);
    end(&r);
    if (!(all < least) || !(one < least))
        fail_msg("states differ by %g together and by %g alone, wanted %g", all, one, least);
}

static void test_states(void **state) {
    (void)state;
    expect_states(NULL, FR_F32, true, 1e-5);
    expect_states(NULL, FR_F32, false, 1e-5);
}

static void test_bf16(void **state) {
    (void)state;
    expect_states(NULL, FR_BF16, true, 0.15);
}

/* All linears of the layers in 8 bits, as a file. */
static void write_few_bits(const char *path) {
    enum { MOST = 128 };
    static fr_named_tensor list[MOST * FR_PARTS];
    static fr_meta_pair meta[MOST];
    static fr_quantized q[MOST];
    size_t count = 0, metas = 0;
    fr_store *from;
    fr_arena *arena = fr_arena_new();
    ok(fr_store_open(FR_TESTS_DIR "/golden/model/bert", &from));
    for (size_t i = 0; i < fr_store_count(from); i++) {
        const char *name = fr_store_name(from, i);
        const fr_tensor *t = fr_store_tensor(from, i);
        if (t->rank != 2 || !strstr(name, "encoder.layer.")) {
            list[count++] = (fr_named_tensor){name, t};
            continue;
        }
        const fr_qformat *f = fr_format_find("int8-channel");
        ok(fr_quantize(f, NULL, t->data, t->dim[0], t->dim[1], &q[i]));
        ok(fr_quantized_list(&q[i], name, arena, list, &count, meta, &metas));
    }
    assert_int_equal(metas, 12);
    ok(fr_safetensors_write(path, list, count, meta, metas));
    for (size_t i = 0; i < fr_store_count(from); i++) fr_quantized_free(&q[i]);
    fr_arena_free(arena);
    fr_store_close(from);
}

static void test_few_bits(void **state) {
    (void)state;
    const char *path = "test_encoder.safetensors";
    write_few_bits(path);
    run r = start(path, FR_F32, true);
    int products = 0;
    for (size_t i = 0; i < r.g->node_count; i++)
        products += !r.g->nodes[i]->dead && !strcmp(r.g->nodes[i]->op->name, "qlinear");
    end(&r);
    assert_true(products >= 2 * 4); /* q, k and v may have become one */
    expect_states(path, FR_F32, true, 0.25);
    remove(path);
}

static void refused(const char *text, const char *why) {
    fr_json *j;
    fr_encoder m;
    ok(fr_json_parse(text, strlen(text), "config.json", &j));
    assert_int_not_equal(fr_encoder_read(j, &m), FR_OK);
    if (!strstr(fr_message(), why)) fail_msg("no \"%s\" in: %s", why, fr_message());
    fr_json_free(j);
}

static void test_wrong(void **state) {
    (void)state;
    refused("{\"model_type\": \"roberta\"}", "roberta");
    refused("{\"position_embedding_type\": \"relative_key\"}", "relative_key");
    refused("{\"is_decoder\": true}", "is_decoder");
    refused("{\"hidden_act\": \"snake\"}", "snake");
    refused("{\"num_attention_heads\": 7}", "7 heads");
    refused("{\"num_hidden_layers\": 5000}", "5000");
    refused("{\"hidden_size\": -1}", "hidden_size");
    refused("{\"hidden_size\": \"x\"}", "hidden_size");
    refused("{\"layer_norm_eps\": 0}", "layer_norm_eps");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_few_bits),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
