/* squares.c: fills its part of the table. */
#include "kernel/kernel.h"

#include "kernel/squares_list.h"

void fr_squares_kernels_fill(unsigned cpu, fr_squares_kernels *out) {
    out->rows = squares_rows_ref;
    (void)cpu;
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) out->rows = squares_rows_avx2;
    if (cpu & FR_CPU_AVX512) out->rows = squares_rows_avx512;
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) out->rows = squares_rows_neon;
#endif
}
