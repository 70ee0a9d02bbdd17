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

static fr_status check_opts(const fr_train_opts *o) {
    if (!(o->lr > 0) || !isfinite(o->lr))
        return fr_fail(FR_INVALID, "the learning rate is %g; it must be above 0", (double)o->lr);
    if (o->optimizer != FR_SGD && o->optimizer != FR_ADAMW)
        return fr_fail(FR_INVALID, "there is no optimizer %d", (int)o->optimizer);
    if (!(o->clip >= 0) || !(o->weight_decay >= 0))
        return fr_fail(FR_INVALID, "clip (%g) and weight decay (%g) must not be negative",
                       (double)o->clip, (double)o->weight_decay);
    if (o->warmup < 0 || (o->schedule != FR_SCHEDULE_CONSTANT && o->steps < o->warmup))
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
    }
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
        char *name = fr_format("grad/%s", t->slots[i].name);
        if (!name)
            st = FR_NOMEM;
        else
            fr_output(t->graph, name, grad[i]);
        fr_free(name);
    }
    fr_free(param);
    return st;
}

fr_status fr_trainer_new(fr_graph *g, fr_val loss, const fr_train_opts *opts, fr_pool *pool,
                         fr_trainer **out) {
    FR_TRY(fr_graph_check(g));
    FR_TRY(check_opts(opts));
    fr_trainer *t = fr_alloc(FR_MEM_OTHER, sizeof *t);
    if (!t) return FR_NOMEM;
    t->graph = g;
    t->pool = pool;
    t->opts = *opts;
    if (t->opts.beta1 == 0) t->opts.beta1 = 0.9f;
    if (t->opts.beta2 == 0) t->opts.beta2 = 0.999f;
    if (t->opts.eps == 0) t->opts.eps = 1e-8f;
    fr_output(g, "loss", loss);
    fr_status st = make_slots(t, loss);
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
        if (!s->storage || s->master != s->storage->data) fr_free(s->master);
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

/* Before the first step, when whoever made the trainer has bound the parameters. */
fr_status fr_trainer_prepare(fr_trainer *t) {
    if (t->ready) return FR_OK;
    FR_TRY(fr_session_make_writable(t->session));
    for (size_t i = 0; i < t->slot_count; i++) {
        fr_slot *s = &t->slots[i];
        s->storage = fr_session_tensor(t->session, s->param);
        if (!s->storage || !s->storage->data)
            return fr_fail(FR_INVALID,
                           "parameter %s has no value yet: load a file or start from random values",
                           s->name);
        if (s->storage->dtype == FR_F32)
            s->master = s->storage->data;
        else
            FR_TRY(fr_tensor_to_f32(s->storage, s->master));
    }
    t->ready = true;
    return FR_OK;
}

static fr_status gather_gradients(fr_trainer *t, const fr_tensor **grads) {
    for (size_t i = 0; i < t->slot_count; i++) {
        char name[300];
        snprintf(name, sizeof name, "grad/%s", t->slots[i].name);
        grads[i] = fr_session_output(t->session, name);
        if (!grads[i]) return fr_fail(FR_INVALID, "there is no gradient of %s", t->slots[i].name);
    }
    return FR_OK;
}

fr_status fr_trainer_step(fr_trainer *t, const fr_tensor *inputs, int count, float *loss,
                          float *norm) {
    FR_TRY(fr_trainer_prepare(t));
    FR_TRY(fr_session_run(t->session, inputs, count));
    const fr_tensor *l = fr_session_output(t->session, "loss");
    FR_TRY(fr_tensor_to_f32(l, loss));
    if (!isfinite(*loss))
        return fr_fail(FR_INVALID,
                       "step %lld: the loss is %g; lower the learning rate or clip the gradient",
                       (long long)t->step, (double)*loss);
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
