/* gguf.c: reading a GGUF file, version 2 or 3, little endian.
 *
 *     "GGUF", u32 version, u64 tensors, u64 pairs
 *     pairs     string key, u32 type, value        string: u64 length, bytes
 *     tensors   string name, u32 rank, u64 dim[rank] (fastest first), u32 type, u64 offset
 *     padding to general.alignment, then the data; offsets count from here
 *
 * Metadata becomes one JSON object. A flat array of more than 16 values stays where it is in the
 * mapping (a vocabulary has 100 000 strings); only its place is noted. Nested arrays are read to a
 * small depth, and where one of them is long it is null. */
#include "tensor/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/store_parts.h"

#define LONG_ARRAY 16
#define NESTING    4

typedef struct record {
    char *name;
    fr_tensor shape;
    uint64_t begin, end;
} record;

typedef struct reader {
    fr_store *store;
    const char *path, *prefix;
    uint32_t file;
    const uint8_t *at, *end;
    char where[FR_NAME_TEXT + 32]; /* what is being read, for messages */
    fr_names keys;
    uint64_t alignment;
    record *records;
    size_t count;
} reader;

static fr_status wrong(const reader *r, const char *text) {
    fr_fail(FR_FORMAT, "%s: %s %s.", r->path, r->where, text);
    return FR_FORMAT; /* said here too, so that the compiler sees that it is not FR_OK */
}

static fr_status no_memory(const reader *r) {
    fr_fail(FR_NOMEM, "%s: there is no memory for %s.", r->path, r->where);
    return FR_NOMEM;
}

static void now_reading(reader *r, const char *what, const char *name) {
    char text[FR_NAME_TEXT];
    snprintf(r->where, sizeof r->where, "%s '%s'", what, fr_name_text(name, text));
}

/* ---- bytes ---- */

static fr_status take(reader *r, void *out, size_t bytes) {
    if ((size_t)(r->end - r->at) < bytes) return wrong(r, "goes on past the end of the file");
    memcpy(out, r->at, bytes); /* this machine is little endian too */
    r->at += bytes;
    return FR_OK;
}

static fr_status take_string(reader *r, const char **text, size_t *bytes) {
    uint64_t length;
    FR_TRY(take(r, &length, 8));
    if (length > (uint64_t)(r->end - r->at)) return wrong(r, "goes on past the end of the file");
    *text = (const char *)r->at;
    *bytes = (size_t)length;
    r->at += length;
    return FR_OK;
}

/* A key or a name: text without zero bytes, kept in the arena. */
static fr_status take_name(reader *r, const char *prefix, char **out) {
    const char *text;
    size_t bytes;
    FR_TRY(take_string(r, &text, &bytes));
    for (size_t i = 0; i < bytes;) {
        const uint8_t *p = (const uint8_t *)text + i;
        int length = *p ? fr_utf8_length(p, p + (bytes - i)) : 0;
        if (!length) return wrong(r, "has a name that is not UTF-8 text");
        i += (size_t)length;
    }
    *out = fr_store_keep(r->store, prefix, text, bytes);
    return *out ? FR_OK : FR_NOMEM;
}

/* ---- metadata ---- */

static const struct {
    fr_dtype dtype;
    int bytes;
} scalar[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = {FR_U8, 1},   [GGUF_I8] = {FR_I8, 1},     [GGUF_U16] = {FR_U16, 2},
    [GGUF_I16] = {FR_I16, 2}, [GGUF_U32] = {FR_U32, 4},   [GGUF_I32] = {FR_I32, 4},
    [GGUF_F32] = {FR_F32, 4}, [GGUF_BOOL] = {FR_BOOL, 1}, [GGUF_U64] = {FR_U64, 8},
    [GGUF_I64] = {FR_I64, 8}, [GGUF_F64] = {FR_F64, 8},
};

static json_t *real_or_null(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *json_of_scalar(gguf_type type, const uint8_t *p) {
    uint64_t u64 = 0;
    int64_t i64;
    float f32;
    double f64;
    int bytes = scalar[type].bytes;
    memcpy(&u64, p, (size_t)bytes);
    switch (type) {
    case GGUF_BOOL: return json_boolean(u64 != 0);
    case GGUF_F32: memcpy(&f32, p, 4); return real_or_null(f32);
    case GGUF_F64: memcpy(&f64, p, 8); return real_or_null(f64);
    case GGUF_U64: /* JSON integers here are signed */
        return u64 > INT64_MAX ? json_real((double)u64) : json_integer((json_int_t)u64);
    case GGUF_I8: return json_integer((int8_t)u64);
    case GGUF_I16: return json_integer((int16_t)u64);
    case GGUF_I32: return json_integer((int32_t)u64);
    case GGUF_I64: memcpy(&i64, p, 8); return json_integer(i64);
    default: return json_integer((json_int_t)u64);
    }
}

/* Text that need not be UTF-8: what is not becomes U+FFFD. */
static json_t *json_of_text(const char *text, size_t bytes) {
    json_t *j = json_stringn(text, bytes);
    if (j) return j;
    char *clean = fr_alloc_array(FR_MEM_OTHER, bytes + 1, 3);
    if (!clean) return NULL;
    size_t n = 0;
    for (size_t i = 0; i < bytes;) {
        const uint8_t *p = (const uint8_t *)text + i;
        int length = fr_utf8_length(p, p + (bytes - i));
        memcpy(clean + n, length ? text + i : "\xef\xbf\xbd", length ? (size_t)length : 3);
        n += length ? (size_t)length : 3;
        i += length ? (size_t)length : 1;
    }
    j = json_stringn(clean, n);
    fr_free(clean);
    return j;
}

static fr_status take_value(reader *r, const char *key, uint32_t type, int depth, json_t **out);

/* A long flat array: only its place is kept. The first of that key wins, as for all metadata. */
static fr_status keep_array(reader *r, const char *key, const fr_meta_array *a) {
    fr_store *s = r->store;
    size_t number;
    bool was_there;
    FR_TRY(fr_grow((void **)&s->arrays, &s->array_cap, s->array_count + 1, sizeof *s->arrays));
    FR_TRY(fr_names_add(&s->array_names, key, &number, &was_there));
    if (!was_there) s->arrays[s->array_count++] = *a;
    return FR_OK;
}

/* list NULL: only walk over them. */
static fr_status take_items(reader *r, const char *key, uint32_t type, uint64_t count, int depth,
                            json_t *list) {
    if (!list && type != GGUF_STRING && type != GGUF_ARRAY) {
        r->at += count * (uint64_t)scalar[type].bytes;
        return FR_OK;
    }
    for (uint64_t i = 0; i < count; i++) {
        json_t *item = NULL;
        fr_status st = take_value(r, key, type, depth - 1, list ? &item : NULL);
        if (st != FR_OK) json_decref(item);
        FR_TRY(st);
        if (list && json_array_append_new(list, item) != 0) return no_memory(r);
    }
    return FR_OK;
}

static fr_status take_array(reader *r, const char *key, int depth, json_t **out) {
    uint32_t type;
    uint64_t count;
    FR_TRY(take(r, &type, 4));
    FR_TRY(take(r, &count, 8));
    if (type >= GGUF_TYPE_COUNT) return wrong(r, "is a list of an unknown type");
    bool flat = type != GGUF_ARRAY;
    uint64_t least = type == GGUF_STRING ? 8 : flat ? (uint64_t)scalar[type].bytes : 12;
    if (count > (uint64_t)(r->end - r->at) / least)
        return wrong(r, "is a list that goes on past the end of the file");
    fr_meta_array a = {key, type == GGUF_STRING, (size_t)count, FR_NOTYPE, r->at};
    if (flat && !a.is_string) a.dtype = scalar[type].dtype;
    bool kept = count > LONG_ARRAY && flat && depth == NESTING;
    if (out && !kept && !(*out = count > LONG_ARRAY ? json_null() : json_array()))
        return no_memory(r);
    FR_TRY(take_items(r, key, type, count, depth, count > LONG_ARRAY || !out ? NULL : *out));
    return kept ? keep_array(r, key, &a) : FR_OK;
}

/* out NULL: only walk over it. On failure *out may hold a part, which the caller gives back. */
static fr_status take_value(reader *r, const char *key, uint32_t type, int depth, json_t **out) {
    uint8_t bytes[8];
    const char *text;
    size_t length;
    if (type >= GGUF_TYPE_COUNT) return wrong(r, "has an unknown type");
    if (type == GGUF_ARRAY) {
        if (depth == 0) return wrong(r, "holds lists that are nested too deeply");
        return take_array(r, key, depth, out);
    }
    if (type == GGUF_STRING) {
        FR_TRY(take_string(r, &text, &length));
        if (out && !(*out = json_of_text(text, length))) return no_memory(r);
        return FR_OK;
    }
    FR_TRY(take(r, bytes, (size_t)scalar[type].bytes));
    if (out && !(*out = json_of_scalar((gguf_type)type, bytes))) return no_memory(r);
    return FR_OK;
}

static fr_status read_pair(reader *r) {
    char *key;
    uint32_t type, alignment;
    size_t number;
    bool was_there;
    json_t *value = NULL;
    FR_TRY(take_name(r, NULL, &key));
    now_reading(r, "the metadata key", key);
    FR_TRY(fr_names_add(&r->keys, key, &number, &was_there));
    if (was_there) return wrong(r, "appears twice");
    FR_TRY(take(r, &type, 4));
    if (strcmp(key, "general.alignment") == 0) {
        if (type != GGUF_U32) return wrong(r, "is not a 32-bit number");
        if (r->end - r->at >= 4)
            memcpy(&alignment, r->at, 4);
        else
            return wrong(r, "goes on past the end of the file");
        if (alignment < 8 || (alignment & (alignment - 1)))
            return wrong(r, "is not a power of two that is a multiple of 8");
        r->alignment = alignment;
    }
    fr_status st = take_value(r, key, type, NESTING, &value);
    if (st == FR_OK && value && !json_object_get(r->store->meta, key) &&
        json_object_set(r->store->meta, key, value) != 0)
        st = no_memory(r);
    json_decref(value);
    return st;
}

/* ---- tensors ---- */

static const char *ggml_type_name(uint32_t type) {
    static const char *const names[] = {
        [9] = "Q8_1",     [10] = "Q2_K",   [11] = "Q3_K",    [15] = "Q8_K",
        [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S",
        [20] = "IQ4_NL",  [21] = "IQ3_S",  [22] = "IQ2_S",   [23] = "IQ4_XS",
        [29] = "IQ1_M",   [34] = "TQ1_0",  [35] = "TQ2_0",   [39] = "MXFP4",
    };
    return type < FR_COUNT(names) && names[type] ? names[type] : "no type known here";
}

/* Dimensions come fastest first; ours end with the fastest. */
static fr_status take_shape(reader *r, const char *name, fr_tensor *t) {
    char shown[FR_NAME_TEXT];
    uint32_t rank;
    uint64_t dim;
    FR_TRY(take(r, &rank, 4));
    if (rank > FR_MAX_DIMS)
        return fr_fail(FR_UNSUPPORTED,
                       "%s: tensor '%s' has %u dimensions; Frugal handles at most %d.", r->path,
                       fr_name_text(name, shown), rank, FR_MAX_DIMS);
    t->rank = (int)rank;
    for (uint32_t i = 0; i < rank; i++) {
        FR_TRY(take(r, &dim, 8));
        if (dim > INT64_MAX) return wrong(r, "has a dimension of 2^63 or more");
        t->dim[rank - 1 - i] = (int64_t)dim;
    }
    return FR_OK;
}

static fr_status read_record(reader *r, record *t) {
    uint32_t type;
    char what[FR_NAME_TEXT + 32], name[FR_NAME_TEXT];
    FR_TRY(take_name(r, r->prefix, &t->name));
    now_reading(r, "tensor", t->name);
    FR_TRY(take_shape(r, t->name, &t->shape));
    FR_TRY(take(r, &type, 4));
    FR_TRY(take(r, &t->begin, 8));
    t->shape.dtype = type > INT32_MAX ? FR_NOTYPE : fr_dtype_from_gguf((int)type);
    if (t->shape.dtype == FR_NOTYPE)
        return fr_fail(FR_UNSUPPORTED,
                       "%s: tensor '%s' is of GGUF type %u (%s), which Frugal does not read.",
                       r->path, fr_name_text(t->name, name), type, ggml_type_name(type));
    memcpy(what, r->where, sizeof what);
    if (fr_shape_check(what, t->shape.dtype, t->shape.rank, t->shape.dim) != FR_OK)
        return fr_fail_in(FR_FORMAT, "%s", r->path);
    fr_set_contiguous(&t->shape);
    if (t->begin % r->alignment) return wrong(r, "begins at an offset that is not aligned");
    return FR_OK;
}

static int by_place(const void *a, const void *b) {
    const record *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Every tensor inside the file, none over another; gaps are padding. */
static fr_status add_all(reader *r, const fr_source *f) {
    char name[FR_NAME_TEXT], before[FR_NAME_TEXT];
    uint64_t data_at = fr_round_up((size_t)(r->at - f->data), r->alignment);
    uint64_t room = data_at < f->bytes ? f->bytes - data_at : 0;
    for (size_t i = 0; i < r->count; i++) {
        record *t = &r->records[i];
        now_reading(r, "tensor", t->name);
        if (t->begin > room || fr_bytes(&t->shape) > room - t->begin)
            return wrong(r, "goes on past the end of the file");
        t->end = t->begin + fr_bytes(&t->shape);
    }
    qsort(r->records, r->count, sizeof *r->records, by_place);
    FR_TRY(fr_store_reserve(r->store, r->count));
    const record *last = NULL; /* that has bytes */
    for (size_t i = 0; i < r->count; i++) {
        const record *t = &r->records[i];
        /* An empty tensor may stand anywhere, even where the file ends before its data begins. */
        uint64_t at = t->begin < t->end ? data_at + t->begin : FR_MIN(data_at + t->begin, f->bytes);
        FR_TRY(fr_store_add(r->store, t->name, &t->shape, r->file, at));
        if (t->begin == t->end) continue;
        if (last && t->begin < last->end)
            return fr_fail(FR_FORMAT, "%s: tensor '%s' overlaps tensor '%s'.", r->path,
                           fr_name_text(t->name, name), fr_name_text(last->name, before));
        last = t;
    }
    return FR_OK;
}

/* ---- the whole ---- */

static fr_status check_version(const reader *r, uint32_t version) {
    if (version == 2 || version == 3) return FR_OK;
    if (version == 1)
        return fr_fail(FR_UNSUPPORTED,
                       "%s: this is GGUF version 1, which was replaced in 2023; "
                       "convert it to version 3.",
                       r->path);
    if (version == 0x03000000u || version == 0x02000000u)
        return fr_fail(FR_UNSUPPORTED,
                       "%s: this GGUF file is big endian; Frugal reads little endian.", r->path);
    return fr_fail(FR_UNSUPPORTED, "%s: GGUF version %u is unknown; Frugal reads 2 and 3.", r->path,
                   version);
}

static fr_status read_all(reader *r, const fr_source *f) {
    char magic[4];
    uint32_t version;
    uint64_t tensors, pairs;
    FR_TRY(take(r, magic, 4));
    if (memcmp(magic, "GGUF", 4) != 0)
        return fr_fail(FR_FORMAT,
                       "%s: a GGUF file begins with the letters GGUF; this one does not.", r->path);
    FR_TRY(take(r, &version, 4));
    FR_TRY(check_version(r, version));
    FR_TRY(take(r, &tensors, 8));
    FR_TRY(take(r, &pairs, 8));
    uint64_t room = (uint64_t)(r->end - r->at); /* a pair takes 13 bytes at least, a tensor 24 */
    if (pairs > room / 13 || tensors > (room - pairs * 13) / 24)
        return fr_fail(FR_FORMAT,
                       "%s: the file claims %llu tensors and %llu metadata pairs, which do "
                       "not fit its %zu bytes.",
                       r->path, (unsigned long long)tensors, (unsigned long long)pairs, f->bytes);
    for (uint64_t i = 0; i < pairs; i++) {
        snprintf(r->where, sizeof r->where, "the metadata");
        FR_TRY(read_pair(r));
    }
    r->records = fr_alloc_array(FR_MEM_OTHER, (size_t)tensors, sizeof *r->records);
    if (!r->records) return FR_NOMEM;
    for (; r->count < tensors; r->count++) {
        snprintf(r->where, sizeof r->where, "the list of tensors");
        r->records[r->count] = (record){0};
        FR_TRY(read_record(r, &r->records[r->count]));
    }
    return add_all(r, f);
}

fr_status fr_store_read_gguf(fr_store *s, uint32_t file, const char *prefix) {
    const fr_source *f = &s->files[file];
    reader r = {
        .store = s, .path = f->path, .prefix = prefix, .file = file, .alignment = GGUF_ALIGNMENT};
    r.at = f->data;
    r.end = f->data + f->bytes;
    snprintf(r.where, sizeof r.where, "the GGUF header");
    fr_status st = read_all(&r, f);
    fr_names_free(&r.keys);
    fr_free(r.records);
    return st;
}

void fr_meta_strings(const fr_meta_array *a,
                     void (*fn)(void *user, size_t i, const char *text, size_t bytes), void *user) {
    const uint8_t *at = a->data;
    for (size_t i = 0; a->is_string && i < a->count; i++) {
        uint64_t length; /* lengths were checked when the file was opened */
        memcpy(&length, at, 8);
        fn(user, i, (const char *)at + 8, (size_t)length);
        at += 8 + length;
    }
}
