/* reduce.c */
#include "op/op.h"

const fr_op fr_op_reduce = {.name = "reduce"};
const fr_op fr_op_topk = {.name = "topk"};
const fr_op fr_op_argmax = {.name = "argmax"};
