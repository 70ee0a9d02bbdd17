/* test_resume.c: training gives the same bits for any number of threads, and after a stop; and the
 * optimizers do what their papers say. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "models.h"

enum { BATCH = 3, TOKENS = 24, STEPS = 20 };

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static fr_train_opts options(fr_optimizer_kind kind) {
    return (fr_train_opts){.optimizer = kind,
                           .lr = 1e-3f,
                           .momentum = 0.9f,
                           .weight_decay = 0.01f,
                           .clip = 1,
                           .schedule = FR_SCHEDULE_LINEAR,
                           .warmup = 3,
                           .steps = STEPS,
                           .block8 = 64,
                           .least8 = 512};
}

typedef struct run {
    fr_graph *g;
    fr_pool *pool;
    fr_trainer *t;
} run;

static run start_with(int threads, fr_train_opts o) {
    run r = {.g = fr_graph_new()};
    fr_val loss = model_lm(r.g, &lm_small);
    ok(fr_pool_new(threads, &r.pool));
    ok(fr_trainer_new(r.g, loss, &o, r.pool, &r.t));
    ok(fr_session_init_random(fr_trainer_session(r.t), 9, 0.2f));
    return r;
}

static run start(int threads, fr_optimizer_kind kind) {
    return start_with(threads, options(kind));
}

static void finish(run *r) {
    fr_trainer_free(r->t);
    fr_graph_free(r->g);
    fr_pool_free(r->pool);
}

/* Data is a function of the step alone; each is made of so many batches. */
static void steps_of(run *r, int count, int batches) {
    static int32_t ids[BATCH * TOKENS], target[BATCH * TOKENS], pos[TOKENS];
    for (int i = 0; i < count * batches; i++) {
        uint64_t number = (uint64_t)(fr_trainer_step_count(r->t) * batches + i % batches);
        fr_rng rng = fr_rng_new(4, number);
        for (int k = 0; k < BATCH * TOKENS; k++)
            ids[k] = (int32_t)fr_rng_below(&rng, 40), target[k] = (ids[k] * 7 + 1) % 40;
        for (int k = 0; k < TOKENS; k++) pos[k] = k;
        fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, TOKENS}, ids),
                          fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, TOKENS}, target),
                          fr_tensor_make(FR_I32, 2, (int64_t[]){TOKENS, 1}, pos)};
        float loss, norm;
        ok(fr_trainer_accumulate(r->t, in, 3, &loss));
        if (i % batches == batches - 1) ok(fr_trainer_update(r->t, &norm));
    }
}

static void steps(run *r, int count) {
    steps_of(r, count, 1);
}

static char *saved(run *r, const char *path, size_t *bytes) {
    char *data;
    ok(fr_trainer_save(r->t, path));
    ok(fr_read_file(path, 0, &data, bytes));
    return data;
}

/* One more run of the same training; all of them give the same bytes. */
static void compare(run *r, char **first, size_t *first_bytes) {
    size_t bytes;
    char *data = saved(r, "threads.safetensors", &bytes);
    finish(r);
    unlink("threads.safetensors");
    if (!*first) {
        *first = data, *first_bytes = bytes;
        return;
    }
    assert_int_equal(bytes, *first_bytes);
    assert_memory_equal(data, *first, bytes);
    fr_free(data);
}

static const int threads[] = {1, 3, 2, 8};

/* Under sanitizers the first two will do, and fewer steps. */
static bool brief(void) {
    return getenv("FRUGAL_TEST_SHORT") != NULL;
}
static size_t thread_counts(void) {
    return brief() ? 2 : FR_COUNT(threads);
}

static void check_threads(fr_train_opts o, int batches) {
    char *first = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < thread_counts(); i++) {
        run r = start_with(threads[i], o);
        steps_of(&r, STEPS / 2, batches);
        compare(&r, &first, &bytes);
    }
    fr_free(first);
}

static void test_threads(void **state) {
    (void)state;
    for (int kind = FR_SGD; kind <= FR_CAME8; kind++) {
        fr_train_opts o = options((fr_optimizer_kind)kind);
        check_threads(o, 1);
        o.ema = 0.9f;
        check_threads(o, 3);
    }
}

/* A matrix of many pieces, the rows of which they share: CAME adds up over all of them. */
static void test_threads_large(void **state) {
    (void)state;
    enum { ROWS = 700, COLS = 90 };
    static float x[ROWS * COLS];
    for (int kind = FR_CAME; kind <= FR_CAME8; kind++) {
        char *first = NULL;
        size_t bytes = 0;
        for (size_t i = 0; i < thread_counts(); i++) {
            run r = {.g = fr_graph_new()};
            fr_val w = fr_param(r.g, "w", FR_F32, 2, (int64_t[]){ROWS, COLS});
            fr_val in = fr_input(r.g, "x", FR_F32, 2, (int64_t[]){ROWS, COLS});
            fr_train_opts o = options((fr_optimizer_kind)kind);
            o.block8 = 2048;
            ok(fr_pool_new(threads[i], &r.pool));
            ok(fr_trainer_new(r.g, fr_mse(r.g, w, in), &o, r.pool, &r.t));
            ok(fr_session_init_random(fr_trainer_session(r.t), 9, 0.2f));
            for (int k = 0; k < 5; k++) {
                fr_random_normal(6, (uint64_t)k, 0, x, ROWS * COLS);
                fr_tensor tensor = fr_tensor_make(FR_F32, 2, (int64_t[]){ROWS, COLS}, x);
                ok(fr_trainer_step(r.t, &tensor, 1, NULL, NULL));
            }
            compare(&r, &first, &bytes);
        }
        fr_free(first);
    }
}

/* Convolutions, group norm and resampling, and batches of two: with SGD for a change. */
static void test_threads_autoencoder(void **state) {
    (void)state;
    enum { PICTURES = 2, VALUES = PICTURES * 16 * 16 * 3 };
    static float x[VALUES];
    char *first = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < thread_counts(); i++) {
        run r = {.g = fr_graph_new()};
        fr_val loss = model_autoencoder(r.g, PICTURES);
        fr_train_opts o = options(FR_SGD);
        ok(fr_pool_new(threads[i], &r.pool));
        ok(fr_trainer_new(r.g, loss, &o, r.pool, &r.t));
        ok(fr_session_init_random(fr_trainer_session(r.t), 9, 0.2f));
        for (int k = 0; k < STEPS; k++) {
            float l, norm;
            fr_random_normal(6, (uint64_t)k, 0, x, VALUES);
            fr_tensor in = fr_tensor_make(FR_F32, 4, (int64_t[]){PICTURES, 16, 16, 3}, x);
            ok(fr_trainer_step(r.t, &in, 1, &l, &norm));
        }
        compare(&r, &first, &bytes);
    }
    fr_free(first);
}

/* Half the steps, a stop, the other half. */
static void check_resume(fr_train_opts o, int count, int batches) {
    run whole = start_with(2, o);
    steps_of(&whole, count, batches);
    run half = start_with(2, o);
    steps_of(&half, count / 2, batches);
    ok(fr_trainer_save(half.t, "half.safetensors"));
    finish(&half);
    run rest = start_with(2, o);
    ok(fr_trainer_resume(rest.t, "half.safetensors"));
    assert_int_equal(fr_trainer_step_count(rest.t), count / 2);
    steps_of(&rest, count - count / 2, batches);
    size_t a_bytes, b_bytes;
    char *a = saved(&whole, "a.safetensors", &a_bytes),
         *b = saved(&rest, "b.safetensors", &b_bytes);
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(a, b, a_bytes);
    fr_free(a);
    fr_free(b);
    finish(&whole);
    finish(&rest);
    unlink("half.safetensors");
    unlink("a.safetensors");
    unlink("b.safetensors");
}

/* 50 + 50 = 100, or 8 + 8 = 16 */
static void test_resume(void **state) {
    (void)state;
    for (int kind = FR_SGD; kind <= FR_CAME8; kind++)
        check_resume(options((fr_optimizer_kind)kind), brief() ? 16 : 100, 1);
}

static void test_resume_averages(void **state) {
    (void)state;
    for (int kind = FR_SGD; kind <= FR_CAME8; kind++) {
        fr_train_opts o = options((fr_optimizer_kind)kind);
        o.ema = 0.95f;
        o.around_zero8 = true;
        check_resume(o, STEPS, 2);
    }
}

static void test_resume_refuses(void **state) {
    (void)state;
    run r = start(1, FR_SGD);
    steps(&r, 1);
    ok(fr_trainer_save(r.t, "sgd.safetensors"));
    finish(&r);
    r = start(1, FR_ADAMW);
    assert_int_not_equal(fr_trainer_resume(r.t, "sgd.safetensors"), FR_OK);
    assert_non_null(strstr(fr_message(), "adamw"));
    assert_int_not_equal(fr_trainer_resume(r.t, "not-there.safetensors"), FR_OK);
    finish(&r);
    unlink("sgd.safetensors");
}

/* A single weight w with loss (w - 3)^2 by hand. */
static void check_by_hand(fr_optimizer_kind kind, fr_dtype type) {
    fr_graph *g = fr_graph_new();
    fr_val w = fr_param(g, "w", type, 2, (int64_t[]){1, 1});
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){1, 1});
    fr_val wide = type == FR_F32 ? w : fr_cast(g, w, FR_F32);
    fr_val loss = fr_mse(g, wide, x);
    fr_train_opts o = {.optimizer = kind, .lr = 0.01f, .momentum = 0.9f, .weight_decay = 0.1f};
    fr_trainer *t;
    ok(fr_trainer_new(g, loss, &o, NULL, &t));
    ok(fr_session_init_random(fr_trainer_session(t), 1, 0));
    double p = 0, m = 0, v = 0;
    for (int i = 1; i <= 200; i++) {
        float three = 3, got, norm;
        fr_tensor in = fr_tensor_make(FR_F32, 2, (int64_t[]){1, 1}, &three);
        ok(fr_trainer_step(t, &in, 1, &got, &norm));
        double seen = type == FR_F32 ? p : (double)fr_bf16_to_f32(fr_f32_to_bf16((float)p));
        double d = 2 * (seen - 3);
        assert_true(fabs((double)got - (seen - 3) * (seen - 3)) <
                    2e-2 * (type == FR_F32 ? 1e-2 : 4));
        if (kind == FR_ADAMW) {
            p *= 1 - 0.01 * 0.1;
            m = 0.9 * m + 0.1 * d;
            v = 0.999 * v + 0.001 * d * d;
            p -= 0.01 * (m / (1 - pow(0.9, i))) / (sqrt(v / (1 - pow(0.999, i))) + 1e-8);
        } else {
            d += 0.1 * p;
            m = 0.9 * m + d;
            p -= 0.01 * m;
        }
    }
    float last;
    ok(fr_tensor_to_f32(fr_session_tensor(fr_trainer_session(t), w), &last));
    assert_true(fabs((double)last - p) < (type == FR_F32 ? 1e-4 : 0.05));
    fr_trainer_free(t);
    fr_graph_free(g);
}

static void test_by_hand(void **state) {
    (void)state;
    check_by_hand(FR_SGD, FR_F32);
    check_by_hand(FR_ADAMW, FR_F32);
    check_by_hand(FR_ADAMW, FR_BF16);
}

static void test_schedules(void **state) {
    (void)state;
    fr_train_opts o = {.lr = 1, .final_lr = 0.1f, .warmup = 10, .steps = 110};
    assert_float_equal(fr_learning_rate(&o, 0), 0.1, 1e-6);
    assert_float_equal(fr_learning_rate(&o, 9), 1, 1e-6);
    assert_float_equal(fr_learning_rate(&o, 100), 1, 1e-6);
    o.schedule = FR_SCHEDULE_LINEAR;
    assert_float_equal(fr_learning_rate(&o, 60), 0.55, 1e-6);
    assert_float_equal(fr_learning_rate(&o, 110), 0.1, 1e-6);
    assert_float_equal(fr_learning_rate(&o, 500), 0.1, 1e-6);
    o.schedule = FR_SCHEDULE_COSINE;
    assert_float_equal(fr_learning_rate(&o, 60), 0.55, 1e-6);
    assert_float_equal(fr_learning_rate(&o, 35), 0.1 + 0.9 * 0.5 * (1 + sqrt(0.5)), 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),         cmocka_unit_test(test_threads_autoencoder),
        cmocka_unit_test(test_threads_large),   cmocka_unit_test(test_resume),
        cmocka_unit_test(test_resume_averages), cmocka_unit_test(test_resume_refuses),
        cmocka_unit_test(test_by_hand),         cmocka_unit_test(test_schedules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
