/* template_read.c: the text of a template becomes a tree of statements, with Jinja's rules for the spaces around its
 * brackets. Expressions are read by template_expr.c. */
#include <string.h>

#include "text/template_read.h"

enum { MOST_TEXT = 1 << 20, MOST_DEEP = 64 };

fr_status fr_template_bad(const fr_template_reader *r, const char *what, const char *word) {
    int32_t line = 1;
    for (const char *p = r->text; p < r->at; p++) line += *p == '\n';
    return fr_fail(FR_UNSUPPORTED, "%s, line %d: %s%s%s.", r->t->name, line, what, word ? " " : "",
                   word ? word : "");
}

fr_node *fr_template_node(fr_template_reader *r, fr_node_kind kind) {
    fr_node *n = fr_arena_alloc(r->t->arena, sizeof *n);
    if (!n) return NULL;
    n->kind = kind;
    for (; r->counted < r->at; r->counted++) r->line += *r->counted == '\n';
    n->line = r->line;
    return n;
}

void fr_template_adopt(fr_node *parent, fr_node *child) {
    if (parent->last)
        parent->last->next = child;
    else
        parent->body = child;
    parent->last = child;
}

/* ---- brackets ---- */

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* The next {{ {% {# */
static const char *find_open(const fr_template_reader *r) {
    for (const char *p = r->at; p + 1 < r->end; p++)
        if (*p == '{' && (p[1] == '{' || p[1] == '%' || p[1] == '#')) return p;
    return r->end;
}

/* Where the text before a bracket ends: without white space at "{%-", without the blanks of its line at "{%". */
static const char *text_end(const fr_template_reader *r, const char *open) {
    const char *end = open;
    char mark = open + 2 < r->end ? open[2] : 0;
    if (open == r->end) return end;
    if (mark == '-') {
        while (end > r->at && is_space(end[-1])) end--;
        return end;
    }
    if (open[1] == '{' || mark == '+') return end;
    while (end > r->at && (end[-1] == ' ' || end[-1] == '\t')) end--;
    bool whole = end > r->at ? end[-1] == '\n' : r->line_start;
    return whole ? end : open;
}

static fr_status add_text(fr_template_reader *r, fr_node *parent, const char *end) {
    if (end <= r->at) return FR_OK;
    fr_node *n = fr_template_node(r, FR_NODE_TEXT);
    if (!n) return FR_NOMEM;
    n->text = r->at;
    n->bytes = (size_t)(end - r->at);
    fr_template_adopt(parent, n);
    return FR_OK;
}

/* Behind the end of a bracket: "-" takes all white space, a statement one line end. */
static void after(fr_template_reader *r, bool trim, bool statement) {
    r->line_start = false;
    if (trim)
        while (r->at < r->end && is_space(*r->at)) r->at++;
    else if (statement && r->at < r->end && *r->at == '\n') {
        r->at++;
        r->line_start = true;
    }
    if (trim && r->at > r->text) r->line_start = r->at[-1] == '\n';
}

static fr_status close_bracket(fr_template_reader *r, const char *end) {
    fr_template_skip(r);
    bool trim = r->at < r->end && *r->at == '-', keep = r->at < r->end && *r->at == '+';
    const char *p = r->at + (trim || keep);
    if (r->end - p < 2 || memcmp(p, end, 2) != 0)
        return fr_template_bad(r, "here should stand", end);
    r->at = p + 2;
    after(r, trim, *end == '%' && !keep);
    return FR_OK;
}

static fr_status skip_comment(fr_template_reader *r) {
    const char *p = r->at + 2;
    while (p + 1 < r->end && !(p[0] == '#' && p[1] == '}')) p++;
    if (p + 1 >= r->end) return fr_template_bad(r, "a comment has no end", NULL);
    r->at = p + 2;
    after(r, p[-1] == '-', p[-1] != '+');
    return FR_OK;
}

/* ---- statements ---- */

static fr_status read_body(fr_template_reader *r, fr_node *parent, const char *const *ends,
                           const char **which);

/* Names, one or several; of a namespace with a point. */
static fr_status read_targets(fr_template_reader *r, fr_node *n, bool points) {
    n->b = fr_template_node(r, FR_NODE_LIST);
    if (!n->b) return FR_NOMEM;
    bool more, paren = fr_template_mark(r, "(");
    do {
        const char *name;
        FR_TRY(fr_template_name(r, &name));
        fr_node *target = fr_template_node(r, FR_NODE_NAME);
        if (!target) return FR_NOMEM;
        target->text = name;
        if (points && fr_template_mark(r, ".")) {
            fr_node *attr = fr_template_node(r, FR_NODE_ATTR);
            if (!attr) return FR_NOMEM;
            FR_TRY(fr_template_name(r, &attr->text));
            attr->a = target;
            target = attr;
        }
        fr_template_adopt(n->b, target);
        more = fr_template_mark(r, ",");
        n->b->tuple |= more;
    } while (more && !(paren && fr_template_peek(r, ")")));
    if (paren && !fr_template_mark(r, ")")) return fr_template_bad(r, "here should stand", ")");
    return FR_OK;
}

static fr_status read_if(fr_template_reader *r, fr_node *n) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    static const char *const last[] = {"endif", NULL};
    const char *which;
    n->kind = FR_NODE_IF;
    FR_TRY(fr_template_expr(r, &n->a));
    FR_TRY(close_bracket(r, "%}"));
    FR_TRY(read_body(r, n, ends, &which));
    if (!strcmp(which, "elif")) {
        fr_node *chain = fr_template_node(r, FR_NODE_IF);
        n->other = fr_template_node(r, FR_NODE_BLOCK);
        if (!n->other || !chain) return FR_NOMEM;
        fr_template_adopt(n->other, chain);
        if (++r->depth > 4 * MOST_DEEP)
            return fr_template_bad(r, "there are too many branches", NULL);
        FR_TRY(read_if(r, chain));
        r->depth--;
        return FR_OK;
    }
    FR_TRY(close_bracket(r, "%}"));
    if (!strcmp(which, "endif")) return FR_OK;
    if (!(n->other = fr_template_node(r, FR_NODE_BLOCK))) return FR_NOMEM;
    FR_TRY(read_body(r, n->other, last, &which));
    return close_bracket(r, "%}");
}

static fr_status read_for(fr_template_reader *r, fr_node *n) {
    static const char *const ends[] = {"else", "endfor", NULL};
    static const char *const last[] = {"endfor", NULL};
    const char *which;
    n->kind = FR_NODE_FOR;
    FR_TRY(read_targets(r, n, false));
    if (!fr_template_word(r, "in")) return fr_template_bad(r, "here should stand", "in");
    FR_TRY(fr_template_expr_no_if(r, &n->a));
    if (fr_template_word(r, "if")) FR_TRY(fr_template_expr(r, &n->c));
    if (fr_template_word(r, "recursive"))
        return fr_template_bad(r, "loops that call themselves are not supported", NULL);
    FR_TRY(close_bracket(r, "%}"));
    r->loops++;
    FR_TRY(read_body(r, n, ends, &which));
    r->loops--;
    FR_TRY(close_bracket(r, "%}"));
    if (!strcmp(which, "endfor")) return FR_OK;
    if (!(n->other = fr_template_node(r, FR_NODE_BLOCK))) return FR_NOMEM;
    FR_TRY(read_body(r, n->other, last, &which));
    return close_bracket(r, "%}");
}

static fr_status read_set(fr_template_reader *r, fr_node *n) {
    static const char *const ends[] = {"endset", NULL};
    const char *which;
    n->kind = FR_NODE_SET;
    FR_TRY(read_targets(r, n, true));
    if (fr_template_mark(r, "=")) {
        FR_TRY(fr_template_tuple(r, &n->a));
        return close_bracket(r, "%}");
    }
    FR_TRY(close_bracket(r, "%}"));
    FR_TRY(read_body(r, n, ends, &which));
    return close_bracket(r, "%}");
}

static fr_status read_macro(fr_template_reader *r, fr_node *n) {
    static const char *const ends[] = {"endmacro", NULL};
    const char *which;
    int loops = r->loops;
    n->kind = FR_NODE_MACRO;
    FR_TRY(fr_template_name(r, &n->text));
    if (!fr_template_mark(r, "(")) return fr_template_bad(r, "here should stand", "(");
    if (!(n->b = fr_template_node(r, FR_NODE_LIST))) return FR_NOMEM;
    while (!fr_template_mark(r, ")")) {
        fr_node *p = fr_template_node(r, FR_NODE_NAME);
        if (!p) return FR_NOMEM;
        FR_TRY(fr_template_name(r, &p->text));
        if (fr_template_mark(r, "=")) FR_TRY(fr_template_expr(r, &p->a));
        fr_template_adopt(n->b, p);
        if (!fr_template_mark(r, ",") && !fr_template_peek(r, ")"))
            return fr_template_bad(r, "here should stand", ")");
    }
    FR_TRY(close_bracket(r, "%}"));
    r->loops = 0;
    FR_TRY(read_body(r, n, ends, &which));
    r->loops = loops;
    return close_bracket(r, "%}");
}

static fr_status read_statement(fr_template_reader *r, const char *word, fr_node *parent) {
    static const char *const generation[] = {"endgeneration", NULL};
    const char *which;
    fr_node *n = fr_template_node(r, FR_NODE_BLOCK);
    if (!n) return FR_NOMEM;
    fr_template_adopt(parent, n);
    if (!strcmp(word, "if")) return read_if(r, n);
    if (!strcmp(word, "for")) return read_for(r, n);
    if (!strcmp(word, "set")) return read_set(r, n);
    if (!strcmp(word, "macro")) return read_macro(r, n);
    if (!strcmp(word, "break") || !strcmp(word, "continue")) {
        if (!r->loops) return fr_template_bad(r, "there is no loop around", word);
        n->kind = *word == 'b' ? FR_NODE_BREAK : FR_NODE_CONTINUE;
        return close_bracket(r, "%}");
    }
    if (!strcmp(word, "generation")) {
        FR_TRY(close_bracket(r, "%}"));
        FR_TRY(read_body(r, n, generation, &which));
        return close_bracket(r, "%}");
    }
    return fr_template_bad(r, "there is no statement", word);
}

static const char *end_of(const char *word, const char *const *ends) {
    for (; ends && *ends; ends++)
        if (!strcmp(word, *ends)) return *ends;
    return NULL;
}

static fr_status read_print(fr_template_reader *r, fr_node *parent) {
    fr_node *n = fr_template_node(r, FR_NODE_PRINT);
    if (!n) return FR_NOMEM;
    fr_template_adopt(parent, n);
    FR_TRY(fr_template_tuple(r, &n->a));
    return close_bracket(r, "}}");
}

/* Up to one of these statements, behind whose word it stands then; without any, up to the end. */
static fr_status read_body(fr_template_reader *r, fr_node *parent, const char *const *ends,
                           const char **which) {
    if (++r->depth > 4 * MOST_DEEP) return fr_template_bad(r, "it is nested too deep", NULL);
    for (;;) {
        const char *open = find_open(r), *word;
        FR_TRY(add_text(r, parent, text_end(r, open)));
        r->at = open;
        if (open == r->end) break;
        char kind = open[1];
        if (kind == '#') {
            FR_TRY(skip_comment(r));
            continue;
        }
        r->at += 2;
        if (r->at < r->end && (*r->at == '-' || (*r->at == '+' && kind == '%'))) r->at++;
        if (kind == '{') {
            FR_TRY(read_print(r, parent));
            continue;
        }
        FR_TRY(fr_template_name(r, &word));
        if ((*which = end_of(word, ends))) {
            r->depth--;
            return FR_OK;
        }
        FR_TRY(read_statement(r, word, parent));
    }
    r->depth--;
    return ends ? fr_template_bad(r, "the template ends without", ends[0]) : FR_OK;
}

/* Line ends become \n, and the last one goes. */
static char *normalized(fr_arena *a, const char *text, size_t *bytes) {
    char *out = fr_arena_alloc(a, *bytes + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < *bytes; i++) {
        if (text[i] == '\r' && i + 1 < *bytes && text[i + 1] == '\n') continue;
        out[n++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (n && out[n - 1] == '\n') n--;
    *bytes = n;
    return out;
}

static fr_status read_all(fr_template *t, const char *text, size_t bytes) {
    char *copy = normalized(t->arena, text, &bytes);
    if (!copy) return FR_NOMEM;
    fr_template_reader r = {.t = t, .text = copy, .at = copy, .end = copy + bytes};
    const char *which;
    r.counted = copy;
    r.line = 1;
    r.line_start = true;
    if (!(t->root = fr_template_node(&r, FR_NODE_BLOCK))) return FR_NOMEM;
    return read_body(&r, t->root, NULL, &which);
}

fr_status fr_template_parse(const char *text, size_t bytes, const char *name, fr_template **out) {
    *out = NULL;
    if (bytes > MOST_TEXT)
        return fr_fail(FR_UNSUPPORTED, "%s has %zu bytes; a template has at most %d.", name, bytes,
                       MOST_TEXT);
    fr_template *t = fr_alloc(FR_MEM_OTHER, sizeof *t);
    if (!t) return FR_NOMEM;
    t->arena = fr_arena_new();
    if (t->arena) t->name = fr_arena_strdup(t->arena, name);
    fr_status st = t->name ? read_all(t, text, bytes) : FR_NOMEM;
    if (st)
        fr_template_free(t);
    else
        *out = t;
    return st;
}

void fr_template_free(fr_template *t) {
    if (t) fr_arena_free(t->arena);
    fr_free(t);
}
