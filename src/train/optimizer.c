/* optimizer.c: from gradients to parameters, piece by piece; SGD with momentum, AdamW (Loshchilov &
 * Hutter 2019) and AdamW with moments in 8 bits (Dettmers et al. 2022) stand here.
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
    if (o->block8 < 0 || o->block8 > FR_PIECE || (o->block8 & (o->block8 - 1)) || o->least8 < 0)
        return fr_fail(FR_INVALID,
                       "blocks of %d values from tensors of %lld on make no sense: a block has a "
                       "power of two, at most %d",
                       o->block8, (long long)o->least8, FR_PIECE);
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
    if (o->least8 == 0) o->least8 = came ? 16385 : 4096;
}

/* ---- gradients ---- */

static const float *run_gradient(const fr_trainer *t, uint32_t slot, size_t first, size_t count,
                                 float *buf) {
    const fr_tensor *g = t->grads[slot];
    if (g->dtype == FR_F32) return (const float *)g->data + first;
    const fr_dtype_info *info = fr_dtype_get(g->dtype);
    fr_decode(g->dtype, (const char *)g->data + first * (size_t)info->bytes, count, buf);
    return buf;
}

const float *fr_optimizer_gradient(const fr_trainer *t, uint32_t slot, size_t first, size_t count,
                                   float *buf) {
    return t->sums ? t->slots[slot].sum + first : run_gradient(t, slot, first, count, buf);
}

typedef struct adding {
    fr_trainer *t;
    bool begin;
} adding;

static void add_piece(void *arg, size_t i) {
    const adding *a = arg;
    const fr_piece *p = &a->t->pieces[i];
    float buf[FR_PIECE];
    for (size_t at = p->first, n; at < p->first + p->count; at += n) {
        n = FR_MIN((size_t)FR_PIECE, p->first + p->count - at);
        const float *g = run_gradient(a->t, p->slot, at, n, buf);
        float *sum = a->t->slots[p->slot].sum + at;
        if (a->begin)
            memcpy(sum, g, n * sizeof *g);
        else
            fr_kernel()->rows.axpy(1, g, n, sum);
    }
}

void fr_optimizer_add(fr_trainer *t, bool begin) {
    adding a = {t, begin};
    fr_pool_run(t->pool, t->piece_count, add_piece, &a);
}

static bool is_came(const fr_trainer *t) {
    return t->opts.optimizer == FR_CAME || t->opts.optimizer == FR_CAME8;
}

static void square_piece(void *arg, size_t i) {
    const fr_trainer *t = arg;
    float buf[FR_PIECE];
    const fr_piece *p = &t->pieces[i];
    const float *g = fr_optimizer_gradient(t, p->slot, p->first, p->count, buf);
    t->partial[i] = fr_kernel()->rows.sum_squares(g, p->count);
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
    if (is_came(t))
        fr_came_squares(t);
    else
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

/* ---- the update ---- */

void fr_optimizer_finish(const fr_update *u, const fr_slot *s, size_t first, size_t count) {
    if (s->ema) { /* ema += follow (master - ema) */
        const fr_rows_kernels *k = &fr_kernel()->rows;
        k->affine(s->ema + first, 1 - u->follow, 0, count, s->ema + first);
        k->axpy(u->follow, s->master + first, count, s->ema + first);
    }
    fr_slot_store(s, first, count);
}

static void adamw(const fr_update *u, const fr_slot *s, size_t first, size_t count, float *m,
                  float *v, const float *g) {
    const fr_train_opts *o = &u->t->opts;
    fr_kernel()->rows.adamw(count, s->master + first, m, v, g, u->lr, o->beta1, o->beta2, o->eps,
                            s->decays ? o->weight_decay : 0, (float)u->bias1, (float)u->bias2);
}

/* A second moment that is not 0 does not become 0: the step would be divided by eps alone. */
static void adamw8(const fr_update *u, const fr_slot *s, const fr_piece *p, const float *g) {
    const fr_map8 *maps = u->t->maps;
    float m[FR_PIECE], v[FR_PIECE];
    for (size_t at = p->first, n; at < p->first + p->count; at += n, g += n) {
        size_t block = at / s->block;
        n = FR_MIN(s->block, p->first + p->count - at);
        fr_map8_decode(&maps[0], s->m8.code + at, n, s->m8.scale[block], m);
        fr_map8_decode(&maps[1], s->v8.code + at, n, s->v8.scale[block], v);
        adamw(u, s, at, n, m, v, g);
        s->m8.scale[block] = fr_map8_encode(&maps[0], m, n, false, s->m8.code + at);
        s->v8.scale[block] = fr_map8_encode(&maps[1], v, n, true, s->v8.code + at);
    }
}

static void update_piece(void *arg, size_t i) {
    const fr_update *u = arg;
    const fr_train_opts *o = &u->t->opts;
    const fr_piece *p = &u->t->pieces[i];
    const fr_slot *s = &u->t->slots[p->slot];
    float buf[FR_PIECE];
    const float *g = fr_optimizer_gradient(u->t, p->slot, p->first, p->count, buf);
    if (u->scale != 1) {
        fr_kernel()->rows.binary_scalar(FR_MUL, g, u->scale, p->count, buf);
        g = buf;
    }
    if (s->m8.code)
        adamw8(u, s, p, g);
    else if (s->v)
        adamw(u, s, p->first, p->count, s->m + p->first, s->v + p->first, g);
    else
        fr_kernel()->rows.sgd(p->count, s->master + p->first, s->m ? s->m + p->first : NULL, g,
                              u->lr, o->momentum, s->decays ? o->weight_decay : 0);
    fr_optimizer_finish(u, s, p->first, p->count);
}

fr_status fr_optimizer_apply(fr_trainer *t, float *norm) {
    fr_update u = {.t = t};
    FR_TRY(measure(t, norm, &u.scale));
    double done = (double)(t->step + 1);
    u.lr = fr_learning_rate(&t->opts, t->step);
    u.bias1 = 1 - pow(t->opts.beta1, done);
    u.bias2 = 1 - pow(t->opts.beta2, done);
    u.follow = (float)(1 - fmin(t->opts.ema, (1 + done) / (10 + done)));
    if (is_came(t))
        fr_came_update(&u);
    else
        fr_pool_run(t->pool, t->piece_count, update_piece, &u);
    return FR_OK;
}
