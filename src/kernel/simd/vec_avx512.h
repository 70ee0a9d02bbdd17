/* vec_avx512.h: the words of vec.h in AVX-512 F, BW, DQ, VL. */
#ifndef FR_KERNEL_SIMD_VEC_AVX512_H
#define FR_KERNEL_SIMD_VEC_AVX512_H

#include <immintrin.h>

#include "kernel/avx512/turn.h"

#define FR_VLEN 16
typedef __m512 vf32;
typedef __m512i vi32;
typedef __mmask16 vmask;

static inline vmask vtail(size_t n) {
    return (__mmask16)((1u << n) - 1);
}

static inline vf32 vload(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline vf32 vload_n(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps(vtail(n), p);
}
static inline void vstore(float *p, vf32 v) {
    _mm512_storeu_ps(p, v);
}
static inline void vstore_n(float *p, vf32 v, size_t n) {
    _mm512_mask_storeu_ps(p, vtail(n), v);
}
static inline vf32 vset1(float x) {
    return _mm512_set1_ps(x);
}

static inline vf32 vadd(vf32 a, vf32 b) {
    return _mm512_add_ps(a, b);
}
static inline vf32 vsub(vf32 a, vf32 b) {
    return _mm512_sub_ps(a, b);
}
static inline vf32 vmul(vf32 a, vf32 b) {
    return _mm512_mul_ps(a, b);
}
static inline vf32 vdiv(vf32 a, vf32 b) {
    return _mm512_div_ps(a, b);
}
static inline vf32 vfma(vf32 a, vf32 b, vf32 c) {
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf32 vfnma(vf32 a, vf32 b, vf32 c) {
    return _mm512_fnmadd_ps(a, b, c);
}
static inline vf32 vmax(vf32 a, vf32 b) {
    return _mm512_max_ps(a, b);
}
static inline vf32 vmin(vf32 a, vf32 b) {
    return _mm512_min_ps(a, b);
}
static inline vf32 vsqrt(vf32 a) {
    return _mm512_sqrt_ps(a);
}
static inline vf32 vabs(vf32 a) {
    return _mm512_abs_ps(a);
}
static inline vf32 vround(vf32 a) {
    return _mm512_roundscale_ps(a, 8);
}

static inline vmask vlt(vf32 a, vf32 b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline vmask vle(vf32 a, vf32 b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}
static inline vmask veq(vf32 a, vf32 b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
static inline vmask vmand(vmask a, vmask b) {
    return (vmask)(a & b);
}
static inline vmask vmor(vmask a, vmask b) {
    return (vmask)(a | b);
}
static inline vmask vmnot(vmask a) {
    return (vmask)~a;
}
static inline int vany(vmask a) {
    return a != 0;
}
static inline unsigned vlanes(vmask a) {
    return a;
}
static inline vf32 vsel(vmask m, vf32 a, vf32 b) {
    return _mm512_mask_blend_ps(m, b, a);
}

static inline vi32 viset1(int32_t x) {
    return _mm512_set1_epi32(x);
}
static inline vi32 viadd(vi32 a, vi32 b) {
    return _mm512_add_epi32(a, b);
}
static inline vi32 visub(vi32 a, vi32 b) {
    return _mm512_sub_epi32(a, b);
}
static inline vi32 viand(vi32 a, vi32 b) {
    return _mm512_and_si512(a, b);
}
static inline vi32 vior(vi32 a, vi32 b) {
    return _mm512_or_si512(a, b);
}
static inline vi32 vixor(vi32 a, vi32 b) {
    return _mm512_xor_si512(a, b);
}
static inline vmask vieq(vi32 a, vi32 b) {
    return _mm512_cmpeq_epi32_mask(a, b);
}
/* Shifts by a constant; sra keeps the sign. */
#define vishl(a, n) _mm512_slli_epi32(a, n)
#define visra(a, n) _mm512_srai_epi32(a, n)
#define vishr(a, n) _mm512_srli_epi32(a, n)
static inline vi32 viload(const int32_t *p) {
    return _mm512_loadu_si512(p);
}
static inline void vistore(int32_t *p, vi32 v) {
    _mm512_storeu_si512(p, v);
}
static inline vi32 vbits(vf32 a) {
    return _mm512_castps_si512(a);
}
static inline vf32 vfrombits(vi32 a) {
    return _mm512_castsi512_ps(a);
}
static inline vi32 vcvt(vf32 a) {
    return _mm512_cvtps_epi32(a);
}
static inline vf32 vtof(vi32 a) {
    return _mm512_cvtepi32_ps(a);
}

static inline vi32 vimax(vi32 a, vi32 b) {
    return _mm512_max_epi32(a, b);
}
static inline vf32 vmaxabs(vf32 a, vf32 b) {
    return _mm512_range_ps(a, b, 0x0b);
}
static inline __m512i vstep_of(__m512i a, __m512i b, int sum) {
    return sum ? _mm512_add_epi32(a, b) : _mm512_max_epi32(a, b);
}
/* Pairs of vectors become one whose halves are theirs, four times. */
static inline vi32 vrows_of(const vi32 v[FR_VLEN], int sum) {
    __m512i a[8], b[4], c[2];
    for (int i = 0; i < 8; i++)
        a[i] = vstep_of(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                        _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]), sum);
    for (int i = 0; i < 4; i++)
        b[i] = vstep_of(_mm512_unpacklo_epi64(a[2 * i], a[2 * i + 1]),
                        _mm512_unpackhi_epi64(a[2 * i], a[2 * i + 1]), sum);
    for (int i = 0; i < 2; i++)
        c[i] = vstep_of(_mm512_shuffle_i32x4(b[2 * i], b[2 * i + 1], 0x88),
                        _mm512_shuffle_i32x4(b[2 * i], b[2 * i + 1], 0xdd), sum);
    return vstep_of(_mm512_shuffle_i32x4(c[0], c[1], 0x88), _mm512_shuffle_i32x4(c[0], c[1], 0xdd),
                    sum);
}
static inline vi32 vimax_of(const vi32 v[FR_VLEN]) {
    return vrows_of(v, 0);
}
static inline vi32 visum_of(const vi32 v[FR_VLEN]) {
    return vrows_of(v, 1);
}
static inline void vistore_i8(int8_t *p, const vi32 v[4]) {
    const __m512i even =
        _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
                         24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    __m512i ab = _mm512_permutex2var_epi16(v[0], even, v[1]);
    __m512i cd = _mm512_permutex2var_epi16(v[2], even, v[3]);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi64(order, _mm512_packs_epi16(ab, cd)));
}

static inline vf32 vscale2(vf32 x, vf32 n) {
    return _mm512_scalef_ps(x, n);
}

static inline float vsum(vf32 v) {
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
static inline float vhmax(vf32 v) {
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

static inline vf32 vfrombf16(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
/* Not vcvtneps2bf16, which takes denormals for zero. */
static inline __m256i vtobf16(vf32 v) {
    __m512i u = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16));
}
static inline vf32 vload_bf16(const uint16_t *p) {
    return vfrombf16(_mm256_loadu_si256((const __m256i *)p));
}
static inline vf32 vload_bf16_n(const uint16_t *p, size_t n) {
    return vfrombf16(_mm256_maskz_loadu_epi16(vtail(n), p));
}
static inline void vstore_bf16(uint16_t *p, vf32 v) {
    _mm256_storeu_si256((__m256i *)p, vtobf16(v));
}
static inline void vstore_bf16_n(uint16_t *p, vf32 v, size_t n) {
    _mm256_mask_storeu_epi16(p, vtail(n), vtobf16(v));
}
static inline vf32 vload_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
static inline void vstore_f16(uint16_t *p, vf32 v) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

static inline __attribute__((always_inline)) void vturn(vf32 v[16]) {
    __m512i r[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) r[i] = _mm512_castps_si512(v[i]);
    transpose16(r);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) v[i] = _mm512_castsi512_ps(r[i]);
}

#endif
