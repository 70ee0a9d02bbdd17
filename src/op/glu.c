/* glu.c: gated linear units (Shazeer, GLU variants improve transformer, 2020): act(gate) * up. Without
 * `up` the last axis of gate holds the gate and then the up half, as merged products leave it. */
#include "op/each.h"
#include "op/grads.h"

typedef struct glu_attr {
    int32_t act; /* fr_fn */
} glu_attr;

static fr_status check_operands(const fr_call *c, bool split) {
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    const fr_tensor *gate = &c->in[0];
    int32_t act = ((const glu_attr *)c->attr)->act;
    if (act < 0 || act >= FR_FN_COUNT)
        return fr_fail(FR_INVALID, "There is no function with number %d.", act);
    FR_TRY(fr_want_float("gate", gate));
    if (split) {
        FR_TRY(fr_want_float("up operand", &c->in[1]));
        if (!fr_same_shape(gate, &c->in[1]))
            return fr_fail(FR_INVALID, "The gate is %s and the up operand %s; they must agree.",
                           fr_shape_text(gate, a), fr_shape_text(&c->in[1], b));
    } else if (gate->rank < 1 || gate->dim[gate->rank - 1] % 2) {
        return fr_fail(FR_INVALID, "The gate is %s; without an up operand its last axis is even.",
                       fr_shape_text(gate, a));
    }
    return FR_OK;
}

static fr_status glu_shape(const fr_call *c) {
    bool split = fr_has(c, 1);
    FR_TRY(check_operands(c, split));
    fr_like(&c->out[0], &c->in[0]);
    if (!split) c->out[0].dim[c->out[0].rank - 1] /= 2;
    return FR_OK;
}

/* One half of the last axis as a view. */
static fr_tensor half_of(const fr_tensor *t, int which) {
    fr_tensor h = *t;
    int64_t n = t->dim[t->rank - 1] / 2;
    h.dim[t->rank - 1] = n;
    h.data = (char *)t->data + (size_t)(which * n) * (t->dtype == FR_F32 ? 4 : 2);
    return h;
}

static void glu_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                     float *const *out) {
    (void)step;
    fr_kernel()->rows.glu((fr_fn)((const glu_attr *)arg)->act, in[0], in[1], n, out[0]);
}

static fr_status glu_run(const fr_call *c) {
    fr_tensor gate = c->in[0], up = fr_has(c, 1) ? c->in[1] : c->in[0];
    if (!fr_has(c, 1)) {
        gate = half_of(&c->in[0], 0);
        up = half_of(&c->in[0], 1);
    }
    fr_each e = {.fn = glu_each,
                 .arg = c->attr,
                 .nin = 2,
                 .nout = 1,
                 .in = {&gate, &up},
                 .out = {&c->out[0]},
                 .splat = true};
    fr_each_run(&e, c->pool);
    return FR_OK;
}

static fr_status glu_grad(fr_grad *r) {
    fr_val up = r->nin > 1 ? r->in[1] : FR_NONE, dgate, dup;
    if (r->dout[0] == FR_NONE) return FR_OK;
    fr_fn act = (fr_fn)((const glu_attr *)r->attr)->act;
    fr_glu_grad(r->g, r->in[0], up, r->dout[0], act, &dgate, &dup);
    if (r->need[0]) r->din[0] = dgate;
    if (up != FR_NONE && r->need[1]) r->din[1] = fr_as_type(r->g, dup, up);
    return FR_OK;
}

static void glu_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = 13 * (double)fr_values(&c->out[0]);
    for (int i = 0; i < c->nin; i++)
        if (fr_has(c, i)) cost->read += (double)fr_bytes(&c->in[i]);
    for (int i = 0; i < c->nout; i++) cost->write += (double)fr_bytes(&c->out[i]);
}

/* ---- gate, up, dy -> dgate, dup; merged: gate, -, dy -> both in one, and an empty second ---- */

static fr_status grad_shape(const fr_call *c) {
    bool split = fr_has(c, 1);
    char text[FR_SHAPE_TEXT];
    FR_TRY(check_operands(c, split));
    fr_like(&c->out[0], &c->in[0]);
    fr_like(&c->out[1], &c->in[0]);
    if (!split) c->out[1].dim[c->in[0].rank - 1] /= 2;
    if (!fr_has(c, 2) || !fr_same_shape(&c->in[2], &c->out[1]))
        return fr_fail(FR_INVALID, "The gradient of a gated unit must be like its result, %s.",
                       fr_shape_text(&c->out[1], text));
    FR_TRY(fr_want_float("gradient of a gated unit", &c->in[2]));
    if (!split) {
        c->out[1].rank = 1;
        c->out[1].dim[0] = 0;
    }
    return FR_OK;
}

static void grad_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                      float *const *out) {
    (void)step;
    fr_kernel()->rows.glu_grad((fr_fn)((const glu_attr *)arg)->act, in[0], in[1], in[2], n, out[0],
                               out[1]);
}

static void merged_rows(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    const fr_tensor *x = &c->in[0], *dy = &c->in[2], *dx = &c->out[0];
    size_t n = (size_t)dy->dim[dy->rank - 1];
    float buf[5][FR_BLOCK];
    fr_fn act = (fr_fn)((const glu_attr *)c->attr)->act;
    for (size_t row = start; row < end; row++)
        for (size_t i = 0; i < n; i += FR_BLOCK) {
            size_t count = FR_MIN(n - i, (size_t)FR_BLOCK), g = 2 * row * n + i, u = g + n;
            float *dg = fr_block_at(dx, g, buf[3]), *du = fr_block_at(dx, u, buf[4]);
            fr_kernel()->rows.glu_grad(act, fr_block_in(x, g, count, buf[0]),
                                       fr_block_in(x, u, count, buf[1]),
                                       fr_block_in(dy, row * n + i, count, buf[2]), count, dg, du);
            fr_block_out(dx, g, count, dg);
            fr_block_out(dx, u, count, du);
        }
}

static fr_status grad_run(const fr_call *c) {
    if (!fr_has(c, 1)) {
        size_t values = (size_t)fr_values(&c->in[2]), n = (size_t)fr_dim(&c->in[2], -1);
        if (values)
            fr_pool_range(c->pool, values / n, FR_MAX_OF(FR_PIECE / n, (size_t)1), merged_rows,
                          (void *)(uintptr_t)c);
        return FR_OK;
    }
    return fr_each_call(c, grad_each, c->attr, 3);
}

static const fr_attr_field glu_fields[] = {
    {"act", FR_ATTR_FN, offsetof(glu_attr, act), 0},
    {0},
};

const fr_op fr_op_glu = {
    .name = "glu",
    .nin_min = 1,
    .nin_max = 2,
    .nout = 1,
    .flags = FR_OP_INPLACE0 | FR_OP_INPLACE1,
    .strided = 3,
    .attr_bytes = sizeof(glu_attr),
    .fields = glu_fields,
    .shape = glu_shape,
    .run = glu_run,
    .grad = glu_grad,
    .cost = glu_cost,
};
const fr_op fr_op_glu_grad = {
    .name = "glu_grad",
    .nin_min = 1,
    .nin_max = 3,
    .nout = 2,
    .flags = FR_OP_NO_GRAD,
    .attr_bytes = sizeof(glu_attr),
    .fields = glu_fields,
    .shape = grad_shape,
    .run = grad_run,
    .cost = glu_cost,
};

fr_val fr_glu(fr_graph *g, fr_val gate, fr_val up, fr_fn act) {
    glu_attr attr = {(int32_t)act};
    return fr_emit(g, &fr_op_glu, up == FR_NONE ? 1 : 2, (fr_val[]){gate, up}, &attr);
}
void fr_glu_grad(fr_graph *g, fr_val gate, fr_val up, fr_val dy, fr_fn act, fr_val *dgate,
                 fr_val *dup) {
    glu_attr attr = {(int32_t)act};
    *dgate = fr_emit(g, &fr_op_glu_grad, 3, (fr_val[]){gate, up, dy}, &attr);
    *dup = *dgate == FR_NONE ? FR_NONE : *dgate + 1;
}
