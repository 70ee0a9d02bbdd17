/* grammar_net.c: expressions become a network whose arrows are bytes (after Thompson 1968, from the end to the
 * beginning: a part is made once it is known what comes behind it), and what only the network shows is checked. */
#include <string.h>

#include "text/grammar_parts.h"

enum { MOST_NODES = 1 << 19, MOST_STEPS = 1 << 22, MOST_VISITS = 1 << 26 };

typedef struct maker {
    fr_grammar *g;
    int64_t steps; /* expressions seen: those without nodes must end, too */
    fr_net_edge *held;
    size_t held_count, held_cap;
} maker;

/* ---- nodes ---- */

static fr_status add_node(maker *m, fr_net_kind kind, const fr_net_edge *edges, size_t count,
                          int32_t *out) {
    fr_grammar *g = m->g;
    if (g->node_count >= MOST_NODES || g->edge_count + count > 8u * MOST_NODES)
        return fr_fail(FR_UNSUPPORTED,
                       "%s is too large: its repetitions written out have more than %d places.",
                       g->name, MOST_NODES);
    FR_TRY(fr_grow((void **)&g->nodes, &g->node_cap, g->node_count + 1, sizeof *g->nodes));
    FR_TRY(fr_grow((void **)&g->edges, &g->edge_cap, g->edge_count + count, sizeof *g->edges));
    if (count) memcpy(g->edges + g->edge_count, edges, count * sizeof *edges);
    *out = (int32_t)g->node_count;
    g->nodes[g->node_count++] =
        (fr_net_node){.kind = kind, .first = (int32_t)g->edge_count, .count = (int32_t)count};
    g->edge_count += count;
    return FR_OK;
}

static fr_status add_split(maker *m, int32_t a, int32_t b, int32_t *out) {
    return add_node(m, FR_NET_SPLIT, (fr_net_edge[]){{.to = a}, {.to = b}}, 2, out);
}

/* ---- a class of characters: its bytes in UTF-8 ---- */

typedef struct class_maker {
    maker *m;
    int32_t full[4]; /* so many bytes of any continuation, then what comes behind the class */
} class_maker;

static fr_status full_tail(class_maker *c, int left, int32_t *out) {
    if (c->full[left] < 0) {
        int32_t rest;
        FR_TRY(full_tail(c, left - 1, &rest));
        fr_net_edge e = {0x80, 0xBF, rest};
        FR_TRY(add_node(c->m, FR_NET_BYTES, &e, 1, &c->full[left]));
    }
    *out = c->full[left];
    return FR_OK;
}

static int encode(uint32_t v, uint8_t out[4]) {
    if (v < 0x80) {
        out[0] = (uint8_t)v;
        return 1;
    }
    int n = v < 0x800 ? 2 : v < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, v >>= 6) out[i] = (uint8_t)(0x80 | (v & 0x3F));
    out[0] = (uint8_t)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | v);
    return n;
}

/* Characters of one length, whose bytes are a range at each place. */
static fr_status add_bytes(class_maker *c, uint32_t low, uint32_t high) {
    maker *m = c->m;
    uint8_t a[4], b[4];
    int n = encode(low, a);
    int32_t to;
    encode(high, b);
    int whole = n; /* from here on any continuation */
    while (whole > 1 && a[whole - 1] == 0x80 && b[whole - 1] == 0xBF) whole--;
    FR_TRY(full_tail(c, n - whole, &to));
    for (int i = whole - 1; i > 0; i--) {
        fr_net_edge e = {a[i], b[i], to};
        FR_TRY(add_node(m, FR_NET_BYTES, &e, 1, &to));
    }
    FR_TRY(fr_grow((void **)&m->held, &m->held_cap, m->held_count + 1, sizeof *m->held));
    m->held[m->held_count++] = (fr_net_edge){a[0], b[0], to};
    return FR_OK;
}

/* Cut until the bytes are ranges (as Cox 2010 does in RE2). */
static fr_status add_chars(class_maker *c, uint32_t low, uint32_t high) {
    static const uint32_t ends[] = {0x7F, 0x7FF, 0xD7FF, 0xFFFF};
    if (low >= 0xD800 && low < 0xE000) low = 0xE000;
    if (high >= 0xD800 && high < 0xE000) high = 0xD7FF;
    if (low > high) return FR_OK;
    for (int i = 0; i < 4; i++)
        if (low <= ends[i] && high > ends[i]) {
            FR_TRY(add_chars(c, low, ends[i]));
            return add_chars(c, ends[i] + 1, high);
        }
    for (int i = 1; i < 4 && high >= 0x80; i++) {
        uint32_t tail = (1u << (6 * i)) - 1;
        if ((low & ~tail) == (high & ~tail)) break;
        if (low & tail) {
            FR_TRY(add_chars(c, low, low | tail));
            return add_chars(c, (low | tail) + 1, high);
        }
        if ((high & tail) != tail) {
            FR_TRY(add_chars(c, low, (high & ~tail) - 1));
            return add_chars(c, high & ~tail, high);
        }
    }
    return add_bytes(c, low, high);
}

static fr_status make_class(maker *m, const fr_expr *e, int32_t to, int32_t *out) {
    class_maker c = {m, {to, -1, -1, -1}};
    m->held_count = 0;
    for (int32_t i = 0; i < e->range_count; i++)
        FR_TRY(add_chars(&c, e->ranges[i].low, e->ranges[i].high));
    return add_node(m, FR_NET_BYTES, m->held, m->held_count, out);
}

/* ---- the others ---- */

static fr_status make(maker *m, const fr_expr *e, int32_t to, int32_t *out);

/* Children stand in a list that goes forwards. */
static fr_status make_all(maker *m, const fr_expr *e, int32_t to, int32_t *out) {
    size_t n = 0, i = 0;
    for (const fr_expr *c = e->child; c; c = c->next) n++;
    const fr_expr **list = fr_alloc_array(FR_MEM_OTHER, n, sizeof(void *));
    if (!list) return FR_NOMEM;
    for (const fr_expr *c = e->child; c; c = c->next) list[i++] = c;
    fr_status st = FR_OK;
    while (i-- > 0 && !st) st = make(m, list[i], to, &to);
    fr_free(list);
    *out = to;
    return st;
}

static fr_status make_any(maker *m, const fr_expr *e, int32_t to, int32_t *out) {
    size_t n = 0;
    for (const fr_expr *c = e->child; c; c = c->next) n++;
    if (n == 1) return make(m, e->child, to, out);
    fr_net_edge *edges = fr_alloc(FR_MEM_OTHER, n * sizeof *edges);
    if (!edges) return FR_NOMEM;
    fr_status st = FR_OK;
    n = 0;
    for (const fr_expr *c = e->child; c && !st; c = c->next) st = make(m, c, to, &edges[n++].to);
    if (!st) st = add_node(m, FR_NET_SPLIT, edges, n, out);
    fr_free(edges);
    return st;
}

static fr_status make_repeat(maker *m, const fr_expr *e, int32_t to, int32_t *out) {
    int32_t at = to, body;
    if (e->most < 0) {
        FR_TRY(add_split(m, to, to, &at));
        FR_TRY(make(m, e->child, at, &body));
        m->g->edges[m->g->nodes[at].first].to = body;
    }
    for (int32_t i = e->least; i < e->most; i++) {
        FR_TRY(make(m, e->child, at, &body));
        FR_TRY(add_split(m, body, to, &at));
    }
    for (int32_t i = 0; i < e->least; i++) FR_TRY(make(m, e->child, at, &at));
    *out = at;
    return FR_OK;
}

static fr_status make(maker *m, const fr_expr *e, int32_t to, int32_t *out) {
    if (++m->steps > MOST_STEPS)
        return fr_fail(FR_UNSUPPORTED, "%s is too large: its repetitions multiply.", m->g->name);
    switch (e->kind) {
    case FR_EXPR_CLASS: return make_class(m, e, to, out);
    case FR_EXPR_ALL: return make_all(m, e, to, out);
    case FR_EXPR_ANY: return make_any(m, e, to, out);
    case FR_EXPR_REPEAT: return make_repeat(m, e, to, out);
    default: break;
    }
    fr_net_edge edge = {.to = to};
    FR_TRY(add_node(m, FR_NET_CALL, &edge, 1, out));
    m->g->nodes[*out].rule = e->rule;
    return FR_OK;
}

static fr_status make_rules(maker *m) {
    for (size_t i = 0; i < m->g->rule_count; i++) {
        fr_rule *r = &m->g->rules[i];
        FR_TRY(add_node(m, FR_NET_END, NULL, 0, &r->end));
        FR_TRY(make(m, r->body, r->end, &r->start));
    }
    return FR_OK;
}

/* ---- checks ---- */

typedef struct checker {
    const fr_grammar *g;
    bool *can;      /* a rule can end: at all, or without a byte */
    int32_t *stamp; /* of nodes: the last rule that came by */
    int32_t *stack;
    int64_t visits;
    int32_t *left; /* rules that a rule may begin with */
    size_t left_count, left_cap;
} checker;

static void push(checker *c, int32_t node, int32_t stamp, size_t *n) {
    if (c->stamp[node] == stamp) return;
    c->stamp[node] = stamp;
    c->stack[(*n)++] = node;
}

/* All nodes that a rule reaches, over bytes too if so, and over calls that can end. */
static fr_status walk(checker *c, int32_t rule, int32_t stamp, bool bytes, bool *ends, bool note) {
    const fr_grammar *g = c->g;
    size_t n = 0;
    push(c, g->rules[rule].start, stamp, &n);
    *ends = false;
    while (n) {
        const fr_net_node *node = &g->nodes[c->stack[--n]];
        if (++c->visits > MOST_VISITS)
            return fr_fail(FR_UNSUPPORTED, "%s has too many rules that hang together.", g->name);
        *ends |= node->kind == FR_NET_END;
        if (node->kind == FR_NET_CALL && note) {
            FR_TRY(fr_grow((void **)&c->left, &c->left_cap, c->left_count + 1, sizeof *c->left));
            c->left[c->left_count++] = node->rule;
        }
        if (node->kind == FR_NET_CALL && !c->can[node->rule]) continue;
        if (node->kind == FR_NET_BYTES && !bytes) continue;
        for (int32_t i = 0; i < node->count; i++) push(c, g->edges[node->first + i].to, stamp, &n);
    }
    return FR_OK;
}

/* Which rules can end, with bytes or without: more and more, until no further one can. */
static fr_status find_ends(checker *c, bool bytes, int32_t *stamp) {
    size_t rules = c->g->rule_count;
    memset(c->can, 0, rules * sizeof *c->can);
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < rules; i++) {
            if (c->can[i]) continue;
            FR_TRY(walk(c, (int32_t)i, ++*stamp, bytes, &c->can[i], false));
            more |= c->can[i];
        }
    }
    return FR_OK;
}

static fr_status refuse_endless(checker *c, int32_t *stamp) {
    FR_TRY(find_ends(c, true, stamp));
    for (size_t i = 0; i < c->g->rule_count; i++)
        if (!c->can[i])
            return fr_fail(FR_UNSUPPORTED, "%s, line %d: no text ends the rule %s.", c->g->name,
                           c->g->rules[i].line, c->g->rules[i].name);
    return FR_OK;
}

/* Depth first; a rule that is met while it is open begins with itself. open: 1 is open, 2 done. */
static fr_status refuse_left(checker *c, int32_t *stamp) {
    const fr_grammar *g = c->g;
    size_t rules = g->rule_count, depth = 0;
    FR_TRY(find_ends(c, false, stamp));
    size_t *begin = fr_alloc(FR_MEM_OTHER, (4 * rules + 1) * sizeof *begin);
    if (!begin) return FR_NOMEM;
    size_t *open = begin + rules + 1, *path = open + rules, *at = path + rules;
    fr_status st = FR_OK;
    for (size_t i = 0; i < rules && !st; i++) {
        bool ends;
        begin[i] = c->left_count;
        st = walk(c, (int32_t)i, ++*stamp, false, &ends, true);
    }
    begin[rules] = c->left_count;
    for (size_t i = 0; i < rules && !st; i++) {
        if (open[i]) continue;
        path[depth++] = i;
        open[i] = 1;
        at[i] = begin[i];
        while (depth && !st) {
            size_t r = path[depth - 1];
            if (at[r] == begin[r + 1]) {
                open[r] = 2;
                depth--;
                continue;
            }
            size_t to = (size_t)c->left[at[r]++];
            if (open[to] == 1)
                st = fr_fail(FR_UNSUPPORTED,
                             "%s, line %d: the rule %s may begin with itself; let it begin with "
                             "something else, and put itself behind that.",
                             g->name, g->rules[to].line, g->rules[to].name);
            if (open[to]) continue;
            open[to] = 1;
            at[to] = begin[to];
            path[depth++] = to;
        }
    }
    fr_free(begin);
    return st;
}

static fr_status check(const fr_grammar *g) {
    checker c = {.g = g};
    c.can = fr_alloc(FR_MEM_OTHER, g->rule_count * sizeof *c.can);
    c.stamp = fr_alloc(FR_MEM_OTHER, g->node_count * sizeof *c.stamp);
    c.stack = fr_alloc(FR_MEM_OTHER, g->node_count * sizeof *c.stack);
    int32_t stamp = 0;
    fr_status st = c.can && c.stamp && c.stack ? FR_OK : FR_NOMEM;
    if (!st) st = refuse_endless(&c, &stamp);
    if (!st) st = refuse_left(&c, &stamp);
    fr_free(c.can);
    fr_free(c.stamp);
    fr_free(c.stack);
    fr_free(c.left);
    return st;
}

fr_status fr_grammar_link(fr_grammar *g) {
    maker m = {.g = g};
    fr_status st = make_rules(&m);
    fr_free(m.held);
    return st ? st : check(g);
}
