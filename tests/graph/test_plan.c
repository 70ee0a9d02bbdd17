/* test_plan.c: whatever the plan shares, overwrites or looks at sideways, the bits are those of an
 * interpreter that gives every value memory of its own. */
#include "toy.h"

/* ---- random graphs ---- */

typedef struct maker {
    fr_graph *g;
    fr_rng r;
    fr_val pool[256];
    int count;
} maker;

static fr_val pick(maker *m) {
    return m->pool[fr_rng_below(&m->r, (uint32_t)m->count)];
}
static void add(maker *m, fr_val v) {
    m->pool[m->count++] = v;
}

/* Another value of the shape of a, or a itself. */
static fr_val pick_like(maker *m, fr_val a) {
    for (int tries = 0; tries < 12; tries++) {
        fr_val b = pick(m);
        if (fr_same_shape(fr_desc(m->g, a), fr_desc(m->g, b))) return b;
    }
    return a;
}

static fr_val random_view(maker *m, fr_val a) {
    const fr_tensor *t = fr_desc(m->g, a);
    int perm[3] = {1, 0, 2}, other[3] = {2, 0, 1};
    int axis = (int)fr_rng_below(&m->r, 3);
    switch (fr_rng_below(&m->r, 4)) {
    case 0: return fr_permute(m->g, a, perm);
    case 1: return fr_permute(m->g, a, other);
    case 2: return fr_reshape(m->g, a, 3, (int64_t[]){t->dim[2], t->dim[0], t->dim[1]});
    default:
        if (t->dim[axis] < 2) return a;
        return fr_slice(m->g, a, axis, fr_rng_below(&m->r, 2), t->dim[axis] - 1);
    }
}

static void random_node(maker *m) {
    fr_val a = pick(m);
    switch (fr_rng_below(&m->r, 9)) {
    case 0:
    case 1: add(m, toy2(m->g, &toy_mix, a, pick_like(m, a))); break;
    case 2: add(m, toy1(m->g, &toy_rotate, a)); break;
    case 3: {
        fr_val two = toy1(m->g, &toy_two, a);
        add(m, two);
        if (fr_rng_below(&m->r, 2)) add(m, two + 1);
        break;
    }
    case 4: add(m, toy1(m->g, &toy_strided, a)); break;
    case 5: add(m, toy2(m->g, &toy_weave, a, pick_like(m, a))); break;
    default: add(m, random_view(m, a));
    }
}

static fr_graph *random_graph(uint64_t seed, int nodes, int outputs) {
    maker m = {.g = fr_graph_new(), .r = fr_rng_new(seed, 0)};
    add(&m, fr_input(m.g, "x", FR_I32, 3, (int64_t[]){4, 3, 6}));
    add(&m, fr_input(m.g, "y", FR_I32, 3, (int64_t[]){3, 4, 6}));
    add(&m, fr_param(m.g, "w", FR_I32, 3, (int64_t[]){4, 3, 6}));
    int32_t data[72];
    fr_random_u32(seed, 1, 0, (uint32_t *)data, 72);
    fr_tensor c = fr_tensor_make(FR_I32, 3, (int64_t[]){6, 4, 3}, data);
    add(&m, fr_constant(m.g, &c));
    for (int i = 0; i < nodes; i++) random_node(&m);
    for (int i = 0; i < outputs; i++) {
        char name[16];
        snprintf(name, sizeof name, "out%d", i);
        fr_output(m.g, name, i == 0 ? m.pool[m.count - 1] : pick(&m));
    }
    toy_good(fr_graph_check(m.g));
    return m.g;
}

static void check_one(uint64_t seed, const fr_session_opts *opts, size_t *arena) {
    fr_graph *g = random_graph(seed, 10 + (int)(seed % 40), 1 + (int)(seed % 4));
    int32_t x[72], y[72], w[72];
    fr_random_u32(seed, 2, 0, (uint32_t *)x, 72);
    fr_random_u32(seed, 3, 0, (uint32_t *)y, 72);
    fr_random_u32(seed, 4, 0, (uint32_t *)w, 72);
    fr_tensor in[2] = {fr_tensor_make(FR_I32, 3, (int64_t[]){4, 3, 6}, x),
                       fr_tensor_make(FR_I32, 3, (int64_t[]){3, 4, 6}, y)};
    fr_tensor weight = fr_tensor_make(FR_I32, 3, (int64_t[]){4, 3, 6}, w), want[8];
    fr_session *s;
    toy_good(fr_session_new_with(g, opts, &s));
    toy_good(fr_session_set(s, fr_graph_find(g, "w"), &weight));
    toy_interpret(s, g, in, want);
    for (int run = 0; run < 2; run++) {
        toy_good(fr_session_run(s, in, 2));
        for (size_t i = 0; i < g->output_count; i++) {
            const fr_tensor *got = fr_session_output(s, g->output_names[i]);
            assert_true(fr_same_shape(got, &want[i]) && fr_is_contiguous(got));
            if (memcmp(got->data, want[i].data, fr_bytes(got)))
                fail_msg("seed %d, output %zu differs", (int)seed, i);
        }
    }
    *arena += fr_session_arena_bytes(s);
    for (size_t i = 0; i < g->output_count; i++) fr_free(want[i].data);
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_random_graphs(void **state) {
    (void)state;
    size_t shared = 0, not_in_place = 0, apart = 0, poisoned = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        check_one(seed, &(fr_session_opts){0}, &shared);
        check_one(seed, &(fr_session_opts){.poison = true}, &poisoned);
        check_one(seed, &(fr_session_opts){.no_inplace = true, .poison = true}, &not_in_place);
        check_one(seed, &(fr_session_opts){.no_inplace = true, .no_reuse = true}, &apart);
    }
    assert_true(shared == poisoned && shared < not_in_place && not_in_place < apart);
}

/* The other operand is another view of the memory that would be overwritten. */
static void test_no_overwriting_under_a_view(void **state) {
    (void)state;
    int32_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8}, turned[8] = {1, 2, 5, 6, 3, 4, 7, 8};
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_I32, 3, (int64_t[]){2, 2, 2});
    fr_val a = toy1(g, &toy_strided, x);
    fr_val b = fr_permute(g, a, (int[]){1, 0, 2});
    fr_output(g, "y", toy2(g, &toy_weave, a, b));
    fr_session *s;
    fr_tensor in = fr_tensor_make(FR_I32, 3, (int64_t[]){2, 2, 2}, data);
    toy_good(fr_session_new_with(g, NULL, &s));
    toy_good(fr_session_run(s, &in, 1));
    const int32_t *y = fr_session_output(s, "y")->data;
    for (int i = 0; i < 8; i++)
        assert_int_equal(y[i], (7 * data[i] + 1) * 5 + (7 * turned[i] + 1) * 9);
    assert_int_equal(fr_session_arena_bytes(s), 2 * FR_ALIGN); /* and no copy of b */
    fr_session_free(s);
    fr_graph_free(g);
}

/* ---- sizes ---- */

static fr_session *run_once(fr_graph *g, const fr_session_opts *opts, int64_t n) {
    fr_session *s;
    int32_t *data = fr_alloc(FR_MEM_OTHER, (size_t)n * 4);
    fr_tensor in = fr_tensor_make(FR_I32, 1, &n, data);
    toy_good(fr_session_new_with(g, opts, &s));
    toy_good(fr_session_run(s, &in, 1));
    fr_free(data);
    return s;
}

static void test_chain_is_small(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_I32, 1, (int64_t[]){256});
    for (int i = 0; i < 100; i++) x = toy1(g, &toy_strided, x);
    for (int i = 0; i < 100; i++) x = toy2(g, &toy_mix, x, x);
    fr_output(g, "y", x);
    fr_session *s = run_once(g, NULL, 256);
    assert_int_equal(fr_session_arena_bytes(s), 2 * 1024);
    fr_session_free(s);
    fr_graph_free(g);

    /* In place: the sum of many lies over its first operand. */
    g = fr_graph_new();
    x = fr_input(g, "x", FR_I32, 1, (int64_t[]){256});
    fr_val sum = toy1(g, &toy_strided, x);
    for (int i = 0; i < 50; i++) sum = toy2(g, &toy_mix, sum, x);
    fr_output(g, "y", sum);
    s = run_once(g, NULL, 256);
    assert_int_equal(fr_session_arena_bytes(s), 1024);
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_views_cost_nothing(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_I32, 1, (int64_t[]){256});
    fr_val a = toy1(g, &toy_strided, x);
    fr_val m = fr_reshape(g, a, 2, (int64_t[]){16, 16});
    fr_val half = fr_slice(g, m, 1, 4, 8); /* strided, read as it is */
    fr_output(g, "y", toy1(g, &toy_strided, half));
    fr_session *s = run_once(g, NULL, 256);
    assert_int_equal(fr_session_arena_bytes(s), 1024 + 512);
    fr_session_free(s);
    fr_graph_free(g);

    g = fr_graph_new();
    x = fr_input(g, "x", FR_I32, 1, (int64_t[]){256});
    m = fr_reshape(g, toy1(g, &toy_strided, x), 2, (int64_t[]){16, 16});
    half = fr_slice(g, m, 1, 4, 8); /* two readers that want it in one piece: one copy */
    fr_val r1 = toy1(g, &toy_rotate, half), r2 = toy1(g, &toy_rotate, half);
    fr_output(g, "y", toy2(g, &toy_mix, r1, r2));
    s = run_once(g, &(fr_session_opts){.no_reuse = true, .no_inplace = true}, 256);
    assert_int_equal(fr_session_arena_bytes(s), 1024 + 512 * (1 + 2 * 2 + 1));
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_dead_nodes_are_skipped(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_I32, 1, (int64_t[]){8});
    toy1(g, &toy_fail, x);
    fr_output(g, "y", toy1(g, &toy_strided, x));
    fr_session *s = run_once(g, NULL, 8);
    fr_session_free(s);
    fr_graph_free(g);
}

/* Outputs that are an input, a view of one, a parameter or a constant. */
static void test_outputs_of_all_kinds(void **state) {
    (void)state;
    int32_t data[6] = {1, 2, 3, 4, 5, 6}, transposed[6] = {1, 4, 2, 5, 3, 6};
    fr_tensor t = fr_tensor_make(FR_I32, 2, (int64_t[]){2, 3}, data);
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_I32, 2, t.dim), w = fr_param(g, "w", FR_I32, 2, t.dim);
    fr_val c = fr_constant(g, &t);
    int perm[2] = {1, 0};
    fr_val all[] = {
        x, w, c, fr_permute(g, x, perm), fr_permute(g, w, perm), fr_permute(g, c, perm)};
    char name[16];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%d", i);
        fr_output(g, name, all[i]);
    }
    fr_output(g, "again", all[3]);
    fr_session *s;
    toy_good(fr_session_new_with(g, NULL, &s));
    toy_good(fr_session_set(s, w, &t));
    int32_t own[6];
    memcpy(own, data, sizeof own);
    fr_tensor in = fr_tensor_make(FR_I32, 2, t.dim, own);
    toy_good(fr_session_run(s, &in, 1));
    memset(own, 0, sizeof own); /* the caller may do so before looking at the outputs */
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_memory_equal(fr_session_output(s, name)->data, i < 3 ? data : transposed, 24);
    }
    assert_memory_equal(fr_session_output(s, "again")->data, transposed, 24);
    fr_session_free(s);
    fr_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_no_overwriting_under_a_view),
        cmocka_unit_test(test_chain_is_small),
        cmocka_unit_test(test_views_cost_nothing),
        cmocka_unit_test(test_dead_nodes_are_skipped),
        cmocka_unit_test(test_outputs_of_all_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
