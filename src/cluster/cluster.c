/* cluster.c: k-means from points to centroids and labels. */
#include "cluster/cluster.h"

fr_kmeans_opts fr_kmeans_defaults(int64_t k) {
    return (fr_kmeans_opts){.k = k,
                            .iterations = 300,
                            .tolerance = 1e-4,
                            .attempts = 1,
                            .batch = 1024,
                            .memory = (int64_t)64 << 20};
}
