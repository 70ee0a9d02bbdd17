/* op_test.h: one way to test every operator: against an f64 reference that the test states, against
 * central differences of that reference, and for the same bits with any number of threads.
 *
 * A case says what goes in, how to build the node, and the reference. op_check() then
 *   - runs the graph in f32 and compares with the reference (relative to the largest value);
 *   - where `bf16` is set, runs it again with the real inputs stored as bf16;
 *   - runs with 1, 2, 3 and 8 threads (short: 1 and 3) and compares bytes;
 *   - for inputs with grad set, compares the gradient of sum(out0 * fixed random) with central
 *     differences of the reference;
 *   - runs under every table of kernels that the machine has (scalar, avx2, avx512, ...). */
#ifndef OP_TEST_H
#define OP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

#include <cmocka.h>

#include "graph/graph.h"

#define OP_MAX 16

/* Set by the runs under sanitizers, where the kind of access counts: fewer rounds of the same. */
static inline bool op_short(void) {
    return getenv("FRUGAL_TEST_SHORT") != NULL;
}

typedef struct op_in {
    fr_dtype dtype; /* FR_F32, FR_I32; FR_NOTYPE ends the list */
    int rank;
    int64_t dim[FR_MAX_DIMS];
    double lo, hi;       /* uniform values between; integers: lo .. hi - 1. Both 0: normal(0, 1) */
    bool grad;           /* check its gradient */
    const int32_t *ints; /* given values of an i32 input */
    bool state;          /* a state node, filled with the values before each run */
} op_in;

/* A tensor of doubles: shape in desc, values contiguous. Integers are doubles too. */
typedef struct op_f64 {
    fr_tensor desc;
    double *v;
} op_f64;

typedef struct op_case {
    const char *name;
    op_in in[OP_MAX];
    const void *arg;
    /* Adds the node; fills out[] and returns how many outputs are checked. */
    int (*build)(fr_graph *g, const fr_val *in, const void *arg, fr_val *out);
    /* Fills out[].v; shapes of out are set from the graph before. */
    void (*ref)(const void *arg, const op_f64 *in, op_f64 *out);
    double tol;      /* 0: 2e-5 */
    double grad_tol; /* 0: 1e-4 */
    bool bf16;       /* also with bf16 storage; tolerance 1.6e-2 unless bf16_tol */
    double bf16_tol;
} op_case;

void op_check(const op_case *c);

/* fn(arg) under every table of kernels that the machine has (scalar, avx2, ...). */
void op_each_table(void (*fn)(void *), void *arg);
/* A pool of 1 to 8 threads that lives as long as the program. */
fr_pool *op_pool(int count);

/* The graph must refuse this, with a sentence that contains `words`. */
void op_check_refused(const op_in *in,
                      int (*build)(fr_graph *, const fr_val *, const void *, fr_val *),
                      const void *arg, const char *words);

#endif
