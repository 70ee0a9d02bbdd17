/* rows_value_ref.c: the meaning of what rows.h does value by value, in plain C. */
#include <math.h>

#include "kernel/rows_list.h"

static float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}
static float clamp(float x, float lo, float hi) {
    return x < lo ? lo : x > hi ? hi : x;
}

static const float root_2_over_pi = 0.797884561f, root_half = 0.707106781f,
                   inv_root_2pi = 0.398942280f;

/* Beyond 20 tanh is 1; without the bound x^3 would overflow in the derivative. */
static float gelu_tanh_arg(float x) {
    float b = clamp(x, -20.0f, 20.0f);
    return root_2_over_pi * (b + 0.044715f * b * b * b);
}

static float value(fr_fn fn, float x) {
    switch (fn) {
    case FR_FN_RELU: return x < 0 ? 0 : x;
    case FR_FN_RELU6: return clamp(x, 0, 6);
    case FR_FN_SILU: return x * sigmoid(x);
    case FR_FN_GELU: return 0.5f * x * (1 + erff(x * root_half));
    case FR_FN_GELU_TANH: return 0.5f * x * (1 + tanhf(gelu_tanh_arg(x)));
    case FR_FN_SIGMOID: return sigmoid(x);
    case FR_FN_TANH: return tanhf(x);
    case FR_FN_HSWISH: return x * (clamp(x + 3, 0, 6) * (1.0f / 6));
    case FR_FN_EXP: return expf(x);
    case FR_FN_LOG: return logf(x);
    case FR_FN_SQRT: return sqrtf(x);
    case FR_FN_RSQRT: return 1 / sqrtf(x);
    case FR_FN_SQUARE: return x * x;
    case FR_FN_ABS: return fabsf(x);
    case FR_FN_NEG: return -x;
    case FR_FN_RECIP: return 1 / x;
    case FR_FN_SIN: return sinf(x);
    case FR_FN_COS: return cosf(x);
    default: return x;
    }
}

static float slope(fr_fn fn, float x) {
    switch (fn) {
    case FR_FN_RELU: return x > 0 ? 1 : 0;
    case FR_FN_RELU6: return x > 0 && x < 6 ? 1 : 0;
    case FR_FN_SILU: {
        float s = sigmoid(x);
        return s * (1 + x * (1 - s));
    }
    case FR_FN_GELU:
        return 0.5f * (1 + erff(x * root_half)) + x * inv_root_2pi * expf(-0.5f * x * x);
    case FR_FN_GELU_TANH: {
        float t = tanhf(gelu_tanh_arg(x)), b = clamp(x, -20.0f, 20.0f);
        return 0.5f * (1 + t) +
               0.5f * b * (1 - t * t) * root_2_over_pi * (1 + 3 * 0.044715f * b * b);
    }
    case FR_FN_SIGMOID: {
        float s = sigmoid(x);
        return s * (1 - s);
    }
    case FR_FN_TANH: {
        float t = tanhf(x);
        return 1 - t * t;
    }
    case FR_FN_HSWISH: return x < -3 ? 0 : x <= 3 ? x * (1.0f / 3) + 0.5f : 1;
    case FR_FN_EXP: return expf(x);
    case FR_FN_LOG: return 1 / x;
    case FR_FN_SQRT: return 0.5f / sqrtf(x);
    case FR_FN_RSQRT: return -0.5f / (x * sqrtf(x));
    case FR_FN_SQUARE: return 2 * x;
    case FR_FN_ABS: return x > 0 ? 1 : x < 0 ? -1 : 0;
    case FR_FN_NEG: return -1;
    case FR_FN_RECIP: return -1 / (x * x);
    case FR_FN_SIN: return cosf(x);
    case FR_FN_COS: return -sinf(x);
    default: return 1;
    }
}

static float combine(fr_binary kind, float a, float b) {
    switch (kind) {
    case FR_ADD: return a + b;
    case FR_SUB: return a - b;
    case FR_MUL: return a * b;
    case FR_DIV: return a / b;
    case FR_MAX: return a != a || a > b ? a : b;
    default: return a != a || a < b ? a : b;
    }
}

void rows_unary_ref(fr_fn fn, const float *x, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = value(fn, x[i]);
}
void rows_unary_grad_ref(fr_fn fn, const float *x, const float *dy, size_t n, float *dx) {
    for (size_t i = 0; i < n; i++) dx[i] = dy[i] * slope(fn, x[i]);
}
void rows_binary_ref(fr_binary kind, const float *a, const float *b, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = combine(kind, a[i], b[i]);
}
void rows_binary_scalar_ref(fr_binary kind, const float *a, float b, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = combine(kind, a[i], b);
}
void rows_scalar_binary_ref(fr_binary kind, float a, const float *b, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = combine(kind, a, b[i]);
}
void rows_affine_ref(const float *x, float scale, float shift, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = x[i] * scale + shift;
}
void rows_axpy_ref(float a, const float *x, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}
void rows_mul_add_ref(const float *a, const float *b, const float *c, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = a[i] * b[i] + c[i];
}
void rows_modulate_ref(const float *x, const float *scale, const float *shift, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = x[i] * (1 + scale[i]) + (shift ? shift[i] : 0);
}
void rows_glu_ref(fr_fn act, const float *gate, const float *up, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = value(act, gate[i]) * up[i];
}
void rows_glu_grad_ref(fr_fn act, const float *gate, const float *up, const float *dy, size_t n,
                       float *dgate, float *dup) {
    for (size_t i = 0; i < n; i++) {
        float g = gate[i], u = up[i], d = dy[i];
        dgate[i] = d * u * slope(act, g);
        dup[i] = d * value(act, g);
    }
}

void rows_sgd_ref(size_t n, float *p, float *m, const float *g, float lr, float momentum,
                  float decay) {
    for (size_t i = 0; i < n; i++) {
        float step = g[i] + decay * p[i];
        if (m) step = m[i] = momentum * m[i] + step;
        p[i] -= lr * step;
    }
}

void rows_adamw_ref(size_t n, float *p, float *m, float *v, const float *g, float lr, float beta1,
                    float beta2, float eps, float decay, float bias1, float bias2) {
    float keep = (float)(1 - (double)lr * (double)decay), inv_root = 1 / sqrtf(bias2);
    for (size_t i = 0; i < n; i++) {
        m[i] += (g[i] - m[i]) * (1 - beta1);
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        p[i] = keep * p[i] - lr / bias1 * (m[i] / (sqrtf(v[i]) * inv_root + eps));
    }
}
