/* lower.c: from nodes to steps.
 *
 * Shapes are inferred for the inputs at hand. A view (reshape, permute, slice) costs no step: it
 * becomes an alias, another way to look at the memory of its operand. A step that cannot read it so
 * (see op->strided) gets a contiguous copy, made once for all such readers, just before the first.
 */
#include "graph/plan.h"

#include <string.h>

#include "graph/builder.h"
#include "graph/infer.h"

static const fr_operand nowhere = {.place = -1};

/* ---- copies ---- */

static fr_status copy_shape(const fr_call *c) {
    c->out[0] = c->in[0];
    return FR_OK;
}

static fr_status copy_run(const fr_call *c) {
    fr_copy_contiguous(&c->in[0], c->out[0].data);
    return FR_OK;
}

static const fr_op copy_op = {.name = "copy",
                              .nin_min = 1,
                              .nin_max = 1,
                              .nout = 1,
                              .strided = 1,
                              .shape = copy_shape,
                              .run = copy_run};

/* ---- operands ---- */

/* May input i of op be read where it lies? */
static bool readable(const fr_op *op, int i, const fr_operand *o) {
    const fr_tensor *t = &o->desc;
    if (o->place < 0 || fr_is_contiguous(t)) return true;
    if (!(op->strided >> FR_MIN(i, 31) & 1)) return false; /* the last bit stands for the rest */
    return t->rank == 0 || t->stride[t->rank - 1] == 1 || t->dim[t->rank - 1] == 1;
}

static fr_status add_step(fr_plan *p, const fr_op *op, const void *attr, int32_t node, int nin,
                          int nout, fr_step **out) {
    FR_TRY(fr_grow((void **)&p->steps, &p->step_cap, p->step_count + 1, sizeof *p->steps));
    fr_step *s = &p->steps[p->step_count];
    *s = (fr_step){.op = op, .attr = attr, .node = node, .nin = nin, .nout = nout, .scratch = -1};
    s->in = fr_arena_alloc(p->memory, (size_t)FR_MAX_OF(nin, 1) * sizeof *s->in);
    s->out = fr_arena_alloc(p->memory, (size_t)nout * sizeof *s->out);
    if (!s->in || !s->out) return FR_NOMEM;
    p->step_count++;
    *out = s;
    return FR_OK;
}

/* Fresh memory in the arena for a value of this shape. */
static fr_status fresh(fr_plan *p, const fr_tensor *desc, fr_operand *out) {
    *out = (fr_operand){.desc = *desc};
    fr_set_contiguous(&out->desc);
    out->desc.data = NULL;
    return fr_plan_new_place(p, FR_NONE, fr_bytes(&out->desc), &out->place);
}

/* A contiguous copy of a value, by the view's own run() where that can read its operand. */
static fr_status copy_value(fr_plan *p, fr_val v, fr_operand *out) {
    const fr_value *value = p->graph->values[v];
    const fr_node *n = value->node >= 0 ? p->graph->nodes[value->node] : NULL;
    bool own = n && n->nin == 1 && (n->op->flags & FR_OP_VIEW) && p->at[n->in[0]].place >= 0 &&
               readable(n->op, 0, &p->at[n->in[0]]);
    fr_step *s;
    FR_TRY(add_step(p, own ? n->op : &copy_op, own ? n->attr : NULL, value->node, 1, 1, &s));
    s->copy = true;
    s->in[0] = own ? p->at[n->in[0]] : p->at[v];
    FR_TRY(fresh(p, &p->desc[v], out));
    s->out[0] = *out;
    return FR_OK;
}

/* The value in one piece. */
static fr_status dense_value(fr_plan *p, fr_val v, fr_operand *out) {
    if (fr_is_contiguous(&p->at[v].desc)) {
        *out = p->at[v];
        return FR_OK;
    }
    if (p->dense[v].place < 0) FR_TRY(copy_value(p, v, &p->dense[v]));
    *out = p->dense[v];
    return FR_OK;
}

/* ---- views ---- */

/* Does a later node write the state in which this memory lies? Then a view would change under its
 * readers, and the value is copied where it stands in the order of the model. */
static bool written_later(const fr_plan *p, int32_t place, size_t node) {
    fr_val v = p->places[place].value;
    return v != FR_NONE && p->graph->values[v]->kind == FR_VALUE_STATE &&
           fr_state_changes(p->graph, v, node + 1);
}

static bool view_over(const fr_plan *p, const fr_node *n, const fr_operand *under,
                      fr_operand *out) {
    fr_tensor view = p->desc[n->out0];
    fr_tensor in[FR_NODE_INPUTS] = {under->desc};
    int64_t offset = 0;
    for (int i = 1; i < n->nin; i++)
        if (n->in[i] != FR_NONE) in[i] = p->desc[n->in[i]];
    fr_call c = {.op = n->op, .attr = n->attr, .nin = n->nin, .nout = 1, .in = in, .out = &view};
    fr_tensor shape = view;
    if (!n->op->view(&c, &view, &offset) || !fr_same_shape(&view, &shape)) return false;
    const fr_dtype_info *type = fr_dtype_get(under->desc.dtype);
    if (type->block != 1 || view.dtype != under->desc.dtype) return false;
    *out = (fr_operand){
        .place = under->place, .offset = under->offset + offset * type->bytes, .desc = view};
    return true;
}

static fr_status try_view(fr_plan *p, size_t i, bool *done) {
    const fr_node *n = p->graph->nodes[i];
    fr_operand under = p->at[n->in[0]];
    *done = false;
    if (!(n->op->flags & FR_OP_VIEW) || !n->op->view || n->nout != 1) return FR_OK;
    if (written_later(p, under.place, i)) return FR_OK;
    *done = view_over(p, n, &under, &p->at[n->out0]);
    if (*done || fr_is_contiguous(&under.desc)) return FR_OK;
    /* A reshape of a permuted value, say: lay it in one piece and look at that. */
    FR_TRY(dense_value(p, n->in[0], &under));
    *done = view_over(p, n, &under, &p->at[n->out0]);
    return FR_OK;
}

/* ---- nodes ---- */

static fr_status infer(fr_plan *p, const fr_node *n) {
    fr_tensor in[FR_NODE_INPUTS] = {0}, out[FR_NODE_OUTPUTS];
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] != FR_NONE) in[i] = p->desc[n->in[i]];
    FR_TRY(fr_infer_node(n, in, out));
    memcpy(&p->desc[n->out0], out, (size_t)n->nout * sizeof *out);
    return FR_OK;
}

static fr_status fetch(fr_plan *p, const fr_node *n, int i, fr_operand *out) {
    *out = nowhere;
    if (n->in[i] == FR_NONE) return FR_OK;
    *out = p->at[n->in[i]];
    return readable(n->op, i, out) ? FR_OK : dense_value(p, n->in[i], out);
}

static fr_status lower_node(fr_plan *p, size_t i) {
    const fr_node *n = p->graph->nodes[i];
    fr_operand in[FR_NODE_INPUTS];
    bool viewed;
    fr_step *s;
    FR_TRY(infer(p, n));
    FR_TRY(try_view(p, i, &viewed));
    if (viewed) return FR_OK;
    for (int k = 0; k < n->nin; k++) FR_TRY(fetch(p, n, k, &in[k]));
    FR_TRY(add_step(p, n->op, n->attr, (int32_t)i, n->nin, n->nout, &s));
    if (n->nin) memcpy(s->in, in, (size_t)n->nin * sizeof *in);
    for (int k = 0; k < n->nout; k++) {
        if ((n->op->flags & FR_OP_STATE) && k == 0)
            s->out[0] = s->in[0];
        else
            FR_TRY(fresh(p, &p->desc[n->out0 + k], &s->out[k]));
        p->at[n->out0 + k] = s->out[k];
    }
    return FR_OK;
}

/* Outputs are contiguous, and do not lie in memory of the caller. */
static fr_status lower_output(fr_plan *p, size_t i) {
    fr_val v = p->graph->outputs[i];
    fr_val owner = p->places[p->at[v].place].value;
    bool theirs = owner != FR_NONE && p->graph->values[owner]->kind == FR_VALUE_INPUT;
    if (!theirs) return dense_value(p, v, &p->outputs[i]);
    return copy_value(p, v, &p->outputs[i]);
}

fr_status fr_plan_lower(fr_plan *p, const bool *live) {
    const fr_graph *g = p->graph;
    for (size_t v = 0; v < g->value_count; v++) {
        p->at[v] = p->dense[v] = nowhere;
        p->place_of[v] = -1;
        if (g->values[v]->kind == FR_VALUE_NODE) continue;
        FR_TRY(fr_plan_new_place(p, (fr_val)v, fr_bytes(&p->desc[v]), &p->place_of[v]));
        p->at[v] = (fr_operand){.place = p->place_of[v], .desc = p->desc[v]};
        p->at[v].desc.data = NULL;
    }
    for (size_t i = 0; i < g->node_count; i++)
        if (live[i]) FR_TRY(lower_node(p, i));
    for (size_t i = 0; i < g->output_count; i++) FR_TRY(lower_output(p, i));
    return FR_OK;
}
