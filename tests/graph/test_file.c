/* test_file.c: a graph written to a file and read back is the same graph, and what is wrong in such
 * a file is said in one sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "graph/file.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

/* Two layers, with a constant, a reshape and every kind of value. */
static fr_graph *two_layers(void) {
    static float shift[4] = {0.5f, -1, 2, 0};
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 3, (int64_t[]){2, 3, 8});
    fr_scope(g, "one");
    fr_val w1 = fr_param(g, "weight", FR_F32, 2, (int64_t[]){16, 8});
    fr_val y =
        fr_linear(g, x, w1, fr_param(g, "bias", FR_F32, 1, (int64_t[]){16}), FR_NONE, FR_FN_SILU);
    fr_scope_end(g);
    y = fr_reshape(g, y, 2, (int64_t[]){-1, 16});
    fr_val w2 = fr_param(g, "two.weight", FR_F32, 2, (int64_t[]){4, 16});
    y = fr_linear(g, y, w2, FR_NONE, FR_NONE, FR_FN_NONE);
    fr_tensor c = fr_tensor_make(FR_F32, 1, (int64_t[]){4}, shift);
    y = fr_affine(g, fr_add(g, y, fr_constant(g, &c)), 0.25f, 1.0f / 3);
    fr_output(g, "y", y);
    return g;
}

static char *text_of(const fr_graph *g) {
    fr_json *j;
    ok(fr_graph_to_json(g, &j));
    char *text = json_dumps(j, JSON_COMPACT);
    fr_json_free(j);
    return text;
}

static void run_once(fr_session *s, float out[24]) {
    float x[48];
    fr_random_normal(1, 2, 0, x, 48);
    fr_tensor in = fr_tensor_make(FR_F32, 3, (int64_t[]){2, 3, 8}, x);
    ok(fr_session_run(s, &in, 1));
    memcpy(out, fr_session_output(s, "y")->data, 24 * sizeof *out);
}

static void test_round_trip(void **state) {
    (void)state;
    fr_graph *g = two_layers(), *back;
    fr_session *s, *again;
    fr_store *store;
    float a[24], b[24];
    ok(fr_session_new(g, &s));
    ok(fr_session_init_random(s, 3, 0.3f));
    run_once(s, a);
    ok(fr_session_save(s, "graph.safetensors"));
    ok(fr_store_open("graph.safetensors", &store));
    ok(fr_graph_open(store, &back));
    char *before = text_of(g), *after = text_of(back);
    assert_non_null(strstr(before, "one.weight"));
    ok(fr_session_new(back, &again));
    ok(fr_session_load(again, store));
    run_once(again, b);
    assert_memory_equal(a, b, sizeof a);
    /* Sources come first in a file, so writing what was read gives the same text again. */
    fr_graph *third;
    fr_json *j;
    ok(fr_graph_to_json(back, &j));
    ok(fr_graph_from_json(j, store, &third));
    char *last = text_of(third);
    assert_string_equal(after, last);
    fr_json_free(j);
    free(before);
    free(after);
    free(last);
    fr_session_free(s);
    fr_session_free(again);
    fr_store_close(store);
    fr_graph_free(g);
    fr_graph_free(back);
    fr_graph_free(third);
    unlink("graph.safetensors");
}

/* Every byte of an attribute struct is kept by some field, or is padding between them. */
static void test_fields_cover(void **state) {
    (void)state;
    for (size_t i = 0; fr_ops[i]; i++) {
        const fr_op *op = fr_ops[i];
        bool covered[FR_ATTR_MAX] = {false};
        size_t missing = 0, longest = 0;
        for (const fr_attr_field *f = op->fields; f && f->kind != FR_ATTR_END; f++) {
            size_t one = f->kind == FR_ATTR_I64 ? 8 : f->kind == FR_ATTR_BOOL ? 1 : 4;
            size_t bytes = one * (size_t)FR_MAX_OF(f->count, 1);
            if (f->offset + bytes > op->attr_bytes)
                fail_msg("%s: the field %s ends outside", op->name, f->name);
            longest = FR_MAX_OF(longest, one);
            for (size_t k = 0; k < bytes; k++) {
                if (covered[f->offset + k])
                    fail_msg("%s: the field %s lies over another", op->name, f->name);
                covered[f->offset + k] = true;
            }
        }
        /* What is left over may only be padding: after a field, and shorter than what it pads. */
        for (size_t k = 0; k < op->attr_bytes; k++) {
            missing = covered[k] ? 0 : missing + 1;
            if (!covered[k] && (missing > k || missing >= longest))
                fail_msg("%s: byte %zu of the attributes is in no field", op->name, k);
        }
    }
}

/* Every choice has a word, and the word finds it again. */
static void test_words(void **state) {
    (void)state;
    for (int kind = FR_ATTR_FN; kind <= FR_ATTR_KV; kind++) {
        int words = 0;
        for (int32_t v = -1; v < 300; v++) {
            const char *word = fr_attr_word(kind, v);
            int32_t back = -1;
            if (!word) continue;
            words++;
            assert_true(fr_attr_from_word(kind, word, &back));
            assert_int_equal(back, v);
        }
        assert_true(words >= 3);
        int32_t none;
        assert_false(fr_attr_from_word(kind, "nonsense", &none));
    }
}

static void test_refuses(void **state) {
    (void)state;
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"{}", "version"},
        {"{\"version\": 1}", "steps"},
        {"{\"version\": 2, \"steps\": []}", "version"},
        {"{\"version\": 1, \"steps\": [], \"outputs\": {\"y\": 0}}", "no value"},
        {"{\"version\": 1, \"steps\": [{}]}", "step 0"},
        {"{\"version\": 1, \"steps\": [{\"input\": \"x\", \"dtype\": \"f33\", \"dim\": []}]}",
         "number type"},
        {"{\"version\": 1, \"steps\": [{\"input\": \"x\", \"dtype\": \"f32\", \"dim\": [-1]}]}",
         "step 0"},
        {"{\"version\": 1, \"steps\": [{\"input\": \"x\", \"dtype\": \"f32\", \"dim\": "
         "[9223372036854775807, 8]}]}",
         "step 0"},
        {"{\"version\": 1, \"steps\": [{\"input\": \"x\", \"dtype\": \"f32\", \"dim\": "
         "[1,1,1,1,1,1]}]}",
         "dim"},
        {"{\"version\": 1, \"steps\": [{\"constant\": \"c\", \"dtype\": \"f32\", \"dim\": [1]}]}",
         "no tensor"},
        {"{\"version\": 1, \"steps\": [{\"op\": \"frobnicate\", \"in\": []}]}", "no operator"},
        {"{\"version\": 1, \"steps\": [{\"op\": \"softmax\", \"in\": [1]}]}", "not there yet"},
        {"{\"version\": 1, \"steps\": [{\"op\": \"softmax\", \"in\": [-2]}]}", "not there yet"},
        {"{\"version\": 1, \"steps\": [{\"op\": \"softmax\", \"in\": []}]}", "softmax"},
        {"{\"version\": 1, \"steps\": [{\"input\": \"x\", \"dtype\": \"f32\", \"dim\": [4]}, "
         "{\"op\": \"unary\", \"in\": [1], \"attr\": {\"fn\": \"what\"}}]}",
         "attribute"},
        {"{\"version\": 1, \"steps\": [{\"input\": \"x\", \"dtype\": \"f32\", \"dim\": [4]}, "
         "{\"input\": \"x\", \"dtype\": \"f32\", \"dim\": [4]}]}",
         "already"},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_json *j;
        fr_graph *g = NULL;
        ok(fr_json_parse(cases[i].json, strlen(cases[i].json), "test", &j));
        assert_int_not_equal(fr_graph_from_json(j, NULL, &g), FR_OK);
        if (!strstr(fr_message(), cases[i].words))
            fail_msg("case %zu says \"%s\", without \"%s\"", i, fr_message(), cases[i].words);
        fr_json_free(j);
    }
}

static void test_plain_file(void **state) {
    (void)state;
    float v = 1;
    fr_tensor t = fr_tensor_make(FR_F32, 1, (int64_t[]){1}, &v);
    fr_named_tensor list[] = {{"a", &t}};
    fr_store *store;
    fr_graph *g;
    ok(fr_safetensors_write("plain.safetensors", list, 1, NULL, 0));
    ok(fr_store_open("plain.safetensors", &store));
    assert_int_equal(fr_graph_open(store, &g), FR_UNSUPPORTED);
    assert_non_null(strstr(fr_message(), "no graph"));
    fr_store_close(store);
    unlink("plain.safetensors");
}

/* A constant has a name that nothing else in the graph or its file has. */
static void test_constant_names(void **state) {
    (void)state;
    float v[2] = {1, 2};
    fr_tensor t = fr_tensor_make(FR_F32, 1, (int64_t[]){2}, v);
    fr_graph *g = fr_graph_new(), *back;
    fr_session *s;
    fr_store *store;
    fr_val p = fr_param(g, "constant.3", FR_F32, 1, (int64_t[]){2});
    fr_val x = fr_input(g, "constant.4", FR_F32, 1, (int64_t[]){2});
    fr_val y = fr_add(g, fr_constant(g, &t), fr_constant(g, &t));
    fr_output(g, "y", fr_add(g, fr_mul(g, y, p), x));
    ok(fr_session_new(g, &s));
    ok(fr_session_init_random(s, 1, 1));
    ok(fr_session_save(s, "names.safetensors"));
    ok(fr_store_open("names.safetensors", &store));
    assert_int_equal(fr_store_count(store), 3);
    ok(fr_graph_open(store, &back));
    fr_graph_free(back);
    fr_session_free(s);
    fr_param(g, "constant.5", FR_F32, 1, (int64_t[]){2});
    assert_int_not_equal(fr_graph_check(g), FR_OK);
    assert_non_null(strstr(fr_message(), "constant named 'constant.5'"));
    fr_graph_free(g);

    /* A file that says the same name a hundred times. */
    fr_json *j = json_pack("{s:i, s:[], s:{}}", "version", 1, "steps", "outputs");
    for (int i = 0; i < 100; i++)
        json_array_append_new(
            json_object_get(j, "steps"),
            json_pack("{s:s, s:s, s:[i]}", "constant", "constant.5", "dtype", "f32", "dim", 2));
    back = NULL;
    assert_int_not_equal(fr_graph_from_json(j, store, &back), FR_OK);
    assert_non_null(strstr(fr_message(), "step 1"));
    fr_json_free(j);
    fr_store_close(store);
    unlink("names.safetensors");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_fields_cover),
        cmocka_unit_test(test_words),      cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_plain_file), cmocka_unit_test(test_constant_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
