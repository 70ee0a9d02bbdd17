/* fuse_siblings.c: linears that read the same x become one linear with stacked weights, x is read
 * once and the product is larger: q/k/v of an attention, gate/up of an MLP; in floats, or all in the same few
 * bits. Their results are slices of the whole, which cost nothing; a gated unit takes the whole as it is.
 *
 * The stacked weight is a parameter made of parts (fr_value.part), which a session fills part by
 * part from the names in the checkpoint. */
#include <string.h>

#include "graph/builder.h"
#include "graph/fuse.h"
#include "graph/infer.h"

#define MOST 8   /* siblings in a group */
#define NEAR 24  /* nodes between the first and the last: the results must not live long */
#define FEW  128 /* rows of a weight that share a scale, in formats of blocks: at most */

typedef struct group {
    fr_node *node[MOST];
    int count;
    size_t first; /* place of the first in the order of the graph */
    fr_val x, out;
} group;

/* Operands that are stacked along their first axis; of others all siblings have the same, or none. */
static bool is_stacked(const fr_op *op, int i) {
    if (op == &fr_op_linear) return i == 1 || i == 2;
    return (i >= FR_QLINEAR_PARTS && i < FR_QLINEAR_BY) || i == FR_QLINEAR_BIAS;
}

/* What a linear has that its siblings cannot share. */
static bool stands_alone(const fr_node *n) {
    if (n->op == &fr_op_linear) return fr_operand(n, 3) != FR_NONE;
    const fr_qlinear_attr *a = n->attr;
    for (int i = FR_QLINEAR_DOWN; i < FR_QLINEAR_INPUTS; i++)
        if (i != FR_QLINEAR_BIAS && fr_operand(n, i) != FR_NONE) return true;
    return a->next;
}

/* Rows of the result. */
static int64_t rows_of(const fr_graph *g, const fr_node *n) {
    const fr_tensor *y = &g->values[n->out0]->desc;
    return y->dim[y->rank - 1];
}

/* A parameter that only this node reads, and that is no part of another or made of others. */
static bool own_param(const fr_graph *g, const int32_t *uses, fr_val v) {
    const fr_value *x = g->values[v];
    return x->kind == FR_VALUE_PARAM && uses[v] == 1 && x->whole == FR_NONE && !x->parts;
}

/* Its first axis is the rows of the weight, or blocks of them: a scale of the whole weight is neither. */
static bool goes_by_rows(const fr_tensor *t, int64_t rows) {
    if (t->rank < 1 || t->dim[0] < 1 || rows % t->dim[0]) return false;
    int64_t each = rows / t->dim[0];
    return each == 1 || (each == FEW && t->rank == 2);
}

static bool is_candidate(const fr_graph *g, const int32_t *uses, const fr_node *n) {
    if (n->dead || (n->op != &fr_op_linear && n->op != &fr_op_qlinear) || stands_alone(n))
        return false;
    if (fr_state_of(g, n->in[0]) != FR_NONE) return false; /* may change between siblings */
    for (int i = 1; i < n->nin; i++) {
        fr_val v = n->in[i];
        if (v == FR_NONE || !is_stacked(n->op, i)) continue;
        if (!own_param(g, uses, v) || !goes_by_rows(&g->values[v]->desc, rows_of(g, n)))
            return false;
    }
    return true;
}

static bool same_attr(const fr_node *a, const fr_node *b) {
    if (a->op == &fr_op_linear) return !memcmp(a->attr, b->attr, sizeof(fr_linear_attr));
    fr_qlinear_attr x = *(const fr_qlinear_attr *)a->attr, y = *(const fr_qlinear_attr *)b->attr;
    return x.format == y.format && x.rows == y.rows && x.act == y.act && x.out == y.out &&
           x.k == y.k && x.add == y.add;
}

/* Of one type, and as wide. */
static bool stack_together(const fr_graph *g, fr_val a, fr_val b) {
    if (a == FR_NONE || b == FR_NONE) return a == b;
    const fr_tensor *x = &g->values[a]->desc, *y = &g->values[b]->desc;
    bool same = x->dtype == y->dtype && x->rank == y->rank;
    for (int i = 1; same && i < x->rank; i++) same = x->dim[i] == y->dim[i];
    return same;
}

static bool fits(const fr_graph *g, const fr_node *a, const fr_node *b) {
    if (a->op != b->op || a->in[0] != b->in[0] || !same_attr(a, b)) return false;
    for (int i = 1; i < FR_MAX_OF(a->nin, b->nin); i++) {
        fr_val x = fr_operand(a, i), y = fr_operand(b, i);
        if (is_stacked(a->op, i) ? !stack_together(g, x, y) : x != y) return false;
    }
    return true;
}

static void find_group(const fr_graph *g, const int32_t *uses, size_t first, group *out) {
    *out = (group){.first = first};
    if (!is_candidate(g, uses, g->nodes[first])) return;
    out->node[out->count++] = g->nodes[first];
    out->x = g->nodes[first]->in[0];
    for (size_t i = first + 1; i < g->node_count && i < first + NEAR && out->count < MOST; i++) {
        fr_node *n = g->nodes[i];
        if (is_candidate(g, uses, n) && fits(g, g->nodes[first], n)) out->node[out->count++] = n;
    }
}

/* ---- stacked parameters ---- */

static fr_val stack(fr_graph *g, const group *s, int which) {
    fr_val first = fr_operand(s->node[0], which);
    if (first == FR_NONE) return FR_NONE;
    fr_tensor shape = g->values[first]->desc;
    size_t bytes = 1;
    shape.dim[0] = 0;
    for (int i = 0; i < s->count; i++) {
        const fr_value *part = g->values[s->node[i]->in[which]];
        shape.dim[0] += part->desc.dim[0];
        bytes += strlen(part->name) + 1;
    }
    char *name = fr_arena_alloc(g->arena, bytes);
    fr_val *part = fr_arena_alloc(g->arena, (size_t)s->count * sizeof *part);
    if (!name || !part) return FR_NONE;
    for (int i = 0; i < s->count; i++) {
        part[i] = s->node[i]->in[which];
        if (i) strcat(name, "+");
        strcat(name, g->values[part[i]]->name);
    }
    fr_val whole = fr_param(g, name, shape.dtype, shape.rank, shape.dim);
    if (whole == FR_NONE) return FR_NONE;
    g->values[whole]->parts = s->count;
    g->values[whole]->part = part;
    for (int64_t i = 0, row = 0; i < s->count; i++) {
        fr_value *p = g->values[part[i]];
        p->whole = whole;
        p->whole_row = row;
        row += p->desc.dim[0];
    }
    return whole;
}

/* ---- gated units ---- */

/* The node glu(gate, up) that alone reads both, or NULL. */
static fr_node *gated_unit(const fr_graph *g, const int32_t *uses, const fr_node *gate,
                           const fr_node *up) {
    if (uses[gate->out0] != 1 || uses[up->out0] != 1) return NULL;
    bool even = rows_of(g, gate) == rows_of(g, up);
    for (size_t i = 0; even && i < g->node_count; i++) {
        fr_node *n = g->nodes[i];
        if (!n->dead && n->op == &fr_op_glu && n->nin > 1 && n->in[0] == gate->out0 &&
            n->in[1] == up->out0)
            return n;
    }
    return NULL;
}

static fr_node *order_for_glu(const fr_graph *g, const int32_t *uses, group *s) {
    if (s->count != 2) return NULL;
    fr_node *n = gated_unit(g, uses, s->node[0], s->node[1]);
    if (n) return n;
    n = gated_unit(g, uses, s->node[1], s->node[0]);
    if (n) {
        fr_node *first = s->node[0];
        s->node[0] = s->node[1];
        s->node[1] = first;
    }
    return n;
}

/* ---- the merge ---- */

static void name_merged(fr_graph *g, const group *s, fr_node *n) {
    size_t bytes = strlen(s->node[0]->name) + 16;
    char *name = fr_arena_alloc(g->arena, bytes);
    if (!name) return;
    snprintf(name, bytes, "%s_of_%d", s->node[0]->name, s->count);
    n->name = name;
}

static void use_slices(fr_graph *g, const group *s) {
    int64_t start = 0;
    int axis = fr_desc(g, s->out)->rank - 1;
    for (int i = 0; i < s->count; i++) {
        int64_t n = rows_of(g, s->node[i]);
        fr_val part = fr_slice(g, s->out, axis, start, n);
        if (part == FR_NONE) return;
        fr_replace_uses(g, s->node[i]->out0, part);
        start += n;
    }
}

/* The linear with the stacked operands. */
static fr_val whole_of(fr_graph *g, const group *s) {
    const fr_node *n = s->node[0];
    fr_val in[FR_NODE_INPUTS];
    uint8_t attr[FR_ATTR_MAX];
    memcpy(attr, n->attr, n->op->attr_bytes);
    for (int i = 0; i < n->nin; i++) in[i] = is_stacked(n->op, i) ? stack(g, s, i) : n->in[i];
    if (n->op == &fr_op_qlinear) {
        fr_qlinear_attr *a = (fr_qlinear_attr *)(void *)attr;
        for (int i = 1; i < s->count; i++) a->n += rows_of(g, s->node[i]);
    }
    return fr_emit(g, n->op, n->nin, in, attr);
}

static fr_status merge(fr_graph *g, const int32_t *uses, group *s) {
    size_t made = g->node_count;
    fr_node *glu = order_for_glu(g, uses, s);
    s->out = whole_of(g, s);
    FR_TRY(fr_graph_check(g));
    name_merged(g, s, g->nodes[made]);
    if (glu) {
        fr_val whole = fr_glu(g, s->out, FR_NONE, (fr_fn)fr_attr_of(glu, "act", FR_FN_NONE));
        if (whole != FR_NONE) fr_replace_uses(g, glu->out0, whole);
        glu->dead = true;
    } else {
        use_slices(g, s);
    }
    FR_TRY(fr_graph_check(g));
    for (int i = 0; i < s->count; i++) s->node[i]->dead = true;
    return fr_move_nodes(g, made, s->first);
}

fr_status fr_fuse_siblings(fr_graph *g) {
    int32_t *uses;
    FR_TRY(fr_uses_of(g, &uses));
    for (size_t i = 0; i < g->node_count; i++) {
        group s;
        find_group(g, uses, i, &s);
        if (s.count < 2) continue;
        fr_status st = merge(g, uses, &s);
        fr_free(uses);
        FR_TRY(st);
        FR_TRY(fr_uses_of(g, &uses));
    }
    fr_free(uses);
    return FR_OK;
}
