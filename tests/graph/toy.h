/* toy.h: small operators of the tests' own, and what all tests of graphs include. The toys work on
 * i32 with wrapping arithmetic, so that any mistake of a plan shows in exact bits. */
#ifndef TOY_H
#define TOY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

#include <cmocka.h>

#include "graph/graph.h"

extern const fr_op toy_mix;     /* a * 1664525 + b * 22695477 + 1, may overwrite either */
extern const fr_op toy_rotate;  /* out[i] = in[i + 1] + 3, through scratch memory */
extern const fr_op toy_two;     /* two outputs: x + 1 and 3 x */
extern const fr_op toy_strided; /* 7 x + 1, reads strided views */
extern const fr_op toy_weave;   /* a * 5 + b * 9, may overwrite a, reads strided b */
extern const fr_op toy_fail;    /* shape is fine, run fails */
extern const fr_op toy_refuse;  /* refuses every shape */
extern const fr_op toy_wide;    /* too many attribute bytes */
extern const fr_op toy_pack;    /* x + sum(w), where the sum is packed; counts in toy_packs */
extern int toy_packs, toy_unpacked_runs;

static inline fr_val toy1(fr_graph *g, const fr_op *op, fr_val a) {
    return fr_emit(g, op, 1, &a, NULL);
}
static inline fr_val toy2(fr_graph *g, const fr_op *op, fr_val a, fr_val b) {
    fr_val in[2] = {a, b};
    return fr_emit(g, op, 2, in, NULL);
}

/* Fails with fr_message() when st is not good. */
void toy_good(fr_status st);
/* The last message contains the words. */
void toy_says(const char *words);
/* Every output of the graph computed the plain way: all nodes in order, each with memory of its
 * own; out[i] is a contiguous copy to fr_free. Parameters and states come from the session. */
void toy_interpret(fr_session *s, fr_graph *g, const fr_tensor *inputs, fr_tensor *out);

#endif
