/* session.h: the inside of a session: a graph with its parameters, states and plans.
 *
 *     session.c  making and freeing, states, looking things up
 *     bind.c     parameters: from a store, from memory, at random; which are missing
 *     bring.c    values of other types than the graph's
 *     whole.c    parameters made of others
 *     exec.c     plans by input shape, pointers into them, the loop that runs them */
#ifndef FR_GRAPH_SESSION_H
#define FR_GRAPH_SESSION_H

#include "graph/plan.h"

/* Where a parameter, state or constant lies. */
typedef struct fr_binding {
    fr_tensor t; /* data NULL: not yet anywhere */
    bool owned;  /* ours to write and to free; otherwise mapped, or part of a stacked one */
    bool filled; /* holds values */
    /* Values that wait, t.data being NULL: in another type, or in few bits. */
    fr_tensor from;
    struct fr_quantized *few;
} fr_binding;

typedef struct fr_packed {
    void *data;
    size_t bytes;
    bool stale;
} fr_packed;

/* An operand that lies in an input: its pointer is new at every run. */
typedef struct fr_patch {
    fr_tensor *t;
    int32_t input;
    int64_t offset;
} fr_patch;

/* A plan with the calls that the executor goes through. */
typedef struct fr_ready {
    fr_plan *plan;
    fr_tensor *desc; /* of all values; those of the inputs are the key */
    fr_call *calls;
    fr_tensor *tensors; /* operands of all calls, one after another */
    fr_patch *patches;
    size_t patch_count;
    fr_tensor *outputs;
    uint64_t epoch, used;
} fr_ready;

#define FR_PLANS_KEPT 8

struct fr_session {
    const fr_graph *graph;
    fr_session_opts opts;
    fr_pool *own_pool;
    size_t value_count, node_count; /* of the graph when the session was made */
    bool *live;                     /* nodes */
    bool *needed;                   /* values that live nodes or outputs read */
    fr_tensor *desc;                /* types and shapes of values, with those that opts change */
    fr_binding *bound;              /* by value */
    fr_packed *packed;              /* by node */
    fr_ready ready[FR_PLANS_KEPT];
    fr_ready *current;
    uint64_t clock;
    uint64_t epoch; /* grows when pointers that plans hold are no longer right */
    uint8_t *arena;
    size_t arena_bytes;
    uint8_t *lent; /* while weights are packed: where those that are apart come together */
    size_t lent_bytes;
    bool ran;
    double *times; /* the shortest time of each node and of the copies of its value, or NULL */
    double *took;  /* and the last one */
};

fr_status fr_session_check_params(const fr_session *s); /* says which are missing */
void fr_session_drop_plans(fr_session *s);

/* from real numbers to others: whether that can be, with a sentence; doing it. */
fr_status fr_can_convert(const fr_tensor *from, const fr_tensor *to);
void fr_convert(const fr_tensor *from, const fr_tensor *to, fr_pool *pool);
fr_status fr_decode_few(const struct fr_quantized *q, const fr_tensor *to, fr_pool *pool);
/* Whether values wait where they are; as the graph wants them, to where there is room for them. */
bool fr_session_waits(const fr_session *s, fr_val v);
fr_status fr_session_bring(const fr_session *s, fr_val v, void *to);
void fr_session_end_waiting(fr_session *s, fr_val v);

/* Whether the parameter has values only in its parts, each where it is mapped or waits, or waits itself. */
bool fr_session_is_apart(const fr_session *s, fr_val v);
/* Gives it (or the whole that it is a part of) memory of its own, with its parts inside. */
fr_status fr_session_join(fr_session *s, fr_val v);
fr_status fr_session_join_all(fr_session *s);
fr_status fr_session_join_for(fr_session *s, const fr_plan *p); /* all that a run reads */
/* op->pack of a step with parameters that are apart, and without keeping what it read; in: its operands. */
fr_status fr_session_pack(fr_session *s, const fr_plan *p, const fr_step *step, fr_tensor *in,
                          fr_call *c, void *out);
void fr_session_end_packing(fr_session *s);

#endif
