/* test_golden.c: 50 AdamW steps give the losses that PyTorch had, step by step, from the same
 * weights and data (tests/oracle/training.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "models.h"

enum { STEPS = 50 };

static fr_train_opts options(float lr, float decay) {
    return (fr_train_opts){.optimizer = FR_ADAMW,
                           .lr = lr,
                           .beta1 = 0.9f,
                           .beta2 = 0.99f,
                           .weight_decay = decay,
                           .clip = 1,
                           .schedule = FR_SCHEDULE_COSINE,
                           .warmup = 5,
                           .steps = STEPS,
                           .final_lr = lr / 10};
}

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

/* Fills the inputs of one step. */
typedef int feed_fn(const fr_tensor *data, int step, fr_tensor *inputs);

static void train_like(const char *file, fr_graph *g, fr_val loss, fr_train_opts opts,
                       feed_fn *feed) {
    char path[512];
    snprintf(path, sizeof path, "%s/golden/train/%s.safetensors", FR_TESTS_DIR, file);
    fr_store *store;
    fr_trainer *t;
    fr_pool *pool;
    ok(fr_store_open(path, &store));
    ok(fr_pool_new(2, &pool));
    ok(fr_trainer_new(g, loss, &opts, pool, &t));
    ok(fr_session_load(fr_trainer_session(t), store));
    const float *want = fr_store_find(store, "loss")->data;
    const fr_tensor *data = fr_store_find(store, "data");
    double worst = 0;
    for (int step = 0; step < STEPS; step++) {
        fr_tensor inputs[4];
        int n = feed(data, step, inputs);
        float got, norm;
        ok(fr_trainer_step(t, inputs, n, &got, &norm));
        double error = fabs((double)got - want[step]) / want[step];
        if (!(error <= 1e-4))
            fail_msg("%s: step %d: loss %.8g, PyTorch has %.8g", file, step, (double)got,
                     (double)want[step]);
        if (error > worst) worst = error;
    }
    print_message("%s: largest relative difference of the loss %.2g\n", file, worst);
    fr_trainer_free(t);
    fr_store_close(store);
    fr_pool_free(pool);
    fr_graph_free(g);
}

static int feed_tokens(const fr_tensor *data, int step, fr_tensor *in) {
    static int32_t ids[4096], target[4096], pos[512];
    int64_t batch = data->dim[1], tokens = data->dim[2] - 1;
    const int32_t *row = (const int32_t *)data->data + step * batch * (tokens + 1);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t i = 0; i < tokens; i++) {
            ids[b * tokens + i] = row[b * (tokens + 1) + i];
            target[b * tokens + i] = row[b * (tokens + 1) + i + 1];
        }
    for (int32_t i = 0; i < tokens; i++) pos[i] = i;
    in[0] = fr_tensor_make(FR_I32, 2, (int64_t[]){batch, tokens}, ids);
    in[1] = fr_tensor_make(FR_I32, 2, (int64_t[]){batch, tokens}, target);
    in[2] = fr_tensor_make(FR_I32, 2, (int64_t[]){tokens, 1}, pos);
    return 3;
}

static int feed_pictures(const fr_tensor *data, int step, fr_tensor *in) {
    int64_t dim[] = {data->dim[1], data->dim[2], data->dim[3], data->dim[4]};
    float *at = (float *)data->data + step * dim[0] * dim[1] * dim[2] * dim[3];
    in[0] = fr_tensor_make(FR_F32, 4, dim, at);
    return 1;
}

static void test_language_model(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val loss = model_lm(g, &lm_small);
    train_like("lm", g, loss, options(3e-3f, 0.1f), feed_tokens);
}

static void test_autoencoder(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val loss = model_autoencoder(g, 2);
    train_like("autoencoder", g, loss, options(1e-2f, 0.01f), feed_pictures);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_language_model),
                                       cmocka_unit_test(test_autoencoder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
