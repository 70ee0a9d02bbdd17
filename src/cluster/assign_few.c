/* assign_few.c: bounds of scores by products in few bits, and their proof.
 *
 * A point and the centroids move by m, about the mean of the centroids: x' = x - m, c' = c - m. That changes all scores
 * of a point alike but for
 *
 *     |c|^2 - 2 x.c = |c|^2 - 2 m.c' - 2 x'.c' + (the same for all c)       and of dot: - m.c' - x'.c' + ...
 *
 * and makes the numbers that are rounded small where all lie far from the origin. What stays are the sums, xh and ch:
 * bf16, or whole numbers of -127 .. 127 times a number that a tile of points shares and one that each centroid has.
 * With Cauchy's inequality
 *
 *     |x'.c' - xh.ch| <= |x' - xh| |c'| + |xh| |c' - ch|
 *
 * where what rounding took away is measured, not assumed: nothing, of numbers that are in few bits already and not
 * moved. To this come, with u = 2^-24 and N coordinates,
 *
 *     the sums in bf16      G |xh| |ch|, G = 2 N 2^-23: two roundings a term, each as bad as truncation; of whole
 *                           numbers none
 *     x - m in f32          u |x'| |c'|, and u |c'| of c
 *     the chain in f32      N u |x| |c|, and the rounding of both scores, u of their terms: the labels are those of
 *                           f32, with its errors. Here |x| <= |x'| + |m|
 *     numbers under 2^-126  which an instruction may take for zero: 2^-126 each
 *     a bound itself        some u of its terms
 *
 * Together no more than (A + r B) P_j + L_j, with A = |x' - xh| + (G + 2^-20) |x'|, B >= |x'|, |xh|, P_j >= |c'|,
 * r >= Q_j / P_j for all j where Q_j = |c' - ch| + 2 u |c'| + (N + 4) u |c|, and L_j = (N + 4) u |m| |c| and some for
 * |c|^2; all rounded up. L_j is taken off what a score has beside its product (`low`), and the largest A + r B of a tile's
 * points times P_j by the tile itself: what it finds are bounds from below. P_j is no less than 1/32 of the largest, so
 * that centroids at m do not make r large. Where few centroids are far longer than others, or few points of a tile,
 * bounds are poor; if they leave too much open, the next way takes over.
 *
 * The f32 score of j, less what is the same for all, lies between its bound l_j and l_j + 2 E_j. So no centroid can be
 * nearest but those with l_j <= l_b + 2 E_b, for whatever b. Often b, where l is least, is alone with that; see
 * assign_prove.c. All this in units of a tile: of its number, and 2 for Euclid. */
#include <math.h>
#include <string.h>

#include "cluster/assign_parts.h"

#define LARGEST 1e18f /* lengths; beyond, products could leave the range of f32 */

enum { TILES = 4 /* of a part: what the lanes hold stays in the first cache */ };

static const fr_nearest_few *few_of(const fr_centroids *c) {
    return &c->kernels->nearest.bounds[c->way];
}

/* ---- centroids ---- */

/* The error of what does not depend on the point is taken off. chain: what chains err by, of |m|. */
static void set_low(fr_centroids *c, size_t j, double along, double chain) {
    fr_few_centroids *b = &c->few;
    const double factor = (double)c->factor, square = (double)c->square[j];
    const double error =
        0x1p-20 * (square + fabs(along)) - factor * chain * c->middle_length + 0x1p-90;
    const double middle = square + factor * along, exact = middle - error;
    float low = (float)exact;
    if ((double)low > exact) low = nextafterf(low, -INFINITY);
    b->low[j] = low;
    b->fixed[j] = (float)((middle - (double)low) * (1 + 0x1p-20));
}

static void set_centroid(fr_centroids *c, size_t j, uint32_t *code) {
    fr_few_centroids *b = &c->few;
    const size_t nr = (size_t)c->kernels->nearest.width, width = (size_t)c->width;
    const float *row = c->rows + j * width;
    uint32_t *lane = b->panels + j / nr * b->steps * nr + j % nr;
    const int8_t *codes = (const int8_t *)code;
    float norm, lost;
    const float step = few_of(c)->round(row, 1, width, c->middle, width, 0, code, 0, &norm, &lost);
    double along = 0;
    for (size_t d = 0; d < width; d++)
        along += (double)c->middle[d] * ((double)row[d] - (double)c->middle[d]);
    for (size_t s = 0; s < b->steps; s++) lane[s * nr] = code[s];
    b->start[j] = 0;
    if (c->way == FR_WAY_INT8)
        for (size_t d = 0; d < 4 * b->steps; d++) b->start[j] -= few_of(c)->bias * codes[d];
    const double length = sqrt((double)norm) * (1 + 0x1p-9) + 0x1p-64;
    const double chain = fr_chain_error(c) * (length + c->middle_length);
    b->step[j] = c->way == FR_WAY_INT8 ? -step : c->factor;
    b->reach[j] = (float)(length * (1 + 0x1p-20));
    b->slip[j] = (float)((sqrt((double)lost) * (1 + 0x1p-9) + 0x1p-22 * length + chain + 0x1p-64) *
                         (1 + 0x1p-20));
    set_low(c, j, along, chain);
}

void fr_few_set(fr_centroids *c, size_t p) {
    fr_few_centroids *b = &c->few;
    const size_t nr = (size_t)c->kernels->nearest.width;
    uint32_t code[FR_FEW_MOST / 2 + 16];
    for (size_t j = p * nr; j < (p + 1) * nr; j++) {
        if (j < (size_t)c->k) {
            set_centroid(c, j, code);
            continue;
        }
        for (size_t s = 0; s < b->steps; s++) b->panels[(p * b->steps + s) * nr + j % nr] = 0;
        b->start[j] = 0;
        b->step[j] = b->reach[j] = 0;
        b->low[j] = INFINITY;
    }
}

void fr_few_end(fr_centroids *c) {
    fr_few_centroids *b = &c->few;
    float reach = 0x1p-60f, low = 0, slip = 0;
    bool finite = true;
    for (int64_t j = 0; j < c->k; j++) {
        reach = fmaxf(reach, b->reach[j]), low = fmaxf(low, fabsf(b->low[j]));
        finite &= b->reach[j] < LARGEST && b->slip[j] < LARGEST && fabsf(b->low[j]) < 1e36f;
    }
    for (int64_t j = 0; j < c->k; j++) {
        b->reach[j] = fmaxf(b->reach[j], reach / 32);
        slip = fmaxf(slip, b->slip[j] / b->reach[j]);
    }
    b->reach_most = reach, b->low_most = low;
    b->slip_most = slip * (1 + 0x1p-20f);
    b->good = finite && b->slip_most < 0.5f && c->middle_length < (double)LARGEST;
}

/* ---- points ---- */

/* Of a block of rows: kept from one pass to the next, or of a part, in scratch. */
typedef struct codes {
    /* Rows that have codes, and the version of the middle that these are for; NULL: none are kept. */
    int32_t *done;
    float *slack, *length; /* [rows] A and B */
    float *step;           /* [rows] the number that codes are times, the same for all of a tile */
    uint32_t *code;        /* [rows][stride] */
} codes;

static size_t codes_bytes(size_t stride, size_t rows) {
    return FR_ALIGN + fr_round_up(rows * (12 + stride * 4), FR_ALIGN);
}

static codes codes_at(void *memory, size_t rows) {
    float *f = (float *)((char *)memory + FR_ALIGN);
    return (codes){memory, f, f + rows, f + 2 * rows, (uint32_t *)(f + 3 * rows)};
}

size_t fr_assign_codes_bytes(const fr_centroids *c) {
    return c->way == FR_WAY_F32 ? 0 : codes_bytes(c->few.stride, FR_POINTS_BLOCK);
}

size_t fr_few_scratch(const fr_centroids *c) {
    return codes_bytes(c->few.widest, TILES * (size_t)c->kernels->nearest.heights[0]);
}

/* Codes of a tile's rows, and what of them the codes do not say. */
static void code_tile(const fr_assign_part *p, size_t row, size_t height, const codes *to,
                      size_t at) {
    const fr_centroids *c = p->c;
    const size_t width = (size_t)c->width, stride = c->few.stride;
    const fr_nearest_few *k = few_of(c);
    float norm[FR_NEAREST_HIGH], lost[FR_NEAREST_HIGH];
    const double sums = c->way == FR_WAY_BF16 ? 2.1 * 0x1p-23 * (2 * (double)width + 4) : 0;
    const float more = (float)(sums + 0x1p-20);
    const float step = k->round(p->rows + row * width, height, width, c->middle, width, k->bias,
                                to->code + at * stride, stride, norm, lost);
    for (size_t i = 0; i < height; i++) {
        const float away = sqrtf(lost[i]) * (1 + 0x1p-9f) + 0x1p-64f;
        const float length = sqrtf(norm[i]) * (1 + 0x1p-9f) + 0x1p-64f;
        const bool good = length < LARGEST;
        to->step[at + i] = step;
        to->slack[at + i] = good ? away + more * length : INFINITY;
        to->length[at + i] = good ? (length + away) * (1 + 0x1p-20f) : INFINITY;
    }
}

/* How much a tile's bounds take off for error, and what each row then has to allow for. */
static void measure_tile(const fr_assign_part *p, size_t row, size_t height, const codes *from,
                         size_t at, fr_nearest_bounds *scan) {
    const fr_centroids *c = p->c;
    const fr_few_centroids *b = &c->few;
    const bool whole = c->way == FR_WAY_INT8;
    const float unit = whole ? -c->factor * from->step[at] : 1, by = 1 / unit;
    const float to_unit = (1 + 0x1p-20f) / unit * -c->factor;
    const float *slack = from->slack + at, *length = from->length + at;
    float *error = p->s->error + row, most = 0;
    for (size_t i = 0; i < height; i++) {
        error[i] = (slack[i] + b->slip_most * length[i]) * to_unit;
        most = error[i] > most ? error[i] : most;
        p->s->length[row + i] = length[i];
    }
    const bool good = by * b->low_most < 1e37f && most * b->reach_most < 1e37f;
    scan->by = good ? by : 0, scan->error = good ? most : 0;
    for (size_t i = 0; i < height; i++) {
        error[i] = good ? (error[i] + most) / 2 : INFINITY;
        p->s->unit[row + i] = scan->by;
    }
}

static void scan_tile(const fr_assign_part *p, size_t row, size_t height, const codes *from,
                      size_t at, bool coded) {
    const fr_centroids *c = p->c;
    const fr_few_centroids *b = &c->few;
    const size_t nr = (size_t)c->kernels->nearest.width;
    /* Rows that have codes are wanted behind this, by whom is not proven and for sums; else the next for their codes. */
    const size_t ask = coded ? row : row + height;
    fr_nearest_bounds scan = {
        .height = (int)height,
        .steps = b->steps,
        .points = from->code + at * b->stride,
        .next = p->rows + ask * (size_t)c->width,
        .lines = height * (size_t)c->width / 16,
        .point_stride = b->stride,
        .stride = b->steps * nr,
        .mask = b->mask,
        .best = p->s->best + row * nr,
        .second = p->s->second + row * nr,
    };
    measure_tile(p, row, height, from, at, &scan);
    for (size_t first = 0; first < c->panel_count; first += b->set) {
        scan.panels = b->panels + first * scan.stride;
        scan.count = FR_MIN(b->set, c->panel_count - first);
        scan.first = (int32_t)first;
        scan.narrow = c->narrow && first + scan.count == c->panel_count;
        scan.start = b->start + first * nr, scan.step = b->step + first * nr;
        scan.low = b->low + first * nr, scan.reach = b->reach + first * nr;
        scan.fresh = first == 0;
        few_of(c)->scan(&scan);
        scan.lines = 0;
    }
}

/* at: of the first row in the codes. */
static int64_t assign_part(const fr_assign_part *p, const codes *from, size_t at, int64_t *work) {
    for (size_t r = 0, h; r < p->count; r += h) {
        h = fr_nearest_height(&p->c->kernels->nearest, p->count - r);
        const bool coded = from->done && at + r < (size_t)*from->done;
        if (!coded) code_tile(p, r, h, from, at + r);
        scan_tile(p, r, h, from, at + r, coded);
    }
    if (from->done && (size_t)*from->done < at + p->count) *from->done = (int32_t)(at + p->count);
    return fr_assign_prove(p, work);
}

bool fr_assign_few(const fr_centroids *c, size_t count, const float *rows, const fr_assign_space *s,
                   fr_assigned *out, size_t *done) {
    const size_t most = TILES * (size_t)c->kernels->nearest.heights[0], width = (size_t)c->width;
    const bool keep = out->codes != NULL;
    codes kept = codes_at(keep ? out->codes : s->packed, keep ? FR_POINTS_BLOCK : most);
    if (!keep) kept.done = NULL;
    if (keep && kept.done[1] != c->version) kept.done[0] = 0, kept.done[1] = c->version;
    int64_t work = 0;
    for (*done = 0; *done < count;) {
        const size_t r = *done;
        const fr_assign_part p = {c, s, rows + r * width, FR_MIN(most, count - r), out->label + r};
        out->rechecked += assign_part(&p, &kept, keep ? r : 0, &work);
        *done += p.count;
        if (work * FR_WORK_SHARE > (int64_t)*done * c->k) return false;
    }
    return true;
}
