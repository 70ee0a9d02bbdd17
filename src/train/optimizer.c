/* optimizer.c: from gradients to parameters, piece by piece; SGD with momentum and AdamW (Loshchilov
 * & Hutter 2019) stand here.
 *
 * Two sweeps over the pool: the squares of the gradients, whose sum is taken in the order of the
 * pieces, and then the update, which also rounds the f32 master to the type of the parameter. */
#include <math.h>
#include <string.h>

#include "train/trainer.h"

const char *const fr_optimizer_names[] = {"sgd", "adamw", "adamw8", "came", "came8", NULL};

fr_status fr_optimizer_check(const fr_train_opts *o) {
    if ((int)o->optimizer < FR_SGD || o->optimizer > FR_CAME8)
        return fr_fail(FR_INVALID, "there is no optimizer %d", (int)o->optimizer);
    if (o->optimizer > FR_ADAMW)
        return fr_fail(FR_UNSUPPORTED, "the optimizer %s is not there yet",
                       fr_optimizer_names[o->optimizer]);
    if (!(o->momentum >= 0 && o->momentum < 1))
        return fr_fail(FR_INVALID, "the momentum is %g; it must be from 0 to below 1",
                       (double)o->momentum);
    if (!(o->beta1 >= 0 && o->beta1 < 1) || !(o->beta2 >= 0 && o->beta2 < 1) ||
        !(o->beta3 >= 0 && o->beta3 < 1))
        return fr_fail(FR_INVALID,
                       "beta1 (%g), beta2 (%g) and beta3 (%g) must be from 0 to below 1",
                       (double)o->beta1, (double)o->beta2, (double)o->beta3);
    if (!(o->eps >= 0) || !(o->eps2 >= 0) || !(o->clip >= 0) || !(o->weight_decay >= 0))
        return fr_fail(FR_INVALID,
                       "eps (%g), eps2 (%g), clip (%g) and weight decay (%g) must not be negative",
                       (double)o->eps, (double)o->eps2, (double)o->clip, (double)o->weight_decay);
    if (!(o->ema >= 0 && o->ema < 1))
        return fr_fail(FR_INVALID, "the decay of averages is %g; it must be from 0 to below 1",
                       (double)o->ema);
    return FR_OK;
}

void fr_optimizer_defaults(fr_train_opts *o) {
    bool came = o->optimizer == FR_CAME || o->optimizer == FR_CAME8;
    if (o->beta1 == 0) o->beta1 = 0.9f;
    if (o->beta2 == 0) o->beta2 = 0.999f;
    if (o->beta3 == 0) o->beta3 = 0.9999f;
    if (o->eps == 0) o->eps = came ? 1e-30f : 1e-8f;
    if (o->eps2 == 0) o->eps2 = 1e-16f;
}

/* ---- gradients ---- */

/* The piece of the gradient of the last run as floats: in place when it is f32, else in buf. */
static const float *run_gradient(const fr_trainer *t, const fr_piece *p, float *buf) {
    const fr_tensor *g = t->grads[p->slot];
    if (g->dtype == FR_F32) return (const float *)g->data + p->first;
    const fr_dtype_info *info = fr_dtype_get(g->dtype);
    fr_decode(g->dtype, (const char *)g->data + p->first * (size_t)info->bytes, p->count, buf);
    return buf;
}

/* What the update is made with, but for a factor. */
static const float *piece_gradient(const fr_trainer *t, const fr_piece *p, float *buf) {
    return t->sums ? t->slots[p->slot].sum + p->first : run_gradient(t, p, buf);
}

static void begin_piece(void *arg, size_t i) {
    const fr_trainer *t = arg;
    const fr_piece *p = &t->pieces[i];
    float buf[FR_PIECE];
    memcpy(t->slots[p->slot].sum + p->first, run_gradient(t, p, buf), p->count * sizeof *buf);
}

static void add_piece(void *arg, size_t i) {
    const fr_trainer *t = arg;
    const fr_piece *p = &t->pieces[i];
    float buf[FR_PIECE];
    fr_kernel()->rows.axpy(1, run_gradient(t, p, buf), p->count, t->slots[p->slot].sum + p->first);
}

void fr_optimizer_add(fr_trainer *t, bool begin) {
    fr_pool_run(t->pool, t->piece_count, begin ? begin_piece : add_piece, t);
}

/* ---- the update ---- */

typedef struct update {
    fr_trainer *t;
    float lr, scale; /* scale: of the gradient, from clipping and from the mean */
    float follow;    /* how far the averages go */
    double bias1, bias2;
} update;

static void square_piece(void *arg, size_t i) {
    const fr_trainer *t = arg;
    float buf[FR_PIECE];
    const fr_piece *p = &t->pieces[i];
    t->partial[i] = fr_kernel()->rows.sum_squares(piece_gradient(t, p, buf), p->count);
}

/* ema += follow (master - ema) */
static void average(const fr_slot *s, const fr_piece *p, float follow) {
    float *e = s->ema + p->first;
    const fr_rows_kernels *k = &fr_kernel()->rows;
    k->affine(e, 1 - follow, 0, p->count, e);
    k->axpy(follow, s->master + p->first, p->count, e);
}

static void update_piece(void *arg, size_t i) {
    const update *u = arg;
    const fr_train_opts *o = &u->t->opts;
    const fr_rows_kernels *k = &fr_kernel()->rows;
    const fr_piece *p = &u->t->pieces[i];
    const fr_slot *s = &u->t->slots[p->slot];
    float buf[FR_PIECE];
    const float *g = piece_gradient(u->t, p, buf);
    if (u->scale != 1) {
        for (size_t j = 0; j < p->count; j++) buf[j] = g[j] * u->scale;
        g = buf;
    }
    float *master = s->master + p->first;
    float decay = s->decays ? o->weight_decay : 0;
    if (o->optimizer == FR_ADAMW)
        k->adamw(p->count, master, s->m + p->first, s->v + p->first, g, u->lr, o->beta1, o->beta2,
                 o->eps, decay, (float)u->bias1, (float)u->bias2);
    else
        k->sgd(p->count, master, s->m ? s->m + p->first : NULL, g, u->lr, o->momentum, decay);
    if (s->ema) average(s, p, u->follow);
    fr_slot_store(s, p->first, p->count);
}

/* Names the first parameter whose gradient is at fault. */
static fr_status not_finite(const fr_trainer *t) {
    const char *name = "";
    for (size_t i = t->piece_count; i-- > 0;)
        if (!isfinite(t->partial[i])) name = t->slots[t->pieces[i].slot].name;
    return fr_fail(FR_INVALID, "step %lld: the gradient%s%s is not finite; lower the learning rate",
                   (long long)t->step, *name ? " of " : "", name);
}

/* The norm is that of the mean; the factor that takes a sum to the mean and clips it comes out. */
static fr_status measure(fr_trainer *t, float *norm, float *scale) {
    double sum = 0;
    fr_pool_run(t->pool, t->piece_count, square_piece, t);
    for (size_t i = 0; i < t->piece_count; i++) sum += t->partial[i];
    double length = sqrt(sum) / (double)t->pending;
    if (norm) *norm = (float)length;
    if (!isfinite(length)) return not_finite(t);
    *scale = 1 / (float)t->pending;
    if (t->opts.clip > 0 && length > (double)t->opts.clip)
        *scale = (float)((double)t->opts.clip / (length + 1e-6) / (double)t->pending);
    return FR_OK;
}

fr_status fr_optimizer_apply(fr_trainer *t, float *norm) {
    update u = {.t = t};
    FR_TRY(measure(t, norm, &u.scale));
    double done = (double)(t->step + 1);
    u.lr = fr_learning_rate(&t->opts, t->step);
    u.bias1 = 1 - pow(t->opts.beta1, done);
    u.bias2 = 1 - pow(t->opts.beta2, done);
    u.follow = (float)(1 - fmin(t->opts.ema, (1 + done) / (10 + done)));
    fr_pool_run(t->pool, t->piece_count, update_piece, &u);
    return FR_OK;
}
