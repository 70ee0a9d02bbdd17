/* attn.c (kernel): fills its part of the table. */
#include "kernel/kernel.h"
#include "kernel/ref/attn.h"

#if defined(__x86_64__)
void attn_fill_avx2(fr_attn_kernels *out);
void attn_fill_avx512(fr_attn_kernels *out);
void attn_fill_avx512bf16(fr_attn_kernels *out);
#elif defined(__aarch64__)
void attn_fill_neon(fr_attn_kernels *out);
#endif

void fr_attn_kernels_fill(unsigned cpu, fr_attn_kernels *out) {
    fr_attn_ref_fill(out);
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) attn_fill_avx2(out);
    if (cpu & FR_CPU_AVX512) attn_fill_avx512(out);
    if (cpu & FR_CPU_AVX512BF16) attn_fill_avx512bf16(out);
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) attn_fill_neon(out);
#else
    (void)cpu;
#endif
}
