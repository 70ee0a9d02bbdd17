/* pool.c: average and maximum over windows of a picture, channels last.
 *
 * Padding takes no part: the average divides by the pixels that are there, the maximum looks at
 * those alone, and the first in row order wins a tie. The gradient of the average gathers: each
 * pixel sums over the windows that cover it. That of the maximum finds the winners again, in bands
 * of rows, each of which is written by one thread in the order of the windows. */
#include "op/op.h"

#include <math.h>
#include <string.h>

typedef struct pool_attr {
    int32_t kernel, stride, pad;
    int32_t h, w; /* of the picture; avgpool_grad only */
} pool_attr;

static const fr_attr_field pool_fields[] = {
    {"kernel", FR_ATTR_I32, offsetof(pool_attr, kernel), 0},
    {"stride", FR_ATTR_I32, offsetof(pool_attr, stride), 0},
    {"pad", FR_ATTR_I32, offsetof(pool_attr, pad), 0},
    {"h", FR_ATTR_I32, offsetof(pool_attr, h), 0},
    {"w", FR_ATTR_I32, offsetof(pool_attr, w), 0},
    {0},
};

/* Channels that are summed at once on the stack. */
#define CHANNELS 512
/* A window has at most so many pixels. */
#define TAPS 1024

typedef struct pooling {
    const pool_attr *a;
    int64_t n, h, w, c, oh, ow; /* the picture and its windows */
    bool half, max;
    const void *x, *dy;
    void *out;
    int64_t chunk; /* rows of an item */
    float *bands;  /* maxpool_grad in bf16: sums of a band for each thread */
} pooling;

static int64_t windows(int64_t size, const pool_attr *a) {
    return (size + 2 * (int64_t)a->pad - a->kernel) / a->stride + 1;
}

static fr_status check(const char *op, const pool_attr *a, const fr_tensor *x, fr_tensor *y) {
    char text[FR_SHAPE_TEXT];
    fr_shape_text(x, text);
    if (x->rank != 4 || (x->dtype != FR_F32 && x->dtype != FR_BF16))
        return fr_fail(FR_INVALID,
                       "%s: needs [n, height, width, channels] in f32 or bf16, this is %s", op,
                       text);
    if (a->kernel < 1 || a->kernel > 32 || a->stride < 1 || a->pad < 0 || a->pad > a->kernel / 2)
        return fr_fail(FR_INVALID,
                       "%s: kernel %d, stride %d and padding %d make no sense together; a kernel "
                       "is at most 32, padding half of it",
                       op, a->kernel, a->stride, a->pad);
    for (int i = 1; i < 3; i++)
        if (x->dim[i] > INT32_MAX || x->dim[i] + 2 * (int64_t)a->pad < a->kernel)
            return fr_fail(FR_INVALID, "%s: a kernel of %d is larger than the padded %s", op,
                           a->kernel, text);
    *y = *x;
    y->data = NULL;
    y->dim[1] = windows(x->dim[1], a);
    y->dim[2] = windows(x->dim[2], a);
    return FR_OK;
}

static fr_status set_out(fr_tensor *out, const fr_tensor *y) {
    out->dtype = y->dtype;
    out->rank = y->rank;
    memcpy(out->dim, y->dim, sizeof y->dim);
    return fr_shape_check("pool", y->dtype, y->rank, y->dim);
}

static pooling pooling_of(const fr_call *c, const fr_tensor *picture, const fr_tensor *result) {
    return (pooling){.a = c->attr,
                     .n = picture->dim[0],
                     .h = picture->dim[1],
                     .w = picture->dim[2],
                     .c = picture->dim[3],
                     .oh = result->dim[1],
                     .ow = result->dim[2],
                     .half = picture->dtype == FR_BF16,
                     .out = c->out[0].data};
}

/* Pixels of window o along one axis. */
static void window(const pool_attr *a, int64_t o, int64_t size, int64_t *lo, int64_t *hi) {
    *lo = FR_MAX_OF(o * a->stride - a->pad, 0);
    *hi = FR_MIN(o * a->stride - a->pad + a->kernel, size);
}

/* Windows that cover pixel p along one axis. */
static void covering(const pool_attr *a, int64_t p, int64_t count, int64_t *lo, int64_t *hi) {
    int64_t first = p + a->pad - a->kernel + 1;
    *lo = first <= 0 ? 0 : (first + a->stride - 1) / a->stride;
    *hi = FR_MIN((p + a->pad) / a->stride + 1, count);
}

static const void *value_at(const pooling *p, const void *base, int64_t i) {
    return (const char *)base + (size_t)i * (p->half ? 2 : 4);
}

static void axpy(const pooling *p, float *acc, float scale, const void *x, int64_t count) {
    if (p->half)
        fr_kernel()->conv.axpy_bf16(acc, scale, x, (size_t)count);
    else
        fr_kernel()->conv.axpy_f32(acc, scale, x, (size_t)count);
}

static void store(const pooling *p, int64_t at, const float *acc, int64_t count) {
    if (p->half)
        fr_kernel()->convert.f32_to_bf16(acc, (size_t)count, (uint16_t *)p->out + at);
    else
        memcpy((float *)p->out + at, acc, (size_t)count * sizeof *acc);
}

/* fn for each row of results, in items of about 64 KB. */
static void over_rows(pooling *p, fr_pool *pool, int64_t rows, int64_t width,
                      fr_pool_range_fn *fn) {
    int64_t values = width * p->c;
    if (rows == 0 || values == 0) return;
    int64_t chunk = FR_MAX_OF(16384 / values, 1);
    fr_pool_range(rows <= chunk ? NULL : pool, (size_t)rows, (size_t)chunk, fn, p);
}

static void pool_cost(const fr_call *c, fr_cost *cost) {
    const pool_attr *a = c->attr;
    int64_t out = fr_values(&c->out[0]), in = fr_values(&c->in[0]);
    cost->ops = (double)FR_MIN(out, in) * a->kernel * a->kernel;
}

/* ---- average ---- */

static fr_status avgpool_shape(const fr_call *c) {
    fr_tensor y;
    FR_TRY(check("avgpool", c->attr, &c->in[0], &y));
    return set_out(&c->out[0], &y);
}

/* One window over `count` channels: the taps in groups that fit a list on the stack. */
static void pool_pixel(const pooling *p, int64_t row, int64_t ox, int64_t c0, int64_t count,
                       float *out) {
    const fr_conv_kernels *k = &fr_kernel()->conv;
    const void *tap[TAPS];
    int64_t y0, y1, x0, x1, n = row / p->oh;
    int taps = 0;
    window(p->a, row % p->oh, p->h, &y0, &y1);
    window(p->a, ox, p->w, &x0, &x1);
    for (int64_t y = y0; y < y1; y++)
        for (int64_t x = x0; x < x1; x++)
            tap[taps++] = value_at(p, p->x, ((n * p->h + y) * p->w + x) * p->c + c0);
    float scale = 1.0f / (float)FR_MAX_OF(taps, 1);
    if (p->max)
        (p->half ? k->pool_max_bf16 : k->pool_max_f32)(out, tap, taps, (size_t)count);
    else
        (p->half ? k->pool_avg_bf16 : k->pool_avg_f32)(out, tap, taps, scale, (size_t)count);
}

static void pool_rows(void *arg, size_t start, size_t end) {
    const pooling *p = arg;
    float sums[CHANNELS];
    for (int64_t row = (int64_t)start; row < (int64_t)end; row++)
        for (int64_t ox = 0; ox < p->ow; ox++) {
            int64_t at = (row * p->ow + ox) * p->c;
            if (!p->half) {
                pool_pixel(p, row, ox, 0, p->c, (float *)p->out + at);
                continue;
            }
            for (int64_t c0 = 0; c0 < p->c; c0 += CHANNELS) {
                int64_t count = FR_MIN(CHANNELS, p->c - c0);
                pool_pixel(p, row, ox, c0, count, sums);
                store(p, at + c0, sums, count);
            }
        }
}

static fr_status avgpool_run(const fr_call *c) {
    pooling p = pooling_of(c, &c->in[0], &c->out[0]);
    p.x = c->in[0].data;
    over_rows(&p, c->pool, p.n * p.oh, p.ow, pool_rows);
    return FR_OK;
}

static fr_status avgpool_grad(fr_grad *r) {
    pool_attr a = *(const pool_attr *)r->attr;
    const fr_tensor *x = fr_desc(r->g, r->in[0]);
    a.h = (int32_t)x->dim[1];
    a.w = (int32_t)x->dim[2];
    r->din[0] = fr_emit(r->g, &fr_op_avgpool_grad, 1, r->dout, &a);
    return FR_OK;
}

const fr_op fr_op_avgpool = {
    .name = "avgpool",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .attr_bytes = sizeof(pool_attr),
    .fields = pool_fields,
    .shape = avgpool_shape,
    .run = avgpool_run,
    .grad = avgpool_grad,
    .cost = pool_cost,
};

fr_val fr_avgpool(fr_graph *g, fr_val x, int kernel, int stride, int pad) {
    pool_attr a = {.kernel = kernel, .stride = stride, .pad = pad};
    return fr_emit(g, &fr_op_avgpool, 1, &x, &a);
}

/* dy -> dx */
static fr_status avgpool_grad_shape(const fr_call *c) {
    const pool_attr *a = c->attr;
    const fr_tensor *dy = &c->in[0];
    fr_tensor x = *dy, y;
    char text[FR_SHAPE_TEXT];
    if (x.rank == 4) x.dim[1] = a->h, x.dim[2] = a->w;
    FR_TRY(check("avgpool_grad", a, &x, &y));
    if (!fr_same_shape(&y, dy))
        return fr_fail(FR_INVALID, "avgpool_grad: %s is not the pooling of %d by %d",
                       fr_shape_text(dy, text), a->h, a->w);
    return set_out(&c->out[0], &x);
}

static void average_grad_pixel(const pooling *p, int64_t n, int64_t y, int64_t x, int64_t c0,
                               int64_t count, float *acc) {
    int64_t oy0, oy1, ox0, ox1, a, b, d, e;
    covering(p->a, y, p->oh, &oy0, &oy1);
    covering(p->a, x, p->ow, &ox0, &ox1);
    memset(acc, 0, (size_t)count * sizeof *acc);
    for (int64_t oy = oy0; oy < oy1; oy++)
        for (int64_t ox = ox0; ox < ox1; ox++) {
            window(p->a, oy, p->h, &a, &b);
            window(p->a, ox, p->w, &d, &e);
            axpy(p, acc, 1.0f / (float)((b - a) * (e - d)),
                 value_at(p, p->dy, ((n * p->oh + oy) * p->ow + ox) * p->c + c0), count);
        }
}

static void average_grad_rows(void *arg, size_t start, size_t end) {
    const pooling *p = arg;
    float acc[CHANNELS];
    for (int64_t row = (int64_t)start; row < (int64_t)end; row++)
        for (int64_t x = 0; x < p->w; x++)
            for (int64_t c0 = 0; c0 < p->c; c0 += CHANNELS) {
                int64_t count = FR_MIN(CHANNELS, p->c - c0);
                average_grad_pixel(p, row / p->h, row % p->h, x, c0, count, acc);
                store(p, (row * p->w + x) * p->c + c0, acc, count);
            }
}

static fr_status avgpool_grad_run(const fr_call *c) {
    pooling p = pooling_of(c, &c->out[0], &c->in[0]);
    p.dy = c->in[0].data;
    over_rows(&p, c->pool, p.n * p.h, p.w, average_grad_rows);
    return FR_OK;
}

/* Linear, so its gradient is the pooling itself. */
static fr_status avgpool_grad_grad(fr_grad *r) {
    const pool_attr *a = r->attr;
    r->din[0] = fr_avgpool(r->g, r->dout[0], a->kernel, a->stride, a->pad);
    return FR_OK;
}

const fr_op fr_op_avgpool_grad = {
    .name = "avgpool_grad",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .attr_bytes = sizeof(pool_attr),
    .fields = pool_fields,
    .shape = avgpool_grad_shape,
    .run = avgpool_grad_run,
    .grad = avgpool_grad_grad,
    .cost = pool_cost,
};

/* ---- maximum ---- */

static fr_status maxpool_shape(const fr_call *c) {
    fr_tensor y;
    FR_TRY(check("maxpool", c->attr, &c->in[0], &y));
    return set_out(&c->out[0], &y);
}

/* The largest value and the tap that holds it, for `count` channels. */
static void winners(const pooling *p, int64_t n, int64_t oy, int64_t ox, int64_t c0, int64_t count,
                    float *best, int32_t *which) {
    int64_t y0, y1, x0, x1;
    window(p->a, oy, p->h, &y0, &y1);
    window(p->a, ox, p->w, &x0, &x1);
    for (int64_t i = 0; i < count; i++) best[i] = -INFINITY, which[i] = 0;
    for (int64_t y = y0; y < y1; y++)
        for (int64_t x = x0; x < x1; x++) {
            int32_t tap = (int32_t)((y - y0) * (x1 - x0) + x - x0);
            const void *v = value_at(p, p->x, ((n * p->h + y) * p->w + x) * p->c + c0);
            if (p->half)
                fr_kernel()->conv.max_bf16(best, which, tap, v, (size_t)count);
            else
                fr_kernel()->conv.max_f32(best, which, tap, v, (size_t)count);
        }
}

static fr_status maxpool_run(const fr_call *c) {
    pooling p = pooling_of(c, &c->in[0], &c->out[0]);
    p.x = c->in[0].data;
    p.max = true;
    over_rows(&p, c->pool, p.n * p.oh, p.ow, pool_rows);
    return FR_OK;
}

static fr_status maxpool_grad(fr_grad *r) {
    fr_val in[2] = {r->in[0], r->dout[0]};
    r->din[0] = fr_emit(r->g, &fr_op_maxpool_grad, 2, in, r->attr);
    return FR_OK;
}

const fr_op fr_op_maxpool = {
    .name = "maxpool",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .attr_bytes = sizeof(pool_attr),
    .fields = pool_fields,
    .shape = maxpool_shape,
    .run = maxpool_run,
    .grad = maxpool_grad,
    .cost = pool_cost,
};

fr_val fr_maxpool(fr_graph *g, fr_val x, int kernel, int stride, int pad) {
    pool_attr a = {.kernel = kernel, .stride = stride, .pad = pad};
    return fr_emit(g, &fr_op_maxpool, 1, &x, &a);
}

/* x, dy -> dx */
static fr_status maxpool_grad_shape(const fr_call *c) {
    fr_tensor y;
    char text[FR_SHAPE_TEXT];
    FR_TRY(check("maxpool_grad", c->attr, &c->in[0], &y));
    if (!fr_same_shape(&y, &c->in[1]) || c->in[1].dtype != y.dtype)
        return fr_fail(FR_INVALID, "maxpool_grad: %s is not the gradient of a pooling of x",
                       fr_shape_text(&c->in[1], text));
    return set_out(&c->out[0], &c->in[0]);
}

/* Rows of a band; windows that straddle two bands are looked at twice. */
static int64_t band_rows(int64_t h, int64_t w, int64_t c) {
    return FR_MIN(FR_MAX_OF(16384 / FR_MAX_OF(w * c, 1), 8), FR_MAX_OF(h, 1));
}

static size_t band_bytes(const fr_tensor *x) {
    int64_t rows = band_rows(x->dim[1], x->dim[2], x->dim[3]);
    return fr_round_up((size_t)(rows * x->dim[2] * x->dim[3]) * sizeof(float), FR_ALIGN);
}

static size_t maxpool_grad_scratch(const fr_call *c) {
    if (c->in[0].dtype != FR_BF16) return 0;
    return band_bytes(&c->in[0]) * (size_t)fr_pool_threads(c->pool);
}

/* Adds the gradient of one window to those of its winners that lie in rows from .. to-1; sums[0]
 * is row `from`. */
static void spread(const pooling *p, int64_t n, int64_t oy, int64_t ox, int64_t from, int64_t to,
                   float *sums) {
    float best[CHANNELS], wide[CHANNELS];
    int32_t which[CHANNELS];
    int64_t y0, y1, x0, x1;
    window(p->a, oy, p->h, &y0, &y1);
    window(p->a, ox, p->w, &x0, &x1);
    for (int64_t c0 = 0; c0 < p->c; c0 += CHANNELS) {
        int64_t count = FR_MIN(CHANNELS, p->c - c0);
        const void *dy = value_at(p, p->dy, ((n * p->oh + oy) * p->ow + ox) * p->c + c0);
        if (p->half) fr_kernel()->convert.bf16_to_f32(dy, (size_t)count, wide);
        winners(p, n, oy, ox, c0, count, best, which);
        for (int64_t y = FR_MAX_OF(y0, from); y < FR_MIN(y1, to); y++)
            for (int64_t x = x0; x < x1; x++)
                fr_kernel()->conv.add_where(sums + ((y - from) * p->w + x) * p->c + c0, which,
                                            (int32_t)((y - y0) * (x1 - x0) + x - x0),
                                            p->half ? wide : dy, (size_t)count);
    }
}

static void max_grad_band(void *arg, size_t thread, size_t item) {
    const pooling *p = arg;
    int64_t bands = (p->h + p->chunk - 1) / p->chunk, n = (int64_t)item / bands;
    int64_t from = (int64_t)item % bands * p->chunk, to = FR_MIN(from + p->chunk, p->h);
    int64_t at = (n * p->h + from) * p->w * p->c, count = (to - from) * p->w * p->c;
    int64_t step = p->chunk * p->w * p->c;
    float *sums = (float *)p->out + at;
    if (p->half) sums = p->bands + (int64_t)thread * (int64_t)fr_round_up((size_t)step, 16);
    int64_t lo, hi, skip;
    covering(p->a, from, p->oh, &lo, &skip);
    covering(p->a, to - 1, p->oh, &skip, &hi);
    memset(sums, 0, (size_t)count * sizeof *sums);
    for (int64_t oy = lo; oy < hi; oy++)
        for (int64_t ox = 0; ox < p->ow; ox++) spread(p, n, oy, ox, from, to, sums);
    if (p->half) store(p, at, sums, count);
}

static fr_status maxpool_grad_run(const fr_call *c) {
    pooling p = pooling_of(c, &c->in[0], &c->in[1]);
    p.x = c->in[0].data;
    p.dy = c->in[1].data;
    p.bands = c->scratch;
    p.chunk = band_rows(p.h, p.w, p.c);
    size_t items = (size_t)(p.n * ((p.h + p.chunk - 1) / p.chunk));
    if (fr_values(&c->out[0]) > 0) fr_pool_run_thread(c->pool, items, max_grad_band, &p);
    return FR_OK;
}

const fr_op fr_op_maxpool_grad = {
    .name = "maxpool_grad",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .flags = FR_OP_NO_GRAD,
    .attr_bytes = sizeof(pool_attr),
    .fields = pool_fields,
    .shape = maxpool_grad_shape,
    .scratch = maxpool_grad_scratch,
    .run = maxpool_grad_run,
    .cost = pool_cost,
};
