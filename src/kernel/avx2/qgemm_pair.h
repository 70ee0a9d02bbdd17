/* qgemm_pair.h: what tiles of 6 x 16 in registers of 32 bytes have in common. */
#ifndef FR_KERNEL_QGEMM_PAIR_H
#define FR_KERNEL_QGEMM_PAIR_H

#include <immintrin.h>
#include <string.h>

#include "kernel/kernel.h"

#define INLINE static inline __attribute__((always_inline))

#define MR 6
#define NR 16

typedef struct pair { /* the 8 columns of the first half, and of the second */
    __m256i v[2];
} pair;
typedef struct pair_f32 {
    __m256 v[2];
} pair_f32;

/* Four bytes of any kind, for instructions that spread them. */
typedef int32_t __attribute__((may_alias)) any32;

INLINE __m256i four_codes(const char *a) {
    return _mm256_set1_epi32(*(const any32 *)a);
}

/* Constants that are not to be kept in a register. */
INLINE __m256i load(const __m256i *c) {
    __m256i x;
    __asm__ volatile("vmovdqa %1, %0" : "=x"(x) : "m"(*c));
    return x;
}
INLINE __m256i and_with(__m256i x, const __m256i *c) {
    __m256i y;
    __asm__("vpand %2, %1, %0" : "=x"(y) : "x"(x), "m"(*c));
    return y;
}
INLINE __m256i madd_with(__m256i x, const __m256i *c) {
    __m256i y;
    __asm__("vpmaddwd %2, %1, %0" : "=x"(y) : "x"(x), "m"(*c));
    return y;
}
INLINE __m256 mul_with(__m256 x, const __m256 *c) {
    __m256 y;
    __asm__("vmulps %2, %1, %0" : "=x"(y) : "x"(x), "m"(*c));
    return y;
}

/* Where the next codes of the rows lie. */
typedef struct rows_at {
    const char *row[MR];
} rows_at;

INLINE rows_at rows_of(const int rows, const fr_qtile *t, size_t k) {
    rows_at r;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) r.row[i] = (const char *)t->a + k + (size_t)i * t->lda;
    return r;
}

/* On by some bytes. One register a row, and nothing that gcc could take for an index of it. */
INLINE void forward(const int rows, rows_at *r, size_t bytes) {
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        r->row[i] += bytes;
        __asm__ volatile("" : "+r"(r->row[i]));
    }
}

#endif
