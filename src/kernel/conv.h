/* conv.h (kernel): depthwise convolution and pooling over rows of pixels, channels last. What has
 * a product over channels goes through kernel/gemm.h instead. */
#ifndef FR_KERNEL_CONV_H
#define FR_KERNEL_CONV_H

#include <stddef.h>
#include <stdint.h>

#include <frugal/ops.h>

/* One row of pixels against one row of each input row under the kernel.
 *
 * Input pixel `p` of row r begins at in[r] + p * in_step values; in[r] NULL is a row of padding,
 * and pixels outside 0 .. in_width - 1 are padding too. Weight of tap (r, j) for channel c is
 * w[(r * kw + j) * w_step + c]. */
typedef struct fr_dw_row {
    const void *const *in;
    int rows, kw;
    int stride, dilation, before;
    int64_t in_step, in_width;
    const float *w;
    int64_t w_step;
    const float *bias; /* or NULL */
    int64_t out_step, out_width;
    int64_t channels;
} fr_dw_row;

typedef struct fr_conv_kernels {
    /* out[x][c] = bias[c] + sum over r, then j, of in[r][x stride + j dilation - before][c] w */
    void (*dw_f32)(const fr_dw_row *d, float *out);
    void (*dw_bf16)(const fr_dw_row *d, float *out);
    /* The transpose of it: `in` are rows of the output's gradient, and
     * out[x][c] = bias[c] + sum over r, then j, of in[r][(x + before - j dilation) / stride][c] w
     * for the j where the division has no rest. */
    void (*dw_back_f32)(const fr_dw_row *d, float *out);
    void (*dw_back_bf16)(const fr_dw_row *d, float *out);
    /* dw[tap][c] += sum over x of dy[x][c] in[r][x stride + j dilation - before][c]; steps of dy
     * are out_step, of dw w_step. */
    void (*dw_weight_f32)(const fr_dw_row *d, const float *dy, float *dw);
    void (*dw_weight_bf16)(const fr_dw_row *d, const uint16_t *dy, float *dw);

    /* out[i] = scale (tap[0][i] + tap[1][i] + ...), and the largest of them; NaN wins. */
    void (*pool_avg_f32)(float *out, const void *const *tap, int taps, float scale, size_t n);
    void (*pool_avg_bf16)(float *out, const void *const *tap, int taps, float scale, size_t n);
    void (*pool_max_f32)(float *out, const void *const *tap, int taps, size_t n);
    void (*pool_max_bf16)(float *out, const void *const *tap, int taps, size_t n);
    /* acc[i] += scale x[i] with one rounding when scale is 1 */
    void (*add_f32)(float *acc, const float *x, size_t n);
    void (*add_bf16)(float *acc, const uint16_t *x, size_t n);
    void (*axpy_f32)(float *acc, float scale, const float *x, size_t n);
    void (*axpy_bf16)(float *acc, float scale, const uint16_t *x, size_t n);
    /* where x is larger than best, or NaN: best = x and which = tap */
    void (*max_f32)(float *best, int32_t *which, int32_t tap, const float *x, size_t n);
    void (*max_bf16)(float *best, int32_t *which, int32_t tap, const uint16_t *x, size_t n);
    /* acc[i] += x[i] where which[i] is tap */
    void (*add_where)(float *acc, const int32_t *which, int32_t tap, const float *x, size_t n);
} fr_conv_kernels;

void fr_conv_kernels_fill(unsigned cpu, fr_conv_kernels *out);

#define FR_CONV_KERNELS(isa)                                                                       \
    void dw_f32_##isa(const fr_dw_row *, float *);                                                 \
    void dw_bf16_##isa(const fr_dw_row *, float *);                                                \
    void dw_back_f32_##isa(const fr_dw_row *, float *);                                            \
    void dw_back_bf16_##isa(const fr_dw_row *, float *);                                           \
    void dw_weight_f32_##isa(const fr_dw_row *, const float *, float *);                           \
    void dw_weight_bf16_##isa(const fr_dw_row *, const uint16_t *, float *);                       \
    void pool_avg_f32_##isa(float *, const void *const *, int, float, size_t);                     \
    void pool_avg_bf16_##isa(float *, const void *const *, int, float, size_t);                    \
    void pool_max_f32_##isa(float *, const void *const *, int, size_t);                            \
    void pool_max_bf16_##isa(float *, const void *const *, int, size_t);                           \
    void conv_add_f32_##isa(float *, const float *, size_t);                                       \
    void conv_add_bf16_##isa(float *, const uint16_t *, size_t);                                   \
    void conv_axpy_f32_##isa(float *, float, const float *, size_t);                               \
    void conv_axpy_bf16_##isa(float *, float, const uint16_t *, size_t);                           \
    void conv_max_f32_##isa(float *, int32_t *, int32_t, const float *, size_t);                   \
    void conv_max_bf16_##isa(float *, int32_t *, int32_t, const uint16_t *, size_t);               \
    void conv_add_where_##isa(float *, const int32_t *, int32_t, const float *, size_t)

FR_CONV_KERNELS(ref);
FR_CONV_KERNELS(avx2);
FR_CONV_KERNELS(avx512);
FR_CONV_KERNELS(neon);

#endif
