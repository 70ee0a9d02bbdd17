/* assign_prove.c: labels from bounds. Many rows have one centroid whose bound is so low that no other's score can be
 * lower; of the others the few that may be nearest are compared: by products in f32 whose sums have the order that is
 * fast, and only those that this leaves too near each other by the chain that defines the labels. */
#include <math.h>
#include <string.h>

#include "cluster/assign_parts.h"

double fr_chain_error(const fr_centroids *c) {
    return 1.01 * 0x1p-24 * (double)(c->width + 4);
}

/* What a score by any order of sums may be away from the chain's, for a point of no length and by its length. */
static void away_from_chain(const fr_centroids *c, float *always, float *by_length) {
    const double each = -(double)c->factor * 2 * fr_chain_error(c) * (double)c->longest * 1.01;
    *always = (float)(each * c->middle_length + 0x1p-22 * (double)c->largest + 0x1p-100);
    *by_length = (float)each;
}

/* The chains of the centroids of a list, the nearest first found. */
static int32_t by_chain(const fr_assign_part *p, size_t row, const int32_t *list, int n) {
    const fr_centroids *c = p->c;
    const size_t width = (size_t)c->width;
    const float *x[FR_NEAREST_CHAINS], *y[FR_NEAREST_CHAINS];
    float sum[FR_NEAREST_CHAINS], least = INFINITY;
    int32_t label = list[0];
    for (int i = 0; i < n; i += FR_NEAREST_CHAINS) {
        const int some = FR_MIN(FR_NEAREST_CHAINS, n - i);
        for (int j = 0; j < FR_NEAREST_CHAINS; j++) {
            x[j] = p->rows + row * width;
            y[j] = c->rows + (size_t)list[i + (j < some ? j : 0)] * width;
        }
        c->kernels->nearest.chains(x, y, width, sum);
        for (int j = 0; j < some; j++) {
            const int32_t number = list[i + j];
            const float score = fmaf(c->factor, sum[j], c->square[number]);
            if (score < least || (score == least && number < label)) least = score, label = number;
        }
    }
    return label;
}

/* Candidates of some open rows, one row's behind the other's: row[i] and centroid[i] go together. */
typedef struct candidates {
    int count;
    int32_t *row, *centroid;
    float *score;
} candidates;

/* The centroids that may be nearest to a row join the candidates. False: nobody knows them, or they are too many. */
static bool add_row(const fr_assign_part *p, size_t row, candidates *to) {
    const fr_centroids *c = p->c;
    const int lanes = c->kernels->nearest.width;
    const size_t at = row * (size_t)lanes;
    int32_t *list = to->centroid + to->count;
    uint32_t deep;
    if (!(p->s->limit[row] < INFINITY)) return false;
    int n = c->kernels->nearest.near(p->s->best + at, p->s->second + at, c->few.mask,
                                     p->s->limit[row], list, &deep);
    if (deep) {
        if (__builtin_popcount(deep) > lanes / 3) return false;
        for (; deep; deep &= deep - 1)
            for (int32_t j = __builtin_ctz(deep); j < c->k; j += lanes) list[n++] = j;
    }
    for (int i = 0; i < n; i++) to->row[to->count + i] = (int32_t)row;
    to->count += n;
    return true;
}

/* The nearest of a row's n candidates, whose products are there; how far their scores may be away from the chain's. */
static int32_t nearest_of(const fr_assign_part *p, size_t row, int32_t *list, float *score, int n,
                          float away) {
    const fr_centroids *c = p->c;
    float least = INFINITY;
    int near = 0;
    for (int i = 0; i < n; i++) {
        score[i] = c->square[list[i]] + c->factor * score[i];
        least = score[i] < least ? score[i] : least;
    }
    const float limit = least + 2 * away + fabsf(least) * 0x1p-21f;
    for (int i = 0; i < n; i++) {
        list[near] = list[i]; /* behind what was read */
        near += !(score[i] > limit);
    }
    return near == 1 ? list[0] : by_chain(p, row, list, near);
}

static void settle(const fr_assign_part *p, candidates *of) {
    const fr_centroids *c = p->c;
    c->kernels->nearest.products(p->rows, c->rows, of->row, of->centroid, of->count,
                                 (size_t)c->width, of->score);
    float always, by_length;
    away_from_chain(c, &always, &by_length);
    for (int i = 0, end; i < of->count; i = end) {
        const int32_t row = of->row[i];
        for (end = i + 1; end < of->count && of->row[end] == row;) end++;
        p->label[row] = nearest_of(p, (size_t)row, of->centroid + i, of->score + i, end - i,
                                   always + by_length * p->s->length[row]);
    }
    of->count = 0;
}

/* Rows of the list against all centroids, some at a time. */
static void scan_again(const fr_assign_part *p, size_t count) {
    const size_t width = (size_t)p->c->width;
    int32_t label[FR_ASSIGN_GATHER];
    for (size_t r = 0; r < count; r += FR_ASSIGN_GATHER) {
        const size_t n = FR_MIN((size_t)FR_ASSIGN_GATHER, count - r);
        for (size_t i = 0; i < n; i++)
            memcpy(p->s->gather + i * width, p->rows + (size_t)p->s->again[r + i] * width,
                   width * 4);
        fr_assign_scan(p->c, (int64_t)n, p->s->gather, p->s, label, NULL, NULL);
        for (size_t i = 0; i < n; i++) p->label[p->s->again[r + i]] = label[i];
    }
}

int64_t fr_assign_prove(const fr_assign_part *p, int64_t *work) {
    const fr_assign_space *s = p->s;
    const fr_few_centroids *b = &p->c->few;
    const fr_nearest_proof proof = {
        .rows = (int)p->count,
        .mask = b->mask,
        .best = s->best,
        .second = s->second,
        .error = s->error,
        .unit = s->unit,
        .reach = b->reach,
        .fixed = b->fixed,
        .label = p->label,
        .limit = s->limit,
        .open = s->open,
    };
    const int open = p->c->kernels->nearest.prove(&proof);
    candidates some = {0, s->candidate_row, s->candidate, s->score};
    size_t again = 0;
    for (int i = 0; i < open; i++) {
        const size_t row = (size_t)s->open[i];
        const int before = some.count;
        if (!add_row(p, row, &some)) {
            s->again[again++] = (int32_t)row;
            *work += p->c->k / 4;
        }
        *work += some.count - before;
        if (some.count >= FR_CANDIDATES) settle(p, &some);
    }
    settle(p, &some);
    scan_again(p, again);
    return open;
}
