/* test_run.c: whole trainings: the same bits for any number of threads and after a stop, what the folder holds,
 * and what is refused. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/model.h"
#include "text/text.h"
#include "train/metrics.h"
#include "train/run.h"

/* Smaller than recipes/tiny.recipe: there are many trainings here. */
static const char *const small[] = {"steps=24",           "batch=4",
                                    "warmup=2",           "validate_every=12",
                                    "log_every=4",        "checkpoint_minutes=0",
                                    "validate_batches=2", "checkpoint_every=0"};
static const char *const shape[] = {"width=32", "hidden=64", "context=128"};

/* Under sanitizers fewer trainings: here the kind of access counts. */
static bool brief(void) {
    return getenv("FRUGAL_TEST_SHORT") != NULL;
}

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

typedef struct call {
    const char *out, *set[6];
    int threads;
    bool resume, plot, kept; /* kept: the folder is not emptied first */
    const char *recipe;      /* in place of tiny */
} call;

static void remove_all(const char *out) {
    char *command = fr_format("rm -rf %s", out);
    if (system(command)) fail_msg("%s cannot be removed", out);
    fr_free(command);
}

static fr_status train(const call *c) {
    fr_recipe *r;
    if (!c->resume && !c->kept) remove_all(c->out);
    fr_run_opts o = {.out = c->out, .resume = c->resume, .plot = c->plot};
    ok(fr_recipe_open(c->recipe ? c->recipe : FR_TESTS_DIR "/../recipes/tiny.recipe", &r));
    for (size_t i = 0; !c->recipe && i < FR_COUNT(shape); i++) ok(fr_recipe_set(r, shape[i]));
    for (size_t i = 0; i < FR_COUNT(small); i++) ok(fr_recipe_set(r, small[i]));
    for (size_t i = 0; i < FR_COUNT(c->set) && c->set[i]; i++) ok(fr_recipe_set(r, c->set[i]));
    ok(fr_pool_new(c->threads ? c->threads : 2, &o.pool));
    fr_status st = fr_train_run(r, &o);
    fr_pool_free(o.pool);
    fr_recipe_free(r);
    return st;
}

static char *contents(const char *out, const char *name, size_t *bytes) {
    char *path = fr_path_join(out, name), *data;
    ok(fr_read_file(path, 0, &data, bytes));
    fr_free(path);
    return data;
}

static void same_file(const char *a, const char *b, const char *name) {
    size_t a_bytes, b_bytes;
    char *x = contents(a, name, &a_bytes), *y = contents(b, name, &b_bytes);
    if (a_bytes != b_bytes || memcmp(x, y, a_bytes)) fail_msg("%s of %s and %s differ", name, a, b);
    fr_free(x);
    fr_free(y);
}

static void same_training(const char *a, const char *b) {
    same_file(a, b, "checkpoint.safetensors");
    same_file(a, b, "model/model.safetensors");
    same_file(a, b, "model/config.json");
    same_file(a, b, "model/tokenizer.json");
    same_file(a, b, "tokenizer.json");
}

/* The losses of the metrics, without the times. */
static char *losses(const char *out) {
    size_t bytes, used = 0;
    char *text = contents(out, "metrics.jsonl", &bytes), *kept = fr_alloc(FR_MEM_OTHER, bytes + 1);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *end = strstr(line, ", \"lr\"");
        if (!end) end = strstr(line, ", \"seconds\"");
        if (strstr(line, "checkpoint") || !end) continue;
        *end = 0;
        used += (size_t)sprintf(kept + used, "%s\n", line);
    }
    fr_free(text);
    return kept;
}

static void same_losses(const char *a, const char *b) {
    char *x = losses(a), *y = losses(b);
    assert_non_null(strstr(x, "{\"step\": 24, \"loss\""));
    assert_non_null(strstr(x, "{\"step\": 24, \"validation_loss\""));
    assert_string_equal(x, y);
    fr_free(x);
    fr_free(y);
}

static void test_threads(void **state) {
    (void)state;
    static const char *const types[] = {"weights=bf16", "weights=f32"};
    for (size_t i = 0; i < FR_COUNT(types); i++) {
        ok(train(&(call){.out = "one", .threads = 1, .set = {types[i]}}));
        for (int threads = brief() ? 4 : 2; threads <= 4; threads += 2) {
            ok(train(&(call){.out = "many", .threads = threads, .set = {types[i]}}));
            same_training("one", "many");
            same_losses("one", "many");
            remove_all("many");
        }
    }
    ok(train(&(call){.out = "other", .set = {"seed=2"}}));
    size_t a, b;
    char *x = contents("one", "model/model.safetensors", &a),
         *y = contents("other", "model/model.safetensors", &b);
    assert_true(a != b || memcmp(x, y, a));
    fr_free(x);
    fr_free(y);
    remove_all("other");
    remove_all("one");
}

/* Ctrl-C as soon as there is a checkpoint. */
static void *interrupt_later(void *arg) {
    for (int i = 0; i < 20000 && !fr_path_exists(arg); i++) usleep(500);
    fr_interrupt_raise();
    return NULL;
}

/* A training that is stopped in the middle, goes on, and ends as one that was not. */
static void check_resume(const char *recipe, const char *const *set) {
    call whole = {.out = "whole", .recipe = recipe}, part = {.out = "part", .recipe = recipe};
    int n = 0;
    for (; set[n]; n++) whole.set[n] = part.set[n] = set[n];
    part.set[n] = "checkpoint_every=3";
    ok(train(&whole));
    remove_all("part"); /* what a test that failed has left */
    pthread_t thread;
    pthread_create(&thread, NULL, interrupt_later, "part/checkpoint.safetensors");
    fr_status st = train(&part);
    bool told = strstr(fr_message(), " of 24. To go on: frugal train --resume part") != NULL;
    pthread_join(thread, NULL);
    fr_interrupt_clear();
    assert_int_equal(st, FR_INTERRUPTED);
    assert_true(told);
    part.resume = true;
    ok(train(&part));
    same_training("whole", "part");
    same_losses("whole", "part");
    remove_all("whole");
    remove_all("part");
}

static void test_resume(void **state) {
    (void)state;
    if (!brief()) check_resume(NULL, (const char *const[]){"weights=f32", NULL});
    check_resume(NULL, (const char *const[]){"weights=bf16", "prompt_loss=0.5", NULL});
    check_resume(NULL, (const char *const[]){"accumulate=2", "ema=0.9", "recompute=yes", NULL});
    check_resume(NULL, (const char *const[]){"optimizer=adamw8", "share_add=2", NULL});
    if (!brief()) check_resume(NULL, (const char *const[]){"optimizer=came8", NULL});
}

static const fr_tensor *held(const fr_model *m, const char *name) {
    const fr_tensor *t = fr_store_find(m->store, name);
    assert_non_null(t);
    return t;
}

/* Adapters learn and the base stays; the model that is written is both. */
static void test_lora(void **state) {
    (void)state;
    static const char recipe[] = "base = base/model\nlora_rank = 2\nlora_alpha = 6\nlr = 0.01\n"
                                 "tokens = 128\nweights = f32\n";
    ok(train(&(call){.out = "base"}));
    ok(fr_write_file("lora.recipe", recipe, strlen(recipe)));
    ok(train(&(call){.out = "lora", .recipe = "lora.recipe"}));
    fr_model base, both;
    fr_store *adapter;
    ok(fr_model_open("base/model", &base));
    ok(fr_model_open("lora/model", &both));
    ok(fr_store_open("lora/adapter/adapter_model.safetensors", &adapter));
    assert_int_equal(fr_store_count(adapter), 2 * 7 * 2);
    static float w[64 * 32], v[64 * 32], a[2 * 32], b[64 * 2];
    const char *name = "model.layers.1.mlp.gate_proj.weight";
    ok(fr_tensor_to_f32(held(&base, name), w));
    ok(fr_tensor_to_f32(held(&both, name), v));
    const char *prefix = "base_model.model.model.layers.1.mlp.gate_proj.lora_";
    char *first = fr_format("%sA.weight", prefix), *second = fr_format("%sB.weight", prefix);
    ok(fr_tensor_to_f32(fr_store_find(adapter, first), a));
    ok(fr_tensor_to_f32(fr_store_find(adapter, second), b));
    double moved = 0;
    for (int i = 0; i < 64; i++)
        for (int k = 0; k < 32; k++) {
            double x = (double)w[i * 32 + k], add = 0;
            for (int r = 0; r < 2; r++) add += 3.0 * (double)b[i * 2 + r] * (double)a[r * 32 + k];
            moved += add * add;
            assert_true(fabs((double)v[i * 32 + k] - x - add) <= (fabs(x + add) + 1e-6) / 200);
        }
    assert_true(moved > 0);
    const fr_tensor *x = held(&base, "model.norm.weight"), *y = held(&both, "model.norm.weight");
    assert_memory_equal(x->data, y->data, fr_bytes(x));
    fr_store_close(adapter);
    fr_model_close(&base);
    fr_model_close(&both);
    fr_free(first);
    fr_free(second);
    check_resume("lora.recipe", (const char *const[]){"weights=bf16", NULL});
    unlink("lora.recipe");
    remove_all("lora");
    remove_all("base");
}

static void test_folder(void **state) {
    (void)state;
    ok(train(&(call){.out = "full", .plot = true}));
    fr_model m;
    ok(fr_model_open("full/model", &m));
    assert_int_equal(m.decoder.width, 32);
    assert_int_equal(m.decoder.context, 128);
    fr_model_close(&m);
    fr_tokenizer *t;
    ok(fr_tokenizer_open("full/model", &t));
    assert_true(fr_tokenizer_size(t) > 258);
    fr_tokenizer_free(t);
    size_t bytes;
    char *svg = contents("full", "curves.svg", &bytes);
    assert_non_null(strstr(svg, "class=\"unseen\" d=\"M"));
    assert_non_null(strstr(svg, "</svg>"));
    assert_null(strstr(svg, "nan"));
    assert_null(strstr(svg, "inf"));
    fr_free(svg);

    /* A second training does not take its place; another recipe does not go on with it. */
    assert_int_equal(train(&(call){.out = "full", .kept = true}), FR_INVALID);
    assert_non_null(strstr(fr_message(), "full holds a training already"));
    assert_int_equal(train(&(call){.out = "full", .resume = true, .set = {"lr=1"}}), FR_INVALID);
    assert_non_null(strstr(fr_message(), "lr (0.004 before, now 1)"));
    ok(train(&(call){.out = "full", .resume = true, .set = {"log_every=1"}}));
    assert_int_not_equal(train(&(call){.out = "none", .resume = true}), FR_OK);
    remove_all("full");
}

/* What stands behind the checkpoint, and half a line, goes; the rest stays byte by byte. */
static void test_metrics(void **state) {
    (void)state;
    static const char before[] = "{\"step\": 0, \"peak\": 1}\n"
                                 "{\"step\": 10, \"loss\": 2, \"seconds\": 3}\n"
                                 "{\"step\": 14, \"checkpoint\": true, \"loss_sum\": 7.5, "
                                 "\"loss_count\": 4, \"seconds\": 5}\n";
    char *text = fr_format("%s%s", before, "{\"step\": 20, \"loss\": 1, \"seconds\": 9}\n{\"st");
    ok(fr_write_file("m.jsonl", text, strlen(text)));
    fr_free(text);
    fr_metrics m;
    ok(fr_metrics_open("m.jsonl", 14, &m));
    assert_true(m.seconds == 5 && m.loss_sum == 7.5);
    assert_int_equal(m.loss_count, 4);
    fr_metrics_write(&m, "{\"step\": %d}", 15);
    fr_metrics_close(&m);
    size_t bytes;
    ok(fr_read_file("m.jsonl", 0, &text, &bytes));
    char *after = fr_format("%s{\"step\": 15}\n", before);
    assert_string_equal(text, after);
    fr_free(text);
    fr_free(after);
    ok(fr_metrics_open("m.jsonl", 12, &m)); /* sums are those of that very step */
    assert_true(m.seconds == 3 && m.loss_sum == 0);
    assert_int_equal(m.loss_count, 0);
    fr_metrics_close(&m);
    unlink("m.jsonl");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads), cmocka_unit_test(test_resume),  cmocka_unit_test(test_lora),
        cmocka_unit_test(test_folder),  cmocka_unit_test(test_metrics),
    };
    fr_set_quiet(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
