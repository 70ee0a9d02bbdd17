/* attn_avx512bf16.c: tiled attention over bf16 with the dot-product instruction, which multiplies
 * pairs and adds both products to an f32: twice the multiply-adds of f32 a cycle.
 *
 * 16 queries lie in the lanes of a vector, each as a pair of neighbouring dims (score) or of
 * neighbouring keys (accumulate); the other side is broadcast 32 bits at a time. The weights p are
 * rounded to bf16 for the second product, and their sum is that of the rounded ones: so they add up
 * to one, and what all values have in common is not rounded. The instruction takes denormals for
 * zero. */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernel/attn.h"
#include "kernel/avx512/turn.h"

void attn_fill_avx512bf16(fr_attn_kernels *out);

enum { LANES = 32, COLS = 2, GROUP = 8 };

static inline __m512bh as_bf16(__m512i x) {
    __m512bh y;
    memcpy(&y, &x, sizeof y);
    return y;
}

static void pack_panel(const void *const *row, bool half, int64_t dim, void *panel) {
    (void)half; /* this path is for bf16 alone */
    for (int g = 0; g < LANES; g += 16)
        for (int64_t d = 0; d < dim; d += 32) {
            uint32_t *to = (uint32_t *)panel + d / 2 * LANES + g;
            const int n = dim - d < 32 ? (int)(dim - d) : 32;
            const __mmask32 mask = n < 32 ? (1u << n) - 1 : 0xffffffffu;
            __m512i r[16];
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++)
                r[i] = row[g + i] ? _mm512_maskz_loadu_epi16(mask, (const uint16_t *)row[g + i] + d)
                                  : _mm512_setzero_si512();
            transpose16(r);
#pragma GCC unroll 16
            for (int j = 0; j < 16; j++)
                if (2 * j < n) _mm512_storeu_si512(to + j * LANES, r[j]);
        }
}

static void pack_rows(const void *const *row, int64_t count, bool half, int64_t dim, void *rows) {
    const int64_t ld = fr_attn_ld(dim);
    uint16_t *out = rows;
    (void)half;
    for (int64_t j = 0; j < count; j++) {
        int64_t d = 0;
        for (; d + 32 <= dim; d += 32)
            _mm512_storeu_si512(out + j * ld + d, _mm512_loadu_si512((const uint16_t *)row[j] + d));
        if (d < dim) {
            __mmask32 tail = (__mmask32)((1u << (dim - d)) - 1);
            __mmask32 room = (__mmask32)(((uint64_t)1 << (ld - d)) - 1);
            __m512i x = _mm512_maskz_loadu_epi16(tail, (const uint16_t *)row[j] + d);
            _mm512_mask_storeu_epi16(out + j * ld + d, room, x);
        }
    }
    for (int64_t j = count; j % GROUP; j++) memset(out + j * ld, 0, (size_t)ld * sizeof *out);
}

/* Two keys side by side: key j in the low halves, key j + 1 in the high ones. */
static bool pack_cols(const void *const *row, int64_t count, bool half, int64_t dim, int64_t cap,
                      void *cols) {
    uint16_t *out = cols;
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u), infinite = _mm512_set1_epi16(0x7f80);
    __mmask32 bad = 0;
    (void)half;
    for (int64_t j = 0; j < count; j += 2)
        for (int64_t d = 0; d < dim; d += 16) {
            int64_t n = dim - d < 16 ? dim - d : 16;
            __mmask16 mask = (__mmask16)((1u << n) - 1);
            __m256i a = _mm256_maskz_loadu_epi16(mask, (const uint16_t *)row[j] + d);
            __m256i b = j + 1 < count
                            ? _mm256_maskz_loadu_epi16(mask, (const uint16_t *)row[j + 1] + d)
                            : _mm256_setzero_si256();
            __m512i low = _mm512_cvtepu16_epi32(a);
            __m512i up = _mm512_and_si512(_mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16), high);
            __m512i x = _mm512_or_si512(low, up);
            bad |= _mm512_cmpeq_epi16_mask(_mm512_and_si512(x, infinite), infinite);
            uint16_t *to = out + d * cap + j * GROUP;
            _mm256_storeu_si256((__m256i *)(void *)to, _mm512_castsi512_si256(x));
            if (n > GROUP)
                _mm256_storeu_si256((__m256i *)(void *)(to + GROUP * cap),
                                    _mm512_extracti64x4_epi64(x, 1));
        }
    return !bad;
}

/* 32 bits from anywhere, to every lane. */
static inline __m512i pair(const uint16_t *p) {
    int32_t x;
    memcpy(&x, p, sizeof x);
    return _mm512_set1_epi32(x);
}

static inline void score_group(const uint16_t *panel, const uint16_t *rows, int64_t ld, int64_t dim,
                               float *s) {
    __m512 acc[GROUP][COLS];
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < COLS; c++) acc[r][c] = _mm512_setzero_ps();
    for (int64_t d = 0; d < dim; d += 2) {
        __m512bh q[COLS];
        for (int c = 0; c < COLS; c++)
            q[c] = as_bf16(_mm512_loadu_si512(panel + d * LANES + c * 32));
        for (int r = 0; r < GROUP; r++) {
            __m512bh k = as_bf16(pair(rows + r * ld + d));
            for (int c = 0; c < COLS; c++) acc[r][c] = _mm512_dpbf16_ps(acc[r][c], k, q[c]);
        }
    }
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < COLS; c++) _mm512_storeu_ps(s + r * LANES + c * 16, acc[r][c]);
}

static void score(const void *panel, const void *rows, int64_t count, int64_t dim, float *s) {
    const int64_t ld = fr_attn_ld(dim);
    for (int64_t j = 0; j < count; j += GROUP)
        score_group(panel, (const uint16_t *)rows + j * ld, ld, dim, s + j * LANES);
}

/* 2^x for x <= 0 and NaN, relative error 2.8e-6: far finer than bf16. */
static inline __m512 exp2_low(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-152.0f), x); /* this order keeps NaN */
    __m512 n = _mm512_roundscale_ps(x, 8);
    __m512 f = _mm512_sub_ps(x, n);
    __m512 q = _mm512_set1_ps(9.582853195e-03f);
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(5.590642524e-02f));
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(2.402409861e-01f));
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(6.931241933e-01f));
    return _mm512_scalef_ps(_mm512_fmadd_ps(q, f, _mm512_set1_ps(1.0f)), n);
}

static void softmax(float *s, int64_t count, float c, float *top, float *sum, float *fade) {
    /* 16 weights of key j and 16 of key j + 1 as 16 pairs. */
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512bh ones = as_bf16(_mm512_set1_epi16(0x3f80));
    const __m512 scale = _mm512_set1_ps(c);
    uint16_t *p = (uint16_t *)(void *)s;
    __m512 high[COLS], base[COLS], add[COLS];
    for (int i = 0; i < COLS; i++) high[i] = _mm512_loadu_ps(top + i * 16);
    for (int64_t j = 0; j < count; j++)
        for (int i = 0; i < COLS; i++)
            high[i] = _mm512_max_ps(_mm512_loadu_ps(s + j * LANES + i * 16), high[i]);
    for (int i = 0; i < COLS; i++) {
        __m512 old = _mm512_mul_ps(_mm512_loadu_ps(top + i * 16), scale);
        _mm512_storeu_ps(top + i * 16, high[i]);
        __mmask16 some = _mm512_cmp_ps_mask(high[i], _mm512_set1_ps(-INFINITY), _CMP_NEQ_UQ);
        base[i] = _mm512_maskz_mul_ps(some, high[i], scale);
        _mm512_storeu_ps(fade + i * 16, exp2_low(_mm512_sub_ps(old, base[i])));
        add[i] = _mm512_setzero_ps();
    }
    /* In place: the pairs of keys j, j + 1 take the room of the scores of key j / 2. */
    for (int64_t j = 0; j < count; j += 2) {
        __m512 a[COLS], b[COLS];
        for (int i = 0; i < COLS; i++) {
            a[i] =
                exp2_low(_mm512_fmsub_ps(_mm512_loadu_ps(s + j * LANES + i * 16), scale, base[i]));
            b[i] = _mm512_setzero_ps();
            if (j + 1 < count)
                b[i] = exp2_low(
                    _mm512_fmsub_ps(_mm512_loadu_ps(s + (j + 1) * LANES + i * 16), scale, base[i]));
        }
        for (int i = 0; i < COLS; i++) {
            __m512bh both = _mm512_cvtne2ps_pbh(b[i], a[i]);
            __m512i x;
            memcpy(&x, &both, sizeof x);
            x = _mm512_permutexvar_epi16(order, x);
            add[i] = _mm512_dpbf16_ps(add[i], as_bf16(x), ones);
            _mm512_storeu_si512(p + j * LANES + i * 32, x);
        }
    }
    for (int i = 0; i < COLS; i++) {
        __m512 l = _mm512_loadu_ps(sum + i * 16), f = _mm512_loadu_ps(fade + i * 16);
        _mm512_storeu_ps(sum + i * 16, _mm512_fmadd_ps(l, f, add[i]));
    }
}

static inline void accumulate_group(const uint16_t *p, const uint16_t *cols, int64_t count,
                                    const float *fade, float *o) {
    __m512 acc[GROUP][COLS];
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < COLS; c++) {
            acc[r][c] = _mm512_loadu_ps(o + r * LANES + c * 16);
            if (fade) acc[r][c] = _mm512_mul_ps(acc[r][c], _mm512_loadu_ps(fade + c * 16));
        }
    for (int64_t j = 0; j < count; j += 2) {
        __m512bh x[COLS];
        for (int c = 0; c < COLS; c++) x[c] = as_bf16(_mm512_loadu_si512(p + j * LANES + c * 32));
        for (int r = 0; r < GROUP; r++) {
            __m512bh v = as_bf16(pair(cols + j * GROUP + 2 * r));
            for (int c = 0; c < COLS; c++) acc[r][c] = _mm512_dpbf16_ps(acc[r][c], v, x[c]);
        }
    }
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < COLS; c++) _mm512_storeu_ps(o + r * LANES + c * 16, acc[r][c]);
}

static void accumulate(const void *p, const void *cols, int64_t count, int64_t dim, int64_t cap,
                       const float *fade, float *o) {
    for (int64_t d = 0; d < dim; d += GROUP)
        accumulate_group(p, (const uint16_t *)cols + d * cap, count, fade, o + d * LANES);
}

/* 16 values of row j and 16 of row j + 1 as 16 pairs. */
static inline __m512i interleave(__m512 a, __m512 b) {
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512bh both = _mm512_cvtne2ps_pbh(b, a);
    __m512i x;
    memcpy(&x, &both, sizeof x);
    return _mm512_permutexvar_epi16(order, x);
}

static inline void store_row(uint16_t *to, const __m512 x[COLS]) {
    __m512bh both = _mm512_cvtne2ps_pbh(x[1], x[0]);
    __m512i bits;
    memcpy(&bits, &both, sizeof bits);
    _mm512_storeu_si512(to, bits);
}

/* In place: a row of bf16 takes half the room of the one it came from. */
static void grad(float *s, float *dp, int64_t count, float c, const float *lse, const float *delta,
                 void *pairs) {
    const int64_t whole = (count + FR_ATTN_GROUP - 1) / FR_ATTN_GROUP * FR_ATTN_GROUP;
    const __m512 scale = _mm512_set1_ps(c);
    __m512 base[COLS], less[COLS];
    for (int i = 0; i < COLS; i++) {
        base[i] = _mm512_loadu_ps(lse + i * 16);
        less[i] = _mm512_loadu_ps(delta + i * 16);
    }
    for (int64_t j = 0; j < whole; j += 2) {
        __m512 p[2][COLS], ds[2][COLS];
        for (int r = 0; r < 2; r++)
            for (int i = 0; i < COLS; i++) {
                p[r][i] = ds[r][i] = _mm512_setzero_ps();
                if (j + r >= count) continue;
                __m512 x = _mm512_loadu_ps(s + (j + r) * LANES + i * 16);
                __m512 y = _mm512_loadu_ps(dp + (j + r) * LANES + i * 16);
                p[r][i] = exp2_low(_mm512_fmsub_ps(x, scale, base[i]));
                ds[r][i] = _mm512_mul_ps(p[r][i], _mm512_sub_ps(y, less[i]));
            }
        for (int r = 0; r < 2; r++) {
            store_row((uint16_t *)(void *)s + (j + r) * LANES, p[r]);
            store_row((uint16_t *)(void *)dp + (j + r) * LANES, ds[r]);
        }
        for (int i = 0; i < COLS; i++)
            _mm512_storeu_si512((uint16_t *)pairs + j * LANES + i * 32,
                                interleave(ds[0][i], ds[1][i]));
    }
}

static void pack_spread(const void *const *row, bool half, int64_t dim, void *out) {
    static const uint16_t zeros[16];
    const int64_t ld = fr_attn_ld(dim);
    (void)half;
    for (int lane = 0; lane < LANES; lane += 2)
        for (int64_t d = 0; d < dim; d += 16) {
            int64_t n = dim - d < 16 ? dim - d : 16;
            __mmask16 mask = (__mmask16)((1u << n) - 1);
            const uint16_t *a = row[lane], *b = row[lane + 1];
            __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, a ? a + d : zeros));
            __m512i up = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, b ? b + d : zeros));
            _mm512_storeu_si512((uint16_t *)out + lane * ld + 2 * d,
                                _mm512_or_si512(low, _mm512_slli_epi32(up, 16)));
        }
}

static inline void spread_group(const uint16_t *w, const uint16_t *rows, int64_t ld, int cols,
                                float *out) {
    __m512 acc[GROUP][COLS];
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < cols; c++) acc[r][c] = _mm512_loadu_ps(out + r * ld + c * 16);
    for (int lane = 0; lane < LANES; lane += 2) {
        __m512bh x[COLS];
        for (int c = 0; c < cols; c++)
            x[c] = as_bf16(_mm512_loadu_si512(rows + lane * ld + c * 32));
        for (int r = 0; r < GROUP; r++) {
            __m512bh k = as_bf16(pair(w + r * LANES + lane));
            for (int c = 0; c < cols; c++) acc[r][c] = _mm512_dpbf16_ps(acc[r][c], k, x[c]);
        }
    }
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < cols; c++) _mm512_storeu_ps(out + r * ld + c * 16, acc[r][c]);
}

static void spread(const void *w, const void *rows, int64_t count, int64_t dim, float *out) {
    const int64_t ld = fr_attn_ld(dim);
    for (int64_t d = 0; d < ld; d += COLS * 16)
        for (int64_t j = 0; j < count; j += GROUP) {
            const uint16_t *from = (const uint16_t *)w + j * LANES;
            const uint16_t *x = (const uint16_t *)rows + 2 * d;
            if (ld - d >= COLS * 16)
                spread_group(from, x, ld, COLS, out + j * ld + d);
            else
                spread_group(from, x, ld, 1, out + j * ld + d);
        }
}

void attn_fill_avx512bf16(fr_attn_kernels *out) {
    out->bf16 = (fr_attn_path){
        .lanes = LANES,
        .group = GROUP,
        .pairs = true,
        .pack_panel = pack_panel,
        .pack_rows = pack_rows,
        .pack_cols = pack_cols,
        .score = score,
        .softmax = softmax,
        .accumulate = accumulate,
        .grad = grad,
        .pack_spread = pack_spread,
        .spread = spread,
    };
}
