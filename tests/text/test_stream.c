/* test_stream.c: text that comes in pieces is shown in whole characters, however it is cut, and nothing that is shown
 * drives a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "text/stream.h"

#define LOST "\xEF\xBF\xBD"

/* In pieces of so many bytes. */
static size_t through(const char *text, size_t bytes, size_t piece, char *out) {
    fr_text_stream s = {0};
    size_t n = 0;
    for (size_t i = 0; i < bytes; i += piece) {
        size_t some = bytes - i < piece ? bytes - i : piece;
        size_t more = fr_text_stream_add(&s, text + i, some, out + n);
        assert_true(more <= FR_TEXT_STREAM_ROOM(some));
        n += more;
    }
    n += fr_text_stream_end(&s, out + n);
    assert_int_equal(s.count, 0);
    return n;
}

static void becomes(const char *text, size_t bytes, const char *want) {
    char out[512];
    for (size_t piece = 1; piece <= bytes; piece++) {
        size_t n = through(text, bytes, piece, out);
        assert_int_equal(n, strlen(want));
        assert_memory_equal(out, want, n);
    }
}
static void stays(const char *text) {
    becomes(text, strlen(text), text);
}

static void test_characters(void **state) {
    (void)state;
    stays("What is 23 + 48? 71.\n\tNext");
    stays("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x98\x80!");
    becomes("", 0, "");
}

static void test_waits(void **state) {
    (void)state;
    char out[64];
    fr_text_stream s = {0};
    assert_int_equal(fr_text_stream_add(&s, "a\xF0\x9F", 3, out), 1);
    assert_int_equal(fr_text_stream_add(&s, "\x98", 1, out), 0);
    assert_int_equal(fr_text_stream_add(&s,
                                        "\x80"
                                        "b",
                                        2, out),
                     5);
    assert_memory_equal(out,
                        "\xF0\x9F\x98\x80"
                        "b",
                        5);
    assert_int_equal(fr_text_stream_end(&s, out), 0);
}

static void test_broken(void **state) {
    (void)state;
    becomes("a\xFFz", 3, "a" LOST "z");
    becomes("\x80", 1, LOST);
    becomes("\xE2\x82", 2, LOST LOST);          /* its end is missing */
    becomes("\xE2\x82z", 3, LOST LOST "z");     /* another character in its middle */
    becomes("\xC0\x80", 2, LOST LOST);          /* a zero, too long */
    becomes("\xED\xA0\x80", 3, LOST LOST LOST); /* half of a pair */
    becomes("\xF4\x90\x80\x80", 4, LOST LOST LOST LOST);
    becomes("\xE2\xE2\x82\xAC", 4, LOST "\xE2\x82\xAC");
}

static void test_controls(void **state) {
    (void)state;
    becomes("\x1B[2J", 4, LOST "[2J");
    becomes("a\0b", 3, "a" LOST "b");
    becomes("\r\x7F", 2, LOST LOST);
    becomes("\xC2\x9B"
            "A",
            3, LOST "A"); /* the other way to begin a sequence */
    stays("\xC2\xA0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
