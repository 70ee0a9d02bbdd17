/* test_fuse.c: a fused graph says the same as the plain one, with fewer nodes, and takes its weights
 * from the same names. */
#include "toy.h"

enum { BATCH = 2, TOKENS = 5, DIM = 48, HIDDEN = 96, SIDE = 6 };

static fr_val matrix(fr_graph *g, const char *name, int64_t n, int64_t k) {
    return fr_param(g, name, FR_F32, 2, (int64_t[]){n, k});
}
static fr_val vector(fr_graph *g, const char *name, int64_t n) {
    return fr_param(g, name, FR_F32, 1, &n);
}
static fr_val plain(fr_graph *g, fr_val x, fr_val w) {
    return fr_linear(g, x, w, FR_NONE, FR_NONE, FR_FN_NONE);
}
static fr_val tokens(fr_graph *g) {
    return fr_input(g, "x", FR_F32, 3, (int64_t[]){BATCH, TOKENS, DIM});
}

typedef void build_fn(fr_graph *g);

/* A block of a transformer: q/k/v of different widths, heads, a gated MLP, residuals. */
static void transformer(fr_graph *g) {
    fr_val x = tokens(g);
    fr_val h = fr_rmsnorm(g, x, vector(g, "norm1", DIM), FR_NONE, FR_NONE, 1e-5f);
    fr_val q = plain(g, h, matrix(g, "q", DIM, DIM));
    fr_val k = plain(g, h, matrix(g, "k", DIM / 3, DIM));
    fr_val v = plain(g, h, matrix(g, "v", DIM / 3, DIM));
    q = fr_reshape(g, q, 4, (int64_t[]){0, 0, 3, -1});
    k = fr_reshape(g, k, 4, (int64_t[]){0, 0, 1, -1});
    v = fr_reshape(g, v, 4, (int64_t[]){0, 0, 1, -1});
    h = fr_attention(g, q, k, v, NULL);
    h = fr_reshape(g, h, 3, (int64_t[]){0, 0, DIM});
    x = fr_add(g, x, plain(g, h, matrix(g, "o", DIM, DIM)));
    h = fr_rmsnorm(g, x, vector(g, "norm2", DIM), FR_NONE, FR_NONE, 1e-5f);
    fr_val up = plain(g, h, matrix(g, "up", HIDDEN, DIM));
    fr_val gate = plain(g, h, matrix(g, "gate", HIDDEN, DIM));
    h = fr_glu(g, gate, up, FR_FN_SILU);
    fr_output(g, "y", fr_add(g, plain(g, h, matrix(g, "down", DIM, HIDDEN)), x));
}

/* Bias, function and residual behind a linear. */
static void epilogues(fr_graph *g) {
    fr_val x = tokens(g);
    fr_val h = fr_add(g, plain(g, x, matrix(g, "w1", DIM, DIM)), vector(g, "b1", DIM));
    h = fr_unary(g, h, FR_FN_GELU_TANH);
    h = fr_add(g, x, h);
    fr_val y =
        fr_linear(g, h, matrix(g, "w2", DIM, DIM), vector(g, "b2", DIM), FR_NONE, FR_FN_RELU);
    fr_output(g, "y", fr_unary(g, fr_add(g, y, x), FR_FN_SIGMOID)); /* stays: act is taken */
}

static void convolution(fr_graph *g) {
    fr_val x = fr_input(g, "x", FR_F32, 4, (int64_t[]){1, SIDE, SIDE, 8});
    fr_val w = fr_param(g, "w", FR_F32, 4, (int64_t[]){8, 3, 3, 8});
    fr_conv_opts o = {.before = {0, 1, 1}, .after = {0, 1, 1}};
    fr_val h = fr_conv2d(g, x, w, FR_NONE, FR_NONE, &o);
    h = fr_unary(g, fr_add(g, h, vector(g, "b", 8)), FR_FN_SILU);
    fr_output(g, "y", fr_add(g, h, x));
}

static void modulated(fr_graph *g) {
    fr_val x = tokens(g);
    fr_val t = fr_input(g, "t", FR_F32, 3, (int64_t[]){BATCH, 1, 4 * DIM}), part[4];
    fr_split(g, t, 2, 4, part);
    fr_val h = fr_layernorm(g, x, FR_NONE, FR_NONE, FR_NONE, FR_NONE, 1e-6f);
    h = fr_modulate(g, h, part[0], part[1]);
    h = fr_rmsnorm(g, h, vector(g, "norm", DIM), FR_NONE, FR_NONE, 1e-6f);
    fr_output(g, "y", fr_modulate(g, h, part[2], part[3]));
}

/* Nothing here may be fused: the inner values have other readers, or the wrong shape. */
static void barred(fr_graph *g) {
    fr_val x = tokens(g), w = matrix(g, "w", DIM, DIM);
    fr_val a = plain(g, x, w), b = plain(g, fr_affine(g, x, 2, 0), w); /* shared weight */
    fr_output(g, "inner", a);
    fr_output(g, "act", fr_unary(g, a, FR_FN_RELU));
    fr_output(g, "exp", fr_unary(g, b, FR_FN_EXP)); /* not for epilogues */
    fr_val one = fr_slice(g, x, 1, 0, 1);
    fr_output(g, "wide", fr_add(g, plain(g, one, matrix(g, "w2", DIM, DIM)), x)); /* broadcasts */
}

/* A state that is written between the linear and what could be fused behind it. */
static void states(fr_graph *g) {
    fr_val x = tokens(g), kept = fr_state(g, "kept", FR_F32, 3, fr_desc(g, x)->dim);
    kept = fr_assign(g, kept, fr_affine(g, x, 2, 1));
    fr_val a = plain(g, kept, matrix(g, "a", DIM, DIM));
    fr_val b = plain(g, kept, matrix(g, "b", DIM, DIM));
    kept = fr_assign(g, kept, x);
    fr_val c = plain(g, kept, matrix(g, "c", DIM, DIM));
    fr_output(g, "a", fr_unary(g, a, FR_FN_RELU));
    fr_output(g, "b", fr_add(g, b, kept));
    fr_output(g, "c", c);
}

static const struct {
    const char *name;
    build_fn *build;
    int removed;
} cases[] = {
    /* q, k, v -> one and three slices: +1; o + x: -1; gate, up, glu -> two: -1; down + x: -1 */
    {"transformer", transformer, 2}, {"epilogues", epilogues, 4}, {"convolution", convolution, 3},
    {"modulated", modulated, 2},     {"barred", barred, 0},       {"states", states, 0},
};

static fr_session *run(fr_graph *g, const fr_session_opts *opts) {
    fr_session *s;
    fr_tensor in[2];
    toy_good(fr_session_new_with(g, opts, &s));
    toy_good(fr_session_init_random(s, 5, 0.3f));
    for (size_t i = 0; i < g->input_count; i++) {
        in[i] = fr_value_of(g, g->inputs[i])->desc;
        in[i].data = fr_alloc(FR_MEM_OTHER, fr_bytes(&in[i]));
        fr_random_normal(6, i, 0, in[i].data, (size_t)fr_values(&in[i]));
    }
    toy_good(fr_session_run(s, in, (int)g->input_count));
    for (size_t i = 0; i < g->input_count; i++) fr_free(in[i].data);
    return s;
}

static void compare(fr_graph *g, fr_session *a, fr_session *b, double tol, const char *what) {
    for (size_t i = 0; i < g->output_count; i++) {
        const fr_tensor *x = fr_session_output(a, g->output_names[i]);
        const fr_tensor *y = fr_session_output(b, g->output_names[i]);
        double worst = 0, size = 0;
        assert_true(fr_same_shape(x, y));
        for (int64_t k = 0; k < fr_values(x); k++) {
            double u = ((const float *)x->data)[k], v = ((const float *)y->data)[k];
            worst = fmax(worst, fabs(u - v));
            size = fmax(size, fabs(u));
        }
        if (!(size > 0) || !(worst <= tol * size))
            fail_msg("%s: output %s is off by %g of %g", what, g->output_names[i], worst, size);
    }
}

static void test_same_results(void **state) {
    (void)state;
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_graph *a = fr_graph_new(), *b = fr_graph_new();
        int removed = -1;
        cases[i].build(a);
        cases[i].build(b);
        toy_good(fr_graph_check(b));
        toy_good(fr_fuse(b, FR_FUSE_ALL, &removed));
        fr_session *x = run(a, NULL);
        fr_session *y = run(b, &(fr_session_opts){.poison = true});
        compare(a, x, y, 1e-6, cases[i].name);
        if (removed != cases[i].removed)
            fail_msg("%s: %d nodes went, not %d", cases[i].name, removed, cases[i].removed);
        int more;
        toy_good(fr_fuse(b, FR_FUSE_ALL, &more)); /* nothing is left to do */
        assert_int_equal(more, 0);
        fr_session_free(x);
        fr_session_free(y);
        fr_graph_free(a);
        fr_graph_free(b);
    }
}

static size_t count_op(const fr_graph *g, const fr_op *op) {
    size_t n = 0;
    for (size_t i = 0; i < g->node_count; i++) n += !g->nodes[i]->dead && g->nodes[i]->op == op;
    return n;
}

static void test_what_remains(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    transformer(g);
    toy_good(fr_fuse(g, FR_FUSE_ALL, NULL));
    assert_int_equal(count_op(g, &fr_op_linear), 4); /* qkv, o, gate and up, down */
    assert_int_equal(count_op(g, &fr_op_binary), 0);
    assert_int_equal(count_op(g, &fr_op_slice), 3);
    fr_val qkv = fr_graph_find(g, "q+k+v"), gate_up = fr_graph_find(g, "gate+up");
    assert_int_equal(fr_desc(g, qkv)->dim[0], DIM + 2 * (DIM / 3));
    assert_int_equal(fr_desc(g, gate_up)->dim[0], 2 * HIDDEN);
    fr_graph_free(g);

    g = fr_graph_new();
    transformer(g);
    toy_good(fr_fuse(g, FR_FUSE_LINEAR, NULL));
    assert_int_equal(count_op(g, &fr_op_linear), 7);
    assert_int_equal(fr_graph_find(g, "q+k+v"), FR_NONE);
    fr_graph_free(g);
}

/* The parts are filled by their own names, from memory or from a file, and can be looked at. */
static void test_parts(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    transformer(g);
    toy_good(fr_fuse(g, FR_FUSE_ALL, NULL));
    fr_session *s = run(g, NULL), *other;
    fr_val qkv = fr_graph_find(g, "q+k+v"), k = fr_graph_find(g, "k");
    const float *whole = fr_session_tensor(s, qkv)->data, *part = fr_session_tensor(s, k)->data;
    assert_ptr_equal(whole + DIM * DIM, part);
    float want[DIM];
    fr_random_normal(5, fr_random_stream("k"), 0, want, DIM);
    for (int i = 0; i < DIM; i++) assert_true(part[i] == want[i] * 0.3f);

    static const char *const names[] = {"norm1", "q", "k", "v", "o", "norm2", "up", "gate", "down"};
    fr_named_tensor all[9];
    for (int i = 0; i < 9; i++)
        all[i] = (fr_named_tensor){names[i], fr_session_tensor(s, fr_graph_find(g, names[i]))};
    toy_good(fr_safetensors_write("fuse_parts.safetensors", all, 9, NULL, 0));
    toy_good(fr_safetensors_write("fuse_less.safetensors", all + 2, 7, NULL, 0));
    fr_store *store;
    toy_good(fr_store_open("fuse_parts.safetensors", &store));
    toy_good(fr_session_new_with(g, NULL, &other));
    toy_good(fr_session_load(other, store));
    assert_memory_equal(fr_session_tensor(other, qkv)->data, whole,
                        fr_bytes(fr_session_tensor(s, qkv)));
    fr_store_close(store);
    assert_int_not_equal(fr_session_set(other, qkv, fr_session_tensor(s, qkv)), FR_OK);
    toy_says("made of others");
    fr_session_free(other);

    toy_good(fr_store_open("fuse_less.safetensors", &store));
    toy_good(fr_session_new_with(g, NULL, &other));
    assert_int_not_equal(fr_session_load(other, store), FR_OK);
    toy_says("2 parameters: 'norm1', 'q'");
    fr_store_close(store);
    fr_session_free(other);
    remove("fuse_parts.safetensors");
    remove("fuse_less.safetensors");
    fr_session_free(s);
    fr_graph_free(g);
}

/* Stacked weights that lie in a file are packed without a copy of the whole; who looks at the whole gets one, with the
 * same values. */
static void test_parts_stay_mapped(void **state) {
    (void)state;
    static const char *const names[] = {"norm1", "q", "k", "v", "o", "norm2", "up", "gate", "down"};
    static float x[BATCH * TOKENS * DIM];
    fr_tensor in = fr_tensor_make(FR_F32, 3, (int64_t[]){BATCH, TOKENS, DIM}, x);
    fr_random_normal(6, 0, 0, x, FR_COUNT(x));
    fr_graph *g = fr_graph_new();
    transformer(g);
    toy_good(fr_fuse(g, FR_FUSE_ALL, NULL));
    fr_session *s = run(g, NULL), *other;
    fr_named_tensor all[9];
    for (int i = 0; i < 9; i++)
        all[i] = (fr_named_tensor){names[i], fr_session_tensor(s, fr_graph_find(g, names[i]))};
    toy_good(fr_safetensors_write("fuse_mapped.safetensors", all, 9, NULL, 0));
    fr_store *store;
    toy_good(fr_store_open("fuse_mapped.safetensors", &store));
    toy_good(fr_session_new_with(g, NULL, &other));
    size_t before = fr_memory_stat(FR_MEM_WEIGHTS).now;
    toy_good(fr_session_load(other, store));
    toy_good(fr_session_run(other, &in, 1));
    compare(g, s, other, 0, "mapped");
    assert_int_equal(fr_memory_stat(FR_MEM_WEIGHTS).now, before);

    fr_val gate = fr_graph_find(g, "gate"), whole = fr_graph_find(g, "gate+up");
    assert_memory_equal(fr_session_tensor(other, gate)->data, fr_session_tensor(s, gate)->data,
                        HIDDEN * DIM * sizeof(float));
    assert_memory_equal(fr_session_tensor(other, whole)->data, fr_session_tensor(s, whole)->data,
                        2 * HIDDEN * DIM * sizeof(float));
    assert_ptr_equal(fr_session_tensor(other, whole)->data, fr_session_tensor(other, gate)->data);
    toy_good(fr_session_run(other, &in, 1));
    compare(g, s, other, 0, "joined");
    toy_good(fr_session_set(other, gate, fr_session_tensor(s, fr_graph_find(g, "up"))));
    toy_good(fr_session_set(s, gate, fr_session_tensor(s, fr_graph_find(g, "up"))));
    toy_good(fr_session_run(s, &in, 1));
    toy_good(fr_session_run(other, &in, 1));
    compare(g, s, other, 0, "set");

    fr_session_free(other);
    toy_good(fr_session_new_with(g, &(fr_session_opts){.train = true}, &other)); /* nobody packs */
    toy_good(fr_session_load(other, store));
    toy_good(fr_session_set(other, gate, fr_session_tensor(s, gate)));
    toy_good(fr_session_make_writable(other));
    toy_good(fr_session_run(other, &in, 1));
    compare(g, s, other, 1e-6, "not packed");
    fr_session_free(other);
    fr_store_close(store);
    remove("fuse_mapped.safetensors");
    fr_session_free(s);
    fr_graph_free(g);
}

/* opts.weights: the weights of linears, whole ones too, are kept in bf16 and nothing else is. */
static void test_bf16_weights(void **state) {
    (void)state;
    fr_graph *a = fr_graph_new(), *b = fr_graph_new();
    transformer(a);
    transformer(b);
    toy_good(fr_fuse(b, FR_FUSE_ALL, NULL));
    fr_session *x = run(a, NULL), *y = run(b, &(fr_session_opts){.weights = FR_BF16});
    compare(a, x, y, 3e-2, "bf16 weights");
    assert_int_equal(fr_session_tensor(y, fr_graph_find(b, "q+k+v"))->dtype, FR_BF16);
    assert_int_equal(fr_session_tensor(y, fr_graph_find(b, "down"))->dtype, FR_BF16);
    assert_int_equal(fr_session_tensor(y, fr_graph_find(b, "norm1"))->dtype, FR_F32);
    fr_session_free(x);
    fr_session_free(y);
    fr_graph_free(a);
    fr_graph_free(b);
}

/* Whichever allocation fails, what was begun is given back and nothing breaks. */
static void test_memory_runs_out(void **state) {
    (void)state;
    float data[BATCH * TOKENS * DIM] = {0};
    fr_tensor in = fr_tensor_make(FR_F32, 3, (int64_t[]){BATCH, TOKENS, DIM}, data);
    size_t before = fr_memory_total().now;
    bool through = false;
    for (long n = 1; n < 2000 && !through; n++) {
        fr_memory_fail_after(n);
        fr_graph *g = fr_graph_new();
        fr_session *s = NULL;
        fr_status st = FR_NOMEM;
        if (g) {
            transformer(g);
            st = fr_fuse(g, FR_FUSE_ALL, NULL);
            if (!st) st = fr_session_new_with(g, NULL, &s);
            if (!st) st = fr_session_init_random(s, 5, 0.3f);
            if (!st) st = fr_session_run(s, &in, 1);
        }
        fr_memory_fail_after(0);
        through = st == FR_OK;
        fr_session_free(s);
        fr_graph_free(g);
        assert_int_equal(fr_memory_total().now, before);
    }
    assert_true(through);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_results), cmocka_unit_test(test_what_remains),
        cmocka_unit_test(test_parts),        cmocka_unit_test(test_parts_stay_mapped),
        cmocka_unit_test(test_bf16_weights), cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
