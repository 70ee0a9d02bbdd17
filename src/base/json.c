/* json.c: JSON over Jansson, with errors that a person can follow. */
#include "base/base.h"

#include <math.h>
#include <string.h>

#define FILE_MOST ((size_t)512 << 20)
#define EXACT_INT 0x1p53 /* a double holds every whole number up to here */

static fr_status parse_fail(const char *name, const json_error_t *e) {
    bool memory = json_error_code((json_error_t *)(uintptr_t)e) == json_error_out_of_memory;
    return fr_fail(memory ? FR_NOMEM : FR_FORMAT, "%s:%d:%d is not valid JSON: %s", name, e->line,
                   e->column, e->text);
}

/* Jansson bounds the depth (2048), refuses a zero byte in a string, and checks the UTF-8. */
fr_status fr_json_parse(const char *text, size_t bytes, const char *name, fr_json **out) {
    *out = NULL;
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark */
        text += 3;
        bytes -= 3;
    }
    json_error_t error;
    size_t flags = JSON_REJECT_DUPLICATES;
    *out = json_loadb(text, bytes, flags, &error);
    /* Tokenizer configurations of the field hold whole numbers of a hundred bits, which mean
     * "no limit". With one of those the whole numbers of the file are read as floating point. */
    if (!*out && json_error_code(&error) == json_error_numeric_overflow) {
        *out = json_loadb(text, bytes, flags | JSON_DECODE_INT_AS_REAL, &error);
    }
    return *out ? FR_OK : parse_fail(name, &error);
}

fr_status fr_json_load(const char *path, fr_json **out) {
    *out = NULL;
    char *text;
    size_t bytes;
    FR_TRY(fr_read_file(path, FILE_MOST, &text, &bytes));
    fr_status status = fr_json_parse(text, bytes, path, out);
    fr_free(text);
    return status;
}

void fr_json_free(fr_json *j) {
    json_decref(j);
}

static int write_part(const char *text, size_t bytes, void *writer) {
    return fr_writer_write(writer, text, bytes) == FR_OK ? 0 : -1;
}

fr_status fr_json_save(const fr_json *j, const char *path) {
    fr_writer *w;
    FR_TRY(fr_writer_open(path, &w));
    fr_message_clear();
    fr_status status = FR_OK;
    if (json_dump_callback(j, write_part, w, JSON_INDENT(2) | JSON_ENCODE_ANY) != 0) {
        status = *fr_message() ? FR_IO
                               : fr_fail(FR_INVALID, "%s: this value cannot be put as JSON", path);
    }
    if (status == FR_OK) status = fr_writer_write(w, "\n", 1);
    if (status == FR_OK) return fr_writer_commit(w);
    fr_writer_close(w);
    return status;
}

/* ---- members ---- */

const fr_json *fr_json_get(const fr_json *j, const char *key) {
    return json_object_get(j, key);
}

static const char *kind_of(const fr_json *j) {
    switch (json_typeof(j)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a text";
    case JSON_INTEGER: return "a whole number";
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    default: return "null";
    }
}

static fr_status wrong_kind(const fr_json *v, const char *key, const char *wanted) {
    return fr_fail(FR_FORMAT, "\"%s\" is %s, where %s is needed", key, kind_of(v), wanted);
}

/* The member, or NULL when it is absent or null. */
static const fr_json *present(const fr_json *j, const char *key) {
    const fr_json *v = fr_json_get(j, key);
    return json_is_null(v) ? NULL : v;
}

fr_status fr_json_i64(const fr_json *j, const char *key, int64_t fallback, int64_t *out) {
    const fr_json *v = present(j, key);
    *out = fallback;
    if (!v) return FR_OK;
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return FR_OK;
    }
    double x = json_real_value(v); /* 1e6 is a whole number too */
    if (!json_is_real(v) || x != floor(x)) return wrong_kind(v, key, "a whole number");
    if (fabs(x) > EXACT_INT) return fr_fail(FR_FORMAT, "\"%s\" is %g, which is too large", key, x);
    *out = (int64_t)x;
    return FR_OK;
}

fr_status fr_json_f64(const fr_json *j, const char *key, double fallback, double *out) {
    const fr_json *v = present(j, key);
    *out = fallback;
    if (!v) return FR_OK;
    if (!json_is_number(v)) return wrong_kind(v, key, "a number");
    *out = json_number_value(v);
    return FR_OK;
}

fr_status fr_json_bool(const fr_json *j, const char *key, bool fallback, bool *out) {
    const fr_json *v = present(j, key);
    *out = fallback;
    if (!v) return FR_OK;
    if (!json_is_boolean(v)) return wrong_kind(v, key, "true or false");
    *out = json_is_true(v);
    return FR_OK;
}

fr_status fr_json_string(const fr_json *j, const char *key, const char *fallback,
                         const char **out) {
    const fr_json *v = present(j, key);
    *out = fallback;
    if (!v) return FR_OK;
    if (!json_is_string(v)) return wrong_kind(v, key, "a text");
    *out = json_string_value(v);
    return FR_OK;
}
