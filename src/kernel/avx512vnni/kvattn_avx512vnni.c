/* kvattn_avx512vnni.c: attention over pages in 4 and 8 bits with byte products.
 *
 * Scores. A vector holds 16 bytes of four tokens, one token each 128 bits; the four rows of q are broadcast
 * 16 bytes at a time. So a sum has only four parts left, and one small tree turns the sums of four rows into
 * [token][row]. In 4 bits the even channels of q meet the low nibbles and the odd ones the high; in 8 bits q
 * has 15 bits, in two bytes (7 high, 8 low).
 *
 * Values. The bytes of four tokens are interleaved, so that one product adds up four tokens with their four
 * weights. The weights p * scale are rounded up or down by a fixed pattern over the tokens, so that many small
 * ones keep their sum; in 4 bits to 8 bits of the largest, in 8 bits to 14.
 *
 * What rounding took from the sum of q, or of the weights, is put back times the middle code. */
#include <immintrin.h>
#include <string.h>

#include "kernel/kvattn.h"

enum { ROWS = FR_KVATTN_ROWS, TOKENS = FR_KV_TOKENS };

/* gcc copies the sums of the intrinsic about. */
static inline __m512i dot(__m512i sum, __m512i u, __m512i s) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(s));
    return sum;
}

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

/* ---- what both sides need ---- */

/* Scales and offsets of tokens outside lo .. hi are zeros. */
static inline void affine(const fr_kvattn_head *h, int lo, int hi, float *scale, float *offset) {
    const bool qoq = h->kind == FR_KV_8_QOQ || h->kind == FR_KV_4_QOQ;
    for (int t = 0; t < TOKENS; t += 16) {
        __m512 s = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(h->scale + t)));
        __m512 o = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(h->offset + t)));
        if (qoq) o = _mm512_fnmadd_ps(s, o, _mm512_setzero_ps());
        if (lo > t || hi < t + 16) {
            const int from = lo - t < 0 ? 0 : lo - t > 16 ? 16 : lo - t;
            const int to = hi - t < from ? from : hi - t > 16 ? 16 : hi - t;
            const __mmask16 in = (__mmask16)((1u << to) - (1u << from));
            s = _mm512_maskz_mov_ps(in, s);
            o = _mm512_maskz_mov_ps(in, o);
        }
        _mm512_store_ps(scale + t, s);
        _mm512_store_ps(offset + t, o);
    }
}

/* Four values of as many tokens, each for its four rows. */
static inline __m512 by_token(const float *x) {
    const __m512i place = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    return _mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_load_ps(x)), place);
}

static inline void fetch(const fr_kvattn_head *next, size_t from, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)next->codes + from + i, _MM_HINT_T1);
}
static inline void fetch_scales(const fr_kvattn_head *next) {
    for (int t = 0; t < TOKENS; t += 32) {
        _mm_prefetch((const char *)(next->scale + t), _MM_HINT_T1);
        _mm_prefetch((const char *)(next->offset + t), _MM_HINT_T1);
    }
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

/* Eight tokens: the dots of their codes with the rows, [2][token][row]. */
__attribute__((always_inline)) static inline void
dots4(const int8_t *q, const uint8_t *x, size_t row, const char *next, __m512 out[2]) {
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i sum[2][ROWS];
    for (int j = 0; j < 2; j++)
        for (int r = 0; r < ROWS; r++) sum[j][r] = _mm512_setzero_si512();
    for (size_t at = 0; at < row; at += 16, q += ROWS * 32) {
        const __m512i a = four(x + at, row), b = four(x + at + 4 * row, row);
        _mm_prefetch(next + 8 * at, _MM_HINT_T1);
        _mm_prefetch(next + 8 * at + 64, _MM_HINT_T1);
        const __m512i al = _mm512_and_si512(a, mask), bl = _mm512_and_si512(b, mask);
        const __m512i ah = _mm512_and_si512(_mm512_srli_epi16(a, 4), mask);
        const __m512i bh = _mm512_and_si512(_mm512_srli_epi16(b, 4), mask);
        for (int r = 0; r < ROWS; r++) {
            const __m512i even = part_of_q(q + r * 32), odd = part_of_q(q + r * 32 + 16);
            sum[0][r] = dot(sum[0][r], al, even);
            sum[1][r] = dot(sum[1][r], bl, even);
            sum[0][r] = dot(sum[0][r], ah, odd);
            sum[1][r] = dot(sum[1][r], bh, odd);
        }
    }
    for (int j = 0; j < 2; j++) out[j] = _mm512_cvtepi32_ps(tree(sum[j]));
}

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
    for (int t = 0; t < TOKENS; t += 8) {
        __m512 d[2];
        const uint8_t *x = (const uint8_t *)k->codes + (size_t)t * row;
        if (bits == 4)
            dots4((const int8_t *)(q + 1), x, row, next + (size_t)t * row, d);
        else
            dots8((const int8_t *)(q + 1), x, row, next + (size_t)t * row, d);
        for (int j = 0; j < 2; j++) {
            const __m512 y =
                _mm512_mul_ps(_mm512_fmadd_ps(d[j], step, middle), by_token(scale + t + 4 * j));
            _mm512_storeu_ps(s + (t + 4 * j) * ROWS,
                             _mm512_fmadd_ps(by_token(offset + t + 4 * j), sum, y));
        }
    }
}

/* ---- values ---- */

/* Over the four tokens of a vector, to a pattern of the rows. */
static inline __m512 most_of(__m512 x) {
    x = _mm512_max_ps(x, _mm512_shuffle_f32x4(x, x, 0x4e));
    return _mm512_max_ps(x, _mm512_shuffle_f32x4(x, x, 0xb1));
}
static inline __m512 sum_of(__m512 x) {
    x = _mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0x4e));
    return _mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0xb1));
}

/* Weights as bytes [four tokens][row][token]; in 8 bits a second array has the low seven bits. */
typedef struct weights {
    uint8_t high[TOKENS * ROWS], low[TOKENS * ROWS];
    float step[16], all[16]; /* patterns: of the bytes, and what all channels get */
} weights;

/* Where between two integers a weight is rounded up: i/64 in an order that spreads. */
static const float threshold[TOKENS] __attribute__((aligned(64))) = {
#define R(i) ((float)(i) + 0.5f) / 64
    R(0),  R(32), R(16), R(48), R(8),  R(40), R(24), R(56), R(4),  R(36), R(20), R(52), R(12),
    R(44), R(28), R(60), R(2),  R(34), R(18), R(50), R(10), R(42), R(26), R(58), R(6),  R(38),
    R(22), R(54), R(14), R(46), R(30), R(62), R(1),  R(33), R(17), R(49), R(9),  R(41), R(25),
    R(57), R(5),  R(37), R(21), R(53), R(13), R(45), R(29), R(61), R(3),  R(35), R(19), R(51),
    R(11), R(43), R(27), R(59), R(7),  R(39), R(23), R(55), R(15), R(47), R(31), R(63),
#undef R
};

__attribute__((always_inline)) static inline void
weigh(int bits, const float *p, const fr_kvattn_head *v, int lo, int hi, weights *to) {
    const __m512i turn =
        _mm512_broadcast_i32x4(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
    const float levels = bits == 4 ? 255.0f : 127.0f * 128.0f;
    float scale[TOKENS] __attribute__((aligned(64))), offset[TOKENS] __attribute__((aligned(64)));
    float w[TOKENS * ROWS] __attribute__((aligned(64)));
    __m512 most = _mm512_setzero_ps(), all = _mm512_setzero_ps(), sum = _mm512_setzero_ps();
    affine(v, lo, hi, scale, offset);
    for (int t = 0; t < TOKENS; t += 4) {
        const __m512 x = _mm512_loadu_ps(p + t * ROWS), y = _mm512_mul_ps(x, by_token(scale + t));
        all = _mm512_fmadd_ps(x, by_token(offset + t), all);
        sum = _mm512_add_ps(sum, y);
        most = _mm512_max_ps(y, most);
        _mm512_store_ps(w + t * ROWS, y);
    }
    most = most_of(most);
    /* What is too small for a float to divide by counts as nothing. */
    const __mmask16 some = _mm512_cmp_ps_mask(most, _mm512_set1_ps(1e-30f), _CMP_GT_OQ);
    const __m512 by = _mm512_maskz_div_ps(some, _mm512_set1_ps(levels), most);
    const __m512 step = _mm512_mul_ps(most, _mm512_set1_ps(1.0f / levels));
    __m512i whole = _mm512_setzero_si512();
    for (int t = 0; t < TOKENS; t += 4) {
        const __m512 y = _mm512_fmadd_ps(_mm512_load_ps(w + t * ROWS), by, by_token(threshold + t));
        const __m512i i = _mm512_min_epi32(_mm512_cvttps_epi32(y), _mm512_set1_epi32((int)levels));
        whole = _mm512_add_epi32(whole, i);
        if (bits == 8) {
            const __m128i low = _mm512_cvtepi32_epi8(_mm512_and_si512(i, _mm512_set1_epi32(127)));
            _mm_storeu_si128((__m128i *)(to->low + t * ROWS),
                             _mm_shuffle_epi8(low, _mm512_castsi512_si128(turn)));
        }
        const __m128i high = _mm512_cvtepi32_epi8(bits == 8 ? _mm512_srli_epi32(i, 7) : i);
        _mm_storeu_si128((__m128i *)(to->high + t * ROWS),
                         _mm_shuffle_epi8(high, _mm512_castsi512_si128(turn)));
    }
    const __m512 kept = _mm512_mul_ps(_mm512_cvtepi32_ps(whole), step);
    const __m512 middle = _mm512_set1_ps(bits == 4 ? 7.5f : 127.5f);
    _mm512_storeu_ps(to->step, step);
    _mm512_storeu_ps(to->all, sum_of(_mm512_fmadd_ps(_mm512_sub_ps(sum, kept), middle, all)));
}

/* Half (the low or the high eight bytes of every 16) of 64 bytes of four tokens, interleaved: [2]. */
static inline void interleave(const uint8_t *x, size_t row, __mmask64 in, int half,
                              __m512i out[2]) {
    const __m512i a = _mm512_maskz_loadu_epi8(in, x), b = _mm512_maskz_loadu_epi8(in, x + row);
    const __m512i c = _mm512_maskz_loadu_epi8(in, x + 2 * row),
                  d = _mm512_maskz_loadu_epi8(in, x + 3 * row);
    const __m512i ab = half ? _mm512_unpackhi_epi8(a, b) : _mm512_unpacklo_epi8(a, b);
    const __m512i cd = half ? _mm512_unpackhi_epi8(c, d) : _mm512_unpacklo_epi8(c, d);
    out[0] = _mm512_unpacklo_epi16(ab, cd);
    out[1] = _mm512_unpackhi_epi16(ab, cd);
}

static inline __m512i four_weights(const uint8_t *w) {
    int32_t x;
    memcpy(&x, w, 4);
    return _mm512_set1_epi32(x);
}

/* sums [2][2][row]: which interleaved vector; in 4 bits which nibble, in 8 bits which byte of the weight. */
__attribute__((always_inline)) static inline void
add_four(int bits, const weights *w, int t, const __m512i x[2], __m512i sum[2][2][ROWS]) {
    const __m512i mask = _mm512_set1_epi8(15);
    for (int u = 0; u < 2; u++) {
        const __m512i low = _mm512_and_si512(x[u], mask);
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16(x[u], 4), mask);
        for (int r = 0; r < ROWS; r++) {
            const __m512i a = four_weights(w->high + t * ROWS + 4 * r);
            if (bits == 4) {
                sum[u][0][r] = dot(sum[u][0][r], a, low);
                sum[u][1][r] = dot(sum[u][1][r], a, high);
            } else {
                sum[u][0][r] = dot(sum[u][0][r], x[u], a);
                sum[u][1][r] = dot(sum[u][1][r], x[u], four_weights(w->low + t * ROWS + 4 * r));
            }
        }
    }
}

static inline void keep(float *o, __m512i sum, __m512 step, __m512 fade) {
    const __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), step);
    _mm512_store_ps(o, _mm512_fmadd_ps(_mm512_load_ps(o), fade, x));
}

/* One half of 64 bytes of every token: [2][2 in 4 bits][row][16] of the sums. */
__attribute__((always_inline)) static inline float *add_half(int bits, const weights *w,
                                                             const fr_kvattn_head *v, int lo,
                                                             int hi, size_t at, int half,
                                                             const float *fade, float *o) {
    const size_t row = fr_kvattn_row(v->kind, v->dim), halves = (row + 63) / 64 * 2,
                 part = 4 * row / halves;
    const size_t which = at / 64 * 2 + (size_t)half;
    const __mmask64 in = row - at >= 64 ? ~0ull : (1ull << (row - at)) - 1;
    const uint8_t *x = (const uint8_t *)v->codes + at;
    __m512i sum[2][2][ROWS];
    for (int i = 0; i < 4 * ROWS; i++) sum[i / 8][i / 4 % 2][i % 4] = _mm512_setzero_si512();
    for (int t = lo; t < hi; t += 4) {
        __m512i z[2];
        if (v->next) fetch(v->next, ((size_t)t / 4 * halves + which) * part, part);
        interleave(x + (size_t)t * row, row, in, half, z);
        add_four(bits, w, t, z, sum);
    }
    for (int u = 0; u < 2; u++)
        for (int n = 0; n < (bits == 4 ? 2 : 1); n++)
            for (int r = 0; r < ROWS; r++, o += 16) {
                if (bits == 8)
                    sum[u][0][r] =
                        _mm512_add_epi32(_mm512_slli_epi32(sum[u][0][r], 7), sum[u][1][r]);
                keep(o, sum[u][n][r], _mm512_set1_ps(w->step[r]), _mm512_set1_ps(fade[r]));
            }
    return o;
}

__attribute__((always_inline)) static inline void add(int bits, const float *p,
                                                      const fr_kvattn_head *v, int lo, int hi,
                                                      const float *fade, void *sums) {
    const size_t row = fr_kvattn_row(v->kind, v->dim);
    float *o = sums, *all = o + ROWS * fr_kvattn_ld(v->dim);
    weights w;
    weigh(bits, p, v, lo, hi, &w);
    if (v->next) fetch_scales(v->next);
    for (int r = 0; r < ROWS; r++) all[r] = all[r] * fade[r] + w.all[r];
    lo = lo / 4 * 4;
    for (size_t at = 0; at < row; at += 64)
        for (int half = 0; half < 2; half++) o = add_half(bits, &w, v, lo, hi, at, half, fade, o);
}

/* Four channels each of four places `apart` floats apart. */
static inline void place(float *out, int64_t apart, __m512 x) {
    _mm_storeu_ps(out, _mm512_castps512_ps128(x));
    _mm_storeu_ps(out + apart, _mm512_extractf32x4_ps(x, 1));
    _mm_storeu_ps(out + 2 * apart, _mm512_extractf32x4_ps(x, 2));
    _mm_storeu_ps(out + 3 * apart, _mm512_extractf32x4_ps(x, 3));
}

static inline void result(int bits, const void *sums, int64_t dim, float *out) {
    const int64_t ld = fr_kvattn_ld(dim), slice = bits == 4 ? 128 : 64;
    const float *o = sums, *all = o + ROWS * ld;
    for (int64_t d = 0; d < dim; d += slice)
        for (int quarter = 0; quarter < 4; quarter++)
            for (int r = 0; r < ROWS; r++) {
                const __m512 more = _mm512_set1_ps(all[r]);
                const float *from = o + (d * ROWS + quarter * (slice / 4) * ROWS + r * 16);
                float *to = out + r * ld + d + quarter * (slice / 16);
                const __m512 x = _mm512_add_ps(_mm512_load_ps(from), more);
                if (bits == 8) {
                    place(to, 16, x);
                    continue;
                }
                const __m512 y = _mm512_add_ps(_mm512_load_ps(from + ROWS * 16), more);
                place(to, 32, _mm512_unpacklo_ps(x, y));
                place(to + 4, 32, _mm512_unpackhi_ps(x, y));
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
static void add_4(const float *p, const fr_kvattn_head *v, int lo, int hi, const float *fade,
                  void *sums) {
    add(4, p, v, lo, hi, fade, sums);
}
static void add_8(const float *p, const fr_kvattn_head *v, int lo, int hi, const float *fade,
                  void *sums) {
    add(8, p, v, lo, hi, fade, sums);
}
static void result_4(const void *sums, int64_t dim, float *out) {
    result(4, sums, dim, out);
}
static void result_8(const void *sums, int64_t dim, float *out) {
    result(8, sums, dim, out);
}

void kvattn_fill_avx512vnni(fr_kvattn_kernels *out);

void kvattn_fill_avx512vnni(fr_kvattn_kernels *out) {
    out->way[FR_KV_4] = out->way[FR_KV_4_QOQ] =
        (fr_kvattn_way){32, query_4, score_4, add_4, result_4};
    out->way[FR_KV_8] = out->way[FR_KV_8_QOQ] =
        (fr_kvattn_way){16, query_8, score_8, add_8, result_8};
}
