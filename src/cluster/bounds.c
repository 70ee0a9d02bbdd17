/* bounds.c: what Hamerly's and Yinyang's bounds share: how far centroids moved, and how much f32 may round.
 *
 * A score of D fused multiply-adds is off by at most about (D + 4) 2^-24 (2 |x| |c| + |c|^2) (Higham, Accuracy and
 * Stability of Numerical Algorithms, 3.1). If squared distances differ by more than two such errors, so do the scores,
 * in the same sense: then the label is proven. */
#include "cluster/bounds_parts.h"

#include <string.h>

#define FARTHEST 3e38

double fr_bounds_error(const fr_bounds *b, double length) {
    double u = 1.05 * (double)(b->width + 4) / 16777216;
    return u * (2 * length * b->reach + b->reach * b->reach) + (double)b->width * 3e-45;
}

double fr_bounds_above(const fr_bounds *b, double score, double square) {
    double e = fr_bounds_error(b, sqrt(square));
    double d = b->factor * (score + e) + square + b->highest;
    return sqrt(FR_MAX_OF(d, 0)) * (1 + 1e-12);
}

double fr_bounds_below(const fr_bounds *b, double score, double square) {
    double e = fr_bounds_error(b, sqrt(square));
    double d = b->factor * (score - e) + square + b->lowest;
    if (!(d < FARTHEST * FARTHEST)) return FARTHEST; /* there is no other */
    return sqrt(FR_MAX_OF(d, 0)) * (1 - 1e-12);
}

double fr_bounds_move(const float *from, const float *to, int64_t width) {
    return sqrt(fr_kernel()->cluster.distance(from, to, (size_t)width)) * (1 + 1e-12);
}

double fr_bounds_step(const fr_lloyd *l, int64_t j) {
    return sqrt(l->move[j]) * (1 + 1e-12);
}

void fr_bounds_place(fr_bounds *b, const float *centroid, double largest) {
    double most = 0, least = INFINITY;
    for (int64_t j = 0; j < b->k; j++) {
        double s = fr_kernel()->cluster.square(centroid + j * b->width, (size_t)b->width);
        most = FR_MAX_OF(most, s);
        least = FR_MIN(least, s);
    }
    bool cosine = b->metric == FR_COSINE;
    b->reach = sqrt(most) * (1 + 1e-12);
    b->factor = cosine ? 2 : 1;
    b->lowest = cosine ? least * (1 - 1e-12) : 0;
    b->highest = cosine ? most * (1 + 1e-12) : 0;
    b->largest = largest;
    double slack = 2 * b->factor * fr_bounds_error(b, sqrt(largest)) + b->highest - b->lowest;
    b->slack = fr_up(slack * 1.0001);
}

/* ---- how near the nearest other centroid is ---- */

typedef struct near_job {
    const fr_bounds *b;
    fr_lloyd *l;
    const float *centroid;
    float *near;
} near_job;

static void near_block(void *arg, size_t thread, size_t i) {
    near_job *j = arg;
    const fr_bounds *b = j->b;
    fr_worker *w = &j->l->workers[thread];
    int64_t first = (int64_t)i * FR_POINTS_BLOCK, n = FR_MIN(FR_POINTS_BLOCK, b->k - first);
    float best[FR_POINTS_BLOCK], second[FR_POINTS_BLOCK];
    fr_assigned found = {.label = w->label, .best = best, .second = second};
    fr_assign_rows(b->c, n, j->centroid + first * b->width, w->assign, &found);
    w->products += found.products;
    for (int64_t r = 0; r < n; r++) {
        const float *c = j->centroid + (first + r) * b->width;
        double square = fr_kernel()->cluster.square(c, (size_t)b->width);
        bool itself = w->label[r] == first + r;
        j->near[first + r] = itself ? fr_down(fr_bounds_below(b, (double)second[r], square)) : 0;
    }
}

void fr_bounds_near(const fr_bounds *b, fr_lloyd *l, const float *centroid, float *near) {
    if (b->k > l->n / 4) {
        memset(near, 0, (size_t)b->k * sizeof *near);
        return;
    }
    near_job j = {b, l, centroid, near};
    size_t blocks = (size_t)((b->k + FR_POINTS_BLOCK - 1) / FR_POINTS_BLOCK);
    fr_pool_run_thread(l->pool, blocks, near_block, &j);
}

/* ---- making ---- */

static int64_t groups_of(fr_kmeans_method method, int64_t k) {
    return method == FR_KMEANS_YINYANG ? (k + FR_GROUP - 1) / FR_GROUP : 1;
}

int64_t fr_bounds_bytes(fr_kmeans_method method, int64_t n, int64_t k, int64_t width, int threads) {
    double points = 4 * (double)n * (double)(1 + groups_of(method, k));
    double own = 48 * (double)k + (double)threads * (12e3 + 4 * (double)k + 262144);
    if (method == FR_KMEANS_YINYANG) own += 12 * (double)k * (double)width;
    return (int64_t)FR_MIN(points + own, 9e18);
}

static fr_status make_bound_workers(fr_bounds *b) {
    b->gather = FR_MAX_OF(16, FR_MIN(FR_POINTS_BLOCK, 65536 / b->width));
    b->workers = fr_alloc(FR_MEM_OTHER, (size_t)b->threads * sizeof *b->workers);
    if (!b->workers) return FR_NOMEM;
    for (int t = 0; t < b->threads; t++) {
        fr_bound_worker *w = &b->workers[t];
        w->rows = fr_alloc_array(FR_MEM_OTHER, (size_t)(b->gather * b->width), sizeof *w->rows);
        w->score = fr_alloc_array(FR_MEM_OTHER, (size_t)b->k, sizeof *w->score);
        w->found =
            fr_alloc_array(FR_MEM_OTHER, (size_t)groups_of(b->method, b->k), sizeof *w->found);
        if (!w->rows || !w->score || !w->found) return FR_NOMEM;
    }
    return FR_OK;
}

static fr_status make_bounds(fr_bounds *b, const fr_lloyd *l) {
    size_t n = (size_t)b->n, k = (size_t)b->k, groups = (size_t)groups_of(b->method, b->k);
    b->upper = fr_alloc_array(FR_MEM_OTHER, n, sizeof *b->upper);
    b->lower = fr_alloc_array(FR_MEM_OTHER, n, groups * sizeof *b->lower);
    b->step = fr_alloc(FR_MEM_OTHER, k * sizeof *b->step);
    b->moved = fr_alloc(FR_MEM_OTHER, k * sizeof *b->moved);
    b->away = fr_alloc(FR_MEM_OTHER, k * sizeof *b->away);
    b->up = fr_alloc(FR_MEM_OTHER, k * sizeof *b->up);
    b->down = fr_alloc(FR_MEM_OTHER, k * sizeof *b->down);
    b->near = fr_alloc(FR_MEM_OTHER, k * sizeof *b->near);
    bool all = b->upper && b->lower && b->step && b->moved && b->away && b->up && b->down;
    if (!all || !b->near) return FR_NOMEM;
    FR_TRY(make_bound_workers(b));
    if (b->method != FR_KMEANS_YINYANG) return FR_OK;
    return fr_groups_make(&b->groups, l->centroid, b->k, b->width, b->metric);
}

fr_status fr_bounds_new(const fr_lloyd *l, fr_kmeans_method method, fr_bounds **out) {
    *out = NULL;
    fr_bounds *b = fr_alloc(FR_MEM_OTHER, sizeof *b);
    if (!b) return FR_NOMEM;
    *b = (fr_bounds){.method = method,
                     .metric = l->o->metric,
                     .n = l->n,
                     .k = l->k,
                     .width = l->width,
                     .threads = l->threads,
                     .fresh = true,
                     .c = l->c};
    fr_status st = make_bounds(b, l);
    if (st) {
        fr_bounds_free(b);
        return st;
    }
    *out = b;
    return FR_OK;
}

void fr_bounds_free(fr_bounds *b) {
    if (!b) return;
    for (int t = 0; b->workers && t < b->threads; t++) {
        fr_free(b->workers[t].rows);
        fr_free(b->workers[t].score);
        fr_free(b->workers[t].found);
    }
    void *all[] = {b->workers, b->upper, b->lower, b->step, b->moved,
                   b->away,    b->up,    b->down,  b->near};
    for (size_t i = 0; i < FR_COUNT(all); i++) fr_free(all[i]);
    fr_groups_free(&b->groups);
    fr_free(b);
}

/* ---- moving ---- */

/* Of each centroid the most that any other moved; of each group the most that one of it did. */
static void move_others(fr_bounds *b, const double *step) {
    if (b->method == FR_KMEANS_YINYANG) {
        for (int64_t g = 0; g < b->groups.count; g++) {
            double most = 0;
            for (int64_t i = g * FR_GROUP; i < FR_MIN(b->k, (g + 1) * FR_GROUP); i++)
                most = FR_MAX_OF(most, step[b->groups.order[i]]);
            b->away[g] += most;
            b->down[g] = fr_up(b->away[g]);
        }
        return;
    }
    int64_t top = 0;
    double second = 0;
    for (int64_t j = 1; j < b->k; j++)
        if (step[j] > step[top]) top = j;
    for (int64_t j = 0; j < b->k; j++)
        if (j != top) second = FR_MAX_OF(second, step[j]);
    for (int64_t j = 0; j < b->k; j++) {
        b->away[j] += j == top ? second : step[top];
        b->down[j] = fr_up(b->away[j]);
    }
}

void fr_bounds_moved(fr_bounds *b, fr_lloyd *l) {
    fr_bounds_place(b, l->centroid, (double)l->p->largest_square);
    fr_bounds_near(b, l, l->centroid, b->near);
    if (b->method == FR_KMEANS_YINYANG) fr_groups_set(&b->groups, l->centroid, l->pool);
    b->fresh = b->passes++ == 0;
    if (b->fresh) return;
    for (int64_t j = 0; j < b->k; j++) {
        b->step[j] = fr_bounds_step(l, j);
        b->moved[j] += b->step[j];
        b->up[j] = fr_up(b->moved[j]);
    }
    move_others(b, b->step);
}

int64_t fr_bounds_label(fr_bounds *b, size_t thread, int64_t first, int64_t count,
                        const float *rows, int32_t *label, fr_worker *w) {
    fr_bound_worker *bw = &b->workers[thread];
    if (b->method == FR_KMEANS_YINYANG)
        return fr_yinyang_label(b, bw, first, count, rows, label, w);
    return fr_hamerly_label(b, bw, first, count, rows, label, w);
}
