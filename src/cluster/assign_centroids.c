/* assign_centroids.c: centroids brought into the layout of the kernels, again whenever they move, and the way that labels
 * are found: in int8, where that leaves too much open in bf16, else in f32. */
#include <math.h>
#include <string.h>

#include "cluster/assign_parts.h"

enum {
    PART = 256 << 10, /* bytes of rows, and of a set of panels: both lie in the second cache */
    LONG = 4096,      /* coordinates; longer rows are cut into pieces */
    PIECE = 1024,
    NUMBERS = 8192, /* of panels, at most, of bounds: as many as leave bits enough */
    FLAT = 8,       /* coordinates, at most, for which points go into the lanes */
    COLUMNS = 64,   /* that are added up at once */
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

/* ---- memory ---- */

static size_t steps_of(const fr_centroids *c, fr_assign_way way) {
    const size_t each = way == FR_WAY_INT8 ? 4 : 2; /* coordinates of a step */
    return ((size_t)c->width + each - 1) / each;
}

/* Rows of a tile that lie whole pages apart would push each other out of the first cache. */
static size_t stride_of(size_t steps) {
    return steps % 256 ? steps : steps + 16;
}

/* Worth it from some products on that the rounding of points, and the proofs, are shared by. */
static void choose_few(fr_centroids *c, fr_kmeans_products products) {
    const fr_nearest_few *few = c->kernels->nearest.bounds;
    const bool fits = c->width <= FR_FEW_MOST && c->panel_count <= NUMBERS;
    const bool worth =
        products == FR_PRODUCTS_AUTO && c->width >= 16 && (double)c->k * (double)c->width >= 8192;
    bool *wanted = c->few.wanted;
    wanted[FR_NEAREST_BF16] = few[FR_NEAREST_BF16].scan && fits &&
                              (products == FR_PRODUCTS_BF16 || (worth && c->k >= 96));
    wanted[FR_NEAREST_INT8] = few[FR_NEAREST_INT8].scan && fits &&
                              (products == FR_PRODUCTS_INT8 || (worth && c->k >= 64));
    c->few.widest = stride_of(steps_of(c, wanted[FR_NEAREST_BF16] ? FR_WAY_BF16 : FR_WAY_INT8));
    while ((size_t)c->few.mask + 1 < c->panel_count) c->few.mask = 2 * c->few.mask + 1;
}

static bool take_few(fr_centroids *c) {
    fr_few_centroids *b = &c->few;
    const size_t k = (size_t)c->k, lanes = c->panel_count * (size_t)c->kernels->nearest.width;
    if (!b->wanted[FR_NEAREST_BF16] && !b->wanted[FR_NEAREST_INT8]) return true;
    c->middle = fr_alloc(FR_MEM_PACKED, (size_t)c->width * 4);
    c->mean = fr_alloc(FR_MEM_PACKED, (size_t)c->width * 4);
    c->squares = fr_alloc(FR_MEM_PACKED, (size_t)c->width / COLUMNS * 8 + 8);
    b->panels = fr_alloc(FR_MEM_PACKED, lanes * b->widest * 4);
    b->start = fr_alloc(FR_MEM_PACKED, lanes * 4);
    b->step = fr_alloc(FR_MEM_PACKED, lanes * 4);
    b->low = fr_alloc(FR_MEM_PACKED, lanes * 4);
    b->reach = fr_alloc(FR_MEM_PACKED, lanes * 4);
    b->fixed = fr_alloc(FR_MEM_PACKED, k * 4);
    b->slip = fr_alloc(FR_MEM_PACKED, k * 4);
    return c->middle && c->mean && c->squares && b->panels && b->start && b->step && b->low &&
           b->reach && b->fixed && b->slip;
}

static bool take_memory(fr_centroids *c) {
    const size_t k = (size_t)c->k, width = (size_t)c->width;
    const size_t lanes = c->panel_count * (size_t)c->kernels->nearest.width;
    c->rows = fr_alloc(FR_MEM_STATE, k * width * 4);
    c->panels = fr_alloc(FR_MEM_PACKED, lanes * width * 4);
    c->square = fr_alloc(FR_MEM_PACKED, lanes * 4);
    return c->rows && c->panels && c->square && take_few(c);
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
    choose_few(c, products);
    fr_centroids_forget(c);
    if (!take_memory(c)) {
        fr_centroids_free(c);
        return no_memory(k, width);
    }
    *out = c;
    return FR_OK;
}

void fr_centroids_free(fr_centroids *c) {
    if (!c) return;
    const fr_few_centroids *b = &c->few;
    void *all[] = {c->rows,  c->panels, c->square, c->middle, c->mean,  c->squares, b->panels,
                   b->start, b->step,   b->low,    b->reach,  b->fixed, b->slip};
    for (size_t i = 0; i < FR_COUNT(all); i++) fr_free(all[i]);
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
    if (c->way != FR_WAY_F32) fr_few_set(c, p);
}

/* The mean of some columns, and the sum of their squares. */
static void add_columns(void *arg, size_t i) {
    fr_centroids *c = arg;
    const size_t width = (size_t)c->width, from = i * COLUMNS;
    const size_t n = width - from < COLUMNS ? width - from : COLUMNS;
    double sum[COLUMNS] = {0}, square = 0;
    for (int64_t j = 0; j < c->k; j++) {
        const float *x = c->rows + (size_t)j * width + from;
        for (size_t d = 0; d < n; d++) sum[d] += (double)x[d];
        square += square_of(x, n);
    }
    for (size_t d = 0; d < n; d++) c->mean[from + d] = (float)(sum[d] / (double)c->k);
    c->squares[i] = square;
}

/* The mean of the centroids becomes what is subtracted, where what was is farther from it than a quarter of the
 * centroids' own distance: so that what is kept of points holds for some time. */
static void find_middle(fr_centroids *c, fr_pool *pool) {
    const size_t width = (size_t)c->width, parts = (width + COLUMNS - 1) / COLUMNS;
    double all = 0, away = 0;
    fr_pool_run(pool, parts, add_columns, c);
    for (size_t i = 0; i < parts; i++) all += c->squares[i];
    for (size_t d = 0; d < width; d++) {
        const double by = (double)c->mean[d] - (double)c->middle[d];
        away += by * by;
    }
    const double spread = all / (double)c->k - square_of(c->mean, width);
    if (c->has_middle && !(away * 16 > spread)) return;
    c->has_middle = true;
    c->version++;
    memcpy(c->middle, c->mean, width * sizeof *c->middle);
    c->middle_length = sqrt(square_of(c->middle, width));
}

static void find_longest(fr_centroids *c) {
    double longest = 0;
    c->largest = 0;
    for (int64_t j = 0; j < c->k; j++) {
        c->largest = fmaxf(c->largest, c->square[j]);
        if (c->metric != FR_EUCLID)
            longest = fmax(longest, square_of(c->rows + j * c->width, (size_t)c->width));
    }
    c->longest = sqrtf(fmaxf(c->largest, (float)longest)) * (1 + 0x1p-20f);
}

/* ---- the way that labels are found ---- */

static void take_way(fr_centroids *c, fr_assign_way way) {
    fr_few_centroids *b = &c->few;
    c->way = way;
    if (way == FR_WAY_F32) return;
    b->steps = steps_of(c, way);
    b->stride = stride_of(b->steps);
    b->set = clamp(PART / (b->steps * (size_t)c->kernels->nearest.width * 4), 1, c->panel_count);
}

static void take_best_way(fr_centroids *c) {
    take_way(c, c->few.wanted[FR_NEAREST_INT8]   ? FR_WAY_INT8
                : c->few.wanted[FR_NEAREST_BF16] ? FR_WAY_BF16
                                                 : FR_WAY_F32);
}

static void take_next_way(fr_centroids *c) {
    const bool bf16 = c->way == FR_WAY_INT8 && c->few.wanted[FR_NEAREST_BF16];
    take_way(c, bf16 ? FR_WAY_BF16 : FR_WAY_F32);
}

static void set_panels(fr_centroids *c, fr_pool *pool) {
    for (;;) {
        fr_pool_run(pool, c->panel_count, set_panel, c);
        if (c->way == FR_WAY_F32) return;
        find_longest(c);
        fr_few_end(c);
        if (c->few.good) return;
        take_next_way(c);
    }
}

void fr_centroids_forget(fr_centroids *c) {
    c->has_middle = false;
    take_best_way(c);
    c->give_up = false;
    c->wait = 0, c->patience = 1;
}

/* What did not pay is left for a while that doubles each time. */
static void choose_way(fr_centroids *c) {
    if (c->give_up) {
        take_next_way(c);
        c->wait = c->patience - 1;
        if (c->patience < 1 << 20) c->patience *= 2;
    } else if (c->wait) {
        c->wait--;
    } else {
        take_best_way(c);
    }
    c->give_up = false;
}

void fr_centroids_set(fr_centroids *c, const float *rows, fr_pool *pool) {
    if (rows != c->rows) memcpy(c->rows, rows, (size_t)c->k * (size_t)c->width * 4);
    if (c->middle) find_middle(c, pool);
    choose_way(c);
    set_panels(c, pool);
}

/* What is set stays as it is until the next set of centroids. */
void fr_centroids_learn(fr_centroids *c, int64_t count, int64_t refused) {
    c->give_up = c->way != FR_WAY_F32 && refused > count / 2;
}

void fr_centroids_try(fr_centroids *c, const fr_points *p, fr_reader *reader, void *scratch,
                      fr_pool *pool) {
    enum { FEW = 56 };
    int32_t label[FEW];
    int64_t row[FEW];
    const int64_t n = p->rows < FEW ? p->rows : FEW;
    if (c->way == FR_WAY_F32) return;
    float *rows = fr_alloc_array(FR_MEM_OTHER, FEW, (size_t)c->width * sizeof *rows);
    for (int64_t i = 0; i < n; i++) row[i] = i * (p->rows / n);
    if (rows) fr_reader_rows(reader, p, row, n, rows);
    while (rows && c->way != FR_WAY_F32) {
        fr_assigned found = {.label = label};
        fr_assign_rows(c, n, rows, scratch, &found);
        if (!found.refused) break;
        take_next_way(c);
        c->wait = c->patience;
        set_panels(c, pool);
    }
    fr_free(rows);
}
