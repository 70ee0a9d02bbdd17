/* nearest.h (simd): the tile of the search for the nearest rows in f32. See kernel/nearest.h.
 *
 * Two vectors of scores of a panel meet before they meet what a point has: one comparison says which of the two is
 * less, one whether that is less than all before. */
#ifndef FR_KERNEL_SIMD_NEAREST_H
#define FR_KERNEL_SIMD_NEAREST_H

#include "kernel/nearest.h"
#include "kernel/simd/vec.h"

#define INLINE static inline __attribute__((always_inline))

/* As many sums as the registers hold beside two vectors of centroids. */
enum {
    NEAREST_HIGH = FR_VLEN == 16  ? 14
                   : FR_VLEN == 8 ? 6
                                  : 12,
    NEAREST_MIDDLE = FR_VLEN == 8 ? 4 : 8,
    NEAREST_LOW = FR_VLEN == 8 ? 2 : 4,
    NEAREST_WIDTH = 2 * FR_VLEN,
};

/* What a point has in its lanes meets the scores s0 of the centroids of the first half of a panel and, in `wide`
 * ones, s1 of the second; `at` are the numbers that they are called by. */
INLINE void nearest_meet(const bool two, const bool wide, bool fresh, vf32 s0, vf32 s1,
                         const vf32 at[2], float *best, int32_t *index, float *second) {
    const vf32 none = vset1(INFINITY);
    vf32 low = s0, high = s0, number = at[0], old = none, before = vzero();
    if (!fresh) old = vload(best), before = vload((const float *)index);
    if (wide) {
        vmask upper = vlt(s1, s0); /* of equals the lower half */
        low = vmin(s1, s0), high = vmax(s1, s0);
        number = vsel(upper, at[1], at[0]);
    }
    vmask less = vlt(low, old);
    vstore(best, vmin(low, old));
    vstore((float *)index, vsel(less, number, before));
    if (two) {
        vf32 next = vmin(vmax(low, old), fresh ? none : vload(second));
        vstore(second, wide ? vmin(high, next) : next);
    }
}

/* One panel. */
INLINE void nearest_panel(const int height, const bool two, const bool wide,
                          const fr_nearest_scan *s, size_t p) {
    vf32 sum[NEAREST_HIGH][2];
    const float *c = s->panels + p * s->stride;
    float *sums = s->sums ? s->sums + p * (size_t)height * NEAREST_WIDTH : NULL;
    if (sums && !s->begin) {
#pragma GCC unroll 16
        for (int i = 0; i < height; i++) {
            sum[i][0] = vload(sums + i * NEAREST_WIDTH);
            sum[i][1] = vload(sums + i * NEAREST_WIDTH + FR_VLEN);
        }
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < height; i++) sum[i][0] = sum[i][1] = vzero();
    }
    /* Rows 3 i, and one and two further by an index: so that the pointers of all fit in registers. */
    const size_t stride = s->point_stride;
    const float *a[(NEAREST_HIGH + 2) / 3];
#pragma GCC unroll 16
    for (int i = 0; i < height; i += 3) a[i / 3] = s->points + (size_t)i * stride;
    /* As many lines as the next tile has, or a line that is there. */
    const char *next = s->next && p == 0 ? s->next : (const char *)c;
    const size_t line = s->next && p == 0 ? 64 : 0;
    for (size_t d = 0; d < s->steps; d++, c += NEAREST_WIDTH, next += line) {
        __builtin_prefetch(next, 0, 2);
        vf32 c0 = vload(c), c1 = wide ? vload(c + FR_VLEN) : c0;
#pragma GCC unroll 16
        for (int i = 0; i < height; i++) {
            vf32 x = vset1(a[i / 3][(size_t)(i % 3) * stride]);
            sum[i][0] = vfma(x, c0, sum[i][0]);
            if (wide) sum[i][1] = vfma(x, c1, sum[i][1]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < height; i += 3) a[i / 3]++;
    }
    if (sums && !s->end) {
#pragma GCC unroll 16
        for (int i = 0; i < height; i++) {
            vstore(sums + i * NEAREST_WIDTH, sum[i][0]);
            vstore(sums + i * NEAREST_WIDTH + FR_VLEN, sum[i][1]);
        }
        return;
    }
    const vf32 q0 = vload(s->square + p * NEAREST_WIDTH),
               q1 = vload(s->square + p * NEAREST_WIDTH + FR_VLEN), f = vset1(s->factor);
    const int32_t first = s->first + (int32_t)(p * NEAREST_WIDTH);
    const vf32 at[2] = {vfrombits(viset1(first)), vfrombits(viset1(first + FR_VLEN))};
#pragma GCC unroll 16
    for (int i = 0; i < height; i++) {
        const size_t to = (size_t)i * FR_VLEN;
        nearest_meet(two, wide, s->fresh && p == 0, vfma(f, sum[i][0], q0), vfma(f, sum[i][1], q1),
                     at, s->best + to, s->index + to, two ? s->second + to : NULL);
    }
}

INLINE void nearest_tile(const int height, const bool two, const fr_nearest_scan *s) {
    const size_t wide = s->count - (s->narrow ? 1 : 0);
    for (size_t p = 0; p < wide; p++) nearest_panel(height, two, true, s, p);
    if (s->narrow) nearest_panel(height, two, false, s, wide);
}

INLINE void nearest_heights(const bool two, const fr_nearest_scan *s) {
    switch (s->height) {
    case 1: nearest_tile(1, two, s); break;
    case NEAREST_LOW: nearest_tile(NEAREST_LOW, two, s); break;
    case NEAREST_MIDDLE: nearest_tile(NEAREST_MIDDLE, two, s); break;
    default: nearest_tile(NEAREST_HIGH, two, s); break;
    }
}

#endif
