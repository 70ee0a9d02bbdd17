/* reduce.c: sum, mean and maximum over axes; the same towards the shape of another value, which is how
 * gradients of broadcast operands come back; and the gradients of these. */
#include "op/grads.h"
#include "op/sweep.h"

typedef struct reduce_attr {
    int32_t kind; /* fr_reduction */
    uint32_t axes;
    bool keep;
} reduce_attr;

/* The shape of x without the axes. */
static fr_status reduced(const reduce_attr *a, const fr_tensor *x, fr_tensor *y) {
    char text[FR_SHAPE_TEXT];
    FR_TRY(fr_want_float("operand of reduce", x));
    if (a->kind < 0 || a->kind >= FR_REDUCTION_COUNT)
        return fr_fail(FR_INVALID, "There is no reduction with number %d.", a->kind);
    if (a->axes >> x->rank)
        return fr_fail(FR_INVALID, "The axes 0x%x to reduce are more than %s has.", a->axes,
                       fr_shape_text(x, text));
    y->dtype = x->dtype;
    y->rank = 0;
    for (int d = 0; d < x->rank; d++) {
        bool gone = a->axes >> d & 1;
        if (gone && a->kind == FR_AMAX && !x->dim[d])
            return fr_fail(FR_INVALID, "The maximum over an empty axis of %s does not exist.",
                           fr_shape_text(x, text));
        if (!gone || a->keep) y->dim[y->rank++] = gone ? 1 : x->dim[d];
    }
    return FR_OK;
}

static fr_status reduce_shape(const fr_call *c) {
    return reduced(c->attr, &c->in[0], &c->out[0]);
}

static size_t reduce_scratch(const fr_call *c) {
    return fr_sweep_scratch(&c->in[0], ((const reduce_attr *)c->attr)->axes);
}

static fr_status reduce_run(const fr_call *c) {
    const reduce_attr *a = c->attr;
    fr_sweep_run(&c->in[0], a->axes, (fr_reduction)a->kind, &c->out[0], c->scratch, c->pool);
    return FR_OK;
}

static fr_val spread(fr_graph *g, fr_val dy, fr_val x, reduce_attr a) {
    return fr_emit(g, &fr_op_reduce_grad, 2, (fr_val[]){dy, x}, &a);
}

static fr_status reduce_grad(fr_grad *r) {
    reduce_attr a = *(const reduce_attr *)r->attr;
    fr_graph *g = r->g;
    fr_val x = r->in[0], dy = r->dout[0];
    if (!r->need[0] || dy == FR_NONE) return FR_OK;
    if (a.kind != FR_AMAX) {
        r->din[0] = spread(g, dy, x, a);
        return FR_OK;
    }
    /* Equal largest values share. */
    fr_val top = spread(g, r->out[0], x, a); /* 1 where x is the maximum */
    fr_val ties = fr_reduce(g, top, FR_SUM, a.axes, a.keep);
    a.kind = FR_SUM;
    r->din[0] = fr_mul(g, top, spread(g, fr_binary_op(g, FR_DIV, dy, ties), x, a));
    return FR_OK;
}

static void reduce_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = (double)fr_values(&c->in[0]);
    cost->read = (double)fr_bytes(&c->in[0]);
    cost->write = (double)fr_bytes(&c->out[0]);
}

/* ---- dy (a reduced shape), x -> the shape of x ---- */

static fr_status spread_shape(const fr_call *c) {
    fr_tensor want;
    char text[FR_SHAPE_TEXT], have[FR_SHAPE_TEXT];
    FR_TRY(reduced(c->attr, &c->in[1], &want));
    FR_TRY(fr_want_float("gradient of reduce", &c->in[0]));
    if (!fr_same_shape(&c->in[0], &want))
        return fr_fail(FR_INVALID, "The gradient of reduce is %s and must be %s.",
                       fr_shape_text(&c->in[0], have), fr_shape_text(&want, text));
    fr_like(&c->out[0], &c->in[1]);
    return FR_OK;
}

static void spread_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                        float *const *out) {
    float scale = *(const float *)arg;
    if (step[0]) {
        fr_kernel()->rows.affine(in[0], scale, 0, n, out[0]);
        return;
    }
    for (size_t i = 0; i < n; i++) out[0][i] = scale * *in[0];
}

static void equal_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                       float *const *out) {
    (void)arg;
    (void)step;
    for (size_t i = 0; i < n; i++) out[0][i] = in[0][i] == in[1][i] ? 1.0f : 0.0f;
}

/* dy with its reduced axes put back as 1. */
static fr_tensor with_axes(const fr_tensor *dy, const fr_tensor *x, unsigned axes, float *count) {
    fr_tensor t = *dy;
    t.rank = x->rank;
    *count = 1;
    for (int d = 0; d < x->rank; d++) {
        bool gone = axes >> d & 1;
        t.dim[d] = gone ? 1 : x->dim[d];
        if (gone) *count *= (float)x->dim[d];
    }
    fr_set_contiguous(&t);
    return t;
}

static fr_status spread_run(const fr_call *c) {
    const reduce_attr *a = c->attr;
    float count;
    fr_tensor dy = with_axes(&c->in[0], &c->in[1], a->axes, &count);
    float scale = a->kind == FR_MEAN ? 1 / count : 1;
    bool equal = a->kind == FR_AMAX;
    fr_each e = {.fn = equal ? equal_each : spread_each,
                 .arg = &scale,
                 .nin = equal ? 2 : 1,
                 .nout = 1,
                 .in = {&dy, &c->in[1]},
                 .out = {&c->out[0]},
                 .splat = equal};
    fr_each_run(&e, c->pool);
    return FR_OK;
}

/* ---- dv, like -> dv summed to the shape of like ---- */

static unsigned stretched(const fr_tensor *dv, const fr_tensor *like) {
    unsigned axes = 0;
    for (int d = 0; d < dv->rank; d++) {
        int own = d - (dv->rank - like->rank);
        if (own < 0 || like->dim[own] != dv->dim[d]) axes |= 1u << d;
    }
    return axes;
}

static fr_status like_shape(const fr_call *c) {
    FR_TRY(fr_want_float("gradient", &c->in[0]));
    FR_TRY(fr_want_float("operand", &c->in[1]));
    FR_TRY(fr_broadcasts_to("operand", &c->in[1], &c->in[0]));
    fr_like(&c->out[0], &c->in[1]);
    return FR_OK;
}

static size_t like_scratch(const fr_call *c) {
    return fr_sweep_scratch(&c->in[0], stretched(&c->in[0], &c->in[1]));
}

static fr_status like_run(const fr_call *c) {
    fr_sweep_run(&c->in[0], stretched(&c->in[0], &c->in[1]), FR_SUM, &c->out[0], c->scratch,
                 c->pool);
    return FR_OK;
}

static bool like_view(const fr_call *c, fr_tensor *out, int64_t *offset) {
    const fr_tensor *dv = &c->in[0];
    if (!fr_same_shape(dv, out) || dv->dtype != out->dtype) return false;
    for (int d = 0; d < out->rank; d++) out->stride[d] = dv->stride[d];
    *offset = 0;
    return true;
}

static const fr_attr_field reduce_fields[] = {
    {"kind", FR_ATTR_REDUCTION, offsetof(reduce_attr, kind), 0},
    {"axes", FR_ATTR_I32, offsetof(reduce_attr, axes), 0},
    {"keep", FR_ATTR_BOOL, offsetof(reduce_attr, keep), 0},
    {0},
};

const fr_op fr_op_reduce = {
    .name = "reduce",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .attr_bytes = sizeof(reduce_attr),
    .fields = reduce_fields,
    .shape = reduce_shape,
    .run = reduce_run,
    .scratch = reduce_scratch,
    .grad = reduce_grad,
    .cost = reduce_cost,
};
const fr_op fr_op_reduce_grad = {
    .name = "reduce_grad",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .flags = FR_OP_NO_GRAD,
    .strided = 2,
    .attr_bytes = sizeof(reduce_attr),
    .fields = reduce_fields,
    .shape = spread_shape,
    .run = spread_run,
};
const fr_op fr_op_reduce_like = {
    .name = "reduce_like",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .flags = FR_OP_VIEW | FR_OP_NO_GRAD,
    .shape = like_shape,
    .run = like_run,
    .scratch = like_scratch,
    .view = like_view,
    .cost = reduce_cost,
};

fr_val fr_reduce(fr_graph *g, fr_val x, fr_reduction kind, unsigned axes, bool keep) {
    reduce_attr a = {(int32_t)kind, axes, keep};
    return fr_emit(g, &fr_op_reduce, 1, &x, &a);
}

fr_val fr_unbroadcast(fr_graph *g, fr_val dv, fr_val like) {
    const fr_tensor *a = fr_desc(g, dv), *b = fr_desc(g, like);
    bool same = dv != FR_NONE && fr_same_shape(a, b) && a->dtype == b->dtype;
    /* An axis of 1 may be broadcast in another run. */
    for (int d = 0; same && d < b->rank; d++) same = b->dim[d] != 1;
    return same ? dv : fr_emit(g, &fr_op_reduce_like, 2, (fr_val[]){dv, like}, NULL);
}
