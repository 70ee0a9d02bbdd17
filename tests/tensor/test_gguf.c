/* test_gguf.c: good files, and bad ones with a word that their message must have. */
#include "testing.h"

#include <math.h>

static fr_status parse(const bytes *b, fr_store **out) {
    return fr_gguf_parse(b->data, b->n, "bad.gguf", out);
}

static void put_key(bytes *b, const char *key, uint32_t type) {
    put_text(b, key);
    put_u32(b, type);
}

#define DIM(...) ((const uint64_t[]){__VA_ARGS__})

/* Two keys, two tensors, and their data. */
static bytes good_file(void) {
    bytes b = gguf_head(3, 2, 3);
    put_key(&b, "general.name", 8);
    put_text(&b, "t\xc3\xb8y");
    put_key(&b, "list", 9);
    put_u32(&b, 4);
    put_u64(&b, 20);
    for (uint32_t i = 0; i < 20; i++) put_u32(&b, i * 3);
    put_key(&b, "words", 9);
    put_u32(&b, 8);
    put_u64(&b, 17);
    for (int i = 0; i < 17; i++) put_text(&b, i % 2 ? "odd" : "\xff\x00");
    put_gguf_tensor(&b, "w", 2, DIM(3, 2), 0, 0);
    put_gguf_tensor(&b, "q", 1, DIM(64), 8, 32);
    pad_to(&b, 32);
    for (int i = 0; i < 6; i++) put(&b, &(float){(float)i}, 4);
    pad_to(&b, 32);
    for (int i = 0; i < 68; i++)
        put(&b, &(uint8_t){(uint8_t)(i % 34 == 1 ? 0x3c : i % 34 ? i : 0)}, 1);
    return b;
}

static void gather(void *user, size_t i, const char *text, size_t n) {
    size_t *seen = user;
    *seen += n + i;
    assert_memory_equal(text, i % 2 ? "odd" : "\xff", n);
}

static void a_good_file_is_read(void **state) {
    (void)state;
    bytes b = good_file();
    fr_store *s;
    assert_good(parse(&b, &s));
    assert_string_equal(fr_store_format(s), "gguf");
    assert_int_equal(fr_store_count(s), 2);
    const fr_tensor *w = fr_store_find(s, "w"), *q = fr_store_find(s, "q");
    assert_int_equal(w->rank, 2);
    assert_int_equal(w->dim[0], 2);
    assert_int_equal(w->dim[1], 3);
    float out[64];
    assert_good(fr_tensor_to_f32(w, out));
    for (int i = 0; i < 6; i++) assert_true(out[i] == (float)i);
    assert_int_equal(q->dtype, FR_Q8_0);
    assert_good(fr_tensor_to_f32(q, out)); /* the scale is 1 */
    for (int i = 0; i < 32; i++) assert_true(out[i] == (float)(i + 2));
    const fr_json *meta = fr_store_metadata(s);
    assert_string_equal(json_string_value(fr_json_get(meta, "general.name")), "t\xc3\xb8y");
    assert_null(fr_json_get(meta, "list"));
    const fr_meta_array *list = fr_store_meta_array(s, "list"),
                        *words = fr_store_meta_array(s, "words");
    assert_int_equal(list->count, 20);
    assert_int_equal(list->dtype, FR_U32);
    float numbers[20];
    fr_decode(list->dtype, list->data, 20, numbers);
    assert_true(numbers[19] == 57);
    assert_true(words->is_string && words->count == 17);
    size_t seen = 0;
    fr_meta_strings(words, gather, &seen);
    fr_meta_strings(list, gather, &seen); /* numbers: nothing */
    assert_int_equal(seen, 17 * 16 / 2 + 8 * 3 + 9);
    assert_null(fr_store_meta_array(s, "none"));
    assert_int_equal(fr_store_array_count(s), 2);
    assert_string_equal(fr_store_array(s, 1)->key, "words");
    fr_store_close(s);
    drop(&b);
}

/* A file of one pair whose key is "k", without its value. */
static bytes one_pair(uint32_t type) {
    bytes b = gguf_head(3, 0, 1);
    put_key(&b, "k", type);
    return b;
}

static void expect_bad(bytes *b, fr_status st, const char *message) {
    fr_store *s;
    pad_to(b, 32);
    assert_fails(parse(b, &s), st, message);
    assert_memory_equal(fr_message(), "bad.gguf: ", 10);
    assert_null(s);
    drop(b);
}

static void bad_heads_are_refused(void **state) {
    (void)state;
    bytes b = {0};
    expect_bad(&b, FR_FORMAT, "goes on past the end");
    put(&b, "GGUG\3\0\0\0", 8);
    expect_bad(&b, FR_FORMAT, "letters GGUF");
    b = gguf_head(1, 0, 0);
    expect_bad(&b, FR_UNSUPPORTED, "version 1");
    b = gguf_head(0x03000000, 0, 0);
    expect_bad(&b, FR_UNSUPPORTED, "big endian");
    b = gguf_head(4, 0, 0);
    expect_bad(&b, FR_UNSUPPORTED, "version 4");
    static const uint64_t counts[] = {2, 1u << 31, (uint64_t)1 << 63, UINT64_MAX};
    for (size_t i = 0; i < FR_COUNT(counts); i++) {
        b = gguf_head(3, counts[i], 0);
        expect_bad(&b, FR_FORMAT, "claims");
        b = gguf_head(3, 0, counts[i]);
        expect_bad(&b, FR_FORMAT, "claims");
    }
}

static void bad_pairs_are_refused(void **state) {
    (void)state;
    bytes b = one_pair(13);
    expect_bad(&b, FR_FORMAT, "the metadata key 'k' has an unknown type");
    b = one_pair(0xffffffff);
    expect_bad(&b, FR_FORMAT, "unknown type");
    b = one_pair(8); /* a text of 2^64 - 1 bytes */
    put_u64(&b, UINT64_MAX);
    expect_bad(&b, FR_FORMAT, "'k' goes on past the end");
    b = one_pair(9);
    put_u32(&b, 4);
    put_u64(&b, (uint64_t)1 << 62);
    expect_bad(&b, FR_FORMAT, "'k' is a list that goes on past the end");
    b = one_pair(9);
    put_u32(&b, 44);
    put_u64(&b, 1);
    expect_bad(&b, FR_FORMAT, "'k' is a list of an unknown type");
    b = one_pair(9);
    for (int i = 0; i < 6; i++) put_u32(&b, 9), put_u64(&b, 1);
    expect_bad(&b, FR_FORMAT, "'k' holds lists that are nested too deeply");
    b = gguf_head(3, 0, 2);
    for (int i = 0; i < 2; i++) put_key(&b, "twice", 0), put(&b, "x", 1);
    expect_bad(&b, FR_FORMAT, "'twice' appears twice");
    b = gguf_head(3, 0, 1);
    put_key(&b, "k\xff", 0);
    put_u64(&b, 0);
    expect_bad(&b, FR_FORMAT, "not UTF-8");
    b = gguf_head(3, 0, 1);
    put_u64(&b, 2);
    put(&b, "k\0\0\0\0\0\0", 7);
    put_u64(&b, 0);
    expect_bad(&b, FR_FORMAT, "not UTF-8"); /* a zero byte in a key */
    static const uint32_t alignments[] = {0, 1, 4, 12, 33, 0xffffffff};
    for (size_t i = 0; i < FR_COUNT(alignments); i++) {
        b = gguf_head(3, 0, 1);
        put_key(&b, "general.alignment", 4);
        put_u32(&b, alignments[i]);
        expect_bad(&b, FR_FORMAT, "power of two");
    }
    b = gguf_head(3, 0, 1);
    put_key(&b, "general.alignment", 10);
    put_u64(&b, 32);
    expect_bad(&b, FR_FORMAT, "32-bit");
}

static const struct {
    int rank;
    uint64_t dim[6];
    uint32_t type;
    uint64_t offset;
    fr_status st;
    const char *message;
} bad_tensors[] = {
    {6, {1, 1, 1, 1, 1, 1}, 0, 0, FR_UNSUPPORTED, "'t' has 6 dimensions"},
    {1, {(uint64_t)1 << 63}, 0, 0, FR_FORMAT, "'t' has a dimension of 2^63"},
    {2, {(uint64_t)1 << 62, 4}, 0, 0, FR_FORMAT, "'t' has a shape"},
    {1, {(uint64_t)1 << 62}, 0, 0, FR_FORMAT, "'t' takes more bytes"},
    {1, {4}, 10, 0, FR_UNSUPPORTED, "'t' is of GGUF type 10 (Q2_K)"},
    {1, {4}, 99, 0, FR_UNSUPPORTED, "'t' is of GGUF type 99"},
    {1, {4}, 0xffffffff, 0, FR_UNSUPPORTED, "'t' is of GGUF type 4294967295"},
    {1, {4}, 4, 0, FR_UNSUPPORTED, "'t' is of GGUF type 4"},
    {2, {31, 32}, 2, 0, FR_FORMAT, "blocks of 32"},
    {0, {0}, 2, 0, FR_FORMAT, "blocks of 32"},
    {1, {4}, 0, 16, FR_FORMAT, "'t' begins at an offset that is not aligned"},
    {1, {4}, 0, 32, FR_FORMAT, "'t' goes on past the end"},
    {1, {4}, 0, (uint64_t)1 << 63, FR_FORMAT, "'t' goes on past the end"},
    {1, {9}, 0, 0, FR_FORMAT, "'t' goes on past the end"},
};

static void bad_tensors_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < FR_COUNT(bad_tensors); i++) {
        bytes b = gguf_head(3, 1, 0);
        put_gguf_tensor(&b, "t", bad_tensors[i].rank, bad_tensors[i].dim, bad_tensors[i].type,
                        bad_tensors[i].offset);
        pad_to(&b, 32);
        for (int k = 0; k < 4; k++) put_u64(&b, 0);
        expect_bad(&b, bad_tensors[i].st, bad_tensors[i].message);
    }
    bytes b = gguf_head(3, 2, 0);
    put_gguf_tensor(&b, "a", 1, DIM(16), 0, 0);
    put_gguf_tensor(&b, "b", 1, DIM(8), 0, 32);
    pad_to(&b, 32);
    for (int k = 0; k < 8; k++) put_u64(&b, 0);
    expect_bad(&b, FR_FORMAT, "'b' overlaps tensor 'a'");
    b = gguf_head(3, 2, 0);
    for (int k = 0; k < 2; k++) put_gguf_tensor(&b, "a", 1, DIM(8), 0, (uint64_t)k * 32);
    pad_to(&b, 32);
    for (int k = 0; k < 8; k++) put_u64(&b, 0);
    expect_bad(&b, FR_FORMAT, "'a' appears twice");
}

/* Two ranges that are the same, apart from an empty tensor between them. */
static void an_overlap_is_seen_through_empty_tensors(void **state) {
    (void)state;
    bytes b = gguf_head(3, 3, 0);
    put_gguf_tensor(&b, "a", 1, DIM(16), 0, 0);
    put_gguf_tensor(&b, "none", 1, DIM(0), 0, 32);
    put_gguf_tensor(&b, "b", 1, DIM(8), 0, 32);
    pad_to(&b, 32);
    for (int k = 0; k < 8; k++) put_u64(&b, 0);
    expect_bad(&b, FR_FORMAT, "'b' overlaps tensor 'a'");
}

static void odd_but_good_files_are_read(void **state) {
    (void)state;
    fr_store *s;
    bytes b = gguf_head(2, 0, 0); /* nothing in it, version 2 */
    assert_good(parse(&b, &s));
    assert_int_equal(fr_store_count(s), 0);
    fr_store_close(s);
    drop(&b);
    /* Another alignment, a gap, a scalar, an empty tensor behind the end, tensors out of order. */
    b = gguf_head(3, 4, 1);
    put_key(&b, "general.alignment", 4);
    put_u32(&b, 64);
    put_gguf_tensor(&b, "late", 1, DIM(2), 0, 128);
    put_gguf_tensor(&b, "none", 2, DIM(5, 0), 0, 128);
    put_gguf_tensor(&b, "one", 0, NULL, 0, 0);
    put_gguf_tensor(&b, "b16", 5, DIM(1, 1, 1, 1, 2), 30, 64);
    pad_to(&b, 64);
    for (int i = 0; i < 34; i++) put(&b, &(float){(float)i}, 4);
    assert_good(parse(&b, &s));
    assert_string_equal(fr_store_name(s, 0), "one");
    assert_int_equal(fr_store_find(s, "b16")->dim[0], 2);
    assert_true(*(const float *)fr_store_find(s, "late")->data == 32);
    assert_int_equal(fr_values(fr_store_find(s, "none")), 0);
    fr_store_close(s);
    drop(&b);
    /* Empty tensors only, and the file ends before its data would begin. */
    b = gguf_head(3, 1, 0);
    put_gguf_tensor(&b, "none", 1, DIM(0), 0, 0);
    assert_good(parse(&b, &s));
    assert_int_equal(fr_values(fr_store_tensor(s, 0)), 0);
    fr_store_close(s);
    drop(&b);
}

static void lists_in_lists_are_read(void **state) {
    (void)state;
    bytes b = one_pair(9);
    put_u32(&b, 9);
    put_u64(&b, 2);
    for (uint32_t i = 0; i < 2; i++) {
        put_u32(&b, 5);
        put_u64(&b, 2);
        put_u32(&b, i);
        put_u32(&b, (uint32_t)-7);
    }
    fr_store *s;
    assert_good(parse(&b, &s));
    const json_t *list = fr_json_get(fr_store_metadata(s), "k");
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(list, 1), 1)), -7);
    fr_store_close(s);
    drop(&b);
}

/* Long lists inside lists are walked over, and null. */
static void long_lists_in_lists_are_null(void **state) {
    (void)state;
    bytes b = gguf_head(3, 0, 2);
    for (int k = 0; k < 2; k++) {
        put_key(&b, k ? "outer" : "inner", 9);
        put_u32(&b, 9);
        put_u64(&b, k ? 20 : 1);
        for (int i = 0; i < (k ? 20 : 1); i++) {
            put_u32(&b, 0);
            put_u64(&b, k ? 1 : 20);
            put(&b, "01234567890123456789", k ? 1 : 20);
        }
    }
    fr_store *s;
    assert_good(parse(&b, &s));
    assert_true(json_is_null(json_array_get(fr_json_get(fr_store_metadata(s), "inner"), 0)));
    assert_true(json_is_null(fr_json_get(fr_store_metadata(s), "outer")));
    assert_int_equal(fr_store_array_count(s), 0);
    fr_store_close(s);
    drop(&b);
}

static void a_file_cut_anywhere_is_refused(void **state) {
    (void)state;
    bytes b = good_file();
    size_t before = fr_memory_total().now;
    for (size_t n = 0; n < b.n; n++) {
        fr_store *s;
        uint8_t *cut = malloc(n ? n : 1);
        memcpy(cut, b.data, n);
        fr_memory_reset_peak();
        assert_int_not_equal(fr_gguf_parse(cut, n, "cut", &s), FR_OK);
        assert_memory_equal(fr_message(), "cut: ", 5);
        assert_true(fr_memory_total().peak - before < (256 << 10));
        assert_int_equal(fr_memory_total().now, before);
        free(cut);
    }
    drop(&b);
}

static void a_file_with_one_wrong_bit_does_no_harm(void **state) {
    (void)state;
    bytes b = good_file();
    for (size_t bit = 0; bit < b.n * 8; bit++) {
        fr_store *s;
        float out[1024];
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (parse(&b, &s) == FR_OK)
            for (size_t i = 0; i < fr_store_count(s); i++) {
                const fr_tensor *t = fr_store_tensor(s, i);
                assert_true(fr_bytes(t) <= b.n && fr_values(t) <= 1024);
                assert_good(fr_tensor_to_f32(t, out));
            }
        fr_store_close(s);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    drop(&b);
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    bytes b = good_file();
    size_t before = fr_memory_total().now;
    fr_status st = FR_NOMEM;
    for (long n = 1; st != FR_OK && n < 1000; n++) {
        fr_store *s;
        fr_memory_fail_after(n);
        st = parse(&b, &s);
        fr_memory_fail_after(0);
        assert_true(st == FR_OK || st == FR_NOMEM);
        fr_store_close(s);
        assert_int_equal(fr_memory_total().now, before);
    }
    assert_int_equal(st, FR_OK);
    drop(&b);
}

static void expect_int(const fr_json *meta, const char *key, int64_t want) {
    if (json_integer_value(fr_json_get(meta, key)) != want) fail_msg("%s", key);
}

static void check_reference_meta(const fr_json *m) {
    expect_int(m, "toy.u8", 200), expect_int(m, "toy.i8", -100);
    expect_int(m, "toy.u16", 60000), expect_int(m, "toy.i16", -30000);
    expect_int(m, "toy.u32", 4000000000), expect_int(m, "toy.i32", -2000000000);
    expect_int(m, "toy.i64", -((int64_t)1 << 62));
    assert_true(json_real_value(fr_json_get(m, "toy.u64")) == 0x1.8p63); /* beyond a signed one */
    assert_true(json_real_value(fr_json_get(m, "toy.f32")) == (double)0.1f);
    assert_true(json_real_value(fr_json_get(m, "toy.f64")) == 0.1);
    assert_true(json_is_true(fr_json_get(m, "toy.yes")));
    assert_true(json_is_false(fr_json_get(m, "toy.no")));
    assert_string_equal(json_string_value(fr_json_get(m, "toy.text")), "gr\xc3\xbc\xc3\x9f"
                                                                       "e \xe2\x9c\x93");
    assert_int_equal(json_integer_value(json_array_get(fr_json_get(m, "toy.short"), 1)), -2);
    assert_int_equal(json_array_size(fr_json_get(m, "toy.words")), 3);
}

/* Written by the `gguf` package of PyPI: tests/oracle/store_roundtrip.py. */
static void a_file_of_the_reference_is_read(void **state) {
    (void)state;
    static const char *const plain[] = {"f32", "f16", "bf16", "i32"};
    fr_store *s;
    float out[192], want[192];
    assert_good(fr_store_open(golden("reference.gguf"), &s));
    assert_string_equal(fr_store_format(s), "gguf");
    check_reference_meta(fr_store_metadata(s));
    for (size_t i = 0; i < FR_COUNT(plain); i++) {
        const fr_tensor *t = fr_store_find(s, plain[i]);
        assert_string_equal(fr_dtype_name(t->dtype), plain[i]);
        assert_int_equal(fr_values(t), 6);
        assert_good(fr_tensor_to_f32(t, out));
        for (int k = 0; k < 6; k++) assert_true(out[k] == (float)k);
    }
    assert_int_equal(fr_store_find(s, "f16")->dim[1], 2);
    for (int k = 0; k < 2; k++) {
        assert_good(fr_tensor_to_f32(fr_store_find(s, k ? "q8_0" : "q4_0"), out));
        assert_good(fr_tensor_to_f32(fr_store_find(s, k ? "q8_0.values" : "q4_0.values"), want));
        assert_memory_equal(out, want, sizeof out);
    }
    const fr_meta_array *scores = fr_store_meta_array(s, "tokenizer.ggml.scores");
    assert_int_equal(scores->dtype, FR_F32);
    assert_int_equal(scores->count, 40);
    assert_true(fr_store_meta_array(s, "tokenizer.ggml.tokens")->is_string);
    fr_store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_read),
        cmocka_unit_test(bad_heads_are_refused),
        cmocka_unit_test(bad_pairs_are_refused),
        cmocka_unit_test(bad_tensors_are_refused),
        cmocka_unit_test(an_overlap_is_seen_through_empty_tensors),
        cmocka_unit_test(odd_but_good_files_are_read),
        cmocka_unit_test(lists_in_lists_are_read),
        cmocka_unit_test(long_lists_in_lists_are_null),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_file_with_one_wrong_bit_does_no_harm),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
        cmocka_unit_test(a_file_of_the_reference_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
