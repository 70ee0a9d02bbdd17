/* test_derive.c: a derived store has its own names over the other's bytes, and frees what it keeps. */
#include "testing.h"

static fr_store *opened(void) {
    fr_store *base;
    assert_good(fr_store_open(golden("reference.gguf"), &base));
    return base;
}

static void borrows_and_owns(void **state) {
    (void)state;
    size_t before = fr_memory_total().now;
    fr_store *base = opened(), *s;
    assert_true(fr_store_count(base) > 0);
    const fr_tensor *lent = fr_store_tensor(base, 0);
    uint64_t offset = fr_store_offset(base, 0);
    assert_good(fr_store_derive(base, &s));
    float *values = fr_alloc(FR_MEM_WEIGHTS, 4 * sizeof *values);
    values[3] = 7;
    fr_tensor own = fr_tensor_make(FR_F32, 2, (int64_t[]){2, 2}, values);
    assert_good(fr_store_derive_add(s, "lent", lent));
    assert_good(fr_store_derive_add(s, "own", &own));
    assert_good(fr_store_derive_keep(s, values));
    assert_good(fr_store_derive_keep(s, NULL));
    assert_int_equal(fr_store_count(s), 2);
    assert_ptr_equal(fr_store_find(s, "lent")->data, lent->data);
    assert_int_equal(fr_store_offset(s, 0), offset);
    assert_string_equal(fr_store_file(s, 0), fr_store_file(base, 0));
    assert_true(((float *)fr_store_find(s, "own")->data)[3] == 7);
    assert_string_equal(fr_store_file(s, 1), fr_store_path(base));
    assert_null(fr_store_find(s, fr_store_name(base, 0)));
    fr_store_close(s);
    assert_int_equal(fr_memory_total().now, before);
}

/* What the base says about itself is said of the derived store too, and may be added to. */
static void has_the_metadata(void **state) {
    (void)state;
    fr_store *base = opened(), *s;
    size_t keys = json_object_size(fr_store_metadata(base));
    assert_good(fr_store_derive(base, &s));
    assert_int_equal(json_object_size(fr_store_metadata(s)), keys);
    assert_good(fr_store_derive_meta(s, "frugal.format.w", "int4-g64 2 64"));
    assert_string_equal(json_string_value(fr_json_get(fr_store_metadata(s), "frugal.format.w")),
                        "int4-g64 2 64");
    assert_int_equal(json_object_size(fr_store_metadata(base)), keys);
    assert_int_equal(fr_store_array_count(s), fr_store_array_count(base));
    for (size_t i = 0; i < fr_store_array_count(s); i++)
        assert_non_null(fr_store_meta_array(s, fr_store_array(base, i)->key));
    assert_string_equal(fr_store_format(s), "gguf");
    fr_store_close(s);
}

static void refuses(void **state) {
    (void)state;
    fr_store *base = opened(), *s;
    const fr_tensor *t = fr_store_tensor(base, 0);
    assert_fails(fr_store_derive_add(base, "x", t), FR_INVALID, "derived");
    assert_good(fr_store_derive(base, &s));
    assert_good(fr_store_derive_add(s, "x", t));
    assert_fails(fr_store_derive_add(s, "x", t), FR_FORMAT, "two tensors become 'x'");
    fr_store_close(s);
}

/* The n-th allocation fails: no crash, and nothing is lost. */
static void survives_want_of_memory(void **state) {
    (void)state;
    size_t before = fr_memory_total().now;
    for (long n = 1; n < 40; n++) {
        fr_store *base = opened(), *s;
        fr_memory_fail_after(n);
        fr_status st = fr_store_derive(base, &s);
        if (!st) st = fr_store_derive_add(s, "x", fr_store_tensor(base, 0));
        if (!st) st = fr_store_derive_keep(s, fr_alloc(FR_MEM_OTHER, 8));
        fr_memory_fail_after(0);
        fr_store_close(s ? s : base);
        assert_int_equal(fr_memory_total().now, before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(borrows_and_owns),
        cmocka_unit_test(has_the_metadata),
        cmocka_unit_test(refuses),
        cmocka_unit_test(survives_want_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
