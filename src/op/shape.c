/* shape.c */
#include "op/op.h"

const fr_op fr_op_reshape = {.name = "reshape"};
const fr_op fr_op_permute = {.name = "permute"};
const fr_op fr_op_slice = {.name = "slice"};
