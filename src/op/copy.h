/* copy.h (op): one engine for all operators that only move values: permute, slice, concat, pad,
 * pixel shuffle, upsampling. */
#ifndef FR_OP_COPY_H
#define FR_OP_COPY_H

#include "op/op.h"

#define FR_COPY_DIMS 8

/* dst[sum i * dst_stride] = src[sum i * src_stride] for all indices; strides count values of `size`
 * bytes (1, 2, 4 or 8) and may be 0 in src, which repeats. Source and destination do not overlap.
 */
typedef struct fr_copy {
    int rank;
    size_t size;
    int64_t dim[FR_COPY_DIMS], src_stride[FR_COPY_DIMS], dst_stride[FR_COPY_DIMS];
    const void *src;
    void *dst;
} fr_copy;

void fr_copy_run(const fr_copy *copy, fr_pool *pool);

/* A view of any strides into a region of `out` that has the strides of `shape_of`. */
void fr_copy_tensor(const fr_tensor *src, const fr_tensor *dst, fr_pool *pool);

/* Bytes of one value of a plain type. */
static inline size_t fr_value_bytes(fr_dtype t) {
    return (size_t)fr_dtype_get(t)->bytes;
}
/* Refuses block types, which cannot be cut value by value. */
fr_status fr_need_plain(const char *op, const fr_tensor *t);
/* Axis in -rank .. rank-1 to 0 .. rank-1. */
fr_status fr_need_axis(const char *op, const fr_tensor *t, int axis, int *out);
/* Every index is one of `rows`. */
fr_status fr_check_indices(const char *op, const int32_t *index, int64_t n, int64_t rows);
void fr_cost_move(const fr_call *c, fr_cost *cost); /* cost of an operator that only copies */

#endif
