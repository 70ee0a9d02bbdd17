/* test_linear_attention.c: relu attention against sums over all pairs in doubles. */
#include "op_test.h"

static const float eps = 0.01f;

static int build(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_linear_attention(g, in[0], in[1], in[2], *(const float *)arg);
    return 1;
}

static double positive(double x) {
    return x > 0 ? x : 0;
}

/* y_i = sum_j w_ij v_j / (sum_j w_ij + eps), w_ij = relu(q_i) . relu(k_j): no state in sight. */
static void ref(const void *arg, const op_f64 *in, op_f64 *out) {
    const int64_t *s = in[0].desc.dim, n = in[1].desc.dim[1];
    for (int64_t r = 0; r < s[0] * s[1] * s[2]; r++) {
        const int64_t h = r % s[2], b = r / s[2] / s[1];
        double sum = *(const float *)arg;
        double *y = out[0].v + r * s[3];
        for (int64_t j = 0; j < n; j++) {
            const int64_t key = ((b * n + j) * s[2] + h) * s[3];
            const double *q = in[0].v + r * s[3], *k = in[1].v + key, *v = in[2].v + key;
            double w = 0;
            for (int64_t d = 0; d < s[3]; d++) w += positive(q[d]) * positive(k[d]);
            sum += w;
            for (int64_t d = 0; d < s[3]; d++) y[d] += w * v[d];
        }
        for (int64_t d = 0; d < s[3]; d++) y[d] /= sum;
    }
}

static op_case case_of(int64_t batch, int64_t m, int64_t n, int64_t heads, int64_t dim) {
    op_case c = {.name = "linear attention", .arg = &eps, .build = build, .ref = ref, .bf16 = true};
    c.in[0] = (op_in){FR_F32, 4, {batch, m, heads, dim}, 0, 0, true, NULL, false};
    c.in[1] = (op_in){FR_F32, 4, {batch, n, heads, dim}, 0, 0, true, NULL, false};
    c.in[2] = c.in[1];
    return c;
}

static void test_shapes(void **state) {
    (void)state;
    const int64_t dim[] = {4, 7, 20, 32, 40};
    for (size_t i = 0; i < FR_COUNT(dim); i++) {
        op_case c = case_of(2, 13, 17, 2, dim[i]);
        op_check(&c);
    }
}

/* Several chunks, whose sums are joined. */
static void test_chunks(void **state) {
    (void)state;
    op_case c = case_of(1, 270, 530, 1, 4);
    op_check(&c);
}

static void test_refused(void **state) {
    (void)state;
    const op_in x = {FR_F32, 4, {2, 19, 3, 16}, 0, 0, false, NULL, false};
    op_in in[OP_MAX] = {x, x, x};
    const float below = -1;
    op_check_refused(in, build, &below, "eps");
    in[1].dim[2] = 2;
    op_check_refused(in, build, &eps, "k is f32 [2, 19, 2, 16]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
