/* softmax.c: softmax over the last axis: e^(x - max) / sum, and backwards y * (dy - sum(y dy)). */
#include "op/grads.h"
#include "op/norm.h"

static fr_status softmax_shape(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    char text[FR_SHAPE_TEXT];
    FR_TRY(fr_want_float("operand of softmax", x));
    if (x->rank < 1)
        return fr_fail(FR_INVALID, "%s has no last axis for a softmax.", fr_shape_text(x, text));
    fr_like(&c->out[0], x);
    return FR_OK;
}

static void over_rows(const fr_call *c, fr_pool_range_fn *fn) {
    size_t n = (size_t)fr_dim(&c->out[0], -1), rows = fr_row_count(&c->out[0]);
    if (!rows || !n) return;
    fr_pool_range(c->pool, rows, FR_MAX_OF(FR_PIECE / n, 1), fn, (void *)(uintptr_t)c);
}

/* All f32: e^(x - max) is written once and scaled. */
static void plain_row(const float *x, size_t n, float *y) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    float top = k->max(x, n);
    float sum = k->exp_sum(x, top, n, y);
    k->affine(y, 1 / sum, 0, n, y);
}

/* 16 bits: rounded once only, so e^(x - max) is computed for the sum and again for the result. */
static void block_row(const fr_call *c, size_t at, size_t n) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    float buf[FR_BLOCK], out[FR_BLOCK], top = 0;
    double sum = 0;
    for (size_t i = 0; i < n; i += FR_BLOCK) {
        size_t m = FR_MIN(n - i, (size_t)FR_BLOCK);
        float t = k->max(fr_block_in(&c->in[0], at + i, m, buf), m);
        if (!i || t > top || t != t) top = t;
        if (top != top) break;
    }
    for (size_t i = 0; i < n; i += FR_BLOCK) {
        size_t m = FR_MIN(n - i, (size_t)FR_BLOCK);
        sum += (double)k->exp_sum(fr_block_in(&c->in[0], at + i, m, buf), top, m, NULL);
    }
    for (size_t i = 0; i < n; i += FR_BLOCK) {
        size_t m = FR_MIN(n - i, (size_t)FR_BLOCK);
        const float *x = fr_block_in(&c->in[0], at + i, m, buf);
        float *y = fr_block_at(&c->out[0], at + i, out);
        k->exp_scaled(x, top, (float)(1 / sum), m, y);
        fr_block_out(&c->out[0], at + i, m, y);
    }
}

static void softmax_rows(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    size_t n = (size_t)fr_dim(&c->out[0], -1);
    for (size_t row = start; row < end; row++) {
        if (c->in[0].dtype == FR_F32)
            plain_row((const float *)c->in[0].data + row * n, n, (float *)c->out[0].data + row * n);
        else
            block_row(c, row * n, n);
    }
}

static fr_status softmax_run(const fr_call *c) {
    over_rows(c, softmax_rows);
    return FR_OK;
}

static fr_status softmax_grad(fr_grad *r) {
    if (r->need[0] && r->dout[0] != FR_NONE)
        r->din[0] = fr_softmax_grad(r->g, r->out[0], r->dout[0]);
    return FR_OK;
}

static void softmax_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = 14 * (double)fr_values(&c->out[0]);
    for (int i = 0; i < c->nin; i++) cost->read += (double)fr_bytes(&c->in[i]);
    cost->write = (double)fr_bytes(&c->out[0]);
}

/* ---- y, dy -> dx ---- */

static fr_status grad_shape(const fr_call *c) {
    char y[FR_SHAPE_TEXT], dy[FR_SHAPE_TEXT];
    FR_TRY(fr_want_float("result of softmax", &c->in[0]));
    FR_TRY(fr_want_float("gradient of softmax", &c->in[1]));
    if (c->in[0].rank < 1 || !fr_same_shape(&c->in[0], &c->in[1]))
        return fr_fail(FR_INVALID, "A softmax that gives %s cannot have the gradient %s.",
                       fr_shape_text(&c->in[0], y), fr_shape_text(&c->in[1], dy));
    fr_like(&c->out[0], &c->in[0]);
    return FR_OK;
}

static void grad_row(const fr_call *c, size_t at, size_t n) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    float a[FR_BLOCK], b[FR_BLOCK], out[FR_BLOCK];
    double dot = 0;
    for (size_t i = 0; i < n; i += FR_BLOCK) {
        size_t m = FR_MIN(n - i, (size_t)FR_BLOCK);
        dot += (double)k->dot(fr_block_in(&c->in[0], at + i, m, a),
                              fr_block_in(&c->in[1], at + i, m, b), m);
    }
    for (size_t i = 0; i < n; i += FR_BLOCK) {
        size_t m = FR_MIN(n - i, (size_t)FR_BLOCK);
        const float *y = fr_block_in(&c->in[0], at + i, m, a);
        const float *dy = fr_block_in(&c->in[1], at + i, m, b);
        float *dx = fr_block_at(&c->out[0], at + i, out);
        k->softmax_grad(y, dy, (float)dot, m, dx);
        fr_block_out(&c->out[0], at + i, m, dx);
    }
}

static void grad_rows(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    size_t n = (size_t)fr_dim(&c->out[0], -1);
    for (size_t row = start; row < end; row++) grad_row(c, row * n, n);
}

static fr_status grad_run(const fr_call *c) {
    over_rows(c, grad_rows);
    return FR_OK;
}

const fr_op fr_op_softmax = {
    .name = "softmax",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .flags = FR_OP_INPLACE0,
    .shape = softmax_shape,
    .run = softmax_run,
    .grad = softmax_grad,
    .cost = softmax_cost,
};
const fr_op fr_op_softmax_grad = {
    .name = "softmax_grad",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .flags = FR_OP_INPLACE0 | FR_OP_INPLACE1 | FR_OP_NO_GRAD,
    .shape = grad_shape,
    .run = grad_run,
    .cost = softmax_cost,
};

fr_val fr_softmax(fr_graph *g, fr_val x) {
    return fr_emit(g, &fr_op_softmax, 1, &x, NULL);
}
fr_val fr_softmax_grad(fr_graph *g, fr_val y, fr_val dy) {
    return fr_emit(g, &fr_op_softmax_grad, 2, (fr_val[]){y, dy}, NULL);
}
