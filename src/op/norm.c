/* norm.c */
#include "op/op.h"

const fr_op fr_op_rmsnorm = {.name = "rmsnorm"};
const fr_op fr_op_layernorm = {.name = "layernorm"};
