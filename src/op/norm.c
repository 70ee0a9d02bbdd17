/* norm.c: RMSNorm (Zhang & Sennrich 2019) and LayerNorm (Ba, Kiros & Hinton 2016) over the last axis,
 * with the scale and shift of an adaptive norm in the same pass.
 *
 * The mean is taken first, then the moments around it: s1 = sum(x - center), s2 = sum((x - center)^2),
 * var = s2 / n - (s1 / n)^2. Rows far from zero keep their digits: s1 repairs the rounding of center. */
#include "op/norm.h"

#include <math.h>

#include "op/grads.h"

size_t fr_row_start(const fr_tensor *x, const fr_tensor *operand, size_t row) {
    size_t at = 0;
    for (int d = x->rank - 2; d >= 0; d--) {
        size_t i = row % (size_t)x->dim[d];
        int own = d - (x->rank - operand->rank);
        row /= (size_t)x->dim[d];
        if (own >= 0 && operand->dim[own] != 1) at += i * (size_t)operand->stride[own];
    }
    return at;
}

size_t fr_row_count(const fr_tensor *x) {
    size_t rows = 1;
    for (int d = 0; d < x->rank - 1; d++) rows *= (size_t)x->dim[d];
    return rows;
}

fr_norm_row fr_norm_stats(const fr_tensor *x, size_t at, size_t n, const fr_norm_attr *a) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    size_t most = x->dtype == FR_F32 ? n : FR_BLOCK;
    float buf[FR_BLOCK], part[2];
    double sum = 0, s1 = 0, s2 = 0, mean = 0;
    for (size_t i = 0; a->centered && i < n; i += most) {
        size_t count = FR_MIN(n - i, most);
        sum += (double)k->sum(fr_block_in(x, at + i, count, buf), count);
    }
    mean = sum / (double)n;
    for (size_t i = 0; i < n; i += most) {
        size_t count = FR_MIN(n - i, most);
        const float *v = fr_block_in(x, at + i, count, buf);
        if (a->centered) {
            k->moments(v, (float)mean, count, part);
            s1 += (double)part[0];
            s2 += (double)part[1];
        } else {
            s2 += (double)k->sum_squares(v, count);
        }
    }
    double d = s1 / (double)n, var = s2 / (double)n - d * d;
    double rstd = 1 / sqrt((var < 0 ? 0 : var) + (double)a->eps);
    return (fr_norm_row){(float)mean, (float)rstd, (float)(-d * rstd)};
}

/* ---- forward ---- */

enum { WEIGHT, BIAS, SCALE, SHIFT, OPERANDS };
static const char *const operand_name[OPERANDS] = {"weight", "bias", "scale", "shift"};

typedef struct norm_call {
    const fr_call *c;
    const fr_tensor *operand[OPERANDS]; /* NULL: absent */
    bool direct;                        /* all f32 */
} norm_call;

static norm_call look(const fr_call *c) {
    bool centered = c->op == &fr_op_layernorm;
    const int place[2][OPERANDS] = {{1, -1, 2, 3}, {1, 2, 3, 4}};
    norm_call n = {.c = c, .direct = c->in[0].dtype == FR_F32};
    for (int i = 0; i < OPERANDS; i++) {
        int at = place[centered][i];
        if (at < 0 || !fr_has(c, at)) continue;
        n.operand[i] = &c->in[at];
        n.direct &= c->in[at].dtype == FR_F32;
    }
    return n;
}

fr_status fr_norm_check(const fr_norm_attr *a, bool centered) {
    if (a->centered != centered)
        return fr_fail(FR_INVALID, "Of the row norms layernorm alone takes off the mean.");
    if (a->eps >= 0 && isfinite(a->eps)) return FR_OK;
    return fr_fail(FR_INVALID, "The eps of a norm is a number from 0 up, not %g.", (double)a->eps);
}

static fr_status norm_shape(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    norm_call n = look(c);
    FR_TRY(fr_norm_check(c->attr, c->op == &fr_op_layernorm));
    FR_TRY(fr_want_float("operand of a norm", x));
    if (x->rank < 1 || x->dim[x->rank - 1] < 1)
        return fr_fail(FR_INVALID, "%s has no last axis to normalize over.", fr_shape_text(x, a));
    for (int i = 0; i < OPERANDS; i++) {
        const fr_tensor *t = n.operand[i];
        if (!t) continue;
        FR_TRY(fr_want_float(operand_name[i], t));
        FR_TRY(fr_broadcasts_to(operand_name[i], t, x));
        if (t->rank < 1 || t->dim[t->rank - 1] != x->dim[x->rank - 1] || (i < SCALE && t->rank > 1))
            return fr_fail(FR_INVALID, "The %s is %s, which does not fit the last axis of %s.",
                           operand_name[i], fr_shape_text(t, b), fr_shape_text(x, a));
    }
    fr_like(&c->out[0], x);
    return FR_OK;
}

static void norm_row(const norm_call *n, size_t row) {
    const fr_tensor *x = &n->c->in[0], *y = &n->c->out[0];
    size_t count = (size_t)x->dim[x->rank - 1], at = fr_row_start(x, x, row), start[OPERANDS];
    size_t most = n->direct ? count : FR_BLOCK;
    float buf[OPERANDS + 2][FR_BLOCK];
    fr_norm_row r = fr_norm_stats(x, at, count, n->c->attr);
    for (int j = 0; j < OPERANDS; j++)
        start[j] = n->operand[j] ? fr_row_start(x, n->operand[j], row) : 0;
    for (size_t i = 0; i < count; i += most) {
        size_t m = FR_MIN(count - i, most);
        const float *p[OPERANDS] = {NULL, NULL, NULL, NULL};
        for (int j = 0; j < OPERANDS; j++)
            if (n->operand[j]) p[j] = fr_block_in(n->operand[j], start[j] + i, m, buf[j]);
        float *to = fr_block_at(y, row * count + i, buf[OPERANDS]);
        fr_kernel()->rows.norm(fr_block_in(x, at + i, m, buf[OPERANDS + 1]), r, p[WEIGHT], p[BIAS],
                               p[SCALE], p[SHIFT], m, to);
        fr_block_out(y, row * count + i, m, to);
    }
}

static void norm_rows(void *arg, size_t start, size_t end) {
    for (size_t row = start; row < end; row++) norm_row(arg, row);
}

static fr_status norm_run(const fr_call *c) {
    norm_call n = look(c);
    size_t rows = fr_row_count(&c->in[0]), width = (size_t)fr_dim(&c->in[0], -1);
    if (rows) fr_pool_range(c->pool, rows, FR_MAX_OF(FR_PIECE / width, 1), norm_rows, &n);
    return FR_OK;
}

static void norm_cost(const fr_call *c, fr_cost *cost) {
    norm_call n = look(c);
    double each = c->op == &fr_op_layernorm ? 7 : 4;
    for (int i = 0; i < OPERANDS; i++)
        if (n.operand[i]) each += 1;
    cost->ops = each * (double)fr_values(&c->in[0]);
    for (int i = 0; i < c->nin; i++)
        if (fr_has(c, i)) cost->read += (double)fr_bytes(&c->in[i]);
    cost->write = (double)fr_bytes(&c->out[0]);
}

/* ---- gradient: the adaptive part by its own operators, the norm by norm_grad ---- */

static fr_val without_scale(fr_grad *r, bool centered) {
    fr_val w = r->nin > 1 ? r->in[1] : FR_NONE, b = centered && r->nin > 2 ? r->in[2] : FR_NONE;
    float eps = ((const fr_norm_attr *)r->attr)->eps;
    if (!centered) return fr_rmsnorm(r->g, r->in[0], w, FR_NONE, FR_NONE, eps);
    return fr_layernorm(r->g, r->in[0], w, b, FR_NONE, FR_NONE, eps);
}

static bool needs(const fr_grad *r, int i) {
    return i < r->nin && r->in[i] != FR_NONE && r->need[i];
}

static fr_status norm_grad(fr_grad *r) {
    fr_graph *g = r->g;
    bool centered = r->op == &fr_op_layernorm;
    int scale = centered ? 3 : 2, shift = scale + 1;
    fr_val dy = r->dout[0];
    if (dy == FR_NONE) return FR_OK;
    if (needs(r, shift)) r->din[shift] = fr_unbroadcast(g, dy, r->in[shift]);
    if (scale < r->nin && r->in[scale] != FR_NONE) {
        if (r->need[scale])
            r->din[scale] =
                fr_unbroadcast(g, fr_mul(g, dy, without_scale(r, centered)), r->in[scale]);
        dy = fr_modulate(g, dy, r->in[scale], FR_NONE);
    }
    bool weight = needs(r, 1), bias = centered && needs(r, 2);
    if (!needs(r, 0) && !weight && !bias) return FR_OK;
    fr_norm_attr a = *(const fr_norm_attr *)r->attr;
    a.want = weight + 2 * bias;
    fr_val w = r->nin > 1 ? r->in[1] : FR_NONE;
    fr_val dx = fr_emit(g, &fr_op_norm_grad, 3, (fr_val[]){r->in[0], dy, w}, &a);
    if (dx == FR_NONE) return FR_OK;
    if (needs(r, 0)) r->din[0] = dx;
    if (weight) r->din[1] = dx + 1;
    if (bias) r->din[2] = fr_as_type(g, dx + 2, r->in[2]);
    return FR_OK;
}

static const fr_attr_field norm_fields[] = {
    {"eps", FR_ATTR_F32, offsetof(fr_norm_attr, eps), 0},
    {"centered", FR_ATTR_BOOL, offsetof(fr_norm_attr, centered), 0},
    {"want", FR_ATTR_I32, offsetof(fr_norm_attr, want), 0},
    {0},
};

const fr_op fr_op_rmsnorm = {
    .name = "rmsnorm",
    .nin_min = 1,
    .nin_max = 4,
    .nout = 1,
    .flags = FR_OP_INPLACE0,
    .strided = 15,
    .attr_bytes = sizeof(fr_norm_attr),
    .fields = norm_fields,
    .shape = norm_shape,
    .run = norm_run,
    .grad = norm_grad,
    .cost = norm_cost,
};
const fr_op fr_op_layernorm = {
    .name = "layernorm",
    .nin_min = 1,
    .nin_max = 5,
    .nout = 1,
    .flags = FR_OP_INPLACE0,
    .strided = 31,
    .attr_bytes = sizeof(fr_norm_attr),
    .fields = norm_fields,
    .shape = norm_shape,
    .run = norm_run,
    .grad = norm_grad,
    .cost = norm_cost,
};

fr_val fr_rmsnorm(fr_graph *g, fr_val x, fr_val weight, fr_val scale, fr_val shift, float eps) {
    fr_norm_attr a = {eps, false, 0};
    return fr_emit(g, &fr_op_rmsnorm, 4, (fr_val[]){x, weight, scale, shift}, &a);
}
fr_val fr_layernorm(fr_graph *g, fr_val x, fr_val weight, fr_val bias, fr_val scale, fr_val shift,
                    float eps) {
    fr_norm_attr a = {eps, true, 0};
    return fr_emit(g, &fr_op_layernorm, 5, (fr_val[]){x, weight, bias, scale, shift}, &a);
}
