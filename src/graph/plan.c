/* plan.c: which nodes are needed, and making a plan of them. */
#include "graph/plan.h"

#include <string.h>

#include "graph/builder.h"
#include "graph/infer.h"

fr_status fr_live_nodes(const fr_graph *g, bool **out) {
    bool *live = fr_alloc(FR_MEM_OTHER, g->node_count + 1);
    bool *wanted = fr_alloc(FR_MEM_OTHER, g->value_count + 1);
    if (!live || !wanted) {
        fr_free(live);
        fr_free(wanted);
        return FR_NOMEM;
    }
    for (size_t i = 0; i < g->output_count; i++) wanted[g->outputs[i]] = true;
    for (size_t i = g->node_count; i-- > 0;) {
        const fr_node *n = g->nodes[i];
        if (n->dead) continue;
        live[i] = n->op->flags & FR_OP_STATE;
        for (int o = 0; o < n->nout; o++) live[i] |= wanted[n->out0 + o];
        for (int k = 0; live[i] && k < n->nin; k++)
            if (n->in[k] != FR_NONE) wanted[n->in[k]] = true;
    }
    fr_free(wanted);
    *out = live;
    return FR_OK;
}

fr_status fr_plan_new_place(fr_plan *p, fr_val value, size_t bytes, int32_t *out) {
    FR_TRY(fr_grow((void **)&p->places, &p->place_cap, p->place_count + 1, sizeof *p->places));
    *out = (int32_t)p->place_count;
    p->places[p->place_count++] =
        (fr_place){.value = value, .bytes = bytes, .first = -1, .last = -1, .same = -1};
    return FR_OK;
}

fr_call fr_step_describe(const fr_plan *p, const fr_step *s, fr_tensor *in, fr_tensor *out) {
    for (int i = 0; i < s->nin; i++) in[i] = s->in[i].desc;
    for (int i = 0; i < s->nout; i++) out[i] = s->out[i].desc;
    return (fr_call){.op = s->op,
                     .attr = s->attr,
                     .nin = s->nin,
                     .nout = s->nout,
                     .in = in,
                     .out = out,
                     .pool = p->opts->pool};
}

/* Weights are packed when all that the operator would pack never changes and lies as declared. */
static bool can_pack(const fr_plan *p, const fr_step *s) {
    bool any = false;
    if (p->opts->train || !s->op->pack || !s->op->pack_bytes) return false;
    for (int i = 0; i < s->nin; i++) {
        if (!(s->op->pack_inputs >> i & 1) || s->in[i].place < 0) continue;
        fr_val v = p->places[s->in[i].place].value;
        fr_value_kind kind = v == FR_NONE ? FR_VALUE_NODE : p->graph->values[v]->kind;
        if (kind != FR_VALUE_PARAM && kind != FR_VALUE_CONST) return false;
        if (!fr_same_shape(&s->in[i].desc, &p->desc[v]) || !fr_is_contiguous(&s->in[i].desc))
            return false;
        any = true;
    }
    return any;
}

/* Asks every step for the scratch memory that it wants. */
static fr_status add_scratch(fr_plan *p) {
    static const char packed_later; /* scratch() may only look whether there will be a packed one */
    for (size_t i = 0; i < p->step_count; i++) {
        fr_tensor in[FR_NODE_INPUTS], out[FR_NODE_OUTPUTS];
        fr_step *s = &p->steps[i];
        fr_call c = fr_step_describe(p, s, in, out);
        s->scratch = -1;
        s->pack = can_pack(p, s) && s->op->pack_bytes(&c) > 0;
        c.packed = s->pack ? &packed_later : NULL;
        size_t bytes = s->op->scratch ? s->op->scratch(&c) : 0;
        if (bytes) FR_TRY(fr_plan_new_place(p, FR_NONE, bytes, &s->scratch));
    }
    return FR_OK;
}

static fr_status make(fr_plan *p, const fr_tensor *desc, const bool *live) {
    size_t n = p->graph->value_count + 1;
    p->memory = fr_arena_new();
    if (!p->memory) return FR_NOMEM;
    p->desc = fr_arena_alloc(p->memory, n * sizeof *p->desc);
    p->at = fr_arena_alloc(p->memory, n * sizeof *p->at);
    p->dense = fr_arena_alloc(p->memory, n * sizeof *p->dense);
    p->place_of = fr_arena_alloc(p->memory, n * sizeof *p->place_of);
    p->outputs = fr_arena_alloc(p->memory, (p->graph->output_count + 1) * sizeof *p->outputs);
    if (!p->desc || !p->at || !p->dense || !p->place_of || !p->outputs) return FR_NOMEM;
    memcpy(p->desc, desc, p->graph->value_count * sizeof *desc);
    FR_TRY(fr_plan_lower(p, live));
    FR_TRY(add_scratch(p));
    return fr_plan_assign(p);
}

fr_status fr_plan_new(const fr_graph *g, const fr_tensor *desc, const bool *live,
                      const fr_session_opts *opts, fr_plan **out) {
    fr_plan *p = fr_alloc(FR_MEM_OTHER, sizeof *p);
    if (!p) return FR_NOMEM;
    p->graph = g;
    p->opts = opts;
    fr_status st = make(p, desc, live);
    if (st) {
        fr_plan_free(p);
        return st;
    }
    *out = p;
    return FR_OK;
}

void fr_plan_free(fr_plan *p) {
    if (!p) return;
    fr_arena_free(p->memory);
    fr_free(p->steps);
    fr_free(p->places);
    fr_free(p);
}
