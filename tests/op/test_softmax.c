/* test_softmax.c: softmax and the losses against f64; ignored rows, targets out of range, extremes. */
#include "op_test.h"

static const op_in end = {0};

static int build_softmax(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    (void)arg;
    out[0] = fr_softmax(g, in[0]);
    return 1;
}

static double log_sum_exp(const double *x, int64_t n) {
    double top = x[0], sum = 0;
    for (int64_t j = 1; j < n; j++) top = x[j] > top ? x[j] : top;
    for (int64_t j = 0; j < n; j++) sum += exp(x[j] - top);
    return top + log(sum);
}

static void ref_softmax(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    int64_t n = in->desc.dim[in->desc.rank - 1];
    double sum = 0;
    for (int64_t i = 0; i < fr_values(&in->desc); i++) {
        if (i % n == 0) sum = log_sum_exp(in->v + i, n);
        out->v[i] = exp(in->v[i] - sum);
    }
}

static void test_softmax(void **state) {
    (void)state;
    op_case c = {.name = "softmax", .build = build_softmax, .ref = ref_softmax, .bf16 = true};
    c.in[0] = (op_in){FR_F32, 3, {2, 3, 19}, 0, 0, true, NULL, false};
    op_check(&c);
    c.name = "softmax of one";
    c.in[0] = (op_in){FR_F32, 1, {1}, 0, 0, true, NULL, false};
    op_check(&c);
    c.name = "softmax of large numbers";
    c.in[0] = (op_in){FR_F32, 2, {4, 70}, -300, 300, false, NULL, false};
    op_check(&c);
    c.name = "softmax of long rows";
    c.in[0] = (op_in){FR_F32, 2, {5, 9001}, 0, 0, false, NULL, false};
    op_check(&c);
    op_in scalar[] = {{FR_F32, 0, {0}, 0, 0, false, NULL, false}, end};
    op_check_refused(scalar, build_softmax, NULL, "axis");
}

static int build_entropy(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    (void)arg;
    out[0] = fr_cross_entropy(g, in[0], in[1]);
    return 1;
}
static void ref_entropy(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    int64_t n = in[0].desc.dim[in[0].desc.rank - 1], rows = fr_values(&in[1].desc), count = 0;
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        if (in[1].v[r] < 0) continue;
        sum += log_sum_exp(in[0].v + r * n, n) - in[0].v[r * n + (int64_t)in[1].v[r]];
        count++;
    }
    out->v[0] = count ? sum / (double)count : 0;
}

static void test_cross_entropy(void **state) {
    (void)state;
    const int32_t target[] = {4, 0, -1, 36, 12, -100};
    op_case c = {.name = "cross-entropy", .build = build_entropy, .ref = ref_entropy, .bf16 = true};
    c.in[0] = (op_in){FR_F32, 3, {2, 3, 37}, 0, 0, true, NULL, false};
    c.in[1] = (op_in){FR_I32, 2, {2, 3}, 0, 37, false, target, false};
    op_check(&c);
    c.name = "cross-entropy of large numbers";
    c.in[0].lo = -200, c.in[0].hi = 200, c.in[0].grad = false;
    op_check(&c);
    const int32_t none[] = {-1, -1, -1, -1, -1, -1};
    c.name = "cross-entropy of nothing";
    c.in[1].ints = none;
    op_check(&c);
    c.name = "cross-entropy over many classes";
    c.in[0] = (op_in){FR_F32, 2, {40, 3001}, 0, 0, false, NULL, false};
    c.in[1] = (op_in){FR_I32, 1, {40}, 0, 3001, false, NULL, false};
    op_check(&c);
    op_in bad[] = {{FR_F32, 2, {4, 5}, 0, 0, false, NULL, false},
                   {FR_I32, 1, {5}, 0, 5, false, NULL, false},
                   end};
    op_check_refused(bad, build_entropy, NULL, "targets");
}

/* One class too many is a sentence at run time, not a read past the row. */
static void test_target_out_of_range(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){2, 3});
    fr_val t = fr_input(g, "t", FR_I32, 1, (int64_t[]){2});
    fr_output(g, "loss", fr_cross_entropy(g, x, t));
    fr_session *s = NULL;
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    float logits[6] = {0};
    int32_t target[2] = {1, 3};
    fr_tensor in[2] = {fr_tensor_make(FR_F32, 2, (int64_t[]){2, 3}, logits),
                       fr_tensor_make(FR_I32, 1, (int64_t[]){2}, target)};
    assert_int_equal(fr_session_run(s, in, 2), FR_INVALID);
    assert_non_null(strstr(fr_message(), "class 3"));
    target[1] = 2;
    assert_int_equal(fr_session_run(s, in, 2), FR_OK);
    fr_session_free(s);
    fr_graph_free(g);
}

static int build_mse(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    (void)arg;
    out[0] = fr_mse(g, in[0], in[1]);
    return 1;
}
static void ref_mse(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    int64_t n = fr_values(&in[0].desc);
    out->v[0] = 0;
    for (int64_t i = 0; i < n; i++)
        out->v[0] += (in[0].v[i] - in[1].v[i]) * (in[0].v[i] - in[1].v[i]) / (double)n;
}

static void test_mse(void **state) {
    (void)state;
    op_case c = {.name = "mse", .build = build_mse, .ref = ref_mse, .bf16 = true};
    c.in[0] = c.in[1] = (op_in){FR_F32, 2, {7, 13}, 0, 0, true, NULL, false};
    op_check(&c);
    c.name = "mse of many";
    c.in[0] = c.in[1] = (op_in){FR_F32, 2, {97, 1013}, 0, 0, false, NULL, false};
    op_check(&c);
    op_in bad[] = {{FR_F32, 2, {4, 5}, 0, 0, false, NULL, false},
                   {FR_F32, 2, {4, 1}, 0, 0, false, NULL, false},
                   end};
    op_check_refused(bad, build_mse, NULL, "agree");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_target_out_of_range),
        cmocka_unit_test(test_mse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
