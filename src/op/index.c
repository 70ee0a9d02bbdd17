/* index.c */
#include "op/op.h"

const fr_op fr_op_embedding = {.name = "embedding"};
const fr_op fr_op_gather = {.name = "gather"};
const fr_op fr_op_scatter_add = {.name = "scatter_add"};
