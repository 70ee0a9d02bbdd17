/* test_wrong.c: a model's folder in which something does not go together is refused with a sentence that says what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/model.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static char dir[64];

static char *within(const char *name) {
    static char path[2][128];
    static int next;
    char *p = path[next++ % 2];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* A file of the golden model, its first `from` replaced by `to`, of the same length; cut to `keep` bytes. */
static void copy(const char *name, const char *from, const char *to, size_t keep) {
    char path[512], *data;
    size_t bytes;
    snprintf(path, sizeof path, "%s/golden/model/untied/%s", FR_TESTS_DIR, name);
    ok(fr_read_file(path, 0, &data, &bytes));
    char *at = from ? memmem(data, bytes, from, strlen(from)) : NULL;
    if (from) {
        assert_true(at && strlen(from) == strlen(to));
        memcpy(at, to, strlen(to));
    }
    ok(fr_write_file(within(name), data, FR_MIN(keep, bytes)));
    fr_free(data);
}

/* Opens the folder, builds the graph, loads its weights. */
static fr_status load(void) {
    fr_model m;
    fr_session *s = NULL;
    fr_message_clear();
    FR_TRY(fr_model_open(dir, &m));
    fr_graph *g = fr_graph_new();
    fr_output(g, "loss", fr_decoder_loss(g, &m.decoder, NULL, 1, 4));
    fr_status st = fr_session_new_with(g, &(fr_session_opts){0}, &s);
    if (!st) st = fr_session_load(s, m.store);
    fr_session_free(s);
    fr_graph_free(g);
    fr_model_close(&m);
    return st;
}

static void says(const char *text) {
    assert_int_not_equal(load(), FR_OK);
    if (!strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
}

static void test_wrong(void **state) {
    (void)state;
    const size_t all = SIZE_MAX;
    copy("config.json", NULL, NULL, all);
    copy("model.safetensors", NULL, NULL, all);
    ok(load());
    copy("model.safetensors", "layers.1.mlp.up_proj.weight", "layers.1.mlp.uq_proj.weight", all);
    says("does not hold the parameter 'model.layers.1.mlp.up_proj.weight'");
    copy("model.safetensors", NULL, NULL, 3000);
    says("model.safetensors");
    copy("model.safetensors", NULL, NULL, all);
    copy("config.json", "\"vocab_size\": 80", "\"vocab_size\": 81", all);
    says("'model.embed_tokens.weight'");
    copy("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", all);
    says("'model.layers.2.");
    copy("config.json", "\"model_type\": \"llama\"", "\"model_type\": \"lamma\"", all);
    says("\"lamma\"");
    copy("config.json", NULL, NULL, 100);
    says("config.json");
}

static int begin(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/frugal-wrong-XXXXXX");
    return !mkdtemp(dir);
}

static int end(void **state) {
    (void)state;
    unlink(within("config.json"));
    unlink(within("model.safetensors"));
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wrong)};
    return cmocka_run_group_tests(tests, begin, end);
}
