/* exec.c: running. A plan is found by the shapes of the inputs, or made; its calls are filled with
 * pointers once; then a run is a loop over calls that are all ready. */
#include "graph/session.h"

#include <string.h>

#include "graph/infer.h"

/* ---- plans ---- */

static void drop(fr_session *s, fr_ready *r) {
    if (s->current == r) s->current = NULL;
    fr_plan_free(r->plan);
    fr_free(r->desc);
    *r = (fr_ready){0};
}

void fr_session_drop_plans(fr_session *s) {
    for (int i = 0; i < FR_PLANS_KEPT; i++) drop(s, &s->ready[i]);
}

static size_t operand_count(const fr_plan *p) {
    size_t n = 0;
    for (size_t i = 0; i < p->step_count; i++)
        n += (size_t)p->steps[i].nin + (size_t)p->steps[i].nout;
    return n;
}

/* Goes through all operands in the order in which r->tensors holds them. */
static void lay_out_operand(fr_ready *r, const fr_operand *o, fr_tensor *t) {
    *t = o->desc;
    if (o->place < 0) return;
    fr_val v = fr_place_root(r->plan, o->place)->value;
    int32_t input = v == FR_NONE ? -1 : r->plan->graph->values[v]->input;
    if (input >= 0) r->patches[r->patch_count++] = (fr_patch){t, input, o->offset};
}

static fr_status lay_out_calls(fr_session *s, fr_ready *r) {
    fr_plan *p = r->plan;
    size_t operands = operand_count(p);
    r->calls = fr_arena_alloc(p->memory, (p->step_count + 1) * sizeof *r->calls);
    r->tensors = fr_arena_alloc(p->memory, (operands + 1) * sizeof *r->tensors);
    r->patches = fr_arena_alloc(p->memory, (operands + 1) * sizeof *r->patches);
    r->outputs = fr_arena_alloc(p->memory, (p->graph->output_count + 1) * sizeof *r->outputs);
    if (!r->calls || !r->tensors || !r->patches || !r->outputs) return FR_NOMEM;
    fr_tensor *t = r->tensors;
    for (size_t i = 0; i < p->step_count; i++) {
        const fr_step *step = &p->steps[i];
        r->calls[i] = (fr_call){.op = step->op,
                                .attr = step->attr,
                                .nin = step->nin,
                                .nout = step->nout,
                                .in = t,
                                .out = t + step->nin,
                                .pool = s->opts.pool};
        for (int k = 0; k < step->nin; k++) lay_out_operand(r, &step->in[k], t++);
        for (int k = 0; k < step->nout; k++) lay_out_operand(r, &step->out[k], t++);
    }
    return FR_OK;
}

static bool same_inputs(const fr_session *s, const fr_ready *r, const fr_tensor *inputs) {
    if (!r->plan) return false;
    for (size_t i = 0; i < s->graph->input_count; i++) {
        const fr_tensor *a = &r->desc[s->graph->inputs[i]], *b = &inputs[i];
        for (int k = 0; k < a->rank; k++)
            if (a->dim[k] != b->dim[k]) return false;
    }
    return true;
}

/* The plan that was not used for the longest time makes room. */
static fr_ready *oldest(fr_session *s) {
    fr_ready *r = &s->ready[0];
    for (int i = 1; i < FR_PLANS_KEPT; i++)
        if (s->ready[i].used < r->used) r = &s->ready[i];
    drop(s, r);
    return r;
}

static fr_status make_ready(fr_session *s, const fr_tensor *inputs, fr_ready *r) {
    r->desc = fr_alloc_array(FR_MEM_OTHER, s->value_count + 1, sizeof *r->desc);
    if (!r->desc) return FR_NOMEM;
    memcpy(r->desc, s->desc, s->value_count * sizeof *r->desc);
    for (size_t i = 0; i < s->graph->input_count; i++) {
        fr_tensor *d = &r->desc[s->graph->inputs[i]];
        *d = fr_tensor_make(inputs[i].dtype, inputs[i].rank, inputs[i].dim, NULL);
    }
    FR_TRY(fr_plan_new(s->graph, r->desc, s->live, &s->opts, &r->plan));
    return lay_out_calls(s, r);
}

static fr_status find_plan(fr_session *s, const fr_tensor *inputs) {
    for (int i = 0; i < FR_PLANS_KEPT; i++) {
        if (!same_inputs(s, &s->ready[i], inputs)) continue;
        s->current = &s->ready[i];
        return FR_OK;
    }
    fr_ready *r = oldest(s);
    fr_status st = make_ready(s, inputs, r);
    if (st)
        drop(s, r);
    else
        s->current = r;
    return st;
}

/* ---- pointers ---- */

/* All plans of a session share one arena, as large as the largest needs. */
static fr_status fit_arena(fr_session *s, size_t bytes) {
    if (s->arena && bytes <= s->arena_bytes) return FR_OK;
    fr_free(s->arena);
    s->epoch++;
    s->arena_bytes = 0;
    s->arena = fr_alloc(FR_MEM_ARENA, bytes);
    if (!s->arena)
        return fr_fail(FR_NOMEM, "There is no memory for the arena of %zu bytes that a run needs.",
                       bytes);
    s->arena_bytes = bytes;
    return FR_OK;
}

static uint8_t *address(const fr_session *s, const fr_plan *p, int32_t place) {
    const fr_place *at = fr_place_root(p, place);
    if (at->value == FR_NONE) return s->arena + at->offset;
    return s->bound[at->value].t.data; /* NULL for inputs */
}

static void point(const fr_session *s, const fr_plan *p, const fr_operand *o, fr_tensor *t) {
    uint8_t *base = o->place < 0 ? NULL : address(s, p, o->place);
    t->data = base ? base + o->offset : NULL;
}

static fr_status pack(fr_session *s, const fr_plan *p, const fr_step *step, fr_tensor *in,
                      fr_call *c) {
    fr_packed *k = &s->packed[step->node];
    size_t bytes = step->op->pack_bytes(c);
    if (k->data && k->bytes != bytes) {
        fr_free(k->data);
        *k = (fr_packed){0};
        s->epoch++; /* another plan may point at it */
    }
    if (!k->data) {
        k->data = fr_alloc(FR_MEM_PACKED, bytes);
        if (!k->data) return fr_fail(FR_NOMEM, "There is no memory to pack its weights.");
        k->bytes = bytes;
        k->stale = true;
    }
    if (k->stale) FR_TRY(fr_session_pack(s, p, step, in, c, k->data));
    k->stale = false;
    c->packed = k->data;
    return FR_OK;
}

static fr_status point_steps(fr_session *s, fr_ready *r) {
    fr_plan *p = r->plan;
    fr_tensor *t = r->tensors;
    for (size_t i = 0; i < p->step_count; i++) {
        const fr_step *step = &p->steps[i];
        fr_tensor *in = t;
        for (int k = 0; k < step->nin; k++) point(s, p, &step->in[k], t++);
        for (int k = 0; k < step->nout; k++) point(s, p, &step->out[k], t++);
        r->calls[i].scratch = step->scratch < 0 ? NULL : address(s, p, step->scratch);
        fr_status st = step->pack ? pack(s, p, step, in, &r->calls[i]) : FR_OK;
        if (st) return fr_fail_in(st, "%s", s->graph->nodes[step->node]->name);
    }
    return FR_OK;
}

static fr_status point_all(fr_session *s, fr_ready *r) {
    fr_plan *p = r->plan;
    FR_TRY(fit_arena(s, p->arena_bytes));
    if (r->epoch == s->epoch) return FR_OK;
    FR_TRY(fr_session_check_params(s));
    FR_TRY(fr_session_join_for(s, p));
    fr_status st = point_steps(s, r);
    fr_session_end_packing(s);
    FR_TRY(st);
    for (size_t i = 0; i < p->graph->output_count; i++) {
        r->outputs[i] = p->outputs[i].desc;
        point(s, p, &p->outputs[i], &r->outputs[i]);
    }
    r->epoch = s->epoch;
    return FR_OK;
}

/* ---- inputs ---- */

static fr_status check_input(const fr_session *s, size_t i, const fr_tensor *t) {
    const fr_value *v = s->graph->values[s->graph->inputs[i]];
    char have[FR_SHAPE_TEXT], want[FR_SHAPE_TEXT];
    if (t->dtype == v->desc.dtype && t->rank == v->desc.rank) {
        FR_TRY(fr_shape_check(v->name, t->dtype, t->rank, t->dim));
        if (!t->data && fr_values(t))
            return fr_fail(FR_INVALID, "The input '%s' has no data.", v->name);
        bool bare = true; /* strides left at zero stand for contiguous */
        for (int k = 0; k < t->rank; k++) bare &= t->stride[k] == 0;
        if (bare || fr_is_contiguous(t)) return FR_OK;
        return fr_fail(FR_INVALID, "The input '%s' is a strided view; a run wants it contiguous.",
                       v->name);
    }
    if (t->dtype <= FR_NOTYPE || t->dtype >= FR_DTYPE_COUNT || t->rank < 0 || t->rank > FR_MAX_DIMS)
        return fr_fail(FR_INVALID, "The input '%s' has no valid type and shape.", v->name);
    return fr_fail(FR_INVALID, "The input '%s' is %s, and the graph wants %s (any sizes).", v->name,
                   fr_shape_text(t, have), fr_shape_text(&v->desc, want));
}

static fr_status check_inputs(const fr_session *s, const fr_tensor *inputs, int count) {
    const fr_graph *g = s->graph;
    if (g->value_count != s->value_count || g->node_count != s->node_count)
        return fr_fail(FR_INVALID, "The graph was changed after the session was made.");
    if (count < 0 || (size_t)count != g->input_count || (count && !inputs))
        return fr_fail(FR_INVALID, "The graph has %zu inputs, and the run was given %d.",
                       g->input_count, count);
    for (int i = 0; i < count; i++) FR_TRY(check_input(s, (size_t)i, &inputs[i]));
    return FR_OK;
}

/* ---- the run ---- */

/* For tests: what nobody may read any more becomes NaN. */
static void poison(const fr_session *s, const fr_plan *p, int32_t step) {
    for (size_t i = 0; i < p->place_count; i++) {
        const fr_place *at = &p->places[i];
        if (at->value != FR_NONE || at->same >= 0) continue;
        bool now = step < 0 ? at->first >= 0 : at->last == step;
        if (now) memset(s->arena + at->offset, 0xff, at->bytes);
    }
}

/* One thread is timed by its own clock, which stands still while others have the processor. */
static fr_status run_timed(fr_session *s, const fr_step *step, const fr_call *c) {
    double (*clock)(void) = fr_pool_threads(s->opts.pool) > 1 ? fr_now : fr_thread_cpu;
    const size_t at = (size_t)step->node * 2 + step->copy;
    const double begin = fr_now(), start = clock();
    FR_TRY(c->op->run(c));
    s->times[at] = FR_MIN(s->times[at], clock() - start);
    s->took[at] = fr_now() - begin;
    return FR_OK;
}

static fr_status run_calls(fr_session *s, const fr_ready *r) {
    size_t n = r->plan->step_count;
    bool poisoned = s->opts.poison;
    if (poisoned) poison(s, r->plan, -1);
    for (size_t i = 0; i < n; i++) {
        const fr_call *c = &r->calls[i];
        fr_status st = s->times ? run_timed(s, &r->plan->steps[i], c) : c->op->run(c);
        if (st) return fr_fail_in(st, "%s", s->graph->nodes[r->plan->steps[i].node]->name);
        if (poisoned) poison(s, r->plan, (int32_t)i);
        if (i % 64 == 63) FR_TRY(fr_interrupt_check());
    }
    return FR_OK;
}

fr_status fr_session_run(fr_session *s, const fr_tensor *inputs, int count) {
    if (!s) return fr_fail(FR_INVALID, "There is no session to run.");
    s->ran = false;
    FR_TRY(check_inputs(s, inputs, count));
    if (!s->current || !same_inputs(s, s->current, inputs)) FR_TRY(find_plan(s, inputs));
    fr_ready *r = s->current;
    r->used = ++s->clock;
    FR_TRY(point_all(s, r));
    for (size_t i = 0; i < r->patch_count; i++) {
        const fr_patch *x = &r->patches[i];
        x->t->data = (uint8_t *)inputs[x->input].data + x->offset;
    }
    FR_TRY(run_calls(s, r));
    s->ran = true;
    return FR_OK;
}
