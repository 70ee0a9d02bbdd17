/* store.c: the list of named tensors: opening, finding, closing.
 *
 * A tensor is a view into the mapping of its file. Where a file does not keep a tensor at a
 * multiple of its value size (old safetensors files whose header has an odd length), the view would
 * be unsafe to read as numbers; such a tensor is copied to aligned memory when it is first asked
 * for. */
#include "tensor/npy.h"
#include "tensor/store_parts.h"

#include <string.h>

fr_status fr_store_new(const char *path, const char *format, fr_store **out) {
    fr_store *s = fr_alloc(FR_MEM_OTHER, sizeof *s);
    if (!s) return FR_NOMEM;
    pthread_mutex_init(&s->lock, NULL);
    s->arena = fr_arena_new();
    s->meta = json_object();
    s->path = s->arena ? fr_arena_strdup(s->arena, path) : NULL;
    s->format = format;
    if (!s->path || !s->meta) {
        fr_store_close(s);
        return fr_fail(FR_NOMEM, "%s: there is no memory to open it.", path);
    }
    *out = s;
    return FR_OK;
}

void fr_store_close(fr_store *s) {
    if (!s) return;
    for (size_t i = 0; i < s->names.count; i++)
        if (s->entries[i].loose) fr_free(s->entries[i].tensor.data);
    for (size_t i = 0; i < s->file_count; i++)
        if (s->files[i].map.data) fr_map_close(&s->files[i].map);
    for (size_t i = 0; i < s->config_count; i++) {
        fr_free(s->configs[i].name);
        fr_free(s->configs[i].message);
        fr_json_free(s->configs[i].json);
    }
    fr_names_free(&s->names);
    fr_names_free(&s->array_names);
    fr_free(s->files);
    fr_free(s->entries);
    fr_free(s->arrays);
    fr_free(s->configs);
    fr_free(s->folder);
    fr_json_free(s->meta);
    for (size_t i = 0; i < s->kept_count; i++) fr_free(s->kept[i]);
    fr_free(s->kept);
    fr_store_close(s->base);
    if (s->arena) fr_arena_free(s->arena);
    pthread_mutex_destroy(&s->lock);
    fr_free(s);
}

/* ---- filling ---- */

fr_status fr_store_lend(fr_store *s, const char *name, const uint8_t *data, size_t bytes,
                        uint32_t *file) {
    FR_TRY(fr_grow((void **)&s->files, &s->file_cap, s->file_count + 1, sizeof *s->files));
    const char *path = fr_arena_strdup(s->arena, name);
    if (!path) return FR_NOMEM;
    *file = (uint32_t)s->file_count;
    s->files[s->file_count++] = (fr_source){.path = path, .data = data, .bytes = bytes};
    return FR_OK;
}

fr_status fr_store_map(fr_store *s, const char *path, uint32_t *file) {
    fr_map map;
    FR_TRY(fr_map_open(path, &map));
    fr_status st = fr_store_lend(s, path, map.data, map.bytes, file);
    if (st == FR_OK)
        s->files[*file].map = map;
    else
        fr_map_close(&map);
    return st;
}

char *fr_store_keep(fr_store *s, const char *prefix, const char *name, size_t bytes) {
    size_t before = prefix ? strlen(prefix) : 0, all;
    if (!fr_size_add(before + 1, bytes, &all)) return NULL;
    char *text = fr_arena_alloc(s->arena, all);
    if (!text) return NULL;
    if (before) memcpy(text, prefix, before);
    memcpy(text + before, name, bytes);
    return text;
}

/* What the address of a value must be a multiple of. Blocks are read byte by byte. */
static size_t alignment(fr_dtype t) {
    const fr_dtype_info *info = fr_dtype_get(t);
    return info->block > 1 ? 1 : (size_t)info->bytes;
}

fr_status fr_store_reserve(fr_store *s, size_t more) {
    return fr_grow((void **)&s->entries, &s->entry_cap, s->names.count + more, sizeof *s->entries);
}

fr_status fr_store_add(fr_store *s, const char *name, const fr_tensor *shape, uint32_t file,
                       uint64_t offset) {
    const fr_source *f = &s->files[file];
    char text[FR_NAME_TEXT];
    size_t number;
    bool was_there;
    FR_TRY(fr_grow((void **)&s->entries, &s->entry_cap, s->names.count + 1, sizeof *s->entries));
    FR_TRY(fr_names_add(&s->names, name, &number, &was_there));
    if (was_there && s->entries[number].file == file)
        return fr_fail(FR_FORMAT, "%s: tensor '%s' appears twice.", f->path,
                       fr_name_text(name, text));
    if (was_there)
        return fr_fail(FR_FORMAT, "%s: tensor '%s' is also in %s.", f->path,
                       fr_name_text(name, text), s->files[s->entries[number].file].path);
    fr_entry *e = &s->entries[number];
    *e = (fr_entry){.tensor = *shape, .offset = offset, .file = file};
    const uint8_t *data = f->data + offset;
    e->loose = (uintptr_t)data % alignment(shape->dtype) != 0 && fr_bytes(shape) > 0;
    /* Nobody writes through it: mappings are read-only, and the face hands out const tensors. */
    e->tensor.data = e->loose ? NULL : (void *)(uintptr_t)data;
    return FR_OK;
}

/* ---- opening ---- */

static bool is_npy(const fr_source *f) {
    return f->bytes >= 6 && memcmp(f->data, "\x93NUMPY", 6) == 0;
}

fr_status fr_store_read_any(fr_store *s, const char *path, const char *prefix) {
    uint32_t file;
    FR_TRY(fr_store_map(s, path, &file));
    const fr_source *f = &s->files[file];
    if (f->bytes == 0) return fr_fail(FR_FORMAT, "%s: the file is empty.", path);
    if (f->bytes >= 4 && memcmp(f->data, "GGUF", 4) == 0)
        return fr_store_read_gguf(s, file, prefix);
    if (f->bytes >= 4 && memcmp(f->data, "PK\3\4", 4) == 0)
        return fr_store_read_torch(s, file, prefix);
    if (is_npy(f) || fr_path_has_suffix(path, ".npy")) return fr_store_read_npy(s, file, prefix);
    if (fr_vecs_named(path)) return fr_store_read_vecs(s, file, prefix);
    if (fr_path_has_suffix(path, ".safetensors") || (f->bytes > 8 && f->data[8] == '{'))
        return fr_store_read_safetensors(s, file, prefix);
    if (fr_path_has_suffix(path, ".gguf"))
        return fr_fail(FR_FORMAT,
                       "%s: a GGUF file begins with the letters GGUF; this one does not.", path);
    if (fr_path_has_suffix(path, ".bin"))
        return fr_fail(
            FR_UNSUPPORTED,
            "%s: this is no zip file, as PyTorch has written them since 2020; older files "
            "must be saved again.",
            path);
    return fr_fail(FR_FORMAT, "%s: this is neither a safetensors nor a GGUF file, nor .npy.", path);
}

static fr_status read_path(fr_store *s, const char *path) {
    if (fr_path_is_dir(path)) {
        s->folder = fr_strdup(path);
        if (!s->folder) return FR_NOMEM;
        return fr_store_read_folder(s, path);
    }
    const char *slash = strrchr(path, '/');
    s->folder = slash == path ? fr_strdup("/")
                : slash       ? fr_format("%.*s", (int)(slash - path), path)
                              : fr_strdup(".");
    if (!s->folder) return FR_NOMEM;
    if (fr_path_has_suffix(path, ".index.json")) return fr_store_read_index(s, path, NULL);
    FR_TRY(fr_store_read_any(s, path, NULL));
    if (memcmp(s->files[0].data, "GGUF", 4) == 0) s->format = "gguf";
    if (memcmp(s->files[0].data, "PK\3\4", 4) == 0) s->format = "pytorch";
    if (is_npy(&s->files[0])) s->format = "npy";
    if (fr_vecs_named(path)) s->format = "vecs";
    return FR_OK;
}

fr_status fr_store_open(const char *path, fr_store **out) {
    fr_store *s;
    *out = NULL;
    FR_TRY(fr_store_new(path, fr_path_is_dir(path) ? "folder" : "safetensors", &s));
    fr_status st = read_path(s, path);
    if (st == FR_OK)
        *out = s;
    else
        fr_store_close(s);
    return st;
}

static fr_status parse(const uint8_t *data, size_t bytes, const char *name, const char *format,
                       fr_status (*read)(fr_store *, uint32_t, const char *), fr_store **out) {
    fr_store *s;
    uint32_t file;
    *out = NULL;
    FR_TRY(fr_store_new(name, format, &s));
    fr_status st = fr_store_lend(s, name, data, bytes, &file);
    if (st == FR_OK) st = read(s, file, NULL);
    if (st == FR_OK)
        *out = s;
    else
        fr_store_close(s);
    return st;
}

fr_status fr_safetensors_parse(const uint8_t *data, size_t bytes, const char *name,
                               fr_store **out) {
    return parse(data, bytes, name, "safetensors", fr_store_read_safetensors, out);
}

fr_status fr_gguf_parse(const uint8_t *data, size_t bytes, const char *name, fr_store **out) {
    return parse(data, bytes, name, "gguf", fr_store_read_gguf, out);
}

fr_status fr_torch_parse(const uint8_t *data, size_t bytes, const char *name, fr_store **out) {
    return parse(data, bytes, name, "pytorch", fr_store_read_torch, out);
}

fr_status fr_npy_parse(const uint8_t *data, size_t bytes, const char *name, fr_store **out) {
    return parse(data, bytes, name, "npy", fr_store_read_npy, out);
}

fr_status fr_vecs_parse(const uint8_t *data, size_t bytes, const char *name, fr_store **out) {
    return parse(data, bytes, name, "vecs", fr_store_read_vecs, out);
}

/* ---- looking ---- */

size_t fr_store_count(const fr_store *s) {
    return s->names.count;
}
const char *fr_store_name(const fr_store *s, size_t i) {
    return s->names.name[i];
}
const char *fr_store_path(const fr_store *s) {
    return s->path;
}
const char *fr_store_format(const fr_store *s) {
    return s->format;
}
const char *fr_store_file(const fr_store *s, size_t i) {
    return s->files[s->entries[i].file].path;
}
uint64_t fr_store_offset(const fr_store *s, size_t i) {
    return s->entries[i].offset;
}
const fr_tensor *fr_store_shape(const fr_store *s, size_t i) {
    return &s->entries[i].tensor;
}
const fr_json *fr_store_metadata(const fr_store *s) {
    return s->meta;
}

/* Bytes from the first value of a view to behind the last; the values of a file may lie apart (.fvecs). */
static size_t span_bytes(const fr_tensor *t) {
    if (fr_is_contiguous(t)) return fr_bytes(t);
    int64_t last = 0;
    for (int i = 0; i < t->rank; i++) last += (t->dim[i] - 1) * t->stride[i];
    return (size_t)(last + 1) * (size_t)fr_dtype_get(t->dtype)->bytes;
}

const fr_tensor *fr_store_tensor(const fr_store *s, size_t i) {
    fr_entry *e = &s->entries[i];
    if (!e->loose) return &e->tensor;
    /* The store is the same for its user before and after: const holds where it matters. */
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&s->lock;
    pthread_mutex_lock(lock);
    if (!e->tensor.data) {
        size_t bytes = span_bytes(&e->tensor);
        void *copy = fr_alloc(FR_MEM_WEIGHTS, bytes);
        if (copy) memcpy(copy, s->files[e->file].data + e->offset, bytes);
        e->tensor.data = copy;
    }
    pthread_mutex_unlock(lock);
    return e->tensor.data ? &e->tensor : NULL;
}

const fr_tensor *fr_store_find(const fr_store *s, const char *name) {
    size_t i = fr_names_find(&s->names, name);
    return i == FR_NO_NAME ? NULL : fr_store_tensor(s, i);
}

size_t fr_store_array_count(const fr_store *s) {
    return s->array_count;
}
const fr_meta_array *fr_store_array(const fr_store *s, size_t i) {
    return &s->arrays[i];
}

const fr_meta_array *fr_store_meta_array(const fr_store *s, const char *key) {
    size_t i = fr_names_find(&s->array_names, key);
    return i == FR_NO_NAME ? NULL : &s->arrays[i];
}

/* ---- JSON files beside the tensors ---- */

/* "config.json" or "vae/config.json": down the folder, never out of it. */
static bool stays_inside(const char *name) {
    if (*name == 0 || *name == '/') return false;
    for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == 0)) return false;
    return true;
}

static void load_config(const fr_store *s, fr_config *c) {
    if (!s->folder || !stays_inside(c->name)) return;
    char *path = fr_path_join(s->folder, c->name);
    if (path && fr_path_exists(path) && fr_json_load(path, &c->json) != FR_OK) {
        c->json = NULL;
        c->message = fr_strdup(fr_message());
    }
    fr_free(path);
}

/* The config of that name, loaded when it is first asked for. Under the lock. */
static const fr_config *find_config(fr_store *s, const char *name) {
    for (size_t i = 0; i < s->config_count; i++)
        if (strcmp(s->configs[i].name, name) == 0) return &s->configs[i];
    if (fr_grow((void **)&s->configs, &s->config_cap, s->config_count + 1, sizeof *s->configs))
        return NULL;
    fr_config *c = &s->configs[s->config_count];
    *c = (fr_config){.name = fr_strdup(name)};
    if (!c->name) return NULL;
    s->config_count++;
    load_config(s, c);
    return c;
}

const fr_json *fr_store_config(const fr_store *s, const char *name) {
    fr_store *own = (fr_store *)(uintptr_t)s; /* see fr_store_tensor */
    fr_message_clear();
    pthread_mutex_lock(&own->lock);
    const fr_config *c = find_config(own, name);
    const fr_json *json = c ? c->json : NULL;
    if (c && c->message) fr_fail(FR_FORMAT, "%s", c->message);
    pthread_mutex_unlock(&own->lock);
    return json;
}

/* ---- decoding ---- */

fr_status fr_tensor_to_f32(const fr_tensor *t, float *out) {
    char text[FR_SHAPE_TEXT];
    int64_t n = fr_values(t);
    if (t->dtype <= FR_NOTYPE || t->dtype >= FR_DTYPE_COUNT)
        return fr_fail(FR_INVALID, "A tensor without a number type cannot be decoded.");
    if (n && !t->data)
        return fr_fail(FR_INVALID, "%s has no values to decode.", fr_shape_text(t, text));
    if (n == 0 || fr_is_contiguous(t))
        fr_decode(t->dtype, t->data, (size_t)n, out);
    else
        fr_decode_strided(t, out);
    return FR_OK;
}
