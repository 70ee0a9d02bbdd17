/* gemm.h (kernel): micro-kernels of the matrix products. The tiling and the threads are in
 * op/gemm.c. */
#ifndef FR_KERNEL_GEMM_H
#define FR_KERNEL_GEMM_H

#include <frugal/ops.h>

typedef struct fr_gemm_kernels {
    int placeholder; /* the author of the family decides */
} fr_gemm_kernels;

void fr_gemm_kernels_fill(unsigned cpu, fr_gemm_kernels *out);

#endif
