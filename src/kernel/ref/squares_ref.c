/* squares_ref.c: squared distances to sixteen points, in plain C. */
#include <math.h>

#include "kernel/squares_list.h"

void squares_rows_ref(const float *x, size_t rows, size_t width, const float *panel, float *out) {
    enum { T = FR_SQUARES_POINTS };
    for (size_t i = 0; i < rows; i++) {
        float *sum = out + i * T;
        for (int t = 0; t < T; t++) sum[t] = 0;
        for (size_t j = 0; j < width; j++)
            for (int t = 0; t < T; t++) {
                float d = panel[j * T + (size_t)t] - x[i * width + j];
                sum[t] = fmaf(d, d, sum[t]);
            }
    }
}
