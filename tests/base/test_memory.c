/* test_memory.c: blocks, the books, lists that grow, arenas, and memory that runs out. */
#include "testing.h"

static void blocks_are_aligned_zeroed_and_booked(void **state) {
    (void)state;
    size_t before = fr_memory_stat(FR_MEM_IMAGE).now, all = fr_memory_total().now;
    for (size_t bytes = 0; bytes < 300; bytes += 7) {
        uint8_t *p = fr_alloc(FR_MEM_IMAGE, bytes);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % FR_ALIGN, 0);
        for (size_t i = 0; i < bytes; i++) assert_int_equal(p[i], 0);
        memset(p, 0xff, bytes);
        assert_int_equal(fr_memory_stat(FR_MEM_IMAGE).now, before + bytes);
        assert_int_equal(fr_memory_total().now, all + bytes);
        fr_free(p);
        assert_int_equal(fr_memory_stat(FR_MEM_IMAGE).now, before);
    }
    fr_free(NULL);
}

static void big_blocks_are_zeroed_too(void **state) {
    (void)state;
    size_t bytes = ((size_t)9 << 20) + 5;
    for (int round = 0; round < 2; round++) {
        uint8_t *p = fr_alloc(FR_MEM_ARENA, bytes);
        assert_non_null(p);
        for (size_t i = 0; i < bytes; i += 511) assert_int_equal(p[i], 0);
        memset(p, 0xff, bytes);
        fr_free(p);
    }
}

static void the_peak_is_kept_by_kind(void **state) {
    (void)state;
    fr_memory_reset_peak();
    size_t weights = fr_memory_stat(FR_MEM_WEIGHTS).now, total = fr_memory_total().now;
    void *a = fr_alloc(FR_MEM_WEIGHTS, 1000), *b = fr_alloc(FR_MEM_STATE, 500);
    fr_free(a);
    void *c = fr_alloc(FR_MEM_WEIGHTS, 10);
    assert_int_equal(fr_memory_stat(FR_MEM_WEIGHTS).peak, weights + 1000);
    assert_int_equal(fr_memory_stat(FR_MEM_WEIGHTS).now, weights + 10);
    assert_int_equal(fr_memory_total().peak, total + 1500);
    fr_memory_reset_peak();
    assert_int_equal(fr_memory_total().peak, total + 510);
    fr_free(b);
    fr_free(c);
    assert_string_equal(fr_mem_kind_name(FR_MEM_WEIGHTS), "weights");
    assert_string_equal(fr_mem_kind_name((fr_mem_kind)99), "?");
}

static void sizes_that_overflow_are_refused(void **state) {
    (void)state;
    size_t n;
    assert_true(fr_size_mul(SIZE_MAX / 2, 2, &n));
    assert_false(fr_size_mul(SIZE_MAX / 2 + 1, 2, &n));
    assert_true(fr_size_add(SIZE_MAX - 1, 1, &n));
    assert_false(fr_size_add(SIZE_MAX, 1, &n));
    assert_null(fr_alloc_array(FR_MEM_OTHER, SIZE_MAX / 2, 3));
    assert_non_null(strstr(fr_message(), "9223372036854775807 items of 3 bytes"));
    assert_null(fr_alloc(FR_MEM_OTHER, SIZE_MAX));
    assert_non_null(strstr(fr_message(), "18446744073709551615 bytes"));
    assert_null(fr_alloc(FR_MEM_OTHER, SIZE_MAX - 64));
}

static void allocations_can_be_told_to_fail(void **state) {
    (void)state;
    fr_memory_fail_after(2);
    void *a = fr_alloc(FR_MEM_OTHER, 8), *b = fr_alloc(FR_MEM_STATE, 77), *c = fr_strdup("x");
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    assert_non_null(strstr(fr_message(), "no 77 bytes for state"));
    fr_free(a);
    fr_free(c);
}

static void lists_grow_and_keep_what_they_hold(void **state) {
    (void)state;
    int *items = NULL;
    size_t cap = 0;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(fr_grow((void **)&items, &cap, (size_t)i + 1, sizeof *items), FR_OK);
        assert_true(cap > (size_t)i);
        assert_int_equal(items[i], 0);
        items[i] = i;
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(items[i], i);
    size_t before = cap;
    assert_int_equal(fr_grow((void **)&items, &cap, SIZE_MAX / 2, sizeof *items), FR_NOMEM);
    fr_memory_fail_after(1);
    assert_int_equal(fr_grow((void **)&items, &cap, cap + 1, sizeof *items), FR_NOMEM);
    assert_int_equal(cap, before);
    assert_int_equal(items[999], 999);
    fr_free(items);
}

static void texts_are_copied_and_formatted(void **state) {
    (void)state;
    char *a = fr_strdup("abc"), *b = fr_format("%s-%d-%s", a, 12, "");
    assert_string_equal(a, "abc");
    assert_string_equal(b, "abc-12-");
    fr_free(a);
    fr_free(b);
    fr_memory_fail_after(1);
    assert_null(fr_format("%d", 1));
}

static void arenas_hold_small_and_large(void **state) {
    (void)state;
    size_t before = fr_memory_total().now;
    fr_arena *a = fr_arena_new();
    uint8_t *p[500];
    for (size_t i = 0; i < FR_COUNT(p); i++) {
        size_t bytes = i % 50 == 0 ? 30000 : i % 97;
        p[i] = fr_arena_alloc(a, bytes);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < bytes; k++) assert_int_equal(p[i][k], 0);
        memset(p[i], (int)i, bytes);
    }
    for (size_t i = 1; i < FR_COUNT(p); i++) {
        size_t bytes = i % 50 == 0 ? 30000 : i % 97;
        for (size_t k = 0; k < bytes; k++) assert_int_equal(p[i][k], (uint8_t)i);
    }
    assert_string_equal(fr_arena_strdup(a, "name"), "name");
    assert_null(fr_arena_alloc(a, SIZE_MAX - 3));
    fr_memory_fail_after(1);
    assert_null(fr_arena_alloc(a, 1 << 20));
    assert_non_null(fr_arena_alloc(a, 1 << 20));
    fr_arena_free(a);
    fr_arena_free(NULL);
    assert_int_equal(fr_memory_total().now, before);
}

/* Small things must not each take a chunk after a large one came. */
static void arenas_do_not_waste(void **state) {
    (void)state;
    size_t before = fr_memory_total().now;
    fr_arena *a = fr_arena_new();
    for (int i = 0; i < 100; i++) {
        fr_arena_alloc(a, 20000);
        fr_arena_alloc(a, 16);
    }
    assert_true(fr_memory_total().now - before < 100 * 21000 + 40000);
    fr_arena_free(a);
}

static void add_and_free(void *arg, size_t i) {
    (void)arg;
    void *p = fr_alloc(FR_MEM_STATE, i % 100);
    fr_free(p);
}

static void the_books_hold_with_many_threads(void **state) {
    (void)state;
    size_t before = fr_memory_stat(FR_MEM_STATE).now;
    fr_pool *pool;
    assert_int_equal(fr_pool_new(4, &pool), FR_OK);
    fr_pool_run(pool, 20000, add_and_free, NULL);
    fr_pool_free(pool);
    assert_int_equal(fr_memory_stat(FR_MEM_STATE).now, before);
}

static void the_process_knows_its_size(void **state) {
    (void)state;
    assert_in_range(fr_resident_bytes(), 1 << 16, (size_t)1 << 40);
    assert_true(fr_resident_peak_bytes() >= fr_resident_bytes() / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_zeroed_and_booked),
        cmocka_unit_test(big_blocks_are_zeroed_too),
        cmocka_unit_test(the_peak_is_kept_by_kind),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(allocations_can_be_told_to_fail),
        cmocka_unit_test(lists_grow_and_keep_what_they_hold),
        cmocka_unit_test(texts_are_copied_and_formatted),
        cmocka_unit_test(arenas_hold_small_and_large),
        cmocka_unit_test(arenas_do_not_waste),
        cmocka_unit_test(the_books_hold_with_many_threads),
        cmocka_unit_test(the_process_knows_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
