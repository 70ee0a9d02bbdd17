/* conv_ref.h: the convolution in f64, written as its definition, for test_conv.c. */
#ifndef CONV_REF_H
#define CONV_REF_H

#include "op_test.h"

typedef struct conv_arg {
    int axes;          /* 2 or 3 */
    fr_conv_opts opts; /* as given */
    int size[3];       /* of a transposed convolution */
    bool bias, residual;
} conv_arg;

/* For each pair of source and result pixel under a tap: fn(source value, result value, weight
 * value), all as indices. */
typedef void conv_pair_fn(void *user, int64_t x, int64_t y, int64_t w);
void conv_walk(const conv_arg *a, const fr_tensor *x, const fr_tensor *w, const fr_tensor *y,
               conv_pair_fn *fn, void *user);
double conv_act(fr_fn fn, double x);

#endif
