/* yinyang.c: a lower bound for a point and each group of centroids (Ding et al., "Yinyang k-means", 2015): where a
 * label is unsure, only the groups that may hold a nearer centroid are looked at. Groups are neighbours by cutting
 * the centroids in halves along the coordinate in which they differ most. */
#include "cluster/bounds_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- groups ---- */

typedef struct cut_key {
    float value;
    int32_t centroid;
} cut_key;

static int by_value(const void *x, const void *y) {
    const cut_key *a = x, *b = y;
    if (a->value != b->value) return a->value < b->value ? -1 : 1;
    return a->centroid < b->centroid ? -1 : 1;
}

static int64_t widest(const float *centroid, const int32_t *order, int64_t n, int64_t width) {
    enum { TOGETHER = 16 }; /* coordinates of a line */
    double most = -1, sum[TOGETHER], squares[TOGETHER];
    int64_t best = 0;
    for (int64_t d = 0; d < width; d++) {
        int64_t at = d % TOGETHER, count = FR_MIN(width - d, TOGETHER);
        if (!at) memset(sum, 0, sizeof sum), memset(squares, 0, sizeof squares);
        for (int64_t i = 0; !at && i < n; i++)
            for (int64_t e = 0; e < count; e++) {
                double v = (double)centroid[order[i] * width + d + e];
                sum[e] += v;
                squares[e] += v * v;
            }
        double spread = squares[at] - sum[at] * sum[at] / (double)n;
        if (spread > most) most = spread, best = d;
    }
    return best;
}

static void cut(const float *centroid, int32_t *order, int64_t n, int64_t width, cut_key *key) {
    if (n <= FR_GROUP) return;
    int64_t d = widest(centroid, order, n, width), groups = (n + FR_GROUP - 1) / FR_GROUP;
    int64_t half = groups / 2 * FR_GROUP;
    for (int64_t i = 0; i < n; i++) key[i] = (cut_key){centroid[order[i] * width + d], order[i]};
    qsort(key, (size_t)n, sizeof *key, by_value);
    for (int64_t i = 0; i < n; i++) order[i] = key[i].centroid;
    cut(centroid, order, half, width, key);
    cut(centroid, order + half, n - half, width, key);
}

fr_status fr_groups_make(fr_groups *g, const float *centroid, int64_t k, int64_t width,
                         fr_metric metric) {
    *g = (fr_groups){.k = k, .width = width, .count = (k + FR_GROUP - 1) / FR_GROUP};
    g->order = fr_alloc_array(FR_MEM_OTHER, (size_t)k, sizeof *g->order);
    g->place = fr_alloc_array(FR_MEM_OTHER, (size_t)k, sizeof *g->place);
    g->rows = fr_alloc_array(FR_MEM_OTHER, (size_t)k, (size_t)width * sizeof *g->rows);
    cut_key *key = fr_alloc_array(FR_MEM_OTHER, (size_t)k, sizeof *key);
    fr_status st = g->order && g->place && g->rows && key ? FR_OK : FR_NOMEM;
    if (!st) st = fr_centroids_new(k, width, metric, FR_PRODUCTS_F32, &g->c);
    if (!st) {
        for (int64_t i = 0; i < k; i++) g->order[i] = (int32_t)i;
        cut(centroid, g->order, k, width, key);
        for (int64_t i = 0; i < k; i++) g->place[g->order[i]] = (int32_t)i;
    }
    fr_free(key);
    return st;
}

void fr_groups_set(fr_groups *g, const float *centroid, fr_pool *pool) {
    for (int64_t i = 0; i < g->k; i++)
        memcpy(g->rows + i * g->width, centroid + g->order[i] * g->width,
               (size_t)g->width * sizeof *g->rows);
    fr_centroids_set(g->c, g->rows, pool);
}

void fr_groups_free(fr_groups *g) {
    fr_free(g->order);
    fr_free(g->place);
    fr_free(g->rows);
    fr_centroids_free(g->c);
    *g = (fr_groups){0};
}

/* ---- labels ---- */

/* The two lowest of a group's scores; of equals the lowest centroid is the nearest. */
static fr_group_found look(const fr_groups *g, int64_t group, const float *row, float *score) {
    int64_t from = group * FR_GROUP, end = FR_MIN(g->k, from + FR_GROUP);
    fr_group_found f = {(int32_t)group, -1, INFINITY, INFINITY};
    fr_assign_scores(g->c, row, from, end, score);
    for (int64_t i = from; i < end; i++) {
        float s = score[i - from];
        int32_t j = g->order[i];
        if (f.nearest < 0 || s < f.best || (s == f.best && j < f.nearest)) {
            f.second = f.nearest < 0 ? INFINITY : f.best;
            f.best = s;
            f.nearest = j;
        } else if (s < f.second) {
            f.second = s;
        }
    }
    return f;
}

/* Takes what was found in `count` groups, and centroid `a` with its score, for new bounds; returns the label. */
static int32_t settle(fr_bounds *b, int64_t point, const fr_group_found *found, int64_t count,
                      int32_t a, float score, double square) {
    float *lower = b->lower + point * b->groups.count, best = score;
    int32_t label = a;
    for (int64_t i = 0; i < count; i++)
        if (found[i].best < best || (found[i].best == best && found[i].nearest < label)) {
            best = found[i].best;
            label = found[i].nearest;
        }
    int64_t home = b->groups.place[a] / FR_GROUP;
    if (label != a) { /* its group, if nobody looked, now counts it among the others */
        float left = fr_down(fr_bounds_below(b, (double)score, square) + b->away[home]);
        lower[home] = FR_MIN(lower[home], left);
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t g = found[i].group;
        float other = found[i].nearest == label ? found[i].second : found[i].best;
        lower[g] = fr_down(fr_bounds_below(b, (double)other, square) + b->away[g]);
    }
    b->upper[point] = fr_up(fr_bounds_above(b, (double)best, square) - b->moved[label]);
    return label;
}

static int32_t find(fr_bounds *b, fr_bound_worker *bw, int64_t point, const float *row, int32_t a,
                    float u, fr_worker *w) {
    const fr_groups *g = &b->groups;
    const float *lower = b->lower + point * g->count;
    double square = fr_kernel()->cluster.square(row, (size_t)b->width);
    int64_t count = 0;
    float score = 0;
    for (int64_t i = 0; i < g->count; i++) {
        if (!b->fresh && fr_sure(u, (lower[i] - b->down[i]) * (1 - FR_WIDEN), b->slack)) continue;
        bw->found[count++] = look(g, i, row, bw->score);
    }
    w->products += count * FR_GROUP + 1;
    if (a < 0) a = bw->found[0].nearest;
    fr_assign_scores(g->c, row, g->place[a], g->place[a] + 1, &score);
    return settle(b, point, bw->found, count, a, score, square);
}

int64_t fr_yinyang_label(fr_bounds *b, fr_bound_worker *bw, int64_t first, int64_t count,
                         const float *rows, int32_t *label, fr_worker *w) {
    const float *centroid = fr_centroids_rows(b->c);
    int64_t groups = b->groups.count, changed = 0;
    for (int64_t i = 0; i < count; i++) {
        const float *row = rows + i * b->width;
        int64_t point = first + i;
        int32_t a = label[i];
        float u = 0;
        if (!b->fresh) {
            float l =
                fr_kernel()->cluster.least(b->lower + point * groups, b->down, (size_t)groups);
            u = (b->upper[point] + b->up[a]) * (1 + FR_WIDEN);
            float near = (b->near[a] - u) * (1 - FR_WIDEN);
            if (fr_sure(u, FR_MAX_OF(l, near), b->slack)) continue;
            double d = fr_bounds_move(row, centroid + a * b->width, b->width);
            u = fr_up(d);
            b->upper[point] = fr_up(d - b->moved[a]);
            w->products++;
            near = (b->near[a] - u) * (1 - FR_WIDEN);
            if (fr_sure(u, FR_MAX_OF(l, near), b->slack)) continue;
        }
        label[i] = find(b, bw, point, row, a, u, w);
        changed += label[i] != a;
    }
    return changed;
}
