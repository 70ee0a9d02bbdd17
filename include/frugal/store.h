/* frugal/store.h: name -> tensor, whatever the file: safetensors (one file or shards), GGUF, PyTorch's .bin,
 * NumPy's .npy, .fvecs, or a folder in Hugging Face or diffusers layout. Files are mapped, not copied. */
#ifndef FRUGAL_STORE_H
#define FRUGAL_STORE_H

#include <frugal/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fr_store fr_store;

/* Opens a .safetensors, a .safetensors.index.json, a .gguf, a .bin, or a folder that holds them; a .npy, .fvecs, .ivecs
 * or .bvecs, which is one tensor called "array". Tensors of the last four may be strided views. */
FR_API fr_status fr_store_open(const char *path, fr_store **out);
FR_API void fr_store_close(fr_store *s);

/* Tensors in the order of the file; the view stays good until the store is closed. */
FR_API size_t fr_store_count(const fr_store *s);
FR_API const char *fr_store_name(const fr_store *s, size_t i);
FR_API const fr_tensor *fr_store_tensor(const fr_store *s, size_t i);
/* NULL when there is none of that name. */
FR_API const fr_tensor *fr_store_find(const fr_store *s, const char *name);

/* Decodes any dtype to floats; out holds as many as the tensor has values. */
FR_API fr_status fr_tensor_to_f32(const fr_tensor *t, float *out);

#ifdef __cplusplus
}
#endif
#endif
