/* points_check.c: what must be known of all points before distances are computed.
 *
 * Variances are taken piece by piece: sums of deviations from about the piece's own mean, which is subtracted first, so
 * that points far from the origin lose no digits; pieces are joined in their order in double (Chan, Golub, LeVeque 1979).
 * How the rows are cut into pieces depends on the width alone. */
#include "cluster/points.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"

/* A larger squared length could overflow in the square of a distance, or of a sum of some. */
#define SQUARE_MOST (FLT_MAX / 64)
/* Values of a piece, about: it is read three times and should stay in the cache. */
#define PIECE_VALUES 65536
/* Of the at most 512 of a piece, which tell about where its mean is: as they are in it themselves, it is no farther off
 * than four times what the rows deviate. */
#define FEW_ROWS 32

typedef struct piece {
    int64_t bad; /* the first row that cannot be used, or -1 */
    float largest;
    double deviations; /* squared, of all coordinates together */
} piece;

typedef struct check {
    const fr_points *p;
    int64_t first, end, rows; /* rows from .. end - 1 of this wave, rows of a piece */
    piece *pieces;
    double *means;  /* [pieces, width] */
    float *scratch; /* [threads, scratch_each] */
    size_t scratch_each;
} check;

/* Sums of deviations from `center`, and of their squares, as floats: of a few rows at a time, or they would lose too
 * much, then in double. sums: [2 width] floats. */
static double add_deviations(const float *x, int64_t n, int64_t width, const float *center,
                             float *sums, double *mean) {
    enum { ROWS = 16 };
    double squares = 0;
    float *s1 = sums, *s2 = sums + width;
    memset(mean, 0, (size_t)width * sizeof *mean);
    for (int64_t i = 0; i < n; i += ROWS) {
        memset(sums, 0, 2 * (size_t)width * sizeof *sums);
        for (int64_t r = i; r < n && r < i + ROWS; r++)
            fr_kernel()->rows.channel_moments(x + r * width, center, (size_t)width, s1, s2);
        for (int64_t j = 0; j < width; j++) {
            mean[j] += (double)s1[j];
            squares += (double)s2[j];
        }
    }
    for (int64_t j = 0; j < width; j++) {
        squares -= mean[j] * mean[j] / (double)n;
        mean[j] = (double)center[j] + mean[j] / (double)n;
    }
    return squares;
}

static void look_at(void *arg, size_t thread, size_t i) {
    check *c = arg;
    const fr_points *p = c->p;
    int64_t width = p->width, first = c->first + (int64_t)i * c->rows;
    int64_t n = FR_MIN(c->rows, c->end - first);
    float *sums = c->scratch + thread * c->scratch_each, *center = sums + 2 * width;
    const float *x = fr_points_rows(p, first, n, center + width);
    piece *out = &c->pieces[i];
    double *mean = c->means + (int64_t)i * width;
    *out = (piece){.bad = -1};
    for (int64_t r = 0; r < n; r++) {
        float square = fr_kernel()->rows.sum_squares(x + r * width, (size_t)width);
        out->largest = FR_MAX_OF(out->largest, square);
        if (square <= SQUARE_MOST && !(p->unit && !(square > 0.5f))) continue;
        out->bad = first + r;
        return;
    }
    if (p->plain) {
        memset(mean, 0, (size_t)width * sizeof *mean);
        return;
    }
    /* Deviations of a few rows from the first tell about where the mean is; deviations from there are small. */
    memcpy(center, x, (size_t)width * sizeof *center);
    add_deviations(x, FR_MIN(n, FEW_ROWS), width, center, sums, mean);
    for (int64_t j = 0; j < width; j++) center[j] = (float)mean[j];
    out->deviations = FR_MAX_OF(add_deviations(x, n, width, center, sums, mean), 0);
}

/* ---- all pieces ---- */

static fr_status name_bad_row(const fr_points *p, int64_t row) {
    char of[48] = "";
    if (p->problem >= 0) snprintf(of, sizeof of, " of problem %lld", (long long)p->problem);
    float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)p->width, sizeof *x);
    if (!x) return FR_NOMEM;
    fr_points raw = *p;
    raw.unit = false;
    fr_points_row(&raw, row, x);
    int64_t j = 0;
    while (j < p->width && isfinite(x[j])) j++;
    float value = j < p->width ? x[j] : 0;
    bool zero = true;
    for (int64_t i = 0; i < p->width; i++) zero = zero && x[i] == 0;
    fr_free(x);
    if (j < p->width)
        return fr_fail(FR_INVALID, "Row %lld%s of the points has %s in column %lld.",
                       (long long)row, of, isnan(value) ? "NaN" : "an infinite value",
                       (long long)j);
    if (zero)
        return fr_fail(FR_INVALID,
                       "Row %lld%s of the points is all zeros, which have no direction and so no "
                       "cosine.",
                       (long long)row, of);
    return fr_fail(FR_INVALID,
                   "Row %lld%s of the points is so long that the square of a distance does not fit "
                   "a 32-bit float; scale the points down.",
                   (long long)row, of);
}

/* What has been joined so far. */
typedef struct joined {
    double count, deviations, *mean;
    float largest;
} joined;

static void join(joined *all, const piece *one, const double *mean, int64_t n, int64_t width) {
    double count = all->count + (double)n, between = 0;
    for (int64_t j = 0; j < width; j++) {
        double d = mean[j] - all->mean[j];
        between += d * d;
        all->mean[j] += d * ((double)n / count);
    }
    all->deviations += one->deviations + between * (all->count * (double)n / count);
    all->count = count;
    all->largest = FR_MAX_OF(all->largest, one->largest);
}

static fr_status look_at_all(fr_points *p, fr_reader *reader, fr_pool *pool, check *c, size_t most,
                             joined *all) {
    for (int64_t first = 0, end; first < p->rows; first = end) {
        end = fr_reader_window(reader, p, first);
        for (int64_t at = first; at < end; at = c->end) {
            c->first = at;
            c->end = FR_MIN(end, at + (int64_t)most * c->rows);
            size_t count = (size_t)((c->end - at + c->rows - 1) / c->rows);
            fr_pool_run_thread(pool, count, look_at, c);
            for (size_t i = 0; i < count; i++) {
                int64_t from = at + (int64_t)i * c->rows;
                if (c->pieces[i].bad >= 0) return name_bad_row(p, c->pieces[i].bad);
                join(all, &c->pieces[i], c->means + (int64_t)i * p->width,
                     FR_MIN(c->rows, c->end - from), p->width);
            }
        }
    }
    return FR_OK;
}

static fr_status check_weights(const fr_points *p) {
    bool any = false;
    for (int64_t i = 0; p->weights && i < p->rows; i++) {
        float w = p->weights[i];
        any |= w > 0;
        if (!(w >= 0 && w <= FLT_MAX))
            return fr_fail(FR_INVALID,
                           "The weight of row %lld is %g; weights are finite and not "
                           "negative.",
                           (long long)i, (double)w);
    }
    if (p->weights && !any) return fr_fail(FR_INVALID, "All weights are zero, so no point counts.");
    return FR_OK;
}

fr_status fr_points_check(fr_points *p, fr_reader *reader, fr_pool *pool) {
    FR_TRY(check_weights(p));
    check c = {.p = p};
    size_t width = (size_t)p->width, threads = (size_t)fr_pool_threads(pool);
    /* A piece divides the block, and with it every window. */
    for (c.rows = FR_POINTS_BLOCK; c.rows > 1 && c.rows * p->width > PIECE_VALUES;) c.rows /= 2;
    size_t most = FR_MAX_OF(FR_MIN((size_t)1 << 17, 256 * width) / width, 2 * threads);
    c.scratch_each = fr_round_up(3 * width + fr_points_scratch(p, c.rows), 16);
    joined all = {0};
    c.pieces = fr_alloc_array(FR_MEM_OTHER, most, sizeof *c.pieces);
    c.means = fr_alloc_array(FR_MEM_OTHER, most, width * sizeof *c.means);
    c.scratch = fr_alloc_array(FR_MEM_OTHER, threads, c.scratch_each * sizeof *c.scratch);
    all.mean = fr_alloc(FR_MEM_OTHER, width * sizeof *all.mean);
    fr_status st = c.pieces && c.means && c.scratch && all.mean
                       ? look_at_all(p, reader, pool, &c, most, &all)
                       : FR_NOMEM;
    fr_free(c.pieces);
    fr_free(c.means);
    fr_free(c.scratch);
    fr_free(all.mean);
    if (st != FR_OK) return st;
    /* The sum of squares is rounded at most once a coordinate; above all of them, what it could have lost. */
    p->largest_square = all.largest * (1 + (float)(width + 8) * FLT_EPSILON) + FLT_MIN;
    p->mean_variance = all.deviations / all.count / (double)width;
    return FR_OK;
}
