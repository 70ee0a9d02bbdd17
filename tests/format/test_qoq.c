/* test_qoq.c: the protective range of QoQ's two levels, over all groups and codes, and the figures that its
 * reference implementations reach on normal data. */
#include "format/qoq.h"
#include "testing.h"

typedef struct reach {
    int lo, hi;  /* of v^ */
    int product; /* of code * scale */
    int scale;
} reach;

/* Every group whose smallest and largest value lie on a grid of 1/8 in [-bound, bound], and in it every
 * code between those of its two ends: codes rise with v, so a group can hold no others. */
static reach over_all_groups(bool pre, int bound) {
    reach r = {0, 0, 0, 0};
    for (int a = -8 * bound; a <= 8 * bound; a++)
        for (int b = a; b <= 8 * bound; b++) {
            float vmin = (float)a / 8, vmax = (float)b / 8;
            fr_qoq_group g = fr_qoq_choose(pre, vmin, vmax);
            int first = fr_qoq_code(g, vmin), last = fr_qoq_code(g, vmax);
            for (int code = first; code <= last; code++) {
                int v = fr_qoq_value(g, code);
                r.lo = FR_MIN(r.lo, v);
                r.hi = FR_MAX_OF(r.hi, v);
                r.product = FR_MAX_OF(r.product, code * g.scale);
            }
            r.scale = FR_MAX_OF(r.scale, g.scale);
        }
    return r;
}

static bool fits(reach r) {
    return r.lo >= -127 && r.hi <= 127 && r.product <= 240 && r.scale <= 16;
}

static void the_middle_int8_never_overflows(void **state) {
    (void)state;
    reach post = over_all_groups(false, FR_QOQ_BOUND),
          pre = over_all_groups(true, FR_QOQ_BOUND_PRE);
    print_message("    after: %d to %d, product %d, scale %d; before: %d to %d, %d, %d\n", post.lo,
                  post.hi, post.product, post.scale, pre.lo, pre.hi, pre.product, pre.scale);
    assert_true(fits(post));
    assert_true(fits(pre));
}

static void one_more_would_overflow(void **state) {
    (void)state;
    reach post = over_all_groups(false, FR_QOQ_BOUND + 1),
          pre = over_all_groups(true, FR_QOQ_BOUND_PRE + 1);
    print_message("    after: %d to %d; before: %d to %d\n", post.lo, post.hi, pre.lo, pre.hi);
    assert_false(fits(post));
    assert_false(fits(pre));
}

/* The same through quantize and decode: a row whose scale is 1 shows v^ itself. */
static void rows_stay_inside(void **state) {
    (void)state;
    static const char *const names[] = {"qoq-g128", "qoq-g128-pre"};
    enum { GROUPS = 64, COLS = GROUPS * 128 };
    for (int k = 0; k < 2; k++) {
        float x[COLS], bound = k ? 119 : 120;
        for (uint64_t seed = 0; seed < 20; seed++) {
            fr_random_uniform(seed, 2, 0, x, COLS);
            for (int g = 0; g < GROUPS; g++) { /* of many widths and places */
                float lo = -bound + 2 * bound * x[128 * g], hi = lo + (bound - lo) * x[128 * g + 1];
                for (int c = 0; c < 128; c++) x[128 * g + c] = lo + (hi - lo) * x[128 * g + c];
                x[128 * g + 2] = lo;
                x[128 * g + 3] = hi;
            }
            x[5] = -bound;
            float *y = through(names[k], x, 1, COLS);
            for (int c = 0; c < COLS; c++) {
                assert_true(y[c] == rintf(y[c]) && fabsf(y[c]) <= 127);
                if (fabsf(y[c] - x[c]) > (k ? 12 : 8.5f))
                    fail_msg("%s: %g became %g", names[k], (double)x[c], (double)y[c]);
            }
            fr_free(y);
        }
    }
}

static void figures_of_the_reference(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double sqnr;
    } want[] = {{"uint4-z-g128", 19.98},
                {"qoq-g128-pre", 19.93},
                {"qoq-g128", 19.98},
                {"qoq-channel", 17.01}};
    for (size_t i = 0; i < FR_COUNT(want); i++) {
        double sqnr = normal_sqnr(want[i].name, 256, 4096);
        print_message("    %s: %.2f dB (%.2f)\n", want[i].name, sqnr, want[i].sqnr);
        assert_true(fabs(sqnr - want[i].sqnr) < 0.1);
    }
}

static void a_row_of_one_value(void **state) {
    (void)state;
    static const float values[] = {0, -0.f, 1, -3.5f, 1024, -60000, 0.1f, 1e-7f};
    static const char *const names[] = {"qoq-channel", "qoq-g128", "qoq-g128-pre"};
    for (size_t i = 0; i < FR_COUNT(values); i++)
        for (int k = 0; k < 3; k++) {
            float x[130];
            for (int c = 0; c < 130; c++) x[c] = values[i];
            float *y = through(names[k], x, 1, 130);
            /* f16 holds 11 bits; of scales below its smallest number nothing is left. */
            float room = fabsf(values[i]) / (k ? 16 : 2048) + (k ? 4e-6f : 6e-8f);
            for (int c = 0; c < 130; c++)
                if (fabsf(y[c] - values[i]) > room)
                    fail_msg("%s: %g became %g", names[k], (double)values[i], (double)y[c]);
            fr_free(y);
        }
}

static void tails_and_extremes(void **state) {
    (void)state;
    static const char *const names[] = {"qoq-channel", "qoq-g128", "qoq-g128-pre"};
    fr_quantized q;
    for (int k = 0; k < 3; k++) {
        for (int64_t cols = 1; cols < 400; cols += cols < 10 ? 1 : 13) {
            float *x = normal_matrix(2, cols, (uint64_t)cols), *y = through(names[k], x, 2, cols);
            fr_error_stats e = fr_error_of(x, y, (size_t)(2 * cols));
            if (e.max > 0.45) fail_msg("%s, %lld columns: %g", names[k], (long long)cols, e.max);
            fr_free(x);
            fr_free(y);
        }
        float huge[2] = {FLT_MAX, -FLT_MAX};
        assert_fails(fr_quantize(format_of(names[k]), NULL, huge, 1, 2, &q), FR_UNSUPPORTED,
                     "Row 0");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_middle_int8_never_overflows),
        cmocka_unit_test(one_more_would_overflow),
        cmocka_unit_test(rows_stay_inside),
        cmocka_unit_test(figures_of_the_reference),
        cmocka_unit_test(a_row_of_one_value),
        cmocka_unit_test(tails_and_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
