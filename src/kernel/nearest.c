/* nearest.c: fills its part of the table. */
#include "kernel/kernel.h"

void fr_nearest_fill_ref(fr_nearest_kernels *out);
#if defined(__x86_64__)
void nearest_fill_avx2(fr_nearest_kernels *out);
void nearest_fill_avx512(fr_nearest_kernels *out);
void fr_nearest_fill_avxvnni(fr_nearest_kernels *out);
void fr_nearest_fill_avx512vnni(fr_nearest_kernels *out);
void fr_nearest_fill_avx512bf16(fr_nearest_kernels *out);
#elif defined(__aarch64__)
void nearest_fill_neon(fr_nearest_kernels *out);
void fr_nearest_fill_neondot(fr_nearest_kernels *out);
#endif

void fr_nearest_kernels_fill(unsigned cpu, fr_nearest_kernels *out) {
    fr_nearest_fill_ref(out);
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) nearest_fill_avx2(out);
    if ((cpu & FR_CPU_AVXVNNI) && !(cpu & FR_CPU_AVX512)) fr_nearest_fill_avxvnni(out);
    if (cpu & FR_CPU_AVX512) nearest_fill_avx512(out);
    if (cpu & FR_CPU_AVX512VNNI) fr_nearest_fill_avx512vnni(out);
    if (cpu & FR_CPU_AVX512BF16) fr_nearest_fill_avx512bf16(out);
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) nearest_fill_neon(out);
    if (cpu & FR_CPU_NEON_DOT) fr_nearest_fill_neondot(out);
#else
    (void)cpu;
#endif
}
