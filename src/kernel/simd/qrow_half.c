/* qrow_half.c: rows whose codes take 16 bits: what E4M3 can hold, and bf16, over vec.h, with the bits of
 * ref/qrow_ref.c. */
#include "kernel/simd/qrow.h"

#ifdef FR_ISA

void FR_NAME(fr_qrow_fp8)(const fr_qrow *r, const float *x, float add, const float *by,
                          void *record) {
    uint16_t *codes = record;
    float buf[MOST], s[FR_VLEN];
    for (int64_t g0 = 0; g0 < r->groups; g0 += FR_VLEN) {
        int groups = r->groups - g0 < FR_VLEN ? (int)(r->groups - g0) : FR_VLEN;
        const float *v = values(r, x, add, by, g0 * 128, groups * 128, true, buf);
        vf32 top = tops_of(v, groups, 128, false);
        vf32 vs = vmax(vdiv(top, vset1(448.0f)), vset1(0x1p-126f));
        vs = vsel(veq(top, vzero()), vset1(1.0f), vs);
        vs = vsel(vlt(top, vset1(INFINITY)), vs, vset1(NAN));
        vstore(s, vs);
        store_some(scales_of(r, record) + g0, vs, groups);
        for (int g = 0; g < groups; g++) {
            uint16_t *c = codes + (g0 + g) * 128;
            if (s[g] != s[g]) memset(c, 0, 256);
            for (int i = 0; s[g] == s[g] && i < 128; i += FR_VLEN) {
                vf32 q = vdiv(vload(v + g * 128 + i), vset1(s[g]));
                vstore_bf16(c + i, vcopysign(round_small(vabs(q), 3, -6, 448.0f), q));
            }
        }
    }
}

void FR_NAME(fr_qrow_bf16)(const fr_qrow *r, const float *x, float add, const float *by,
                           void *record) {
    uint16_t *codes = record;
    float buf[MOST], *less = (float *)((char *)record + r->less);
    for (int64_t g = 0; g < r->groups; g++) {
        const float *v = values(r, x, add, by, g * r->group, r->group, true, buf);
        uint16_t *c = codes + g * r->group;
        vf32 sum = vzero();
        for (int i = 0; i < r->group; i += FR_VLEN) {
            vstore_bf16(c + i, vload(v + i));
            sum = vadd(sum, vload_bf16(c + i));
        }
        less[g] = -vsum(sum);
    }
}

#endif
