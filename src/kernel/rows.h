/* rows.h (kernel): everything that works along rows of f32 values: functions of one value,
 * arithmetic, norms, softmax, sums, and the updates of optimizers.
 *
 * All arrays are f32 (bf16 and f16 rows are converted block by block by whoever calls, see
 * convert.h), at any alignment, of any length including 0. An output may be the same array as an
 * input of the same length, but may not overlap it otherwise. Sums are taken in an order that
 * depends on n alone. The reference in ref/rows_*.c states each in plain C. */
#ifndef FR_KERNEL_ROWS_H
#define FR_KERNEL_ROWS_H

#include <frugal/ops.h>

/* How a row is normalized: xhat = (x - center) * rstd + offset. center is the rounded mean, and
 * offset repairs its rounding, so that rows far from zero keep their digits. */
typedef struct fr_norm_row {
    float center, rstd, offset;
} fr_norm_row;

typedef struct fr_rows_kernels {
    /* ---- value by value ---- */

    void (*unary)(fr_fn fn, const float *x, size_t n, float *y);
    /* dx = dy * fn'(x); 0 at the corner of relu, one-sided zeros at those of relu6 */
    void (*unary_grad)(fr_fn fn, const float *x, const float *dy, size_t n, float *dx);
    /* max and min give NaN when either side is NaN */
    void (*binary)(fr_binary kind, const float *a, const float *b, size_t n, float *y);
    void (*binary_scalar)(fr_binary kind, const float *a, float b, size_t n, float *y);
    void (*scalar_binary)(fr_binary kind, float a, const float *b, size_t n, float *y);
    void (*affine)(const float *x, float scale, float shift, size_t n, float *y);
    void (*axpy)(float a, const float *x, size_t n, float *y); /* y += a x */
    void (*mul_add)(const float *a, const float *b, const float *c, size_t n,
                    float *y); /* ab + c */
    /* x (1 + scale) + shift; shift NULL: 0 */
    void (*modulate)(const float *x, const float *scale, const float *shift, size_t n, float *y);
    void (*glu)(fr_fn act, const float *gate, const float *up, size_t n, float *y);
    void (*glu_grad)(fr_fn act, const float *gate, const float *up, const float *dy, size_t n,
                     float *dgate, float *dup);

    /* ---- over a row ---- */

    float (*sum)(const float *x, size_t n);
    float (*sum_squares)(const float *x, size_t n);
    float (*dot)(const float *a, const float *b, size_t n);
    float (*max)(const float *x, size_t n);     /* -inf for n 0; NaN when there is one */
    size_t (*argmax)(const float *x, size_t n); /* the first; a NaN counts as largest; n > 0 */
    /* out[0] = sum of x - center, out[1] = of its square */
    void (*moments)(const float *x, float center, size_t n, float out[2]);

    /* ---- softmax and cross-entropy ---- */

    float (*exp_sum)(const float *x, float shift, size_t n,
                     float *y); /* y = e^(x-shift), may be NULL */
    void (*exp_scaled)(const float *x, float shift, float scale, size_t n, float *y);
    void (*softmax_grad)(const float *y, const float *dy, float dot, size_t n,
                         float *dx); /* y(dy-dot) */

    /* ---- norms over a row; weight, bias, scale, shift may be NULL ---- */

    /* (xhat weight + bias) (1 + scale) + shift */
    void (*norm)(const float *x, fr_norm_row r, const float *weight, const float *bias,
                 const float *scale, const float *shift, size_t n, float *y);
    /* With g = dy weight: out[0] = sum of g, out[1] = sum of g xhat */
    void (*norm_sums)(const float *x, fr_norm_row r, const float *weight, const float *dy, size_t n,
                      float out[2]);
    /* dx = rstd (g - mean_g - xhat mean_gx) */
    void (*norm_grad)(const float *x, fr_norm_row r, const float *weight, const float *dy,
                      float mean_g, float mean_gx, size_t n, float *dx);
    /* dweight += dy xhat, dbias += dy; either may be NULL */
    void (*norm_weight_grad)(const float *x, fr_norm_row r, const float *dy, size_t n,
                             float *dweight, float *dbias);

    /* ---- norms with statistics for each channel: arrays of n channels, one position ---- */

    /* s1 += x - center, s2 += its square */
    void (*channel_moments)(const float *x, const float *center, size_t n, float *s1, float *s2);
    /* (x - center) a + b */
    void (*channel_affine)(const float *x, const float *center, const float *a, const float *b,
                           size_t n, float *y);
    /* s1 += dy, s2 += dy (x - center) */
    void (*channel_sums)(const float *x, const float *center, const float *dy, size_t n, float *s1,
                         float *s2);
    /* dy p - (x - center) r - q */
    void (*channel_grad)(const float *x, const float *center, const float *dy, const float *p,
                         const float *q, const float *r, size_t n, float *dx);

    /* ---- optimizers ---- */

    /* g += decay p; m = momentum m + g; p -= lr m. m NULL: no momentum */
    void (*sgd)(size_t n, float *p, float *m, const float *g, float lr, float momentum,
                float decay);
    /* Loshchilov and Hutter 2019, in the order of PyTorch: p *= 1 - lr decay; m += (g - m)(1 -
     * beta1); v = beta2 v + (1 - beta2) g g; p -= lr / bias1 * m / (sqrt(v) / sqrt(bias2) + eps) */
    void (*adamw)(size_t n, float *p, float *m, float *v, const float *g, float lr, float beta1,
                  float beta2, float eps, float decay, float bias1, float bias2);
} fr_rows_kernels;

void fr_rows_kernels_fill(unsigned cpu, fr_rows_kernels *out);

#endif
