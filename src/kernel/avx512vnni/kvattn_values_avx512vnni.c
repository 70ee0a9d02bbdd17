/* kvattn_values_avx512vnni.c: attention over pages in 4 and 8 bits with byte products: values.
 *
 * The bytes of four tokens are interleaved, so that one product adds up four tokens with their four
 * weights. The weights p * scale are rounded up or down by a fixed pattern over the tokens, so that many small
 * ones keep their sum; in 4 bits to 8 bits of the largest, in 8 bits to 14.
 *
 * What rounding took from the sum of the weights is put back times the middle code. */
#include "kernel/avx512vnni/kvattn.h"

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

void kvattn_add_4_avx512vnni(const float *p, const fr_kvattn_head *v, int lo, int hi,
                             const float *fade, void *sums) {
    add(4, p, v, lo, hi, fade, sums);
}
void kvattn_add_8_avx512vnni(const float *p, const fr_kvattn_head *v, int lo, int hi,
                             const float *fade, void *sums) {
    add(8, p, v, lo, hi, fade, sums);
}
void kvattn_result_4_avx512vnni(const void *sums, int64_t dim, float *out) {
    result(4, sums, dim, out);
}
void kvattn_result_8_avx512vnni(const void *sums, int64_t dim, float *out) {
    result(8, sums, dim, out);
}
