/* safetensors.c: reading a safetensors file.
 *
 *     8 bytes   length of the header, little endian
 *     header    JSON: {"__metadata__": {"key": "text", ...},
 *                      "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *     data      the tensors; offsets count from here
 *
 * As in the format's own reader, the tensors must cover the data from the first byte to the last,
 * with no hole and no overlap. Beyond it, a name or a metadata key that stands twice is an error:
 * the reader would have to choose one. The header is scanned in place; no tree is built. */
#include "tensor/store_parts.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_MAX 100000000u /* the format's limit */

/* Kept small: there may be a hundred thousand. */
typedef struct record {
    char *name;
    uint64_t begin, end;
    int64_t dim[FR_MAX_DIMS];
    uint32_t number; /* in the header */
    uint8_t dtype, rank;
} record;

static fr_tensor shape_of(const record *t) {
    return fr_tensor_make((fr_dtype)t->dtype, t->rank, t->dim, NULL);
}

typedef struct reader {
    fr_store *store;
    const char *path, *prefix;
    uint32_t file;
    uint64_t data_bytes;
    fr_scan scan;
    record *records;
    size_t count, cap;
    bool has_meta;
} reader;

static fr_status broken(const reader *r) {
    return fr_fail(FR_FORMAT, "%s: the header is broken at byte %zu of the file: %s.", r->path,
                   (size_t)(r->scan.at - r->scan.start) + 8, r->scan.error);
}

/* "path: tensor 'name': <what the text says>" */
static fr_status wrong(const reader *r, const record *t, const char *text) {
    char name[FR_NAME_TEXT];
    return fr_fail(FR_FORMAT, "%s: tensor '%s' %s.", r->path, fr_name_text(t->name, name), text);
}

/* ---- one tensor ---- */

static fr_status read_dtype(reader *r, record *t) {
    char name[FR_NAME_TEXT], dtype[24] = "";
    const char *text;
    size_t bytes;
    if (!fr_scan_string(&r->scan, &text, &bytes)) return broken(r);
    memcpy(dtype, text, FR_MIN(bytes, sizeof dtype - 1));
    if (bytes < sizeof dtype) t->dtype = (uint8_t)fr_dtype_from_safetensors(dtype);
    if (t->dtype != FR_NOTYPE) return FR_OK;
    char shown[FR_NAME_TEXT];
    return fr_fail(FR_UNSUPPORTED,
                   "%s: tensor '%s' has the number type '%s', which Frugal does not know.", r->path,
                   fr_name_text(t->name, name), fr_name_text(dtype, shown));
}

static fr_status read_shape(reader *r, record *t) {
    char name[FR_NAME_TEXT];
    int64_t dim;
    size_t rank = 0;
    if (!fr_scan_take(&r->scan, '[')) return broken(r);
    for (bool first = true; fr_scan_more(&r->scan, ']', &first); rank++) {
        if (!fr_scan_count(&r->scan, &dim)) break;
        if (rank < FR_MAX_DIMS) t->dim[rank] = dim;
    }
    if (r->scan.error) return broken(r);
    if (rank > FR_MAX_DIMS)
        return fr_fail(FR_UNSUPPORTED,
                       "%s: tensor '%s' has %zu dimensions; Frugal handles at most %d.", r->path,
                       fr_name_text(t->name, name), rank, FR_MAX_DIMS);
    t->rank = (uint8_t)rank;
    return FR_OK;
}

static fr_status read_offsets(reader *r, record *t) {
    int64_t at[2];
    if (!fr_scan_take(&r->scan, '[') || !fr_scan_count(&r->scan, &at[0]) ||
        !fr_scan_take(&r->scan, ',') || !fr_scan_count(&r->scan, &at[1]) ||
        !fr_scan_take(&r->scan, ']'))
        return broken(r);
    t->begin = (uint64_t)at[0];
    t->end = (uint64_t)at[1];
    return FR_OK;
}

/* Dtype, shape and place must agree with each other and with the file. */
static fr_status check_record(const reader *r, const record *t) {
    char what[FR_NAME_TEXT + 16], name[FR_NAME_TEXT];
    snprintf(what, sizeof what, "tensor '%s'", fr_name_text(t->name, name));
    if (fr_shape_check(what, (fr_dtype)t->dtype, t->rank, t->dim) != FR_OK)
        return fr_fail_in(FR_FORMAT, "%s", r->path);
    fr_tensor shape = shape_of(t);
    if (t->begin > t->end) return wrong(r, t, "ends before it begins");
    if (t->end > r->data_bytes)
        return fr_fail(
            FR_FORMAT, "%s: tensor '%s' ends at byte %llu of the data, which has only %llu.",
            r->path, name, (unsigned long long)t->end, (unsigned long long)r->data_bytes);
    if (t->end - t->begin != fr_bytes(&shape)) {
        char text[FR_SHAPE_TEXT];
        return fr_fail(FR_FORMAT, "%s: tensor '%s' is %s, which takes %zu bytes, but it has %llu.",
                       r->path, name, fr_shape_text(&shape, text), fr_bytes(&shape),
                       (unsigned long long)(t->end - t->begin));
    }
    return FR_OK;
}

static bool same(const char *text, size_t bytes, const char *word) {
    return bytes == strlen(word) && memcmp(text, word, bytes) == 0;
}

static fr_status read_record(reader *r, record *t) {
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
    unsigned seen = 0, field;
    const char *key;
    size_t bytes;
    if (!fr_scan_take(&r->scan, '{')) return broken(r);
    for (bool first = true; fr_scan_more(&r->scan, '}', &first); seen |= field) {
        if (!fr_scan_string(&r->scan, &key, &bytes)) return broken(r);
        field = same(key, bytes, "dtype")          ? DTYPE
                : same(key, bytes, "shape")        ? SHAPE
                : same(key, bytes, "data_offsets") ? OFFSETS
                                                   : 0;
        if (seen & field) return wrong(r, t, "says the same thing about itself twice");
        if (!fr_scan_take(&r->scan, ':')) return broken(r);
        if (field == DTYPE) FR_TRY(read_dtype(r, t));
        if (field == SHAPE) FR_TRY(read_shape(r, t));
        if (field == OFFSETS) FR_TRY(read_offsets(r, t));
        if (!field && !fr_scan_skip(&r->scan, 16)) return broken(r);
    }
    if (r->scan.error) return broken(r);
    if (!(seen & DTYPE)) return wrong(r, t, "has no \"dtype\"");
    if (!(seen & SHAPE)) return wrong(r, t, "has no \"shape\"");
    if (!(seen & OFFSETS)) return wrong(r, t, "has no \"data_offsets\"");
    return check_record(r, t);
}

/* ---- the header ---- */

/* A name or a key: kept in the arena, where a zero byte would cut it short. */
static fr_status take_name(reader *r, const char *prefix, char **name) {
    const char *text;
    size_t bytes;
    if (!fr_scan_string(&r->scan, &text, &bytes)) return broken(r);
    if (memchr(text, 0, bytes)) {
        fr_scan_fail(&r->scan, "a name holds a zero byte");
        return broken(r);
    }
    *name = fr_store_keep(r->store, prefix, text, bytes);
    return *name ? FR_OK : FR_NOMEM;
}

static fr_status read_meta_pair(reader *r, fr_json *own) {
    char *key, shown[FR_NAME_TEXT];
    const char *text;
    size_t bytes;
    FR_TRY(take_name(r, NULL, &key));
    if (!fr_scan_take(&r->scan, ':') || !fr_scan_string(&r->scan, &text, &bytes)) return broken(r);
    if (json_object_get(own, key))
        return fr_fail(FR_FORMAT, "%s: the metadata key '%s' appears twice.", r->path,
                       fr_name_text(key, shown));
    if (json_object_set_new(own, key, json_stringn(text, bytes)) != 0)
        return fr_fail(FR_NOMEM, "%s: there is no memory for the metadata key '%s'.", r->path,
                       fr_name_text(key, shown));
    return FR_OK;
}

/* Of several files the first to name a key wins, so one file's keys are gathered apart. */
static fr_status read_metadata(reader *r) {
    if (r->has_meta) return fr_fail(FR_FORMAT, "%s: __metadata__ appears twice.", r->path);
    r->has_meta = true;
    if (fr_scan_is(&r->scan, 'n')) return fr_scan_skip(&r->scan, 0) ? FR_OK : broken(r);
    if (!fr_scan_take(&r->scan, '{')) return broken(r);
    fr_json *own = json_object();
    if (!own) return fr_fail(FR_NOMEM, "%s: there is no memory for the metadata.", r->path);
    fr_status st = FR_OK;
    for (bool first = true; st == FR_OK && fr_scan_more(&r->scan, '}', &first);)
        st = read_meta_pair(r, own);
    if (st == FR_OK && r->scan.error) st = broken(r);
    if (st == FR_OK && json_object_update_missing(r->store->meta, own) != 0)
        st = fr_fail(FR_NOMEM, "%s: there is no memory for the metadata.", r->path);
    json_decref(own);
    return st;
}

/* Is the next string "__metadata__"? Nothing is taken. */
static bool at_metadata(reader *r) {
    static const char word[] = "\"__metadata__\"";
    size_t n = sizeof word - 1;
    return fr_scan_is(&r->scan, '"') && (size_t)(r->scan.end - r->scan.at) >= n &&
           memcmp(r->scan.at, word, n) == 0;
}

static fr_status read_entry(reader *r) {
    char *name;
    bool meta = at_metadata(r);
    FR_TRY(take_name(r, meta ? NULL : r->prefix, &name));
    if (!fr_scan_take(&r->scan, ':')) return broken(r);
    if (meta) return read_metadata(r);
    FR_TRY(fr_grow((void **)&r->records, &r->cap, r->count + 1, sizeof *r->records));
    record *t = &r->records[r->count];
    *t = (record){.number = (uint32_t)r->count, .name = name};
    FR_TRY(read_record(r, t));
    r->count++;
    return FR_OK;
}

static fr_status read_header(reader *r) {
    if (!fr_scan_take(&r->scan, '{')) return broken(r);
    for (bool first = true; fr_scan_more(&r->scan, '}', &first);) FR_TRY(read_entry(r));
    return fr_scan_end(&r->scan) ? FR_OK : broken(r);
}

/* ---- the whole ---- */

static int by_place(const void *a, const void *b) {
    const record *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

/* Tensors come in the order of their bytes, which must follow each other to the end. */
static fr_status add_all(reader *r, uint64_t data_at) {
    char name[FR_NAME_TEXT], before[FR_NAME_TEXT];
    bool sorted = true;
    for (size_t i = 1; i < r->count && sorted; i++)
        sorted = by_place(&r->records[i - 1], &r->records[i]) < 0;
    if (!sorted) qsort(r->records, r->count, sizeof *r->records, by_place);
    FR_TRY(fr_store_reserve(r->store, r->count));
    for (size_t i = 0; i < r->count; i++) {
        const record *t = &r->records[i];
        fr_tensor shape = shape_of(t);
        FR_TRY(fr_store_add(r->store, t->name, &shape, r->file, data_at + t->begin));
    }
    uint64_t end = 0;
    for (size_t i = 0; i < r->count; end = r->records[i++].end) {
        const record *t = &r->records[i];
        if (t->begin < end)
            return fr_fail(FR_FORMAT, "%s: tensor '%s' overlaps tensor '%s'.", r->path,
                           fr_name_text(t->name, name), fr_name_text(t[-1].name, before));
        if (t->begin > end)
            return fr_fail(FR_FORMAT, "%s: %llu bytes before tensor '%s' belong to no tensor.",
                           r->path, (unsigned long long)(t->begin - end),
                           fr_name_text(t->name, name));
    }
    if (end != r->data_bytes)
        return fr_fail(FR_FORMAT, "%s: the last %llu bytes of the file belong to no tensor.",
                       r->path, (unsigned long long)(r->data_bytes - end));
    return FR_OK;
}

fr_status fr_store_read_safetensors(fr_store *s, uint32_t file, const char *prefix) {
    const fr_source *f = &s->files[file];
    if (f->bytes < 8)
        return fr_fail(FR_FORMAT,
                       "%s: a safetensors file begins with 8 bytes of length; this has %zu.",
                       f->path, f->bytes);
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--) header = header << 8 | f->data[i];
    if (header > HEADER_MAX || header > f->bytes - 8)
        return fr_fail(
            FR_FORMAT,
            "%s: the header claims %llu bytes, but the file has %zu and the format allows %u.",
            f->path, (unsigned long long)header, f->bytes, HEADER_MAX);
    reader r = {.store = s, .path = f->path, .prefix = prefix, .file = file};
    r.data_bytes = f->bytes - 8 - header;
    r.scan.start = r.scan.at = f->data + 8;
    r.scan.end = r.scan.start + header;
    fr_status st = read_header(&r);
    if (st == FR_OK) st = add_all(&r, 8 + header);
    fr_scan_free(&r.scan);
    fr_free(r.records);
    return st;
}
