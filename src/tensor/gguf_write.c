/* gguf_write.c: writing GGUF version 3.
 *
 * Metadata comes as JSON, which has fewer types than GGUF. Whole numbers become the smallest of
 * u32, i32, u64, i64 that holds them, or all items of the list; numbers with a fraction become f32,
 * which is what the readers of the field expect, and f64 only beyond its range. */
#include "tensor/gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tensor/scan.h"
#include "tensor/write_parts.h"

typedef struct plan {
    const char *path;
    const fr_named_tensor *tensors;
    size_t count;
    fr_dtype *dtype; /* as written */
    uint64_t alignment;
    fr_text head;
} plan;

static void put_u32(fr_text *t, uint32_t x) {
    fr_text_put(t, &x, 4);
}
static void put_u64(fr_text *t, uint64_t x) {
    fr_text_put(t, &x, 8);
}
static void put_string(fr_text *t, const char *text, size_t bytes) {
    put_u64(t, bytes);
    fr_text_put(t, text, bytes);
}

/* ---- metadata ---- */

static gguf_type type_of_int(json_int_t lo, json_int_t hi) {
    if (lo >= 0) return hi <= (json_int_t)UINT32_MAX ? GGUF_U32 : GGUF_U64;
    return lo >= INT32_MIN && hi <= INT32_MAX ? GGUF_I32 : GGUF_I64;
}

static gguf_type type_of_real(double x) {
    return isfinite(x) && fabs(x) > 3.4028234663852886e38 ? GGUF_F64 : GGUF_F32;
}

/* GGUF_TYPE_COUNT: none. */
static gguf_type type_of(const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_INTEGER: return type_of_int(json_integer_value(v), json_integer_value(v));
    case JSON_REAL: return type_of_real(json_real_value(v));
    case JSON_STRING: return GGUF_STRING;
    case JSON_TRUE:
    case JSON_FALSE: return GGUF_BOOL;
    case JSON_ARRAY: return GGUF_ARRAY;
    default: return GGUF_TYPE_COUNT;
    }
}

/* The one type that all items can have. */
static gguf_type type_of_items(const json_t *list) {
    json_int_t lo = 0, hi = 0;
    gguf_type all = GGUF_TYPE_COUNT;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        gguf_type type = type_of(v);
        if (type == GGUF_ARRAY || type == GGUF_TYPE_COUNT) return GGUF_TYPE_COUNT;
        if (json_is_integer(v)) {
            lo = FR_MIN(lo, json_integer_value(v));
            hi = FR_MAX_OF(hi, json_integer_value(v));
            type = GGUF_I64; /* stands for whole numbers until all are seen */
        }
        bool number = type == GGUF_I64 || type == GGUF_F32 || type == GGUF_F64;
        bool numbers = all == GGUF_I64 || all == GGUF_F32 || all == GGUF_F64;
        if (i == 0 || all == type)
            all = type;
        else if (!number || !numbers)
            return GGUF_TYPE_COUNT;
        else
            all = type == GGUF_F64 || all == GGUF_F64 ? GGUF_F64 : GGUF_F32;
    }
    if (json_array_size(list) == 0) return GGUF_U32;
    return all == GGUF_I64 ? type_of_int(lo, hi) : all;
}

static void put_value(fr_text *t, gguf_type type, const json_t *v) {
    json_int_t i = json_is_integer(v) ? json_integer_value(v) : 0;
    double f64 = json_number_value(v);
    float f32 = (float)f64;
    switch (type) {
    case GGUF_STRING: put_string(t, json_string_value(v), json_string_length(v)); break;
    case GGUF_BOOL: fr_text_put(t, json_is_true(v) ? "\1" : "\0", 1); break;
    case GGUF_F32: fr_text_put(t, &f32, 4); break;
    case GGUF_F64: fr_text_put(t, &f64, 8); break;
    case GGUF_U32:
    case GGUF_I32: put_u32(t, (uint32_t)i); break;
    default: put_u64(t, (uint64_t)i); break;
    }
}

static fr_status put_pair(plan *p, const char *key, const json_t *v) {
    char shown[FR_NAME_TEXT];
    gguf_type type = type_of(v), items = GGUF_TYPE_COUNT;
    if (type == GGUF_ARRAY) items = type_of_items(v);
    /* The one list of whole numbers that llama.cpp reads only with a sign. */
    if (items == GGUF_U32 && !strcmp(key, "tokenizer.ggml.token_type")) items = GGUF_I32;
    if (type == GGUF_TYPE_COUNT || (type == GGUF_ARRAY && items == GGUF_TYPE_COUNT))
        return fr_fail(FR_UNSUPPORTED,
                       "%s: the metadata key '%s' is neither a number, a boolean, a text nor a "
                       "list of one of these.",
                       p->path, fr_name_text(key, shown));
    if (strcmp(key, "general.alignment") == 0) {
        json_int_t a = type == GGUF_U32 ? json_integer_value(v) : 0;
        if (a < 8 || (a & (a - 1)) || a > 1 << 20)
            return fr_fail(FR_INVALID,
                           "%s: general.alignment must be a power of two from 8 to 2^20.", p->path);
        p->alignment = (uint64_t)a;
    }
    put_string(&p->head, key, strlen(key));
    put_u32(&p->head, type);
    if (type != GGUF_ARRAY) {
        put_value(&p->head, type, v);
        return FR_OK;
    }
    put_u32(&p->head, items);
    put_u64(&p->head, json_array_size(v));
    for (size_t i = 0; i < json_array_size(v); i++)
        put_value(&p->head, items, json_array_get(v, i));
    return FR_OK;
}

static fr_status put_meta(plan *p, const fr_json *meta) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)meta, key, v) FR_TRY(put_pair(p, key, v));
    return FR_OK;
}

/* ---- tensors ---- */

static fr_tensor written(const plan *p, size_t i) {
    const fr_tensor *t = p->tensors[i].tensor;
    return fr_tensor_make(p->dtype[i], t->rank, t->dim, NULL);
}

static fr_status choose_types(plan *p, bool (*as_q8_0)(const char *, const fr_tensor *)) {
    char shown[FR_NAME_TEXT], what[FR_NAME_TEXT + 16];
    for (size_t i = 0; i < p->count; i++) {
        const fr_tensor *t = p->tensors[i].tensor;
        p->dtype[i] = as_q8_0 && as_q8_0(p->tensors[i].name, t) ? FR_Q8_0 : t->dtype;
        snprintf(what, sizeof what, "tensor '%s'", fr_name_text(p->tensors[i].name, shown));
        if (fr_dtype_get(p->dtype[i])->gguf < 0)
            return fr_fail(FR_UNSUPPORTED, "%s: GGUF has no number type for %s, which is %s.",
                           p->path, what, fr_dtype_name(t->dtype));
        fr_status st = fr_shape_check(what, p->dtype[i], t->rank, t->dim);
        if (st != FR_OK) return fr_fail_in(st, "%s", p->path);
    }
    return FR_OK;
}

static void put_tensors(plan *p) {
    uint64_t at = 0;
    for (size_t i = 0; i < p->count; i++) {
        fr_tensor t = written(p, i);
        put_string(&p->head, p->tensors[i].name, strlen(p->tensors[i].name));
        put_u32(&p->head, (uint32_t)t.rank);
        for (int d = t.rank - 1; d >= 0; d--) put_u64(&p->head, (uint64_t)t.dim[d]);
        put_u32(&p->head, (uint32_t)fr_dtype_get(t.dtype)->gguf);
        put_u64(&p->head, at);
        at += fr_round_up(fr_bytes(&t), p->alignment);
    }
}

/* Blocks of 32 values are independent, so the tensor is encoded piece by piece. */
static fr_status write_q8_0(fr_writer *w, const fr_tensor *t) {
    size_t n = (size_t)fr_values(t);
    float *values = fr_alloc_array(FR_MEM_OTHER, n, sizeof *values);
    if (!values) return FR_NOMEM;
    fr_status st = fr_tensor_to_f32(t, values);
    uint8_t out[34 * 128];
    for (size_t i = 0; st == FR_OK && i < n; i += 32 * 128) {
        size_t now = FR_MIN(n - i, (size_t)32 * 128);
        st = fr_encode(FR_Q8_0, values + i, now, out);
        if (st == FR_OK) st = fr_writer_write(w, out, now / 32 * 34);
    }
    fr_free(values);
    return st;
}

static fr_status write_tensor(fr_writer *w, const plan *p, size_t i) {
    const fr_tensor *t = p->tensors[i].tensor;
    if (p->dtype[i] != t->dtype)
        FR_TRY(write_q8_0(w, t));
    else
        FR_TRY(fr_write_values(w, t));
    return fr_write_zeros(w, fr_round_up(fr_writer_offset(w), p->alignment) - fr_writer_offset(w));
}

static fr_status write_file(const plan *p) {
    fr_writer *w;
    FR_TRY(fr_writer_open(p->path, &w));
    fr_status st = fr_writer_write(w, p->head.data, p->head.bytes);
    if (st == FR_OK)
        st = fr_write_zeros(w, fr_round_up(p->head.bytes, p->alignment) - p->head.bytes);
    for (size_t i = 0; st == FR_OK && i < p->count; i++) st = write_tensor(w, p, i);
    if (st == FR_OK) return fr_writer_commit(w);
    fr_writer_close(w);
    return st;
}

static fr_status write_plan(plan *p, const fr_json *meta,
                            bool (*as_q8_0)(const char *, const fr_tensor *)) {
    FR_TRY(choose_types(p, as_q8_0));
    fr_text_put(&p->head, "GGUF", 4);
    put_u32(&p->head, GGUF_VERSION);
    put_u64(&p->head, p->count);
    put_u64(&p->head, json_object_size(meta));
    FR_TRY(put_meta(p, meta));
    put_tensors(p);
    return p->head.failed ? FR_NOMEM : write_file(p);
}

fr_status fr_gguf_write(const char *path, const fr_named_tensor *tensors, size_t count,
                        const fr_json *meta,
                        bool (*as_q8_0)(const char *name, const fr_tensor *t)) {
    FR_TRY(fr_write_check(path, tensors, count));
    plan p = {.path = path, .tensors = tensors, .count = count, .alignment = GGUF_ALIGNMENT};
    p.dtype = fr_alloc_array(FR_MEM_OTHER, count, sizeof *p.dtype);
    if (!p.dtype) return FR_NOMEM;
    fr_status st = write_plan(&p, meta, as_q8_0);
    fr_free(p.head.data);
    fr_free(p.dtype);
    return st;
}
