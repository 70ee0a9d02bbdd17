/* vec_neon.h: the words of vec.h in NEON of AArch64. */
#ifndef FR_KERNEL_SIMD_VEC_NEON_H
#define FR_KERNEL_SIMD_VEC_NEON_H

#include <arm_neon.h>

#define FR_VLEN 4
typedef float32x4_t vf32;
typedef int32x4_t vi32;
typedef uint32x4_t vmask;

static inline vf32 vload(const float *p) {
    return vld1q_f32(p);
}
static inline vf32 vload_n(const float *p, size_t n) {
    float t[4] = {0};
    memcpy(t, p, n * 4);
    return vld1q_f32(t);
}
static inline void vstore(float *p, vf32 v) {
    vst1q_f32(p, v);
}
static inline void vstore_n(float *p, vf32 v, size_t n) {
    float t[4];
    vst1q_f32(t, v);
    memcpy(p, t, n * 4);
}
static inline vf32 vset1(float x) {
    return vdupq_n_f32(x);
}

static inline vf32 vadd(vf32 a, vf32 b) {
    return vaddq_f32(a, b);
}
static inline vf32 vsub(vf32 a, vf32 b) {
    return vsubq_f32(a, b);
}
static inline vf32 vmul(vf32 a, vf32 b) {
    return vmulq_f32(a, b);
}
static inline vf32 vdiv(vf32 a, vf32 b) {
    return vdivq_f32(a, b);
}
static inline vf32 vfma(vf32 a, vf32 b, vf32 c) {
    return vfmaq_f32(c, a, b);
}
static inline vf32 vfnma(vf32 a, vf32 b, vf32 c) {
    return vfmsq_f32(c, a, b);
}
/* Not fmax, which has other rules for NaN. */
static inline vf32 vmax(vf32 a, vf32 b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
static inline vf32 vmin(vf32 a, vf32 b) {
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
static inline vf32 vsqrt(vf32 a) {
    return vsqrtq_f32(a);
}
static inline vf32 vabs(vf32 a) {
    return vabsq_f32(a);
}
static inline vf32 vround(vf32 a) {
    return vrndnq_f32(a);
}

static inline vmask vlt(vf32 a, vf32 b) {
    return vcltq_f32(a, b);
}
static inline vmask vle(vf32 a, vf32 b) {
    return vcleq_f32(a, b);
}
static inline vmask veq(vf32 a, vf32 b) {
    return vceqq_f32(a, b);
}
static inline vmask vmand(vmask a, vmask b) {
    return vandq_u32(a, b);
}
static inline vmask vmor(vmask a, vmask b) {
    return vorrq_u32(a, b);
}
static inline vmask vmnot(vmask a) {
    return vmvnq_u32(a);
}
static inline int vany(vmask a) {
    return vmaxvq_u32(a) != 0;
}
static inline unsigned vlanes(vmask a) {
    static const uint32_t bit[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(a, vld1q_u32(bit)));
}
static inline vf32 vsel(vmask m, vf32 a, vf32 b) {
    return vbslq_f32(m, a, b);
}

static inline vi32 viset1(int32_t x) {
    return vdupq_n_s32(x);
}
static inline vi32 viadd(vi32 a, vi32 b) {
    return vaddq_s32(a, b);
}
static inline vi32 visub(vi32 a, vi32 b) {
    return vsubq_s32(a, b);
}
static inline vi32 viand(vi32 a, vi32 b) {
    return vandq_s32(a, b);
}
static inline vi32 vior(vi32 a, vi32 b) {
    return vorrq_s32(a, b);
}
static inline vi32 vixor(vi32 a, vi32 b) {
    return veorq_s32(a, b);
}
static inline vmask vieq(vi32 a, vi32 b) {
    return vceqq_s32(a, b);
}
#define vishl(a, n) vshlq_n_s32(a, n)
#define visra(a, n) vshrq_n_s32(a, n)
#define vishr(a, n) vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), n))
static inline vi32 viload(const int32_t *p) {
    return vld1q_s32(p);
}
static inline void vistore(int32_t *p, vi32 v) {
    vst1q_s32(p, v);
}
static inline vi32 vbits(vf32 a) {
    return vreinterpretq_s32_f32(a);
}
static inline vf32 vfrombits(vi32 a) {
    return vreinterpretq_f32_s32(a);
}
static inline vi32 vcvt(vf32 a) {
    return vcvtnq_s32_f32(a);
}
static inline vf32 vtof(vi32 a) {
    return vcvtq_f32_s32(a);
}

static inline vi32 vimax(vi32 a, vi32 b) {
    return vmaxq_s32(a, b);
}
static inline vf32 vmaxabs(vf32 a, vf32 b) {
    return vmax(vabs(a), vabs(b));
}
static inline vi32 vimax_of(const vi32 v[FR_VLEN]) {
    return vpmaxq_s32(vpmaxq_s32(v[0], v[1]), vpmaxq_s32(v[2], v[3]));
}
static inline vi32 visum_of(const vi32 v[FR_VLEN]) {
    return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]));
}
static inline void vistore_i8(int8_t *p, const vi32 v[4]) {
    int16x8_t ab = vcombine_s16(vmovn_s32(v[0]), vmovn_s32(v[1]));
    int16x8_t cd = vcombine_s16(vmovn_s32(v[2]), vmovn_s32(v[3]));
    vst1q_s8(p, vcombine_s8(vmovn_s16(ab), vmovn_s16(cd)));
}

/* In two halves, so that only the last product can leave the range of normal numbers. */
static inline vf32 vscale2(vf32 x, vf32 n) {
    vi32 e = vcvt(n), h = visra(e, 1);
    vf32 a = vfrombits(vishl(viadd(h, viset1(127)), 23));
    vf32 b = vfrombits(vishl(viadd(visub(e, h), viset1(127)), 23));
    return vmul(vmul(x, a), b);
}

static inline float vsum(vf32 v) {
    float32x2_t b = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}
static inline float vhmax(vf32 v) {
    float t[4];
    vst1q_f32(t, v);
    float a = t[0] > t[2] ? t[0] : t[2], b = t[1] > t[3] ? t[1] : t[3];
    return a > b ? a : b;
}

static inline vf32 vload_bf16(const uint16_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
static inline vf32 vload_bf16_n(const uint16_t *p, size_t n) {
    uint16_t t[4] = {0};
    memcpy(t, p, n * 2);
    return vload_bf16(t);
}
static inline void vstore_bf16(uint16_t *p, vf32 v) {
    uint32x4_t u = vreinterpretq_u32_f32(v);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    uint32x4_t r = vaddq_u32(vaddq_u32(u, vdupq_n_u32(0x7fff)), odd);
    r = vbslq_u32(vceqq_f32(v, v), r, vorrq_u32(u, vdupq_n_u32(0x400000)));
    vst1_u16(p, vshrn_n_u32(r, 16));
}
static inline void vstore_bf16_n(uint16_t *p, vf32 v, size_t n) {
    uint16_t t[4];
    vstore_bf16(t, v);
    memcpy(p, t, n * 2);
}
static inline vf32 vload_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
static inline void vstore_f16(uint16_t *p, vf32 v) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}

static inline void vturn(vf32 v[4]) {
    float32x4x2_t a = vtrnq_f32(v[0], v[1]), b = vtrnq_f32(v[2], v[3]);
    v[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    v[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    v[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    v[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

#endif
