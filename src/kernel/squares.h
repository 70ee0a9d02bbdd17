/* squares.h (kernel): squared distances of many rows to sixteen points at once.
 *
 * The points lie as a panel [width][16]: coordinate j of all sixteen beside each other. A distance is one chain of
 * fused multiply-adds over the coordinates, begun at zero:
 *
 *     out[i][t] = (x[i][j] - panel[j][t])^2 + (the same up to j - 1)
 *
 * with the difference rounded first; so it has the same bits in every table, and is zero between equal points, as no
 * difference of squares and products would be. */
#ifndef FR_KERNEL_SQUARES_H
#define FR_KERNEL_SQUARES_H

#include <stddef.h>

enum { FR_SQUARES_POINTS = 16 };

typedef struct fr_squares_kernels {
    /* x: [rows, width]; out: [rows, 16] */
    void (*rows)(const float *x, size_t rows, size_t width, const float *panel, float *out);
} fr_squares_kernels;

void fr_squares_kernels_fill(unsigned cpu, fr_squares_kernels *out);

#endif
