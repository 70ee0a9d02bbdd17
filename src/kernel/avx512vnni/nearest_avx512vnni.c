/* nearest_avx512vnni.c: bounds from bytes by VPDPBUSD on registers of 64 bytes. */
#include <immintrin.h>

/* Written out, as gcc copies the sums of its own VPDPBUSD. */
#define BOUNDS_DOT(x, c, sum) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(c))
#include "kernel/simd/nearest_bounds.h"

void fr_nearest_fill_avx512vnni(fr_nearest_kernels *out);

void fr_nearest_fill_avx512vnni(fr_nearest_kernels *out) {
    out->bounds[FR_NEAREST_INT8].scan = bounds_scan;
    out->bounds[FR_NEAREST_INT8].bias = 128;
}
