/* linear.c: act(x wT + bias) + residual over the last axis of x, w [n, k] as PyTorch keeps it.
 *
 * All leading axes of x are rows of one product. A weight that never changes is packed once.
 *
 * Gradient, with p = x wT + bias and y = act(p) + residual:
 *     dp = dy act'(p), dx = dp w, dw = dpT x, dbias = sum of the rows of dp, dresidual = dy
 * where p is computed again when there is a function. */
#include <string.h>

#include "op/each.h"
#include "op/gemm.h"
#include "op/grads.h"

fr_val fr_linear(fr_graph *g, fr_val x, fr_val w, fr_val bias, fr_val residual, fr_fn act) {
    fr_linear_attr attr = {act};
    fr_val in[] = {x, w, bias, residual};
    return fr_emit(g, &fr_op_linear, 4, in, &attr);
}

static bool is_float(const fr_tensor *t) {
    return t->dtype == FR_F32 || t->dtype == FR_BF16;
}

static fr_status check_types(const fr_call *c) {
    static const char *const names[] = {"x", "the weight", "the bias", "the residual"};
    char text[FR_SHAPE_TEXT];
    for (int i = 0; i < c->nin; i++)
        if (fr_has(c, i) && !is_float(&c->in[i]))
            return fr_fail(FR_INVALID, "linear takes f32 or bf16, and %s is %s", names[i],
                           fr_shape_text(&c->in[i], text));
    return FR_OK;
}

static fr_status linear_shape(const fr_call *c) {
    const fr_linear_attr *attr = c->attr;
    const fr_tensor *x = &c->in[0], *w = &c->in[1];
    fr_tensor *y = &c->out[0];
    char tx[FR_SHAPE_TEXT], tw[FR_SHAPE_TEXT];
    if (!fr_has(c, 0) || !fr_has(c, 1)) return fr_fail(FR_INVALID, "linear needs x and a weight");
    FR_TRY(check_types(c));
    if (attr->act < 0 || attr->act > FR_FN_HSWISH)
        return fr_fail(FR_INVALID, "function %d cannot stand behind a linear", (int)attr->act);
    if (x->rank < 1 || w->rank != 2 || fr_dim(x, -1) != w->dim[1])
        return fr_fail(FR_INVALID,
                       "linear of x %s with weight %s: x ends in k and the weight is [n, k]",
                       fr_shape_text(x, tx), fr_shape_text(w, tw));
    if (fr_has(c, 2) && (c->in[2].rank != 1 || c->in[2].dim[0] != w->dim[0]))
        return fr_fail(FR_INVALID, "linear with weight %s wants a bias of %lld values, not %s",
                       fr_shape_text(w, tw), (long long)w->dim[0], fr_shape_text(&c->in[2], tx));
    y->dtype = x->dtype;
    y->rank = x->rank;
    memcpy(y->dim, x->dim, sizeof y->dim);
    y->dim[y->rank - 1] = w->dim[0];
    if (fr_has(c, 3) && !fr_same_shape(&c->in[3], y))
        return fr_fail(FR_INVALID, "linear gives %s and the residual is %s", fr_shape_text(y, tw),
                       fr_shape_text(&c->in[3], tx));
    return FR_OK;
}

/* The distance between rows when all leading axes run at one stride; -1 when they do not. */
static int64_t row_stride(const fr_tensor *t) {
    int64_t stride = t->dim[t->rank - 1], next = -1;
    for (int i = t->rank - 2; i >= 0; i--) {
        if (t->dim[i] == 1) continue;
        if (next < 0)
            stride = t->stride[i];
        else if (t->stride[i] != next)
            return -1;
        next = t->stride[i] * t->dim[i];
    }
    return stride;
}

/* Rows of x where the leading axes do not run at one stride. */
static void strided_rows(void *arg, int64_t row, int64_t rows, int64_t k0, int64_t count, void *out,
                         int64_t ld) {
    const fr_tensor *x = arg;
    size_t size = x->dtype == FR_BF16 ? 2 : 4;
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = k0, left = row + r;
        for (int i = x->rank - 2; i >= 0; i--) {
            at += left % x->dim[i] * x->stride[i];
            left /= x->dim[i];
        }
        memcpy((char *)out + (size_t)(r * ld) * size, (const char *)x->data + (size_t)at * size,
               (size_t)count * size);
    }
}

/* The product of the leading axes; fr_rows() would divide by an axis that may be 0. */
static int64_t rows_of(const fr_tensor *t) {
    int64_t rows = 1;
    for (int i = 0; i < t->rank - 1; i++) rows *= t->dim[i];
    return rows;
}

static fr_gemm product(const fr_call *c) {
    const fr_linear_attr *attr = c->attr;
    const fr_tensor *x = &c->in[0], *w = &c->in[1], *y = &c->out[0];
    fr_gemm g = {.m = rows_of(x), .n = w->dim[0], .k = w->dim[1], .act = (fr_fn)attr->act};
    g.a = x->data, g.a_type = x->dtype, g.lda = row_stride(x);
    if (g.lda < 0) g.a_rows = strided_rows, g.a_arg = (void *)(uintptr_t)x;
    g.b = w->data, g.b_type = w->dtype, g.ldb = g.k, g.tb = true, g.b_packed = c->packed;
    g.c = y->data, g.c_type = y->dtype, g.ldc = g.n;
    if (fr_has(c, 2)) g.bias = c->in[2].data, g.bias_type = c->in[2].dtype;
    if (fr_has(c, 3)) g.residual = c->in[3].data, g.residual_type = c->in[3].dtype, g.ldr = g.n;
    return g;
}

static fr_status linear_run(const fr_call *c) {
    fr_gemm g = product(c);
    fr_gemm_run(&g, c->scratch, c->pool);
    return FR_OK;
}

static size_t linear_scratch(const fr_call *c) {
    fr_gemm g = product(c);
    return fr_gemm_scratch(&g, c->pool);
}

static size_t linear_pack_bytes(const fr_call *c) {
    fr_gemm g = product(c);
    return fr_gemm_pack_bytes(&g);
}

/* Some rows of a large weight at a time, whose pages in a mapped file are given back at once: it is not there twice. */
static fr_status linear_pack(const fr_call *c, void *out) {
    enum { ROWS = 9216 }; /* whole panels of 8, 12, 16 and 32 columns */
    fr_gemm g = product(c), part = g;
    size_t size = c->in[1].dtype == FR_BF16 ? 2 : 4;
    for (int64_t row = 0; row < g.n; row += ROWS, out = (char *)out + fr_gemm_pack_bytes(&part)) {
        part.n = FR_MIN(g.n - row, (int64_t)ROWS);
        part.b = (const char *)g.b + (size_t)(row * g.ldb) * size;
        fr_gemm_pack_b(&part, out, c->pool);
        fr_map_forget(part.b, (size_t)(part.n * g.ldb) * size);
    }
    return FR_OK;
}

static fr_status linear_grad(fr_grad *r) {
    const fr_linear_attr *attr = r->attr;
    fr_graph *g = r->g;
    fr_val x = r->in[0], w = r->in[1], dy = r->dout[0], dp = dy;
    fr_val bias = r->nin > 2 ? r->in[2] : FR_NONE;
    if (dy == FR_NONE) return FR_OK;
    bool inner = r->need[0] || r->need[1] || (bias != FR_NONE && r->need[2]);
    if (r->nin > 3 && r->in[3] != FR_NONE && r->need[3]) r->din[3] = fr_as_type(g, dy, r->in[3]);
    if (!inner) return FR_OK;
    if (attr->act != FR_FN_NONE) {
        fr_val p = fr_linear(g, x, w, bias, FR_NONE, FR_FN_NONE);
        dp = fr_unary_grad(g, p, dy, (fr_fn)attr->act);
    }
    const fr_tensor *dx = fr_desc(g, x), *dw = fr_desc(g, w);
    int64_t rows = rows_of(dx), n = dw->dim[0], k = dw->dim[1];
    fr_tensor x_shape = *dx; /* adding nodes may move the descriptions */
    /* The number of rows may be another one at run time. */
    dp = fr_reshape(g, dp, 2, (int64_t[]){n > 0 ? -1 : rows, n});
    if (r->need[0]) {
        fr_val d = fr_matmul(g, dp, w, false, false, 1);
        if (rows > 0 && k > 0) x_shape.dim[0] = -1;
        r->din[0] = fr_as_type(g, fr_reshape(g, d, x_shape.rank, x_shape.dim), x);
    }
    if (r->need[1]) {
        fr_val flat = fr_reshape(g, x, 2, (int64_t[]){k > 0 ? -1 : rows, k});
        r->din[1] = fr_as_type(g, fr_matmul(g, dp, flat, true, false, 1), w);
    }
    if (bias != FR_NONE && r->need[2])
        r->din[2] = fr_as_type(g, fr_reduce(g, dp, FR_SUM, 1, false), bias);
    return FR_OK;
}

static void linear_cost(const fr_call *c, fr_cost *cost) {
    fr_gemm g = product(c);
    double m = (double)g.m, n = (double)g.n;
    cost->ops = 2 * m * n * (double)g.k;
    if (fr_has(c, 2)) cost->ops += m * n;
    if (fr_has(c, 3)) cost->ops += m * n;
    if (g.act != FR_FN_NONE) cost->ops += m * n;
    cost->read = (double)fr_bytes(&c->in[0]) + (fr_has(c, 3) ? (double)fr_bytes(&c->in[3]) : 0);
    cost->write = (double)fr_bytes(&c->out[0]);
}

static const fr_attr_field linear_fields[] = {
    {"act", FR_ATTR_FN, offsetof(fr_linear_attr, act), 0},
    {0},
};

const fr_op fr_op_linear = {
    .name = "linear",
    .nin_min = 2,
    .nin_max = 4,
    .nout = 1,
    .strided = 1,
    .attr_bytes = sizeof(fr_linear_attr),
    .fields = linear_fields,
    .shape = linear_shape,
    .run = linear_run,
    .scratch = linear_scratch,
    .pack_inputs = 2,
    .pack_bytes = linear_pack_bytes,
    .pack = linear_pack,
    .grad = linear_grad,
    .cost = linear_cost,
};
