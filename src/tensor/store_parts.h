/* store_parts.h: what the store is made of, for the files of this room that fill it.
 *
 * A reader (safetensors.c, gguf.c) is given a store and the number of one of its files; it appends
 * that file's tensors with fr_store_add. Several files may so fill one store (shards, a folder). */
#ifndef FR_TENSOR_STORE_PARTS_H
#define FR_TENSOR_STORE_PARTS_H

#include <pthread.h>

#include "tensor/names.h"
#include "tensor/scan.h"
#include "tensor/store.h"
#include "tensor/tensor.h"

typedef struct fr_source {
    const char *path;
    const uint8_t *data;
    size_t bytes;
    fr_map map; /* data NULL: the bytes belong to somebody else */
} fr_source;

typedef struct fr_entry {
    fr_tensor tensor; /* data is NULL while it is loose and not yet copied */
    uint64_t offset;
    uint32_t file;
    bool loose; /* not aligned to its type in the file: copied at the first access */
} fr_entry;

typedef struct fr_config {
    char *name;
    fr_json *json; /* NULL: it is not there or is broken, and message says how */
    char *message;
} fr_config;

struct fr_store {
    fr_arena *arena; /* names, paths, arrays */
    const char *path, *format;
    char *folder; /* where configs are looked for; NULL: nowhere */
    fr_source *files;
    size_t file_count, file_cap;
    fr_entry *entries; /* entry i has the name names.name[i] */
    size_t entry_cap;
    fr_names names;
    fr_json *meta;
    fr_meta_array *arrays;
    size_t array_count, array_cap;
    fr_names array_names;
    fr_config *configs;
    size_t config_count, config_cap;
    pthread_mutex_t lock; /* over configs and loose entries, which fill up late */
    fr_store *base;       /* of a derived store, which closes it */
    void **kept;          /* memory of a derived store */
    size_t kept_count, kept_cap;
};

fr_status fr_store_new(const char *path, const char *format, fr_store **out);
/* A file that is mapped here, or bytes of somebody else under a name. Gives the file's number. */
fr_status fr_store_map(fr_store *s, const char *path, uint32_t *file);
fr_status fr_store_lend(fr_store *s, const char *name, const uint8_t *data, size_t bytes,
                        uint32_t *file);
/* A tensor at `offset` of its file. The shape is checked and the bytes lie inside the file. name
 * lives in the arena. Says it when there is one of that name already. */
fr_status fr_store_add(fr_store *s, const char *name, const fr_tensor *shape, uint32_t file,
                       uint64_t offset);
/* Room for so many more, in one piece. */
fr_status fr_store_reserve(fr_store *s, size_t more);
/* name of `bytes` bytes with the prefix before it, in the arena. */
char *fr_store_keep(fr_store *s, const char *prefix, const char *name, size_t bytes);

fr_status fr_store_read_safetensors(fr_store *s, uint32_t file, const char *prefix);
fr_status fr_store_read_gguf(fr_store *s, uint32_t file, const char *prefix);
fr_status fr_store_read_torch(fr_store *s, uint32_t file, const char *prefix);
fr_status fr_store_read_npy(fr_store *s, uint32_t file, const char *prefix);
fr_status fr_store_read_vecs(fr_store *s, uint32_t file, const char *prefix);
/* One of them, by what the file holds. */
fr_status fr_store_read_any(fr_store *s, const char *path, const char *prefix);
/* A .safetensors.index.json and its shards. */
fr_status fr_store_read_index(fr_store *s, const char *path, const char *prefix);
fr_status fr_store_read_folder(fr_store *s, const char *path);

#endif
