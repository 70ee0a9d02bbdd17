/* pool.c */
#include "op/op.h"

const fr_op fr_op_avgpool = {.name = "avgpool"};
const fr_op fr_op_maxpool = {.name = "maxpool"};
