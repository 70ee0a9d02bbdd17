/* attn_mask.c: what a query may not see gets the score -inf. */
#include "kernel/simd/attn.h"

/* Counts fit in 24 bits, so that rows are compared as floats. */
void FR_NAME(attn_mask_lanes)(float *s, int64_t count, int lanes, const int32_t *lo,
                              const int32_t *hi) {
    for (int i = 0; i < lanes; i += FR_VLEN) {
        vf32 first = vtof(viload(lo + i)), end = vtof(viload(hi + i));
        for (int64_t j = 0; j < count; j++) {
            vf32 at = vset1((float)j);
            vmask seen = vmand(vle(first, at), vlt(at, end));
            float *x = s + j * lanes + i;
            vstore(x, vsel(seen, vload(x), vset1(-INFINITY)));
        }
    }
}
