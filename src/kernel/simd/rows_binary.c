/* rows_binary.c: arithmetic of two or three arrays, and the updates of optimizers, over vec.h. */
#include "kernel/simd/rows_fn.h"

#include "kernel/rows_list.h"

FR_INLINE vf32 combine(fr_binary kind, vf32 a, vf32 b) {
    switch (kind) {
    case FR_ADD: return vadd(a, b);
    case FR_SUB: return vsub(a, b);
    case FR_MUL: return vmul(a, b);
    case FR_DIV: return vdiv(a, b);
    /* vmax gives b when b is NaN; a is left to do. */
    case FR_MAX: return vsel(visnan(a), a, vmax(a, b));
    default: return vsel(visnan(a), a, vmin(a, b));
    }
}

FR_INLINE void binary_loop(fr_binary kind, const float *a, const float *b, size_t n, float *y) {
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore(y + i, combine(kind, vload(a + i), vload(b + i)));
    if (i < n) vstore_n(y + i, combine(kind, vload_n(a + i, n - i), vload_n(b + i, n - i)), n - i);
}
void FR_NAME(rows_binary)(fr_binary kind, const float *a, const float *b, size_t n, float *y) {
    switch (kind) {
    case FR_ADD: binary_loop(FR_ADD, a, b, n, y); break;
    case FR_SUB: binary_loop(FR_SUB, a, b, n, y); break;
    case FR_MUL: binary_loop(FR_MUL, a, b, n, y); break;
    case FR_DIV: binary_loop(FR_DIV, a, b, n, y); break;
    case FR_MAX: binary_loop(FR_MAX, a, b, n, y); break;
    default: binary_loop(FR_MIN, a, b, n, y); break;
    }
}

FR_INLINE void array_scalar(fr_binary kind, const float *a, float b, size_t n, float *y) {
    vf32 vb = vset1(b);
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore(y + i, combine(kind, vload(a + i), vb));
    if (i < n) vstore_n(y + i, combine(kind, vload_n(a + i, n - i), vb), n - i);
}
void FR_NAME(rows_binary_scalar)(fr_binary kind, const float *a, float b, size_t n, float *y) {
    switch (kind) {
    case FR_ADD: array_scalar(FR_ADD, a, b, n, y); break;
    case FR_SUB: array_scalar(FR_SUB, a, b, n, y); break;
    case FR_MUL: array_scalar(FR_MUL, a, b, n, y); break;
    case FR_DIV: array_scalar(FR_DIV, a, b, n, y); break;
    case FR_MAX: array_scalar(FR_MAX, a, b, n, y); break;
    default: array_scalar(FR_MIN, a, b, n, y); break;
    }
}

FR_INLINE void scalar_array(fr_binary kind, float a, const float *b, size_t n, float *y) {
    vf32 va = vset1(a);
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore(y + i, combine(kind, va, vload(b + i)));
    if (i < n) vstore_n(y + i, combine(kind, va, vload_n(b + i, n - i)), n - i);
}
void FR_NAME(rows_scalar_binary)(fr_binary kind, float a, const float *b, size_t n, float *y) {
    switch (kind) {
    case FR_ADD: scalar_array(FR_ADD, a, b, n, y); break;
    case FR_SUB: scalar_array(FR_SUB, a, b, n, y); break;
    case FR_MUL: scalar_array(FR_MUL, a, b, n, y); break;
    case FR_DIV: scalar_array(FR_DIV, a, b, n, y); break;
    case FR_MAX: scalar_array(FR_MAX, a, b, n, y); break;
    default: scalar_array(FR_MIN, a, b, n, y); break;
    }
}

void FR_NAME(rows_affine)(const float *x, float scale, float shift, size_t n, float *y) {
    vf32 s = vset1(scale), t = vset1(shift);
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore(y + i, vfma(vload(x + i), s, t));
    if (i < n) vstore_n(y + i, vfma(vload_n(x + i, n - i), s, t), n - i);
}

void FR_NAME(rows_axpy)(float a, const float *x, size_t n, float *y) {
    vf32 s = vset1(a);
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore(y + i, vfma(s, vload(x + i), vload(y + i)));
    if (i < n) vstore_n(y + i, vfma(s, vload_n(x + i, n - i), vload_n(y + i, n - i)), n - i);
}

void FR_NAME(rows_mul_add)(const float *a, const float *b, const float *c, size_t n, float *y) {
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN)
        vstore(y + i, vfma(vload(a + i), vload(b + i), vload(c + i)));
    size_t t = n - i;
    if (t) vstore_n(y + i, vfma(vload_n(a + i, t), vload_n(b + i, t), vload_n(c + i, t)), t);
}

void FR_NAME(rows_modulate)(const float *x, const float *scale, const float *shift, size_t n,
                            float *y) {
    const vf32 one = vset1(1.0f);
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) {
        vf32 add = shift ? vload(shift + i) : vzero();
        vstore(y + i, vfma(vload(x + i), vadd(one, vload(scale + i)), add));
    }
    size_t t = n - i;
    if (!t) return;
    vf32 add = shift ? vload_n(shift + i, t) : vzero();
    vstore_n(y + i, vfma(vload_n(x + i, t), vadd(one, vload_n(scale + i, t)), add), t);
}

void FR_NAME(rows_sgd)(size_t n, float *p, float *m, const float *g, float lr, float momentum,
                       float decay) {
    vf32 vlr = vset1(lr), vmo = vset1(momentum), vde = vset1(decay);
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t t = n - i < FR_VLEN ? n - i : FR_VLEN;
        bool whole = t == FR_VLEN;
        vf32 w = whole ? vload(p + i) : vload_n(p + i, t);
        vf32 step = vfma(vde, w, whole ? vload(g + i) : vload_n(g + i, t));
        if (m) {
            step = vfma(vmo, whole ? vload(m + i) : vload_n(m + i, t), step);
            if (whole)
                vstore(m + i, step);
            else
                vstore_n(m + i, step, t);
        }
        w = vfnma(vlr, step, w);
        if (whole)
            vstore(p + i, w);
        else
            vstore_n(p + i, w, t);
    }
}

typedef struct adam_coef {
    vf32 keep, rate, mix1, beta2, mix2, inv_root, eps;
} adam_coef;

FR_INLINE vf32 adam_step(const adam_coef *c, vf32 p, vf32 g, vf32 *m, vf32 *v) {
    *m = vfma(vsub(g, *m), c->mix1, *m);
    *v = vfma(c->beta2, *v, vmul(vmul(c->mix2, g), g));
    vf32 root = vfma(vsqrt(*v), c->inv_root, c->eps);
    return vfnma(c->rate, vdiv(*m, root), vmul(c->keep, p));
}

void FR_NAME(rows_adamw)(size_t n, float *p, float *m, float *v, const float *g, float lr,
                         float beta1, float beta2, float eps, float decay, float bias1,
                         float bias2) {
    adam_coef c = {.keep = vset1((float)(1 - (double)lr * (double)decay)),
                   .rate = vset1(lr / bias1),
                   .mix1 = vset1(1 - beta1),
                   .beta2 = vset1(beta2),
                   .mix2 = vset1(1 - beta2),
                   .inv_root = vset1(1 / sqrtf(bias2)),
                   .eps = vset1(eps)};
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) {
        vf32 vm = vload(m + i), vv = vload(v + i);
        vstore(p + i, adam_step(&c, vload(p + i), vload(g + i), &vm, &vv));
        vstore(m + i, vm);
        vstore(v + i, vv);
    }
    size_t t = n - i;
    if (!t) return;
    vf32 vm = vload_n(m + i, t), vv = vload_n(v + i, t);
    vstore_n(p + i, adam_step(&c, vload_n(p + i, t), vload_n(g + i, t), &vm, &vv), t);
    vstore_n(m + i, vm, t);
    vstore_n(v + i, vv, t);
}
