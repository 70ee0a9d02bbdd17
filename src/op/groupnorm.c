/* groupnorm.c: group norm (Wu & He 2018) and batch norm (Ioffe & Szegedy 2015) over channels-last
 * tensors.
 *
 * Both are the same computation: a set of channels shares a mean and a variance. Group norm: the
 * channels of a group within one sample; batch norm in training: one channel over the whole batch.
 * Statistics come from channel_stats.c, and then
 *
 *     y = (x - centre) a + b      a = rstd weight,  b = bias - (mean - centre) a
 *     dx = dy p - (x - centre) r - q
 *          p = rstd weight,  r = rstd^2 mean(g xhat),  q = rstd mean(g) - (mean - centre) r,  g = dy weight
 *     dweight = sum dy xhat,  dbias = sum dy
 *
 * where the three arrays of channels are all that the pass over the values sees. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "op/channel_stats.h"
#include "op/grads.h"

typedef struct norm_attr {
    float eps;
    int32_t groups; /* 0: batch norm */
} norm_attr;

static const fr_attr_field norm_fields[] = {{"eps", FR_ATTR_F32, offsetof(norm_attr, eps), 0},
                                            {"groups", FR_ATTR_I32, offsetof(norm_attr, groups), 0},
                                            {0}};

static bool is_batch(const fr_call *c) {
    return ((const norm_attr *)c->attr)->groups == 0;
}

static fr_channels channels_of(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    fr_channels s = {.x = x, .channels = x->dim[x->rank - 1], .positions = 1, .samples = 1};
    for (int d = 0; d < x->rank - 1; d++) {
        if (d == 0 && !is_batch(c))
            s.samples = x->dim[0];
        else
            s.positions *= x->dim[d];
    }
    return s;
}

/* Scratch, cut into its arrays; all of [samples, channels]. */
typedef struct work {
    double *sum, *sum2, *dsum, *dsum2;
    float *centre, *mean, *rstd; /* mean: from the centre */
    float *p, *q, *r;
    void *partial;
} work;

static size_t cut(const fr_call *c, char *base, work *w) {
    fr_channels s = channels_of(c);
    size_t n = (size_t)(s.samples * s.channels), at = 0;
    double **doubles[] = {&w->sum, &w->sum2, &w->dsum, &w->dsum2};
    float **floats[] = {&w->centre, &w->mean, &w->rstd, &w->p, &w->q, &w->r};
    for (size_t i = 0; i < FR_COUNT(doubles); i++, at += fr_round_up(n * sizeof(double), FR_ALIGN))
        if (base) *doubles[i] = (double *)(void *)(base + at);
    for (size_t i = 0; i < FR_COUNT(floats); i++, at += fr_round_up(n * sizeof(float), FR_ALIGN))
        if (base) *floats[i] = (float *)(void *)(base + at);
    if (base) w->partial = base + at;
    return at + fr_channel_scratch(&s);
}

static size_t norm_scratch(const fr_call *c) {
    work w;
    if (!fr_values(&c->in[0])) return 0;
    return cut(c, NULL, &w);
}

/* ---- statistics ---- */

/* Mean and variance of one set: `count` channels of `positions` values each, from their sums. Combined
 * as Chan, Golub & LeVeque do: within the channels, and between their means. */
static void combine(const fr_channels *s, work *w, size_t first, int64_t count, double eps,
                    double *mean, double *var) {
    double n = (double)s->positions, m = 0, inner = 0, between = 0;
    for (int64_t k = 0; k < count; k++)
        m += (double)w->centre[first + (size_t)k] + w->sum[first + (size_t)k] / n;
    m /= (double)count;
    for (int64_t k = 0; k < count; k++) {
        size_t i = first + (size_t)k;
        double own = w->sum[i] / n, off = ((double)w->centre[i] - m) + own;
        inner += w->sum2[i] - own * w->sum[i];
        between += n * off * off;
    }
    *mean = m;
    *var = fmax(0, (inner + between) / (n * (double)count));
    for (int64_t k = 0; k < count; k++) {
        size_t i = first + (size_t)k;
        w->mean[i] = (float)(m - (double)w->centre[i]);
        w->rstd[i] = (float)(1 / sqrt(*var + eps));
    }
}

static int64_t channels_in_set(const fr_call *c, const fr_channels *s) {
    return is_batch(c) ? 1 : s->channels / ((const norm_attr *)c->attr)->groups;
}

static void statistics(const fr_call *c, const fr_channels *s, work *w, float *mean_out,
                       float *var_out) {
    fr_channel_sums(s, w->centre, w->sum, w->sum2, w->partial, c->pool);
    int64_t count = channels_in_set(c, s), sets = s->samples * s->channels / count;
    double eps = (double)((const norm_attr *)c->attr)->eps;
    for (int64_t i = 0; i < sets; i++) {
        double mean, var;
        combine(s, w, (size_t)(i * count), count, eps, &mean, &var);
        if (mean_out) mean_out[i] = (float)mean, var_out[i] = (float)var;
    }
}

/* weight or bias of a channel; NULL tensors count as 1 and 0. */
static float channel_value(const fr_tensor *t, int64_t ch, float fallback) {
    if (!t || t->dtype == FR_NOTYPE) return fallback;
    return t->dtype == FR_F32 ? ((const float *)t->data)[ch]
                              : fr_bf16_to_f32(((const uint16_t *)t->data)[ch]);
}

/* ---- the passes over all values ---- */

typedef struct pass {
    fr_channels s;
    const fr_tensor *dy, *out;
    const float *centre, *p, *q, *r; /* r NULL: forward, (x - centre) p + q */
} pass;

static void pass_chunk(void *arg, size_t i) {
    const pass *j = arg;
    const fr_rows_kernels *k = &fr_kernel()->rows;
    int64_t chunks = (j->s.positions + FR_CHANNEL_CHUNK - 1) / FR_CHANNEL_CHUNK;
    int64_t sample = (int64_t)i / chunks, first = (int64_t)i % chunks * FR_CHANNEL_CHUNK;
    int64_t last = FR_MIN(first + FR_CHANNEL_CHUNK, j->s.positions);
    float bx[FR_CHANNEL_TILE], bd[FR_CHANNEL_TILE], y[FR_CHANNEL_TILE];
    for (int64_t p = first; p < last; p++)
        for (int64_t ch = 0; ch < j->s.channels; ch += FR_CHANNEL_TILE) {
            size_t n = (size_t)FR_MIN((int64_t)FR_CHANNEL_TILE, j->s.channels - ch);
            size_t c = (size_t)(sample * j->s.channels + ch);
            int64_t at = (sample * j->s.positions + p) * j->s.channels + ch;
            const float *x = fr_load_tile(j->s.x, at, (int64_t)n, bx);
            float *to = j->out->dtype == FR_F32 ? (float *)j->out->data + at : y;
            if (j->r)
                k->channel_grad(x, j->centre + c, fr_load_tile(j->dy, at, (int64_t)n, bd), j->p + c,
                                j->q + c, j->r + c, n, to);
            else
                k->channel_affine(x, j->centre + c, j->p + c, j->q + c, n, to);
            fr_store_tile(j->out, at, (int64_t)n, to);
        }
}

static void run_pass(const pass *p, fr_pool *pool) {
    int64_t chunks = (p->s.positions + FR_CHANNEL_CHUNK - 1) / FR_CHANNEL_CHUNK;
    if (p->s.samples * p->s.positions * p->s.channels < 16384) pool = NULL;
    fr_pool_run(pool, (size_t)(p->s.samples * chunks), pass_chunk, (void *)(uintptr_t)p);
}

/* ---- forward ---- */

static fr_status check_channel(const fr_call *c, int i, const char *what) {
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    if (!fr_has(c, i)) return FR_OK;
    const fr_tensor *t = &c->in[i], *x = &c->in[0];
    if (t->rank == 1 && t->dim[0] == x->dim[x->rank - 1] &&
        (t->dtype == FR_F32 || t->dtype == FR_BF16))
        return FR_OK;
    return fr_fail(FR_INVALID, "%s wants one %s a channel of x %s, not %s", c->op->name, what,
                   fr_shape_text(x, a), fr_shape_text(t, b));
}

static fr_status check_x(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    const norm_attr *a = c->attr;
    char text[FR_SHAPE_TEXT];
    if ((x->dtype != FR_F32 && x->dtype != FR_BF16) || x->rank < 2)
        return fr_fail(FR_INVALID, "%s wants f32 or bf16 of at least two axes, not %s", c->op->name,
                       fr_shape_text(x, text));
    if (!(a->eps >= 0) || isinf(a->eps))
        return fr_fail(FR_INVALID, "%s with eps %g; it must be a number from 0 up", c->op->name,
                       (double)a->eps);
    bool grouped = c->op == &fr_op_groupnorm || (c->op == &fr_op_groupnorm_grad && a->groups);
    if (!grouped && a->groups)
        return fr_fail(FR_INVALID, "%s takes no groups, and there are %d", c->op->name, a->groups);
    if (grouped && (a->groups < 1 || x->dim[x->rank - 1] % a->groups))
        return fr_fail(FR_INVALID, "%s: %d groups do not divide the channels of %s", c->op->name,
                       a->groups, fr_shape_text(x, text));
    return FR_OK;
}

static void like(fr_tensor *out, const fr_tensor *x) {
    out->dtype = x->dtype;
    out->rank = x->rank;
    memcpy(out->dim, x->dim, sizeof out->dim);
}

static void vector(fr_tensor *out, int64_t n) {
    out->dtype = FR_F32;
    out->rank = 1;
    out->dim[0] = n;
}

static fr_status norm_shape(const fr_call *c) {
    FR_TRY(check_x(c));
    FR_TRY(check_channel(c, 1, "weight"));
    FR_TRY(check_channel(c, 2, "bias"));
    like(&c->out[0], &c->in[0]);
    for (int i = 1; i < c->nout; i++) vector(&c->out[i], c->in[0].dim[c->in[0].rank - 1]);
    return FR_OK;
}

static void fill_vectors(const fr_call *c, float v) {
    for (int i = 1; i < c->nout; i++)
        for (int64_t ch = 0; ch < c->out[i].dim[0]; ch++) ((float *)c->out[i].data)[ch] = v;
}

static fr_status norm_run(const fr_call *c) {
    work w;
    if (!fr_values(&c->in[0])) { /* nothing has no mean */
        fill_vectors(c, NAN);
        return FR_OK;
    }
    fr_channels s = channels_of(c);
    cut(c, c->scratch, &w);
    bool more = c->nout > 1;
    statistics(c, &s, &w, more ? c->out[1].data : NULL, more ? c->out[2].data : NULL);
    for (int64_t i = 0; i < s.samples * s.channels; i++) {
        int64_t ch = i % s.channels;
        w.p[i] = w.rstd[i] * channel_value(c->nin > 1 ? &c->in[1] : NULL, ch, 1);
        w.q[i] = channel_value(c->nin > 2 ? &c->in[2] : NULL, ch, 0) - w.mean[i] * w.p[i];
    }
    run_pass(&(pass){.s = s, .out = &c->out[0], .centre = w.centre, .p = w.p, .q = w.q}, c->pool);
    return FR_OK;
}

static void norm_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = 6.0 * (double)fr_values(&c->in[0]);
}

/* ---- backward: x, weight, dy -> dx, dweight, dbias ---- */

static fr_status grad_shape(const fr_call *c) {
    FR_TRY(check_x(c));
    FR_TRY(check_channel(c, 1, "weight"));
    if (!fr_has(c, 2) || !fr_same_shape(&c->in[2], &c->in[0]) ||
        (c->in[2].dtype != FR_F32 && c->in[2].dtype != FR_BF16))
        return fr_fail(FR_INVALID, "%s wants a gradient like x", c->op->name);
    like(&c->out[0], &c->in[0]);
    vector(&c->out[1], c->in[0].dim[c->in[0].rank - 1]);
    vector(&c->out[2], c->in[0].dim[c->in[0].rank - 1]);
    return FR_OK;
}

/* From sums of dy (dsum) and dy (x - centre) (dsum2) to p, q, r of one set of channels. */
static void grad_set(const fr_call *c, const fr_channels *s, work *w, size_t first, int64_t count) {
    double n = (double)s->positions * (double)count, g = 0, gx = 0;
    for (int64_t k = 0; k < count; k++) {
        size_t i = first + (size_t)k;
        double weight = (double)channel_value(&c->in[1], (int64_t)(i % (size_t)s->channels), 1);
        g += weight * w->dsum[i];
        gx += weight * (double)w->rstd[i] * (w->dsum2[i] - (double)w->mean[i] * w->dsum[i]);
    }
    for (int64_t k = 0; k < count; k++) {
        size_t i = first + (size_t)k;
        double rstd = (double)w->rstd[i], r = rstd * rstd * gx / n;
        w->p[i] = (float)rstd * channel_value(&c->in[1], (int64_t)(i % (size_t)s->channels), 1);
        w->r[i] = (float)r;
        w->q[i] = (float)(rstd * g / n - (double)w->mean[i] * r);
    }
}

static fr_status grad_run(const fr_call *c) {
    work w;
    if (!fr_values(&c->in[0])) {
        fill_vectors(c, 0);
        return FR_OK;
    }
    fr_channels s = channels_of(c);
    cut(c, c->scratch, &w);
    statistics(c, &s, &w, NULL, NULL);
    s.dy = &c->in[2];
    fr_channel_sums(&s, w.centre, w.dsum, w.dsum2, w.partial, c->pool);
    float *dweight = c->out[1].data, *dbias = c->out[2].data;
    for (int64_t ch = 0; ch < s.channels; ch++) {
        double dw = 0, db = 0;
        for (int64_t i = ch; i < s.samples * s.channels; i += s.channels) {
            dw += (double)w.rstd[i] * (w.dsum2[i] - (double)w.mean[i] * w.dsum[i]);
            db += w.dsum[i];
        }
        dweight[ch] = (float)dw, dbias[ch] = (float)db;
    }
    int64_t count = channels_in_set(c, &s);
    for (int64_t i = 0; i < s.samples * s.channels; i += count)
        grad_set(c, &s, &w, (size_t)i, count);
    run_pass(&(pass){.s = s,
                     .dy = &c->in[2],
                     .out = &c->out[0],
                     .centre = w.centre,
                     .p = w.p,
                     .q = w.q,
                     .r = w.r},
             c->pool);
    return FR_OK;
}

static fr_status norm_grad(fr_grad *r) {
    const norm_attr *a = r->attr;
    if (r->nout > 1 && (r->dout[1] != FR_NONE || r->dout[2] != FR_NONE))
        return fr_fail(FR_UNSUPPORTED, "the statistics of a batch norm have no gradient");
    fr_val in[] = {r->in[0], r->nin > 1 ? r->in[1] : FR_NONE, r->dout[0]};
    fr_val dx = fr_emit(r->g, &fr_op_groupnorm_grad, 3, in, a);
    if (dx == FR_NONE) return FR_OK; /* the graph keeps the error */
    r->din[0] = dx;
    for (int i = 1; i < r->nin; i++)
        if (r->need[i]) r->din[i] = fr_cast(r->g, dx + i, fr_desc(r->g, r->in[i])->dtype);
    return FR_OK;
}

/* ---- batch norm with given statistics: x, weight, bias, mean, var ---- */

static fr_status given_shape(const fr_call *c) {
    static const char *const names[] = {"x", "weight", "bias", "mean", "variance"};
    FR_TRY(check_x(c));
    if (!fr_has(c, 3) || !fr_has(c, 4))
        return fr_fail(FR_INVALID, "batchnorm wants a mean and a variance");
    for (int i = 1; i < 5; i++) FR_TRY(check_channel(c, i, names[i]));
    like(&c->out[0], &c->in[0]);
    return FR_OK;
}

static fr_status given_run(const fr_call *c) {
    work w;
    if (!fr_values(&c->in[0])) return FR_OK;
    fr_channels s = channels_of(c);
    cut(c, c->scratch, &w);
    double eps = (double)((const norm_attr *)c->attr)->eps;
    for (int64_t ch = 0; ch < s.channels; ch++) {
        w.centre[ch] = channel_value(&c->in[3], ch, 0);
        w.p[ch] = channel_value(&c->in[1], ch, 1) *
                  (float)(1 / sqrt((double)channel_value(&c->in[4], ch, 1) + eps));
        w.q[ch] = channel_value(&c->in[2], ch, 0);
    }
    run_pass(&(pass){.s = s, .out = &c->out[0], .centre = w.centre, .p = w.p, .q = w.q}, c->pool);
    return FR_OK;
}

/* In terms of other operators: y = (x - mean) a + bias with a = weight / sqrt(var + eps). */
static fr_status given_grad(fr_grad *r) {
    fr_graph *g = r->g;
    fr_val x = r->in[0], weight = r->in[1], mean = r->in[3], dy = r->dout[0];
    fr_val rstd =
        fr_unary(g, fr_affine(g, r->in[4], 1, ((const norm_attr *)r->attr)->eps), FR_FN_RSQRT);
    fr_val a = weight == FR_NONE ? rstd : fr_mul(g, rstd, weight);
    if (r->need[0]) r->din[0] = fr_mul(g, dy, a);
    if (r->need[2] || r->need[3]) {
        fr_val sum = fr_unbroadcast(g, dy, mean);
        if (r->need[2]) r->din[2] = sum;
        if (r->need[3]) r->din[3] = fr_affine(g, fr_mul(g, sum, a), -1, 0);
    }
    if (!r->need[1] && !r->need[4]) return FR_OK;
    fr_val sum = fr_mul(g, fr_unbroadcast(g, fr_mul(g, dy, fr_sub(g, x, mean)), mean), rstd);
    if (r->need[1]) r->din[1] = sum;
    /* da/dvar = -a / 2 (var + eps) */
    if (r->need[4]) r->din[4] = fr_affine(g, fr_mul(g, fr_mul(g, sum, a), rstd), -0.5f, 0);
    return FR_OK;
}

/* ---- the operators ---- */

const fr_op fr_op_groupnorm = {.name = "groupnorm",
                               .nin_min = 1,
                               .nin_max = 3,
                               .nout = 1,
                               .flags = FR_OP_INPLACE0,
                               .attr_bytes = sizeof(norm_attr),
                               .fields = norm_fields,
                               .shape = norm_shape,
                               .run = norm_run,
                               .scratch = norm_scratch,
                               .grad = norm_grad,
                               .cost = norm_cost};
const fr_op fr_op_batchnorm_train = {.name = "batchnorm_train",
                                     .nin_min = 1,
                                     .nin_max = 3,
                                     .nout = 3,
                                     .attr_bytes = sizeof(norm_attr),
                                     .fields = norm_fields,
                                     .shape = norm_shape,
                                     .run = norm_run,
                                     .scratch = norm_scratch,
                                     .grad = norm_grad,
                                     .cost = norm_cost};
const fr_op fr_op_batchnorm = {.name = "batchnorm",
                               .nin_min = 1,
                               .nin_max = 5,
                               .nout = 1,
                               .flags = FR_OP_INPLACE0,
                               .attr_bytes = sizeof(norm_attr),
                               .fields = norm_fields,
                               .shape = given_shape,
                               .run = given_run,
                               .scratch = norm_scratch,
                               .grad = given_grad,
                               .cost = norm_cost};
const fr_op fr_op_groupnorm_grad = {.name = "groupnorm_grad",
                                    .nin_min = 1,
                                    .nin_max = 3,
                                    .nout = 3,
                                    .flags = FR_OP_NO_GRAD,
                                    .attr_bytes = sizeof(norm_attr),
                                    .fields = norm_fields,
                                    .shape = grad_shape,
                                    .run = grad_run,
                                    .scratch = norm_scratch,
                                    .cost = norm_cost};

fr_val fr_groupnorm(fr_graph *g, fr_val x, fr_val weight, fr_val bias, int groups, float eps) {
    if (groups < 1) return fr_emit_fail(g, fr_fail(FR_INVALID, "groupnorm with %d groups", groups));
    return fr_emit(g, &fr_op_groupnorm, 3, (fr_val[]){x, weight, bias}, &(norm_attr){eps, groups});
}

fr_val fr_batchnorm(fr_graph *g, fr_val x, fr_val weight, fr_val bias, fr_val mean, fr_val var,
                    float eps) {
    return fr_emit(g, &fr_op_batchnorm, 5, (fr_val[]){x, weight, bias, mean, var},
                   &(norm_attr){eps, 0});
}

fr_val fr_batchnorm_train(fr_graph *g, fr_val x, fr_val weight, fr_val bias, float eps,
                          fr_val *mean, fr_val *var) {
    fr_val y =
        fr_emit(g, &fr_op_batchnorm_train, 3, (fr_val[]){x, weight, bias}, &(norm_attr){eps, 0});
    *mean = y == FR_NONE ? FR_NONE : y + 1;
    *var = y == FR_NONE ? FR_NONE : y + 2;
    return y;
}
