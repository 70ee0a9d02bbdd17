/* shape.c: reshape, permute, slice: the same values under another shape. All three are views where
 * the strides allow it; run() is the copy for when they do not. */
#include "op/copy.h"
#include "op/op.h"

#include <string.h>

/* ---- reshape ---- */

typedef struct reshape_attr {
    int32_t rank;
    int64_t dim[FR_MAX_DIMS];
} reshape_attr;

static const fr_attr_field reshape_fields[] = {
    {"rank", FR_ATTR_I32, offsetof(reshape_attr, rank), 0},
    {"dim", FR_ATTR_I64, offsetof(reshape_attr, dim), FR_MAX_DIMS},
    {0},
};

static fr_status reshape_shape(const fr_call *c) {
    const reshape_attr *a = c->attr;
    const fr_tensor *x = &c->in[0];
    fr_tensor *y = &c->out[0];
    char from[FR_SHAPE_TEXT], to[FR_SHAPE_TEXT];
    int64_t known = 1;
    int open = -1;
    FR_TRY(fr_need_plain("reshape", x));
    if (a->rank < 0 || a->rank > FR_MAX_DIMS)
        return fr_fail(FR_INVALID, "reshape: rank %d is not between 0 and %d", a->rank,
                       FR_MAX_DIMS);
    y->dtype = x->dtype;
    y->rank = a->rank;
    for (int i = 0; i < a->rank; i++) {
        int64_t d = a->dim[i];
        if (d == 0) {
            if (i >= x->rank)
                return fr_fail(FR_INVALID,
                               "reshape of %s: axis %d is to be copied and is not there",
                               fr_shape_text(x, from), i);
            d = x->dim[i];
        }
        if (d == -1 && open >= 0)
            return fr_fail(FR_INVALID, "reshape of %s: axes %d and %d are both -1, one can be",
                           fr_shape_text(x, from), open, i);
        if (d < -1)
            return fr_fail(FR_INVALID, "reshape of %s: %lld is not a dimension",
                           fr_shape_text(x, from), (long long)d);
        if (d == -1) {
            open = i;
            d = 1;
        }
        y->dim[i] = d;
        if (__builtin_mul_overflow(known, d, &known))
            return fr_fail(FR_INVALID, "reshape of %s: the new shape is too large",
                           fr_shape_text(x, from));
    }
    int64_t values = fr_values(x);
    if (open >= 0 && known > 0 && values % known == 0) {
        y->dim[open] = values / known;
        known = values;
    } else if (open >= 0 && known == 0 && values == 0) {
        y->dim[open] = 0;
    }
    if (known != values)
        return fr_fail(FR_INVALID, "reshape of %s to %s: the number of values differs",
                       fr_shape_text(x, from), fr_shape_text(y, to));
    return FR_OK;
}

static bool reshape_view(const fr_call *c, fr_tensor *out, int64_t *offset) {
    fr_tensor v;
    *offset = 0;
    if (fr_view_reshape(&c->in[0], out->rank, out->dim, &v) != FR_OK) return false;
    memcpy(out->stride, v.stride, sizeof v.stride);
    return true;
}

static fr_status reshape_run(const fr_call *c) {
    fr_tensor dst = c->in[0];
    dst.data = c->out[0].data;
    fr_set_contiguous(&dst);
    fr_copy_tensor(&c->in[0], &dst, c->pool);
    return FR_OK;
}

static fr_status reshape_grad(fr_grad *r) {
    const fr_tensor *x = fr_desc(r->g, r->in[0]);
    int64_t dim[FR_MAX_DIMS], rest = 1;
    for (int i = 0; i < x->rank; i++) {
        dim[i] = x->dim[i];
        if (i) rest *= dim[i];
    }
    /* The leading axis may be another one at run time. */
    if (x->rank > 0 && rest > 0) dim[0] = -1;
    r->din[0] = fr_reshape(r->g, r->dout[0], x->rank, dim);
    return FR_OK;
}

const fr_op fr_op_reshape = {
    .name = "reshape",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .flags = FR_OP_VIEW,
    .strided = 1,
    .attr_bytes = sizeof(reshape_attr),
    .fields = reshape_fields,
    .shape = reshape_shape,
    .view = reshape_view,
    .run = reshape_run,
    .grad = reshape_grad,
    .cost = fr_cost_move,
};

fr_val fr_reshape(fr_graph *g, fr_val x, int rank, const int64_t *dim) {
    reshape_attr a = {.rank = rank};
    /* Nothing is read for a rank that the shape rule refuses. */
    for (int i = 0; rank <= FR_MAX_DIMS && i < rank; i++) a.dim[i] = dim[i];
    return fr_emit(g, &fr_op_reshape, 1, &x, &a);
}

/* ---- permute ---- */

typedef struct permute_attr {
    int32_t rank;
    int32_t perm[FR_MAX_DIMS]; /* axis i of the result is axis perm[i] of x */
} permute_attr;

static const fr_attr_field permute_fields[] = {
    {"rank", FR_ATTR_I32, offsetof(permute_attr, rank), 0},
    {"perm", FR_ATTR_I32, offsetof(permute_attr, perm), FR_MAX_DIMS},
    {0},
};

static fr_status permute_shape(const fr_call *c) {
    const permute_attr *a = c->attr;
    const fr_tensor *x = &c->in[0];
    char text[FR_SHAPE_TEXT];
    unsigned seen = 0;
    FR_TRY(fr_need_plain("permute", x));
    if (a->rank != x->rank)
        return fr_fail(FR_INVALID, "permute of %s: %d axes are named", fr_shape_text(x, text),
                       a->rank);
    for (int i = 0; i < x->rank; i++) {
        int p = a->perm[i];
        if (p < 0 || p >= x->rank || (seen & 1u << p))
            return fr_fail(
                FR_INVALID,
                "permute of %s: axis %d stands twice or is not there, each must stand once",
                fr_shape_text(x, text), p);
        seen |= 1u << p;
        c->out[0].dim[i] = x->dim[p];
    }
    c->out[0].dtype = x->dtype;
    c->out[0].rank = x->rank;
    return FR_OK;
}

/* x seen with its axes in the new order. */
static fr_tensor permuted(const fr_call *c) {
    const permute_attr *a = c->attr;
    fr_tensor v = c->in[0];
    for (int i = 0; i < v.rank; i++) {
        v.dim[i] = c->in[0].dim[a->perm[i]];
        v.stride[i] = c->in[0].stride[a->perm[i]];
    }
    return v;
}

/* A view whose last axis is not contiguous serves nobody: it is copied once, in cache-sized
 * blocks. */
static bool permute_view(const fr_call *c, fr_tensor *out, int64_t *offset) {
    fr_tensor v = permuted(c);
    *offset = 0;
    if (v.rank > 0 && v.dim[v.rank - 1] != 1 && v.stride[v.rank - 1] != 1) return false;
    memcpy(out->stride, v.stride, sizeof v.stride);
    if (v.rank > 0) out->stride[v.rank - 1] = 1;
    return true;
}

static fr_status permute_run(const fr_call *c) {
    fr_tensor v = permuted(c);
    fr_copy_tensor(&v, &c->out[0], c->pool);
    return FR_OK;
}

static fr_status permute_grad(fr_grad *r) {
    const permute_attr *a = r->attr;
    int inverse[FR_MAX_DIMS] = {0};
    for (int i = 0; i < a->rank; i++) inverse[a->perm[i]] = i;
    r->din[0] = fr_permute(r->g, r->dout[0], inverse);
    return FR_OK;
}

const fr_op fr_op_permute = {
    .name = "permute",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .flags = FR_OP_VIEW,
    .strided = 1,
    .attr_bytes = sizeof(permute_attr),
    .fields = permute_fields,
    .shape = permute_shape,
    .view = permute_view,
    .run = permute_run,
    .grad = permute_grad,
    .cost = fr_cost_move,
};

fr_val fr_permute(fr_graph *g, fr_val x, const int *perm) {
    permute_attr a = {.rank = fr_desc(g, x)->rank};
    for (int i = 0; i < a.rank; i++) a.perm[i] = perm[i];
    return fr_emit(g, &fr_op_permute, 1, &x, &a);
}

/* ---- slice ---- */

typedef struct slice_attr {
    int32_t axis;
    int64_t start, count; /* as given; negative start counts from the end, count -1 is the rest */
} slice_attr;

static const fr_attr_field slice_fields[] = {
    {"axis", FR_ATTR_I32, offsetof(slice_attr, axis), 0},
    {"start", FR_ATTR_I64, offsetof(slice_attr, start), 0},
    {"count", FR_ATTR_I64, offsetof(slice_attr, count), 0},
    {0},
};

/* Where the slice lies in x. */
static fr_status slice_range(const fr_tensor *x, const slice_attr *a, int *axis, int64_t *start,
                             int64_t *count) {
    char text[FR_SHAPE_TEXT];
    FR_TRY(fr_need_axis("slice", x, a->axis, axis));
    int64_t n = x->dim[*axis];
    *start = a->start < 0 ? a->start + n : a->start;
    bool inside = *start >= 0 && *start <= n;
    *count = a->count == -1 && inside ? n - *start : a->count;
    if (!inside || *count < 0 || *count > n - *start)
        return fr_fail(FR_INVALID, "slice of %s: %lld values from %lld on do not lie in axis %d",
                       fr_shape_text(x, text), (long long)a->count, (long long)a->start, *axis);
    return FR_OK;
}

static fr_status slice_shape(const fr_call *c) {
    int axis;
    int64_t start, count;
    FR_TRY(fr_need_plain("slice", &c->in[0]));
    FR_TRY(slice_range(&c->in[0], c->attr, &axis, &start, &count));
    c->out[0].dtype = c->in[0].dtype;
    c->out[0].rank = c->in[0].rank;
    memcpy(c->out[0].dim, c->in[0].dim, sizeof c->in[0].dim);
    c->out[0].dim[axis] = count;
    return FR_OK;
}

static bool slice_view(const fr_call *c, fr_tensor *out, int64_t *offset) {
    int axis;
    int64_t start, count;
    if (slice_range(&c->in[0], c->attr, &axis, &start, &count) != FR_OK) return false;
    memcpy(out->stride, c->in[0].stride, sizeof out->stride);
    *offset = start * c->in[0].stride[axis];
    return true;
}

static fr_status slice_run(const fr_call *c) {
    fr_tensor v = c->in[0];
    int axis;
    int64_t start, count;
    FR_TRY(slice_range(&v, c->attr, &axis, &start, &count));
    v.data = (char *)v.data + (size_t)(start * v.stride[axis]) * fr_value_bytes(v.dtype);
    v.dim[axis] = count;
    fr_copy_tensor(&v, &c->out[0], c->pool);
    return FR_OK;
}

static fr_status slice_grad(fr_grad *r) {
    const fr_tensor *x = fr_desc(r->g, r->in[0]);
    int64_t before[FR_MAX_DIMS] = {0}, after[FR_MAX_DIMS] = {0}, start, count;
    int axis;
    FR_TRY(slice_range(x, r->attr, &axis, &start, &count));
    before[axis] = start;
    after[axis] = x->dim[axis] - start - count;
    r->din[0] = fr_pad(r->g, r->dout[0], before, after, 0);
    return FR_OK;
}

const fr_op fr_op_slice = {
    .name = "slice",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .flags = FR_OP_VIEW,
    .strided = 1,
    .attr_bytes = sizeof(slice_attr),
    .fields = slice_fields,
    .shape = slice_shape,
    .view = slice_view,
    .run = slice_run,
    .grad = slice_grad,
    .cost = fr_cost_move,
};

fr_val fr_slice(fr_graph *g, fr_val x, int axis, int64_t start, int64_t count) {
    slice_attr a = {.axis = axis, .start = start, .count = count};
    return fr_emit(g, &fr_op_slice, 1, &x, &a);
}

void fr_split(fr_graph *g, fr_val x, int axis, int parts, fr_val *out) {
    const fr_tensor *t = fr_desc(g, x);
    char text[FR_SHAPE_TEXT];
    int at = 0;
    int64_t each = 0;
    fr_status st = parts < 1 ? fr_fail(FR_INVALID, "split: %d parts make no sense", parts) : FR_OK;
    if (st == FR_OK && x != FR_NONE) st = fr_need_axis("split", t, axis, &at);
    if (st == FR_OK && x != FR_NONE && t->dim[at] % parts)
        st = fr_fail(FR_INVALID, "split of %s: axis %d cannot be cut into %d equal parts",
                     fr_shape_text(t, text), at, parts);
    if (st != FR_OK)
        fr_emit_fail(g, st);
    else if (x != FR_NONE)
        each = t->dim[at] / parts;
    for (int i = 0; i < parts; i++)
        out[i] = st == FR_OK ? fr_slice(g, x, at, i * each, each) : FR_NONE;
}
