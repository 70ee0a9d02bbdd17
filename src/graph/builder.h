/* builder.h: what other files of this room need to know of the builder. */
#ifndef FR_GRAPH_BUILDER_H
#define FR_GRAPH_BUILDER_H

#include "graph/graph.h"

/* The state that v is, followed through the nodes that write it; FR_NONE when v is none. */
fr_val fr_state_of(const fr_graph *g, fr_val v);
/* A constant under a name of its own choice; FR_NONE when that is taken. */
fr_val fr_constant_named(fr_graph *g, const char *name, const fr_tensor *value);
/* Does a node of number `from` or later write it? */
bool fr_state_changes(const fr_graph *g, fr_val state, size_t from);

#endif
