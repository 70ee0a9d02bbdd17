/* test_safetensors.c: good files, and a table of bad ones with a word that their message must have.
 */
#include "testing.h"

static fr_status parse(const bytes *b, fr_store **out) {
    return fr_safetensors_parse(b->data, b->n, "bad.safetensors", out);
}

#define A          "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define T(d, s, o) "{\"t\":{\"dtype\":" d ",\"shape\":" s ",\"data_offsets\":" o "}}"

static const struct {
    const char *header;
    size_t data;
    const char *message;
} bad[] = {
    {"", 0, "ends too early"},
    {"[]", 0, "object should begin"},
    {"null", 0, "object should begin"},
    {"{" A, 8, "ends too early"},
    {"{" A "} x", 8, "follow"},
    {"{" A ",}", 8, "string should begin"},
    {"{" A "," A "}", 8, "'a' appears twice"},
    {"{" A "}", 7, "'a' ends at byte 8"},
    {"{" A "}", 9, "last 1 bytes"},
    {"{}", 1, "last 1 bytes"},
    {"{\"a\":1}", 0, "object should begin"},
    {"{\"a\":{}}", 0, "'a' has no \"dtype\""},
    {"{\"a\":{\"dtype\":\"F32\"}}", 0, "'a' has no \"shape\""},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "'a' has no \"data_offsets\""},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 0, "'a' says the same thing"},
    {T("\"F33\"", "[2]", "[0,8]"), 8, "'t' has the number type 'F33'"},
    {T("\"\"", "[2]", "[0,8]"), 8, "'t' has the number type ''"},
    {T("\"a number type with a very long name\"", "[2]", "[0,8]"), 8, "'t' has the number type"},
    {T("7", "[2]", "[0,8]"), 8, "string should begin"},
    {T("\"F32\"", "[-2]", "[0,8]"), 8, "must not be negative"},
    {T("\"F32\"", "[2.0]", "[0,8]"), 8, "must be whole"},
    {T("\"F32\"", "[2e0]", "[0,8]"), 8, "must be whole"},
    {T("\"F32\"", "[02]", "[0,8]"), 8, "begins with a zero"},
    {T("\"F32\"", "[\"2\"]", "[0,8]"), 8, "whole number"},
    {T("\"F32\"", "[9223372036854775808]", "[0,8]"), 8, "63 bits"},
    {T("\"F32\"", "[18446744073709551616]", "[0,8]"), 8, "63 bits"},
    {T("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0, "'t' has a shape"},
    {T("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, "'t' takes more bytes"},
    {T("\"F32\"", "[0,9223372036854775807,2]", "[0,0]"), 0, "'t' has a shape"},
    {T("\"F32\"", "[1,1,1,1,1,2]", "[0,8]"), 8, "'t' has 6 dimensions"},
    {T("\"F32\"", "2", "[0,8]"), 8, "list should begin"},
    {T("\"F32\"", "[2 3]", "[0,8]"), 8, "comma or a closing"},
    {T("\"F32\"", "[2]", "[8,0]"), 8, "'t' ends before it begins"},
    {T("\"F32\"", "[2]", "[0,9]"), 8, "'t' ends at byte 9"},
    {T("\"F32\"", "[2]", "[0,9223372036854775807]"), 8, "'t' ends at byte"},
    {T("\"F32\"", "[2]", "[0,4]"), 4, "'t' is f32 [2], which takes 8 bytes, but it has 4"},
    {T("\"F32\"", "[2]", "[0,8,16]"), 8, "comma or a closing"},
    {T("\"F32\"", "[2]", "[0]"), 8, "comma or a closing"},
    {T("\"F32\"", "[2]", "[4,12]"), 12, "4 bytes before tensor 't'"},
    {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12,
     "'b' overlaps tensor 'a'"},
    {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}}", 16,
     "4 bytes before tensor 'b'"},
    {"{\"b\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}," A "}", 8, "overlaps"},
    {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "zero byte"},
    {"{\"a\x01\":1}", 0, "not UTF-8"},
    {"{\"a\xff\":1}", 0, "not UTF-8"},
    {"{\"\xc0\x80\":1}", 0, "not UTF-8"},
    {"{\"\xed\xa0\x80\":1}", 0, "not UTF-8"},
    {"{\"\\ud800\":1}", 0, "surrogate"},
    {"{\"\\udc00\":1}", 0, "surrogate"},
    {"{\"\\ud800\\u0041\":1}", 0, "surrogate"},
    {"{\"\\u12g4\":1}", 0, "hexadecimal"},
    {"{\"\\x\":1}", 0, "escape"},
    {"{\"a", 0, "string does not end"},
    {"{\"a\\", 0, "ends too early"},
    {"{\"__metadata__\":[]}", 0, "object should begin"},
    {"{\"__metadata__\":{\"k\":1}}", 0, "string should begin"},
    {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "'k' appears twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ appears twice"},
    {"{\"__metadata__\":{\"k\\u0000\":\"1\"}}", 0, "zero byte"},
    {"{\"a\":{\"x\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}}", 0, "nested"},
    {"{\"a\":{\"x\":-}}", 0, "digit"},
    {"{\"a\":{\"x\":1.}}", 0, "digit"},
    {"{\"a\":{\"x\":1e}}", 0, "digit"},
    {"{\"a\":{\"x\":nul}}", 0, "value"},
};

static void bad_files_are_refused_with_a_sentence(void **state) {
    (void)state;
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        fr_store *s;
        bytes b = safetensors_of(bad[i].header, bad[i].data);
        fr_message_clear();
        fr_status st = parse(&b, &s);
        if (st == FR_OK) fail_msg("%s was taken", bad[i].header);
        if (!strstr(fr_message(), bad[i].message) || strncmp(fr_message(), "bad.safetensors: ", 17))
            fail_msg("%s: %s", bad[i].header, fr_message());
        assert_null(s);
        drop(&b);
    }
}

static void bad_lengths_are_refused(void **state) {
    (void)state;
    static const uint64_t lengths[] = {9,          1u << 31,      100000001, (uint64_t)1 << 63,
                                       UINT64_MAX, UINT64_MAX - 7};
    fr_store *s;
    for (size_t i = 0; i < FR_COUNT(lengths); i++) {
        bytes b = {0};
        put_u64(&b, lengths[i]);
        put(&b, "{}      ", 8);
        assert_fails(parse(&b, &s), FR_FORMAT, "header claims");
        drop(&b);
    }
    for (size_t n = 0; n < 8; n++)
        assert_fails(fr_safetensors_parse((const uint8_t *)"\0\0\0\0\0\0\0\0", n, "f", &s),
                     FR_FORMAT, "8 bytes");
    /* Eight zeros: a header of no bytes is no JSON object. */
    assert_fails(fr_safetensors_parse((const uint8_t *)"\0\0\0\0\0\0\0\0", 8, "f", &s), FR_FORMAT,
                 "ends too early");
}

static bytes good_file(void) {
    return safetensors_of(
        "{\"__metadata__\":{\"format\":\"pt\",\"n\\u00f8te\":\"a\\nb "
        "\\ud83d\\ude00\\udbff\\uDFFF\"},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
        "\"h\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8],\"extra\":[1,{\"x\":null}]}"
        ","
        "\"empty\":{\"dtype\":\"F16\",\"shape\":[0,5],\"data_offsets\":[32,32]},"
        "\"\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[32,33]}}  \n",
        33);
}

static void a_good_file_is_read(void **state) {
    (void)state;
    bytes b = good_file();
    fr_store *s;
    assert_good(parse(&b, &s));
    assert_int_equal(fr_store_count(s), 4);
    static const char *const order[] = {"h", "w", "empty", ""};
    for (size_t i = 0; i < 4; i++) assert_string_equal(fr_store_name(s, i), order[i]);
    const fr_tensor *w = fr_store_find(s, "w");
    assert_int_equal(w->rank, 2);
    assert_int_equal(w->dim[1], 3);
    assert_int_equal(w->stride[0], 3);
    float out[6], want[6];
    memcpy(want, b.data + b.n - 33 + 8, 24);
    assert_good(fr_tensor_to_f32(w, out));
    assert_memory_equal(out, want, 24);
    assert_int_equal(fr_store_find(s, "empty")->dim[1], 5);
    assert_int_equal(*(uint8_t *)fr_store_find(s, "")->data, 32);
    assert_null(fr_store_find(s, "x"));
    assert_int_equal(fr_store_offset(s, 1), b.n - 33 + 8);
    assert_string_equal(fr_store_file(s, 0), "bad.safetensors");
    assert_string_equal(fr_store_format(s), "safetensors");
    const fr_json *meta = fr_store_metadata(s);
    assert_string_equal(json_string_value(fr_json_get(meta, "format")), "pt");
    assert_string_equal(json_string_value(fr_json_get(meta, "n\xc3\xb8te")),
                        "a\nb \xf0\x9f\x98\x80\xf4\x8f\xbf\xbf");
    assert_null(fr_store_meta_array(s, "format"));
    fr_store_close(s);
    drop(&b);
    fr_store_close(NULL);
}

/* Whatever the header's length makes of the addresses, values are read where they can be. */
static void unaligned_tensors_are_moved(void **state) {
    (void)state;
    for (int spaces = 0; spaces < 8; spaces++) {
        char header[256];
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}%*s", spaces,
                 "");
        bytes b = safetensors_of(header, 16);
        fr_store *s;
        assert_good(parse(&b, &s));
        const fr_tensor *shape = fr_store_shape(s, 0), *t = fr_store_tensor(s, 0);
        assert_ptr_equal(shape, t);
        assert_int_equal((uintptr_t)t->data % 8, 0);
        assert_memory_equal(t->data, b.data + b.n - 16, 16);
        assert_ptr_equal(fr_store_find(s, "t")->data, t->data);
        bool aligned = (uintptr_t)(b.data + b.n - 16) % 8 == 0;
        assert_int_equal(aligned, t->data == (void *)(b.data + b.n - 16));
        fr_store_close(s);
        drop(&b);
    }
}

static void nan_is_a_value_like_others(void **state) {
    (void)state;
    bytes b = safetensors_of("{" A "}   ", 0);
    uint32_t nan = 0x7fc00001, inf = 0xff800000;
    put(&b, &nan, 4);
    put(&b, &inf, 4);
    fr_store *s;
    assert_good(parse(&b, &s));
    float out[2];
    assert_good(fr_tensor_to_f32(fr_store_find(s, "a"), out));
    assert_int_equal(fr_f32_bits(out[0]), nan);
    assert_int_equal(fr_f32_bits(out[1]), inf);
    fr_store_close(s);
    drop(&b);
}

static void a_file_cut_anywhere_is_refused(void **state) {
    (void)state;
    bytes b = good_file();
    for (size_t n = 0; n < b.n; n++) {
        fr_store *s;
        uint8_t *cut = malloc(n ? n : 1); /* exact, so that a sanitizer sees its end */
        memcpy(cut, b.data, n);
        fr_message_clear();
        assert_int_not_equal(fr_safetensors_parse(cut, n, "cut", &s), FR_OK);
        assert_memory_equal(fr_message(), "cut: ", 5);
        free(cut);
    }
    drop(&b);
}

/* Each bit of the header, turned over: taken or refused, never worse. */
static void a_file_with_one_wrong_bit_does_no_harm(void **state) {
    (void)state;
    bytes b = good_file();
    for (size_t bit = 0; bit < (b.n - 33) * 8; bit++) {
        fr_store *s;
        float out[64];
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (parse(&b, &s) == FR_OK)
            for (size_t i = 0; i < fr_store_count(s); i++) {
                const fr_tensor *t = fr_store_tensor(s, i);
                assert_true(fr_bytes(t) <= 33);
                assert_good(fr_tensor_to_f32(t, out));
            }
        fr_store_close(s);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    drop(&b);
}

static void memory_stays_in_the_size_class_of_the_file(void **state) {
    (void)state;
    fr_store *s;
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        bytes b = safetensors_of(bad[i].header, bad[i].data);
        fr_memory_reset_peak();
        size_t before = fr_memory_total().now;
        parse(&b, &s);
        if (fr_memory_total().peak - before > (256 << 10)) fail_msg("%s", bad[i].header);
        assert_int_equal(fr_memory_total().now, before);
        drop(&b);
    }
}

static bytes many_tensors(size_t count) {
    bytes text = {0}, b = {0};
    for (size_t i = 0; i < count; i++) {
        char line[160];
        int n = snprintf(line, sizeof line,
                         "%c\"model.layers.%zu.weight\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_"
                         "offsets\":[%zu,%zu]}",
                         i ? ',' : '{', i, i * 4, i * 4 + 4);
        put(&text, line, (size_t)n);
    }
    put(&text, "}", 1);
    put_u64(&b, text.n);
    put(&b, text.data, text.n);
    for (size_t i = 0; i < count * 4; i += 64) put(&b, (uint8_t[64]){0}, FR_MIN(64, count * 4 - i));
    drop(&text);
    return b;
}

static void a_hundred_thousand_tensors_are_found(void **state) {
    (void)state;
    enum { COUNT = 100000 };
    bytes b = many_tensors(COUNT);
    fr_store *s;
    fr_memory_reset_peak();
    size_t before = fr_memory_total().now;
    double start = fr_now();
    assert_good(parse(&b, &s));
    for (size_t i = 0; i < COUNT; i += 7) {
        char name[64];
        snprintf(name, sizeof name, "model.layers.%zu.weight", i);
        assert_ptr_equal(fr_store_find(s, name), fr_store_tensor(s, i));
    }
    print_message("%zu bytes, %.1f ms, %.1f MB at most\n", b.n, (fr_now() - start) * 1e3,
                  (double)(fr_memory_total().peak - before) / 1e6);
    assert_true(fr_memory_total().peak - before < 8 * b.n);
    fr_store_close(s);
    drop(&b);
}

/* A store that runs out of memory at any point says so and loses nothing. */
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
        assert_true(st == FR_OK || st == FR_NOMEM || st == FR_FORMAT);
        fr_store_close(s);
        assert_int_equal(fr_memory_total().now, before);
    }
    assert_int_equal(st, FR_OK);
    drop(&b);
}

/* Written by the `safetensors` package of PyPI: tests/oracle/store_roundtrip.py. */
static void a_file_of_the_reference_is_read(void **state) {
    (void)state;
    static const fr_dtype types[] = {FR_F64,    FR_F32, FR_F16, FR_BF16, FR_F8E4M3,
                                     FR_F8E5M2, FR_I64, FR_I32, FR_I16,  FR_I8,
                                     FR_U64,    FR_U32, FR_U16, FR_U8,   FR_BOOL};
    fr_store *s;
    assert_good(fr_store_open(golden("reference.safetensors"), &s));
    for (size_t i = 0; i < FR_COUNT(types); i++) {
        const fr_tensor *t = fr_store_find(s, fr_dtype_name(types[i]));
        float out[6];
        assert_non_null(t);
        assert_int_equal(t->dtype, types[i]);
        assert_int_equal(t->dim[0], 2);
        assert_int_equal(t->dim[1], 3);
        assert_good(fr_tensor_to_f32(t, out));
        for (int k = 0; k < 6; k++)
            assert_true(out[k] == (types[i] == FR_BOOL ? (float)(k % 2) : (float)k));
    }
    assert_int_equal(fr_store_find(s, "scalar")->rank, 0);
    assert_int_equal(fr_store_find(s, "empty")->dim[1], 0);
    assert_non_null(fr_store_find(s, "n\xc3\xa4me \"quoted\"\n"));
    assert_string_equal(json_string_value(fr_json_get(fr_store_metadata(s), "made by")),
                        "the \"safetensors\" package \xe2\x9c\x93");
    fr_store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files_are_refused_with_a_sentence),
        cmocka_unit_test(bad_lengths_are_refused),
        cmocka_unit_test(a_good_file_is_read),
        cmocka_unit_test(unaligned_tensors_are_moved),
        cmocka_unit_test(nan_is_a_value_like_others),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_file_with_one_wrong_bit_does_no_harm),
        cmocka_unit_test(memory_stays_in_the_size_class_of_the_file),
        cmocka_unit_test(a_hundred_thousand_tensors_are_found),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
        cmocka_unit_test(a_file_of_the_reference_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
