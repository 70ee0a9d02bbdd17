/* optimizer.c: SGD with momentum and AdamW (Loshchilov & Hutter 2019) over pieces of parameters.
 *
 * Two sweeps over the pool: the squares of the gradients, whose sum is taken in the order of the
 * pieces, and then the update, which also rounds the f32 master to the type of the parameter. */
#include <math.h>
#include <string.h>

#include "train/trainer.h"

typedef struct update {
    fr_trainer *t;
    const fr_tensor *const *grads;
    float lr, scale; /* scale: of the gradient, from clipping */
    double bias1, bias2;
} update;

/* The piece of the gradient as floats: in place when it is f32, else converted to buf. */
static const float *piece_gradient(const update *u, const fr_piece *p, float *buf) {
    const fr_tensor *g = u->grads[p->slot];
    if (g->dtype == FR_F32) return (const float *)g->data + p->first;
    const fr_dtype_info *info = fr_dtype_get(g->dtype);
    fr_decode(g->dtype, (const char *)g->data + p->first * (size_t)info->bytes, p->count, buf);
    return buf;
}

static void square_piece(void *arg, size_t i) {
    const update *u = arg;
    float buf[FR_PIECE];
    const fr_piece *p = &u->t->pieces[i];
    u->t->partial[i] = fr_kernel()->rows.sum_squares(piece_gradient(u, p, buf), p->count);
}

static void update_piece(void *arg, size_t i) {
    const update *u = arg;
    const fr_train_opts *o = &u->t->opts;
    const fr_rows_kernels *k = &fr_kernel()->rows;
    const fr_piece *p = &u->t->pieces[i];
    fr_slot *s = &u->t->slots[p->slot];
    float buf[FR_PIECE];
    const float *g = piece_gradient(u, p, buf);
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
    if (s->storage->dtype != FR_F32) {
        size_t bytes = (size_t)fr_dtype_get(s->storage->dtype)->bytes;
        fr_encode(s->storage->dtype, master, p->count, (char *)s->storage->data + p->first * bytes);
    }
}

/* Names the first parameter whose gradient is at fault. */
static fr_status not_finite(const fr_trainer *t) {
    const char *name = "";
    for (size_t i = t->piece_count; i-- > 0;)
        if (!isfinite(t->partial[i])) name = t->slots[t->pieces[i].slot].name;
    return fr_fail(FR_INVALID, "step %lld: the gradient%s%s is not finite; lower the learning rate",
                   (long long)t->step, *name ? " of " : "", name);
}

fr_status fr_optimizer_apply(fr_trainer *t, const fr_tensor *const *grads, float *norm) {
    update u = {.t = t, .grads = grads, .scale = 1};
    double sum = 0;
    fr_pool_run(t->pool, t->piece_count, square_piece, &u);
    for (size_t i = 0; i < t->piece_count; i++) sum += t->partial[i];
    double length = sqrt(sum);
    if (norm) *norm = (float)length;
    if (!isfinite(length)) return not_finite(t);
    if (t->opts.clip > 0 && length > (double)t->opts.clip)
        u.scale = (float)((double)t->opts.clip / (length + 1e-6));
    u.lr = fr_learning_rate(&t->opts, t->step);
    u.bias1 = 1 - pow(t->opts.beta1, (double)(t->step + 1));
    u.bias2 = 1 - pow(t->opts.beta2, (double)(t->step + 1));
    fr_pool_run(t->pool, t->piece_count, update_piece, &u);
    return FR_OK;
}
