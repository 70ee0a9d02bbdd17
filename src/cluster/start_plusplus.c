/* start_plusplus.c: k-means++ (Arthur, Vassilvitskii 2007), greedy: at each step 2 + ln k candidates are drawn with a
 * chance that is their weight times their squared distance to the nearest centroid so far, and the one stays that
 * leaves the least sum of these (as scikit-learn does it).
 *
 * The points are read once a step. The distances to the candidates of a step, and to the winner of the step before,
 * are found together; which candidate wins is known only at the end, and by then the distances to it are gone again:
 * that is why the winner goes along in the next step. What is drawn in between comes from sums of grains of rows, one
 * for each candidate. Distances are differences squared, so a point that was taken is at distance zero and is not
 * taken again. For cosine they are those of points of length 1, twice 1 - cosine; dot begins as Euclid does. */
#include "cluster/start_parts.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"

/* Lane 0 of the panel is the last winner, the others are candidates. */
enum { LANES = FR_CLUSTER_PANEL };

typedef struct spread {
    const fr_points *p;
    int64_t k, width, taken;
    int lanes, last; /* lanes in use; the one that has won */
    int64_t lane_row[LANES];
    int64_t *row;   /* [k]: the points that were taken */
    float *near;    /* [rows]: squared distance to the nearest of those before the last */
    float *panel;   /* [width, LANES] */
    double *sum;    /* [grains, LANES]: what each lane would leave */
    double *upto;   /* [grains] */
    float *scratch; /* [threads, each] */
    size_t rows_each, each;
    int64_t first; /* row of the present window */
    fr_pool *pool;
} spread;

/* ---- a pass ---- */

static void pass_block(void *arg, size_t thread, size_t i) {
    spread *s = arg;
    int64_t first = s->first + (int64_t)i * FR_POINTS_BLOCK;
    int64_t n = FR_MIN(FR_POINTS_BLOCK, s->p->rows - first);
    float *scratch = s->scratch + thread * s->each, *distance = scratch + s->rows_each;
    const float *x = fr_points_rows(s->p, first, n, scratch);
    fr_kernel()->cluster.distances(x, (size_t)n, (size_t)s->width, s->panel, distance);
    for (int64_t r = 0; r < n; r++) {
        double *sum = s->sum + (first + r) / FR_GRAIN * LANES;
        const float *d = distance + r * LANES;
        double weight = (double)fr_weight(s->p, first + r);
        float near = FR_MIN(s->near[first + r], d[0]);
        if (r % FR_GRAIN == 0) memset(sum, 0, LANES * sizeof *sum);
        s->near[first + r] = near;
        for (int t = 0; t < s->lanes; t++) sum[t] += weight * (double)FR_MIN(near, d[t]);
    }
}

static void pass(spread *s, fr_reader *reader) {
    for (int64_t first = 0, end; first < s->p->rows; first = end) {
        end = fr_reader_window(reader, s->p, first);
        s->first = first;
        fr_pool_run_thread(s->pool, (size_t)((end - first + FR_POINTS_BLOCK - 1) / FR_POINTS_BLOCK),
                           pass_block, s);
    }
}

static double total(const spread *s, int lane) {
    double sum = 0;
    for (int64_t g = 0; g < fr_grains(s->p); g++) sum += s->sum[g * LANES + lane];
    return sum;
}

/* The winner's distances are not in `near` yet. */
static void distances(void *arg, size_t thread, int64_t first, int64_t count, float *out) {
    spread *s = arg;
    float *scratch = s->scratch + thread * s->each, *distance = scratch + s->rows_each;
    const float *x = fr_points_rows(s->p, first, count, scratch);
    fr_kernel()->cluster.distances(x, (size_t)count, (size_t)s->width, s->panel, distance);
    for (int64_t r = 0; r < count; r++)
        out[r] = FR_MIN(s->near[first + r], distance[r * LANES + s->last]);
}

/* ---- steps ---- */

static void put_lane(spread *s, int lane, int64_t row) {
    float *x = s->scratch;
    fr_points_row(s->p, row, x);
    for (int64_t j = 0; j < s->width; j++) s->panel[j * LANES + lane] = x[j];
    s->lane_row[lane] = row;
}

static void take(spread *s, int lane) {
    s->last = lane;
    s->row[s->taken++] = s->lane_row[lane];
}

static void step(spread *s, fr_rng *rng, fr_reader *reader) {
    int64_t row[LANES];
    double at[LANES], sum = 0, least = INFINITY;
    int tries = (int)FR_MIN(2 + log((double)s->k), LANES - 1), best = 1;
    for (int64_t g = 0; g < fr_grains(s->p); g++) s->upto[g] = sum += s->sum[g * LANES + s->last];
    const fr_far far = {s->p, s->pool, s->upto, distances, s};
    fr_far_draw(&far, tries, rng, at, row);
    put_lane(s, 0, s->lane_row[s->last]);
    for (int t = 0; t < tries; t++) put_lane(s, t + 1, row[t]);
    s->lanes = tries + 1;
    pass(s, reader);
    for (int t = 1; t <= tries; t++) {
        double left = total(s, t);
        if (!(left < least)) continue;
        least = left;
        best = t;
    }
    take(s, best);
}

/* All points coincide with some that were taken: the others that count, as they come. */
static fr_status take_any(spread *s) {
    int64_t *sorted = fr_alloc_array(FR_MEM_OTHER, (size_t)s->taken, sizeof *sorted), at = 0;
    if (!sorted) return FR_NOMEM;
    int64_t known = s->taken;
    memcpy(sorted, s->row, (size_t)known * sizeof *sorted);
    fr_sort_rows(sorted, known);
    for (int64_t i = 0; s->taken < s->k && i < s->p->rows; i++) {
        while (at < known && sorted[at] < i) at++;
        if ((at < known && sorted[at] == i) || !(fr_weight(s->p, i) > 0)) continue;
        s->row[s->taken++] = i;
    }
    fr_free(sorted);
    return FR_OK;
}

static fr_status choose(spread *s, fr_rng *rng, fr_reader *reader) {
    for (int64_t i = 0; i < s->p->rows; i++) s->near[i] = FLT_MAX;
    put_lane(s, 0, fr_start_one(s->p, rng));
    take(s, 0);
    s->lanes = 1;
    if (s->k > 1) pass(s, reader);
    while (s->taken < s->k && total(s, s->last) > 0) step(s, rng, reader);
    return s->taken < s->k ? take_any(s) : FR_OK;
}

fr_status fr_start_plusplus(const fr_points *p, int64_t k, fr_rng *rng, fr_reader *reader,
                            fr_pool *pool, float *centroids) {
    spread s = {.p = p, .k = k, .width = p->width, .pool = pool};
    size_t rows = (size_t)p->rows, width = (size_t)p->width, grains = (size_t)fr_grains(p);
    s.rows_each = fr_round_up(FR_MAX_OF(fr_points_scratch(p, FR_POINTS_BLOCK), width), 16);
    s.each = s.rows_each + FR_POINTS_BLOCK * LANES;
    s.row = fr_alloc_array(FR_MEM_OTHER, (size_t)k, sizeof *s.row);
    s.near = fr_alloc_array(FR_MEM_OTHER, rows, sizeof *s.near);
    s.panel = fr_alloc(FR_MEM_OTHER, width * LANES * sizeof *s.panel);
    s.sum = fr_alloc_array(FR_MEM_OTHER, grains, LANES * sizeof *s.sum);
    s.upto = fr_alloc_array(FR_MEM_OTHER, grains, sizeof *s.upto);
    s.scratch =
        fr_alloc_array(FR_MEM_OTHER, (size_t)fr_pool_threads(pool), s.each * sizeof *s.scratch);
    fr_status st = s.row && s.near && s.panel && s.sum && s.upto && s.scratch
                       ? choose(&s, rng, reader)
                       : FR_NOMEM;
    if (st == FR_OK) fr_start_rows(p, k, s.row, reader, centroids);
    fr_free(s.row);
    fr_free(s.near);
    fr_free(s.panel);
    fr_free(s.sum);
    fr_free(s.upto);
    fr_free(s.scratch);
    return st;
}
