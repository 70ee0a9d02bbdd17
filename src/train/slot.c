/* slot.c: the parameters of a trainer one by one: which of them train, their gradients as outputs of
 * the graph, and the memory that is kept for each. */
#include "train/trainer.h"

/* The parameters that train, in the order in which they were made. */
static size_t collect(const fr_trainer *t, fr_val *out) {
    const fr_train_opts *o = &t->opts;
    size_t n = 0;
    for (size_t i = 0; i < t->graph->value_count; i++) {
        const fr_value *v = t->graph->values[i];
        if (v->kind != FR_VALUE_PARAM || !fr_dtype_get(v->desc.dtype)->real) continue;
        if (o->trainable && !o->trainable(v->name, o->trainable_arg)) continue;
        if (out) out[n] = (fr_val)i;
        n++;
    }
    return n;
}

/* ---- memory ---- */

static void *take(fr_trainer *t, size_t bytes) {
    void *data = fr_alloc(FR_MEM_STATE, bytes);
    if (data) t->state_bytes += bytes;
    return data;
}

/* NULL when there is no memory. */
static void *keep(fr_trainer *t, fr_slot *s, const char *prefix, fr_dtype type, int rank,
                  const int64_t *dim) {
    fr_tensor shape = fr_tensor_make(type, rank, dim, NULL);
    shape.data = take(t, fr_bytes(&shape));
    if (shape.data) s->kept[s->kept_count++] = (fr_kept){prefix, shape};
    return shape.data;
}

/* As many floats as the parameter has values. */
static void *keep_like(fr_trainer *t, fr_slot *s, const char *prefix) {
    const fr_tensor *shape = &t->graph->values[s->param]->desc;
    return keep(t, s, prefix, FR_F32, shape->rank, shape->dim);
}

static fr_status make_slot(fr_trainer *t, fr_slot *s, fr_val param, fr_val grad) {
    const fr_value *v = t->graph->values[param];
    *s = (fr_slot){.param = param, .grad = grad, .name = v->name};
    s->values = (size_t)fr_values(&v->desc);
    s->decays = t->opts.decay ? t->opts.decay(v->name) : v->desc.rank >= 2;
    s->owns = v->desc.dtype != FR_F32;
    bool adam = t->opts.optimizer == FR_ADAMW;
    if (s->owns && !(s->master = keep_like(t, s, "master"))) return FR_NOMEM;
    if (t->opts.ema > 0 && !(s->ema = keep_like(t, s, "ema"))) return FR_NOMEM;
    if ((adam || t->opts.momentum != 0) && !(s->m = keep_like(t, s, "m"))) return FR_NOMEM;
    if (adam && !(s->v = keep_like(t, s, "v"))) return FR_NOMEM;
    return FR_OK;
}

fr_status fr_slots_add_sums(fr_trainer *t) {
    for (size_t i = 0; i < t->slot_count; i++) {
        fr_slot *s = &t->slots[i];
        if (!s->sum && !(s->sum = take(t, s->values * sizeof(float)))) return FR_NOMEM;
    }
    return FR_OK;
}

void fr_slots_free(fr_trainer *t) {
    for (size_t i = 0; i < t->slot_count; i++) {
        fr_slot *s = &t->slots[i];
        for (int k = 0; k < s->kept_count; k++) fr_free(s->kept[k].tensor.data);
        fr_free(s->sum);
    }
    fr_free(t->slots);
    fr_free(t->grads);
    fr_free(t->pieces);
    fr_free(t->partial);
}

static fr_status make_pieces(fr_trainer *t) {
    size_t n = 0;
    for (size_t s = 0; s < t->slot_count; s++) n += (t->slots[s].values + FR_PIECE - 1) / FR_PIECE;
    t->piece_count = n;
    t->pieces = fr_alloc_array(FR_MEM_OTHER, n, sizeof *t->pieces);
    t->partial = fr_alloc_array(FR_MEM_OTHER, n, sizeof *t->partial);
    if (!t->pieces || !t->partial) return FR_NOMEM;
    n = 0;
    for (size_t s = 0; s < t->slot_count; s++)
        for (size_t first = 0; first < t->slots[s].values; first += FR_PIECE)
            t->pieces[n++] =
                (fr_piece){.slot = (uint32_t)s,
                           .first = first,
                           .count = (uint32_t)FR_MIN((size_t)FR_PIECE, t->slots[s].values - first)};
    return FR_OK;
}

/* ---- gradients ---- */

/* The gradient becomes an output of the graph. */
static fr_status name_gradient(fr_trainer *t, fr_slot *slot) {
    fr_graph *g = t->graph;
    char *name = fr_format("grad/%s", slot->name);
    if (!name) return FR_NOMEM;
    fr_output(g, name, slot->grad);
    fr_free(name);
    FR_TRY(fr_graph_check(g));
    slot->grad_name = g->output_names[g->output_count - 1];
    return FR_OK;
}

fr_status fr_slots_new(fr_trainer *t, fr_val loss) {
    size_t n = collect(t, NULL);
    if (!n)
        return fr_fail(FR_INVALID, t->opts.trainable
                                       ? "none of the graph's parameters is chosen to train"
                                       : "the graph has no parameters to train");
    fr_val *param = fr_alloc_array(FR_MEM_OTHER, n, 2 * sizeof *param);
    t->slots = fr_alloc(FR_MEM_OTHER, n * sizeof *t->slots);
    t->grads = fr_alloc_array(FR_MEM_OTHER, n, sizeof *t->grads);
    if (!param || !t->slots || !t->grads) {
        fr_free(param);
        return FR_NOMEM;
    }
    fr_val *grad = param + n;
    collect(t, param);
    fr_status st = fr_gradients(t->graph, loss, (int)n, param, grad);
    for (size_t i = 0; !st && i < n; i++) {
        st = make_slot(t, &t->slots[i], param[i], grad[i]);
        t->slot_count = i + 1;
        if (!st) st = name_gradient(t, &t->slots[i]);
    }
    fr_free(param);
    return st ? st : make_pieces(t);
}

/* ---- between masters and parameters ---- */

/* Does the session still keep every parameter where the masters were taken from? */
static bool in_place(const fr_trainer *t) {
    for (size_t i = 0; i < t->slot_count; i++)
        if (t->slots[i].storage->data != t->slots[i].seen) return false;
    return true;
}

fr_status fr_trainer_prepare(fr_trainer *t) {
    if (t->ready && in_place(t)) return FR_OK;
    t->ready = t->swapped = false;
    FR_TRY(fr_session_make_writable(t->session));
    for (size_t i = 0; i < t->slot_count; i++) {
        fr_slot *s = &t->slots[i];
        s->storage = fr_session_tensor(t->session, s->param);
        if (!s->storage || !s->storage->data)
            return fr_fail(FR_INVALID,
                           "parameter %s has no value yet: load a file or start from random values",
                           s->name);
        s->seen = s->storage->data;
        if (s->owns)
            FR_TRY(fr_tensor_to_f32(s->storage, s->master));
        else
            s->master = s->storage->data;
        if (s->ema) memcpy(s->ema, s->master, s->values * sizeof(float));
    }
    t->ready = true;
    return FR_OK;
}

void fr_slot_store(const fr_slot *s, size_t first, size_t count) {
    if (!s->owns) return;
    size_t bytes = (size_t)fr_dtype_get(s->storage->dtype)->bytes;
    fr_encode(s->storage->dtype, s->master + first, count,
              (char *)s->storage->data + first * bytes);
}
