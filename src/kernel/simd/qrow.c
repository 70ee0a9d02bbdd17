/* qrow.c: rows of activations in few bits, over vec.h, with the bits of ref/qrow_ref.c.
 *
 * FR_VLEN groups at a time: first the largest value of each, then all their scales as one vector, then the
 * codes. A code is what is nearest to the rounded quotient v / s; divisions are slow, so with y = 1 / s, rounded:
 *
 *   INT8, INT4  v / s and its rounding are within 2^-23 of v y, relatively, so they lie between v y (1 - 2^-22)
 *               and v y (1 + 2^-22): when both have the same nearest integer, that is the code.
 *   NVFP4       q = v y, q += (v - q s) y is v / s to little more than half its last place, and exact when that
 *               is a number of few bits. The middles t between two codes have three bits and s has four, so t s
 *               is a float: when v is not it, v / s is at least 1 / 1.875 of a last place away from t. So q is
 *               on the side of t where the rounded quotient is, or on it together with that.
 *
 * The rest is divided truly: groups with a value close to the middle between two codes, with scales at the
 * ends of their type (where codes may be cut off), and FP8. */
#include "kernel/simd/qrow.h"

#ifdef FR_ISA

#define WHOLE 4096 /* rows up to that are made once */

/* ---- integers ---- */

#define BELOW (1 - 0x1p-22f) /* times y */
#define ABOVE (1 + 0x1p-22f)

/* The codes of a group, and their sums by lanes; false when one of them is too close to call. Adding 1.5 *
 * 2^23 leaves the nearest integer in the low bits. */
static inline bool near_codes(const float *v, int group, float y0, float y1, bool positive,
                              int8_t *codes, vi32 *sum) {
    const vf32 magic = vset1(12582912.0f), below = vset1(y0), above = vset1(y1);
    vi32 apart = viset1(0), total = viset1(0);
    for (int i = 0; i < group; i += 4 * FR_VLEN) {
        vi32 c[4];
        for (int j = 0; j < 4; j++) {
            vf32 x = vload(v + i + j * FR_VLEN);
            if (positive) x = vmax(x, vzero());
            c[j] = vbits(vfma(x, below, magic));
            apart = vior(apart, vixor(c[j], vbits(vfma(x, above, magic))));
            total = viadd(total, c[j]);
        }
        vistore_i8(codes + i, c);
    }
    uint32_t bits = 0x4b400000u * (uint32_t)(group / FR_VLEN); /* of all the magic in the sums */
    *sum = visub(total, viset1((int32_t)bits));
    return !vany(vmnot(vieq(apart, viset1(0))));
}

static vi32 divided_codes(const float *v, int group, float s, float least, float most,
                          int8_t *codes) {
    vi32 total = viset1(0);
    memset(codes, 0, (size_t)group);
    for (int i = 0; s == s && i < group; i += 4 * FR_VLEN) {
        vi32 c[4];
        for (int j = 0; j < 4; j++) {
            vf32 x = vround(vdiv(vload(v + i + j * FR_VLEN), vset1(s)));
            c[j] = vcvt(vmin(vmax(x, vset1(least)), vset1(most)));
            total = viadd(total, c[j]);
        }
        vistore_i8(codes + i, c);
    }
    return total;
}

static void int8(const fr_qrow *r, const float *x, float add, const float *by, void *record) {
    int8_t *codes = record;
    int32_t *less = less_of(r, record), lane[FR_VLEN], start = 0;
    float buf[WHOLE], top = 0;
    const float *row = NULL;
    vi32 most = viset1(0), total = viset1(0);
    if (r->padded <= WHOLE) row = values(r, x, add, by, 0, r->padded, false, buf);
    for (int64_t i = 0; i < r->padded; i += MOST) {
        int64_t n = r->padded - i < MOST ? r->padded - i : MOST;
        const float *v = row ? row + i : values(r, x, add, by, i, n, false, buf);
        most = vimax(most, top_of(v, n, false));
    }
    vistore(lane, most);
    for (int i = 1; i < FR_VLEN; i++) lane[0] = lane[i] > lane[0] ? lane[i] : lane[0];
    memcpy(&top, lane, 4);
    float s = top == 0 ? 1.0f : isfinite(top) ? top / 127.0f : NAN;
    if (s == 0) s = 1.0f;
    float y = s >= 0x1p-126f ? 1.0f / s : 0;
    for (int64_t g0 = 0; g0 < r->groups; g0 += FR_VLEN) {
        int groups = r->groups - g0 < FR_VLEN ? (int)(r->groups - g0) : FR_VLEN;
        const float *v =
            row ? row + g0 * 128 : values(r, x, add, by, g0 * 128, groups * 128, false, buf);
        vi32 sum[FR_VLEN];
        for (int g = groups; g < FR_VLEN; g++) sum[g] = viset1(0);
        for (int g = 0; g < groups; g++) {
            int8_t *c = codes + (g0 + g) * 128;
            if (y == 0 || !near_codes(v + g * 128, 128, y * BELOW, y * ABOVE, false, c, &sum[g]))
                sum[g] = divided_codes(v + g * 128, 128, s, -127, 127, c);
        }
        vi32 sums = visum_of(sum);
        total = viadd(total, sums);
        store_some(less + g0, vfrombits(visub(viset1(0), sums)), groups);
    }
    vistore(lane, total);
    for (int i = 0; i < FR_VLEN; i++) start -= 128 * lane[i];
    *scales_of(r, record) = s;
    memcpy((char *)record + r->start, &start, 4);
}

static inline __attribute__((always_inline)) void int4_row(const fr_qrow *r, const float *x,
                                                           float add, const float *by,
                                                           bool positive, void *record) {
    const float most = positive ? 15 : 7, least = positive ? 0 : -7;
    const vf32 one = vset1(1.0f);
    int8_t *codes = record;
    float buf[FR_VLEN * 64], s[FR_VLEN], y[2][FR_VLEN];
    for (int64_t g0 = 0; g0 < r->groups; g0 += FR_VLEN) {
        int groups = r->groups - g0 < FR_VLEN ? (int)(r->groups - g0) : FR_VLEN;
        vf32 top;
        const float *v = groups_of(r, x, add, by, g0, groups, 64, positive, buf, &top);
        vmask finite = vlt(top, vset1(INFINITY));
        vf32 vs = round_small(vdiv(top, vset1(most)), 10, -14, 65504.0f);
        vs = vsel(veq(vs, vzero()), one, vs);
        vmask plain = vmand(finite, vmand(vle(vset1(0x1p-14f), vs), vlt(vs, vset1(65504.0f))));
        vs = vsel(finite, vs, vset1(NAN));
        vf32 vy = vsel(plain, vdiv(one, vs), vzero());
        vstore(s, vs);
        vstore(y[0], vmul(vy, vset1(BELOW)));
        vstore(y[1], vmul(vy, vset1(ABOVE)));
        vi32 sum[FR_VLEN];
        for (int g = groups; g < FR_VLEN; g++) sum[g] = viset1(0);
        for (int g = 0; g < groups; g++) {
            int8_t *c = codes + (g0 + g) * 64;
            if (y[0][g] == 0 || !near_codes(v + g * 64, 64, y[0][g], y[1][g], positive, c, &sum[g]))
                sum[g] = divided_codes(v + g * 64, 64, s[g], least, most, c);
        }
        store_some(scales_of(r, record) + g0, vs, groups);
        vi32 less = vishl(visub(viset1(0), visum_of(sum)), 3);
        store_some(less_of(r, record) + g0, vfrombits(less), groups);
    }
}
static void int4(const fr_qrow *r, const float *x, float add, const float *by, void *record) {
    int4_row(r, x, add, by, false, record);
}
static void uint4(const fr_qrow *r, const float *x, float add, const float *by, void *record) {
    int4_row(r, x, add, by, true, record);
}

/* ---- NVFP4 ---- */

/* Twice the E2M1 value nearest to q / 2, where that is below 7: one bit after the first, and steps of one
 * below 4. */
static inline vi32 doubled(vf32 q) {
    vi32 e = vimax(viand(vbits(q), viset1(0x7f800000)), viset1(128 << 23));
    vf32 magic = vfrombits(viadd(e, viset1((22 << 23) + 0x400000)));
    return vcvt(vsub(vadd(q, magic), magic));
}

static vi32 divided_block(const float *v, float s, int8_t *codes) {
    int32_t c[16];
    vi32 total = viset1(0);
    memset(codes, 0, 16);
    for (int i = 0; s == s && i < 16; i += FR_VLEN) {
        vf32 q = vmul(vdiv(vload(v + i), vset1(s)), vset1(2));
        vi32 d = doubled(vmin(vmax(q, vset1(-12)), vset1(12)));
        total = viadd(total, d);
        vistore(c + i, d);
    }
    for (int i = 0; s == s && i < 16; i++) codes[i] = (int8_t)c[i];
    return total;
}

static void nvfp4(const fr_qrow *r, const float *x, float add, const float *by, void *record) {
    const vf32 one = vset1(1.0f);
    int8_t *codes = record;
    float buf[FR_VLEN * 16], s[FR_VLEN], half[FR_VLEN], y2[FR_VLEN];
    for (int64_t g0 = 0; g0 < r->groups; g0 += FR_VLEN) {
        int groups = r->groups - g0 < FR_VLEN ? (int)(r->groups - g0) : FR_VLEN;
        vf32 top;
        const float *v = groups_of(r, x, add, by, g0, groups, 16, false, buf, &top);
        vmask finite = vlt(top, vset1(INFINITY));
        vf32 vs = round_small(vdiv(top, vset1(6.0f)), 3, -6, 448.0f);
        vs = vsel(veq(vs, vzero()), one, vs);
        vmask plain = vmand(finite, vmand(vle(vset1(0x1p-6f), vs), vlt(vs, vset1(448.0f))));
        vs = vsel(finite, vs, vset1(NAN));
        vstore(s, vs);
        vstore(half, vmul(vs, vset1(0.5f)));
        vstore(y2, vsel(plain, vdiv(vset1(2), vs), vzero()));
        vi32 sum[FR_VLEN];
        for (int g = 0; g < FR_VLEN; g++) sum[g] = viset1(0);
        for (int i = 0; i < groups * 16; i += 4 * FR_VLEN) {
            vi32 c[4];
            for (int j = 0; j < 4; j++) {
                int at = i + j * FR_VLEN, g = at / 16;
                vf32 a = vload(v + at), y = vset1(y2[g]), q = vmul(a, y);
                c[j] = doubled(vfma(vfnma(q, vset1(half[g]), a), y, q));
                sum[g] = viadd(sum[g], c[j]);
            }
            vistore_i8(codes + g0 * 16 + i, c);
        }
        for (int g = 0; g < groups; g++)
            if (y2[g] == 0) sum[g] = divided_block(v + g * 16, s[g], codes + (g0 + g) * 16);
        store_some(scales_of(r, record) + g0, vmul(vs, vset1(0.25f)), groups);
        vi32 n = visum_of(sum), less = visub(viset1(0), viadd(vishl(n, 3), vishl(n, 2)));
        store_some(less_of(r, record) + g0, vfrombits(less), groups);
    }
}

void FR_NAME(fr_qrow_fill)(fr_qrow_kernels *out) {
    out->quantize[FR_ROWS_INT8] = int8;
    out->quantize[FR_ROWS_INT4] = int4;
    out->quantize[FR_ROWS_UINT4] = uint4;
    out->quantize[FR_ROWS_NVFP4] = nvfp4;
    out->quantize[FR_ROWS_FP8] = FR_NAME(fr_qrow_fp8);
    out->quantize[FR_ROWS_BF16] = FR_NAME(fr_qrow_bf16);
    out->keep = FR_NAME(fr_qrow_keep);
    out->low = FR_NAME(fr_qrow_low);
}

#endif
