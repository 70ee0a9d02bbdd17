/* cluster.h (kernel): what k-means does with rows besides finding the nearest centroid: sums by label,
 * squared distances, and the bounds that save comparisons.
 *
 * Rows are dense f32. All results are the same bits in every table: additions have one order, products of two floats
 * are exact in doubles, rounded before they are added, or added in one rounding. The reference in ref/cluster_ref.c
 * states each in plain C. */
#ifndef FR_KERNEL_CLUSTER_H
#define FR_KERNEL_CLUSTER_H

#include <frugal/types.h>

enum { FR_CLUSTER_PANEL = 16 /* points that `distances` takes at once */ };

typedef struct fr_cluster_kernels {
    /* sum[label[i]] += weight[i] row[i], for i = 0, 1 ... count - 1; rows and sums of `width`; weight NULL: 1. In
     * floats: the product is rounded, then the sum. `more` labels follow, whose turn is next: their sums are asked for,
     * no more. */
    void (*add)(const float *rows, const int32_t *label, const float *weight, size_t count,
                size_t more, size_t width, float *sum);
    /* sum[label[i]] += weight[r] row[r], r = list[i], in doubles; of r < 0 row ~r is taken off. label NULL: 0. `more` as
     * above, also of rows. */
    void (*add_listed)(const float *rows, const int32_t *list, const int32_t *label,
                       const float *weight, size_t count, size_t more, size_t width, double *sum);
    /* The sum of (x - c)^2, and of x^2. Value i is added in lane i mod 8; lanes in pairs 4, 2, 1 apart. */
    double (*distance)(const float *x, const float *c, size_t n);
    double (*square)(const float *x, size_t n);
    /* Squared distances of many rows to sixteen points at once, which lie as a panel [width][16]: coordinate j of all
     * sixteen beside each other. Each is one chain of fused multiply-adds over the coordinates, begun at zero:
     *
     *     out[i][t] = (panel[j][t] - x[i][j])^2 + (the same up to j - 1)
     *
     * with the difference rounded first; so it is zero between equal points, as no difference of squares and products
     * would be. x: [rows, width]; out: [rows, 16]. */
    void (*distances)(const float *x, size_t rows, size_t width, const float *panel, float *out);

    /* Hamerly. A point's distance to its centroid is at most u = upper[i] + up[label], to any other at least
     * l = max(lower[i] - down[label], near[label] - u). Lists the points, in rising order, of which l^2 - u^2 > slack
     * with l > u is not sure, whatever f32 rounds, and returns how many. */
    size_t (*unsure)(const float *upper, const float *lower, const int32_t *label, const float *up,
                     const float *down, const float *near, float slack, size_t count,
                     int32_t *list);
    /* The least of lower[g] - down[g] (infinity when there is none), rounded down. */
    float (*least)(const float *lower, const float *down, size_t groups);
} fr_cluster_kernels;

void fr_cluster_kernels_fill(unsigned cpu, fr_cluster_kernels *out);

#endif
