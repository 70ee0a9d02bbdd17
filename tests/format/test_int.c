/* test_int.c: INT8 and integers in groups: what single values become, extremes, tails, refusals, and that
 * decoding again changes nothing. */
#include "testing.h"

/* One matrix in, one matrix out, to the bit. */
static void becomes(const char *name, const float *x, const float *want, int64_t rows,
                    int64_t cols) {
    float *y = through(name, x, rows, cols);
    for (int64_t i = 0; i < rows * cols; i++)
        if (fr_f32_bits(y[i]) != fr_f32_bits(want[i]))
            fail_msg("%s: value %lld is %a, not %a", name, (long long)i, (double)y[i],
                     (double)want[i]);
    fr_free(y);
}

#define F(...) ((const float[]){__VA_ARGS__})

static void values_are_rounded_half_to_even(void **state) {
    (void)state;
    /* Scale 1: the largest is 127 (7, 15). */
    becomes("int8-tensor", F(127, 0.5f, 1.5f, -2.5f, -126.5f, -0.f), F(127, 0, 2, -2, -126, 0), 2,
            3);
    becomes("int8-channel", F(127, 0.5f, 254, 3), F(127, 0, 254, 4), 2, 2);
    becomes("int4-g32", F(7, 0.5f, 1.5f, -2.5f, -7, 3.4999f), F(7, 0, 2, -2, -7, 3), 2, 3);
    becomes("int4-g64", F(-7, 6.5f, 14, 7), F(-7, 6, 14, 8), 2, 2);
    becomes("uint4-g64", F(15, 0.5f, 1.5f, 14.5f, -3, -0.f), F(15, 0, 2, 14, 0, 0), 1, 6);
    becomes("uint4-g64-bf16", F(15, 0.5f, -3), F(15, 0, 0), 1, 3);
    /* lo = -5, hi = 10: scale 1, zero point 5. */
    becomes("uint4-z-g128", F(-5, 10, 0.5f, -1.5f, 0), F(-5, 10, 0, -2, 0), 1, 5);
    /* The range holds 0 even when the values do not. */
    becomes("uint4-z-g32", F(15, 14, 9.5f), F(15, 14, 10), 1, 3);
    becomes("uint4-z-row", F(-15, -14), F(-15, -14), 1, 2);
    becomes("uint8-channel", F(-100, 155, 0.5f, 1.5f), F(-100, 155, 0, 2), 1, 4);
    becomes("uint8-z-g64", F(-100, 155, 0.5f, 1.5f), F(-100, 155, 0, 2), 1, 4);
    becomes("uint8-tensor", F(255, 1, 10, 0), F(255, 1, 10, 0), 2, 2);
}

static void scales_are_of_their_group(void **state) {
    (void)state;
    enum { COLS = 200 };
    float x[2 * COLS], want[2 * COLS];
    /* Group g of row r is +-7 * 2^(g + r), which every group of 32 or more keeps exactly. */
    for (int i = 0; i < 2 * COLS; i++)
        x[i] = want[i] = ldexpf(i % 3 ? 7 : -7, i % COLS / 32 + i / COLS);
    becomes("int4-g32", x, want, 2, COLS);
    for (int i = 0; i < 2 * COLS; i++) x[i] = want[i] = ldexpf(i % 3 ? 7 : -7, i % COLS / 64);
    becomes("int4-g64", x, want, 2, COLS);
    becomes("int4-g64-bf16", x, want, 2, COLS);
}

static bool starts(const char *text, const char *with) {
    return !strncmp(text, with, strlen(with));
}

/* A value of zero is exact in every format that has integers around a zero point. */
static void zeros_stay_zeros(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {3, 63}, {2, 64}, {2, 65}, {1, 300}};
    for (int f = 0; fr_formats[f]; f++)
        for (size_t s = 0; s < FR_COUNT(shapes); s++) {
            int64_t n = shapes[s][0] * shapes[s][1];
            float *x = fr_alloc(FR_MEM_OTHER, (size_t)n * 4);
            if (n > 3) x[n / 2] = -0.f;
            fr_quantized q;
            if (fr_quantize(fr_formats[f], NULL, x, shapes[s][0], shapes[s][1], &q) != FR_OK) {
                assert_false(starts(fr_formats[f]->name, "int4") ||
                             starts(fr_formats[f]->name, "int8"));
                fr_free(x);
                continue;
            }
            float *y = fr_alloc_array(FR_MEM_OTHER, (size_t)n, 4);
            q.format->decode(&q, 0, q.rows, y);
            for (int64_t i = 0; i < n; i++)
                if (y[i] != 0) fail_msg("%s makes %g of 0", q.format->name, (double)y[i]);
            fr_quantized_free(&q);
            fr_free(x);
            fr_free(y);
        }
}

static const char *const mine[] = {
    "int8-tensor", "int8-channel", "int8-token",   "uint8-tensor",     "uint8-channel",
    "uint8-token", "int4-g32",     "int4-g64",     "int4-g64-bf16",    "int4-g128",
    "uint4-z-g32", "uint4-z-g64",  "uint4-z-g128", "uint4-z-row",      "uint8-z-g32",
    "uint8-z-g64", "uint8-z-g128", "uint8-z-row",  "uint4-z-g32-perm", "uint8-z-g128-perm",
};

/* Every size, also where the last group or the last byte is short. What INT4 decodes to has the same scales
 * and codes again: 7 s is exact. */
static void tails_of_every_length(void **state) {
    (void)state;
    for (size_t f = 0; f < FR_COUNT(mine); f++)
        for (int64_t cols = 1; cols <= 260; cols += cols < 68 ? 1 : 17) {
            float *x = normal_matrix(3, cols, (uint64_t)cols), *y = through(mine[f], x, 3, cols);
            fr_error_stats e = fr_error_of(x, y, (size_t)(3 * cols));
            float amax = 0;
            for (int64_t i = 0; i < 3 * cols; i++) amax = fmaxf(amax, fabsf(x[i]));
            /* Half a step of the coarsest scale, and what rounding the scale to f16 or bf16 adds. */
            double step = strstr(mine[f], "int8")  ? amax * 2 / 255.0
                          : strstr(mine[f], "-z-") ? amax * 2 / 15.0
                                                   : amax / 7.0;
            if (e.max > step * 0.53)
                fail_msg("%s, %lld columns: error %g of a step %g", mine[f], (long long)cols, e.max,
                         step);
            if (starts(mine[f], "int4")) becomes(mine[f], y, y, 3, cols);
            fr_free(x);
            fr_free(y);
        }
}

static void a_scale_of_zero_becomes_one(void **state) {
    (void)state;
    for (size_t f = 0; f < FR_COUNT(mine); f++) {
        float x[2 * 64] = {0}, y[2 * 64];
        fr_quantized q;
        assert_good(fr_quantize(format_of(mine[f]), NULL, x, 2, 64, &q));
        memset(q.part[0].data, 0x11, fr_bytes(&q.part[0])); /* 1 - 0 times the scale, or 17 */
        q.format->decode(&q, 0, 2, y);
        assert_true(y[0] == 1 || y[0] == 17);
        fr_quantized_free(&q);
    }
}

static void one_huge_value(void **state) {
    (void)state;
    for (size_t f = 0; f < FR_COUNT(mine); f++) {
        float x[130] = {0}, small = 1e-3f;
        for (int i = 0; i < 130; i++) x[i] = i % 2 ? small : -small;
        x[77] = 60000;
        float *y = through(mine[f], x, 1, 130);
        assert_true(fabsf(y[77] - 60000) < 300);
        for (int i = 0; i < 130; i++)
            if (i != 77) assert_true(fabsf(y[i]) <= 2 * small);
        fr_free(y);
    }
}

static void denormals_do_no_harm(void **state) {
    (void)state;
    for (int f = 0; fr_formats[f]; f++) {
        float x[256];
        for (int i = 0; i < 256; i++) x[i] = (i % 2 ? 1 : -1) * ldexpf((float)(i % 7 * 30), -149);
        fr_quantized q;
        float y[256];
        assert_good(fr_quantize(fr_formats[f], NULL, x, 1, 256, &q));
        if (q.format->check) assert_good(q.format->check(&q));
        q.format->decode(&q, 0, 1, y);
        for (int i = 0; i < 256; i++)
            if (!(fabsf(y[i]) <= 1e-40f))
                fail_msg("%s makes %g of %g", q.format->name, (double)y[i], (double)x[i]);
        fr_quantized_free(&q);
    }
}

static void what_is_no_number_is_named(void **state) {
    (void)state;
    static const struct {
        float value;
        const char *word;
    } bad[] = {{NAN, "not a number"}, {INFINITY, "infinite"}, {-INFINITY, "infinite"}};
    for (int f = 0; fr_formats[f]; f++)
        for (size_t i = 0; i < FR_COUNT(bad); i++) {
            float x[3 * 256] = {0};
            x[2 * 256 + 133] = bad[i].value;
            fr_quantized q;
            fr_status status = fr_quantize(fr_formats[f], NULL, x, 3, 256, &q);
            if (status != FR_INVALID || !strstr(fr_message(), "2") || !strstr(fr_message(), "133"))
                fail_msg("%s takes %g: %s", fr_formats[f]->name, (double)bad[i].value,
                         fr_message());
            assert_null(q.memory);
            if (starts(fr_formats[f]->name, "int"))
                assert_non_null(strstr(fr_message(), bad[i].word));
        }
}

static void too_large_is_refused(void **state) {
    (void)state;
    fr_quantized q;
    float x[2] = {1, FLT_MAX};
    for (size_t f = 0; f < FR_COUNT(mine); f++) {
        bool f32 =
            strstr(mine[f], "-tensor") || strstr(mine[f], "-channel") || strstr(mine[f], "-token");
        fr_status status = fr_quantize(format_of(mine[f]), NULL, x, 1, 2, &q);
        if (status == FR_OK) { /* then it decodes to a number */
            float y[2];
            q.format->decode(&q, 0, 1, y);
            assert_true(isfinite(y[1]));
            fr_quantized_free(&q);
        } else {
            assert_int_equal(status, FR_UNSUPPORTED);
            assert_non_null(strstr(fr_message(), f32 ? "too large" : "larger scale"));
        }
    }
    assert_fails(fr_quantize(format_of("int4-g64"), NULL, F(1e6f), 1, 1, &q), FR_UNSUPPORTED,
                 "Row 0, columns 0 to 0");
    assert_good(fr_quantize(format_of("int4-g64-bf16"), NULL, F(1e6f), 1, 1, &q));
    fr_quantized_free(&q);
}

static void no_matrix_is_refused(void **state) {
    (void)state;
    fr_quantized q;
    int64_t huge = INT64_MAX / 4;
    double bits;
    for (int f = 0; fr_formats[f]; f++) {
        assert_int_equal(fr_quantized_new(fr_formats[f], 0, 64, &q), FR_INVALID);
        assert_int_equal(fr_quantized_new(fr_formats[f], 64, 0, &q), FR_INVALID);
        assert_int_equal(fr_quantized_new(fr_formats[f], -1, 64, &q), FR_INVALID);
        assert_int_not_equal(fr_quantized_new(fr_formats[f], huge, huge, &q), FR_OK);
        assert_int_not_equal(fr_format_bits(fr_formats[f], huge, 64, &bits), FR_OK);
    }
    assert_null(fr_format_find("int5"));
    assert_null(fr_format_find(NULL));
}

static void rows_decode_alone(void **state) {
    (void)state;
    float *x = normal_matrix(5, 256, 3);
    for (int f = 0; fr_formats[f]; f++) {
        fr_quantized q;
        float all[5 * 256], some[2 * 256];
        assert_good(fr_quantize(fr_formats[f], NULL, x, 5, 256, &q));
        q.format->decode(&q, 0, 5, all);
        q.format->decode(&q, 2, 2, some);
        assert_memory_equal(some, all + 2 * 256, sizeof some);
        fr_quantized_free(&q);
    }
    fr_free(x);
}

static void bits_count_everything(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double bits; /* at 4096 x 4096 */
    } want[] = {
        {"int8-tensor", 8 + 32.0 / 4096 / 4096},
        {"int8-channel", 8 + 32.0 / 4096},
        {"uint8-token", 8 + 40.0 / 4096},
        {"int4-g32", 4.5},
        {"int4-g64", 4.25},
        {"int4-g64-bf16", 4.25},
        {"int4-g128", 4.125},
        {"uint4-z-g128", 4.1875},
        {"uint8-z-g128", 8.1875},
        {"uint4-z-g128-perm", 4.1875 + 32.0 / 4096},
        {"qoq-channel", 4 + 32.0 / 4096},
        {"qoq-g128", 4.125 + 16.0 / 4096},
    };
    for (size_t i = 0; i < FR_COUNT(want); i++) {
        double bits = 0;
        assert_good(fr_format_bits(format_of(want[i].name), 4096, 4096, &bits));
        if (bits != want[i].bits) fail_msg("%s takes %.6f bits", want[i].name, bits);
    }
}

static void errors_are_measured(void **state) {
    (void)state;
    fr_error_stats e = fr_error_of(F(3, -4), F(3, -3), 2);
    assert_true(e.mse == 0.5 && e.mae == 0.5 && e.max == 1);
    assert_true(fabs(e.sqnr - 10 * log10(25)) < 1e-12);
    assert_true(fabs(e.cosine - 21 / sqrt(25.0 * 18.0)) < 1e-12);
    assert_true(fr_error_of(F(0, 0), F(0, 0), 2).cosine == 1);
    assert_true(fr_error_of(F(1, 2), F(1, 2), 2).sqnr == HUGE_VAL);
    assert_true(isnan(fr_error_of(F(1, 2), F(1, NAN), 2).max));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_rounded_half_to_even),
        cmocka_unit_test(scales_are_of_their_group),
        cmocka_unit_test(zeros_stay_zeros),
        cmocka_unit_test(tails_of_every_length),
        cmocka_unit_test(a_scale_of_zero_becomes_one),
        cmocka_unit_test(one_huge_value),
        cmocka_unit_test(denormals_do_no_harm),
        cmocka_unit_test(what_is_no_number_is_named),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(no_matrix_is_refused),
        cmocka_unit_test(rows_decode_alone),
        cmocka_unit_test(bits_count_everything),
        cmocka_unit_test(errors_are_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
