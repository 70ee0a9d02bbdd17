/* fuse.h: the parts of fr_fuse and what they share. */
#ifndef FR_GRAPH_FUSE_H
#define FR_GRAPH_FUSE_H

#include "graph/graph.h"

fr_status fr_fuse_linears(fr_graph *g);
fr_status fr_fuse_norms(fr_graph *g);
fr_status fr_fuse_siblings(fr_graph *g);
fr_status fr_fuse_rows(fr_graph *g);

/* Operand i, or FR_NONE where a node has fewer. */
static inline fr_val fr_operand(const fr_node *n, int i) {
    return i < n->nin ? n->in[i] : FR_NONE;
}
/* How many living nodes and outputs read each value; fr_free it. */
fr_status fr_uses_of(const fr_graph *g, int32_t **uses);
/* The living node of the given operator whose first output v is, or NULL. */
fr_node *fr_maker_of(const fr_graph *g, fr_val v, const fr_op *op);
/* Turns a node into another that makes the same value; false, and no change, when the shape rule
 * of op does not agree or an operand is a state. */
bool fr_rewrite_node(fr_graph *g, fr_node *n, const fr_op *op, int nin, const fr_val *in,
                     const void *attr);
/* Nodes made since `made` move to place `first`. */
fr_status fr_move_nodes(fr_graph *g, size_t made, size_t first);
/* All readers of `from` read `to`. */
void fr_replace_uses(fr_graph *g, fr_val from, fr_val to);
/* The value of an attribute that is a function or a small number, by the name of its field;
 * fallback when op has none. */
int32_t fr_attr_of(const fr_node *n, const char *field, int32_t fallback);
float fr_attr_float(const fr_node *n, const char *field);

#endif
