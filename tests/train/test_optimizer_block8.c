/* test_optimizer_block8.c: the dynamic maps of 8 bits and the codes of blocks are those that
 * tests/oracle/optimizers.py finds by looking at all values of a map. */
#include <setjmp.h>
#include <stdarg.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "train/block8.h"
#include "train/train.h"

static fr_store *golden;

static const void *data(const char *name) {
    const fr_tensor *t = fr_store_find(golden, name);
    if (!t) fail_msg("no %s", name);
    return t->data;
}

static int open_golden(void **state) {
    (void)state;
    return fr_store_open(FR_TESTS_DIR "/golden/train/block8.safetensors", &golden);
}
static int close_golden(void **state) {
    (void)state;
    fr_store_close(golden);
    return 0;
}

enum { BLOCKS = 10, BLOCK = 2048 };

static void check_map(const char *name, bool with_signs) {
    char codes[32], most[32];
    snprintf(codes, sizeof codes, "%s.codes", name);
    snprintf(most, sizeof most, "%s.largest", name);
    fr_map8 m;
    fr_map8_make(&m, with_signs);
    const float *table = data(name), *x = data("x"), *largest = data(most);
    for (int i = 0; i < 256; i++)
        assert_true(fabsf(m.value[i] - table[i]) <= 1.2e-7f * fabsf(table[i]));
    for (int b = 0; b < BLOCKS; b++) {
        float in[BLOCK];
        uint8_t code[BLOCK];
        for (int i = 0; i < BLOCK; i++)
            in[i] = with_signs ? x[b * BLOCK + i] : fabsf(x[b * BLOCK + i]);
        assert_true(fr_map8_encode(&m, in, BLOCK, false, code) == largest[b]);
        const uint8_t *want = (const uint8_t *)data(codes) + b * BLOCK;
        for (int i = 0; i < BLOCK; i++)
            if (code[i] != want[i])
                fail_msg("%s: block %d: %g of %g becomes %d instead of %d", name, b, (double)in[i],
                         (double)largest[b], code[i], want[i]);
    }
}

static void test_maps(void **state) {
    (void)state;
    check_map("signed", true);
    check_map("unsigned", false);
}

/* On both sides of an edge between two values a float goes to the nearer one. */
static void test_edges(void **state) {
    (void)state;
    for (int with_signs = 0; with_signs < 2; with_signs++) {
        fr_map8 m;
        fr_map8_make(&m, with_signs);
        for (int k = 0; k < m.most; k++) {
            float low = m.value[m.zero + k], high = m.value[m.zero + k + 1];
            float x[3] = {1}; /* the largest */
            x[1] = x[2] = (float)(((double)low + high) / 2);
            for (int i = -3; i <= 3; i++) {
                uint8_t code[3];
                x[2] = x[1] * (1 + (float)i * 3e-6f);
                if (i == 0) continue;
                fr_map8_encode(&m, x, 3, false, code);
                bool far = i > 0;
                assert_int_equal(code[2], m.zero + k + far);
                float back[3];
                fr_map8_decode(&m, code, 3, 1, back);
                assert_true(back[2] == (far ? high : low) && back[0] == 1);
                if (!with_signs) continue;
                float minus[2] = {1, -x[2]};
                fr_map8_encode(&m, minus, 2, false, code);
                assert_int_equal(code[1], m.zero - FR_MIN(k + far, 127));
            }
        }
    }
}

static void test_keep(void **state) {
    (void)state;
    fr_map8 m;
    fr_map8_make(&m, false);
    float x[4] = {1, 1e-9f, 0, 1e-6f};
    uint8_t code[4];
    fr_map8_encode(&m, x, 4, true, code);
    assert_int_equal(code[1], 1);
    assert_int_equal(code[2], 0);
    fr_map8_encode(&m, x, 4, false, code);
    assert_int_equal(code[1], 0);
}

static void check_even(const char *name, bool around) {
    char codes[32], scales[32], lows[32];
    snprintf(codes, sizeof codes, "%s.codes", name);
    snprintf(scales, sizeof scales, "%s.scale", name);
    snprintf(lows, sizeof lows, "%s.low", name);
    const float *x = data("x"), *scale = data(scales), *low = data(lows);
    for (int b = 0; b < BLOCKS; b++) {
        const float *in = x + b * BLOCK;
        float back[BLOCK];
        uint8_t code[BLOCK];
        fr_even8 e = fr_even8_encode(in, BLOCK, around, code);
        assert_true(e.scale == scale[b] && e.low == low[b]);
        assert_memory_equal(code, (const uint8_t *)data(codes) + b * BLOCK, BLOCK);
        fr_even8_decode(e, code, BLOCK, around, back);
        double most = 0;
        for (int i = 0; i < BLOCK; i++) {
            double bound = e.scale > 0 ? 0.5 * (double)e.scale : 255 * (double)FLT_MIN;
            most = fmax(most, fabs((double)in[i]));
            assert_true(fabs((double)back[i] - in[i]) <= bound * (1 + 1e-5) + 1e-6 * most);
            if (around && in[i] == 0) assert_true(back[i] == 0);
        }
    }
}

static void test_even(void **state) {
    (void)state;
    check_even("even", false);
    check_even("around", true);
    float one = 0.3f, back; /* a block of one value keeps its bits */
    uint8_t code;
    fr_even8 e = fr_even8_encode(&one, 1, false, &code);
    fr_even8_decode(e, &code, 1, false, &back);
    assert_true(back == one);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_maps), cmocka_unit_test(test_edges),
                                       cmocka_unit_test(test_keep), cmocka_unit_test(test_even)};
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
