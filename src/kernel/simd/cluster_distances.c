/* cluster_distances.c (simd): squared distances to sixteen points. The panel's lanes are those of the vectors; some rows at a
 * time, so that their chains of multiply-adds hide each other's latency. */
#include "kernel/simd/vec.h"

#include "kernel/cluster_list.h"

#define VECS (FR_CLUSTER_PANEL / FR_VLEN)
/* Twelve sums in registers: enough chains, and the panel's vectors have room beside them. */
#define ROWS (VECS >= 12 ? 1 : 12 / VECS)

static inline void tile(const float *x, size_t rows, size_t width, const float *panel, float *out) {
    vf32 sum[ROWS][VECS];
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < VECS; v++) sum[i][v] = vzero();
    for (size_t j = 0; j < width; j++)
        for (size_t v = 0; v < VECS; v++) {
            vf32 p = vload(panel + j * FR_CLUSTER_PANEL + v * FR_VLEN);
            for (size_t i = 0; i < rows; i++) {
                vf32 d = vsub(p, vset1(x[i * width + j]));
                sum[i][v] = vfma(d, d, sum[i][v]);
            }
        }
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < VECS; v++)
            vstore(out + i * FR_CLUSTER_PANEL + v * FR_VLEN, sum[i][v]);
}

void FR_NAME(cluster_distances)(const float *x, size_t rows, size_t width, const float *panel,
                                float *out) {
    size_t i = 0;
    for (; i + ROWS <= rows; i += ROWS)
        tile(x + i * width, ROWS, width, panel, out + i * FR_CLUSTER_PANEL);
    for (; i < rows; i++) tile(x + i * width, 1, width, panel, out + i * FR_CLUSTER_PANEL);
}
