/* unary.c: functions of one value (fr_fn), and their gradient dy * fn'(x). */
#include "op/each.h"
#include "op/grads.h"

typedef struct unary_attr {
    int32_t fn; /* fr_fn */
} unary_attr;

static fr_status check_fn(int32_t fn) {
    if (fn >= 0 && fn < FR_FN_COUNT) return FR_OK;
    return fr_fail(FR_INVALID, "There is no function with number %d.", fn);
}

static fr_status unary_shape(const fr_call *c) {
    FR_TRY(check_fn(((const unary_attr *)c->attr)->fn));
    FR_TRY(fr_want_float("operand of a function", &c->in[0]));
    fr_like(&c->out[0], &c->in[0]);
    return FR_OK;
}

static void unary_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                       float *const *out) {
    (void)step;
    fr_kernel()->rows.unary((fr_fn)((const unary_attr *)arg)->fn, in[0], n, out[0]);
}

static fr_status unary_run(const fr_call *c) {
    return fr_each_call(c, unary_each, c->attr, 1);
}

static fr_status unary_grad(fr_grad *r) {
    const unary_attr *a = r->attr;
    if (r->need[0] && r->dout[0] != FR_NONE)
        r->din[0] = fr_unary_grad(r->g, r->in[0], r->dout[0], (fr_fn)a->fn);
    return FR_OK;
}

/* A polynomial and its range reduction count as ten or so. */
static double ops_of(int32_t fn) {
    switch (fn) {
    case FR_FN_RELU:
    case FR_FN_SQUARE:
    case FR_FN_ABS:
    case FR_FN_NEG:
    case FR_FN_RECIP:
    case FR_FN_SQRT: return 1;
    case FR_FN_RELU6:
    case FR_FN_RSQRT: return 2;
    case FR_FN_HSWISH: return 4;
    default: return 12;
    }
}

static void unary_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = ops_of(((const unary_attr *)c->attr)->fn) * (double)fr_values(&c->out[0]);
    for (int i = 0; i < c->nin; i++) cost->read += (double)fr_bytes(&c->in[i]);
    cost->write = (double)fr_bytes(&c->out[0]);
}

/* ---- x, dy -> dx ---- */

static fr_status grad_shape(const fr_call *c) {
    FR_TRY(check_fn(((const unary_attr *)c->attr)->fn));
    FR_TRY(fr_want_float("operand of a function", &c->in[0]));
    FR_TRY(fr_want_float("gradient of a function", &c->in[1]));
    FR_TRY(fr_broadcasts_to("gradient", &c->in[1], &c->in[0]));
    fr_like(&c->out[0], &c->in[0]);
    return FR_OK;
}

static void grad_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                      float *const *out) {
    (void)step;
    fr_kernel()->rows.unary_grad((fr_fn)((const unary_attr *)arg)->fn, in[0], in[1], n, out[0]);
}

static fr_status grad_run(const fr_call *c) {
    return fr_each_call(c, grad_each, c->attr, 2);
}

static const fr_attr_field unary_fields[] = {
    {"fn", FR_ATTR_FN, offsetof(unary_attr, fn), 0},
    {0},
};

const fr_op fr_op_unary = {
    .name = "unary",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .flags = FR_OP_INPLACE0,
    .strided = 1,
    .attr_bytes = sizeof(unary_attr),
    .fields = unary_fields,
    .shape = unary_shape,
    .run = unary_run,
    .grad = unary_grad,
    .cost = unary_cost,
};
const fr_op fr_op_unary_grad = {
    .name = "unary_grad",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .flags = FR_OP_INPLACE0 | FR_OP_INPLACE1 | FR_OP_NO_GRAD,
    .strided = 3,
    .attr_bytes = sizeof(unary_attr),
    .fields = unary_fields,
    .shape = grad_shape,
    .run = grad_run,
    .cost = unary_cost,
};

fr_val fr_unary(fr_graph *g, fr_val x, fr_fn fn) {
    unary_attr attr = {(int32_t)fn};
    return fr_emit(g, &fr_op_unary, 1, &x, &attr);
}
fr_val fr_unary_grad(fr_graph *g, fr_val x, fr_val dy, fr_fn fn) {
    unary_attr attr = {(int32_t)fn};
    return fr_emit(g, &fr_op_unary_grad, 2, (fr_val[]){x, dy}, &attr);
}
