/* kvattn_avx512vnni.c: attention over pages in 4 and 8 bits with byte products: queries and scores.
 *
 * Scores. A vector holds 16 bytes of four tokens, one token each 128 bits; the four rows of q are broadcast
 * 16 bytes at a time. So a sum has only four parts left, and one small tree turns the sums of four rows into
 * [token][row]. In 4 bits the even channels of q meet the low nibbles and the odd ones the high; in 8 bits q
 * has 15 bits, in two bytes (7 high, 8 low).
 *
 * What rounding took from the sum of q, or of the weights, is put back times the middle code. */
#include "kernel/avx512vnni/kvattn.h"

/* ---- queries ---- */

/* The head of a record; bytes of q follow, [block of codes of 16 bytes][row][2][16]: the second is the odd
 * channels, or the low part. Patterns of the four rows, four times. */
typedef struct record {
    float step[16];   /* of the integers */
    float middle[16]; /* what a code of scale 1 adds besides */
    float sum[16];    /* of q */
} record;

static int8_t *bytes_of(record *to, int64_t block, int r) {
    return (int8_t *)(to + 1) + (block * ROWS + r) * 32;
}

/* 32 values of a row, even channels first. */
static inline void bytes_4(__m512i a, __m512i b, int8_t *to) {
    const __m256i part = _mm256_broadcastsi128_si256(
        _mm_set_epi8(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0));
    const __m256i x = _mm256_set_m128i(_mm512_cvtepi32_epi8(b), _mm512_cvtepi32_epi8(a));
    _mm256_storeu_si256((__m256i *)to,
                        _mm256_permute4x64_epi64(_mm256_shuffle_epi8(x, part), 0xd8));
}

/* 16 values: their high parts, then what those leave. */
static inline void bytes_8(__m512i a, int8_t *to) {
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(a, _mm512_set1_epi32(64)), 7);
    const __m512i low = _mm512_sub_epi32(a, _mm512_slli_epi32(high, 7));
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128((__m128i *)(to + 16), _mm512_cvtepi32_epi8(low));
}

static void query_row(const float *q, int64_t dim, int bits, int r, record *to) {
    const float most = bits == 4 ? 127.0f : 127.0f * 128.0f;
    __m512 highs = _mm512_setzero_ps(), sums = _mm512_setzero_ps();
    __m512i wholes = _mm512_setzero_si512();
    for (int64_t d = 0; d < dim; d += 16) {
        const __m512 x = _mm512_loadu_ps(q + d);
        highs = _mm512_max_ps(_mm512_abs_ps(x), highs);
        sums = _mm512_add_ps(sums, x);
    }
    const float high = _mm512_reduce_max_ps(highs), sum = _mm512_reduce_add_ps(sums);
    const bool held = high > 1e-30f && high < 3e38f;
    const __m512 by = _mm512_set1_ps(held ? most / high : 0.0f);
    const float step = held ? high / most : 0.0f;
    for (int64_t d = 0; held && d < dim; d += bits == 4 ? 32 : 16) {
        const __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(q + d), by));
        wholes = _mm512_add_epi32(wholes, a);
        if (bits == 8) {
            bytes_8(a, bytes_of(to, d / 16, r));
            continue;
        }
        const __m512i b = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(q + d + 16), by));
        wholes = _mm512_add_epi32(wholes, b);
        bytes_4(a, b, bytes_of(to, d / 32, r));
    }
    const float whole = (float)_mm512_reduce_add_epi32(wholes);
    for (int i = r; i < 16; i += ROWS) {
        to->step[i] = step;
        to->middle[i] = (sum - step * whole) * (bits == 4 ? 7.5f : 127.5f);
        to->sum[i] = high < 3e38f ? sum : high * 0.0f; /* NaN when it cannot be held */
    }
}

static inline void query(const float *q, int64_t ldq, int rows, int64_t dim, int bits, void *out) {
    memset(out, 0, fr_kvattn_query_bytes(dim));
    for (int r = 0; r < rows; r++) query_row(q + r * ldq, dim, bits, r, out);
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
static inline __m512i tree(const __m512i a[ROWS]) {
    __m512i x =
        _mm512_add_epi32(_mm512_unpacklo_epi32(a[0], a[1]), _mm512_unpackhi_epi32(a[0], a[1]));
    __m512i y =
        _mm512_add_epi32(_mm512_unpacklo_epi32(a[2], a[3]), _mm512_unpackhi_epi32(a[2], a[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
}

static inline __m512i part_of_q(const int8_t *q) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)q));
}

/* Sixteen tokens: the dots of their codes with the rows, [4][token][row]. As many as registers allow: every part of
 * q is loaded for four vectors of codes. */
__attribute__((always_inline)) static inline void
dots4(const int8_t *q, const uint8_t *x, size_t row, const char *next, __m512 out[4]) {
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i sum[4][ROWS];
    for (int j = 0; j < 4; j++)
        for (int r = 0; r < ROWS; r++) sum[j][r] = _mm512_setzero_si512();
    for (size_t at = 0; at < row; at += 16, q += ROWS * 32) {
        __m512i low[4], high[4];
        for (int j = 0; j < 4; j++) {
            const __m512i a = four(x + at + (size_t)(4 * j) * row, row);
            low[j] = _mm512_and_si512(a, mask);
            high[j] = _mm512_and_si512(_mm512_srli_epi16(a, 4), mask);
            _mm_prefetch(next + 16 * at + 64 * j, _MM_HINT_T1);
        }
        for (int r = 0; r < ROWS; r++) {
            const __m512i even = part_of_q(q + r * 32), odd = part_of_q(q + r * 32 + 16);
            for (int j = 0; j < 4; j++) sum[j][r] = dot(sum[j][r], low[j], even);
            for (int j = 0; j < 4; j++) sum[j][r] = dot(sum[j][r], high[j], odd);
        }
    }
    for (int j = 0; j < 4; j++) out[j] = _mm512_cvtepi32_ps(tree(sum[j]));
}

/* Eight tokens, [2][token][row]. */
__attribute__((always_inline)) static inline void
dots8(const int8_t *q, const uint8_t *x, size_t row, const char *next, __m512 out[2]) {
    __m512i high[2][ROWS], low[2][ROWS];
    for (int j = 0; j < 2; j++)
        for (int r = 0; r < ROWS; r++) high[j][r] = low[j][r] = _mm512_setzero_si512();
    for (size_t at = 0; at < row; at += 16, q += ROWS * 32) {
        const __m512i a = four(x + at, row), b = four(x + at + 4 * row, row);
        _mm_prefetch(next + 8 * at, _MM_HINT_T1);
        _mm_prefetch(next + 8 * at + 64, _MM_HINT_T1);
        for (int r = 0; r < ROWS; r++) {
            const __m512i h = part_of_q(q + r * 32), l = part_of_q(q + r * 32 + 16);
            high[0][r] = dot(high[0][r], a, h);
            high[1][r] = dot(high[1][r], b, h);
            low[0][r] = dot(low[0][r], a, l);
            low[1][r] = dot(low[1][r], b, l);
        }
    }
    for (int j = 0; j < 2; j++)
        out[j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(tree(high[j])), _mm512_set1_ps(128.0f),
                                 _mm512_cvtepi32_ps(tree(low[j])));
}

__attribute__((always_inline)) static inline void score(int bits, const void *in,
                                                        const fr_kvattn_head *k, float *s) {
    const record *q = in;
    const size_t row = fr_kvattn_row(k->kind, k->dim);
    const __m512 step = _mm512_load_ps(q->step), middle = _mm512_load_ps(q->middle);
    const __m512 sum = _mm512_load_ps(q->sum);
    float scale[TOKENS] __attribute__((aligned(64))), offset[TOKENS] __attribute__((aligned(64)));
    const char *next = k->next ? k->next->codes : k->codes;
    affine(k, 0, TOKENS, scale, offset);
    if (k->next) fetch_scales(k->next);
    const int some = bits == 4 ? 16 : 8;
    for (int t = 0; t < TOKENS; t += some) {
        __m512 d[4];
        const uint8_t *x = (const uint8_t *)k->codes + (size_t)t * row;
        if (bits == 4)
            dots4((const int8_t *)(q + 1), x, row, next + (size_t)t * row, d);
        else
            dots8((const int8_t *)(q + 1), x, row, next + (size_t)t * row, d);
        for (int j = 0; j < some / 4; j++) {
            const __m512 y =
                _mm512_mul_ps(_mm512_fmadd_ps(d[j], step, middle), by_token(scale + t + 4 * j));
            _mm512_storeu_ps(s + (t + 4 * j) * ROWS,
                             _mm512_fmadd_ps(by_token(offset + t + 4 * j), sum, y));
        }
    }
}

static void query_4(const float *q, int64_t ldq, int rows, int64_t dim, void *out) {
    query(q, ldq, rows, dim, 4, out);
}
static void query_8(const float *q, int64_t ldq, int rows, int64_t dim, void *out) {
    query(q, ldq, rows, dim, 8, out);
}
static void score_4(const void *q, const fr_kvattn_head *k, float *s) {
    score(4, q, k, s);
}
static void score_8(const void *q, const fr_kvattn_head *k, float *s) {
    score(8, q, k, s);
}

void kvattn_fill_avx512vnni(fr_kvattn_kernels *out);

void kvattn_fill_avx512vnni(fr_kvattn_kernels *out) {
    out->way[FR_KV_4] = out->way[FR_KV_4_QOQ] =
        (fr_kvattn_way){32, query_4, score_4, kvattn_add_4_avx512vnni, kvattn_result_4_avx512vnni};
    out->way[FR_KV_8] = out->way[FR_KV_8_QOQ] =
        (fr_kvattn_way){16, query_8, score_8, kvattn_add_8_avx512vnni, kvattn_result_8_avx512vnni};
}
