/* testing.h: what every test of this folder includes: cmocka, and a folder to write in. */
#ifndef FR_TESTS_BASE_TESTING_H
#define FR_TESTS_BASE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/text.h"

/* A fresh folder and a name in it; the name lives until the next call. */
static inline const char *in_test_dir(const char *name) {
    static char dir[64], path[512];
    if (!dir[0]) {
        strcpy(dir, "/tmp/frugal-test-XXXXXX");
        if (!mkdtemp(dir)) fail_msg("no folder in /tmp");
    }
    snprintf(path, sizeof path, "%s%s%s", dir, *name ? "/" : "", name);
    return path;
}

static inline void remove_test_dir(void) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", in_test_dir(""));
    if (system(command) != 0) fail_msg("%s", command);
}

#define assert_fails(expr, status, text)                                                           \
    do {                                                                                           \
        assert_int_equal((expr), (status));                                                        \
        if (!strstr(fr_message(), (text)))                                                         \
            fail_msg("message without \"%s\": %s", (text), fr_message());                          \
    } while (0)

#endif
