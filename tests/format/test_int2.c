/* test_int2.c: 2-bit groups and their stages: golden bits, packing, what the stages gain, hostile parts. */
#include "format/int2.h"
#include "golden.h"

static void golden_int2(void **state) {
    (void)state;
    static const char *const names[] = {"int2-g16", "int2-g64", "int2a-g16", "int2a-g64"};
    for (int i = 0; i < 4; i++) check_golden(names[i], "plain", NULL, "groups");
}

/* [.5, -1, .2, .6] with scale 1 is the byte 0x86: 1, -1, 0, 1; halves round away from zero. */
static void the_published_bytes(void **state) {
    (void)state;
    float x[16] = {0.5f, -1, 0.2f, 0.6f, -0.5f, -0.49f, 1, 0}, y[16];
    fr_quantized q;
    assert_good(fr_quantize(format_of("int2-g16"), NULL, x, 1, 16, &q));
    const uint8_t want[] = {0x86, 0x19, 0x55, 0x55};
    assert_memory_equal(q.part[0].data, want, 4);
    assert_int_equal(*(uint8_t *)q.part[1].data, 0x38);
    q.format->decode(&q, 0, 1, y);
    const float back[] = {1, -1, 0, 1, -1, 0, 1, 0};
    assert_memory_equal(y, back, sizeof back);
    fr_quantized_free(&q);
    for (int i = 0; i < 16; i++) x[i] = 1e-4f; /* the scale rounds to 0, and so do the values */
    assert_good(fr_quantize(format_of("int2-g16"), NULL, x, 1, 16, &q));
    assert_int_equal(*(uint8_t *)q.part[1].data, 0);
    assert_int_equal(*(uint8_t *)q.part[0].data, 0x55);
    fr_quantized_free(&q);
}

/* Rows about 400 places, each of which is a sum of two of 20, as in keys and values of video. */
static float *clustered(int64_t rows, int64_t cols) {
    float *x = normal_matrix(rows, cols, 31), *a = normal_matrix(40, cols, 32);
    for (int64_t r = 0; r < rows; r++) {
        uint32_t pick[2];
        fr_random_u32(33, 0, (uint64_t)(2 * r), pick, 2);
        for (int64_t c = 0; c < cols; c++) {
            float place = 2 * a[pick[0] % 20 * cols + c] + a[(20 + pick[1] % 20) * cols + c];
            x[r * cols + c] = fr_bf16_to_f32(fr_f32_to_bf16(place + 0.3f * x[r * cols + c]));
        }
    }
    fr_free(a);
    return x;
}

static void stages_gain(void **state) {
    (void)state;
    enum { ROWS = 1200, COLS = 64 };
    float *x = clustered(ROWS, COLS);
    static const char *const names[] = {"int2-g64",    "int2-g64-s1", "int2-g16",  "int2-g16-s2",
                                        "int2-g16-s4", "int2a-g64",   "int2a-g16", "int2a-g16-s1"};
    double db[8];
    for (int i = 0; i < 8; i++) {
        double bits, many;
        db[i] = error_with(names[i], NULL, x, ROWS, COLS).sqnr;
        assert_good(fr_format_bits(format_of(names[i]), ROWS, COLS, &bits));
        assert_good(fr_format_bits(format_of(names[i]), 1 << 22, 128, &many));
        print_message("    %-13s %6.2f dB, %.3f bits here, %.3f at 4 million tokens of 128\n",
                      names[i], db[i], bits, many);
    }
    assert_true(db[0] + 1 < db[1]);                                   /* one stage */
    assert_true(db[2] + 1 < db[3] && db[3] + 0.3 < db[4]);            /* none, two, four */
    assert_true(db[0] < db[5] && db[2] < db[6] && db[6] + 1 < db[7]); /* asymmetric, with a stage */
    fr_free(x);
}

/* Bytes as published: S D 2/8 + S D/G + T (256 D 2 + S), for 19 x 1560 tokens of 128 channels. */
static void the_published_size(void **state) {
    (void)state;
    double bits;
    assert_good(fr_format_bits(format_of("int2-g64-s1"), 29640, 128, &bits));
    assert_true(bits * 29640 * 128 / 8 * 32 == 35293952);
}

/* Up to 256 different rows come back exactly, and the same bytes always. */
static void few_rows_are_exact(void **state) {
    (void)state;
    enum { ROWS = 900, COLS = 64, KINDS = 200 };
    float *kinds = normal_matrix(KINDS, COLS, 40), *x = normal_matrix(ROWS, COLS, 41);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < COLS; c++)
            x[r * COLS + c] = fr_bf16_to_f32(fr_f32_to_bf16(kinds[r * 7 % KINDS * COLS + c]));
    fr_quantized a, b;
    assert_good(fr_quantize(format_of("int2-g64-s1"), NULL, x, ROWS, COLS, &a));
    assert_good(fr_quantize(format_of("int2-g64-s1"), NULL, x, ROWS, COLS, &b));
    for (int i = 0; i < a.format->parts; i++)
        assert_memory_equal(a.part[i].data, b.part[i].data, fr_bytes(&a.part[i]));
    float *y = normal_matrix(ROWS, COLS, 42);
    a.format->decode(&a, 0, ROWS, y);
    assert_memory_equal(x, y, ROWS * COLS * sizeof *x);
    fr_quantized_free(&a);
    fr_quantized_free(&b);
    fr_free(kinds);
    fr_free(x);
    fr_free(y);
}

/* A stage names the nearest centroid; what it leaves is coded as if it had come without stages. */
static void a_stage_is_what_it_says(void **state) {
    (void)state;
    enum { ROWS = 600, COLS = 64 };
    float *x = clustered(ROWS, COLS);
    fr_quantized q, rest;
    assert_good(fr_quantize(format_of("int2-g64-s1"), NULL, x, ROWS, COLS, &q));
    const uint8_t *ids = q.part[2].data;
    const uint16_t *centroids = q.part[3].data;
    for (int r = 0; r < ROWS; r++) {
        double own = 0, least = INFINITY;
        for (int k = 0; k < 256; k++) {
            double d = 0;
            for (int c = 0; c < COLS; c++) {
                double e =
                    (double)x[r * COLS + c] - (double)fr_bf16_to_f32(centroids[k * COLS + c]);
                d += e * e;
            }
            least = fmin(least, d);
            if (k == ids[r]) own = d;
        }
        assert_true(own <= least * (1 + 1e-5));
        for (int c = 0; c < COLS; c++) {
            float e = x[r * COLS + c] - fr_bf16_to_f32(centroids[ids[r] * COLS + c]);
            x[r * COLS + c] = fr_bf16_to_f32(fr_f32_to_bf16(e));
        }
    }
    assert_good(fr_quantize(format_of("int2-g64"), NULL, x, ROWS, COLS, &rest));
    for (int i = 0; i < 2; i++)
        assert_memory_equal(q.part[i].data, rest.part[i].data, fr_bytes(&q.part[i]));
    fr_quantized_free(&q);
    fr_quantized_free(&rest);
    fr_free(x);
}

/* Also few rows, one row, and values at the ends of the floats. */
static void odd_matrices(void **state) {
    (void)state;
    float x[3 * 64], y[3 * 64];
    for (int i = 0; i < 3 * 64; i++) x[i] = i % 3 ? 1e38f : -FLT_MAX / (float)(i + 1);
    static const char *const names[] = {"int2-g64-s1", "int2-g16-s4", "int2a-g16-s1", "int2a-g64"};
    float one[2] = {1, 2};
    const float centers[] = {4, 4, 1, 1, 2, 2};
    uint8_t id;
    fr_int2_take(one, 1, 2, centers, 3, &id); /* of two that are as near, the first */
    assert_true(id == 1 && one[0] == 0 && one[1] == 1);
    for (int rows = 1; rows <= 3; rows++)
        for (int i = 0; i < 4; i++) {
            fr_quantized q;
            assert_good(fr_quantize(format_of(names[i]), NULL, x, rows, 64, &q));
            assert_good(q.format->check(&q));
            q.format->decode(&q, 0, rows, y);
            for (int k = 0; k < rows * 64; k++) assert_true(isfinite(y[k]));
            fr_quantized_free(&q);
        }
}

static void bad_things_are_refused(void **state) {
    (void)state;
    const uint8_t three = 0x5d, nan8 = 0xff, minus = 0x90;
    const uint16_t nan16 = 0x7fc0;
    check_refused("int2-g16", 3, 32, 0, 9, &three, 1, "Row 1 of 'codes'");
    check_refused("int2-g16", 3, 32, 1, 5, &nan8, 1, "not a number in row 2, group 1");
    check_refused("int2-g16", 3, 32, 1, 2, &minus, 1, "negative scale in row 1, group 0");
    check_refused("int2a-g16", 3, 32, 2, 0, &nan8, 1, "'zeros'");
    check_refused("int2-g64-s1", 3, 64, 3, 64, &nan16, 2, "'centroids'");
    float x[3 * 64] = {0};
    fr_quantized q;
    assert_fails(fr_quantize(format_of("int2-g64"), NULL, x, 2, 65, &q), FR_UNSUPPORTED,
                 "do not divide");
    x[70] = NAN;
    assert_fails(fr_quantize(format_of("int2-g16-s4"), NULL, x, 3, 64, &q), FR_INVALID,
                 "Row 1, column 6");
    x[70] = 0;
    const fr_quant_opts noise = {.stochastic = true};
    assert_fails(fr_quantize(format_of("int2-g64"), &noise, x, 3, 64, &q), FR_UNSUPPORTED,
                 "nearest");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_int2),
        cmocka_unit_test(the_published_bytes),
        cmocka_unit_test(stages_gain),
        cmocka_unit_test(the_published_size),
        cmocka_unit_test(few_rows_are_exact),
        cmocka_unit_test(odd_matrices),
        cmocka_unit_test(a_stage_is_what_it_says),
        cmocka_unit_test(bad_things_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
