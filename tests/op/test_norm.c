/* test_norm.c: RMSNorm and LayerNorm against f64, with every set of operands, long rows, and rows far
 * from zero. */
#include "op_test.h"

static const op_in end = {0};

typedef struct arg {
    bool centered;
    unsigned has; /* 1 weight, 2 bias, 4 scale, 8 shift: the inputs after x, in this order */
    float eps;
} arg;

static int build(fr_graph *g, const fr_val *in, const void *argument, fr_val *out) {
    const arg *a = argument;
    fr_val v[4];
    for (int i = 0, k = 1; i < 4; i++) v[i] = a->has >> i & 1 ? in[k++] : FR_NONE;
    if (a->centered)
        out[0] = fr_layernorm(g, in[0], v[0], v[1], v[2], v[3], a->eps);
    else
        out[0] = fr_rmsnorm(g, in[0], v[0], v[2], v[3], a->eps);
    return 1;
}

/* Operand value for column j of row `row` of x [batch, tokens, dim]; operands [dim], [tokens, dim] or
 * [batch, 1, dim]. */
static double operand(const op_f64 *t, const fr_tensor *x, int64_t row, int64_t j) {
    int64_t dim = x->dim[2], tokens = x->dim[1];
    if (t->desc.rank == 1) return t->v[j];
    if (t->desc.rank == 2) return t->v[row % tokens * dim + j];
    return t->v[row / tokens * dim + j];
}

static void ref(const void *argument, const op_f64 *in, op_f64 *out) {
    const arg *a = argument;
    const fr_tensor *x = &in[0].desc;
    int64_t n = x->dim[2], rows = x->dim[0] * x->dim[1];
    for (int64_t r = 0; r < rows; r++) {
        const double *v = in[0].v + r * n;
        double mean = 0, var = 0;
        for (int64_t j = 0; j < n && a->centered; j++) mean += v[j] / (double)n;
        for (int64_t j = 0; j < n; j++) var += (v[j] - mean) * (v[j] - mean) / (double)n;
        for (int64_t j = 0; j < n; j++) {
            double y = (v[j] - mean) / sqrt(var + (double)a->eps);
            int k = 1;
            if (a->has & 1) y *= operand(&in[k++], x, r, j);
            if (a->has & 2) y += operand(&in[k++], x, r, j);
            if (a->has & 4) y *= 1 + operand(&in[k++], x, r, j);
            if (a->has & 8) y += operand(&in[k++], x, r, j);
            out[0].v[r * n + j] = y;
        }
    }
}

static void check(arg a, int64_t batch, int64_t tokens, int64_t dim, int rank) {
    char name[96];
    snprintf(name, sizeof name, "%s operands %x, dim %d, rank %d", a.centered ? "layer" : "rms",
             a.has, (int)dim, rank);
    op_case c = {.name = name, .build = build, .ref = ref, .arg = &a, .bf16 = true};
    c.in[0] = (op_in){FR_F32, 3, {batch, tokens, dim}, 0, 0, true, NULL, false};
    int k = 1;
    for (int i = 0; i < 4; i++) {
        if (!(a.has >> i & 1)) continue;
        c.in[k] = (op_in){FR_F32, 1, {dim}, 0, 0, true, NULL, false};
        if (i >= 2 && rank == 3)
            c.in[k] = (op_in){FR_F32, 3, {batch, 1, dim}, 0, 0, true, NULL, false};
        if (i >= 2 && rank == 2)
            c.in[k] = (op_in){FR_F32, 2, {tokens, dim}, 0, 0, true, NULL, false};
        k++;
    }
    c.in[k] = end;
    op_check(&c);
}

static void test_rmsnorm(void **state) {
    (void)state;
    check((arg){false, 0, 1e-6f}, 1, 2, 7, 1);
    check((arg){false, 1, 1e-6f}, 2, 3, 33, 1);
    check((arg){false, 13, 1e-5f}, 2, 3, 20, 3);
    check((arg){false, 12, 1e-5f}, 2, 3, 20, 2);
    check((arg){false, 4, 1e-5f}, 2, 3, 20, 1);
}

static void test_layernorm(void **state) {
    (void)state;
    check((arg){true, 0, 1e-6f}, 1, 2, 7, 1);
    check((arg){true, 3, 1e-5f}, 2, 3, 33, 1);
    check((arg){true, 2, 1e-5f}, 2, 3, 9, 1);
    check((arg){true, 15, 1e-5f}, 2, 3, 20, 3);
    check((arg){true, 8, 1e-5f}, 2, 3, 20, 2);
    check((arg){true, 1, 1e-5f}, 2, 2, 1, 1);
}

/* Rows longer than a block of converted values, more rows than one piece, without gradients of x
 * that would take long to difference. */
static void test_large(void **state) {
    (void)state;
    for (int centered = 0; centered < 2; centered++) {
        arg a = {centered, centered ? 3 : 1, 1e-6f};
        op_case c = {.name = "long rows", .build = build, .ref = ref, .arg = &a, .bf16 = true};
        c.in[0] = (op_in){FR_F32, 3, {3, 7, 2500}, 0, 0, false, NULL, false};
        for (int i = 0; i <= centered; i++)
            c.in[1 + i] = (op_in){FR_F32, 1, {2500}, 0, 0, false, NULL, false};
        op_check(&c);
        c.name = "many rows";
        c.in[0] = (op_in){FR_F32, 3, {9, 131, 5}, 0, 0, false, NULL, false};
        for (int i = 0; i <= centered; i++)
            c.in[1 + i] = (op_in){FR_F32, 1, {5}, 0, 0, true, NULL, false};
        op_check(&c);
    }
}

/* Deviation 1 around 10000: a mean in plain f32 would be off by a thousandth of that. */
static void test_far_from_zero(void **state) {
    (void)state;
    arg a = {true, 0, 1e-6f};
    op_case c = {.name = "far from zero", .build = build, .ref = ref, .arg = &a};
    c.in[0] = (op_in){FR_F32, 3, {2, 2, 1531}, 9998, 10002, false, NULL, false};
    op_check(&c);
}

static void test_refused(void **state) {
    (void)state;
    arg a = {false, 1, 1e-6f};
    op_in bad[] = {{FR_F32, 3, {2, 3, 8}, 0, 0, false, NULL, false},
                   {FR_F32, 1, {7}, 0, 0, false, NULL, false},
                   end};
    op_check_refused(bad, build, &a, "weight");
    a.has = 4;
    bad[1] = (op_in){FR_F32, 3, {3, 1, 8}, 0, 0, false, NULL, false};
    op_check_refused(bad, build, &a, "scale");
    bad[0] = (op_in){FR_F32, 0, {0}, 0, 0, false, NULL, false};
    a.has = 0;
    bad[1] = end;
    op_check_refused(bad, build, &a, "axis");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm), cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_large),   cmocka_unit_test(test_far_from_zero),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
