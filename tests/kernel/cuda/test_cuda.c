/* test_cuda.c: the survey of CUDA devices: sensible with devices, without a device, without a
 * driver and without the component. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/kernel.h"

static void test_count_and_state_agree(void **state) {
    (void)state;
    int count = fr_cuda_count();
    assert_true(count >= 0);
    assert_int_equal(count, fr_cuda_count());
    const char *text = fr_cuda_state();
    assert_non_null(text);
    assert_true(strlen(text) > 3);
    print_message("CUDA: %s\n", text);
#ifdef FR_CUDA
    assert_string_not_equal(text, "not built in");
    if (count == 0)
        assert_non_null(strstr(text, "no device"));
    else
        assert_int_equal(atoi(text), count);
#else
    assert_int_equal(count, 0);
    assert_string_equal(text, "not built in");
#endif
}

static void test_every_device_is_described(void **state) {
    (void)state;
    for (int i = 0; i < fr_cuda_count(); i++) {
        fr_cuda_device d;
        assert_true(fr_cuda_device_get(i, &d));
        print_message("  %s, %.1f GB (%.1f free), sm_%d%d, %d processors\n", d.name, d.memory / 1e9,
                      d.free / 1e9, d.major, d.minor, d.processors);
        assert_true(d.name[0] != 0);
        assert_true(d.memory > (size_t)1 << 28);
        assert_true(d.free > 0 && d.free <= d.memory);
        assert_true(d.major >= 5);
        assert_true(d.processors > 0);
    }
}

static void test_no_such_device(void **state) {
    (void)state;
    static const fr_cuda_device zeros;
    const int wrong[] = {-1, fr_cuda_count(), 1 << 20};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fr_cuda_device d;
        memset(&d, 0xff, sizeof d);
        assert_false(fr_cuda_device_get(wrong[i], &d));
        assert_memory_equal(&d, &zeros, sizeof d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_and_state_agree),
        cmocka_unit_test(test_every_device_is_described),
        cmocka_unit_test(test_no_such_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
