/* topk.c: the k largest values of the last axis, and where the largest is. A NaN counts as largest;
 * of equal values the first comes first. */
#include <math.h>
#include <string.h>

#include "op/each.h"
#include "op/grads.h"

typedef struct topk_attr {
    int32_t k;
} topk_attr;

/* Places in the last axis are numbered in i32. */
static fr_status check_operand(const fr_call *c) {
    char text[FR_SHAPE_TEXT];
    FR_TRY(fr_want_float(c->op->name, &c->in[0]));
    if (fr_dim(&c->in[0], -1) <= INT32_MAX) return FR_OK;
    return fr_fail(FR_UNSUPPORTED, "The last axis of %s is too long for %s.",
                   fr_shape_text(&c->in[0], text), c->op->name);
}

static fr_status topk_shape(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    int32_t k = ((const topk_attr *)c->attr)->k;
    char text[FR_SHAPE_TEXT];
    FR_TRY(check_operand(c));
    if (x->rank < 1 || k < 1 || k > x->dim[x->rank - 1])
        return fr_fail(FR_INVALID, "The %d largest of the last axis of %s do not exist.", k,
                       fr_shape_text(x, text));
    for (int i = 0; i < 2; i++) {
        fr_like(&c->out[i], x);
        c->out[i].dim[x->rank - 1] = k;
    }
    c->out[1].dtype = FR_I32;
    return FR_OK;
}

static bool above(float a, float b) {
    return a > b || (a != a && b == b);
}

/* The best so far of a row: a heap with the worst of them on top. */
typedef struct best_of {
    float *value;
    int32_t *where;
    size_t k, have;
} best_of;

static bool worse(const best_of *b, size_t i, size_t j) {
    if (above(b->value[j], b->value[i])) return true;
    return !above(b->value[i], b->value[j]) && b->where[j] < b->where[i];
}

static void exchange(best_of *b, size_t i, size_t j) {
    float value = b->value[i];
    int32_t where = b->where[i];
    b->value[i] = b->value[j], b->where[i] = b->where[j];
    b->value[j] = value, b->where[j] = where;
}

/* Item i of the first n goes down to its place. */
static void sink(best_of *b, size_t n, size_t i) {
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && worse(b, child + 1, child)) child++;
        if (!worse(b, child, i)) return;
        exchange(b, i, child);
    }
}

/* x at `index`, which is larger than all before: of equal values the first stays. */
static void take(best_of *b, float x, int32_t index) {
    if (b->have == b->k && !above(x, b->value[0])) return;
    size_t to = b->have < b->k ? b->have++ : 0;
    b->value[to] = x;
    b->where[to] = index;
    if (b->have < b->k) return;
    if (to == 0) sink(b, b->k, 0);
    for (size_t i = to ? b->k / 2 : 0; i-- > 0;) sink(b, b->k, i); /* it is full just now */
}

/* From the heap to falling order. */
static void order(best_of *b) {
    for (size_t n = b->k; n-- > 1;) {
        exchange(b, 0, n);
        sink(b, n, 0);
    }
}

static void topk_rows(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    const fr_tensor *x = &c->in[0], *y = &c->out[0];
    size_t n = (size_t)fr_dim(x, -1), k = (size_t)fr_dim(y, -1);
    float buf[FR_BLOCK];
    for (size_t row = start; row < end; row++) {
        float *best = (float *)c->scratch + row * k;
        best_of b = {best, (int32_t *)c->out[1].data + row * k, k, 0};
        for (size_t i = 0; i < n; i += FR_BLOCK) {
            size_t count = FR_MIN(n - i, (size_t)FR_BLOCK);
            const float *v = fr_block_in(x, row * n + i, count, buf);
            for (size_t j = 0; j < count; j++) take(&b, v[j], (int32_t)(i + j));
        }
        order(&b);
        if (y->dtype == FR_F32)
            memcpy((float *)y->data + row * k, best, k * sizeof *best);
        else
            fr_block_out(y, row * k, k, best);
    }
}

static size_t topk_scratch(const fr_call *c) {
    return (size_t)fr_values(&c->out[0]) * sizeof(float);
}

/* The product of the leading axes. */
static size_t rows_of(const fr_tensor *t) {
    size_t rows = 1;
    for (int d = 0; d < t->rank - 1; d++) rows *= (size_t)t->dim[d];
    return rows;
}

static void over_rows(const fr_call *c, fr_pool_range_fn *fn) {
    size_t rows = rows_of(&c->in[0]), n = FR_MAX_OF((size_t)fr_dim(&c->in[0], -1), 1);
    if (rows) fr_pool_range(c->pool, rows, FR_MAX_OF(FR_PIECE / n, 1), fn, (void *)(uintptr_t)c);
}

static fr_status topk_run(const fr_call *c) {
    over_rows(c, topk_rows);
    return FR_OK;
}

static fr_status topk_grad(fr_grad *r) {
    if (r->need[0] && r->dout[0] != FR_NONE)
        r->din[0] =
            fr_emit(r->g, &fr_op_topk_grad, 3, (fr_val[]){r->dout[0], r->out[1], r->in[0]}, NULL);
    return FR_OK;
}

/* ---- dy, index, x -> dx: zeros, and dy where the values came from ---- */

static fr_status grad_shape(const fr_call *c) {
    const fr_tensor *dy = &c->in[0], *index = &c->in[1], *x = &c->in[2];
    char ty[FR_SHAPE_TEXT], ti[FR_SHAPE_TEXT], tx[FR_SHAPE_TEXT];
    FR_TRY(fr_want_float("gradient of topk", dy));
    FR_TRY(fr_want_float("operand of topk", x));
    bool fits = dy->rank == x->rank && x->rank > 0 && index->dtype == FR_I32;
    for (int d = 0; fits && d < x->rank - 1; d++) fits = dy->dim[d] == x->dim[d];
    if (!fits || !fr_same_shape(dy, index))
        return fr_fail(FR_INVALID, "topk of %s has no gradient %s at %s.", fr_shape_text(x, tx),
                       fr_shape_text(dy, ty), fr_shape_text(index, ti));
    fr_like(&c->out[0], &c->in[2]);
    return FR_OK;
}

static fr_status grad_run(const fr_call *c) {
    const fr_tensor *dy = &c->in[0], *dx = &c->out[0];
    const int32_t *where = c->in[1].data;
    size_t rows = rows_of(dy), k = (size_t)fr_dim(dy, -1), n = (size_t)fr_dim(dx, -1);
    memset(dx->data, 0, fr_bytes(dx));
    for (size_t i = 0; i < rows * k; i++) {
        float in[1], out[1];
        if (where[i] < 0 || (size_t)where[i] >= n)
            return fr_fail(FR_INVALID, "topk: index %d at position %zu is not one of 0 .. %zu",
                           where[i], i, n - 1);
        size_t at = i / k * n + (size_t)where[i];
        float v = *fr_block_in(dy, i, 1, in), *y = fr_block_at(dx, at, out);
        *y = v;
        fr_block_out(dx, at, 1, y);
    }
    return FR_OK;
}

/* ---- argmax ---- */

static fr_status argmax_shape(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    char text[FR_SHAPE_TEXT];
    FR_TRY(check_operand(c));
    if (x->rank < 1 || x->dim[x->rank - 1] < 1)
        return fr_fail(FR_INVALID, "The last axis of %s has no largest value.",
                       fr_shape_text(x, text));
    fr_like(&c->out[0], x);
    c->out[0].dtype = FR_I32;
    c->out[0].rank--;
    return FR_OK;
}

static void argmax_rows(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    const fr_rows_kernels *k = &fr_kernel()->rows;
    size_t n = (size_t)fr_dim(&c->in[0], -1);
    for (size_t row = start; row < end; row++) {
        float buf[FR_BLOCK], best = 0;
        size_t where = 0, most = c->in[0].dtype == FR_F32 ? n : FR_BLOCK;
        for (size_t i = 0; i < n; i += most) {
            size_t count = FR_MIN(n - i, most);
            const float *x = fr_block_in(&c->in[0], row * n + i, count, buf);
            size_t at = k->argmax(x, count);
            if (i && !above(x[at], best)) continue;
            best = x[at];
            where = i + at;
        }
        ((int32_t *)c->out[0].data)[row] = (int32_t)where;
    }
}

static fr_status argmax_run(const fr_call *c) {
    over_rows(c, argmax_rows);
    return FR_OK;
}

static void scan_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = (double)fr_values(&c->in[0]);
    cost->read = (double)fr_bytes(&c->in[0]);
    for (int i = 0; i < c->nout; i++) cost->write += (double)fr_bytes(&c->out[i]);
}

static const fr_attr_field topk_fields[] = {
    {"k", FR_ATTR_I32, offsetof(topk_attr, k), 0},
    {0},
};

const fr_op fr_op_topk = {
    .name = "topk",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 2,
    .attr_bytes = sizeof(topk_attr),
    .fields = topk_fields,
    .shape = topk_shape,
    .run = topk_run,
    .scratch = topk_scratch,
    .grad = topk_grad,
    .cost = scan_cost,
};
const fr_op fr_op_topk_grad = {
    .name = "topk_grad",
    .nin_min = 3,
    .nin_max = 3,
    .nout = 1,
    .flags = FR_OP_NO_GRAD,
    .shape = grad_shape,
    .run = grad_run,
};
const fr_op fr_op_argmax = {
    .name = "argmax",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .flags = FR_OP_NO_GRAD,
    .shape = argmax_shape,
    .run = argmax_run,
    .cost = scan_cost,
};

fr_val fr_topk(fr_graph *g, fr_val x, int k, fr_val *index) {
    topk_attr a = {k};
    fr_val y = fr_emit(g, &fr_op_topk, 1, &x, &a);
    if (index) *index = y == FR_NONE ? FR_NONE : y + 1;
    return y;
}
fr_val fr_argmax(fr_graph *g, fr_val x) {
    return fr_emit(g, &fr_op_argmax, 1, &x, NULL);
}
