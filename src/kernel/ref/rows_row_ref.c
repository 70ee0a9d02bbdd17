/* rows_row_ref.c: the meaning of the sums, softmax and norms of rows.h, in plain C. Sums are taken
 * in double, as the true value against which the faster ones have a bound. */
#include <math.h>

#include "kernel/rows_list.h"

float rows_sum_ref(const float *x, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += (double)x[i];
    return (float)s;
}
float rows_sum_squares_ref(const float *x, size_t n) {
    return rows_dot_ref(x, x, n);
}
float rows_dot_ref(const float *a, const float *b, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += (double)a[i] * (double)b[i];
    return (float)s;
}
float rows_max_ref(const float *x, size_t n) {
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (x[i] > m || x[i] != x[i])
            m = x[i];
        else if (m != m)
            return m;
    return m;
}
size_t rows_argmax_ref(const float *x, size_t n) {
    size_t best = 0;
    for (size_t i = 0; i < n; i++) {
        if (x[i] != x[i]) return i;
        if (x[i] > x[best]) best = i;
    }
    return best;
}
void rows_moments_ref(const float *x, float center, size_t n, float out[2]) {
    double s1 = 0, s2 = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)(x[i] - center);
        s1 += d;
        s2 += d * d;
    }
    out[0] = (float)s1;
    out[1] = (float)s2;
}

float rows_exp_sum_ref(const float *x, float shift, size_t n, float *y) {
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        float e = expf(x[i] - shift);
        if (y) y[i] = e;
        s += (double)e;
    }
    return (float)s;
}
void rows_exp_scaled_ref(const float *x, float shift, float scale, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = scale * expf(x[i] - shift);
}
void rows_softmax_grad_ref(const float *y, const float *dy, float dot, size_t n, float *dx) {
    for (size_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - dot);
}

static float hat(float x, fr_norm_row r) {
    return (x - r.center) * r.rstd + r.offset;
}

void rows_norm_ref(const float *x, fr_norm_row r, const float *weight, const float *bias,
                   const float *scale, const float *shift, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) {
        float v = hat(x[i], r);
        if (weight) v *= weight[i];
        if (bias) v += bias[i];
        if (scale) v *= 1 + scale[i];
        if (shift) v += shift[i];
        y[i] = v;
    }
}
void rows_norm_sums_ref(const float *x, fr_norm_row r, const float *weight, const float *dy,
                        size_t n, float out[2]) {
    double s1 = 0, s2 = 0;
    for (size_t i = 0; i < n; i++) {
        double g = (double)dy[i] * (weight ? (double)weight[i] : 1.0);
        s1 += g;
        s2 += g * (double)hat(x[i], r);
    }
    out[0] = (float)s1;
    out[1] = (float)s2;
}
void rows_norm_grad_ref(const float *x, fr_norm_row r, const float *weight, const float *dy,
                        float mean_g, float mean_gx, size_t n, float *dx) {
    for (size_t i = 0; i < n; i++) {
        float g = dy[i] * (weight ? weight[i] : 1.0f);
        dx[i] = r.rstd * (g - mean_g - hat(x[i], r) * mean_gx);
    }
}
void rows_norm_weight_grad_ref(const float *x, fr_norm_row r, const float *dy, size_t n,
                               float *dweight, float *dbias) {
    for (size_t i = 0; i < n; i++) {
        if (dweight) dweight[i] += dy[i] * hat(x[i], r);
        if (dbias) dbias[i] += dy[i];
    }
}

void rows_channel_moments_ref(const float *x, const float *center, size_t n, float *s1, float *s2) {
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - center[i];
        s1[i] += d;
        s2[i] += d * d;
    }
}
void rows_channel_affine_ref(const float *x, const float *center, const float *a, const float *b,
                             size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = (x[i] - center[i]) * a[i] + b[i];
}
void rows_channel_sums_ref(const float *x, const float *center, const float *dy, size_t n,
                           float *s1, float *s2) {
    for (size_t i = 0; i < n; i++) {
        s1[i] += dy[i];
        s2[i] += dy[i] * (x[i] - center[i]);
    }
}
void rows_channel_grad_ref(const float *x, const float *center, const float *dy, const float *p,
                           const float *q, const float *r, size_t n, float *dx) {
    for (size_t i = 0; i < n; i++) dx[i] = dy[i] * p[i] - (x[i] - center[i]) * r[i] - q[i];
}
