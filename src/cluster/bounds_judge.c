/* bounds_judge.c: whether bounds would pay. A few points are compared with all centroids; the last move of
 * the centroids then says of each of these points whether its bounds would have proven its label. What that saves is
 * set against what bounds cost, in rough nanoseconds: a wrong guess costs time, never a label. */
#include "cluster/bounds_parts.h"

#include <string.h>

enum {
    PLACES = 4,            /* from which points are taken, */
    SHARE = 1024,          /* one of so many at each, */
    LEAST = 32,            /* at least; a guess need not be better than a few hundredths */
    LOOKS = 64,            /* points whose groups are looked at */
    POINTS_LEAST = 1 << 13 /* fewer are done before a guess pays */
};

typedef struct judge {
    fr_lloyd *l;
    fr_bounds b; /* of the centroids before the last move: only what fr_bounds_place fills */
    double *step;
    float *near, *score;
    double widest, wider; /* the longest move and the next */
    int64_t farthest;
    int64_t points, hamerly;       /* unsure of the points */
    int64_t asked, yinyang, looks; /* some of those; unsure of a group; groups to look at */
} judge;

static void steps(judge *j) {
    fr_lloyd *l = j->l;
    for (int64_t c = 0; c < l->k; c++) {
        j->step[c] = fr_bounds_step(l, c);
        if (j->step[c] > j->widest) {
            j->wider = j->widest;
            j->widest = j->step[c];
            j->farthest = c;
        } else if (j->step[c] > j->wider) {
            j->wider = j->step[c];
        }
    }
}

/* How many groups Yinyang would look at. */
static int64_t count_looks(judge *j, const fr_groups *g, const float *row, int32_t a, float u,
                           double square) {
    int64_t looks = 0;
    fr_assign_scores(g->c, row, 0, g->k, j->score);
    for (int64_t from = 0; from < g->k; from += FR_GROUP) {
        float best = INFINITY;
        double most = 0;
        for (int64_t i = from; i < FR_MIN(g->k, from + FR_GROUP); i++) {
            most = FR_MAX_OF(most, j->step[g->order[i]]);
            if (g->order[i] != a && j->score[i] < best) best = j->score[i];
        }
        float l = fr_down(fr_bounds_below(&j->b, (double)best, square) - most);
        looks += !fr_sure(u, l, j->b.slack);
    }
    return looks;
}

static void judge_rows(judge *j, const fr_groups *g, int64_t first, int64_t n) {
    fr_lloyd *l = j->l;
    fr_worker *w = &l->workers[0];
    float best[FR_POINTS_BLOCK], second[FR_POINTS_BLOCK];
    fr_assigned found = {.label = w->label, .best = best, .second = second};
    int64_t most = j->asked + LOOKS / PLACES;
    const float *rows = fr_points_rows(l->p, first, n, w->rows);
    fr_assign_rows(l->c, n, rows, w->assign, &found);
    for (int64_t i = 0; i < n; i++) {
        const float *row = rows + i * l->width;
        int32_t a = w->label[i];
        double square = fr_kernel()->cluster.square(row, (size_t)l->width);
        double others = a == j->farthest ? j->wider : j->widest;
        float u = fr_up(fr_bounds_above(&j->b, (double)best[i], square) + j->step[a]);
        float low = fr_down(fr_bounds_below(&j->b, (double)second[i], square) - others);
        float near = fr_down((double)j->near[a] - j->step[a] - others) - u;
        j->points++;
        if (fr_sure(u, FR_MAX_OF(low, near), j->b.slack)) continue;
        j->hamerly++;
        if (!g || j->asked == most) continue;
        j->asked++;
        int64_t looks = count_looks(j, g, row, a, u, square);
        j->yinyang += looks > 0;
        j->looks += looks;
    }
}

static fr_kmeans_method cheapest(const judge *j, bool yinyang) {
    double d = (double)j->l->width, k = (double)j->l->k, points = (double)j->points;
    double all = k * (0.018 * d + 0.12);
    double hamerly = 9 + (double)j->hamerly / points * (40 + 0.4 * d + 1.4 * all);
    double groups = ceil(k / FR_GROUP);
    double unsure = (double)j->hamerly / points / (double)FR_MAX_OF(j->asked, 1);
    double ying = 12 + groups + unsure * (double)j->yinyang * (40 + 0.4 * d + 5 * groups) +
                  unsure * (double)j->looks * (80 + FR_GROUP * 0.05 * d);
    if (!yinyang) ying = all;
    if (FR_MIN(hamerly, ying) > 0.7 * all) return FR_KMEANS_LLOYD;
    return hamerly <= 1.2 * ying ? FR_KMEANS_HAMERLY : FR_KMEANS_YINYANG;
}

static bool fits(const fr_lloyd *l, fr_kmeans_method method) {
    return fr_bounds_bytes(method, l->n, l->k, l->width, l->threads) <= l->memory / 4 * 3;
}

fr_status fr_bounds_judge(fr_lloyd *l, fr_kmeans_method *out) {
    *out = FR_KMEANS_LLOYD;
    if (l->n < POINTS_LEAST || l->k < 4 || !fits(l, FR_KMEANS_HAMERLY)) return FR_OK;
    bool yinyang = l->k >= 4 * FR_GROUP && fits(l, FR_KMEANS_YINYANG);
    judge j = {.l = l, .b = {.metric = l->o->metric, .k = l->k, .width = l->width, .c = l->c}};
    fr_groups g = {0};
    j.step = fr_alloc_array(FR_MEM_OTHER, (size_t)l->k, sizeof *j.step);
    j.near = fr_alloc_array(FR_MEM_OTHER, (size_t)l->k, sizeof *j.near);
    j.score = fr_alloc_array(FR_MEM_OTHER, (size_t)l->k, sizeof *j.score);
    fr_status st = j.step && j.near && j.score ? FR_OK : FR_NOMEM;
    if (!st && yinyang) st = fr_groups_make(&g, l->before, l->k, l->width, l->o->metric);
    if (!st) {
        if (yinyang) fr_groups_set(&g, l->before, l->pool);
        fr_bounds_place(&j.b, l->before, (double)l->p->largest_square);
        fr_bounds_near(&j.b, l, l->before, j.near);
        steps(&j);
        int64_t rows = FR_MIN(FR_MAX_OF(l->n / SHARE, LEAST), FR_POINTS_BLOCK);
        for (int64_t i = 0; i < PLACES; i++)
            judge_rows(&j, yinyang ? &g : NULL, (2 * i + 1) * (l->n / (2 * PLACES)), rows);
        *out = cheapest(&j, yinyang);
    }
    fr_groups_free(&g);
    fr_free(j.step);
    fr_free(j.near);
    fr_free(j.score);
    return st;
}
