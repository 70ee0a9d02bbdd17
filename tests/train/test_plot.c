/* test_plot.c: curves from any file of figures: drawn and well formed, or refused; never without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/metrics.h"

static fr_status plot(const char *lines) {
    if (fr_write_file("plot.jsonl", lines, strlen(lines))) fail_msg("%s", fr_message());
    fr_message_clear();
    fr_status st = fr_metrics_plot("plot.jsonl", "a <title> & more", "plot.svg");
    unlink("plot.jsonl");
    return st;
}

static void check_picture(void) {
    char *svg;
    size_t bytes;
    if (fr_read_file("plot.svg", 0, &svg, &bytes)) fail_msg("%s", fr_message());
    assert_non_null(strstr(svg, "</svg>"));
    assert_null(strstr(svg, "nan"));
    assert_null(strstr(svg, "inf"));
    assert_null(strstr(svg, "<title>"));
    fr_free(svg);
    unlink("plot.svg");
}

/* One point that can be drawn, and what cannot. */
static void test_drawn(void **state) {
    (void)state;
    static const char *const others[] = {
        "",
        "{\"step\": 2, \"loss\": 4.9e-324}\n",
        "{\"loss\": 1e308, \"validation_loss\": 1e308, \"tokens_per_second\": 1e308}\n",
        "{\"step\": 1e308, \"loss\": 2}\n",
        "{\"step\": -5, \"loss\": 2}\n",
        "{\"step\": 1e14, \"loss\": 2, \"tokens_per_second\": 1e29}\n",
        "{\"step\": 2, \"tokens_per_second\": 0}\n",
        "{\"step\": 2, \"loss\": 2e-30, \"validation_loss\": 5e29}\n",
        "[]\n\n\n7 \n",
    };
    for (size_t i = 0; i < FR_COUNT(others); i++) {
        char *lines = fr_format("%s{\"step\": 1, \"loss\": 3}\n", others[i]);
        assert_non_null(lines);
        fr_status st = plot(lines);
        fr_free(lines);
        if (!st)
            check_picture();
        else if (!fr_message()[0] || !strstr(others[i], "[]"))
            fail_msg("%s: %s", others[i], fr_message());
    }
}

static void test_refused(void **state) {
    (void)state;
    size_t before = fr_memory_total().now;
    assert_int_equal(plot(""), FR_INVALID);
    assert_int_equal(plot("{\"step\": 1, \"tokens_per_second\": 5}\n"), FR_INVALID);
    assert_int_equal(plot("{\"step\": 1, \"loss\": 3}\n{\"step\": \n"), FR_FORMAT);
    assert_int_equal(plot("{\"step\": 1, \"loss\": 3}\n{\"step\": 2, \"loss\": \"x\"}\n"),
                     FR_FORMAT);
    assert_int_equal(access("plot.svg", F_OK), -1);
    assert_int_equal(fr_memory_total().now, before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drawn),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
