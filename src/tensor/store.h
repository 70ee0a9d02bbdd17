/* store.h: the inside of the store, and the writers. What a reader needs is in <frugal/store.h>.
 *
 * One file a format (safetensors.c, gguf.c, folder.c) fills the same list of named tensors; store.c
 * finds by name and owns the mappings. Once open, a store may be read by several threads at once. */
#ifndef FR_TENSOR_STORE_H
#define FR_TENSOR_STORE_H

#include <frugal/store.h>

#include "base/base.h"

/* Where tensor i lies, for messages and for `frugal inspect`. */
const char *fr_store_path(const fr_store *s);           /* as opened */
const char *fr_store_file(const fr_store *s, size_t i); /* the file that holds it */
uint64_t fr_store_offset(const fr_store *s, size_t i);  /* byte in that file */
/* "safetensors", "gguf", "pytorch", "npy", "vecs", "folder" */
const char *fr_store_format(const fr_store *s);
/* The description alone: data may be NULL. fr_store_tensor copies a tensor that lies unaligned in its
 * file when it is first asked for, and then may return NULL for want of memory; this never does. */
const fr_tensor *fr_store_shape(const fr_store *s, size_t i);

/* Metadata: safetensors __metadata__, or GGUF key-values, as one JSON object (borrowed; never
 * NULL). Arrays longer than 16 values are shown by fr_store_meta_array instead. Of several files the
 * first to name a key wins. Numbers that JSON cannot hold (NaN, infinity) are null. */
const fr_json *fr_store_metadata(const fr_store *s);
/* A JSON file of the folder (of the file's folder, when a file was opened), "config.json" or
 * "vae/config.json", read when first asked for; NULL when there is none, and also when it is broken:
 * then fr_message() says how, and is "" otherwise. */
const fr_json *fr_store_config(const fr_store *s, const char *name);

/* Long arrays of a GGUF file in place: strings one by one, numbers as a view. */
typedef struct fr_meta_array {
    const char *key;
    bool is_string;
    size_t count;
    fr_dtype dtype;      /* of numbers; bool is a byte */
    const uint8_t *data; /* in the mapping, not aligned: numbers, or length-prefixed strings */
} fr_meta_array;
const fr_meta_array *fr_store_meta_array(const fr_store *s, const char *key);
size_t fr_store_array_count(const fr_store *s);
const fr_meta_array *fr_store_array(const fr_store *s, size_t i);
/* Calls fn for each string. The bytes are as in the file: any, and not ended by a zero. */
void fr_meta_strings(const fr_meta_array *a,
                     void (*fn)(void *user, size_t i, const char *text, size_t bytes), void *user);

/* ---- derived stores ---- */

/* An empty store over `base`, with its path, metadata, arrays and configs. It closes base when it is closed itself;
 * when this fails base stays the caller's. */
fr_status fr_store_derive(fr_store *base, fr_store **out);
/* Under a name of its own, a tensor of the base or one in memory that is kept. Before others see the store. */
fr_status fr_store_derive_add(fr_store *s, const char *name, const fr_tensor *t);
/* fr_free(memory) with the store; at once when this fails. NULL is fine. */
fr_status fr_store_derive_keep(fr_store *s, void *memory);
/* Adds or replaces a pair of the metadata. */
fr_status fr_store_derive_meta(fr_store *s, const char *key, const char *value);

/* From memory, for tests and fuzzing; data must outlive the store. */
fr_status fr_safetensors_parse(const uint8_t *data, size_t bytes, const char *name, fr_store **out);
fr_status fr_gguf_parse(const uint8_t *data, size_t bytes, const char *name, fr_store **out);
fr_status fr_torch_parse(const uint8_t *data, size_t bytes, const char *name, fr_store **out);

/* ---- writers ---- */

typedef struct fr_named_tensor {
    const char *name;
    const fr_tensor *tensor; /* any strides; written contiguous */
} fr_named_tensor;

typedef struct fr_meta_pair {
    const char *key, *value;
} fr_meta_pair;

/* One file. Its data begins at a multiple of 64. The format allows no gaps between tensors, so those
 * whose size is a multiple of 64 come first and each begins at such a multiple; the others follow by
 * falling value size and so are aligned to their type. Within both the given order is kept. */
fr_status fr_safetensors_write(const char *path, const fr_named_tensor *tensors, size_t count,
                               const fr_meta_pair *meta, size_t metas);
/* dir/model-00001-of-0000N.safetensors and model.safetensors.index.json when more than shard_bytes
 * are needed, dir/model.safetensors otherwise. */
fr_status fr_safetensors_write_sharded(const char *dir, const fr_named_tensor *tensors,
                                       size_t count, const fr_meta_pair *meta, size_t metas,
                                       uint64_t shard_bytes);
/* meta: a JSON object; integers, floats, booleans, strings and arrays of them. Tensors of F32, F16,
 * BF16 are written as they are; as_q8_0(name, tensor) may say that one is to be encoded. */
fr_status fr_gguf_write(const char *path, const fr_named_tensor *tensors, size_t count,
                        const fr_json *meta, bool (*as_q8_0)(const char *name, const fr_tensor *t));

#endif
