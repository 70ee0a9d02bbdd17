/* optim.c: the memory of optimizers, over vec.h.
 *
 * Sums have two running vectors, joined in a fixed order. A value finds its decade by seven comparisons
 * and its place there by a multiplication: nothing is looked up, which costs more than it on most
 * processors. The way back is a look-up, and stands in ref/ alone. */
#include "kernel/simd/vec.h"

#include "kernel/optim_list.h"

#define FR_INLINE static inline __attribute__((always_inline))

/* The first n of the lanes, which are all when n is FR_VLEN. */
FR_INLINE vf32 load(const float *p, size_t n) {
    return n == FR_VLEN ? vload(p) : vload_n(p, n);
}
FR_INLINE void store(float *p, vf32 v, size_t n) {
    if (n == FR_VLEN)
        vstore(p, v);
    else
        vstore_n(p, v, n);
}

/* i goes over the vectors, w is how many values there are; full ones are known to be full. */
#define FOR_VECTORS(body)                                                                          \
    do {                                                                                           \
        size_t i = 0;                                                                              \
        for (; i + 2 * FR_VLEN <= n; i += 2 * FR_VLEN) {                                           \
            body(i, FR_VLEN, 0);                                                                   \
            body(i + FR_VLEN, FR_VLEN, 1);                                                         \
        }                                                                                          \
        if (i + FR_VLEN <= n) {                                                                    \
            body(i, FR_VLEN, 0);                                                                   \
            i += FR_VLEN;                                                                          \
        }                                                                                          \
        if (i < n) body(i, n - i, 1);                                                              \
    } while (0)

FR_INLINE void squares(const float *x, size_t n, float *sum, vf32 *s) {
    vf32 a = load(x, n), b = vmul(a, a);
    store(sum, vadd(load(sum, n), b), n);
    *s = vadd(*s, b);
}

float FR_NAME(optim_came_squares)(const float *x, size_t n, float *sum) {
    vf32 s[2] = {vzero(), vzero()};
#define BODY(at, w, j) squares(x + (at), w, sum + (at), &s[j])
    FOR_VECTORS(BODY);
#undef BODY
    return vsum(vadd(s[0], s[1]));
}

float FR_NAME(optim_came_length)(const float *g, const float *col, float scale, size_t n) {
    vf32 s[2] = {vzero(), vzero()}, by = vset1(scale), d;
#define BODY(at, w, j)                                                                             \
    d = vmul(by, vmul(load(g + (at), w), load(col + (at), w))), s[j] = vfma(d, d, s[j])
    FOR_VECTORS(BODY);
#undef BODY
    return vsum(vadd(s[0], s[1]));
}

FR_INLINE void moment(const float *g, const float *col, vf32 by, vf32 mix, size_t n, float *m,
                      float *sum, vf32 *s) {
    vf32 d = vmul(by, vmul(load(g, n), load(col, n))), old = load(m, n);
    vf32 now = vfma(mix, vsub(d, old), old);
    vf32 away = vsub(d, now), b = vmul(away, away);
    store(m, now, n);
    store(sum, vadd(load(sum, n), b), n);
    *s = vadd(*s, b);
}

float FR_NAME(optim_came_moment)(const float *g, const float *col, float scale, float beta,
                                 size_t n, float *m, float *sum) {
    vf32 s[2] = {vzero(), vzero()}, by = vset1(scale), mix = vset1(1 - beta);
#define BODY(at, w, j) moment(g + (at), col + (at), by, mix, w, m + (at), sum + (at), &s[j])
    FOR_VECTORS(BODY);
#undef BODY
    return vsum(vadd(s[0], s[1]));
}

void FR_NAME(optim_came_step)(const float *m, const float *col, float scale, float keep, size_t n,
                              float *p) {
    vf32 by = vset1(scale), left = vset1(keep), d;
#define BODY(at, w, j)                                                                             \
    d = vmul(load(m + (at), w), load(col + (at), w)),                                              \
    store(p + (at), vfnma(by, d, vmul(left, load(p + (at), w))), w)
    FOR_VECTORS(BODY);
#undef BODY
}

FR_INLINE void plain(const float *g, vf32 by, vf32 mix, vf32 eps, size_t n, float *v, vf32 *s) {
    vf32 x = vmul(by, load(g, n)), q = vmul(x, x), old = load(v, n);
    vf32 now = vfma(mix, vsub(vadd(q, eps), old), old);
    store(v, now, n);
    *s = vadd(*s, vdiv(q, now));
}

float FR_NAME(optim_came_plain)(const float *g, float scale, float beta, float eps, size_t n,
                                float *v) {
    vf32 s[2] = {vzero(), vzero()}, by = vset1(scale), mix = vset1(1 - beta), add = vset1(eps);
#define BODY(at, w, j) plain(g + (at), by, mix, add, w, v + (at), &s[j])
    FOR_VECTORS(BODY);
#undef BODY
    return vsum(vadd(s[0], s[1]));
}

void FR_NAME(optim_came_plain_moment)(const float *g, const float *v, float scale, float beta,
                                      size_t n, float *m) {
    vf32 by = vset1(scale), mix = vset1(1 - beta), d, old;
#define BODY(at, w, j)                                                                             \
    d = vdiv(vmul(by, load(g + (at), w)), vsqrt(load(v + (at), w))), old = load(m + (at), w),      \
    store(m + (at), vfma(mix, vsub(d, old), old), w)
    FOR_VECTORS(BODY);
#undef BODY
}

/* ---- 8 bits ---- */

void FR_NAME(optim_range)(const float *x, size_t n, float out[2]) {
    out[0] = out[1] = n ? x[0] : 0;
    size_t i = 0;
    if (n >= FR_VLEN) {
        float low[FR_VLEN], high[FR_VLEN];
        vf32 a = vload(x), b = a;
        for (; i + FR_VLEN <= n; i += FR_VLEN) {
            vf32 v = vload(x + i);
            a = vmin(v, a);
            b = vmax(v, b);
        }
        vstore(low, a);
        vstore(high, b);
        for (int j = 0; j < FR_VLEN; j++) {
            if (low[j] < out[0]) out[0] = low[j];
            if (high[j] > out[1]) out[1] = high[j];
        }
    }
    for (; i < n; i++) {
        if (x[i] < out[0]) out[0] = x[i];
        if (x[i] > out[1]) out[1] = x[i];
    }
}

/* Loops that compilers know how to make vectors of. */

void FR_NAME(optim_even8_encode)(const float *restrict x, float low, float scale, float shift,
                                 size_t n, uint8_t *restrict code) {
    for (size_t i = 0; i < n; i++) code[i] = (uint8_t)(int)((x[i] - low) * scale + shift);
}

void FR_NAME(optim_even8_decode)(const uint8_t *restrict code, float low, float scale, int zero,
                                 size_t n, float *restrict x) {
    for (size_t i = 0; i < n; i++) x[i] = low + scale * (float)(code[i] - zero);
}

FR_INLINE void map_encode(const fr_map8 *map, const float *restrict x, float scale, int keep,
                          size_t n, uint8_t *restrict code) {
    const float above1 = map->above[1], above2 = map->above[2], above3 = map->above[3],
                above4 = map->above[4], above5 = map->above[5], above6 = map->above[6];
    const float least = map->above[0], last = map->edge[map->most - 1];
    const float *slope = map->slope, *shift = map->shift, *top = map->top;
    const float s0 = slope[0], s1 = slope[1], s2 = slope[2], s3 = slope[3], s4 = slope[4],
                s5 = slope[5], s6 = slope[6];
    const float b0 = shift[0], b1 = shift[1], b2 = shift[2], b3 = shift[3], b4 = shift[4],
                b5 = shift[5], b6 = shift[6];
    const float t0 = top[0], t1 = top[1], t2 = top[2], t3 = top[3], t4 = top[4], t5 = top[5],
                t6 = top[6];
    const int zero = map->zero, most = map->most;
    for (size_t i = 0; i < n; i++) {
        float y = fabsf(x[i]) * scale, s = s0, b = b0, t = t0;
        s = y > above1 ? s1 : s, b = y > above1 ? b1 : b, t = y > above1 ? t1 : t;
        s = y > above2 ? s2 : s, b = y > above2 ? b2 : b, t = y > above2 ? t2 : t;
        s = y > above3 ? s3 : s, b = y > above3 ? b3 : b, t = y > above3 ? t3 : t;
        s = y > above4 ? s4 : s, b = y > above4 ? b4 : b, t = y > above4 ? t4 : t;
        s = y > above5 ? s5 : s, b = y > above5 ? b5 : b, t = y > above5 ? t5 : t;
        s = y > above6 ? s6 : s, b = y > above6 ? b6 : b, t = y > above6 ? t6 : t;
        float place = y * s + b;
        int k = (int)(place < t ? place : t);
        k = y > least ? k : 0;
        k = y > last ? most : k;
        int some = x[i] != 0 ? keep : 0;
        k = k > some ? k : some;
        int down = k < zero ? k : zero;
        code[i] = (uint8_t)(zero + (x[i] < 0 ? -down : k));
    }
}

void FR_NAME(optim_map8_encode)(const fr_map8 *map, const float *x, float scale, bool keep,
                                size_t n, uint8_t *code) {
    map_encode(map, x, scale, keep, n, code);
}
