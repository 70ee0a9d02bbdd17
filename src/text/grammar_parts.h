/* grammar_parts.h: what a grammar is made of, for the files of this room that read, run and use one.
 *
 *     text --grammar_read.c--> expressions --grammar_net.c--> a network of bytes --grammar_state.c--> states
 *
 * The network is one automaton a rule; an arrow may be a call of another rule. A state is the set of all places where
 * a text so far may stand, each with the calls it will return to. */
#ifndef FR_TEXT_GRAMMAR_PARTS_H
#define FR_TEXT_GRAMMAR_PARTS_H

#include "text/grammar.h"

/* ---- expressions ---- */

typedef enum fr_expr_kind {
    FR_EXPR_CLASS, /* one character of some */
    FR_EXPR_RULE,
    FR_EXPR_ALL, /* one after another; none: the empty text */
    FR_EXPR_ANY, /* one of them */
    FR_EXPR_REPEAT
} fr_expr_kind;

typedef struct fr_char_range {
    uint32_t low, high;
} fr_char_range;

typedef struct fr_expr {
    fr_expr_kind kind;
    struct fr_expr *child, *last, *next; /* children; the next one beside this */
    int32_t rule;
    int32_t least, most;   /* of a repetition; most < 0: no end */
    fr_char_range *ranges; /* of a class: in order, apart from each other */
    int32_t range_count;
} fr_expr;

typedef struct fr_rule {
    char *name;
    fr_expr *body; /* NULL: not yet */
    int32_t line;  /* where it is first named */
    int32_t start; /* in the network */
    int32_t end;
} fr_rule;

/* ---- the network ---- */

typedef enum fr_net_kind {
    FR_NET_BYTES, /* a byte, by one of its edges */
    FR_NET_SPLIT, /* nothing, by any of its edges */
    FR_NET_CALL,  /* a rule, then by its edge */
    FR_NET_END    /* of a rule */
} fr_net_kind;

typedef struct fr_net_edge {
    uint8_t low, high;
    int32_t to;
} fr_net_edge;

typedef struct fr_net_node {
    fr_net_kind kind;
    int32_t first, count; /* edges */
    int32_t rule;
} fr_net_node;

struct fr_grammar {
    fr_arena *arena; /* names, expressions */
    char *name;
    fr_rule *rules;
    size_t rule_count, rule_cap;
    int32_t root;
    fr_net_node *nodes;
    size_t node_count, node_cap;
    fr_net_edge *edges;
    size_t edge_count, edge_cap;
};

/* From expressions to the network, with the checks that need it. */
fr_status fr_grammar_link(fr_grammar *g);

/* ---- states ---- */

enum { FR_STATE_DEAD = -1, FR_STATE_UNKNOWN = -2 };

/* A place in the network and the calls it is in. */
typedef struct fr_place {
    int32_t node, calls;
} fr_place;

typedef struct fr_reading {
    uint32_t first, count; /* places */
    int32_t *next;         /* by byte; NULL: none is known */
    bool whole;            /* the text may end */
} fr_reading;

typedef struct fr_states {
    const fr_grammar *g;
    fr_place *calls; /* node: where to return; calls: of the caller. Number 0: none */
    size_t call_count, call_cap;
    fr_place *places; /* of all states */
    size_t place_count, place_cap;
    fr_reading *items;
    size_t count, cap;
    size_t rows; /* states with a list of next ones */
    /* Tables of numbers + 1 of calls and states, and of what a state that is made has. */
    uint32_t *call_slots, *state_slots, *seen;
    size_t call_mask, state_mask, seen_mask;
    fr_place *work;
    size_t work_count, work_cap;
    int32_t start;
} fr_states;

fr_status fr_states_new(const fr_grammar *g, fr_states *out);
void fr_states_free(fr_states *s);
/* The state after a byte. */
fr_status fr_states_next(fr_states *s, int32_t state, uint8_t byte, int32_t *next);
/* Whether so much is known that what no one stands on should be forgotten. */
bool fr_states_full(const fr_states *s);
/* The same state among others of the same grammar. */
fr_status fr_states_move(const fr_states *from, int32_t state, fr_states *to, int32_t *out);

/* ---- where a sequence stands (grammar_mask.c) ---- */

typedef struct fr_stand fr_stand;
fr_status fr_stand_new(fr_constraint *c, fr_stand **out);
void fr_stand_free(fr_stand *s);
void fr_stand_reset(fr_stand *s);
/* Takes away (-INFINITY) the logits of tokens that can not come next. */
fr_status fr_stand_mask(fr_stand *s, float *logits, int32_t count);
fr_status fr_stand_accept(fr_stand *s, int32_t token);
void fr_stand_undo(fr_stand *s, int32_t count);
bool fr_stand_finished(const fr_stand *s);

#endif
