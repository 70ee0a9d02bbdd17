/* test_optimizer_loss.c: what 8 bits and factored moments cost: the loss of a small language model, and
 * the bytes kept for each parameter. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

enum { VOCAB = 64, BATCH = 4, TOKENS = 32, LAST = 40 };
static const lm_config config = {.vocab = VOCAB,
                                 .dim = 64,
                                 .layers = 2,
                                 .heads = 4,
                                 .kv_heads = 4,
                                 .hidden = 192,
                                 .batch = BATCH,
                                 .tokens = TOKENS};

/* Under sanitizers too few to learn anything: nothing is said of losses then. */
static bool brief(void) {
    return getenv("FRUGAL_TEST_SHORT") != NULL;
}

/* Each token follows from the one before it by one of three rules, but for one in ten. */
static void make_batch(int step, int32_t *ids, int32_t *target) {
    fr_rng rng = fr_rng_new(4, (uint64_t)step);
    for (int b = 0; b < BATCH; b++) {
        int32_t now = (int32_t)fr_rng_below(&rng, VOCAB), rule = (int32_t)fr_rng_below(&rng, 3);
        for (int i = 0; i <= TOKENS; i++) {
            if (i < TOKENS) ids[b * TOKENS + i] = now;
            if (i) target[b * TOKENS + i - 1] = now;
            now = (now * 5 + 1 + rule) % VOCAB;
            if (fr_rng_below(&rng, 10) == 0) now = (int32_t)fr_rng_below(&rng, VOCAB);
        }
    }
}

/* Norms begin with ones. Returns the number of values. */
static size_t start_values(fr_trainer *t, const fr_graph *g) {
    size_t values = 0;
    float ones[VOCAB];
    for (int i = 0; i < VOCAB; i++) ones[i] = 1;
    for (size_t v = 0; v < g->value_count; v++) {
        const fr_value *value = g->values[v];
        if (value->kind != FR_VALUE_PARAM) continue;
        values += (size_t)fr_values(&value->desc);
        if (value->desc.rank > 1) continue;
        fr_tensor one = fr_tensor_make(FR_F32, 1, value->desc.dim, ones);
        ok(fr_session_set(fr_trainer_session(t), (fr_val)v, &one));
    }
    ok(fr_session_init_random(fr_trainer_session(t), 9, 0.1f));
    return values;
}

typedef struct result {
    double loss, bytes; /* the mean of the last steps; bytes a parameter */
} result;

static result train(fr_train_opts o) {
    static int32_t ids[BATCH * TOKENS], target[BATCH * TOKENS], pos[TOKENS];
    fr_graph *g = fr_graph_new();
    fr_pool *pool;
    fr_trainer *t;
    result r = {0};
    const int steps = brief() ? LAST : 240;
    o.clip = 1;
    o.weight_decay = 0.1f;
    o.schedule = FR_SCHEDULE_COSINE;
    o.warmup = 30;
    o.steps = steps;
    ok(fr_pool_new(2, &pool));
    ok(fr_trainer_new(g, model_lm(g, &config), &o, pool, &t));
    size_t values = start_values(t, g);
    for (int i = 0; i < TOKENS; i++) pos[i] = i;
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, TOKENS}, ids),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, TOKENS}, target),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){TOKENS, 1}, pos)};
    for (int i = 0; i < steps; i++) {
        float loss;
        make_batch(i, ids, target);
        ok(fr_trainer_step(t, in, 3, &loss, NULL));
        if (i >= steps - LAST) r.loss += (double)loss / LAST;
    }
    r.bytes = (double)fr_trainer_state_bytes(t) / (double)values;
    print_message("%s%s: loss %.4f, %.2f bytes a parameter\n", fr_optimizer_names[o.optimizer],
                  o.around_zero8 ? " around zero" : "", r.loss, r.bytes);
    fr_trainer_free(t);
    fr_graph_free(g);
    fr_pool_free(pool);
    return r;
}

static bool within(double a, double b, double share) {
    return brief() || fabs(a - b) <= share * b;
}

static void test_adamw(void **state) {
    (void)state;
    result whole = train((fr_train_opts){.optimizer = FR_ADAMW, .lr = 3e-3f, .beta2 = 0.95f});
    result eight = train((fr_train_opts){.optimizer = FR_ADAMW8, .lr = 3e-3f, .beta2 = 0.95f});
    assert_true(brief() || whole.loss < 0.6 * log(VOCAB)); /* it learns */
    assert_true(within(eight.loss, whole.loss, 0.005));
    assert_true(whole.bytes == 8 && eight.bytes < 2.1);
}

/* Smaller tensors than SANA's, so that there is something in 8 bits. */
static void test_came(void **state) {
    (void)state;
    fr_train_opts o = {.optimizer = FR_CAME, .lr = 5e-4f, .least8 = 4096};
    result whole = train(o);
    o.optimizer = FR_CAME8;
    result eight = train(o);
    o.around_zero8 = true;
    result around = train(o);
    assert_true(brief() || whole.loss < 0.6 * log(VOCAB));
    assert_true(within(eight.loss, whole.loss, 0.01) && within(around.loss, whole.loss, 0.01));
    assert_true(whole.bytes < 4.6 && eight.bytes < 1.6);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_adamw), cmocka_unit_test(test_came)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
