/* grad.c: reverse-mode differentiation as a pass: it walks the nodes backwards from a scalar and
 * lets each operator add the nodes of its gradient.
 *
 * Gradients that meet in one value are added in the order in which the walk finds them, so the
 * bits are the same every time. Nodes that no wanted parameter leads to are passed over.
 *
 * Recomputation (Chen et al., Training deep nets with sublinear memory cost, 2016): when the walk
 * enters a segment marked by fr_recompute_begin, the nodes of that segment are made once more, and
 * the gradients look at these copies; so the first ones die in the forward pass already. The same
 * operators work on the same operands, and the bits do not change. */
#include <string.h>

#include "graph/builder.h"
#include "graph/infer.h"

typedef struct walk {
    fr_graph *g;
    size_t values, nodes; /* of the forward graph */
    bool *depends;        /* value: leads on to a wanted one */
    fr_val *grad;         /* value -> its gradient so far */
    fr_val *again;        /* value -> its copy in a recomputed segment, or FR_NONE */
    bool *cloned;         /* segments */
} walk;

void fr_recompute_begin(fr_graph *g, const char *name) {
    if (!g || g->status) return;
    if (g->segment >= 0) {
        fr_emit_fail(g, fr_fail(FR_INVALID, "The recomputed segment '%s' begins inside another.",
                                name ? name : ""));
        return;
    }
    g->segment = g->segment_count++;
}

void fr_recompute_end(fr_graph *g) {
    if (!g || g->status) return;
    if (g->segment < 0)
        fr_emit_fail(g, fr_fail(FR_INVALID, "fr_recompute_end without fr_recompute_begin."));
    g->segment = -1;
}

/* ---- what depends on what ---- */

static bool is_real(const fr_graph *g, fr_val v) {
    return v != FR_NONE && fr_dtype_get(g->values[v]->desc.dtype)->real;
}

static void find_dependents(walk *w, int count, const fr_val *wrt) {
    for (int i = 0; i < count; i++) w->depends[wrt[i]] = true;
    for (size_t i = 0; i < w->nodes; i++) {
        const fr_node *n = w->g->nodes[i];
        bool any = false;
        for (int k = 0; k < n->nin; k++) any |= n->in[k] != FR_NONE && w->depends[n->in[k]];
        for (int k = 0; k < n->nout; k++)
            if (any && is_real(w->g, n->out0 + k)) w->depends[n->out0 + k] = true;
    }
}

/* ---- recomputation ---- */

static fr_val now(const walk *w, fr_val v) {
    return v != FR_NONE && w->again[v] != FR_NONE ? w->again[v] : v;
}

/* What a state held in the forward pass is gone, so nodes that touch one are not made again. */
static bool can_clone(const fr_graph *g, const fr_node *n) {
    if (n->op->flags & FR_OP_STATE) return false;
    for (int k = 0; k < n->nin; k++)
        if (n->in[k] != FR_NONE && fr_state_of(g, n->in[k]) != FR_NONE) return false;
    return true;
}

/* Behind its segment a value is read as it was kept. */
static fr_val seen_from(const walk *w, const fr_node *n, fr_val v) {
    if (v == FR_NONE || n->segment < 0 || w->g->values[v]->node < 0) return v;
    return w->g->nodes[w->g->values[v]->node]->segment == n->segment ? now(w, v) : v;
}

static fr_status clone_segment(walk *w, int32_t segment) {
    if (w->cloned[segment]) return FR_OK;
    w->cloned[segment] = true;
    for (size_t i = 0; i < w->nodes; i++) {
        const fr_node *n = w->g->nodes[i];
        fr_val in[FR_NODE_INPUTS];
        if (n->segment != segment || n->dead || !can_clone(w->g, n)) continue;
        for (int k = 0; k < n->nin; k++) in[k] = seen_from(w, n, n->in[k]);
        fr_val out = fr_emit(w->g, n->op, n->nin, in, n->attr);
        if (out == FR_NONE) return fr_graph_check(w->g);
        for (int k = 0; k < n->nout; k++) w->again[n->out0 + k] = out + k;
    }
    return FR_OK;
}

/* ---- the walk ---- */

static fr_status add_to(walk *w, fr_val v, fr_val d) {
    if (w->grad[v] == FR_NONE) {
        w->grad[v] = d;
        return FR_OK;
    }
    fr_val a = w->grad[v];
    fr_dtype ta = fr_desc(w->g, a)->dtype, td = fr_desc(w->g, d)->dtype;
    if (ta != td && ta != FR_F32) a = fr_cast(w->g, a, FR_F32);
    if (ta != td && td != FR_F32) d = fr_cast(w->g, d, FR_F32);
    w->grad[v] = fr_add(w->g, a, d);
    return fr_graph_check(w->g);
}

static fr_status check_shape(const fr_graph *g, const fr_node *n, int k, fr_val d) {
    char have[FR_SHAPE_TEXT], want[FR_SHAPE_TEXT];
    const fr_tensor *v = fr_desc(g, n->in[k]), *t = fr_desc(g, d);
    if (fr_same_shape(v, t)) return FR_OK;
    return fr_fail(FR_INVALID, "%s: the gradient of input %d of %s is %s, and the input %s.",
                   n->name, k, n->op->name, fr_shape_text(t, have), fr_shape_text(v, want));
}

/* Fills what the rule may look at; false when there is nothing to do. */
static bool prepare(walk *w, const fr_node *n, fr_val *dout, bool *need) {
    bool any_out = false, any_in = false;
    for (int k = 0; k < n->nout; k++) {
        dout[k] = w->grad[n->out0 + k];
        any_out |= dout[k] != FR_NONE;
    }
    for (int k = 0; k < n->nin; k++) {
        need[k] = n->in[k] != FR_NONE && w->depends[n->in[k]] && is_real(w->g, n->in[k]);
        any_in |= need[k];
    }
    return any_out && any_in && !n->dead && !(n->op->flags & FR_OP_NO_GRAD);
}

static fr_status call_rule(walk *w, const fr_node *n, const fr_val *dout, const bool *need,
                           fr_val *din) {
    fr_val in[FR_NODE_INPUTS], out[FR_NODE_OUTPUTS];
    for (int k = 0; k < n->nin; k++) {
        in[k] = seen_from(w, n, n->in[k]);
        din[k] = FR_NONE;
    }
    for (int k = 0; k < n->nout; k++) out[k] = seen_from(w, n, n->out0 + k);
    fr_grad r = {.g = w->g,
                 .op = n->op,
                 .attr = n->attr,
                 .nin = n->nin,
                 .nout = n->nout,
                 .in = in,
                 .out = out,
                 .dout = dout,
                 .need = need,
                 .din = din};
    fr_status st = n->op->grad(&r);
    if (st) return fr_fail_in(st, "%s: its gradient", n->name);
    return fr_graph_check(w->g);
}

/* In the backward pass a state holds what was written in the meantime. */
static fr_status check_states(const walk *w, const fr_node *n) {
    size_t self = (size_t)w->g->values[n->out0]->node;
    for (int k = 0; k < n->nin; k++) {
        fr_val state = fr_state_of(w->g, n->in[k]);
        if (state != FR_NONE && fr_state_changes(w->g, state, self + 1))
            return fr_fail(FR_UNSUPPORTED,
                           "%s: its gradient needs the state '%s' as it was, and that is written "
                           "later.",
                           n->name, w->g->values[state]->name);
    }
    return FR_OK;
}

static fr_status back_through(walk *w, const fr_node *n) {
    fr_val dout[FR_NODE_OUTPUTS], din[FR_NODE_INPUTS];
    bool need[FR_NODE_INPUTS];
    if (!prepare(w, n, dout, need)) return FR_OK;
    if (!n->op->grad)
        return fr_fail(FR_UNSUPPORTED, "%s: the operator %s has no gradient.", n->name,
                       n->op->name);
    FR_TRY(check_states(w, n));
    if (n->segment >= 0) FR_TRY(clone_segment(w, n->segment));
    FR_TRY(call_rule(w, n, dout, need, din));
    for (int k = 0; k < n->nin; k++) {
        if (!need[k] || din[k] == FR_NONE) continue;
        FR_TRY(check_shape(w->g, n, k, din[k]));
        FR_TRY(add_to(w, n->in[k], din[k]));
    }
    return FR_OK;
}

static fr_val filled(fr_graph *g, const fr_tensor *shape, float value) {
    fr_tensor t = fr_tensor_make(FR_F32, shape->rank, shape->dim, NULL);
    int64_t n = fr_values(&t);
    float *v = fr_alloc(FR_MEM_OTHER, fr_bytes(&t));
    if (!v) return fr_emit_fail(g, FR_NOMEM);
    for (int64_t i = 0; i < n; i++) v[i] = value;
    t.data = v;
    fr_val c = fr_constant(g, &t);
    fr_free(v);
    return c;
}

/* Nodes of the backward pass are named after those that they belong to. */
static fr_status walk_back(walk *w, fr_val loss, int count, const fr_val *wrt, fr_val *grad) {
    fr_graph *g = w->g;
    w->grad[loss] = filled(g, fr_desc(g, loss), 1.0f);
    for (size_t i = w->nodes; i-- > 0;) {
        fr_scope(g, g->nodes[i]->name);
        FR_TRY(fr_graph_check(g));
        FR_TRY(back_through(w, g->nodes[i]));
        fr_scope_end(g);
    }
    for (int i = 0; i < count; i++) {
        grad[i] = w->grad[wrt[i]];
        if (grad[i] == FR_NONE) grad[i] = filled(g, fr_desc(g, wrt[i]), 0.0f);
    }
    return fr_graph_check(g);
}

static fr_status check_request(fr_graph *g, fr_val loss, int count, const fr_val *wrt) {
    char text[FR_SHAPE_TEXT];
    FR_TRY(fr_graph_check(g));
    if (loss <= 0 || (size_t)loss >= g->value_count)
        return fr_fail(FR_INVALID, "fr_gradients was given no loss.");
    const fr_tensor *t = fr_desc(g, loss);
    if (t->rank != 0 || t->dtype != FR_F32)
        return fr_fail(FR_INVALID, "Gradients are taken of one f32 number, and the loss is %s.",
                       fr_shape_text(t, text));
    for (int i = 0; i < count; i++) {
        if (wrt[i] <= 0 || (size_t)wrt[i] >= g->value_count)
            return fr_fail(FR_INVALID, "fr_gradients: value %d to differentiate by is missing.", i);
        if (!is_real(g, wrt[i]))
            return fr_fail(FR_INVALID, "There is no gradient by the integers %s.",
                           fr_shape_text(fr_desc(g, wrt[i]), text));
    }
    return FR_OK;
}

static fr_status allocate(walk *w) {
    size_t n = w->values + 1;
    w->depends = fr_alloc(FR_MEM_OTHER, n);
    w->grad = fr_alloc_array(FR_MEM_OTHER, n, sizeof *w->grad);
    w->again = fr_alloc_array(FR_MEM_OTHER, n, sizeof *w->again);
    w->cloned = fr_alloc(FR_MEM_OTHER, (size_t)w->g->segment_count + 1);
    if (!w->depends || !w->grad || !w->again || !w->cloned) return FR_NOMEM;
    for (size_t i = 0; i < n; i++) w->grad[i] = w->again[i] = FR_NONE;
    return FR_OK;
}

fr_status fr_gradients(fr_graph *g, fr_val loss, int count, const fr_val *wrt, fr_val *grad) {
    if (!g || count < 0 || (count && (!wrt || !grad)))
        return fr_fail(FR_INVALID,
                       "fr_gradients needs a graph, a loss and what to differentiate by.");
    for (int i = 0; i < count; i++) grad[i] = FR_NONE;
    fr_status st = check_request(g, loss, count, wrt);
    if (st) return st;
    walk w = {.g = g, .values = g->value_count, .nodes = g->node_count};
    st = allocate(&w);
    if (!st) {
        find_dependents(&w, count, wrt);
        size_t depth = g->scope_depth;
        int32_t segment = g->segment;
        bool backward = g->backward;
        g->segment = -1;
        g->backward = true;
        fr_scope(g, "grad");
        st = walk_back(&w, loss, count, wrt, grad);
        while (!g->status && g->scope_depth > depth) fr_scope_end(g);
        g->segment = segment;
        g->backward = backward;
    }
    if (st) fr_emit_fail(g, st);
    fr_free(w.depends);
    fr_free(w.grad);
    fr_free(w.again);
    fr_free(w.cloned);
    return st;
}
