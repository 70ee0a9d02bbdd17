/* test_llama.c: the graph gives the logits, the loss and the gradients of transformers' LlamaForCausalLM
 * (tests/oracle/llama.py), in f32 and in bf16; recomputing layers changes no bit; adapters start as nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

typedef struct golden {
    fr_store *weights, *data;
    fr_decoder m;
} golden;

static golden open_golden(const char *name) {
    char path[512];
    golden x;
    snprintf(path, sizeof path, "%s/golden/model/%s/golden.safetensors", FR_TESTS_DIR, name);
    ok(fr_store_open(path, &x.data));
    snprintf(path, sizeof path, "%s/golden/model/%s/model.safetensors", FR_TESTS_DIR, name);
    ok(fr_store_open(path, &x.weights));
    ok(fr_decoder_read(fr_store_config(x.weights, "config.json"), &x.m));
    return x;
}

static void close_golden(golden *x) {
    fr_store_close(x->weights);
    fr_store_close(x->data);
}

/* ---- a model with its loss and gradients ---- */

enum { GRADS = 5 };
static const char *const grads[GRADS] = {
    "model.embed_tokens.weight", "model.layers.0.self_attn.k_proj.weight",
    "model.layers.1.mlp.down_proj.weight", "model.layers.1.input_layernorm.weight",
    "model.norm.weight"};

typedef struct run {
    fr_graph *g;
    fr_session *s;
    fr_pool *pool;
} run;

static run start(const golden *x, const fr_decoder_opts *o, bool with_grads) {
    run r = {.g = fr_graph_new()};
    fr_val wrt[GRADS], grad[GRADS];
    fr_val loss = fr_decoder_loss(r.g, &x->m, o, 2, 12);
    fr_output(r.g, "loss", loss);
    if (with_grads) {
        for (int i = 0; i < GRADS; i++) wrt[i] = fr_graph_find(r.g, grads[i]);
        ok(fr_gradients(r.g, loss, GRADS, wrt, grad));
        for (int i = 0; i < GRADS; i++) fr_output(r.g, grads[i], grad[i]);
    }
    ok(fr_pool_new(2, &r.pool));
    fr_session_opts opts = {.pool = r.pool, .train = true};
    ok(fr_session_new_with(r.g, &opts, &r.s));
    return r;
}

static void go(const golden *x, run *r) {
    int32_t pos[12];
    for (int i = 0; i < 12; i++) pos[i] = i;
    fr_tensor in[] = {*fr_store_find(x->data, "ids"), *fr_store_find(x->data, "target"),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){12, 1}, pos)};
    ok(fr_session_run(r->s, in, 3));
}

static void stop(run *r) {
    fr_session_free(r->s);
    fr_graph_free(r->g);
    fr_pool_free(r->pool);
}

/* |got - want| / |want| over all values. */
static double apart(const fr_tensor *got, const fr_tensor *want) {
    size_t n = (size_t)fr_values(want);
    assert_int_equal(n, fr_values(got));
    float *a = fr_alloc(FR_MEM_OTHER, n * sizeof *a), *b = fr_alloc(FR_MEM_OTHER, n * sizeof *b);
    double d = 0, sum = 0;
    ok(fr_tensor_to_f32(got, a));
    ok(fr_tensor_to_f32(want, b));
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        sum += (double)b[i] * (double)b[i];
    }
    fr_free(a);
    fr_free(b);
    return sqrt(d / sum);
}

static void near(const char *what, const fr_tensor *got, const fr_tensor *want, double most) {
    double d = apart(got, want);
    if (!(d <= most)) fail_msg("%s: %.3g apart, at most %.3g", what, d, most);
    print_message("  %-46s %.2g\n", what, d);
}

static void check_loss(const char *name, fr_dtype type, double loss_most, double grad_most) {
    golden x = open_golden(name);
    fr_decoder_opts o = {.weights = type};
    run r = start(&x, &o, true);
    ok(fr_session_load(r.s, x.weights));
    go(&x, &r);
    print_message("%s in %s\n", name, fr_dtype_name(type));
    near("loss", fr_session_output(r.s, "loss"), fr_store_find(x.data, "loss"), loss_most);
    for (int i = 0; i < GRADS; i++) {
        char key[128];
        snprintf(key, sizeof key, "grad/%s", grads[i]);
        near(grads[i], fr_session_output(r.s, grads[i]), fr_store_find(x.data, key), grad_most);
    }
    stop(&r);
    close_golden(&x);
}

static void check_logits(const char *name, fr_dtype type, double most) {
    golden x = open_golden(name);
    fr_decoder_opts o = {.weights = type};
    fr_graph *g = fr_graph_new();
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){2, 12});
    fr_val pos = fr_input(g, "pos", FR_I32, 2, (int64_t[]){12, 1});
    fr_val y = fr_decoder_logits(g, &x.m, &o, fr_decoder_body(g, &x.m, &o, ids, pos));
    fr_output(g, "logits", y);
    fr_session *s;
    ok(fr_session_new(g, &s));
    ok(fr_session_load(s, x.weights));
    int32_t at[12];
    for (int i = 0; i < 12; i++) at[i] = i;
    fr_tensor in[] = {*fr_store_find(x.data, "ids"),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){12, 1}, at)};
    ok(fr_session_run(s, in, 2));
    near("logits", fr_session_output(s, "logits"), fr_store_find(x.data, "logits"), most);
    fr_session_free(s);
    fr_graph_free(g);
    close_golden(&x);
}

static void test_f32(void **state) {
    (void)state;
    check_logits("tied", FR_F32, 1e-6);
    check_logits("untied", FR_F32, 1e-6);
    check_loss("tied", FR_F32, 1e-6, 1e-5);
    check_loss("untied", FR_F32, 1e-6, 1e-5);
}

static void test_bf16(void **state) {
    (void)state;
    check_logits("tied", FR_BF16, 1e-2);
    check_logits("untied", FR_BF16, 1e-2);
    check_loss("tied", FR_BF16, 2e-3, 2e-2);
    check_loss("untied", FR_BF16, 2e-3, 2e-2);
}

/* ---- options ---- */

/* Twelve layers, so that what is kept for them is more than one operator's scratch. */
static void test_recompute(void **state) {
    (void)state;
    golden x = open_golden("tied");
    x.m.layers = 12;
    run a = start(&x, &(fr_decoder_opts){0}, true);
    run b = start(&x, &(fr_decoder_opts){.recompute = true}, true);
    ok(fr_decoder_init(a.s, a.g, &x.m, 2));
    ok(fr_decoder_init(b.s, b.g, &x.m, 2));
    go(&x, &a);
    go(&x, &b);
    for (int i = 0; i < GRADS; i++) {
        const fr_tensor *ga = fr_session_output(a.s, grads[i]);
        assert_memory_equal(ga->data, fr_session_output(b.s, grads[i])->data, fr_bytes(ga));
    }
    print_message("arena: %zu bytes, %zu with layers computed again\n", fr_session_arena_bytes(a.s),
                  fr_session_arena_bytes(b.s));
    assert_true(fr_session_arena_bytes(b.s) < fr_session_arena_bytes(a.s) * 2 / 3);
    stop(&a);
    stop(&b);
    close_golden(&x);
}

static float value(const fr_tensor *t) {
    return *(const float *)t->data;
}

/* B begins as zeros, so that nothing changes; B of A's making is worth B A alpha / rank. */
static void test_lora(void **state) {
    (void)state;
    golden x = open_golden("untied");
    fr_decoder_opts o = {.lora_rank = 4, .lora_alpha = 8};
    run r = start(&x, &o, false);
    ok(fr_decoder_init(r.s, r.g, &x.m, 5));
    ok(fr_session_load(r.s, x.weights));
    go(&x, &r);
    float want = value(fr_store_find(x.data, "loss"));
    assert_true(fabsf(value(fr_session_output(r.s, "loss")) - want) < 1e-5f);
    const char *base = "base_model.model.model.layers.1.self_attn.q_proj.lora_";
    char name[128];
    snprintf(name, sizeof name, "%sA.weight", base);
    fr_tensor *down = fr_session_tensor(r.s, fr_graph_find(r.g, name));
    snprintf(name, sizeof name, "%sB.weight", base);
    fr_tensor *up = fr_session_tensor(r.s, fr_graph_find(r.g, name));
    fr_val w = fr_graph_find(r.g, "model.layers.1.self_attn.q_proj.weight");
    assert_true(down->dim[0] == 4 && down->dim[1] == 32 && up->dim[0] == 64 && up->dim[1] == 4);
    float *a = down->data, *b = up->data, merged[64 * 32];
    for (int i = 0; i < 64 * 4; i++) b[i] = (float)(i % 7 - 3) * 0.1f;
    go(&x, &r);
    float adapted = value(fr_session_output(r.s, "loss"));
    assert_true(fabsf(adapted - want) > 1e-3f);
    memcpy(merged, fr_session_tensor(r.s, w)->data, sizeof merged);
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 32; j++)
            for (int k = 0; k < 4; k++) merged[i * 32 + j] += 2 * b[i * 4 + k] * a[k * 32 + j];
    memset(b, 0, 64 * 4 * sizeof *b);
    fr_tensor t = fr_tensor_make(FR_F32, 2, (int64_t[]){64, 32}, merged);
    ok(fr_session_set(r.s, w, &t));
    go(&x, &r);
    assert_true(fabsf(value(fr_session_output(r.s, "loss")) - adapted) < 1e-5f);
    stop(&r);
    close_golden(&x);
}

static double spread(const run *r, const char *name) {
    const fr_tensor *t = fr_session_tensor(r->s, fr_graph_find(r->g, name));
    const float *v = t->data;
    double sum = 0;
    for (int64_t i = 0; i < fr_values(t); i++) sum += (double)v[i] * (double)v[i];
    return sqrt(sum / (double)fr_values(t));
}

static void test_init(void **state) {
    (void)state;
    golden x = open_golden("tied");
    run r = start(&x, &(fr_decoder_opts){0}, false);
    ok(fr_decoder_init(r.s, r.g, &x.m, 1));
    go(&x, &r);
    double in = 1 / sqrt((double)x.m.width), hidden = 1 / sqrt((double)x.m.hidden);
    assert_true(fabsf(value(fr_session_output(r.s, "loss")) - logf(80)) < 0.3f);
    assert_true(fabs(spread(&r, "model.embed_tokens.weight") - 0.05) < 2e-3);
    assert_true(fabs(spread(&r, "model.layers.0.self_attn.q_proj.weight") / in - 1) < 0.05);
    assert_true(fabs(spread(&r, "model.layers.0.self_attn.o_proj.weight") / in - 0.5) < 0.03);
    assert_true(fabs(spread(&r, "model.layers.1.mlp.down_proj.weight") / hidden - 0.5) < 0.03);
    assert_true(spread(&r, "model.norm.weight") == 1);
    stop(&r);
    close_golden(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),  cmocka_unit_test(test_bf16), cmocka_unit_test(test_recompute),
        cmocka_unit_test(test_lora), cmocka_unit_test(test_init),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
