/* gemm.c: fills its part of the table. */
#include "kernel/kernel.h"

void fr_gemm_kernels_fill(unsigned cpu, fr_gemm_kernels *out) {
    out->first = NULL; /* only some have one */
    fr_gemm_fill_ref(out);
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) {
        fr_gemm_fill_rows_avx2(out);
        fr_gemm_fill_avx2(out);
    }
    if (cpu & FR_CPU_AVX512) {
        fr_gemm_fill_rows_avx512(out);
        fr_gemm_fill_avx512(out);
        if (cpu & FR_CPU_AVX512BF16) fr_gemm_fill_avx512bf16(out);
    }
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) {
        fr_gemm_fill_rows_neon(out);
        fr_gemm_fill_neon(out);
    }
#else
    (void)cpu;
#endif
}
