/* qgemm_int_avx2.c: low-bit products with whole numbers, without a dot instruction.
 *
 * VPMADDUBSW multiplies unsigned with signed bytes and adds neighbours in 16 bits, cutting off what does
 * not fit. A code of 4 bits (NVFP4: 0 .. 24) fits many times: 8 steps of 2 * 15 * 127 stay below 2^15, and
 * so do all 16 steps of a group of W4A4. Weights of 8 bits do not fit once: even and odd k are taken apart
 * into 16 bits on both sides. */
#include "kernel/avx2/qgemm_pair.h"

#define DOT_STEPS 8

/* One statement, as gcc would otherwise multiply everything first and run out of registers. */
INLINE void dot(const bool first, pair *s, pair w, const char *a) {
    __m256i x, y;
    if (first)
        __asm__("vpbroadcastd %3, %2\n\t"
                "vpmaddubsw %2, %4, %0\n\t"
                "vpmaddubsw %2, %5, %1"
                : "=&x"(s->v[0]), "=&x"(s->v[1]), "=&x"(x)
                : "m"(*(const any32 *)a), "x"(w.v[0]), "x"(w.v[1]));
    else
        __asm__("vpbroadcastd %4, %2\n\t"
                "vpmaddubsw %2, %5, %3\n\t"
                "vpmaddubsw %2, %6, %2\n\t"
                "vpaddw %3, %0, %0\n\t"
                "vpaddw %2, %1, %1"
                : "+x"(s->v[0]), "+x"(s->v[1]), "=&x"(x), "=&x"(y)
                : "m"(*(const any32 *)a), "x"(w.v[0]), "x"(w.v[1]));
}
static const union {
    uint16_t words[16];
    __m256i v;
} ones = {{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};

INLINE __m256i dot_read(__m256i sums) {
    return madd_with(sums, &ones.v);
}
INLINE __m256i dot_times(__m256i sums, const __m256i *by) {
    return _mm256_madd_epi16(sums, _mm256_or_si256(*by, _mm256_slli_epi32(*by, 16)));
}

#include "kernel/avx2/qgemm_nibbles.h"
#include "kernel/avx2/qgemm_nvfp4.h"

/* ---- W8A8 ---- */

enum { GROUP = 128 };

/* The codes of a group, with 16 bits each: even k in the first half, odd k in the second. */
INLINE void widen(const int8_t *a, int16_t out[GROUP]) {
    for (int k = 0; k < GROUP; k += 32) {
        __m256i both = _mm256_load_si256((const __m256i *)(a + k));
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(both, 8), 8);
        _mm256_store_si256((__m256i *)(out + k / 2), even);
        _mm256_store_si256((__m256i *)(out + GROUP / 2 + k / 2), _mm256_srai_epi16(both, 8));
    }
}

INLINE void dot_wide(pair *s, pair w, const int16_t *a) {
    __m256i x, y;
    __asm__("vpbroadcastd %4, %2\n\t"
            "vpmaddwd %2, %5, %3\n\t"
            "vpmaddwd %2, %6, %2\n\t"
            "vpaddd %3, %0, %0\n\t"
            "vpaddd %2, %1, %1"
            : "+x"(s->v[0]), "+x"(s->v[1]), "=&x"(x), "=&x"(y)
            : "m"(*(const any32 *)a), "x"(w.v[0]), "x"(w.v[1]));
}

static const union {
    uint16_t words[16];
    __m256i v;
} low_bytes = {{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}};

INLINE void bytes_step(const int rows, const uint8_t *b, const int16_t *a, pair s[MR]) {
    const __m256i *codes = (const __m256i *)b;
    pair even = {{and_with(codes[0], &low_bytes.v), and_with(codes[1], &low_bytes.v)}};
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) dot_wide(&s[i], even, a + i * GROUP);
    pair odd = {{_mm256_srli_epi16(codes[0], 8), _mm256_srli_epi16(codes[1], 8)}};
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) dot_wide(&s[i], odd, a + i * GROUP + GROUP / 2);
}

INLINE void w8a8_tile(const int rows, const fr_qtile *t) {
    _Alignas(64) int16_t wide[MR * GROUP];
    const char *start = (const char *)t->a + t->row->start;
    __m256i *sum = t->sum;
    const size_t lda = t->lda, lds = t->lds / 8;
    pair s[MR];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        s[i].v[0] = s[i].v[1] = four_codes(start + (size_t)i * lda);
        if (t->add) s[i] = (pair){{sum[i * lds], sum[i * lds + 1]}};
    }
    for (int64_t g = t->g0; g < t->g0 + t->groups; g++) {
        const uint8_t *b = fr_qpanel_codes(t->panel, t->b, g);
        for (int i = 0; i < rows; i++)
            widen((const int8_t *)t->a + (size_t)i * lda + (size_t)g * GROUP, wide + i * GROUP);
        for (int k = 0; k < GROUP; k += 4) bytes_step(rows, b + k * NR, wide + k / 2, s);
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) sum[i * lds] = s[i].v[0], sum[i * lds + 1] = s[i].v[1];
}

static void w8a8(const fr_qtile *t) {
    switch (t->rows) {
    case 1: w8a8_tile(1, t); break;
    case 2: w8a8_tile(2, t); break;
    case 3: w8a8_tile(3, t); break;
    case 4: w8a8_tile(4, t); break;
    case 5: w8a8_tile(5, t); break;
    default: w8a8_tile(6, t); break;
    }
}

void fr_qgemm_fill_avx2_int(fr_qgemm_kernels *out) {
    nibbles_fill(out);
    nvfp4_fill(out);
    out->way[FR_Q_W8A8] = (struct fr_qgemm_way){MR, NR, w8a8};
}
