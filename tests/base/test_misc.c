/* test_misc.c: messages, the log, the clocks, and Ctrl-C. */
#include "testing.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void messages_are_one_sentence(void **state) {
    (void)state;
    fr_message_clear();
    assert_string_equal(fr_message(), "");
    assert_int_equal(fr_fail(FR_FORMAT, "%s: bad at %d", "a.bin", 7), FR_FORMAT);
    assert_string_equal(fr_message(), "a.bin: bad at 7");
    assert_int_equal(fr_fail_in(FR_FORMAT, "loading %s", "m"), FR_FORMAT);
    assert_string_equal(fr_message(), "loading m: a.bin: bad at 7");
    fr_fail(FR_IO, "again: %s", fr_message()); /* its own argument */
    assert_string_equal(fr_message(), "again: loading m: a.bin: bad at 7");
    fr_fail(FR_FORMAT, "no tensor \"a\033]0;x\ab\nc\"");
    assert_string_equal(fr_message(), "no tensor \"a?]0;x?b c\"");
    char big[3000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    fr_fail(FR_FORMAT, "%s", big);
    assert_in_range(strlen(fr_message()), 500, 1100);
    fr_fail_in(FR_FORMAT, "%s", big);
    assert_in_range(strlen(fr_message()), 500, 1100);
    assert_string_equal(fr_version(), FR_VERSION);
}

static void *other_thread(void *arg) {
    (void)arg;
    fr_fail(FR_IO, "mine");
    return NULL;
}

static void each_thread_has_its_message(void **state) {
    (void)state;
    pthread_t thread;
    fr_fail(FR_IO, "first");
    pthread_create(&thread, NULL, other_thread, NULL);
    pthread_join(thread, NULL);
    assert_string_equal(fr_message(), "first");
}

/* ---- log ---- */

typedef struct heard {
    int lines;
    fr_log_level level;
    char last[256];
} heard;

static void hear(void *user, fr_log_level level, const char *line) {
    heard *h = user;
    h->lines++;
    h->level = level;
    snprintf(h->last, sizeof h->last, "%s", line);
}

static void log_one(void *arg, size_t i) {
    (void)arg;
    fr_log(FR_LOG_WARN, "item %zu", i);
}

static void levels_and_sinks(void **state) {
    (void)state;
    heard h = {0};
    fr_log_set_sink(hear, &h);
    fr_log_set_level(FR_LOG_WARN);
    fr_log(FR_LOG_INFO, "no");
    assert_int_equal(h.lines, 0);
    fr_log(FR_LOG_WARN, "%d\033 %s", 5, "two\nlines");
    assert_int_equal(h.level, FR_LOG_WARN);
    assert_string_equal(h.last, "5? two lines");
    fr_log_set_level(FR_LOG_DEBUG);
    fr_log(FR_LOG_DEBUG, "yes");
    assert_int_equal(h.lines, 2);
    assert_int_equal(fr_log_get_level(), FR_LOG_DEBUG);
    fr_pool *pool;
    assert_int_equal(fr_pool_new(4, &pool), FR_OK);
    fr_pool_run(pool, 500, log_one, NULL);
    fr_pool_free(pool);
    assert_int_equal(h.lines, 502);
    fr_log_set_sink(NULL, NULL);
    fr_log_set_level(FR_LOG_WARN);
}

/* In a child, because the environment is read once. Its standard error comes back in text. */
static void child_says(const char *level, void (*what)(void), char *text, size_t size,
                       int *status) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        if (level) setenv("FRUGAL_LOG", level, 1);
        what();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t n;
    while ((n = read(ends[0], text + used, size - 1 - used)) > 0) used += (size_t)n;
    text[used] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(child, status, 0), child);
}

static void say_all(void) {
    fr_log(FR_LOG_ERROR, "e");
    fr_log(FR_LOG_WARN, "w");
    fr_log(FR_LOG_INFO, "i");
    fr_log(FR_LOG_DEBUG, "d");
}

static void the_environment_chooses_the_level(void **state) {
    (void)state;
    static const char *const expected[][2] = {
        {"error", "frugal: e\n"},
        {"warn", "frugal: e\nfrugal: warning: w\n"},
        {"info", "frugal: e\nfrugal: warning: w\nfrugal: i\n"},
        {"debug", "frugal: e\nfrugal: warning: w\nfrugal: i\nfrugal: debug: d\n"},
        {"loud", "frugal: e\nfrugal: warning: w\n"},
    };
    char text[512];
    int status;
    for (size_t i = 0; i < FR_COUNT(expected); i++) {
        child_says(expected[i][0], say_all, text, sizeof text, &status);
        assert_string_equal(text, expected[i][1]);
    }
}

/* ---- clocks and Ctrl-C ---- */

static void clocks_go_forward(void **state) {
    (void)state;
    double now = fr_now(), cpu = fr_thread_cpu();
    usleep(20000);
    assert_true(fr_now() >= now + 0.019);
    assert_true(fr_thread_cpu() - cpu < 0.019);
    while (fr_thread_cpu() < cpu + 0.005) {
    }
    assert_true(fr_now() > now + 0.02);
}

static void the_flag_goes_up_and_down(void **state) {
    (void)state;
    assert_false(fr_interrupted());
    assert_int_equal(fr_interrupt_check(), FR_OK);
    fr_interrupt_raise();
    assert_true(fr_interrupted());
    assert_fails(fr_interrupt_check(), FR_INTERRUPTED, "Ctrl-C");
    fr_interrupt_clear();
    assert_int_equal(fr_interrupt_check(), FR_OK);
}

static void press_once(void) {
    fr_interrupt_watch();
    raise(SIGINT);
    _exit(fr_interrupted() ? 7 : 1);
}

static void press_twice(void) {
    fr_interrupt_watch();
    raise(SIGTERM);
    raise(SIGINT);
    _exit(1);
}

static void a_second_ctrl_c_ends_the_program(void **state) {
    (void)state;
    char text[64];
    int status;
    child_says(NULL, press_once, text, sizeof text, &status);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    child_says(NULL, press_twice, text, sizeof text, &status);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 130);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_chooses_the_level), /* first: nothing was read yet */
        cmocka_unit_test(messages_are_one_sentence),
        cmocka_unit_test(each_thread_has_its_message),
        cmocka_unit_test(levels_and_sinks),
        cmocka_unit_test(clocks_go_forward),
        cmocka_unit_test(the_flag_goes_up_and_down),
        cmocka_unit_test(a_second_ctrl_c_ends_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
