/* test_write.c: what is written is read back to the bit, and is refused where the format has no place
 * for it. The files stay in tensor_write.out/, where tests/tensor/check_peers.sh shows them to the
 * `safetensors` and `gguf` packages when those are there. */
#include "testing.h"

#define OUT "tensor_write.out"

/* Value i of a tensor of n: tests/oracle/store_roundtrip.py knows the same rule. */
static float value(int64_t i) {
    return (float)(i * 7 % 64 - 32) / 8;
}

static fr_tensor make(fr_dtype t, int rank, const int64_t *dim) {
    fr_tensor x = fr_tensor_make(t, rank, dim, NULL);
    size_t n = (size_t)fr_values(&x);
    float *values = fr_alloc_array(FR_MEM_OTHER, n, sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = value((int64_t)i);
    x.data = fr_alloc(FR_MEM_OTHER, fr_bytes(&x));
    assert_good(fr_encode(t, values, n, x.data));
    fr_free(values);
    return x;
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

enum { COUNT = 6 };
static fr_tensor tensors[COUNT];
static void *owned;
static fr_named_tensor named[COUNT + 1];

static int set_up(void **state) {
    (void)state;
    tensors[0] = make(FR_F32, 2, DIMS(4, 64));
    tensors[1] = make(FR_F16, 2, DIMS(3, 5));
    tensors[2] = make(FR_BF16, 3, DIMS(2, 3, 4));
    tensors[3] = make(FR_F32, 0, NULL);
    tensors[4] = make(FR_F32, 2, DIMS(0, 7));
    /* A view whose rows in order are value(0), value(1), ... */
    fr_tensor t = fr_tensor_make(FR_F32, 2, DIMS(3, 5), fr_alloc(FR_MEM_OTHER, 60));
    owned = t.data;
    for (int i = 0; i < 15; i++) ((float *)t.data)[i % 3 * 5 + i / 3] = value(i);
    assert_good(fr_view_permute(&t, (const int[]){1, 0}, &tensors[5]));
    static const char *const names[] = {"blk.0.weight", "half",  "brain",
                                        "scalar",       "empty", "transposed"};
    for (int i = 0; i < COUNT; i++) named[i] = (fr_named_tensor){names[i], &tensors[i]};
    return fr_make_dirs(OUT);
}

static int tear_down(void **state) {
    for (int i = 0; i < 5; i++) fr_free(tensors[i].data);
    fr_free(owned);
    return remove_test_dir(state);
}

static void assert_reads_back(const fr_store *s, const char *name, const fr_tensor *want) {
    const fr_tensor *t = fr_store_find(s, name);
    if (!t) fail_msg("%s is gone", name);
    assert_int_equal(t->dtype, want->dtype);
    assert_true(fr_same_shape(t, want));
    uint8_t a[4096];
    assert_true(fr_bytes(want) <= sizeof a);
    fr_copy_contiguous(want, a);
    assert_memory_equal(t->data, a, fr_bytes(want));
}

static const fr_meta_pair meta[] = {{"format", "pt"}, {"by", "Frugal \"\xc3\xa9\"\n"}};

static void safetensors_come_back(void **state) {
    (void)state;
    uint8_t odd[3] = {0, 1, 2};
    fr_tensor flags = fr_tensor_make(FR_U8, 1, DIMS(1), odd);
    named[COUNT] = (fr_named_tensor){"n\xc3\xa4me \"q\"\\\t", &flags};
    fr_store *s;
    assert_good(fr_safetensors_write(OUT "/one.safetensors", named, COUNT + 1, meta, 2));
    assert_good(fr_store_open(OUT "/one.safetensors", &s));
    assert_int_equal(fr_store_count(s), COUNT + 1);
    for (int i = 0; i <= COUNT; i++) assert_reads_back(s, named[i].name, named[i].tensor);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(json_string_value(fr_json_get(fr_store_metadata(s), meta[i].key)),
                            meta[i].value);
    /* Where they lie: whole lines first and on lines, the rest aligned to their type. */
    assert_int_equal(fr_store_offset(s, 0) % 64, 0);
    assert_string_equal(fr_store_name(s, 0), "blk.0.weight");
    for (size_t i = 0; i < fr_store_count(s); i++) {
        const fr_tensor *t = fr_store_shape(s, i);
        assert_int_equal(fr_store_offset(s, i) % (uint64_t)fr_dtype_get(t->dtype)->bytes, 0);
        assert_non_null(t->data);
    }
    fr_store_close(s);
}

static void the_same_tensors_give_the_same_bytes(void **state) {
    (void)state;
    char *a, *b;
    size_t na, nb;
    assert_good(fr_safetensors_write(in_test_dir("a"), named, COUNT, meta, 2));
    assert_good(fr_safetensors_write(in_test_dir("b"), named, COUNT, meta, 2));
    assert_good(fr_read_file(in_test_dir("a"), 0, &a, &na));
    assert_good(fr_read_file(in_test_dir("b"), 0, &b, &nb));
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    fr_free(a);
    fr_free(b);
}

static void an_empty_file_is_a_file(void **state) {
    (void)state;
    fr_store *s;
    assert_good(fr_safetensors_write(in_test_dir("none"), NULL, 0, NULL, 0));
    assert_good(fr_store_open(in_test_dir("none"), &s));
    assert_int_equal(fr_store_count(s), 0);
    fr_store_close(s);
    fr_json *none = json_object();
    assert_good(fr_gguf_write(in_test_dir("none.gguf"), NULL, 0, none, NULL));
    assert_good(fr_store_open(in_test_dir("none.gguf"), &s));
    assert_int_equal(fr_store_count(s), 0);
    fr_store_close(s);
    fr_json_free(none);
}

static void shards_come_back(void **state) {
    (void)state;
    fr_tensor x[5];
    fr_named_tensor list[5];
    char name[5][16];
    for (int i = 0; i < 5; i++) {
        x[i] = make(FR_F32, 2, DIMS(16, 8)); /* 512 bytes */
        snprintf(name[i], sizeof name[i], "w.%d", i);
        list[i] = (fr_named_tensor){name[i], &x[i]};
    }
    fr_store *s;
    /* One file first: it must give way to the shards, and they to it. */
    for (int round = 0; round < 3; round++) {
        uint64_t limit = round == 1 ? 1 << 20 : 1100;
        assert_good(fr_safetensors_write_sharded(OUT "/shards", list, 5, meta, 2, limit));
        assert_int_equal(fr_path_exists(OUT "/shards/model.safetensors"), round == 1);
        assert_int_equal(fr_path_exists(OUT "/shards/model.safetensors.index.json"), round != 1);
        assert_good(fr_store_open(OUT "/shards", &s));
        assert_int_equal(fr_store_count(s), 5);
        for (int i = 0; i < 5; i++) assert_reads_back(s, list[i].name, list[i].tensor);
        if (round != 1) assert_non_null(strstr(fr_store_file(s, 4), "model-00003-of-00003"));
        assert_string_equal(json_string_value(fr_json_get(fr_store_metadata(s), "format")), "pt");
        fr_store_close(s);
    }
    /* A shard smaller than a tensor: each tensor has its own. */
    assert_good(fr_safetensors_write_sharded(in_test_dir("tiny"), list, 5, NULL, 0, 1));
    assert_good(fr_store_open(in_test_dir("tiny"), &s));
    assert_non_null(strstr(fr_store_file(s, 0), "-of-00005"));
    fr_store_close(s);
    for (int i = 0; i < 5; i++) fr_free(x[i].data);
}

static void safetensors_refuses_what_it_cannot_hold(void **state) {
    (void)state;
    uint8_t raw[34];
    fr_tensor q = fr_tensor_make(FR_Q8_0, 1, DIMS(32), raw),
              none = fr_tensor_make(FR_F32, 1, DIMS(2), NULL);
    fr_tensor bad = fr_tensor_make(FR_F32, 1, DIMS(-2), raw);
    const struct {
        fr_named_tensor t;
        const char *message;
    } cases[] = {
        {{"q", &q}, "'q', which is q8_0"},     {{"n", &none}, "'n' has no values"},
        {{"b", &bad}, "'b' has the negative"}, {{"__metadata__", &tensors[0]}, "__metadata__"},
        {{"\xff", &tensors[0]}, "not UTF-8"},
    };
    const char *path = in_test_dir("refused");
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_message_clear();
        assert_int_not_equal(fr_safetensors_write(path, &cases[i].t, 1, NULL, 0), FR_OK);
        if (!strstr(fr_message(), cases[i].message)) fail_msg("%s", fr_message());
        assert_false(fr_path_exists(path));
    }
    fr_named_tensor twice[2] = {{"a", &tensors[0]}, {"a", &tensors[1]}};
    assert_fails(fr_safetensors_write(path, twice, 2, NULL, 0), FR_INVALID,
                 "'a' is to be written twice");
    fr_meta_pair same[2] = {{"k", "1"}, {"k", "2"}};
    assert_fails(fr_safetensors_write(path, named, 1, same, 2), FR_INVALID,
                 "'k' is to be written twice");
    assert_fails(fr_safetensors_write(in_test_dir("no/such/folder"), named, 1, NULL, 0), FR_IO,
                 "no/such");
}

static bool is_weight(const char *name, const fr_tensor *t) {
    (void)t;
    return strstr(name, "weight") != NULL;
}

static fr_json *gguf_meta(void) {
    return json_pack("{s:s, s:i, s:i, s:I, s:f, s:b, s:[i,i,i], s:[i,f], s:[], s:[s,s]}",
                     "general.architecture", "toy", "toy.count", 12, "toy.below", -5, "toy.large",
                     (json_int_t)1 << 40, "toy.eps", 1e-5, "toy.on", 1, "toy.ids", 1, 2, 3,
                     "toy.mixed", 1, 2.5, "toy.none", "toy.words", "a", "b\xc3\xa9");
}

static void gguf_comes_back(void **state) {
    (void)state;
    fr_store *s;
    fr_json *m = gguf_meta();
    assert_non_null(m);
    assert_good(fr_gguf_write(OUT "/one.gguf", named, COUNT, m, is_weight));
    assert_good(fr_store_open(OUT "/one.gguf", &s));
    assert_int_equal(fr_store_count(s), COUNT);
    for (int i = 1; i < COUNT; i++) assert_reads_back(s, named[i].name, named[i].tensor);
    /* The weight was encoded: as fr_encode does it, and within half a step. */
    const fr_tensor *q = fr_store_find(s, "blk.0.weight");
    uint8_t want[256 / 32 * 34];
    assert_int_equal(q->dtype, FR_Q8_0);
    assert_good(fr_encode(FR_Q8_0, tensors[0].data, 256, want));
    assert_memory_equal(q->data, want, sizeof want);
    const fr_json *back = fr_store_metadata(s);
    json_object_set_new(m, "toy.eps", json_real((double)1e-5f)); /* it is an f32 in the file */
    json_object_set_new(m, "toy.mixed", json_pack("[f,f]", 1.0, 2.5));
    assert_true(json_equal(back, m));
    fr_store_close(s);
    fr_json_free(m);
}

static void long_lists_and_blocks_come_back(void **state) {
    (void)state;
    fr_json *m = json_object(), *list = json_array(), *words = json_array();
    for (int i = 0; i < 1000; i++) {
        json_array_append_new(list, json_integer((json_int_t)i - 500));
        json_array_append_new(words, json_string(i % 2 ? "word" : ""));
    }
    json_object_set_new(m, "general.alignment", json_integer(128));
    json_object_set_new(m, "list", list);
    json_object_set_new(m, "words", words);
    uint8_t raw[210 * 2];
    for (size_t i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)(i * 31);
    fr_tensor k = fr_tensor_make(FR_Q6_K, 2, DIMS(2, 256), raw);
    fr_named_tensor n[2] = {{"k", &k}, {"half", &tensors[1]}};
    fr_store *s;
    assert_good(fr_gguf_write(in_test_dir("long.gguf"), n, 2, m, NULL));
    assert_good(fr_store_open(in_test_dir("long.gguf"), &s));
    assert_reads_back(s, "k", &k);
    assert_int_equal(fr_store_offset(s, 1) % 128, 0);
    const fr_meta_array *a = fr_store_meta_array(s, "list");
    float values[1000];
    assert_int_equal(a->dtype, FR_I32);
    fr_decode(a->dtype, a->data, a->count, values);
    assert_true(values[0] == -500 && values[999] == 499);
    assert_int_equal(fr_store_meta_array(s, "words")->count, 1000);
    fr_store_close(s);
    fr_json_free(m);
}

static void gguf_refuses_what_it_cannot_hold(void **state) {
    (void)state;
    const char *path = in_test_dir("refused.gguf");
    static const char *const bad[][2] = {
        {"{\"k\":null}", "'k' is neither"},
        {"{\"k\":{}}", "'k' is neither"},
        {"{\"k\":[1,\"a\"]}", "'k' is neither"},
        {"{\"k\":[[1]]}", "'k' is neither"},
        {"{\"k\":[true,1]}", "'k' is neither"},
        {"{\"general.alignment\":24}", "power of two"},
        {"{\"general.alignment\":-8}", "power of two"},
    };
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        fr_json *m;
        assert_good(fr_json_parse(bad[i][0], strlen(bad[i][0]), "m", &m));
        fr_message_clear();
        assert_int_not_equal(fr_gguf_write(path, named, COUNT, m, NULL), FR_OK);
        if (!strstr(fr_message(), bad[i][1])) fail_msg("%s", fr_message());
        fr_json_free(m);
    }
    fr_json *m = json_object();
    fr_tensor u8 = fr_tensor_make(FR_U8, 1, DIMS(1), owned),
              odd = fr_tensor_make(FR_F32, 1, DIMS(3), owned);
    fr_named_tensor n = {"u", &u8}, w = {"weight", &odd};
    assert_fails(fr_gguf_write(path, &n, 1, m, NULL), FR_UNSUPPORTED, "'u', which is u8");
    assert_fails(fr_gguf_write(path, &w, 1, m, is_weight), FR_INVALID, "blocks of 32");
    assert_false(fr_path_exists(path));
    fr_json_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors_come_back),
        cmocka_unit_test(the_same_tensors_give_the_same_bytes),
        cmocka_unit_test(an_empty_file_is_a_file),
        cmocka_unit_test(shards_come_back),
        cmocka_unit_test(safetensors_refuses_what_it_cannot_hold),
        cmocka_unit_test(gguf_comes_back),
        cmocka_unit_test(long_lists_and_blocks_come_back),
        cmocka_unit_test(gguf_refuses_what_it_cannot_hold),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
