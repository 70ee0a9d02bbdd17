/* qrow.h (simd): what the files of rows in few bits share: the values of groups, the largest of each, and
 * rounding to small floats. FR_VLEN groups go together, so that what each has for itself is one vector. */
#ifndef FR_KERNEL_SIMD_QROW_H
#define FR_KERNEL_SIMD_QROW_H

#include "kernel/kernel.h"
#include "kernel/simd/vec.h"

#define MOST (FR_VLEN * 128) /* values of FR_VLEN groups */

static inline float *scales_of(const fr_qrow *r, void *record) {
    return (float *)((char *)record + r->scales);
}
static inline int32_t *less_of(const fr_qrow *r, void *record) {
    return (int32_t *)((char *)record + r->less);
}

/* ---- values ---- */

static inline void make(const float *x, float add, const float *by, size_t n, float *out) {
    const vf32 a = vset1(add);
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) {
        vf32 v = vadd(vload(x + i), a);
        vstore(out + i, by ? vmul(v, vload(by + i)) : v);
    }
    vf32 v = vadd(vload_n(x + i, n - i), a);
    vstore_n(out + i, by ? vmul(v, vload_n(by + i, n - i)) : v, n - i);
}

/* n values from i on, 0 past the end: where they lie, or made in buf. same: -0 is no 0. */
static inline const float *values(const fr_qrow *r, const float *x, float add, const float *by,
                                  int64_t i, int64_t n, bool same, float *buf) {
    int64_t have = r->k - i < n ? r->k - i : n;
    if (have < 0) have = 0;
    if (have == n && add == 0 && !by && !same) return x + i;
    if (have) make(x + i, add, by ? by + i : NULL, (size_t)have, buf);
    memset(buf + have, 0, (size_t)(n - have) * 4);
    return buf;
}

/* Which of the two counts: the largest |v|, or the largest v when all are finite. */
static inline vi32 finite_top(vi32 size, vi32 top, bool positive) {
    if (!positive) return size;
    vmask finite = vlt(vfrombits(size), vset1(INFINITY));
    return vbits(vsel(finite, vfrombits(top), vfrombits(size)));
}

/* The bits of the largest |v|, or of the largest v from 0 on where `positive`; not below those of infinity
 * when something is not finite. One vector, whose largest lane it is. */
static inline vi32 top_of(const float *v, int64_t n, bool positive) {
    vi32 top = viset1(0), size = viset1(0);
    for (int64_t i = 0; i < n; i += FR_VLEN) {
        vi32 b = vbits(vload(v + i));
        size = vimax(size, viand(b, viset1(0x7fffffff)));
        if (positive) top = vimax(top, b);
    }
    return finite_top(size, top, positive);
}

/* Makes n values, and finds the same of them. */
static inline vi32 make_top(const float *x, float add, const float *by, int n, bool positive,
                            float *out) {
    vi32 top = viset1(0), size = viset1(0);
    for (int i = 0; i < n; i += FR_VLEN) {
        vf32 v = vadd(vload(x + i), vset1(add));
        if (by) v = vmul(v, vload(by + i));
        vstore(out + i, v);
        size = vimax(size, viand(vbits(v), viset1(0x7fffffff)));
        if (positive) top = vimax(top, vbits(v));
    }
    return finite_top(size, top, positive);
}

/* The same of each group. */
static inline vf32 tops_of(const float *v, int groups, int group, bool positive) {
    vi32 row[FR_VLEN];
    for (int g = 0; g < groups; g++) row[g] = top_of(v + g * group, group, positive);
    for (int g = groups; g < FR_VLEN; g++) row[g] = viset1(0);
    return vfrombits(vimax_of(row));
}

/* The values of some groups from group g0 on, as values() has them, and the top of each. */
static inline const float *groups_of(const fr_qrow *r, const float *x, float add, const float *by,
                                     int64_t g0, int groups, int group, bool positive, float *buf,
                                     vf32 *tops) {
    int64_t i = g0 * group;
    if (groups == FR_VLEN && i + groups * group <= r->k && (add != 0 || by)) {
        vi32 row[FR_VLEN];
        for (int g = 0; g < FR_VLEN; g++, i += group)
            row[g] = by ? make_top(x + i, add, by + i, group, positive, buf + g * group)
                        : make_top(x + i, add, NULL, group, positive, buf + g * group);
        *tops = vfrombits(vimax_of(row));
        return buf;
    }
    const float *v = values(r, x, add, by, i, groups * group, false, buf);
    *tops = tops_of(v, groups, group, positive);
    return v;
}

/* a >= 0 in a float of few bits: ties to even, what is larger becomes `most`. Adding 1.5 * 2^23 last places
 * leaves no bits below one. */
static inline vf32 round_small(vf32 a, int mantissa, int least_exponent, float most) {
    a = vmin(a, vset1(most));
    vi32 e = viand(vbits(a), viset1(0x7f800000));
    e = vimax(e, viset1((127 + least_exponent) << 23));
    vf32 magic = vfrombits(viadd(e, viset1(((23 - mantissa) << 23) + 0x400000)));
    return vsub(vadd(a, magic), magic);
}

static inline void store_some(void *p, vf32 v, int n) {
    if (n >= FR_VLEN)
        vstore(p, v);
    else
        vstore_n(p, v, (size_t)n);
}

#endif
