/* write_parts.c: what the writers of this room share. */
#include "tensor/write_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tensor/names.h"
#include "tensor/scan.h"

static bool is_utf8(const char *text) {
    const uint8_t *p = (const uint8_t *)text, *end = p + strlen(text);
    while (p < end) {
        int n = fr_utf8_length(p, end);
        if (!n) return false;
        p += n;
    }
    return true;
}

static fr_status check_one(const char *path, const fr_named_tensor *n, fr_names *names) {
    char shown[FR_NAME_TEXT], what[FR_NAME_TEXT + 16];
    size_t number;
    bool was_there;
    snprintf(what, sizeof what, "tensor '%s'", fr_name_text(n->name, shown));
    if (!is_utf8(n->name))
        return fr_fail(FR_INVALID, "%s: the name of %s is not UTF-8 text.", path, what);
    FR_TRY(fr_names_add(names, n->name, &number, &was_there));
    if (was_there) return fr_fail(FR_INVALID, "%s: %s is to be written twice.", path, what);
    fr_status st = fr_shape_check(what, n->tensor->dtype, n->tensor->rank, n->tensor->dim);
    if (st != FR_OK) return fr_fail_in(st, "%s", path);
    if (fr_bytes(n->tensor) && !n->tensor->data)
        return fr_fail(FR_INVALID, "%s: %s has no values to write.", path, what);
    return FR_OK;
}

fr_status fr_write_check(const char *path, const fr_named_tensor *tensors, size_t count) {
    fr_names names = {0};
    fr_status st = FR_OK;
    for (size_t i = 0; st == FR_OK && i < count; i++) st = check_one(path, &tensors[i], &names);
    fr_names_free(&names);
    return st;
}

fr_status fr_write_values(fr_writer *w, const fr_tensor *t) {
    size_t bytes = fr_bytes(t);
    if (bytes == 0) return FR_OK;
    if (fr_is_contiguous(t)) return fr_writer_write(w, t->data, bytes);
    void *copy = fr_alloc(FR_MEM_OTHER, bytes);
    if (!copy) return FR_NOMEM;
    fr_copy_contiguous(t, copy);
    fr_status st = fr_writer_write(w, copy, bytes);
    fr_free(copy);
    return st;
}

fr_status fr_write_zeros(fr_writer *w, size_t bytes) {
    static const uint8_t zeros[256];
    while (bytes) {
        size_t n = FR_MIN(bytes, sizeof zeros);
        FR_TRY(fr_writer_write(w, zeros, n));
        bytes -= n;
    }
    return FR_OK;
}

void fr_text_put(fr_text *t, const void *data, size_t bytes) {
    if (t->failed || fr_grow((void **)&t->data, &t->cap, t->bytes + bytes, 1) != FR_OK) {
        t->failed = true;
        return;
    }
    if (bytes) memcpy(t->data + t->bytes, data, bytes);
    t->bytes += bytes;
}

void fr_text_add(fr_text *t, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fr_text_put(t, text, (size_t)FR_MIN(n, (int)sizeof text - 1));
}

void fr_text_quote(fr_text *t, const char *text) {
    fr_text_put(t, "\"", 1);
    for (const char *p = text; *p; p++) {
        if ((uint8_t)*p < 0x20)
            fr_text_add(t, "\\u%04x", (unsigned)*p);
        else if (*p == '"' || *p == '\\')
            fr_text_add(t, "\\%c", *p);
        else
            fr_text_put(t, p, 1);
    }
    fr_text_put(t, "\"", 1);
}
