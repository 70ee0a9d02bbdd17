/* file.c: quantized matrices in files: parts as plain tensors, the format's name and the matrix's size in
 * the metadata. What comes from a file is held against the format before anybody uses it. */
#include <stdio.h>
#include <string.h>

#include "format/format.h"

#define META "frugal.format."

/* prefix + name + "." + suffix, in the arena. */
static char *join(fr_arena *arena, const char *prefix, const char *name, const char *suffix) {
    size_t bytes = strlen(prefix) + strlen(name) + strlen(suffix) + 2;
    char *text = fr_arena_alloc(arena, bytes);
    if (text) snprintf(text, bytes, "%s%s%s%s", prefix, name, *suffix ? "." : "", suffix);
    return text;
}

fr_status fr_quantized_list(const fr_quantized *q, const char *name, fr_arena *arena,
                            fr_named_tensor *list, size_t *count, fr_meta_pair *meta,
                            size_t *metas) {
    const fr_qformat *f = q->format;
    for (int i = 0; i < f->parts; i++) {
        char *part = join(arena, "", name, f->part_name[i]);
        if (!part) return FR_NOMEM;
        list[*count + (size_t)i] = (fr_named_tensor){part, &q->part[i]};
    }
    char value[128];
    snprintf(value, sizeof value, "%s %lld %lld", f->name, (long long)q->rows, (long long)q->cols);
    meta[*metas] = (fr_meta_pair){join(arena, META, name, ""), fr_arena_strdup(arena, value)};
    if (!meta[*metas].key || !meta[*metas].value) return FR_NOMEM;
    *count += (size_t)f->parts;
    ++*metas;
    return FR_OK;
}

/* A whole number without sign, spaces or leading zeros; false for anything else. */
static bool take_number(const char **text, int64_t *out) {
    const char *p = *text;
    if (*p < '1' || *p > '9') return false;
    for (*out = 0; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(*out, (int64_t)10, out) ||
            __builtin_add_overflow(*out, (int64_t)(*p - '0'), out))
            return false;
    *text = p;
    return true;
}

/* "int4-g64 3072 3072" */
static fr_status parse(const char *text, const char *name, fr_quantized *q) {
    const char *space = strchr(text, ' ');
    char format[64] = "";
    if (space && space - text < (long)sizeof format) memcpy(format, text, (size_t)(space - text));
    q->format = fr_format_find(format);
    if (space && *format && !q->format)
        return fr_fail(FR_UNSUPPORTED, "'%s' is in the format '%s', which Frugal does not know.",
                       name, format);
    if (!q->format || (space++, !take_number(&space, &q->rows)) || *space++ != ' ' ||
        !take_number(&space, &q->cols) || *space)
        return fr_fail(FR_FORMAT,
                       "'%s' is said to be '%s' instead of a format, its rows and its columns.",
                       name, text);
    return FR_OK;
}

static fr_status take_part(const fr_store *s, const char *name, const char *part,
                           fr_tensor *expected) {
    char *full = fr_format("%s.%s", name, part), want[FR_SHAPE_TEXT], have[FR_SHAPE_TEXT];
    if (!full) return FR_NOMEM;
    fr_status status = FR_OK;
    fr_message_clear();
    const fr_tensor *t = fr_store_find(s, full);
    if (!t)
        status = *fr_message() ? FR_NOMEM : fr_fail(FR_FORMAT, "There is no tensor '%s'.", full);
    else if (t->dtype != expected->dtype || !fr_same_shape(t, expected))
        status = fr_fail(FR_FORMAT, "'%s' is %s; the format asks for %s.", full,
                         fr_shape_text(t, have), fr_shape_text(expected, want));
    else
        expected->data = t->data;
    fr_free(full);
    return status;
}

static fr_status open_parts(const fr_store *s, const char *name, fr_quantized *q) {
    int64_t shape[2] = {q->rows, q->cols};
    FR_TRY(fr_shape_check(name, FR_F32, 2, shape));
    FR_TRY(q->format->describe(q->format, q->rows, q->cols, q->part));
    for (int i = 0; i < q->format->parts; i++)
        FR_TRY(take_part(s, name, q->format->part_name[i], &q->part[i]));
    fr_status status = q->format->check ? q->format->check(q) : FR_OK;
    return status == FR_OK ? FR_OK : fr_fail_in(status, "'%s'", name);
}

bool fr_quantized_is(const fr_store *s, const char *name) {
    char *key = fr_format(META "%s", name);
    bool is = key && fr_json_get(fr_store_metadata(s), key);
    fr_free(key);
    return is;
}

fr_status fr_quantized_open(const fr_store *s, const char *name, fr_quantized *out) {
    char *key = fr_format(META "%s", name);
    const char *text = NULL;
    *out = (fr_quantized){0};
    if (!key) return FR_NOMEM;
    fr_status status = fr_json_string(fr_store_metadata(s), key, NULL, &text);
    fr_free(key);
    fr_quantized q = {0};
    if (status == FR_OK && !text)
        return fr_fail(FR_INVALID, "%s has no quantized matrix '%s'.", fr_store_path(s), name);
    if (status == FR_OK) status = parse(text, name, &q);
    if (status == FR_OK) status = open_parts(s, name, &q);
    if (status != FR_OK) return fr_fail_in(status, "%s", fr_store_path(s));
    *out = q;
    return FR_OK;
}
