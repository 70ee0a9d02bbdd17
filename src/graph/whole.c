/* whole.c: parameters that a pass has stacked from others (fr_value.part), and those whose values wait (bring.c), in a
 * session.
 *
 * While all parts lie in a mapped file the whole lies nowhere. Who packs its weights sees it for as long as that
 * takes; for any other reader the parts are joined in memory of the session, and stay there. So stacked weights cost
 * no second copy. */
#include <string.h>

#include "graph/session.h"

bool fr_session_is_apart(const fr_session *s, fr_val v) {
    if (v == FR_NONE || !s->bound[v].filled || s->bound[v].t.data) return false;
    return s->graph->values[v]->parts || fr_session_waits(s, v);
}

static size_t row_bytes(const fr_tensor *whole) {
    return whole->dim[0] ? fr_bytes(whole) / (size_t)whole->dim[0] : 0;
}

typedef struct join {
    const fr_session *s;
    const fr_value *whole;
    const fr_tensor *desc;
    uint8_t *to;
} join;

static void copy_part(void *arg, size_t item) {
    const join *j = arg;
    fr_val v = j->whole->part[item];
    const fr_tensor *t = &j->s->bound[v].t;
    size_t row = (size_t)j->s->graph->values[v]->whole_row;
    if (t->data) fr_copy_contiguous(t, j->to + row * row_bytes(j->desc));
}

static fr_status copy_parts(const fr_session *s, fr_val v, uint8_t *to) {
    const fr_value *value = s->graph->values[v];
    join j = {s, value, &s->desc[v], to};
    if (!value->parts) return fr_session_bring(s, v, to);
    fr_pool_run(s->opts.pool, (size_t)value->parts, copy_part, &j);
    for (int i = 0; i < value->parts; i++) {
        fr_val p = value->part[i];
        size_t row = (size_t)s->graph->values[p]->whole_row;
        if (fr_session_waits(s, p))
            FR_TRY(fr_session_bring(s, p, to + row * row_bytes(&s->desc[v])));
    }
    return FR_OK;
}

/* ---- for good ---- */

fr_status fr_session_join(fr_session *s, fr_val v) {
    fr_binding *b = &s->bound[v];
    const fr_value *value = s->graph->values[v];
    if (value->whole != FR_NONE) return fr_session_join(s, value->whole);
    if (b->owned) return FR_OK;
    void *data = fr_alloc(FR_MEM_WEIGHTS, fr_bytes(&s->desc[v]));
    if (!data)
        return fr_fail(FR_NOMEM, "There is no memory for the parameter '%s' of %zu bytes.",
                       value->name, fr_bytes(&s->desc[v]));
    fr_status st = copy_parts(s, v, data);
    if (st) {
        fr_free(data);
        return st;
    }
    fr_session_end_waiting(s, v);
    b->t = s->desc[v];
    b->t.data = data;
    b->owned = true;
    for (int i = 0; i < value->parts; i++) {
        fr_val p = value->part[i];
        fr_session_end_waiting(s, p);
        s->bound[p].t = s->desc[p];
        s->bound[p].t.data =
            (uint8_t *)data + (size_t)s->graph->values[p]->whole_row * row_bytes(&b->t);
    }
    s->epoch++;
    return FR_OK;
}

fr_status fr_session_join_all(fr_session *s) {
    for (fr_val v = 1; (size_t)v < s->value_count; v++) {
        fr_val whole = s->graph->values[v]->whole;
        if (fr_session_waits(s, v))
            FR_TRY(fr_session_join(s, v));
        else if (whole != FR_NONE && s->bound[v].t.data)
            FR_TRY(fr_session_join(s, whole));
    }
    return FR_OK;
}

/* ---- for packing ---- */

static fr_val value_of(const fr_plan *p, const fr_step *step, int input) {
    int32_t place = step->in[input].place;
    return place < 0 ? FR_NONE : fr_place_root(p, place)->value;
}

static bool packs(const fr_step *step, int input) {
    return step->pack && step->op->pack_inputs >> input & 1;
}

/* Readers that do not pack want memory that stays. */
fr_status fr_session_join_for(fr_session *s, const fr_plan *p) {
    for (size_t i = 0; i < p->step_count; i++)
        for (int k = 0; k < p->steps[i].nin; k++) {
            fr_val v = value_of(p, &p->steps[i], k);
            if (!packs(&p->steps[i], k) && fr_session_is_apart(s, v)) FR_TRY(fr_session_join(s, v));
        }
    for (size_t i = 0; i < p->graph->output_count; i++) {
        int32_t place = p->outputs[i].place;
        fr_val v = place < 0 ? FR_NONE : fr_place_root(p, place)->value;
        if (fr_session_is_apart(s, v)) FR_TRY(fr_session_join(s, v));
    }
    return FR_OK;
}

/* What was read for packing is not read again: its pages come from the file if it is after all. */
static void forget(const fr_session *s, fr_val v) {
    const fr_value *value = s->graph->values[v];
    const fr_tensor *t = &s->bound[v].t;
    for (int i = 0; i < value->parts; i++) forget(s, value->part[i]);
    const fr_tensor *from = &s->bound[v].from;
    if (t->data && !s->bound[v].owned) fr_map_forget(t->data, fr_bytes(t));
    if (from->data) fr_map_forget(from->data, fr_bytes(from));
}

/* Room that stays until all is packed: fresh memory costs as much as what is done with it. */
static uint8_t *lend(fr_session *s, size_t bytes) {
    if (bytes <= s->lent_bytes && s->lent) return s->lent;
    fr_session_end_packing(s);
    s->lent = fr_alloc_array(FR_MEM_OTHER, bytes, 1);
    s->lent_bytes = s->lent ? bytes : 0;
    return s->lent;
}

void fr_session_end_packing(fr_session *s) {
    fr_free(s->lent);
    s->lent = NULL;
    s->lent_bytes = 0;
}

static bool is_lent(const fr_session *s, const fr_plan *p, const fr_step *step, int input) {
    return packs(step, input) && fr_session_is_apart(s, value_of(p, step, input));
}

fr_status fr_session_pack(fr_session *s, const fr_plan *p, const fr_step *step, fr_tensor *in,
                          fr_call *c, void *out) {
    size_t bytes = 0;
    for (int i = 0; i < step->nin; i++)
        if (is_lent(s, p, step, i))
            bytes += fr_round_up(fr_bytes(&s->desc[value_of(p, step, i)]), FR_ALIGN);
    uint8_t *at = bytes ? lend(s, bytes) : NULL;
    fr_status st = FR_OK;
    if (bytes && !at) return FR_NOMEM;
    for (int i = 0; !st && i < step->nin; i++) {
        if (!is_lent(s, p, step, i)) continue;
        fr_val v = value_of(p, step, i);
        st = copy_parts(s, v, at);
        in[i].data = at + step->in[i].offset;
        at += fr_round_up(fr_bytes(&s->desc[v]), FR_ALIGN);
    }
    if (!st) st = step->op->pack(c, out);
    for (int i = 0; i < step->nin; i++) {
        if (is_lent(s, p, step, i)) in[i].data = NULL;
        if (packs(step, i) && value_of(p, step, i) != FR_NONE) forget(s, value_of(p, step, i));
    }
    return st;
}
