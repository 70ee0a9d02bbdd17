/* test_vecs.c: .fvecs, .ivecs and .bvecs: views with rows apart, written and read back, and what is refused. */
#include "testing.h"

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static void test_round_trip(void **state) {
    (void)state;
    static const struct {
        const char *name;
        fr_dtype type;
        int64_t stride;
    } all[] = {{"a.fvecs", FR_F32, 4}, {"a.ivecs", FR_I32, 4}, {"a.bvecs", FR_U8, 7}};
    for (size_t k = 0; k < FR_COUNT(all); k++) {
        float x[12], got[12];
        uint8_t data[48];
        for (int i = 0; i < 12; i++) x[i] = (float)(i * 5);
        for (int i = 0; i < 12; i++) {
            if (all[k].type == FR_U8) data[i] = (uint8_t)(i * 5);
            if (all[k].type == FR_I32) memcpy(data + 4 * i, &(int32_t){i * 5}, 4);
            if (all[k].type == FR_F32) memcpy(data + 4 * i, &x[i], 4);
        }
        fr_tensor t = fr_tensor_make(all[k].type, 2, DIMS(4, 3), data), turned;
        fr_store *s;
        const char *path = in_test_dir(all[k].name);
        assert_good(fr_vecs_write(path, &t));
        assert_good(fr_store_open(path, &s));
        assert_string_equal(fr_store_format(s), "vecs");
        const fr_tensor *r = fr_store_find(s, "array");
        assert_true(r->dtype == all[k].type && r->rank == 2 && r->dim[0] == 4 && r->dim[1] == 3);
        assert_int_equal(r->stride[0], all[k].stride);
        assert_good(fr_tensor_to_f32(r, got));
        assert_memory_equal(got, x, sizeof x);
        /* A view that is not contiguous is written in its own order. */
        assert_good(fr_view_permute(r, (const int[]){1, 0}, &turned));
        assert_good(fr_vecs_write(in_test_dir(all[k].name), &turned));
        fr_store_close(s);
        assert_good(fr_store_open(path, &s));
        assert_good(fr_tensor_to_f32(fr_store_tensor(s, 0), got));
        for (int i = 0; i < 12; i++) assert_true(got[i] == x[i % 4 * 3 + i / 4]);
        fr_store_close(s);
    }
}

/* Bytes at an address that no float may have are copied when asked for; so far as the view goes, not farther. */
static void test_loose(void **state) {
    (void)state;
    bytes b = {0};
    put(&b, "?", 1);
    for (int i = 0; i < 3; i++) {
        put_u32(&b, 2);
        put(&b, (float[]){(float)i, 7}, 8);
    }
    fr_store *s;
    uint8_t *exact = malloc(b.n);
    memcpy(exact, b.data, b.n);
    assert_good(fr_vecs_parse(exact + 1, b.n - 1, "x.fvecs", &s));
    float got[6];
    assert_good(fr_tensor_to_f32(fr_store_tensor(s, 0), got));
    assert_memory_equal(got, ((float[]){0, 7, 1, 7, 2, 7}), sizeof got);
    fr_store_close(s);
    free(exact);
    drop(&b);
}

static void test_bad(void **state) {
    (void)state;
    fr_store *s;
    uint8_t data[64] = {2};
    data[12] = 2;
    data[24] = 3;
    assert_fails(fr_vecs_parse(data, 0, "x.fvecs", &s), FR_FORMAT, "ends before");
    assert_fails(fr_vecs_parse(data, 3, "x.fvecs", &s), FR_FORMAT, "ends before");
    assert_fails(fr_vecs_parse(data, 4, "x.fvecs", &s), FR_FORMAT, "no whole number");
    assert_fails(fr_vecs_parse(data, 23, "x.fvecs", &s), FR_FORMAT, "no whole number");
    assert_fails(fr_vecs_parse(data, 36, "x.fvecs", &s), FR_FORMAT, "vector 2 says it has 3");
    assert_good(fr_vecs_parse(data, 24, "x.fvecs", &s));
    fr_store_close(s);
    data[0] = 0;
    assert_fails(fr_vecs_parse(data, 24, "x.bvecs", &s), FR_FORMAT, "has 0 values");
    data[3] = 0x80;
    assert_fails(fr_vecs_parse(data, 24, "x.ivecs", &s), FR_FORMAT, "has -2147483648 values");
    memset(data, 0xff, 3);
    data[3] = 0x7f;
    assert_fails(fr_vecs_parse(data, 24, "x.ivecs", &s), FR_FORMAT, "no whole number");
    fr_tensor t = fr_tensor_make(FR_U8, 2, DIMS(2, 2), data);
    assert_fails(fr_vecs_write(in_test_dir("x.fvecs"), &t), FR_INVALID, "not u8 [2, 2]");
    t = fr_tensor_make(FR_U8, 1, DIMS(2), data);
    assert_fails(fr_vecs_write(in_test_dir("x.bvecs"), &t), FR_INVALID, "[n, d]");
}

/* In a file too large to look at everywhere, a vector of another length is noticed at the end. */
static void test_large(void **state) {
    (void)state;
    enum { D = 100, N = 60000 };
    size_t n = (size_t)N * (4 + 4 * D);
    uint8_t *data = calloc(n, 1);
    for (size_t i = 0; i < N; i++) data[i * (4 + 4 * D)] = D;
    fr_store *s;
    assert_good(fr_vecs_parse(data, n, "x.fvecs", &s));
    fr_store_close(s);
    data[(size_t)(N - 1) * (4 + 4 * D)] = D + 1;
    assert_fails(fr_vecs_parse(data, n, "x.fvecs", &s), FR_FORMAT, "vector 59999 says");
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_loose),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, remove_test_dir);
}
