/* assign_scan.c: blocks of points against all centroids in f32: which rows, panels and coordinates meet when. */
#include "cluster/assign_parts.h"

/* Points in the lanes: each panel of points sees all centroids at once. */
static void scan_across(const fr_centroids *c, size_t count, const float *rows,
                        const fr_assign_space *s, int32_t *label, float *best, float *second) {
    const fr_kernels *k = c->kernels;
    const size_t points = (size_t)k->nearest.points, width = (size_t)c->width;
    for (size_t r = 0; r < count; r += points) {
        const size_t n = FR_MIN(points, count - r);
        k->gemm.pack_rows(rows + r * width, width * 4, (int)n, width, (int)points, s->packed);
        const bool whole = n == points;
        fr_nearest_across a = {
            .steps = width,
            .points = s->packed,
            .rows = c->rows,
            .count = (int32_t)c->k,
            .square = c->square,
            .factor = c->factor,
            .label = whole ? label + r : s->spill_label,
            .best = !best   ? NULL
                    : whole ? best + r
                            : s->spill_best,
            .second = !second ? NULL
                      : whole ? second + r
                              : s->spill_second,
        };
        k->nearest.across(&a);
        if (whole) continue;
        memcpy(label + r, a.label, n * 4);
        if (best) memcpy(best + r, a.best, n * 4);
        if (second) memcpy(second + r, a.second, n * 4);
    }
}

typedef struct part {
    const fr_centroids *c;
    const fr_assign_space *s;
    const float *rows;
    size_t count;
    bool second;
} part;

/* A tile of rows from `row` on, which lie at `points`: coordinates from .. from + steps - 1 of panels first ..
 * end - 1. */
static void scan_tile(const part *p, size_t row, size_t height, const float *points, size_t stride,
                      size_t first, size_t end, size_t from, size_t steps) {
    const fr_centroids *c = p->c;
    const fr_nearest_kernels *k = &c->kernels->nearest;
    const size_t nr = (size_t)k->width, width = (size_t)c->width, lanes = row * (size_t)k->lanes;
    fr_nearest_scan scan = {
        .height = (int)height,
        .steps = steps,
        .points = points,
        .next = first ? NULL : points + height * stride,
        .fresh = first == 0,
        .point_stride = stride,
        .panels = c->panels + (first * width + from) * nr,
        .stride = width * nr,
        .count = end - first,
        .first = (int32_t)(first * nr),
        .narrow = c->narrow && end == c->panel_count,
        .square = c->square + first * nr,
        .factor = c->factor,
        .sums = steps == width ? NULL : p->s->sums + row * c->plan.set * nr,
        .begin = from == 0,
        .end = from + steps == width,
        .best = p->s->best + lanes,
        .index = p->s->index + lanes,
        .second = p->second ? p->s->second + lanes : NULL,
    };
    k->scan(&scan);
}

/* All panels; the state of the lanes stays. */
static void scan_part(const part *p) {
    const fr_centroids *c = p->c;
    const fr_nearest_kernels *k = &c->kernels->nearest;
    const fr_assign_plan *plan = &c->plan;
    const size_t width = (size_t)c->width, stride = plan->copied ? plan->stride : width;
    for (size_t first = 0; first < c->panel_count; first += plan->set) {
        const size_t end = FR_MIN(first + plan->set, c->panel_count);
        for (size_t from = 0; from < width; from += plan->piece) {
            const size_t steps = FR_MIN(plan->piece, width - from);
            if (plan->copied && (first == 0 || plan->piece < width))
                for (size_t r = 0; r < p->count; r++)
                    memcpy((float *)p->s->packed + r * stride, p->rows + r * width + from,
                           steps * 4);
            const float *points = plan->copied ? p->s->packed : p->rows + from;
            for (size_t r = 0, h; r < p->count; r += h) {
                h = fr_nearest_height(k, p->count - r);
                scan_tile(p, r, h, points + r * stride, stride, first, end, from, steps);
            }
        }
    }
}

void fr_assign_scan(const fr_centroids *c, int64_t count, const float *rows,
                    const fr_assign_space *s, int32_t *label, float *best, float *second) {
    if (c->plan.across) {
        scan_across(c, (size_t)count, rows, s, label, best, second);
        return;
    }
    const fr_nearest_kernels *k = &c->kernels->nearest;
    for (size_t r = 0; r < (size_t)count; r += c->plan.rows) {
        part p = {c, s, rows + r * (size_t)c->width, FR_MIN(c->plan.rows, (size_t)count - r),
                  second};
        scan_part(&p);
        k->finish((int)p.count, s->best, s->index, s->second, label + r, best ? best + r : NULL,
                  second ? second + r : NULL);
    }
}
