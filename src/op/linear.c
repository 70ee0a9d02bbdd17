/* linear.c */
#include "op/op.h"

const fr_op fr_op_linear = {.name = "linear"};
