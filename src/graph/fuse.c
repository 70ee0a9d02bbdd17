/* fuse.c: the passes that make a graph smaller for running it, and the tools that they share. Each
 * pass stands in a file of its own. */
#include "graph/fuse.h"

#include <string.h>

#include "graph/builder.h"
#include "graph/infer.h"

fr_status fr_uses_of(const fr_graph *g, int32_t **out) {
    int32_t *uses = fr_alloc(FR_MEM_OTHER, (g->value_count + 1) * sizeof *uses);
    if (!uses) return FR_NOMEM;
    for (size_t i = 0; i < g->node_count; i++) {
        const fr_node *n = g->nodes[i];
        for (int k = 0; !n->dead && k < n->nin; k++)
            if (n->in[k] != FR_NONE) uses[n->in[k]]++;
    }
    for (size_t i = 0; i < g->output_count; i++) uses[g->outputs[i]]++;
    *out = uses;
    return FR_OK;
}

fr_node *fr_maker_of(const fr_graph *g, fr_val v, const fr_op *op) {
    if (v == FR_NONE || g->values[v]->kind != FR_VALUE_NODE || g->values[v]->out != 0) return NULL;
    fr_node *n = g->nodes[g->values[v]->node];
    return n->op == op && !n->dead ? n : NULL;
}

bool fr_rewrite_node(fr_graph *g, fr_node *n, const fr_op *op, int nin, const fr_val *in,
                     const void *attr) {
    fr_tensor shapes[FR_NODE_INPUTS] = {0}, out[FR_NODE_OUTPUTS];
    const fr_tensor *old = &g->values[n->out0]->desc;
    fr_val *ins = fr_arena_alloc(g->arena, (size_t)nin * sizeof *ins);
    void *attrs = fr_arena_alloc(g->arena, FR_MAX_OF(op->attr_bytes, 1));
    if (!ins || !attrs || op->nout != n->nout || nin > FR_NODE_INPUTS) return false;
    memcpy(ins, in, (size_t)nin * sizeof *ins);
    memcpy(attrs, attr, op->attr_bytes);
    for (int i = 0; i < nin; i++) {
        /* It would be read at another time, maybe after a write. */
        if (fr_state_of(g, in[i]) != FR_NONE) return false;
        shapes[i] = *fr_desc(g, in[i]);
        shapes[i].data = NULL;
    }
    fr_node next = *n;
    next.op = op;
    next.nin = nin;
    next.in = ins;
    next.attr = attrs;
    if (fr_infer_node(&next, shapes, out) != FR_OK) return false;
    if (!fr_same_shape(&out[0], old) || out[0].dtype != old->dtype) return false;
    *n = next;
    return true;
}

void fr_replace_uses(fr_graph *g, fr_val from, fr_val to) {
    for (size_t i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i]->nin; k++)
            if (g->nodes[i]->in[k] == from) g->nodes[i]->in[k] = to;
    for (size_t i = 0; i < g->output_count; i++)
        if (g->outputs[i] == from) g->outputs[i] = to;
}

int32_t fr_attr_of(const fr_node *n, const char *field, int32_t fallback) {
    for (const fr_attr_field *f = n->op->fields; f && f->kind != FR_ATTR_END; f++) {
        int32_t value;
        bool whole = f->kind == FR_ATTR_I32 || f->kind >= FR_ATTR_FN; /* choices are i32 too */
        if (strcmp(f->name, field) || !whole) continue;
        memcpy(&value, (const uint8_t *)n->attr + f->offset, sizeof value);
        return value;
    }
    return fallback;
}

float fr_attr_float(const fr_node *n, const char *field) {
    float value = 0;
    for (const fr_attr_field *f = n->op->fields; f && f->kind != FR_ATTR_END; f++)
        if (f->kind == FR_ATTR_F32 && !strcmp(f->name, field))
            memcpy(&value, (const uint8_t *)n->attr + f->offset, sizeof value);
    return value;
}

/* The numbers that values keep follow. */
fr_status fr_move_nodes(fr_graph *g, size_t made, size_t first) {
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

static size_t living(const fr_graph *g) {
    size_t n = 0;
    for (size_t i = 0; i < g->node_count; i++) n += !g->nodes[i]->dead;
    return n;
}

static fr_status run_passes(fr_graph *g, unsigned what) {
    if (what & FR_FUSE_SIBLINGS) FR_TRY(fr_fuse_siblings(g));
    if (what & FR_FUSE_NORM) FR_TRY(fr_fuse_norms(g));
    if (what & FR_FUSE_LINEAR) FR_TRY(fr_fuse_linears(g));
    if (what & FR_FUSE_ROWS) FR_TRY(fr_fuse_rows(g));
    return fr_prune_dead(g);
}

fr_status fr_fuse(fr_graph *g, unsigned what, int *removed) {
    const char first = g->scope[0];
    if (removed) *removed = 0;
    FR_TRY(fr_prune_dead(g));
    size_t before = living(g);
    g->scope[0] = 0; /* names of new nodes are whole already, whatever scope is open */
    fr_status st = run_passes(g, what);
    g->scope[0] = first;
    FR_TRY(st);
    if (removed) *removed = (int)before - (int)living(g);
    return FR_OK;
}
