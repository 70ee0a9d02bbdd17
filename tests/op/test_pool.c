/* test_pool.c: average and maximum pooling, borders, ties, gradients. */
#include "op_test.h"

typedef struct pool_arg {
    int kernel, stride, pad;
} pool_arg;

static int build_avg(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const pool_arg *a = arg;
    out[0] = fr_avgpool(g, in[0], a->kernel, a->stride, a->pad);
    return 1;
}
static int build_max(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const pool_arg *a = arg;
    out[0] = fr_maxpool(g, in[0], a->kernel, a->stride, a->pad);
    return 1;
}

static void ref_pool(const pool_arg *a, const op_f64 *in, op_f64 *out, bool max) {
    const int64_t *d = out[0].desc.dim, *s = in[0].desc.dim;
    for (int64_t i = 0; i < fr_values(&out[0].desc); i++) {
        int64_t c = i % d[3], x = i / d[3] % d[2], y = i / d[3] / d[2] % d[1];
        int64_t n = i / d[3] / d[2] / d[1];
        double sum = 0, most = -INFINITY;
        int count = 0;
        for (int ky = 0; ky < a->kernel; ky++)
            for (int kx = 0; kx < a->kernel; kx++) {
                int64_t py = y * a->stride - a->pad + ky, px = x * a->stride - a->pad + kx;
                if (py < 0 || py >= s[1] || px < 0 || px >= s[2]) continue;
                double v = in[0].v[((n * s[1] + py) * s[2] + px) * s[3] + c];
                sum += v;
                if (v > most || isnan(v)) most = v;
                count++;
            }
        out[0].v[i] = max ? most : sum / count;
    }
}
static void ref_avg(const void *arg, const op_f64 *in, op_f64 *out) {
    ref_pool(arg, in, out, false);
}
static void ref_max(const void *arg, const op_f64 *in, op_f64 *out) {
    ref_pool(arg, in, out, true);
}

static void test_pools(void **state) {
    (void)state;
    static const pool_arg args[] = {{2, 2, 0}, {3, 2, 1}, {3, 1, 1},
                                    {5, 3, 2}, {1, 1, 0}, {2, 3, 1}};
    static const int64_t shapes[][4] = {{2, 7, 9, 5}, {1, 8, 6, 37}, {1, 5, 5, 1100}};
    for (size_t i = 0; i < FR_COUNT(args); i++)
        for (size_t k = 0; k < FR_COUNT(shapes); k++) {
            op_case c = {.name = "avgpool",
                         .in = {{.dtype = FR_F32, .rank = 4, .grad = true}},
                         .arg = &args[i],
                         .build = build_avg,
                         .ref = ref_avg,
                         .bf16 = true};
            memcpy(c.in[0].dim, shapes[k], sizeof shapes[k]);
            op_check(&c);
            c.name = "maxpool";
            c.build = build_max;
            c.ref = ref_max;
            op_check(&c);
        }
}

/* Two large bands, so that windows straddle them. */
static void test_bands(void **state) {
    (void)state;
    op_check(&(op_case){.name = "maxpool in bands",
                        .in = {{.dtype = FR_F32, .rank = 4, .dim = {2, 50, 60, 24}, .grad = true}},
                        .arg = &(pool_arg){3, 2, 1},
                        .build = build_max,
                        .ref = ref_max,
                        .bf16 = true});
}

/* Equal values: the first in row order takes the whole gradient. */
static void test_ties(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    int64_t dim[4] = {1, 3, 3, 1};
    fr_val x = fr_input(g, "x", FR_F32, 4, dim);
    fr_val loss = fr_reduce(g, fr_maxpool(g, x, 2, 1, 0), FR_SUM, 15, false), grad;
    assert_int_equal(fr_gradients(g, loss, 1, &x, &grad), FR_OK);
    fr_output(g, "grad", grad);
    fr_session *s;
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    float same[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const float want[9] = {1, 1, 0, 1, 1, 0, 0, 0, 0};
    fr_tensor in = fr_tensor_make(FR_F32, 4, dim, same);
    assert_int_equal(fr_session_run(s, &in, 1), FR_OK);
    assert_memory_equal(fr_session_output(s, "grad")->data, want, sizeof want);
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_special(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    int64_t dim[4] = {1, 2, 4, 1};
    fr_val x = fr_input(g, "x", FR_F32, 4, dim);
    fr_output(g, "y", fr_maxpool(g, x, 2, 2, 0));
    fr_session *s;
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    float v[8] = {-INFINITY, -INFINITY, 1, NAN, -INFINITY, -INFINITY, 3, 2};
    fr_tensor in = fr_tensor_make(FR_F32, 4, dim, v);
    assert_int_equal(fr_session_run(s, &in, 1), FR_OK);
    const float *y = fr_session_output(s, "y")->data;
    assert_true(y[0] == -INFINITY);
    assert_true(isnan(y[1]));
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_refused(void **state) {
    (void)state;
    static const op_in in[] = {{.dtype = FR_F32, .rank = 4, .dim = {1, 4, 6, 8}}, {0}};
    op_check_refused(in, build_avg, &(pool_arg){5, 1, 0},
                     "5 is larger than the padded f32 [1, 4, 6, 8]");
    op_check_refused(in, build_max, &(pool_arg){2, 1, 2}, "padding half of it");
    op_check_refused(in, build_max, &(pool_arg){0, 1, 0}, "make no sense together");
    op_check_refused(in, build_avg, &(pool_arg){2, 0, 0}, "make no sense together");
    static const op_in ints[] = {{.dtype = FR_I32, .rank = 4, .dim = {1, 4, 6, 8}}, {0}};
    op_check_refused(ints, build_avg, &(pool_arg){2, 2, 0}, "in f32 or bf16");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools),   cmocka_unit_test(test_bands),   cmocka_unit_test(test_ties),
        cmocka_unit_test(test_special), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
