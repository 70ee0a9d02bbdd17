/* test_fp8.c: FP8 in tensors, row blocks and square blocks: golden bits, error bounds, hostile parts. */
#include "golden.h"

static const fr_quant_opts power = {.rule = FR_RULE_POWER};
static const char *const names[] = {"fp8-e4m3-tensor", "fp8-e5m2-tensor", "fp8-1x128",
                                    "fp8-128x128"};

static void golden_fp8(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        check_golden(names[i], "plain", NULL, "wide");
        check_golden(names[i], "plain", NULL, "tall");
        check_golden(names[i], "plain", NULL, "tiny");
        check_golden(names[i], "power", &power, "wide");
    }
}

/* Half a step of the grid, with 3 or 2 bits of mantissa; the smallest step is 2^-9 or 2^-16 scales. */
static void errors_stay_inside(void **state) {
    (void)state;
    enum { ROWS = 130, COLS = 260 };
    float *x = student_matrix(ROWS, COLS, 2), *y = normal_matrix(ROWS, COLS, 2);
    for (int i = 0; i < 4; i++)
        for (int p = 0; p < 2; p++) {
            fr_quantized q;
            float scale = 0, half = i == 1 ? 0.125f : 0.0625f, step = i == 1 ? 0x1p-17f : 0x1p-10f;
            assert_good(fr_quantize(format_of(names[i]), p ? &power : NULL, x, ROWS, COLS, &q));
            q.format->decode(&q, 0, ROWS, y);
            for (int64_t k = 0; k < fr_values(&q.part[1]); k++) {
                float s = ((const float *)q.part[1].data)[k];
                int e;
                if (p) assert_true(frexpf(s, &e) == 0.5f);
                scale = fmaxf(scale, s);
            }
            for (int64_t k = 0; k < (int64_t)ROWS * COLS; k++)
                if (fabsf(x[k] - y[k]) > fmaxf(fabsf(x[k]) * half * 1.00001f, step * scale))
                    fail_msg("%s: %g becomes %g", names[i], (double)x[k], (double)y[k]);
            fr_error_stats e = fr_error_of(x, y, (size_t)ROWS * COLS);
            print_message("    %-16s %s SQNR %.2f dB\n", names[i], p ? "power" : "plain", e.sqnr);
            fr_quantized_free(&q);
        }
    fr_free(x);
    fr_free(y);
}

/* The largest value of a block is kept to one rounding; a block of zeros has the scale 1. */
static void the_largest_is_kept(void **state) {
    (void)state;
    float x[2 * 256] = {0}, y[2 * 256];
    x[3] = -0.7f;
    x[256 + 130] = 5e30f;
    fr_quantized q;
    assert_good(fr_quantize(format_of("fp8-1x128"), NULL, x, 2, 256, &q));
    const float *s = q.part[1].data;
    assert_true(s[1] == 1 && s[2] == 1 && s[0] == 0.7f / 448 && s[3] == 5e30f / 448);
    const float exact[2] = {-448, 1}, more[2] = {449, 1};
    fr_quantized p;
    assert_good(fr_quantize(format_of("fp8-1x128"), &power, exact, 1, 2, &p));
    assert_true(*(const float *)p.part[1].data == 1); /* nothing to cut off yet */
    fr_quantized_free(&p);
    assert_good(fr_quantize(format_of("fp8-1x128"), &power, more, 1, 2, &p));
    assert_true(*(const float *)p.part[1].data == 2);
    fr_quantized_free(&p);
    q.format->decode(&q, 0, 2, y);
    assert_true(fabsf(y[3] - x[3]) < 1e-7f && fabsf(y[256 + 130] / 5e30f - 1) < 1e-6f);
    fr_quantized_free(&q);
}

/* The ends of the floats: nothing becomes infinite or NaN. */
static void extremes(void **state) {
    (void)state;
    static const float ends[] = {FLT_MAX, -FLT_MAX, FLT_MIN, 1e-45f, -1e-45f, 3.3e38f, 0x1.fp127f};
    for (int i = 0; i < 4; i++)
        for (size_t k = 0; k < FR_COUNT(ends); k++)
            for (int p = 0; p < 2; p++) {
                float x[2] = {ends[k], 0}, y[2];
                fr_quantized q;
                assert_good(fr_quantize(format_of(names[i]), p ? &power : NULL, x, 1, 2, &q));
                assert_good(q.format->check(&q));
                q.format->decode(&q, 0, 1, y);
                if (!isfinite(y[0]) || fabsf(y[0] - x[0]) > fmaxf(fabsf(x[0]) * 0.13f, 1e-40f))
                    fail_msg("%s: %g becomes %g", names[i], (double)x[0], (double)y[0]);
                assert_true(y[1] == 0);
                fr_quantized_free(&q);
            }
}

static void bits_a_value(void **state) {
    (void)state;
    const double want[] = {8 + 32.0 / (256 * 512), 8 + 32.0 / (256 * 512), 8.25, 8 + 32.0 / 16384};
    for (int i = 0; i < 4; i++) {
        double bits;
        assert_good(fr_format_bits(format_of(names[i]), 256, 512, &bits));
        print_message("    %-16s %.4f bits\n", names[i], bits);
        assert_true(bits == want[i]);
    }
}

static void bad_things_are_refused(void **state) {
    (void)state;
    const uint8_t nan8 = 0x7f, inf8 = 0xfc;
    const float zero = 0, minus = -1, inf = INFINITY;
    check_refused("fp8-e4m3-tensor", 3, 140, 0, 142, &nan8, 1, "Row 1, column 2 is not a number");
    check_refused("fp8-e5m2-tensor", 3, 140, 0, 139, &inf8, 1, "Row 0, column 139 is infinite");
    check_refused("fp8-1x128", 3, 140, 1, 20, &zero, 4, "Scale 5 of fp8-1x128");
    check_refused("fp8-128x128", 3, 140, 1, 4, &minus, 4, "Scale 1 of fp8-128x128");
    check_refused("fp8-e4m3-tensor", 3, 140, 1, 0, &inf, 4, "Scale 0");
    float x[6] = {0, 0, 0, 0, INFINITY, 0};
    fr_quantized q;
    const fr_quant_opts noise = {.stochastic = true}, mse = {.rule = FR_RULE_46_MSE};
    for (int i = 0; i < 4; i++) {
        x[4] = INFINITY;
        assert_fails(fr_quantize(format_of(names[i]), NULL, x, 2, 3, &q), FR_INVALID,
                     "Row 1, column 1");
        x[4] = 0;
        assert_fails(fr_quantize(format_of(names[i]), &noise, x, 2, 3, &q), FR_UNSUPPORTED,
                     "nearest");
        assert_fails(fr_quantize(format_of(names[i]), &mse, x, 2, 3, &q), FR_UNSUPPORTED,
                     "nearest");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_fp8),          cmocka_unit_test(errors_stay_inside),
        cmocka_unit_test(the_largest_is_kept), cmocka_unit_test(extremes),
        cmocka_unit_test(bits_a_value),        cmocka_unit_test(bad_things_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
