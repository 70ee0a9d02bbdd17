/* nearest.h (kernel): which of many rows ("centroids") is nearest to each of some points, by products that never
 * leave the registers.
 *
 * score[j] = square[j] + factor * (x . c_j), one fused multiply-add; x . c_j is one chain of fused multiply-adds in
 * the order of the coordinates, begun at zero. The least score wins, the lowest j among equals. So every tile of
 * every table gives the same bits, as long as no score is NaN (which finite squared lengths see to).
 *
 * `scan` has centroids across the lanes, as the tiles of gemm.h have the columns of B:
 *
 *     points  [height][stride]     a tile of rows as they lie; height is one of heights[]
 *     panel   [steps][width]       width centroids; lanes past the last are zeros, and their square is +inf
 *
 * A step is a coordinate, or a pair of neighbouring bf16. Per point and lane it keeps the least score, the number of
 * the first lane's centroid when it came, and, where asked, the next score: what is best over all lanes is found once,
 * by `finish`, after the last panel. `across` has points in the lanes and spreads centroids: for few centroids or few
 * coordinates, where a panel would be mostly empty or comparing costs as much as multiplying. */
#ifndef FR_KERNEL_NEAREST_H
#define FR_KERNEL_NEAREST_H

#include <frugal/ops.h>

enum { FR_NEAREST_HEIGHTS = 4, FR_NEAREST_CHAINS = 8, FR_NEAREST_LANES = 16 /* at most */ };

typedef struct fr_nearest_scan {
    int height;
    size_t steps;
    const void *points; /* rows of `steps` lanes of 32 bits, point_stride lanes apart */
    const void *next;   /* points of the next call, asked for in passing, or NULL */
    size_t point_stride;
    const void *panels; /* `count` of them, `stride` lanes apart */
    size_t stride, count;
    int32_t first;       /* centroid in the first lane of the first panel */
    bool narrow;         /* the upper half of the last panel is empty */
    const float *square; /* [count][width] */
    float factor;
    /* Chains in pieces: sums [count][height][width] that go on from an earlier call, and whether they are
     * complete now. NULL: all in one. Not of bf16. */
    float *sums;
    bool begin, end;
    /* [height][lanes], of an earlier call, unless `fresh`; second NULL: not wanted. */
    bool fresh;
    float *best;
    int32_t *index;
    float *second;
} fr_nearest_scan;

typedef struct fr_nearest_across {
    size_t steps;
    const float *points; /* [steps][points of the table] */
    const float *rows;   /* centroids as they lie, `steps` floats each */
    int32_t count;
    const float *square; /* [count] */
    float factor;
    int32_t *label; /* [points of the table], as are the next; second may be NULL */
    float *best, *second;
} fr_nearest_across;

typedef struct fr_nearest_kernels {
    int heights
        [FR_NEAREST_HEIGHTS]; /* of tiles, from the largest; the last is 1 or fills up with zeros */
    int width, lanes;         /* width is two times lanes, or lanes 1 */
    int points;               /* of a panel of `across` */

    void (*scan)(const fr_nearest_scan *s);
    /* The same over bf16 pairs by the dot instruction, sums within the bounds of any order and with denormals
     * taken for zero; `second` must be there. NULL where there is none. */
    void (*scan_bf16)(const fr_nearest_scan *s);
    /* Of `rows` points: label, and where not NULL the least score and the next (+inf: there is none). */
    void (*finish)(int rows, const float *best, const int32_t *index, const float *second,
                   int32_t *label, float *least, float *next);
    /* Of one point with a known label: the other centroids with scores <= limit, to list, in no order. A negative
     * number: there may be more than the lanes know. */
    int (*within)(const float *best, const int32_t *index, const float *second, int32_t label,
                  float limit, int32_t *list);
    void (*across)(const fr_nearest_across *a);
    /* sum[i] = x[i] . c[i], eight at a time, by the chain. */
    void (*chains)(const float *const *x, const float *const *c, size_t steps, float *sum);
    /* score[j] of one row against whole panels, [count][width]. */
    void (*row)(const float *x, size_t steps, const float *panels, size_t stride, size_t count,
                const float *square, float factor, float *score);
    /* x - middle as (width + 1) / 2 pairs for scan_bf16. norm and lost: squared lengths of the row so, and of what
     * rounding to bf16 took away, within a relative 2^-10 and an absolute 2^-130 of the truth. */
    void (*pairs)(const float *x, const float *middle, size_t width, uint32_t *out, float *norm,
                  float *lost);
} fr_nearest_kernels;

/* The largest height of no more than rows. */
static inline size_t fr_nearest_height(const fr_nearest_kernels *k, size_t rows) {
    int i = 0;
    while ((size_t)k->heights[i] > rows) i++;
    return (size_t)k->heights[i];
}

void fr_nearest_kernels_fill(unsigned cpu, fr_nearest_kernels *out);

#endif
