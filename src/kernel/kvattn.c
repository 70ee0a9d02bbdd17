/* kvattn.c (kernel): fills its part of the table. */
#include "kernel/kernel.h"

#if defined(__x86_64__)
void kvattn_fill_avx2(fr_kvattn_kernels *out);
void kvattn_fill_avx512(fr_kvattn_kernels *out);
void kvattn_softmax_page_avx512(float *s, const int32_t *lo, const int32_t *hi, float c, float *top,
                                float *sum, float *fade);
void kvattn_fill_avx512vnni(fr_kvattn_kernels *out);
void kvattn_fill_avx512bf16(fr_kvattn_kernels *out);
#elif defined(__aarch64__)
void kvattn_fill_neon(fr_kvattn_kernels *out);
#endif

void fr_kvattn_kernels_fill(unsigned cpu, fr_kvattn_kernels *out) {
    fr_kvattn_fill_ref(out);
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) kvattn_fill_avx2(out);
    if (cpu & FR_CPU_AVX512) {
        kvattn_fill_avx512(out);
        out->softmax = kvattn_softmax_page_avx512;
    }
    if (cpu & FR_CPU_AVX512VNNI) kvattn_fill_avx512vnni(out);
    if (cpu & FR_CPU_AVX512BF16) kvattn_fill_avx512bf16(out);
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) kvattn_fill_neon(out);
#else
    (void)cpu;
#endif
}
