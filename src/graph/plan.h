/* plan.h: a plan is a graph made ready for inputs of given shapes: the steps in order, where each
 * operand lies, and the size of the memory they share. It holds no pointer to any data, so one
 * plan serves as well to tell the cost of a graph that is never run.
 *
 *     lower.c   nodes -> steps; views become aliases; copies where a view cannot be read as it is
 *     assign.c  lifetimes, writing over operands that die, offsets in the arena
 *     plan.c    puts these together */
#ifndef FR_GRAPH_PLAN_H
#define FR_GRAPH_PLAN_H

#include "graph/graph.h"

/* Memory of its own: a block of the arena, or an input, parameter, state or constant. */
typedef struct fr_place {
    fr_val value; /* outside of the arena: whose memory it is; FR_NONE inside */
    size_t bytes, offset;
    int32_t first, last; /* the steps between which it is in use; first -1: never */
    int32_t same;        /* the place that this one was laid over, or -1 */
} fr_place;

/* Where a value lies. */
typedef struct fr_operand {
    int32_t place;  /* -1: absent */
    int64_t offset; /* bytes */
    fr_tensor desc; /* data NULL */
} fr_operand;

typedef struct fr_step {
    const fr_op *op;
    const void *attr;
    int32_t node; /* the node that it computes, or copies the value of */
    int32_t nin, nout;
    fr_operand *in, *out;
    int32_t scratch; /* place, or -1 */
    bool copy;       /* made by the plan, not by the model */
    bool pack;       /* op->pack is worth calling for the weights of this node */
} fr_step;

typedef struct fr_plan {
    fr_arena *memory; /* of everything below that lives as long as the plan */
    const fr_graph *graph;
    const fr_session_opts *opts;
    fr_tensor *desc;   /* of every value, for these inputs */
    fr_operand *at;    /* where every value lies, place -1: nowhere (yet) */
    fr_operand *dense; /* the contiguous copy of a view, where one was needed */
    int32_t *place_of; /* of inputs, params, states, constants */
    fr_step *steps;
    size_t step_count, step_cap;
    fr_place *places;
    size_t place_count, place_cap;
    fr_operand *outputs; /* of the graph */
    size_t arena_bytes;
} fr_plan;

/* desc: the type and shape of every input, parameter, state and constant of the graph, by value
 * number. live: which nodes are needed, see fr_live_nodes. */
fr_status fr_plan_new(const fr_graph *g, const fr_tensor *desc, const bool *live,
                      const fr_session_opts *opts, fr_plan **out);
void fr_plan_free(fr_plan *p);

/* live[i]: node i leads to an output or writes a state. May be handed to fr_free. */
fr_status fr_live_nodes(const fr_graph *g, bool **live);

/* The parts of fr_plan_new. */
fr_status fr_plan_lower(fr_plan *p, const bool *live);
fr_status fr_plan_assign(fr_plan *p);
fr_status fr_plan_new_place(fr_plan *p, fr_val value, size_t bytes, int32_t *out);
/* The call of a step, all descriptions and no data; tensors go to in and out. */
fr_call fr_step_describe(const fr_plan *p, const fr_step *s, fr_tensor *in, fr_tensor *out);
void fr_step_cost(const fr_plan *p, const fr_step *s, fr_cost *out);
/* The place itself, or the one that it was laid over. */
static inline fr_place *fr_place_root(const fr_plan *p, int32_t i) {
    while (p->places[i].same >= 0) i = p->places[i].same;
    return &p->places[i];
}

#endif
