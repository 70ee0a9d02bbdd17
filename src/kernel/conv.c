/* conv.c: fills its part of the table. */
#include "kernel/kernel.h"

#define FILL(out, isa)                                                                             \
    *(out) = (fr_conv_kernels) {                                                                   \
        dw_f32_##isa, dw_bf16_##isa, dw_back_f32_##isa, dw_back_bf16_##isa, dw_weight_f32_##isa,   \
            dw_weight_bf16_##isa, conv_add_f32_##isa, conv_add_bf16_##isa, conv_axpy_f32_##isa,    \
            conv_axpy_bf16_##isa, conv_max_f32_##isa, conv_max_bf16_##isa, conv_add_where_##isa    \
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
