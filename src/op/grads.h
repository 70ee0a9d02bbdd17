/* grads.h: constructors that only gradient rules use. Their operators stand beside the forward ones
 * in the same files; they have no gradient of their own unless said.
 *
 * All follow the constructors of <frugal/ops.h>: they add nodes and return values, FR_NONE after an
 * error, which the graph keeps. */
#ifndef FR_OP_GRADS_H
#define FR_OP_GRADS_H

#include "op/op.h"

/* dy * fn'(x) */
fr_val fr_unary_grad(fr_graph *g, fr_val x, fr_val dy, fr_fn fn);
/* Gradient of act(gate) * up: *dgate and *dup; with up FR_NONE *dgate holds both, like gate. */
void fr_glu_grad(fr_graph *g, fr_val gate, fr_val up, fr_val dy, fr_fn act, fr_val *dgate,
                 fr_val *dup);
/* Sums dv over the axes along which `like` was broadcast, so that it has the shape of like. */
fr_val fr_unbroadcast(fr_graph *g, fr_val dv, fr_val like);
/* y is softmax(x): y * (dy - sum(y * dy)). */
fr_val fr_softmax_grad(fr_graph *g, fr_val y, fr_val dy);

extern const fr_op fr_op_unary_grad;
extern const fr_op fr_op_binary_grad;
extern const fr_op fr_op_glu_grad;
extern const fr_op fr_op_reduce_grad; /* a reduced gradient spread over the shape of x */
extern const fr_op fr_op_reduce_like; /* fr_unbroadcast */
extern const fr_op fr_op_topk_grad;
extern const fr_op fr_op_norm_grad;
extern const fr_op fr_op_groupnorm_grad;
extern const fr_op fr_op_softmax_grad;
extern const fr_op fr_op_cross_entropy_grad;
extern const fr_op fr_op_mse_grad;

#endif
