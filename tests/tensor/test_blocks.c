/* test_blocks.c: GGUF blocks, to the bit, against what the `gguf` package of PyPI makes of them
 * (tests/oracle/gguf_blocks.py). */
#include "testing.h"

#include <math.h>

static fr_store *store;

static const fr_tensor *tensor(const char *kind, const char *what) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", kind, what);
    const fr_tensor *t = fr_store_find(store, name);
    if (!t) fail_msg("the golden file has no %s", name);
    return t;
}

/* Equal bits; a NaN is a NaN. */
static void assert_same_floats(const char *kind, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (fr_f32_bits(a[i]) != fr_f32_bits(b[i]) && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s value %zu is %a, not %a", kind, i, (double)a[i], (double)b[i]);
}

static void check_kind(fr_dtype t) {
    const char *kind = fr_dtype_name(t);
    const fr_tensor *raw = tensor(kind, "blocks"), *want = tensor(kind, "values");
    const fr_dtype_info *info = fr_dtype_get(t);
    assert_int_equal(raw->dim[1], info->bytes);
    assert_int_equal(want->dim[1], info->block);
    size_t n = (size_t)fr_values(want);
    float *out = fr_alloc_array(FR_MEM_OTHER, n + 1, sizeof *out);
    out[n] = 42;
    fr_tensor blocks = fr_tensor_make(t, 2, want->dim, raw->data);
    assert_int_equal(fr_bytes(&blocks), fr_bytes(raw));
    assert_good(fr_tensor_to_f32(&blocks, out));
    assert_same_floats(kind, out, want->data, n);
    assert_true(out[n] == 42);
    /* At an odd address. */
    uint8_t *odd = fr_alloc(FR_MEM_OTHER, fr_bytes(raw) + 1);
    memcpy(odd + 1, raw->data, fr_bytes(raw));
    memset(out, 0, n * sizeof *out);
    fr_decode(t, odd + 1, n, out);
    assert_same_floats(kind, out, want->data, n);
    fr_free(odd);
    fr_free(out);
}

static void blocks_decode_to_the_bit(void **state) {
    (void)state;
    for (int t = FR_Q4_0; t <= FR_Q6_K; t++) check_kind((fr_dtype)t);
}

static void q8_0_encodes_to_the_bit(void **state) {
    (void)state;
    const fr_tensor *x = tensor("encode", "values"), *want = tensor("encode", "q8_0");
    uint8_t out[4096];
    assert_true(fr_bytes(want) <= sizeof out);
    assert_good(fr_encode(FR_Q8_0, x->data, (size_t)fr_values(x), out));
    assert_memory_equal(out, want->data, fr_bytes(want));
}

static void q8_0_of_wild_values_stays_defined(void **state) {
    (void)state;
    float x[96] = {INFINITY, 1, NAN, -3};
    uint8_t out[34 * 3];
    for (int i = 32; i < 64; i++) x[i] = NAN;
    x[64] = 1e-45f; /* the inverse scale overflows */
    assert_good(fr_encode(FR_Q8_0, x, 96, out));
    assert_good(fr_encode(FR_Q8_0, x, 0, out));
}

static int open_golden(void **state) {
    (void)state;
    return fr_store_open(golden("blocks.safetensors"), &store);
}

static int close_golden(void **state) {
    (void)state;
    fr_store_close(store);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_decode_to_the_bit),
        cmocka_unit_test(q8_0_encodes_to_the_bit),
        cmocka_unit_test(q8_0_of_wild_values_stays_defined),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
