/* testing.h: what the tests of this folder share: cmocka, matrices to quantize, and a round trip that
 * every format must pass. */
#ifndef FR_TESTS_FORMAT_TESTING_H
#define FR_TESTS_FORMAT_TESTING_H

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/format.h"

#define assert_fails(expr, status, text)                                                           \
    do {                                                                                           \
        assert_int_equal((expr), (status));                                                        \
        if (!strstr(fr_message(), (text)))                                                         \
            fail_msg("message without \"%s\": %s", (text), fr_message());                          \
    } while (0)

#define assert_good(expr)                                                                          \
    do {                                                                                           \
        if ((expr) != FR_OK) fail_msg("%s: %s", #expr, fr_message());                              \
    } while (0)

const fr_qformat *format_of(const char *name); /* fails the test when there is none */
float *normal_matrix(int64_t rows, int64_t cols, uint64_t seed);
/* Quantizes, decodes; fr_free the result. */
float *through(const char *name, const float *x, int64_t rows, int64_t cols);
/* dB over a matrix of independent normal values. */
double normal_sqnr(const char *name, int64_t rows, int64_t cols);

#endif
