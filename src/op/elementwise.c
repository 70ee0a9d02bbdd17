/* elementwise.c */
#include "op/op.h"

const fr_op fr_op_binary = {.name = "binary"};
const fr_op fr_op_affine = {.name = "affine"};
const fr_op fr_op_unary = {.name = "unary"};
const fr_op fr_op_glu = {.name = "glu"};
const fr_op fr_op_modulate = {.name = "modulate"};
const fr_op fr_op_gated_add = {.name = "gated_add"};
const fr_op fr_op_cast = {.name = "cast"};
