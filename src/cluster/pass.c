/* pass.c: one pass over the points: labels, and right behind them, while the rows are in the cache, sums and what the
 * inertia needs. Numbers that are added up are kept by block and added in the order of the blocks. */
#include "cluster/lloyd.h"

#include "cluster/bounds.h"
#include "kernel/kernel.h"

#include <string.h>

typedef struct pass_job {
    fr_lloyd *l;
    unsigned kind;
    int64_t first, end, item;
    bool look, add; /* at blocks as the kind says; they go to the adder */
} pass_job;

static void label_block(fr_lloyd *l, fr_worker *w, size_t thread, int64_t first, int64_t count,
                        const float *rows) {
    int32_t *label = l->label + first;
    int64_t moved = 0;
    if (l->bounds) {
        w->moved += fr_bounds_label(l->bounds, thread, first, count, rows, label, w);
        return;
    }
    fr_assigned found = {.label = w->label};
    if (l->codes) found.codes = l->codes + (size_t)(first / FR_POINTS_BLOCK) * l->codes_each;
    fr_assign_rows(l->c, count, rows, w->assign, &found);
    for (int64_t i = 0; i < count; i++) moved += label[i] != w->label[i];
    if (moved) memcpy(label, w->label, (size_t)count * sizeof *label);
    w->moved += moved;
    w->products += found.products;
    w->rechecked += found.rechecked;
    w->refused += found.refused;
}

static double product(const float *x, const float *c, int64_t n) {
    double s = 0;
    for (int64_t d = 0; d < n; d++) s += (double)x[d] * (double)c[d];
    return s;
}

static double block_inertia(const fr_lloyd *l, int64_t first, int64_t count, const float *rows) {
    const fr_cluster_kernels *k = &fr_kernel()->cluster;
    const float *weight = l->p->weights;
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        const float *x = rows + i * l->width, *c = l->centroid + l->label[first + i] * l->width;
        double one;
        if (l->o->metric == FR_DOT)
            one = -product(x, c, l->width);
        else
            one = k->distance(x, c, (size_t)l->width);
        sum += weight ? (double)weight[first + i] * one : one;
    }
    return l->o->metric == FR_COSINE ? sum / 2 : sum;
}

static double block_squares(const fr_lloyd *l, int64_t first, int64_t count, const float *rows) {
    const float *weight = l->p->weights;
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double one = fr_kernel()->cluster.square(rows + i * l->width, (size_t)l->width);
        sum += weight ? (double)weight[first + i] * one : one;
    }
    return sum;
}

static void look_at_block(pass_job *j, fr_worker *w, size_t thread, int64_t first, int64_t count,
                          const float *rows) {
    fr_lloyd *l = j->l;
    double *part = l->part + (first - j->first) / FR_POINTS_BLOCK;
    if (j->kind & (FR_PASS_ADD | FR_PASS_LABEL)) {
        const bool note = fr_adder_way(l->adder) == FR_ADD_MOVED;
        if (note) memcpy(w->before, l->label + first, (size_t)count * sizeof *w->before);
        label_block(l, w, thread, first, count, rows);
        if (note) fr_adder_note(l->adder, first, count, rows, w->before, l->label + first);
    }
    if (j->kind & FR_PASS_INERTIA) *part = block_inertia(l, first, count, rows);
    if (j->kind & FR_PASS_SQUARES) *part = block_squares(l, first, count, rows);
}

static void do_block(pass_job *j, size_t thread, int64_t first, int64_t count) {
    fr_lloyd *l = j->l;
    fr_worker *w = &l->workers[thread];
    const float *rows = fr_points_rows(l->p, first, count, w->rows);
    if (j->look) look_at_block(j, w, thread, first, count, rows);
    if (!j->add) return;
    double start = fr_now();
    fr_adder_block(l->adder, first, count, rows, l->label + first);
    w->update_seconds += fr_now() - start;
}

static void do_item(void *arg, size_t thread, size_t i) {
    pass_job *j = arg;
    int64_t start = (j->first / j->item + (int64_t)i) * j->item;
    int64_t from = FR_MAX_OF(start, j->first), end = FR_MIN(start + j->item, j->end);
    for (; from < end; from += FR_POINTS_BLOCK)
        do_block(j, thread, from, FR_MIN(FR_POINTS_BLOCK, end - from));
}

static void do_items(pass_job *j, bool look, bool add) {
    j->look = look, j->add = add;
    j->item = add ? fr_adder_item(j->l->adder) : FR_POINTS_BLOCK;
    int64_t items = (j->end - 1) / j->item - j->first / j->item + 1;
    fr_pool_run_thread(j->l->pool, (size_t)items, do_item, j);
}

/* Whether threads would wait for each other for more than a fifth of the time if each took whole stripes. */
static bool few_stripes(const pass_job *j) {
    int64_t stripe = fr_adder_item(j->l->adder), threads = j->l->threads;
    int64_t stripes = (j->end - j->first + stripe - 1) / stripe;
    return 5 * stripes < 4 * threads * ((stripes + threads - 1) / threads);
}

/* Sums of a stripe are one thread's work, best done where its rows have just been looked at. Where there are too few
 * stripes for all threads, as in a window of a file, blocks are first looked at by whoever comes. */
static void do_wave(pass_job *j, double *total) {
    fr_lloyd *l = j->l;
    bool add = (j->kind & FR_PASS_ADD) && fr_adder_way(l->adder) == FR_ADD_STRIPED;
    if (add && few_stripes(j)) {
        do_items(j, true, false);
        do_items(j, false, true);
    } else {
        do_items(j, true, add);
    }
    if (j->kind & (FR_PASS_INERTIA | FR_PASS_SQUARES))
        for (int64_t b = 0; b < (j->end - j->first + FR_POINTS_BLOCK - 1) / FR_POINTS_BLOCK; b++)
            *total += l->part[b];
    if (!(j->kind & FR_PASS_ADD)) return;
    double start = fr_now();
    fr_adder_end(l->adder, j->first, j->end, l->label, l->pool);
    l->stats.update_seconds += fr_now() - start;
}

static void weigh(fr_lloyd *l) {
    l->weight = l->p->weights ? 0 : (double)l->n;
    for (int64_t i = 0; l->p->weights && i < l->n; i++) l->weight += (double)l->p->weights[i];
}

/* Seconds of the threads become seconds of the pass, of which the update's are taken out. */
static void count_up(fr_lloyd *l, double seconds, double update_before, fr_pass *out) {
    double update = 0;
    int64_t refused = 0;
    for (int t = 0; t < l->threads; t++) {
        fr_worker *w = &l->workers[t];
        out->moved += w->moved;
        l->stats.products += w->products;
        l->stats.rechecked += w->rechecked;
        update += w->update_seconds;
        refused += w->refused;
        w->moved = w->products = w->rechecked = w->refused = 0;
        w->update_seconds = 0;
    }
    fr_centroids_learn(l->c, l->n, refused);
    l->stats.update_seconds += update / l->threads;
    l->stats.assign_seconds += seconds - (l->stats.update_seconds - update_before);
}

void fr_pass_run(fr_lloyd *l, unsigned kind, fr_pass *out) {
    bool add = kind & FR_PASS_ADD;
    pass_job j = {.l = l, .kind = kind};
    double start = fr_now(), update = l->stats.update_seconds, total = 0;
    *out = (fr_pass){0};
    fr_adder_begin(l->adder, add ? &l->sums : NULL);
    for (int64_t first = 0; first < l->n;) {
        int64_t ready = fr_reader_window(l->reader, l->p, first);
        for (; first < ready; first = j.end) {
            j.first = first;
            j.end = fr_adder_wave(l->adder, first, ready);
            do_wave(&j, &total);
        }
    }
    if (kind & FR_PASS_INERTIA) out->inertia = total;
    if (kind & FR_PASS_SQUARES) l->squares = total;
    if (kind & FR_PASS_SQUARES) weigh(l);
    count_up(l, fr_now() - start, update, out);
    if (!add) return;
    start = fr_now();
    fr_adder_finish(l->adder, out->moved);
    l->stats.update_seconds += fr_now() - start;
}
