/* check.h: how every kernel of every instruction set is held against its reference, and timed.
 *
 * A family is one file check_<family>.c with two functions and one line to register them:
 *
 *     static void run(const fr_kernels *k, const fr_kernels *ref) {
 *         for (size_t n = 0; n < 70; n++) {
 *             if (!check_begin("rows.sum n=%zu", n)) continue;
 *             float *x = check_f32(n, CHECK_NORMAL);
 *             check_value(k->rows.sum(x, n), ref->rows.sum(x, n), 1e-6, 1e-6);
 *             check_end();
 *         }
 *     }
 *     static void bench(const fr_kernels *k) { ... check_bench("rows.sum", flops, bytes, once,
 * &arg); } CHECK_FAMILY("rows", run, bench)
 *
 * run() is called once for each table that this machine has (scalar, avx2, avx512, all), with the
 * scalar table as the reference. Buffers end at an unreadable page and begin at odd addresses, so
 * that reading or writing past the end is a fault and aligned instructions are found out; they
 * live until check_end(). Filters (--filter) match the text given to check_begin. */
#ifndef FR_TESTS_CHECK_H
#define FR_TESTS_CHECK_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel.h"

typedef enum check_kind {
    CHECK_NORMAL,  /* normal(0, 1) */
    CHECK_UNIFORM, /* -10 .. 10 */
    CHECK_WIDE,    /* every exponent, both signs, finite */
    CHECK_EXTREME, /* random bits, infinities, NaN, denormals, zeros of both signs, largest */
    CHECK_KIND_COUNT
} check_kind;

/* True when this case should run; the name appears in every message until check_end(). */
bool check_begin(const char *fmt, ...) FR_PRINTF(1, 2);
void check_end(void);
/* Says what is wrong with the present case. */
void check_fail(const char *fmt, ...) FR_PRINTF(1, 2);

/* Memory that ends at an unreadable page; contents 0xA5. */
void *check_alloc(size_t bytes);
float *check_f32(size_t n, check_kind kind);
float *check_range(size_t n, float lo, float hi); /* uniform between */
uint16_t *check_bf16(size_t n, check_kind kind);
void *check_copy(const void *p, size_t bytes); /* another buffer with the same contents */

/* The random numbers of the harness; the seed is the same at every start. */
uint64_t check_random(void);
float check_uniform(void); /* [0, 1) */
float check_normal(void);

/* |got - want| <= abs + rel * |want|; NaN equals NaN, infinities must agree. */
bool check_near(double got, double want, double rel, double abs);
void check_value(double got, double want, double rel, double abs);
void check_close(const float *got, const float *want, size_t n, double rel, double abs);
void check_close_bf16(const uint16_t *got, const uint16_t *want, size_t n, double rel, double abs);
/* Bit for bit; size is that of one value, for the message. */
void check_same(const void *got, const void *want, size_t n, size_t size);

/* Runs once(arg) many times and prints the shortest time, GFLOP/s and GB/s of one thread with their
 * shares of the measured peak (what: CHECK_F32 ...) and of a copy of as many bytes. */
typedef enum check_peak { CHECK_NO_PEAK, CHECK_F32, CHECK_BF16, CHECK_INT8 } check_peak;
void check_bench(const char *name, check_peak peak, double ops, double bytes, void (*once)(void *),
                 void *arg);

typedef struct check_family {
    const char *name;
    void (*run)(const fr_kernels *k, const fr_kernels *ref);
    void (*bench)(const fr_kernels *k); /* may be NULL */
    struct check_family *next;
} check_family;
void check_register(check_family *family);

#define CHECK_FAMILY(family_name, run_fn, bench_fn)                                                \
    __attribute__((constructor)) static void check_register_family(void) {                         \
        static check_family family = {family_name, run_fn, bench_fn, NULL};                        \
        check_register(&family);                                                                   \
    }

#endif
