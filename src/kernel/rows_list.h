/* rows_list.h: the kernels of rows.h by name, one set an instruction set. */
#ifndef FR_KERNEL_ROWS_LIST_H
#define FR_KERNEL_ROWS_LIST_H

#include "kernel/rows.h"

#define FR_ROWS_SET(isa)                                                                           \
    void rows_unary_##isa(fr_fn fn, const float *x, size_t n, float *y);                           \
    void rows_unary_grad_##isa(fr_fn fn, const float *x, const float *dy, size_t n, float *dx);    \
    void rows_binary_##isa(fr_binary kind, const float *a, const float *b, size_t n, float *y);    \
    void rows_binary_scalar_##isa(fr_binary kind, const float *a, float b, size_t n, float *y);    \
    void rows_scalar_binary_##isa(fr_binary kind, float a, const float *b, size_t n, float *y);    \
    void rows_affine_##isa(const float *x, float scale, float shift, size_t n, float *y);          \
    void rows_axpy_##isa(float a, const float *x, size_t n, float *y);                             \
    void rows_mul_add_##isa(const float *a, const float *b, const float *c, size_t n, float *y);   \
    void rows_modulate_##isa(const float *x, const float *scale, const float *shift, size_t n,     \
                             float *y);                                                            \
    void rows_glu_##isa(fr_fn act, const float *gate, const float *up, size_t n, float *y);        \
    void rows_glu_grad_##isa(fr_fn act, const float *gate, const float *up, const float *dy,       \
                             size_t n, float *dgate, float *dup);                                  \
    float rows_sum_##isa(const float *x, size_t n);                                                \
    float rows_sum_squares_##isa(const float *x, size_t n);                                        \
    float rows_dot_##isa(const float *a, const float *b, size_t n);                                \
    float rows_max_##isa(const float *x, size_t n);                                                \
    size_t rows_argmax_##isa(const float *x, size_t n);                                            \
    void rows_moments_##isa(const float *x, float center, size_t n, float out[2]);                 \
    float rows_exp_sum_##isa(const float *x, float shift, size_t n, float *y);                     \
    void rows_exp_scaled_##isa(const float *x, float shift, float scale, size_t n, float *y);      \
    void rows_softmax_grad_##isa(const float *y, const float *dy, float dot, size_t n, float *dx); \
    void rows_norm_##isa(const float *x, fr_norm_row r, const float *weight, const float *bias,    \
                         const float *scale, const float *shift, size_t n, float *y);              \
    void rows_norm_sums_##isa(const float *x, fr_norm_row r, const float *weight, const float *dy, \
                              size_t n, float out[2]);                                             \
    void rows_norm_grad_##isa(const float *x, fr_norm_row r, const float *weight, const float *dy, \
                              float mean_g, float mean_gx, size_t n, float *dx);                   \
    void rows_norm_weight_grad_##isa(const float *x, fr_norm_row r, const float *dy, size_t n,     \
                                     float *dweight, float *dbias);                                \
    void rows_channel_moments_##isa(const float *x, const float *center, size_t n, float *s1,      \
                                    float *s2);                                                    \
    void rows_channel_affine_##isa(const float *x, const float *center, const float *a,            \
                                   const float *b, size_t n, float *y);                            \
    void rows_channel_sums_##isa(const float *x, const float *center, const float *dy, size_t n,   \
                                 float *s1, float *s2);                                            \
    void rows_channel_grad_##isa(const float *x, const float *center, const float *dy,             \
                                 const float *p, const float *q, const float *r, size_t n,         \
                                 float *dx);                                                       \
    void rows_sgd_##isa(size_t n, float *p, float *m, const float *g, float lr, float momentum,    \
                        float decay);                                                              \
    void rows_adamw_##isa(size_t n, float *p, float *m, float *v, const float *g, float lr,        \
                          float beta1, float beta2, float eps, float decay, float bias1,           \
                          float bias2);

FR_ROWS_SET(ref)
FR_ROWS_SET(avx2)
FR_ROWS_SET(avx512)
FR_ROWS_SET(neon)

#endif
