/* assign.c: labels of blocks of points, and the scratch that finding them takes. */
#include <string.h>

#include "cluster/assign_parts.h"

/* ---- scratch ---- */

typedef struct cutter {
    char *base; /* NULL: only counted */
    size_t used;
} cutter;

static void *cut(cutter *c, size_t floats) {
    void *p = c->base ? c->base + c->used : NULL;
    c->used += fr_round_up(floats * 4, FR_ALIGN);
    return p;
}

void fr_assign_carve(const fr_centroids *c, void *scratch, fr_assign_space *s, size_t *bytes) {
    const fr_nearest_kernels *k = &c->kernels->nearest;
    const size_t rows = c->plan.rows, lanes = rows * (size_t)k->width, points = (size_t)k->points;
    const size_t width = (size_t)c->width, bounds = c->middle ? rows : 0;
    size_t packed = c->plan.across ? points * width : c->plan.copied ? rows * c->plan.stride : 0;
    if (bounds) packed = FR_MAX_OF(packed, fr_few_scratch(c) / 4);
    cutter t = {scratch, 0};
    s->packed = cut(&t, packed);
    s->best = cut(&t, lanes);
    s->second = cut(&t, lanes);
    s->index = cut(&t, lanes);
    s->spill_best = cut(&t, points);
    s->spill_second = cut(&t, points);
    s->spill_label = cut(&t, points);
    s->sums = cut(&t, c->plan.piece < width ? rows * c->plan.set * (size_t)k->width : 0);
    s->error = cut(&t, bounds);
    s->unit = cut(&t, bounds);
    s->length = cut(&t, bounds);
    s->limit = cut(&t, bounds);
    s->open = cut(&t, bounds);
    s->again = cut(&t, bounds);
    s->gather = cut(&t, bounds ? FR_ASSIGN_GATHER * width : 0);
    const size_t candidates = bounds ? FR_CANDIDATES + (size_t)c->k + 2 * FR_NEAREST_LANES : 0;
    s->candidate_row = cut(&t, candidates);
    s->candidate = cut(&t, candidates);
    s->score = cut(&t, candidates);
    *bytes = t.used;
}

size_t fr_assign_scratch(const fr_centroids *c, const fr_points *p) {
    (void)p;
    fr_assign_space s;
    size_t bytes;
    fr_assign_carve(c, NULL, &s, &bytes);
    return bytes;
}

/* ---- labels ---- */

void fr_assign_rows(const fr_centroids *c, int64_t count, const float *rows, void *scratch,
                    fr_assigned *out) {
    fr_assign_space s;
    size_t bytes, done = 0;
    bool worth = true;
    fr_assign_carve(c, scratch, &s, &bytes);
    out->products += count * c->k;
    const fr_assign_way way = out->best || out->second ? FR_WAY_F32 : c->way;
    if (way != FR_WAY_F32) worth = fr_assign_few(c, (size_t)count, rows, &s, out, &done);
    if (!worth) out->refused += count, out->rechecked += count - (int64_t)done;
    if (done == (size_t)count) return;
    fr_assign_scan(c, count - (int64_t)done, rows + done * (size_t)c->width, &s, out->label + done,
                   out->best, out->second);
}

void fr_assign_scores(const fr_centroids *c, const float *row, int64_t from, int64_t to,
                      float *score) {
    enum { FEW = 4 };
    const fr_nearest_kernels *k = &c->kernels->nearest;
    const int64_t nr = k->width, width = c->width;
    float some[FEW * 2 * FR_NEAREST_LANES];
    while (from < to) {
        int64_t first = from / nr, end = (to + nr - 1) / nr;
        if (end > first + FEW) end = first + FEW;
        k->row(row, (size_t)width, c->panels + first * nr * width, (size_t)(nr * width),
               (size_t)(end - first), c->square + first * nr, c->factor, some);
        int64_t last = end * nr < to ? end * nr : to;
        memcpy(score, some + (from - first * nr), (size_t)(last - from) * 4);
        score += last - from, from = last;
    }
}
