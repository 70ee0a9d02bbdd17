/* test_state.c: what lives between runs: written in place, read before and after in the order in
 * which the model was made. */
#include "toy.h"

static fr_session *session(fr_graph *g) {
    fr_session *s;
    toy_good(fr_session_new_with(g, &(fr_session_opts){.poison = true}, &s));
    return s;
}

static int32_t first(fr_session *s, const char *name) {
    return *(const int32_t *)fr_session_output(s, name)->data;
}

static void test_counts_up(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val count = fr_state(g, "count", FR_I32, 1, (int64_t[]){4});
    fr_val before = toy1(g, &toy_strided, count); /* 7 c + 1 */
    fr_val after = fr_assign(g, count, before);
    fr_output(g, "before", before);
    fr_output(g, "after", after);
    fr_output(g, "later", toy1(g, &toy_strided, after));
    fr_session *s = session(g);
    int32_t want = 0;
    for (int run = 0; run < 4; run++) {
        toy_good(fr_session_run(s, NULL, 0));
        want = want * 7 + 1;
        assert_int_equal(first(s, "before"), want);
        assert_int_equal(first(s, "after"), want);
        assert_int_equal(first(s, "later"), want * 7 + 1);
        assert_int_equal(*(int32_t *)fr_session_tensor(s, count)->data, want);
    }
    assert_ptr_equal(fr_session_tensor(s, count)->data, fr_session_output(s, "after")->data);
    fr_session_free(s);
    fr_graph_free(g);
}

/* Writing a state happens even when no output asks for it. */
static void test_writes_are_never_dead(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_I32, 1, (int64_t[]){2});
    fr_val kept = fr_state(g, "kept", FR_I32, 1, (int64_t[]){2});
    fr_assign(g, kept, toy1(g, &toy_strided, x));
    fr_session *s = session(g);
    int32_t data[2] = {5, 6};
    fr_tensor in = fr_tensor_make(FR_I32, 1, (int64_t[]){2}, data);
    toy_good(fr_session_run(s, &in, 1));
    assert_memory_equal(fr_session_tensor(s, kept)->data, ((int32_t[]){36, 43}), 8);
    fr_session_free(s);
    fr_graph_free(g);
}

/* A view of a state that is written before the view is read keeps the old values. */
static void test_views_of_what_changes(void **state) {
    (void)state;
    int32_t data[6] = {1, 2, 3, 4, 5, 6}, transposed[6] = {1, 4, 2, 5, 3, 6};
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_I32, 2, (int64_t[]){2, 3});
    fr_val st = fr_state(g, "s", FR_I32, 2, (int64_t[]){2, 3});
    fr_val one = fr_assign(g, st, x);
    fr_val old = fr_permute(g, one, (int[]){1, 0});
    fr_val row = fr_slice(g, one, 0, 1, 1);
    fr_val two = fr_assign(g, one, toy1(g, &toy_strided, x));
    fr_output(g, "old", old);
    fr_output(g, "row", row);
    fr_output(g, "new", fr_permute(g, two, (int[]){1, 0}));
    fr_session *s = session(g);
    fr_tensor in = fr_tensor_make(FR_I32, 2, (int64_t[]){2, 3}, data);
    for (int run = 0; run < 2; run++) {
        toy_good(fr_session_run(s, &in, 1));
        assert_memory_equal(fr_session_output(s, "old")->data, transposed, 24);
        assert_memory_equal(fr_session_output(s, "row")->data, data + 3, 12);
        for (int i = 0; i < 6; i++)
            assert_int_equal(((const int32_t *)fr_session_output(s, "new")->data)[i],
                             7 * transposed[i] + 1);
    }
    fr_session_free(s);
    fr_graph_free(g);
}

/* A cache: rows at a position, and a reader of the whole. */
static void test_cache(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val rows = fr_input(g, "rows", FR_I32, 3, (int64_t[]){1, 1, 2});
    fr_val pos = fr_input(g, "pos", FR_I32, 1, (int64_t[]){1});
    fr_val cache = fr_state(g, "cache", FR_I32, 3, (int64_t[]){1, 4, 2});
    fr_val now = fr_update_rows(g, cache, rows, pos, 1);
    fr_output(g, "all", toy1(g, &toy_strided, fr_reshape(g, now, 2, (int64_t[]){4, 2})));
    fr_session *s = session(g);
    for (int32_t i = 0; i < 4; i++) {
        int32_t data[2] = {10 + i, 20 + i};
        fr_tensor in[2] = {fr_tensor_make(FR_I32, 3, (int64_t[]){1, 1, 2}, data),
                           fr_tensor_make(FR_I32, 1, (int64_t[]){1}, &i)};
        toy_good(fr_session_run(s, in, 2));
        const int32_t *all = fr_session_output(s, "all")->data;
        for (int32_t k = 0; k < 4; k++) {
            assert_int_equal(all[2 * k], k <= i ? 7 * (10 + k) + 1 : 1);
            assert_int_equal(all[2 * k + 1], k <= i ? 7 * (20 + k) + 1 : 1);
        }
    }
    int32_t data[4] = {0}, at = 3; /* two rows at 3 of 4: refused with the name of the node */
    fr_tensor in[2] = {fr_tensor_make(FR_I32, 3, (int64_t[]){1, 2, 2}, data),
                       fr_tensor_make(FR_I32, 1, (int64_t[]){1}, &at)};
    assert_int_not_equal(fr_session_run(s, in, 2), FR_OK);
    toy_says("update_rows: ");
    assert_null(fr_session_output(s, "all"));
    fr_session_free(s);
    fr_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_up),
        cmocka_unit_test(test_writes_are_never_dead),
        cmocka_unit_test(test_views_of_what_changes),
        cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
