/* check.h: what was asked for, before anything is done. */
#ifndef FR_CLUSTER_CHECK_H
#define FR_CLUSTER_CHECK_H

#include "cluster/cluster.h"

fr_status fr_kmeans_check(const fr_tensor *points, const fr_kmeans_opts *o,
                          const fr_kmeans_out *out);
/* A tensor of points: [N, D] or [B, N, D] of f32, bf16 or f16, not empty but for B. */
fr_status fr_kmeans_check_points(const char *what, const fr_tensor *t);

#endif
