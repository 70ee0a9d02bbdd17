/* cluster.c: the part of the table. */
#include "kernel/kernel.h"

#include "kernel/cluster_list.h"

#define CLUSTER_TABLE(isa)                                                                         \
    (fr_cluster_kernels) {                                                                         \
        .add = cluster_add_##isa, .add_listed = cluster_add_listed_##isa,                          \
        .distance = cluster_distance_##isa, .square = cluster_square_##isa,                        \
        .distances = cluster_distances_##isa, .unsure = cluster_unsure_##isa,                      \
        .least = cluster_least_##isa,                                                              \
    }

void fr_cluster_kernels_fill(unsigned cpu, fr_cluster_kernels *out) {
    *out = CLUSTER_TABLE(ref);
    (void)cpu;
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) *out = CLUSTER_TABLE(avx2);
    if (cpu & FR_CPU_AVX512) *out = CLUSTER_TABLE(avx512);
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) *out = CLUSTER_TABLE(neon);
#endif
}
