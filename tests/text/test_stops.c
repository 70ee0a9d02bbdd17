/* test_stops.c: stops are found however a text is cut, and nothing of one is ever shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "text/stops.h"

static void becomes(const char *const *stops, size_t count, const char *text, const char *want,
                    bool hit) {
    size_t bytes = strlen(text);
    for (size_t piece = 1; piece <= bytes + 1; piece++) {
        fr_stops s;
        char out[512];
        size_t n = 0;
        assert_int_equal(fr_stops_new(stops, count, &s), FR_OK);
        for (size_t i = 0; i < bytes; i += piece)
            n += fr_stops_add(&s, text + i, FR_MIN(piece, bytes - i), out + n);
        n += fr_stops_end(&s, out + n);
        assert_int_equal(s.hit, hit);
        assert_int_equal(n, strlen(want));
        assert_memory_equal(out, want, n);
        fr_stops_free(&s);
    }
}

static void test_stops(void **state) {
    (void)state;
    const char *const some[] = {"END", "\n\n", "ENDING", "aab"};
    becomes(some, 4, "one\ntwo EN", "one\ntwo EN", false);
    becomes(some, 4, "one ENDtwo", "one ", true);
    becomes(some, 4, "a\n\nb", "a", true);
    becomes(some, 4, "aaaab", "aa", true);
    becomes(some, 4, "E\nN\nD", "E\nN\nD", false);
    becomes(some, 4, "EEND", "E", true);
    becomes(some, 0, "END", "END", false);
    /* Those that end at the same byte: the longest is the stop. */
    const char *const inner[] = {"b", "ab", "xab"};
    becomes(inner, 3, "1xab2", "1", true);
    fr_stops s;
    const char *const empty[] = {"a", ""};
    assert_int_equal(fr_stops_new(empty, 2, &s), FR_INVALID);
}

static void test_waits(void **state) {
    (void)state;
    const char *const one[] = {"stop"};
    fr_stops s;
    char out[64];
    assert_int_equal(fr_stops_new(one, 1, &s), FR_OK);
    assert_int_equal(fr_stops_add(&s, "go st", 5, out), 3);
    assert_int_equal(fr_stops_add(&s, "o", 1, out), 0);
    assert_int_equal(fr_stops_add(&s, "ne", 2, out), 5);
    assert_memory_equal(out, "stone", 5);
    assert_int_equal(fr_stops_add(&s, "stop more", 9, out), 0);
    assert_true(s.hit);
    assert_int_equal(fr_stops_add(&s, "more", 4, out), 0);
    fr_stops_reset(&s);
    assert_int_equal(fr_stops_add(&s, "more", 4, out), 4);
    fr_stops_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stops), cmocka_unit_test(test_waits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
