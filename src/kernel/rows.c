/* rows.c: fills its part of the table. */
#include "kernel/kernel.h"

#include "kernel/rows_list.h"

#define ROWS_TABLE(isa)                                                                            \
    (fr_rows_kernels) {                                                                            \
        .unary = rows_unary_##isa, .unary_grad = rows_unary_grad_##isa,                            \
        .binary = rows_binary_##isa, .binary_scalar = rows_binary_scalar_##isa,                    \
        .scalar_binary = rows_scalar_binary_##isa, .affine = rows_affine_##isa,                    \
        .axpy = rows_axpy_##isa, .mul_add = rows_mul_add_##isa, .modulate = rows_modulate_##isa,   \
        .glu = rows_glu_##isa, .glu_grad = rows_glu_grad_##isa, .sum = rows_sum_##isa,             \
        .sum_squares = rows_sum_squares_##isa, .dot = rows_dot_##isa, .max = rows_max_##isa,       \
        .argmax = rows_argmax_##isa, .moments = rows_moments_##isa, .exp_sum = rows_exp_sum_##isa, \
        .exp_scaled = rows_exp_scaled_##isa, .softmax_grad = rows_softmax_grad_##isa,              \
        .norm = rows_norm_##isa, .norm_sums = rows_norm_sums_##isa,                                \
        .norm_grad = rows_norm_grad_##isa, .norm_weight_grad = rows_norm_weight_grad_##isa,        \
        .channel_moments = rows_channel_moments_##isa,                                             \
        .channel_affine = rows_channel_affine_##isa, .channel_sums = rows_channel_sums_##isa,      \
        .channel_grad = rows_channel_grad_##isa, .sgd = rows_sgd_##isa, .adamw = rows_adamw_##isa, \
    }

void fr_rows_kernels_fill(unsigned cpu, fr_rows_kernels *out) {
    *out = ROWS_TABLE(ref);
    (void)cpu;
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) *out = ROWS_TABLE(avx2);
    if (cpu & FR_CPU_AVX512) *out = ROWS_TABLE(avx512);
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) *out = ROWS_TABLE(neon);
#endif
}
