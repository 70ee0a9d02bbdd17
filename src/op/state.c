/* state.c */
#include "op/op.h"

const fr_op fr_op_assign = {.name = "assign"};
const fr_op fr_op_update_rows = {.name = "update_rows"};
