/* registry.c: the list of all operators. A new operator is one file and one line here. */
#include <string.h>

#include "op/grads.h"

const fr_op *const fr_ops[] = {
    &fr_op_linear,
    &fr_op_matmul,
    &fr_op_binary,
    &fr_op_affine,
    &fr_op_unary,
    &fr_op_glu,
    &fr_op_modulate,
    &fr_op_gated_add,
    &fr_op_cast,
    &fr_op_rmsnorm,
    &fr_op_layernorm,
    &fr_op_groupnorm,
    &fr_op_batchnorm,
    &fr_op_batchnorm_train,
    &fr_op_softmax,
    &fr_op_cross_entropy,
    &fr_op_mse,
    &fr_op_attention,
    &fr_op_attention_grad,
    &fr_op_linear_attention,
    &fr_op_linear_attention_grad,
    &fr_op_rope,
    &fr_op_conv,
    &fr_op_conv_transpose,
    &fr_op_conv_weight_grad,
    &fr_op_pixel_shuffle,
    &fr_op_pixel_unshuffle,
    &fr_op_upsample_nearest,
    &fr_op_avgpool,
    &fr_op_maxpool,
    &fr_op_avgpool_grad,
    &fr_op_maxpool_grad,
    &fr_op_reshape,
    &fr_op_permute,
    &fr_op_slice,
    &fr_op_concat,
    &fr_op_pad,
    &fr_op_embedding,
    &fr_op_gather,
    &fr_op_scatter_add,
    &fr_op_reduce,
    &fr_op_topk,
    &fr_op_argmax,
    &fr_op_assign,
    &fr_op_update_rows,
    &fr_op_unary_grad,
    &fr_op_binary_grad,
    &fr_op_glu_grad,
    &fr_op_reduce_grad,
    &fr_op_reduce_like,
    &fr_op_topk_grad,
    &fr_op_norm_grad,
    &fr_op_softmax_grad,
    &fr_op_cross_entropy_grad,
    &fr_op_mse_grad,
    NULL,
};

const fr_op *fr_op_find(const char *name) {
    for (size_t i = 0; fr_ops[i]; i++)
        if (!strcmp(fr_ops[i]->name, name)) return fr_ops[i];
    return NULL;
}
