/* fuse_rows.c: rows of activations for products with weights in few bits are made once, by a node of their own:
 *
 *     norm, or gated unit -> qlinear, ...      quantize_rows with the norm or unit in it -> qlinear, ...
 *     x -> several qlinears                    quantize_rows -> the qlinears
 *
 * so that what stands before is never written as floats. The records are the same, bit for bit; only where floats
 * are stored as bf16 in between, one rounding is spared. */
#include <string.h>

#include "graph/builder.h"
#include "graph/fuse.h"

#define MOST 64 /* qlinears that share rows */

typedef struct group {
    fr_node *node[MOST];
    int count;
    size_t first; /* place of the first in the order of the graph */
    fr_val x;
    fr_quantize_opts opts;
} group;

/* Reads floats, with no branch that reads them too. */
static bool is_candidate(const fr_graph *g, const fr_node *n) {
    return !n->dead && n->op == &fr_op_qlinear &&
           g->values[n->in[FR_QLINEAR_X]]->desc.dtype != FR_U8 &&
           fr_operand(n, FR_QLINEAR_DOWN) == FR_NONE && fr_operand(n, FR_QLINEAR_UP) == FR_NONE;
}

static fr_quantize_opts rows_of(const fr_node *n) {
    const fr_qlinear_attr *a = n->attr;
    fr_quantize_opts o = {.add = a->add, .by = fr_operand(n, FR_QLINEAR_BY)};
    o.kind = fr_qlinear_rows(a, &o.group);
    return o;
}

static void find_group(const fr_graph *g, size_t first, group *out) {
    *out = (group){.first = first};
    if (!is_candidate(g, g->nodes[first])) return;
    out->x = g->nodes[first]->in[FR_QLINEAR_X];
    if (fr_state_of(g, out->x) != FR_NONE) return; /* may change between the readers */
    out->opts = rows_of(g->nodes[first]);
    for (size_t i = first; i < g->node_count && out->count < MOST; i++) {
        fr_node *n = g->nodes[i];
        if (!is_candidate(g, n) || n->in[FR_QLINEAR_X] != out->x) continue;
        fr_quantize_opts o = rows_of(n);
        if (o.kind == out->opts.kind && o.group == out->opts.group && o.add == out->opts.add &&
            o.by == out->opts.by)
            out->node[out->count++] = n;
    }
}

/* What makes x becomes part of the rows; the new x, or FR_NONE. */
static fr_val take_in(const fr_graph *g, fr_val x, fr_quantize_opts *o) {
    fr_node *n;
    if ((n = fr_maker_of(g, x, &fr_op_rmsnorm))) {
        o->before = FR_BEFORE_RMSNORM;
        o->weight = fr_operand(n, 1), o->scale = fr_operand(n, 2), o->shift = fr_operand(n, 3);
    } else if ((n = fr_maker_of(g, x, &fr_op_layernorm))) {
        o->before = FR_BEFORE_LAYERNORM;
        o->weight = fr_operand(n, 1), o->bias = fr_operand(n, 2);
        o->scale = fr_operand(n, 3), o->shift = fr_operand(n, 4);
    } else if ((n = fr_maker_of(g, x, &fr_op_glu))) {
        o->before = FR_BEFORE_GLU;
        o->fn = (fr_fn)fr_attr_of(n, "act", FR_FN_NONE);
        o->up = fr_operand(n, 1);
    } else {
        return FR_NONE;
    }
    o->eps = fr_attr_float(n, "eps");
    for (int i = 0; i < n->nin; i++) /* they would be read at another time, maybe after a write */
        if (n->in[i] != FR_NONE && fr_state_of(g, n->in[i]) != FR_NONE) return FR_NONE;
    return n->in[0];
}

static fr_status fuse(fr_graph *g, const int32_t *uses, group *s) {
    fr_quantize_opts o = s->opts, with = s->opts;
    fr_val x = uses[s->x] == s->count ? take_in(g, s->x, &with) : FR_NONE;
    if (x == FR_NONE && s->count < 2) return FR_OK;
    size_t made = g->node_count;
    fr_val rows = fr_quantize_rows(g, x == FR_NONE ? s->x : x, x == FR_NONE ? &o : &with, NULL);
    FR_TRY(fr_graph_check(g));
    for (int i = 0; i < s->count; i++) {
        fr_node *n = s->node[i];
        fr_val in[FR_QLINEAR_INPUTS];
        fr_qlinear_attr a = *(const fr_qlinear_attr *)n->attr;
        for (int k = 0; k < FR_QLINEAR_INPUTS; k++) in[k] = fr_operand(n, k);
        in[FR_QLINEAR_X] = rows, in[FR_QLINEAR_BY] = FR_NONE;
        a.add = 0;
        fr_rewrite_node(g, n, &fr_op_qlinear, FR_QLINEAR_INPUTS, in, &a);
    }
    return fr_move_nodes(g, made, s->first);
}

fr_status fr_fuse_rows(fr_graph *g) {
    int32_t *uses;
    FR_TRY(fr_uses_of(g, &uses));
    fr_status st = FR_OK;
    size_t known = g->value_count;
    for (size_t i = 0; !st && i < g->node_count; i++) {
        group s;
        find_group(g, i, &s);
        if (s.count && (size_t)s.x < known) st = fuse(g, uses, &s);
    }
    fr_free(uses);
    return st;
}
