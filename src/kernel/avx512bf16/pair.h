/* pair.h: a pair of bf16 in every lane, for the products with weights in few bits. */
#ifndef FR_KERNEL_AVX512BF16_PAIR_H
#define FR_KERNEL_AVX512BF16_PAIR_H

#include <immintrin.h>
#include <stdint.h>

/* clang would take VBROADCASTSS, which stands in the way of look-ups and shifts: VPBROADCASTD is a load alone. */
static inline __m512bh spread_pair(const char *a) {
#ifdef __clang__
    __m512i v;
    __asm__("vpbroadcastd %1, %0" : "=v"(v) : "m"(*(const int32_t *)a));
    return (__m512bh)v;
#else
    return (__m512bh)_mm512_set1_epi32(*(const int32_t *)a);
#endif
}

#endif
