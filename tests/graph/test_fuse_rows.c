/* test_fuse_rows.c: products with weights in few bits: siblings are stacked, rows are made once together with the norm
 * or gated unit before them, and not one bit of the result changes. */
#include "format/format.h"
#include "toy.h"

enum { BATCH = 2, TOKENS = 3, DIM = 128, KV = 64, HIDDEN = 256 };

/* products: that remain of seven. A scale of the whole weight cannot be stacked, and one of 128 rows only where the
 * weights end with a block. */
static const struct {
    const char *format;
    size_t products;
} cases[] = {
    {"qoq-g128", 4}, {"qoq-channel", 4}, {"int8-channel", 4}, {"int8-tensor", 7},
    {"int4-g64", 4}, {"nvfp4", 7},       {"uint4-z-g64", 4},  {"fp8-128x128", 6},
};

static fr_val vector(fr_graph *g, const char *name, int64_t n) {
    return fr_param(g, name, FR_F32, 1, &n);
}

static fr_val few(fr_graph *g, const char *format, const char *name, fr_val x, int64_t n, int64_t k,
                  const fr_qlinear_opts *opts) {
    const fr_qformat *f = fr_format_find(format);
    fr_qweight w = {.format = format, .n = n, .k = k};
    fr_tensor part[FR_PARTS];
    char full[64];
    toy_good(f->describe(f, n, k, part));
    for (int i = 0; i < f->parts; i++) {
        snprintf(full, sizeof full, "%s.%s", name, f->part_name[i]);
        w.part[i] = fr_param(g, full, part[i].dtype, part[i].rank, part[i].dim);
    }
    return fr_qlinear(g, x, &w, opts, NULL);
}

static const struct {
    const char *name;
    int64_t n, k;
} weights[] = {
    {"q", DIM, DIM},     {"k", KV, DIM},        {"v", KV, DIM},        {"o", DIM, DIM},
    {"up", HIDDEN, DIM}, {"gate", HIDDEN, DIM}, {"down", DIM, HIDDEN},
};

/* A block of a transformer. router: another reader of the second norm, in floats. */
static fr_graph *block(const char *format, bool router) {
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 3, (int64_t[]){BATCH, TOKENS, DIM});
    fr_val h = fr_rmsnorm(g, x, vector(g, "norm1", DIM), FR_NONE, FR_NONE, 1e-5f);
    fr_val q = few(g, format, "q", h, DIM, DIM, NULL);
    fr_val k = few(g, format, "k", h, KV, DIM, NULL);
    fr_val v = few(g, format, "v", h, KV, DIM, NULL);
    q = fr_reshape(g, q, 4, (int64_t[]){0, 0, 4, -1});
    k = fr_reshape(g, k, 4, (int64_t[]){0, 0, 2, -1});
    v = fr_reshape(g, v, 4, (int64_t[]){0, 0, 2, -1});
    h = fr_reshape(g, fr_attention(g, q, k, v, NULL), 3, (int64_t[]){0, 0, DIM});
    x = few(g, format, "o", h, DIM, DIM, &(fr_qlinear_opts){.residual = x});
    h = fr_layernorm(g, x, vector(g, "norm2", DIM), vector(g, "bias2", DIM), FR_NONE, FR_NONE,
                     1e-5f);
    if (router) fr_output(g, "h", h);
    fr_val up = few(g, format, "up", h, HIDDEN, DIM, NULL);
    fr_val gate = few(g, format, "gate", h, HIDDEN, DIM, NULL);
    h = fr_glu(g, gate, up, FR_FN_SILU);
    h = few(g, format, "down", h, DIM, HIDDEN, &(fr_qlinear_opts){.residual = x});
    fr_output(g, "y", h);
    toy_good(fr_graph_check(g));
    return g;
}

static void fill(fr_session *s, fr_graph *g, const char *format) {
    const fr_qformat *f = fr_format_find(format);
    static float x[HIDDEN * DIM];
    char full[64];
    for (size_t i = 0; i < FR_COUNT(weights); i++) {
        fr_quantized q;
        size_t n = (size_t)(weights[i].n * weights[i].k);
        fr_random_normal(3, i, 0, x, n);
        for (size_t k = 0; k < n; k++) x[k] *= 0.1f;
        toy_good(fr_quantize(f, NULL, x, weights[i].n, weights[i].k, &q));
        for (int k = 0; k < f->parts; k++) {
            snprintf(full, sizeof full, "%s.%s", weights[i].name, f->part_name[k]);
            fr_val v = fr_graph_find(g, full);
            if (v != FR_NONE) toy_good(fr_session_set(s, v, &q.part[k]));
        }
        fr_quantized_free(&q);
    }
    toy_good(fr_session_init_random(s, 7, 0.5f));
}

static fr_session *run(fr_graph *g, const char *format, const fr_session_opts *opts) {
    static float x[BATCH * TOKENS * DIM];
    fr_session *s;
    fr_tensor in = fr_tensor_make(FR_F32, 3, (int64_t[]){BATCH, TOKENS, DIM}, x);
    fr_random_normal(11, 0, 0, x, FR_COUNT(x));
    toy_good(fr_session_new_with(g, opts, &s));
    fill(s, g, format);
    toy_good(fr_session_run(s, &in, 1));
    return s;
}

static void compare(fr_session *a, fr_session *b, const char *name, const char *format) {
    const fr_tensor *x = fr_session_output(a, name), *y = fr_session_output(b, name);
    const float *u = x->data, *v = y->data;
    bool moves = false;
    assert_int_equal(fr_values(x), fr_values(y));
    for (int64_t i = 0; i < fr_values(x); i++) {
        if (memcmp(&u[i], &v[i], 4))
            fail_msg("%s: %s[%lld] is %.9g alone and %.9g fused", format, name, (long long)i,
                     (double)u[i], (double)v[i]);
        moves |= u[i] != u[0];
    }
    assert_true(moves);
}

static size_t count_op(const fr_graph *g, const fr_op *op) {
    size_t n = 0;
    for (size_t i = 0; i < g->node_count; i++) n += !g->nodes[i]->dead && g->nodes[i]->op == op;
    return n;
}

static void expect(const fr_graph *g, const char *format, const fr_op *op, size_t want) {
    size_t have = count_op(g, op);
    if (have != want)
        fail_msg("%s: %zu nodes of %s remain, and not %zu", format, have, op->name, want);
}

static void test_same_bits(void **state) {
    (void)state;
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        const char *f = cases[i].format;
        fr_graph *a = block(f, false), *b = block(f, false);
        toy_good(fr_fuse(b, FR_FUSE_ALL, NULL));
        fr_session *x = run(a, f, NULL), *y = run(b, f, &(fr_session_opts){.poison = true});
        compare(x, y, "y", f);
        expect(b, f, &fr_op_qlinear, cases[i].products);
        expect(b, f, &fr_op_quantize_rows, 3);
        expect(b, f, &fr_op_rmsnorm, 0);
        expect(b, f, &fr_op_layernorm, 0);
        expect(b, f, &fr_op_glu, 0);
        int more;
        toy_good(fr_fuse(b, FR_FUSE_ALL, &more)); /* nothing is left to do */
        assert_int_equal(more, 0);
        expect(b, f, &fr_op_quantize_rows, 3);
        fr_session_free(x);
        fr_session_free(y);
        fr_graph_free(a);
        fr_graph_free(b);
    }
}

/* A norm that someone else reads stays; its rows are still made once where two products read them. */
static void test_other_readers(void **state) {
    (void)state;
    static const struct {
        const char *format;
        size_t rows;
    } some[] = {{"qoq-g128", 2}, {"int8-tensor", 3}};
    for (size_t i = 0; i < FR_COUNT(some); i++) {
        const char *f = some[i].format;
        fr_graph *a = block(f, true), *b = block(f, true);
        toy_good(fr_fuse(b, FR_FUSE_ALL, NULL));
        fr_session *x = run(a, f, NULL), *y = run(b, f, NULL);
        compare(x, y, "y", f);
        compare(x, y, "h", f);
        expect(b, f, &fr_op_layernorm, 1);
        expect(b, f, &fr_op_quantize_rows, some[i].rows);
        fr_session_free(x);
        fr_session_free(y);
        fr_graph_free(a);
        fr_graph_free(b);
    }
}

/* What smooths, and what is added, go to where the rows are made; other numbers make rows of their own. */
static void test_by(void **state) {
    (void)state;
    const char *f = "int8-tensor";
    for (int apart = 0; apart < 2; apart++) {
        fr_session *s[2];
        fr_graph *g[2];
        for (int i = 0; i < 2; i++) {
            g[i] = fr_graph_new();
            fr_val x = fr_input(g[i], "x", FR_F32, 3, (int64_t[]){BATCH, TOKENS, DIM});
            fr_qlinear_opts o = {.by = vector(g[i], "by", DIM), .add = 0.25f};
            fr_val y = few(g[i], f, "q", x, DIM, DIM, &o);
            if (apart) o.add = 0.75f;
            fr_val z = few(g[i], f, "o", x, DIM, DIM, &o);
            fr_output(g[i], "y", fr_sub(g[i], y, fr_affine(g[i], z, 2, 0)));
            toy_good(fr_graph_check(g[i]));
            if (i) toy_good(fr_fuse(g[i], FR_FUSE_ALL, NULL));
            s[i] = run(g[i], f, NULL);
        }
        expect(g[1], f, &fr_op_quantize_rows, apart ? 0 : 1);
        compare(s[0], s[1], "y", f);
        for (int i = 0; i < 2; i++) {
            fr_session_free(s[i]);
            fr_graph_free(g[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_other_readers),
        cmocka_unit_test(test_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
