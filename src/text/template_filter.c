/* template_filter.c: filters and tests of templates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/template_text.h"

static bool is(const char *name, const char *a, const char *b) {
    return !strcmp(name, a) || (b && !strcmp(name, b));
}

/* ---- filters of texts and numbers ---- */

static fr_status to_json(fr_run *r, const fr_value *v, const fr_args *a, fr_value *out) {
    const fr_value *indent = fr_arg(a, 0, "indent"), *sorted = fr_arg(a, -1, "sort_keys");
    int64_t by = indent && indent->kind == FR_VALUE_INT ? indent->i : -1;
    fr_text_sink s = {0};
    if (by > 16) return fr_template_fail(r, "tojson indents by at most 16");
    fr_status st =
        fr_value_write_json(r, v, (int)FR_MAX_OF(by, -1), 0, sorted && fr_value_true(sorted), &s);
    if (!st) st = fr_value_copy_text(r, s.text ? s.text : "", s.bytes, out);
    fr_free(s.text);
    return st;
}

static fr_status length(fr_run *r, const fr_value *v, fr_value *out) {
    if (v->kind == FR_VALUE_TEXT)
        *out = fr_value_int((int64_t)fr_text_length(v->text, v->bytes));
    else if (v->kind == FR_VALUE_LIST)
        *out = fr_value_int((int64_t)v->list->count);
    else if (v->kind == FR_VALUE_MAP)
        *out = fr_value_int((int64_t)v->map->count);
    else if (v->kind == FR_VALUE_UNDEFINED)
        *out = fr_value_int(0);
    else
        return fr_template_fail(r, "%s has no length", fr_value_kind_name(v));
    return FR_OK;
}

static fr_status number(fr_run *r, const fr_value *v, const fr_args *a, bool whole, fr_value *out) {
    double x;
    const fr_value *other = fr_arg(a, 0, "default");
    bool good = fr_value_number(v, &x);
    if (v->kind == FR_VALUE_TEXT) {
        char text[64], *end;
        size_t n = FR_MIN(v->bytes, sizeof text - 1);
        if (n) memcpy(text, v->text, n);
        text[n] = 0;
        x = strtod(text, &end);
        good = end != text && !*end;
    }
    if (!good || !isfinite(x) || fabs(x) > 9e15) {
        *out = other ? *other : whole ? fr_value_int(0) : (fr_value){.kind = FR_VALUE_FLOAT};
        return FR_OK;
    }
    (void)r;
    *out = whole ? fr_value_int((int64_t)x) : (fr_value){.kind = FR_VALUE_FLOAT, .f = x};
    return FR_OK;
}

static fr_status absolute(fr_run *r, const fr_value *v, fr_value *out) {
    *out = *v;
    if (v->kind == FR_VALUE_INT) out->i = v->i < 0 && v->i > INT64_MIN ? -v->i : v->i;
    if (v->kind == FR_VALUE_FLOAT) out->f = fabs(v->f);
    return v->kind == FR_VALUE_INT || v->kind == FR_VALUE_FLOAT
               ? FR_OK
               : fr_template_fail(r, "%s has no absolute value", fr_value_kind_name(v));
}

/* Lines after the first begin with so many spaces; empty ones stay. */
static fr_status indent(fr_run *r, const fr_value *v, const fr_args *a, fr_value *out) {
    const fr_value *width = fr_arg(a, 0, "width"), *first = fr_arg(a, 1, "first");
    int64_t n = width && width->kind == FR_VALUE_INT ? width->i : 4;
    fr_text_sink s = {0};
    fr_status st = FR_OK;
    if (n > 256) return fr_template_fail(r, "indent takes at most 256 spaces");
    bool begin = first && fr_value_true(first);
    for (size_t i = 0; i < v->bytes && !st; i++) {
        for (int64_t k = 0; k < n && begin && v->text[i] != '\n' && !st; k++)
            st = fr_sink_add(r, &s, " ", 1);
        if (!st) st = fr_sink_add(r, &s, v->text + i, 1);
        begin = v->text[i] == '\n';
    }
    if (!st) st = fr_value_copy_text(r, s.text ? s.text : "", s.bytes, out);
    fr_free(s.text);
    return st;
}

static fr_status escape(fr_run *r, const fr_value *v, fr_value *out) {
    static const char *const codes[][2] = {
        {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}};
    *out = *v;
    for (size_t i = 0; i < FR_COUNT(codes); i++) {
        fr_value from = fr_value_text(codes[i][0], 1);
        fr_value to = fr_value_text(codes[i][1], strlen(codes[i][1])), text = *out;
        FR_TRY(fr_text_replace(r, &text, &from, &to, -1, out));
    }
    return FR_OK;
}

static fr_status text_filter(fr_run *r, const char *name, const fr_value *given, const fr_args *a,
                             bool *known, fr_value *out) {
    fr_value v, self = *given;
    const fr_value *from = fr_arg(a, 0, "old"), *to = fr_arg(a, 1, "new");
    *known = is(name, "trim", "upper") || is(name, "lower", "title") ||
             is(name, "capitalize", "replace") || is(name, "indent", "string") ||
             is(name, "escape", "e") || is(name, "safe", "split");
    if (!*known) return FR_OK;
    FR_TRY(fr_value_to_text(r, &self, &v));
    *out = v;
    if (is(name, "string", "safe")) return FR_OK;
    if (is(name, "trim", NULL)) {
        *out = fr_text_strip(&v, fr_arg(a, 0, "chars"), true, true);
        return FR_OK;
    }
    if (is(name, "indent", NULL)) return indent(r, &v, a, out);
    if (is(name, "escape", "e")) return escape(r, &v, out);
    if (is(name, "split", NULL)) return fr_template_method(r, &v, "split", a, known, out);
    if (is(name, "replace", NULL)) {
        if (!from || !to || from->kind != FR_VALUE_TEXT || to->kind != FR_VALUE_TEXT)
            return fr_template_fail(r, "replace wants two texts");
        return fr_text_replace(r, &v, from, to, -1, out);
    }
    return fr_text_case(r, &v, *name, out);
}

/* ---- filters of lists ---- */

/* Of an item: what a path like "function.name" leads to. */
static fr_status attribute(fr_run *r, const fr_value *item, const fr_value *path, fr_value *out) {
    *out = *item;
    if (path->kind != FR_VALUE_TEXT) return fr_template_attr(r, item, path, out);
    for (size_t i = 0; i <= path->bytes; i++) {
        const char *dot = i < path->bytes ? memchr(path->text + i, '.', path->bytes - i) : NULL;
        size_t n = dot ? (size_t)(dot - path->text) - i : path->bytes - i;
        fr_value key = fr_value_text(path->text + i, n), v = *out;
        if (v.kind == FR_VALUE_UNDEFINED) return FR_OK;
        FR_TRY(fr_template_attr(r, &v, &key, out));
        i += n;
    }
    return FR_OK;
}

static fr_args rest_of(const fr_args *a, size_t from) {
    from = FR_MIN(from, a->count);
    return (fr_args){a->items + from, a->names + from, a->count - from};
}

/* select, reject, selectattr, rejectattr */
static fr_status pick(fr_run *r, const char *name, const fr_value_list *items, const fr_args *a,
                      fr_value *out) {
    bool attr = strstr(name, "attr") != NULL, wanted = *name == 's', good;
    const fr_value *path = fr_arg(a, 0, NULL), *test = fr_arg(a, attr, NULL);
    char word[32] = "";
    if (attr && !path) return fr_template_fail(r, "%s wants the name of an attribute", name);
    if (test && (test->kind != FR_VALUE_TEXT || test->bytes >= sizeof word))
        return fr_template_fail(r, "%s wants the name of a test", name);
    if (test) memcpy(word, test->text, test->bytes);
    fr_args more = rest_of(a, attr ? 2 : 1);
    FR_TRY(fr_value_new_list(r, out));
    for (size_t i = 0; i < items->count; i++) {
        fr_value v = items->items[i];
        if (attr) FR_TRY(attribute(r, &items->items[i], path, &v));
        good = fr_value_true(&v);
        if (test) FR_TRY(fr_template_test(r, word, &v, &more, &good));
        if (good == wanted) FR_TRY(fr_list_add(r, out->list, items->items[i]));
    }
    return FR_OK;
}

static fr_status map_all(fr_run *r, const fr_value_list *items, const fr_args *a, fr_value *out) {
    const fr_value *path = fr_arg(a, -1, "attribute"), *name = fr_arg(a, 0, NULL);
    const fr_value *other = fr_arg(a, -1, "default");
    char word[32] = "";
    if (!path && (!name || name->kind != FR_VALUE_TEXT || name->bytes >= sizeof word))
        return fr_template_fail(r, "map wants a filter or attribute=");
    if (!path) memcpy(word, name->text, name->bytes);
    if (is(word, "map", NULL)) return fr_template_fail(r, "map of map is not supported");
    fr_args more = rest_of(a, 1);
    FR_TRY(fr_value_new_list(r, out));
    for (size_t i = 0; i < items->count; i++) {
        fr_value v;
        if (path)
            FR_TRY(attribute(r, &items->items[i], path, &v));
        else
            FR_TRY(fr_template_filter(r, word, &items->items[i], &more, &v));
        if (v.kind == FR_VALUE_UNDEFINED && other) v = *other;
        FR_TRY(fr_list_add(r, out->list, v));
    }
    return FR_OK;
}

static bool comes_after(const fr_value *a, const fr_value *b, bool any_case) {
    int c = 0;
    if (any_case && a->kind == FR_VALUE_TEXT && b->kind == FR_VALUE_TEXT) {
        size_t n = FR_MIN(a->bytes, b->bytes);
        c = n ? strncasecmp(a->text, b->text, n) : 0;
        return c ? c > 0 : a->bytes > b->bytes;
    }
    return fr_value_compare(a, b, &c) && c > 0;
}

/* By insertion, which leaves equals as they stand. */
static fr_status sorted(fr_run *r, const fr_value_list *items, const fr_args *a, fr_value *out) {
    const fr_value *path = fr_arg(a, -1, "attribute"), *down = fr_arg(a, 0, "reverse");
    bool turn = down && fr_value_true(down);
    if (items->count > 2000) return fr_template_fail(r, "more than 2000 items can not be sorted");
    fr_value_list keys = {0};
    FR_TRY(fr_value_new_list(r, out));
    for (size_t i = 0; i < items->count; i++) {
        fr_value key = items->items[i];
        if (path) FR_TRY(attribute(r, &items->items[i], path, &key));
        FR_TRY(fr_list_add(r, out->list, items->items[i]));
        FR_TRY(fr_list_add(r, &keys, key));
        r->steps += i;
        for (size_t k = i; k > 0; k--) {
            const fr_value *l = &keys.items[k - 1], *m = &keys.items[k];
            if (!(turn ? comes_after(m, l, true) : comes_after(l, m, true))) break;
            fr_value swap = keys.items[k];
            keys.items[k] = keys.items[k - 1];
            keys.items[k - 1] = swap;
            swap = out->list->items[k];
            out->list->items[k] = out->list->items[k - 1];
            out->list->items[k - 1] = swap;
        }
    }
    return FR_OK;
}

static fr_status reversed(fr_run *r, const fr_value_list *items, fr_value *out) {
    FR_TRY(fr_value_new_list(r, out));
    for (size_t i = items->count; i-- > 0;) FR_TRY(fr_list_add(r, out->list, items->items[i]));
    return FR_OK;
}

static fr_status unique(fr_run *r, const fr_value_list *items, fr_value *out) {
    FR_TRY(fr_value_new_list(r, out));
    for (size_t i = 0; i < items->count; i++) {
        bool there = false;
        r->steps += out->list->count;
        if (r->steps > 5000000) return fr_template_fail(r, "there are too many items");
        for (size_t k = 0; k < out->list->count && !there; k++)
            there = fr_value_equal(&out->list->items[k], &items->items[i]);
        if (!there) FR_TRY(fr_list_add(r, out->list, items->items[i]));
    }
    return FR_OK;
}

static fr_status sum(fr_run *r, const fr_value_list *items, fr_value *out) {
    double all = 0, x;
    bool whole = true;
    for (size_t i = 0; i < items->count; i++) {
        if (!fr_value_number(&items->items[i], &x)) return fr_template_fail(r, "sum wants numbers");
        whole &= items->items[i].kind != FR_VALUE_FLOAT;
        all += x;
    }
    *out = whole && fabs(all) < 9e15 ? fr_value_int((int64_t)all)
                                     : (fr_value){.kind = FR_VALUE_FLOAT, .f = all};
    return FR_OK;
}

static fr_status list_filter(fr_run *r, const char *name, const fr_value *v, const fr_args *a,
                             bool *known, fr_value *out) {
    static const char all[] = " first last list join select reject selectattr rejectattr map sort "
                              "reverse unique sum min max ";
    char word[32] = " ";
    fr_value_list *items;
    size_t n = strlen(name);
    *known = n < sizeof word - 2;
    if (*known) {
        memcpy(word + 1, name, n);
        word[n + 1] = ' ';
        *known = strstr(all, word) != NULL;
    }
    if (!*known) return FR_OK;
    FR_TRY(fr_value_items(r, v, &items));
    *out = (fr_value){.kind = FR_VALUE_UNDEFINED, .text = "an item", .bytes = 7};
    if (is(name, "first", NULL) || is(name, "last", NULL)) {
        if (items->count) *out = items->items[*name == 'f' ? 0 : items->count - 1];
        return FR_OK;
    }
    if (is(name, "list", NULL)) {
        *out = (fr_value){.kind = FR_VALUE_LIST, .list = items};
        return FR_OK;
    }
    if (is(name, "join", NULL)) {
        const fr_value *by = fr_arg(a, 0, "d"), *path = fr_arg(a, 1, "attribute");
        fr_value none = fr_value_text("", 0), list = {.kind = FR_VALUE_LIST, .list = items};
        fr_args with = {.items = (fr_value *)(uintptr_t)path,
                        .names = (const char *[]){"attribute"},
                        .count = 1};
        if (path) FR_TRY(map_all(r, items, &with, &list));
        if (by && by->kind != FR_VALUE_TEXT) return fr_template_fail(r, "join wants a text");
        return fr_text_join(r, by ? by : &none, list.list, out);
    }
    if (is(name, "map", NULL)) return map_all(r, items, a, out);
    if (is(name, "sort", NULL)) return sorted(r, items, a, out);
    if (is(name, "reverse", NULL)) return reversed(r, items, out);
    if (is(name, "unique", NULL)) return unique(r, items, out);
    if (is(name, "sum", NULL)) return sum(r, items, out);
    if (is(name, "min", "max")) {
        for (size_t i = 0; i < items->count; i++)
            if (!i || comes_after(name[1] == 'i' ? out : &items->items[i],
                                  name[1] == 'i' ? &items->items[i] : out, false))
                *out = items->items[i];
        return FR_OK;
    }
    return pick(r, name, items, a, out);
}

fr_status fr_template_filter(fr_run *r, const char *name, const fr_value *v, const fr_args *a,
                             fr_value *out) {
    bool known;
    const fr_value *other = fr_arg(a, 0, "default_value"), *falsy = fr_arg(a, 1, "boolean");
    if (is(name, "default", "d")) {
        bool none = v->kind == FR_VALUE_UNDEFINED;
        if (falsy && fr_value_true(falsy)) none = !fr_value_true(v);
        *out = !none ? *v : other ? *other : fr_value_text("", 0);
        return FR_OK;
    }
    if (is(name, "tojson", NULL)) return to_json(r, v, a, out);
    if (is(name, "length", "count")) return length(r, v, out);
    if (is(name, "int", NULL)) return number(r, v, a, true, out);
    if (is(name, "float", NULL)) return number(r, v, a, false, out);
    if (is(name, "abs", NULL)) return absolute(r, v, out);
    if (is(name, "items", "dictsort") && v->kind == FR_VALUE_MAP) {
        FR_TRY(fr_map_list(r, v->map, 'i', out));
        if (*name == 'i') return FR_OK;
        fr_value zero = fr_value_int(0);
        fr_args by = {.items = &zero, .names = (const char *[]){"attribute"}, .count = 1};
        fr_value list = *out;
        return sorted(r, list.list, &by, out);
    }
    FR_TRY(text_filter(r, name, v, a, &known, out));
    if (known) return FR_OK;
    FR_TRY(list_filter(r, name, v, a, &known, out));
    return known ? FR_OK : fr_template_fail(r, "there is no filter %s", name);
}

/* ---- tests ---- */

static bool kind_test(const char *name, const fr_value *v, bool *out) {
    fr_value_kind k = v->kind;
    bool number = k == FR_VALUE_INT || k == FR_VALUE_FLOAT || k == FR_VALUE_BOOL;
    bool sequence = k == FR_VALUE_TEXT || k == FR_VALUE_LIST || k == FR_VALUE_MAP;
    *out = is(name, "defined", NULL)     ? k != FR_VALUE_UNDEFINED
           : is(name, "undefined", NULL) ? k == FR_VALUE_UNDEFINED
           : is(name, "none", NULL)      ? k == FR_VALUE_NONE
           : is(name, "string", NULL)    ? k == FR_VALUE_TEXT
           : is(name, "mapping", NULL)   ? k == FR_VALUE_MAP
           : is(name, "sequence", NULL)  ? sequence || k == FR_VALUE_UNDEFINED
           : is(name, "iterable", NULL)  ? sequence || k == FR_VALUE_UNDEFINED
           : is(name, "number", NULL)    ? number
           : is(name, "integer", NULL)   ? k == FR_VALUE_INT
           : is(name, "float", NULL)     ? k == FR_VALUE_FLOAT
           : is(name, "boolean", NULL)   ? k == FR_VALUE_BOOL
           : is(name, "callable", NULL)  ? k == FR_VALUE_MACRO
           : is(name, "true", NULL)      ? k == FR_VALUE_BOOL && v->truth
                                         : k == FR_VALUE_BOOL && !v->truth;
    static const char *const names[] = {"defined",  "undefined", "none",   "string",  "mapping",
                                        "sequence", "iterable",  "number", "integer", "float",
                                        "boolean",  "callable",  "true",   "false"};
    for (size_t i = 0; i < FR_COUNT(names); i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

static fr_status order_test(fr_run *r, const char *name, const fr_value *v, const fr_value *w,
                            bool *out) {
    int c;
    if (!fr_value_compare(v, w, &c))
        return fr_template_fail(r, "there is no order between %s and %s", fr_value_kind_name(v),
                                fr_value_kind_name(w));
    bool down = *name == 'l', also = name[1] == 'e';
    *out = c == 0 ? also : (c < 0) == down;
    return FR_OK;
}

fr_status fr_template_test(fr_run *r, const char *name, const fr_value *v, const fr_args *a,
                           bool *out) {
    const fr_value *w = fr_arg(a, 0, NULL);
    if (kind_test(name, v, out)) return FR_OK;
    if (is(name, "odd", "even")) {
        if (v->kind != FR_VALUE_INT) return fr_template_fail(r, "%s wants a whole number", name);
        *out = (v->i % 2 != 0) == (*name == 'o');
        return FR_OK;
    }
    if (is(name, "lower", "upper")) {
        fr_value other;
        *out = false;
        if (v->kind != FR_VALUE_TEXT) return FR_OK;
        FR_TRY(fr_text_case(r, v, *name, &other));
        *out = fr_value_equal(v, &other);
        return FR_OK;
    }
    if (!w) return fr_template_fail(r, "there is no test %s, or it wants an argument", name);
    if (is(name, "equalto", "eq") || is(name, "==", "sameas")) {
        *out = fr_value_equal(v, w);
        return FR_OK;
    }
    if (is(name, "ne", "!=")) {
        *out = !fr_value_equal(v, w);
        return FR_OK;
    }
    if (is(name, "lt", "le") || is(name, "gt", "ge")) return order_test(r, name, v, w, out);
    if (is(name, "divisibleby", NULL)) {
        if (v->kind != FR_VALUE_INT || w->kind != FR_VALUE_INT || !w->i)
            return fr_template_fail(r, "divisibleby wants whole numbers");
        *out = w->i == -1 || v->i % w->i == 0;
        return FR_OK;
    }
    if (is(name, "in", NULL)) {
        fr_value_list *items;
        if (v->kind == FR_VALUE_TEXT && w->kind == FR_VALUE_TEXT) {
            *out = memmem(w->text, w->bytes, v->text, v->bytes) != NULL || !v->bytes;
            return FR_OK;
        }
        FR_TRY(fr_value_items(r, w, &items));
        *out = false;
        for (size_t i = 0; i < items->count && !*out; i++)
            *out = fr_value_equal(v, &items->items[i]);
        return FR_OK;
    }
    return fr_template_fail(r, "there is no test %s", name);
}
