/* test_optimizer_lora.c: adapters train beside weights that stay as they are, go into files and back,
 * and into weights and out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <float.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/decoder.h"
#include "model/lora.h"
#include "train/train.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}
static void fails(fr_status st, const char *text) {
    assert_int_not_equal(st, FR_OK);
    if (!strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
}

enum { BATCH = 2, TOKENS = 16, RANK = 4, VOCAB = 48 };
static const fr_decoder model = {
    .vocab = VOCAB,
    .width = 32,
    .hidden = 64,
    .layers = 2,
    .heads = 4,
    .kv_heads = 2,
    .head_dim = 8,
    .context = 64,
    .eps = 1e-5f,
    .rope = {.theta = 10000},
    .bos = -1,
};
static const float alpha = 8;

/* ---- batches: one of three tokens that the rule knows ---- */

static int32_t ids[BATCH * TOKENS], target[BATCH * TOKENS], pos[TOKENS];

static const fr_tensor *batch(int64_t number, int rule) {
    static fr_tensor in[3];
    fr_rng rng = fr_rng_new(3, (uint64_t)number);
    for (int i = 0; i < BATCH * TOKENS; i++) {
        ids[i] = (int32_t)fr_rng_below(&rng, VOCAB);
        target[i] = rule * 4 + ids[i] % 3;
    }
    for (int i = 0; i < TOKENS; i++) pos[i] = i;
    in[0] = fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, TOKENS}, ids);
    in[1] = fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, TOKENS}, target);
    in[2] = fr_tensor_make(FR_I32, 2, (int64_t[]){TOKENS, 1}, pos);
    return in;
}

/* ---- training ---- */

typedef struct run {
    fr_graph *g;
    fr_trainer *t;
    fr_session *s;
} run;

static run start(fr_dtype weights) {
    run r = {.g = fr_graph_new()};
    fr_decoder_opts o = {.weights = weights, .lora_rank = RANK, .lora_alpha = alpha};
    fr_train_opts train = {
        .optimizer = FR_ADAMW, .lr = 0.005f, .clip = 1, .trainable = fr_lora_trains};
    ok(fr_trainer_new(r.g, fr_decoder_loss(r.g, &model, &o, BATCH, TOKENS), &train, NULL, &r.t));
    r.s = fr_trainer_session(r.t);
    ok(fr_decoder_init(r.s, r.g, &model, 1));
    return r;
}
static void finish(run *r) {
    fr_trainer_free(r->t);
    fr_graph_free(r->g);
}
static float steps(run *r, int64_t until, int rule) {
    float loss = 0;
    while (fr_trainer_step_count(r->t) < until)
        ok(fr_trainer_step(r->t, batch(fr_trainer_step_count(r->t), rule), 3, &loss, NULL));
    return loss;
}
static float loss_of(fr_session *s, int rule) {
    float loss;
    ok(fr_session_run(s, batch(1000, rule), 3));
    ok(fr_tensor_to_f32(fr_session_output(s, "loss"), &loss));
    return loss;
}

/* All weights that are no adapters, one after another. */
static char *frozen(const fr_graph *g, fr_session *s, size_t *bytes) {
    char *all = NULL;
    *bytes = 0;
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        for (fr_val v = 1; (size_t)v < g->value_count; v++) {
            const fr_value *value = fr_value_of(g, v);
            if (value->kind != FR_VALUE_PARAM || strstr(value->name, "lora_")) continue;
            const fr_tensor *t = fr_session_tensor(s, v);
            if (pass) memcpy(all + at, t->data, fr_bytes(t));
            at += fr_bytes(t);
        }
        if (!pass) all = fr_alloc(FR_MEM_OTHER, *bytes = at);
    }
    return all;
}

static void test_adapters_alone(void **state) {
    (void)state;
    run r = start(FR_F32);
    size_t bytes, values = 0;
    char *before = frozen(r.g, r.s, &bytes);
    float first = loss_of(r.s, 5);
    steps(&r, 100, 5);
    float last = loss_of(r.s, 5);
    print_message("loss of adapters alone: %.3f to %.3f\n", (double)first, (double)last);
    assert_true(last < first - 0.4f); /* the head stays as it is */
    char *after = frozen(r.g, r.s, &bytes);
    assert_memory_equal(before, after, bytes);
    for (fr_val v = 1; (size_t)v < r.g->value_count; v++)
        if (fr_value_of(r.g, v)->kind == FR_VALUE_PARAM &&
            strstr(fr_value_of(r.g, v)->name, "lora_"))
            values += (size_t)fr_values(&fr_value_of(r.g, v)->desc);
    assert_int_equal(fr_trainer_state_bytes(r.t), 8 * values);
    fr_free(before);
    fr_free(after);
    finish(&r);
}

static void test_resume(void **state) {
    (void)state;
    run whole = start(FR_BF16), half = start(FR_BF16), rest = start(FR_BF16);
    steps(&whole, 12, 5);
    steps(&half, 6, 5);
    ok(fr_trainer_save(half.t, "half.safetensors"));
    ok(fr_trainer_resume(rest.t, "half.safetensors"));
    steps(&rest, 12, 5);
    ok(fr_trainer_save(whole.t, "a.safetensors"));
    ok(fr_trainer_save(rest.t, "b.safetensors"));
    char *a, *b;
    size_t a_bytes, b_bytes;
    ok(fr_read_file("a.safetensors", 0, &a, &a_bytes));
    ok(fr_read_file("b.safetensors", 0, &b, &b_bytes));
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(a, b, a_bytes);
    fr_free(a);
    fr_free(b);
    finish(&whole);
    finish(&half);
    finish(&rest);
    unlink("half.safetensors");
    unlink("a.safetensors");
    unlink("b.safetensors");
}

/* ---- merging ---- */

typedef struct plain {
    fr_graph *g;
    fr_session *s;
} plain;

/* The same weights in a graph without adapters. */
static plain base(fr_dtype weights) {
    plain p = {.g = fr_graph_new()};
    fr_output(p.g, "loss",
              fr_decoder_loss(p.g, &model, &(fr_decoder_opts){.weights = weights}, BATCH, TOKENS));
    ok(fr_session_new(p.g, &p.s));
    ok(fr_decoder_init(p.s, p.g, &model, 1));
    return p;
}
static void stop(plain *p) {
    fr_session_free(p->s);
    fr_graph_free(p->g);
}

static fr_lora *adapter(int rule, fr_dtype weights, float *loss) {
    run r = start(weights);
    fr_lora *l;
    steps(&r, 100, rule);
    *loss = loss_of(r.s, rule);
    ok(fr_lora_take(r.s, r.g, alpha, &l));
    finish(&r);
    return l;
}

static void remove_folder(const char *dir) {
    char path[200];
    snprintf(path, sizeof path, "%s/adapter_config.json", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
    unlink(path);
    rmdir(dir);
}

/* The largest difference of two lists of weights, in units of the rounding of the larger. */
static double farthest(const char *a, const char *b, size_t bytes, fr_dtype type) {
    size_t n = bytes / (type == FR_F32 ? 4 : 2);
    double most = 0, unit = type == FR_F32 ? (double)FLT_EPSILON : 1.0 / 128;
    for (size_t i = 0; i < n; i++) {
        float x, y;
        fr_decode(type, a + i * (bytes / n), 1, &x);
        fr_decode(type, b + i * (bytes / n), 1, &y);
        most = fmax(most, fabs((double)x - y) / unit);
    }
    return most;
}

static void check_merge(fr_dtype type) {
    float adapted, merged;
    fr_lora *trained = adapter(5, type, &adapted), *l;
    ok(fr_lora_save(trained, "base", "adapter"));
    ok(fr_lora_open("adapter", &l)); /* what was saved is what comes back */
    fr_lora_free(trained);
    assert_int_equal(fr_lora_rank(l), RANK);
    assert_int_equal(fr_lora_count(l), model.layers * 7);
    plain p = base(type);
    fr_lora_kept *kept;
    size_t bytes;
    char *before = frozen(p.g, p.s, &bytes), *after;
    float without = loss_of(p.s, 5);
    ok(fr_lora_merge(l, 1, p.s, p.g, &kept));
    merged = loss_of(p.s, 5);
    print_message("%s: loss %.5f, beside the weights %.5f, within them %.5f\n", fr_dtype_name(type),
                  (double)without, (double)adapted, (double)merged);
    assert_true(fabsf(merged - adapted) < (type == FR_F32 ? 1e-4f : 0.03f));
    assert_true(adapted < without - 0.4f);
    ok(fr_lora_merge(l, -1, p.s, p.g, NULL));
    after = frozen(p.g, p.s, &bytes);
    double far = farthest(before, after, bytes, type); /* weights and changes are below 1 */
    assert_true(far > 0 && far <= 1);
    fr_free(after);
    ok(fr_lora_merge(l, 1, p.s, p.g, NULL));
    ok(fr_lora_restore(kept));
    after = frozen(p.g, p.s, &bytes);
    assert_memory_equal(before, after, bytes);
    assert_true(loss_of(p.s, 5) == without);
    fr_free(before);
    fr_free(after);
    fr_lora_kept_free(kept);
    fr_lora_free(l);
    stop(&p);
    remove_folder("adapter");
}

static void test_merge(void **state) {
    (void)state;
    check_merge(FR_F32);
    check_merge(FR_BF16);
}

/* Two adapters of one base: each for what it was trained, one after the other, and halves of both. */
static void test_several(void **state) {
    (void)state;
    float a_loss, b_loss;
    fr_lora *a = adapter(5, FR_F32, &a_loss), *b = adapter(7, FR_F32, &b_loss);
    plain p = base(FR_F32);
    fr_lora_kept *kept;
    ok(fr_lora_merge(a, 1, p.s, p.g, &kept));
    assert_true(fabsf(loss_of(p.s, 5) - a_loss) < 1e-4f);
    assert_true(loss_of(p.s, 7) > b_loss + 0.5f);
    ok(fr_lora_restore(kept));
    ok(fr_lora_merge(b, 1, p.s, p.g, NULL));
    assert_true(fabsf(loss_of(p.s, 7) - b_loss) < 1e-4f);
    ok(fr_lora_merge(a, 1, p.s, p.g, NULL)); /* both, and b goes */
    ok(fr_lora_merge(b, -1, p.s, p.g, NULL));
    assert_true(fabsf(loss_of(p.s, 5) - a_loss) < 1e-4f);
    ok(fr_lora_restore(kept));
    ok(fr_lora_merge(a, 0.5f, p.s, p.g, NULL));
    ok(fr_lora_merge(a, 0.5f, p.s, p.g, NULL));
    assert_true(fabsf(loss_of(p.s, 5) - a_loss) < 1e-4f);
    fr_lora_kept_free(kept);
    fr_lora_free(a);
    fr_lora_free(b);
    stop(&p);
}

/* ---- what PEFT wrote: tests/oracle/lora.py ---- */

static void fill(const char *name, const fr_tensor *t) {
    uint32_t h = 2166136261u;
    float *x = t->data;
    for (const char *c = name; *c; c++) h = (h ^ (uint8_t)*c) * 16777619u;
    for (uint32_t i = 0; i < (uint32_t)fr_values(t); i++) {
        float v = (float)(((h ^ (i * 2654435761u)) * 2246822519u) >> 16) / 65536 - 0.5f;
        x[i] = t->rank == 1 ? 1 + v / 8 : v / 2;
    }
}

static float language_loss(plain *p) {
    float loss;
    batch(0, 1);
    for (int i = 0; i < BATCH * TOKENS; i++) ids[i] = (i * i * 5 + 3) % VOCAB;
    for (int i = 0; i < BATCH * TOKENS; i++) target[i] = i % TOKENS < TOKENS - 1 ? ids[i + 1] : -1;
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, TOKENS}, ids),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, TOKENS}, target),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){TOKENS, 1}, pos)};
    ok(fr_session_run(p->s, in, 3));
    ok(fr_tensor_to_f32(fr_session_output(p->s, "loss"), &loss));
    return loss;
}

static void test_peft(void **state) {
    (void)state;
    plain p = base(FR_F32);
    fr_lora *l;
    char *text;
    size_t bytes;
    double alone, with;
    for (fr_val v = 1; (size_t)v < p.g->value_count; v++)
        if (fr_value_of(p.g, v)->kind == FR_VALUE_PARAM)
            fill(fr_value_of(p.g, v)->name, fr_session_tensor(p.s, v));
    fr_session_params_changed(p.s);
    ok(fr_read_file(FR_TESTS_DIR "/golden/train/adapter/loss.txt", 0, &text, &bytes));
    assert_int_equal(sscanf(text, "%lf %lf", &alone, &with), 2);
    assert_float_equal(language_loss(&p), alone, 1e-5);
    ok(fr_lora_open(FR_TESTS_DIR "/golden/train/adapter", &l));
    assert_int_equal(fr_lora_count(l), 10);
    ok(fr_lora_merge(l, 1, p.s, p.g, NULL));
    assert_float_equal(language_loss(&p), with, 1e-5);
    fr_lora_free(l);
    fr_free(text);
    stop(&p);
}

/* ---- refusals ---- */

static void write_adapter(const char *config, const char *name_a, const char *name_b,
                          int64_t rank_b) {
    float v[64] = {0};
    fr_tensor a = fr_tensor_make(FR_F32, 2, (int64_t[]){2, 8}, v),
              b = fr_tensor_make(FR_F32, 2, (int64_t[]){8, rank_b}, v);
    fr_named_tensor list[] = {{name_a, &a}, {name_b, &b}};
    ok(fr_make_dirs("odd"));
    ok(fr_write_file("odd/adapter_config.json", config, strlen(config)));
    ok(fr_safetensors_write("odd/adapter_model.safetensors", list, 2, NULL, 0));
}

static void refuse(const char *config, const char *text) {
    fr_lora *l;
    write_adapter(config, "base_model.model.q.lora_A.weight", "base_model.model.q.lora_B.weight",
                  2);
    fails(fr_lora_open("odd", &l), text);
    assert_null(l);
}

#define CONFIG(more) "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4" more "}"

static void test_refusals(void **state) {
    (void)state;
    fr_lora *l;
    refuse(CONFIG(", \"use_dora\": true"), "use_dora");
    refuse(CONFIG(", \"lora_bias\": true"), "lora_bias");
    refuse(CONFIG(", \"bias\": \"all\""), "a bias");
    refuse(CONFIG(", \"rank_pattern\": {\"q\": 4}"), "several ranks");
    refuse("{\"peft_type\": \"IA3\"}", "\"IA3\"");
    refuse("{\"peft_type\": \"LORA\", \"r\": 3}", "rank 2 and its config says 3");
    write_adapter(CONFIG(""), "q.lora_A.weight", "k.lora_B.weight", 2);
    fails(fr_lora_open("odd", &l), "no B beside it");
    write_adapter(CONFIG(""), "q.lora_A.weight", "q.lora_B.weight", 3);
    fails(fr_lora_open("odd", &l), "no pair");
    write_adapter(CONFIG(""), "q.weight", "k.weight", 2);
    fails(fr_lora_open("odd", &l), "of 2 tensors 0");
    fails(fr_lora_open("not-there", &l), "not-there");

    plain p = base(FR_F32); /* of another model: nothing is touched */
    size_t bytes;
    char *before = frozen(p.g, p.s, &bytes);
    fr_lora_kept *kept;
    write_adapter(CONFIG(""), "q.lora_A.weight", "q.lora_B.weight", 2);
    ok(fr_lora_open("odd", &l));
    fails(fr_lora_merge(l, 1, p.s, p.g, &kept), "changes q, which the model does not have");
    assert_null(kept);
    fr_lora_free(l);
    write_adapter(CONFIG(""), "model.layers.0.mlp.up_proj.lora_A.weight",
                  "model.layers.0.mlp.up_proj.lora_B.weight", 2);
    ok(fr_lora_open("odd", &l));
    fails(fr_lora_merge(l, 1, p.s, p.g, NULL), "is [8, 8] and the model's f32 [64, 32]");
    fr_lora_free(l);
    fails(fr_lora_take(p.s, p.g, 1, &l), "no adapters");
    char *after = frozen(p.g, p.s, &bytes);
    assert_memory_equal(before, after, bytes);
    fr_free(before);
    fr_free(after);
    stop(&p);
    remove_folder("odd");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adapters_alone), cmocka_unit_test(test_resume),
        cmocka_unit_test(test_merge),          cmocka_unit_test(test_several),
        cmocka_unit_test(test_peft),           cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
