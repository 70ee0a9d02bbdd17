/* test_cost.c: what operators say they cost, against counting. */
#include "op_test.h"

/* Operations of a graph with one node. */
static double ops_of(fr_graph *g, fr_val y) {
    fr_graph_cost cost;
    fr_output(g, "y", y);
    assert_int_equal(fr_graph_cost_of(g, &cost), FR_OK);
    fr_graph_free(g);
    return cost.total.ops;
}

static int64_t counted(fr_mask mask, int64_t m, int64_t n, int64_t window) {
    int64_t pairs = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t last = n - m + i;
            pairs += mask == FR_MASK_FULL ||
                     (j <= last && (mask == FR_MASK_CAUSAL || j > last - window));
        }
    return pairs;
}

static void test_attention(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{7, 7}, {1, 9}, {3, 9}, {9, 3}, {12, 40}, {40, 12}};
    for (size_t i = 0; i < FR_COUNT(sizes); i++)
        for (fr_mask mask = FR_MASK_FULL; mask <= FR_MASK_WINDOW; mask++)
            for (int32_t window = 1; window < 20; window += 4) {
                int64_t m = sizes[i][0], n = sizes[i][1];
                fr_graph *g = fr_graph_new();
                fr_val q = fr_input(g, "q", FR_F32, 4, (int64_t[]){2, m, 6, 8});
                fr_val k = fr_input(g, "k", FR_F32, 4, (int64_t[]){2, n, 3, 8});
                fr_attention_opts o = {.mask = mask, .window = window};
                double got = ops_of(g, fr_attention(g, q, k, k, &o));
                double want = (double)counted(mask, m, n, window) * 2 * 6 * (4 * 8 + 4);
                if (got != want)
                    fail_msg("mask %d, %d by %d, window %d: %g operations, %g were counted",
                             (int)mask, (int)m, (int)n, window, got, want);
            }
}

static void test_products(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 3, (int64_t[]){2, 3, 4});
    fr_val w = fr_input(g, "w", FR_F32, 2, (int64_t[]){5, 4});
    assert_true(ops_of(g, fr_linear(g, x, w, FR_NONE, FR_NONE, FR_FN_NONE)) == 2.0 * 6 * 4 * 5);
    g = fr_graph_new();
    x = fr_input(g, "x", FR_F32, 4, (int64_t[]){2, 6, 6, 4});
    w = fr_input(g, "w", FR_F32, 4, (int64_t[]){8, 3, 3, 2});
    fr_val y = fr_conv2d(g, x, w, FR_NONE, FR_NONE, &(fr_conv_opts){.groups = 2});
    assert_true(ops_of(g, y) == 2.0 * (2 * 4 * 4) * 8 * 9 * 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention),
                                       cmocka_unit_test(test_products)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
