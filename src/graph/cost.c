/* cost.c: what one run takes: operations, bytes moved, parameters, memory at the peak. By the
 * shapes as built; of a step of a plan by those that it is made for. Views cost nothing; other operators say their operations themselves, or count as
 * one a value of output. */
#include "graph/infer.h"
#include "graph/plan.h"

static bool is_free(const fr_call *c) {
    int64_t offset = 0;
    fr_tensor view = c->out[0];
    return (c->op->flags & FR_OP_VIEW) && c->op->view && c->op->view(c, &view, &offset);
}

/* An operator knows its operations, and whether it reads less than the whole of its inputs: some
 * rows of a table, be it a value or a parameter. */
static void take_hook(const fr_call *c, fr_cost *out) {
    fr_cost own = {0};
    c->op->cost(c, &own);
    out->ops = own.ops;
    if (own.read > 0 && own.read < out->read) out->read = own.read;
    if (own.read > out->read) out->param = FR_MIN(out->param, own.read - out->read);
}

/* weight[i]: input i is a parameter or a constant. */
static void cost_of(const fr_call *c, const bool *weight, fr_cost *out) {
    *out = (fr_cost){0};
    if (is_free(c)) return;
    for (int i = 0; i < c->nin; i++)
        if (fr_has(c, i)) *(weight[i] ? &out->param : &out->read) += (double)fr_bytes(&c->in[i]);
    for (int i = 0; i < c->nout; i++) out->write += (double)fr_bytes(&c->out[i]);
    out->ops = (double)fr_values(&c->out[0]);
    if (c->op->cost) take_hook(c, out);
}

static bool is_weight(const fr_graph *g, fr_val v) {
    fr_value_kind kind = g->values[v]->kind;
    return kind == FR_VALUE_PARAM || kind == FR_VALUE_CONST;
}

fr_status fr_node_cost(const fr_graph *g, size_t node, fr_cost *out) {
    fr_tensor in[FR_NODE_INPUTS], outs[FR_NODE_OUTPUTS];
    bool weight[FR_NODE_INPUTS];
    *out = (fr_cost){0};
    if (!g || node >= g->node_count)
        return fr_fail(FR_INVALID, "There is no node %zu in the graph.", node);
    const fr_node *n = g->nodes[node];
    fr_call c = fr_describe_call(g, n, in, outs);
    for (int i = 0; i < n->nin; i++) weight[i] = is_weight(g, n->in[i]);
    cost_of(&c, weight, out);
    return FR_OK;
}

void fr_step_cost(const fr_plan *p, const fr_step *s, fr_cost *out) {
    fr_tensor in[FR_NODE_INPUTS], outs[FR_NODE_OUTPUTS];
    bool weight[FR_NODE_INPUTS];
    fr_call c = fr_step_describe(p, s, in, outs);
    for (int i = 0; i < s->nin; i++) {
        fr_val v = s->in[i].place < 0 ? FR_NONE : fr_place_root(p, s->in[i].place)->value;
        weight[i] = is_weight(p->graph, v);
    }
    cost_of(&c, weight, out);
}

/* Counts every parameter and state that is in use once, however many nodes read it. */
static fr_status count_stored(const fr_graph *g, const bool *live, fr_graph_cost *out) {
    bool *seen = fr_alloc(FR_MEM_OTHER, g->value_count + 1);
    if (!seen) return FR_NOMEM;
    for (size_t i = 0; i < g->node_count; i++) {
        const fr_node *n = g->nodes[i];
        for (int k = 0; live[i] && k < n->nin; k++)
            if (n->in[k] != FR_NONE) seen[n->in[k]] = true;
    }
    for (size_t i = 0; i < g->output_count; i++) seen[g->outputs[i]] = true;
    for (size_t v = 0; v < g->value_count; v++) {
        double bytes = (double)fr_bytes(&g->values[v]->desc);
        if (g->values[v]->kind == FR_VALUE_STATE)
            out->state_bytes += bytes;
        else if (seen[v] && g->values[v]->kind == FR_VALUE_PARAM)
            out->param_bytes += bytes;
    }
    fr_free(seen);
    return FR_OK;
}

static fr_status count_peak(const fr_graph *g, const bool *live, fr_graph_cost *out) {
    fr_session_opts opts = {0};
    fr_plan *plan;
    fr_tensor *desc = fr_alloc_array(FR_MEM_OTHER, g->value_count + 1, sizeof *desc);
    if (!desc) return FR_NOMEM;
    for (size_t v = 0; v < g->value_count; v++) desc[v] = g->values[v]->desc;
    fr_status st = fr_plan_new(g, desc, live, &opts, &plan);
    fr_free(desc);
    if (st) return st;
    out->peak_activation_bytes = (double)plan->arena_bytes;
    fr_plan_free(plan);
    return FR_OK;
}

static fr_status sum(const fr_graph *g, const bool *live, fr_graph_cost *out) {
    for (size_t i = 0; i < g->node_count; i++) {
        fr_cost c;
        if (!live[i]) continue;
        FR_TRY(fr_node_cost(g, i, &c));
        out->total.ops += c.ops;
        out->total.read += c.read;
        out->total.write += c.write;
        out->total.param += c.param;
        out->nodes++;
    }
    FR_TRY(count_stored(g, live, out));
    return count_peak(g, live, out);
}

fr_status fr_graph_cost_of(fr_graph *g, fr_graph_cost *out) {
    bool *live;
    *out = (fr_graph_cost){0};
    FR_TRY(fr_graph_check(g));
    FR_TRY(fr_live_nodes(g, &live));
    fr_status st = sum(g, live, out);
    fr_free(live);
    return st;
}

fr_status fr_prune_dead(fr_graph *g) {
    bool *live;
    FR_TRY(fr_graph_check(g));
    FR_TRY(fr_live_nodes(g, &live));
    for (size_t i = 0; i < g->node_count; i++) g->nodes[i]->dead |= !live[i];
    fr_free(live);
    return FR_OK;
}
