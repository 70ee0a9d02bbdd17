/* norm_grad.c: backwards through a row norm. With xhat the normalized row and g = dy * weight,
 *
 *     dx = rstd * (g - mean(g) - xhat * mean(g xhat))        (without mean(g) for rmsnorm)
 *     dweight = sum over rows of dy * xhat,  dbias = sum over rows of dy
 *
 * The sums over rows go by pieces of rows, each into its own part of the scratch; the parts are joined
 * in order. Statistics are computed again: reading a row that is in the cache costs less than keeping
 * them. */
#include <math.h>
#include <string.h>

#include "op/grads.h"
#include "op/norm.h"

/* x, dy, weight or absent -> dx, dweight, dbias; those that nobody wants are empty. */
static fr_status grad_shape(const fr_call *c) {
    const fr_norm_attr *a = c->attr;
    const fr_tensor *x = &c->in[0], *w = fr_has(c, 2) ? &c->in[2] : x;
    char tx[FR_SHAPE_TEXT], tw[FR_SHAPE_TEXT];
    FR_TRY(fr_norm_check(a, a->centered));
    FR_TRY(fr_want_float("operand of a norm", x));
    FR_TRY(fr_want_float("gradient of a norm", &c->in[1]));
    FR_TRY(fr_want_float("weight of a norm", w));
    if (x->rank < 1 || x->dim[x->rank - 1] < 1 || !fr_same_shape(x, &c->in[1]))
        return fr_fail(FR_INVALID, "A norm of %s cannot have the gradient %s.",
                       fr_shape_text(x, tx), fr_shape_text(&c->in[1], tw));
    if (w != x && (w->rank != 1 || w->dim[0] != x->dim[x->rank - 1]))
        return fr_fail(FR_INVALID, "A norm of %s cannot have the weight %s.", fr_shape_text(x, tx),
                       fr_shape_text(w, tw));
    fr_like(&c->out[0], x);
    for (int i = 1; i < 3; i++) {
        c->out[i].dtype = w->dtype;
        c->out[i].rank = 1;
        c->out[i].dim[0] = a->want & i ? x->dim[x->rank - 1] : 0;
    }
    return FR_OK;
}

/* Rows of a piece: enough that a part is small beside the rows that it sums. */
static size_t piece_rows(const fr_call *c) {
    size_t n = (size_t)fr_dim(&c->in[0], -1);
    return FR_MIN(FR_MAX_OF(FR_PIECE / n, 32), 256);
}
static size_t piece_count(const fr_call *c) {
    size_t rows = fr_row_count(&c->in[0]), each = piece_rows(c);
    return (rows + each - 1) / each;
}

static size_t grad_scratch(const fr_call *c) {
    const fr_norm_attr *a = c->attr;
    return a->want ? piece_count(c) * 2 * (size_t)fr_dim(&c->in[0], -1) * sizeof(float) : 0;
}

typedef struct row_arg {
    const fr_call *c;
    size_t row, n, most;
    fr_norm_row r;
    float *dweight, *dbias; /* parts of the scratch, or NULL */
} row_arg;

/* One block of columns as floats. */
typedef struct block {
    const float *x, *dy, *w;
    float buf[4][FR_BLOCK];
} block;

static void get_block(const row_arg *a, size_t i, size_t m, block *b) {
    const fr_call *c = a->c;
    b->x = fr_block_in(&c->in[0], fr_row_start(&c->in[0], &c->in[0], a->row) + i, m, b->buf[0]);
    b->dy = fr_block_in(&c->in[1], a->row * a->n + i, m, b->buf[1]);
    b->w = NULL;
    if (fr_has(c, 2))
        b->w = fr_block_in(&c->in[2], fr_row_start(&c->in[0], &c->in[2], a->row) + i, m, b->buf[2]);
}

static void grad_row(const row_arg *a) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    bool centered = ((const fr_norm_attr *)a->c->attr)->centered;
    double g = 0, gx = 0;
    block b;
    for (size_t i = 0; i < a->n; i += a->most) {
        size_t m = FR_MIN(a->n - i, a->most);
        float part[2];
        get_block(a, i, m, &b);
        k->norm_sums(b.x, a->r, b.w, b.dy, m, part);
        g += (double)part[0];
        gx += (double)part[1];
        if (a->dweight || a->dbias)
            k->norm_weight_grad(b.x, a->r, b.dy, m, a->dweight ? a->dweight + i : NULL,
                                a->dbias ? a->dbias + i : NULL);
    }
    float mean_g = centered ? (float)(g / (double)a->n) : 0, mean_gx = (float)(gx / (double)a->n);
    for (size_t i = 0; i < a->n; i += a->most) {
        size_t m = FR_MIN(a->n - i, a->most);
        if (a->most < a->n) get_block(a, i, m, &b);
        float *to = fr_block_at(&a->c->out[0], a->row * a->n + i, b.buf[3]);
        k->norm_grad(b.x, a->r, b.w, b.dy, mean_g, mean_gx, m, to);
        fr_block_out(&a->c->out[0], a->row * a->n + i, m, to);
    }
}

static void grad_piece(void *arg, size_t piece) {
    const fr_call *c = arg;
    const fr_norm_attr *attr = c->attr;
    const fr_tensor *x = &c->in[0];
    size_t n = (size_t)fr_dim(x, -1), rows = fr_row_count(x), each = piece_rows(c);
    bool direct = x->dtype == FR_F32 && c->in[1].dtype == FR_F32;
    if (fr_has(c, 2)) direct &= c->in[2].dtype == FR_F32;
    row_arg a = {.c = c, .n = n, .most = direct ? n : FR_BLOCK};
    float *part = attr->want ? (float *)c->scratch + piece * 2 * n : NULL;
    if (attr->want) memset(part, 0, 2 * n * sizeof *part);
    if (attr->want & 1) a.dweight = part;
    if (attr->want & 2) a.dbias = part + n;
    for (a.row = piece * each; a.row < FR_MIN(rows, (piece + 1) * each); a.row++) {
        a.r = fr_norm_stats(x, fr_row_start(x, x, a.row), n, attr);
        grad_row(&a);
    }
}

/* Columns start .. end of dweight or dbias. */
static void join_parts(const fr_call *c, int which, size_t start, size_t end) {
    size_t n = (size_t)fr_dim(&c->in[0], -1), pieces = piece_count(c), m = end - start;
    float sum[FR_BLOCK] = {0};
    const float *part = (const float *)c->scratch + (size_t)(which - 1) * n + start;
    for (size_t p = 0; p < pieces; p++)
        fr_kernel()->rows.binary(FR_ADD, sum, part + p * 2 * n, m, sum);
    if (c->out[which].dtype == FR_F32)
        memcpy((float *)c->out[which].data + start, sum, m * sizeof *sum);
    else
        fr_block_out(&c->out[which], start, m, sum);
}

static void join_columns(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    for (int which = 1; which < 3; which++)
        if (((const fr_norm_attr *)c->attr)->want & which) join_parts(c, which, start, end);
}

static fr_status grad_run(const fr_call *c) {
    size_t n = (size_t)fr_dim(&c->in[0], -1);
    void *arg = (void *)(uintptr_t)c;
    fr_pool_run(c->pool, piece_count(c), grad_piece, arg);
    if (((const fr_norm_attr *)c->attr)->want)
        fr_pool_range(c->pool, n, FR_BLOCK, join_columns, arg);
    return FR_OK;
}

static void grad_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = 14 * (double)fr_values(&c->in[0]);
    cost->read = (double)fr_bytes(&c->in[0]) + (double)fr_bytes(&c->in[1]);
    cost->write = (double)fr_bytes(&c->out[0]);
}

static const fr_attr_field grad_fields[] = {
    {"eps", FR_ATTR_F32, offsetof(fr_norm_attr, eps), 0},
    {"centered", FR_ATTR_BOOL, offsetof(fr_norm_attr, centered), 0},
    {"want", FR_ATTR_I32, offsetof(fr_norm_attr, want), 0},
    {0},
};

const fr_op fr_op_norm_grad = {
    .name = "norm_grad",
    .nin_min = 2,
    .nin_max = 3,
    .nout = 3,
    .flags = FR_OP_NO_GRAD,
    .strided = 1,
    .attr_bytes = sizeof(fr_norm_attr),
    .fields = grad_fields,
    .shape = grad_shape,
    .run = grad_run,
    .scratch = grad_scratch,
    .cost = grad_cost,
};
