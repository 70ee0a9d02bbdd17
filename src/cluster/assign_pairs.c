/* assign_pairs.c: labels in bf16, with proof.
 *
 * A point and the centroids move by the mean of the centroids, m: x' = x - m, c' = c - m. That changes all scores of
 * a point alike but for
 *
 *     |c|^2 - 2 x.c = |c|^2 - 2 m.c' - 2 x'.c' + (the same for all c)       and of dot: - m.c' - x'.c' + ...
 *
 * and makes the numbers that are rounded small where all lie far from the origin. Rounded to bf16 they are xh and ch;
 * with Cauchy's inequality
 *
 *     |x'.c' - xh.ch| <= |x' - xh| |c'| + |xh| |c' - ch|
 *
 * where what rounding took away is measured, not assumed: nothing, of numbers that are bf16 already and not moved. To
 * this come, with u = 2^-24 and N coordinates,
 *
 *     the sums in bf16      G |xh| |ch|, G = 2 N 2^-23: two roundings a term, each as bad as truncation
 *     x - m in f32          u |x'| |c'|
 *     the chain in f32      N u |x| |c|, and the rounding of both scores, u of their terms: the labels are those of
 *                           f32, with its errors. Here |x| <= |x'| + |m|
 *     numbers under 2^-126  which the instruction takes for zero: 2^-126 each
 *
 * Together no more than A_x P_c + B_x Q_c + L_c, with A_x = |x' - xh| + (G + 4 u) |x'|, P_c = max(|c'|, |ch|),
 * B_x >= |x'| and |xh|, Q_c = |c' - ch| + (N + 4) u |c|, L_c = (N + 4) u |m| |c| and some for |c|^2; all rounded up,
 * A and B a little more, for what G does to this sum itself. L_c is taken off |c|^2 - 2 m.c' (`low`). The pair (A, B)
 * stands behind the coordinates of the point and (P, Q) behind those of the centroid: so the tile itself subtracts the
 * error, and what it finds are lower bounds of scores, each as tight as its centroid allows. The f32 score of j, less
 * what is the same for all, lies between its bound l_j and l_j + 2 E_j. So no centroid can be nearest but those with
 * l_j <= l_b + 2 E_b, for whatever b. Mostly b, where l is least, is alone with that; else the few are compared in
 * f32, or all, if the lanes do not know them. */
#include <math.h>
#include <string.h>

#include "cluster/assign_parts.h"

#define LARGEST 1e18f /* lengths; beyond, products could leave the range of f32 */

static float from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static uint32_t to_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

/* To the nearest bf16; what the dot instruction takes for zero is zero here. */
static uint32_t round_bf16(double x) {
    uint32_t u = to_bits((float)x);
    u = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return (u & 0x7f80) ? u : 0;
}

/* The upper half of a float not less than x >= 0, and not a denormal. */
static uint32_t up_bf16(float x) {
    return (to_bits(x * (1 + 0x1p-20f) + 0x1p-110f) + 0xffff) >> 16;
}

static float as_float(uint32_t half) {
    return from_bits(half << 16);
}

/* G and N u of the text above. */
static double dot_error(const fr_centroids *c) {
    return 2.04 * 0x1p-23 * (double)(2 * c->pair_steps);
}
static double chain_error(const fr_centroids *c) {
    return 1.01 * 0x1p-24 * (double)(c->width + 4);
}

/* ---- centroids ---- */

static size_t at_most(size_t a, size_t b) {
    return a < b ? a : b;
}

void fr_pairs_middle(fr_centroids *c) {
    enum { COLUMNS = 64 };
    const size_t width = (size_t)c->width;
    for (size_t d = 0; d < width; d += COLUMNS) {
        double sum[COLUMNS] = {0};
        const size_t n = width - d < COLUMNS ? width - d : COLUMNS;
        for (int64_t j = 0; j < c->k; j++)
            for (size_t i = 0; i < n; i++) sum[i] += (double)c->rows[(size_t)j * width + d + i];
        for (size_t i = 0; i < n; i++) c->middle[d + i] = (float)(sum[i] / (double)c->k);
    }
}

typedef struct lengths {
    double as_was, moved, rounded, lost; /* squares */
    double along;                        /* m.c' */
} lengths;

/* Coordinate d of centroid j to bf16. */
static uint32_t round_value(const fr_centroids *c, size_t j, size_t d, lengths *l) {
    if (d >= (size_t)c->width) return 0;
    const double x = (double)c->rows[j * (size_t)c->width + d], y = x - (double)c->middle[d];
    const uint32_t h = round_bf16(y);
    const double r = (double)as_float(h), e = y - r;
    l->along += (double)c->middle[d] * y;
    l->as_was += x * x, l->moved += y * y, l->rounded += r * r, l->lost += e * e;
    return h;
}

static double longer(double a, double b) {
    return a > b ? a : b;
}

/* What a score has beside the product, less the errors that do not depend on the point; and twice these. */
static void put_low(fr_centroids *c, size_t j, const lengths *l, double chain) {
    const double factor = (double)c->factor, square = (double)c->square[j];
    const double error = 0x1p-20 * (square + fabs(l->along)) - factor * chain + 0x1p-90;
    const double middle = square + factor * l->along, exact = middle - error;
    float low = (float)exact;
    if ((double)low > exact) low = nextafterf(low, -INFINITY);
    c->low[j] = low;
    c->fixed[j] = (float)((middle - (double)low) * (1 + 0x1p-20));
}

/* Lane i of panel p, all coordinates known. */
static void finish_lane(fr_centroids *c, size_t p, size_t i, const lengths *l, double middle) {
    const size_t nr = (size_t)c->kernels->nearest.width, j = p * nr + i;
    uint32_t *last = c->pairs + ((p + 1) * c->pair_steps - 1) * nr;
    const uint32_t reach = up_bf16((float)sqrt(longer(l->moved, l->rounded)));
    const double chain = chain_error(c) * sqrt(l->as_was);
    const uint32_t slip = up_bf16((float)(sqrt(l->lost) + chain));
    last[i] = reach | slip << 16;
    c->reach[j] = as_float(reach), c->slip[j] = as_float(slip);
    put_low(c, j, l, chain * middle);
}

void fr_pairs_panel(fr_centroids *c, size_t p) {
    enum { BLOCK = 16 }; /* steps: a few lines of the panel at a time */
    const size_t nr = (size_t)c->kernels->nearest.width, steps = c->pair_steps - 1;
    const size_t left = (size_t)c->k - p * nr, n = left < nr ? left : nr;
    uint32_t *out = c->pairs + p * c->pair_steps * nr;
    lengths l[2 * FR_NEAREST_LANES] = {{0}};
    double middle = 0;
    for (int64_t d = 0; d < c->width; d++) middle += (double)c->middle[d] * (double)c->middle[d];
    for (size_t from = 0; from < steps; from += BLOCK) {
        const size_t end = at_most(from + BLOCK, steps);
        for (size_t i = 0; i < n; i++)
            for (size_t s = from; s < end; s++) {
                uint32_t low = round_value(c, p * nr + i, 2 * s, l + i);
                out[s * nr + i] = low | round_value(c, p * nr + i, 2 * s + 1, l + i) << 16;
            }
    }
    for (size_t i = 0; i < n; i++) finish_lane(c, p, i, l + i, sqrt(middle));
    for (size_t i = n; i < nr; i++) c->low[p * nr + i] = INFINITY;
}

bool fr_pairs_good(const fr_centroids *c) {
    for (int64_t j = 0; j < c->k; j++)
        if (!(c->reach[j] < LARGEST && c->slip[j] < LARGEST && c->square[j] < 1e36f)) return false;
    for (int64_t d = 0; d < c->width; d++)
        if (!(fabsf(c->middle[d]) < LARGEST)) return false;
    return true;
}

/* ---- points ---- */

typedef struct part {
    const fr_centroids *c;
    const fr_assign_space *s;
    const float *rows;
    size_t count;
    int32_t *label;
} part;

/* Rounds row i and puts (A, B) behind it. */
static void pack_row(const part *p, size_t i) {
    const fr_centroids *c = p->c;
    const size_t width = (size_t)c->width;
    uint32_t *out = (uint32_t *)p->s->packed + i * c->pair_stride;
    float norm, taken;
    c->kernels->nearest.pairs(p->rows + i * width, c->middle, width, out, &norm, &taken);
    const float dot = (float)dot_error(c), more = 1 + 2 * dot + 0x1p-18f;
    const float lost = sqrtf(taken) * (1 + 0x1p-9f) + 0x1p-64f;
    const float length = sqrtf(norm) * (1 + 0x1p-9f) + 0x1p-64f + lost;
    const bool good = length < LARGEST; /* else judged by nothing that bf16 says */
    const uint32_t a = good ? up_bf16((lost + (dot + 0x1p-22f) * length) * more) : 0;
    const uint32_t b = good ? up_bf16(length * more) : 0;
    out[c->pair_steps - 1] = a | b << 16;
    p->s->slack[i] = as_float(a), p->s->length[i] = good ? as_float(b) : INFINITY;
}

static void scan_tile(const part *p, size_t row, size_t height, size_t first, size_t end) {
    const fr_centroids *c = p->c;
    const fr_nearest_kernels *k = &c->kernels->nearest;
    const size_t nr = (size_t)k->width, lanes = row * (size_t)k->lanes;
    fr_nearest_scan scan = {
        .height = (int)height,
        .steps = c->pair_steps,
        .points = (const uint32_t *)p->s->packed + row * c->pair_stride,
        .point_stride = c->pair_stride,
        .panels = c->pairs + first * c->pair_steps * nr,
        .stride = c->pair_steps * nr,
        .count = end - first,
        .first = (int32_t)(first * nr),
        .narrow = c->narrow && end == c->panel_count,
        .square = c->low + first * nr,
        .factor = c->factor,
        .best = p->s->best + lanes,
        .index = p->s->index + lanes,
        .second = p->s->second + lanes,
        .fresh = first == 0,
    };
    k->scan_bf16(&scan);
}

/* Products that wait until there are enough for the kernel. */
typedef struct waiting {
    int count;
    const float *x[FR_NEAREST_CHAINS], *c[FR_NEAREST_CHAINS];
    size_t row[FR_NEAREST_CHAINS];
    int32_t centroid[FR_NEAREST_CHAINS];
} waiting;

static void settle(const part *p, waiting *w) {
    float sum[FR_NEAREST_CHAINS];
    if (!w->count) return;
    for (int i = w->count; i < FR_NEAREST_CHAINS; i++) w->x[i] = w->x[0], w->c[i] = w->c[0];
    p->c->kernels->nearest.chains(w->x, w->c, (size_t)p->c->width, sum);
    for (int i = 0; i < w->count; i++) {
        const int32_t j = w->centroid[i];
        const float score = fmaf(p->c->factor, sum[i], p->c->square[j]);
        float *least = p->s->least + w->row[i];
        int32_t *label = p->label + w->row[i];
        if (score < *least || (score == *least && j < *label)) *least = score, *label = j;
    }
    w->count = 0;
}

/* The few that may be nearest to row i, in f32. */
static void compare(const part *p, size_t i, const int32_t *list, int n, waiting *w) {
    const size_t width = (size_t)p->c->width;
    p->s->least[i] = INFINITY;
    for (int j = 0; j < n; j++) {
        if (w->count == FR_NEAREST_CHAINS) settle(p, w);
        w->x[w->count] = p->rows + i * width;
        w->c[w->count] = p->c->rows + (size_t)list[j] * width;
        w->row[w->count] = i;
        w->centroid[w->count++] = list[j];
    }
}

/* No f32 score of row i's nearest centroid is larger than this, of bounds. */
static float limit_of(const part *p, size_t i) {
    const fr_centroids *c = p->c;
    const int32_t b = p->label[i];
    double error = -(double)c->factor * ((double)p->s->slack[i] * (double)c->reach[b] +
                                         (double)p->s->length[i] * (double)c->slip[b]);
    error += (double)c->fixed[b];
    const double limit = (double)p->s->least[i] + 2 * error;
    return (float)(limit + (fabs(limit) + error) * 0x1p-22);
}

/* Which labels are proven; the others are compared, or put on the list of rows to be scanned again. */
static int64_t judge(const part *p, size_t *again) {
    const fr_nearest_kernels *k = &p->c->kernels->nearest;
    waiting w = {0};
    int64_t rechecked = 0;
    *again = 0;
    for (size_t i = 0; i < p->count; i++) {
        const size_t lanes = i * (size_t)k->lanes;
        int32_t list[FR_NEAREST_LANES + 1];
        int n = -1;
        if (p->s->length[i] < INFINITY && fabsf(p->s->least[i]) < INFINITY)
            n = k->within(p->s->best + lanes, p->s->index + lanes, p->s->second + lanes,
                          p->label[i], limit_of(p, i), list);
        if (n == 0) continue;
        rechecked++;
        if (n < 0)
            p->s->again[(*again)++] = (int32_t)i;
        else
            list[n] = p->label[i], compare(p, i, list, n + 1, &w);
    }
    settle(p, &w);
    return rechecked;
}

/* Rows of the list against all centroids, some at a time. */
static void scan_again(const part *p, size_t count) {
    const size_t width = (size_t)p->c->width;
    int32_t label[FR_ASSIGN_GATHER];
    for (size_t r = 0; r < count; r += FR_ASSIGN_GATHER) {
        const size_t n = at_most(FR_ASSIGN_GATHER, count - r);
        for (size_t i = 0; i < n; i++)
            memcpy(p->s->gather + i * width, p->rows + (size_t)p->s->again[r + i] * width,
                   width * 4);
        fr_assign_scan(p->c, (int64_t)n, p->s->gather, p->s, label, NULL, NULL);
        for (size_t i = 0; i < n; i++) p->label[p->s->again[r + i]] = label[i];
    }
}

/* How many were not proven; of these, how many took a scan of all. */
static int64_t assign_part(const part *p, size_t *again) {
    const fr_centroids *c = p->c;
    const fr_nearest_kernels *k = &c->kernels->nearest;
    for (size_t i = 0; i < p->count; i++) pack_row(p, i);
    for (size_t first = 0; first < c->panel_count; first += c->pair_set) {
        const size_t end = at_most(first + c->pair_set, c->panel_count);
        for (size_t r = 0, h; r < p->count; r += h) {
            h = fr_nearest_height(k, p->count - r);
            scan_tile(p, r, h, first, end);
        }
    }
    k->finish((int)p->count, p->s->best, p->s->index, p->s->second, p->label, p->s->least, NULL);
    int64_t rechecked = judge(p, again);
    scan_again(p, *again);
    return rechecked;
}

int64_t fr_assign_pairs(const fr_centroids *c, int64_t count, const float *rows,
                        const fr_assign_space *s, int32_t *label) {
    const size_t tile = (size_t)c->kernels->nearest.heights[0], width = (size_t)c->width;
    int64_t rechecked = 0;
    /* A few rows say whether it is worth it for the others of the block. */
    size_t next = 4 * tile;
    for (size_t r = 0; r < (size_t)count;) {
        part p = {c, s, rows + r * width, at_most(next, (size_t)count - r), label + r};
        size_t again;
        rechecked += assign_part(&p, &again);
        r += p.count;
        next = c->plan.rows;
        if (2 * again < p.count || r == (size_t)count) continue;
        fr_assign_scan(c, count - (int64_t)r, rows + r * width, s, label + r, NULL, NULL);
        return rechecked + count - (int64_t)r;
    }
    return rechecked;
}
