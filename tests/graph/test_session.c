/* test_session.c: parameters from files and from memory, plans by shape, packing, and what a
 * session says when it is used wrongly. */
#include "toy.h"

#include <unistd.h>

typedef struct rig {
    fr_graph *g;
    fr_session *s;
    fr_val x, w, b;
} rig;

/* y = pack(x, w) with b another parameter that an output shows. */
static rig make(const fr_session_opts *opts) {
    rig r = {.g = fr_graph_new()};
    r.x = fr_input(r.g, "x", FR_I32, 1, (int64_t[]){4});
    fr_scope(r.g, "fc");
    r.w = fr_param(r.g, "weight", FR_I32, 2, (int64_t[]){2, 3});
    r.b = fr_param(r.g, "bias", FR_F32, 1, (int64_t[]){5});
    fr_output(r.g, "y", toy2(r.g, &toy_pack, r.x, r.w));
    fr_output(r.g, "b", r.b);
    fr_scope_end(r.g);
    fr_param(r.g, "unused", FR_F32, 1, (int64_t[]){5});
    toy_good(fr_session_new_with(r.g, opts, &r.s));
    return r;
}

static void drop(rig *r) {
    fr_session_free(r->s);
    fr_graph_free(r->g);
}

static fr_status run(rig *r, int64_t n, int32_t *y) {
    int32_t data[64];
    for (int i = 0; i < n; i++) data[i] = i;
    fr_tensor in = fr_tensor_make(FR_I32, 1, &n, data);
    FR_TRY(fr_session_run(r->s, &in, 1));
    const fr_tensor *out = fr_session_output(r->s, "y");
    assert_int_equal(out->dim[0], n);
    *y = ((const int32_t *)out->data)[n - 1];
    return FR_OK;
}

static int32_t weights[6] = {1, 2, 3, 4, 5, 6};
static float biases[5] = {0.5f, -1, 2, 3.25f, 0};

static void set_all(rig *r) {
    fr_tensor w = fr_tensor_make(FR_I32, 2, (int64_t[]){2, 3}, weights);
    fr_tensor b = fr_tensor_make(FR_F32, 1, (int64_t[]){5}, biases);
    toy_good(fr_session_set(r->s, r->w, &w));
    toy_good(fr_session_set(r->s, r->b, &b));
}

/* ---- plans ---- */

static void test_plans_by_shape(void **state) {
    (void)state;
    rig r = make(NULL);
    int32_t y;
    set_all(&r);
    toy_packs = toy_unpacked_runs = 0;
    /* More shapes than plans are kept, forwards and back. */
    for (int64_t n = 1; n < 20; n++) {
        toy_good(run(&r, n, &y));
        assert_int_equal(y, n - 1 + 21);
    }
    for (int64_t n = 20; n > 0; n--) {
        toy_good(run(&r, n, &y));
        assert_int_equal(y, n - 1 + 21);
    }
    assert_int_equal(toy_packs, 1);
    assert_int_equal(toy_unpacked_runs, 0);
    drop(&r);
}

static void test_packed_again_after_a_change(void **state) {
    (void)state;
    rig r = make(NULL);
    int32_t y;
    set_all(&r);
    toy_packs = 0;
    toy_good(run(&r, 4, &y));
    toy_good(run(&r, 5, &y));
    ((int32_t *)fr_session_tensor(r.s, r.w)->data)[0] += 100;
    fr_session_params_changed(r.s);
    toy_good(run(&r, 4, &y));
    assert_int_equal(y, 3 + 121);
    toy_good(run(&r, 5, &y));
    assert_int_equal(y, 4 + 121);
    assert_int_equal(toy_packs, 2);
    drop(&r);

    r = make(&(fr_session_opts){.train = true}); /* nothing is packed */
    set_all(&r);
    toy_unpacked_runs = 0;
    toy_good(run(&r, 4, &y));
    ((int32_t *)fr_session_tensor(r.s, r.w)->data)[0] += 100;
    toy_good(run(&r, 4, &y));
    assert_int_equal(y, 3 + 121);
    assert_int_equal(toy_packs, 2);
    assert_int_equal(toy_unpacked_runs, 2);
    drop(&r);
}

/* ---- files ---- */

static fr_store *store_of(const fr_named_tensor *t, size_t count) {
    static int number;
    char path[64];
    fr_store *store;
    snprintf(path, sizeof path, "session_%d_%d.safetensors", (int)getpid(), number++);
    toy_good(fr_safetensors_write(path, t, count, NULL, 0));
    toy_good(fr_store_open(path, &store));
    remove(path);
    return store;
}

static void test_mapped(void **state) {
    (void)state;
    fr_tensor w = fr_tensor_make(FR_I32, 2, (int64_t[]){2, 3}, weights);
    fr_tensor b = fr_tensor_make(FR_F32, 1, (int64_t[]){5}, biases);
    fr_named_tensor all[] = {{"fc.weight", &w}, {"fc.bias", &b}, {"extra", &b}};
    fr_store *store = store_of(all, 3);
    rig r = make(NULL);
    int32_t y;
    size_t before = fr_memory_stat(FR_MEM_WEIGHTS).now;
    toy_good(fr_session_load(r.s, store));
    assert_ptr_equal(fr_session_tensor(r.s, r.w)->data, fr_store_find(store, "fc.weight")->data);
    assert_int_equal(fr_memory_stat(FR_MEM_WEIGHTS).now, before);
    toy_good(run(&r, 4, &y));
    assert_int_equal(y, 3 + 21);
    assert_memory_equal(fr_session_output(r.s, "b")->data, biases, sizeof biases);
    toy_good(fr_session_make_writable(r.s));
    assert_ptr_not_equal(fr_session_tensor(r.s, r.w)->data,
                         fr_store_find(store, "fc.weight")->data);
    fr_store_close(store);
    ((int32_t *)fr_session_tensor(r.s, r.w)->data)[1] = 0;
    fr_session_params_changed(r.s);
    toy_good(run(&r, 4, &y));
    assert_int_equal(y, 3 + 19);
    drop(&r);
}

static void test_converted(void **state) {
    (void)state;
    uint16_t half[5];
    for (int i = 0; i < 5; i++) half[i] = fr_f32_to_bf16(biases[i]);
    fr_tensor w = fr_tensor_make(FR_I32, 2, (int64_t[]){2, 3}, weights);
    fr_tensor b = fr_tensor_make(FR_BF16, 1, (int64_t[]){5}, half);
    fr_named_tensor all[] = {{"fc.weight", &w}, {"fc.bias", &b}};
    fr_store *store = store_of(all, 2);
    rig r = make(NULL);
    toy_good(fr_session_load(r.s, store));
    assert_memory_equal(fr_session_tensor(r.s, r.b)->data, biases, sizeof biases);
    drop(&r);
    fr_store_close(store);
}

static void test_wrong_files(void **state) {
    (void)state;
    float wide[6] = {0};
    fr_tensor w = fr_tensor_make(FR_I32, 2, (int64_t[]){3, 2}, weights);
    fr_tensor b = fr_tensor_make(FR_F32, 1, (int64_t[]){5}, biases);
    fr_tensor f = fr_tensor_make(FR_F32, 2, (int64_t[]){2, 3}, wide);
    rig r = make(NULL);
    int32_t y;
    fr_store *store = store_of((fr_named_tensor[]){{"fc.weight", &w}, {"fc.bias", &b}}, 2);
    assert_int_equal(fr_session_load(r.s, store), FR_INVALID);
    toy_says("'fc.weight'");
    toy_says("i32 [3, 2]");
    toy_says("i32 [2, 3]");
    fr_store_close(store);
    store = store_of((fr_named_tensor[]){{"fc.weight", &f}, {"fc.bias", &b}}, 2);
    assert_int_equal(fr_session_load(r.s, store), FR_UNSUPPORTED);
    toy_says("f32 [2, 3]");
    drop(&r);
    fr_store_close(store);

    r = make(NULL);
    store = store_of((fr_named_tensor[]){{"other", &w}, {"fc.bias", &b}}, 2);
    assert_int_equal(fr_session_load(r.s, store), FR_INVALID);
    toy_says("does not hold the parameter 'fc.weight'");
    assert_int_equal(run(&r, 4, &y), FR_INVALID);
    toy_says("'fc.weight'");
    drop(&r);
    fr_store_close(store);

    r = make(NULL);
    assert_int_equal(run(&r, 4, &y), FR_INVALID);
    toy_says("2 parameters: 'fc.weight', 'fc.bias'");
    drop(&r);
}

static void test_many_missing(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_session *s;
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "w%d", i);
        fr_output(g, name, fr_param(g, name, FR_F32, 1, (int64_t[]){1}));
    }
    toy_good(fr_session_new_with(g, NULL, &s));
    assert_int_not_equal(fr_session_run(s, NULL, 0), FR_OK);
    toy_says("100 parameters: 'w0', 'w1', 'w2', 'w3' and others.");
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_random_values(void **state) {
    (void)state;
    rig a = make(NULL), b = make(NULL);
    fr_tensor w = fr_tensor_make(FR_I32, 2, (int64_t[]){2, 3}, weights);
    toy_good(fr_session_set(a.s, a.w, &w));
    toy_good(fr_session_init_random(a.s, 7, 0.5f));
    toy_good(fr_session_init_random(b.s, 7, 0.5f));
    assert_memory_equal(fr_session_tensor(a.s, a.b)->data, fr_session_tensor(b.s, b.b)->data, 20);
    float want[5];
    fr_random_normal(7, fr_random_stream("fc.bias"), 0, want, 5);
    for (int i = 0; i < 5; i++)
        assert_true(((float *)fr_session_tensor(a.s, a.b)->data)[i] == want[i] * 0.5f);
    assert_memory_equal(fr_session_tensor(a.s, a.w)->data, weights, 24); /* was bound: stays */
    drop(&a);
    drop(&b);
}

/* ---- wrong use ---- */

static void test_wrong_inputs(void **state) {
    (void)state;
    rig r = make(NULL);
    set_all(&r);
    int32_t data[8] = {0};
    fr_tensor good = fr_tensor_make(FR_I32, 1, (int64_t[]){4}, data);
    assert_int_not_equal(fr_session_run(r.s, NULL, 0), FR_OK);
    toy_says("1 inputs");
    assert_int_not_equal(fr_session_run(r.s, &good, 2), FR_OK);
    assert_int_not_equal(fr_session_run(r.s, NULL, 1), FR_OK);
    assert_int_not_equal(fr_session_run(r.s, &good, -1), FR_OK);
    fr_tensor t = fr_tensor_make(FR_F32, 1, (int64_t[]){4}, data);
    assert_int_not_equal(fr_session_run(r.s, &t, 1), FR_OK);
    toy_says("'x' is f32 [4], and the graph wants i32 [4]");
    t = fr_tensor_make(FR_I32, 2, (int64_t[]){2, 2}, data);
    assert_int_not_equal(fr_session_run(r.s, &t, 1), FR_OK);
    toy_says("'x'");
    t = good;
    t.data = NULL;
    assert_int_not_equal(fr_session_run(r.s, &t, 1), FR_OK);
    toy_says("'x' has no data");
    t = good;
    t.stride[0] = 2;
    assert_int_not_equal(fr_session_run(r.s, &t, 1), FR_OK);
    toy_says("'x' is a strided view");
    t = good;
    t.dim[0] = -4;
    assert_int_not_equal(fr_session_run(r.s, &t, 1), FR_OK);
    t.rank = 4000;
    assert_int_not_equal(fr_session_run(r.s, &t, 1), FR_OK);
    t = (fr_tensor){.dtype = FR_I32, .rank = 1, .dim = {4}, .data = data}; /* filled by hand */
    toy_good(fr_session_run(r.s, &t, 1));
    assert_null(fr_session_output(r.s, "z"));
    assert_null(fr_session_output(r.s, NULL));
    assert_null(fr_session_tensor(r.s, 99));
    assert_null(fr_session_tensor(r.s, r.x));
    assert_int_not_equal(fr_session_set(r.s, r.x, &good), FR_OK);
    assert_int_not_equal(fr_session_set(r.s, r.w, NULL), FR_OK);
    assert_int_not_equal(fr_session_load(r.s, NULL), FR_OK);
    fr_param(r.g, "late", FR_F32, 1, (int64_t[]){1});
    assert_int_not_equal(fr_session_run(r.s, &good, 1), FR_OK);
    toy_says("changed after the session");
    drop(&r);
}

static void test_failing_node_is_named(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_I32, 1, (int64_t[]){4});
    fr_val y = fr_input(g, "y", FR_I32, 1, (int64_t[]){4});
    fr_scope(g, "decoder.1");
    fr_output(g, "z", toy1(g, &toy_fail, toy2(g, &toy_mix, x, y)));
    fr_session *s;
    toy_good(fr_session_new_with(g, NULL, &s));
    int32_t data[8] = {0};
    fr_tensor in[2] = {fr_tensor_make(FR_I32, 1, (int64_t[]){4}, data),
                       fr_tensor_make(FR_I32, 1, (int64_t[]){4}, data)};
    assert_int_equal(fr_session_run(s, in, 2), FR_INVALID);
    assert_string_equal(fr_message(), "decoder.1.fail: it broke");
    in[1].dim[0] = 3; /* a shape that only shows when the plan is made again */
    assert_int_equal(fr_session_run(s, in, 2), FR_INVALID);
    toy_says("decoder.1.mix: the shapes differ (mix of i32 [4], i32 [3])");
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_interrupt(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_I32, 1, (int64_t[]){4});
    for (int i = 0; i < 200; i++) x = toy1(g, &toy_strided, x);
    fr_output(g, "y", x);
    fr_session *s;
    int32_t data[4] = {0};
    fr_tensor in = fr_tensor_make(FR_I32, 1, (int64_t[]){4}, data);
    toy_good(fr_session_new_with(g, NULL, &s));
    fr_interrupt_raise();
    assert_int_equal(fr_session_run(s, &in, 1), FR_INTERRUPTED);
    fr_interrupt_clear();
    toy_good(fr_session_run(s, &in, 1));
    fr_session_free(s);
    fr_graph_free(g);
}

/* ---- times ---- */

static void test_times(void **state) {
    (void)state;
    rig r = make(NULL);
    int32_t y;
    char text[4096] = "";
    set_all(&r);
    assert_int_equal(fr_session_print_times(r.s, stdout), FR_INVALID);
    toy_good(fr_session_time_nodes(r.s));
    fr_op_times all = {0};
    fr_session_add_times(r.s, &all); /* nothing ran */
    assert_int_equal(all.count, 0);
    toy_good(run(&r, 4, &y));
    fr_session_add_times(r.s, &all);
    const double once = all.op[0].seconds;
    assert_true(all.count == 1 && !strcmp(all.op[0].name, "pack") && once > 0);
    fr_session_add_times(r.s, &all);
    assert_true(all.count == 1 && all.op[0].seconds == 2 * once);
    FILE *f = tmpfile();
    assert_non_null(f);
    toy_good(fr_session_print_times(r.s, f));
    rewind(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    assert_non_null(strstr(text, "\npack "));
    assert_non_null(strstr(text, "1 nodes, "));
    assert_non_null(strstr(text, "100.0%"));
    drop(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_by_shape),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_packed_again_after_a_change),
        cmocka_unit_test(test_mapped),
        cmocka_unit_test(test_converted),
        cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_many_missing),
        cmocka_unit_test(test_random_values),
        cmocka_unit_test(test_wrong_inputs),
        cmocka_unit_test(test_failing_node_is_named),
        cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
