/* test_optimizer_parts.c: steps in parts (accumulated gradients), averages of weights, parameters
 * that do not train, and the bytes that a trainer holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/train.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}
static void fails(fr_status st, const char *text) {
    assert_int_not_equal(st, FR_OK);
    if (!strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
}

enum { ROWS = 3, COLS = 4, W = ROWS * COLS };

typedef struct run {
    fr_graph *g;
    fr_trainer *t;
} run;

/* loss = mean((w + bias - x)^2), w of the given type */
static run start(fr_train_opts o, fr_dtype type) {
    run r = {.g = fr_graph_new()};
    fr_val w = fr_param(r.g, "w", type, 2, (int64_t[]){ROWS, COLS});
    fr_val b = fr_param(r.g, "bias", FR_F32, 1, (int64_t[]){COLS});
    fr_val x = fr_input(r.g, "x", FR_F32, 2, (int64_t[]){ROWS, COLS});
    if (type != FR_F32) w = fr_cast(r.g, w, FR_F32);
    ok(fr_trainer_new(r.g, fr_mse(r.g, fr_add(r.g, w, b), x), &o, NULL, &r.t));
    ok(fr_session_init_random(fr_trainer_session(r.t), 7, 1));
    return r;
}
static void finish(run *r) {
    fr_trainer_free(r->t);
    fr_graph_free(r->g);
}
static fr_tensor *tensor(const run *r, const char *name) {
    return fr_session_tensor(fr_trainer_session(r->t), fr_graph_find(r->g, name));
}
static float *values(const run *r, const char *name) {
    return tensor(r, name)->data;
}

/* The input of micro-batch n; n below 0: not finite. */
static fr_tensor input(int n) {
    static float x[W];
    for (int i = 0; i < W; i++) x[i] = n < 0 ? NAN : sinf((float)(n * W + i));
    return fr_tensor_make(FR_F32, 2, (int64_t[]){ROWS, COLS}, x);
}
static fr_status give(run *r, int n) {
    float loss;
    fr_tensor in = input(n);
    return fr_trainer_accumulate(r->t, &in, 1, &loss);
}
static void update(run *r) {
    ok(fr_trainer_update(r->t, NULL));
}

static const fr_train_opts adam = {.optimizer = FR_ADAMW, .lr = 0.1f, .weight_decay = 0.1f};

/* ---- accumulation ---- */

/* With SGD a step moves by rate times the mean gradient 2 (w + bias - x) / n. */
static void test_mean(void **state) {
    (void)state;
    enum { K = 5 };
    run r = start((fr_train_opts){.lr = 0.5f}, FR_F32);
    for (int round = 0; round < 3; round++) { /* the sums begin anew each time */
        float w[W], b[COLS], norm;
        double square = 0, gb[COLS] = {0};
        memcpy(w, values(&r, "w"), sizeof w);
        memcpy(b, values(&r, "bias"), sizeof b);
        for (int k = 0; k < K; k++) ok(give(&r, round * K + k));
        ok(fr_trainer_update(r.t, &norm));
        for (int i = 0; i < W; i++) {
            double g = 0;
            for (int k = 0; k < K; k++)
                g += 2 * ((double)w[i] + b[i % COLS] - sinf((float)((round * K + k) * W + i))) / W;
            g /= K;
            square += g * g;
            gb[i % COLS] += g;
            assert_float_equal(values(&r, "w")[i], (double)w[i] - 0.5 * g, 1e-6);
        }
        for (int c = 0; c < COLS; c++) {
            square += gb[c] * gb[c];
            assert_float_equal(values(&r, "bias")[c], (double)b[c] - 0.5 * gb[c], 1e-6);
        }
        assert_float_equal(norm, sqrt(square), 1e-6);
    }
    assert_int_equal(fr_trainer_step_count(r.t), 3);
    finish(&r);
}

/* One call and an update are a step, and take no memory for sums. */
static void test_one_is_a_step(void **state) {
    (void)state;
    run a = start(adam, FR_F32), b = start(adam, FR_F32);
    size_t before = fr_trainer_state_bytes(a.t);
    for (int i = 0; i < 4; i++) {
        fr_tensor in = input(i);
        ok(give(&a, i));
        update(&a);
        ok(fr_trainer_step(b.t, &in, 1, NULL, NULL));
    }
    assert_memory_equal(values(&a, "w"), values(&b, "w"), W * sizeof(float));
    assert_int_equal(fr_trainer_state_bytes(a.t), before);
    ok(give(&a, 4));
    ok(give(&a, 5));
    assert_int_equal(fr_trainer_state_bytes(a.t), before + (W + COLS) * sizeof(float));
    finish(&a);
    finish(&b);
}

/* A loss that is not finite is as if it had not been; so is a sum. */
static void test_not_finite(void **state) {
    (void)state;
    run a = start(adam, FR_F32), b = start(adam, FR_F32);
    for (int at = 0; at < 3; at++) {
        for (int i = 0; i < 2; i++) {
            if (i == at) fails(give(&a, -1), "the loss is nan");
            ok(give(&a, i));
            ok(give(&b, i));
        }
        if (at == 2) fails(give(&a, -1), "the loss is nan");
        update(&a);
        update(&b);
        assert_memory_equal(values(&a, "w"), values(&b, "w"), W * sizeof(float));
    }
    fails(fr_trainer_update(a.t, NULL), "no gradient");
    finish(&a);
    finish(&b);

    /* Two gradients that are finite and whose sum is not. */
    fr_graph *g = fr_graph_new();
    fr_val w = fr_param(g, "w", FR_F32, 1, (int64_t[]){1});
    fr_val loss = fr_reduce(g, fr_affine(g, w, 3e38f, 0), FR_SUM, 1, false);
    fr_trainer *t;
    ok(fr_trainer_new(g, loss, &(fr_train_opts){.lr = 1e-38f}, NULL, &t));
    ok(fr_session_init_random(fr_trainer_session(t), 1, 0));
    for (int i = 0; i < 2; i++) ok(fr_trainer_accumulate(t, NULL, 0, NULL));
    fails(fr_trainer_update(t, NULL), "the gradient of w is not finite");
    float now;
    ok(fr_tensor_to_f32(fr_session_tensor(fr_trainer_session(t), w), &now));
    assert_true(now == 0 && fr_trainer_step_count(t) == 0);
    fails(fr_trainer_update(t, NULL), "no gradient"); /* it was forgotten */
    fr_trainer_free(t);
    fr_graph_free(g);
}

/* ---- averages ---- */

static void check_averages(fr_dtype type) {
    enum { STEPS = 60 };
    fr_train_opts o = adam;
    o.ema = 0.8f;
    run r = start(o, type);
    double mean[W], start_w[W];
    float f[W];
    ok(fr_tensor_to_f32(tensor(&r, "w"), f));
    for (int i = 0; i < W; i++) mean[i] = start_w[i] = f[i];
    for (int s = 1; s <= STEPS; s++) {
        ok(give(&r, s));
        update(&r);
        ok(fr_tensor_to_f32(tensor(&r, "w"), f));
        double d = fmin(0.8, (1.0 + s) / (10.0 + s));
        for (int i = 0; i < W; i++) mean[i] = d * mean[i] + (1 - d) * (double)f[i];
    }
    char before[W * 4], after[W * 4];
    size_t bytes = fr_bytes(tensor(&r, "w"));
    memcpy(before, tensor(&r, "w")->data, bytes);
    ok(fr_trainer_swap_ema(r.t));
    ok(fr_tensor_to_f32(tensor(&r, "w"), f));
    double far = 0;
    for (int i = 0; i < W; i++) {
        assert_float_equal(f[i], mean[i], type == FR_F32 ? 1e-6 : 0.01);
        far += fabs(mean[i] - start_w[i]);
    }
    assert_true(far > 0.5); /* the averages did move */
    fails(give(&r, 0), "swap back");
    fails(fr_trainer_save(r.t, "never.safetensors"), "swap back");
    fails(fr_trainer_resume(r.t, "never.safetensors"), "never.safetensors");
    ok(fr_trainer_swap_ema(r.t));
    memcpy(after, tensor(&r, "w")->data, bytes);
    assert_memory_equal(before, after, bytes);
    ok(give(&r, 0));
    finish(&r);
}

static void test_averages(void **state) {
    (void)state;
    check_averages(FR_F32);
    check_averages(FR_BF16);
    run r = start(adam, FR_F32);
    fails(fr_trainer_swap_ema(r.t), "keeps no averages");
    finish(&r);
}

/* ---- parameters that do not train ---- */

static bool not_named(const char *name, void *arg) {
    return strcmp(name, arg) != 0;
}
static bool none(const char *name, void *arg) {
    return name == arg;
}

static void test_frozen(void **state) {
    (void)state;
    fr_train_opts o = adam;
    o.trainable = not_named;
    o.trainable_arg = "w";
    o.ema = 0.9f;
    run r = start(o, FR_F32);
    assert_int_equal(fr_trainer_state_bytes(r.t), 3 * COLS * sizeof(float));
    assert_int_equal(fr_graph_find(r.g, "grad/w"), FR_NONE);
    assert_int_not_equal(fr_graph_find(r.g, "grad/bias"), FR_NONE);
    float w[W], b[COLS];
    memcpy(w, values(&r, "w"), sizeof w);
    memcpy(b, values(&r, "bias"), sizeof b);
    for (int i = 0; i < 3; i++) {
        ok(give(&r, i));
        update(&r);
    }
    assert_memory_equal(w, values(&r, "w"), sizeof w);
    assert_memory_not_equal(b, values(&r, "bias"), sizeof b);
    ok(fr_trainer_swap_ema(r.t));
    assert_memory_equal(w, values(&r, "w"), sizeof w);
    ok(fr_trainer_swap_ema(r.t));
    ok(fr_trainer_save(r.t, "frozen.safetensors"));
    fr_store *store;
    ok(fr_store_open("frozen.safetensors", &store));
    assert_null(fr_store_find(store, "param/w"));
    assert_int_equal(fr_store_count(store), 4); /* param, m, v, ema of the bias */
    fr_store_close(store);
    memcpy(b, values(&r, "bias"), sizeof b);
    finish(&r);

    r = start(o, FR_F32); /* w has its value */
    ok(fr_trainer_resume(r.t, "frozen.safetensors"));
    assert_memory_equal(w, values(&r, "w"), sizeof w);
    assert_memory_equal(b, values(&r, "bias"), sizeof b);
    finish(&r);

    r.g = fr_graph_new(); /* it has none */
    fr_val x = fr_param(r.g, "w", FR_F32, 1, (int64_t[]){COLS});
    x = fr_add(r.g, x, fr_param(r.g, "bias", FR_F32, 1, (int64_t[]){COLS}));
    ok(fr_trainer_new(r.g, fr_mse(r.g, x, fr_affine(r.g, x, 2, 1)), &o, NULL, &r.t));
    fails(fr_trainer_resume(r.t, "frozen.safetensors"), "parameter w does not train");
    finish(&r);
    unlink("frozen.safetensors");

    o.trainable = none;
    o.trainable_arg = NULL;
    r.g = fr_graph_new();
    x = fr_param(r.g, "w", FR_F32, 1, (int64_t[]){COLS});
    fails(fr_trainer_new(r.g, fr_mse(r.g, x, fr_affine(r.g, x, 2, 1)), &o, NULL, &r.t),
          "none of the graph's parameters");
    fr_graph_free(r.g);
}

/* ---- bytes ---- */

static void test_bytes(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        fr_train_opts o = adam;
        size_t values = W + COLS, want = 8 * values; /* two moments */
        if (kind & 1) o.ema = 0.9f, want += 4 * values;
        if (kind & 2) want += 4 * W; /* a master */
        size_t before = fr_memory_stat(FR_MEM_STATE).now;
        run r = start(o, kind & 2 ? FR_BF16 : FR_F32);
        assert_int_equal(fr_trainer_state_bytes(r.t), want);
        assert_int_equal(fr_memory_stat(FR_MEM_STATE).now - before, want);
        finish(&r);
        assert_int_equal(fr_memory_stat(FR_MEM_STATE).now, before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean),       cmocka_unit_test(test_one_is_a_step),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_averages),
        cmocka_unit_test(test_frozen),     cmocka_unit_test(test_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
