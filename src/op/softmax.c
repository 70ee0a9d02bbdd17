/* softmax.c */
#include "op/op.h"

const fr_op fr_op_softmax = {.name = "softmax"};
const fr_op fr_op_cross_entropy = {.name = "cross_entropy"};
const fr_op fr_op_mse = {.name = "mse"};
