/* test_nvfp4.c: NVFP4 with its rules, MXFP4: golden bits, published figures, roundings, hostile parts. */
#include "golden.h"

static const fr_quant_opts mse = {.rule = FR_RULE_46_MSE};
static const fr_quant_opts four = {.rule = FR_RULE_4}, power = {.rule = FR_RULE_POWER};

static void golden_nvfp4(void **state) {
    (void)state;
    const fr_quant_opts mae = {.rule = FR_RULE_46_MAE}, max = {.rule = FR_RULE_46_MAX};
    const fr_quant_opts large = {.rule = FR_RULE_46_MSE, .top = 448};
    static const char *const inputs[] = {"x", "ties", "tiny", "huge", "zeros"};
    check_golden("nvfp4", "mse448", &large, "groups");
    for (int i = 0; i < 5; i++) {
        check_golden("nvfp4", "plain", NULL, inputs[i]);
        check_golden("nvfp4", "mse", &mse, inputs[i]);
        if (i > 1) continue;
        check_golden("nvfp4", "mae", &mae, inputs[i]);
        check_golden("nvfp4", "max", &max, inputs[i]);
        check_golden("nvfp4", "four", &four, inputs[i]);
    }
}

static void golden_stochastic(void **state) {
    (void)state;
    const fr_quant_opts plain = {.stochastic = true, .seed = 7};
    const fr_quant_opts unbiased = {
        .rule = FR_RULE_46_MSE, .stochastic = true, .seed = 7, .unbiased = true};
    check_golden("nvfp4", "stochastic", &plain, "x");
    check_golden("nvfp4", "unbiased", &unbiased, "x");
    check_golden("mxfp4", "stochastic", &plain, "x");
}

static void golden_mxfp4(void **state) {
    (void)state;
    static const char *const inputs[] = {"x", "ties", "tiny", "huge", "zeros"};
    for (int i = 0; i < 5; i++) {
        check_golden("mxfp4", "plain", NULL, inputs[i]);
        check_golden("mxfp4", "power", &power, inputs[i]);
    }
}

typedef struct figure {
    const char *name;
    const char *format;
    fr_quant_opts opts;
    double sqnr[3]; /* normal, Laplace, Student t: published; 0: not */
} figure;

static const figure figures[] = {
    {"nvfp4, plain", "nvfp4", {.rule = FR_RULE_PLAIN}, {20.44, 20.65, 20.74}},
    {"nvfp4, always 4", "nvfp4", {.rule = FR_RULE_4}, {20.16, 19.61, 19.45}},
    {"nvfp4, 4/6 mse", "nvfp4", {.rule = FR_RULE_46_MSE}, {21.21, 21.19, 21.22}},
    {"nvfp4, 4/6 mae", "nvfp4", {.rule = FR_RULE_46_MAE}, {21.08, 21.06, 21.11}},
    {"nvfp4, 4/6 max", "nvfp4", {.rule = FR_RULE_46_MAX}, {20.98, 20.87, 20.92}},
    {"nvfp4, 4/6 mse, 448", "nvfp4", {.rule = FR_RULE_46_MSE, .top = 448}, {0, 0, 0}},
    {"mxfp4", "mxfp4", {.rule = FR_RULE_PLAIN}, {18.80, 18.01, 17.66}},
    {"mxfp4, rounded up", "mxfp4", {.rule = FR_RULE_POWER}, {18.76, 17.57, 17.14}},
};

/* Four Over Six beats the plain rule on all kinds of data, by as much as is published. */
static void four_over_six_is_better(void **state) {
    (void)state;
    enum { ROWS = 256, COLS = 1024, N = FR_COUNT(figures) };
    double mean[N][3], db[N][3];
    for (int kind = 0; kind < 3; kind++) {
        float *x = kind == 0   ? normal_matrix(ROWS, COLS, 11)
                   : kind == 1 ? laplace_matrix(ROWS, COLS, 11)
                               : student_matrix(ROWS, COLS, 11);
        for (size_t i = 0; i < N; i++) {
            fr_error_stats e = error_with(figures[i].format, &figures[i].opts, x, ROWS, COLS);
            mean[i][kind] = e.mse;
            db[i][kind] = e.sqnr;
        }
        fr_free(x);
    }
    print_message(
        "    SQNR dB (published), error / plain    normal          Laplace         Student t\n");
    for (size_t i = 0; i < N; i++) {
        print_message("    %-22s", figures[i].name);
        for (int kind = 0; kind < 3; kind++) {
            double want = figures[i].sqnr[kind];
            print_message("  %5.2f (%5.2f) %.3f", db[i][kind], want, mean[i][kind] / mean[0][kind]);
            /* Powers of two depend on how the data are scaled, which is not published. */
            double slack = strcmp(figures[i].format, "mxfp4") ? 0.06 : 0.15;
            if (want > 0 && fabs(db[i][kind] - want) > slack)
                fail_msg("%s: %.2f dB instead of %.2f", figures[i].name, db[i][kind], want);
        }
        print_message("\n");
    }
    for (int kind = 0; kind < 3; kind++)
        for (int rule = 2; rule <= 5; rule++) assert_true(mean[rule][kind] < mean[0][kind]);
}

/* Of each block the better of the two: never worse than 6 alone at the same scales. */
static void no_block_gets_worse(void **state) {
    (void)state;
    enum { ROWS = 64, COLS = 64, N = ROWS * COLS };
    float *x = student_matrix(ROWS, COLS, 5), plain[N], best[N];
    const fr_quant_opts six = {.top = 256};
    fr_quantized q;
    assert_good(fr_quantize(format_of("nvfp4"), &six, x, ROWS, COLS, &q));
    q.format->decode(&q, 0, ROWS, plain);
    fr_quantized_free(&q);
    assert_good(fr_quantize(format_of("nvfp4"), &mse, x, ROWS, COLS, &q));
    q.format->decode(&q, 0, ROWS, best);
    fr_quantized_free(&q);
    for (int b = 0; b < N; b += 16)
        assert_true(fr_error_of(x + b, best + b, 16).mse <= fr_error_of(x + b, plain + b, 16).mse);
    fr_free(x);
}

/* Scaling by a power of two changes the tensor's scale and nothing else, down to where it is denormal. */
static void powers_of_two_pass_through(void **state) {
    (void)state;
    enum { ROWS = 4, COLS = 48, N = ROWS * COLS };
    float *x = normal_matrix(ROWS, COLS, 9), y[N];
    static const int shift[] = {-110, -60, -1, 1, 60, 120};
    fr_quantized a, b;
    assert_good(fr_quantize(format_of("nvfp4"), &mse, x, ROWS, COLS, &a));
    for (size_t s = 0; s < FR_COUNT(shift); s++) {
        for (int i = 0; i < N; i++) y[i] = ldexpf(x[i], shift[s]);
        assert_good(fr_quantize(format_of("nvfp4"), &mse, y, ROWS, COLS, &b));
        assert_memory_equal(a.part[0].data, b.part[0].data, fr_bytes(&a.part[0]));
        assert_memory_equal(a.part[1].data, b.part[1].data, fr_bytes(&a.part[1]));
        float scale = *(float *)a.part[2].data;
        assert_true(*(float *)b.part[2].data == ldexpf(scale, shift[s]));
        fr_quantized_free(&b);
    }
    fr_quantized_free(&a);
    fr_free(x);
}

/* The mean of many draws is the value, and a row is drawn by its place whatever comes after it. */
static void stochastic_is_fair(void **state) {
    (void)state;
    enum { N = 32, DRAWS = 4000 };
    float *x = normal_matrix(1, N, 21), y[N];
    double sum[N] = {0}, square[N] = {0};
    for (int d = 0; d < DRAWS; d++) {
        const fr_quant_opts o = {.stochastic = true, .unbiased = true, .seed = (uint64_t)d};
        fr_quantized q;
        assert_good(fr_quantize(format_of("nvfp4"), &o, x, 1, N, &q));
        q.format->decode(&q, 0, 1, y);
        fr_quantized_free(&q);
        for (int i = 0; i < N; i++) {
            sum[i] += (double)y[i];
            square[i] += (double)y[i] * (double)y[i];
        }
    }
    for (int i = 0; i < N; i++) {
        double mean = sum[i] / DRAWS, var = square[i] / DRAWS - mean * mean;
        double sigma = sqrt(fmax(var, 0) / DRAWS) + 1e-6;
        if (fabs(mean - (double)x[i]) > 4.5 * sigma)
            fail_msg("value %d: mean %g of %g, %.1f sigma", i, mean, (double)x[i],
                     fabs(mean - (double)x[i]) / sigma);
    }
    fr_free(x);
}

/* Norms of the error over 1024 x 1024 normal values, published: 140.6, 156.5, 122.5, 135.6. */
static void stochastic_errors_as_published(void **state) {
    (void)state;
    static const double published[] = {140.6, 156.5, 122.5, 135.6};
    float *x = normal_matrix(256, 1024, 12);
    print_message("    error norms, stochastic (published):");
    for (int i = 0; i < 4; i++) {
        const fr_quant_opts o = {.rule = i < 2 ? FR_RULE_PLAIN : FR_RULE_46_MSE,
                                 .stochastic = true,
                                 .unbiased = i % 2,
                                 .seed = 1};
        double norm = 1024 * sqrt(error_with("nvfp4", &o, x, 256, 1024).mse);
        print_message(" %.1f (%.1f)", norm, published[i]);
        assert_true(fabs(norm / published[i] - 1) < 0.05);
    }
    print_message("\n");
    fr_free(x);
}

static void bits_a_value(void **state) {
    (void)state;
    double bits;
    assert_good(fr_format_bits(format_of("nvfp4"), 64, 1024, &bits));
    print_message("    nvfp4 %.4f bits, ", bits);
    assert_true(fabs(bits - (4.5 + 32.0 / 65536)) < 1e-9);
    assert_good(fr_format_bits(format_of("mxfp4"), 64, 1024, &bits));
    print_message("mxfp4 %.4f\n", bits);
    assert_true(bits == 4.25);
}

static void bad_input_is_refused(void **state) {
    (void)state;
    float x[3 * 20] = {0};
    fr_quantized q;
    static const char *const names[] = {"nvfp4", "mxfp4"};
    for (int i = 0; i < 2; i++) {
        x[2 * 20 + 7] = NAN;
        assert_fails(fr_quantize(format_of(names[i]), NULL, x, 3, 20, &q), FR_INVALID,
                     "Row 2, column 7");
        x[2 * 20 + 7] = -INFINITY;
        assert_fails(fr_quantize(format_of(names[i]), NULL, x, 3, 20, &q), FR_INVALID,
                     "Row 2, column 7");
    }
    x[2 * 20 + 7] = 1;
    assert_fails(fr_quantize(format_of("nvfp4"), &power, x, 3, 20, &q), FR_UNSUPPORTED, "no rule");
    assert_fails(fr_quantize(format_of("mxfp4"), &mse, x, 3, 20, &q), FR_UNSUPPORTED, "no rule");
    const fr_quant_opts odd = {.top = 300};
    assert_fails(fr_quantize(format_of("nvfp4"), &odd, x, 3, 20, &q), FR_INVALID, "not 300");
}

static void hostile_parts_are_refused(void **state) {
    (void)state;
    const uint8_t nan8 = 0x7f, minus = 0x81, e8m0 = 255, large = 253, tail = 0x10;
    const float nan32 = NAN, below = -1, inf = INFINITY;
    check_refused("nvfp4", 3, 35, 1, 4, &nan8, 1, "row 1, block 1 is not a number");
    check_refused("nvfp4", 3, 35, 1, 8, &minus, 1, "row 2, block 2 is negative");
    check_refused("nvfp4", 3, 35, 2, 0, &nan32, 4, "tensor's scale");
    check_refused("nvfp4", 3, 35, 2, 0, &below, 4, "tensor's scale");
    check_refused("nvfp4", 3, 35, 2, 0, &inf, 4, "tensor's scale");
    check_refused("nvfp4", 3, 35, 0, 17, &tail, 1, "Row 0");
    check_refused("mxfp4", 3, 35, 1, 5, &e8m0, 1, "row 2, block 1 is not a number");
    check_refused("mxfp4", 3, 35, 1, 0, &large, 1, "too large");
    check_refused("mxfp4", 3, 35, 0, 35, &tail, 1, "Row 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_nvfp4),
        cmocka_unit_test(golden_stochastic),
        cmocka_unit_test(golden_mxfp4),
        cmocka_unit_test(four_over_six_is_better),
        cmocka_unit_test(no_block_gets_worse),
        cmocka_unit_test(powers_of_two_pass_through),
        cmocka_unit_test(stochastic_is_fair),
        cmocka_unit_test(stochastic_errors_as_published),
        cmocka_unit_test(bits_a_value),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(hostile_parts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
