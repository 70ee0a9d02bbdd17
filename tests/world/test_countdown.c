/* test_countdown.c: the stack machine against another evaluator on every string of a small alphabet, hostile
 * answers, and problems that can be solved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world/countdown.h"
#include "world/line.h"

/* Reads a postfix expression from its end, as prefix with the operands exchanged. Returns where it begins. */
static const char *read_backwards(const char *begin, const char *end, double *value, bool *good) {
    double a = 0, b = 0;
    if (end == begin) {
        *good = false;
        return begin;
    }
    char c = *--end;
    if (c >= '0' && c <= '9') {
        *value = c - '0';
        return end;
    }
    end = read_backwards(begin, end, &b, good);
    if (*good) end = read_backwards(begin, end, &a, good);
    *value = c == '+' ? a + b : c == '-' ? a - b : a * b;
    return end;
}

static int by_byte(const void *a, const void *b) {
    return *(const char *)a - *(const char *)b;
}

static bool same_digits(const char *digits, const char *answer) {
    char want[16] = {0}, have[16] = {0};
    int n = 0;
    snprintf(want, sizeof want, "%s", digits);
    for (const char *p = answer; *p; p++)
        if (*p >= '0' && *p <= '9') have[n++] = *p;
    qsort(want, strlen(want), 1, by_byte);
    qsort(have, (size_t)n, 1, by_byte);
    return strcmp(want, have) == 0;
}

static bool right_otherwise(const char *digits, int target, const char *answer) {
    double value = 0;
    bool good = true;
    const char *rest = read_backwards(answer, answer + strlen(answer), &value, &good);
    return good && rest == answer && value == target && same_digits(digits, answer);
}

/* Every string of the alphabet up to the length, longer than a right one by a byte. */
static int try_all(const char *digits, int target, const char *alphabet, int most) {
    int letters = (int)strlen(alphabet), at[9] = {0}, right = 0;
    for (int length = 0; length <= most; length++) {
        memset(at, 0, sizeof at);
        for (int more = 1; more;) {
            char answer[10] = {0};
            for (int i = 0; i < length; i++) answer[i] = alphabet[at[i]];
            bool judged = fr_countdown_check(digits, target, answer, NULL);
            if (judged != right_otherwise(digits, target, answer))
                fail_msg("%s:%d, %s judged %d", digits, target, answer, judged);
            right += judged;
            more = 0;
            for (int i = 0; i < length && !more; i++) {
                if (++at[i] < letters)
                    more = 1;
                else
                    at[i] = 0;
            }
        }
    }
    return right;
}

static void test_all_strings(void **state) {
    (void)state;
    assert_true(try_all("372", 13, "3725+-*", 6) >= 1);
    assert_true(try_all("225", 20, "25+-*", 6) >= 3);
    assert_int_equal(try_all("111", 98, "12+-*", 6), 0);
    assert_true(try_all("1234", -5, "1234-*", 7) > 10);
    assert_true(try_all("9999", 0, "9+-*", 8) > 10);
}

static void test_hostile(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",          " ",       "3",       "37*",       "37*2",       "372",     "37*2-2",
        "+",         "37*2-+",  "*37*2-",  " 37*2-",    "37*2- ",     "37*2-\n", "37*2-,",
        "(3*7)-2",   "3*7-2",   "37*2-0+", "37*2/",     "33*2-",      "372*-",   "37*2-<e>",
        "37\xff*2-", "99*9*9*", "13",      "-",         "37*2-37*2-", "0037*2-", "+37*2-",
        "3 7*2-",    "３７*2-", "37x2-",   "37*2-\x01",
    };
    char reason[96];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (fr_countdown_check("372", 19 + (i == 14), wrong[i], reason))
            fail_msg("'%s' was taken", wrong[i]);
        assert_true(reason[0] != 0);
    }
    assert_true(fr_countdown_check("372", 19, "37*2-", reason));
    assert_string_equal(reason, "");
    assert_false(fr_countdown_check("372", 18, "37*2-", reason));
    assert_string_equal(reason, "it is 19, not 18");
    /* a million digits, operations, and bytes that are neither */
    enum { MANY = 1000000 };
    char *text = malloc(MANY + 1);
    for (const char *c = "39*+-x\x80"; *c; c++) {
        memset(text, *c, MANY);
        text[MANY] = 0;
        assert_false(fr_countdown_check("3999", 39, text, reason));
    }
    free(text);
    /* what is no problem has no answer */
    assert_false(fr_countdown_check("99999", 45, "9999+", NULL));
    assert_false(fr_countdown_check("30", 3, "30+", NULL));
    assert_false(fr_countdown_check("", 0, "", NULL));
}

static void test_prompts(void **state) {
    (void)state;
    static const char *const wrong[] = {"",          "372",        "372:+01,",  "372:013,",
                                        "072:+013,", "372:+013",   "37:+013,",  "37211:+013,",
                                        "372:+a13,", "372:+013,3", "372;+013,", "372:*013,"};
    char digits[FR_COUNTDOWN_DIGITS + 1];
    int target;
    assert_true(fr_countdown_parse("372:+013,37", 9, digits, &target));
    assert_string_equal(digits, "372");
    assert_int_equal(target, 13);
    assert_true(fr_countdown_parse("3729:-099,", 10, digits, &target));
    assert_string_equal(digits, "3729");
    assert_int_equal(target, -99);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(fr_countdown_parse(wrong[i], (int)strlen(wrong[i]), digits, &target));
}

static void test_problems(void **state) {
    (void)state;
    int negative = 0, four = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        fr_line l;
        char digits[FR_COUNTDOWN_DIGITS + 1], reason[96];
        int target;
        fr_line_make(41, i, FR_LINE_COUNTDOWN, FR_LINES_ALL, &l);
        if (!fr_line_judge(&l, l.text + l.prompt, reason)) fail_msg("%s: %s", l.text, reason);
        assert_true(fr_countdown_parse(l.text, l.prompt, digits, &target));
        assert_true(abs(target) <= FR_COUNTDOWN_TARGET);
        assert_true(right_otherwise(digits, target, l.text + l.prompt));
        assert_false(fr_line_judge(&l, "", reason));
        negative += target < 0;
        four += strlen(digits) == 4;
    }
    assert_in_range(negative, 2000, 10000);
    assert_in_range(four, 8000, 12000);
}

/* Digits in another order are the same problem, and a problem stands in one split. */
static void test_splits(void **state) {
    (void)state;
    enum { KEYS = 10000 * 200 };
    unsigned char *seen = calloc(KEYS, 1);
    for (int split = 0; split < FR_LINES_ALL; split++)
        for (uint64_t i = 0; i < 20000; i++) {
            fr_line l;
            char digits[FR_COUNTDOWN_DIGITS + 1];
            int target;
            fr_line_make(42, i, FR_LINE_COUNTDOWN, (fr_line_split)split, &l);
            assert_int_equal(fr_line_split_of(&l), split);
            assert_true(fr_countdown_parse(l.text, l.prompt, digits, &target));
            qsort(digits, strlen(digits), 1, by_byte);
            unsigned char *mine = &seen[atoi(digits) * 200 + target + 100];
            assert_true(*mine == 0 || *mine == split + 1);
            *mine = (unsigned char)(split + 1);
        }
    free(seen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_strings), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_prompts),     cmocka_unit_test(test_problems),
        cmocka_unit_test(test_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
