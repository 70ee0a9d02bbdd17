/* test_conv_golden.c: pictures and videos against what PyTorch gave (tests/oracle/conv.py). */
#include "op_test.h"

static fr_store *store;

static const fr_tensor *want(const char *name, const char *key) {
    char full[64];
    snprintf(full, sizeof full, "%s.%s", name, key);
    const fr_tensor *t = fr_store_find(store, full);
    if (!t) fail_msg("the golden file has no %s", full);
    return t;
}

static void compare(const char *name, const char *key, const fr_tensor *got) {
    const fr_tensor *w = want(name, key);
    const float *a = got->data, *b = w->data;
    if (!fr_same_shape(got, w)) fail_msg("%s.%s has another shape", name, key);
    for (int64_t i = 0; i < fr_values(w); i++)
        if (!(fabsf(a[i] - b[i]) <= 2e-5f * (1 + fabsf(b[i]))))
            fail_msg("%s.%s value %d is %.8g, PyTorch has %.8g", name, key, (int)i, (double)a[i],
                     (double)b[i]);
}

static fr_val input(fr_graph *g, const char *name, const char *key, fr_tensor *feed, int *n) {
    const fr_tensor *t = want(name, key);
    feed[(*n)++] = *t;
    return fr_input(g, key, FR_F32, t->rank, t->dim);
}

/* The gradient of sum(y * dy) for `count` values. */
static void add_gradients(fr_graph *g, fr_val y, fr_val dy, int count, const fr_val *wrt,
                          const char *const *key) {
    fr_val grad[3];
    int rank = fr_desc(g, y)->rank;
    fr_val loss = fr_reduce(g, fr_mul(g, y, dy), FR_SUM, (1u << rank) - 1, false);
    assert_int_equal(fr_gradients(g, loss, count, wrt, grad), FR_OK);
    for (int i = 0; i < count; i++) fr_output(g, key[i], grad[i]);
}

static void run(fr_graph *g, const char *name, fr_tensor *feed, int n, const char *const *keys) {
    fr_session *s;
    if (fr_session_new(g, &s) != FR_OK || fr_session_run(s, feed, n) != FR_OK)
        fail_msg("%s: %s", name, fr_message());
    for (; *keys; keys++) compare(name, *keys, fr_session_output(s, *keys));
    fr_session_free(s);
    fr_graph_free(g);
}

static void convolution(const char *name, const fr_conv_opts *o) {
    fr_graph *g = fr_graph_new();
    fr_tensor feed[4];
    int n = 0;
    fr_val in[3] = {input(g, name, "x", feed, &n), input(g, name, "w", feed, &n),
                    input(g, name, "b", feed, &n)};
    fr_val dy = input(g, name, "dy", feed, &n);
    fr_val y = (feed[0].rank == 4 ? fr_conv2d : fr_conv3d)(g, in[0], in[1], in[2], FR_NONE, o);
    fr_output(g, "y", y);
    add_gradients(g, y, dy, 3, in, (const char *const[]){"dx", "dw", "db"});
    run(g, name, feed, n, (const char *const[]){"y", "dx", "dw", "db", NULL});
}

static void test_convolutions(void **state) {
    (void)state;
    convolution("plain", &(fr_conv_opts){.before = {0, 1, 1}, .after = {0, 1, 1}});
    convolution("strided", &(fr_conv_opts){.stride = {0, 2, 3},
                                           .dilation = {0, 1, 2},
                                           .before = {0, 1, 0},
                                           .after = {0, 1, 0}});
    convolution("grouped", &(fr_conv_opts){.before = {0, 1, 1}, .after = {0, 1, 1}, .groups = 2});
    convolution(
        "depthwise",
        &(fr_conv_opts){.stride = {0, 2, 2}, .before = {0, 1, 1}, .after = {0, 1, 1}, .groups = 5});
    convolution("video",
                &(fr_conv_opts){.stride = {1, 2, 1}, .before = {1, 0, 1}, .after = {1, 0, 1}});
}

static fr_val apply(fr_graph *g, const char *name, fr_val x) {
    if (!strcmp(name, "shuffle")) return fr_pixel_shuffle(g, x, 2);
    if (!strcmp(name, "unshuffle")) return fr_pixel_unshuffle(g, x, 3);
    if (!strcmp(name, "upsample")) return fr_upsample_nearest(g, x, 2, 3);
    return strcmp(name, "avgpool") ? fr_maxpool(g, x, 3, 2, 1) : fr_avgpool(g, x, 3, 2, 1);
}

static void test_others(void **state) {
    (void)state;
    static const char *const names[] = {"shuffle", "unshuffle", "upsample", "avgpool", "maxpool"};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        fr_graph *g = fr_graph_new();
        fr_tensor feed[2];
        int n = 0;
        fr_val x = input(g, names[i], "x", feed, &n), y = apply(g, names[i], x);
        fr_output(g, "y", y);
        bool grad = i >= 3;
        if (grad) {
            fr_val dy = input(g, names[i], "dy", feed, &n);
            add_gradients(g, y, dy, 1, &x, (const char *const[]){"dx"});
        }
        run(g, names[i], feed, n, (const char *const[]){"y", grad ? "dx" : NULL, NULL});
    }
}

static void test_transposed(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_tensor feed[3];
    int n = 0;
    fr_conv_opts o = {.stride = {0, 2, 2}, .before = {0, 1, 1}, .after = {0, 1, 1}};
    fr_val x = input(g, "transposed", "x", feed, &n), w = input(g, "transposed", "w", feed, &n);
    fr_val b = input(g, "transposed", "b", feed, &n);
    fr_output(g, "y", fr_conv2d_transpose(g, x, w, b, FR_NONE, &o, (int[]){0, 6, 8}));
    run(g, "transposed", feed, n, (const char *const[]){"y", NULL});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_transposed),
    };
    if (fr_store_open(FR_TESTS_DIR "/golden/op/conv.safetensors", &store) != FR_OK) {
        fprintf(stderr, "%s\n", fr_message());
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fr_store_close(store);
    return failed;
}
