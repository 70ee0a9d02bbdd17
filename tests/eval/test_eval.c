/* test_eval.c: the scoreboard asked of speakers whose scores are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/eval.h"

/* Knows what is right, says it in a share of the cases, and counts how it was asked. */
typedef struct oracle {
    enum { RIGHT, WRONG, EVERY_OTHER, ENDLESS, FAILS } mood;
    int64_t asked, sampled, unseen, weighed;
} oracle;

static fr_status say(void *self, const fr_line *lines, size_t count, const fr_sampling *how,
                     int64_t most, char **said) {
    oracle *o = self;
    assert_true(most > 0);
    if (o->mood == FAILS) return fr_fail(FR_IO, "The oracle is out.");
    for (size_t i = 0; i < count; i++) {
        const char *right = lines[i].text + lines[i].prompt;
        assert_null(said[i]);
        bool wrong = o->mood == WRONG || (o->mood == EVERY_OTHER && i % 2);
        if (o->mood != ENDLESS) said[i] = fr_strdup(wrong ? " I do not know" : right);
        o->unseen += fr_line_split_of(&lines[i]) == FR_LINES_HELD_OUT;
    }
    if (how->temperature > 0)
        o->sampled += (int64_t)count;
    else
        o->asked += (int64_t)count;
    return FR_OK;
}

/* Ten bytes are a token of one nat in a prompt, of half a nat in what is said. */
static fr_status weigh(void *self, const fr_line *lines, size_t count, fr_surprise *prompts,
                       fr_surprise *rest) {
    oracle *o = self;
    for (size_t i = 0; i < count; i++) {
        prompts->nats += 1, prompts->tokens += 1, prompts->bytes += 10;
        rest->nats += 0.5, rest->tokens += 1, rest->bytes += 10;
        assert_true(lines[i].bytes > 0);
    }
    o->weighed += (int64_t)count;
    return FR_OK;
}

static fr_speaker speaker_of(oracle *o) {
    return (fr_speaker){.self = o, .say = say, .weigh = weigh};
}

static const fr_eval_opts opts = {
    .lines = 300, .text = 500, .shown = 5, .wrong = 3, .seed = 1, .temperature = 0.8f};

static void test_right(void **state) {
    (void)state;
    oracle o = {.mood = RIGHT};
    fr_speaker s = speaker_of(&o);
    fr_scoreboard b;
    assert_int_equal(fr_eval_text(&s, &opts, &b), FR_OK);
    for (int t = 0; t < FR_LINE_TASKS; t++) {
        assert_int_equal(b.task[t].asked, 300);
        assert_int_equal(b.task[t].right, 300);
    }
    for (int g = 0; g < FR_EVAL_GROUPS; g++) assert_true(b.group[g].right == b.group[g].asked);
    assert_int_equal(b.group[FR_EVAL_QUESTIONS].asked, 900);
    assert_in_range(b.group[FR_EVAL_TWO_DIGITS].asked, 150, 240);
    assert_int_equal(b.group[FR_EVAL_STORIES].asked, 300);
    assert_int_equal(b.wrong_count, 0);
    assert_int_equal(b.shown_count, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(b.shown[i].line.task, FR_LINE_STORY);
        assert_string_equal(b.shown[i].reason, "");
    }
    assert_int_equal(o.asked, 300 * (FR_LINE_TASKS - 1));
    assert_int_equal(o.sampled, 300 + 5);            /* captions, and the stories that are shown */
    assert_int_equal(o.unseen, o.asked + o.sampled); /* all of the split that nobody trains on */
    assert_int_equal(o.weighed, 300 * FR_LINE_TASKS + 500);
    assert_true(fabs(fr_surprise_a_token(b.text) - exp(0.75)) < 1e-9);
    assert_true(fabs(fr_surprise_a_byte(b.text) - exp(0.075)) < 1e-9);
    assert_true(fabs(fr_surprise_a_token(b.answers[FR_LINE_ADD]) - exp(0.5)) < 1e-9);
    fr_scoreboard_free(&b);
}

static void test_wrong(void **state) {
    (void)state;
    for (int endless = 0; endless < 2; endless++) {
        oracle o = {.mood = endless ? ENDLESS : WRONG};
        fr_speaker s = speaker_of(&o);
        fr_scoreboard b;
        assert_int_equal(fr_eval_text(&s, &opts, &b), FR_OK);
        for (int t = 0; t < FR_LINE_TASKS; t++) {
            assert_int_equal(b.task[t].asked, 300);
            assert_int_equal(b.task[t].right, 0);
        }
        for (int g = 0; g < FR_EVAL_GROUPS; g++) {
            assert_true(b.group[g].asked > 100);
            assert_int_equal(b.group[g].right, 0);
        }
        assert_int_equal(b.wrong_count, 3 * FR_LINE_TASKS);
        for (size_t i = 0; i < b.wrong_count; i++) {
            assert_true(b.wrong[i].reason[0] != 0);
            assert_true(endless == !b.wrong[i].said);
        }
        if (endless) assert_string_equal(b.wrong[0].reason, "does not end");
        fr_scoreboard_free(&b);
    }
}

static void test_half(void **state) {
    (void)state;
    oracle o = {.mood = EVERY_OTHER};
    fr_speaker s = speaker_of(&o);
    fr_scoreboard b;
    assert_int_equal(fr_eval_text(&s, &opts, &b), FR_OK);
    for (int t = 0; t < FR_LINE_TASKS; t++) {
        assert_int_equal(b.task[t].right, 150);
    }
    fr_scoreboard_free(&b);
    assert_true(fr_surprise_a_token((fr_surprise){0}) == 0);
}

static void test_some_tasks(void **state) {
    (void)state;
    oracle o = {.mood = RIGHT};
    fr_speaker s = speaker_of(&o);
    fr_scoreboard b;
    fr_eval_opts some = opts;
    some.tasks = 1u << FR_LINE_ADD;
    some.text = 0;
    some.seen = true;
    assert_int_equal(fr_eval_text(&s, &some, &b), FR_OK);
    assert_int_equal(o.asked, 300);
    assert_int_equal(o.unseen, 0);
    assert_int_equal(b.task[FR_LINE_ADD].asked, 300);
    assert_int_equal(b.task[FR_LINE_STORY].asked, 0);
    assert_int_equal(b.shown_count, 0);
    assert_true(b.text.tokens == 0);
    fr_scoreboard_free(&b);
}

static void test_refusals(void **state) {
    (void)state;
    oracle o = {.mood = FAILS};
    fr_speaker s = speaker_of(&o);
    fr_scoreboard b;
    assert_int_equal(fr_eval_text(&s, &opts, &b), FR_IO);
    assert_string_equal(fr_message(), "The oracle is out.");
    assert_null(b.wrong);
    o.mood = RIGHT;
    fr_interrupt_raise();
    assert_int_equal(fr_eval_text(&s, &opts, &b), FR_INTERRUPTED);
    fr_interrupt_clear();
    fr_eval_opts none = opts;
    none.lines = 0;
    assert_int_equal(fr_eval_text(&s, &none, &b), FR_INVALID);
    assert_int_equal(fr_speaker_open("no-such-model", NULL, &s), FR_IO);
    assert_null(s.self);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),    cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_half),     cmocka_unit_test(test_some_tasks),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
