/* qgemm_avxvnni.c: low-bit products with whole numbers by VPDPBUSD on registers of 32 bytes: four products
 * of unsigned and signed bytes, added to 32 bits, exact.
 *
 * The tests also compile this file with the instruction in the encoding of AVX-512 (FR_VNNI_EVEX), for
 * machines that have only that one. */
#include "kernel/avx2/qgemm_pair.h"

#ifdef FR_VNNI_EVEX
#define VPDPBUSD "vpdpbusd"
#else
#define VPDPBUSD "%{vex%} vpdpbusd"
#endif

#define DOT_STEPS 32

/* Written out, as gcc copies the sums of its own VPDPBUSD. */
INLINE void dot(const bool first, pair *s, pair w, const char *a) {
    __m256i x;
    if (first) s->v[0] = s->v[1] = _mm256_setzero_si256();
    __asm__("vpbroadcastd %3, %2\n\t" VPDPBUSD " %2, %4, %0\n\t" VPDPBUSD " %2, %5, %1"
            : "+x"(s->v[0]), "+x"(s->v[1]), "=&x"(x)
            : "m"(*(const any32 *)a), "x"(w.v[0]), "x"(w.v[1]));
}

INLINE __m256i dot_read(__m256i sums) {
    return sums;
}
INLINE __m256i dot_times(__m256i sums, const __m256i *by) {
    return _mm256_mullo_epi32(sums, *by);
}

#include "kernel/avx2/qgemm_nibbles.h"
#include "kernel/avx2/qgemm_nvfp4.h"

/* ---- W8A8 ---- */

INLINE void w8a8_tile(const int rows, const fr_qtile *t) {
    enum { GROUP = 128 };
    const char *start = (const char *)t->a + t->row->start;
    const __m256i *b = fr_qpanel_codes(t->panel, t->b, t->g0);
    rows_at a = rows_of(rows, t, (size_t)t->g0 * GROUP);
    __m256i *sum = t->sum;
    const size_t lda = t->lda, lds = t->lds / 8;
    pair s[MR];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        s[i].v[0] = s[i].v[1] = four_codes(start + (size_t)i * lda);
        if (t->add) s[i] = (pair){{sum[i * lds], sum[i * lds + 1]}};
    }
    for (const __m256i *end = b + t->groups * (GROUP / 4 * 2); b < end; b += 16) {
#pragma GCC unroll 8
        for (int p = 0; p < 8; p++) {
            pair w = {{b[2 * p], b[2 * p + 1]}};
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) dot(false, &s[i], w, a.row[i] + 4 * p);
        }
        forward(rows, &a, 32);
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

void fr_qgemm_fill_avxvnni(fr_qgemm_kernels *out) {
    nibbles_fill(out);
    nvfp4_fill(out);
    out->way[FR_Q_W8A8] = (struct fr_qgemm_way){MR, NR, w8a8};
}
