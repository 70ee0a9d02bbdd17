/* state.c: the two ways to change what lives between runs: all of a state, or some rows of it (a
 * key-value cache). Both write the state's own memory; the graph orders them after every node that
 * was made before and reads the state. f32 and bf16 are converted into each other. */
#include "op/copy.h"
#include "op/op.h"

#include <string.h>

/* Whether values of type t can be stored in the state. */
static bool storable(fr_dtype t, fr_dtype state) {
    return t == state || (t == FR_F32 && state == FR_BF16) || (t == FR_BF16 && state == FR_F32);
}

typedef struct convert_job {
    const fr_tensor *x; /* contiguous */
    fr_dtype to;
    char *out;
    int64_t outer, run, out_step; /* outer runs of `run` values, out_step values apart */
    int64_t piece, pieces;
} convert_job;

static void convert_item(void *arg, size_t item) {
    const convert_job *j = arg;
    int64_t o = (int64_t)item / j->pieces, at = (int64_t)item % j->pieces * j->piece;
    size_t n = (size_t)FR_MIN(j->piece, j->run - at);
    const char *in =
        (const char *)j->x->data + (size_t)(o * j->run + at) * fr_value_bytes(j->x->dtype);
    char *out = j->out + (size_t)(o * j->out_step + at) * fr_value_bytes(j->to);
    if (j->to == FR_BF16)
        fr_kernel()->convert.f32_to_bf16((const float *)in, n, (uint16_t *)out);
    else
        fr_kernel()->convert.bf16_to_f32((const uint16_t *)in, n, (float *)out);
}

/* Writes contiguous x into the region of the state that `to` describes; along `axis` and after it
 * the region is one run. */
static void store(const fr_call *c, const fr_tensor *x, const fr_tensor *to, int axis) {
    if (x->data == to->data) return; /* a state that is written to itself */
    if (x->dtype == to->dtype) {
        fr_copy_tensor(x, to, c->pool);
        return;
    }
    convert_job j = {
        .x = x, .to = to->dtype, .out = to->data, .outer = 1, .run = 1, .piece = 32768};
    for (int i = 0; i < x->rank; i++) *(i < axis ? &j.outer : &j.run) *= x->dim[i];
    j.out_step = axis > 0 ? to->stride[axis - 1] : 0;
    j.pieces = (j.run + j.piece - 1) / j.piece;
    if (j.outer * j.pieces > 0)
        fr_pool_run(j.outer * j.run < j.piece ? NULL : c->pool, (size_t)(j.outer * j.pieces),
                    convert_item, &j);
}

static void out_is_state(const fr_call *c) {
    c->out[0].dtype = c->in[0].dtype;
    c->out[0].rank = c->in[0].rank;
    memcpy(c->out[0].dim, c->in[0].dim, sizeof c->in[0].dim);
}

/* ---- assign ---- */

static fr_status assign_shape(const fr_call *c) {
    char state[FR_SHAPE_TEXT], value[FR_SHAPE_TEXT];
    FR_TRY(fr_need_plain("assign", &c->in[0]));
    if (!fr_same_shape(&c->in[0], &c->in[1]) || !storable(c->in[1].dtype, c->in[0].dtype))
        return fr_fail(FR_INVALID, "assign: a state of %s cannot take a value of %s",
                       fr_shape_text(&c->in[0], state), fr_shape_text(&c->in[1], value));
    out_is_state(c);
    return FR_OK;
}

static fr_status assign_run(const fr_call *c) {
    store(c, &c->in[1], &c->out[0], 0);
    return FR_OK;
}

const fr_op fr_op_assign = {
    .name = "assign",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .flags = FR_OP_STATE | FR_OP_NO_GRAD,
    .shape = assign_shape,
    .run = assign_run,
    .cost = fr_cost_move,
};

fr_val fr_assign(fr_graph *g, fr_val state, fr_val value) {
    fr_val in[2] = {state, value};
    return fr_emit(g, &fr_op_assign, 2, in, NULL);
}

/* ---- update_rows ---- */

typedef struct update_attr {
    int32_t axis;
} update_attr;

static const fr_attr_field update_fields[] = {
    {"axis", FR_ATTR_I32, offsetof(update_attr, axis), 0},
    {0},
};

static fr_status update_shape(const fr_call *c) {
    const fr_tensor *state = &c->in[0], *rows = &c->in[1], *pos = &c->in[2];
    char text[FR_SHAPE_TEXT], other[FR_SHAPE_TEXT];
    int axis;
    FR_TRY(fr_need_plain("update_rows", state));
    FR_TRY(fr_need_axis("update_rows", state, ((const update_attr *)c->attr)->axis, &axis));
    bool fits = state->rank == rows->rank && storable(rows->dtype, state->dtype);
    for (int i = 0; fits && i < state->rank; i++)
        fits = i == axis ? rows->dim[i] <= state->dim[i] : rows->dim[i] == state->dim[i];
    if (!fits)
        return fr_fail(FR_INVALID, "update_rows: rows of %s do not fit a state of %s along axis %d",
                       fr_shape_text(rows, other), fr_shape_text(state, text), axis);
    if (pos->dtype != FR_I32 || fr_values(pos) != 1)
        return fr_fail(FR_INVALID, "update_rows: the position must be one i32, this is %s",
                       fr_shape_text(pos, text));
    out_is_state(c);
    return FR_OK;
}

static fr_status update_run(const fr_call *c) {
    const fr_tensor *rows = &c->in[1];
    fr_tensor to = c->out[0];
    int axis;
    FR_TRY(fr_need_axis("update_rows", &to, ((const update_attr *)c->attr)->axis, &axis));
    int64_t pos = *(const int32_t *)c->in[2].data, n = rows->dim[axis];
    if (pos < 0 || pos > to.dim[axis] - n)
        return fr_fail(FR_INVALID,
                       "update_rows: %lld rows at position %lld do not fit, the state holds %lld",
                       (long long)n, (long long)pos, (long long)to.dim[axis]);
    to.data = (char *)to.data + (size_t)(pos * to.stride[axis]) * fr_value_bytes(to.dtype);
    to.dim[axis] = n;
    store(c, rows, &to, axis);
    return FR_OK;
}

const fr_op fr_op_update_rows = {
    .name = "update_rows",
    .nin_min = 3,
    .nin_max = 3,
    .nout = 1,
    .flags = FR_OP_STATE | FR_OP_NO_GRAD,
    .attr_bytes = sizeof(update_attr),
    .fields = update_fields,
    .shape = update_shape,
    .run = update_run,
    .cost = fr_cost_move,
};

fr_val fr_update_rows(fr_graph *g, fr_val state, fr_val rows, fr_val pos, int axis) {
    fr_val in[3] = {state, rows, pos};
    update_attr a = {.axis = axis};
    return fr_emit(g, &fr_op_update_rows, 3, in, &a);
}
