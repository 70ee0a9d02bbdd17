/* infer.h: asking a node for the shapes of its outputs. */
#ifndef FR_GRAPH_INFER_H
#define FR_GRAPH_INFER_H

#include "graph/graph.h"

/* Fills out[0 .. nout-1] from the shapes in in[0 .. nin-1] (data is not looked at). The message of
 * an error names the node, its operator and what it was given. */
fr_status fr_infer_node(const fr_node *n, const fr_tensor *in, fr_tensor *out);

/* A call that describes a node by shapes alone, for cost, scratch and view hooks. `in` must have
 * room for n->nin tensors and is filled from the shapes as built. */
fr_call fr_describe_call(const fr_graph *g, const fr_node *n, fr_tensor *in, fr_tensor *out);

#define FR_NODE_INPUTS  64 /* the most inputs that a node may have */
#define FR_NODE_OUTPUTS 8

#endif
