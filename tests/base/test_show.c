/* test_show.c: what a person sees: numbers, progress, tables, the width of text. */
#include "testing.h"

#include <fcntl.h>
#include <sys/ioctl.h>

static void numbers_read_well(void **state) {
    (void)state;
    char b[32];
    assert_string_equal(fr_show_bytes(b, 0), "0 B");
    assert_string_equal(fr_show_bytes(b, 999), "999 B");
    assert_string_equal(fr_show_bytes(b, 1500), "1.50 KB");
    assert_string_equal(fr_show_bytes(b, 999999), "1.00 MB");
    assert_string_equal(fr_show_bytes(b, 2.34e10), "23.4 GB");
    assert_string_equal(fr_show_bytes(b, 4.56e14), "456 TB");
    assert_string_equal(fr_show_count(b, 12), "12");
    assert_string_equal(fr_show_count(b, 12345), "12.3 K");
    assert_string_equal(fr_show_count(b, 1.5e6), "1.50 M");
    assert_string_equal(fr_show_count(b, 0.25), "0.25");
    assert_string_equal(fr_show_time(b, 2.5e-5), "25 us");
    assert_string_equal(fr_show_time(b, 0.25), "250 ms");
    assert_string_equal(fr_show_time(b, 7.31), "7.3 s");
    assert_string_equal(fr_show_time(b, 59.99), "1m 00s");
    assert_string_equal(fr_show_time(b, 123), "2m 03s");
    assert_string_equal(fr_show_time(b, 7265), "2h 01m");
    assert_string_equal(fr_show_time(b, -1), "0 us");
    fr_show_time(b, 1e300); /* fits all the same */
    fr_show_count(b, -1e300 / 1e290);
}

static fr_progress progress_at_zero(double total, bool terminal) {
    fr_progress p = fr_progress_start("training", total, "steps");
    p.start = p.drawn = 0;
    p.terminal = terminal;
    p.quiet = false;
    return p;
}

static void in_a_pipe_a_line_now_and_then(void **state) {
    (void)state;
    char buf[256];
    fr_progress p = progress_at_zero(1000, false);
    assert_string_equal(fr_progress_step(&p, 10, 0.5, false, 0, buf, sizeof buf), "");
    assert_string_equal(fr_progress_step(&p, 50, 4.9, false, 0, buf, sizeof buf), "");
    fr_progress_note(&p, "loss %.3f", 0.1234);
    assert_string_equal(fr_progress_step(&p, 100, 5.0, false, 0, buf, sizeof buf),
                        "training   10%  100/1.00 K steps  20 steps/s  45.0 s left  loss 0.123\n");
    assert_string_equal(fr_progress_step(&p, 110, 9.9, false, 0, buf, sizeof buf), "");
    assert_string_equal(fr_progress_step(&p, 200, 10.0, false, 0, buf, sizeof buf),
                        "training   20%  200/1.00 K steps  20 steps/s  40.0 s left  loss 0.123\n");
    assert_string_equal(fr_progress_step(&p, 1000, 50, true, 0, buf, sizeof buf),
                        "training  100%  1.00 K/1.00 K steps  20 steps/s  in 50.0 s  loss 0.123\n");
}

static void on_a_terminal_one_line_redraws(void **state) {
    (void)state;
    char buf[256];
    fr_progress p = progress_at_zero(100, true);
    assert_string_equal(fr_progress_step(&p, 1, 0.99, false, 120, buf, sizeof buf), "");
    assert_string_equal(fr_progress_step(&p, 50, 2, false, 120, buf, sizeof buf),
                        "\r\033[Ktraining  [##########..........]  50%  50/100 steps  25 steps/s  "
                        "2.0 s left");
    assert_string_equal(fr_progress_step(&p, 51, 2.05, false, 120, buf, sizeof buf), "");
    assert_true(*fr_progress_step(&p, 52, 2.11, false, 120, buf, sizeof buf) != 0);
    fr_progress_step(&p, 53, 3, false, 20, buf, sizeof buf);
    assert_int_equal(fr_text_width(buf) - 4, 19); /* less the code that wipes the line */
    assert_non_null(strstr(fr_progress_step(&p, 100, 4, true, 120, buf, sizeof buf), "in 4.0 s\n"));
}

static void short_or_quiet_work_shows_nothing(void **state) {
    (void)state;
    char buf[256];
    fr_progress p = progress_at_zero(100, true);
    assert_string_equal(fr_progress_step(&p, 50, 0.5, false, 80, buf, sizeof buf), "");
    assert_string_equal(fr_progress_step(&p, 100, 0.9, true, 80, buf, sizeof buf), "");
    p = progress_at_zero(100, true);
    p.quiet = true;
    assert_string_equal(fr_progress_step(&p, 50, 100, false, 80, buf, sizeof buf), "");
    assert_string_equal(fr_progress_step(&p, 100, 200, true, 80, buf, sizeof buf), "");
    assert_false(fr_is_quiet());
    fr_set_quiet(true);
    assert_true(fr_progress_start("x", 0, NULL).quiet);
    fr_set_quiet(false);
}

static void work_of_unknown_length_and_bytes(void **state) {
    (void)state;
    char buf[256], tight[24];
    fr_progress p = progress_at_zero(0, true);
    assert_string_equal(fr_progress_step(&p, 3000, 2, false, 80, buf, sizeof buf),
                        "\r\033[Ktraining  3.00 K steps  1.50 K steps/s");
    p = progress_at_zero(4e9, false);
    p.unit = "B";
    p.what = "reading\033[31m";
    assert_string_equal(fr_progress_step(&p, 2e9, 10, false, 0, buf, sizeof buf),
                        "reading?[31m   50%  2.00 GB/4.00 GB   200 MB/s  10.0 s left\n");
    fr_progress_step(&p, 3e9, 20, false, 0, tight, sizeof tight);
    assert_true(strlen(tight) < sizeof tight && tight[strlen(tight) - 1] == '\n');
    p.done = 5e9; /* more than was promised */
    assert_non_null(strstr(fr_progress_step(&p, 5e9, 30, false, 0, buf, sizeof buf), "100%"));
}

/* Through the real clock and standard error, which goes to a pipe here. */
static void the_line_reaches_standard_error(void **state) {
    (void)state;
    int ends[2], saved = dup(2);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], 2);
    fr_progress p = fr_progress_start("work", 10, "items");
    bool terminal = p.terminal;
    fr_progress_update(&p, 1);
    p.start -= 20;
    p.drawn -= 20;
    fr_progress_update(&p, 5);
    fr_progress_end(&p);
    dup2(saved, 2);
    close(ends[1]);
    close(saved);
    char text[512] = "";
    ssize_t n = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    assert_false(terminal);
    assert_true(n > 0);
    int lines = 0;
    for (char *c = text; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 2);
    assert_true(strncmp(text, "work   50%  5/10 items  0.25 items/s  20.0 s left\n", 49) == 0);
    assert_non_null(strstr(text, "in 20.0 s\n"));
}

/* The same on a terminal: the log makes the line go away before it prints its own. */
static void on_a_terminal_the_log_makes_room(void **state) {
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0) skip();
    assert_int_equal(grantpt(master) | unlockpt(master), 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY), saved = dup(2);
    struct winsize size = {.ws_row = 10, .ws_col = 61};
    assert_int_equal(ioctl(slave, TIOCSWINSZ, &size), 0);
    dup2(slave, 2);
    int width = fr_terminal_width(stderr);
    fr_progress p = fr_progress_start("work", 0, "items");
    p.start -= 20;
    p.drawn -= 20;
    fr_progress_update(&p, 4000);
    fr_log(FR_LOG_WARN, "odd");
    fr_progress_end(&p);
    dup2(saved, 2);
    close(saved);
    char text[512] = "";
    size_t used = 0;
    ssize_t n = 1; /* a terminal gives what it has, bit by bit */
    while (n > 0 && used < sizeof text - 1 && !strstr(text, "  in 20")) {
        n = read(master, text + used, sizeof text - 1 - used);
        if (n > 0) used += (size_t)n;
    }
    close(slave);
    close(master);
    assert_int_equal(width, 61);
    assert_true(p.terminal && n > 0);
    const char *line = "\r\033[Kwork  4.00 K items  200 items";
    assert_true(strncmp(text, line, strlen(line)) == 0);
    assert_non_null(strstr(text, "\r\033[Kfrugal: warning: odd\r\n\r\033[Kwork"));
}

/* ---- tables ---- */

static const char *printed(const fr_table *t, int width) {
    static char text[4096];
    FILE *f = fmemopen(text, sizeof text, "w");
    fr_table_print_width(t, f, width);
    fclose(f);
    return text;
}

static void tables_align(void **state) {
    (void)state;
    fr_table *t = fr_table_new("name|>bytes|shape");
    fr_table_cell(t, "embed");
    fr_table_cell(t, "%d", 12);
    fr_table_cell(t, "[2, 3]");
    fr_table_cell(t, "日本");
    fr_table_cell(t, "%d", 1234567);
    fr_table_cell(t, "e\u0301");
    fr_table_rule(t);
    fr_table_cell(t, "total");
    fr_table_cell(t, "1");
    assert_string_equal(printed(t, 0), "name     bytes  shape\n"
                                       "──────────────────────\n"
                                       "embed       12  [2, 3]\n"
                                       "日本   1234567  e\u0301\n"
                                       "──────────────────────\n"
                                       "total        1\n");
    fr_table_free(t);
    fr_table_free(NULL);
}

static void narrow_terminals_cut_text_before_numbers(void **state) {
    (void)state;
    fr_table *t = fr_table_new("name|>bytes");
    fr_table_cell(t, "a very long name of a tensor");
    fr_table_cell(t, "123456789012");
    fr_table_cell(t, "日本語の長い名前");
    fr_table_cell(t, "1");
    assert_string_equal(printed(t, 24), "name               bytes\n"
                                        "────────────────────────\n"
                                        "a very lo…  123456789012\n"
                                        "日本語の…              1\n");
    for (int width = 1; width < 44; width++) {
        const char *text = printed(t, width);
        while (*text) {
            size_t length = strcspn(text, "\n");
            char line[256];
            snprintf(line, sizeof line, "%.*s", (int)length, text);
            assert_true(fr_text_width(line) <= FR_MAX_OF(width, 4));
            text += length + 1;
        }
    }
    fr_table_free(t);
}

static void cells_cannot_drive_the_terminal(void **state) {
    (void)state;
    fr_table *t = fr_table_new("a");
    fr_table_cell(t, "x\033[2Jy\nz\xff\xc2\x9b.");
    assert_non_null(strstr(printed(t, 0), "x?[2Jy z\?\?\?.\n"));
    fr_table_free(t);
}

static void tables_live_without_memory(void **state) {
    (void)state;
    fr_memory_fail_after(1);
    assert_null(fr_table_new("a|b"));
    fr_memory_fail_after(3);
    assert_null(fr_table_new("a|b"));
    fr_table_cell(NULL, "x");
    fr_table_rule(NULL);
    fr_table *t = fr_table_new("a|b");
    fr_table_cell(t, "1");
    fr_memory_fail_after(1);
    fr_table_cell(t, "2");
    fr_table_cell(t, "3");
    assert_non_null(strstr(printed(t, 0), "1\n"));
    assert_null(strstr(printed(t, 0), "3"));
    fr_table_free(t);
    FILE *f = fopen("/dev/null", "w");
    assert_int_equal(fr_terminal_width(f), 0);
    fclose(f);
}

static void text_has_a_width(void **state) {
    (void)state;
    assert_int_equal(fr_text_width("abc"), 3);
    assert_int_equal(fr_text_width("日本"), 4);
    assert_int_equal(fr_text_width("한글"), 4);
    assert_int_equal(fr_text_width("e\u0301"), 1);
    assert_int_equal(fr_text_width("😀"), 2);
    assert_int_equal(fr_text_width("…─é"), 3);
    static const char *const broken[] = {
        "\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe6\x97", "\xc3"};
    for (size_t i = 0; i < FR_COUNT(broken); i++) {
        int bytes;
        assert_int_equal(fr_utf8_next(broken[i], &bytes), 0xFFFD);
        assert_int_equal(bytes, 1);
    }
    int bytes;
    assert_int_equal(fr_utf8_next("😀", &bytes), 0x1F600);
    assert_int_equal(bytes, 4);
    assert_int_equal(fr_utf8_next("", &bytes), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_read_well),
        cmocka_unit_test(in_a_pipe_a_line_now_and_then),
        cmocka_unit_test(on_a_terminal_one_line_redraws),
        cmocka_unit_test(short_or_quiet_work_shows_nothing),
        cmocka_unit_test(work_of_unknown_length_and_bytes),
        cmocka_unit_test(the_line_reaches_standard_error),
        cmocka_unit_test(on_a_terminal_the_log_makes_room),
        cmocka_unit_test(tables_align),
        cmocka_unit_test(narrow_terminals_cut_text_before_numbers),
        cmocka_unit_test(cells_cannot_drive_the_terminal),
        cmocka_unit_test(tables_live_without_memory),
        cmocka_unit_test(text_has_a_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
