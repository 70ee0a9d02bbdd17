/* vec_plain.h: the words of vec.h in plain C, one lane; there are no partial vectors, so the _n
 * forms are never reached with n > 0. */
#ifndef FR_KERNEL_SIMD_VEC_PLAIN_H
#define FR_KERNEL_SIMD_VEC_PLAIN_H

#define FR_VLEN 1
typedef float vf32;
typedef int32_t vi32;
typedef int vmask;

static inline vf32 vload(const float *p) {
    return *p;
}
static inline vf32 vload_n(const float *p, size_t n) {
    return n ? *p : 0.0f;
}
static inline void vstore(float *p, vf32 v) {
    *p = v;
}
static inline void vstore_n(float *p, vf32 v, size_t n) {
    if (n) *p = v;
}
static inline vf32 vset1(float x) {
    return x;
}

static inline vf32 vadd(vf32 a, vf32 b) {
    return a + b;
}
static inline vf32 vsub(vf32 a, vf32 b) {
    return a - b;
}
static inline vf32 vmul(vf32 a, vf32 b) {
    return a * b;
}
static inline vf32 vdiv(vf32 a, vf32 b) {
    return a / b;
}
static inline vf32 vfma(vf32 a, vf32 b, vf32 c) {
    return fmaf(a, b, c);
}
static inline vf32 vfnma(vf32 a, vf32 b, vf32 c) {
    return fmaf(-a, b, c);
}
static inline vf32 vmax(vf32 a, vf32 b) {
    return a > b ? a : b;
}
static inline vf32 vmin(vf32 a, vf32 b) {
    return a < b ? a : b;
}
static inline vf32 vsqrt(vf32 a) {
    return sqrtf(a);
}
static inline vf32 vabs(vf32 a) {
    return fabsf(a);
}
static inline vf32 vround(vf32 a) {
    return nearbyintf(a);
}

static inline vmask vlt(vf32 a, vf32 b) {
    return a < b;
}
static inline vmask vle(vf32 a, vf32 b) {
    return a <= b;
}
static inline vmask veq(vf32 a, vf32 b) {
    return a == b;
}
static inline vmask vmand(vmask a, vmask b) {
    return a && b;
}
static inline vmask vmor(vmask a, vmask b) {
    return a || b;
}
static inline vmask vmnot(vmask a) {
    return !a;
}
static inline int vany(vmask a) {
    return a;
}
static inline unsigned vlanes(vmask a) {
    return a != 0;
}
static inline vf32 vsel(vmask m, vf32 a, vf32 b) {
    return m ? a : b;
}

static inline vi32 viset1(int32_t x) {
    return x;
}
static inline vi32 viadd(vi32 a, vi32 b) {
    return (vi32)((uint32_t)a + (uint32_t)b);
}
static inline vi32 visub(vi32 a, vi32 b) {
    return (vi32)((uint32_t)a - (uint32_t)b);
}
static inline vi32 viand(vi32 a, vi32 b) {
    return a & b;
}
static inline vi32 vior(vi32 a, vi32 b) {
    return a | b;
}
static inline vi32 vixor(vi32 a, vi32 b) {
    return a ^ b;
}
static inline vmask vieq(vi32 a, vi32 b) {
    return a == b;
}
#define vishl(a, n) ((vi32)((uint32_t)(a) << (n)))
#define visra(a, n) ((a) >> (n))
#define vishr(a, n) ((vi32)((uint32_t)(a) >> (n)))
static inline vi32 viload(const int32_t *p) {
    return *p;
}
static inline void vistore(int32_t *p, vi32 v) {
    *p = v;
}
static inline vi32 vbits(vf32 a) {
    vi32 u;
    memcpy(&u, &a, 4);
    return u;
}
static inline vf32 vfrombits(vi32 a) {
    vf32 x;
    memcpy(&x, &a, 4);
    return x;
}
/* What the vector units give for a value that does not fit. */
static inline vi32 vcvt(vf32 a) {
    return a >= -2147483648.0f && a < 2147483648.0f ? (vi32)nearbyintf(a) : INT32_MIN;
}
static inline vf32 vtof(vi32 a) {
    return (float)a;
}

static inline vi32 vimax(vi32 a, vi32 b) {
    return a > b ? a : b;
}
static inline vf32 vmaxabs(vf32 a, vf32 b) {
    return vmax(vabs(a), vabs(b));
}
static inline vi32 vimax_of(const vi32 v[FR_VLEN]) {
    return v[0];
}
static inline vi32 visum_of(const vi32 v[FR_VLEN]) {
    return v[0];
}
static inline void vistore_i8(int8_t *p, const vi32 v[4]) {
    for (int i = 0; i < 4; i++) p[i] = (int8_t)v[i];
}

static inline vf32 vscale2(vf32 x, vf32 n) {
    vi32 e = vcvt(n), h = visra(e, 1);
    return x * vfrombits(vishl(viadd(h, 127), 23)) * vfrombits(vishl(viadd(visub(e, h), 127), 23));
}

static inline float vsum(vf32 v) {
    return v;
}
static inline float vhmax(vf32 v) {
    return v;
}

static inline vf32 vload_bf16(const uint16_t *p) {
    return vfrombits((vi32)((uint32_t)*p << 16));
}
static inline vf32 vload_bf16_n(const uint16_t *p, size_t n) {
    return n ? vload_bf16(p) : 0.0f;
}
static inline void vstore_bf16(uint16_t *p, vf32 v) {
    uint32_t u = (uint32_t)vbits(v);
    if (v != v)
        *p = (uint16_t)((u >> 16) | 0x40);
    else
        *p = (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
static inline void vstore_bf16_n(uint16_t *p, vf32 v, size_t n) {
    if (n) vstore_bf16(p, v);
}

static inline void vturn(vf32 v[1]) {
    (void)v;
}

#endif
