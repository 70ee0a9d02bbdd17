/* test_build.c: names, scopes, and the sentences that a wrong graph gets. */
#include "toy.h"

static fr_val input(fr_graph *g, const char *name) {
    return fr_input(g, name, FR_I32, 2, (int64_t[]){2, 3});
}

static const char *node_name(fr_graph *g, fr_val v) {
    return g->nodes[fr_value_of(g, v)->node]->name;
}

static void test_names(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = input(g, "x");
    assert_string_equal(node_name(g, toy1(g, &toy_rotate, x)), "rotate");
    fr_scope(g, "layers.0");
    fr_scope(g, "attn");
    fr_val w = fr_param(g, "q.weight", FR_F32, 1, (int64_t[]){4});
    assert_string_equal(fr_value_of(g, w)->name, "layers.0.attn.q.weight");
    assert_string_equal(node_name(g, toy1(g, &toy_rotate, x)), "layers.0.attn.rotate");
    assert_string_equal(node_name(g, toy1(g, &toy_rotate, x)), "layers.0.attn.rotate_2");
    assert_string_equal(node_name(g, toy2(g, &toy_mix, x, x)), "layers.0.attn.mix");
    fr_scope_end(g);
    assert_string_equal(node_name(g, toy1(g, &toy_rotate, x)), "layers.0.rotate");
    fr_scope_end(g);
    fr_val y = toy1(g, &toy_two, x);
    assert_string_equal(node_name(g, toy1(g, &toy_rotate, x)), "rotate_2");
    fr_output(g, "y", y + 1);
    assert_int_equal(fr_graph_find(g, "layers.0.attn.q.weight"), w);
    assert_int_equal(fr_graph_find(g, "x"), x);
    assert_int_equal(fr_graph_find(g, "y"), y + 1);
    assert_int_equal(fr_graph_find(g, "z"), FR_NONE);
    assert_int_equal(fr_graph_check(g), FR_OK);
    fr_graph_free(g);
}

/* Every way to go wrong, each with what its sentence must say. */
static void twice(fr_graph *g) {
    input(g, "x");
    fr_param(g, "x", FR_F32, 1, (int64_t[]){4});
}
static void no_name(fr_graph *g) {
    input(g, "");
}
static void null_name(fr_graph *g) {
    input(g, NULL);
}
static void bad_rank(fr_graph *g) {
    fr_input(g, "x", FR_F32, 9, (int64_t[]){1, 1, 1, 1, 1});
}
static void bad_dim(fr_graph *g) {
    fr_input(g, "x", FR_F32, 2, (int64_t[]){4, -7});
}
static void huge(fr_graph *g) {
    fr_param(g, "w", FR_F32, 3, (int64_t[]){INT64_MAX / 4, INT64_MAX / 4, 8});
}
static void no_dims(fr_graph *g) {
    fr_input(g, "x", FR_F32, 2, NULL);
}
static void bad_type(fr_graph *g) {
    fr_input(g, "x", (fr_dtype)77, 1, (int64_t[]){1});
}
static void shapes_differ(fr_graph *g) {
    fr_val a = input(g, "a"), b = fr_input(g, "b", FR_I32, 1, (int64_t[]){5});
    fr_scope(g, "layers.3");
    toy2(g, &toy_mix, a, b);
}
static void missing_operand(fr_graph *g) {
    toy2(g, &toy_mix, input(g, "a"), FR_NONE);
}
static void wild_operand(fr_graph *g) {
    toy2(g, &toy_mix, input(g, "a"), 12345);
}
static void too_many(fr_graph *g) {
    fr_val a = input(g, "a"), in[3] = {a, a, a};
    fr_emit(g, &toy_mix, 3, in, NULL);
}
static void too_few(fr_graph *g) {
    fr_val a = input(g, "a");
    fr_emit(g, &toy_mix, 1, &a, NULL);
}
static void wide_attributes(fr_graph *g) {
    toy1(g, &toy_wide, input(g, "a"));
}
static void not_a_state(fr_graph *g) {
    fr_val a = input(g, "a");
    fr_assign(g, a, a);
}
static void end_without_scope(fr_graph *g) {
    fr_scope_end(g);
}
static void empty_scope(fr_graph *g) {
    fr_scope(g, "");
}
static void output_twice(fr_graph *g) {
    fr_val a = input(g, "a");
    fr_output(g, "y", a);
    fr_output(g, "y", a);
}
static void output_of_nothing(fr_graph *g) {
    fr_output(g, "y", FR_NONE);
}
static void constant_without_data(fr_graph *g) {
    fr_tensor t = fr_tensor_make(FR_F32, 1, (int64_t[]){3}, NULL);
    fr_constant(g, &t);
}
static void constructor_fails(fr_graph *g) {
    fr_scope(g, "decoder");
    fr_reshape(g, input(g, "a"), 17, (int64_t[]){1});
}
static void segment_in_segment(fr_graph *g) {
    fr_recompute_begin(g, "one");
    fr_recompute_begin(g, "two");
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        void (*build)(fr_graph *g);
        const char *words[3];
    } cases[] = {
        {twice, {"already", "'x'"}},
        {no_name, {"needs a name"}},
        {null_name, {"needs a name"}},
        {bad_rank, {"x"}},
        {bad_dim, {"x", "-7"}},
        {huge, {"w"}},
        {no_dims, {"'x'", "dimensions"}},
        {bad_type, {"'x'", "type"}},
        {shapes_differ, {"layers.3.mix: the shapes differ", "i32 [2, 3]", "i32 [5]"}},
        {missing_operand, {"mix: input 1 of mix is missing"}},
        {wild_operand, {"mix: input 1"}},
        {too_many, {"2 to 2", "given 3"}},
        {too_few, {"given 1"}},
        {wide_attributes, {"161 bytes"}},
        {not_a_state, {"assign", "state"}},
        {end_without_scope, {"scope"}},
        {empty_scope, {"scope"}},
        {output_twice, {"already", "'y'"}},
        {output_of_nothing, {"'y'"}},
        {constant_without_data, {"constant", "data"}},
        {constructor_fails, {"decoder", "reshape", "17"}},
        {segment_in_segment, {"'two'"}},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_graph *g = fr_graph_new();
        fr_session *s = NULL;
        cases[i].build(g);
        /* What comes after is quiet, and the first sentence stays. */
        assert_int_equal(input(g, "later"), FR_NONE);
        assert_int_equal(toy1(g, &toy_refuse, 0), FR_NONE);
        fr_scope(g, "later");
        fr_scope_end(g);
        fr_output(g, "later", 0);
        assert_int_not_equal(fr_session_new_with(g, NULL, &s), FR_OK);
        assert_null(s);
        for (int k = 0; k < 3 && cases[i].words[k]; k++) toy_says(cases[i].words[k]);
        assert_int_not_equal(fr_graph_check(g), FR_OK);
        toy_says(cases[i].words[0]);
        fr_graph_free(g);
    }
}

static void test_nothing_at_all(void **state) {
    (void)state;
    fr_session *s;
    assert_int_equal(fr_input(NULL, "x", FR_F32, 0, NULL), FR_NONE);
    assert_int_equal(fr_graph_find(NULL, "x"), FR_NONE);
    fr_scope(NULL, "x");
    fr_scope_end(NULL);
    fr_output(NULL, "x", 0);
    fr_graph_free(NULL);
    fr_session_free(NULL);
    assert_int_not_equal(fr_session_new_with(NULL, NULL, &s), FR_OK);
    assert_int_not_equal(fr_session_run(NULL, NULL, 0), FR_OK);
    /* An empty graph is no error. */
    fr_graph *g = fr_graph_new();
    toy_good(fr_session_new_with(g, NULL, &s));
    toy_good(fr_session_run(s, NULL, 0));
    assert_null(fr_session_output(s, "y"));
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_constants_are_copied(void **state) {
    (void)state;
    int32_t data[6] = {1, 2, 3, 4, 5, 6};
    fr_tensor t = fr_tensor_make(FR_I32, 2, (int64_t[]){2, 3}, data), turned;
    fr_graph *g = fr_graph_new();
    toy_good(fr_view_permute(&t, (int[]){1, 0}, &turned));
    fr_val c = fr_constant(g, &turned);
    memset(data, 0, sizeof data);
    assert_memory_equal(fr_desc(g, c)->data, ((int32_t[]){1, 4, 2, 5, 3, 6}), 24);
    assert_int_equal((uintptr_t)fr_desc(g, c)->data % FR_ALIGN, 0);
    fr_graph_free(g);
}

/* Descriptions stay where they are while the graph grows. */
static void test_descriptions_stay(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = input(g, "x"), y = x;
    const fr_tensor *d = fr_desc(g, x);
    for (int i = 0; i < 5000; i++) y = toy1(g, &toy_rotate, y);
    assert_ptr_equal(d, fr_desc(g, x));
    assert_string_equal(node_name(g, y), "rotate_5000");
    assert_int_equal(fr_desc(g, FR_NONE)->dtype, FR_NOTYPE);
    fr_graph_free(g);
}

/* Whichever allocation fails, building says so and nothing leaks or breaks. */
static void test_memory_runs_out(void **state) {
    (void)state;
    bool through = false;
    for (long n = 1; n < 200 && !through; n++) {
        fr_memory_fail_after(n);
        fr_graph *g = fr_graph_new();
        fr_session *s = NULL;
        int32_t data[6] = {0};
        fr_tensor in = fr_tensor_make(FR_I32, 2, (int64_t[]){2, 3}, data);
        if (g) {
            fr_scope(g, "a");
            fr_val y = toy1(g, &toy_rotate, fr_input(g, "x", FR_I32, 2, in.dim));
            fr_state(g, "s", FR_I32, 2, in.dim);
            fr_output(g, "y", toy2(g, &toy_mix, y, fr_constant(g, &in)));
            fr_status st = fr_session_new_with(g, NULL, &s);
            if (!st) st = fr_session_run(s, &in, 1);
            through = st == FR_OK;
            assert_true(through || st == FR_NOMEM);
        }
        fr_memory_fail_after(0);
        fr_session_free(s);
        fr_graph_free(g);
    }
    assert_true(through);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_nothing_at_all),
        cmocka_unit_test(test_constants_are_copied),
        cmocka_unit_test(test_descriptions_stay),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
