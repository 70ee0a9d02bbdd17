/* test_line.c: lines of the text world. What is asked and answered is read again from the text alone, by
 * line_reader.c, which shares nothing with the makers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line_reader.h"
#include "world/line_parts.h"

static void test_answers(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 80000; i++) {
        fr_line l;
        char prompt[FR_LINE_TEXT], right[FR_LINE_TEXT];
        int task = FR_LINE_HOW_MANY + (int)(i % (FR_LINE_MULTIPLY - FR_LINE_HOW_MANY + 1));
        fr_line_make(5, i, task, FR_LINES_ALL, &l);
        prompt_of(&l, prompt);
        if (is_scene(l.task))
            answer_scene(prompt, right);
        else
            assert_true(answer_number(prompt, right));
        if (strcmp(right, l.text + l.prompt) != 0)
            fail_msg("'%s' is wrong; right is '%s'", l.text, right);
    }
}

/* ---- every task, every split ---- */

static void is_wrong(const fr_line *l, const char *said) {
    char reason[96] = "";
    if (fr_line_judge(l, said, reason))
        fail_msg("'%.*s': '%s' was called right", l->prompt, l->text, said);
    assert_true(reason[0] != 0 && strlen(reason) < 96);
}

static void test_tasks_and_splits(void **state) {
    (void)state;
    for (int task = 0; task < FR_LINE_TASKS; task++)
        for (int split = FR_LINES_TRAIN; split <= FR_LINES_ALL; split++)
            for (uint64_t i = 0; i < 300; i++) {
                fr_line l;
                char said[FR_LINE_TEXT + 16], reason[96] = "?";
                fr_line_make(7, i, task, (fr_line_split)split, &l);
                assert_int_equal(l.task, task);
                if (split != FR_LINES_ALL) assert_int_equal(fr_line_split_of(&l), split);
                assert_true(l.bytes < FR_LINE_TEXT - 1 && l.prompt >= 0 && l.prompt < l.bytes);
                assert_int_equal(strlen(l.text), l.bytes);
                for (const char *c = l.text; *c; c++) assert_true(*c >= ' ' && *c <= '~');
                if (is_scene(l.task) || is_number(l.task)) assert_int_equal(l.text[l.prompt], ' ');

                if (!fr_line_judge(&l, l.text + l.prompt, reason))
                    fail_msg("'%s': %s", l.text, reason);
                assert_int_equal(reason[0], 0);
                is_wrong(&l, "");
                snprintf(said, sizeof said, "%s xyzzy", l.text + l.prompt);
                is_wrong(&l, said);
                if (task == FR_LINE_STORY) continue;
                snprintf(said, sizeof said, " %s ", l.text + l.prompt);
                if (task != FR_LINE_COUNTDOWN) assert_true(fr_line_judge(&l, said, reason));
                snprintf(said, sizeof said, "%s", l.text + l.prompt);
                char *c = said + strspn(said, " -");
                *c = (char)(*c == '1' ? '2' : *c >= '0' && *c <= '9' ? '1' : *c ^ 1);
                is_wrong(&l, said);
            }
}

/* What would not fit is cut off; nothing behind the line is touched. */
static void test_too_long(void **state) {
    (void)state;
    struct {
        fr_line line;
        char behind[64];
    } l = {.line = {.bytes = 0}};
    memset(l.behind, 0x55, sizeof l.behind);
    fr_line_add_text(&l.line, "%d",
                     640); /* then one of those that follow is too long by its zero */
    for (int i = 1; i <= 100; i++) {
        fr_line_add_text(&l.line, "%s", "thirteen more");
        assert_int_equal(l.line.bytes, FR_MIN(3 + 13 * i, FR_LINE_TEXT - 1));
        assert_int_equal(strlen(l.line.text), l.line.bytes);
    }
    for (size_t i = 0; i < sizeof l.behind; i++) assert_int_equal(l.behind[i], 0x55);
}

/* ---- problems and splits ---- */

/* Keys met before, with what belonged to them. */
typedef struct table {
    uint64_t *key, *value;
    size_t room, used;
} table;

static table new_table(int bits) {
    size_t room = (size_t)1 << bits;
    return (table){calloc(room, sizeof(uint64_t)), calloc(room, sizeof(uint64_t)), room, 0};
}
static void free_table(table *t) {
    free(t->key), free(t->value);
}
/* What is kept for the key; new ones get the value. */
static uint64_t keep(table *t, uint64_t key, uint64_t value, bool *is_new) {
    key += !key;
    size_t at = key * 0x9e3779b97f4a7c15ull >> 20;
    while (t->key[at %= t->room] && t->key[at] != key) at++;
    *is_new = !t->key[at];
    if (*is_new) t->key[at] = key, t->value[at] = value, t->used++;
    assert_true(t->used < t->room * 3 / 4);
    return t->value[at];
}

/* What a line asks, in one way of saying it, from its text alone. */
static uint64_t meaning(const fr_line *l) {
    char prompt[FR_LINE_TEXT], out[FR_LINE_TEXT] = "";
    prompt_of(l, prompt);
    if (is_number(l->task) && l->task != FR_LINE_COUNT) {
        int a = 0, b = 0;
        sscanf(strpbrk(prompt, "0123456789"), "%d %*s %d", &a, &b);
        snprintf(out, sizeof out, "%d %d %d", l->task, a < b ? a : b, a < b ? b : a);
    } else if (is_scene(l->task)) {
        asked_scene s = read_scene(prompt);
        thing t[4] = {{0, 0, 0}};
        bool several, row = s.row || s.column;
        int things = things_of(s.question, t, &several), shows[64] = {0};
        char *at = out + sprintf(out, "%d", l->task);
        for (int i = 0; i < s.things; i++) {
            shows[s.thing[i].colour * 8 + s.thing[i].class] = s.thing[i].count;
            if (row) at += sprintf(at, " %d.%d", s.thing[i].colour, s.thing[i].class);
        }
        for (int i = 0; i < 64 && !row; i++)
            if (shows[i]) at += sprintf(at, " %d.%d", i, shows[i]);
        for (int i = 0; i < FR_RELATIONS; i++)
            if (strstr(s.question, fr_relation_names[i])) at += sprintf(at, " r%d", i);
        for (int i = 0; i < things; i++) at += sprintf(at, " %d/%d", t[i].colour, t[i].class);
    } else if (l->task == FR_LINE_COUNTDOWN) { /* the digits in their order, the target */
        char *at = out;
        for (char c = '1'; c <= '9'; c++)
            for (const char *d = prompt; *d != ':'; d++)
                if (*d == c) *at++ = c;
        snprintf(at, 8, "%s", strchr(prompt, ':'));
    } else {
        snprintf(out, sizeof out, "%s", l->text);
    }
    return fr_line_hash(out, strlen(out));
}

/* Lines that ask the same are of one problem and so of one split, whoever made them; other lines are not. */
static void test_splits_are_disjoint(void **state) {
    (void)state;
    table by_meaning = new_table(19), by_problem = new_table(19);
    size_t of_split[3] = {0};
    for (uint64_t i = 0; i < 200000; i++) {
        fr_line l;
        bool is_new, new_problem;
        fr_line_make(100 + i % 3, i, i % 2 ? -1 : FR_LINE_HOW_MANY + (int)(i / 2 % 4), FR_LINES_ALL,
                     &l);
        if (l.task == FR_LINE_STORY) continue; /* see test_story.c */
        uint64_t m = meaning(&l);
        if (keep(&by_meaning, m, l.problem, &is_new) != l.problem)
            fail_msg("'%s' was another problem before", l.text);
        if (is_new) of_split[fr_line_split_of(&l)]++;
        if (l.task == FR_LINE_COUNT) continue; /* three ways to say it, one meaning for each here */
        if (keep(&by_problem, l.problem, m, &new_problem) != m)
            fail_msg("'%s' asks something else than another line of its problem", l.text);
    }
    double all = (double)by_meaning.used;
    assert_true(all > 90000);
    print_message("%.0f problems: %.4f, %.4f, %.4f\n", all, (double)of_split[0] / all,
                  (double)of_split[1] / all, (double)of_split[2] / all);
    assert_true(fabs((double)of_split[FR_LINES_TRAIN] / all - 0.90) < 0.005);
    assert_true(fabs((double)of_split[FR_LINES_VALIDATION] / all - 0.05) < 0.004);
    assert_true(fabs((double)of_split[FR_LINES_HELD_OUT] / all - 0.05) < 0.004);
    free_table(&by_meaning), free_table(&by_problem);
}

/* ---- the same bytes ---- */

static uint64_t bytes_of(const fr_line *l) {
    return fr_line_hash(l->text, (size_t)l->bytes) * 31 + (uint64_t)l->prompt * 7 +
           (uint64_t)l->task;
}

static void test_any_order(void **state) {
    (void)state;
    enum { N = 3000 };
    static uint64_t seen[N];
    fr_line l;
    for (uint64_t i = 0; i < N; i++) {
        fr_line_make(11, i, -1, FR_LINES_TRAIN, &l);
        seen[i] = bytes_of(&l);
    }
    for (uint64_t i = N; i-- > 0;) {
        memset(&l, 0x55, sizeof l);
        fr_line_make(11, i, -1, FR_LINES_TRAIN, &l);
        assert_int_equal(bytes_of(&l), seen[i]);
        fr_line_make(11, i, (int)l.task, FR_LINES_TRAIN, &l); /* as the lot had it */
        assert_int_equal(bytes_of(&l), seen[i]);
    }
}

/* A model is trained on these bytes: whoever changes them, trains it anew. */
static void test_golden(void **state) {
    (void)state;
    static const uint64_t golden[FR_LINE_TASKS] = {
        [FR_LINE_CAPTION] = 0x5718a3697a285513ull,     [FR_LINE_HOW_MANY] = 0x544df0ef49c212a7ull,
        [FR_LINE_HOW_MANY_OF] = 0x9499eed90ff80407ull, [FR_LINE_COLOUR] = 0x550358e086afd71full,
        [FR_LINE_WHERE] = 0x9e7c5ba81187ee87ull,       [FR_LINE_COUNT] = 0xb3eec41368ad77c1ull,
        [FR_LINE_ADD] = 0x67bfaf5fe9b4b972ull,         [FR_LINE_SUBTRACT] = 0x6af5cd095e5a77a4ull,
        [FR_LINE_MULTIPLY] = 0x665708ebffd12428ull,    [FR_LINE_COUNTDOWN] = 0xcf9212e03ddef2eaull,
        [FR_LINE_STORY] = 0x41075dae7d1da25eull,
    };
    bool same = true;
    for (int task = 0; task < FR_LINE_TASKS; task++) {
        uint64_t h = 0;
        for (uint64_t i = 0; i < 10000; i++) {
            fr_line l;
            fr_line_make(1, i, task, FR_LINES_TRAIN, &l);
            h = h * 0x100000001b3ull ^ bytes_of(&l);
        }
        if (h != golden[task])
            print_message("%s: 0x%016llxull\n", fr_line_task_names[task], (unsigned long long)h);
        same &= h == golden[task];
    }
    assert_true(same);
}

/* ---- how many there are ---- */

/* A row of n shapes: 64 * 63 * ... ways; left to right or top to bottom; two shapes that are asked for, two
 * relations. No two of these lines are the same. */
static double whether_lines(int n) {
    double rows = 1;
    for (int i = 0; i < n; i++) rows *= 64 - i;
    return rows * 2 * n * (n - 1) * 2;
}

/* Lines that the grammar makes, counted from below: only rows with yes or no as the answer; only scenes of four
 * groups where one group (at any of four places, of 8 colours and 8 classes and a count of 1 to 4) has the class
 * that is asked for, and the others are different ones of the other 56, of 1 to 3 each (what colour: 1 to 4);
 * three ways to begin and three (two) ways to ask. */
static double lines_at_least(void) {
    double all = 0, others = 56.0 * 55 * 54;
    for (int n = 2; n <= 5; n++) all += whether_lines(n);
    all += 4 * 8 * 8 * 4 * others * 3 * 3 * 3 * 3 * 3; /* how many circles */
    all += 4 * 8 * 8 * 4 * others * 4 * 4 * 4 * 3 * 2; /* what colour is the circle */
    return all;
}

static void test_distinct(void **state) {
    (void)state;
    double all = lines_at_least();
    print_message("at least 10^%.2f lines\n", log10(all));
    assert_true(log10(all) > 9);

    /* The count is not of paper: among lines with n shapes that are drawn evenly, as many repeat as must. */
    table seen = new_table(21);
    double drawn[6] = {0}, again[6] = {0};
    for (uint64_t i = 0; i < 1000000; i++) {
        fr_line l;
        bool is_new;
        fr_line_make(3, i, FR_LINE_WHERE, FR_LINES_ALL, &l);
        if (!strstr(l.text, " Is the ")) continue;
        int n = 1;
        for (const char *c = l.text; *c; c++) n += *c == ',';
        keep(&seen, fr_line_hash(l.text, (size_t)l.bytes), 0, &is_new);
        drawn[n]++;
        again[n] += !is_new;
    }
    for (int n = 2; n <= 5; n++) {
        double kinds = whether_lines(n), fresh = -kinds * expm1(-drawn[n] / kinds);
        double expected = drawn[n] - fresh;
        print_message("%d shapes: %.0f of %.0f lines were there before, %.1f expected\n", n,
                      again[n], drawn[n], expected);
        assert_true(again[n] < expected + 5 * sqrt(expected) + 5);
    }
    free_table(&seen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),   cmocka_unit_test(test_tasks_and_splits),
        cmocka_unit_test(test_too_long),  cmocka_unit_test(test_splits_are_disjoint),
        cmocka_unit_test(test_any_order), cmocka_unit_test(test_golden),
        cmocka_unit_test(test_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
