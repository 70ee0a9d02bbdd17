/* session.c: making a session, its states, and what the outside may look at. */
#include "graph/session.h"

#include <string.h>

/* Values that are read when the graph runs, and so must be there. */
static void find_needed(fr_session *s) {
    const fr_graph *g = s->graph;
    for (size_t i = 0; i < g->output_count; i++) s->needed[g->outputs[i]] = true;
    for (size_t i = 0; i < g->node_count; i++) {
        const fr_node *n = g->nodes[i];
        for (int k = 0; s->live[i] && k < n->nin; k++)
            if (n->in[k] != FR_NONE) s->needed[n->in[k]] = true;
    }
}

/* opts.weights: parameters that only ever are the weight of a linear are kept in that type. */
static void choose_types(fr_session *s) {
    const fr_graph *g = s->graph;
    fr_dtype t = s->opts.weights;
    for (size_t v = 0; v < g->value_count; v++) s->desc[v] = g->values[v]->desc;
    if (t == FR_NOTYPE) return;
    for (size_t i = 0; i < g->node_count; i++) {
        const fr_node *n = g->nodes[i];
        if (!s->live[i] || n->op != &fr_op_linear || n->in[1] == FR_NONE) continue;
        if (g->values[n->in[1]]->kind == FR_VALUE_PARAM && s->desc[n->in[1]].dtype == FR_F32)
            s->desc[n->in[1]].dtype = t;
    }
    for (size_t i = 0; i < g->node_count; i++) {
        const fr_node *n = g->nodes[i];
        for (int k = 0; s->live[i] && k < n->nin; k++)
            if (n->in[k] != FR_NONE && !(n->op == &fr_op_linear && k == 1))
                s->desc[n->in[k]] = g->values[n->in[k]]->desc;
    }
    for (size_t v = 0; v < g->value_count; v++)
        if (g->values[v]->whole != FR_NONE) s->desc[v].dtype = s->desc[g->values[v]->whole].dtype;
}

static fr_status make_states(fr_session *s) {
    for (size_t v = 0; v < s->value_count; v++) {
        fr_binding *b = &s->bound[v];
        b->t = s->desc[v];
        b->filled = s->graph->values[v]->kind == FR_VALUE_CONST;
        if (s->graph->values[v]->kind != FR_VALUE_STATE) continue;
        fr_mem_kind kind = s->opts.states ? s->opts.states : FR_MEM_STATE;
        b->t.data = fr_alloc(kind, fr_bytes(&b->t));
        if (!b->t.data)
            return fr_fail(FR_NOMEM, "There is no memory for the state '%s' of %zu bytes.",
                           s->graph->values[v]->name, fr_bytes(&b->t));
        b->owned = b->filled = true;
    }
    return FR_OK;
}

static fr_status make(fr_session *s) {
    size_t values = s->value_count + 1, nodes = s->node_count + 1;
    s->needed = fr_alloc(FR_MEM_OTHER, values);
    s->desc = fr_alloc(FR_MEM_OTHER, values * sizeof *s->desc);
    s->bound = fr_alloc(FR_MEM_OTHER, values * sizeof *s->bound);
    s->packed = fr_alloc(FR_MEM_OTHER, nodes * sizeof *s->packed);
    if (!s->needed || !s->desc || !s->bound || !s->packed) return FR_NOMEM;
    FR_TRY(fr_live_nodes(s->graph, &s->live));
    find_needed(s);
    choose_types(s);
    return make_states(s);
}

fr_status fr_session_new_with(fr_graph *g, const fr_session_opts *opts, fr_session **out) {
    if (!out) return fr_fail(FR_INVALID, "fr_session_new needs a place for the session.");
    *out = NULL;
    FR_TRY(fr_graph_check(g));
    fr_session *s = fr_alloc(FR_MEM_OTHER, sizeof *s);
    if (!s) return FR_NOMEM;
    s->graph = g;
    if (opts) s->opts = *opts;
    s->value_count = g->value_count;
    s->node_count = g->node_count;
    s->epoch = 1;
    fr_status st = make(s);
    if (st) {
        fr_session_free(s);
        return st;
    }
    *out = s;
    return FR_OK;
}

fr_status fr_session_new(fr_graph *g, fr_session **out) {
    fr_pool *pool;
    FR_TRY(fr_pool_new(0, &pool));
    fr_session_opts opts = {.pool = pool};
    fr_status st = fr_session_new_with(g, &opts, out);
    if (st)
        fr_pool_free(pool);
    else
        (*out)->own_pool = pool;
    return st;
}

void fr_session_free(fr_session *s) {
    if (!s) return;
    fr_session_drop_plans(s);
    for (size_t v = 0; s->bound && v < s->value_count; v++)
        if (s->bound[v].owned) fr_free(s->bound[v].t.data);
    for (size_t v = 0; s->bound && v < s->value_count; v++) fr_free(s->bound[v].few);
    for (size_t i = 0; s->packed && i < s->node_count; i++) fr_free(s->packed[i].data);
    fr_free(s->arena);
    fr_free(s->live);
    fr_free(s->needed);
    fr_free(s->desc);
    fr_free(s->bound);
    fr_free(s->packed);
    fr_free(s->times);
    fr_pool_free(s->own_pool);
    fr_free(s);
}

const fr_tensor *fr_session_output(const fr_session *s, const char *name) {
    if (!s || !name || !s->ran || !s->current) return NULL;
    for (size_t i = 0; i < s->graph->output_count; i++)
        if (!strcmp(s->graph->output_names[i], name)) return &s->current->outputs[i];
    return NULL;
}

fr_tensor *fr_session_tensor(fr_session *s, fr_val v) {
    if (!s || v <= 0 || (size_t)v >= s->value_count) return NULL;
    fr_value_kind kind = s->graph->values[v]->kind;
    if (kind != FR_VALUE_PARAM && kind != FR_VALUE_STATE) return NULL;
    if (fr_session_is_apart(s, v) && fr_session_join(s, v)) return NULL;
    return s->bound[v].filled ? &s->bound[v].t : NULL;
}

size_t fr_session_arena_bytes(const fr_session *s) {
    return s->current ? s->current->plan->arena_bytes : 0;
}
