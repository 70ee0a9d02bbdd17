/* test_linear.c: act(x wT + bias) + residual, its gradient, its packed weight and what it refuses. */
#include "op_test.h"

static double act64(fr_fn fn, double x) {
    switch (fn) {
    case FR_FN_RELU: return x < 0 ? 0 : x;
    case FR_FN_RELU6: return x < 0 ? 0 : x > 6 ? 6 : x;
    case FR_FN_SILU: return x / (1 + exp(-x));
    case FR_FN_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case FR_FN_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case FR_FN_SIGMOID: return 1 / (1 + exp(-x));
    case FR_FN_TANH: return tanh(x);
    case FR_FN_HSWISH: return x * act64(FR_FN_RELU6, x + 3) / 6;
    default: return x;
    }
}

typedef struct variant {
    bool bias, residual, sliced;
    fr_fn act;
} variant;

/* Inputs: x, w, then bias and residual where the variant has them. */
static int build(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const variant *v = arg;
    int at = 2;
    fr_val bias = v->bias ? in[at++] : FR_NONE, residual = v->residual ? in[at++] : FR_NONE;
    fr_val x = in[0];
    if (v->sliced) { /* leading axes that do not run at one stride */
        x = fr_slice(g, x, 1, 1, 2);
        x = fr_slice(g, x, -1, 2, 5);
    }
    out[0] = fr_linear(g, x, in[1], bias, residual, v->act);
    return 1;
}

static void reference(const void *arg, const op_f64 *in, op_f64 *out) {
    const variant *v = arg;
    const op_f64 *x = &in[0], *w = &in[1];
    int64_t n = w->desc.dim[0], k = w->desc.dim[1], wide = x->desc.dim[x->desc.rank - 1];
    int64_t rows = 1;
    for (int i = 0; i < out->desc.rank - 1; i++) rows *= out->desc.dim[i];
    const double *bias = v->bias ? in[2].v : NULL;
    const double *residual = v->residual ? in[v->bias ? 3 : 2].v : NULL;
    for (int64_t i = 0; i < rows; i++) {
        int64_t row = i;
        if (v->sliced) row = i / 2 * x->desc.dim[1] + i % 2 + 1;
        for (int64_t j = 0; j < n; j++) {
            double sum = bias ? bias[j] : 0;
            for (int64_t q = 0; q < k; q++)
                sum += x->v[row * wide + q + (v->sliced ? 2 : 0)] * w->v[j * k + q];
            out[0].v[i * n + j] = act64(v->act, sum) + (residual ? residual[i * n + j] : 0);
        }
    }
}

#define F32(rank_, ...)                                                                            \
    { .dtype = FR_F32, .rank = rank_, .dim = {__VA_ARGS__}, .grad = true }

static void test_plain(void **state) {
    (void)state;
    const variant v = {0};
    op_check(&(op_case){.name = "plain",
                        .in = {F32(3, 2, 3, 7), F32(2, 5, 7)},
                        .arg = &v,
                        .build = build,
                        .ref = reference,
                        .bf16 = true});
    op_check(&(op_case){.name = "vector",
                        .in = {F32(1, 9), F32(2, 4, 9)},
                        .arg = &v,
                        .build = build,
                        .ref = reference,
                        .bf16 = true});
}

static void test_every_function(void **state) {
    (void)state;
    for (int fn = 0; fn <= FR_FN_HSWISH; fn++) {
        const variant v = {.bias = true, .residual = true, .act = (fr_fn)fn};
        op_check(&(op_case){.name = "function",
                            .in = {F32(2, 3, 8), F32(2, 6, 8), F32(1, 6), F32(2, 3, 6)},
                            .arg = &v,
                            .build = build,
                            .ref = reference,
                            .bf16 = true});
    }
}

static void test_larger(void **state) {
    (void)state;
    const variant v = {.bias = true, .act = FR_FN_SILU};
    op_check(&(op_case){.name = "larger",
                        .in = {{FR_F32, 2, {67, 530}, 0, 0.1, false, NULL, false},
                               {FR_F32, 2, {101, 530}, -0.1, 0.1, false, NULL, false},
                               {FR_F32, 1, {101}, 0, 0, false, NULL, false}},
                        .arg = &v,
                        .build = build,
                        .ref = reference,
                        .bf16 = true});
}

static void test_strided(void **state) {
    (void)state;
    const variant v = {.residual = true, .sliced = true};
    op_check(&(op_case){.name = "strided",
                        .in = {F32(3, 3, 4, 8), F32(2, 6, 5), F32(3, 3, 2, 6)},
                        .arg = &v,
                        .build = build,
                        .ref = reference,
                        .bf16 = true});
}

static void test_nothing(void **state) {
    (void)state;
    const variant v = {.bias = true};
    op_check(&(op_case){.name = "no rows",
                        .in = {{.dtype = FR_F32, .rank = 2, .dim = {0, 4}},
                               {.dtype = FR_F32, .rank = 2, .dim = {3, 4}},
                               {.dtype = FR_F32, .rank = 1, .dim = {3}}},
                        .arg = &v,
                        .build = build,
                        .ref = reference});
    op_check(&(op_case){.name = "no k: the bias alone",
                        .in = {{.dtype = FR_F32, .rank = 2, .dim = {2, 0}},
                               {.dtype = FR_F32, .rank = 2, .dim = {3, 0}},
                               {.dtype = FR_F32, .rank = 1, .dim = {3}}},
                        .arg = &v,
                        .build = build,
                        .ref = reference});
}

static void test_refused(void **state) {
    (void)state;
    const variant plain = {0}, bias = {.bias = true}, residual = {.residual = true};
    const variant bad_fn = {.act = FR_FN_EXP};
    op_check_refused((op_in[OP_MAX]){F32(2, 3, 4), F32(2, 5, 6)}, build, &plain, "ends in k");
    op_check_refused((op_in[OP_MAX]){F32(2, 3, 4), F32(3, 5, 4, 1)}, build, &plain, "[n, k]");
    op_check_refused((op_in[OP_MAX]){F32(2, 3, 4), F32(2, 5, 4), F32(1, 4)}, build, &bias,
                     "bias of 5");
    op_check_refused((op_in[OP_MAX]){F32(2, 3, 4), F32(2, 5, 4), F32(2, 3, 4)}, build, &residual,
                     "residual");
    op_check_refused((op_in[OP_MAX]){F32(2, 3, 4), F32(2, 5, 4)}, build, &bad_fn, "cannot stand");
    op_check_refused(
        (op_in[OP_MAX]){{.dtype = FR_I32, .rank = 2, .dim = {3, 4}, .hi = 9}, F32(2, 5, 4)}, build,
        &plain, "f32 or bf16");
}

/* A graph that was made, with its gradients, for a batch of two runs with one of five. */
static void test_other_batch(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 3, (int64_t[]){2, 3, 4});
    fr_val w = fr_input(g, "w", FR_F32, 2, (int64_t[]){2, 4});
    fr_val u = fr_input(g, "u", FR_F32, 2, (int64_t[]){4, 3});
    fr_val y = fr_linear(g, x, w, FR_NONE, FR_NONE, FR_FN_NONE), wrt[3] = {x, w, u}, grad[3];
    fr_val loss = fr_reduce(g, y, FR_SUM, 7, false);
    loss = fr_add(g, loss, fr_reduce(g, fr_matmul(g, x, u, false, false, 1), FR_SUM, 7, false));
    assert_int_equal(fr_gradients(g, loss, 3, wrt, grad), FR_OK);
    fr_output(g, "dx", grad[0]);
    fr_output(g, "dw", grad[1]);
    fr_output(g, "du", grad[2]);
    float ones[60], one_w[8], one_u[12];
    for (int i = 0; i < 60; i++) ones[i] = 1;
    for (int i = 0; i < 8; i++) one_w[i] = (float)(i % 4);
    for (int i = 0; i < 12; i++) one_u[i] = 10;
    fr_session *s;
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    for (int64_t batch = 2; batch <= 5; batch += 3) {
        fr_tensor in[3] = {fr_tensor_make(FR_F32, 3, (int64_t[]){batch, 3, 4}, ones),
                           fr_tensor_make(FR_F32, 2, (int64_t[]){2, 4}, one_w),
                           fr_tensor_make(FR_F32, 2, (int64_t[]){4, 3}, one_u)};
        if (fr_session_run(s, in, 3)) fail_msg("%s", fr_message());
        const fr_tensor *dx = fr_session_output(s, "dx"), *dw = fr_session_output(s, "dw");
        assert_int_equal(dx->dim[0], batch);
        for (int64_t i = 0; i < fr_values(dx); i++)
            assert_true(((const float *)dx->data)[i] == (float)(2 * (i % 4) + 30));
        for (int i = 0; i < 8; i++) assert_true(((const float *)dw->data)[i] == (float)(3 * batch));
        const float *du = fr_session_output(s, "du")->data;
        for (int i = 0; i < 12; i++) assert_true(du[i] == (float)(3 * batch));
    }
    fr_session_free(s);
    fr_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),   cmocka_unit_test(test_every_function),
        cmocka_unit_test(test_larger),  cmocka_unit_test(test_strided),
        cmocka_unit_test(test_nothing), cmocka_unit_test(test_other_batch),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
