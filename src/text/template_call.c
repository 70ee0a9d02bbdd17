/* template_call.c: what templates look up and call: attributes, functions, methods of texts and dicts. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <utf8proc.h>

#include "text/template_parts.h"
#include "text/template_text.h"

/* ---- attributes and items ---- */

fr_status fr_template_attr(fr_run *r, const fr_value *v, const fr_value *key, fr_value *out) {
    *out = (fr_value){.kind = FR_VALUE_UNDEFINED, .text = "an item", .bytes = 7};
    if (key->kind == FR_VALUE_TEXT) {
        out->text = key->text;
        out->bytes = key->bytes;
    }
    if (v->kind == FR_VALUE_UNDEFINED)
        return fr_template_fail(r, "%.*s is undefined", (int)v->bytes, v->text);
    if (v->kind == FR_VALUE_MAP) {
        const fr_value *there = fr_map_find(v->map, key);
        if (there) *out = *there;
        return FR_OK;
    }
    if (key->kind != FR_VALUE_INT) return FR_OK;
    if (v->kind != FR_VALUE_LIST && v->kind != FR_VALUE_TEXT) return FR_OK;
    fr_value_list *items;
    FR_TRY(fr_value_items(r, v, &items));
    int64_t at = key->i < 0 ? key->i + (int64_t)items->count : key->i;
    if (at >= 0 && at < (int64_t)items->count) *out = items->items[at];
    return FR_OK;
}

/* ---- functions ---- */

static fr_status make_map(fr_run *r, const fr_args *a, bool space, fr_value *out) {
    FR_TRY(fr_value_new_map(r, out));
    out->space = space;
    for (size_t i = 0; i < a->count; i++) {
        const fr_value *v = &a->items[i];
        if (a->names[i]) {
            FR_TRY(fr_map_put(r, out->map, fr_value_text(a->names[i], strlen(a->names[i])), *v));
            continue;
        }
        if (v->kind != FR_VALUE_MAP) return fr_template_fail(r, "a dict is made from a dict");
        for (size_t k = 0; k < v->map->count; k++)
            FR_TRY(fr_map_put(r, out->map, v->map->keys[k], v->map->values[k]));
    }
    return FR_OK;
}

static fr_status range(fr_run *r, const fr_args *a, fr_value *out) {
    enum { MOST_RANGE = 100000 };
    int64_t v[3] = {0, 0, 1};
    for (int i = 0; i < 3; i++) {
        const fr_value *x = fr_arg(a, i, NULL);
        if (!x) break;
        if (x->kind != FR_VALUE_INT) return fr_template_fail(r, "range wants whole numbers");
        v[i] = x->i;
    }
    if (a->count == 1) {
        v[1] = v[0];
        v[0] = 0;
    }
    double n = v[2] ? ((double)v[1] - (double)v[0]) / (double)v[2] : 1e9;
    if (n > MOST_RANGE || !a->count)
        return fr_template_fail(r, "range makes at most %d numbers", MOST_RANGE);
    FR_TRY(fr_value_new_list(r, out));
    for (int64_t i = v[0]; v[2] > 0 ? i < v[1] : i > v[1]; i += v[2])
        FR_TRY(fr_list_add(r, out->list, fr_value_int(i)));
    return FR_OK;
}

static fr_status strftime_now(fr_run *r, const fr_args *a, fr_value *out) {
    char format[128], text[512];
    const fr_value *f = fr_arg(a, 0, "format");
    time_t now = r->now ? (time_t)r->now : time(NULL);
    struct tm parts;
    if (!f || f->kind != FR_VALUE_TEXT || f->bytes >= sizeof format)
        return fr_template_fail(r, "strftime_now wants a short format");
    snprintf(format, sizeof format, "%.*s", (int)f->bytes, f->text);
    if (!localtime_r(&now, &parts)) return fr_template_fail(r, "the clock is beyond time");
    size_t n = strftime(text, sizeof text, format, &parts);
    return fr_value_copy_text(r, text, n, out);
}

fr_status fr_template_function(fr_run *r, const char *name, const fr_args *a, bool *known,
                               fr_value *out) {
    *known = true;
    if (!strcmp(name, "namespace")) return make_map(r, a, true, out);
    if (!strcmp(name, "dict")) return make_map(r, a, false, out);
    if (!strcmp(name, "range")) return range(r, a, out);
    if (!strcmp(name, "strftime_now")) return strftime_now(r, a, out);
    if (!strcmp(name, "raise_exception")) {
        fr_value text = fr_value_text("it gives no reason", 18);
        const fr_value *why = fr_arg(a, 0, "message");
        if (why) FR_TRY(fr_value_to_text(r, why, &text));
        return fr_template_fail(r, "the template refuses: %.*s", (int)FR_MIN(text.bytes, 300),
                                text.text);
    }
    *known = false;
    return FR_OK;
}

/* ---- texts ---- */

static bool is_white(int32_t c) {
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

static size_t char_at(const char *text, size_t bytes, int32_t *c) {
    utf8proc_int32_t v = -1;
    utf8proc_ssize_t n = utf8proc_iterate((const uint8_t *)text, (utf8proc_ssize_t)bytes, &v);
    *c = n > 0 ? v : (uint8_t)*text;
    return n > 0 ? (size_t)n : 1;
}

static bool goes(const char *text, size_t bytes, const fr_value *set) {
    int32_t c;
    char_at(text, bytes, &c);
    return set ? memmem(set->text, set->bytes, text, bytes) != NULL : is_white(c);
}

fr_value fr_text_strip(const fr_value *v, const fr_value *set, bool left, bool right) {
    const char *text = v->text;
    size_t n = v->bytes;
    if (set && (set->kind != FR_VALUE_TEXT)) set = NULL;
    while (left && n) {
        int32_t c;
        size_t one = char_at(text, n, &c);
        if (!goes(text, one, set)) break;
        text += one;
        n -= one;
    }
    while (right && n) {
        size_t one = 1;
        while (one < n && one < 4 && ((uint8_t)text[n - one] & 0xC0) == 0x80) one++;
        if (!goes(text + n - one, one, set)) break;
        n -= one;
    }
    return fr_value_text(text, n);
}

/* how: u pper, l ower, t itle, c apitalize */
fr_status fr_text_case(fr_run *r, const fr_value *v, char how, fr_value *out) {
    char *text = fr_run_alloc(r, 2 * v->bytes + 4);
    size_t n = 0;
    bool inside = false;
    if (!text) return FR_NOMEM;
    for (size_t i = 0; i < v->bytes;) {
        int32_t c;
        size_t one = char_at(v->text + i, v->bytes - i, &c);
        bool letter = utf8proc_toupper(c) != c || utf8proc_tolower(c) != c;
        bool up = how == 'u' || (!inside && (how == 't' || (how == 'c' && i == 0)));
        int32_t to = up ? utf8proc_toupper(c) : utf8proc_tolower(c);
        utf8proc_ssize_t wrote = 0;
        if (letter && up && c == 0xDF) /* which has no capital but two */
            wrote = (utf8proc_ssize_t)strlen(strcpy(text + n, "SS"));
        else if (letter && n <= 2 * v->bytes)
            wrote = utf8proc_encode_char(to, (uint8_t *)text + n);
        if (wrote < 1) {
            memcpy(text + n, v->text + i, one);
            wrote = (utf8proc_ssize_t)one;
        }
        n += (size_t)wrote;
        i += one;
        inside = letter;
    }
    *out = fr_value_text(text, n);
    return FR_OK;
}

fr_status fr_text_replace(fr_run *r, const fr_value *v, const fr_value *from, const fr_value *to,
                          int64_t most, fr_value *out) {
    fr_text_sink s = {0};
    fr_status st = FR_OK;
    const char *at = v->text, *end = at + v->bytes;
    while (!st && at < end && most-- != 0) {
        const char *hit =
            from->bytes ? memmem(at, (size_t)(end - at), from->text, from->bytes) : NULL;
        if (!hit) break;
        st = fr_sink_add(r, &s, at, (size_t)(hit - at));
        if (!st) st = fr_sink_add(r, &s, to->text, to->bytes);
        at = hit + from->bytes;
    }
    if (!st) st = fr_sink_add(r, &s, at, (size_t)(end - at));
    if (!st) st = fr_value_copy_text(r, s.text, s.bytes, out);
    fr_free(s.text);
    return st;
}

static fr_status split_white(fr_run *r, const fr_value *v, fr_value *out) {
    FR_TRY(fr_value_new_list(r, out));
    for (size_t i = 0; i < v->bytes;) {
        int32_t c;
        size_t one = char_at(v->text + i, v->bytes - i, &c), begin = i;
        if (is_white(c)) {
            i += one;
            continue;
        }
        for (; i < v->bytes; i += one) {
            one = char_at(v->text + i, v->bytes - i, &c);
            if (is_white(c)) break;
        }
        FR_TRY(fr_list_add(r, out->list, fr_value_text(v->text + begin, i - begin)));
    }
    return FR_OK;
}

static fr_status split(fr_run *r, const fr_value *v, const fr_args *a, fr_value *out) {
    const fr_value *by = fr_arg(a, 0, "sep"), *times = fr_arg(a, 1, "maxsplit");
    int64_t most = times && times->kind == FR_VALUE_INT ? times->i : -1;
    if (!by || by->kind == FR_VALUE_NONE) return split_white(r, v, out);
    if (by->kind != FR_VALUE_TEXT || !by->bytes)
        return fr_template_fail(r, "split wants a text to split at");
    FR_TRY(fr_value_new_list(r, out));
    const char *at = v->text, *end = at + v->bytes;
    while (most-- != 0) {
        const char *hit = memmem(at, (size_t)(end - at), by->text, by->bytes);
        if (!hit) break;
        FR_TRY(fr_list_add(r, out->list, fr_value_text(at, (size_t)(hit - at))));
        at = hit + by->bytes;
    }
    return fr_list_add(r, out->list, fr_value_text(at, (size_t)(end - at)));
}

static bool has_end(const fr_value *v, const fr_value *end, bool front) {
    if (end->kind == FR_VALUE_LIST) {
        for (size_t i = 0; i < end->list->count; i++)
            if (has_end(v, &end->list->items[i], front)) return true;
        return false;
    }
    if (end->kind != FR_VALUE_TEXT || end->bytes > v->bytes) return false;
    return !end->bytes ||
           !memcmp(front ? v->text : v->text + v->bytes - end->bytes, end->text, end->bytes);
}

fr_status fr_text_join(fr_run *r, const fr_value *by, const fr_value_list *items, fr_value *out) {
    fr_text_sink s = {0};
    fr_status st = FR_OK;
    for (size_t i = 0; i < items->count && !st; i++) {
        if (i) st = fr_sink_add(r, &s, by->text, by->bytes);
        if (!st) st = fr_value_write(r, &items->items[i], false, &s);
    }
    if (!st) st = fr_value_copy_text(r, s.text ? s.text : "", s.bytes, out);
    fr_free(s.text);
    return st;
}

static const fr_value *text_arg(fr_run *r, const fr_args *a, int place, const char *name) {
    const fr_value *v = fr_arg(a, place, name);
    if (v && v->kind == FR_VALUE_TEXT) return v;
    fr_template_fail(r, "a text is wanted as argument %d", place + 1);
    return NULL;
}

static fr_status replace(fr_run *r, const fr_value *v, const fr_args *a, fr_value *out) {
    const fr_value *from = text_arg(r, a, 0, "old"), *to = from ? text_arg(r, a, 1, "new") : NULL;
    const fr_value *times = fr_arg(a, 2, "count");
    if (!from || !to) return FR_INVALID;
    return fr_text_replace(r, v, from, to, times && times->kind == FR_VALUE_INT ? times->i : -1,
                           out);
}

static fr_status find(fr_run *r, const fr_value *v, const fr_args *a, bool count, fr_value *out) {
    const fr_value *what = text_arg(r, a, 0, NULL);
    if (!what) return FR_INVALID;
    const char *at = v->text, *end = at + v->bytes, *hit = NULL;
    int64_t n = 0;
    while (what->bytes && (hit = memmem(at, (size_t)(end - at), what->text, what->bytes)) &&
           count) {
        n++;
        at = hit + what->bytes;
    }
    if (!count) n = hit ? (int64_t)fr_text_length(v->text, (size_t)(hit - v->text)) : -1;
    *out = fr_value_int(n);
    return FR_OK;
}

static fr_status text_method(fr_run *r, const fr_value *v, const char *name, const fr_args *a,
                             bool *known, fr_value *out) {
    const fr_value *first = fr_arg(a, 0, NULL);
    bool left = !strcmp(name, "lstrip"), right = !strcmp(name, "rstrip");
    if (left || right || !strcmp(name, "strip")) {
        *out = fr_text_strip(v, first, !right, !left);
        return FR_OK;
    }
    if (!strcmp(name, "split")) return split(r, v, a, out);
    if (!strcmp(name, "replace")) return replace(r, v, a, out);
    if (!strcmp(name, "upper")) return fr_text_case(r, v, 'u', out);
    if (!strcmp(name, "lower")) return fr_text_case(r, v, 'l', out);
    if (!strcmp(name, "title")) return fr_text_case(r, v, 't', out);
    if (!strcmp(name, "capitalize")) return fr_text_case(r, v, 'c', out);
    if (!strcmp(name, "find")) return find(r, v, a, false, out);
    if (!strcmp(name, "count")) return find(r, v, a, true, out);
    if ((!strcmp(name, "startswith") || !strcmp(name, "endswith")) && first) {
        *out = fr_value_bool(has_end(v, first, *name == 's'));
        return FR_OK;
    }
    if (!strcmp(name, "isdigit")) {
        bool all = v->bytes > 0;
        for (size_t i = 0; i < v->bytes; i++) all &= v->text[i] >= '0' && v->text[i] <= '9';
        *out = fr_value_bool(all);
        return FR_OK;
    }
    if (!strcmp(name, "splitlines")) {
        fr_value line = fr_value_text("\n", 1), all = *v;
        if (all.bytes && all.text[all.bytes - 1] == '\n') all.bytes--;
        fr_args by = {.items = &line, .names = (const char *[]){NULL}, .count = 1};
        return split(r, &all, &by, out);
    }
    if (!strcmp(name, "join") && first) {
        fr_value_list *items;
        FR_TRY(fr_value_items(r, first, &items));
        return fr_text_join(r, v, items, out);
    }
    *known = false;
    return FR_OK;
}

/* ---- dicts ---- */

/* how: k eys, v alues, i tems */
fr_status fr_map_list(fr_run *r, const fr_value_map *m, char how, fr_value *out) {
    FR_TRY(fr_value_new_list(r, out));
    for (size_t i = 0; i < m->count; i++) {
        fr_value v = how == 'k' ? m->keys[i] : m->values[i];
        if (how == 'i') {
            FR_TRY(fr_value_new_list(r, &v));
            FR_TRY(fr_list_add(r, v.list, m->keys[i]));
            FR_TRY(fr_list_add(r, v.list, m->values[i]));
        }
        FR_TRY(fr_list_add(r, out->list, v));
    }
    return FR_OK;
}

static fr_status map_method(fr_run *r, const fr_value *v, const char *name, const fr_args *a,
                            bool *known, fr_value *out) {
    const fr_value *key = fr_arg(a, 0, "key"), *other = fr_arg(a, 1, "default");
    if (!strcmp(name, "items") || !strcmp(name, "keys") || !strcmp(name, "values"))
        return fr_map_list(r, v->map, *name, out);
    if (!strcmp(name, "get") && key) {
        const fr_value *there = fr_map_find(v->map, key);
        *out = there ? *there : other ? *other : (fr_value){.kind = FR_VALUE_NONE};
        return FR_OK;
    }
    const fr_value *own = fr_map_find_text(v->map, name, strlen(name));
    *known = false;
    if (own && own->kind == FR_VALUE_MACRO)
        return fr_template_fail(r, "macros in dicts can not be called");
    return FR_OK;
}

/* The loop's own: one after another of the arguments. */
static fr_status cycle(fr_run *r, const fr_value *loop, const fr_args *a, fr_value *out) {
    const fr_value *at = fr_map_find_text(loop->map, "index0", 6);
    if (!at || at->kind != FR_VALUE_INT || !a->count) return fr_template_fail(r, "nothing cycles");
    *out = a->items[(size_t)at->i % a->count];
    return FR_OK;
}

fr_status fr_template_method(fr_run *r, const fr_value *self, const char *name, const fr_args *a,
                             bool *known, fr_value *out) {
    *known = true;
    if (self->kind == FR_VALUE_TEXT) return text_method(r, self, name, a, known, out);
    if (self->kind == FR_VALUE_MAP && !strcmp(name, "cycle")) return cycle(r, self, a, out);
    if (self->kind == FR_VALUE_MAP) return map_method(r, self, name, a, known, out);
    if (self->kind == FR_VALUE_LIST && !strcmp(name, "append"))
        return fr_template_fail(r, "lists can not be changed; make a new one with +");
    *known = false;
    return FR_OK;
}
