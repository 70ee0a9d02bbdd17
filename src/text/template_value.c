/* template_value.c: the values of templates, with Python's ideas of truth, equality, order, and writing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "text/template_parts.h"

enum { MOST_MEMORY = 64 << 20, MOST_OUTPUT = 16 << 20, MOST_DEEP = 64 };

/* ---- memory ---- */

void *fr_run_alloc(fr_run *r, size_t bytes) {
    r->memory += bytes + 16;
    r->steps += bytes / 64;
    if (bytes > MOST_MEMORY || r->memory > MOST_MEMORY) {
        fr_template_fail(r, "the template takes more than %d MiB", MOST_MEMORY >> 20);
        return NULL;
    }
    return fr_arena_alloc(r->arena, bytes);
}

fr_status fr_sink_add(fr_run *r, fr_text_sink *s, const char *text, size_t bytes) {
    if (s->bytes + bytes > MOST_OUTPUT)
        return fr_template_fail(r, "the text is longer than %d MiB", MOST_OUTPUT >> 20);
    FR_TRY(fr_grow((void **)&s->text, &s->cap, s->bytes + bytes + 1, 1));
    if (bytes) memcpy(s->text + s->bytes, text, bytes);
    s->bytes += bytes;
    s->text[s->bytes] = 0;
    return FR_OK;
}

/* Room for one more of a list in the arena. */
static fr_status more(fr_run *r, fr_value **items, size_t count, size_t *cap) {
    if (count < *cap) return FR_OK;
    size_t wide = *cap ? 2 * *cap : 4;
    fr_value *fresh = fr_run_alloc(r, wide * sizeof *fresh);
    if (!fresh) return FR_NOMEM;
    if (count) memcpy(fresh, *items, count * sizeof *fresh);
    *items = fresh;
    *cap = wide;
    return FR_OK;
}

fr_status fr_list_add(fr_run *r, fr_value_list *l, fr_value v) {
    FR_TRY(more(r, &l->items, l->count, &l->cap));
    l->items[l->count++] = v;
    return FR_OK;
}

fr_status fr_value_new_list(fr_run *r, fr_value *out) {
    *out = (fr_value){.kind = FR_VALUE_LIST};
    out->list = fr_run_alloc(r, sizeof *out->list);
    return out->list ? FR_OK : FR_NOMEM;
}

fr_status fr_value_new_map(fr_run *r, fr_value *out) {
    *out = (fr_value){.kind = FR_VALUE_MAP};
    out->map = fr_run_alloc(r, sizeof *out->map);
    return out->map ? FR_OK : FR_NOMEM;
}

fr_status fr_value_copy_text(fr_run *r, const char *text, size_t bytes, fr_value *out) {
    char *copy = fr_run_alloc(r, bytes + 1);
    if (!copy) return FR_NOMEM;
    if (bytes) memcpy(copy, text, bytes);
    *out = fr_value_text(copy, bytes);
    return FR_OK;
}

fr_value *fr_map_find(const fr_value_map *m, const fr_value *key) {
    for (size_t i = 0; i < m->count; i++)
        if (fr_value_equal(&m->keys[i], key)) return &m->values[i];
    return NULL;
}

fr_value *fr_map_find_text(const fr_value_map *m, const char *key, size_t bytes) {
    fr_value k = fr_value_text(key, bytes);
    return fr_map_find(m, &k);
}

static fr_status add_pair(fr_run *r, fr_value_map *m, fr_value key, fr_value v) {
    size_t cap = m->cap;
    FR_TRY(more(r, &m->keys, m->count, &cap));
    FR_TRY(more(r, &m->values, m->count, &m->cap));
    m->keys[m->count] = key;
    m->values[m->count++] = v;
    return FR_OK;
}

fr_status fr_map_put(fr_run *r, fr_value_map *m, fr_value key, fr_value v) {
    fr_value *there = fr_map_find(m, &key);
    r->steps += m->count / 16;
    if (!there) return add_pair(r, m, key, v);
    *there = v;
    return FR_OK;
}

fr_status fr_value_of_json(fr_run *r, const fr_json *j, int depth, fr_value *out) {
    *out = (fr_value){.kind = FR_VALUE_NONE};
    if (depth > MOST_DEEP) return fr_template_fail(r, "a value is nested too deep");
    if (json_is_boolean(j)) *out = fr_value_bool(json_is_true(j));
    if (json_is_integer(j)) *out = fr_value_int(json_integer_value(j));
    if (json_is_real(j)) *out = (fr_value){.kind = FR_VALUE_FLOAT, .f = json_real_value(j)};
    if (json_is_string(j))
        return fr_value_copy_text(r, json_string_value(j), json_string_length(j), out);
    if (json_is_array(j)) {
        FR_TRY(fr_value_new_list(r, out));
        for (size_t i = 0; i < json_array_size(j); i++) {
            fr_value v;
            FR_TRY(fr_value_of_json(r, json_array_get(j, i), depth + 1, &v));
            FR_TRY(fr_list_add(r, out->list, v));
        }
    }
    if (json_is_object(j)) {
        const char *key;
        fr_json *item;
        FR_TRY(fr_value_new_map(r, out));
        json_object_foreach((fr_json *)(uintptr_t)j, key, item) {
            fr_value k, v;
            FR_TRY(fr_value_copy_text(r, key, strlen(key), &k));
            FR_TRY(fr_value_of_json(r, item, depth + 1, &v));
            FR_TRY(add_pair(r, out->map, k, v)); /* no key stands twice in JSON */
        }
    }
    return FR_OK;
}

/* ---- what they are ---- */

const char *fr_value_kind_name(const fr_value *v) {
    static const char *const names[] = {
        [FR_VALUE_UNDEFINED] = "undefined", [FR_VALUE_NONE] = "none",
        [FR_VALUE_BOOL] = "a boolean",      [FR_VALUE_INT] = "a number",
        [FR_VALUE_FLOAT] = "a number",      [FR_VALUE_TEXT] = "a text",
        [FR_VALUE_LIST] = "a list",         [FR_VALUE_MAP] = "a dict",
        [FR_VALUE_MACRO] = "a macro"};
    return names[v->kind];
}

bool fr_value_true(const fr_value *v) {
    switch (v->kind) {
    case FR_VALUE_UNDEFINED:
    case FR_VALUE_NONE: return false;
    case FR_VALUE_BOOL: return v->truth;
    case FR_VALUE_INT: return v->i != 0;
    case FR_VALUE_FLOAT: return v->f != 0;
    case FR_VALUE_TEXT: return v->bytes > 0;
    case FR_VALUE_LIST: return v->list->count > 0;
    case FR_VALUE_MAP: return v->space || v->map->count > 0;
    default: return true;
    }
}

bool fr_value_number(const fr_value *v, double *out) {
    *out = v->kind == FR_VALUE_INT     ? (double)v->i
           : v->kind == FR_VALUE_FLOAT ? v->f
           : v->kind == FR_VALUE_BOOL  ? (double)v->truth
                                       : 0;
    return v->kind == FR_VALUE_INT || v->kind == FR_VALUE_FLOAT || v->kind == FR_VALUE_BOOL;
}

/* Values may share parts, so that a small one has a huge text: what is compared is bounded. */
static bool equal(const fr_value *a, const fr_value *b, int *left);

static bool lists_equal(const fr_value_list *a, const fr_value_list *b, int *left) {
    if (a == b) return true;
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (!equal(&a->items[i], &b->items[i], left)) return false;
    return true;
}

static bool maps_equal(const fr_value_map *a, const fr_value_map *b, int *left) {
    if (a == b) return true;
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        const fr_value *other = fr_map_find(b, &a->keys[i]);
        if (!other || !equal(&a->values[i], other, left)) return false;
    }
    return true;
}

static bool equal(const fr_value *a, const fr_value *b, int *left) {
    double x, y;
    if (--*left < 0) return false;
    if (a->kind == FR_VALUE_INT && b->kind == FR_VALUE_INT) return a->i == b->i;
    if (fr_value_number(a, &x) && fr_value_number(b, &y)) return x == y;
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case FR_VALUE_TEXT:
        return a->bytes == b->bytes && (!a->bytes || !memcmp(a->text, b->text, a->bytes));
    case FR_VALUE_LIST: return lists_equal(a->list, b->list, left);
    case FR_VALUE_MAP: /* a namespace may hold itself */
        return a->space || b->space ? a->map == b->map : maps_equal(a->map, b->map, left);
    case FR_VALUE_MACRO: return a->macro == b->macro;
    default: return true;
    }
}

bool fr_value_equal(const fr_value *a, const fr_value *b) {
    int left = 10000;
    return equal(a, b, &left);
}

bool fr_value_compare(const fr_value *a, const fr_value *b, int *out) {
    double x, y;
    if (a->kind == FR_VALUE_INT && b->kind == FR_VALUE_INT) {
        *out = (a->i > b->i) - (a->i < b->i);
        return true;
    }
    if (fr_value_number(a, &x) && fr_value_number(b, &y)) {
        *out = (x > y) - (x < y);
        return true;
    }
    if (a->kind != FR_VALUE_TEXT || b->kind != FR_VALUE_TEXT) return false;
    size_t n = FR_MIN(a->bytes, b->bytes);
    int c = n ? memcmp(a->text, b->text, n) : 0;
    *out = c ? c : (a->bytes > b->bytes) - (a->bytes < b->bytes);
    return true;
}

/* ---- writing ---- */

static fr_status put(fr_run *r, fr_text_sink *s, const char *text) {
    return fr_sink_add(r, s, text, strlen(text));
}

/* The shortest digits that read back the same, with a point or a power. */
static fr_status write_float(fr_run *r, double v, fr_text_sink *s) {
    char text[40];
    if (!isfinite(v)) return put(r, s, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
    double size = fabs(v);
    bool wide = v != 0 && (size >= 1e16 || size < 1e-4);
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, v);
        if (strtod(text, NULL) != v) continue;
        int power = atoi(strchr(text, 'e') + 1);
        if (!wide) snprintf(text, sizeof text, "%.*f", FR_MAX_OF(digits - 1 - power, 1), v);
        break;
    }
    return put(r, s, text);
}

/* As repr(): in single quotes, unless there are such in it and no double ones. */
static fr_status write_quoted(fr_run *r, const fr_value *v, fr_text_sink *s) {
    bool single = memchr(v->text, '\'', v->bytes), twice = memchr(v->text, '"', v->bytes);
    char quote[2] = {single && !twice ? '"' : '\'', 0}, code[8];
    FR_TRY(put(r, s, quote));
    for (size_t i = 0; i < v->bytes; i++) {
        char c = v->text[i];
        if (c == *quote || c == '\\')
            snprintf(code, sizeof code, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(code, sizeof code, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if ((uint8_t)c < ' ' || c == 0x7F)
            snprintf(code, sizeof code, "\\x%02x", (unsigned)(uint8_t)c);
        else
            snprintf(code, sizeof code, "%c", c);
        FR_TRY(put(r, s, code));
    }
    return put(r, s, quote);
}

static fr_status write_items(fr_run *r, const fr_value *v, fr_text_sink *s) {
    bool list = v->kind == FR_VALUE_LIST;
    size_t n = list ? v->list->count : v->map->count;
    FR_TRY(put(r, s, list ? "[" : "{"));
    for (size_t i = 0; i < n; i++) {
        if (i) FR_TRY(put(r, s, ", "));
        if (!list) {
            FR_TRY(fr_value_write(r, &v->map->keys[i], true, s));
            FR_TRY(put(r, s, ": "));
        }
        FR_TRY(fr_value_write(r, list ? &v->list->items[i] : &v->map->values[i], true, s));
    }
    return put(r, s, list ? "]" : "}");
}

fr_status fr_value_write(fr_run *r, const fr_value *v, bool quoted, fr_text_sink *s) {
    char text[32];
    if (r->depth > 400) return fr_template_fail(r, "a value is nested too deep");
    switch (v->kind) {
    case FR_VALUE_UNDEFINED: return FR_OK;
    case FR_VALUE_NONE: return put(r, s, "None");
    case FR_VALUE_BOOL: return put(r, s, v->truth ? "True" : "False");
    case FR_VALUE_FLOAT: return write_float(r, v->f, s);
    case FR_VALUE_TEXT:
        return quoted ? write_quoted(r, v, s) : fr_sink_add(r, s, v->text, v->bytes);
    case FR_VALUE_MACRO: return put(r, s, "<macro>");
    case FR_VALUE_INT: snprintf(text, sizeof text, "%lld", (long long)v->i); return put(r, s, text);
    default: break;
    }
    r->depth++;
    fr_status st = write_items(r, v, s);
    r->depth--;
    return st;
}

static fr_status write_json_text(fr_run *r, const fr_value *v, fr_text_sink *s) {
    char code[8];
    FR_TRY(put(r, s, "\""));
    for (size_t i = 0; i < v->bytes; i++) {
        uint8_t c = (uint8_t)v->text[i];
        const char *at = c ? strchr("\"\"\\\\\nn\rr\tt\bb\ff", c) : NULL;
        if (c == 'n' || c == 'r' || c == 't' || c == 'b' || c == 'f') at = NULL;
        if (at)
            snprintf(code, sizeof code, "\\%c", at[1]);
        else if (c < ' ')
            snprintf(code, sizeof code, "\\u%04x", c);
        else
            snprintf(code, sizeof code, "%c", c);
        FR_TRY(put(r, s, code));
    }
    return put(r, s, "\"");
}

static fr_status new_line(fr_run *r, int indent, int deep, fr_text_sink *s) {
    if (indent < 0) return FR_OK;
    FR_TRY(put(r, s, "\n"));
    for (int i = 0; i < indent * deep; i++) FR_TRY(put(r, s, " "));
    return FR_OK;
}

/* Places of keys in their order. */
static fr_status key_order(fr_run *r, const fr_value_map *m, bool sorted, size_t **out) {
    size_t *at = *out = fr_run_alloc(r, (m->count + 1) * sizeof *at);
    if (!at) return FR_NOMEM;
    for (size_t i = 0; i < m->count; i++) {
        size_t k = i;
        int c;
        for (; sorted && k > 0 && fr_value_compare(&m->keys[at[k - 1]], &m->keys[i], &c) && c > 0;
             k--)
            at[k] = at[k - 1];
        at[k] = i;
    }
    return FR_OK;
}

static fr_status write_json_items(fr_run *r, const fr_value *v, int indent, int deep, bool sorted,
                                  fr_text_sink *s) {
    bool list = v->kind == FR_VALUE_LIST;
    size_t n = list ? v->list->count : v->map->count, *at = NULL;
    if (!n) return put(r, s, list ? "[]" : "{}");
    if (!list) FR_TRY(key_order(r, v->map, sorted, &at));
    FR_TRY(put(r, s, list ? "[" : "{"));
    for (size_t i = 0; i < n; i++) {
        if (i) FR_TRY(put(r, s, indent < 0 ? ", " : ","));
        FR_TRY(new_line(r, indent, deep + 1, s));
        const fr_value *item = list ? &v->list->items[i] : &v->map->values[at[i]];
        if (!list) {
            fr_value key;
            FR_TRY(fr_value_to_text(r, &v->map->keys[at[i]], &key));
            FR_TRY(write_json_text(r, &key, s));
            FR_TRY(put(r, s, ": "));
        }
        FR_TRY(fr_value_write_json(r, item, indent, deep + 1, sorted, s));
    }
    FR_TRY(new_line(r, indent, deep, s));
    return put(r, s, list ? "]" : "}");
}

fr_status fr_value_write_json(fr_run *r, const fr_value *v, int indent, int deep, bool sorted,
                              fr_text_sink *s) {
    if (deep > MOST_DEEP) return fr_template_fail(r, "a value is nested too deep");
    switch (v->kind) {
    case FR_VALUE_NONE: return put(r, s, "null");
    case FR_VALUE_BOOL: return put(r, s, v->truth ? "true" : "false");
    case FR_VALUE_TEXT: return write_json_text(r, v, s);
    case FR_VALUE_LIST:
    case FR_VALUE_MAP: return write_json_items(r, v, indent, deep, sorted, s);
    case FR_VALUE_INT:
    case FR_VALUE_FLOAT: return fr_value_write(r, v, false, s);
    default: return fr_template_fail(r, "%s can not be written as JSON", fr_value_kind_name(v));
    }
}

fr_status fr_value_to_text(fr_run *r, const fr_value *v, fr_value *out) {
    fr_text_sink s = {0};
    *out = *v;
    if (v->kind == FR_VALUE_TEXT) return FR_OK;
    fr_status st = fr_value_write(r, v, false, &s);
    if (!st) st = fr_value_copy_text(r, s.text ? s.text : "", s.bytes, out);
    fr_free(s.text);
    return st;
}

/* ---- characters ---- */

static size_t char_bytes(const char *text, size_t bytes) {
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const uint8_t *)text, (utf8proc_ssize_t)bytes, &c);
    return n > 0 ? (size_t)n : 1;
}

size_t fr_text_length(const char *text, size_t bytes) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; n++) i += char_bytes(text + i, bytes - i);
    return n;
}

fr_status fr_value_items(fr_run *r, const fr_value *v, fr_value_list **out) {
    fr_value list;
    if (v->kind == FR_VALUE_LIST) {
        r->steps += v->list->count / 4;
        *out = v->list;
        return FR_OK;
    }
    FR_TRY(fr_value_new_list(r, &list));
    *out = list.list;
    if (v->kind == FR_VALUE_MAP)
        for (size_t i = 0; i < v->map->count; i++) FR_TRY(fr_list_add(r, *out, v->map->keys[i]));
    else if (v->kind == FR_VALUE_TEXT)
        for (size_t i = 0, n; i < v->bytes; i += n) {
            n = char_bytes(v->text + i, v->bytes - i);
            FR_TRY(fr_list_add(r, *out, fr_value_text(v->text + i, n)));
        }
    else if (v->kind != FR_VALUE_UNDEFINED)
        return fr_template_fail(r, "there is nothing to go through in %s", fr_value_kind_name(v));
    return FR_OK;
}

static fr_status bound(fr_run *r, const fr_value *v, int64_t fallback, int64_t n, bool down,
                       int64_t *out) {
    *out = fallback;
    if (!v || v->kind == FR_VALUE_NONE) return FR_OK;
    if (v->kind != FR_VALUE_INT) return fr_template_fail(r, "a slice wants whole numbers");
    int64_t low = down ? -1 : 0, high = down ? n - 1 : n;
    *out = v->i < 0 ? (v->i < -n ? low : v->i + n) : v->i;
    *out = FR_MIN(FR_MAX_OF(*out, low), high);
    return FR_OK;
}

fr_status fr_value_slice(fr_run *r, const fr_value *v, const fr_value *from, const fr_value *to,
                         const fr_value *step, fr_value *out) {
    fr_value_list *items;
    int64_t by = 1, first, end;
    if (v->kind != FR_VALUE_LIST && v->kind != FR_VALUE_TEXT)
        return fr_template_fail(r, "%s has no slices", fr_value_kind_name(v));
    FR_TRY(fr_value_items(r, v, &items));
    int64_t n = (int64_t)items->count;
    if (step && step->kind == FR_VALUE_INT) by = step->i;
    if (!by || by > 1 << 30 || by < -(1 << 30))
        return fr_template_fail(r, "a slice can not go by %lld", (long long)by);
    FR_TRY(bound(r, from, by < 0 ? n - 1 : 0, n, by < 0, &first));
    FR_TRY(bound(r, to, by < 0 ? -1 : n, n, by < 0, &end));
    fr_value list;
    FR_TRY(fr_value_new_list(r, &list));
    for (int64_t i = first; by > 0 ? i < end : i > end; i += by)
        FR_TRY(fr_list_add(r, list.list, items->items[i]));
    *out = list;
    if (v->kind == FR_VALUE_LIST) return FR_OK;
    fr_text_sink s = {0};
    fr_status st = FR_OK;
    for (size_t i = 0; i < list.list->count && !st; i++)
        st = fr_sink_add(r, &s, list.list->items[i].text, list.list->items[i].bytes);
    if (!st) st = fr_value_copy_text(r, s.text ? s.text : "", s.bytes, out);
    fr_free(s.text);
    return st;
}
