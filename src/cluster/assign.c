/* assign.c: centroids brought into the layout of the kernels, and the way that labels are found. */
#include <math.h>
#include <string.h>

#include "cluster/assign_parts.h"

enum {
    PART = 256 << 10, /* bytes of rows, and of a set of panels: both lie in the second cache */
    LONG = 4096,      /* coordinates; longer rows are cut into pieces */
    PIECE = 1024,
    PAIRED = 4096, /* coordinates, at most, of rows in bf16 */
    FLAT = 8,      /* coordinates, at most, for which points go into the lanes */
};

static size_t clamp(size_t x, size_t low, size_t high) {
    return x < low ? low : x > high ? high : x;
}

/* As many floats as an odd number of cache lines. */
static size_t odd_lines(size_t floats) {
    return ((floats + 15) / 16 | 1) * 16;
}

static fr_assign_plan plan_of(const fr_centroids *c) {
    const fr_nearest_kernels *k = &c->kernels->nearest;
    const size_t width = (size_t)c->width, tile = (size_t)k->heights[0];
    const size_t panel = width * (size_t)k->width * 4;
    fr_assign_plan p = {.across = width <= FLAT || (c->k < k->width && width <= PIECE),
                        .piece = width > LONG ? PIECE : width};
    size_t most = clamp(PART / (p.piece * 4), 4 * tile, FR_POINTS_BLOCK);
    size_t parts = (FR_POINTS_BLOCK + most - 1) / most;
    p.rows = fr_round_up((FR_POINTS_BLOCK + parts - 1) / parts, tile);
    p.set = width > LONG ? 16 : clamp(PART / panel, 1, c->panel_count);
    p.copied = width * 4 % 2048 == 0 || width > LONG;
    p.stride = odd_lines(p.piece);
    return p;
}

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
    const size_t rows = c->plan.rows, lanes = rows * (size_t)k->lanes, points = (size_t)k->points;
    const size_t width = (size_t)c->width, pairs = c->pairs_wanted ? rows : 0;
    size_t packed = c->plan.across ? points * width : c->plan.copied ? rows * c->plan.stride : 0;
    if (packed < pairs * c->pair_stride) packed = pairs * c->pair_stride;
    cutter t = {scratch, 0};
    s->packed = cut(&t, packed);
    s->best = cut(&t, lanes);
    s->second = cut(&t, lanes);
    s->index = cut(&t, lanes);
    s->spill_best = cut(&t, points);
    s->spill_second = cut(&t, points);
    s->spill_label = cut(&t, points);
    s->sums = cut(&t, c->plan.piece < width ? rows * c->plan.set * (size_t)k->width : 0);
    s->slack = cut(&t, pairs);
    s->length = cut(&t, pairs);
    s->least = cut(&t, pairs);
    s->again = cut(&t, pairs);
    s->gather = cut(&t, pairs ? FR_ASSIGN_GATHER * width : 0);
    *bytes = t.used;
}

size_t fr_assign_scratch(const fr_centroids *c, const fr_points *p) {
    (void)p;
    fr_assign_space s;
    size_t bytes;
    fr_assign_carve(c, NULL, &s, &bytes);
    return bytes;
}

/* ---- centroids ---- */

/* Worth it from some products on that the rounding of points, and the proofs, are shared by. */
static void choose_pairs(fr_centroids *c, fr_kmeans_products products) {
    const bool worth = c->k >= 96 && c->width >= 16 && (double)c->k * (double)c->width >= 8192;
    c->pairs_wanted = c->kernels->nearest.scan_bf16 && c->width <= PAIRED &&
                      (products == FR_PRODUCTS_BF16 || (products == FR_PRODUCTS_AUTO && worth));
    c->pair_steps = ((size_t)c->width + 1) / 2 + 1;
    c->pair_stride = odd_lines(c->pair_steps);
    c->pair_set =
        clamp(PART / (c->pair_steps * (size_t)c->kernels->nearest.width * 4), 1, c->panel_count);
}

static bool take_memory(fr_centroids *c) {
    const size_t k = (size_t)c->k, width = (size_t)c->width;
    const size_t lanes = c->panel_count * (size_t)c->kernels->nearest.width;
    c->rows = fr_alloc(FR_MEM_STATE, k * width * 4);
    c->panels = fr_alloc(FR_MEM_PACKED, lanes * width * 4);
    c->square = fr_alloc(FR_MEM_PACKED, lanes * 4);
    if (!c->rows || !c->panels || !c->square) return false;
    if (!c->pairs_wanted) return true;
    c->pairs = fr_alloc(FR_MEM_PACKED, lanes * c->pair_steps * 4);
    c->low = fr_alloc(FR_MEM_PACKED, lanes * 4);
    c->fixed = fr_alloc(FR_MEM_PACKED, k * 4);
    c->reach = fr_alloc(FR_MEM_PACKED, k * 4);
    c->slip = fr_alloc(FR_MEM_PACKED, k * 4);
    c->middle = fr_alloc(FR_MEM_PACKED, width * 4);
    return c->pairs && c->low && c->fixed && c->reach && c->slip && c->middle;
}

static fr_status no_memory(int64_t k, int64_t width) {
    return fr_fail(FR_NOMEM, "There is no memory for %lld centroids of %lld coordinates.",
                   (long long)k, (long long)width);
}

fr_status fr_centroids_new(int64_t k, int64_t width, fr_metric metric, fr_kmeans_products products,
                           fr_centroids **out) {
    *out = NULL;
    if (k < 1 || width < 1 || k > INT32_MAX - 4096)
        return fr_fail(FR_INVALID,
                       "Points cannot be assigned to %lld centroids of %lld coordinates.",
                       (long long)k, (long long)width);
    /* Larger than any size below: none of them overflows. */
    size_t most;
    const bool fits =
        fr_size_mul((size_t)k + 4096, (size_t)width + 4096, &most) && fr_size_mul(most, 64, &most);
    fr_centroids *c = fits ? fr_alloc(FR_MEM_OTHER, sizeof *c) : NULL;
    if (!c) return no_memory(k, width);
    c->k = k, c->width = width, c->metric = metric;
    c->kernels = fr_kernel();
    c->factor = metric == FR_EUCLID ? -2 : -1;
    const int64_t nr = c->kernels->nearest.width, lanes = c->kernels->nearest.lanes;
    c->panel_count = (size_t)((k + nr - 1) / nr);
    c->narrow = nr == 2 * lanes && k % nr > 0 && k % nr <= lanes;
    c->plan = plan_of(c);
    choose_pairs(c, products);
    if (!take_memory(c)) {
        fr_centroids_free(c);
        return no_memory(k, width);
    }
    *out = c;
    return FR_OK;
}

void fr_centroids_free(fr_centroids *c) {
    if (!c) return;
    fr_free(c->rows);
    fr_free(c->panels);
    fr_free(c->square);
    fr_free(c->pairs);
    fr_free(c->low);
    fr_free(c->fixed);
    fr_free(c->reach);
    fr_free(c->slip);
    fr_free(c->middle);
    fr_free(c);
}

const float *fr_centroids_rows(const fr_centroids *c) {
    return c->rows;
}

/* Four sums, so that additions do not wait for each other. */
static double square_of(const float *x, size_t n) {
    double s[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; j++) s[j] += (double)x[i + j] * x[i + j];
    for (; i < n; i++) s[0] += (double)x[i] * x[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

static void set_panel(void *arg, size_t p) {
    fr_centroids *c = arg;
    const size_t nr = (size_t)c->kernels->nearest.width, width = (size_t)c->width;
    const size_t first = p * nr, left = (size_t)c->k - first, n = left < nr ? left : nr;
    for (size_t j = 0; j < nr; j++) {
        const float *row = c->rows + (first + j) * width;
        c->square[first + j] = j >= n                   ? INFINITY
                               : c->metric == FR_EUCLID ? (float)square_of(row, width)
                                                        : 0;
    }
    c->kernels->gemm.pack_rows(c->rows + first * width, width * 4, (int)n, width, (int)nr,
                               c->panels + first * width);
    if (c->pairs_wanted) fr_pairs_panel(c, p);
}

void fr_centroids_set(fr_centroids *c, const float *rows, fr_pool *pool) {
    if (rows != c->rows) memcpy(c->rows, rows, (size_t)c->k * (size_t)c->width * 4);
    if (c->pairs_wanted) fr_pairs_middle(c);
    fr_pool_run(pool, c->panel_count, set_panel, c);
    c->pairs_good = c->pairs_wanted && fr_pairs_good(c);
}

/* ---- labels ---- */

void fr_assign_rows(const fr_centroids *c, int64_t count, const float *rows, void *scratch,
                    fr_assigned *out) {
    fr_assign_space s;
    size_t bytes;
    fr_assign_carve(c, scratch, &s, &bytes);
    out->products += count * c->k;
    if (c->pairs_good && !out->best && !out->second)
        out->rechecked += fr_assign_pairs(c, count, rows, &s, out->label);
    else
        fr_assign_scan(c, count, rows, &s, out->label, out->best, out->second);
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
