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
 * A step is a coordinate. Per point and lane it keeps the least score, the number of the first lane's centroid when it
 * came, and, where asked, the next score: what is best over all lanes is found once, by `finish`, after the last panel.
 * `across` has points in the lanes and spreads centroids: for few centroids or few coordinates, where a panel would be
 * mostly empty or comparing costs as much as multiplying. `bounds` have the tiles of `scan` over few bits: they tell
 * which centroids cannot be nearest, and `prove` and `near` which those few are that can. */
#ifndef FR_KERNEL_NEAREST_H
#define FR_KERNEL_NEAREST_H

#include <frugal/ops.h>

/* No step of codes is less. */
#define FR_NEAREST_STEP 0x1p-100f
/* A bound of no centroid. */
#define FR_NEAREST_NONE 0x1p127f

enum {
    FR_NEAREST_HEIGHTS = 4,
    FR_NEAREST_CHAINS = 8,
    FR_NEAREST_LANES = 16,
    FR_NEAREST_HIGH = 16 /* at most */
};

typedef struct fr_nearest_scan {
    int height;
    size_t steps;
    const float *points; /* rows of `steps`, point_stride apart */
    const void *next;    /* points of the next call, asked for in passing, or NULL */
    size_t point_stride;
    const float *panels; /* `count` of them, `stride` apart */
    size_t stride, count;
    int32_t first;       /* centroid in the first lane of the first panel */
    bool narrow;         /* the upper half of the last panel is empty */
    const float *square; /* [count][width] */
    float factor;
    /* Chains in pieces: sums [count][height][width] that go on from an earlier call, and whether they are
     * complete now. NULL: all in one. */
    float *sums;
    bool begin, end;
    /* [height][lanes], of an earlier call, unless `fresh`; second NULL: not wanted. */
    bool fresh;
    float *best;
    int32_t *index;
    float *second;
} fr_nearest_scan;

/* The same over few bits: a step is a pair of neighbouring bf16 or four whole numbers of 8 bits (of points, larger by
 * `bias`, which `start` takes away again). It finds bounds from below of scores, in units of the tile:
 *
 *     by * low[j] - error * reach[j] + step[j] * the sum of products
 *
 * A lane for each centroid of a panel keeps its two least bounds, and the number of their panel in their last bits: so
 * these are no more exact than mask / 2^22 of what they are. */
typedef struct fr_nearest_bounds {
    int height;
    size_t steps;
    const uint32_t *points;
    const void *next; /* asked for in passing: so many lines of 64 bytes, or about as many */
    size_t lines;
    size_t point_stride;
    const uint32_t *panels;
    size_t stride, count;
    int32_t first, mask; /* number of the first panel; the bits that numbers have */
    bool narrow;
    const int32_t *start;            /* [count][width], as the next three; of bytes alone */
    const float *step, *low, *reach; /* low is +inf past the last centroid */
    float by, error;                 /* no product with these overflows */
    bool fresh;
    float *best, *second; /* [height][width] */
} fr_nearest_bounds;

/* Which rows' labels bounds in lanes prove: those of the centroid b with the least bound, if no other's is at most
 *
 *     limit = least + 2 (error[i] reach[b] + unit[i] fixed[b])     and some for the last bits */
typedef struct fr_nearest_proof {
    int rows;
    int32_t mask;
    const float *best, *second; /* [rows][width] */
    const float *error, *unit;  /* [rows] */
    const float *reach, *fixed; /* [k] */
    int32_t *label;             /* [rows] that of the least bound */
    float *limit;               /* [rows]; +inf: no limit is known */
    int32_t *open;              /* the rows that are not proven, in rising order */
} fr_nearest_proof;

/* What a table has for one kind of bits; scan NULL: no instruction makes it worth it. */
typedef struct fr_nearest_few {
    void (*scan)(const fr_nearest_bounds *s);
    /* Rows - middle in steps, times one number, which is returned: 1, or the least by which all rows' whole numbers
     * are within +-127. norm and lost: squared lengths of each row so, and of what rounding took away, within a
     * relative 2^-10 and an absolute 2^-130 of the truth. */
    float (*round)(const float *rows, size_t count, size_t stride, const float *middle,
                   size_t width, int bias, uint32_t *out, size_t out_stride, float *norm,
                   float *lost);
    int bias;
} fr_nearest_few;

typedef enum fr_nearest_bits { FR_NEAREST_BF16, FR_NEAREST_INT8, FR_NEAREST_KINDS } fr_nearest_bits;

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
    /* Of `rows` points: label, and where not NULL the least score and the next (+inf: there is none). */
    void (*finish)(int rows, const float *best, const int32_t *index, const float *second,
                   int32_t *label, float *least, float *next);
    fr_nearest_few bounds[FR_NEAREST_KINDS];
    /* What follows stands in tables that have bounds. How many rows are open: */
    int (*prove)(const fr_nearest_proof *p);
    /* Of one point: the centroids with bounds <= limit to list, in the order of the lanes; those of lanes with a
     * second such are not listed, the lanes are told. */
    int (*near)(const float *best, const float *second, int32_t mask, float limit, int32_t *list,
                uint32_t *deep);
    void (*across)(const fr_nearest_across *a);
    /* out[i] = row row[i] of rows . row centroid[i] of centroids, in any order of sums. */
    void (*products)(const float *rows, const float *centroids, const int32_t *row,
                     const int32_t *centroid, int count, size_t width, float *out);
    /* sum[i] = x[i] . c[i], eight at a time, by the chain. */
    void (*chains)(const float *const *x, const float *const *c, size_t steps, float *sum);
    /* score[j] of one row against whole panels, [count][width]. */
    void (*row)(const float *x, size_t steps, const float *panels, size_t stride, size_t count,
                const float *square, float factor, float *score);
} fr_nearest_kernels;

/* The largest height of no more than rows. */
static inline size_t fr_nearest_height(const fr_nearest_kernels *k, size_t rows) {
    int i = 0;
    while ((size_t)k->heights[i] > rows) i++;
    return (size_t)k->heights[i];
}

void fr_nearest_kernels_fill(unsigned cpu, fr_nearest_kernels *out);

#endif
