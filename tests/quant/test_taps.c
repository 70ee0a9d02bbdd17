/* test_taps.c: what flows into linears and attention can be looked at, also after fusion; the largest of each channel. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "quant/taps.h"

enum { TOKENS = 5, WIDTH = 6, HEADS = 2, DIM = 4 };

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static fr_val weight(fr_graph *g, const char *name, int64_t rows, int64_t cols) {
    return fr_param(g, name, FR_F32, 2, (int64_t[]){rows, cols});
}

/* Three linears of one input, attention, and a linear of what it gives; one linear whose weight is computed. */
static fr_graph *toy(fr_val *x) {
    fr_graph *g = fr_graph_new();
    const int64_t heads[] = {0, 0, HEADS, DIM};
    *x = fr_input(g, "x", FR_F32, 3, (int64_t[]){1, TOKENS, WIDTH});
    fr_val pos = fr_input(g, "pos", FR_I32, 2, (int64_t[]){TOKENS, 1}), y[3];
    const char *const name[] = {"a.q.weight", "a.k.weight", "a.v.weight"};
    for (int i = 0; i < 3; i++) {
        fr_val w = weight(g, name[i], HEADS * DIM, WIDTH);
        y[i] = fr_reshape(g, fr_linear(g, *x, w, FR_NONE, FR_NONE, FR_FN_NONE), 4, heads);
    }
    fr_scope(g, "a.attn");
    y[1] = fr_rope(g, y[1], pos, NULL);
    fr_val z = fr_attention(g, y[0], y[1], y[2], NULL);
    fr_scope_end(g);
    z = fr_reshape(g, z, 3, (int64_t[]){0, 0, HEADS * DIM});
    z = fr_linear(g, z, weight(g, "a.o.weight", WIDTH, HEADS * DIM), FR_NONE, *x, FR_FN_NONE);
    fr_val twice = fr_affine(g, weight(g, "b", WIDTH, WIDTH), 2, 0);
    fr_output(g, "y", fr_linear(g, z, twice, FR_NONE, FR_NONE, FR_FN_NONE));
    return g;
}

static const fr_tap *find(const fr_taps *t, fr_tap_kind kind, const char *name) {
    const fr_tap *tap = fr_taps_find(t, kind, name);
    if (!tap) fail_msg("there is no tap '%s'", name);
    return tap;
}

static void check_toy(bool fuse) {
    fr_val x;
    fr_graph *g = toy(&x);
    fr_taps taps;
    fr_session *s;
    int removed;
    ok(fr_taps_add(g, &taps));
    if (fuse) ok(fr_fuse(g, FR_FUSE_ALL, &removed));
    assert_int_equal(taps.count, 7);
    assert_int_equal(taps.slots, 5); /* x, q, k, v, what attention gives */
    assert_int_equal(find(&taps, FR_TAP_LINEAR, "a.q.weight")->slot,
                     find(&taps, FR_TAP_LINEAR, "a.v.weight")->slot);
    assert_int_equal(find(&taps, FR_TAP_LINEAR, "a.k.weight")->value, x);
    assert_null(fr_taps_find(&taps, FR_TAP_LINEAR, "b"));
    assert_null(fr_taps_find(&taps, FR_TAP_KEY, "a"));
    ok(fr_session_new(g, &s));
    ok(fr_session_init_random(s, 1, 0.5f));
    float in[TOKENS * WIDTH];
    int32_t pos[TOKENS] = {0, 1, 2, 3, 4};
    fr_random_normal(1, 1, 0, in, TOKENS * WIDTH);
    fr_tensor t[] = {fr_tensor_make(FR_F32, 3, (int64_t[]){1, TOKENS, WIDTH}, in),
                     fr_tensor_make(FR_I32, 2, (int64_t[]){TOKENS, 1}, pos)};
    ok(fr_session_run(s, t, 2));

    /* The first key, which does not turn, is wT x. */
    const fr_tap *key = find(&taps, FR_TAP_KEY, "a.attn");
    const fr_tensor *k = fr_taps_read(&taps, (size_t)(key - taps.tap), s);
    const float *w = fr_session_tensor(s, fr_graph_find(g, "a.k.weight"))->data;
    assert_int_equal(fr_values(k), TOKENS * HEADS * DIM);
    for (int i = 0; i < HEADS * DIM; i++) {
        float sum = 0;
        for (int c = 0; c < WIDTH; c++) sum += w[i * WIDTH + c] * in[c];
        assert_true(fabsf(((const float *)k->data)[i] - sum) < 1e-5f);
    }
    const fr_tap *o = find(&taps, FR_TAP_LINEAR, "a.o.weight");
    const fr_tensor *z = fr_taps_read(&taps, (size_t)(o - taps.tap), s);
    assert_int_equal(fr_dim(z, -1), HEADS * DIM);
    fr_session_free(s);
    fr_taps_free(&taps);
    fr_graph_free(g);
}

static void test_toy(void **state) {
    (void)state;
    check_toy(false);
    check_toy(true);
}

static void test_broken(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_taps taps;
    fr_linear(g, FR_NONE, FR_NONE, FR_NONE, FR_NONE, FR_FN_NONE);
    assert_int_not_equal(fr_taps_add(g, &taps), FR_OK);
    assert_null(taps.tap);
    fr_graph_free(g);
}

static void test_most(void **state) {
    (void)state;
    enum { ROWS = 37, N = 1100 };
    float *x = fr_alloc(FR_MEM_OTHER, ROWS * N * sizeof *x), most[N], want[N];
    fr_random_normal(2, 2, 0, x, ROWS * N);
    x[5] = NAN;
    for (int c = 0; c < N; c++) {
        most[c] = want[c] = c % 3 ? 0 : 2;
        for (int r = 0; r < ROWS; r++) want[c] = fmaxf(want[c], fabsf(x[r * N + c]));
    }
    fr_pool *pool;
    ok(fr_pool_new(2, &pool));
    fr_tensor t = fr_tensor_make(FR_F32, 3, (int64_t[]){ROWS, 2, N / 2}, x);
    ok(fr_channel_most(&t, N, most, pool));
    assert_memory_equal(most, want, sizeof most);
    uint16_t half[4] = {0x3f80, 0xc040, 0xbf80, 0x4000}; /* 1 -3 -1 2 */
    fr_tensor b = fr_tensor_make(FR_BF16, 2, (int64_t[]){2, 2}, half);
    float two[2] = {0, 0};
    ok(fr_channel_most(&b, 2, two, NULL));
    assert_true(two[0] == 1 && two[1] == 3);
    assert_int_not_equal(fr_channel_most(&b, 3, two, NULL), FR_OK);
    fr_pool_free(pool);
    fr_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_toy),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
