/* trainer.c: one step after another: run the graph forward and backward, hand the gradients to the
 * optimizer, tell the session that its parameters changed. */
#include "train/trainer.h"

#include <math.h>

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
    FR_TRY(fr_optimizer_check(opts));
    FR_TRY(fr_schedule_check(opts));
    fr_trainer *t = fr_alloc(FR_MEM_OTHER, sizeof *t);
    if (!t) return FR_NOMEM;
    t->graph = g;
    t->pool = pool;
    t->opts = *opts;
    fr_optimizer_defaults(&t->opts);
    fr_status st = name_loss(g, loss);
    if (!st) st = fr_slots_new(t, loss);
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
    fr_slots_free(t);
    fr_session_free(t->session);
    fr_free(t);
}

fr_session *fr_trainer_session(fr_trainer *t) {
    return t->session;
}
int64_t fr_trainer_step_count(const fr_trainer *t) {
    return t->step;
}
size_t fr_trainer_state_bytes(const fr_trainer *t) {
    return t->state_bytes;
}

/* ---- steps ---- */

static fr_status gather_gradients(fr_trainer *t) {
    for (size_t i = 0; i < t->slot_count; i++) {
        t->grads[i] = fr_session_output(t->session, t->slots[i].grad_name);
        if (!t->grads[i])
            return fr_fail(FR_INVALID, "there is no gradient of %s", t->slots[i].name);
    }
    return FR_OK;
}

/* The first gradients since an update stay in the session; those of a second run would overwrite
 * them. */
static fr_status move_to_sums(fr_trainer *t) {
    if (t->sums) return FR_OK;
    FR_TRY(fr_slots_add_sums(t));
    if (t->pending) fr_optimizer_add(t, true);
    t->sums = true;
    return FR_OK;
}

fr_status fr_trainer_accumulate(fr_trainer *t, const fr_tensor *inputs, int count, float *loss) {
    FR_TRY(fr_trainer_prepare(t));
    if (t->swapped)
        return fr_fail(FR_INVALID, "the session holds averages: swap back before training");
    if (t->pending) FR_TRY(move_to_sums(t));
    FR_TRY(fr_session_run(t->session, inputs, count));
    float value;
    FR_TRY(fr_tensor_to_f32(fr_session_output(t->session, "loss"), &value));
    if (loss) *loss = value;
    if (!isfinite(value))
        return fr_fail(FR_INVALID,
                       "step %lld: the loss is %g; lower the learning rate or clip the gradient",
                       (long long)t->step, (double)value);
    FR_TRY(gather_gradients(t));
    if (t->sums) fr_optimizer_add(t, !t->pending);
    t->pending++;
    return FR_OK;
}

fr_status fr_trainer_update(fr_trainer *t, float *norm) {
    if (!t->pending) return fr_fail(FR_INVALID, "there is no gradient to update with");
    FR_TRY(fr_trainer_prepare(t));
    if (t->swapped)
        return fr_fail(FR_INVALID, "the session holds averages: swap back before training");
    fr_status st = fr_optimizer_apply(t, norm);
    t->pending = 0;
    if (st) return st;
    t->step++;
    fr_session_params_changed(t->session);
    return FR_OK;
}

fr_status fr_trainer_step(fr_trainer *t, const fr_tensor *inputs, int count, float *loss,
                          float *norm) {
    FR_TRY(fr_trainer_accumulate(t, inputs, count, loss));
    return fr_trainer_update(t, norm);
}

/* ---- averages ---- */

static void swap_piece(void *arg, size_t i) {
    const fr_trainer *t = arg;
    const fr_piece *p = &t->pieces[i];
    const fr_slot *s = &t->slots[p->slot];
    float *a = s->master + p->first, *b = s->ema + p->first;
    for (size_t j = 0; j < p->count; j++) {
        float keep = a[j];
        a[j] = b[j], b[j] = keep;
    }
    fr_slot_store(s, p->first, p->count);
}

fr_status fr_trainer_swap_ema(fr_trainer *t) {
    if (!(t->opts.ema > 0)) return fr_fail(FR_INVALID, "this training keeps no averages");
    FR_TRY(fr_trainer_prepare(t));
    if (t->pending && !t->sums)
        return fr_fail(FR_INVALID, "update before the averages are swapped in");
    fr_pool_run(t->pool, t->piece_count, swap_piece, t);
    t->swapped = !t->swapped;
    fr_session_params_changed(t->session);
    return FR_OK;
}
