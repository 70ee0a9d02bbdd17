/* reorder.h: putting inputs of like magnitude next to each other, so that they share the scale of a group.
 *
 * The inputs of o and of down are made by linears whose rows can be in any order: rows of v inside a head, rows of
 * gate and up. Ascending by the largest magnitude seen, groups of consecutive columns become even (QServe's reordering
 * for groups; Atom, Zhao et al. 2024). The model computes the same, up to the order in which sums are taken. */
#ifndef FR_MODEL_REORDER_H
#define FR_MODEL_REORDER_H

#include "model/layer_weights.h"

/* FR_PLACE_OUT, where all heads that share a value get one order, or FR_PLACE_DOWN. most: fr_place_inputs largest
 * magnitudes, after each other for all experts. from: as many; input i is now what from[i] was; may be NULL.
 * Equal ones keep their order. */
fr_status fr_reorder(const fr_decoder *m, fr_place place, const float *most,
                     const fr_named_tensor *weights, size_t count, int64_t layer, int32_t *from);

#endif
