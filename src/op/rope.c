/* rope.c: rotary position embedding (RoFormer, Su et al. 2021), with one to three axes.
 *
 * Pair i of an axis turns by pos * theta^(-2 i / axis_dim). The angle is made and reduced in double,
 * so that positions of 10^5 and beyond keep their place on the circle; cosine and sine are made
 * once a position, for all heads and for all of a batch that stand there. The gradient is the same
 * turn backwards.
 *
 * With two lists of frequencies (LongRoPE, Ding et al. 2024) a text of more than `original` tokens turns by the
 * second one: all of it, because only angles made from one list can be compared. */
#include <math.h>
#include <string.h>

#include "op/op.h"

typedef struct rope_attr {
    bool interleaved, back;
    int32_t axes;
    int32_t axis_dim[3];
    float theta, scale;
    int32_t original;
} rope_attr;

enum { IN_X, IN_POS, IN_FREQ, IN_LENGTH };
enum { TOKENS = 8 }; /* positions in one item of work */

static int64_t turned(const rope_attr *at) {
    return (int64_t)at->axis_dim[0] + at->axis_dim[1] + at->axis_dim[2];
}

/* Without axis_dim the whole row turns with axis 0. */
static rope_attr settled(const fr_call *c) {
    rope_attr at = *(const rope_attr *)c->attr;
    if (!at.axes) at.axes = 1;
    if (!at.axis_dim[0] && !at.axis_dim[1] && !at.axis_dim[2])
        at.axis_dim[0] = (int32_t)c->in[IN_X].dim[3];
    if (at.theta == 0.0f) at.theta = 10000.0f;
    if (at.scale == 0.0f) at.scale = 1.0f;
    return at;
}

static fr_status bad(const fr_call *c, const char *why) {
    char x[FR_SHAPE_TEXT], p[FR_SHAPE_TEXT];
    return fr_fail(FR_INVALID, "rope: x is %s and pos is %s; %s", fr_shape_text(&c->in[IN_X], x),
                   fr_shape_text(&c->in[IN_POS], p), why);
}

static fr_status check_lists(const fr_call *c, const rope_attr *at, int64_t pairs) {
    const fr_tensor *f = &c->in[IN_FREQ], *length = &c->in[IN_LENGTH];
    const bool two = at->original != 0;
    char t[FR_SHAPE_TEXT];
    if (at->original < 0 || (two && !fr_has(c, IN_FREQ)))
        return fr_fail(
            FR_INVALID,
            "rope: original is %d; it must be above 0 and goes with two lists of inv_freq",
            (int)at->original);
    if (fr_has(c, IN_FREQ) && (f->dtype != FR_F32 || f->rank != (two ? 2 : 1) ||
                               (two && f->dim[0] != 2) || f->dim[f->rank - 1] != pairs))
        return fr_fail(FR_INVALID,
                       "rope: inv_freq is %s; wanted f32 [%s%lld] (FR_NONE to use theta)",
                       fr_shape_text(f, t), two ? "2, " : "", (long long)pairs);
    if (!fr_has(c, IN_LENGTH)) return FR_OK;
    if (!two || c->in[IN_POS].rank != 3 || length->dtype != FR_I32 || length->rank != 1 ||
        length->dim[0] != c->in[IN_X].dim[0])
        return fr_fail(
            FR_INVALID,
            "rope: length is %s; it must be i32 [batch], beside two lists of inv_freq and pos "
            "[batch, tokens, axes]",
            fr_shape_text(length, t));
    return FR_OK;
}

static fr_status check_axes(const fr_call *c, const rope_attr *at) {
    if (at->axes < 1 || at->axes > 3)
        return fr_fail(FR_INVALID, "rope: there can be 1 to 3 axes, not %d", (int)at->axes);
    int64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        if (at->axis_dim[i] < 0 || at->axis_dim[i] % 2)
            return fr_fail(FR_INVALID, "rope: axis %d turns %d values; pairs need an even number",
                           i, (int)at->axis_dim[i]);
        if (i >= at->axes && at->axis_dim[i])
            return fr_fail(FR_INVALID, "rope: axis %d turns %d values, but there are %d axes", i,
                           (int)at->axis_dim[i], (int)at->axes);
        sum += at->axis_dim[i];
    }
    if (sum > c->in[IN_X].dim[3])
        return bad(c, "the axes together turn more values than a row has");
    if (!(at->theta > 0.0f) || !isfinite(at->theta))
        return fr_fail(FR_INVALID, "rope: theta must be a positive number, not %g",
                       (double)at->theta);
    if (!isfinite(at->scale))
        return fr_fail(FR_INVALID, "rope: scale must be a number, not %g", (double)at->scale);
    return check_lists(c, at, sum / 2);
}

static fr_status shape(const fr_call *c) {
    const fr_tensor *x = &c->in[IN_X], *pos = &c->in[IN_POS];
    if (x->rank != 4 || (x->dtype != FR_F32 && x->dtype != FR_BF16))
        return bad(c, "x must be f32 or bf16 [batch, tokens, heads, dim]");
    rope_attr at = settled(c);
    FR_TRY(check_axes(c, &at));
    bool fits = pos->dtype == FR_I32 && (pos->rank == 2 || pos->rank == 3) &&
                pos->dim[pos->rank - 1] == at.axes && pos->dim[pos->rank - 2] == x->dim[1] &&
                (pos->rank == 2 || pos->dim[0] == x->dim[0]);
    if (!fits) return bad(c, "pos must be i32 [tokens, axes] or [batch, tokens, axes]");
    c->out[0].dtype = x->dtype;
    c->out[0].rank = 4;
    for (int i = 0; i < 4; i++) c->out[0].dim[i] = x->dim[i];
    return FR_OK;
}

typedef struct rope_run {
    const fr_call *c;
    const fr_attn_kernels *kernels;
    rope_attr at;
    double *freq;  /* [pairs], or two of them */
    uint8_t *list; /* [batch]: which of the two */
    char *scratch; /* cosines and sines of one token, a thread */
    size_t per_thread;
} rope_run;

static int64_t pairs_padded(const rope_attr *at) {
    return turned(at) / 2 + 16;
}

/* That have angles of their own. */
static int64_t positions(const fr_call *c) {
    const fr_tensor *x = &c->in[IN_X];
    return c->in[IN_POS].rank == 3 ? x->dim[0] * x->dim[1] : x->dim[1];
}

static size_t scratch(const fr_call *c) {
    rope_attr at = settled(c);
    size_t table = fr_round_up((size_t)pairs_padded(&at) * sizeof(double), FR_ALIGN);
    size_t lists = fr_round_up((size_t)c->in[IN_X].dim[0], FR_ALIGN);
    return table * (size_t)(2 + fr_pool_threads(c->pool)) + lists;
}

static void frequencies(rope_run *r) {
    const float *given = fr_has(r->c, IN_FREQ) ? r->c->in[IN_FREQ].data : NULL;
    const int64_t all = turned(&r->at) / 2 * (r->at.original ? 2 : 1);
    for (int64_t i = 0; given && i < all; i++) r->freq[i] = (double)given[i];
    if (given) return;
    int64_t at = 0;
    for (int axis = 0; axis < r->at.axes; axis++) {
        const int64_t pairs = r->at.axis_dim[axis] / 2;
        for (int64_t i = 0; i < pairs; i++, at++)
            r->freq[at] = pow((double)r->at.theta, -(double)i / (double)pairs);
    }
}

/* A text is as long as is said, or as its last position. */
static void choose_lists(const rope_run *r) {
    const fr_tensor *x = &r->c->in[IN_X], *pos = &r->c->in[IN_POS];
    const int32_t *length = fr_has(r->c, IN_LENGTH) ? r->c->in[IN_LENGTH].data : NULL;
    const int64_t apart = pos->rank == 3 ? x->dim[1] * r->at.axes : 0;
    for (int64_t b = 0; b < x->dim[0]; b++) {
        const int32_t *at = (const int32_t *)pos->data + b * apart;
        bool far = length && length[b] > r->at.original;
        for (int64_t t = 0; !length && t < x->dim[1]; t++)
            far |= at[t * r->at.axes] >= r->at.original;
        r->list[b] = far;
    }
}

/* The cosines, then the sines, of one token of a text. */
static void angles(const rope_run *r, int64_t b, const int32_t *pos, float *cosine, float *sine) {
    const double *freq = r->freq + (r->at.original && r->list[b] ? turned(&r->at) / 2 : 0);
    const double scale = (double)r->at.scale;
    int64_t at = 0;
    for (int axis = 0; axis < r->at.axes; axis++)
        for (int64_t i = 0; i < r->at.axis_dim[axis] / 2; i++, at++) {
            double angle = (double)pos[axis] * freq[at], s, c;
            sincos(angle, &s, &c);
            cosine[at] = (float)(scale * c);
            sine[at] = (float)(scale * (r->at.back ? -s : s));
        }
}

static void row(const rope_run *r, const char *x, char *y, const float *cosine, const float *sine) {
    const bool half = r->c->in[IN_X].dtype == FR_BF16;
    const int64_t dim = r->c->in[IN_X].dim[3];
    const size_t size = half ? 2 : 4;
    int64_t at = 0;
    for (int axis = 0; axis < r->at.axes; axis++) {
        const int64_t pairs = r->at.axis_dim[axis] / 2;
        const char *from = x + (size_t)at * size;
        char *to = y + (size_t)at * size;
        if (r->at.interleaved)
            r->kernels->rope_pairs(from, to, half, pairs, cosine + at / 2, sine + at / 2);
        else
            r->kernels->rope_split(from, to, half, pairs, cosine + at / 2, sine + at / 2);
        at += 2 * pairs;
    }
    if (x != y && at < dim)
        memcpy(y + (size_t)at * size, x + (size_t)at * size, (size_t)(dim - at) * size);
}

static void turn_token(const rope_run *r, int64_t b, int64_t token, const float *cosine,
                       const float *sine) {
    const fr_tensor *x = &r->c->in[IN_X], *y = &r->c->out[0];
    const size_t size = x->dtype == FR_BF16 ? 2 : 4;
    for (int64_t h = 0; h < x->dim[2]; h++) {
        int64_t from = b * x->stride[0] + token * x->stride[1] + h * x->stride[2];
        int64_t to = ((b * x->dim[1] + token) * x->dim[2] + h) * x->dim[3];
        row(r, (char *)x->data + (size_t)from * size, (char *)y->data + (size_t)to * size, cosine,
            sine);
    }
}

/* Some positions; where all of the batch stand at the same, all of them at once. */
static void item(void *arg, size_t thread, size_t i) {
    const rope_run *r = arg;
    const fr_tensor *x = &r->c->in[IN_X], *pos = &r->c->in[IN_POS];
    float *cosine = (float *)(void *)(r->scratch + thread * r->per_thread);
    float *sine = cosine + pairs_padded(&r->at);
    const int64_t first = (int64_t)i * TOKENS, end = FR_MIN(first + TOKENS, positions(r->c));
    const int64_t batch = pos->rank == 3 ? 1 : x->dim[0];
    for (int64_t t = first; t < end; t++) {
        angles(r, pos->rank == 3 ? t / x->dim[1] : 0, (const int32_t *)pos->data + t * r->at.axes,
               cosine, sine);
        for (int64_t b = 0; b < batch; b++)
            turn_token(r, pos->rank == 3 ? t / x->dim[1] : b, t % x->dim[1], cosine, sine);
    }
}

static fr_status run(const fr_call *c) {
    if (!fr_values(&c->out[0])) return FR_OK;
    rope_run r = {.c = c, .kernels = &fr_kernel()->attn, .at = settled(c), .freq = c->scratch};
    r.per_thread = fr_round_up((size_t)pairs_padded(&r.at) * sizeof(double), FR_ALIGN);
    r.list = (uint8_t *)c->scratch + 2 * r.per_thread;
    r.scratch = (char *)r.list + fr_round_up((size_t)c->in[IN_X].dim[0], FR_ALIGN);
    frequencies(&r);
    if (r.at.original) choose_lists(&r);
    fr_pool_run_thread(c->pool, (size_t)((positions(c) + TOKENS - 1) / TOKENS), item, &r);
    return FR_OK;
}

static fr_status grad(fr_grad *r) {
    if (!r->need[IN_X] || r->dout[0] == FR_NONE) return FR_OK;
    rope_attr at = *(const rope_attr *)r->attr;
    at.back = !at.back;
    const fr_val in[4] = {r->dout[0], r->in[IN_POS], r->nin > IN_FREQ ? r->in[IN_FREQ] : FR_NONE,
                          r->nin > IN_LENGTH ? r->in[IN_LENGTH] : FR_NONE};
    r->din[IN_X] = fr_emit(r->g, r->op, 4, in, &at);
    return FR_OK;
}

static void cost(const fr_call *c, fr_cost *out) {
    rope_attr at = settled(c);
    const int64_t dim = c->in[IN_X].dim[3];
    out->ops = dim ? 3.0 * (double)fr_values(&c->out[0]) * (double)turned(&at) / (double)dim : 0.0;
}

static const fr_attr_field fields[] = {
    {"interleaved", FR_ATTR_BOOL, offsetof(rope_attr, interleaved), 0},
    {"back", FR_ATTR_BOOL, offsetof(rope_attr, back), 0},
    {"axes", FR_ATTR_I32, offsetof(rope_attr, axes), 0},
    {"axis_dim", FR_ATTR_I32, offsetof(rope_attr, axis_dim), 3},
    {"theta", FR_ATTR_F32, offsetof(rope_attr, theta), 0},
    {"scale", FR_ATTR_F32, offsetof(rope_attr, scale), 0},
    {"original", FR_ATTR_I32, offsetof(rope_attr, original), 0},
    {NULL, FR_ATTR_END, 0, 0},
};

const fr_op fr_op_rope = {
    .name = "rope",
    .nin_min = 2,
    .nin_max = 4,
    .nout = 1,
    .flags = FR_OP_INPLACE0,
    .strided = 1u << IN_X,
    .attr_bytes = sizeof(rope_attr),
    .fields = fields,
    .shape = shape,
    .run = run,
    .scratch = scratch,
    .grad = grad,
    .cost = cost,
};

fr_val fr_rope(fr_graph *g, fr_val x, fr_val pos, const fr_rope_opts *opts) {
    rope_attr at;
    memset(&at, 0, sizeof at); /* padding too: attributes are compared as bytes */
    fr_val in[4] = {x, pos, FR_NONE, FR_NONE};
    if (opts) {
        at.interleaved = opts->interleaved;
        at.axes = opts->axes;
        memcpy(at.axis_dim, opts->axis_dim, sizeof at.axis_dim);
        at.theta = opts->theta;
        at.scale = opts->scale;
        at.original = opts->original;
        in[IN_FREQ] = opts->inv_freq;
        in[IN_LENGTH] = opts->length;
    }
    return fr_emit(g, &fr_op_rope, 4, in, &at);
}
