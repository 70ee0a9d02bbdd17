/* attn_fill.c: the vector kernels of attention into the table. */
#include "kernel/simd/attn.h"

void FR_NAME(attn_fill)(fr_attn_kernels *out);

void FR_NAME(attn_fill)(fr_attn_kernels *out) {
    out->f32 = (fr_attn_path){
        .lanes = LANES,
        .group = GROUP,
        .pack_panel = FR_NAME(attn_pack_panel),
        .pack_rows = FR_NAME(attn_pack_rows),
        .pack_cols = FR_NAME(attn_pack_cols),
        .score = FR_NAME(attn_score),
        .softmax = FR_NAME(attn_softmax),
        .accumulate = FR_NAME(attn_accumulate),
        .grad = FR_NAME(attn_grad),
        .pack_spread = FR_NAME(attn_pack_spread),
        .spread = FR_NAME(attn_spread),
    };
    out->mask_lanes = FR_NAME(attn_mask_lanes);
    out->store = FR_NAME(attn_store);
    out->grad_lanes = FR_NAME(attn_grad_lanes);
    out->grad_rows = FR_NAME(attn_grad_rows);
    out->decode = FR_NAME(attn_decode);
    out->rope_split = FR_NAME(rope_split);
    out->rope_pairs = FR_NAME(rope_pairs);
}
