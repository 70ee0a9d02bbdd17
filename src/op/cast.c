/* cast.c: from one number type to another. Real to 16 bits rounds to nearest even; real to integer
 * cuts towards zero and saturates, NaN becomes 0. */
#include "op/each.h"

#include <string.h>

typedef struct cast_attr {
    int32_t to; /* fr_dtype */
} cast_attr;

static bool is_integer(fr_dtype t) {
    return t == FR_I32 || t == FR_I64 || t == FR_I8 || t == FR_U8 || t == FR_BOOL;
}

static fr_status cast_shape(const fr_call *c) {
    int32_t to = ((const cast_attr *)c->attr)->to;
    fr_dtype from = c->in[0].dtype;
    if (to <= FR_NOTYPE || to >= FR_DTYPE_COUNT)
        return fr_fail(FR_INVALID, "There is no number type %d to cast to.", to);
    bool wide = fr_dtype_get(from)->block == 1 && fr_dtype_get((fr_dtype)to)->block == 1;
    if (!wide || to == FR_BOOL)
        return fr_fail(FR_UNSUPPORTED, "A cast from %s to %s is not possible.", fr_dtype_name(from),
                       fr_dtype_name((fr_dtype)to));
    fr_like(&c->out[0], &c->in[0]);
    c->out[0].dtype = (fr_dtype)to;
    return FR_OK;
}

static double clamped(double v, double lo, double hi) {
    return v != v ? 0 : v < lo ? lo : v > hi ? hi : v;
}

static void to_integer(fr_dtype t, const double *in, size_t n, void *out) {
    for (size_t i = 0; i < n; i++) {
        switch (t) {
        case FR_I32:
            ((int32_t *)out)[i] = (int32_t)clamped(in[i], -2147483648.0, 2147483647.0);
            break;
        case FR_I8: ((int8_t *)out)[i] = (int8_t)clamped(in[i], -128, 127); break;
        case FR_U8: ((uint8_t *)out)[i] = (uint8_t)clamped(in[i], 0, 255); break;
        default: /* the largest double below 2^63 */
            ((int64_t *)out)[i] = (int64_t)clamped(in[i], -0x1p63, 0x1.fffffffffffffp62);
        }
    }
}

/* Integers of 32 bits and more do not fit a float, so they pass through doubles. */
static void to_double(fr_dtype t, const void *in, size_t n, double *out) {
    float f[FR_BLOCK];
    if (t == FR_I32) {
        for (size_t i = 0; i < n; i++) out[i] = ((const int32_t *)in)[i];
    } else if (t == FR_I64) {
        for (size_t i = 0; i < n; i++) out[i] = (double)((const int64_t *)in)[i];
    } else {
        fr_decode(t, in, n, f);
        for (size_t i = 0; i < n; i++) out[i] = (double)f[i];
    }
}

static void cast_block(fr_dtype from, const void *in, fr_dtype to, void *out, size_t n) {
    double d[FR_BLOCK];
    float f[FR_BLOCK];
    if (from == to) {
        memcpy(out, in, n * (size_t)fr_dtype_get(from)->bytes);
    } else if (from == FR_I32 && to == FR_I64) {
        for (size_t i = 0; i < n; i++) ((int64_t *)out)[i] = ((const int32_t *)in)[i];
    } else if (is_integer(to)) {
        to_double(from, in, n, d);
        to_integer(to, d, n, out);
    } else if (from == FR_I64 || from == FR_I32) {
        to_double(from, in, n, d);
        for (size_t i = 0; i < n; i++) f[i] = (float)d[i];
        (void)fr_encode(to, f, n, out); /* cannot fail for a plain real type */
    } else {
        fr_decode(from, in, n, f);
        (void)fr_encode(to, f, n, out);
    }
}

static void cast_piece(void *arg, size_t start, size_t end) {
    const fr_call *c = arg;
    fr_dtype from = c->in[0].dtype, to = c->out[0].dtype;
    size_t a = (size_t)fr_dtype_get(from)->bytes, b = (size_t)fr_dtype_get(to)->bytes;
    for (; start < end; start += FR_BLOCK)
        cast_block(from, (const char *)c->in[0].data + start * a, to,
                   (char *)c->out[0].data + start * b, FR_MIN(end - start, (size_t)FR_BLOCK));
}

static void copy_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                      float *const *out) {
    (void)arg;
    (void)step;
    memcpy(out[0], in[0], n * sizeof(float));
}

static fr_status cast_run(const fr_call *c) {
    size_t total = (size_t)fr_values(&c->out[0]);
    if (fr_is_float(c->in[0].dtype) && fr_is_float(c->out[0].dtype))
        return fr_each_call(c, copy_each, NULL, 1);
    if (total) fr_pool_range(c->pool, total, FR_PIECE, cast_piece, (void *)(uintptr_t)c);
    return FR_OK;
}

static fr_status cast_grad(fr_grad *r) {
    if (r->need[0] && r->dout[0] != FR_NONE) r->din[0] = fr_as_type(r->g, r->dout[0], r->in[0]);
    return FR_OK;
}

static const fr_attr_field cast_fields[] = {
    {"to", FR_ATTR_DTYPE, offsetof(cast_attr, to), 0},
    {0},
};

const fr_op fr_op_cast = {
    .name = "cast",
    .nin_min = 1,
    .nin_max = 1,
    .nout = 1,
    .attr_bytes = sizeof(cast_attr),
    .fields = cast_fields,
    .shape = cast_shape,
    .run = cast_run,
    .grad = cast_grad,
};

fr_val fr_cast(fr_graph *g, fr_val x, fr_dtype t) {
    cast_attr attr = {(int32_t)t};
    return fr_emit(g, &fr_op_cast, 1, &x, &attr);
}
