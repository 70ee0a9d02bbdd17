/* torch.c: tensors of a file that torch.save wrote, such as pytorch_model.bin: a zip with a pickle of the names and one
 * member for the values of each storage.
 *
 *     NAME/data.pkl      which tensor lies where (pickle.c)
 *     NAME/data/KEY      the values
 *     NAME/byteorder     "little"
 *
 * Dictionaries in the dictionary are walked through, names joined by dots; other values are left out. */
#include <string.h>

#include "tensor/pickle.h"
#include "tensor/store_parts.h"
#include "tensor/zip.h"

enum { DEEPEST = 8 };

typedef struct reader {
    fr_store *store;
    uint32_t file;
    const char *path, *prefix;
    fr_zip zip;
    char *root; /* "NAME/" */
} reader;

static const fr_zip_member *member(const reader *r, const char *name) {
    size_t i = fr_names_find(&r->zip.names, name);
    return i == FR_NO_NAME ? NULL : &r->zip.member[i];
}

static fr_status find_root(reader *r, const fr_zip_member **pickle) {
    static const char end[] = "/data.pkl";
    for (size_t i = 0; i < r->zip.names.count; i++) {
        const char *name = r->zip.names.name[i], *slash = strchr(name, '/');
        if (!slash || strcmp(slash, end)) continue;
        r->root = fr_format("%.*s", (int)(slash - name + 1), name);
        *pickle = &r->zip.member[i];
        return r->root ? FR_OK : FR_NOMEM;
    }
    return fr_fail(FR_FORMAT, "%s: the zip file holds no data.pkl, as PyTorch's files do.",
                   r->path);
}

static fr_status check_order(const reader *r) {
    char *name = fr_format("%sbyteorder", r->root);
    const fr_zip_member *m = name ? member(r, name) : NULL;
    fr_free(name);
    if (!m || (m->bytes == 6 && !memcmp(r->store->files[r->file].data + m->offset, "little", 6)))
        return FR_OK;
    return fr_fail(FR_UNSUPPORTED, "%s: the file is big endian; Frugal reads little endian.",
                   r->path);
}

/* One value after another; where a dimension is 1 its stride says nothing. */
static bool in_order(const fr_pickle *t) {
    int64_t step = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dim[i] > 1 && t->dim[t->rank + i] != step) return false;
        step *= FR_MAX_OF(t->dim[i], 1);
    }
    return true;
}

static fr_status add_tensor(const reader *r, const char *name, const fr_pickle *t) {
    char shown[FR_NAME_TEXT], what[FR_NAME_TEXT + 16];
    snprintf(what, sizeof what, "tensor '%s'", fr_name_text(name, shown));
    if (fr_shape_check(what, (fr_dtype)t->dtype, t->rank, t->dim))
        return fr_fail_in(FR_FORMAT, "%s", r->path);
    if (!in_order(t))
        return fr_fail(FR_UNSUPPORTED,
                       "%s: %s does not lie in the order of its values (it was saved transposed).",
                       r->path, what);
    char *key =
        fr_format("%sdata/%.*s", r->root, (int)FR_MIN(t->storage->bytes, 200), t->storage->text);
    if (!key) return FR_NOMEM;
    const fr_zip_member *m = member(r, key);
    fr_free(key);
    fr_tensor shape = fr_tensor_make((fr_dtype)t->dtype, t->rank, t->dim, NULL);
    uint64_t one = (uint64_t)fr_dtype_get(shape.dtype)->bytes, room = m ? m->bytes / one : 0;
    if (!m || (uint64_t)t->number > room ||
        (uint64_t)fr_values(&shape) > room - (uint64_t)t->number)
        return fr_fail(FR_FORMAT, "%s: %s is not in the file as a whole.", r->path, what);
    char *kept = fr_store_keep(r->store, r->prefix, name, strlen(name));
    if (!kept) return FR_NOMEM;
    return fr_store_add(r->store, kept, &shape, r->file, m->offset + (uint64_t)t->number * one);
}

static fr_status add_dict(const reader *r, const char *before, const fr_pickle *dict, int depth);

static fr_status add_value(const reader *r, const char *before, const fr_pickle *key,
                           const fr_pickle *v, int depth) {
    if (key->kind != FR_PICKLED_TEXT ||
        (v->kind != FR_PICKLED_TENSOR && v->kind != FR_PICKLED_DICT))
        return FR_OK;
    for (size_t i = 0; i < key->bytes;) {
        const uint8_t *p = (const uint8_t *)key->text + i;
        int length = *p ? fr_utf8_length(p, (const uint8_t *)key->text + key->bytes) : 0;
        if (!length)
            return fr_fail(FR_FORMAT, "%s: a tensor has a name that is not UTF-8 text.", r->path);
        i += (size_t)length;
    }
    if (key->bytes > 4096) return fr_fail(FR_FORMAT, "%s: a tensor's name is too long.", r->path);
    char *name = fr_format("%s%.*s", before, (int)key->bytes, key->text);
    if (!name) return FR_NOMEM;
    fr_status st;
    if (v->kind == FR_PICKLED_TENSOR) {
        st = add_tensor(r, name, v);
    } else {
        char *more = fr_format("%s.", name);
        st = more ? add_dict(r, more, v, depth - 1) : FR_NOMEM;
        fr_free(more);
    }
    fr_free(name);
    return st;
}

/* A dictionary that stands in several places is walked through once: it could hold itself. */
static fr_status add_dict(const reader *r, const char *before, const fr_pickle *dict, int depth) {
    fr_pickle *own = (fr_pickle *)(uintptr_t)dict; /* it is ours; const is for who reads it */
    if (depth == 0 || own->seen) return FR_OK;
    own->seen = true;
    for (const fr_pickle_cell *c = dict->first; c; c = c->next->next)
        FR_TRY(add_value(r, before, c->value, c->next->value, depth));
    return FR_OK;
}

static fr_status read_all(reader *r, fr_arena *arena) {
    const fr_source *f = &r->store->files[r->file];
    const fr_zip_member *m = NULL;
    fr_pickle *top = NULL;
    FR_TRY(fr_zip_read(r->path, f->data, f->bytes, arena, &r->zip));
    FR_TRY(find_root(r, &m));
    FR_TRY(check_order(r));
    FR_TRY(fr_pickle_read(r->path, f->data + m->offset, (size_t)m->bytes, arena, &top));
    if (top->kind == FR_PICKLED_DICT) return add_dict(r, "", top, DEEPEST);
    return fr_fail(FR_FORMAT, "%s: the file holds something else than a dictionary of tensors.",
                   r->path);
}

fr_status fr_store_read_torch(fr_store *s, uint32_t file, const char *prefix) {
    reader r = {.store = s, .file = file, .path = s->files[file].path, .prefix = prefix};
    fr_arena *arena = fr_arena_new();
    if (!arena) return FR_NOMEM;
    fr_status st = read_all(&r, arena);
    fr_zip_free(&r.zip);
    fr_free(r.root);
    fr_arena_free(arena);
    return st;
}
