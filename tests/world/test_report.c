/* test_report.c: shares with their errors, and whether two examinations differ by more than luck. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "folders.h"
#include "world/report.h"

static const char *const names[] = {"first", "second", "third"};

static void near(double a, double b) {
    if (!(fabs(a - b) < 1e-9)) fail_msg("%.12g, not %.12g", a, b);
}

static void test_shares(void **state) {
    (void)state;
    fr_share s = fr_share_of(1440, 2400);
    near(s.value, 0.6);
    near(s.error, 0.01); /* the specification's example */
    near(fr_share_of(0, 0).value, 0);
    fr_report r = fr_report_new("answers", names, 3, true);
    for (int i = 0; i < 100; i++)
        fr_report_add(&r, 0, i < 50, i < 20, i < 50 ? "" : "late", "at noon");
    for (int i = 0; i < 10; i++) fr_report_add(&r, 2, i != 3, true, i == 3 ? "wrong" : "", "");
    fr_report_add(&r, 3, true, true, "", ""); /* there is no such group */
    fr_report_add(&r, -1, true, true, "", "");
    int groups;
    s = fr_report_mean(&r, false, &groups); /* of tasks, not of answers: (0.5 + 0.9) / 2 */
    assert_int_equal(groups, 2);
    near(s.value, 0.7);
    near(s.error, sqrt(0.25 / 100 + 0.09 / 10) / 2);
    near(fr_report_mean(&r, true, &groups).value, (0.2 + 0.9) / 2);
    assert_int_equal(r.faults, 2);
    assert_int_equal(r.fault[0].count, 50);
    assert_string_equal(r.fault[0].example, "at noon");
}

static void test_printed(void **state) {
    (void)state;
    char *text = NULL;
    size_t bytes;
    fr_report r = fr_report_new("answers", names, 3, true);
    for (int i = 0; i < 8; i++) fr_report_add(&r, i % 2, i > 1, false, i ? "" : "slow", "a snail");
    for (int i = 0; i < 3 * FR_REPORT_FAULTS; i++) {
        char kind[20];
        snprintf(kind, sizeof kind, "kind %d", i);
        fr_report_add(&r, 0, false, false, kind, "");
    }
    assert_int_equal(r.faults, FR_REPORT_FAULTS);
    assert_int_equal(r.fault[FR_REPORT_FAULTS - 1].count, 2 * FR_REPORT_FAULTS + 2);
    FILE *f = open_memstream(&text, &bytes);
    fr_report_print(&r, f, true);
    fclose(f);
    assert_non_null(strstr(text, "mean of 2 tasks"));
    assert_non_null(strstr(text, "75.0%"));
    assert_non_null(strstr(text, "###################......")); /* three quarters of 25 */
    assert_null(strstr(text, "third"));
    assert_non_null(strstr(text, "1  slow, such as: a snail"));
    assert_non_null(strstr(text, "26  something else\n"));
    free(text);
}

static void test_mcnemar(void **state) {
    (void)state;
    fr_paired p = {.both = 50, .only_a = 10, .only_b = 2, .neither = 38};
    near(fr_paired_chance(&p), 2.0 * (1 + 12 + 66) / 4096);
    fr_share d = fr_paired_difference(&p);
    near(d.value, 0.08);
    near(d.error, sqrt((0.12 - 0.0064) / 100));
    fr_paired turned = {.both = 50, .only_a = 2, .only_b = 10, .neither = 38};
    near(fr_paired_chance(&turned), fr_paired_chance(&p));
    near(fr_paired_difference(&turned).value, -0.08);
    near(fr_paired_chance(&(fr_paired){.both = 9}), 1);
    near(fr_paired_chance(&(fr_paired){.only_a = 5, .only_b = 5}), 1);
    /* The normal approximation with its correction, where it holds. */
    fr_paired many = {.only_a = 5200, .only_b = 5000, .both = 100000};
    double z = (200 - 1) / sqrt(10200);
    assert_true(fabs(fr_paired_chance(&many) - erfc(z / sqrt(2))) < 1e-4);
    double never = fr_paired_chance(&(fr_paired){.only_a = 100000});
    assert_true(never >= 0 && never < 1e-300);
}

/* ---- files ---- */

static const char *file(const char *name, const char *text) {
    const char *path = in_folder(name);
    assert_int_equal(fr_write_file(path, text, strlen(text)), FR_OK);
    return path;
}

#define LINE(name, tag, prompt, correct)                                                           \
    "{\"filename\": \"" name "\", \"tag\": \"" tag "\", \"prompt\": \"" prompt                     \
    "\", \"correct\": " correct "}\n"

static void test_compare(void **state) {
    (void)state;
    fr_comparison c;
    const char *a = file("a", LINE("1", "x", "p", "true") LINE("2", "x", "q", "true") "\n" LINE(
                                  "3", "y", "r", "false") LINE("4", "y", "r", "true"));
    const char *b = file("b", LINE("3", "y", "r", "true") LINE("2", "x", "q", "false")
                                  LINE("1", "x", "p", "true") LINE("9", "y", "r", "true"));
    if (fr_results_compare(a, b, &c)) fail_msg("%s", fr_message());
    assert_int_equal(c.groups, 2);
    assert_string_equal(c.name[0], "x");
    assert_int_equal(c.pair[0].both, 1);
    assert_int_equal(c.pair[0].only_a, 1);
    assert_int_equal(c.pair[1].only_b, 1);
    assert_int_equal(c.all.both + c.all.only_a + c.all.only_b + c.all.neither, 3);
    assert_int_equal(c.alone, 2);
}

static void test_hostile_results(void **state) {
    (void)state;
    fr_comparison c;
    char good[200];
    snprintf(good, sizeof good, "%s", file("good", LINE("1", "x", "p", "true")));
    static const char *const bad[][2] = {
        {"", "holds no results"},
        {"\n\n", "holds no results"},
        {"{]", "line 1"},
        {LINE("1", "x", "p", "true") "[1]", "line 2: it is no JSON object"},
        {LINE("1", "x", "p", "3"), "\"correct\" is a whole number"},
        {"{\"filename\": \"1\"}", "\"correct\" is missing"},
        {"{\"correct\": true}", "\"filename\" is missing"},
        {LINE("1", "x", "p", "true") LINE("1", "x", "p", "true"), "tells of 1 twice"},
        {LINE("1", "x", "q", "true"), "different suites"},
        {LINE("1", "y", "p", "true"), "different suites"},
        {LINE("7", "x", "p", "true"), "in common"},
    };
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        const char *path = file("bad", bad[i][0]);
        if (!fr_results_compare(good, path, &c)) fail_msg("it was taken: %s", bad[i][0]);
        if (!strstr(fr_message(), bad[i][1])) fail_msg("%s: %s", bad[i][0], fr_message());
    }
    /* What could drive a terminal does not reach it. */
    const char *odd = file("odd", LINE("1", "x\\u001b[2J", "p", "true"));
    assert_int_equal(fr_results_compare(odd, odd, &c), FR_OK);
    assert_string_equal(c.name[0], "x?[2J");
    /* Many tags share the last group. */
    char text[4000] = "", line[120];
    for (int i = 0; i < 30; i++) {
        snprintf(line, sizeof line, LINE("%d", "tag %d", "", "true"), i, i);
        strcat(text, line);
    }
    const char *many = file("many", text);
    assert_int_equal(fr_results_compare(many, many, &c), FR_OK);
    assert_int_equal(c.groups, FR_REPORT_GROUPS);
    assert_int_equal(c.all.both, 30);
    for (long n = 1;; n++) {
        fr_memory_fail_after(n);
        fr_status st = fr_results_compare(good, many, &c);
        fr_memory_fail_after(0);
        if (st != FR_NOMEM) break;
    }
}

static int clean_up(void **state) {
    (void)state;
    remove_folder();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),          cmocka_unit_test(test_printed),
        cmocka_unit_test(test_mcnemar),         cmocka_unit_test(test_compare),
        cmocka_unit_test(test_hostile_results),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
