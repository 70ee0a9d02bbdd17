/* hamerly.c: one upper and one lower bound a point (Hamerly, "Making k-means even faster", 2010). Points whose bounds
 * prove nothing first have their upper bound made tight; what is still unsure is gathered, so that the kernel that
 * compares with all centroids gets dense rows. */
#include "cluster/bounds_parts.h"

#include <string.h>

/* Label, upper and lower bound of `count` rows by all distances; at[i] is the place of row i in the block, or NULL. */
static int64_t find(fr_bounds *b, fr_bound_worker *bw, int64_t first, const int32_t *at,
                    int64_t count, const float *rows, int32_t *label, fr_worker *w) {
    fr_assigned found = {.label = bw->label, .best = bw->best, .second = bw->second};
    int64_t changed = 0;
    fr_assign_rows(b->c, count, rows, w->assign, &found);
    w->products += found.products;
    w->rechecked += found.rechecked;
    for (int64_t i = 0; i < count; i++) {
        int64_t place = at ? at[i] : i;
        int32_t a = bw->label[i];
        double square = fr_kernel()->cluster.square(rows + i * b->width, (size_t)b->width);
        changed += label[place] != a;
        label[place] = a;
        b->upper[first + place] =
            fr_up(fr_bounds_above(b, (double)bw->best[i], square) - b->moved[a]);
        b->lower[first + place] =
            fr_down(fr_bounds_below(b, (double)bw->second[i], square) + b->away[a]);
    }
    return changed;
}

/* Tight upper bounds for the listed; those that remain unsure stay in the list. */
static size_t tighten(fr_bounds *b, int32_t *list, size_t count, int64_t first, const float *rows,
                      const int32_t *label) {
    const float *centroid = fr_centroids_rows(b->c);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t at = list[i], a = label[at];
        double d = fr_bounds_move(rows + at * b->width, centroid + a * b->width, b->width);
        float u = fr_up(d), l = (b->lower[first + at] - b->down[a]) * (1 - FR_WIDEN);
        float near = (b->near[a] - u) * (1 - FR_WIDEN);
        b->upper[first + at] = fr_up(d - b->moved[a]);
        if (!fr_sure(u, FR_MAX_OF(l, near), b->slack)) list[kept++] = at;
    }
    return kept;
}

int64_t fr_hamerly_label(fr_bounds *b, fr_bound_worker *bw, int64_t first, int64_t count,
                         const float *rows, int32_t *label, fr_worker *w) {
    if (b->fresh) return find(b, bw, first, NULL, count, rows, label, w);
    size_t n = fr_kernel()->cluster.unsure(b->upper + first, b->lower + first, label, b->up,
                                           b->down, b->near, b->slack, (size_t)count, bw->list);
    w->products += (int64_t)n;
    n = tighten(b, bw->list, n, first, rows, label);
    int64_t changed = 0;
    for (size_t i = 0, part; i < n; i += part) {
        part = FR_MIN(n - i, (size_t)b->gather);
        for (size_t r = 0; r < part; r++)
            memcpy(bw->rows + (int64_t)r * b->width, rows + bw->list[i + r] * b->width,
                   (size_t)b->width * sizeof *rows);
        changed += find(b, bw, first, bw->list + i, (int64_t)part, bw->rows, label, w);
    }
    return changed;
}
