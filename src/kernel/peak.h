/* peak.h (kernel): loops that do nothing but what the processor can do at most. Each keeps at least
 * 24 sums that do not depend on one another, so that the units and not the latency set the pace.
 *
 * A loop returns how many operations it has done (a multiplication and an addition are two), and
 * adds something to *sink that depends on all of them. */
#ifndef FR_KERNEL_PEAK_H
#define FR_KERNEL_PEAK_H

#include <frugal/ops.h>

typedef double fr_peak_fn(size_t rounds, float *sink);

typedef struct fr_peak_kernels {
    fr_peak_fn *f32;
    fr_peak_fn *bf16; /* pairs into f32 sums; NULL where there is no such instruction */
    fr_peak_fn *int8; /* u8 x i8 into i32 sums, by the best way there is */
    /* Reads all of it once; the sum of its 64-bit words (a tail of less than 64 bytes is left out). */
    uint64_t (*read)(const void *p, size_t bytes);
} fr_peak_kernels;

void fr_peak_kernels_fill(unsigned cpu, fr_peak_kernels *out);

/* ---- between peak.c and the files that hold the loops ---- */

void fr_peak_fill_ref(fr_peak_kernels *out);
void fr_peak_fill_avx2(fr_peak_kernels *out);
void fr_peak_fill_avx512(fr_peak_kernels *out);
void fr_peak_fill_avx512vnni(fr_peak_kernels *out);
void fr_peak_fill_avx512bf16(fr_peak_kernels *out);
void fr_peak_fill_neon(fr_peak_kernels *out);
void fr_peak_fill_neon_dot(fr_peak_kernels *out);

#endif
