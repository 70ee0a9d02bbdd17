/* test_grid.c: rounding value by value gives what quantizing whole matrices gives, and stays inside eight bits
 * also for values that left their group after its scale was chosen. */
#include "testing.h"

enum { ROWS = 5, COLS = 300 };

static void value_by_value_is_the_whole(void **state) {
    (void)state;
    int formats = 0;
    for (const fr_qformat *const *f = fr_formats; *f; f++) {
        if (!(*f)->round) continue;
        formats++;
        float *x = normal_matrix(ROWS, COLS, 3), y[COLS];
        int16_t codes[COLS];
        fr_quantized whole, one;
        for (int c = 0; c < COLS; c++) x[2 * COLS + c] = 0; /* a row of zeros */
        assert_good(fr_grid_check(*f));
        assert_good(fr_quantize(*f, NULL, x, ROWS, COLS, &whole));
        assert_good(fr_quantized_new(*f, ROWS, COLS, &one));
        for (int64_t r = 0; r < ROWS; r++) {
            float values[COLS];
            assert_good(fr_grid_choose(&one, r, x + r * COLS, 1));
            for (int c = 0; c < COLS; c++)
                codes[c] = (int16_t)fr_grid_round(&one, r, c, x[r * COLS + c], &values[c]);
            fr_grid_put(&one, r, codes);
            (*f)->decode(&one, r, 1, y);
            for (int c = 0; c < COLS; c++)
                if (y[c] != values[c])
                    fail_msg("%s, row %d, column %d: rounded to %g, read as %g", (*f)->name, (int)r,
                             c, (double)values[c], (double)y[c]);
        }
        for (int i = 0; i < (*f)->parts; i++)
            if (memcmp(whole.part[i].data, one.part[i].data, fr_bytes(&one.part[i])) != 0)
                fail_msg("%s: the part '%s' differs", (*f)->name, (*f)->part_name[i]);
        fr_quantized_free(&whole);
        fr_quantized_free(&one);
        fr_free(x);
    }
    assert_true(formats >= 15);
}

static void a_smaller_range_has_smaller_steps(void **state) {
    (void)state;
    static const char *const names[] = {"qoq-channel", "uint4-z-g128", "int4-g128", "int8-channel"};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        float *x = normal_matrix(1, COLS, 9), least = 1, value, sum[2] = {0};
        for (int k = 0; k < 2; k++) {
            fr_quantized q;
            assert_good(fr_quantized_new(format_of(names[i]), 1, COLS, &q));
            assert_good(fr_grid_choose(&q, 0, x, k ? 0.5f : 1));
            for (int c = 0; c < COLS; c++)
                if (fabsf(x[c]) < 0.5f) {
                    fr_grid_round(&q, 0, c, x[c], &value);
                    sum[k] += (value - x[c]) * (value - x[c]);
                }
            fr_quantized_free(&q);
        }
        least = sum[0] / sum[1];
        if (least < 2.5f)
            fail_msg("%s: errors of %g and %g", names[i], (double)sum[0], (double)sum[1]);
        fr_free(x);
    }
}

/* A value may be far outside of the group that its scale was chosen for: files hold no code that eight bits
 * cannot hold, so that one must be cut off where they end. */
static void what_left_its_group_stays_inside(void **state) {
    (void)state;
    for (int a = -8 * FR_QOQ_BOUND; a <= 8 * FR_QOQ_BOUND; a++)
        for (int b = a; b <= 8 * FR_QOQ_BOUND; b++) {
            fr_qoq_group g = fr_qoq_choose(false, (float)a / 8, (float)b / 8);
            int lo = fr_qoq_value(g, fr_qoq_code(g, -FR_QOQ_BOUND));
            int hi = fr_qoq_value(g, fr_qoq_code(g, FR_QOQ_BOUND));
            if (lo < -128 || hi > 127) fail_msg("%d/8 .. %d/8 becomes %d .. %d", a, b, lo, hi);
        }
    enum { N = 256 };
    float *x = normal_matrix(1, N, 4), value;
    fr_quantized q;
    assert_good(fr_quantized_new(format_of("qoq-g128"), 1, N, &q));
    assert_good(fr_grid_choose(&q, 0, x, 1));
    int16_t codes[N];
    for (int c = 0; c < N; c++)
        codes[c] = (int16_t)fr_grid_round(&q, 0, c, c % 2 ? 1e6f : -1e6f, &value);
    fr_grid_put(&q, 0, codes);
    assert_good(q.format->check(&q));
    fr_quantized_free(&q);
    fr_free(x);
}

static void some_formats_refuse(void **state) {
    (void)state;
    assert_fails(fr_grid_check(format_of("nvfp4")), FR_UNSUPPORTED, "nvfp4");
    assert_fails(fr_grid_check(format_of("uint4-z-g128-perm")), FR_UNSUPPORTED, "value by value");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_by_value_is_the_whole),
        cmocka_unit_test(a_smaller_range_has_smaller_steps),
        cmocka_unit_test(what_left_its_group_stays_inside),
        cmocka_unit_test(some_formats_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
