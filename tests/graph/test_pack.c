/* test_pack.c: weights so large that they are packed in pieces give what small ones give: every row of them repeats an
 * earlier one, so the results repeat too. */
#include "toy.h"

enum { K = 1024, PERIOD = 1000 };

/* Result i is result i % PERIOD, and those differ. */
static void repeats(const fr_tensor *y) {
    const float *v = y->data;
    int64_t n = y->dim[1], alike = 0;
    for (int64_t i = 0; i < n; i++) {
        if (v[i] != v[i % PERIOD])
            fail_msg("column %lld is %g, and %lld is %g", (long long)i, (double)v[i],
                     (long long)(i % PERIOD), (double)v[i % PERIOD]);
        alike += v[i] == v[0];
    }
    assert_true(alike <= n / PERIOD + 1);
}

static void run(fr_graph *g, int64_t k, const char *name, const fr_tensor *weight,
                const char *other, const fr_tensor *scales) {
    float x[K];
    fr_session *s;
    fr_tensor in = fr_tensor_make(FR_F32, 2, (int64_t[]){1, k}, x);
    fr_random_normal(1, 0, 0, x, (size_t)k);
    toy_good(fr_session_new_with(g, NULL, &s));
    toy_good(fr_session_set(s, fr_graph_find(g, name), weight));
    if (other) toy_good(fr_session_set(s, fr_graph_find(g, other), scales));
    toy_good(fr_session_run(s, &in, 1));
    repeats(fr_session_output(s, "y"));
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_floats(void **state) {
    (void)state;
    enum { N = 9216 + 9216 / 2, SHORT = 8 };
    float *w = fr_alloc_array(FR_MEM_OTHER, (size_t)N * SHORT, sizeof *w);
    fr_tensor t = fr_tensor_make(FR_F32, 2, (int64_t[]){N, SHORT}, w);
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){1, SHORT});
    fr_val p = fr_param(g, "w", FR_F32, 2, t.dim);
    for (int i = 0; i < N; i++)
        fr_random_normal(2, 0, (uint64_t)(i % PERIOD) * SHORT, w + i * SHORT, SHORT);
    fr_output(g, "y", fr_linear(g, x, p, FR_NONE, FR_NONE, FR_FN_NONE));
    run(g, SHORT, "w", &t, NULL, NULL);
    fr_free(w);
}

static void test_few_bits(void **state) {
    (void)state;
    enum { N = 17000 }; /* 17 MB of codes */
    int8_t *w = fr_alloc_array(FR_MEM_OTHER, (size_t)N * K, 1);
    float *scale = fr_alloc_array(FR_MEM_OTHER, N, sizeof *scale);
    fr_tensor codes = fr_tensor_make(FR_I8, 2, (int64_t[]){N, K}, w);
    fr_tensor scales = fr_tensor_make(FR_F32, 1, (int64_t[]){N}, scale);
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){1, K});
    fr_qweight q = {.format = "int8-channel", .n = N, .k = K};
    q.part[0] = fr_param(g, "w.codes", FR_I8, 2, codes.dim);
    q.part[1] = fr_param(g, "w.scales", FR_F32, 1, scales.dim);
    for (int64_t i = 0; i < N; i++) {
        scale[i] = 1;
        for (int64_t k = 0; k < K; k++)
            w[i * K + k] = (int8_t)((i % PERIOD * 31 + k * (7 + i % PERIOD % 13)) % 255 - 127);
    }
    fr_output(g, "y", fr_qlinear(g, x, &q, NULL, NULL));
    toy_good(fr_graph_check(g));
    run(g, K, "w.codes", &codes, "w.scales", &scales);
    fr_free(w);
    fr_free(scale);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_few_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
