/* graph.h: the face of the room that holds models as graphs, plans their memory and runs them.
 *
 * Building, sessions and gradients are in <frugal/graph.h>; here is what passes, trainers and the
 * program need beyond it. Nodes stand in the order in which they were made, and run in that order.
 */
#ifndef FR_GRAPH_H
#define FR_GRAPH_H

#include <stdio.h>

#include <frugal/graph.h>

#include "op/op.h"

typedef enum fr_value_kind {
    FR_VALUE_NONE, /* the first of every graph, which FR_NONE names */
    FR_VALUE_NODE, /* made by a node */
    FR_VALUE_INPUT,
    FR_VALUE_PARAM,
    FR_VALUE_STATE,
    FR_VALUE_CONST,
} fr_value_kind;

typedef struct fr_value {
    fr_value_kind kind;
    fr_tensor desc;   /* shape as built; data only for constants */
    const char *name; /* of inputs, params, states and constants; NULL for what nodes make */
    int32_t node;     /* that makes it, or -1 */
    int32_t out;      /* which of its outputs */
    int32_t input;    /* which input of the graph, or -1 */
    /* A parameter made by a pass by stacking others along axis 0 (q, k, v merged): its parts, and
     * in each part the whole and the row at which the part begins. */
    int32_t parts;
    const fr_val *part;
    fr_val whole; /* FR_NONE: stands for itself */
    int64_t whole_row;
} fr_value;

typedef struct fr_node {
    const fr_op *op;
    const char *name;
    int32_t nin, nout;
    fr_val *in;
    fr_val out0; /* outputs are out0 .. out0 + nout - 1 */
    const void *attr;
    bool dead;       /* taken away by a pass */
    bool backward;   /* made by fr_gradients */
    int32_t segment; /* index into recomputed segments, or -1 */
} fr_node;

struct fr_graph {
    fr_builder builder; /* must be first: op/op.h calls through it */
    fr_arena *arena;
    fr_value **values; /* each stays where it is while the graph grows */
    size_t value_count, value_cap;
    fr_node **nodes; /* in the order in which they run */
    size_t node_count, node_cap;
    fr_val *inputs;
    size_t input_count, input_cap;
    fr_val *outputs;
    const char **output_names;
    size_t output_count, output_cap, output_name_cap;
    fr_names value_names; /* of inputs, parameters, states, constants; the values themselves: */
    fr_val *named_values;
    size_t named_cap;
    fr_names node_names; /* without counters; how often each was given: */
    int32_t *node_name_uses;
    size_t node_name_cap;
    fr_names output_index;
    char *scope; /* "layers.0.attn", or "" */
    size_t scope_cap;
    size_t *scope_ends; /* length of scope before each fr_scope */
    size_t scope_depth, scope_depth_cap;
    int32_t segment, segment_count; /* the recomputed segment that is open, or -1 */
    bool backward;                  /* nodes made now belong to the backward pass */
    fr_status status;               /* first error of the building */
    char *message;
};

/* ---- looking ---- */

fr_val fr_graph_find(const fr_graph *g,
                     const char *name); /* input, param, state, constant or output */
static inline const fr_value *fr_value_of(const fr_graph *g, fr_val v) {
    return g->values[v];
}
/* "act=silu groups=2": the attributes that are not zero. */
void fr_node_attr_text(const fr_node *n, char *buf, size_t size);
/* One line a node: name, op, attributes, shapes, cost; totals below. */
fr_status fr_graph_print(fr_graph *g, FILE *out);
fr_status fr_graph_dot(fr_graph *g, FILE *out);

typedef struct fr_graph_cost {
    fr_cost total;
    double param_bytes, peak_activation_bytes, state_bytes;
    size_t nodes;
} fr_graph_cost;
fr_status fr_graph_cost_of(fr_graph *g, fr_graph_cost *out);
fr_status fr_node_cost(const fr_graph *g, size_t node, fr_cost *out);

/* ---- files ---- */

/* The graph that a file of fr_session_save carries beside its tensors (file.h says how). */
fr_status fr_graph_open(const fr_store *store, fr_graph **out);
/* Forward graph and parameters in one safetensors file. */
fr_status fr_session_save(fr_session *s, const char *path);

/* ---- passes ---- */

enum {
    FR_FUSE_LINEAR = 1,   /* linear or convolution + bias + activation + residual */
    FR_FUSE_NORM = 2,     /* norm + modulate */
    FR_FUSE_SIBLINGS = 4, /* linears of one input whose weights are parameters: q/k/v, gate/up */
    FR_FUSE_ROWS = 8,     /* norm or gated unit + the rows in few bits that products make of it */
    FR_FUSE_ALL = 15,
};
/* Rewrites in place; says how many nodes went away. Only for graphs that are not trained. */
fr_status fr_fuse(fr_graph *g, unsigned what, int *removed);
/* Marks nodes that no output, state or loss needs as dead. */
fr_status fr_prune_dead(fr_graph *g);
/* Nodes made between begin and end are computed again in the backward pass instead of kept. */
void fr_recompute_begin(fr_graph *g, const char *name);
void fr_recompute_end(fr_graph *g);

/* ---- sessions beyond the public face ---- */

typedef struct fr_session_opts {
    fr_pool *pool;      /* NULL: one thread */
    bool train;         /* parameters change: nothing is packed ahead */
    bool no_inplace;    /* for tests: no operand is overwritten */
    bool no_reuse;      /* for tests: every value has memory of its own */
    bool poison;        /* for tests: memory is filled with NaN when its value dies */
    fr_dtype weights;   /* FR_BF16: keep parameters of linears in bf16; FR_NOTYPE: as declared */
    fr_mem_kind states; /* how the memory of states is counted; 0: FR_MEM_STATE */
} fr_session_opts;
fr_status fr_session_new_with(fr_graph *g, const fr_session_opts *opts, fr_session **out);

/* The storage of a parameter or state, contiguous, of the declared type; NULL when there is none.
 * A mapped weight must not be written: fr_session_make_writable copies all of them first. */
fr_tensor *fr_session_tensor(fr_session *s, fr_val v);
fr_status fr_session_make_writable(fr_session *s);
/* One parameter from memory. */
fr_status fr_session_set(fr_session *s, fr_val param, const fr_tensor *value);
/* Random values for all parameters not yet bound: normal with the given deviation, by name. */
fr_status fr_session_init_random(fr_session *s, uint64_t seed, float deviation);
/* After writing to parameters: packed copies are made again at the next run. */
void fr_session_params_changed(fr_session *s);
size_t fr_session_arena_bytes(const fr_session *s); /* of the last plan */
/* From now on every node is timed. The table of the last plan: operators, time, share, operations and bytes a
 * second. */
fr_status fr_session_time_nodes(fr_session *s);
fr_status fr_session_print_times(const fr_session *s, FILE *out);
/* Where the time of many runs went: a line for each operator, one for copies that plans made. */
typedef struct fr_op_time {
    const char *name;
    double seconds;
} fr_op_time;
typedef struct fr_op_times {
    fr_op_time op[64];
    int count;
} fr_op_times;
/* Adds what the last run took, which was timed. */
void fr_session_add_times(const fr_session *s, fr_op_times *to);

#endif
