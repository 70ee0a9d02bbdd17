/* test_blocks.c: weights in the blocks of GGUF files become the panels that the same weights make as uint4-z-g32. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "op/qgemm.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

/* Codes, scales and zeros from what the blocks decode to: value / d + 8, d the first two bytes. */
static void as_groups(const fr_quantized *from, fr_quantized *to) {
    float x[512];
    ok(fr_quantized_new(&fr_uint4_z_g32, from->rows, from->cols, to));
    for (int64_t r = 0; r < from->rows; r++) {
        from->format->decode(from, r, 1, x);
        for (int64_t c = 0; c < from->cols; c++) {
            int64_t g = r * (from->cols / 32) + c / 32;
            uint16_t d;
            memcpy(&d, (const uint8_t *)from->part[0].data + g * 18, 2);
            float s = fr_f16_to_f32(d);
            int code = s == 0 ? 8 : (int)(x[c] / s) + 8;
            uint8_t *byte = (uint8_t *)to->part[0].data + (r * from->cols + c) / 2;
            *byte = (uint8_t)(*byte | code << c % 2 * 4);
            ((uint16_t *)to->part[1].data)[g] = d;
            ((uint8_t *)to->part[2].data)[g] = 8;
        }
    }
}

static void q4_0_is_uint4(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 32}, {33, 64}, {40, 480}, {7, 512}, {64, 96}};
    for (size_t i = 0; i < FR_COUNT(sizes); i++) {
        int64_t n = sizes[i][0], k = sizes[i][1];
        float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)(n * k), sizeof *x);
        fr_random_normal(4, i, 0, x, (size_t)(n * k));
        fr_quantized blocks, groups;
        fr_qweights a, b;
        ok(fr_quantize(&fr_q4_0, NULL, x, n, k, &blocks));
        as_groups(&blocks, &groups);
        ok(fr_qweights_of(&fr_q4_0, FR_ROWS_FLOAT, n, k, &a));
        ok(fr_qweights_of(&fr_uint4_z_g32, FR_ROWS_FLOAT, n, k, &b));
        assert_true(a.kind == FR_Q_W4A16 && b.kind == a.kind && a.bytes == b.bytes);
        char *pa = fr_alloc(FR_MEM_PACKED, a.bytes), *pb = fr_alloc(FR_MEM_PACKED, b.bytes);
        fr_qweights_pack(&blocks, &a, pa, NULL);
        fr_qweights_pack(&groups, &b, pb, NULL);
        /* Zeros of columns and groups that are not there may be anything: their scales are 0. */
        for (int64_t p = 0; p < a.panels; p++) {
            size_t at = (size_t)p * a.panel.bytes;
            assert_memory_equal(pa + at, pb + at, a.panel.zeros);
            assert_memory_equal(pa + at + a.panel.codes, pb + at + a.panel.codes,
                                a.panel.bytes - a.panel.codes);
            for (int64_t g = 0; g < k / 32; g++)
                assert_memory_equal(pa + at + a.panel.zeros + (size_t)g * a.panel.zero_bytes,
                                    pb + at + a.panel.zeros + (size_t)g * a.panel.zero_bytes,
                                    (size_t)FR_MIN(n - p * a.panel.nr, a.panel.nr));
        }
        fr_free(pa);
        fr_free(pb);
        fr_free(x);
        fr_quantized_free(&blocks);
        fr_quantized_free(&groups);
    }
}

/* What has no product says what to do. */
static void others_are_refused(void **state) {
    (void)state;
    fr_qweights w;
    assert_true(fr_qweights_of(&fr_q6_k, FR_ROWS_FLOAT, 8, 256, &w) == FR_UNSUPPORTED);
    assert_non_null(strstr(fr_message(), "decode it"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(q4_0_is_uint4),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
