/* conv.c: convolution over two or three spatial axes, channels last, with bias, activation and
 * residual in the same pass.
 *
 * A kernel of one tap and stride 1 is a plain matrix product over the pixels; anything else is the
 * matrix product of the weight with rows that are gathered on the fly (implicit im2col, Chetlur et
 * al. 2014, "cuDNN"); one channel a group has kernels of its own. This file holds the rules; the
 * work is in conv_gemm.c and depthwise.c, the gradients in conv_grad.c. */
#include "op/conv.h"
#include "op/each.h"
#include "op/grads.h"

#include <string.h>

const fr_attr_field fr_conv_fields[] = {
    {"axes", FR_ATTR_I32, offsetof(fr_conv_attr, axes), 0},
    {"stride", FR_ATTR_I32, offsetof(fr_conv_attr, stride), 3},
    {"dilation", FR_ATTR_I32, offsetof(fr_conv_attr, dilation), 3},
    {"before", FR_ATTR_I32, offsetof(fr_conv_attr, before), 3},
    {"after", FR_ATTR_I32, offsetof(fr_conv_attr, after), 3},
    {"groups", FR_ATTR_I32, offsetof(fr_conv_attr, groups), 0},
    {"act", FR_ATTR_FN, offsetof(fr_conv_attr, act), 0},
    {"size", FR_ATTR_I32, offsetof(fr_conv_attr, size), 3},
    {0},
};

/* ---- geometry ---- */

int64_t fr_conv_out(int64_t in, int64_t k, const fr_conv_attr *a, int axis) {
    int64_t span = a->dilation[axis] * (k - 1) + 1;
    int64_t room = in + a->before[axis] + a->after[axis] - span;
    return room < 0 ? -1 : room / a->stride[axis] + 1;
}

/* Size of spatial axis 0..2 of a tensor [n, .., c]; frames of a picture are 1. */
static int64_t spatial(const fr_tensor *t, int axes, int axis) {
    return axis < 3 - axes ? 1 : t->dim[1 + axis - (3 - axes)];
}

static void finish_geo(fr_conv_geo *g) {
    g->cg = g->c / g->groups;
    g->og = g->o / g->groups;
    g->taps = g->k[0] * g->k[1] * g->k[2];
    g->rows = g->n * g->out[0] * g->out[1] * g->out[2];
}

fr_conv_geo fr_conv_geo_of(const fr_conv_attr *a, const fr_tensor *x, const fr_tensor *w) {
    fr_conv_geo g = {.n = x->dim[0], .c = x->dim[x->rank - 1], .o = w->dim[0], .groups = a->groups};
    for (int i = 0; i < 3; i++) {
        g.in[i] = spatial(x, a->axes, i);
        g.k[i] = spatial(w, a->axes, i);
        g.stride[i] = a->stride[i];
        g.dilation[i] = a->dilation[i];
        g.before[i] = a->before[i];
        g.up[i] = 1;
        g.out[i] = fr_conv_out(g.in[i], g.k[i], a, i);
    }
    finish_geo(&g);
    return g;
}

fr_conv_geo fr_conv_geo_transposed(const fr_conv_attr *a, const fr_tensor *y, const fr_tensor *w) {
    fr_conv_geo g = {.n = y->dim[0],
                     .c = y->dim[y->rank - 1],
                     .o = w->dim[w->rank - 1] * a->groups,
                     .groups = a->groups};
    for (int i = 0; i < 3; i++) {
        g.in[i] = spatial(y, a->axes, i);
        g.k[i] = spatial(w, a->axes, i);
        g.stride[i] = 1;
        g.dilation[i] = a->dilation[i];
        g.before[i] = g.dilation[i] * (g.k[i] - 1) - a->before[i];
        g.up[i] = a->stride[i];
        g.out[i] = i < 3 - a->axes ? 1 : a->size[i];
    }
    finish_geo(&g);
    return g;
}

bool fr_conv_is_depthwise(const fr_conv_geo *g) {
    return g->cg == 1 && g->og == 1 && g->groups > 1 && g->k[0] * g->k[1] <= 64;
}

/* ---- shape ---- */

static bool real(fr_dtype t) {
    return t == FR_F32 || t == FR_BF16;
}

static fr_status check_attr(const char *op, const fr_conv_attr *a) {
    if (a->axes != 2 && a->axes != 3)
        return fr_fail(FR_INVALID, "%s: there are 2 or 3 spatial axes, not %d", op, a->axes);
    if (a->axes == 2 && (a->stride[0] != 1 || a->dilation[0] != 1 || a->before[0] || a->after[0]))
        return fr_fail(FR_INVALID, "%s: the frames of a picture have no stride or padding", op);
    for (int i = 3 - a->axes; i < 3; i++)
        if (a->stride[i] < 1 || a->dilation[i] < 1 || a->before[i] < 0 || a->after[i] < 0)
            return fr_fail(FR_INVALID,
                           "%s: stride %d, dilation %d and padding %d, %d make no sense together",
                           op, a->stride[i], a->dilation[i], a->before[i], a->after[i]);
    if (a->groups < 1) return fr_fail(FR_INVALID, "%s: %d groups make no sense", op, a->groups);
    if (a->act < 0 || a->act > FR_FN_HSWISH)
        return fr_fail(FR_INVALID, "%s: function %d cannot be fused", op, a->act);
    return FR_OK;
}

/* Channels of source, weight and groups must agree. */
static fr_status check_channels(const char *op, const fr_conv_attr *a, const fr_tensor *x,
                                const fr_tensor *w, bool transposed) {
    char tx[FR_SHAPE_TEXT], tw[FR_SHAPE_TEXT];
    int rank = a->axes + 2;
    fr_shape_text(x, tx);
    fr_shape_text(w, tw);
    if (x->rank != rank || w->rank != rank || !real(x->dtype) || !real(w->dtype))
        return fr_fail(FR_INVALID,
                       "%s: x and w must be f32 or bf16 with %d axes, these are %s and %s", op,
                       rank, tx, tw);
    int64_t c = x->dim[rank - 1], o = w->dim[0], cg = w->dim[rank - 1];
    for (int i = 1; i < rank - 1; i++)
        if (w->dim[i] < 1 || w->dim[i] > 1 << 20 || x->dim[i] > INT32_MAX)
            return fr_fail(FR_INVALID, "%s: %s is not a kernel for %s", op, tw, tx);
    if (cg > INT64_MAX / a->groups)
        return fr_fail(FR_INVALID, "%s: %s in %d groups has too many channels", op, tw, a->groups);
    if (o % a->groups || (!transposed && c % a->groups))
        return fr_fail(FR_INVALID, "%s of %s with weight %s: %d groups do not divide the channels",
                       op, tx, tw, a->groups);
    if (transposed ? c != o : c / a->groups != cg)
        return fr_fail(FR_INVALID,
                       "%s of %s with weight %s and %d groups: the weight is for %lld channels", op,
                       tx, tw, a->groups, (long long)(transposed ? o : cg * a->groups));
    return FR_OK;
}

/* A transposed convolution is cut into as many as the product of its strides. */
#define MOST_PHASES 65536

static fr_status check_space(const char *op, const fr_conv_attr *a, const fr_tensor *x,
                             const fr_tensor *w, bool transposed, fr_tensor *y) {
    char tx[FR_SHAPE_TEXT], tw[FR_SHAPE_TEXT];
    int64_t phases = 1;
    y->dim[0] = x->dim[0];
    y->dim[x->rank - 1] = transposed ? w->dim[w->rank - 1] * a->groups : w->dim[0];
    for (int i = 3 - a->axes; i < 3; i++) {
        int64_t in = transposed ? a->size[i] : spatial(x, a->axes, i);
        int64_t out = fr_conv_out(in, spatial(w, a->axes, i), a, i);
        if (in + a->before[i] + a->after[i] > INT32_MAX)
            return fr_fail(FR_INVALID, "%s of %s: padded by %d and %d an axis grows too long", op,
                           fr_shape_text(x, tx), a->before[i], a->after[i]);
        if (!transposed && out < 0)
            return fr_fail(FR_INVALID, "%s: the kernel of %s is larger than the padded %s", op,
                           fr_shape_text(w, tw), fr_shape_text(x, tx));
        if (transposed && (in < 0 || out != spatial(x, a->axes, i)))
            return fr_fail(FR_INVALID,
                           "%s of %s with weight %s: no convolution of size %lld gives it", op,
                           fr_shape_text(x, tx), fr_shape_text(w, tw), (long long)in);
        y->dim[1 + i - (3 - a->axes)] = transposed ? in : out;
        phases *= FR_MIN(a->stride[i], INT16_MAX);
    }
    if (transposed && phases > MOST_PHASES)
        return fr_fail(FR_UNSUPPORTED, "%s: a stride of %d by %d by %d is too large", op,
                       a->stride[0], a->stride[1], a->stride[2]);
    return FR_OK;
}

fr_status fr_conv_check(const char *op, const fr_call *c, bool transposed) {
    const fr_conv_attr *a = c->attr;
    const fr_tensor *x = &c->in[0], *w = &c->in[1];
    fr_tensor *y = &c->out[0];
    char text[FR_SHAPE_TEXT], other[FR_SHAPE_TEXT];
    FR_TRY(check_attr(op, a));
    FR_TRY(check_channels(op, a, x, w, transposed));
    FR_TRY(check_space(op, a, x, w, transposed, y));
    y->dtype = x->dtype;
    y->rank = x->rank;
    FR_TRY(fr_shape_check(op, y->dtype, y->rank, y->dim));
    if (fr_has(c, 2) &&
        (c->in[2].rank != 1 || c->in[2].dim[0] != y->dim[y->rank - 1] || !real(c->in[2].dtype)))
        return fr_fail(FR_INVALID, "%s to %s: the bias cannot be %s", op, fr_shape_text(y, text),
                       fr_shape_text(&c->in[2], other));
    if (fr_has(c, 3) && (!fr_same_shape(&c->in[3], y) || !real(c->in[3].dtype)))
        return fr_fail(FR_INVALID, "%s to %s: the residual cannot be %s", op,
                       fr_shape_text(y, text), fr_shape_text(&c->in[3], other));
    return FR_OK;
}

static fr_status conv_shape(const fr_call *c) {
    return fr_conv_check("conv", c, false);
}

/* ---- run ---- */

static fr_conv_geo geo_of(const fr_call *c) {
    return fr_conv_geo_of(c->attr, &c->in[0], &c->in[1]);
}

static size_t conv_pack_bytes(const fr_call *c) {
    fr_conv_geo g = geo_of(c);
    return fr_conv_is_depthwise(&g) ? fr_depthwise_pack_bytes(&g) : fr_conv_gemm_pack_bytes(c, &g);
}

static fr_status conv_pack(const fr_call *c, void *out) {
    fr_conv_geo g = geo_of(c);
    if (fr_conv_is_depthwise(&g))
        fr_depthwise_pack(c, &g, out);
    else
        fr_conv_gemm_pack(c, &g, out);
    return FR_OK;
}

static size_t conv_scratch(const fr_call *c) {
    fr_conv_geo g = geo_of(c);
    return fr_conv_is_depthwise(&g) ? fr_depthwise_scratch(c, &g)
                                    : fr_conv_gemm_scratch(c, &g, false);
}

static fr_status conv_run(const fr_call *c) {
    fr_conv_geo g = geo_of(c);
    if (g.rows == 0 || g.o == 0) return FR_OK;
    if (fr_conv_is_depthwise(&g))
        fr_depthwise_run(c, &g, false);
    else
        fr_conv_gemm_run(c, &g, false, c->in[1].data, c->scratch);
    return FR_OK;
}

static void conv_cost(const fr_call *c, fr_cost *cost) {
    fr_conv_geo g = geo_of(c);
    cost->ops = 2.0 * (double)g.rows * (double)g.o * (double)g.taps * (double)g.cg;
}

/* y = act(conv(x, w) + b) + residual. The graph that is trained has no fused activation as a rule;
 * where it has one, the sum before it is computed again. */
static fr_status conv_grad(fr_grad *r) {
    fr_conv_attr a = *(const fr_conv_attr *)r->attr;
    fr_val d = r->dout[0];
    if (r->nin > 3 && r->need[3]) r->din[3] = fr_as_type(r->g, d, r->in[3]);
    if (a.act != FR_FN_NONE) {
        fr_fn act = (fr_fn)a.act;
        fr_val in[4] = {r->in[0], r->in[1], r->nin > 2 ? r->in[2] : FR_NONE, FR_NONE};
        a.act = FR_FN_NONE;
        d = fr_unary_grad(r->g, fr_conv_emit(r->g, &fr_op_conv, in, &a), d, act);
    }
    if (r->need[0]) r->din[0] = fr_conv_input_grad(r->g, d, r->in[1], r->in[0], &a);
    if (r->need[1]) r->din[1] = fr_conv_weight_grad(r->g, r->in[0], d, r->in[1], &a);
    if (r->nin > 2 && r->need[2]) r->din[2] = fr_conv_bias_grad(r->g, d, r->in[2], &a);
    return FR_OK;
}

const fr_op fr_op_conv = {
    .name = "conv",
    .nin_min = 2,
    .nin_max = 4,
    .nout = 1,
    .attr_bytes = sizeof(fr_conv_attr),
    .fields = fr_conv_fields,
    .shape = conv_shape,
    .run = conv_run,
    .scratch = conv_scratch,
    .pack_inputs = 1u << 1,
    .pack_bytes = conv_pack_bytes,
    .pack = conv_pack,
    .grad = conv_grad,
    .cost = conv_cost,
};

/* ---- constructors ---- */

fr_val fr_conv_emit(fr_graph *g, const fr_op *op, const fr_val in[4], const fr_conv_attr *a) {
    int nin = 4;
    while (nin > 2 && in[nin - 1] == FR_NONE) nin--;
    return fr_emit(g, op, nin, in, a);
}

static fr_conv_attr attr_of(const fr_conv_opts *o, int axes) {
    fr_conv_attr a = {.axes = axes, .groups = 1};
    for (int i = 0; i < 3; i++) a.stride[i] = a.dilation[i] = 1;
    if (!o) return a;
    a.act = (int32_t)o->act;
    if (o->groups) a.groups = o->groups;
    for (int i = 3 - axes; i < 3; i++) {
        if (o->stride[i]) a.stride[i] = o->stride[i];
        if (o->dilation[i]) a.dilation[i] = o->dilation[i];
        a.before[i] = o->before[i];
        a.after[i] = o->after[i];
    }
    return a;
}

static fr_val conv_nd(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual,
                      const fr_conv_opts *opts, int axes) {
    fr_val in[4] = {x, w, bias, residual};
    fr_conv_attr a = attr_of(opts, axes);
    return fr_conv_emit(g, &fr_op_conv, in, &a);
}

fr_val fr_conv2d(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual,
                 const fr_conv_opts *opts) {
    return conv_nd(g, x, w, bias, residual, opts, 2);
}

fr_val fr_conv3d(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual,
                 const fr_conv_opts *opts) {
    return conv_nd(g, x, w, bias, residual, opts, 3);
}

static fr_val transpose_nd(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual,
                           const fr_conv_opts *opts, const int *size, int axes) {
    fr_val in[4] = {x, w, bias, residual};
    fr_conv_attr a = attr_of(opts, axes);
    for (int i = 3 - axes; i < 3; i++) a.size[i] = size[i];
    return fr_conv_emit(g, &fr_op_conv_transpose, in, &a);
}

fr_val fr_conv2d_transpose(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual,
                           const fr_conv_opts *opts, const int size[3]) {
    return transpose_nd(g, x, w, bias, residual, opts, size, 2);
}

fr_val fr_conv3d_transpose(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual,
                           const fr_conv_opts *opts, const int size[3]) {
    return transpose_nd(g, x, w, bias, residual, opts, size, 3);
}
