/* vec_avx2.h: the words of vec.h in AVX2 with FMA and F16C. */
#ifndef FR_KERNEL_SIMD_VEC_AVX2_H
#define FR_KERNEL_SIMD_VEC_AVX2_H

#include <immintrin.h>

#define FR_VLEN 8
typedef __m256 vf32;
typedef __m256i vi32;
typedef __m256 vmask;

static inline __m256i vtail(size_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

static inline vf32 vload(const float *p) {
    return _mm256_loadu_ps(p);
}
static inline vf32 vload_n(const float *p, size_t n) {
    return _mm256_maskload_ps(p, vtail(n));
}
static inline void vstore(float *p, vf32 v) {
    _mm256_storeu_ps(p, v);
}
static inline void vstore_n(float *p, vf32 v, size_t n) {
    _mm256_maskstore_ps(p, vtail(n), v);
}
static inline vf32 vset1(float x) {
    return _mm256_set1_ps(x);
}

static inline vf32 vadd(vf32 a, vf32 b) {
    return _mm256_add_ps(a, b);
}
static inline vf32 vsub(vf32 a, vf32 b) {
    return _mm256_sub_ps(a, b);
}
static inline vf32 vmul(vf32 a, vf32 b) {
    return _mm256_mul_ps(a, b);
}
static inline vf32 vdiv(vf32 a, vf32 b) {
    return _mm256_div_ps(a, b);
}
static inline vf32 vfma(vf32 a, vf32 b, vf32 c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline vf32 vfnma(vf32 a, vf32 b, vf32 c) {
    return _mm256_fnmadd_ps(a, b, c);
}
static inline vf32 vmax(vf32 a, vf32 b) {
    return _mm256_max_ps(a, b);
}
static inline vf32 vmin(vf32 a, vf32 b) {
    return _mm256_min_ps(a, b);
}
static inline vf32 vsqrt(vf32 a) {
    return _mm256_sqrt_ps(a);
}
static inline vf32 vabs(vf32 a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
static inline vf32 vround(vf32 a) {
    return _mm256_round_ps(a, 8);
}

static inline vmask vlt(vf32 a, vf32 b) {
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
static inline vmask vle(vf32 a, vf32 b) {
    return _mm256_cmp_ps(a, b, _CMP_LE_OQ);
}
static inline vmask veq(vf32 a, vf32 b) {
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
static inline vmask vmand(vmask a, vmask b) {
    return _mm256_and_ps(a, b);
}
static inline vmask vmor(vmask a, vmask b) {
    return _mm256_or_ps(a, b);
}
static inline vmask vmnot(vmask a) {
    return _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));
}
static inline int vany(vmask a) {
    return _mm256_movemask_ps(a) != 0;
}
static inline unsigned vlanes(vmask a) {
    return (unsigned)_mm256_movemask_ps(a);
}
static inline vf32 vsel(vmask m, vf32 a, vf32 b) {
    return _mm256_blendv_ps(b, a, m);
}

static inline vi32 viset1(int32_t x) {
    return _mm256_set1_epi32(x);
}
static inline vi32 viadd(vi32 a, vi32 b) {
    return _mm256_add_epi32(a, b);
}
static inline vi32 visub(vi32 a, vi32 b) {
    return _mm256_sub_epi32(a, b);
}
static inline vi32 viand(vi32 a, vi32 b) {
    return _mm256_and_si256(a, b);
}
static inline vi32 vior(vi32 a, vi32 b) {
    return _mm256_or_si256(a, b);
}
static inline vi32 vixor(vi32 a, vi32 b) {
    return _mm256_xor_si256(a, b);
}
static inline vmask vieq(vi32 a, vi32 b) {
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
}
#define vishl(a, n) _mm256_slli_epi32(a, n)
#define visra(a, n) _mm256_srai_epi32(a, n)
#define vishr(a, n) _mm256_srli_epi32(a, n)
static inline vi32 viload(const int32_t *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
static inline void vistore(int32_t *p, vi32 v) {
    _mm256_storeu_si256((__m256i *)p, v);
}
static inline vi32 vbits(vf32 a) {
    return _mm256_castps_si256(a);
}
static inline vf32 vfrombits(vi32 a) {
    return _mm256_castsi256_ps(a);
}
static inline vi32 vcvt(vf32 a) {
    return _mm256_cvtps_epi32(a);
}
static inline vf32 vtof(vi32 a) {
    return _mm256_cvtepi32_ps(a);
}

static inline vi32 vimax(vi32 a, vi32 b) {
    return _mm256_max_epi32(a, b);
}
static inline vf32 vmaxabs(vf32 a, vf32 b) {
    return vmax(vabs(a), vabs(b));
}
static inline __m256i vstep_of(__m256i a, __m256i b, int sum) {
    return sum ? _mm256_add_epi32(a, b) : _mm256_max_epi32(a, b);
}
/* Pairs of vectors become one whose halves are theirs, three times. */
static inline vi32 vrows_of(const vi32 v[FR_VLEN], int sum) {
    __m256i a[4], b[2];
    for (int i = 0; i < 4; i++)
        a[i] = vstep_of(_mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                        _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]), sum);
    for (int i = 0; i < 2; i++)
        b[i] = vstep_of(_mm256_unpacklo_epi64(a[2 * i], a[2 * i + 1]),
                        _mm256_unpackhi_epi64(a[2 * i], a[2 * i + 1]), sum);
    return vstep_of(_mm256_permute2x128_si256(b[0], b[1], 0x20),
                    _mm256_permute2x128_si256(b[0], b[1], 0x31), sum);
}
static inline vi32 vimax_of(const vi32 v[FR_VLEN]) {
    return vrows_of(v, 0);
}
static inline vi32 visum_of(const vi32 v[FR_VLEN]) {
    return vrows_of(v, 1);
}
static inline void vistore_i8(int8_t *p, const vi32 v[4]) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7),
                  low = _mm256_set1_epi32(0xffff);
    __m256i ab = _mm256_packus_epi32(_mm256_and_si256(v[0], low), _mm256_and_si256(v[1], low));
    __m256i cd = _mm256_packus_epi32(_mm256_and_si256(v[2], low), _mm256_and_si256(v[3], low));
    ab = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(ab, cd), order);
    _mm256_storeu_si256((__m256i *)p, ab);
}

/* In two halves, so that only the last product can leave the range of normal numbers. */
static inline vf32 vscale2(vf32 x, vf32 n) {
    vi32 e = vcvt(n), h = visra(e, 1);
    vf32 a = vfrombits(vishl(viadd(h, viset1(127)), 23));
    vf32 b = vfrombits(vishl(viadd(visub(e, h), viset1(127)), 23));
    return vmul(vmul(x, a), b);
}

static inline float vsum(vf32 v) {
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
static inline float vhmax(vf32 v) {
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

static inline vf32 vfrombf16(__m128i h) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
static inline __m128i vtobf16(vf32 v) {
    __m256i u = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
    __m256i q = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    r = _mm256_srli_epi32(_mm256_blendv_epi8(r, q, nan), 16);
    r = _mm256_permute4x64_epi64(_mm256_packus_epi32(r, r), 0x08);
    return _mm256_castsi256_si128(r);
}
static inline vf32 vload_bf16(const uint16_t *p) {
    return vfrombf16(_mm_loadu_si128((const __m128i *)p));
}
static inline vf32 vload_bf16_n(const uint16_t *p, size_t n) {
    uint16_t t[8] = {0};
    memcpy(t, p, n * 2);
    return vload_bf16(t);
}
static inline void vstore_bf16(uint16_t *p, vf32 v) {
    _mm_storeu_si128((__m128i *)p, vtobf16(v));
}
static inline void vstore_bf16_n(uint16_t *p, vf32 v, size_t n) {
    uint16_t t[8];
    vstore_bf16(t, v);
    memcpy(p, t, n * 2);
}
static inline vf32 vload_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
static inline void vstore_f16(uint16_t *p, vf32 v) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

static inline void vturn(vf32 v[8]) {
    __m256 t[8];
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) { /* v[4i + q]: column q of each half, rows 4i .. 4i+3 */
        v[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        v[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
        v[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        v[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
    for (int q = 0; q < 4; q++) {
        vf32 low = v[q], high = v[4 + q];
        v[q] = _mm256_permute2f128_ps(low, high, 0x20);
        v[4 + q] = _mm256_permute2f128_ps(low, high, 0x31);
    }
}

#endif
