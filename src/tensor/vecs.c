/* vecs.c: reading and writing .fvecs, .ivecs and .bvecs: vectors one after another, each an int32 with the number of
 * its values (the same for all) before them; f32, i32 or bytes.
 *
 * The tensor is a view of the mapping with rows a little farther apart than they are long. All counts are looked at
 * in a small file. In a large one that would read it whole, so there it is the first, the last and thousands between:
 * one vector of another length puts all that follow it out of step, and the last with them. */
#include "tensor/npy.h"

#include <string.h>

#include "tensor/store_parts.h"
#include "tensor/write_parts.h"

/* In a file of more bytes, so many counts are looked at. */
#define READ_WHOLE ((size_t)16 << 20)
#define LOOKS      4096

static fr_dtype type_by_name(const char *path) {
    return fr_path_has_suffix(path, ".fvecs")   ? FR_F32
           : fr_path_has_suffix(path, ".ivecs") ? FR_I32
           : fr_path_has_suffix(path, ".bvecs") ? FR_U8
                                                : FR_NOTYPE;
}

bool fr_vecs_named(const char *path) {
    return type_by_name(path) != FR_NOTYPE;
}

static int64_t count_at(const uint8_t *p) {
    return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                     (uint32_t)p[3] << 24);
}

static fr_status check_counts(const fr_source *f, int64_t width, size_t record) {
    size_t n = f->bytes / record;
    size_t step = f->bytes <= READ_WHOLE || n <= LOOKS ? 1 : n / LOOKS;
    for (size_t i = 0; i < n; i = i + 1 < n && i + step >= n ? n - 1 : i + step) {
        int64_t count = count_at(f->data + i * record);
        if (count != width)
            return fr_fail(FR_FORMAT, "%s: vector %zu says it has %lld values, the first has %lld.",
                           f->path, i, (long long)count, (long long)width);
    }
    return FR_OK;
}

fr_status fr_store_read_vecs(fr_store *s, uint32_t file, const char *prefix) {
    const fr_source *f = &s->files[file];
    fr_dtype type = type_by_name(f->path);
    int64_t size = fr_dtype_get(type)->bytes;
    if (f->bytes < 4) return fr_fail(FR_FORMAT, "%s: the file ends before a vector.", f->path);
    int64_t width = count_at(f->data);
    if (width < 1)
        return fr_fail(FR_FORMAT, "%s: the first vector says it has %lld values.", f->path,
                       (long long)width);
    size_t record = 4 + (size_t)(width * size);
    if (f->bytes % record)
        return fr_fail(
            FR_FORMAT,
            "%s: %zu bytes are no whole number of vectors of %lld values (%zu bytes each).",
            f->path, f->bytes, (long long)width, record);
    FR_TRY(check_counts(f, width, record));
    fr_tensor t = fr_tensor_make(type, 2, (int64_t[]){(int64_t)(f->bytes / record), width}, NULL);
    t.stride[0] = (int64_t)record / size;
    char *name = fr_store_keep(s, prefix, "array", 5);
    if (!name) return FR_NOMEM;
    return fr_store_add(s, name, &t, file, 4);
}

/* ---- writing ---- */

static fr_status write_rows(fr_writer *w, const fr_tensor *t) {
    uint32_t d = (uint32_t)t->dim[1];
    uint8_t count[4] = {(uint8_t)d, (uint8_t)(d >> 8), (uint8_t)(d >> 16), (uint8_t)(d >> 24)};
    for (int64_t i = 0; i < t->dim[0]; i++) {
        fr_tensor row;
        FR_TRY(fr_view_slice(t, 0, i, 1, &row));
        FR_TRY(fr_writer_write(w, count, sizeof count));
        FR_TRY(fr_write_values(w, &row));
    }
    return FR_OK;
}

fr_status fr_vecs_write(const char *path, const fr_tensor *t) {
    char text[FR_SHAPE_TEXT];
    fr_writer *w;
    FR_TRY(fr_write_check(path, &(fr_named_tensor){"array", t}, 1));
    if (type_by_name(path) != t->dtype || t->rank != 2 || t->dim[1] < 1 || t->dim[1] > INT32_MAX)
        return fr_fail(
            FR_INVALID,
            "%s: .fvecs, .ivecs and .bvecs hold f32, i32 and u8 of shape [n, d], not %s.", path,
            fr_shape_text(t, text));
    FR_TRY(fr_writer_open(path, &w));
    fr_status st = write_rows(w, t);
    if (st == FR_OK) return fr_writer_commit(w);
    fr_writer_close(w);
    return st;
}
