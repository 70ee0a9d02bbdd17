/* schema.c: see schema.h. A schema is written down as a grammar, a rule for each part, and that is read like any other.
 *
 * A part that is met again, by a reference, has its rule already; so schemas may contain themselves. */
#include "text/schema.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

enum { MOST_DEEP = 64, MOST_PARTS = 10000 };

typedef struct part {
    const fr_json *schema;
    int rule;
} part;

typedef struct writer {
    const char *name;
    const fr_json *root;
    fr_growing *out;
    part *parts;
    size_t part_count, part_cap;
    int rules, depth;
    char path[512]; /* of the part at work, for messages */
} writer;

/* ---- text that grows ---- */

void fr_growing_add(fr_growing *g, const char *fmt, ...) {
    enum { MOST_TEXT = 12 << 20 };
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    if (!g->st && g->bytes > MOST_TEXT)
        g->st = fr_fail(FR_UNSUPPORTED, "The schema is too large to be a grammar.");
    if (!g->st) g->st = fr_grow((void **)&g->text, &g->cap, g->bytes + (size_t)n + 1, 1);
    if (!g->st) {
        vsnprintf(g->text + g->bytes, (size_t)n + 1, fmt, again);
        g->bytes += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void fr_growing_free(fr_growing *g) {
    fr_free(g->text);
    *g = (fr_growing){0};
}

/* Text in quotes. */
static void literal(fr_growing *g, const char *text) {
    fr_growing_add(g, "\"");
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fr_growing_add(g, "\\%c", *p);
        else if ((uint8_t)*p < ' ')
            fr_growing_add(g, "\\x%02X", (unsigned)(uint8_t)*p);
        else
            fr_growing_add(g, "%c", *p);
    }
    fr_growing_add(g, "\"");
}

/* A value as it stands in JSON, in quotes. */
static void literal_json(fr_growing *g, const fr_json *value) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text)
        literal(g, text);
    else if (!g->st)
        g->st = fr_fail(FR_NOMEM, "A value of the schema can not be written as JSON.");
    free(text);
}

static const char common[] =
    "ws ::= (\" \" | \"\\n\" [ \\t]{0,20})?\n"
    "hex ::= [0-9a-fA-F]\n"
    "escape ::= [\"\\\\/bfnrt] | \"u\" ([1-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2} | \"0\" "
    "([1-9a-fA-F] hex{2} | \"0\" ([1-9a-fA-F] hex | \"0\" [1-9a-fA-F])))\n"
    "plain ::= [^\"\\\\\\x7F\\x00-\\x1F]\n"
    "char ::= plain | \"\\\\\" escape\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n"
    "number ::= integer (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?\n"
    "boolean ::= \"true\" | \"false\"\n"
    "null ::= \"null\"\n"
    "array ::= \"[\" ws (value ws (\",\" ws value ws)*)? \"]\"\n"
    "object ::= \"{\" ws (member ws (\",\" ws member ws)*)? \"}\"\n"
    "member ::= string ws \":\" ws value\n"
    "value ::= object | array | string | number | boolean | null\n"
    "date ::= [0-9]{4} \"-\" (\"0\" [1-9] | \"1\" [0-2]) \"-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" "
    "[0-8])\n"
    "time ::= ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,6})? "
    "(\"Z\" | [-+] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])\n"
    "uuid ::= hex{8} (\"-\" hex{4}){3} \"-\" hex{12}\n";

/* ---- parts ---- */

static fr_status no(const writer *w, const char *fmt, const char *word) {
    char what[160];
    snprintf(what, sizeof what, fmt, word);
    return fr_fail(FR_UNSUPPORTED, "%s, at \"#%s\": %s.", w->name, w->path, what);
}

static fr_status write_part(writer *w, const fr_json *schema, const char *where, int *rule);

static fr_status write_any_of(writer *w, const fr_json *list, const char *word, fr_growing *g) {
    size_t n = json_array_size(list);
    if (!n) return no(w, "\"%s\" must be a list that is not empty", word);
    for (size_t i = 0; i < n; i++) {
        int rule;
        char where[64];
        snprintf(where, sizeof where, "/%s/%zu", word, i);
        FR_TRY(write_part(w, json_array_get(list, i), where, &rule));
        fr_growing_add(g, "%sr%d", i ? " | " : "", rule);
    }
    return FR_OK;
}

/* Within the document, by a JSON pointer (RFC 6901). */
static const fr_json *find(const writer *w, const char *ref) {
    const fr_json *at = w->root;
    if (*ref++ != '#') return NULL;
    while (at && *ref == '/') {
        char key[256];
        size_t n = 0;
        for (ref++; *ref && *ref != '/' && n < sizeof key - 1; ref++) {
            key[n++] = *ref;
            if (*ref == '~' && (ref[1] == '0' || ref[1] == '1'))
                key[n - 1] = *++ref == '0' ? '~' : '/';
        }
        key[n] = 0;
        if (json_is_array(at)) {
            char *end;
            unsigned long i = strtoul(key, &end, 10);
            at = *end || !n ? NULL : json_array_get(at, i);
        } else {
            at = json_object_get(at, key);
        }
    }
    return *ref ? NULL : at;
}

static fr_status write_ref(writer *w, const fr_json *ref, fr_growing *g) {
    const char *text = json_string_value(ref);
    const fr_json *to = text ? find(w, text) : NULL;
    int rule;
    if (!to) return no(w, "there is nothing at the reference \"%.100s\"", text ? text : "?");
    FR_TRY(write_part(w, to, text + 1, &rule));
    fr_growing_add(g, "r%d", rule);
    return FR_OK;
}

static fr_status size_of(const writer *w, const fr_json *s, const char *key, int64_t fallback,
                         int64_t *out) {
    const fr_json *j = json_object_get(s, key);
    double v = j ? json_number_value(j) : (double)fallback;
    *out = (int64_t)fmin(fmax(v, -1), 1e9);
    if (!j || (json_is_number(j) && v >= 0 && v == floor(v))) return FR_OK;
    return no(w, "\"%s\" must be a whole number from 0 on", key);
}

/* ---- objects ---- */

static void other_key(writer *w, int rule, const char *const *names, size_t count, size_t at);

typedef struct child {
    utf8proc_int32_t c;
    size_t bytes;
} child;

static int32_t char_at(const char *name, size_t at, size_t *bytes) {
    utf8proc_int32_t c = -1;
    utf8proc_ssize_t n = utf8proc_iterate((const uint8_t *)name + at, -1, &c);
    *bytes = n > 0 ? (size_t)n : 1;
    return name[at] ? c : -1;
}

static void char_in_class(fr_growing *g, int32_t c) {
    if (c >= 0) fr_growing_add(g, "\\U%08X", (unsigned)c);
}

/* Names that are the same up to `at` bytes: texts that go on otherwise, or end before one does. */
static void other_key(writer *w, int rule, const char *const *names, size_t count, size_t at) {
    fr_growing g = {0};
    bool ends = true;
    for (size_t i = 0; i < count; i++) ends &= names[i][at] != 0;
    fr_growing_add(&g, "r%d ::= %s[^\"\\\\\\x7F\\x00-\\x1F", rule, ends ? "\"\" | " : "");
    for (size_t i = 0; i < count; i++) {
        size_t n;
        char_in_class(&g, char_at(names[i], at, &n));
    }
    fr_growing_add(&g, "] plain*");
    for (size_t i = 0; i < count && !w->out->st && at < 200; i++) {
        size_t n, same = 0, k;
        int32_t c = char_at(names[i], at, &n);
        const char **rest = fr_alloc(FR_MEM_OTHER, count * sizeof *rest);
        bool first = c >= 0x20 && c != '"' && c != '\\' && rest;
        for (k = 0; k < count && first; k++) {
            if (char_at(names[k], at, &n) != c) continue;
            if (k < i) first = false;
            rest[same++] = names[k];
        }
        if (first) {
            int next = w->rules++;
            fr_growing_add(&g, " | [");
            char_in_class(&g, c);
            fr_growing_add(&g, "] r%d", next);
            char_at(names[i], at, &n);
            other_key(w, next, rest, same, at + n);
        }
        fr_free((void *)rest);
    }
    fr_growing_add(w->out, "%s\n", g.text ? g.text : "");
    if (g.st && !w->out->st) w->out->st = g.st;
    fr_growing_free(&g);
}

static bool lists(const fr_json *names, const char *name) {
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *s = json_string_value(json_array_get(names, i));
        if (s && !strcmp(s, name)) return true;
    }
    return false;
}

/* All names that stand in the schema, those of properties first. fr_free it. */
static fr_status all_names(const writer *w, const fr_json *s, const char ***out, size_t *count) {
    const fr_json *properties = json_object_get(s, "properties");
    const fr_json *required = json_object_get(s, "required");
    size_t most = json_object_size(properties) + json_array_size(required);
    const char **names = *out = fr_alloc(FR_MEM_OTHER, (most + 1) * sizeof *names);
    if (!names) return FR_NOMEM;
    *count = 0;
    const char *key;
    fr_json *value;
    json_object_foreach((fr_json *)(uintptr_t)properties, key, value) names[(*count)++] = key;
    for (size_t i = 0; i < json_array_size(required); i++) {
        key = json_string_value(json_array_get(required, i));
        if (!key) return no(w, "\"%s\" must be a list of names", "required");
        if (!json_object_get(properties, key)) names[(*count)++] = key;
    }
    if (*count > MOST_PARTS) return no(w, "there are too many %s", "properties");
    return FR_OK;
}

/* What other properties hold: a rule of it, by number or by name; none. */
static fr_status others_of(writer *w, const fr_json *s, char *rule, size_t room) {
    const fr_json *more = json_object_get(s, "additionalProperties");
    bool named = json_object_get(s, "properties") != NULL;
    int number;
    rule[0] = 0;
    if (json_is_false(more) || (!more && named)) return FR_OK;
    snprintf(rule, room, "value");
    if (!more || json_is_true(more)) return FR_OK;
    FR_TRY(write_part(w, more, "/additionalProperties", &number));
    snprintf(rule, room, "r%d", number);
    return FR_OK;
}

/* Pairs: for each property two rules, of what comes when nothing stands before it, and when something does. */
static fr_status write_properties(writer *w, const fr_json *s, const char *const *names,
                                  size_t count, fr_growing *g) {
    char others[32];
    const fr_json *required = json_object_get(s, "required");
    FR_TRY(others_of(w, s, others, sizeof others));
    int first = w->rules;
    w->rules += 2 * (int)count + 2;
    fr_growing_add(g, "\"{\" ws r%d \"}\"", first);
    for (size_t i = 0; i < count; i++) {
        const fr_json *p = json_object_get(json_object_get(s, "properties"), names[i]);
        char where[200], rule[32];
        int number, here = first + 2 * (int)i;
        fr_growing pair = {0};
        snprintf(where, sizeof where, "/properties/%.150s", names[i]);
        snprintf(rule, sizeof rule, "%s", others);
        if (p) FR_TRY(write_part(w, p, where, &number));
        if (p) snprintf(rule, sizeof rule, "r%d", number);
        if (!rule[0])
            return no(w, "\"%.100s\" is required, and not among the properties", names[i]);
        fr_json *key = json_string(names[i]);
        literal_json(&pair, key);
        fr_json_free(key);
        bool must = lists(required, names[i]);
        fr_growing_add(w->out, "r%d ::= %s ws \":\" ws %s ws r%d", here, pair.text, rule, here + 3);
        if (!must) fr_growing_add(w->out, " | r%d", here + 2);
        fr_growing_add(w->out, "\nr%d ::= \",\" ws %s ws \":\" ws %s ws r%d", here + 1, pair.text,
                       rule, here + 3);
        if (!must) fr_growing_add(w->out, " | r%d", here + 3);
        fr_growing_add(w->out, "\n");
        if (pair.st && !w->out->st) w->out->st = pair.st;
        fr_growing_free(&pair);
    }
    int end = first + 2 * (int)count;
    if (!others[0]) {
        fr_growing_add(w->out, "r%d ::= \"\"\nr%d ::= \"\"\n", end, end + 1);
        return FR_OK;
    }
    int key = w->rules++;
    other_key(w, key, names, count, 0);
    for (int i = 0; i < 2; i++)
        fr_growing_add(w->out, "r%d ::= (%s\"\\\"\" r%d \"\\\"\" ws \":\" ws %s ws r%d)?\n",
                       end + i, i ? "\",\" ws " : "", key, others, end + 1);
    return FR_OK;
}

static fr_status write_object(writer *w, const fr_json *s, fr_growing *g) {
    const char **names = NULL;
    size_t count;
    if (json_object_get(s, "properties") && !json_is_object(json_object_get(s, "properties")))
        return no(w, "\"%s\" must be an object", "properties");
    if (!json_object_get(s, "properties") && !json_object_get(s, "required") &&
        !json_object_get(s, "additionalProperties")) {
        fr_growing_add(g, "object");
        return FR_OK;
    }
    fr_status st = all_names(w, s, &names, &count);
    if (!st) st = write_properties(w, s, names, count, g);
    fr_free((void *)names);
    return st;
}

/* ---- arrays ---- */

/* What comes behind `before` items that are there. */
static void write_items(fr_growing *g, const char *rule, int64_t before, int64_t least,
                        int64_t most) {
    least = FR_MAX_OF(least - before, 0);
    if (most >= 0) most = FR_MAX_OF(most - before, 0);
    if (most == 0) return;
    bool first = before == 0;
    if (first) fr_growing_add(g, " (%s ws", rule);
    fr_growing_add(g, " (\",\" ws %s ws){%lld,", rule,
                   (long long)FR_MAX_OF(least - (first ? 1 : 0), 0));
    if (most > 0) fr_growing_add(g, "%lld", (long long)(most - (first ? 1 : 0)));
    fr_growing_add(g, "}");
    if (first) fr_growing_add(g, ")%s", least ? "" : "?");
}

static fr_status write_array(writer *w, const fr_json *s, fr_growing *g) {
    const fr_json *items = json_object_get(s, "items"), *head = json_object_get(s, "prefixItems");
    int64_t least, most, before = (int64_t)json_array_size(head);
    int number;
    char rule[32] = "value";
    FR_TRY(size_of(w, s, "minItems", 0, &least));
    FR_TRY(size_of(w, s, "maxItems", -1, &most));
    if (most >= 0 && (most < least || most < before))
        return no(w, "\"%s\" leaves no array", "maxItems");
    if (json_is_object(items)) {
        FR_TRY(write_part(w, items, "/items", &number));
        snprintf(rule, sizeof rule, "r%d", number);
    } else if (items && !json_is_boolean(items)) {
        return no(w, "\"%s\" must be a schema; a list of them is called prefixItems", "items");
    }
    if (json_is_false(items) || (head && !items)) most = before;
    if (least > before && most == before) return no(w, "\"%s\" asks for more", "minItems");
    fr_growing_add(g, "\"[\" ws");
    for (int64_t i = 0; i < before; i++) {
        char where[64];
        snprintf(where, sizeof where, "/prefixItems/%lld", (long long)i);
        FR_TRY(write_part(w, json_array_get(head, (size_t)i), where, &number));
        fr_growing_add(g, "%s r%d ws", i ? " \",\" ws" : "", number);
    }
    write_items(g, rule, before, least, most);
    fr_growing_add(g, " \"]\"");
    return FR_OK;
}

/* ---- the others ---- */

static fr_status write_string(writer *w, const fr_json *s, fr_growing *g) {
    static const char *const formats[] = {"date", "time", "uuid"};
    const char *format = json_string_value(json_object_get(s, "format"));
    const fr_json *pattern = json_object_get(s, "pattern");
    int64_t least, most;
    FR_TRY(size_of(w, s, "minLength", 0, &least));
    FR_TRY(size_of(w, s, "maxLength", -1, &most));
    if (most >= 0 && most < least) return no(w, "\"%s\" leaves no text", "maxLength");
    bool sized = least > 0 || most >= 0;
    if (pattern) {
        char where[640];
        if (sized) return no(w, "%s can not be asked for together", "a pattern and a length");
        if (!json_is_string(pattern)) return no(w, "\"%s\" must be a text", "pattern");
        snprintf(where, sizeof where, "%s, at \"#%s\"", w->name, w->path);
        fr_growing_add(g, "\"\\\"\" ");
        FR_TRY(fr_schema_pattern(g, json_string_value(pattern), where));
        fr_growing_add(g, " \"\\\"\"");
        return FR_OK;
    }
    for (size_t i = 0; i < FR_COUNT(formats) && format && !sized; i++)
        if (!strcmp(format, formats[i])) {
            fr_growing_add(g, "\"\\\"\" %s \"\\\"\"", format);
            return FR_OK;
        }
    if (format && !sized && !strcmp(format, "date-time")) {
        fr_growing_add(g, "\"\\\"\" date \"T\" time \"\\\"\"");
        return FR_OK;
    }
    fr_growing_add(g, "\"\\\"\" char{%lld,", (long long)least);
    if (most >= 0) fr_growing_add(g, "%lld", (long long)most);
    fr_growing_add(g, "} \"\\\"\"");
    return FR_OK;
}

/* A bound, where there is one. */
static fr_status bound(writer *w, const fr_json *s, const char *key, int step, bool whole,
                       int64_t *v, bool *any) {
    const fr_json *j = json_object_get(s, key);
    if (!j) return FR_OK;
    double x = json_number_value(j);
    if (!json_is_number(j) || fabs(x) > (double)FR_SCHEMA_MOST)
        return no(w, "\"%s\" must be a number of at most sixteen digits", key);
    if (!whole && (x != floor(x) || step))
        return no(w, "\"%s\" of a number is not supported unless it is whole and included", key);
    bool low = strstr(key, "inimum") != NULL;
    x = low ? (step ? floor(x) + 1 : ceil(x)) : (step ? ceil(x) - 1 : floor(x));
    *any = true;
    *v = low ? FR_MAX_OF(*v, (int64_t)x) : FR_MIN(*v, (int64_t)x);
    return FR_OK;
}

static fr_status write_number(writer *w, const fr_json *s, bool whole, fr_growing *g) {
    int64_t low = -FR_SCHEMA_MOST, high = FR_SCHEMA_MOST;
    bool any = false;
    FR_TRY(bound(w, s, "minimum", 0, whole, &low, &any));
    FR_TRY(bound(w, s, "maximum", 0, whole, &high, &any));
    FR_TRY(bound(w, s, "exclusiveMinimum", 1, whole, &low, &any));
    FR_TRY(bound(w, s, "exclusiveMaximum", 1, whole, &high, &any));
    if (low > high) return no(w, "the bounds leave no %s", "number");
    if (!any)
        fr_growing_add(g, whole ? "integer" : "number");
    else if (whole)
        fr_schema_whole(g, low, high);
    else
        fr_schema_number(g, low, high);
    return FR_OK;
}

static fr_status write_type(writer *w, const fr_json *s, const char *type, fr_growing *g) {
    if (!strcmp(type, "object")) return write_object(w, s, g);
    if (!strcmp(type, "array")) return write_array(w, s, g);
    if (!strcmp(type, "string")) return write_string(w, s, g);
    if (!strcmp(type, "integer")) return write_number(w, s, true, g);
    if (!strcmp(type, "number")) return write_number(w, s, false, g);
    if (strcmp(type, "boolean") != 0 && strcmp(type, "null") != 0)
        return no(w, "there is no type \"%.40s\"", type);
    fr_growing_add(g, "%s", type);
    return FR_OK;
}

/* The type that the other words speak of, where none is named. */
static const char *type_meant(const fr_json *s) {
    static const char *const of[][2] = {
        {"properties", "object"},       {"additionalProperties", "object"},
        {"required", "object"},         {"items", "array"},
        {"prefixItems", "array"},       {"minItems", "array"},
        {"maxItems", "array"},          {"minLength", "string"},
        {"maxLength", "string"},        {"pattern", "string"},
        {"minimum", "number"},          {"maximum", "number"},
        {"exclusiveMinimum", "number"}, {"exclusiveMaximum", "number"}};
    for (size_t i = 0; i < FR_COUNT(of); i++)
        if (json_object_get(s, of[i][0])) return of[i][1];
    return NULL;
}

static fr_status refuse_unknown(const writer *w, const fr_json *s) {
    static const char known[] =
        " type properties required additionalProperties items prefixItems minItems maxItems "
        "minLength maxLength pattern format minimum maximum exclusiveMinimum exclusiveMaximum enum "
        "const anyOf oneOf allOf $ref $defs definitions title description default examples example "
        "$schema $id id $comment deprecated readOnly writeOnly ";
    const char *key;
    fr_json *value;
    json_object_foreach((fr_json *)(uintptr_t)s, key, value) {
        char word[64];
        if (!strncmp(key, "x-", 2)) continue;
        if ((size_t)snprintf(word, sizeof word, " %s ", key) >= sizeof word || strchr(key, ' ') ||
            !strstr(known, word))
            return no(w, "\"%.60s\" is not supported", key);
    }
    return FR_OK;
}

static fr_status write_enum(writer *w, const fr_json *list, fr_growing *g) {
    if (!json_array_size(list)) return no(w, "\"%s\" must be a list that is not empty", "enum");
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i) fr_growing_add(g, " | ");
        literal_json(g, json_array_get(list, i));
    }
    return FR_OK;
}

/* Words that stand beside a choice would have to be joined with each of its parts. */
static fr_status refuse_beside(const writer *w, const fr_json *s, const char *word) {
    if (!type_meant(s)) return FR_OK;
    return no(w, "words beside \"%s\" are not supported; put them into its parts", word);
}

static fr_status write_body(writer *w, const fr_json *s, fr_growing *g) {
    static const char *const choices[] = {"anyOf", "oneOf", "allOf"};
    const fr_json *j, *type = json_object_get(s, "type");
    FR_TRY(refuse_unknown(w, s));
    if ((j = json_object_get(s, "const"))) {
        literal_json(g, j);
        return FR_OK;
    }
    if ((j = json_object_get(s, "enum"))) return write_enum(w, j, g);
    if ((j = json_object_get(s, "$ref"))) return write_ref(w, j, g);
    for (int i = 0; i < 3; i++) {
        if (!(j = json_object_get(s, choices[i]))) continue;
        FR_TRY(refuse_beside(w, s, choices[i]));
        if (i == 2 && json_array_size(j) != 1)
            return no(w, "\"%s\" of several is not supported", choices[i]);
        return write_any_of(w, j, choices[i], g);
    }
    if (json_is_array(type) && json_array_size(type)) {
        for (size_t i = 0; i < json_array_size(type); i++) {
            const char *name = json_string_value(json_array_get(type, i));
            if (!name) return no(w, "\"%s\" must be a name or a list of names", "type");
            if (i) fr_growing_add(g, " | ");
            FR_TRY(write_type(w, s, name, g));
        }
        return FR_OK;
    }
    if (type && !json_is_string(type))
        return no(w, "\"%s\" must be a name or a list of names", "type");
    const char *name = type ? json_string_value(type) : type_meant(s);
    if (name) return write_type(w, s, name, g);
    fr_growing_add(g, "value");
    return FR_OK;
}

static fr_status write_part(writer *w, const fr_json *schema, const char *where, int *rule) {
    for (size_t i = 0; i < w->part_count; i++)
        if (w->parts[i].schema == schema) {
            *rule = w->parts[i].rule;
            return FR_OK;
        }
    size_t before = strlen(w->path);
    snprintf(w->path + before, sizeof w->path - before, "%s", where);
    if (json_is_false(schema)) return no(w, "%s allows nothing", "the schema");
    if (!json_is_object(schema) && !json_is_true(schema)) return no(w, "%s", "this is no schema");
    if (++w->depth > MOST_DEEP) return no(w, "the schema is nested too %s", "deep");
    if (w->part_count == MOST_PARTS) return no(w, "the schema has too many %s", "parts");
    FR_TRY(fr_grow((void **)&w->parts, &w->part_cap, w->part_count + 1, sizeof *w->parts));
    *rule = w->rules++;
    /* true is one value of the JSON library, wherever it stands; so is its rule. */
    w->parts[w->part_count++] = (part){schema, *rule};
    fr_growing g = {0};
    fr_status st = FR_OK;
    if (json_is_true(schema))
        fr_growing_add(&g, "value");
    else
        st = write_body(w, schema, &g);
    if (!st) st = g.st;
    if (!st) fr_growing_add(w->out, "r%d ::= %s\n", *rule, g.text);
    fr_growing_free(&g);
    w->depth--;
    w->path[before] = 0;
    return st ? st : w->out->st;
}

fr_status fr_schema_write(const fr_json *schema, const char *name, fr_growing *out) {
    writer w = {.name = name, .root = schema, .out = out};
    int rule;
    fr_growing_add(out, "root ::= r0\n%s", common);
    fr_status st = write_part(&w, schema, "", &rule);
    fr_free(w.parts);
    return st ? st : out->st;
}

static fr_status read_text(const fr_growing *text, const char *name, fr_grammar **out) {
    return fr_grammar_parse(text->text, text->bytes, name, out);
}

fr_status fr_grammar_schema(const char *json, size_t bytes, const char *name, fr_grammar **out) {
    fr_json *schema;
    fr_growing text = {0};
    *out = NULL;
    FR_TRY(fr_json_parse(json, bytes, name, &schema));
    fr_status st = fr_schema_write(schema, name, &text);
    if (!st) st = read_text(&text, name, out);
    fr_json_free(schema);
    fr_growing_free(&text);
    return st;
}

fr_status fr_grammar_json(fr_grammar **out) {
    fr_growing text = {0};
    *out = NULL;
    fr_growing_add(&text, "root ::= object\n%s", common);
    fr_status st = text.st ? text.st : read_text(&text, "JSON", out);
    fr_growing_free(&text);
    return st;
}
