/* test_npy.c: files of numpy.save are read, and written byte for byte; a table of bad ones with a word that their
 * message must have. */
#include "testing.h"

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static float value(int64_t i, bool is_unsigned) {
    return (float)(i * 7 % 64 - (is_unsigned ? 0 : 32));
}

static fr_store *open_golden(const char *name) {
    char path[64];
    fr_store *s;
    snprintf(path, sizeof path, "npy/%s.npy", name);
    assert_good(fr_store_open(golden(path), &s));
    assert_int_equal(fr_store_count(s), 1);
    assert_string_equal(fr_store_name(s, 0), "array");
    assert_string_equal(fr_store_format(s), "npy");
    return s;
}

static void assert_values(const fr_tensor *t, bool is_unsigned) {
    float got[64];
    assert_good(fr_tensor_to_f32(t, got));
    for (int64_t i = 0; i < fr_values(t); i++) assert_true(got[i] == value(i, is_unsigned));
}

static void assert_same_file(const char *one, const char *two) {
    char *a, *b;
    size_t n, m;
    assert_good(fr_read_file(one, 0, &a, &n));
    assert_good(fr_read_file(two, 0, &b, &m));
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    fr_free(a);
    fr_free(b);
}

/* In every type, both ways. */
static void test_types(void **state) {
    (void)state;
    static const struct {
        const char *name;
        fr_dtype type;
    } all[] = {{"f2", FR_F16}, {"f4", FR_F32}, {"f8", FR_F64}, {"i1", FR_I8},
               {"i2", FR_I16}, {"i4", FR_I32}, {"i8", FR_I64}, {"u1", FR_U8},
               {"u2", FR_U16}, {"u4", FR_U32}, {"u8", FR_U64}};
    for (size_t k = 0; k < FR_COUNT(all); k++) {
        char path[64];
        fr_store *s = open_golden(all[k].name);
        const fr_tensor *t = fr_store_find(s, "array");
        assert_int_equal(t->dtype, all[k].type);
        assert_true(t->rank == 2 && t->dim[0] == 3 && t->dim[1] == 5);
        assert_values(t, all[k].name[0] == 'u');
        snprintf(path, sizeof path, "npy/%s.npy", all[k].name);
        const char *copy = in_test_dir("copy.npy");
        assert_good(fr_npy_write(copy, t));
        assert_same_file(copy, golden(path));
        fr_store_close(s);
    }
}

/* Shapes, later versions, and Fortran's order, which is a view with other strides and is written as C's. */
static void test_shapes(void **state) {
    (void)state;
    static const char *const names[] = {"scalar",   "line",     "cube",   "nothing",
                                        "version2", "version3", "fortran"};
    for (size_t k = 0; k < FR_COUNT(names); k++) {
        char path[64];
        fr_store *s = open_golden(names[k]);
        const fr_tensor *t = fr_store_tensor(s, 0);
        assert_values(t, false);
        assert_true(fr_is_contiguous(t) == (k < 6));
        snprintf(path, sizeof path, "npy/%s.npy", k < 4 ? names[k] : "f4");
        const char *copy = in_test_dir("copy.npy");
        assert_good(fr_npy_write(copy, t));
        assert_same_file(copy, golden(path));
        fr_store_close(s);
    }
}

/* bf16 has no name in NumPy and goes as two bytes of anything. */
static void test_bf16(void **state) {
    (void)state;
    uint16_t x[] = {0x3f80, 0xc000};
    fr_tensor t = fr_tensor_make(FR_BF16, 1, DIMS(2), x);
    const char *path = in_test_dir("half.npy");
    fr_store *s;
    assert_good(fr_npy_write(path, &t));
    assert_good(fr_store_open(path, &s));
    assert_int_equal(fr_store_tensor(s, 0)->dtype, FR_BF16);
    float got[2];
    assert_good(fr_tensor_to_f32(fr_store_tensor(s, 0), got));
    assert_true(got[0] == 1 && got[1] == -2);
    fr_store_close(s);
    t.dtype = FR_F8E4M3;
    assert_fails(fr_npy_write(path, &t), FR_UNSUPPORTED, "no type");
}

static bytes npy_of(int version, const char *header, size_t data) {
    bytes b = {0};
    uint32_t n = (uint32_t)strlen(header);
    put(&b, "\x93NUMPY", 6);
    put(&b, (uint8_t[]){(uint8_t)version, 0}, 2);
    put(&b, &n, version == 1 ? 2 : 4);
    put(&b, header, n);
    for (size_t i = 0; i < data; i++) put(&b, "\0", 1);
    return b;
}

#define H(descr, order, shape)                                                                     \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"

static const struct {
    const char *header;
    size_t data;
    fr_status status;
    const char *says;
} bad[] = {
    {"", 0, FR_FORMAT, "begin with '{'"},
    {"{", 0, FR_FORMAT, "a key should"},
    {"{}", 0, FR_FORMAT, "missing"},
    {"{'descr': '<f4'}", 0, FR_FORMAT, "missing"},
    {H("'<f4'", "False", "(2,)") "x", 8, FR_FORMAT, "follows"},
    {H("'<f4'", "False", "(2,)"), 7, FR_FORMAT, "takes 8 bytes, but 7"},
    {H("'<f4'", "False", "(2,)"), 9, FR_FORMAT, "takes 8 bytes, but 9"},
    {H("'>f4'", "False", "(2,)"), 8, FR_UNSUPPORTED, "type '>f4'"},
    {H("'|O'", "False", "(1,)"), 8, FR_UNSUPPORTED, "type '|O'"},
    {H("'<c8'", "False", "(1,)"), 8, FR_UNSUPPORTED, "type '<c8'"},
    {H("'<U4'", "False", "(1,)"), 8, FR_UNSUPPORTED, "type '<U4'"},
    {H("''", "False", "(1,)"), 8, FR_UNSUPPORTED, "type ''"},
    {H("[('a', '<f4')]", "False", "(1,)"), 8, FR_UNSUPPORTED, "records"},
    {H("'<f4", "False", "(1,)"), 8, FR_FORMAT, "comma or a closing"},
    {H("4", "False", "(1,)"), 8, FR_FORMAT, "no text"},
    {H("'<f4'", "0", "(1,)"), 8, FR_FORMAT, "neither True nor False"},
    {H("'<f4'", "False", "2"), 8, FR_FORMAT, "no tuple"},
    {H("'<f4'", "False", "(2)"), 8, FR_FORMAT, "no tuple"},
    {H("'<f4'", "False", "(2 3)"), 8, FR_FORMAT, "no tuple"},
    {H("'<f4'", "False", "(-2,)"), 8, FR_FORMAT, "no tuple"},
    {H("'<f4'", "False", "(02,)"), 8, FR_FORMAT, "no tuple"},
    {H("'<f4'", "False", "(2.0,)"), 8, FR_FORMAT, "no tuple"},
    {H("'<f4'", "False", "(9223372036854775808,)"), 8, FR_FORMAT, "no tuple"},
    {H("'<f4'", "False", "(4294967296, 4294967296)"), 8, FR_NOMEM, "63 bits"},
    {H("'<f4'", "False", "(4611686018427387904,)"), 8, FR_NOMEM, "more bytes"},
    {H("'<f4'", "False", "(1, 1, 1, 1, 1, 2)"), 8, FR_UNSUPPORTED, "more than the 5"},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8, FR_FORMAT,
     "twice"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'eval': __import__('os')}", 8,
     FR_FORMAT, "unknown"},
};

static void test_bad(void **state) {
    (void)state;
    fr_store *s;
    for (size_t i = 0; i < FR_COUNT(bad); i++)
        for (int version = 1; version < 4; version++) {
            bytes b = npy_of(version, bad[i].header, bad[i].data);
            fr_status st = fr_npy_parse(b.data, b.n, "bad.npy", &s);
            if (st != bad[i].status || !strstr(fr_message(), bad[i].says))
                fail_msg("case %zu: %d, %s", i, st, fr_message());
            drop(&b);
        }
    bytes b = npy_of(1, H("'<f4'", "False", "(2,)"), 8);
    for (size_t n = 0; n < b.n; n++) assert_int_not_equal(fr_npy_parse(b.data, n, "x", &s), FR_OK);
    b.data[6] = 4;
    assert_fails(fr_npy_parse(b.data, b.n, "x", &s), FR_UNSUPPORTED, "version 4.0");
    b.data[6] = 1;
    b.data[9] = 0xff;
    assert_fails(fr_npy_parse(b.data, b.n, "x", &s), FR_FORMAT, "longer than the file");
    b.data[9] = 0;
    /* What other writers do: other quotes, no spaces, a long of Python 2. */
    drop(&b);
    b = npy_of(2, "{\"shape\":(2L,1),\"fortran_order\":True,\"descr\":\"=f4\"}", 8);
    assert_good(fr_npy_parse(b.data, b.n, "x", &s));
    fr_store_close(s);
    drop(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, remove_test_dir);
}
