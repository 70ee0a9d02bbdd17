/* nearest_bounds.h (simd): the tile of the search for the nearest rows over few bits, which finds bounds. See
 * kernel/nearest.h. Whoever includes it says before
 *
 *     BOUNDS_DOT(x, c, sum)   a step: the sum gains the products of 32 bits of a point, the same in all lanes, and of
 *                             32 bits of each lane's centroid
 *     BOUNDS_FLOATS           sums are floats; else whole numbers, begun at `start`
 *
 * Halves of a panel keep lanes of their own: what two near centroids of one lane cost later is more than the stores. */
#ifndef FR_KERNEL_SIMD_NEAREST_BOUNDS_H
#define FR_KERNEL_SIMD_NEAREST_BOUNDS_H

#include "kernel/simd/nearest.h"

#ifdef BOUNDS_FLOATS
#define BOUNDS_SUM         vf32
#define BOUNDS_START(from) vzero()
#define BOUNDS_VALUE(sum)  (sum)
#else
#define BOUNDS_SUM         vi32
#define BOUNDS_START(from) viload(from)
#define BOUNDS_VALUE(sum)  vtof(sum)
#endif

/* A bound whose last bits become the number of its panel. */
INLINE vf32 bounds_mark(vf32 bound, vi32 keep, vi32 number) {
    return vfrombits(vior(viand(vbits(bound), keep), number));
}

INLINE void bounds_meet(bool fresh, vf32 bound, float *best, float *second) {
    const vf32 none = vset1(FR_NEAREST_NONE);
    const vf32 old = fresh ? none : vload(best), next = fresh ? none : vload(second);
    vstore(best, vmin(bound, old));
    vstore(second, vmin(vmax(bound, old), next));
}

INLINE void bounds_panel(const int height, const bool wide, const fr_nearest_bounds *s, size_t p) {
    const size_t stride = s->point_stride, at = p * NEAREST_WIDTH;
    const int32_t *c = (const int32_t *)s->panels + p * s->stride, *a[(NEAREST_HIGH + 2) / 3];
    const BOUNDS_SUM start[2] = {BOUNDS_START(s->start + at),
                                 BOUNDS_START(s->start + at + FR_VLEN)};
    BOUNDS_SUM sum[NEAREST_HIGH][2];
#pragma GCC unroll 16
    for (int i = 0; i < height; i++) sum[i][0] = start[0], sum[i][1] = start[1];
#pragma GCC unroll 16
    for (int i = 0; i < height; i += 3) a[i / 3] = (const int32_t *)s->points + (size_t)i * stride;
    /* A line a step of what is wanted next, or a line that is there. */
    const bool ask = p * s->steps < s->lines;
    const char *next = ask ? (const char *)s->next + p * s->steps * 64 : (const char *)c;
    const size_t line = ask ? 64 : 0;
    for (size_t d = 0; d < s->steps; d++, c += NEAREST_WIDTH, next += line) {
        __builtin_prefetch(next, 0, 3);
        vi32 c0 = viload(c), c1 = wide ? viload(c + FR_VLEN) : c0;
#pragma GCC unroll 16
        for (int i = 0; i < height; i++) {
            vi32 x = viset1(a[i / 3][(size_t)(i % 3) * stride]);
            BOUNDS_DOT(x, c0, sum[i][0]);
            if (wide) BOUNDS_DOT(x, c1, sum[i][1]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < height; i += 3) a[i / 3]++;
    }
    const vf32 by = vset1(s->by), error = vset1(s->error);
    const vi32 keep = viset1(~s->mask), number = viset1(s->first + (int32_t)p);
    const bool fresh = s->fresh && p == 0;
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const size_t from = at + (size_t)h * FR_VLEN;
        const vf32 step = vload(s->step + from);
        vf32 low = vfnma(error, vload(s->reach + from), vmul(by, vload(s->low + from)));
        low = vmin(low, vset1(FR_NEAREST_NONE));
#pragma GCC unroll 16
        for (int i = 0; i < height; i++) {
            const size_t to = (size_t)(2 * i + h) * FR_VLEN;
            if (h == 0 || wide)
                bounds_meet(fresh,
                            bounds_mark(vfma(BOUNDS_VALUE(sum[i][h]), step, low), keep, number),
                            s->best + to, s->second + to);
            else if (fresh)
                bounds_meet(true, vset1(FR_NEAREST_NONE), s->best + to, s->second + to);
        }
    }
}

INLINE void bounds_tile(const int height, const fr_nearest_bounds *s) {
    const size_t wide = s->count - (s->narrow ? 1 : 0);
    for (size_t p = 0; p < wide; p++) bounds_panel(height, true, s, p);
    if (s->narrow) bounds_panel(height, false, s, wide);
}

static void bounds_scan(const fr_nearest_bounds *s) {
    switch (s->height) {
    case 1: bounds_tile(1, s); break;
    case NEAREST_LOW: bounds_tile(NEAREST_LOW, s); break;
    case NEAREST_MIDDLE: bounds_tile(NEAREST_MIDDLE, s); break;
    default: bounds_tile(NEAREST_HIGH, s); break;
    }
}

#endif
