/* npy.h: NumPy's .npy, and the .fvecs, .ivecs and .bvecs of the sets of vectors that searches are measured on.
 *
 * Their readers are those of a store with the one tensor "array" (fr_store_open, fr_npy_parse); these are the
 * writers. */
#ifndef FR_TENSOR_NPY_H
#define FR_TENSOR_NPY_H

#include "tensor/store.h"

/* From memory, for tests and fuzzing; data must outlive the store. The end of `name` says which of .fvecs, .ivecs,
 * .bvecs it is. */
fr_status fr_npy_parse(const uint8_t *data, size_t bytes, const char *name, fr_store **out);
fr_status fr_vecs_parse(const uint8_t *data, size_t bytes, const char *name, fr_store **out);
/* Whether a path ends in .fvecs, .ivecs or .bvecs. */
bool fr_vecs_named(const char *path);

/* Any strides, written in C order; byte for byte what numpy.save writes. bf16 has no name in NumPy and is written, and
 * read, as "<V2", as the package ml_dtypes does. */
fr_status fr_npy_write(const char *path, const fr_tensor *t);
/* [n, d] of the type that the end of the path says: f32, i32, u8. */
fr_status fr_vecs_write(const char *path, const fr_tensor *t);

#endif
