/* binary.c: sums, products and the like of two values with broadcasting, and scale * x + shift. */
#include "op/each.h"
#include "op/grads.h"

typedef struct binary_attr {
    int32_t kind; /* fr_binary */
    int32_t side; /* of the gradient: 0 for a, 1 for b */
} binary_attr;

static const char *const kind_name[FR_BINARY_COUNT] = {"add", "sub", "mul", "div", "max", "min"};

static fr_status check_operands(const fr_call *c) {
    const binary_attr *a = c->attr;
    if (a->kind < 0 || a->kind >= FR_BINARY_COUNT)
        return fr_fail(FR_INVALID, "There is no operation of two values with number %d.", a->kind);
    FR_TRY(fr_want_float(kind_name[a->kind], &c->in[0]));
    return fr_want_float(kind_name[a->kind], &c->in[1]);
}

static fr_status binary_shape(const fr_call *c) {
    FR_TRY(check_operands(c));
    c->out[0].dtype = c->in[0].dtype;
    return fr_broadcast_shape(&c->in[0], &c->in[1], &c->out[0]);
}

static void binary_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                        float *const *out) {
    fr_binary kind = (fr_binary)((const binary_attr *)arg)->kind;
    const fr_rows_kernels *k = &fr_kernel()->rows;
    if (step[0] && step[1])
        k->binary(kind, in[0], in[1], n, out[0]);
    else if (step[0])
        k->binary_scalar(kind, in[0], *in[1], n, out[0]);
    else if (step[1])
        k->scalar_binary(kind, *in[0], in[1], n, out[0]);
    else
        for (size_t i = 0; i < n; i++) k->binary(kind, in[0], in[1], 1, out[0] + i);
}

static fr_status binary_run(const fr_call *c) {
    fr_each e = {.fn = binary_each,
                 .arg = c->attr,
                 .nin = 2,
                 .nout = 1,
                 .in = {&c->in[0], &c->in[1]},
                 .out = {&c->out[0]}};
    fr_each_run(&e, c->pool);
    return FR_OK;
}

/* Which of two was the larger (or smaller) one; equal ones share. */
static fr_val picked(fr_grad *r, int side) {
    binary_attr a = {((const binary_attr *)r->attr)->kind, side};
    return fr_emit(r->g, &fr_op_binary_grad, 3, (fr_val[]){r->in[0], r->in[1], r->dout[0]}, &a);
}

static fr_val binary_grad_of(fr_grad *r, int side) {
    fr_graph *g = r->g;
    fr_val a = r->in[0], b = r->in[1], dy = r->dout[0];
    switch (((const binary_attr *)r->attr)->kind) {
    case FR_ADD: return dy;
    case FR_SUB: return side ? fr_unary(g, dy, FR_FN_NEG) : dy;
    case FR_MUL: return fr_mul(g, dy, side ? a : b);
    case FR_DIV: {
        fr_val d = fr_binary_op(g, FR_DIV, dy, b);
        return side ? fr_unary(g, fr_mul(g, d, r->out[0]), FR_FN_NEG) : d;
    }
    default: return picked(r, side);
    }
}

static fr_status binary_grad(fr_grad *r) {
    for (int i = 0; i < 2; i++)
        if (r->need[i] && r->dout[0] != FR_NONE)
            r->din[i] = fr_unbroadcast(r->g, binary_grad_of(r, i), r->in[i]);
    return FR_OK;
}

/* ---- the gradient of max and min: a, b, dy -> dy or half of it or 0 ---- */

static fr_status picked_shape(const fr_call *c) {
    FR_TRY(check_operands(c));
    FR_TRY(fr_want_float("gradient of two values", &c->in[2]));
    FR_TRY(fr_broadcasts_to("first operand", &c->in[0], &c->in[2]));
    FR_TRY(fr_broadcasts_to("second operand", &c->in[1], &c->in[2]));
    fr_like(&c->out[0], &c->in[2]);
    return FR_OK;
}

static void picked_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                        float *const *out) {
    const binary_attr *a = arg;
    bool larger = (a->kind == FR_MAX) == (a->side == 0);
    (void)step;
    for (size_t i = 0; i < n; i++) {
        float x = in[0][i], y = in[1][i];
        float share = x == y ? 0.5f : (x > y) == larger ? 1.0f : 0.0f;
        out[0][i] = share * in[2][i];
    }
}

static fr_status picked_run(const fr_call *c) {
    return fr_each_call(c, picked_each, c->attr, 3);
}

/* ---- scale * x + shift ---- */

typedef struct affine_attr {
    float scale, shift;
} affine_attr;

static fr_status affine_shape(const fr_call *c) {
    FR_TRY(fr_want_float("operand of affine", &c->in[0]));
    fr_like(&c->out[0], &c->in[0]);
    return FR_OK;
}

static void affine_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                        float *const *out) {
    const affine_attr *a = arg;
    (void)step;
    fr_kernel()->rows.affine(in[0], a->scale, a->shift, n, out[0]);
}

static fr_status affine_run(const fr_call *c) {
    return fr_each_call(c, affine_each, c->attr, 1);
}

static fr_status affine_grad(fr_grad *r) {
    const affine_attr *a = r->attr;
    if (r->need[0] && r->dout[0] != FR_NONE) r->din[0] = fr_affine(r->g, r->dout[0], a->scale, 0);
    return FR_OK;
}

static void affine_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = 2 * (double)fr_values(&c->out[0]);
    cost->read = (double)fr_bytes(&c->in[0]);
    cost->write = (double)fr_bytes(&c->out[0]);
}

static const fr_attr_field binary_fields[] = {
    {"kind", FR_ATTR_BINARY, offsetof(binary_attr, kind), 0},
    {"side", FR_ATTR_I32, offsetof(binary_attr, side), 0},
    {0},
};
static const fr_attr_field affine_fields[] = {
    {"scale", FR_ATTR_F32, offsetof(affine_attr, scale), 0},
    {"shift", FR_ATTR_F32, offsetof(affine_attr, shift), 0},
    {0},
};

const fr_op fr_op_binary = {
    .name = "binary",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .flags = FR_OP_INPLACE0 | FR_OP_INPLACE1,
    .strided = 3,
    .attr_bytes = sizeof(binary_attr),
    .fields = binary_fields,
    .shape = binary_shape,
    .run = binary_run,
    .grad = binary_grad,
};
const fr_op fr_op_binary_grad = {
    .name = "binary_grad",
    .nin_min = 3,
    .nin_max = 3,
    .nout = 1,
    .flags = FR_OP_NO_GRAD,
    .strided = 7,
    .attr_bytes = sizeof(binary_attr),
    .fields = binary_fields,
    .shape = picked_shape,
    .run = picked_run,
};
const fr_op fr_op_affine = {
    .name = "affine",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .flags = FR_OP_INPLACE0,
    .strided = 1,
    .attr_bytes = sizeof(affine_attr),
    .fields = affine_fields,
    .shape = affine_shape,
    .run = affine_run,
    .grad = affine_grad,
    .cost = affine_cost,
};

fr_val fr_binary_op(fr_graph *g, fr_binary kind, fr_val a, fr_val b) {
    binary_attr attr = {(int32_t)kind, 0};
    return fr_emit(g, &fr_op_binary, 2, (fr_val[]){a, b}, &attr);
}
fr_val fr_add(fr_graph *g, fr_val a, fr_val b) {
    return fr_binary_op(g, FR_ADD, a, b);
}
fr_val fr_sub(fr_graph *g, fr_val a, fr_val b) {
    return fr_binary_op(g, FR_SUB, a, b);
}
fr_val fr_mul(fr_graph *g, fr_val a, fr_val b) {
    return fr_binary_op(g, FR_MUL, a, b);
}
fr_val fr_affine(fr_graph *g, fr_val x, float scale, float shift) {
    affine_attr attr = {scale, shift};
    return fr_emit(g, &fr_op_affine, 1, &x, &attr);
}
