/* lloyd.c: the loop of exact k-means (Lloyd 1982): label every point, move every centroid to the mean of its points,
 * until nothing changes. Which distances are computed at all is decided while it runs, see bounds.h. */
#include "cluster/lloyd.h"

#include "cluster/bounds.h"
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

static fr_status make_workers(fr_lloyd *l) {
    size_t rows = fr_points_scratch(l->p, FR_POINTS_BLOCK), assign = fr_assign_scratch(l->c, l->p);
    l->threads = fr_pool_threads(l->pool);
    l->workers = fr_alloc(FR_MEM_OTHER, (size_t)l->threads * sizeof *l->workers);
    if (!l->workers) return FR_NOMEM;
    for (int t = 0; t < l->threads; t++) {
        fr_worker *w = &l->workers[t];
        if (rows) w->rows = fr_alloc_array(FR_MEM_OTHER, rows, sizeof *w->rows);
        w->assign = fr_alloc(FR_MEM_OTHER, assign);
        if ((rows && !w->rows) || !w->assign) return FR_NOMEM;
    }
    return FR_OK;
}

static fr_status make_parts(fr_lloyd *l) {
    FR_TRY(fr_centroids_new(l->k, l->width, l->o->metric, l->o->products, &l->c));
    FR_TRY(make_workers(l));
    FR_TRY(fr_adder_new(l->p, l->k, l->memory, l->threads, &l->adder));
    FR_TRY(fr_sums_new(l->k, l->width, &l->sums));
    int64_t blocks = fr_adder_wave_rows(l->adder) / FR_POINTS_BLOCK + 1;
    l->before = fr_alloc_array(FR_MEM_OTHER, (size_t)l->k, (size_t)l->width * sizeof *l->before);
    l->part = fr_alloc_array(FR_MEM_OTHER, (size_t)blocks, sizeof *l->part);
    l->move = fr_alloc_array(FR_MEM_OTHER, (size_t)l->k, sizeof *l->move);
    return l->before && l->part && l->move ? FR_OK : FR_NOMEM;
}

fr_status fr_lloyd_init(fr_lloyd *l, const fr_points *p, const fr_kmeans_opts *o, int64_t memory,
                        fr_reader *reader, fr_pool *pool, float *centroid, int32_t *label) {
    *l = (fr_lloyd){.p = p,
                    .o = o,
                    .reader = reader,
                    .pool = pool,
                    .n = p->rows,
                    .k = o->k,
                    .width = p->width,
                    .memory = memory,
                    .began = fr_now(),
                    .centroid = centroid,
                    .label = label};
    fr_status st = make_parts(l);
    if (st) fr_lloyd_free(l);
    return st;
}

void fr_lloyd_free(fr_lloyd *l) {
    for (int t = 0; l->workers && t < l->threads; t++) {
        fr_free(l->workers[t].rows);
        fr_free(l->workers[t].assign);
    }
    fr_free(l->workers);
    fr_centroids_free(l->c);
    fr_adder_free(l->adder);
    fr_sums_free(&l->sums);
    fr_bounds_free(l->bounds);
    fr_free(l->before);
    fr_free(l->part);
    fr_free(l->move);
    fr_free(l->codes);
    *l = (fr_lloyd){0};
}

bool fr_unit_rows(float *rows, int64_t count, int64_t width) {
    for (int64_t i = 0; i < count; i++) {
        float *x = rows + i * width;
        double by = 1 / sqrt(fr_kernel()->cluster.square(x, (size_t)width));
        if (!isfinite(by)) return false;
        for (int64_t d = 0; d < width; d++) x[d] = (float)((double)x[d] * by);
    }
    return true;
}

/* ---- which distances ---- */

typedef struct chooser {
    int64_t next_try, wait; /* iterations */
    double best_share;      /* beyond this share of all products bounds are given up */
} chooser;

static void drop_codes(fr_lloyd *l) {
    fr_free(l->codes);
    l->codes = NULL, l->codes_each = 0;
}

/* Bounds and codes are not there together: each may take a good part of the memory. */
static fr_status use_bounds(fr_lloyd *l, fr_kmeans_method method) {
    fr_bounds_free(l->bounds);
    l->bounds = NULL;
    if (method != FR_KMEANS_LLOYD) drop_codes(l);
    l->stats.method = method;
    if (method == FR_KMEANS_LLOYD) return FR_OK;
    return fr_bounds_new(l, method, &l->bounds);
}

/* Bounds come when they promise to save, and go when they do not keep it; what is tried in vain is tried again after
 * twice the time. The labels do not depend on it. */
static fr_status choose(fr_lloyd *l, chooser *ch, int64_t products) {
    if (l->o->method != FR_KMEANS_AUTO || l->o->metric == FR_DOT) return FR_OK;
    double share = (double)products / ((double)l->n * (double)l->k);
    int64_t done = l->stats.iterations;
    if (l->bounds && done > ch->next_try + 1 && share > ch->best_share) {
        ch->wait *= 2;
        ch->next_try = done + ch->wait;
        return use_bounds(l, FR_KMEANS_LLOYD);
    }
    if (l->bounds || done < ch->next_try) return FR_OK;
    fr_kmeans_method method = FR_KMEANS_LLOYD;
    FR_TRY(fr_bounds_judge(l, &method));
    ch->next_try = done;
    if (method == FR_KMEANS_LLOYD) {
        ch->next_try = done + ch->wait;
        ch->wait += ch->wait / 2 + 1;
    }
    return method == FR_KMEANS_LLOYD ? FR_OK : use_bounds(l, method);
}

/* ---- the loop ---- */

/* Codes of all points are kept where they take no more than half of the memory: all passes but the first then read a
 * part of what the points are, and round nothing. */
static void keep_codes(fr_lloyd *l) {
    size_t each = l->bounds ? 0 : fr_assign_codes_bytes(l->c);
    int64_t blocks = (l->n + FR_POINTS_BLOCK - 1) / FR_POINTS_BLOCK;
    if ((int64_t)each > l->memory / 2 / blocks) each = 0;
    if (each == l->codes_each) return;
    drop_codes(l);
    l->codes = each ? fr_alloc_array(FR_MEM_OTHER, (size_t)blocks, each) : NULL;
    if (!l->codes) return;
    l->codes_each = each;
    for (int64_t b = 0; b < blocks; b++) memset(l->codes + (size_t)b * each, 0, 8);
}

/* Of the first iteration also how labels are found. */
static void set_centroids(fr_lloyd *l) {
    double start = fr_now();
    fr_centroids_set(l->c, l->centroid, l->pool);
    if (l->stats.iterations == 1)
        fr_centroids_try(l->c, l->p, l->reader, l->workers->assign, l->pool);
    if (l->bounds) fr_bounds_moved(l->bounds, l);
    keep_codes(l);
    l->stats.assign_seconds += fr_now() - start;
}

/* Of the labels and the centroids that they chose, from sums alone: |x|^2 - 2 x.c + |c|^2, added up by cluster. */
static double running_inertia(const fr_lloyd *l) {
    double with_c = 0, squares = 0;
    for (int64_t j = 0; j < l->k; j++) {
        const float *c = l->before + j * l->width;
        const double *s = l->sums.sum + j * l->width;
        double dot = 0, own = 0;
        for (int64_t d = 0; d < l->width; d++) {
            dot += (double)c[d] * s[d];
            own += (double)c[d] * (double)c[d];
        }
        with_c += dot;
        squares += own * l->sums.weight[j];
    }
    if (l->o->metric == FR_DOT) return -with_c;
    double inertia = FR_MAX_OF(l->squares - 2 * with_c + squares, 0);
    return l->o->metric == FR_COSINE ? inertia / 2 : inertia;
}

static bool tell(fr_lloyd *l, int64_t moved) {
    if (!l->o->on_iteration) return true;
    fr_kmeans_progress p = {.problem = l->problem,
                            .attempt = l->attempt + 1,
                            .iteration = l->stats.iterations,
                            .inertia = running_inertia(l),
                            .moved = moved,
                            .seconds = fr_now() - l->began};
    return l->o->on_iteration(l->o->arg, &p);
}

static void move_range(void *arg, size_t start, size_t end) {
    fr_lloyd *l = arg;
    for (int64_t j = (int64_t)start; j < (int64_t)end; j++)
        l->move[j] = fr_kernel()->cluster.distance(l->before + j * l->width,
                                                   l->centroid + j * l->width, (size_t)l->width);
}

/* Means, and what becomes of empty clusters; the squared moves of all centroids together. */
static fr_status update(fr_lloyd *l, int64_t moved, bool *go_on, double *moves) {
    size_t bytes = (size_t)(l->k * l->width) * sizeof *l->centroid;
    double start = fr_now();
    memcpy(l->before, l->centroid, bytes);
    *go_on = tell(l, moved);
    fr_update_means(&l->sums, l->o->metric, l->centroid, l->pool);
    FR_TRY(fr_empty_fill(l));
    fr_pool_range(l->pool, (size_t)l->k, 64, move_range, l);
    *moves = 0;
    for (int64_t j = 0; j < l->k; j++) *moves += l->move[j];
    l->stats.update_seconds += fr_now() - start;
    return FR_OK;
}

static fr_status iterate(fr_lloyd *l, bool *labels_fit) {
    double tolerance = l->o->tolerance * l->p->mean_variance, moves = 0;
    chooser ch = {.next_try = 2, .wait = 1, .best_share = 0.5};
    bool go_on = true;
    *labels_fit = false;
    while (go_on && l->stats.iterations < l->o->iterations) {
        fr_pass pass;
        int64_t products = l->stats.products;
        l->stats.iterations++;
        bool squares = l->stats.iterations == 1 && l->o->on_iteration && l->o->metric != FR_DOT;
        set_centroids(l);
        fr_pass_run(l, squares ? FR_PASS_ADD | FR_PASS_SQUARES : FR_PASS_ADD, &pass);
        FR_TRY(update(l, pass.moved, &go_on, &moves));
        /* As scikit-learn: the same labels, or small moves. */
        l->stats.converged = l->o->tolerance >= 0 && (!pass.moved || moves <= tolerance);
        *labels_fit = moves == 0;
        if (l->stats.converged) break;
        if (go_on) FR_TRY(fr_interrupt_check());
        FR_TRY(choose(l, &ch, l->stats.products - products));
    }
    return FR_OK;
}

static void label_all(fr_lloyd *l) {
    fr_pass pass;
    set_centroids(l);
    fr_pass_run(l, FR_PASS_LABEL | FR_PASS_INERTIA, &pass);
    l->stats.inertia = pass.inertia;
}

void fr_lloyd_relabel(fr_lloyd *l) {
    fr_bounds_free(l->bounds);
    l->bounds = NULL;
    label_all(l);
}

fr_status fr_lloyd_run(fr_lloyd *l) {
    bool labels_fit;
    fr_adder_forget(l->adder);
    for (int64_t i = 0; i < l->n; i++) l->label[i] = -1;
    FR_TRY(use_bounds(l, l->o->method == FR_KMEANS_AUTO ? FR_KMEANS_LLOYD : l->o->method));
    FR_TRY(iterate(l, &labels_fit));
    if (labels_fit) {
        fr_pass pass;
        fr_pass_run(l, FR_PASS_INERTIA, &pass);
        l->stats.inertia = pass.inertia;
    } else {
        label_all(l);
    }
    return FR_OK;
}
