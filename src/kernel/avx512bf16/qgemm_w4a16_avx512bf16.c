/* qgemm_w4a16_avx512bf16.c: weights in 4 bits times rows of bf16: 12 x 32 tiles with VDPBF16PS.
 *
 * A code c becomes the bf16 number c - 8 by VPERMW in a table, which reads the low 5 bits of a 16-bit lane:
 * the table repeats itself, so the fifth bit, the neighbour's, does not matter, and one shift brings up the
 * next nibble of each lane. With 8 taken off here the sums stay small, and (zero - 8) less_g is what is left
 * to add: for int4, whose zero is 8, nothing. */
#include "kernel/avx512bf16/pair.h"
#include "kernel/kernel.h"
#include "kernel/simd/by_rows.h"

#define INLINE static inline __attribute__((always_inline))
#define MR     12
#define NR     32
/* Few rows read panels from memory once: into the second cache so far ahead that with k up to 4096 the next
 * panel is there when this one ends, and from there a little ahead into the first. */
#define FAR_AHEAD    (80 << 10)
#define AHEAD        1024
#define AHEAD_GROUPS 12

static const uint16_t values[32] __attribute__((aligned(64))) = {
    0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000,
    0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040,
    0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0,
};

static inline __m512bh lookup(__m512i codes) {
    return (__m512bh)_mm512_permutexvar_epi16(codes, _mm512_load_si512(values));
}

/* Scales of half a panel in group g. */
static inline __m512 scale_at(const fr_qtile *t, int64_t g, int half) {
    const char *at = (const char *)t->b + t->panel->scales + (size_t)g * (NR * 2) + half * 32;
    __m256i s = _mm256_load_si256((const __m256i *)at);
    if (!t->panel->bf16_scales) return _mm512_cvtph_ps(s);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(s), 16));
}

static inline __m512 zero_at(const fr_qtile *t, int64_t g, int half) {
    const char *at = (const char *)t->b + t->panel->zeros + (size_t)g * NR + half * 16;
    __m512i z = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)at));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(z, _mm512_set1_epi32(8)));
}

/* s += 4 k. */
INLINE void four_k(const int rows, const char *b, const char *a, size_t lda, __m512 s[][2]) {
    /* Words from the next byte on save a shift, which is what one or two rows are short of. */
    __m512i x = _mm512_load_si512(b);
    __m512i y = rows <= 2 ? _mm512_loadu_si512(b + 1) : _mm512_srli_epi16(x, 8);
#pragma GCC unroll 2
    for (int p = 0; p < 2; p++) {
        __m512bh w0 = lookup(p ? _mm512_srli_epi16(x, 4) : x);
        __m512bh w1 = lookup(p ? _mm512_srli_epi16(y, 4) : y);
        for (int i = 0; i < rows; i++) {
            __m512bh v = spread_pair(a + (size_t)i * lda + 4 * p);
            s[i][0] = _mm512_dpbf16_ps(s[i][0], v, w0);
            s[i][1] = _mm512_dpbf16_ps(s[i][1], v, w1);
        }
    }
}

/* `many` groups from g, in the order of k. */
INLINE void some_groups(const int rows, const int many, const fr_qtile *t, int64_t g) {
    const size_t lda = t->lda, bytes = t->panel->code_bytes, a_bytes = (size_t)t->panel->group * 2;
    const char *a = (const char *)t->a + (size_t)g * a_bytes;
    const char *b = fr_qpanel_codes(t->panel, t->b, g);
    const char *end = b + bytes, *less = (const char *)t->a + t->row->less + 4 * g;
    const bool ahead = rows <= 8;
    const size_t near = many > 1 ? (size_t)many * bytes : AHEAD; /* where these are done */
    __m512 s[2][MR][2];
#pragma GCC unroll 2
    for (int c = 0; c < many; c++) {
        __m512 z0 = zero_at(t, g + c, 0), z1 = zero_at(t, g + c, 1);
        for (int i = 0; i < rows; i++) {
            __m512 l = _mm512_set1_ps(*(const float *)(less + (size_t)i * lda + 4 * c));
            s[c][i][0] = _mm512_mul_ps(z0, l), s[c][i][1] = _mm512_mul_ps(z1, l);
        }
        if (ahead) {
            const char *panel = t->b;
            size_t next = (size_t)(g + c) + AHEAD_GROUPS;
            _mm_prefetch(panel + t->panel->scales + next * (NR * 2), _MM_HINT_T0);
            _mm_prefetch(panel + t->panel->zeros + next * NR, _MM_HINT_T0);
        }
    }
#pragma GCC unroll 2
    for (; b < end; b += 64, a += 8)
#pragma GCC unroll 2
        for (int c = 0; c < many; c++) {
            const char *codes = b + (size_t)c * bytes;
            if (ahead) {
                _mm_prefetch(codes + FAR_AHEAD, _MM_HINT_T1);
                _mm_prefetch(codes + near, _MM_HINT_T0);
            }
            four_k(rows, codes, a + (size_t)c * a_bytes, lda, s[c]);
        }
#pragma GCC unroll 2
    for (int c = 0; c < many; c++) {
        __m512 by0 = scale_at(t, g + c, 0), by1 = scale_at(t, g + c, 1);
        float *sum = t->sum;
        for (int i = 0; i < rows; i++, sum += t->lds) {
            _mm512_store_ps(sum, _mm512_fmadd_ps(s[c][i][0], by0, _mm512_load_ps(sum)));
            _mm512_store_ps(sum + 16, _mm512_fmadd_ps(s[c][i][1], by1, _mm512_load_ps(sum + 16)));
        }
    }
}

/* A group's sum is one chain for each column, so that a row has the same bits in a product of one row and of many; few
 * rows work on several groups at once, so that no sum waits for the one before. */
INLINE void groups(const int rows, const fr_qtile *t) {
    const int many = rows <= 3 ? 2 : 1;
    int64_t g = t->g0, end = t->g0 + t->groups;
    float *sum = t->sum;
    for (int i = 0; i < rows && !t->add; i++, sum += t->lds) {
        _mm512_store_ps(sum, _mm512_setzero_ps());
        _mm512_store_ps(sum + 16, _mm512_setzero_ps());
    }
    for (; g + many <= end; g += many) some_groups(rows, many, t, g);
    if (many > 1)
        for (; g < end; g++) some_groups(rows, 1, t, g);
}

static void tile_w4a16(const fr_qtile *t) {
    FR_BY_ROWS_12(t->rows, groups, t);
}

void fr_qgemm_fill_avx512bf16_w4a16(fr_qgemm_kernels *out) {
    out->way[FR_Q_W4A16] = (struct fr_qgemm_way){MR, NR, tile_w4a16};
}
