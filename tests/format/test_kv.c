/* test_kv.c: pages of keys and values: every byte, error bounds, degenerate vectors, the published SQNR. */
#include "format/kv.h"
#include "golden.h"

static fr_kv_layout layout(fr_kv_kind kind, int heads, int dim) {
    fr_kv_layout l;
    assert_good(fr_kv_layout_of(kind, heads, dim, &l));
    return l;
}

static void pages_count_their_bytes(void **state) {
    (void)state;
    assert_int_equal(fr_kv_page_bytes(FR_KV_4, 8, 128), 8 * 64 * (64 + 4));
    assert_int_equal(fr_kv_page_bytes(FR_KV_8_QOQ, 8, 128), 8 * 64 * (128 + 4));
    assert_int_equal(fr_kv_page_bytes(FR_KV_BF16, 8, 128), 8 * 64 * 256);
    assert_int_equal(fr_kv_page_bytes(FR_KV_F32, 8, 128), 8 * 64 * 512);
    for (int kind = 0; kind < FR_KV_KINDS; kind++) {
        fr_kv_layout l = layout((fr_kv_kind)kind, 3, 10);
        assert_true(l.bytes % 64 == 0 && l.scales % 64 == 0 && l.offsets % 64 == 0);
        l = layout((fr_kv_kind)kind, 8, 128);
        print_message("    kind %d: %.4f bits\n", kind, fr_kv_bits(&l));
        assert_true(fr_kv_bits(&l) == (l.bits >= 16 ? l.bits : l.bits + 32.0 / 128));
    }
}

/* Two heads of four channels, token 5, worked out by hand. */
static void every_byte_has_its_place(void **state) {
    (void)state;
    _Alignas(64) uint8_t page[4096];
    const float x[8] = {-1, 14, 3.4f, 3.6f, 0, 30, 2, 8};
    fr_kv_layout l = layout(FR_KV_4, 2, 4);
    assert_int_equal(l.bytes, 2 * 64 * (2 + 4));
    memset(page, 0xee, sizeof page);
    assert_good(fr_kv_page_write(&l, page, 5, x));
    const uint8_t first[] = {0xf0, 0x54}, second[] = {0xf0, 0x41};
    assert_memory_equal(page + 5 * 2, first, 2);         /* (x + 1) / 1 */
    assert_memory_equal(page + (64 + 5) * 2, second, 2); /* x / 2 */
    const uint16_t scales[] = {0x3c00, 0x4000}, offsets[] = {0xbc00, 0};
    for (int h = 0; h < 2; h++) {
        assert_memory_equal(page + 256 + (h * 64 + 5) * 2, &scales[h], 2);
        assert_memory_equal(page + 512 + (h * 64 + 5) * 2, &offsets[h], 2);
    }
    int touched = 0;
    for (size_t i = 0; i < sizeof page; i++) touched += page[i] != 0xee;
    assert_int_equal(touched, 2 * (2 + 4));
    l = layout(FR_KV_4_QOQ, 2, 4);
    assert_good(fr_kv_page_write(&l, page, 5, x));
    assert_memory_equal(page + 5 * 2, first, 2);
    const uint16_t zeros[] = {0x3c00, 0x8000}; /* -15 * 0 is -0 */
    for (int h = 0; h < 2; h++) assert_memory_equal(page + 512 + (h * 64 + 5) * 2, &zeros[h], 2);
}

static void golden_pages(void **state) {
    (void)state;
    static const char *const names[FR_KV_KINDS] = {NULL,     NULL,      NULL,     "page.8",
                                                   "page.4", "page.8q", "page.4q"};
    const fr_tensor *x = golden_tensor("in.kv");
    for (int kind = FR_KV_8; kind < FR_KV_KINDS; kind++) {
        _Alignas(64) uint8_t page[64 * 2 * (6 + 4)] = {0};
        const fr_tensor *want = golden_tensor(names[kind]);
        fr_kv_layout l = layout((fr_kv_kind)kind, 2, 6);
        assert_int_equal(l.bytes, fr_bytes(want));
        for (int t = 63; t >= 0; t--) /* in any order */
            assert_good(fr_kv_page_write(&l, page, t, (const float *)x->data + t * 12));
        for (size_t i = 0; i < l.bytes; i++)
            if (page[i] != ((const uint8_t *)want->data)[i])
                fail_msg("%s: byte %zu is 0x%02x instead of 0x%02x", names[kind], i, page[i],
                         ((const uint8_t *)want->data)[i]);
    }
}

static double sqnr(fr_kv_kind kind, int heads, int dim) {
    fr_kv_layout l = layout(kind, heads, dim);
    uint8_t *page = fr_alloc(FR_MEM_OTHER, l.bytes);
    size_t row = (size_t)heads * (size_t)dim;
    float *x = normal_matrix(64, (int64_t)row, 4), *y = normal_matrix(64, (int64_t)row, 4);
    for (int t = 0; t < 64; t++) assert_good(fr_kv_page_write(&l, page, t, x + (size_t)t * row));
    for (int h = 0; h < heads; h++) {
        float out[64 * 128];
        fr_kv_page_read(&l, page, h, 0, 64, out);
        for (int t = 0; t < 64; t++)
            memcpy(y + (size_t)t * row + h * dim, out + t * dim, (size_t)dim * sizeof *y);
        float again[128];
        fr_kv_page_read(&l, page, h, 63, 1, again);
        assert_memory_equal(again, out + 63 * dim, (size_t)dim * sizeof *again);
    }
    double db = fr_error_of(x, y, 64 * row).sqnr;
    fr_free(x);
    fr_free(y);
    fr_free(page);
    return db;
}

static void the_published_figure(void **state) {
    (void)state;
    double own = sqnr(FR_KV_4, 16, 128), theirs = sqnr(FR_KV_4_QOQ, 16, 128);
    double own8 = sqnr(FR_KV_8, 16, 128), theirs8 = sqnr(FR_KV_8_QOQ, 16, 128);
    print_message("    4 bits: %.2f dB, QServe's %.2f (published 20.02); 8 bits: %.2f and %.2f; "
                  "bf16 %.2f, f16 %.2f\n",
                  own, theirs, own8, theirs8, sqnr(FR_KV_BF16, 16, 128), sqnr(FR_KV_F16, 16, 128));
    assert_true(fabs(own - 20.02) < 0.1 && fabs(theirs - 20.02) < 0.1);
    assert_true(own8 > 44 && theirs8 > 44);
    assert_true(sqnr(FR_KV_F32, 2, 7) > 1000); /* the same numbers */
    assert_true(sqnr(FR_KV_BF16, 2, 7) > 50 && sqnr(FR_KV_F16, 2, 7) > 68);
}

/* error <= scale / 2 + 2^-10 (max |x| + 15 scale), whatever the vector. */
static void errors_stay_inside(void **state) {
    (void)state;
    enum { DIM = 32 };
    static const float offset[] = {0, 1000, -1000, 30000, 1e-5f, -0.1f, 0};
    static const float range[] = {1, 1, 1, 1, 1e-6f, 0, 65000};
    for (int kind = FR_KV_8; kind < FR_KV_KINDS; kind++)
        for (size_t i = 0; i < FR_COUNT(offset); i++) {
            _Alignas(64) uint8_t page[64 * (DIM + 4)];
            fr_kv_layout l = layout((fr_kv_kind)kind, 1, DIM);
            float x[DIM], y[DIM], most = 0, top = (float)((1 << l.bits) - 1);
            fr_random_uniform(8, i, 0, x, DIM);
            for (int k = 0; k < DIM; k++) x[k] = offset[i] + (x[k] - 0.5f) * range[i];
            for (int k = 0; k < DIM; k++) most = fmaxf(most, fabsf(x[k]));
            assert_good(fr_kv_page_write(&l, page, 17, x));
            fr_kv_page_read(&l, page, 0, 17, 1, y);
            float s = range[i] / top;
            /* 16-bit zeros of QServe's pages are off by whole codes far from zero */
            bool own = kind == FR_KV_8 || kind == FR_KV_4;
            float bound = s / 2 + 0x1p-10f * (most + top * s) + 0x1p-24f * top;
            for (int k = 0; k < DIM; k++)
                if (fabsf(x[k] - y[k]) > bound * (own ? 1 : 2))
                    fail_msg("kind %d, vector %zu: %g becomes %g", kind, i, (double)x[k],
                             (double)y[k]);
        }
}

/* A vector of one value comes back as that value, where f16 has it; zeros are zeros. */
static void constant_vectors(void **state) {
    (void)state;
    static const float value[] = {0, 1, -1, 0.5f, -1000, 65504, -65504, 0x1p-24f};
    for (int kind = 0; kind < FR_KV_KINDS; kind++)
        for (size_t i = 0; i < FR_COUNT(value); i++) {
            _Alignas(64) uint8_t page[64 * 24];
            fr_kv_layout l = layout((fr_kv_kind)kind, 1, 6);
            float x[6], y[6];
            for (int k = 0; k < 6; k++) x[k] = value[i];
            assert_good(fr_kv_page_write(&l, page, 0, x));
            fr_kv_page_read(&l, page, 0, 0, 1, y);
            float want = kind == FR_KV_BF16 ? fr_bf16_to_f32(fr_f32_to_bf16(value[i])) : value[i];
            for (int k = 0; k < 6; k++)
                if (y[k] != want)
                    fail_msg("kind %d: %g becomes %g", kind, (double)want, (double)y[k]);
        }
}

static void bad_things_are_refused(void **state) {
    (void)state;
    fr_kv_layout l;
    assert_fails(fr_kv_layout_of(FR_KV_4, 8, 65, &l), FR_UNSUPPORTED, "odd");
    assert_fails(fr_kv_layout_of(FR_KV_8, 0, 64, &l), FR_INVALID, "0 heads");
    assert_fails(fr_kv_layout_of((fr_kv_kind)9, 8, 64, &l), FR_INVALID, "kind 9");
    assert_int_equal(fr_kv_page_bytes(FR_KV_4, 8, 65), 0);
    _Alignas(64) uint8_t page[4096] = {0}, clean[4096] = {0};
    float x[8] = {0};
    for (int kind = 0; kind < FR_KV_KINDS; kind++) {
        l = layout((fr_kv_kind)kind, 2, 4);
        x[6] = NAN;
        assert_fails(fr_kv_page_write(&l, page, 3, x), FR_INVALID, "Head 1, channel 2");
        x[6] = kind == FR_KV_BF16 || kind == FR_KV_F32 ? INFINITY : 65520;
        assert_fails(fr_kv_page_write(&l, page, 3, x), FR_INVALID, "Head 1, channel 2");
        x[6] = 0;
        assert_fails(fr_kv_page_write(&l, page, 64, x), FR_INVALID, "no token 64");
        assert_fails(fr_kv_page_write(&l, page, -1, x), FR_INVALID, "no token -1");
    }
    assert_memory_equal(page, clean, sizeof page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_pages),
        cmocka_unit_test(pages_count_their_bytes),
        cmocka_unit_test(every_byte_has_its_place),
        cmocka_unit_test(the_published_figure),
        cmocka_unit_test(errors_stay_inside),
        cmocka_unit_test(constant_vectors),
        cmocka_unit_test(bad_things_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
