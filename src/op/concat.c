/* concat.c: tensors side by side along an axis, and a border of a constant value. */
#include "op/copy.h"
#include "op/op.h"

#include <string.h>

/* ---- concat ---- */

typedef struct concat_attr {
    int32_t axis;
} concat_attr;

static const fr_attr_field concat_fields[] = {
    {"axis", FR_ATTR_I32, offsetof(concat_attr, axis), 0},
    {0},
};

static fr_status concat_shape(const fr_call *c) {
    const concat_attr *a = c->attr;
    const fr_tensor *x = &c->in[0];
    char first[FR_SHAPE_TEXT], other[FR_SHAPE_TEXT];
    int axis;
    int64_t total = 0;
    FR_TRY(fr_need_plain("concat", x));
    FR_TRY(fr_need_axis("concat", x, a->axis, &axis));
    for (int i = 0; i < c->nin; i++) {
        const fr_tensor *t = &c->in[i];
        bool same = t->rank == x->rank && t->dtype == x->dtype;
        for (int d = 0; same && d < x->rank; d++) same = d == axis || t->dim[d] == x->dim[d];
        if (!same)
            return fr_fail(FR_INVALID,
                           "concat of %s and %s: type and all axes but %d must be the same",
                           fr_shape_text(x, first), fr_shape_text(t, other), axis);
        if (__builtin_add_overflow(total, t->dim[axis], &total))
            return fr_fail(FR_INVALID, "concat of %s and others: axis %d grows too large",
                           fr_shape_text(x, first), axis);
    }
    c->out[0].dtype = x->dtype;
    c->out[0].rank = x->rank;
    memcpy(c->out[0].dim, x->dim, sizeof x->dim);
    c->out[0].dim[axis] = total;
    return fr_shape_check("concat", x->dtype, x->rank, c->out[0].dim);
}

static fr_status concat_run(const fr_call *c) {
    int axis;
    FR_TRY(fr_need_axis("concat", &c->in[0], ((const concat_attr *)c->attr)->axis, &axis));
    fr_tensor part = c->out[0];
    size_t step = (size_t)part.stride[axis] * fr_value_bytes(part.dtype);
    for (int i = 0; i < c->nin; i++) {
        fr_copy_tensor(&c->in[i], &part, c->pool);
        part.data = (char *)part.data + (size_t)c->in[i].dim[axis] * step;
    }
    return FR_OK;
}

static fr_status concat_grad(fr_grad *r) {
    int axis;
    int64_t at = 0;
    FR_TRY(fr_need_axis("concat", fr_desc(r->g, r->in[0]), ((const concat_attr *)r->attr)->axis,
                        &axis));
    for (int i = 0; i < r->nin; i++) {
        int64_t n = fr_desc(r->g, r->in[i])->dim[axis];
        if (r->need[i]) r->din[i] = fr_slice(r->g, r->dout[0], axis, at, n);
        at += n;
    }
    return FR_OK;
}

/* No node has more inputs. */
#define CONCAT_MAX 64

const fr_op fr_op_concat = {
    .name = "concat",
    .nin_min = 1,
    .nin_max = CONCAT_MAX,
    .nout = 1,
    .strided = ~0u,
    .attr_bytes = sizeof(concat_attr),
    .fields = concat_fields,
    .shape = concat_shape,
    .run = concat_run,
    .grad = concat_grad,
    .cost = fr_cost_move,
};

fr_val fr_concat(fr_graph *g, int count, const fr_val *x, int axis) {
    concat_attr a = {.axis = axis};
    if (count < 1 || count > CONCAT_MAX)
        return fr_emit_fail(
            g, fr_fail(FR_INVALID, "concat: %d tensors, 1 to %d can be joined", count, CONCAT_MAX));
    return fr_emit(g, &fr_op_concat, count, x, &a);
}

/* ---- pad ---- */

typedef struct pad_attr {
    int32_t rank;
    float value;
    int64_t before[FR_MAX_DIMS], after[FR_MAX_DIMS];
} pad_attr;

static const fr_attr_field pad_fields[] = {
    {"rank", FR_ATTR_I32, offsetof(pad_attr, rank), 0},
    {"before", FR_ATTR_I64, offsetof(pad_attr, before), FR_MAX_DIMS},
    {"after", FR_ATTR_I64, offsetof(pad_attr, after), FR_MAX_DIMS},
    {"value", FR_ATTR_F32, offsetof(pad_attr, value), 0},
    {0},
};

static fr_status pad_shape(const fr_call *c) {
    const pad_attr *a = c->attr;
    const fr_tensor *x = &c->in[0];
    char text[FR_SHAPE_TEXT];
    FR_TRY(fr_need_plain("pad", x));
    bool known =
        x->dtype == FR_F32 || x->dtype == FR_BF16 || x->dtype == FR_F16 || x->dtype == FR_I32;
    if (!known && a->value != 0)
        return fr_fail(FR_UNSUPPORTED, "pad of %s: this type can be padded with 0 only",
                       fr_shape_text(x, text));
    if (x->dtype == FR_I32 && !(a->value >= -2147483648.0f && a->value < 2147483648.0f))
        return fr_fail(FR_INVALID, "pad of %s: %g does not fit the type", fr_shape_text(x, text),
                       (double)a->value);
    c->out[0].dtype = x->dtype;
    c->out[0].rank = x->rank;
    for (int i = 0; i < x->rank; i++) {
        int64_t d;
        if (a->before[i] < 0 || a->after[i] < 0 ||
            __builtin_add_overflow(x->dim[i], a->before[i], &d) ||
            __builtin_add_overflow(d, a->after[i], &d))
            return fr_fail(FR_INVALID, "pad of %s: %lld before and %lld after make no sense",
                           fr_shape_text(x, text), (long long)a->before[i], (long long)a->after[i]);
        c->out[0].dim[i] = d;
    }
    return fr_shape_check("pad", x->dtype, x->rank, c->out[0].dim);
}

/* The value in the bits of the type. */
static uint64_t value_bits(fr_dtype t, float value) {
    switch (t) {
    case FR_F32: return fr_f32_bits(value);
    case FR_BF16: return fr_f32_to_bf16(value);
    case FR_F16: return fr_f32_to_f16(value);
    case FR_I32: return (uint32_t)(int32_t)value;
    default: return 0;
    }
}

/* Fills a box of the output, given by its first index and its size. */
static void fill_box(const fr_call *c, const int64_t *from, const int64_t *dim, const void *value) {
    const fr_tensor *y = &c->out[0];
    fr_copy copy = {.rank = y->rank, .size = fr_value_bytes(y->dtype), .src = value};
    int64_t at = 0;
    for (int i = 0; i < y->rank; i++) {
        copy.dim[i] = dim[i];
        copy.dst_stride[i] = y->stride[i];
        at += from[i] * y->stride[i];
    }
    copy.dst = (char *)y->data + (size_t)at * copy.size;
    fr_copy_run(&copy, c->pool);
}

/* The border axis by axis: outside of axis i, all of the axes after it, the inside of those
 * before. */
static fr_status pad_run(const fr_call *c) {
    const pad_attr *a = c->attr;
    const fr_tensor *x = &c->in[0];
    fr_tensor inside = c->out[0];
    uint64_t bits = value_bits(x->dtype, a->value);
    uint32_t word = (uint32_t)bits;
    uint16_t half = (uint16_t)bits;
    uint64_t zero = 0;
    size_t size = fr_value_bytes(x->dtype);
    const void *value = size == 4 ? (void *)&word : size == 2 ? (void *)&half : (void *)&zero;
    int64_t from[FR_MAX_DIMS] = {0}, dim[FR_MAX_DIMS], at = 0;
    memcpy(dim, c->out[0].dim, sizeof dim);
    for (int i = 0; i < x->rank; i++) {
        dim[i] = a->before[i];
        fill_box(c, from, dim, value);
        from[i] = a->before[i] + x->dim[i];
        dim[i] = a->after[i];
        fill_box(c, from, dim, value);
        from[i] = a->before[i];
        dim[i] = x->dim[i];
        at += a->before[i] * c->out[0].stride[i];
    }
    inside.data = (char *)inside.data + (size_t)at * size;
    fr_copy_tensor(x, &inside, c->pool);
    return FR_OK;
}

static fr_status pad_grad(fr_grad *r) {
    const pad_attr *a = r->attr;
    const fr_tensor *x = fr_desc(r->g, r->in[0]);
    fr_val d = r->dout[0];
    for (int i = 0; i < x->rank; i++)
        if (a->before[i] || a->after[i]) d = fr_slice(r->g, d, i, a->before[i], x->dim[i]);
    r->din[0] = d;
    return FR_OK;
}

const fr_op fr_op_pad = {
    .name = "pad",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .strided = 1,
    .attr_bytes = sizeof(pad_attr),
    .fields = pad_fields,
    .shape = pad_shape,
    .run = pad_run,
    .grad = pad_grad,
    .cost = fr_cost_move,
};

fr_val fr_pad(fr_graph *g, fr_val x, const int64_t *before, const int64_t *after, float value) {
    pad_attr a = {.rank = fr_desc(g, x)->rank, .value = value};
    for (int i = 0; i < a.rank; i++) a.before[i] = before[i], a.after[i] = after[i];
    return fr_emit(g, &fr_op_pad, 1, &x, &a);
}
