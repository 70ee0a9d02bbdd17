/* resample.c: pixel shuffle and unshuffle (Shi et al. 2016, the order of PyTorch: a source channel
 * is (channel, row, column)), and nearest upsampling. All are one strided copy. */
#include "op/copy.h"
#include "op/op.h"

#include <string.h>

typedef struct factor_attr {
    int32_t y, x;
} factor_attr;

static const fr_attr_field factor_fields[] = {
    {"y", FR_ATTR_I32, offsetof(factor_attr, y), 0},
    {"x", FR_ATTR_I32, offsetof(factor_attr, x), 0},
    {0},
};

static fr_status check(const char *op, const fr_call *c) {
    const factor_attr *a = c->attr;
    char text[FR_SHAPE_TEXT];
    FR_TRY(fr_need_plain(op, &c->in[0]));
    if (c->in[0].rank != 4)
        return fr_fail(FR_INVALID, "%s: needs [n, height, width, channels], this is %s", op,
                       fr_shape_text(&c->in[0], text));
    if (a->y < 1 || a->x < 1 || a->y > 1 << 14 || a->x > 1 << 14)
        return fr_fail(FR_INVALID, "%s of %s: a factor of %d by %d makes no sense", op,
                       fr_shape_text(&c->in[0], text), a->y, a->x);
    return FR_OK;
}

static fr_status set_out(const char *op, const fr_call *c, int64_t h, int64_t w, int64_t ch) {
    fr_tensor *y = &c->out[0];
    y->dtype = c->in[0].dtype;
    y->rank = 4;
    y->dim[0] = c->in[0].dim[0];
    y->dim[1] = h;
    y->dim[2] = w;
    y->dim[3] = ch;
    return fr_shape_check(op, y->dtype, 4, y->dim);
}

static bool times(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

static fr_status too_large(const char *op, const fr_call *c) {
    char text[FR_SHAPE_TEXT];
    return fr_fail(FR_INVALID, "%s of %s: the result is too large", op,
                   fr_shape_text(&c->in[0], text));
}

/* Axes of a picture of blocks: n, y, row of the block, x, column of the block, channel; with the
 * strides that they have in a picture [h, w, c] of blocks ry by rx. */
static void block_axes(int64_t h, int64_t w, int64_t ch, int ry, int rx, int64_t *stride) {
    stride[5] = 1;
    stride[4] = ch;
    stride[3] = ch * rx;
    stride[2] = ch * rx * w;
    stride[1] = stride[2] * ry;
    stride[0] = stride[1] * h;
}

/* The strides of the same axes in [h, w, (channel, row, column)]. */
static void deep_axes(int64_t h, int64_t w, int64_t ch, int ry, int rx, int64_t *stride) {
    stride[5] = (int64_t)ry * rx;
    stride[4] = 1;
    stride[3] = ch * ry * rx;
    stride[2] = rx;
    stride[1] = stride[3] * w;
    stride[0] = stride[1] * h;
}

/* wide: the picture with blocks spread out, its block counts in h and w. */
static void copy_blocks(const fr_call *c, const fr_tensor *wide, bool to_wide, bool deep) {
    const factor_attr *a = c->attr;
    int64_t h = wide->dim[1] / a->y, w = wide->dim[2] / a->x, ch = wide->dim[3];
    int64_t near[6], far[6];
    fr_copy copy = {.rank = 6, .size = fr_value_bytes(wide->dtype)};
    block_axes(h, w, ch, a->y, a->x, near);
    if (deep) {
        deep_axes(h, w, ch, a->y, a->x, far);
    } else {
        /* Each source pixel is read for all of its block. */
        int64_t same[6] = {h * w * ch, w * ch, 0, ch, 0, 1};
        memcpy(far, same, sizeof far);
    }
    int64_t dim[6] = {wide->dim[0], h, a->y, w, a->x, ch};
    memcpy(copy.dim, dim, sizeof dim);
    memcpy(copy.dst_stride, to_wide ? near : far, sizeof near);
    memcpy(copy.src_stride, to_wide ? far : near, sizeof near);
    copy.src = c->in[0].data;
    copy.dst = c->out[0].data;
    fr_copy_run(&copy, c->pool);
}

/* ---- pixel shuffle ---- */

static fr_status shuffle_shape(const fr_call *c) {
    const factor_attr *a = c->attr;
    char text[FR_SHAPE_TEXT];
    int64_t h, w;
    FR_TRY(check("pixel_shuffle", c));
    int64_t area = (int64_t)a->y * a->x;
    if (c->in[0].dim[3] % area)
        return fr_fail(FR_INVALID, "pixel_shuffle of %s: the channels are no multiple of %lld",
                       fr_shape_text(&c->in[0], text), (long long)area);
    if (!times(c->in[0].dim[1], a->y, &h) || !times(c->in[0].dim[2], a->x, &w))
        return too_large("pixel_shuffle", c);
    return set_out("pixel_shuffle", c, h, w, c->in[0].dim[3] / area);
}

static fr_status shuffle_run(const fr_call *c) {
    copy_blocks(c, &c->out[0], true, true);
    return FR_OK;
}

static fr_status shuffle_grad(fr_grad *r) {
    r->din[0] = fr_emit(r->g, &fr_op_pixel_unshuffle, 1, r->dout, r->attr);
    return FR_OK;
}

const fr_op fr_op_pixel_shuffle = {
    .name = "pixel_shuffle",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .attr_bytes = sizeof(factor_attr),
    .fields = factor_fields,
    .shape = shuffle_shape,
    .run = shuffle_run,
    .grad = shuffle_grad,
    .cost = fr_cost_move,
};

fr_val fr_pixel_shuffle(fr_graph *g, fr_val x, int r) {
    factor_attr a = {r, r};
    return fr_emit(g, &fr_op_pixel_shuffle, 1, &x, &a);
}

/* ---- pixel unshuffle ---- */

static fr_status unshuffle_shape(const fr_call *c) {
    const factor_attr *a = c->attr;
    char text[FR_SHAPE_TEXT];
    int64_t ch;
    FR_TRY(check("pixel_unshuffle", c));
    if (c->in[0].dim[1] % a->y || c->in[0].dim[2] % a->x)
        return fr_fail(FR_INVALID, "pixel_unshuffle of %s: cannot be cut into blocks of %d by %d",
                       fr_shape_text(&c->in[0], text), a->y, a->x);
    if (!times(c->in[0].dim[3], (int64_t)a->y * a->x, &ch)) return too_large("pixel_unshuffle", c);
    return set_out("pixel_unshuffle", c, c->in[0].dim[1] / a->y, c->in[0].dim[2] / a->x, ch);
}

static fr_status unshuffle_run(const fr_call *c) {
    copy_blocks(c, &c->in[0], false, true);
    return FR_OK;
}

static fr_status unshuffle_grad(fr_grad *r) {
    r->din[0] = fr_emit(r->g, &fr_op_pixel_shuffle, 1, r->dout, r->attr);
    return FR_OK;
}

const fr_op fr_op_pixel_unshuffle = {
    .name = "pixel_unshuffle",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .attr_bytes = sizeof(factor_attr),
    .fields = factor_fields,
    .shape = unshuffle_shape,
    .run = unshuffle_run,
    .grad = unshuffle_grad,
    .cost = fr_cost_move,
};

fr_val fr_pixel_unshuffle(fr_graph *g, fr_val x, int r) {
    factor_attr a = {r, r};
    return fr_emit(g, &fr_op_pixel_unshuffle, 1, &x, &a);
}

/* ---- nearest upsampling ---- */

static fr_status upsample_shape(const fr_call *c) {
    const factor_attr *a = c->attr;
    int64_t h, w;
    FR_TRY(check("upsample_nearest", c));
    if (!times(c->in[0].dim[1], a->y, &h) || !times(c->in[0].dim[2], a->x, &w))
        return too_large("upsample_nearest", c);
    return set_out("upsample_nearest", c, h, w, c->in[0].dim[3]);
}

static fr_status upsample_run(const fr_call *c) {
    copy_blocks(c, &c->out[0], true, false);
    return FR_OK;
}

/* The sum over each block. */
static fr_status upsample_grad(fr_grad *r) {
    const factor_attr *a = r->attr;
    const fr_tensor *x = fr_desc(r->g, r->in[0]);
    int64_t h = x->dim[1], w = x->dim[2], ch = x->dim[3];
    int64_t rest = h * w * ch;
    fr_val d = fr_reshape(r->g, r->dout[0], 5,
                          (int64_t[]){rest > 0 ? -1 : x->dim[0] * h, a->y, w, a->x, ch});
    d = fr_reduce(r->g, d, FR_SUM, 1u << 1 | 1u << 3, false);
    r->din[0] = fr_reshape(r->g, d, 4, (int64_t[]){rest > 0 ? -1 : x->dim[0], h, w, ch});
    return FR_OK;
}

const fr_op fr_op_upsample_nearest = {
    .name = "upsample_nearest",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .attr_bytes = sizeof(factor_attr),
    .fields = factor_fields,
    .shape = upsample_shape,
    .run = upsample_run,
    .grad = upsample_grad,
    .cost = fr_cost_move,
};

fr_val fr_upsample_nearest(fr_graph *g, fr_val x, int ry, int rx) {
    factor_attr a = {ry, rx};
    return fr_emit(g, &fr_op_upsample_nearest, 1, &x, &a);
}
