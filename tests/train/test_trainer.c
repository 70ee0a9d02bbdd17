/* test_trainer.c: what a step does with clipping, decay and values that are not finite; which
 * options are refused; and that memory running out at any place leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
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

enum { ROWS = 3, COLS = 4 };

/* loss = mean((w + bias - x)^2); "idle" has no part in it. */
static fr_graph *simple(fr_val *loss) {
    fr_graph *g = fr_graph_new();
    fr_val w = fr_param(g, "w", FR_F32, 2, (int64_t[]){ROWS, COLS});
    fr_val b = fr_param(g, "bias", FR_F32, 1, (int64_t[]){COLS});
    fr_param(g, "idle", FR_F32, 2, (int64_t[]){2, 2});
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){ROWS, COLS});
    *loss = fr_mse(g, fr_add(g, w, b), x);
    return g;
}

static fr_status step(fr_trainer *t, float value, float *loss, float *norm) {
    float x[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) x[i] = value * (float)(i + 1);
    fr_tensor in = fr_tensor_make(FR_F32, 2, (int64_t[]){ROWS, COLS}, x);
    return fr_trainer_step(t, &in, 1, loss, norm);
}

static float *values(fr_trainer *t, const fr_graph *g, const char *name) {
    return fr_session_tensor(fr_trainer_session(t), fr_graph_find(g, name))->data;
}

/* ---- steps ---- */

/* SGD without momentum moves by exactly rate times gradient, so the way that all parameters go
 * together is at most rate times clip. */
static void test_clip(void **state) {
    (void)state;
    for (int clip = 0; clip < 2; clip++) {
        fr_val loss;
        fr_graph *g = simple(&loss);
        fr_train_opts o = {.optimizer = FR_SGD, .lr = 0.5f, .clip = clip ? 0.25f : 0};
        fr_trainer *t;
        ok(fr_trainer_new(g, loss, &o, NULL, &t));
        ok(fr_session_init_random(fr_trainer_session(t), 1, 0));
        float l, norm;
        double moved = 0, want = 0;
        ok(step(t, 1, &l, &norm));
        float *w = values(t, g, "w"), *b = values(t, g, "bias");
        for (int i = 0; i < ROWS * COLS; i++) {
            moved += (double)w[i] * (double)w[i];
            want += pow(2.0 * (i + 1) / (ROWS * COLS), 2);
        }
        for (int c = 0; c < COLS; c++) {
            double d = 0;
            for (int r = 0; r < ROWS; r++) d += 2.0 * (r * COLS + c + 1) / (ROWS * COLS);
            want += d * d;
            moved += (double)b[c] * (double)b[c];
        }
        assert_true(fabs((double)norm - sqrt(want)) < 1e-5 * sqrt(want));
        want = 0.5 * (clip ? 0.25 : sqrt(want));
        assert_true(fabs(sqrt(moved) - want) < 1e-5 * want);
        /* The direction stays. */
        assert_true(fabs((double)w[11] / (double)w[0] - 12) < 1e-4);
        fr_trainer_free(t);
        fr_graph_free(g);
    }
}

static bool only_bias(const char *name) {
    return !strcmp(name, "bias");
}

/* A parameter without influence has no gradient: all that it feels is the decay. */
static void test_decay(void **state) {
    (void)state;
    for (int chosen = 0; chosen < 2; chosen++) {
        fr_val loss;
        fr_graph *g = simple(&loss);
        fr_train_opts o = {.optimizer = FR_ADAMW,
                           .lr = 0.5f,
                           .weight_decay = 0.5f,
                           .decay = chosen ? only_bias : NULL};
        fr_trainer *t;
        ok(fr_trainer_new(g, loss, &o, NULL, &t));
        ok(fr_session_init_random(fr_trainer_session(t), 5, 0));
        ok(fr_session_make_writable(fr_trainer_session(t)));
        for (int i = 0; i < 4; i++) values(t, g, "idle")[i] = 1;
        for (int i = 0; i < COLS; i++) values(t, g, "bias")[i] = 8;
        ok(step(t, 0, NULL, NULL));
        for (int i = 0; i < 4; i++)
            assert_float_equal(values(t, g, "idle")[i], chosen ? 1 : 0.75, 1e-6);
        /* The first step of Adam has the length of the rate. */
        for (int i = 0; i < COLS; i++)
            assert_float_equal(values(t, g, "bias")[i], (chosen ? 6 : 8) - 0.5, 1e-4);
        fr_trainer_free(t);
        fr_graph_free(g);
    }
}

/* All that a checkpoint holds: parameters, moments, averages, the number of the step. */
static char *all_bytes(fr_trainer *t, size_t *bytes) {
    char *data;
    ok(fr_trainer_save(t, "untouched.safetensors"));
    ok(fr_read_file("untouched.safetensors", 0, &data, bytes));
    unlink("untouched.safetensors");
    return data;
}

static void check_untouched(fr_trainer *t, float bad, const char *text) {
    float l, norm;
    size_t bytes, after_bytes;
    char *before = all_bytes(t, &bytes);
    fails(step(t, bad, &l, &norm), text);
    char *after = all_bytes(t, &after_bytes);
    assert_int_equal(bytes, after_bytes);
    assert_memory_equal(before, after, bytes);
    fr_free(before);
    fr_free(after);
    ok(step(t, 1, &l, &norm));
}

/* With tensors of any size in 8 bits. */
static fr_train_opts any(int kind) {
    return (fr_train_opts){.optimizer = (fr_optimizer_kind)kind,
                           .lr = 0.1f,
                           .momentum = 0.5f,
                           .ema = 0.5f,
                           .block8 = 4,
                           .least8 = 1};
}

static void test_loss_not_finite(void **state) {
    (void)state;
    for (int kind = FR_SGD; kind <= FR_CAME8; kind++) {
        fr_val loss;
        fr_graph *g = simple(&loss);
        fr_train_opts o = any(kind);
        fr_trainer *t;
        ok(fr_trainer_new(g, loss, &o, NULL, &t));
        ok(fr_session_init_random(fr_trainer_session(t), 1, 1));
        ok(step(t, 1, NULL, NULL));
        check_untouched(t, NAN, "step 1: the loss is nan");
        check_untouched(t, INFINITY, "step 2: the loss is inf");
        fr_trainer_free(t);
        fr_graph_free(g);
    }
}

/* The root of zero is finite, its slope is not. */
static void check_gradient(fr_train_opts o) {
    fr_graph *g = fr_graph_new();
    fr_val a = fr_param(g, "fine", FR_F32, 2, (int64_t[]){2, 2});
    fr_val w = fr_param(g, "steep", FR_F32, 2, (int64_t[]){2, 2});
    fr_val y = fr_add(g, a, fr_unary(g, w, FR_FN_SQRT));
    fr_val loss = fr_reduce(g, y, FR_MEAN, 3, false);
    fr_trainer *t;
    float l, norm;
    ok(fr_trainer_new(g, loss, &o, NULL, &t));
    ok(fr_session_init_random(fr_trainer_session(t), 1, 0));
    size_t bytes, after_bytes;
    char *before = all_bytes(t, &bytes);
    fails(fr_trainer_step(t, NULL, 0, &l, &norm), "the gradient of steep is not finite");
    assert_true(l == 0 && !isfinite(norm));
    for (int i = 0; i < 4; i++)
        assert_true(values(t, g, "fine")[i] == 0 && values(t, g, "steep")[i] == 0);
    assert_int_equal(fr_trainer_step_count(t), 0);
    char *after = all_bytes(t, &after_bytes);
    assert_int_equal(bytes, after_bytes);
    assert_memory_equal(before, after, bytes);
    fr_free(before);
    fr_free(after);
    fr_trainer_free(t);
    fr_graph_free(g);
}

static void test_gradient_not_finite(void **state) {
    (void)state;
    for (int kind = FR_SGD; kind <= FR_CAME8; kind++) {
        fr_train_opts o = any(kind);
        check_gradient(o);
        o.clip = 1;
        check_gradient(o);
    }
}

/* ---- calls ---- */

static void refuse(fr_train_opts o, const char *text) {
    fr_val loss;
    fr_graph *g = simple(&loss);
    fr_trainer *t = (fr_trainer *)g;
    fails(fr_trainer_new(g, loss, &o, NULL, &t), text);
    assert_null(t);
    fr_graph_free(g);
}

static void test_options(void **state) {
    (void)state;
    refuse((fr_train_opts){.lr = 0}, "learning rate is 0");
    refuse((fr_train_opts){.lr = NAN}, "learning rate is nan");
    refuse((fr_train_opts){.lr = INFINITY}, "learning rate is inf");
    refuse((fr_train_opts){.lr = 1, .final_lr = -1}, "final learning rate is -1");
    refuse((fr_train_opts){.lr = 1, .momentum = 1}, "momentum is 1");
    refuse((fr_train_opts){.lr = 1, .optimizer = FR_ADAMW, .beta1 = 1}, "beta1 (1)");
    refuse((fr_train_opts){.lr = 1, .optimizer = FR_ADAMW, .beta2 = NAN}, "beta2 (nan)");
    refuse((fr_train_opts){.lr = 1, .clip = -1}, "clip (-1)");
    refuse((fr_train_opts){.lr = 1, .weight_decay = -1}, "weight decay (-1)");
    refuse((fr_train_opts){.lr = 1, .optimizer = FR_CAME, .beta3 = 1}, "beta3 (1)");
    refuse((fr_train_opts){.lr = 1, .optimizer = FR_CAME, .eps2 = -1}, "eps2 (-1)");
    refuse((fr_train_opts){.lr = 1, .ema = 1}, "decay of averages is 1");
    refuse((fr_train_opts){.lr = 1, .ema = NAN}, "decay of averages is nan");
    refuse((fr_train_opts){.lr = 1, .optimizer = FR_ADAMW8, .block8 = 100}, "blocks of 100");
    refuse((fr_train_opts){.lr = 1, .optimizer = FR_ADAMW8, .block8 = 32768}, "blocks of 32768");
    refuse((fr_train_opts){.lr = 1, .optimizer = FR_CAME8, .least8 = -1}, "from tensors of -1");
    refuse((fr_train_opts){.lr = 1, .optimizer = (fr_optimizer_kind)7}, "no optimizer 7");
    refuse((fr_train_opts){.lr = 1, .schedule = (fr_schedule_kind)9}, "no schedule 9");
    refuse((fr_train_opts){.lr = 1, .warmup = -3}, "warm-up of -3");
    refuse((fr_train_opts){.lr = 1, .schedule = FR_SCHEDULE_COSINE}, "number of steps");
    refuse((fr_train_opts){.lr = 1, .schedule = FR_SCHEDULE_LINEAR, .warmup = 9, .steps = 8},
           "9 steps does not fit into 8");
}

static void test_schedule_edges(void **state) {
    (void)state;
    fr_train_opts o = {.lr = 1, .final_lr = 0.25f, .schedule = FR_SCHEDULE_COSINE};
    o.warmup = o.steps = 4; /* nothing but a rise */
    assert_float_equal(fr_learning_rate(&o, 3), 1, 0);
    assert_float_equal(fr_learning_rate(&o, 4), 0.25, 0);
    o.warmup = 0;
    o.steps = 1;
    assert_float_equal(fr_learning_rate(&o, 0), 1, 0);
    assert_float_equal(fr_learning_rate(&o, 1), 0.25, 0);
    assert_float_equal(fr_learning_rate(&o, INT64_MAX), 0.25, 0);
    o.schedule = FR_SCHEDULE_CONSTANT;
    assert_float_equal(fr_learning_rate(&o, INT64_MAX), 1, 0);
}

static void test_graphs(void **state) {
    (void)state;
    fr_train_opts o = {.lr = 1};
    fr_trainer *t;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 1, (int64_t[]){4});
    fails(fr_trainer_new(g, fr_mse(g, x, x), &o, NULL, &t), "no parameters");
    fr_graph_free(g);

    g = fr_graph_new();
    x = fr_param(g, "w", FR_F32, 1, (int64_t[]){4});
    fails(fr_trainer_new(g, fr_add(g, x, x), &o, NULL, &t), "[4]"); /* no single number */
    fr_graph_free(g);

    fr_val loss; /* called "loss" already, and without values */
    g = simple(&loss);
    fr_output(g, "loss", loss);
    ok(fr_trainer_new(g, loss, &o, NULL, &t));
    fails(step(t, 1, NULL, NULL), "parameter w has no value yet");
    fails(fr_trainer_save(t, "never.safetensors"), "parameter w has no value yet");
    assert_int_not_equal(access("never.safetensors", F_OK), 0);
    fr_trainer_free(t);
    fr_graph_free(g);
}

/* Values bound after the first step are the ones that training goes on from. */
static void test_bound_again(void **state) {
    (void)state;
    fr_val loss;
    fr_graph *g = simple(&loss);
    fr_train_opts o = {.lr = 0.1f};
    fr_trainer *t;
    fr_store *store;
    float other[ROWS * COLS], four[4] = {1, 2, 3, 4};
    for (int i = 0; i < ROWS * COLS; i++) other[i] = (float)i;
    fr_tensor w = fr_tensor_make(FR_F32, 2, (int64_t[]){ROWS, COLS}, other),
              b = fr_tensor_make(FR_F32, 1, (int64_t[]){COLS}, four),
              idle = fr_tensor_make(FR_F32, 2, (int64_t[]){2, 2}, four);
    fr_named_tensor list[] = {{"w", &w}, {"bias", &b}, {"idle", &idle}};
    ok(fr_safetensors_write("other.safetensors", list, FR_COUNT(list), NULL, 0));
    ok(fr_trainer_new(g, loss, &o, NULL, &t));
    ok(fr_session_init_random(fr_trainer_session(t), 1, 1));
    ok(step(t, 1, NULL, NULL));
    ok(fr_store_open("other.safetensors", &store));
    ok(fr_session_load(fr_trainer_session(t), store));
    ok(step(t, 0, NULL, NULL));
    fr_store_close(store);
    /* w - rate * 2 (w + bias) / 12 */
    for (int i = 0; i < ROWS * COLS; i++)
        assert_float_equal(values(t, g, "w")[i],
                           (float)i - 0.1f * 2 * ((float)i + four[i % 4]) / 12, 1e-5);
    fr_trainer_free(t);
    fr_graph_free(g);
    unlink("other.safetensors");
}

/* ---- memory ---- */

static fr_status short_training(fr_graph *g, fr_val loss, fr_train_opts o) {
    fr_trainer *t;
    FR_TRY(fr_trainer_new(g, loss, &o, NULL, &t));
    fr_status st = fr_session_init_random(fr_trainer_session(t), 1, 1);
    if (!st) st = step(t, 1, NULL, NULL);
    if (!st) st = fr_trainer_save(t, "short.safetensors");
    if (!st) st = fr_trainer_resume(t, "short.safetensors");
    fr_trainer_free(t);
    return st;
}

static void check_out_of_memory(fr_train_opts o) {
    size_t before = fr_memory_total().now;
    long n = 1;
    for (;; n++) {
        fr_val loss;
        fr_graph *g = simple(&loss);
        ok(fr_graph_check(g));
        fr_memory_fail_after(n);
        fr_status st = short_training(g, loss, o);
        fr_memory_fail_after(0);
        fr_graph_free(g);
        assert_int_equal(fr_memory_total().now, before);
        if (st == FR_OK) break;
        assert_int_equal(st, FR_NOMEM);
        assert_true(n < 10000);
    }
    assert_true(n > 20);
    unlink("short.safetensors");
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (int kind = FR_SGD; kind <= FR_CAME8; kind++) check_out_of_memory(any(kind));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_clip),
                                       cmocka_unit_test(test_decay),
                                       cmocka_unit_test(test_loss_not_finite),
                                       cmocka_unit_test(test_gradient_not_finite),
                                       cmocka_unit_test(test_options),
                                       cmocka_unit_test(test_schedule_edges),
                                       cmocka_unit_test(test_graphs),
                                       cmocka_unit_test(test_bound_again),
                                       cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
