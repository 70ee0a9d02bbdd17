/* metadata.c: prompts and scenes as lines of JSON. What is written comes from our own lists of words and needs no
 * quoting; what is read comes from anywhere. */
#include "world/metadata.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COUNT_MOST 9

/* ---- writing ---- */

typedef struct line {
    char *text;
    size_t at;
} line;

static void add(line *l, const char *fmt, ...) FR_PRINTF(2, 3);
static void add(line *l, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(l->text + l->at, FR_METADATA_TEXT - l->at, fmt, args);
    va_end(args);
    l->at = FR_MIN(l->at + (size_t)n, (size_t)FR_METADATA_TEXT - 1);
}

static void add_clauses(line *l, const char *key, const fr_clause *clause, int count) {
    add(l, ", \"%s\": [", key);
    for (int i = 0; i < count; i++) {
        const fr_clause *c = &clause[i];
        add(l, "%s{\"class\": \"%s\", \"count\": %d", i ? ", " : "", fr_class_names[c->class],
            c->count);
        if (c->colour >= 0) add(l, ", \"color\": \"%s\"", fr_colour_names[c->colour]);
        if (c->relation >= 0)
            add(l, ", \"position\": [\"%s\", %d]", fr_relation_names[c->relation], c->target);
        add(l, "}");
    }
    add(l, "]");
}

static void add_prompt(line *l, const fr_prompt *p) {
    char text[FR_CAPTION_TEXT];
    fr_prompt_text(p, text);
    add(l, "{\"tag\": \"%s\"", fr_tag_names[p->tag]);
    add_clauses(l, "include", p->include, p->includes);
    add_clauses(l, "exclude", p->exclude, p->excludes);
    add(l, ", \"prompt\": \"%s\"", text);
}

void fr_prompt_metadata(const fr_prompt *p, char out[FR_METADATA_TEXT]) {
    line l = {out, 0};
    add_prompt(&l, p);
    add(&l, "}");
}

void fr_scene_metadata(const fr_scene *s, uint64_t seed, uint64_t index,
                       char out[FR_METADATA_TEXT]) {
    line l = {out, 0};
    add_prompt(&l, &s->prompt);
    add(&l, ", \"scene\": [");
    for (int i = 0; i < s->shapes; i++) {
        const fr_shape *a = &s->shape[i];
        add(&l, "%s{\"class\": \"%s\", \"color\": \"%s\", \"cx\": %.9g, \"cy\": %.9g, \"r\": %.9g}",
            i ? ", " : "", fr_class_names[a->class], fr_colour_names[a->colour], (double)a->x,
            (double)a->y, (double)a->r);
    }
    add(&l, "], \"captions\": [");
    for (int v = 0; v < FR_CAPTIONS; v++) {
        char text[FR_CAPTION_TEXT];
        float score;
        fr_scene_caption(s, seed, index, v, text, &score);
        add(&l, "%s{\"text\": \"%s\", \"score\": %.9g}", v ? ", " : "", text, (double)score);
    }
    add(&l, "], \"size\": %d, \"seed\": %llu, \"index\": %llu}", s->size, (unsigned long long)seed,
        (unsigned long long)index);
}

/* ---- reading ---- */

/* The number of a word in a list; -1: it is not there. */
static int find(const char *word, const char *const *list, int count) {
    for (int i = 0; i < count; i++)
        if (!strcmp(word, list[i])) return i;
    return -1;
}

/* A word of a list under a key. needed: it must be there; else *out stays -1. */
static fr_status read_word(const fr_json *j, const char *key, const char *const *list, int count,
                           bool needed, int *out) {
    const char *word;
    *out = -1;
    FR_TRY(fr_json_string(j, key, NULL, &word));
    if (!word) return needed ? fr_fail(FR_FORMAT, "\"%s\" is missing", key) : FR_OK;
    *out = find(word, list, count);
    if (*out >= 0) return FR_OK;
    return fr_fail(FR_FORMAT, "the picture world knows no %s '%.40s'", key, word);
}

static fr_status read_position(const fr_json *j, int before, fr_clause *c) {
    const fr_json *at = fr_json_get(j, "position");
    if (!at || json_is_null(at)) return FR_OK;
    const char *word = json_string_value(json_array_get(at, 0));
    const fr_json *target = json_array_get(at, 1);
    if (json_array_size(at) != 2 || !word || !json_is_integer(target))
        return fr_fail(FR_FORMAT,
                       "\"position\" is not a relation and the number of another thing, such as "
                       "[\"left of\", 0]");
    c->relation = find(word, fr_relation_names, FR_RELATIONS);
    if (c->relation < 0)
        return fr_fail(FR_FORMAT, "the picture world knows no relation '%.40s'", word);
    json_int_t n = json_integer_value(target);
    if (n < 0 || n >= before)
        return fr_fail(FR_FORMAT, "\"position\" names thing %lld, and only %d stand before it",
                       (long long)n, before);
    c->target = (int)n;
    return FR_OK;
}

static fr_status read_clause(const fr_json *j, int before, fr_clause *c) {
    int class;
    int64_t count;
    *c = (fr_clause){.relation = -1};
    FR_TRY(read_word(j, "class", fr_class_names, FR_SHAPE_CLASSES, true, &class));
    FR_TRY(read_word(j, "color", fr_colour_names, FR_COLOURS, false, &c->colour));
    FR_TRY(fr_json_i64(j, "count", 1, &count));
    if (count < 1 || count > COUNT_MOST)
        return fr_fail(FR_FORMAT, "\"count\" is %lld, and must be from 1 to %d", (long long)count,
                       COUNT_MOST);
    c->class = (fr_shape_class) class;
    c->count = (int)count;
    return read_position(j, before, c);
}

static fr_status read_clauses(const fr_json *j, const char *key, int most, fr_clause *clause,
                              int *count) {
    const fr_json *list = fr_json_get(j, key);
    size_t n = json_array_size(list);
    *count = 0;
    if (list && !json_is_array(list)) return fr_fail(FR_FORMAT, "\"%s\" is no list", key);
    if (n > (size_t)most)
        return fr_fail(FR_FORMAT, "\"%s\" has %zu things, and may have %d", key, n, most);
    for (; *count < (int)n; ++*count) {
        fr_status st = read_clause(json_array_get(list, (size_t)*count), *count, &clause[*count]);
        if (st) return fr_fail_in(st, "\"%s\", thing %d", key, *count);
    }
    return FR_OK;
}

/* What fr_prompt_text can say. */
static bool can_be_said(const fr_prompt *p) {
    for (int i = 0; i < p->includes; i++)
        if (p->include[i].count > 4) return false;
    return true;
}

static fr_status read_prompt(const fr_json *j, fr_prompt *out, char text[FR_CAPTION_TEXT]) {
    int tag;
    const char *said;
    if (!json_is_object(j)) return fr_fail(FR_FORMAT, "it is no JSON object");
    *out = (fr_prompt){0};
    FR_TRY(read_word(j, "tag", fr_tag_names, FR_ALL_TAGS, true, &tag));
    out->tag = (fr_scene_tag)tag;
    FR_TRY(read_clauses(j, "include", FR_SCENE_CLAUSES, out->include, &out->includes));
    FR_TRY(read_clauses(j, "exclude", 1, out->exclude, &out->excludes));
    if (!out->includes) return fr_fail(FR_FORMAT, "\"include\" names nothing to be shown");
    FR_TRY(fr_json_string(j, "prompt", NULL, &said));
    text[0] = 0;
    if (said && strlen(said) >= FR_CAPTION_TEXT)
        return fr_fail(FR_FORMAT, "\"prompt\" is longer than %d bytes", FR_CAPTION_TEXT - 1);
    if (said)
        snprintf(text, FR_CAPTION_TEXT, "%s", said);
    else if (can_be_said(out))
        fr_prompt_text(out, text);
    return FR_OK;
}

fr_status fr_prompt_from_metadata(const char *json, size_t bytes, const char *name, fr_prompt *out,
                                  char text[FR_CAPTION_TEXT]) {
    fr_json *j;
    FR_TRY(fr_json_parse(json, bytes, name, &j));
    fr_status st = read_prompt(j, out, text);
    if (st) st = fr_fail_in(st, "%s", name);
    fr_json_free(j);
    return st;
}
