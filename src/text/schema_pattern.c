/* schema_pattern.c: a regular expression (of ECMA 262, as JSON schemas have it) as an expression of a grammar, over the
 * characters as they stand in a JSON string: a quote and a backslash have one before them. Taken are texts, classes,
 * groups, alternatives, repetitions, ^ at the beginning and $ at the end; looking around, references back and names
 * of properties are refused. */
#include <string.h>

#include <utf8proc.h>

#include "text/schema.h"

enum { MOST_DEEP = 60 };

typedef struct pattern {
    const char *at, *all, *where;
    fr_growing *out;
    int depth;
} pattern;

/* Bits of the characters to U+007F; others are written as they stand. */
typedef struct set {
    uint64_t ascii[2];
    fr_growing more; /* ranges above */
    bool negated;
} set;

static fr_status no(const pattern *p, const char *what) {
    return fr_fail(FR_UNSUPPORTED, "%s: %s in the pattern \"%.100s\", at its byte %d.", p->where,
                   what, p->all, (int)(p->at - p->all) + 1);
}

static void put(set *s, uint32_t low, uint32_t high) {
    for (uint32_t c = low; c <= high && c < 128; c++) s->ascii[c / 64] |= (uint64_t)1 << c % 64;
    if (high >= 128)
        fr_growing_add(&s->more, "\\U%08X-\\U%08X", (unsigned)FR_MAX_OF(low, 128u), (unsigned)high);
}

static void put_kind(set *s, char kind) {
    for (uint32_t c = 0; c < 128; c++) {
        bool digit = c >= '0' && c <= '9', space = c == ' ' || (c >= 9 && c <= 13);
        bool word = digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool in = kind == 'd' || kind == 'D' ? digit : kind == 'w' || kind == 'W' ? word : space;
        if (in != (kind == 'D' || kind == 'W' || kind == 'S')) put(s, c, c);
    }
    if (kind == 'D' || kind == 'W' || kind == 'S') put(s, 128, 0x10FFFF);
}

static bool has(const set *s, uint32_t c) {
    return (s->ascii[c / 64] >> c % 64 & 1) != s->negated;
}

/* Characters that need no escape, and those that do, one by one. */
static void write_set(pattern *p, set *s) {
    fr_growing *g = p->out;
    fr_growing_add(g, "([%s", s->negated ? "^\\x00-\\x1F\\x7F\"\\\\" : "");
    for (uint32_t c = 0x20; c < 0x7F; c++)
        if (c != '"' && c != '\\' && has(s, c) != s->negated) fr_growing_add(g, "\\x%02X", c);
    fr_growing_add(g, "%s]", s->more.text ? s->more.text : "");
    if (has(s, '"')) fr_growing_add(g, " | \"\\\\\\\"\"");
    if (has(s, '\\')) fr_growing_add(g, " | \"\\\\\\\\\"");
    if (has(s, '\n')) fr_growing_add(g, " | \"\\\\n\"");
    if (has(s, '\t')) fr_growing_add(g, " | \"\\\\t\"");
    fr_growing_add(g, ")");
    if (s->more.st && !g->st) g->st = s->more.st;
    fr_growing_free(&s->more);
}

static fr_status read_hex(pattern *p, int digits, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        const char *hex = "0123456789abcdef", *at = *p->at ? strchr(hex, *p->at | 0x20) : NULL;
        if (!at) return no(p, "an escape wants more digits");
        *out = *out << 4 | (uint32_t)(at - hex);
    }
    if (*out >= 0xD800 && *out < 0xE000) return no(p, "half a character is not supported");
    return FR_OK;
}

/* Behind a backslash: a character, or a kind of them. */
static fr_status read_escape(pattern *p, set *s, uint32_t *c, bool *kind) {
    char e = *p->at;
    *kind = e && strchr("dDwWsS", e);
    *c = (uint8_t)e;
    if (!e || (uint8_t)e >= 128) return no(p, "there is a backslash without its character");
    p->at++;
    if (*kind) put_kind(s, e);
    if (e == 'n') *c = '\n';
    if (e == 't') *c = '\t';
    if (e == 'r' || e == 'f' || e == 'v') *c = 0x0D;
    if (e == 'x') return read_hex(p, 2, c);
    if (e == 'u') return read_hex(p, 4, c);
    if (strchr("bBkpPc0123456789", e)) return no(p, "this escape is not supported");
    return FR_OK;
}

static fr_status read_char(pattern *p, set *s, uint32_t *c, bool *kind) {
    *kind = false;
    if (*p->at == '\\') {
        p->at++;
        return read_escape(p, s, c, kind);
    }
    utf8proc_int32_t v;
    utf8proc_ssize_t n = utf8proc_iterate((const uint8_t *)p->at, -1, &v);
    if (n < 1) return no(p, "there is no valid UTF-8");
    p->at += n;
    *c = (uint32_t)v;
    return FR_OK;
}

static fr_status read_parts(pattern *p, set *s) {
    if (*p->at == '^') {
        s->negated = true;
        p->at++;
    }
    while (*p->at != ']') {
        uint32_t low, high;
        bool kind, other = false;
        if (!*p->at) return no(p, "a class wants its ]");
        FR_TRY(read_char(p, s, &low, &kind));
        high = low;
        if (!kind && *p->at == '-' && p->at[1] != ']') {
            p->at++;
            FR_TRY(read_char(p, s, &high, &other));
        }
        if (other || high < low) return no(p, "a range ends before it begins");
        if (!kind) put(s, low, high);
    }
    p->at++;
    return FR_OK;
}

static fr_status read_set(pattern *p) {
    set s = {0};
    p->at++;
    fr_status st = read_parts(p, &s);
    write_set(p, &s);
    return st;
}

static fr_status read_any(pattern *p);

static fr_status read_group(pattern *p) {
    p->at++;
    if (*p->at == '?') {
        if (p->at[1] != ':') return no(p, "a group of this kind is not supported");
        p->at += 2;
    }
    if (++p->depth > MOST_DEEP) return no(p, "groups are nested too deep");
    fr_growing_add(p->out, "(");
    FR_TRY(read_any(p));
    fr_growing_add(p->out, ")");
    if (*p->at != ')') return no(p, "a group wants its )");
    p->at++;
    p->depth--;
    return FR_OK;
}

static fr_status read_one(pattern *p) {
    set s = {0};
    uint32_t c;
    bool kind;
    if (*p->at == '[') return read_set(p);
    if (*p->at == '(') return read_group(p);
    if (strchr("*+?{}^$", *p->at)) return no(p, "this is not supported here");
    if (*p->at == '.') {
        p->at++;
        s.negated = true;
        put(&s, '\n', '\n');
    } else {
        fr_status st = read_char(p, &s, &c, &kind);
        if (st) {
            fr_growing_free(&s.more);
            return st;
        }
        if (!kind) put(&s, c, c);
    }
    write_set(p, &s);
    return FR_OK;
}

/* The notation of repetitions is the same, but for the lazy ones, which are the same texts. */
static void read_times(pattern *p) {
    size_t n = 0;
    if (*p->at && strchr("*+?", *p->at)) n = 1;
    if (*p->at == '{') {
        n = 1 + strspn(p->at + 1, "0123456789,");
        n += p->at[n] == '}';
    }
    if (!n) return;
    fr_growing_add(p->out, "%.*s", (int)n, p->at);
    p->at += n;
    if (*p->at == '?') p->at++;
}

static fr_status read_all(pattern *p) {
    fr_growing_add(p->out, "\"\"");
    while (*p->at && *p->at != '|' && *p->at != ')') {
        if (*p->at == '$' && !p->at[1]) {
            p->at++;
            return FR_OK;
        }
        fr_growing_add(p->out, " ");
        FR_TRY(read_one(p));
        read_times(p);
    }
    return FR_OK;
}

static fr_status read_any(pattern *p) {
    FR_TRY(read_all(p));
    while (*p->at == '|') {
        p->at++;
        fr_growing_add(p->out, " | ");
        FR_TRY(read_all(p));
    }
    return FR_OK;
}

fr_status fr_schema_pattern(fr_growing *out, const char *text, const char *where) {
    pattern p = {.at = text, .all = text, .where = where, .out = out};
    size_t n = strlen(text);
    bool begin = text[0] == '^', end = n && text[n - 1] == '$' && (n < 2 || text[n - 2] != '\\');
    /* ^a|b$ binds its ends to one alternative each: only groups make that clear. */
    bool bare = false;
    for (int depth = 0; *text; text++) {
        if (*text == '\\' && text[1])
            text++;
        else if (*text == '(')
            depth++;
        else if (*text == ')')
            depth--;
        else if (*text == '|' && !depth)
            bare = true;
    }
    if (bare && (begin || end)) return no(&p, "alternatives beside ^ or $ stand in no group");
    p.at += begin;
    fr_growing_add(out, begin ? "(" : "(char* (");
    FR_TRY(read_any(&p));
    fr_growing_add(out, begin ? ")" : "))");
    if (!end) fr_growing_add(out, " char*");
    return *p.at ? no(&p, "there is a ) too many") : out->st;
}
