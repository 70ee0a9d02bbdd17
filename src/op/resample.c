/* resample.c */
#include "op/op.h"

const fr_op fr_op_pixel_shuffle = {.name = "pixel_shuffle"};
const fr_op fr_op_pixel_unshuffle = {.name = "pixel_unshuffle"};
const fr_op fr_op_upsample_nearest = {.name = "upsample_nearest"};
