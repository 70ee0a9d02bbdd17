/* test_state.c: assign and update_rows, the values after them, and the state itself. */
#include "op_test.h"

static int build_assign(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    (void)arg;
    fr_val before = fr_affine(g, in[0], 2, 0); /* reads the old values */
    out[0] = fr_assign(g, in[0], in[1]);
    out[1] = before;
    return 2;
}
static void ref_assign(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    for (int64_t i = 0; i < fr_values(&in[0].desc); i++) {
        out[0].v[i] = in[1].v[i];
        out[1].v[i] = 2 * in[0].v[i];
    }
}

static void test_assign(void **state) {
    (void)state;
    op_check(&(op_case){
        .name = "assign",
        .in = {{FR_F32, 2, {5, 9}, .state = true}, {.dtype = FR_F32, .rank = 2, .dim = {5, 9}}},
        .build = build_assign,
        .ref = ref_assign,
        .bf16 = true});
    op_check(&(op_case){
        .name = "assign f32 to bf16",
        .in = {{FR_BF16, 2, {5, 9}, .state = true}, {.dtype = FR_F32, .rank = 2, .dim = {5, 9}}},
        .build = build_assign,
        .ref = ref_assign,
        .tol = 8e-3});
    static const op_in shapes[] = {
        {FR_F32, 2, {5, 9}, .state = true}, {.dtype = FR_F32, .rank = 2, .dim = {5, 8}}, {0}};
    op_check_refused(shapes, build_assign, NULL, "cannot take a value of f32 [5, 8]");
    static const op_in types[] = {
        {FR_F32, 1, {5}, .state = true}, {.dtype = FR_I32, .rank = 1, .dim = {5}}, {0}};
    op_check_refused(types, build_assign, NULL, "cannot take a value of i32 [5]");
}

static int build_update(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_update_rows(g, in[0], in[1], in[2], *(const int *)arg);
    return 1;
}
static void ref_update(const void *arg, const op_f64 *in, op_f64 *out) {
    int axis = *(const int *)arg;
    int64_t outer = 1, inner = 1, rows = in[0].desc.dim[axis], n = in[1].desc.dim[axis];
    int64_t pos = (int64_t)in[2].v[0];
    for (int d = 0; d < axis; d++) outer *= in[0].desc.dim[d];
    for (int d = axis + 1; d < in[0].desc.rank; d++) inner *= in[0].desc.dim[d];
    memcpy(out[0].v, in[0].v, (size_t)fr_values(&in[0].desc) * sizeof(double));
    for (int64_t o = 0; o < outer; o++)
        memcpy(out[0].v + (o * rows + pos) * inner, in[1].v + o * n * inner,
               (size_t)(n * inner) * sizeof(double));
}

static void test_update(void **state) {
    (void)state;
    for (int axis = 0; axis < 3; axis++) {
        op_case c = {.name = "update_rows",
                     .in = {{FR_F32, 4, {8, 8, 8, 3}, .state = true},
                            {.dtype = FR_F32, .rank = 4, .dim = {8, 8, 8, 3}},
                            {FR_I32, 1, {1}, .lo = 5, .hi = 6}},
                     .arg = &axis,
                     .build = build_update,
                     .ref = ref_update,
                     .bf16 = true};
        c.in[1].dim[axis] = 2;
        op_check(&c);
        c.name = "update_rows f32 to bf16";
        c.in[0].dtype = FR_BF16;
        c.bf16 = false;
        c.tol = 8e-3;
        op_check(&c);
        c.name = "update_rows to the end";
        c.in[0].dtype = FR_F32;
        c.in[2].lo = 6, c.in[2].hi = 7;
        c.tol = 0;
        op_check(&c);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const op_in rows[] = {{FR_F32, 2, {5, 9}, .state = true},
                                 {.dtype = FR_F32, .rank = 2, .dim = {6, 9}},
                                 {.dtype = FR_I32, .rank = 1, .dim = {1}},
                                 {0}};
    op_check_refused(rows, build_update, &(int){0}, "f32 [6, 9] do not fit a state of f32 [5, 9]");
    op_check_refused(rows, build_update, &(int){2}, "no axis 2");
    static const op_in pos[] = {{FR_F32, 2, {5, 9}, .state = true},
                                {.dtype = FR_F32, .rank = 2, .dim = {1, 9}},
                                {.dtype = FR_I32, .rank = 1, .dim = {2}},
                                {0}};
    op_check_refused(pos, build_update, &(int){0}, "must be one i32");
}

/* A cache that is written twice keeps both, and a position outside is refused at run time. */
static void test_cache(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val cache = fr_state(g, "cache", FR_F32, 2, (int64_t[]){4, 2});
    fr_val rows = fr_input(g, "rows", FR_F32, 2, (int64_t[]){2, 2});
    fr_val pos = fr_input(g, "pos", FR_I32, 1, (int64_t[]){1});
    fr_output(g, "all", fr_affine(g, fr_update_rows(g, cache, rows, pos, 0), 10, 0));
    fr_session *s;
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    float v[4] = {1, 2, 3, 4};
    int32_t at = 0;
    fr_tensor in[2] = {fr_tensor_make(FR_F32, 2, (int64_t[]){2, 2}, v),
                       fr_tensor_make(FR_I32, 1, (int64_t[]){1}, &at)};
    assert_int_equal(fr_session_run(s, in, 2), FR_OK);
    for (int i = 0; i < 4; i++) v[i] += 4;
    at = 2;
    assert_int_equal(fr_session_run(s, in, 2), FR_OK);
    const float *got = fr_session_output(s, "all")->data;
    for (int i = 0; i < 8; i++) assert_true(got[i] == (float)(i + 1) * 10);
    for (int bad = 0; bad < 2; bad++) {
        at = bad ? -1 : 3;
        assert_int_equal(fr_session_run(s, in, 2), FR_INVALID);
        assert_non_null(
            strstr(fr_message(), bad ? "2 rows at position -1" : "2 rows at position 3"));
    }
    fr_session_free(s);
    fr_graph_free(g);
}

/* Rows of a state that are moved within it: a part that is written while it is read is copied first. */
static void test_from_itself(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val cache = fr_state(g, "cache", FR_F32, 3, (int64_t[]){2, 4, 2});
    fr_val pos = fr_input(g, "pos", FR_I32, 1, (int64_t[]){1});
    fr_val zero = fr_input(g, "zero", FR_I32, 1, (int64_t[]){1});
    fr_val same = fr_update_rows(g, cache, cache, zero, 1);
    fr_output(g, "moved", fr_update_rows(g, same, fr_slice(g, same, 1, 0, 3), pos, 1));
    fr_session *s;
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    int32_t at[2] = {1, 0};
    fr_tensor in[2] = {fr_tensor_make(FR_I32, 1, (int64_t[]){1}, &at[0]),
                       fr_tensor_make(FR_I32, 1, (int64_t[]){1}, &at[1])};
    assert_int_equal(fr_session_run(s, in, 2), FR_OK);
    float *held = fr_session_tensor(s, cache)->data;
    for (int i = 0; i < 16; i++) held[i] = (float)i;
    assert_int_equal(fr_session_run(s, in, 2), FR_OK);
    static const float want[16] = {0, 1, 0, 1, 2, 3, 4, 5, 8, 9, 8, 9, 10, 11, 12, 13};
    assert_memory_equal(fr_session_output(s, "moved")->data, want, sizeof want);
    fr_session_free(s);
    fr_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assign),      cmocka_unit_test(test_update),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_cache),
        cmocka_unit_test(test_from_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
