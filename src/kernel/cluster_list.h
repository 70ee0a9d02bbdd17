/* cluster_list.h: the kernels of cluster.h by name, one set an instruction set. */
#ifndef FR_KERNEL_CLUSTER_LIST_H
#define FR_KERNEL_CLUSTER_LIST_H

#include "kernel/cluster.h"

/* What one operation in floats may take from a bound: it is given back by this factor. */
#define FR_BOUND_WIDEN 2.4e-7f

#define FR_CLUSTER_SET(isa)                                                                        \
    void cluster_add_##isa(const float *rows, const int32_t *label, const float *weight,           \
                           size_t count, size_t more, size_t width, float *sum);                   \
    void cluster_add_listed_##isa(const float *rows, const int32_t *list, const int32_t *label,    \
                                  const float *weight, size_t count, size_t more, size_t width,    \
                                  double *sum);                                                    \
    double cluster_distance_##isa(const float *x, const float *c, size_t n);                       \
    double cluster_square_##isa(const float *x, size_t n);                                         \
    void cluster_distances_##isa(const float *x, size_t rows, size_t width, const float *panel,    \
                                 float *out);                                                      \
    size_t cluster_unsure_##isa(const float *upper, const float *lower, const int32_t *label,      \
                                const float *up, const float *down, const float *near,             \
                                float slack, size_t count, int32_t *list);                         \
    float cluster_least_##isa(const float *lower, const float *down, size_t groups);

FR_CLUSTER_SET(ref)
FR_CLUSTER_SET(avx2)
FR_CLUSTER_SET(avx512)
FR_CLUSTER_SET(neon)

#endif
