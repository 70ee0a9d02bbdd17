/* test_grad.c: the walk backwards: sums where paths meet, zeros where nothing leads, refusals, and
 * recomputed segments. That each operator's own rule is right is tested with the operators. */
#include "toy.h"

static const int64_t four[1] = {4};

/* ---- toys with gradients ---- */

static fr_status like_x(const fr_call *c) {
    for (int i = 0; i < c->nout; i++) c->out[i] = c->in[0];
    return FR_OK;
}

/* Two outputs, 2 x and 3 x. */
static fr_status pair_run(const fr_call *c) {
    const float *x = c->in[0].data;
    for (int64_t i = 0; i < fr_values(&c->in[0]); i++) {
        ((float *)c->out[0].data)[i] = 2 * x[i];
        ((float *)c->out[1].data)[i] = 3 * x[i];
    }
    return FR_OK;
}
static fr_status pair_grad(fr_grad *r) {
    fr_val a = r->dout[0] == FR_NONE ? FR_NONE : fr_affine(r->g, r->dout[0], 2, 0);
    fr_val b = r->dout[1] == FR_NONE ? FR_NONE : fr_affine(r->g, r->dout[1], 3, 0);
    r->din[0] = a == FR_NONE ? b : b == FR_NONE ? a : fr_add(r->g, a, b);
    return FR_OK;
}
static const fr_op pair = {.name = "pair",
                           .nin_min = 1,
                           .nin_max = 1,
                           .nout = 2,
                           .shape = like_x,
                           .run = pair_run,
                           .grad = pair_grad};
static const fr_op no_rule = {
    .name = "no_rule", .nin_min = 1, .nin_max = 1, .nout = 2, .shape = like_x, .run = pair_run};
static const fr_op stop = {.name = "stop",
                           .nin_min = 1,
                           .nin_max = 1,
                           .nout = 2,
                           .flags = FR_OP_NO_GRAD,
                           .shape = like_x,
                           .run = pair_run};

static fr_status wrong_grad(fr_grad *r) {
    r->din[0] = fr_reduce(r->g, r->dout[0], FR_SUM, 1, false);
    return FR_OK;
}
static const fr_op wrong = {.name = "wrong",
                            .nin_min = 1,
                            .nin_max = 1,
                            .nout = 2,
                            .shape = like_x,
                            .run = pair_run,
                            .grad = wrong_grad};

static fr_val total(fr_graph *g, fr_val v) {
    return fr_reduce(g, v, FR_SUM, (1u << fr_desc(g, v)->rank) - 1, false);
}

/* The gradient of loss by x at 1, 2, 3, 4. */
static void gradient(fr_graph *g, fr_val loss, fr_val x, float out[4]) {
    fr_val d;
    fr_session *s;
    float data[4] = {1, 2, 3, 4};
    toy_good(fr_gradients(g, loss, 1, &x, &d));
    fr_output(g, "d", d);
    toy_good(fr_session_new_with(g, &(fr_session_opts){.poison = true}, &s));
    fr_tensor in = fr_tensor_make(FR_F32, 1, four, data);
    toy_good(fr_session_run(s, &in, 1));
    const fr_tensor *t = fr_session_output(s, "d");
    assert_true(fr_same_shape(t, &in));
    memcpy(out, t->data, 16);
    fr_session_free(s);
    fr_graph_free(g);
}

static void expect(const float got[4], float a, float b, float c, float d) {
    const float want[4] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        if (got[i] != want[i]) fail_msg("gradient %d is %g, not %g", i, got[i], want[i]);
}

static void test_paths_meet(void **state) {
    (void)state;
    float d[4];
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 1, four);
    /* sum(x x + 3 x + x + 5) */
    fr_val y = fr_add(g, fr_mul(g, x, x), fr_add(g, fr_affine(g, x, 3, 5), x));
    gradient(g, total(g, y), x, d);
    expect(d, 6, 8, 10, 12);
}

static void test_through_an_inner_value(void **state) {
    (void)state;
    float d[4];
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 1, four);
    fr_val h = fr_affine(g, x, 2, 0);
    gradient(g, total(g, fr_mul(g, h, h)), h, d); /* by h = 2 x: 2 h */
    expect(d, 4, 8, 12, 16);
}

static void test_several_outputs(void **state) {
    (void)state;
    float d[4];
    for (int which = 0; which < 3; which++) {
        fr_graph *g = fr_graph_new();
        fr_val x = fr_input(g, "x", FR_F32, 1, four), p = toy1(g, &pair, x);
        fr_val y = which == 2 ? fr_mul(g, p, p + 1) : p + which; /* 6 x x, or 2 x, or 3 x */
        gradient(g, total(g, y), x, d);
        if (which == 0) expect(d, 2, 2, 2, 2);
        if (which == 1) expect(d, 3, 3, 3, 3);
        if (which == 2) expect(d, 12, 24, 36, 48);
    }
}

static void test_independent_is_zero(void **state) {
    (void)state;
    float d[4];
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 1, four);
    fr_val w = fr_param(g, "w", FR_F32, 1, four), dw;
    fr_val loss = total(g, fr_mul(g, x, x));
    toy_good(fr_gradients(g, loss, 1, &w, &dw));
    fr_output(g, "dw", dw);
    assert_int_equal(fr_value_of(g, dw)->kind, FR_VALUE_CONST);
    for (int i = 0; i < 4; i++) assert_true(((const float *)fr_desc(g, dw)->data)[i] == 0);
    gradient(g, loss, x, d);
    expect(d, 2, 4, 6, 8);

    g = fr_graph_new(); /* a path that has no gradient by nature */
    x = fr_input(g, "x", FR_F32, 1, four);
    gradient(g, total(g, fr_add(g, toy1(g, &stop, x), x)), x, d);
    expect(d, 1, 1, 1, 1);
}

/* Backward nodes are only made where a wanted value leads. */
static void test_only_what_is_wanted(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 1, four), w = fr_param(g, "w", FR_F32, 1, four), d;
    fr_val inner = toy1(g, &no_rule, x); /* never asked, for x is not wanted */
    fr_scope(g, "head");
    fr_val y = fr_mul(g, inner, w);
    fr_scope_end(g);
    toy_good(fr_gradients(g, total(g, y), 1, &w, &d));
    bool named = false;
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i]->backward) named |= !strncmp(g->nodes[i]->name, "grad.head.", 10);
    assert_true(named);
    fr_graph_free(g);
}

static void test_refusals(void **state) {
    (void)state;
    static const fr_op *const bad[] = {&no_rule, &wrong};
    static const char *const words[] = {"layer.no_rule: the operator no_rule has no gradient",
                                        "layer.wrong: the gradient of input 0 of wrong is f32 []"};
    for (int i = 0; i < 2; i++) {
        fr_graph *g = fr_graph_new();
        fr_val x = fr_input(g, "x", FR_F32, 1, four), d;
        fr_scope(g, "layer");
        fr_val y = toy1(g, bad[i], x);
        fr_scope_end(g);
        assert_int_not_equal(fr_gradients(g, total(g, y), 1, &x, &d), FR_OK);
        toy_says(words[i]);
        assert_int_equal(d, FR_NONE);
        assert_int_not_equal(fr_graph_check(g), FR_OK);
        toy_says(words[i]);
        fr_graph_free(g);
    }
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 1, four), k = fr_input(g, "k", FR_I32, 1, four), d;
    assert_int_not_equal(fr_gradients(g, x, 1, &x, &d), FR_OK);
    toy_says("f32 [4]");
    assert_int_not_equal(fr_gradients(g, FR_NONE, 1, &x, &d), FR_OK);
    assert_int_not_equal(fr_gradients(NULL, x, 1, &x, &d), FR_OK);
    fr_val loss = total(g, x), none = FR_NONE;
    assert_int_not_equal(fr_gradients(g, loss, 1, &k, &d), FR_OK);
    toy_says("integers");
    assert_int_not_equal(fr_gradients(g, loss, 1, &none, &d), FR_OK);
    toy_good(fr_gradients(g, loss, 1, &x, &d));
    fr_graph_free(g);
}

static void test_states(void **state) {
    (void)state;
    for (int late = 0; late < 2; late++) {
        fr_graph *g = fr_graph_new();
        fr_val x = fr_input(g, "x", FR_F32, 1, four), d;
        fr_val kept = fr_state(g, "kept", FR_F32, 1, four);
        if (!late) kept = fr_assign(g, kept, fr_affine(g, x, 2, 0));
        fr_val y = fr_mul(g, x, kept);
        if (late) kept = fr_assign(g, kept, x);
        if (late) {
            assert_int_equal(fr_gradients(g, total(g, y), 1, &x, &d), FR_UNSUPPORTED);
            toy_says("'kept'");
            fr_graph_free(g);
        } else {
            float got[4]; /* the state counts as given */
            gradient(g, total(g, y), x, got);
            expect(got, 2, 4, 6, 8);
        }
    }
}

/* ---- a real chain, and the same with recomputation ---- */

enum { DIM = 32, ROWS = 64, BLOCKS = 6 };

static fr_val block(fr_graph *g, fr_val x, int i, bool recompute) {
    char name[32];
    snprintf(name, sizeof name, "block.%d", i);
    fr_scope(g, name);
    fr_val norm = fr_param(g, "norm", FR_F32, 1, (int64_t[]){DIM});
    fr_val up = fr_param(g, "up", FR_F32, 2, (int64_t[]){4 * DIM, DIM});
    fr_val down = fr_param(g, "down", FR_F32, 2, (int64_t[]){DIM, 4 * DIM});
    if (recompute) fr_recompute_begin(g, name);
    fr_val h = fr_rmsnorm(g, x, norm, FR_NONE, FR_NONE, 1e-5f);
    h = fr_unary(g, fr_linear(g, h, up, FR_NONE, FR_NONE, FR_FN_NONE), FR_FN_GELU);
    h = fr_linear(g, fr_mul(g, h, h), down, FR_NONE, FR_NONE, FR_FN_NONE);
    h = fr_add(g, x, h);
    if (recompute) fr_recompute_end(g);
    fr_scope_end(g);
    return h;
}

static fr_session *train_rig(fr_graph *g, bool recompute, const fr_session_opts *opts) {
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){ROWS, DIM}), h = x;
    for (int i = 0; i < BLOCKS; i++) h = block(g, h, i, recompute);
    fr_val loss = fr_mse(g, h, x), wrt[3 * BLOCKS + 1], grad[3 * BLOCKS + 1];
    int count = 0;
    wrt[count++] = x;
    for (size_t v = 0; v < g->value_count; v++)
        if (fr_value_of(g, (fr_val)v)->kind == FR_VALUE_PARAM) wrt[count++] = (fr_val)v;
    assert_int_equal(count, 3 * BLOCKS + 1);
    toy_good(fr_gradients(g, loss, count, wrt, grad));
    fr_output(g, "loss", loss);
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "g%d", i);
        fr_output(g, name, grad[i]);
    }
    fr_session *s;
    toy_good(fr_session_new_with(g, opts, &s));
    toy_good(fr_session_init_random(s, 3, 0.2f));
    float *data = fr_alloc(FR_MEM_OTHER, ROWS * DIM * 4);
    fr_random_normal(4, 0, 0, data, ROWS * DIM);
    fr_tensor in = fr_tensor_make(FR_F32, 2, (int64_t[]){ROWS, DIM}, data);
    toy_good(fr_session_run(s, &in, 1));
    fr_free(data);
    return s;
}

static void assert_same_outputs(fr_graph *g, fr_session *a, fr_session *b) {
    for (size_t i = 0; i < g->output_count; i++) {
        const fr_tensor *x = fr_session_output(a, g->output_names[i]);
        const fr_tensor *y = fr_session_output(b, g->output_names[i]);
        double size = 0;
        for (int64_t k = 0; k < fr_values(x); k++) size += fabsf(((const float *)x->data)[k]);
        assert_true(size > 0 && isfinite(size));
        if (memcmp(x->data, y->data, fr_bytes(x))) fail_msg("%s differs", g->output_names[i]);
    }
}

static void test_recompute(void **state) {
    (void)state;
    fr_graph *kept = fr_graph_new(), *again = fr_graph_new(), *bare = fr_graph_new();
    fr_session *a = train_rig(kept, false, &(fr_session_opts){.train = true});
    fr_session *b = train_rig(again, true, &(fr_session_opts){.train = true, .poison = true});
    fr_session *c = train_rig(
        bare, false, &(fr_session_opts){.train = true, .no_inplace = true, .no_reuse = true});
    assert_same_outputs(kept, a, b);
    assert_same_outputs(kept, a, c);
    /* Most of what a block keeps is four times as wide as what goes between blocks. */
    if (2 * fr_session_arena_bytes(b) > fr_session_arena_bytes(a))
        fail_msg("%zu bytes with recomputation, %zu without", fr_session_arena_bytes(b),
                 fr_session_arena_bytes(a));
    assert_true(fr_session_arena_bytes(a) < fr_session_arena_bytes(c));
    fr_session_free(a);
    fr_session_free(b);
    fr_session_free(c);
    fr_graph_free(kept);
    fr_graph_free(again);
    fr_graph_free(bare);
}

/* Whichever allocation fails, the walk stops and gives back what it took. */
static void test_memory_runs_out(void **state) {
    (void)state;
    size_t before = fr_memory_total().now;
    bool through = false;
    for (long n = 1; n < 4000 && !through; n++) {
        fr_memory_fail_after(n);
        fr_graph *g = fr_graph_new();
        if (g) {
            fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){ROWS, DIM}), d;
            fr_val h = block(g, block(g, x, 0, true), 1, false);
            fr_val loss = fr_mse(g, h, x);
            through = fr_gradients(g, loss, 1, &x, &d) == FR_OK;
            assert_true(through || fr_graph_check(g) != FR_OK || d == FR_NONE);
        }
        fr_memory_fail_after(0);
        fr_graph_free(g);
        assert_int_equal(fr_memory_total().now, before);
    }
    assert_true(through);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_meet),
        cmocka_unit_test(test_through_an_inner_value),
        cmocka_unit_test(test_several_outputs),
        cmocka_unit_test(test_independent_is_zero),
        cmocka_unit_test(test_only_what_is_wanted),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_recompute),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
