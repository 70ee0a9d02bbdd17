/* view.h: describing and cutting tensors without copying. */
#ifndef FR_TENSOR_VIEW_H
#define FR_TENSOR_VIEW_H

#include <frugal/types.h>

/* Contiguous strides for the given shape. No check: dims must have passed fr_shape_check. */
fr_tensor fr_tensor_make(fr_dtype t, int rank, const int64_t *dim, void *data);
/* rank in 0..5, no negative dim, whole blocks, and a byte count that fits; what: for the message. */
fr_status fr_shape_check(const char *what, fr_dtype t, int rank, const int64_t *dim);
void fr_set_contiguous(fr_tensor *t);
bool fr_is_contiguous(const fr_tensor *t);

int64_t fr_values(const fr_tensor *t); /* product of dims; 1 for rank 0 */
size_t fr_bytes(const fr_tensor *t);   /* of a contiguous tensor of this shape */
bool fr_same_shape(const fr_tensor *a, const fr_tensor *b);
int64_t fr_dim(const fr_tensor *t, int axis); /* negative axes count from the end */
int64_t fr_rows(const fr_tensor *t);          /* values / last dim */

/* Views. */
fr_status fr_view_slice(const fr_tensor *t, int axis, int64_t start, int64_t count, fr_tensor *out);
fr_status fr_view_permute(const fr_tensor *t, const int *perm, fr_tensor *out);
/* Only what needs no copy. */
fr_status fr_view_reshape(const fr_tensor *t, int rank, const int64_t *dim, fr_tensor *out);

/* Copies any strided view to contiguous memory of the same type. */
void fr_copy_contiguous(const fr_tensor *t, void *out);
/* The same, decoded to floats (plain types only; use fr_tensor_to_f32, which takes all). */
void fr_decode_strided(const fr_tensor *t, float *out);

/* "f32 [2, 3, 4]" into buf; returns buf. */
#define FR_SHAPE_TEXT 160
char *fr_shape_text(const fr_tensor *t, char buf[FR_SHAPE_TEXT]);

#endif
