/* npy.c: reading and writing NumPy's .npy.
 *
 *     6 bytes   \x93NUMPY
 *     2 bytes   version: 1.0, 2.0 or 3.0
 *     2 or 4    length of the header, little endian (4 from version 2.0 on)
 *     header    a literal of Python, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, spaces, a newline
 *     data      the values, in C order or Fortran's
 *
 * The header is never evaluated: it is read as the one form that it can have, keys in any order. Types that are no
 * plain numbers of this machine's byte order (objects, records, strings, complex numbers) are refused by name. */
#include "tensor/npy.h"

#include <stdio.h>
#include <string.h>

#include "tensor/store_parts.h"
#include "tensor/write_parts.h"

#define HEADER_MOST 65536u /* numpy.load refuses more than 10000 unless told otherwise */

/* ---- types ---- */

static const struct {
    char name[3];
    fr_dtype type;
} types[] = {
    {"f2", FR_F16}, {"f4", FR_F32}, {"f8", FR_F64},  {"b1", FR_BOOL}, {"i1", FR_I8},
    {"i2", FR_I16}, {"i4", FR_I32}, {"i8", FR_I64},  {"u1", FR_U8},   {"u2", FR_U16},
    {"u4", FR_U32}, {"u8", FR_U64}, {"V2", FR_BF16},
};

static fr_dtype type_of(const char *descr) {
    char order = descr[0];
    for (size_t i = 0; i < FR_COUNT(types); i++) {
        if (strcmp(descr + 1, types[i].name) != 0) continue;
        bool one_byte = types[i].name[1] == '1' || types[i].type == FR_BF16;
        return order == '<' || order == '=' || (one_byte && (order == '|' || order == '>'))
                   ? types[i].type
                   : FR_NOTYPE;
    }
    return FR_NOTYPE;
}

/* ---- the header ---- */

typedef struct header {
    const char *path, *at, *end;
    bool has_descr, has_order, has_shape;
    char descr[24];
    bool fortran;
    int rank;
    int64_t dim[FR_MAX_DIMS];
} header;

static fr_status broken(const header *h, const char *what) {
    return fr_fail(FR_FORMAT, "%s: the header of the .npy file is broken: %s.", h->path, what);
}

static void skip_space(header *h) {
    while (h->at < h->end && (*h->at == ' ' || *h->at == '\n' || *h->at == '\t')) h->at++;
}

static bool take(header *h, char c) {
    skip_space(h);
    if (h->at == h->end || *h->at != c) return false;
    h->at++;
    return true;
}

static bool take_word(header *h, const char *word) {
    size_t n = strlen(word);
    skip_space(h);
    if ((size_t)(h->end - h->at) < n || memcmp(h->at, word, n) != 0) return false;
    h->at += n;
    return true;
}

/* Between quotes of either kind, without escapes; cut to what fits. */
static bool take_text(header *h, char *out, size_t room) {
    char quote = take(h, '\'') ? '\'' : take(h, '"') ? '"' : 0;
    size_t n = 0;
    if (!quote) return false;
    for (; h->at < h->end && *h->at != quote; h->at++) {
        if (*h->at == '\\' || *h->at < 0x20 || *h->at > 0x7e) return false;
        if (n + 1 < room) out[n++] = *h->at;
    }
    out[n] = 0;
    return h->at++ < h->end;
}

static bool take_count(header *h, int64_t *out) {
    skip_space(h);
    const char *first = h->at;
    for (*out = 0; h->at < h->end && *h->at >= '0' && *h->at <= '9'; h->at++)
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_add_overflow(*out, *h->at - '0', out))
            return false;
    if (h->at == first || (*first == '0' && h->at - first > 1)) return false;
    if (h->at < h->end && *h->at == 'L') h->at++; /* a long of Python 2 */
    return true;
}

/* (), (3,), (3, 4), (3, 4,) */
static fr_status read_shape(header *h) {
    int64_t dim;
    bool comma = true;
    if (!take(h, '(')) return broken(h, "'shape' is no tuple");
    while (!take(h, ')')) {
        if (!comma || !take_count(h, &dim))
            return broken(h, "'shape' is no tuple of whole numbers");
        if (h->rank == FR_MAX_DIMS)
            return fr_fail(FR_UNSUPPORTED,
                           "%s: the array has more than the %d dimensions that Frugal handles.",
                           h->path, FR_MAX_DIMS);
        h->dim[h->rank++] = dim;
        comma = take(h, ',');
    }
    if (h->rank == 1 && !comma) return broken(h, "'shape' is no tuple");
    return FR_OK;
}

static fr_status read_pair(header *h) {
    char key[16];
    if (!take_text(h, key, sizeof key) || !take(h, ':'))
        return broken(h, "a key should stand here");
    if (!strcmp(key, "descr") && !h->has_descr) {
        h->has_descr = true;
        skip_space(h);
        if (h->at < h->end && (*h->at == '[' || *h->at == '('))
            return fr_fail(FR_UNSUPPORTED, "%s: the array is one of records, not of numbers.",
                           h->path);
        return take_text(h, h->descr, sizeof h->descr) ? FR_OK : broken(h, "'descr' is no text");
    }
    if (!strcmp(key, "fortran_order") && !h->has_order) {
        h->has_order = true;
        h->fortran = take_word(h, "True");
        return h->fortran || take_word(h, "False")
                   ? FR_OK
                   : broken(h, "'fortran_order' is neither True nor False");
    }
    if (!strcmp(key, "shape") && !h->has_shape) {
        h->has_shape = true;
        return read_shape(h);
    }
    return broken(h, "a key is unknown or stands twice");
}

static fr_status read_header(header *h) {
    if (!take(h, '{')) return broken(h, "it does not begin with '{'");
    for (bool comma = true; !take(h, '}'); comma = take(h, ',')) {
        if (!comma) return broken(h, "a comma or a closing '}' should stand here");
        FR_TRY(read_pair(h));
    }
    skip_space(h);
    if (h->at != h->end) return broken(h, "something follows the closing '}'");
    if (!h->has_descr || !h->has_order || !h->has_shape)
        return broken(h, "'descr', 'fortran_order' or 'shape' is missing");
    return FR_OK;
}

/* ---- the file ---- */

static fr_status find_header(header *h, const uint8_t *data, size_t bytes, size_t *behind) {
    if (bytes < 10 || memcmp(data, "\x93NUMPY", 6) != 0)
        return fr_fail(FR_FORMAT, "%s: a .npy file begins with \\x93NUMPY; this one does not.",
                       h->path);
    int major = data[6], minor = data[7];
    if (major < 1 || major > 3 || minor != 0)
        return fr_fail(FR_UNSUPPORTED, "%s: version %d.%d of .npy is not known.", h->path, major,
                       minor);
    size_t from = major == 1 ? 10 : 12, length = data[8] | (size_t)data[9] << 8;
    if (bytes < from) return broken(h, "the file ends before it");
    if (major > 1) length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (length > HEADER_MOST || length > bytes - from)
        return broken(h, "it is longer than the file, or than any header of numbers");
    h->at = (const char *)data + from;
    h->end = h->at + length;
    *behind = from + length;
    return read_header(h);
}

fr_status fr_store_read_npy(fr_store *s, uint32_t file, const char *prefix) {
    const fr_source *f = &s->files[file];
    header h = {.path = f->path};
    size_t at = 0;
    FR_TRY(find_header(&h, f->data, f->bytes, &at));
    fr_dtype type = type_of(h.descr);
    if (type == FR_NOTYPE)
        return fr_fail(FR_UNSUPPORTED,
                       "%s: the array has the type '%s', which Frugal does not read; save it as "
                       "float32, float16 or another plain little-endian number.",
                       f->path, h.descr);
    fr_status st = fr_shape_check("the array", type, h.rank, h.dim);
    if (st != FR_OK) return fr_fail_in(st, "%s", f->path);
    fr_tensor t = fr_tensor_make(type, h.rank, h.dim, NULL);
    if (fr_bytes(&t) != f->bytes - at)
        return fr_fail(FR_FORMAT, "%s: the array takes %zu bytes, but %zu follow the header.",
                       f->path, fr_bytes(&t), f->bytes - at);
    int64_t stride = 1;
    for (int i = 0; h.fortran && i < h.rank; i++) {
        t.stride[i] = stride;
        stride *= FR_MAX_OF(h.dim[i], 1);
    }
    char *name = fr_store_keep(s, prefix, "array", 5);
    if (!name) return FR_NOMEM;
    return fr_store_add(s, name, &t, file, at);
}

/* ---- writing ---- */

static const char *name_of(fr_dtype t) {
    for (size_t i = 0; i < FR_COUNT(types); i++)
        if (types[i].type == t) return types[i].name;
    return NULL;
}

fr_status fr_npy_write(const char *path, const fr_tensor *t) {
    char text[FR_SHAPE_TEXT];
    const char *name = name_of(t->dtype);
    FR_TRY(fr_write_check(path, &(fr_named_tensor){"array", t}, 1));
    if (!name)
        return fr_fail(FR_UNSUPPORTED, "%s: NumPy has no type for %s.", path,
                       fr_shape_text(t, text));
    char head[256], first[24] = "";
    int n = snprintf(head, sizeof head, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                     name[1] == '1' ? '|' : '<', name);
    for (int i = 0; i < t->rank; i++)
        n += snprintf(head + n, sizeof head - (size_t)n, "%s%lld%s", i ? " " : "",
                      (long long)t->dim[i], i + 1 < t->rank || t->rank == 1 ? "," : "");
    n += snprintf(head + n, sizeof head - (size_t)n, "), }");
    /* NumPy leaves room for the first dimension to grow to 21 digits, then fills up to a multiple of 64. */
    int spare = t->rank ? 21 - snprintf(first, sizeof first, "%lld", (long long)t->dim[0]) : 0;
    size_t length = fr_round_up(10 + (size_t)n + (size_t)spare + 2, 64) - 10; /* one at least */
    uint8_t start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    start[8] = (uint8_t)(length & 255);
    start[9] = (uint8_t)(length >> 8);
    memset(head + n, ' ', sizeof head - (size_t)n);
    head[length - 1] = '\n';
    fr_writer *w;
    FR_TRY(fr_writer_open(path, &w));
    fr_status st = fr_writer_write(w, start, sizeof start);
    if (st == FR_OK) st = fr_writer_write(w, head, length);
    if (st == FR_OK) st = fr_write_values(w, t);
    if (st == FR_OK) return fr_writer_commit(w);
    fr_writer_close(w);
    return st;
}
