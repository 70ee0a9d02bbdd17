/* order.c: points by cluster, by counting. */
#include "cluster/cluster.h"

#include <string.h>

fr_status fr_kmeans_order(const int32_t *labels, int64_t n, int64_t k, int32_t *order,
                          int64_t *offset) {
    if (n < 0 || n > INT32_MAX || k < 1)
        return fr_fail(FR_INVALID, "%lld labels of %lld clusters can not be put in order",
                       (long long)n, (long long)k);
    memset(offset, 0, (size_t)(k + 1) * sizeof *offset);
    for (int64_t i = 0; i < n; i++) {
        if (labels[i] < 0 || labels[i] >= k)
            return fr_fail(FR_INVALID, "label %lld is %d, and there are %lld clusters",
                           (long long)i, (int)labels[i], (long long)k);
        offset[labels[i] + 1]++;
    }
    for (int64_t j = 0; j < k; j++) offset[j + 1] += offset[j];
    for (int64_t i = 0; i < n; i++) order[offset[labels[i]]++] = (int32_t)i;
    /* Each offset has gone on to where the next cluster begins. */
    memmove(offset + 1, offset, (size_t)k * sizeof *offset);
    offset[0] = 0;
    return FR_OK;
}
