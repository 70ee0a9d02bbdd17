/* kernel.h: the face of the leaf computations: one table of function pointers, chosen once by what
 * the processor can do.
 *
 * A kernel works on raw pointers: it allocates nothing, starts no thread and knows no tensor. Each
 * family has a header that says what its kernels mean and a reference in plain C under ref/ that
 * states it in code; the faster ones stand in folders named after their instruction set:
 *
 *     ref/         plain C, the meaning
 *     simd/        one source compiled for avx2, avx512 and neon over the small vocabulary of vec.h
 *     avx2/ avxvnni/ avx512/ avx512vnni/ avx512bf16/ neon/ neondot/    written for one of them
 *
 * Families fill the table from slow to fast: ref first, then whatever the machine has overwrites. */
#ifndef FR_KERNEL_H
#define FR_KERNEL_H

#include <frugal/ops.h>

#include "kernel/attn.h"
#include "kernel/cluster.h"
#include "kernel/convert.h"
#include "kernel/cuda.h"
#include "kernel/gemm.h"
#include "kernel/kvattn.h"
#include "kernel/nearest.h"
#include "kernel/optim.h"
#include "kernel/peak.h"
#include "kernel/qgemm.h"
#include "kernel/rows.h"
#include "kernel/conv.h"

/* What the processor has. */
typedef enum fr_cpu_flag {
    FR_CPU_AVX2 = 1,   /* with FMA and F16C */
    FR_CPU_AVX512 = 2, /* F, BW, DQ, VL */
    FR_CPU_AVX512VNNI = 4,
    FR_CPU_AVX512BF16 = 8,
    FR_CPU_NEON = 16,
    FR_CPU_NEON_DOT = 32,
    FR_CPU_AVXVNNI = 64, /* VPDPBUSD without AVX-512 */
} fr_cpu_flag;

typedef struct fr_kernels {
    const char *name; /* "scalar", "avx2", "avx2+vnni", "avx512", "avx512+vnni+bf16", "neon" */
    unsigned cpu;     /* fr_cpu_flag bits in use */
    fr_convert_kernels convert;
    fr_gemm_kernels gemm;
    fr_rows_kernels rows;
    fr_optim_kernels optim;
    fr_attn_kernels attn;
    fr_kvattn_kernels kvattn;
    fr_conv_kernels conv;
    fr_cluster_kernels cluster;
    fr_qrow_kernels qrow;
    fr_qgemm_kernels qgemm;
    fr_nearest_kernels nearest;
    fr_peak_kernels peak;
} fr_kernels;

/* The table in use. FRUGAL_CPU=scalar|avx2|avx2+vnni|avx512|native overrides the choice (never upwards). */
const fr_kernels *fr_kernel(void);

/* For tests and benches: the flags of this machine, a table for a subset of them, and putting one
 * in use (not while other threads run). */
unsigned fr_cpu_flags(void);
void fr_kernels_fill(unsigned cpu, fr_kernels *out);
void fr_kernel_use(const fr_kernels *table);

#endif
