/* test_outlier.c: the twin with outliers computes what the model computes, and what flows through it does have them;
 * a power of two survives a file of bf16. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "made.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}
static void fails(fr_status st, const char *text) {
    assert_int_not_equal(st, FR_OK);
    if (!strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
}

enum { TOKENS = 24, VOCAB = 80 };

/* A graph with its logits and what flows at some places of layer 1. */
static const char *const places[] = {"input_layernorm.rmsnorm", "post_attention_layernorm.rmsnorm",
                                     "self_attn.v_proj.linear", "self_attn.rope_2", "mlp.glu"};
enum { PLACES = FR_COUNT(places) };

typedef struct run {
    fr_graph *g;
    fr_session *s;
} run;

static void show(fr_graph *g, const char *place) {
    char name[128];
    snprintf(name, sizeof name, "model.layers.1.%s", place);
    for (size_t i = 0; i < g->node_count; i++)
        if (!strcmp(g->nodes[i]->name, name)) {
            fr_output(g, place, g->nodes[i]->out0);
            return;
        }
    fail_msg("there is no node %s", name);
}

static run start(const fr_decoder *m) {
    run r = {.g = fr_graph_new()};
    fr_val ids = fr_input(r.g, "ids", FR_I32, 2, (int64_t[]){1, TOKENS});
    fr_val pos = fr_input(r.g, "pos", FR_I32, 2, (int64_t[]){TOKENS, 1});
    fr_output(r.g, "logits",
              fr_decoder_logits(r.g, m, NULL, fr_decoder_body(r.g, m, NULL, ids, pos)));
    for (int i = 0; i < PLACES; i++) show(r.g, places[i]);
    ok(fr_session_new(r.g, &r.s));
    return r;
}

static void go(run *r) {
    int32_t ids[TOKENS], pos[TOKENS];
    for (int i = 0; i < TOKENS; i++) ids[i] = i * 29 % VOCAB, pos[i] = i;
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){1, TOKENS}, ids),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){TOKENS, 1}, pos)};
    ok(fr_session_run(r->s, in, 2));
}

static void set_all(run *r, const fr_named_tensor *w, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fr_val v = fr_graph_find(r->g, w[i].name);
        if (v != FR_NONE) ok(fr_session_set(r->s, v, w[i].tensor));
    }
}

static void stop(run *r) {
    fr_session_free(r->s);
    fr_graph_free(r->g);
}

/* Largest difference over the largest value. */
static double apart(const run *a, const run *b) {
    const float *x = fr_session_output(a->s, "logits")->data,
                *y = fr_session_output(b->s, "logits")->data;
    double most = 0, size = 0;
    for (int i = 0; i < TOKENS * VOCAB; i++) {
        most = fmax(most, fabs((double)x[i] - (double)y[i]));
        size = fmax(size, fabs((double)x[i]));
    }
    return most / size;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The largest magnitude over the median. */
static double ratio(const run *r, const char *place) {
    const fr_tensor *t = fr_session_output(r->s, place);
    size_t n = (size_t)fr_values(t);
    float *v = fr_alloc(FR_MEM_OTHER, n * sizeof *v);
    for (size_t i = 0; i < n; i++) v[i] = fabsf(((const float *)t->data)[i]);
    qsort(v, n, sizeof *v, by_size);
    double x = (double)v[n - 1] / (double)v[n / 2];
    fr_free(v);
    return x;
}

static void check_twin(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/golden/model/%s", FR_TESTS_DIR, name);
    fr_model m;
    fr_named_tensor *w;
    size_t count;
    int64_t channels;
    ok(fr_model_open(path, &m));
    ok(fr_model_weights(&m, &w, &count));
    run plain = start(&m.decoder), twin = start(&m.decoder);
    set_all(&plain, w, count);
    ok(fr_outliers(&m.decoder, &(fr_outlier_opts){.share = 0.01, .factor = 30, .seed = 1}, w, count,
                   &channels));
    set_all(&twin, w, count);
    assert_int_equal(channels, 2 * 5 + !m.decoder.tied); /* at least one of each place */
    go(&plain);
    go(&twin);
    double d = apart(&plain, &twin);
    print_message("%s: logits %.2g apart; largest over median", name, d);
    if (!(d < 1e-5)) fail_msg("the logits of the twin are %.3g apart", d);
    for (int i = 0; i < PLACES; i++) {
        double before = ratio(&plain, places[i]), after = ratio(&twin, places[i]);
        print_message("  %.0f -> %.0f", before, after);
        assert_true(after > 3 * before);
    }
    print_message("\n");
    stop(&plain);
    stop(&twin);
    fr_free(w);
    fr_model_close(&m);
}

static void test_twin(void **state) {
    (void)state;
    check_twin("tied");
    check_twin("untied");
}

/* With biases, norms of heads, parts in one piece, experts. */
static void test_families(void **state) {
    (void)state;
    for (const made_kind *k = made_kinds; k->name; k++) {
        made a;
        if (!made_can(&k->m)) continue;
        made_new(&k->m, 21, &a);
        float *before = made_logits(&a);
        ok(fr_outliers(&a.m, &(fr_outlier_opts){.share = 0.05, .factor = 30, .seed = 2}, a.list,
                       a.count, NULL));
        float *after = made_logits(&a);
        double d = made_apart(before, after);
        if (!(d < 1e-5)) fail_msg("%s: the logits of the twin are %.3g apart", k->name, d);
        fr_free(before), fr_free(after);
        made_free(&a);
    }
}

static void test_file(void **state) {
    (void)state;
    char path[512], dir[] = "/tmp/frugal-outlier-XXXXXX", command[64];
    snprintf(path, sizeof path, "%s/golden/model/untied", FR_TESTS_DIR);
    assert_non_null(mkdtemp(dir));
    fr_model m, back;
    fr_named_tensor *w;
    size_t count;
    ok(fr_model_open(path, &m));
    run plain = start(&m.decoder), twin = start(&m.decoder);
    ok(fr_session_load(plain.s, m.store));
    go(&plain);
    static const double factors[] = {32, 30};
    for (int i = 0; i < 2; i++) {
        fr_outlier_opts o = {.share = 0.1, .factor = factors[i], .seed = 3};
        ok(fr_model_weights(&m, &w, &count));
        ok(fr_outliers(&m.decoder, &o, w, count, NULL));
        ok(fr_model_folder_write(dir, &m.decoder, w, count));
        fr_free(w);
        ok(fr_model_open(dir, &back));
        ok(fr_session_load(twin.s, back.store));
        go(&twin);
        double d = apart(&plain, &twin);
        print_message("factor %.0f in a file of bf16: logits %.2g apart\n", factors[i], d);
        assert_true(i ? d < 2e-2 && d > 1e-4 : d < 1e-5);
        fr_model_close(&back);
    }
    stop(&plain);
    stop(&twin);
    fr_model_close(&m);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

static void test_refuse(void **state) {
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/golden/model/tied", FR_TESTS_DIR);
    fr_model m;
    fr_named_tensor *w;
    size_t count;
    ok(fr_model_open(path, &m));
    ok(fr_model_weights(&m, &w, &count));
    fails(fr_outliers(&m.decoder, &(fr_outlier_opts){.share = 2, .factor = 30}, w, count, NULL),
          "share");
    fails(fr_outliers(&m.decoder, &(fr_outlier_opts){.share = 0.01}, w, count, NULL), "factor");
    fails(fr_outliers(&m.decoder, &(fr_outlier_opts){.factor = 30}, w, 1, NULL), "no parameter");
    fr_decoder other = m.decoder;
    other.hidden++;
    fails(fr_outliers(&other, &(fr_outlier_opts){.factor = 30}, w, count, NULL), "should be f32");
    fr_free(w);
    fr_model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twin),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
