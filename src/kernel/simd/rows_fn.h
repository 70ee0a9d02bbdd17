/* rows_fn.h: the functions fr_fn and their slopes over vectors. Called with a constant fn, so that
 * the switch is gone after inlining. gemm and convolution use rows_fn_value for their epilogues
 * too. */
#ifndef FR_KERNEL_SIMD_ROWS_FN_H
#define FR_KERNEL_SIMD_ROWS_FN_H

#include <frugal/ops.h>

#include "kernel/simd/vec.h"

#define FR_INLINE static inline __attribute__((always_inline))

FR_INLINE vf32 vclamp(vf32 x, float lo, float hi) {
    return vmax(vset1(lo), vmin(vset1(hi), x)); /* this order keeps NaN */
}

FR_INLINE vf32 gelu_tanh_arg(vf32 x) {
    vf32 b = vclamp(x, -20.0f, 20.0f);
    return vmul(vset1(0.797884561f), vfma(vmul(vset1(0.044715f), vmul(b, b)), b, b));
}
FR_INLINE vf32 one_plus_erf(vf32 x) {
    return vadd(vset1(1.0f), verf(vmul(x, vset1(0.707106781f))));
}

FR_INLINE vf32 rows_fn_value(fr_fn fn, vf32 x) {
    const vf32 half = vset1(0.5f), one = vset1(1.0f);
    switch (fn) {
    case FR_FN_RELU: return vmax(vzero(), x);
    case FR_FN_RELU6: return vclamp(x, 0.0f, 6.0f);
    case FR_FN_SILU: return vmul(x, vsigmoid(x));
    case FR_FN_GELU: return vmul(vmul(half, x), one_plus_erf(x));
    case FR_FN_GELU_TANH: return vmul(vmul(half, x), vadd(one, vtanh(gelu_tanh_arg(x))));
    case FR_FN_SIGMOID: return vsigmoid(x);
    case FR_FN_TANH: return vtanh(x);
    case FR_FN_HSWISH:
        return vmul(x, vmul(vclamp(vadd(x, vset1(3.0f)), 0.0f, 6.0f), vset1(1.0f / 6)));
    case FR_FN_EXP: return vexp(x);
    case FR_FN_LOG: return vlog(x);
    case FR_FN_SQRT: return vsqrt(x);
    case FR_FN_RSQRT: return vdiv(one, vsqrt(x));
    case FR_FN_SQUARE: return vmul(x, x);
    case FR_FN_ABS: return vabs(x);
    case FR_FN_NEG: return vneg(x);
    case FR_FN_RECIP: return vdiv(one, x);
    case FR_FN_SIN: return vsin(x);
    case FR_FN_COS: return vcos(x);
    default: return x;
    }
}

FR_INLINE vf32 gelu_slope(vf32 x) {
    vf32 bell = vexp(vmul(vset1(-0.5f), vmul(x, x)));
    return vfma(vmul(x, vset1(0.398942280f)), bell, vmul(vset1(0.5f), one_plus_erf(x)));
}
FR_INLINE vf32 gelu_tanh_slope(vf32 x) {
    const vf32 half = vset1(0.5f), one = vset1(1.0f);
    vf32 t = vtanh(gelu_tanh_arg(x)), b = vclamp(x, -20.0f, 20.0f);
    vf32 inner = vmul(vset1(0.797884561f), vfma(vset1(3 * 0.044715f), vmul(b, b), one));
    return vfma(vmul(vmul(half, b), vfnma(t, t, one)), inner, vmul(half, vadd(one, t)));
}

FR_INLINE vf32 rows_fn_slope(fr_fn fn, vf32 x) {
    const vf32 half = vset1(0.5f), one = vset1(1.0f), zero = vzero();
    vf32 s;
    switch (fn) {
    case FR_FN_RELU: return vsel(vlt(zero, x), one, zero);
    case FR_FN_RELU6: return vsel(vmand(vlt(zero, x), vlt(x, vset1(6.0f))), one, zero);
    case FR_FN_SILU: s = vsigmoid(x); return vmul(s, vfma(x, vsub(one, s), one));
    case FR_FN_GELU: return gelu_slope(x);
    case FR_FN_GELU_TANH: return gelu_tanh_slope(x);
    case FR_FN_SIGMOID: s = vsigmoid(x); return vmul(s, vsub(one, s));
    case FR_FN_TANH: s = vtanh(x); return vfnma(s, s, one);
    case FR_FN_HSWISH:
        s = vfma(x, vset1(1.0f / 3), half);
        s = vsel(vlt(x, vset1(-3.0f)), zero, s);
        return vsel(vlt(vset1(3.0f), x), one, s);
    case FR_FN_EXP: return vexp(x);
    case FR_FN_LOG: return vdiv(one, x);
    case FR_FN_SQRT: return vdiv(half, vsqrt(x));
    case FR_FN_RSQRT: return vdiv(vset1(-0.5f), vmul(x, vsqrt(x)));
    case FR_FN_SQUARE: return vadd(x, x);
    case FR_FN_ABS: return vsel(vlt(zero, x), one, vsel(vlt(x, zero), vset1(-1.0f), zero));
    case FR_FN_NEG: return vset1(-1.0f);
    case FR_FN_RECIP: return vdiv(vset1(-1.0f), vmul(x, x));
    case FR_FN_SIN: return vcos(x);
    case FR_FN_COS: return vneg(vsin(x));
    default: return one;
    }
}

#endif
