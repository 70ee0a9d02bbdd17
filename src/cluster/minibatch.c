/* minibatch.c: Sculley, Web-scale k-means clustering (WWW 2010): at each step some points are drawn and labelled, and
 * every centroid moves towards the mean of those that chose it, by the share that they are of all that ever did.
 *
 * As scikit-learn does it, a centroid that few ever chose (below a hundredth of what the most chosen has) is put onto
 * a point of the batch now and then, and the end comes when the smoothed inertia of the batches has not improved for
 * some steps. Points are drawn evenly, the same for any threads; weights count where means are made. */
#include "cluster/minibatch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel.h"

#define STARVED  0.01 /* of the most chosen centroid's weight */
#define PATIENCE 10   /* steps without improvement */

typedef struct minibatch {
    fr_lloyd *l;
    fr_rng rng;
    int64_t n, steps_each; /* points of a step, steps of an iteration */
    int64_t *row;          /* [n], rising */
    float *x;              /* [n, width] */
    int32_t *label;        /* [n] */
    float *best;           /* [n] */
    double *weight;        /* [k]: of all points that ever chose the centroid */
    int64_t since;         /* points since starved centroids were looked for */
    double smooth, least;  /* inertia of a point */
    int64_t in_vain;
} minibatch;

/* ---- a step ---- */

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void label_block(void *arg, size_t thread, size_t i) {
    minibatch *m = arg;
    fr_lloyd *l = m->l;
    fr_worker *w = &l->workers[thread];
    int64_t first = (int64_t)i * FR_POINTS_BLOCK, n = FR_MIN(FR_POINTS_BLOCK, m->n - first);
    float second[FR_POINTS_BLOCK], *x = m->x + first * l->width;
    fr_reader_rows(l->reader, l->p, m->row + first, n, x);
    fr_assigned out = {.label = m->label + first, .best = m->best + first, .second = second};
    fr_assign_rows(l->c, n, x, w->assign, &out);
    w->products += out.products;
    if (l->o->metric != FR_EUCLID) return;
    for (int64_t r = 0; r < n; r++)
        m->best[first + r] += fr_kernel()->rows.sum_squares(x + r * l->width, (size_t)l->width);
}

static float weight_of(const minibatch *m, int64_t i) {
    return m->l->p->weights ? m->l->p->weights[m->row[i]] : 1;
}

/* Sums of the batch by label, in its order; the inertia of a point of it. */
static double add_up(minibatch *m) {
    fr_lloyd *l = m->l;
    double inertia = 0, all = 0;
    fr_sums_clear(&l->sums);
    for (int64_t i = 0; i < m->n; i++) {
        double w = (double)weight_of(m, i), *sum = l->sums.sum + m->label[i] * l->width;
        const float *x = m->x + i * l->width;
        for (int64_t d = 0; w > 0 && d < l->width; d++) sum[d] += w * (double)x[d];
        l->sums.weight[m->label[i]] += w;
        inertia +=
            w * (l->o->metric == FR_EUCLID ? FR_MAX_OF((double)m->best[i], 0) : (double)m->best[i]);
        all += w;
    }
    return all > 0 ? inertia / all + (l->o->metric == FR_COSINE) : 0;
}

static void move(minibatch *m) {
    fr_lloyd *l = m->l;
    for (int64_t j = 0; j < l->k; j++) {
        double w = l->sums.weight[j], *sum = l->sums.sum + j * l->width, square = 0;
        float *c = l->centroid + j * l->width;
        if (!(w > 0)) continue;
        m->weight[j] += w;
        double share = w / m->weight[j];
        for (int64_t d = 0; d < l->width; d++) {
            sum[d] = (double)c[d] + (sum[d] / w - (double)c[d]) * share;
            square += sum[d] * sum[d];
        }
        /* Of opposite directions no direction is left: the old one stays. */
        if (l->o->metric == FR_COSINE && !(square > 0)) continue;
        double by = l->o->metric == FR_COSINE ? 1 / sqrt(square) : 1;
        for (int64_t d = 0; d < l->width; d++) c[d] = (float)(sum[d] * by);
    }
}

/* Onto points of the batch, at most half of them, different ones that weigh something. */
static void feed_starved(minibatch *m) {
    fr_lloyd *l = m->l;
    double most = 0, least = INFINITY;
    int64_t left = m->n, moved = 0;
    for (int64_t j = 0; j < l->k; j++) most = FR_MAX_OF(most, m->weight[j]);
    for (int64_t j = 0; j < l->k; j++)
        if (m->weight[j] >= STARVED * most) least = FR_MIN(least, m->weight[j]);
    m->since = 0;
    for (int64_t j = 0; j < l->k && moved < m->n / 2; j++) {
        if (m->weight[j] >= STARVED * most) continue;
        bool found = false;
        while (left > 0 && !found) { /* what was drawn goes to the end */
            int64_t i = (int64_t)fr_rng_below(&m->rng, (uint32_t)left--), row = m->row[i];
            found = weight_of(m, i) > 0;
            if (found) fr_points_row(l->p, row, l->centroid + j * l->width);
            m->row[i] = m->row[left];
            m->row[left] = row;
        }
        if (!found) return;
        m->weight[j] = least;
        moved++;
    }
    l->stats.empty += moved;
}

/* Whether the inertia, smoothed over about as many points as there are, has stopped to improve. */
static bool is_enough(minibatch *m, double inertia, bool first) {
    double share = FR_MIN(2.0 * (double)m->n / ((double)m->l->n + 1), 1);
    m->smooth = first ? inertia : m->smooth * (1 - share) + inertia * share;
    if (first || m->smooth < m->least) {
        m->least = m->smooth;
        m->in_vain = 0;
        return false;
    }
    return ++m->in_vain >= PATIENCE;
}

static bool step(minibatch *m, bool first) {
    fr_lloyd *l = m->l;
    for (int64_t i = 0; i < m->n; i++) m->row[i] = (int64_t)fr_rng_below(&m->rng, (uint32_t)l->n);
    qsort(m->row, (size_t)m->n, sizeof *m->row, by_number);
    fr_centroids_set(l->c, l->centroid, l->pool);
    fr_pool_run_thread(l->pool, (size_t)((m->n + FR_POINTS_BLOCK - 1) / FR_POINTS_BLOCK),
                       label_block, m);
    double inertia = add_up(m);
    move(m);
    m->since += m->n;
    if (l->o->empty != FR_EMPTY_KEEP && m->since >= 10 * l->k) feed_starved(m);
    return is_enough(m, inertia, first) && l->o->tolerance >= 0;
}

/* ---- all steps ---- */

static bool tell(const minibatch *m) {
    const fr_lloyd *l = m->l;
    if (!l->o->on_iteration) return true;
    fr_kmeans_progress p = {.problem = l->problem,
                            .attempt = l->attempt + 1,
                            .iteration = l->stats.iterations,
                            .inertia = m->smooth * (double)l->n,
                            .seconds = fr_now() - l->began};
    return l->o->on_iteration(l->o->arg, &p);
}

static fr_status run(minibatch *m) {
    fr_lloyd *l = m->l;
    bool go_on = true, first = true;
    while (go_on && !l->stats.converged && l->stats.iterations < l->o->iterations) {
        double start = fr_now();
        l->stats.iterations++;
        for (int64_t i = 0; i < m->steps_each && !l->stats.converged; i++, first = false)
            l->stats.converged = step(m, first);
        l->stats.assign_seconds += fr_now() - start;
        go_on = tell(m);
        FR_TRY(fr_interrupt_check());
    }
    for (int t = 0; t < l->threads; t++) {
        l->stats.products += l->workers[t].products;
        l->workers[t].products = 0;
    }
    for (int64_t i = 0; i < l->n; i++) l->label[i] = -1;
    fr_lloyd_relabel(l);
    l->stats.method = FR_KMEANS_MINIBATCH;
    return FR_OK;
}

fr_status fr_minibatch_run(fr_lloyd *l) {
    char stream[80];
    minibatch m = {.l = l, .n = FR_MIN(l->o->batch, l->n)};
    snprintf(stream, sizeof stream, "kmeans.minibatch.%lld.%lld", (long long)l->problem,
             (long long)l->attempt);
    m.rng = fr_rng_new(l->o->seed, fr_random_stream(stream));
    m.steps_each = (l->n + m.n - 1) / m.n;
    size_t n = (size_t)m.n;
    m.row = fr_alloc_array(FR_MEM_OTHER, n, sizeof *m.row);
    m.x = fr_alloc_array(FR_MEM_OTHER, n, (size_t)l->width * sizeof *m.x);
    m.label = fr_alloc_array(FR_MEM_OTHER, n, sizeof *m.label);
    m.best = fr_alloc_array(FR_MEM_OTHER, n, sizeof *m.best);
    m.weight = fr_alloc(FR_MEM_OTHER, (size_t)l->k * sizeof *m.weight);
    fr_status st = m.row && m.x && m.label && m.best && m.weight ? run(&m) : FR_NOMEM;
    fr_free(m.row);
    fr_free(m.x);
    fr_free(m.label);
    fr_free(m.best);
    fr_free(m.weight);
    return st;
}
