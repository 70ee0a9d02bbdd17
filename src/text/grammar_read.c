/* grammar_read.c: GBNF becomes expressions, by recursive descent. Groups may be nested so deep, and no deeper. */
#include <stdio.h>
#include <string.h>

#include <utf8proc.h>

#include "text/grammar_parts.h"

enum { MOST_DEEP = 100, MOST_RULES = 50000, MOST_TIMES = 100000, MOST_TEXT = 16 << 20 };

typedef struct reader {
    fr_grammar *g;
    const char *at, *end;
    int32_t line, depth;
    fr_char_range *ranges; /* of the class that is read */
    size_t range_count, range_cap;
} reader;

static fr_status bad(const reader *r, const char *what) {
    char near[24];
    int n = 0;
    for (const char *p = r->at; p < r->end && n < 20 && (uint8_t)*p >= ' '; p++) near[n++] = *p;
    near[n] = 0;
    if (!n) return fr_fail(FR_FORMAT, "%s, line %d: %s.", r->g->name, r->line, what);
    return fr_fail(FR_FORMAT, "%s, line %d, at \"%s\": %s.", r->g->name, r->line, near, what);
}

static char peek(const reader *r) {
    return r->at < r->end ? *r->at : 0;
}

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Spaces and comments, and line ends where those mean nothing. */
static void skip(reader *r, bool lines) {
    for (; r->at < r->end; r->at++) {
        if (*r->at == '#')
            while (r->at < r->end && *r->at != '\n') r->at++;
        if (r->at == r->end) return;
        if (*r->at == '\n' && !lines) return;
        if (*r->at == '\n') r->line++;
        if (*r->at != ' ' && *r->at != '\t' && *r->at != '\r' && *r->at != '\n') return;
    }
}

/* ---- characters ---- */

static fr_status hex(reader *r, int digits, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        char c = peek(r);
        int v = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (v < 0) return bad(r, "an escape wants more hexadecimal digits");
        *out = *out << 4 | (uint32_t)v;
    }
    if (*out > 0x10FFFF || (*out >= 0xD800 && *out < 0xE000))
        return bad(r, "there is no such character");
    return FR_OK;
}

static fr_status escaped(reader *r, uint32_t *out) {
    char c = peek(r);
    if (c) r->at++;
    switch (c) {
    case 'x': return hex(r, 2, out);
    case 'u': return hex(r, 4, out);
    case 'U': return hex(r, 8, out);
    case 'n': *out = '\n'; return FR_OK;
    case 'r': *out = '\r'; return FR_OK;
    case 't': *out = '\t'; return FR_OK;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
    case '^': *out = (uint8_t)c; return FR_OK;
    default: return bad(r, "there is no such escape");
    }
}

static fr_status plain(reader *r, uint32_t *out) {
    utf8proc_int32_t c;
    utf8proc_ssize_t bytes = utf8proc_iterate((const uint8_t *)r->at, r->end - r->at, &c);
    if (bytes < 1) return bad(r, "the text is not valid UTF-8");
    *out = (uint32_t)c;
    r->at += bytes;
    return FR_OK;
}

static fr_status character(reader *r, uint32_t *out) {
    char c = peek(r);
    if (r->at == r->end || c == '\n') return bad(r, "the line ends inside of quotes or brackets");
    if (c != '\\') return plain(r, out);
    r->at++;
    return escaped(r, out);
}

/* ---- expressions ---- */

static fr_expr *new_expr(reader *r, fr_expr_kind kind) {
    fr_expr *e = fr_arena_alloc(r->g->arena, sizeof *e);
    if (e) e->kind = kind;
    return e;
}

static void adopt(fr_expr *parent, fr_expr *child) {
    if (parent->last)
        parent->last->next = child;
    else
        parent->child = child;
    parent->last = child;
}

static fr_status add_range(reader *r, uint32_t low, uint32_t high) {
    FR_TRY(fr_grow((void **)&r->ranges, &r->range_cap, r->range_count + 1, sizeof *r->ranges));
    r->ranges[r->range_count++] = (fr_char_range){low, high};
    return FR_OK;
}

/* In order, those that touch joined. */
static void tidy(reader *r) {
    fr_char_range *a = r->ranges;
    size_t kept = 0;
    for (size_t i = 1; i < r->range_count; i++) {
        fr_char_range item = a[i];
        size_t j = i;
        for (; j > 0 && a[j - 1].low > item.low; j--) a[j] = a[j - 1];
        a[j] = item;
    }
    for (size_t i = 0; i < r->range_count; i++) {
        if (kept && a[i].low <= a[kept - 1].high + 1)
            a[kept - 1].high = FR_MAX_OF(a[kept - 1].high, a[i].high);
        else
            a[kept++] = a[i];
    }
    r->range_count = kept;
}

/* All others. Needs room for one more. */
static void turn_round(reader *r) {
    uint32_t from = 0;
    size_t n = r->range_count, kept = 0;
    for (size_t i = 0; i < n; i++) {
        fr_char_range range = r->ranges[i];
        if (range.low > from) r->ranges[kept++] = (fr_char_range){from, range.low - 1};
        from = range.high + 1;
    }
    if (from <= 0x10FFFF) r->ranges[kept++] = (fr_char_range){from, 0x10FFFF};
    r->range_count = kept;
}

static fr_status class_of(reader *r, bool negated, fr_expr **out) {
    tidy(r);
    FR_TRY(add_range(r, 0, 0));
    r->range_count--;
    if (negated) turn_round(r);
    fr_expr *e = *out = new_expr(r, FR_EXPR_CLASS);
    if (!e) return FR_NOMEM;
    e->ranges = fr_arena_alloc(r->g->arena, (r->range_count + 1) * sizeof *e->ranges);
    if (!e->ranges) return FR_NOMEM;
    memcpy(e->ranges, r->ranges, r->range_count * sizeof *e->ranges);
    e->range_count = (int32_t)r->range_count;
    r->range_count = 0;
    return FR_OK;
}

static fr_status read_class(reader *r, fr_expr **out) {
    enum { MOST_RANGES = 2000 }; /* they are put in order one by one */
    r->at++;
    bool negated = peek(r) == '^';
    r->at += negated;
    while (peek(r) != ']') {
        uint32_t low, high;
        FR_TRY(character(r, &low));
        high = low;
        if (peek(r) == '-' && r->at + 1 < r->end && r->at[1] != ']') {
            r->at++;
            FR_TRY(character(r, &high));
        }
        if (high < low) return bad(r, "a range of characters ends before it begins");
        if (r->range_count == MOST_RANGES) return bad(r, "a class has too many parts");
        FR_TRY(add_range(r, low, high));
    }
    r->at++;
    return class_of(r, negated, out);
}

static fr_status read_literal(reader *r, fr_expr **out) {
    r->at++;
    fr_expr *all = *out = new_expr(r, FR_EXPR_ALL);
    if (!all) return FR_NOMEM;
    while (peek(r) != '"') {
        uint32_t c;
        fr_expr *one;
        FR_TRY(character(r, &c));
        FR_TRY(add_range(r, c, c));
        FR_TRY(class_of(r, false, &one));
        adopt(all, one);
    }
    r->at++;
    return FR_OK;
}

/* ---- rules ---- */

/* Names are looked for among all: grammars have tens of rules, those of large schemas some thousands. */
static fr_status rule_named(reader *r, int32_t *out) {
    const char *begin = r->at;
    fr_grammar *g = r->g;
    while (is_name(peek(r))) r->at++;
    size_t n = (size_t)(r->at - begin);
    for (size_t i = 0; i < g->rule_count; i++)
        if (!strncmp(g->rules[i].name, begin, n) && !g->rules[i].name[n]) {
            *out = (int32_t)i;
            return FR_OK;
        }
    if (g->rule_count == MOST_RULES) return bad(r, "there are too many rules");
    FR_TRY(fr_grow((void **)&g->rules, &g->rule_cap, g->rule_count + 1, sizeof *g->rules));
    char *name = fr_arena_alloc(g->arena, n + 1);
    if (!name) return FR_NOMEM;
    memcpy(name, begin, n);
    *out = (int32_t)g->rule_count;
    g->rules[g->rule_count++] = (fr_rule){.name = name, .line = r->line};
    return FR_OK;
}

static fr_status read_any(reader *r, bool nested, fr_expr **out);

static fr_status read_group(reader *r, fr_expr **out) {
    if (++r->depth > MOST_DEEP) return bad(r, "groups are nested too deep");
    r->at++;
    skip(r, true);
    FR_TRY(read_any(r, true, out));
    if (peek(r) != ')') return bad(r, "a group wants its )");
    r->at++;
    r->depth--;
    return FR_OK;
}

static fr_status read_one(reader *r, fr_expr **out) {
    char c = peek(r);
    if (c == '"') return read_literal(r, out);
    if (c == '[') return read_class(r, out);
    if (c == '(') return read_group(r, out);
    if (c == '.') {
        r->at++;
        return class_of(r, true, out);
    }
    if (!is_name(c)) return bad(r, "neither text, class, group, nor rule");
    if (!(*out = new_expr(r, FR_EXPR_RULE))) return FR_NOMEM;
    return rule_named(r, &(*out)->rule);
}

static fr_status read_number(reader *r, int32_t *out) {
    if (!(peek(r) >= '0' && peek(r) <= '9')) return bad(r, "a repetition wants a number");
    *out = 0;
    while (peek(r) >= '0' && peek(r) <= '9') {
        *out = 10 * *out + (*r->at++ - '0');
        if (*out > MOST_TIMES) return bad(r, "a repetition has more than 100000 times");
    }
    return FR_OK;
}

/* {m} {m,} {m,n} {,n} */
static fr_status read_times(reader *r, int32_t *least, int32_t *most) {
    r->at++;
    *least = 0;
    skip(r, false);
    if (peek(r) != ',') FR_TRY(read_number(r, least));
    *most = *least;
    skip(r, false);
    if (peek(r) == ',') {
        r->at++;
        skip(r, false);
        *most = -1;
        if (peek(r) != '}') FR_TRY(read_number(r, most));
        skip(r, false);
    }
    if (peek(r) != '}') return bad(r, "a repetition wants its }");
    r->at++;
    if (*most >= 0 && *most < *least) return bad(r, "a repetition ends before it begins");
    return FR_OK;
}

static fr_status repeated(reader *r, fr_expr **e) {
    for (int deep = 0;; deep++) {
        int32_t least = 0, most = -1;
        char c = peek(r);
        if (c != '*' && c != '+' && c != '?' && c != '{') return FR_OK;
        if (deep == MOST_DEEP) return bad(r, "repetitions are nested too deep");
        if (c == '{') {
            FR_TRY(read_times(r, &least, &most));
        } else {
            r->at++;
            least = c == '+';
            most = c == '?' ? 1 : -1;
        }
        fr_expr *outer = new_expr(r, FR_EXPR_REPEAT);
        if (!outer) return FR_NOMEM;
        outer->least = least;
        outer->most = most;
        adopt(outer, *e);
        *e = outer;
    }
}

static bool ends_sequence(char c) {
    return !c || c == '|' || c == ')' || c == '\n';
}

static fr_status read_all(reader *r, bool nested, fr_expr **out) {
    fr_expr *all = *out = new_expr(r, FR_EXPR_ALL);
    if (!all) return FR_NOMEM;
    for (skip(r, nested); !ends_sequence(peek(r)); skip(r, nested)) {
        fr_expr *one;
        FR_TRY(read_one(r, &one));
        FR_TRY(repeated(r, &one));
        adopt(all, one);
    }
    return FR_OK;
}

/* A line that begins with | goes on with the rule above. */
static bool goes_on(reader *r) {
    reader ahead = *r;
    skip(&ahead, true);
    if (peek(&ahead) != '|') return false;
    r->at = ahead.at + 1;
    r->line = ahead.line;
    skip(r, true);
    return true;
}

static fr_status read_any(reader *r, bool nested, fr_expr **out) {
    fr_expr *any = *out = new_expr(r, FR_EXPR_ANY);
    if (!any) return FR_NOMEM;
    do {
        fr_expr *all;
        FR_TRY(read_all(r, nested, &all));
        adopt(any, all);
    } while (goes_on(r));
    return FR_OK;
}

static fr_status read_rule(reader *r) {
    int32_t rule;
    if (!is_name(peek(r))) return bad(r, "a rule wants a name");
    FR_TRY(rule_named(r, &rule));
    skip(r, false);
    if (r->end - r->at < 3 || memcmp(r->at, "::=", 3) != 0)
        return bad(r, "behind the name of a rule stands ::=");
    r->at += 3;
    if (r->g->rules[rule].body) return bad(r, "the rule was there before");
    skip(r, true);
    fr_expr *body;
    FR_TRY(read_any(r, false, &body));
    r->g->rules[rule].body = body;
    if (peek(r) && peek(r) != '\n') return bad(r, "a rule ends with its line");
    return FR_OK;
}

static fr_status read_rules(reader *r) {
    if (r->end - r->at > MOST_TEXT || memchr(r->at, 0, (size_t)(r->end - r->at)))
        return fr_fail(FR_FORMAT, "%s is no grammar: it is too long or holds a zero byte.",
                       r->g->name);
    for (skip(r, true); r->at < r->end; skip(r, true)) FR_TRY(read_rule(r));
    r->g->root = -1;
    for (size_t i = 0; i < r->g->rule_count; i++) {
        const fr_rule *rule = &r->g->rules[i];
        if (!rule->body)
            return fr_fail(FR_FORMAT, "%s, line %d: the rule %s is not defined.", r->g->name,
                           rule->line, rule->name);
        if (!strcmp(rule->name, "root")) r->g->root = (int32_t)i;
    }
    if (r->g->root < 0) return fr_fail(FR_FORMAT, "%s has no rule named root.", r->g->name);
    return FR_OK;
}

fr_status fr_grammar_parse(const char *text, size_t bytes, const char *name, fr_grammar **out) {
    *out = NULL;
    fr_grammar *g = fr_alloc(FR_MEM_OTHER, sizeof *g);
    if (!g) return FR_NOMEM;
    g->arena = fr_arena_new();
    if (g->arena) g->name = fr_arena_strdup(g->arena, name);
    reader r = {.g = g, .at = text, .end = text + bytes, .line = 1};
    fr_status st = g->arena && g->name ? read_rules(&r) : FR_NOMEM;
    fr_free(r.ranges);
    if (!st) st = fr_grammar_link(g);
    if (st)
        fr_grammar_free(g);
    else
        *out = g;
    return st;
}

void fr_grammar_free(fr_grammar *g) {
    if (!g) return;
    fr_arena_free(g->arena);
    fr_free(g->rules);
    fr_free(g->nodes);
    fr_free(g->edges);
    fr_free(g);
}
