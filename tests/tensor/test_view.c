/* test_view.c: shapes that may come from hostile files, views, and copies of strided views. */
#include "testing.h"

static fr_tensor iota(int rank, const int64_t *dim) {
    static float values[512];
    for (int i = 0; i < 512; i++) values[i] = (float)i;
    return fr_tensor_make(FR_F32, rank, dim, values);
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static void shapes_are_checked(void **state) {
    (void)state;
    int64_t huge = INT64_MAX, big = (int64_t)1 << 32;
    assert_good(fr_shape_check("x", FR_F32, 0, NULL));
    assert_good(fr_shape_check("x", FR_F32, 5, DIMS(1, 2, 3, 4, 5)));
    assert_good(fr_shape_check("x", FR_F32, 2, DIMS(0, 5)));
    assert_good(fr_shape_check("x", FR_U8, 1, DIMS(huge)));
    assert_fails(fr_shape_check("x", FR_F32, 1, DIMS(huge)), FR_NOMEM, "63");
    assert_good(fr_shape_check("x", FR_Q4_K, 2, DIMS(3, 512)));
    assert_fails(fr_shape_check("'w'", FR_F32, 6, DIMS(1, 1, 1, 1, 1, 1)), FR_UNSUPPORTED, "'w'");
    assert_fails(fr_shape_check("x", FR_F32, -1, NULL), FR_UNSUPPORTED, "-1");
    assert_fails(fr_shape_check("x", FR_F32, 2, DIMS(4, -1)), FR_INVALID, "negative");
    assert_fails(fr_shape_check("x", FR_F32, 2, DIMS(big, big)), FR_NOMEM, "63");
    assert_fails(fr_shape_check("x", FR_F32, 3, DIMS(0, huge, huge)), FR_NOMEM, "63");
    assert_fails(fr_shape_check("x", FR_F32, 1, DIMS(huge / 2)), FR_NOMEM, "63");
    assert_fails(fr_shape_check("x", FR_Q4_0, 2, DIMS(32, 31)), FR_INVALID, "blocks of 32");
    assert_fails(fr_shape_check("x", FR_Q4_0, 0, NULL), FR_INVALID, "blocks");
    assert_fails(fr_shape_check("x", FR_NOTYPE, 0, NULL), FR_INVALID, "type");
    assert_fails(fr_shape_check("x", (fr_dtype)99, 0, NULL), FR_INVALID, "type");
}

static void sizes(void **state) {
    (void)state;
    fr_tensor t = iota(3, DIMS(2, 3, 4)), s = iota(0, NULL), e = iota(2, DIMS(3, 0));
    assert_int_equal(fr_values(&t), 24);
    assert_int_equal(fr_bytes(&t), 96);
    assert_int_equal(fr_rows(&t), 6);
    assert_int_equal(fr_dim(&t, -1), 4);
    assert_int_equal(fr_dim(&t, 1), 3);
    assert_int_equal(fr_dim(&t, 7), 1);
    assert_int_equal(fr_values(&s), 1);
    assert_int_equal(fr_rows(&s), 1);
    assert_int_equal(fr_values(&e), 0);
    assert_true(fr_is_contiguous(&t) && fr_is_contiguous(&s) && fr_is_contiguous(&e));
    assert_true(fr_same_shape(&t, &t));
    assert_false(fr_same_shape(&t, &e));
    fr_tensor q = fr_tensor_make(FR_Q6_K, 2, DIMS(2, 512), NULL);
    assert_int_equal(fr_bytes(&q), 4 * 210);
    char text[FR_SHAPE_TEXT];
    assert_string_equal(fr_shape_text(&t, text), "f32 [2, 3, 4]");
    assert_string_equal(fr_shape_text(&s, text), "f32 []");
    int64_t most[5] = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    fr_tensor wide = fr_tensor_make(FR_F8E4M3, 5, most, NULL);
    assert_true(strlen(fr_shape_text(&wide, text)) < FR_SHAPE_TEXT);
}

static float at(const fr_tensor *t, int64_t i, int64_t j, int64_t k) {
    return ((const float *)t->data)[i * t->stride[0] + j * t->stride[1] + k * t->stride[2]];
}

static void slices(void **state) {
    (void)state;
    fr_tensor t = iota(3, DIMS(4, 3, 5)), v;
    assert_good(fr_view_slice(&t, 1, 1, 2, &v));
    assert_true(fr_same_shape(&v, &(fr_tensor){.rank = 3, .dim = {4, 2, 5}}));
    assert_true(at(&v, 3, 1, 4) == at(&t, 3, 2, 4));
    assert_good(fr_view_slice(&v, -1, 2, 3, &v)); /* of itself */
    assert_true(at(&v, 3, 1, 2) == at(&t, 3, 2, 4));
    assert_good(fr_view_slice(&t, 0, 4, 0, &v));
    assert_int_equal(fr_values(&v), 0);
    assert_fails(fr_view_slice(&t, 0, 4, 1, &v), FR_INVALID, "slice of 1 from 4");
    assert_fails(fr_view_slice(&t, 0, -1, 1, &v), FR_INVALID, "slice");
    assert_fails(fr_view_slice(&t, 0, 1, INT64_MAX, &v), FR_INVALID, "slice");
    assert_fails(fr_view_slice(&t, 3, 0, 1, &v), FR_INVALID, "axis 3");
    assert_fails(fr_view_slice(&t, -4, 0, 1, &v), FR_INVALID, "axis -4");
}

static void slices_of_blocks(void **state) {
    (void)state;
    uint8_t raw[4 * 2 * 34];
    fr_tensor t = fr_tensor_make(FR_Q8_0, 2, DIMS(4, 64), raw), v;
    assert_good(fr_view_slice(&t, 0, 1, 2, &v));
    assert_ptr_equal(v.data, raw + 68);
    assert_true(fr_is_contiguous(&v));
    assert_fails(fr_view_slice(&t, 1, 0, 32, &v), FR_UNSUPPORTED, "decoding");
    fr_tensor row = fr_tensor_make(FR_Q8_0, 2, DIMS(1, 64), raw);
    assert_good(fr_view_slice(&row, 1, 32, 32, &v));
    assert_ptr_equal(v.data, raw + 34);
    assert_fails(fr_view_slice(&row, 1, 16, 32, &v), FR_UNSUPPORTED, "decoding");
    assert_fails(fr_view_permute(&t, (const int[]){1, 0}, &v), FR_UNSUPPORTED, "decoding");
    assert_good(fr_view_permute(&t, (const int[]){0, 1}, &v));
}

static void permutations_and_copies(void **state) {
    (void)state;
    fr_tensor t = iota(3, DIMS(4, 3, 5)), p, s;
    float out[60], decoded[60];
    assert_good(fr_view_permute(&t, (const int[]){2, 0, 1}, &p));
    assert_good(fr_view_slice(&p, 0, 1, 3, &s));
    assert_false(fr_is_contiguous(&s));
    fr_copy_contiguous(&s, out);
    assert_good(fr_tensor_to_f32(&s, decoded));
    for (int64_t i = 0; i < 3; i++)
        for (int64_t j = 0; j < 4; j++)
            for (int64_t k = 0; k < 3; k++) {
                assert_true(out[(i * 4 + j) * 3 + k] == at(&t, j, k, i + 1));
                assert_true(decoded[(i * 4 + j) * 3 + k] == at(&t, j, k, i + 1));
            }
    assert_fails(fr_view_permute(&t, (const int[]){0, 0, 1}, &p), FR_INVALID, "once");
    assert_fails(fr_view_permute(&t, (const int[]){0, 1, 3}, &p), FR_INVALID, "once");
    assert_fails(fr_view_permute(&t, (const int[]){0, 1, -1}, &p), FR_INVALID, "once");
}

/* All orders of the axes, so that rows are found at every depth of the walk. */
static void every_permutation_is_copied(void **state) {
    (void)state;
    static const int perm[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                   {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    fr_tensor t = iota(3, DIMS(4, 3, 5)), p;
    float out[60], decoded[60];
    for (int n = 0; n < 6; n++) {
        assert_good(fr_view_permute(&t, perm[n], &p));
        fr_copy_contiguous(&p, out);
        assert_good(fr_tensor_to_f32(&p, decoded));
        const float *next = out;
        for (int64_t i = 0; i < p.dim[0]; i++)
            for (int64_t j = 0; j < p.dim[1]; j++)
                for (int64_t k = 0; k < p.dim[2]; k++) assert_true(*next++ == at(&p, i, j, k));
        assert_memory_equal(out, decoded, sizeof out);
    }
}

/* Every width of value, rows longer than the piece in which they are decoded, a backward stride. */
static void strided_values_of_every_width(void **state) {
    (void)state;
    static const fr_dtype types[] = {FR_U8, FR_F16, FR_F32, FR_F64, FR_I64};
    enum { N = 700 };
    for (size_t k = 0; k < FR_COUNT(types); k++) {
        size_t size = (size_t)fr_dtype_get(types[k])->bytes;
        uint8_t *raw = fr_alloc(FR_MEM_OTHER, N * 2 * size), copy[N * 8];
        float *in = fr_alloc_array(FR_MEM_OTHER, N * 2, sizeof *in), out[N], again[N];
        for (size_t i = 0; i < N * 2 * size; i++) raw[i] = (uint8_t)(i * 7 % 61);
        fr_decode(types[k], raw, N * 2, in);
        fr_tensor t = fr_tensor_make(types[k], 1, DIMS(N), raw + (N * 2 - 1) * size);
        t.stride[0] = -2;
        fr_copy_contiguous(&t, copy);
        fr_decode(types[k], copy, N, out);
        assert_good(fr_tensor_to_f32(&t, again));
        for (size_t i = 0; i < N; i++) assert_true(out[i] == in[N * 2 - 1 - 2 * i]);
        assert_memory_equal(out, again, sizeof out);
        fr_free(raw);
        fr_free(in);
    }
}

static void reshapes(void **state) {
    (void)state;
    fr_tensor t = iota(3, DIMS(4, 3, 5)), p, v;
    assert_good(fr_view_reshape(&t, 2, DIMS(12, 5), &v));
    assert_int_equal(v.stride[0], 5);
    assert_fails(fr_view_reshape(&t, 2, DIMS(12, 6), &v), FR_INVALID, "another number");
    assert_fails(fr_view_reshape(&t, 2, DIMS(-12, -5), &v), FR_INVALID, "negative");
    /* A strided view whose axes stay in groups. */
    assert_good(fr_view_permute(&t, (const int[]){1, 0, 2}, &p)); /* 3 4 5, strides 5 15 1 */
    assert_fails(fr_view_reshape(&p, 2, DIMS(12, 5), &v), FR_UNSUPPORTED, "copy");
    assert_good(fr_view_reshape(&p, 5, DIMS(3, 2, 2, 1, 5), &v));
    for (int64_t i = 0; i < 3; i++)
        for (int64_t j = 0; j < 4; j++) {
            const float *x = v.data;
            assert_true(x[i * v.stride[0] + j / 2 * v.stride[1] + j % 2 * v.stride[2]] ==
                        at(&p, i, j, 0));
        }
    fr_tensor one = iota(1, DIMS(1)), scalar;
    assert_good(fr_view_reshape(&one, 0, NULL, &scalar));
    assert_int_equal(scalar.rank, 0);
    fr_tensor none = iota(2, DIMS(0, 3));
    assert_good(fr_view_reshape(&none, 1, DIMS(0), &v));
    /* Axes of 1 with strides that mean nothing. */
    fr_tensor odd = iota(3, DIMS(3, 1, 4));
    odd.stride[1] = 77;
    assert_true(fr_is_contiguous(&odd));
    assert_good(fr_view_slice(&odd, 2, 0, 2, &odd));
    assert_good(fr_view_reshape(&odd, 2, DIMS(3, 2), &v));
    assert_int_equal(v.stride[0], 4);
}

static void what_has_no_values_is_not_decoded(void **state) {
    (void)state;
    float out[4];
    fr_tensor t = fr_tensor_make(FR_F32, 1, DIMS(4), NULL);
    assert_fails(fr_tensor_to_f32(&t, out), FR_INVALID, "no values");
    fr_tensor none = {0};
    assert_fails(fr_tensor_to_f32(&none, out), FR_INVALID, "type");
    fr_tensor empty = fr_tensor_make(FR_F32, 1, DIMS(0), NULL);
    assert_good(fr_tensor_to_f32(&empty, out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_are_checked),
        cmocka_unit_test(sizes),
        cmocka_unit_test(slices),
        cmocka_unit_test(slices_of_blocks),
        cmocka_unit_test(permutations_and_copies),
        cmocka_unit_test(every_permutation_is_copied),
        cmocka_unit_test(strided_values_of_every_width),
        cmocka_unit_test(reshapes),
        cmocka_unit_test(what_has_no_values_is_not_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
