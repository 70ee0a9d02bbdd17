/* trainer.c: one step after another: run the graph forward and backward, hand the gradients to the
 * optimizer, tell the session that its parameters changed. */
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The parameters that the graph holds, in the order in which they were made. */
static size_t collect(const fr_graph *g, fr_val *out) {
    size_t n = 0;
    for (size_t i = 0; i < g->value_count; i++) {
        const fr_value *v = g->values[i];
        if (v->kind != FR_VALUE_PARAM || !fr_dtype_get(v->desc.dtype)->real) continue;
        if (out) out[n] = (fr_val)i;
        n++;
    }
    return n;
}

static fr_status check_optimizer(const fr_train_opts *o) {
    if (o->optimizer != FR_SGD && o->optimizer != FR_ADAMW)
        return fr_fail(FR_INVALID, "there is no optimizer %d", (int)o->optimizer);
    if (!(o->momentum >= 0 && o->momentum < 1))
        return fr_fail(FR_INVALID, "the momentum is %g; it must be from 0 to below 1",
                       (double)o->momentum);
    if (!(o->beta1 >= 0 && o->beta1 < 1) || !(o->beta2 >= 0 && o->beta2 < 1))
        return fr_fail(FR_INVALID, "beta1 (%g) and beta2 (%g) must be from 0 to below 1",
                       (double)o->beta1, (double)o->beta2);
    if (!(o->eps >= 0) || !(o->clip >= 0) || !(o->weight_decay >= 0))
        return fr_fail(FR_INVALID, "eps (%g), clip (%g) and weight decay (%g) must not be negative",
                       (double)o->eps, (double)o->clip, (double)o->weight_decay);
    return FR_OK;
}

static fr_status check_schedule(const fr_train_opts *o) {
    if (!(o->lr > 0) || !isfinite(o->lr))
        return fr_fail(FR_INVALID, "the learning rate is %g; it must be above 0", (double)o->lr);
    if (!(o->final_lr >= 0) || !isfinite(o->final_lr))
        return fr_fail(FR_INVALID, "the final learning rate is %g; it must not be negative",
                       (double)o->final_lr);
    if (o->schedule < FR_SCHEDULE_CONSTANT || o->schedule > FR_SCHEDULE_COSINE)
        return fr_fail(FR_INVALID, "there is no schedule %d", (int)o->schedule);
    if (o->warmup < 0)
        return fr_fail(FR_INVALID, "a warm-up of %lld steps makes no sense", (long long)o->warmup);
    if (o->schedule == FR_SCHEDULE_CONSTANT) return FR_OK;
    if (o->steps < 1)
        return fr_fail(FR_INVALID, "a learning rate that falls needs the number of steps");
    if (o->steps < o->warmup)
        return fr_fail(FR_INVALID, "a warm-up of %lld steps does not fit into %lld steps",
                       (long long)o->warmup, (long long)o->steps);
    return FR_OK;
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

static fr_status make_slot(fr_trainer *t, fr_slot *slot, fr_val param, fr_val grad) {
    const fr_value *v = t->graph->values[param];
    *slot = (fr_slot){.param = param, .grad = grad, .name = v->name};
    slot->values = (size_t)fr_values(&v->desc);
    slot->decays = t->opts.decay ? t->opts.decay(v->name) : v->desc.rank >= 2;
    size_t bytes = slot->values * sizeof(float);
    bool adam = t->opts.optimizer == FR_ADAMW;
    if (adam || t->opts.momentum != 0) {
        slot->m = fr_alloc(FR_MEM_STATE, bytes);
        if (!slot->m) return FR_NOMEM;
    }
    if (adam) {
        slot->v = fr_alloc(FR_MEM_STATE, bytes);
        if (!slot->v) return FR_NOMEM;
    }
    if (v->desc.dtype != FR_F32) {
        slot->master = fr_alloc(FR_MEM_STATE, bytes);
        if (!slot->master) return FR_NOMEM;
        slot->owns = true;
    }
    return FR_OK;
}

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

static fr_status make_slots(fr_trainer *t, fr_val loss) {
    size_t n = collect(t->graph, NULL);
    if (!n) return fr_fail(FR_INVALID, "the graph has no parameters to train");
    fr_val *param = fr_alloc_array(FR_MEM_OTHER, n, 2 * sizeof *param);
    t->slots = fr_alloc(FR_MEM_OTHER, n * sizeof *t->slots);
    if (!param || !t->slots) {
        fr_free(param);
        return FR_NOMEM;
    }
    fr_val *grad = param + n;
    collect(t->graph, param);
    fr_status st = fr_gradients(t->graph, loss, (int)n, param, grad);
    for (size_t i = 0; !st && i < n; i++) {
        st = make_slot(t, &t->slots[i], param[i], grad[i]);
        t->slot_count = i + 1;
        if (!st) st = name_gradient(t, &t->slots[i]);
    }
    fr_free(param);
    return st;
}

/* The loss is the output "loss", unless whoever built the graph has called it so. */
static fr_status name_loss(fr_graph *g, fr_val loss) {
    size_t at = fr_names_find(&g->output_index, "loss");
    if (at == FR_NO_NAME || g->outputs[at] != loss) fr_output(g, "loss", loss);
    return fr_graph_check(g);
}

fr_status fr_trainer_new(fr_graph *g, fr_val loss, const fr_train_opts *opts, fr_pool *pool,
                         fr_trainer **out) {
    *out = NULL;
    FR_TRY(fr_graph_check(g));
    FR_TRY(check_optimizer(opts));
    FR_TRY(check_schedule(opts));
    fr_trainer *t = fr_alloc(FR_MEM_OTHER, sizeof *t);
    if (!t) return FR_NOMEM;
    t->graph = g;
    t->pool = pool;
    t->opts = *opts;
    if (t->opts.beta1 == 0) t->opts.beta1 = 0.9f;
    if (t->opts.beta2 == 0) t->opts.beta2 = 0.999f;
    if (t->opts.eps == 0) t->opts.eps = 1e-8f;
    fr_status st = name_loss(g, loss);
    if (!st) st = make_slots(t, loss);
    if (!st) st = make_pieces(t);
    if (!st)
        st = fr_session_new_with(g, &(fr_session_opts){.pool = pool, .train = true}, &t->session);
    if (st) {
        fr_trainer_free(t);
        return st;
    }
    *out = t;
    return FR_OK;
}

void fr_trainer_free(fr_trainer *t) {
    if (!t) return;
    for (size_t i = 0; i < t->slot_count; i++) {
        fr_slot *s = &t->slots[i];
        fr_free(s->m);
        fr_free(s->v);
        if (s->owns) fr_free(s->master);
    }
    fr_session_free(t->session);
    fr_free(t->slots);
    fr_free(t->pieces);
    fr_free(t->partial);
    fr_free(t);
}

fr_session *fr_trainer_session(fr_trainer *t) {
    return t->session;
}
int64_t fr_trainer_step_count(const fr_trainer *t) {
    return t->step;
}

/* Does the session still keep every parameter where the masters were taken from? */
static bool in_place(const fr_trainer *t) {
    for (size_t i = 0; i < t->slot_count; i++)
        if (t->slots[i].storage->data != t->slots[i].seen) return false;
    return true;
}

fr_status fr_trainer_prepare(fr_trainer *t) {
    if (t->ready && in_place(t)) return FR_OK;
    t->ready = false;
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
    }
    t->ready = true;
    return FR_OK;
}

static fr_status gather_gradients(fr_trainer *t, const fr_tensor **grads) {
    for (size_t i = 0; i < t->slot_count; i++) {
        grads[i] = fr_session_output(t->session, t->slots[i].grad_name);
        if (!grads[i]) return fr_fail(FR_INVALID, "there is no gradient of %s", t->slots[i].name);
    }
    return FR_OK;
}

fr_status fr_trainer_step(fr_trainer *t, const fr_tensor *inputs, int count, float *loss,
                          float *norm) {
    FR_TRY(fr_trainer_prepare(t));
    FR_TRY(fr_session_run(t->session, inputs, count));
    float value;
    FR_TRY(fr_tensor_to_f32(fr_session_output(t->session, "loss"), &value));
    if (loss) *loss = value;
    if (!isfinite(value))
        return fr_fail(FR_INVALID,
                       "step %lld: the loss is %g; lower the learning rate or clip the gradient",
                       (long long)t->step, (double)value);
    const fr_tensor **grads = fr_alloc_array(FR_MEM_OTHER, t->slot_count, sizeof *grads);
    if (!grads) return FR_NOMEM;
    fr_status st = gather_gradients(t, grads);
    if (!st) st = fr_optimizer_apply(t, grads, norm);
    fr_free(grads);
    if (st) return st;
    t->step++;
    fr_session_params_changed(t->session);
    return FR_OK;
}
