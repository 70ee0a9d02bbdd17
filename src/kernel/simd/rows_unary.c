/* rows_unary.c: functions of one value, their gradients, and gated units, over vec.h. */
#include "kernel/simd/rows_fn.h"

#include "kernel/rows_list.h"

FR_INLINE void unary_loop(fr_fn fn, const float *x, size_t n, float *y) {
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore(y + i, rows_fn_value(fn, vload(x + i)));
    if (i < n) vstore_n(y + i, rows_fn_value(fn, vload_n(x + i, n - i)), n - i);
}

void FR_NAME(rows_unary)(fr_fn fn, const float *x, size_t n, float *y) {
    switch (fn) {
    case FR_FN_RELU: unary_loop(FR_FN_RELU, x, n, y); break;
    case FR_FN_RELU6: unary_loop(FR_FN_RELU6, x, n, y); break;
    case FR_FN_SILU: unary_loop(FR_FN_SILU, x, n, y); break;
    case FR_FN_GELU: unary_loop(FR_FN_GELU, x, n, y); break;
    case FR_FN_GELU_TANH: unary_loop(FR_FN_GELU_TANH, x, n, y); break;
    case FR_FN_SIGMOID: unary_loop(FR_FN_SIGMOID, x, n, y); break;
    case FR_FN_TANH: unary_loop(FR_FN_TANH, x, n, y); break;
    case FR_FN_HSWISH: unary_loop(FR_FN_HSWISH, x, n, y); break;
    case FR_FN_EXP: unary_loop(FR_FN_EXP, x, n, y); break;
    case FR_FN_LOG: unary_loop(FR_FN_LOG, x, n, y); break;
    case FR_FN_SQRT: unary_loop(FR_FN_SQRT, x, n, y); break;
    case FR_FN_RSQRT: unary_loop(FR_FN_RSQRT, x, n, y); break;
    case FR_FN_SQUARE: unary_loop(FR_FN_SQUARE, x, n, y); break;
    case FR_FN_ABS: unary_loop(FR_FN_ABS, x, n, y); break;
    case FR_FN_NEG: unary_loop(FR_FN_NEG, x, n, y); break;
    case FR_FN_RECIP: unary_loop(FR_FN_RECIP, x, n, y); break;
    case FR_FN_SIN: unary_loop(FR_FN_SIN, x, n, y); break;
    case FR_FN_COS: unary_loop(FR_FN_COS, x, n, y); break;
    default: unary_loop(FR_FN_NONE, x, n, y); break;
    }
}

FR_INLINE void unary_grad_loop(fr_fn fn, const float *x, const float *dy, size_t n, float *dx) {
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN)
        vstore(dx + i, vmul(vload(dy + i), rows_fn_slope(fn, vload(x + i))));
    if (i < n) {
        vf32 d = vmul(vload_n(dy + i, n - i), rows_fn_slope(fn, vload_n(x + i, n - i)));
        vstore_n(dx + i, d, n - i);
    }
}

void FR_NAME(rows_unary_grad)(fr_fn fn, const float *x, const float *dy, size_t n, float *dx) {
    switch (fn) {
    case FR_FN_RELU: unary_grad_loop(FR_FN_RELU, x, dy, n, dx); break;
    case FR_FN_RELU6: unary_grad_loop(FR_FN_RELU6, x, dy, n, dx); break;
    case FR_FN_SILU: unary_grad_loop(FR_FN_SILU, x, dy, n, dx); break;
    case FR_FN_GELU: unary_grad_loop(FR_FN_GELU, x, dy, n, dx); break;
    case FR_FN_GELU_TANH: unary_grad_loop(FR_FN_GELU_TANH, x, dy, n, dx); break;
    case FR_FN_SIGMOID: unary_grad_loop(FR_FN_SIGMOID, x, dy, n, dx); break;
    case FR_FN_TANH: unary_grad_loop(FR_FN_TANH, x, dy, n, dx); break;
    case FR_FN_HSWISH: unary_grad_loop(FR_FN_HSWISH, x, dy, n, dx); break;
    case FR_FN_EXP: unary_grad_loop(FR_FN_EXP, x, dy, n, dx); break;
    case FR_FN_LOG: unary_grad_loop(FR_FN_LOG, x, dy, n, dx); break;
    case FR_FN_SQRT: unary_grad_loop(FR_FN_SQRT, x, dy, n, dx); break;
    case FR_FN_RSQRT: unary_grad_loop(FR_FN_RSQRT, x, dy, n, dx); break;
    case FR_FN_SQUARE: unary_grad_loop(FR_FN_SQUARE, x, dy, n, dx); break;
    case FR_FN_ABS: unary_grad_loop(FR_FN_ABS, x, dy, n, dx); break;
    case FR_FN_NEG: unary_grad_loop(FR_FN_NEG, x, dy, n, dx); break;
    case FR_FN_RECIP: unary_grad_loop(FR_FN_RECIP, x, dy, n, dx); break;
    case FR_FN_SIN: unary_grad_loop(FR_FN_SIN, x, dy, n, dx); break;
    case FR_FN_COS: unary_grad_loop(FR_FN_COS, x, dy, n, dx); break;
    default: unary_grad_loop(FR_FN_NONE, x, dy, n, dx); break;
    }
}

FR_INLINE void glu_loop(fr_fn fn, const float *gate, const float *up, size_t n, float *y) {
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN)
        vstore(y + i, vmul(rows_fn_value(fn, vload(gate + i)), vload(up + i)));
    if (i < n) {
        vf32 a = rows_fn_value(fn, vload_n(gate + i, n - i));
        vstore_n(y + i, vmul(a, vload_n(up + i, n - i)), n - i);
    }
}

void FR_NAME(rows_glu)(fr_fn fn, const float *gate, const float *up, size_t n, float *y) {
    switch (fn) {
    case FR_FN_RELU: glu_loop(FR_FN_RELU, gate, up, n, y); break;
    case FR_FN_RELU6: glu_loop(FR_FN_RELU6, gate, up, n, y); break;
    case FR_FN_SILU: glu_loop(FR_FN_SILU, gate, up, n, y); break;
    case FR_FN_GELU: glu_loop(FR_FN_GELU, gate, up, n, y); break;
    case FR_FN_GELU_TANH: glu_loop(FR_FN_GELU_TANH, gate, up, n, y); break;
    case FR_FN_SIGMOID: glu_loop(FR_FN_SIGMOID, gate, up, n, y); break;
    case FR_FN_TANH: glu_loop(FR_FN_TANH, gate, up, n, y); break;
    case FR_FN_HSWISH: glu_loop(FR_FN_HSWISH, gate, up, n, y); break;
    case FR_FN_EXP: glu_loop(FR_FN_EXP, gate, up, n, y); break;
    case FR_FN_LOG: glu_loop(FR_FN_LOG, gate, up, n, y); break;
    case FR_FN_SQRT: glu_loop(FR_FN_SQRT, gate, up, n, y); break;
    case FR_FN_RSQRT: glu_loop(FR_FN_RSQRT, gate, up, n, y); break;
    case FR_FN_SQUARE: glu_loop(FR_FN_SQUARE, gate, up, n, y); break;
    case FR_FN_ABS: glu_loop(FR_FN_ABS, gate, up, n, y); break;
    case FR_FN_NEG: glu_loop(FR_FN_NEG, gate, up, n, y); break;
    case FR_FN_RECIP: glu_loop(FR_FN_RECIP, gate, up, n, y); break;
    case FR_FN_SIN: glu_loop(FR_FN_SIN, gate, up, n, y); break;
    case FR_FN_COS: glu_loop(FR_FN_COS, gate, up, n, y); break;
    default: glu_loop(FR_FN_NONE, gate, up, n, y); break;
    }
}

FR_INLINE void glu_grad_loop(fr_fn fn, const float *gate, const float *up, const float *dy,
                             size_t n, float *dgate, float *dup) {
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) {
        vf32 g = vload(gate + i), u = vload(up + i), d = vload(dy + i);
        vstore(dgate + i, vmul(vmul(d, u), rows_fn_slope(fn, g)));
        vstore(dup + i, vmul(d, rows_fn_value(fn, g)));
    }
    if (i == n) return;
    size_t t = n - i;
    vf32 g = vload_n(gate + i, t), u = vload_n(up + i, t), d = vload_n(dy + i, t);
    vstore_n(dgate + i, vmul(vmul(d, u), rows_fn_slope(fn, g)), t);
    vstore_n(dup + i, vmul(d, rows_fn_value(fn, g)), t);
}

void FR_NAME(rows_glu_grad)(fr_fn fn, const float *gate, const float *up, const float *dy, size_t n,
                            float *dgate, float *dup) {
    switch (fn) {
    case FR_FN_RELU: glu_grad_loop(FR_FN_RELU, gate, up, dy, n, dgate, dup); break;
    case FR_FN_RELU6: glu_grad_loop(FR_FN_RELU6, gate, up, dy, n, dgate, dup); break;
    case FR_FN_SILU: glu_grad_loop(FR_FN_SILU, gate, up, dy, n, dgate, dup); break;
    case FR_FN_GELU: glu_grad_loop(FR_FN_GELU, gate, up, dy, n, dgate, dup); break;
    case FR_FN_GELU_TANH: glu_grad_loop(FR_FN_GELU_TANH, gate, up, dy, n, dgate, dup); break;
    case FR_FN_SIGMOID: glu_grad_loop(FR_FN_SIGMOID, gate, up, dy, n, dgate, dup); break;
    case FR_FN_TANH: glu_grad_loop(FR_FN_TANH, gate, up, dy, n, dgate, dup); break;
    case FR_FN_HSWISH: glu_grad_loop(FR_FN_HSWISH, gate, up, dy, n, dgate, dup); break;
    case FR_FN_EXP: glu_grad_loop(FR_FN_EXP, gate, up, dy, n, dgate, dup); break;
    case FR_FN_LOG: glu_grad_loop(FR_FN_LOG, gate, up, dy, n, dgate, dup); break;
    case FR_FN_SQRT: glu_grad_loop(FR_FN_SQRT, gate, up, dy, n, dgate, dup); break;
    case FR_FN_RSQRT: glu_grad_loop(FR_FN_RSQRT, gate, up, dy, n, dgate, dup); break;
    case FR_FN_SQUARE: glu_grad_loop(FR_FN_SQUARE, gate, up, dy, n, dgate, dup); break;
    case FR_FN_ABS: glu_grad_loop(FR_FN_ABS, gate, up, dy, n, dgate, dup); break;
    case FR_FN_NEG: glu_grad_loop(FR_FN_NEG, gate, up, dy, n, dgate, dup); break;
    case FR_FN_RECIP: glu_grad_loop(FR_FN_RECIP, gate, up, dy, n, dgate, dup); break;
    case FR_FN_SIN: glu_grad_loop(FR_FN_SIN, gate, up, dy, n, dgate, dup); break;
    case FR_FN_COS: glu_grad_loop(FR_FN_COS, gate, up, dy, n, dgate, dup); break;
    default: glu_grad_loop(FR_FN_NONE, gate, up, dy, n, dgate, dup); break;
    }
}
