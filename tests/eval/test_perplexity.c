/* test_perplexity.c: the perplexity of ids in chunks against losses of a graph without pages; pages in few bits
 * show; the tail is dropped; what makes no sense is a sentence. */
#include <math.h>

#include "../made_model.h"
#include "eval/eval.h"

enum { VOCAB = 97, CONTEXT = 96, CHUNKS = 3, COUNT = CHUNKS * CONTEXT + 17 };

static char dir[] = "/tmp/frugal-perplexity-XXXXXX";
static int32_t ids[COUNT];

static void write_model(float deviation) {
    fr_decoder m = {.vocab = VOCAB,
                    .width = 64,
                    .hidden = 96,
                    .layers = 2,
                    .heads = 2,
                    .kv_heads = 1,
                    .head_dim = 32,
                    .context = CONTEXT,
                    .eps = 1e-5f,
                    .rope = {.theta = 10000},
                    .tied = true,
                    .bos = -1};
    make_model(dir, &m, 7, deviation);
}

static int set_up(void **state) {
    (void)state;
    fr_random_u32(3, 0, 0, (uint32_t *)ids, COUNT);
    for (int i = 0; i < COUNT; i++) ids[i] = (int32_t)((uint32_t)ids[i] % VOCAB);
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return remove_folder(dir);
}

/* The mean over chunks of the loss of a graph that knows no pages. */
static double plain(const fr_model *m) {
    fr_graph *g = fr_graph_new();
    fr_session *s;
    fr_decoder_opts o = {.weights = FR_BF16, .flow = FR_F32};
    int32_t pos[CONTEXT], target[CONTEXT];
    double sum = 0;
    fr_output(g, "loss", fr_decoder_loss(g, &m->decoder, &o, 1, CONTEXT));
    ok(fr_session_new(g, &s));
    ok(fr_session_load(s, m->store));
    for (int c = 0; c < CHUNKS; c++) {
        for (int i = 0; i < CONTEXT; i++) {
            pos[i] = i;
            target[i] = i + 1 < CONTEXT ? ids[c * CONTEXT + i + 1] : -1;
        }
        fr_tensor in[] = {
            fr_tensor_make(FR_I32, 2, (int64_t[]){1, CONTEXT}, ids + c * CONTEXT),
            fr_tensor_make(FR_I32, 2, (int64_t[]){1, CONTEXT}, target),
            fr_tensor_make(FR_I32, 2, (int64_t[]){CONTEXT, 1}, pos),
        };
        ok(fr_session_run(s, in, 3));
        sum += (double)*(float *)fr_session_output(s, "loss")->data;
    }
    fr_session_free(s);
    fr_graph_free(g);
    return sum / CHUNKS;
}

static void test_against_plain(void **state) {
    (void)state;
    fr_model m;
    fr_perplexity p16, p8, p4;
    write_model(0.3f);
    ok(fr_model_open(dir, &m));
    const fr_perplexity_opts o = {0};
    double want = plain(&m);
    ok(fr_perplexity_of(&m, FR_KV_BF16, NULL, ids, COUNT, 1000, &o, &p16));
    ok(fr_perplexity_of(&m, FR_KV_8, NULL, ids, COUNT, 1000, &o, &p8));
    ok(fr_perplexity_of(&m, FR_KV_4, NULL, ids, COUNT, 1000, &o, &p4));
    assert_int_equal(p16.chunks, CHUNKS); /* the tail is no chunk */
    assert_int_equal(p16.tokens, CHUNKS * (CONTEXT - 1));
    assert_true(fabs(log(p16.value) - want) < 2e-3 * want);
    assert_true(fabs(log(p8.value) - want) < 5e-3 * want);
    /* Pages in 4 bits are really used: more than 16 bits would change, and not beyond reason. */
    assert_true(fabs(log(p4.value) - want) > 1e-4 * want);
    assert_true(fabs(log(p4.value) - want) < 5e-2 * want);
    assert_true(p16.error > 0 && p16.error < p16.value);
    fr_model_close(&m);
}

/* To a model without an opinion all tokens are as likely. */
static void test_no_opinion(void **state) {
    (void)state;
    fr_model m;
    fr_perplexity p;
    write_model(0);
    ok(fr_model_open(dir, &m));
    ok(fr_perplexity_of(&m, FR_KV_BF16, NULL, ids, COUNT, COUNT,
                        &(fr_perplexity_opts){.context = 32, .chunks = 2}, &p));
    assert_int_equal(p.chunks, 2);
    assert_true(fabs(p.value - VOCAB) < 1e-3 * VOCAB);
    /* a byte a token, and 31 of 32 tokens foretold */
    assert_true(fabs(p.bits_a_byte - log2(VOCAB) * 31 / 32) < 1e-3);
    fails(fr_perplexity_of(&m, FR_KV_BF16, NULL, ids, 31, 31, &(fr_perplexity_opts){.context = 32},
                           &p),
          "31 tokens");
    fails(fr_perplexity_of(&m, FR_KV_BF16, NULL, ids, COUNT, COUNT,
                           &(fr_perplexity_opts){.context = CONTEXT + 1}, &p),
          "context");
    fr_model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_plain),
        cmocka_unit_test(test_no_opinion),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
