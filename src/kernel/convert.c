/* convert.c: fills its part of the table. */
#include "kernel/kernel.h"

#include "kernel/convert_list.h"

#define CONVERT_TABLE(isa)                                                                         \
    (fr_convert_kernels) {                                                                         \
        .bf16_to_f32 = convert_bf16_to_f32_##isa, .f32_to_bf16 = convert_f32_to_bf16_##isa,        \
        .f16_to_f32 = convert_f16_to_f32_##isa, .f32_to_f16 = convert_f32_to_f16_##isa,            \
    }

void fr_convert_kernels_fill(unsigned cpu, fr_convert_kernels *out) {
    *out = CONVERT_TABLE(ref);
    (void)cpu;
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) *out = CONVERT_TABLE(avx2);
    if (cpu & FR_CPU_AVX512) *out = CONVERT_TABLE(avx512);
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) *out = CONVERT_TABLE(neon);
#endif
}
