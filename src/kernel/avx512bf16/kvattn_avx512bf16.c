/* kvattn_avx512bf16.c: attention over pages in bf16 with the dot instruction, laid out as the byte products
 * of avx512vnni/ are: scores 16 bytes of four tokens at a time, values two tokens interleaved.
 *
 * A record is [block of 8 channels][row][2][8] of bf16: q, and what rounding it left; the second half is
 * used only where some of it is not zero, which it is when q comes from bf16. Weights are rounded to bf16,
 * and what that takes from their sum in a page is made up for. */
#include <immintrin.h>
#include <string.h>

#include "kernel/kvattn.h"

enum { ROWS = FR_KVATTN_ROWS, TOKENS = FR_KV_TOKENS };

typedef struct record {
    int32_t two, pad[15];
} record;

static inline __m512 dot(__m512 sum, __m512i a, __m512i b) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

/* Eight values as bf16, and what that leaves of them. */
static inline __m128i to_bf16(__m256 x, __m256 *left) {
    const __m128i y = (__m128i)_mm256_cvtneps_pbh(x);
    const __m256 back = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(y), 16));
    *left = _mm256_sub_ps(x, back);
    return y;
}

static void query(const float *q, int64_t ldq, int rows, int64_t dim, void *out) {
    record *to = out;
    uint16_t *x = (uint16_t *)(to + 1);
    __m256 most = _mm256_setzero_ps(), left, rest;
    memset(out, 0, fr_kvattn_query_bytes(dim));
    for (int r = 0; r < rows; r++)
        for (int64_t d = 0; d < dim; d += 8) {
            uint16_t *at = x + (d / 8 * ROWS + r) * 16;
            _mm_store_si128((__m128i *)at, to_bf16(_mm256_loadu_ps(q + r * ldq + d), &left));
            _mm_store_si128((__m128i *)(at + 8), to_bf16(left, &rest));
            most = _mm256_or_ps(most, left);
        }
    to->two = _mm256_cmp_ps_mask(most, _mm256_setzero_ps(), _CMP_NEQ_UQ) != 0;
}

static inline void fetch(const fr_kvattn_head *next, size_t from, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)next->codes + from + i, _MM_HINT_T1);
}

/* ---- scores ---- */

/* 16 bytes of each of four tokens. */
static inline __m512i four(const uint8_t *x, size_t row) {
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)x));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, _mm_loadu_si128((const __m128i *)(x + row)));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, _mm_loadu_si128((const __m128i *)(x + 2 * row)));
    return _mm512_mask_broadcast_i32x4(v, 0xf000, _mm_loadu_si128((const __m128i *)(x + 3 * row)));
}

/* Sums of four rows, in four parts each, to [token][row]. */
static inline __m512 tree(const __m512 a[ROWS]) {
    __m512 x = _mm512_add_ps(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
    __m512 y = _mm512_add_ps(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
    const __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(x), _mm512_castps_pd(y));
    const __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(x), _mm512_castps_pd(y));
    return _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
}

static inline __m512i part_of_q(const uint16_t *q) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)q));
}

__attribute__((always_inline)) static inline void
score_eight(bool two, const uint16_t *q, const uint8_t *x, size_t row, const char *next, float *s) {
    __m512 sum[2][ROWS];
    for (int j = 0; j < 2; j++)
        for (int r = 0; r < ROWS; r++) sum[j][r] = _mm512_setzero_ps();
    for (size_t at = 0; at < row; at += 16, q += ROWS * 16) {
        const __m512i a = four(x + at, row), b = four(x + at + 4 * row, row);
        _mm_prefetch(next + 8 * at, _MM_HINT_T1);
        _mm_prefetch(next + 8 * at + 64, _MM_HINT_T1);
        for (int r = 0; r < ROWS; r++) {
            const __m512i y = part_of_q(q + r * 16);
            sum[0][r] = dot(sum[0][r], a, y);
            sum[1][r] = dot(sum[1][r], b, y);
            if (!two) continue;
            const __m512i z = part_of_q(q + r * 16 + 8);
            sum[0][r] = dot(sum[0][r], a, z);
            sum[1][r] = dot(sum[1][r], b, z);
        }
    }
    for (int j = 0; j < 2; j++) _mm512_storeu_ps(s + j * 16, tree(sum[j]));
}

static void score(const void *in, const fr_kvattn_head *k, float *s) {
    const record *q = in;
    const uint16_t *values = (const uint16_t *)(q + 1);
    const size_t row = fr_kvattn_row(k->kind, k->dim);
    const char *next = k->next ? k->next->codes : k->codes;
    for (int t = 0; t < TOKENS; t += 8) {
        const uint8_t *x = (const uint8_t *)k->codes + (size_t)t * row;
        if (q->two)
            score_eight(true, values, x, row, next + (size_t)t * row, s + t * ROWS);
        else
            score_eight(false, values, x, row, next + (size_t)t * row, s + t * ROWS);
    }
}

/* ---- values ---- */

/* Pairs of weights [two tokens][row][token] in bf16. */
static inline void weigh(const float *p, uint16_t *to) {
    const __m256i turn = _mm256_broadcastsi128_si256(
        _mm_set_epi8(15, 14, 7, 6, 13, 12, 5, 4, 11, 10, 3, 2, 9, 8, 1, 0));
    for (int t = 0; t < TOKENS; t += 4) {
        const __m256i x = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(p + t * ROWS));
        _mm256_storeu_si256((__m256i *)(to + t * ROWS), _mm256_shuffle_epi8(x, turn));
    }
}

static inline __m128 quarters(__m512 x) {
    x = _mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0x4e));
    return _mm512_castps512_ps128(_mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0xb1)));
}

/* By what rounding made the weights of each row smaller in all. Times that they add up to what they did, so what all
 * values of the page have in common is not rounded. */
static inline void make_up(const float *p, const uint16_t *w, float *by) {
    const __m512i ones = _mm512_set1_epi16(0x3f80);
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    __m512 now[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (int i = 0; i < TOKENS * ROWS; i += 64)
        for (int j = 0; j < 2; j++) {
            const float *at = p + i + 32 * j;
            sum[j] = _mm512_add_ps(sum[j], _mm512_loadu_ps(at));
            sum[j] = _mm512_add_ps(sum[j], _mm512_loadu_ps(at + 16));
            now[j] = dot(now[j], _mm512_loadu_si512(w + i + 32 * j), ones);
        }
    const __m128 all = quarters(_mm512_add_ps(sum[0], sum[1]));
    const __m128 rounded = quarters(_mm512_add_ps(now[0], now[1]));
    const __mmask8 none = _mm_cmp_ps_mask(rounded, _mm_setzero_ps(), _CMP_EQ_OQ);
    _mm_storeu_ps(by, _mm_mask_mov_ps(_mm_div_ps(all, rounded), none, _mm_set1_ps(1.0f)));
}

static inline __m512i two_weights(const uint16_t *w) {
    int32_t x;
    memcpy(&x, w, 4);
    return _mm512_set1_epi32(x);
}

/* 64 bytes of every token: [2][row][16] of the sums. A token outside lo .. hi is not looked at. */
static inline void add_slice(const uint16_t *w, const fr_kvattn_head *v, int lo, int hi, size_t at,
                             const float *fade, const float *by, float *o) {
    const size_t row = fr_kvattn_row(v->kind, v->dim), slices = (row + 63) / 64,
                 part = 2 * row / slices;
    const __mmask64 in = row - at >= 64 ? ~0ull : (1ull << (row - at)) - 1;
    const uint8_t *x = (const uint8_t *)v->codes + at;
    __m512 sum[2][ROWS];
    for (int i = 0; i < 2 * ROWS; i++) sum[i / 4][i % 4] = _mm512_setzero_ps();
    for (int t = lo / 2 * 2; t < hi; t += 2) {
        if (v->next) fetch(v->next, ((size_t)t / 2 * slices + at / 64) * part, part);
        const __m512i a = _mm512_maskz_loadu_epi8(t < lo ? 0 : in, x + (size_t)t * row);
        const __m512i b = _mm512_maskz_loadu_epi8(t + 1 < hi ? in : 0, x + (size_t)(t + 1) * row);
        const __m512i ab[2] = {_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)};
        for (int r = 0; r < ROWS; r++) {
            const __m512i y = two_weights(w + t * ROWS + 2 * r);
            for (int u = 0; u < 2; u++) sum[u][r] = dot(sum[u][r], ab[u], y);
        }
    }
    for (int u = 0; u < 2; u++)
        for (int r = 0; r < ROWS; r++, o += 16) {
            const __m512 old = _mm512_mul_ps(_mm512_load_ps(o), _mm512_set1_ps(fade[r]));
            _mm512_store_ps(o, _mm512_fmadd_ps(sum[u][r], _mm512_set1_ps(by[r]), old));
        }
}

static void add(const float *p, const fr_kvattn_head *v, int lo, int hi, const float *fade,
                void *sums) {
    const size_t row = fr_kvattn_row(v->kind, v->dim);
    uint16_t w[TOKENS * ROWS];
    float by[ROWS];
    weigh(p, w);
    make_up(p, w, by);
    for (size_t at = 0; at < row; at += 64)
        add_slice(w, v, lo, hi, at, fade, by, (float *)sums + at / 64 * (ROWS * 32));
}

static void result(const void *sums, int64_t dim, float *out) {
    const int64_t ld = fr_kvattn_ld(dim);
    const float *o = sums;
    for (int64_t d = 0; d < dim; d += 32)
        for (int u = 0; u < 2; u++)
            for (int r = 0; r < ROWS; r++, o += 16) {
                const __m512 x = _mm512_load_ps(o);
                float *to = out + r * ld + d + u * 4;
                _mm_storeu_ps(to, _mm512_castps512_ps128(x));
                _mm_storeu_ps(to + 8, _mm512_extractf32x4_ps(x, 1));
                _mm_storeu_ps(to + 16, _mm512_extractf32x4_ps(x, 2));
                _mm_storeu_ps(to + 24, _mm512_extractf32x4_ps(x, 3));
            }
}

void kvattn_fill_avx512bf16(fr_kvattn_kernels *out);

void kvattn_fill_avx512bf16(fr_kvattn_kernels *out) {
    out->way[FR_KV_BF16] = (fr_kvattn_way){8, query, score, add, result};
}
