/* derive.c: a store over another one: its own names over tensors that lie in the other, or in memory of its own.
 *
 * So a file in somebody else's layout is brought to the layout that the rest knows, and what need not change
 * stays where it is, in the mapping. */
#include "tensor/store_parts.h"

#include <string.h>

/* The files of the base by the same numbers, so that a borrowed tensor is still found in its file; then one more,
 * which stands for what is made here. */
static fr_status take_files(fr_store *s, const fr_store *base) {
    uint32_t number;
    for (size_t i = 0; i < base->file_count; i++)
        FR_TRY(fr_store_lend(s, base->files[i].path, base->files[i].data, base->files[i].bytes,
                             &number));
    return fr_store_lend(s, base->path, NULL, 0, &number);
}

static fr_status take_arrays(fr_store *s, const fr_store *base) {
    FR_TRY(fr_grow((void **)&s->arrays, &s->array_cap, base->array_count, sizeof *s->arrays));
    for (size_t i = 0; i < base->array_count; i++) {
        size_t number;
        bool was_there;
        FR_TRY(fr_names_add(&s->array_names, base->arrays[i].key, &number, &was_there));
        s->arrays[s->array_count++] = base->arrays[i];
    }
    return FR_OK;
}

fr_status fr_store_derive(fr_store *base, fr_store **out) {
    fr_store *s;
    *out = NULL;
    FR_TRY(fr_store_new(base->path, base->format, &s));
    fr_status st = take_files(s, base);
    if (!st) st = take_arrays(s, base);
    if (!st && base->folder && !(s->folder = fr_strdup(base->folder))) st = FR_NOMEM;
    if (!st && json_object_update(s->meta, base->meta) != 0)
        st = fr_fail(FR_NOMEM, "%s: there is no memory to open it.", base->path);
    if (st) {
        fr_store_close(s);
        return st;
    }
    s->base = base;
    *out = s;
    return FR_OK;
}

/* Which file of the base holds these bytes, and where; the last number is "none of them". */
static uint32_t locate(const fr_store *s, const void *data, uint64_t *offset) {
    uintptr_t at = (uintptr_t)data;
    uint32_t last = (uint32_t)s->file_count - 1;
    *offset = 0;
    for (uint32_t i = 0; i < last; i++) {
        uintptr_t begin = (uintptr_t)s->files[i].data;
        if (!data || at < begin || at - begin >= s->files[i].bytes) continue;
        *offset = at - begin;
        return i;
    }
    return last;
}

fr_status fr_store_derive_add(fr_store *s, const char *name, const fr_tensor *t) {
    char text[FR_NAME_TEXT];
    uint64_t offset;
    size_t number;
    bool was_there;
    if (!s->base) return fr_fail(FR_INVALID, "%s: only a derived store is added to.", s->path);
    FR_TRY(fr_grow((void **)&s->entries, &s->entry_cap, s->names.count + 1, sizeof *s->entries));
    char *own = fr_arena_strdup(s->arena, name);
    if (!own) return FR_NOMEM;
    uint32_t file = locate(s, t->data, &offset);
    FR_TRY(fr_names_add(&s->names, own, &number, &was_there));
    if (was_there)
        return fr_fail(FR_FORMAT, "%s: two tensors become '%s'.", s->path,
                       fr_name_text(name, text));
    s->entries[number] = (fr_entry){.tensor = *t, .offset = offset, .file = file};
    return FR_OK;
}

fr_status fr_store_derive_keep(fr_store *s, void *memory) {
    if (!memory) return FR_OK;
    fr_status st = fr_grow((void **)&s->kept, &s->kept_cap, s->kept_count + 1, sizeof *s->kept);
    if (st)
        fr_free(memory);
    else
        s->kept[s->kept_count++] = memory;
    return st;
}

fr_status fr_store_derive_meta(fr_store *s, const char *key, const char *value) {
    if (json_object_set_new(s->meta, key, json_string(value)) == 0) return FR_OK;
    return fr_fail(FR_NOMEM, "%s: there is no memory for its metadata.", s->path);
}
