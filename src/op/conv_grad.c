/* conv_grad.c: the transposed convolution, which is the gradient of the input, and the gradient of
 * the weight. Each of the three operators (conv, conv_transpose, conv_weight_grad) has gradients
 * made of the other two. */
#include "op/conv.h"
#include "op/each.h"
#include "op/grads.h"

#include <string.h>

/* ---- transposed convolution: in the places of a convolution, with its result as x ---- */

static fr_status transpose_shape(const fr_call *c) {
    return fr_conv_check("conv_transpose", c, true);
}

static fr_conv_geo transposed_geo(const fr_call *c) {
    return fr_conv_geo_transposed(c->attr, &c->in[0], &c->in[1]);
}

static size_t transpose_scratch(const fr_call *c) {
    fr_conv_geo g = transposed_geo(c);
    return fr_conv_is_depthwise(&g) ? fr_depthwise_scratch(c, &g) : fr_conv_phases_scratch(c, &g);
}

static fr_status transpose_run(const fr_call *c) {
    fr_conv_geo g = transposed_geo(c);
    if (g.rows == 0 || g.o == 0) return FR_OK;
    if (fr_conv_is_depthwise(&g))
        fr_depthwise_run(c, &g, true);
    else
        fr_conv_phases_run(c, &g);
    return FR_OK;
}

static void transpose_cost(const fr_call *c, fr_cost *cost) {
    const fr_tensor *w = &c->in[1];
    cost->ops =
        2.0 * (double)fr_values(&c->in[0]) * (double)fr_values(w) / (double)FR_MAX_OF(w->dim[0], 1);
}

static fr_status transpose_grad(fr_grad *r) {
    fr_conv_attr a = *(const fr_conv_attr *)r->attr;
    fr_val d = r->dout[0];
    if (r->nin > 3 && r->need[3]) r->din[3] = fr_as_type(r->g, d, r->in[3]);
    if (a.act != FR_FN_NONE) {
        fr_fn act = (fr_fn)a.act;
        fr_val in[4] = {r->in[0], r->in[1], r->nin > 2 ? r->in[2] : FR_NONE, FR_NONE};
        a.act = FR_FN_NONE;
        d = fr_unary_grad(r->g, fr_conv_emit(r->g, &fr_op_conv_transpose, in, &a), d, act);
    }
    fr_val in[4] = {d, r->in[1], FR_NONE, FR_NONE};
    if (r->need[0]) r->din[0] = fr_conv_emit(r->g, &fr_op_conv, in, &a);
    if (r->need[1]) r->din[1] = fr_conv_weight_grad(r->g, d, r->in[0], r->in[1], &a);
    if (r->nin > 2 && r->need[2]) r->din[2] = fr_conv_bias_grad(r->g, d, r->in[2], &a);
    return FR_OK;
}

const fr_op fr_op_conv_transpose = {
    .name = "conv_transpose",
    .nin_min = 2,
    .nin_max = 4,
    .nout = 1,
    .attr_bytes = sizeof(fr_conv_attr),
    .fields = fr_conv_fields,
    .shape = transpose_shape,
    .run = transpose_run,
    .scratch = transpose_scratch,
    .grad = transpose_grad,
    .cost = transpose_cost,
};

fr_val fr_conv_input_grad(fr_graph *g, fr_val dy, fr_val w, fr_val x, const fr_conv_attr *a) {
    const fr_tensor *t = fr_desc(g, x);
    fr_conv_attr b = *a;
    fr_val in[4] = {dy, w, FR_NONE, FR_NONE};
    for (int i = 0; i < a->axes; i++) b.size[3 - a->axes + i] = (int32_t)t->dim[1 + i];
    return fr_conv_emit(g, &fr_op_conv_transpose, in, &b);
}

fr_val fr_conv_bias_grad(fr_graph *g, fr_val dy, fr_val bias, const fr_conv_attr *a) {
    return fr_as_type(g, fr_reduce(g, dy, FR_SUM, (1u << (a->axes + 1)) - 1, false), bias);
}

/* ---- gradient of the weight: x, dy, and w, of which only the shape is used ---- */

static fr_status weight_shape(const fr_call *c) {
    const fr_tensor *x = &c->in[0], *dy = &c->in[1], *w = &c->in[2];
    fr_tensor in[2] = {*x, *w}, y = *dy;
    fr_call forward = {.op = c->op, .attr = c->attr, .nin = 2, .nout = 1, .in = in, .out = &y};
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    FR_TRY(fr_conv_check("conv_weight_grad", &forward, false));
    if (!fr_same_shape(&y, dy) || dy->dtype != x->dtype)
        return fr_fail(FR_INVALID, "conv_weight_grad: the gradient is %s and should be %s",
                       fr_shape_text(dy, a), fr_shape_text(&y, b));
    c->out[0].dtype = w->dtype;
    c->out[0].rank = w->rank;
    memcpy(c->out[0].dim, w->dim, sizeof w->dim);
    return FR_OK;
}

static fr_conv_geo weight_geo(const fr_call *c) {
    return fr_conv_geo_of(c->attr, &c->in[0], &c->in[2]);
}

static size_t weight_scratch(const fr_call *c) {
    fr_conv_geo g = weight_geo(c);
    return fr_conv_is_depthwise(&g) ? fr_depthwise_weight_scratch(c, &g)
                                    : fr_conv_gemm_weight_scratch(c, &g);
}

static fr_status weight_run(const fr_call *c) {
    fr_conv_geo g = weight_geo(c);
    if (g.rows == 0 || g.o == 0 || g.c == 0) {
        memset(c->out[0].data, 0, fr_bytes(&c->out[0]));
        return FR_OK;
    }
    if (fr_conv_is_depthwise(&g))
        fr_depthwise_weight_run(c, &g);
    else
        fr_conv_gemm_weight_run(c, &g);
    return FR_OK;
}

static void weight_cost(const fr_call *c, fr_cost *cost) {
    fr_conv_geo g = weight_geo(c);
    cost->ops = 2.0 * (double)g.rows * (double)g.o * (double)g.taps * (double)g.cg;
}

static fr_status weight_grad(fr_grad *r) {
    fr_conv_attr a = *(const fr_conv_attr *)r->attr;
    fr_val in[4] = {r->in[0], r->dout[0], FR_NONE, FR_NONE};
    if (r->need[0]) r->din[0] = fr_conv_input_grad(r->g, r->in[1], r->dout[0], r->in[0], &a);
    if (r->need[1]) r->din[1] = fr_conv_emit(r->g, &fr_op_conv, in, &a);
    return FR_OK;
}

const fr_op fr_op_conv_weight_grad = {
    .name = "conv_weight_grad",
    .nin_min = 3,
    .nin_max = 3,
    .nout = 1,
    .attr_bytes = sizeof(fr_conv_attr),
    .fields = fr_conv_fields,
    .shape = weight_shape,
    .run = weight_run,
    .scratch = weight_scratch,
    .grad = weight_grad,
    .cost = weight_cost,
};

fr_val fr_conv_weight_grad(fr_graph *g, fr_val x, fr_val dy, fr_val w, const fr_conv_attr *a) {
    fr_val in[3] = {x, dy, w};
    fr_conv_attr b = *a;
    b.act = FR_FN_NONE;
    return fr_emit(g, &fr_op_conv_weight_grad, 3, in, &b);
}
