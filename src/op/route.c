/* route.c: which experts a row goes to, and how much of each (Shazeer et al., Outrageously large neural networks, 2017,
 * with the softmax over those that were chosen, as Jiang et al. have it, Mixtral of experts, 2024).
 *
 *     share = softmax(logits) of the `chosen` largest, made to sum to 1; 0 for all others
 *     expert_rows: the rows of x that go to one expert, all others 0
 *
 * Of equal logits the first is chosen. The choice has no gradient, the shares have that of a softmax: what is 0 stays
 * so. */
#include <math.h>
#include <string.h>

#include "op/copy.h"
#include "op/each.h"
#include "op/grads.h"

typedef struct route_attr {
    int32_t chosen;
} route_attr;

typedef struct rows_attr {
    int32_t expert;
} rows_attr;

/* ---- route ---- */

static fr_status route_shape(const fr_call *c) {
    const int32_t chosen = ((const route_attr *)c->attr)->chosen;
    const fr_tensor *x = &c->in[0];
    char text[FR_SHAPE_TEXT];
    FR_TRY(fr_want_float("operand of route", x));
    if (x->rank < 1 || chosen < 1 || chosen > fr_dim(x, -1))
        return fr_fail(FR_INVALID, "route: %d of the last axis of %s cannot be chosen.",
                       (int)chosen, fr_shape_text(x, text));
    fr_like(&c->out[0], x);
    c->out[0].dtype = FR_F32;
    return FR_OK;
}

static void route_row(const float *x, int64_t n, int32_t chosen, float *share) {
    double sum = 0;
    float most = 0;
    for (int64_t i = 0; i < n; i++) share[i] = 0;
    for (int32_t j = 0; j < chosen; j++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (share[i] == 0 &&
                (best < 0 || x[i] > x[best] || (x[i] != x[i] && x[best] == x[best])))
                best = i;
        if (!j) most = x[best];
        share[best] = 1;
    }
    for (int64_t i = 0; i < n; i++)
        if (share[i] != 0) sum += share[i] = expf(x[i] - most);
    for (int64_t i = 0; i < n; i++) /* a sum that is no number stays with those that were chosen */
        if (share[i] != 0) share[i] = (float)(share[i] / sum);
}

static void route_rows(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    const int64_t n = fr_dim(&c->in[0], -1);
    const fr_tensor *x = &c->in[0];
    for (size_t row = start; row < end; row++) {
        float *wide = (float *)c->scratch + (int64_t)row * n;
        for (int64_t i = 0; i < n; i += FR_BLOCK) {
            const size_t count = (size_t)FR_MIN(n - i, (int64_t)FR_BLOCK);
            float room[FR_BLOCK];
            const float *v = fr_block_in(x, row * (size_t)n + (size_t)i, count, room);
            memcpy(wide + i, v, count * sizeof *v);
        }
        route_row(wide, n, ((const route_attr *)c->attr)->chosen,
                  (float *)c->out[0].data + (int64_t)row * n);
    }
}

static size_t route_scratch(const fr_call *c) {
    return (size_t)fr_values(&c->in[0]) * sizeof(float);
}

static fr_status route_run(const fr_call *c) {
    const size_t n = (size_t)fr_dim(&c->in[0], -1), rows = (size_t)fr_values(&c->in[0]) / n;
    if (rows) fr_pool_range(c->pool, rows, FR_PIECE / n / 4 + 1, route_rows, (void *)(uintptr_t)c);
    return FR_OK;
}

static fr_status route_grad(fr_grad *r) {
    if (r->need[0] && r->dout[0] != FR_NONE)
        r->din[0] = fr_as_type(r->g, fr_softmax_grad(r->g, r->out[0], r->dout[0]), r->in[0]);
    return FR_OK;
}

static void route_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = (double)(((const route_attr *)c->attr)->chosen + 3) * (double)fr_values(&c->in[0]);
}

static const fr_attr_field route_fields[] = {
    {"chosen", FR_ATTR_I32, offsetof(route_attr, chosen), 0},
    {0},
};

const fr_op fr_op_route = {
    .name = "route",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .attr_bytes = sizeof(route_attr),
    .fields = route_fields,
    .shape = route_shape,
    .run = route_run,
    .scratch = route_scratch,
    .grad = route_grad,
    .cost = route_cost,
};

fr_val fr_route(fr_graph *g, fr_val logits, int chosen) {
    route_attr a = {chosen};
    return fr_emit(g, &fr_op_route, 1, &logits, &a);
}

/* ---- the rows of one expert ---- */

fr_status fr_share_check(const char *op, const fr_tensor *x, const fr_tensor *share,
                         int32_t expert) {
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    bool fits = share->dtype == FR_F32 && share->rank == x->rank && x->rank > 0;
    for (int i = 0; fits && i < x->rank - 1; i++) fits = share->dim[i] == x->dim[i];
    if (!fits)
        return fr_fail(FR_INVALID, "%s of %s wants an f32 share for each of its rows, not %s.", op,
                       fr_shape_text(x, a), fr_shape_text(share, b));
    if (expert >= 0 && expert < fr_dim(share, -1)) return FR_OK;
    return fr_fail(FR_INVALID, "%s: there is no expert %d of %lld.", op, (int)expert,
                   (long long)fr_dim(share, -1));
}

static fr_status rows_shape(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    FR_TRY(fr_want_float("operand of expert_rows", x));
    FR_TRY(fr_share_check("expert_rows", x, &c->in[1], ((const rows_attr *)c->attr)->expert));
    fr_like(&c->out[0], x);
    return FR_OK;
}

static void keep_rows(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    const size_t experts = (size_t)fr_dim(&c->in[1], -1);
    const size_t bytes = (size_t)fr_dim(&c->in[0], -1) * fr_value_bytes(c->in[0].dtype);
    const float *share =
        (const float *)c->in[1].data + (size_t)((const rows_attr *)c->attr)->expert;
    for (size_t row = start; row < end; row++) {
        char *to = (char *)c->out[0].data + row * bytes;
        if (share[row * experts] == 0)
            memset(to, 0, bytes);
        else if (c->out[0].data != c->in[0].data)
            memcpy(to, (const char *)c->in[0].data + row * bytes, bytes);
    }
}

static fr_status rows_run(const fr_call *c) {
    const size_t n = (size_t)fr_dim(&c->in[0], -1);
    const size_t rows = n ? (size_t)fr_values(&c->in[0]) / n : 0;
    if (rows) fr_pool_range(c->pool, rows, FR_PIECE / n + 1, keep_rows, (void *)(uintptr_t)c);
    return FR_OK;
}

static fr_status rows_grad(fr_grad *r) {
    const rows_attr *a = r->attr;
    if (r->need[0] && r->dout[0] != FR_NONE)
        r->din[0] = fr_expert_rows(r->g, r->dout[0], r->in[1], a->expert);
    return FR_OK;
}

static void rows_cost(const fr_call *c, fr_cost *cost) {
    (void)c;
    cost->ops = 0;
}

static const fr_attr_field rows_fields[] = {
    {"expert", FR_ATTR_I32, offsetof(rows_attr, expert), 0},
    {0},
};

const fr_op fr_op_expert_rows = {
    .name = "expert_rows",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .flags = FR_OP_INPLACE0,
    .attr_bytes = sizeof(rows_attr),
    .fields = rows_fields,
    .shape = rows_shape,
    .run = rows_run,
    .grad = rows_grad,
    .cost = rows_cost,
};

fr_val fr_expert_rows(fr_graph *g, fr_val x, fr_val share, int expert) {
    rows_attr a = {expert};
    return fr_emit(g, &fr_op_expert_rows, 2, (fr_val[]){x, share}, &a);
}
