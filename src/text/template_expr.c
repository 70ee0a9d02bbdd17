/* template_expr.c: expressions of templates, by precedence, as Jinja has it: filters and tests bind more closely than
 * any operator between two values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/template_read.h"

enum { MOST_DEEP = 100 };

/* ---- words and marks ---- */

void fr_template_skip(fr_template_reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n')) r->at++;
}

static bool is_name(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

bool fr_template_peek(fr_template_reader *r, const char *mark) {
    size_t n = strlen(mark);
    fr_template_skip(r);
    return (size_t)(r->end - r->at) >= n && !memcmp(r->at, mark, n);
}

/* A minus before the end of a bracket belongs to that. */
static bool is_end(const fr_template_reader *r) {
    return r->end - r->at >= 3 && (!memcmp(r->at + 1, "%}", 2) || !memcmp(r->at + 1, "}}", 2)) &&
           (*r->at == '-' || *r->at == '+');
}

bool fr_template_mark(fr_template_reader *r, const char *mark) {
    if (!fr_template_peek(r, mark) || is_end(r)) return false;
    size_t n = strlen(mark);
    char next = r->at + n < r->end ? r->at[n] : 0;
    /* Longer marks that begin so. */
    if (n == 1 && next == '=' && strchr("=<>", *mark)) return false;
    if (n == 1 && (*mark == '*' || *mark == '/') && next == *mark) return false;
    if (n == 1 && *mark == '%' && next == '}') return false;
    r->at += n;
    return true;
}

bool fr_template_word(fr_template_reader *r, const char *word) {
    size_t n = strlen(word);
    if (!fr_template_peek(r, word)) return false;
    if (r->at + n < r->end && is_name(r->at[n], false)) return false;
    r->at += n;
    return true;
}

fr_status fr_template_name(fr_template_reader *r, const char **out) {
    fr_template_skip(r);
    const char *begin = r->at;
    if (r->at == r->end || !is_name(*r->at, true))
        return fr_template_bad(r, "here should stand a name", NULL);
    while (r->at < r->end && is_name(*r->at, false)) r->at++;
    char *name = fr_arena_alloc(r->t->arena, (size_t)(r->at - begin) + 1);
    if (!name) return FR_NOMEM;
    memcpy(name, begin, (size_t)(r->at - begin));
    *out = name;
    return FR_OK;
}

/* ---- values ---- */

static size_t put_utf8(uint32_t c, char *out) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | c);
    return n;
}

/* Behind a backslash; the bytes that stand for it. */
static size_t unescape(fr_template_reader *r, char *out) {
    char c = *r->at++;
    const char *plain = "n\nt\tr\rb\bf\fv\va\a\\\\'\'\"\"";
    for (const char *p = plain; *p; p += 2)
        if (*p == c) {
            *out = p[1];
            return 1;
        }
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    char hex[9] = {0};
    for (int i = 0; i < digits && r->at + i < r->end; i++) hex[i] = r->at[i];
    if (digits && (int)strspn(hex, "0123456789abcdefABCDEF") == digits) {
        uint32_t v = (uint32_t)strtoul(hex, NULL, 16);
        r->at += digits;
        return put_utf8(v > 0x10FFFF || (v >= 0xD800 && v < 0xE000) ? 0xFFFD : v, out);
    }
    out[0] = '\\';
    out[1] = c;
    return 2;
}

static fr_status read_text(fr_template_reader *r, fr_node *n) {
    char quote = *r->at++, *out = fr_arena_alloc(r->t->arena, (size_t)(r->end - r->at) + 1);
    const char *begin = r->at;
    size_t bytes = 0;
    if (!out) return FR_NOMEM;
    while (r->at < r->end && *r->at != quote) {
        if (*r->at == '\\' && r->at + 1 < r->end) {
            r->at++;
            bytes += unescape(r, out + bytes);
        } else {
            out[bytes++] = *r->at++;
        }
    }
    if (r->at == r->end) {
        r->at = begin;
        return fr_template_bad(r, "a text has no end", NULL);
    }
    r->at++;
    n->value = fr_value_text(out, bytes);
    return FR_OK;
}

/* A text in quotes takes the room to the end of the template at first: bounded by its length. */
static fr_status text_value(fr_template_reader *r, fr_node *n) {
    const char *p = r->at + 1;
    while (p < r->end && *p != *r->at) p += *p == '\\' ? 2 : 1;
    fr_template_reader part = *r;
    if (p < r->end) part.end = p + 1;
    FR_TRY(read_text(&part, n));
    r->at = part.at;
    return FR_OK;
}

static fr_status number_value(fr_template_reader *r, fr_node *n) {
    char text[64];
    size_t k = 0;
    bool whole = true;
    while (r->at < r->end && k < sizeof text - 1) {
        char c = *r->at;
        bool point = c == '.' && whole && r->at + 1 < r->end && r->at[1] >= '0' && r->at[1] <= '9';
        bool power = (c == 'e' || c == 'E') && k && text[k - 1] != 'e';
        bool sign = (c == '-' || c == '+') && k && text[k - 1] == 'e';
        if (!(c >= '0' && c <= '9') && c != '_' && !point && !power && !sign) break;
        if (c != '_') text[k++] = power ? 'e' : c;
        if (point || power) whole = false;
        r->at++;
    }
    text[k] = 0;
    if (whole && k > 18) return fr_template_bad(r, "this number has too many digits", NULL);
    n->value = whole ? fr_value_int(strtoll(text, NULL, 10))
                     : (fr_value){.kind = FR_VALUE_FLOAT, .f = strtod(text, NULL)};
    return FR_OK;
}

static fr_status read_list(fr_template_reader *r, const char *end, fr_node *n) {
    while (!fr_template_mark(r, end)) {
        fr_node *item;
        FR_TRY(fr_template_expr(r, &item));
        fr_template_adopt(n, item);
        if (!fr_template_mark(r, ",") && !fr_template_peek(r, end))
            return fr_template_bad(r, "here should stand", end);
    }
    return FR_OK;
}

static fr_status read_dict(fr_template_reader *r, fr_node *n) {
    n->kind = FR_NODE_DICT;
    while (!fr_template_mark(r, "}")) {
        fr_node *key, *value;
        FR_TRY(fr_template_expr(r, &key));
        if (!fr_template_mark(r, ":")) return fr_template_bad(r, "here should stand", ":");
        FR_TRY(fr_template_expr(r, &value));
        fr_template_adopt(n, key);
        fr_template_adopt(n, value);
        if (!fr_template_mark(r, ",") && !fr_template_peek(r, "}"))
            return fr_template_bad(r, "here should stand", "}");
    }
    return FR_OK;
}

static fr_status read_named(fr_template_reader *r, fr_node *n) {
    FR_TRY(fr_template_name(r, &n->text));
    const char *w = n->text;
    bool truth = !strcmp(w, "true") || !strcmp(w, "True");
    n->kind = FR_NODE_CONST;
    if (truth || !strcmp(w, "false") || !strcmp(w, "False"))
        n->value = fr_value_bool(truth);
    else if (!strcmp(w, "none") || !strcmp(w, "None"))
        n->value = (fr_value){.kind = FR_VALUE_NONE};
    else
        n->kind = FR_NODE_NAME;
    return FR_OK;
}

static fr_status read_primary(fr_template_reader *r, fr_node **out) {
    fr_template_skip(r);
    fr_node *n = *out = fr_template_node(r, FR_NODE_CONST);
    if (!n) return FR_NOMEM;
    char c = r->at < r->end ? *r->at : 0;
    if (c == '"' || c == '\'') return text_value(r, n);
    if (c >= '0' && c <= '9') return number_value(r, n);
    if (is_name(c, true)) return read_named(r, n);
    if (c == '[') {
        r->at++;
        n->kind = FR_NODE_LIST;
        return read_list(r, "]", n);
    }
    if (c == '{') {
        r->at++;
        return read_dict(r, n);
    }
    if (c != '(') return fr_template_bad(r, "here should stand a value", NULL);
    r->at++;
    if (fr_template_mark(r, ")")) {
        n->kind = FR_NODE_LIST;
        return FR_OK;
    }
    FR_TRY(fr_template_tuple(r, out));
    return fr_template_mark(r, ")") ? FR_OK : fr_template_bad(r, "here should stand", ")");
}

/* ---- what stands behind a value ---- */

static fr_status read_args(fr_template_reader *r, fr_node *n) {
    while (!fr_template_mark(r, ")")) {
        fr_node *arg, *named = fr_template_node(r, FR_NODE_NAME);
        fr_template_reader before = *r;
        const char *name = NULL;
        if (!named) return FR_NOMEM;
        fr_template_skip(r);
        if (r->at < r->end && is_name(*r->at, true)) FR_TRY(fr_template_name(r, &name));
        if (!name || !fr_template_mark(r, "=")) {
            r->at = before.at;
            name = NULL;
        }
        if (fr_template_peek(r, "*"))
            return fr_template_bad(r, "arguments with * are not supported", NULL);
        FR_TRY(fr_template_expr(r, &arg));
        named->a = arg;
        named->text = name;
        fr_template_adopt(n, named);
        if (!fr_template_mark(r, ",") && !fr_template_peek(r, ")"))
            return fr_template_bad(r, "here should stand", ")");
    }
    return FR_OK;
}

static fr_status read_subscript(fr_template_reader *r, fr_node *n) {
    fr_node *part[3] = {NULL};
    int colons = 0;
    for (;;) {
        if (!fr_template_peek(r, ":") && !fr_template_peek(r, "]"))
            FR_TRY(fr_template_expr(r, &part[colons]));
        if (colons < 2 && fr_template_mark(r, ":"))
            colons++;
        else
            break;
    }
    if (!fr_template_mark(r, "]")) return fr_template_bad(r, "here should stand", "]");
    n->kind = colons ? FR_NODE_SLICE : FR_NODE_ITEM;
    if (!colons && !part[0]) return fr_template_bad(r, "here should stand a value", NULL);
    n->b = part[0];
    n->c = part[1];
    n->other = part[2];
    return FR_OK;
}

static fr_status read_postfix(fr_template_reader *r, fr_node **e) {
    for (;;) {
        fr_node *n = fr_template_node(r, FR_NODE_ATTR);
        if (!n) return FR_NOMEM;
        n->a = *e;
        if (fr_template_mark(r, ".")) {
            fr_template_skip(r);
            if (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
                n->kind = FR_NODE_ITEM;
                if (!(n->b = fr_template_node(r, FR_NODE_CONST))) return FR_NOMEM;
                FR_TRY(number_value(r, n->b));
            } else {
                FR_TRY(fr_template_name(r, &n->text));
            }
        } else if (fr_template_mark(r, "[")) {
            FR_TRY(read_subscript(r, n));
        } else if (fr_template_mark(r, "(")) {
            n->kind = FR_NODE_CALL;
            FR_TRY(read_args(r, n));
        } else {
            return FR_OK;
        }
        *e = n;
    }
}

/* A test may have one argument without brackets. */
static bool argument_follows(fr_template_reader *r) {
    static const char *const others[] = {"else", "or", "and", "is", "if", "in", "not"};
    fr_template_skip(r);
    char c = r->at < r->end ? *r->at : 0;
    for (size_t i = 0; i < FR_COUNT(others); i++) {
        fr_template_reader ahead = *r;
        if (fr_template_word(&ahead, others[i])) return false;
    }
    return is_name(c, true) || (c >= '0' && c <= '9') || c == '"' || c == '\'' || c == '[' ||
           c == '{';
}

static fr_status read_test(fr_template_reader *r, fr_node **e) {
    bool negated = fr_template_word(r, "not");
    fr_node *n = fr_template_node(r, FR_NODE_TEST), *arg;
    if (!n) return FR_NOMEM;
    n->a = *e;
    FR_TRY(fr_template_name(r, &n->text));
    if (fr_template_mark(r, "(")) {
        FR_TRY(read_args(r, n));
    } else if (argument_follows(r)) {
        fr_node *holder = fr_template_node(r, FR_NODE_NAME);
        if (!holder) return FR_NOMEM;
        FR_TRY(read_primary(r, &arg));
        FR_TRY(read_postfix(r, &arg));
        holder->a = arg;
        fr_template_adopt(n, holder);
    }
    *e = n;
    if (!negated) return FR_OK;
    if (!(*e = fr_template_node(r, FR_NODE_UNARY))) return FR_NOMEM;
    (*e)->op = FR_OP_NOT;
    (*e)->a = n;
    return FR_OK;
}

static fr_status read_filters(fr_template_reader *r, fr_node **e) {
    for (;;) {
        if (fr_template_mark(r, "|")) {
            fr_node *n = fr_template_node(r, FR_NODE_FILTER);
            if (!n) return FR_NOMEM;
            n->a = *e;
            FR_TRY(fr_template_name(r, &n->text));
            if (fr_template_mark(r, "(")) FR_TRY(read_args(r, n));
            *e = n;
        } else if (fr_template_word(r, "is")) {
            FR_TRY(read_test(r, e));
        } else if (fr_template_mark(r, "(")) {
            fr_node *n = fr_template_node(r, FR_NODE_CALL);
            if (!n) return FR_NOMEM;
            n->a = *e;
            FR_TRY(read_args(r, n));
            *e = n;
        } else {
            return FR_OK;
        }
    }
}

/* ---- operators ---- */

static fr_status unary(fr_template_reader *r, bool filters, fr_node **out) {
    fr_template_op op = fr_template_mark(r, "-")   ? FR_OP_NEG
                        : fr_template_mark(r, "+") ? FR_OP_POS
                                                   : FR_OP_NONE;
    if (++r->depth > 4 * MOST_DEEP) return fr_template_bad(r, "it is nested too deep", NULL);
    if (op) {
        fr_node *n = fr_template_node(r, FR_NODE_UNARY);
        if (!n) return FR_NOMEM;
        n->op = op;
        FR_TRY(unary(r, false, &n->a));
        *out = n;
    } else {
        FR_TRY(read_primary(r, out));
    }
    r->depth--;
    FR_TRY(read_postfix(r, out));
    return filters ? read_filters(r, out) : FR_OK;
}

/* From the operators that bind least to those that bind most. */
typedef struct level {
    struct {
        const char *mark;
        fr_template_op op;
    } ops[4];
} level;
static const level levels[] = {
    {{{"+", FR_OP_ADD}, {"-", FR_OP_SUB}}},
    {{{"~", FR_OP_CAT}}},
    {{{"*", FR_OP_MUL}, {"//", FR_OP_FLOOR}, {"/", FR_OP_DIV}, {"%", FR_OP_MOD}}},
    {{{"**", FR_OP_POW}}},
};

static fr_node *join(fr_template_reader *r, fr_template_op op, fr_node *a, fr_node *b) {
    fr_node *n = fr_template_node(r, FR_NODE_BINARY);
    if (!n) return NULL;
    n->op = op;
    n->a = a;
    n->b = b;
    return n;
}

static fr_status arithmetic(fr_template_reader *r, size_t at, fr_node **out) {
    if (at == FR_COUNT(levels)) return unary(r, true, out);
    FR_TRY(arithmetic(r, at + 1, out));
    for (;;) {
        fr_template_op op = FR_OP_NONE;
        for (int i = 0; i < 4 && levels[at].ops[i].mark && !op; i++)
            if (fr_template_mark(r, levels[at].ops[i].mark)) op = levels[at].ops[i].op;
        if (!op) return FR_OK;
        fr_node *right;
        FR_TRY(arithmetic(r, at + 1, &right));
        if (!(*out = join(r, op, *out, right))) return FR_NOMEM;
        if (++r->chain > 10000) return fr_template_bad(r, "this expression is too long", NULL);
    }
}

static fr_template_op comparison(fr_template_reader *r) {
    fr_template_reader before = *r;
    if (fr_template_mark(r, "==")) return FR_OP_EQ;
    if (fr_template_mark(r, "!=")) return FR_OP_NE;
    if (fr_template_mark(r, "<=")) return FR_OP_LE;
    if (fr_template_mark(r, ">=")) return FR_OP_GE;
    if (fr_template_mark(r, "<")) return FR_OP_LT;
    if (fr_template_mark(r, ">")) return FR_OP_GT;
    if (fr_template_word(r, "in")) return FR_OP_IN;
    if (fr_template_word(r, "not") && fr_template_word(r, "in")) return FR_OP_NOT_IN;
    *r = before;
    return FR_OP_NONE;
}

/* a < b < c is a < b and b < c. */
static fr_status compare(fr_template_reader *r, fr_node **out) {
    fr_node *left, *right;
    fr_template_op op;
    FR_TRY(arithmetic(r, 0, out));
    left = *out;
    for (bool first = true; (op = comparison(r)); first = false) {
        FR_TRY(arithmetic(r, 0, &right));
        fr_node *one = join(r, op, left, right);
        *out = first || !one ? one : join(r, FR_OP_AND, *out, one);
        if (!*out) return FR_NOMEM;
        left = right;
        if (++r->chain > 10000) return fr_template_bad(r, "this expression is too long", NULL);
    }
    return FR_OK;
}

static fr_status negation(fr_template_reader *r, fr_node **out) {
    if (!fr_template_word(r, "not")) return compare(r, out);
    fr_node *n = *out = fr_template_node(r, FR_NODE_UNARY);
    if (!n) return FR_NOMEM;
    n->op = FR_OP_NOT;
    if (++r->depth > 4 * MOST_DEEP) return fr_template_bad(r, "it is nested too deep", NULL);
    FR_TRY(negation(r, &n->a));
    r->depth--;
    return FR_OK;
}

static fr_status both(fr_template_reader *r, fr_node **out) {
    FR_TRY(negation(r, out));
    while (fr_template_word(r, "and")) {
        fr_node *right;
        FR_TRY(negation(r, &right));
        if (!(*out = join(r, FR_OP_AND, *out, right))) return FR_NOMEM;
        if (++r->chain > 10000) return fr_template_bad(r, "this expression is too long", NULL);
    }
    return FR_OK;
}

fr_status fr_template_expr_no_if(fr_template_reader *r, fr_node **out) {
    if (++r->depth > 4 * MOST_DEEP) return fr_template_bad(r, "it is nested too deep", NULL);
    FR_TRY(both(r, out));
    while (fr_template_word(r, "or")) {
        fr_node *right;
        FR_TRY(both(r, &right));
        if (!(*out = join(r, FR_OP_OR, *out, right))) return FR_NOMEM;
        if (++r->chain > 10000) return fr_template_bad(r, "this expression is too long", NULL);
    }
    r->depth--;
    return FR_OK;
}

fr_status fr_template_expr(fr_template_reader *r, fr_node **out) {
    FR_TRY(fr_template_expr_no_if(r, out));
    while (fr_template_word(r, "if")) {
        fr_node *n = fr_template_node(r, FR_NODE_COND);
        if (!n) return FR_NOMEM;
        n->b = *out;
        FR_TRY(fr_template_expr_no_if(r, &n->a));
        if (++r->depth > 4 * MOST_DEEP) return fr_template_bad(r, "it is nested too deep", NULL);
        if (fr_template_word(r, "else")) FR_TRY(fr_template_expr(r, &n->c));
        r->depth--;
        *out = n;
    }
    return FR_OK;
}

fr_status fr_template_tuple(fr_template_reader *r, fr_node **out) {
    FR_TRY(fr_template_expr(r, out));
    if (!fr_template_peek(r, ",")) return FR_OK;
    fr_node *n = fr_template_node(r, FR_NODE_LIST);
    if (!n) return FR_NOMEM;
    fr_template_adopt(n, *out);
    while (fr_template_mark(r, ",")) {
        if (fr_template_peek(r, ")") || fr_template_peek(r, "%}")) break;
        fr_node *item;
        FR_TRY(fr_template_expr(r, &item));
        fr_template_adopt(n, item);
    }
    *out = n;
    return FR_OK;
}
