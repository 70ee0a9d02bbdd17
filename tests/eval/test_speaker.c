/* test_speaker.c: a model in a folder as a speaker: what it says alone and among others, and how unexpected texts
 * are to a model whose opinion is known. */
#include <math.h>

#include "../made_model.h"
#include "eval/eval.h"

enum { VOCAB = 300, LINES = 40 };

static char dir[] = "/tmp/frugal-speaker-XXXXXX";
static fr_line lines[LINES];
static fr_tokenizer *tokenizer;

static bool next_text(void *arg, const char **text, size_t *bytes) {
    int *at = arg;
    if (*at == LINES) return false;
    *text = lines[*at].text;
    *bytes = (size_t)lines[(*at)++].bytes;
    return true;
}

static char *path_of(const char *name) {
    char *path = fr_path_join(dir, name);
    assert_non_null(path);
    return path;
}

static void write_tokenizer(void) {
    int at = 0;
    static const char *const special[] = {"<bos>", "<eos>"};
    fr_bpe_opts o = {.vocab = VOCAB, .special = special, .special_count = 2};
    char *path = path_of("tokenizer.json");
    ok(fr_bpe_train(&o, next_text, &at, &tokenizer));
    ok(fr_tokenizer_save(tokenizer, path));
    fr_free(path);
}

static void write_model(float deviation) {
    fr_decoder m = {.vocab = VOCAB,
                    .width = 32,
                    .hidden = 48,
                    .layers = 2,
                    .heads = 2,
                    .kv_heads = 1,
                    .head_dim = 16,
                    .context = 256,
                    .eps = 1e-5f,
                    .rope = {.theta = 10000},
                    .tied = true,
                    .bos = 0,
                    .eos = {1},
                    .eos_count = 1};
    make_model(dir, &m, 7, deviation);
}

static int set_up(void **state) {
    (void)state;
    for (int i = 0; i < LINES; i++)
        fr_line_make(61, (uint64_t)i, i % FR_LINE_TASKS, FR_LINES_HELD_OUT, &lines[i]);
    if (!mkdtemp(dir)) return -1;
    write_tokenizer();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    fr_tokenizer_free(tokenizer);
    return remove_folder(dir);
}

static size_t tokens_of(const char *text, int bytes) {
    fr_tokens t = {0};
    ok(fr_tokenizer_encode(tokenizer, text, (size_t)bytes, 0, &t));
    size_t n = t.count;
    fr_free(t.ids);
    return n;
}

static void test_no_opinion(void **state) {
    (void)state;
    write_model(0);
    fr_speaker s;
    ok(fr_speaker_open(dir, NULL, &s));
    fr_surprise prompts = {0}, rest = {0};
    ok(s.weigh(s.self, lines, LINES, &prompts, &rest));
    int64_t given = 0, said = 0, bytes = 0;
    for (int i = 0; i < LINES; i++) {
        given += (int64_t)tokens_of(lines[i].text, lines[i].prompt);
        said +=
            (int64_t)tokens_of(lines[i].text + lines[i].prompt, lines[i].bytes - lines[i].prompt) +
            1;
        bytes += lines[i].bytes;
    }
    assert_int_equal(prompts.tokens, given);
    assert_int_equal(rest.tokens, said); /* the end of each document is one */
    assert_int_equal(prompts.bytes + rest.bytes, bytes);
    assert_true(fabs(fr_surprise_a_token(prompts) - VOCAB) < 0.01);
    assert_true(fabs(fr_surprise_a_token(rest) - VOCAB) < 0.01);
    fr_speaker_close(&s);
}

static void test_together_and_alone(void **state) {
    (void)state;
    write_model(0.3f);
    fr_speaker s;
    ok(fr_speaker_open(dir, NULL, &s));
    fr_surprise together[2] = {{0}}, alone[2] = {{0}};
    ok(s.weigh(s.self, lines, LINES, &together[0], &together[1]));
    for (int i = 0; i < LINES; i++) ok(s.weigh(s.self, &lines[i], 1, &alone[0], &alone[1]));
    for (int k = 0; k < 2; k++) {
        assert_int_equal(together[k].tokens, alone[k].tokens);
        assert_true(fabs(together[k].nats / alone[k].nats - 1) < 1e-4);
        assert_true(fabs(fr_surprise_a_token(alone[k]) - VOCAB) > 1); /* it has opinions */
    }
    fr_speaker_close(&s);
}

/* Uniform bytes: a text ends after some 300 tokens, or not at all. */
static void test_said(void **state) {
    (void)state;
    write_model(0);
    fr_speaker s;
    ok(fr_speaker_open(dir, NULL, &s));
    char *said[3][LINES] = {{0}};
    int ended = 0, other = 0, special = 0;
    for (int k = 0; k < 3; k++) {
        fr_sampling how = {.temperature = 1, .seed = k == 2 ? 6 : 5};
        ok(s.say(s.self, lines, LINES, &how, 140, said[k]));
    }
    for (int i = 0; i < LINES; i++) {
        assert_int_equal(!said[0][i], !said[1][i]);
        if (said[0][i]) assert_string_equal(said[0][i], said[1][i]);
        ended += said[0][i] != NULL;
        other += said[0][i] && said[2][i] && strcmp(said[0][i], said[2][i]) != 0;
        special += said[0][i] && strstr(said[0][i], "<bos>");
        for (int k = 0; k < 3; k++) fr_free(said[k][i]);
    }
    print_message("%d of %d end, %d with a token that only begins texts\n", ended, LINES, special);
    assert_in_range(ended, 3, LINES - 3);
    assert_in_range(special, 1, LINES); /* it is seen, so no judge takes the text for right */
    assert_true(other > 0);
    fr_speaker_close(&s);
}

static void test_refusals(void **state) {
    (void)state;
    fr_speaker s;
    char *path = path_of("tokenizer.json"), *away = path_of("away.json");
    write_model(0);
    assert_int_equal(rename(path, away), 0);
    assert_int_not_equal(fr_speaker_open(dir, NULL, &s), FR_OK);
    assert_non_null(strstr(fr_message(), "tokenizer.json"));
    assert_int_equal(rename(away, path), 0);
    fr_free(path);
    fr_free(away);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_opinion),
        cmocka_unit_test(test_together_and_alone),
        cmocka_unit_test(test_said),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
