/* test_lines.c: what a language model is fed: whole lines in rows, and what of them counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "train/lines.h"
#include "train/vocabulary.h"

enum { ROWS = 8, TOKENS = 256, LINES = 400 };

static fr_tokenizer *tokenizer;

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static int learn(void **state) {
    (void)state;
    fr_job job = {.seed = 1, .vocab = 500, .lines = 3000};
    return fr_vocabulary_learn(&job, &tokenizer);
}

static int forget(void **state) {
    (void)state;
    fr_tokenizer_free(tokenizer);
    return 0;
}

/* A prompt and its answer, encoded apart, are the ids of the whole. */
static void test_cut(void **state) {
    (void)state;
    for (int task = 0; task < FR_LINE_TASKS; task++)
        for (uint64_t i = 0; i < 300; i++) {
            fr_line line;
            fr_tokens whole = {0}, parts = {0}, given = {0};
            size_t prompt;
            fr_line_make(3, i, task, FR_LINES_ALL, &line);
            ok(fr_tokenizer_encode(tokenizer, line.text, (size_t)line.bytes, 0, &whole));
            ok(fr_tokenizer_encode(tokenizer, line.text, (size_t)line.prompt, 0, &given));
            ok(fr_lines_encode(tokenizer, &line, &parts, &prompt));
            if (parts.count != whole.count + 2 ||
                memcmp(parts.ids + 1, whole.ids, whole.count * sizeof *whole.ids))
                fail_msg("cut at byte %d, this is other tokens: %s", line.prompt, line.text);
            assert_int_equal(parts.ids[0], fr_tokenizer_bos(tokenizer));
            assert_int_equal(parts.ids[parts.count - 1], fr_tokenizer_eos(tokenizer));
            assert_int_equal(prompt, given.count + 1);
            fr_free(whole.ids);
            fr_free(parts.ids);
            fr_free(given.ids);
        }
}

typedef struct batch {
    fr_source source;
    fr_tensor in[4];
    int32_t tokens[ROWS * TOKENS], target[ROWS * TOKENS], pos[TOKENS], first[ROWS * TOKENS];
} batch;

static void make(batch *b, uint64_t number, fr_line_split split, double prompt_loss) {
    fr_lines_opts o = {.tokenizer = tokenizer,
                       .seed = 5,
                       .split = split,
                       .rows = ROWS,
                       .tokens = TOKENS,
                       .prompt_loss = prompt_loss,
                       .apart = true};
    memset(b, 0x55, sizeof *b);
    ok(fr_lines_source(&o, &b->source));
    assert_int_equal(b->source.inputs, 4);
    void *data[] = {b->tokens, b->target, b->pos, b->first};
    for (int i = 0; i < 4; i++) b->in[i] = b->source.shape[i], b->in[i].data = data[i];
    ok(b->source.fill(b->source.self, number, b->in));
    b->source.free(b->source.self);
}

/* The line of batch `number` with this text. */
static void find_line(uint64_t number, fr_line_split split, const char *text, fr_line *out) {
    for (uint64_t i = 0; i < LINES; i++) {
        fr_line_make(5, (number << 20) + i, -1, split, out);
        if (!strcmp(out->text, text)) return;
    }
    fail_msg("no line of this batch: %s", text);
}

typedef struct seen {
    int lines, questions, asked; /* asked: questions whose prompt counts */
    int64_t padding;
} seen;

/* One line that begins at `at`; the tokens that it has. */
static int check_line(const batch *b, int at, int most, uint64_t number, fr_line_split split,
                      seen *s) {
    const int32_t *id = b->tokens + at, *target = b->target + at;
    int n = 0;
    assert_int_equal(id[0], fr_tokenizer_bos(tokenizer));
    while (n < most && id[n] != fr_tokenizer_eos(tokenizer)) n++;
    assert_true(n < most);
    char *text;
    size_t bytes;
    fr_line line;
    ok(fr_tokenizer_decode(tokenizer, id, (size_t)n, false, &text, &bytes));
    find_line(number, split, text, &line);
    fr_free(text);
    fr_tokens given = {0};
    ok(fr_tokenizer_encode(tokenizer, line.text, (size_t)line.prompt, 0, &given));
    bool question = line.task != FR_LINE_CAPTION && line.task != FR_LINE_STORY;
    bool asked = question && target[0] >= 0;
    for (int i = 0; i < n; i++) {
        bool counts = !question || asked || i >= (int)given.count;
        assert_int_equal(target[i], counts ? id[i + 1] : -1);
    }
    for (int i = 0; i <= n; i++) assert_int_equal(b->first[at + i], at % TOKENS);
    assert_int_equal(target[n], -1); /* the next line is not to be guessed */
    fr_free(given.ids);
    s->lines++;
    s->questions += question;
    s->asked += asked;
    return n + 1;
}

static void check_batch(const batch *b, uint64_t number, fr_line_split split, seen *s) {
    for (int i = 0; i < TOKENS; i++) assert_int_equal(b->pos[i], i);
    for (int row = 0; row < ROWS; row++) {
        int at = 0;
        while (at < TOKENS && b->tokens[row * TOKENS + at] == fr_tokenizer_bos(tokenizer))
            at += check_line(b, row * TOKENS + at, TOKENS - at, number, split, s);
        s->padding += TOKENS - at;
        for (; at < TOKENS; at++) {
            assert_int_equal(b->target[row * TOKENS + at], -1);
            assert_int_equal(b->tokens[row * TOKENS + at], fr_tokenizer_eos(tokenizer));
            assert_int_equal(b->first[row * TOKENS + at], at);
        }
    }
}

static void test_rows(void **state) {
    (void)state;
    static batch b;
    seen s = {0};
    for (uint64_t number = 0; number < 10; number++) {
        make(&b, number, FR_LINES_TRAIN, 0);
        check_batch(&b, number, FR_LINES_TRAIN, &s);
    }
    assert_true(s.lines > 10 * ROWS);
    assert_int_equal(s.asked, 0);
    print_message("%d lines in 10 batches, %.1f%% of the tokens are padding\n", s.lines,
                  100.0 * (double)s.padding / (10.0 * ROWS * TOKENS));
    assert_true((double)s.padding < 0.05 * 10 * ROWS * TOKENS);

    s = (seen){0};
    for (uint64_t number = 0; number < 10; number++) {
        make(&b, number, FR_LINES_VALIDATION, 0.25);
        check_batch(&b, number, FR_LINES_VALIDATION, &s);
    }
    double share = (double)s.asked / s.questions;
    if (share < 0.15 || share > 0.35) fail_msg("the prompts of %.2f of the questions count", share);
}

static void test_pure(void **state) {
    (void)state;
    static batch a, b;
    make(&a, 3, FR_LINES_TRAIN, 0.5);
    make(&b, 4, FR_LINES_TRAIN, 0.5);
    assert_memory_not_equal(a.tokens, b.tokens, sizeof a.tokens);
    make(&b, 3, FR_LINES_VALIDATION, 0.5);
    assert_memory_not_equal(a.tokens, b.tokens, sizeof a.tokens);
    make(&b, 3, FR_LINES_TRAIN, 0.5);
    assert_memory_equal(a.tokens, b.tokens, sizeof a.tokens);
    assert_memory_equal(a.target, b.target, sizeof a.target);
    assert_memory_equal(a.first, b.first, sizeof a.first);
}

/* Three sums to one question about colours, and nothing else. */
static void test_shares(void **state) {
    (void)state;
    static int32_t tokens[ROWS * TOKENS], target[ROWS * TOKENS], pos[TOKENS];
    fr_lines_opts o = {.tokenizer = tokenizer, .seed = 5, .rows = ROWS, .tokens = TOKENS};
    o.share[FR_LINE_ADD] = 3;
    o.share[FR_LINE_COLOUR] = 1;
    fr_source source;
    ok(fr_lines_source(&o, &source));
    fr_tensor in[3] = {source.shape[0], source.shape[1], source.shape[2]};
    in[0].data = tokens, in[1].data = target, in[2].data = pos;
    int lines = 0, colours = 0;
    for (uint64_t number = 0; number < 12; number++) {
        ok(source.fill(source.self, number, in));
        for (int i = 0, n; i < ROWS * TOKENS; i += n) {
            char *text;
            size_t bytes;
            for (n = 1; i + n < ROWS * TOKENS; n++)
                if (tokens[i + n] == fr_tokenizer_bos(tokenizer)) break;
            if (tokens[i] != fr_tokenizer_bos(tokenizer)) continue;
            ok(fr_tokenizer_decode(tokenizer, tokens + i, (size_t)n, false, &text, &bytes));
            lines++;
            colours += strstr(text, "colo") != NULL;
            assert_null(strstr(text, "a photo of"));
            fr_free(text);
        }
    }
    source.free(source.self);
    /* Colours are longer, so a few more of them find no room at the end of a batch. */
    double share = (double)colours / lines;
    if (share < 0.18 || share > 0.30) fail_msg("%.3f of %d lines are of colours", share, lines);
}

static void test_refused(void **state) {
    (void)state;
    fr_source s;
    fr_lines_opts o = {.tokenizer = tokenizer, .rows = 0, .tokens = 64};
    assert_int_equal(fr_lines_source(&o, &s), FR_INVALID);
    o.rows = 2, o.tokens = 7;
    assert_int_equal(fr_lines_source(&o, &s), FR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),    cmocka_unit_test(test_rows),    cmocka_unit_test(test_pure),
        cmocka_unit_test(test_shares), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, learn, forget);
}
