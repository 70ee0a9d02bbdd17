/* groupnorm.c */
#include "op/op.h"

const fr_op fr_op_groupnorm = {.name = "groupnorm"};
const fr_op fr_op_batchnorm = {.name = "batchnorm"};
const fr_op fr_op_batchnorm_train = {.name = "batchnorm_train"};
