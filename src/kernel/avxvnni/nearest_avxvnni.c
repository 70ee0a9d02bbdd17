/* nearest_avxvnni.c: bounds from bytes by VPDPBUSD on registers of 32 bytes.
 *
 * The tests also compile this file with the instruction in the encoding of AVX-512 (FR_VNNI_EVEX), for machines that
 * have only that one. */
#include <immintrin.h>

#ifdef FR_VNNI_EVEX
#define VPDPBUSD "vpdpbusd"
#else
#define VPDPBUSD "%{vex%} vpdpbusd"
#endif

/* Written out, as gcc copies the sums of its own VPDPBUSD. */
#define BOUNDS_DOT(x, c, sum) __asm__(VPDPBUSD " %2, %1, %0" : "+x"(sum) : "x"(x), "x"(c))
#include "kernel/simd/nearest_bounds.h"

void fr_nearest_fill_avxvnni(fr_nearest_kernels *out);

void fr_nearest_fill_avxvnni(fr_nearest_kernels *out) {
    out->bounds[FR_NEAREST_INT8].scan = bounds_scan;
    out->bounds[FR_NEAREST_INT8].bias = 128;
}
