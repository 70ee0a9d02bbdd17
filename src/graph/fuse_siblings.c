/* fuse_siblings.c: linears that read the same x become one linear with stacked weights, x is read
 * once and the product is larger: q/k/v of an attention, gate/up of an MLP. Their results are
 * slices of the whole, which cost nothing; a gated unit takes the whole as it is.
 *
 * The stacked weight is a parameter made of parts (fr_value.part), which a session fills part by
 * part from the names in the checkpoint. */
#include <string.h>

#include "graph/builder.h"
#include "graph/fuse.h"

#define MOST     8  /* siblings in a group */
#define NEAR     24 /* nodes between the first and the last: the results must not live long */
#define OPERANDS 4

typedef struct group {
    fr_node *node[MOST];
    int count;
    size_t first; /* place of the first in the order of the graph */
    fr_val x, weight, bias, out;
} group;

static fr_val operand(const fr_node *n, int i) {
    return i < n->nin ? n->in[i] : FR_NONE;
}

/* A parameter that only this node reads, and that is no part of another or made of others. */
static bool own_param(const fr_graph *g, const int32_t *uses, fr_val v) {
    const fr_value *x = g->values[v];
    return x->kind == FR_VALUE_PARAM && uses[v] == 1 && x->whole == FR_NONE && !x->parts;
}

static bool is_candidate(const fr_graph *g, const int32_t *uses, const fr_node *n) {
    fr_val bias = operand(n, 2);
    if (n->dead || n->op != &fr_op_linear || operand(n, 3) != FR_NONE) return false;
    if (fr_state_of(g, n->in[0]) != FR_NONE) return false; /* may change between siblings */
    if (!own_param(g, uses, n->in[1]) || g->values[n->in[1]]->desc.rank != 2) return false;
    return bias == FR_NONE || own_param(g, uses, bias);
}

static bool same_type(const fr_graph *g, fr_val a, fr_val b) {
    if (a == FR_NONE || b == FR_NONE) return a == b;
    return g->values[a]->desc.dtype == g->values[b]->desc.dtype;
}

static bool fits(const fr_graph *g, const fr_node *a, const fr_node *b) {
    return a->in[0] == b->in[0] && !memcmp(a->attr, b->attr, sizeof(fr_linear_attr)) &&
           same_type(g, a->in[1], b->in[1]) && same_type(g, operand(a, 2), operand(b, 2));
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
    fr_val first = operand(s->node[0], which);
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
    const fr_tensor *a = &g->values[gate->in[1]]->desc, *b = &g->values[up->in[1]]->desc;
    for (size_t i = 0; i < g->node_count && a->dim[0] == b->dim[0]; i++) {
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

/* Nodes made since `made` move to `first`; the numbers that values keep follow. */
static fr_status move_nodes(fr_graph *g, size_t made, size_t first) {
    size_t count = g->node_count - made;
    fr_node **moved = fr_alloc_array(FR_MEM_OTHER, count + 1, sizeof *moved);
    if (!moved) return FR_NOMEM;
    memcpy(moved, g->nodes + made, count * sizeof *moved);
    memmove(g->nodes + first + count, g->nodes + first, (made - first) * sizeof *moved);
    memcpy(g->nodes + first, moved, count * sizeof *moved);
    fr_free(moved);
    for (size_t i = first; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i]->nout; k++)
            g->values[g->nodes[i]->out0 + k]->node = (int32_t)i;
    return FR_OK;
}

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
        int64_t n = g->values[s->node[i]->in[1]]->desc.dim[0];
        fr_val part = fr_slice(g, s->out, axis, start, n);
        if (part == FR_NONE) return;
        fr_replace_uses(g, s->node[i]->out0, part);
        start += n;
    }
}

static fr_status merge(fr_graph *g, const int32_t *uses, group *s) {
    size_t made = g->node_count;
    fr_node *glu = order_for_glu(g, uses, s);
    s->weight = stack(g, s, 1);
    s->bias = stack(g, s, 2);
    s->out = fr_linear(g, s->x, s->weight, s->bias, FR_NONE,
                       (fr_fn)fr_attr_of(s->node[0], "act", FR_FN_NONE));
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
    return move_nodes(g, made, s->first);
}

static fr_status merge_all(fr_graph *g) {
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

/* New names are whole already, whatever scope is open. */
fr_status fr_fuse_siblings(fr_graph *g) {
    char first = g->scope[0];
    g->scope[0] = 0;
    fr_status st = merge_all(g);
    g->scope[0] = first;
    return st;
}
