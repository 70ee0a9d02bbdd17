/* test_feeder.c: batches come in their order, ahead of time, and failures and ends are clean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/data.h"

enum { VALUES = 64 };

typedef struct squares {
    atomic_int made;
    int fail_at, wait_us;
} squares;

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

/* Batch n is n * n, n * n + 1 ... */
static fr_status fill(void *self, uint64_t number, fr_tensor *inputs) {
    squares *s = self;
    int32_t *x = inputs[0].data;
    if (s->fail_at >= 0 && number >= (uint64_t)s->fail_at)
        return fr_fail(FR_FORMAT, "batch %llu is broken", (unsigned long long)number);
    if (s->wait_us) usleep((useconds_t)s->wait_us);
    for (int i = 0; i < VALUES; i++) x[i] = (int32_t)(number * number) + i;
    atomic_fetch_add(&s->made, 1);
    return FR_OK;
}

static fr_source source_of(squares *s) {
    fr_source out = {.self = s, .inputs = 1, .fill = fill};
    out.shape[0] = fr_tensor_make(FR_I32, 1, (int64_t[]){VALUES}, NULL);
    return out;
}

static void check(const fr_tensor *t, int n) {
    const int32_t *x = t[0].data;
    for (int i = 0; i < VALUES; i++) assert_int_equal(x[i], n * n + i);
}

static void test_order(void **state) {
    (void)state;
    for (int ahead = 1; ahead < 6; ahead += 2) {
        squares s = {.fail_at = -1};
        fr_source source = source_of(&s);
        fr_feeder *f;
        ok(fr_feeder_new(&source, 7, ahead, &f));
        for (int n = 7; n < 200; n++) {
            const fr_tensor *in;
            ok(fr_feeder_take(f, &in));
            check(in, n);
            if (n % 50 == 0) usleep(2000); /* the thread catches up; the batch must stay */
            check(in, n);
        }
        assert_in_range(atomic_load(&s.made), 193, 193 + ahead);
        fr_feeder_free(f);
    }
}

/* It makes as many as it may and then sleeps. */
static void test_ahead(void **state) {
    (void)state;
    squares s = {.fail_at = -1};
    fr_source source = source_of(&s);
    fr_feeder *f;
    const fr_tensor *in;
    ok(fr_feeder_new(&source, 0, 3, &f));
    for (int i = 0; i < 2000 && atomic_load(&s.made) < 4; i++) usleep(1000);
    usleep(20000);
    assert_int_equal(atomic_load(&s.made), 4);
    ok(fr_feeder_take(f, &in));
    usleep(20000);
    assert_int_equal(atomic_load(&s.made), 4); /* the one taken is being read */
    ok(fr_feeder_take(f, &in));
    for (int i = 0; i < 2000 && atomic_load(&s.made) < 5; i++) usleep(1000);
    assert_int_equal(atomic_load(&s.made), 5);
    fr_feeder_free(f);
}

/* What was made before the failure still comes; then the failure, as often as one asks. */
static void test_failure(void **state) {
    (void)state;
    squares s = {.fail_at = 3};
    fr_source source = source_of(&s);
    fr_feeder *f;
    const fr_tensor *in;
    ok(fr_feeder_new(&source, 0, 8, &f));
    for (int n = 0; n < 3; n++) {
        ok(fr_feeder_take(f, &in));
        check(in, n);
    }
    for (int i = 0; i < 2; i++) {
        fr_message_clear();
        assert_int_equal(fr_feeder_take(f, &in), FR_FORMAT);
        assert_string_equal(fr_message(), "batch 3 is broken");
        assert_null(in);
    }
    fr_feeder_free(f);
}

static void test_waiting(void **state) {
    (void)state;
    squares slow = {.fail_at = -1, .wait_us = 5000};
    fr_source source = source_of(&slow);
    fr_feeder *f;
    const fr_tensor *in;
    ok(fr_feeder_new(&source, 0, 2, &f));
    for (int n = 0; n < 5; n++) ok(fr_feeder_take(f, &in));
    assert_true(fr_feeder_waited(f) > 0.005);
    fr_feeder_free(f);

    /* An end while the thread is at work, and one before anything was taken. */
    for (int i = 0; i < 20; i++) {
        ok(fr_feeder_new(&source, 0, 2, &f));
        if (i % 2) usleep(1000);
        fr_feeder_free(f);
    }
    fr_feeder_free(NULL);
}

static void test_refused(void **state) {
    (void)state;
    squares s = {.fail_at = -1};
    fr_source source = source_of(&s);
    fr_feeder *f;
    assert_int_equal(fr_feeder_new(&source, 0, 0, &f), FR_INVALID);
    assert_null(f);
    source.inputs = FR_BATCH_INPUTS + 1;
    assert_int_equal(fr_feeder_new(&source, 0, 1, &f), FR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),   cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_failure), cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
