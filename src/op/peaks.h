/* peaks.h (op): what this machine can do at most, measured: the figures that every share which
 * Frugal prints is a share of. Takes about two seconds. */
#ifndef FR_OP_PEAKS_H
#define FR_OP_PEAKS_H

#include "base/base.h"

typedef struct fr_peaks {
    const char *table; /* of kernels: "avx512+vnni+bf16" */
    int threads;
    /* [0] one core, [1] all threads of the pool; operations a second, 0 where there is no such
     * instruction; bytes a second from memory. */
    double f32[2], bf16[2], int8[2], read[2];
} fr_peaks;

/* The largest of several short runs each. Arithmetic alone needs no memory. */
fr_status fr_peaks_measure(fr_pool *pool, fr_peaks *out);
/* Only floats with all threads, in about a quarter of a second; all else stays 0. */
void fr_peaks_measure_floats(fr_pool *pool, fr_peaks *out);
/* Only the arithmetic of one core, in about a tenth of a second; read stays 0. */
void fr_peaks_measure_core(fr_peaks *out);

#endif
