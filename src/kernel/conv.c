/* conv.c: fills its part of the table. */
#include "kernel/kernel.h"

#define FILL(out, isa)                                                                             \
    *(out) = (fr_conv_kernels) {                                                                   \
        .dw_f32 = dw_f32_##isa, .dw_bf16 = dw_bf16_##isa, .dw_back_f32 = dw_back_f32_##isa,        \
        .dw_back_bf16 = dw_back_bf16_##isa, .dw_weight_f32 = dw_weight_f32_##isa,                  \
        .dw_weight_bf16 = dw_weight_bf16_##isa, .pool_avg_f32 = pool_avg_f32_##isa,                \
        .pool_avg_bf16 = pool_avg_bf16_##isa, .pool_max_f32 = pool_max_f32_##isa,                  \
        .pool_max_bf16 = pool_max_bf16_##isa, .add_f32 = conv_add_f32_##isa,                       \
        .add_bf16 = conv_add_bf16_##isa, .axpy_f32 = conv_axpy_f32_##isa,                          \
        .axpy_bf16 = conv_axpy_bf16_##isa, .max_f32 = conv_max_f32_##isa,                          \
        .max_bf16 = conv_max_bf16_##isa, .add_where = conv_add_where_##isa                         \
    }

void fr_conv_kernels_fill(unsigned cpu, fr_conv_kernels *out) {
    FILL(out, ref);
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) FILL(out, avx2);
    if (cpu & FR_CPU_AVX512) FILL(out, avx512);
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) FILL(out, neon);
#else
    (void)cpu;
#endif
}
