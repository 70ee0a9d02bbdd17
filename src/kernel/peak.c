/* peak.c: fills its part of the table. */
#include "kernel/kernel.h"

void fr_peak_kernels_fill(unsigned cpu, fr_peak_kernels *out) {
    fr_peak_fill_ref(out);
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) fr_peak_fill_avx2(out);
    if (cpu & FR_CPU_AVX512) fr_peak_fill_avx512(out);
    if (cpu & FR_CPU_AVX512VNNI) fr_peak_fill_avx512vnni(out);
    if (cpu & FR_CPU_AVX512BF16) fr_peak_fill_avx512bf16(out);
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) fr_peak_fill_neon(out);
    if (cpu & FR_CPU_NEON_DOT) fr_peak_fill_neon_dot(out);
#else
    (void)cpu;
#endif
}
