/* assign_scan.c: blocks of points against all centroids in f32: which rows, panels and coordinates meet when. */
#include "cluster/assign_parts.h"

static size_t at_most(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Points in the lanes: each panel of points sees all centroids at once. */
static void scan_across(const fr_centroids *c, size_t count, const float *rows,
                        const fr_assign_space *s, int32_t *label, float *best, float *second) {
    const fr_kernels *k = c->kernels;
    const size_t points = (size_t)k->nearest.points, width = (size_t)c->width;
    for (size_t r = 0; r < count; r += points) {
        const size_t n = at_most(points, count - r);
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
    size_t count, tile; /* rows of a tile of full height */
    bool second;
} part;

/* Tile t: its first row, how many it has, and the height it is packed to. */
static int tile_rows(const part *p, size_t t) {
    return (int)at_most(p->tile, p->count - t * p->tile);
}
static int tile_height(const part *p, size_t t) {
    return fr_nearest_height(&p->c->kernels->nearest, tile_rows(p, t));
}

static void pack_tile(const part *p, size_t t, size_t from, size_t steps, float *out) {
    const size_t width = (size_t)p->c->width;
    p->c->kernels->gemm.pack_rows(p->rows + t * p->tile * width + from, width * 4, tile_rows(p, t),
                                  steps, tile_height(p, t), out);
}

/* Tile t, coordinates from .. from + steps - 1 of panels first .. end - 1. */
static void scan_tile(const part *p, size_t t, size_t first, size_t end, size_t from, size_t steps,
                      const float *packed) {
    const fr_centroids *c = p->c;
    const fr_nearest_kernels *k = &c->kernels->nearest;
    const size_t nr = (size_t)k->width, width = (size_t)c->width, lanes = (size_t)k->lanes;
    const size_t row = t * p->tile;
    const bool whole = steps == width;
    fr_nearest_scan scan = {
        .height = tile_height(p, t),
        .steps = steps,
        .points = packed,
        .panels = c->panels + (first * width + from) * nr,
        .stride = width * nr,
        .count = end - first,
        .first = (int32_t)(first * nr),
        .narrow = c->narrow && end == c->panel_count,
        .square = c->square + first * nr,
        .factor = c->factor,
        .sums = whole ? NULL : p->s->sums + row * c->plan.set * nr,
        .begin = from == 0,
        .end = from + steps == width,
        .best = p->s->best + row * lanes,
        .index = p->s->index + row * lanes,
        .second = p->second ? p->s->second + row * lanes : NULL,
    };
    k->scan(&scan);
}

/* All panels; the state of the lanes stays. */
static void scan_part(const part *p) {
    const fr_centroids *c = p->c;
    const size_t width = (size_t)c->width, piece = c->plan.piece;
    const size_t tiles = (p->count + p->tile - 1) / p->tile;
    float *packed = p->s->packed;
    for (size_t first = 0; first < c->panel_count; first += c->plan.set) {
        const size_t end = at_most(first + c->plan.set, c->panel_count);
        for (size_t from = 0; from < width; from += piece) {
            const size_t steps = at_most(piece, width - from);
            for (size_t t = 0; t < tiles; t++) {
                float *to = packed + t * p->tile * piece;
                if (first == 0 || piece < width) pack_tile(p, t, from, steps, to);
                scan_tile(p, t, first, end, from, steps, to);
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
    const size_t tile = (size_t)k->heights[0], width = (size_t)c->width;
    for (size_t r = 0; r < (size_t)count; r += c->plan.rows) {
        part p = {c, s, rows + r * width, at_most(c->plan.rows, (size_t)count - r), tile, second};
        fr_nearest_begin(fr_round_up(p.count, tile) * (size_t)k->lanes, s->best, s->index,
                         second ? s->second : NULL);
        scan_part(&p);
        k->finish((int)p.count, s->best, s->index, s->second, label + r, best ? best + r : NULL,
                  second ? second + r : NULL);
    }
}
