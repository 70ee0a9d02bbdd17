/* linear_attention.c */
#include "op/op.h"

const fr_op fr_op_linear_attention = {.name = "linear_attention"};
