/* concat.c */
#include "op/op.h"

const fr_op fr_op_concat = {.name = "concat"};
const fr_op fr_op_pad = {.name = "pad"};
