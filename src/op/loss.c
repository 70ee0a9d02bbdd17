/* loss.c: cross-entropy and mean squared error, scalars of f32.
 *
 * Cross-entropy is the mean over the rows whose target is not negative of
 *     logsumexp(x) - x[target],   logsumexp(x) = max + log(sum(e^(x - max))).
 * The logsumexp of each row is a second output, kept for the gradient
 *     dx = (e^(x - logsumexp) - onehot(target)) * dy / rows. */
#include <math.h>

#include "op/grads.h"
#include "op/norm.h"

/* ---- cross-entropy ---- */

static fr_status check_targets(const fr_tensor *x, const fr_tensor *target) {
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    FR_TRY(fr_want_float("logits", x));
    bool fits = target->dtype == FR_I32 && x->rank >= 1 && target->rank == x->rank - 1;
    for (int d = 0; fits && d < target->rank; d++) fits = target->dim[d] == x->dim[d];
    if (fits && x->dim[x->rank - 1] > 0) return FR_OK;
    return fr_fail(FR_INVALID,
                   "The targets are %s; for logits %s they must be i32, one for each row.",
                   fr_shape_text(target, b), fr_shape_text(x, a));
}

static fr_status entropy_shape(const fr_call *c) {
    FR_TRY(check_targets(&c->in[0], &c->in[1]));
    c->out[0].dtype = FR_F32;
    c->out[0].rank = 0;
    fr_like(&c->out[1], &c->in[1]);
    c->out[1].dtype = FR_F32;
    return FR_OK;
}

static float log_sum_exp(const fr_tensor *x, size_t at, size_t n) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    size_t most = x->dtype == FR_F32 ? n : FR_BLOCK;
    float buf[FR_BLOCK], top = 0;
    double sum = 0;
    for (size_t i = 0; i < n; i += most) {
        size_t m = FR_MIN(n - i, most);
        float t = k->max(fr_block_in(x, at + i, m, buf), m);
        if (!i || t > top || t != t) top = t;
        if (top != top) return top;
    }
    for (size_t i = 0; i < n; i += most) {
        size_t m = FR_MIN(n - i, most);
        sum += (double)k->exp_sum(fr_block_in(x, at + i, m, buf), top, m, NULL);
    }
    return (float)((double)top + log(sum));
}

static void entropy_rows(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    size_t n = (size_t)fr_dim(&c->in[0], -1);
    const int32_t *target = c->in[1].data;
    for (size_t row = start; row < end; row++)
        ((float *)c->out[1].data)[row] = target[row] < 0 ? 0 : log_sum_exp(&c->in[0], row * n, n);
}

static fr_status entropy_run(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    size_t n = (size_t)fr_dim(x, -1), rows = fr_row_count(x), counted = 0;
    const int32_t *target = c->in[1].data;
    const float *lse = c->out[1].data;
    double sum = 0;
    for (size_t row = 0; row < rows; row++)
        if (target[row] >= 0 && (size_t)target[row] >= n)
            return fr_fail(FR_INVALID, "The target of row %zu is class %d, and there are %zu.", row,
                           target[row], n);
    if (rows)
        fr_pool_range(c->pool, rows, FR_MAX_OF(FR_PIECE / n, 1), entropy_rows,
                      (void *)(uintptr_t)c);
    for (size_t row = 0; row < rows; row++) {
        float buf[1];
        if (target[row] < 0) continue;
        sum += (double)lse[row] - (double)*fr_block_in(x, row * n + (size_t)target[row], 1, buf);
        counted++;
    }
    *(float *)c->out[0].data = counted ? (float)(sum / (double)counted) : 0;
    return FR_OK;
}

static fr_status entropy_grad(fr_grad *r) {
    if (r->dout[1] != FR_NONE)
        return fr_fail(FR_UNSUPPORTED, "The kept logsumexp of a cross-entropy has no gradient.");
    if (r->need[0] && r->dout[0] != FR_NONE)
        r->din[0] = fr_emit(r->g, &fr_op_cross_entropy_grad, 4,
                            (fr_val[]){r->in[0], r->in[1], r->out[1], r->dout[0]}, NULL);
    return FR_OK;
}

static void entropy_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = 13 * (double)fr_values(&c->in[0]);
    for (int i = 0; i < c->nin; i++) cost->read += (double)fr_bytes(&c->in[i]);
    for (int i = 0; i < c->nout; i++) cost->write += (double)fr_bytes(&c->out[i]);
}

/* ---- logits, target, logsumexp, dy -> dlogits ---- */

/* dy of a loss: one number. */
static fr_status check_one(const char *op, const fr_tensor *dy) {
    char text[FR_SHAPE_TEXT];
    if (fr_is_float(dy->dtype) && fr_values(dy) == 1) return FR_OK;
    return fr_fail(FR_INVALID, "The gradient of %s is one number, not %s.", op,
                   fr_shape_text(dy, text));
}

static fr_status entropy_grad_shape(const fr_call *c) {
    char text[FR_SHAPE_TEXT];
    FR_TRY(check_targets(&c->in[0], &c->in[1]));
    FR_TRY(check_one("a cross-entropy", &c->in[3]));
    if (c->in[2].dtype != FR_F32 || !fr_same_shape(&c->in[2], &c->in[1]))
        return fr_fail(FR_INVALID, "A cross-entropy keeps one f32 for each row, not %s.",
                       fr_shape_text(&c->in[2], text));
    fr_like(&c->out[0], &c->in[0]);
    return FR_OK;
}

typedef struct grad_arg {
    const fr_call *c;
    float scale; /* dy / counted rows */
} grad_arg;

static void entropy_grad_row(const grad_arg *a, size_t row, size_t n) {
    const fr_call *c = a->c;
    int32_t target = ((const int32_t *)c->in[1].data)[row];
    float lse = ((const float *)c->in[2].data)[row], buf[FR_BLOCK], out[FR_BLOCK];
    for (size_t i = 0; i < n; i += FR_BLOCK) {
        size_t m = FR_MIN(n - i, (size_t)FR_BLOCK), at = row * n + i;
        float *dx = fr_block_at(&c->out[0], at, out);
        if (target < 0) {
            for (size_t j = 0; j < m; j++) dx[j] = 0;
        } else {
            const float *x = fr_block_in(&c->in[0], at, m, buf);
            fr_kernel()->rows.exp_scaled(x, lse, a->scale, m, dx);
            if ((size_t)target >= i && (size_t)target < i + m) dx[(size_t)target - i] -= a->scale;
        }
        fr_block_out(&c->out[0], at, m, dx);
    }
}

static void entropy_grad_rows(void *arg, size_t start, size_t end) {
    const grad_arg *a = arg;
    for (size_t row = start; row < end; row++)
        entropy_grad_row(a, row, (size_t)fr_dim(&a->c->in[0], -1));
}

static fr_status entropy_grad_run(const fr_call *c) {
    size_t n = (size_t)fr_dim(&c->in[0], -1), rows = fr_row_count(&c->in[0]), counted = 0;
    float buf[1];
    for (size_t row = 0; row < rows; row++) counted += ((const int32_t *)c->in[1].data)[row] >= 0;
    grad_arg a = {c, *fr_block_in(&c->in[3], 0, 1, buf) / (float)FR_MAX_OF(counted, 1)};
    if (rows) fr_pool_range(c->pool, rows, FR_MAX_OF(FR_PIECE / n, 1), entropy_grad_rows, &a);
    return FR_OK;
}

/* ---- mean squared error ---- */

typedef struct mse_attr {
    int32_t side; /* of the gradient: 0 for a, 1 for b */
} mse_attr;

static fr_status check_pair(const fr_call *c) {
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    FR_TRY(fr_want_float("first operand of mse", &c->in[0]));
    FR_TRY(fr_want_float("second operand of mse", &c->in[1]));
    if (!fr_same_shape(&c->in[0], &c->in[1]))
        return fr_fail(FR_INVALID, "mse compares %s with %s; the shapes must agree.",
                       fr_shape_text(&c->in[0], a), fr_shape_text(&c->in[1], b));
    return FR_OK;
}

static fr_status mse_shape(const fr_call *c) {
    FR_TRY(check_pair(c));
    c->out[0].dtype = FR_F32;
    c->out[0].rank = 0;
    return FR_OK;
}

static size_t mse_scratch(const fr_call *c) {
    return ((size_t)fr_values(&c->in[0]) / FR_PIECE + 1) * sizeof(double);
}

static void mse_piece(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    const fr_rows_kernels *k = &fr_kernel()->rows;
    float a[FR_BLOCK], b[FR_BLOCK], d[FR_BLOCK];
    double sum = 0;
    for (size_t i = start; i < end; i += FR_BLOCK) {
        size_t n = FR_MIN(end - i, (size_t)FR_BLOCK);
        k->binary(FR_SUB, fr_block_in(&c->in[0], i, n, a), fr_block_in(&c->in[1], i, n, b), n, d);
        sum += (double)k->sum_squares(d, n);
    }
    ((double *)c->scratch)[start / FR_PIECE] = sum;
}

static fr_status mse_run(const fr_call *c) {
    size_t total = (size_t)fr_values(&c->in[0]);
    double sum = 0;
    if (total) fr_pool_range(c->pool, total, FR_PIECE, mse_piece, (void *)(uintptr_t)c);
    for (size_t i = 0; i * FR_PIECE < total; i++) sum += ((const double *)c->scratch)[i];
    *(float *)c->out[0].data = total ? (float)(sum / (double)total) : 0;
    return FR_OK;
}

static fr_status mse_grad(fr_grad *r) {
    for (int i = 0; i < 2 && r->dout[0] != FR_NONE; i++) {
        mse_attr a = {i};
        if (r->need[i])
            r->din[i] =
                fr_emit(r->g, &fr_op_mse_grad, 3, (fr_val[]){r->in[0], r->in[1], r->dout[0]}, &a);
    }
    return FR_OK;
}

static void mse_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = 3 * (double)fr_values(&c->in[0]);
    cost->read = (double)fr_bytes(&c->in[0]) + (double)fr_bytes(&c->in[1]);
    cost->write = (double)fr_bytes(&c->out[0]);
}

/* ---- a, b, dy -> 2 (a - b) dy / n, or its negative ---- */

static fr_status mse_grad_shape(const fr_call *c) {
    FR_TRY(check_pair(c));
    FR_TRY(check_one("an mse", &c->in[2]));
    fr_like(&c->out[0], &c->in[((const mse_attr *)c->attr)->side ? 1 : 0]);
    return FR_OK;
}

static void mse_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                     float *const *out) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    (void)step;
    k->binary(FR_SUB, in[0], in[1], n, out[0]);
    k->affine(out[0], *(const float *)arg, 0, n, out[0]);
}

static fr_status mse_grad_run(const fr_call *c) {
    float buf[1], scale = *fr_block_in(&c->in[2], 0, 1, buf) * 2 / (float)fr_values(&c->in[0]);
    if (((const mse_attr *)c->attr)->side) scale = -scale;
    return fr_each_call(c, mse_each, &scale, 2);
}

static const fr_attr_field mse_fields[] = {
    {"side", FR_ATTR_I32, offsetof(mse_attr, side), 0},
    {0},
};

const fr_op fr_op_cross_entropy = {
    .name = "cross_entropy",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 2,
    .shape = entropy_shape,
    .run = entropy_run,
    .grad = entropy_grad,
    .cost = entropy_cost,
};
const fr_op fr_op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .nin_min = 4,
    .nin_max = 4,
    .nout = 1,
    .flags = FR_OP_INPLACE0 | FR_OP_NO_GRAD,
    .shape = entropy_grad_shape,
    .run = entropy_grad_run,
    .cost = entropy_cost,
};
const fr_op fr_op_mse = {
    .name = "mse",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .shape = mse_shape,
    .run = mse_run,
    .scratch = mse_scratch,
    .grad = mse_grad,
    .cost = mse_cost,
};
const fr_op fr_op_mse_grad = {
    .name = "mse_grad",
    .nin_min = 3,
    .nin_max = 3,
    .nout = 1,
    .flags = FR_OP_NO_GRAD,
    .attr_bytes = sizeof(mse_attr),
    .fields = mse_fields,
    .shape = mse_grad_shape,
    .run = mse_grad_run,
    .cost = mse_cost,
};

fr_val fr_cross_entropy(fr_graph *g, fr_val logits, fr_val target) {
    return fr_emit(g, &fr_op_cross_entropy, 2, (fr_val[]){logits, target}, NULL);
}
fr_val fr_mse(fr_graph *g, fr_val a, fr_val b) {
    return fr_emit(g, &fr_op_mse, 2, (fr_val[]){a, b}, NULL);
}
