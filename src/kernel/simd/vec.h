/* vec.h: the small vector vocabulary in which the sources of simd/ are written once and compiled
 * for every instruction set.
 *
 * The flags of the compiler choose: AVX-512 (16 lanes), AVX2 with FMA (8), NEON (4), or plain C
 * with one lane, so that the same source compiles anywhere. What each word means:
 *
 *   vf32, vi32, vmask     FR_VLEN floats, 32-bit integers, truth values
 *   vload vstore          any alignment; the _n forms touch only the first n < FR_VLEN values, and
 *                         a partial load fills the rest with zeros
 *   vload_bf16 ...        the same over bf16 storage: exact in, nearest even out, NaN stays quiet NaN
 *   vfma(a, b, c)         a * b + c with one rounding; vfnma is c - a * b
 *   vmax(a, b)            a > b ? a : b, vmin(a, b): a < b ? a : b; so b when either is NaN
 *   vmaxabs(a, b)         the larger of |a| and |b|, of numbers
 *   vlt vle veq           ordered comparisons, false with NaN; visnan
 *   vsel(m, a, b)         m ? a : b
 *   vany vlanes           whether one is true; a bit for each lane that is
 *   vround                to the nearest integer, ties to even
 *   vcvt vtof             between whole floats and integers
 *   vscale2(x, n)         x * 2^n for whole n in -280 .. 280, one rounding, also into denormals
 *   vsum vhmax            over the lanes, always in the same order
 *   vimax_of visum_of     of FR_VLEN vectors: lane i is the largest, or the sum, of the lanes of vector i
 *   vturn                 of FR_VLEN vectors: rows and columns exchanged
 *   vistore_i8            four vectors as bytes, in order; their low 16 bits are a number of -128 .. 127
 *
 * vmath.h, included at the end, has vexp, vlog, vtanh, verf, vsin, vcos, vsigmoid. */
#ifndef FR_KERNEL_SIMD_VEC_H
#define FR_KERNEL_SIMD_VEC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* FR_NAME(add_f32) is add_f32_avx2 in the file compiled with -DFR_ISA=avx2. */
#ifdef FR_ISA
#define FR_NAME_JOIN2(name, isa) name##_##isa
#define FR_NAME_JOIN(name, isa)  FR_NAME_JOIN2(name, isa)
#define FR_NAME(name)            FR_NAME_JOIN(name, FR_ISA)
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#include "kernel/simd/vec_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "kernel/simd/vec_avx2.h"
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include "kernel/simd/vec_neon.h"
#else
#include "kernel/simd/vec_plain.h"
#endif

static inline vf32 vzero(void) {
    return vset1(0.0f);
}
static inline vf32 vneg(vf32 a) {
    return vfrombits(vixor(vbits(a), viset1(INT32_MIN)));
}
/* The sign of s on the size of a >= 0. */
static inline vf32 vcopysign(vf32 a, vf32 s) {
    return vfrombits(vior(vbits(a), viand(vbits(s), viset1(INT32_MIN))));
}
static inline vmask visnan(vf32 a) {
    return vmnot(veq(a, a));
}

#include "kernel/simd/vmath.h"

#endif
