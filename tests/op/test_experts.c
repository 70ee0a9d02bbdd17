/* test_experts.c: routes, rows of an expert and experts in one piece, against the whole of it in doubles. */
#include "op_test.h"

static const op_in end = {0};

enum { EXPERTS = 5, WIDTH = 24, HIDDEN = 40 };

/* ---- route ---- */

static int build_route(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_route(g, in[0], *(const int *)arg);
    return 1;
}

/* Chosen is who has fewer than `chosen` above him. */
static void shares(const double *x, int64_t n, int chosen, double *out) {
    double sum = 0, most = x[0];
    for (int64_t i = 0; i < n; i++) most = fmax(most, x[i]);
    for (int64_t i = 0; i < n; i++) {
        int above = 0;
        for (int64_t j = 0; j < n; j++) above += x[j] > x[i] || (x[j] == x[i] && j < i);
        sum += out[i] = above < chosen ? exp(x[i] - most) : 0;
    }
    for (int64_t i = 0; i < n; i++) out[i] /= sum;
}

static void ref_route(const void *arg, const op_f64 *in, op_f64 *out) {
    int64_t n = in->desc.dim[in->desc.rank - 1];
    for (int64_t i = 0; i < fr_values(&in->desc); i += n)
        shares(in->v + i, n, *(const int *)arg, out->v + i);
}

static void test_route(void **state) {
    (void)state;
    static const int two = 2, all = 7, one = 1, none = 0;
    op_case c = {
        .name = "route", .build = build_route, .ref = ref_route, .arg = &two, .bf16 = true};
    c.in[0] = (op_in){FR_F32, 3, {2, 9, 8}, 0, 0, true, NULL, false};
    op_check(&c);
    c.name = "route to all", c.arg = &all;
    c.in[0] = (op_in){FR_F32, 2, {5, 7}, 0, 0, true, NULL, false};
    op_check(&c);
    c.name = "route to one of many", c.arg = &one;
    c.in[0] = (op_in){FR_F32, 2, {40, 600}, -90, 90, false, NULL, false};
    op_check(&c);
    op_in bad[] = {{FR_F32, 2, {4, 5}, 0, 0, false, NULL, false}, end};
    op_check_refused(bad, build_route, &none, "cannot be chosen");
    op_check_refused(bad, build_route, &all, "cannot be chosen");
}

/* Of equal logits the first are chosen, and the shares are even. */
static void test_equal(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_session *s = NULL;
    float x[] = {1, 3, 3, 3, -INFINITY, 2};
    const float want[] = {0, 0.5f, 0.5f, 0, 0, 0};
    fr_tensor in = fr_tensor_make(FR_F32, 1, (int64_t[]){6}, x);
    fr_output(g, "y", fr_route(g, fr_input(g, "x", FR_F32, 1, in.dim), 2));
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    assert_int_equal(fr_session_run(s, &in, 1), FR_OK);
    assert_memory_equal(fr_session_output(s, "y")->data, want, sizeof want);
    fr_session_free(s);
    fr_graph_free(g);
}

/* What is no number goes to as many experts as any other row. */
static void test_nan(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_session *s = NULL;
    float x[] = {1, NAN, 3, 2};
    fr_tensor in = fr_tensor_make(FR_F32, 1, (int64_t[]){4}, x);
    fr_output(g, "y", fr_route(g, fr_input(g, "x", FR_F32, 1, in.dim), 2));
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    assert_int_equal(fr_session_run(s, &in, 1), FR_OK);
    const float *y = fr_session_output(s, "y")->data;
    assert_true(y[0] == 0 && isnan(y[1]) && isnan(y[2]) && y[3] == 0);
    fr_session_free(s);
    fr_graph_free(g);
}

/* ---- rows of an expert ---- */

static int build_rows(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_expert_rows(g, in[0], fr_route(g, in[1], 2), *(const int *)arg);
    return 1;
}

static void ref_rows(const void *arg, const op_f64 *in, op_f64 *out) {
    int64_t n = fr_dim(&in[0].desc, -1), experts = fr_dim(&in[1].desc, -1);
    double share[EXPERTS];
    for (int64_t r = 0; r < fr_values(&in[0].desc) / n; r++) {
        shares(in[1].v + r * experts, experts, 2, share);
        for (int64_t i = 0; i < n; i++)
            out->v[r * n + i] = share[*(const int *)arg] != 0 ? in[0].v[r * n + i] : 0;
    }
}

static void test_rows(void **state) {
    (void)state;
    static const int third = 3, no = EXPERTS;
    op_case c = {.name = "rows of an expert", .build = build_rows, .ref = ref_rows, .arg = &third};
    c.in[0] = (op_in){FR_F32, 3, {2, 9, 33}, 0, 0, true, NULL, false};
    c.in[1] = (op_in){FR_F32, 3, {2, 9, EXPERTS}, 0, 0, false, NULL, false};
    op_check(&c);
    op_in bad[] = {c.in[0], c.in[1], end};
    op_check_refused(bad, build_rows, &no, "no expert 5 of 5");
    bad[1].dim[1] = 8;
    op_check_refused(bad, build_rows, &third, "share for each");
}

/* ---- experts ---- */

/* Inputs: sum, x, logits, and the weights of all experts. */
static int build_expert(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    fr_val sum = in[0], share = fr_route(g, in[2], 2);
    for (int e = 0; e < EXPERTS; e++) {
        fr_expert_opts o = {.expert = e, .chosen = 2, .act = *(const fr_fn *)arg};
        for (int i = 0; i < 3; i++) {
            bool back = i == 2;
            int64_t rows = back ? WIDTH : HIDDEN;
            fr_val w = fr_slice(g, in[3 + i], 0, e * rows, rows);
            o.weight[i] = (fr_qweight){.n = rows, .k = back ? HIDDEN : WIDTH, .part = {w}};
        }
        sum = fr_expert(g, sum, in[1], share, &o);
    }
    out[0] = sum;
    return 1;
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void ref_expert(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    for (int64_t r = 0; r < fr_values(&in[1].desc) / WIDTH; r++) {
        const double *x = in[1].v + r * WIDTH;
        double share[EXPERTS], h[HIDDEN];
        shares(in[2].v + r * EXPERTS, EXPERTS, 2, share);
        for (int i = 0; i < WIDTH; i++) out->v[r * WIDTH + i] = in[0].v[r * WIDTH + i];
        for (int e = 0; e < EXPERTS; e++) {
            for (int j = 0; j < HIDDEN; j++) {
                double gate = dot(x, in[3].v + (e * HIDDEN + j) * WIDTH, WIDTH);
                h[j] = gate / (1 + exp(-gate)) * dot(x, in[4].v + (e * HIDDEN + j) * WIDTH, WIDTH);
            }
            for (int i = 0; i < WIDTH; i++)
                out->v[r * WIDTH + i] +=
                    share[e] * dot(h, in[5].v + (e * WIDTH + i) * HIDDEN, HIDDEN);
        }
    }
}

static void fill_case(op_case *c, int64_t rows) {
    static const fr_fn silu = FR_FN_SILU;
    *c = (op_case){.build = build_expert, .ref = ref_expert, .arg = &silu, .bf16 = true};
    c->bf16_tol = 3e-2;
    c->in[0] = (op_in){FR_F32, 2, {rows, WIDTH}, 0, 0, false, NULL, false};
    c->in[1] = (op_in){FR_F32, 2, {rows, WIDTH}, -1, 1, false, NULL, false};
    c->in[2] = (op_in){FR_F32, 2, {rows, EXPERTS}, 0, 0, false, NULL, false};
    for (int i = 0; i < 3; i++)
        c->in[3 + i] =
            (op_in){FR_F32, 2,    {EXPERTS * (i == 2 ? WIDTH : HIDDEN), i == 2 ? HIDDEN : WIDTH},
                    -0.3,   0.3,  false,
                    NULL,   false};
}

/* One row goes to few experts; of the last so many that an expert has more than it takes at a time. */
static void test_expert(void **state) {
    (void)state;
    static const char *const name[] = {"expert, one row", "expert, some rows", "expert, many rows"};
    static const int64_t rows[] = {1, 19, 900};
    for (int i = 0; i < 3; i++) {
        op_case c;
        fill_case(&c, rows[i]);
        c.name = name[i];
        op_check(&c);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const fr_fn silu = FR_FN_SILU, wrong = FR_FN_COUNT;
    op_case c;
    fill_case(&c, 4);
    op_check_refused(c.in, build_expert, &wrong, "makes no sense");
    c.in[0].dim[0] = 5;
    op_check_refused(c.in, build_expert, &silu, "must agree");
    fill_case(&c, 4);
    c.in[5].dim[1] = HIDDEN + 1;
    op_check_refused(c.in, build_expert, &silu, "linear of x");
    fill_case(&c, 4);
    c.in[2].dim[1] = 2;
    op_check_refused(c.in, build_expert, &silu, "no expert 2 of 2");
}

/* Nobody learns through it without being told. */
static void test_no_gradient(void **state) {
    (void)state;
    static const fr_fn silu = FR_FN_SILU;
    op_case c;
    fr_graph *g = fr_graph_new();
    fr_val in[6], y, d;
    fill_case(&c, 4);
    for (int i = 0; i < 6; i++) {
        char name[8];
        snprintf(name, sizeof name, "in%d", i);
        in[i] = fr_input(g, name, FR_F32, 2, c.in[i].dim);
    }
    build_expert(g, in, &silu, &y);
    fr_status st = fr_gradients(g, fr_reduce(g, y, FR_SUM, 3, false), 1, &in[1], &d);
    assert_true(st != FR_OK || fr_graph_check(g) != FR_OK);
    if (!strstr(fr_message(), "no gradient")) fail_msg("%s", fr_message());
    fr_graph_free(g);
}

/* Half of the operations where one of two is chosen. */
static void test_cost(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_graph_cost cost;
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){6, 4});
    fr_val sum = fr_input(g, "sum", FR_F32, 2, (int64_t[]){6, 4});
    fr_val share = fr_input(g, "share", FR_F32, 2, (int64_t[]){6, 2});
    fr_expert_opts o = {.expert = 1, .chosen = 1, .act = FR_FN_SILU};
    for (int i = 0; i < 3; i++) {
        int64_t n = i == 2 ? 4 : 8, k = i == 2 ? 8 : 4;
        char name[] = {(char)('a' + i), 0};
        o.weight[i] = (fr_qweight){.n = n, .k = k};
        o.weight[i].part[0] = fr_param(g, name, FR_F32, 2, (int64_t[]){n, k});
    }
    fr_output(g, "y", fr_expert(g, sum, x, share, &o));
    assert_int_equal(fr_graph_cost_of(g, &cost), FR_OK);
    assert_true(cost.total.ops == 3.0 * (3 * 2 * 4 * 8 + 13 * 8 + 2 * 4));
    fr_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route),   cmocka_unit_test(test_equal),
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_expert),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_no_gradient),
        cmocka_unit_test(test_cost),    cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
