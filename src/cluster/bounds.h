/* bounds.h: comparisons that need not be made. A point's distance to its centroid has an upper bound, to all others
 * lower ones; when centroids move, the bounds move with them, and where they still prove the label nothing is computed.
 * What they prove is what f32 scores would have said: a proof leaves room for all that f32 may round, so labels are
 * those of comparing every point with every centroid, bit for bit. */
#ifndef FR_CLUSTER_BOUNDS_H
#define FR_CLUSTER_BOUNDS_H

#include "cluster/lloyd.h"

/* HAMERLY: a lower bound a point; YINYANG: one a point and group of centroids. c holds the centroids of now. */
fr_status fr_bounds_new(const fr_lloyd *l, fr_kmeans_method method, fr_bounds **out);
void fr_bounds_free(fr_bounds *b);
/* Bytes that the bounds of all points take. */
int64_t fr_bounds_bytes(fr_kmeans_method method, int64_t n, int64_t k, int64_t width, int threads);

/* Before each pass: l->centroid are its centroids, l->before those of the last pass, if there was one. */
void fr_bounds_moved(fr_bounds *b, fr_lloyd *l);
/* New labels of a block over the old ones; returns how many changed. */
int64_t fr_bounds_label(fr_bounds *b, size_t thread, int64_t first, int64_t count,
                        const float *rows, int32_t *label, fr_worker *w);

/* What bounds would save: the method that would take the least time from here on, judged by a few blocks of points and the
 * last move (l->c still holds the centroids before it); LLOYD when none is worth it. */
fr_status fr_bounds_judge(fr_lloyd *l, fr_kmeans_method *out);

#endif
