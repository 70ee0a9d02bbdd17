/* test_cost.c: the figures of a small graph by hand, and that the table and the drawing hold what
 * they should. */
#include "graph/plan.h"
#include "toy.h"

/* x [2, 3] -> 7 x + 1 -> view -> rotate; w is a parameter that two nodes read. */
static fr_graph *make(void) {
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_I32, 2, (int64_t[]){2, 3});
    fr_val st = fr_state(g, "kept", FR_I32, 1, (int64_t[]){100});
    fr_scope(g, "layer");
    fr_val w = fr_param(g, "w", FR_I32, 2, (int64_t[]){10, 10});
    fr_val y = toy1(g, &toy_strided, x);
    y = fr_reshape(g, y, 2, (int64_t[]){3, -1});
    y = toy1(g, &toy_rotate, y);
    y = toy2(g, &toy_pack, y, w);
    y = toy2(g, &toy_pack, y, w);
    fr_scope_end(g);
    toy1(g, &toy_rotate, x); /* dead */
    fr_output(g, "y", y);
    fr_output(g, "kept", st);
    fr_param(g, "unused", FR_F32, 1, (int64_t[]){1000});
    toy_good(fr_graph_check(g));
    return g;
}

static void test_figures(void **state) {
    (void)state;
    fr_graph *g = make();
    fr_cost c;
    toy_good(fr_node_cost(g, 0, &c));
    assert_true(c.ops == 6 && c.read == 24 && c.write == 24 && c.param == 0);
    toy_good(fr_node_cost(g, 1, &c)); /* a view */
    assert_true(c.ops == 0 && c.read == 0 && c.write == 0 && c.param == 0);
    toy_good(fr_node_cost(g, 3, &c));
    assert_true(c.ops == 6 && c.read == 24 && c.write == 24 && c.param == 400);
    assert_int_not_equal(fr_node_cost(g, 99, &c), FR_OK);
    toy_says("99");

    fr_graph_cost all;
    toy_good(fr_graph_cost_of(g, &all));
    assert_int_equal(all.nodes, 5);
    assert_true(all.total.ops == 24 && all.total.read == 96 && all.total.write == 96);
    assert_true(all.total.param == 800 && all.param_bytes == 400 && all.state_bytes == 400);

    /* The peak is what a session then takes. */
    fr_session *s;
    int32_t data[6] = {0};
    fr_tensor in = fr_tensor_make(FR_I32, 2, (int64_t[]){2, 3}, data);
    toy_good(fr_session_new_with(g, NULL, &s));
    toy_good(fr_session_init_random(s, 1, 1));
    toy_good(fr_session_run(s, &in, 1));
    assert_true(all.peak_activation_bytes == (double)fr_session_arena_bytes(s));
    assert_int_equal(fr_session_arena_bytes(s), 3 * 64);
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_linear(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){8, 64});
    fr_val w = fr_param(g, "w", FR_F32, 2, (int64_t[]){32, 64});
    fr_output(g, "y", fr_linear(g, x, w, FR_NONE, FR_NONE, FR_FN_NONE));
    fr_cost c;
    toy_good(fr_node_cost(g, 0, &c));
    assert_true(c.ops == 2.0 * 8 * 32 * 64);
    assert_true(c.read == 8 * 64 * 4 && c.write == 8 * 32 * 4 && c.param == 32 * 64 * 4);
    fr_graph_free(g);
}

/* A table of which some rows are read, and operators that count their bytes themselves. */
static void test_what_is_read(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val ids = fr_input(g, "ids", FR_I32, 1, (int64_t[]){5});
    fr_val table = fr_param(g, "table", FR_F32, 2, (int64_t[]){1000, 16});
    fr_val x = fr_embedding(g, table, ids);
    fr_val w = fr_param(g, "w", FR_F32, 1, (int64_t[]){16});
    fr_val y = fr_rmsnorm(g, x, w, FR_NONE, FR_NONE, 1e-5f);
    fr_val z = fr_glu(g, y, x, FR_FN_SILU);
    fr_output(g, "z", z);
    fr_cost c;
    toy_good(fr_node_cost(g, 0, &c));
    assert_true(c.read == 5 * 4 && c.param == 5 * 16 * 4 && c.write == 5 * 16 * 4);
    toy_good(fr_node_cost(g, 1, &c));
    assert_true(c.read == 5 * 16 * 4 && c.param == 16 * 4 && c.write == 5 * 16 * 4);
    toy_good(fr_node_cost(g, 2, &c));
    assert_true(c.read == 2 * 5 * 16 * 4 && c.param == 0 && c.write == 5 * 16 * 4);
    fr_graph_free(g);
}

static char *printed(fr_graph *g, fr_status (*print)(fr_graph *, FILE *)) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    print(g, f);
    fclose(f);
    return text;
}

static void has(const char *text, const char *words) {
    if (!strstr(text, words)) fail_msg("'%s' is not in:\n%s", words, text);
}

static void test_table(void **state) {
    (void)state;
    fr_graph *g = make();
    char *text = printed(g, fr_graph_print);
    has(text, "layer.strided");
    has(text, "layer.pack_2");
    has(text, "reshape");
    has(text, "3,-1"); /* its attribute */
    has(text, "i32 [3, 2]");
    has(text, "5 nodes");
    assert_null(strstr(text, "rotate_2")); /* dead */
    free(text);
    fr_graph_free(g);

    g = fr_graph_new();
    toy2(g, &toy_mix, FR_NONE, FR_NONE);
    assert_int_not_equal(fr_graph_print(g, stderr), FR_OK);
    has(fr_message(), "mix: input 0");
    assert_int_not_equal(fr_graph_dot(g, stderr), FR_OK);
    has(fr_message(), "mix: input 0");
    fr_graph_free(g);
}

static void test_drawing(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "a \"quoted\\\" name\n", FR_I32, 1, (int64_t[]){4});
    fr_output(g, "y", toy1(g, &toy_strided, x));
    fr_output(g, "x", x);
    char *text = printed(g, fr_graph_dot);
    has(text, "digraph frugal {");
    has(text, "a \\\"quoted\\\\\\\" name\\\\x0a");
    has(text, "v1 -> n0;");
    has(text, "n0 -> out0;");
    has(text, "v1 -> out1;");
    int depth = 0, quotes = 0;
    for (const char *p = text; *p; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            continue;
        }
        quotes += *p == '"';
        if (quotes % 2 == 0) depth += (*p == '{') - (*p == '}');
    }
    assert_int_equal(depth, 0);
    assert_int_equal(quotes % 2, 0);
    free(text);
    fr_graph_free(g);
}

/* A plan for five rows of a graph that was built with two. */
static void test_cost_of_a_step(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){2, 8});
    fr_val w = fr_param(g, "w", FR_F32, 2, (int64_t[]){3, 8});
    fr_output(g, "y", fr_linear(g, x, w, FR_NONE, FR_NONE, FR_FN_NONE));
    fr_tensor *desc = fr_alloc_array(FR_MEM_OTHER, g->value_count, sizeof *desc);
    for (size_t v = 0; v < g->value_count; v++) desc[v] = g->values[v]->desc;
    desc[x] = fr_tensor_make(FR_F32, 2, (int64_t[]){5, 8}, NULL);
    fr_session_opts opts = {0};
    fr_plan *p;
    bool *live;
    fr_cost c;
    toy_good(fr_live_nodes(g, &live));
    toy_good(fr_plan_new(g, desc, live, &opts, &p));
    fr_step_cost(p, &p->steps[0], &c);
    assert_true(c.ops == 2 * 5 * 3 * 8 && c.param == 3 * 8 * 4);
    assert_true(c.read == 5 * 8 * 4 && c.write == 5 * 3 * 4);
    toy_good(fr_node_cost(g, 0, &c));
    assert_true(c.ops == 2 * 2 * 3 * 8 && c.read == 2 * 8 * 4);
    fr_plan_free(p);
    fr_free(live);
    fr_free(desc);
    fr_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),      cmocka_unit_test(test_linear),
        cmocka_unit_test(test_what_is_read), cmocka_unit_test(test_table),
        cmocka_unit_test(test_drawing),      cmocka_unit_test(test_cost_of_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
