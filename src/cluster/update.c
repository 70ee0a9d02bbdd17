/* update.c: sums of points by label, by which of the ways of update.h, and means of them. */
#include "cluster/update_parts.h"

#include <math.h>
#include <string.h>

/* Of the centroids that a thread takes at once. */
#define MEAN_VALUES 8192
/* Where no more than one point in so many moved, those alone are added up: each costs a copy and two additions. */
#define MOVED_SHARE 16
/* Where it is one in so many, there may soon be so few: sums are made such that moves can go on from them. */
#define SOON_SHARE 8

fr_status fr_sums_new(int64_t k, int64_t width, fr_sums *out) {
    *out = (fr_sums){.k = k, .width = width};
    out->sum = fr_alloc_array(FR_MEM_OTHER, (size_t)k, (size_t)width * sizeof *out->sum);
    out->weight = fr_alloc_array(FR_MEM_OTHER, (size_t)k, sizeof *out->weight);
    out->size = fr_alloc_array(FR_MEM_OTHER, (size_t)k, sizeof *out->size);
    if (out->sum && out->weight && out->size) {
        fr_sums_clear(out);
        return FR_OK;
    }
    fr_sums_free(out);
    return FR_NOMEM;
}

void fr_sums_free(fr_sums *s) {
    fr_free(s->sum);
    fr_free(s->weight);
    fr_free(s->size);
    *s = (fr_sums){0};
}

void fr_sums_clear(fr_sums *s) {
    memset(s->sum, 0, (size_t)(s->k * s->width) * sizeof *s->sum);
    memset(s->weight, 0, (size_t)s->k * sizeof *s->weight);
    memset(s->size, 0, (size_t)s->k * sizeof *s->size);
}

/* ---- the adder ---- */

fr_status fr_adder_new(const fr_points *p, int64_t k, int64_t memory, int threads, fr_adder **out) {
    *out = NULL;
    fr_adder *a = fr_alloc(FR_MEM_OTHER, sizeof *a);
    if (!a) return FR_NOMEM;
    *a = (fr_adder){.p = p, .k = k, .width = p->width, .threads = threads};
    a->all = a->next = fr_striped_fits(p, k) ? FR_ADD_STRIPED : FR_ADD_SORTED;
    fr_status st = a->all == FR_ADD_STRIPED ? fr_striped_new(a, memory) : fr_sorted_new(a, memory);
    if (!st) st = fr_moved_new(a, memory);
    if (st) {
        fr_adder_free(a);
        return st;
    }
    *out = a;
    return FR_OK;
}

void fr_adder_free(fr_adder *a) {
    if (!a) return;
    void *all[] = {a->sum,     a->weight, a->size,        a->full,  a->flushed, a->order,
                   a->count,   a->offset, a->row,         a->moves, a->noted,   a->owner,
                   a->squares, a->copy,   a->copy_weight, a->base,  a->square};
    for (size_t i = 0; i < FR_COUNT(all); i++) fr_free(all[i]);
    fr_free(a);
}

int64_t fr_adder_wave_rows(const fr_adder *a) {
    return FR_MAX_OF(FR_MAX_OF(a->wave, a->moved_wave), a->stripes * a->item);
}

void fr_adder_begin(fr_adder *a, fr_sums *s) {
    if (!s) fr_adder_forget(a);
    a->to = s;
    a->way = s ? a->next : FR_ADD_NOTHING;
    a->wave_first = 0;
    if (!s || a->way == FR_ADD_MOVED) return;
    fr_sums_clear(s);
    memset(a->squares, 0, (size_t)a->k * sizeof *a->squares);
}

fr_adding fr_adder_way(const fr_adder *a) {
    return a->way;
}

int64_t fr_adder_item(const fr_adder *a) {
    return a->way == FR_ADD_STRIPED ? a->item : FR_POINTS_BLOCK;
}

static int64_t wave_end(const fr_adder *a) {
    if (a->way == FR_ADD_STRIPED) return a->wave_first + a->stripes * a->item;
    return a->first + (a->way == FR_ADD_SORTED ? a->wave : a->moved_wave);
}

int64_t fr_adder_wave(fr_adder *a, int64_t first, int64_t end) {
    a->first = first;
    return FR_MIN(end, wave_end(a));
}

void fr_adder_end(fr_adder *a, int64_t first, int64_t end, const int32_t *label, fr_pool *pool) {
    if (a->way == FR_ADD_MOVED)
        fr_moved_add(a, end, label + first, pool);
    else if (a->way == FR_ADD_SORTED)
        fr_sorted_add(a, end, label + first, pool);
    else if (end == a->p->rows || end == wave_end(a))
        fr_striped_merge(a, end, pool);
}

/* ---- the next pass ---- */

void fr_adder_finish(fr_adder *a, int64_t moved) {
    const int64_t n = a->p->rows;
    bool good = a->squared;
    if (a->way == FR_ADD_MOVED)
        good = fr_moved_trusted(a);
    else if (good)
        fr_moved_base(a);
    a->next = good && moved <= n / MOVED_SHARE ? FR_ADD_MOVED : a->all;
    a->squared = a->next == FR_ADD_MOVED || moved <= n / SOON_SHARE;
}

void fr_adder_forget(fr_adder *a) {
    a->next = a->all;
}

/* ---- all at once ---- */

typedef struct sum_job {
    fr_adder *a;
    const fr_points *p;
    const int32_t *label;
    int64_t first, end;
    float *scratch;
    size_t scratch_each;
} sum_job;

static void sum_item(void *arg, size_t thread, size_t i) {
    sum_job *j = arg;
    int64_t item = fr_adder_item(j->a), start = (j->first / item + (int64_t)i) * item;
    int64_t from = FR_MAX_OF(start, j->first), end = FR_MIN(start + item, j->end);
    for (int64_t n; from < end; from += n) {
        n = FR_MIN(FR_POINTS_BLOCK, end - from);
        const float *rows = fr_points_rows(j->p, from, n, j->scratch + thread * j->scratch_each);
        fr_adder_block(j->a, from, n, rows, j->label + from);
    }
}

static void sum_waves(sum_job *j, fr_reader *reader, fr_pool *pool, fr_sums *s) {
    fr_adder *a = j->a;
    fr_adder_begin(a, s);
    for (int64_t first = 0; first < j->p->rows;) {
        int64_t ready = fr_reader_window(reader, j->p, first);
        for (; first < ready; first = j->end) {
            j->first = first;
            j->end = fr_adder_wave(a, first, ready);
            int64_t item = fr_adder_item(a), items = (j->end - 1) / item - first / item + 1;
            if (a->way == FR_ADD_STRIPED) fr_pool_run_thread(pool, (size_t)items, sum_item, j);
            fr_adder_end(a, first, j->end, j->label, pool);
        }
    }
}

fr_status fr_update_sums(const fr_points *p, const int32_t *label, int64_t memory,
                         fr_reader *reader, fr_pool *pool, fr_sums *s) {
    int threads = fr_pool_threads(pool);
    sum_job j = {.p = p, .label = label, .scratch_each = fr_points_scratch(p, FR_POINTS_BLOCK)};
    j.scratch = fr_alloc_array(FR_MEM_OTHER, (size_t)threads * j.scratch_each, sizeof *j.scratch);
    fr_status st = j.scratch ? fr_adder_new(p, s->k, memory, threads, &j.a) : FR_NOMEM;
    if (!st) sum_waves(&j, reader, pool, s);
    fr_adder_free(j.a);
    fr_free(j.scratch);
    return st;
}

/* ---- means ---- */

static void cosine_mean(const double *sum, int64_t width, float *centroid) {
    double square = 0;
    for (int64_t d = 0; d < width; d++) square += sum[d] * sum[d];
    double by = 1 / sqrt(square);
    if (!(square > 0) || !isfinite(by)) return;
    for (int64_t d = 0; d < width; d++) centroid[d] = (float)(sum[d] * by);
}

typedef struct mean_job {
    const fr_sums *s;
    fr_metric metric;
    float *centroids;
} mean_job;

static void mean_range(void *arg, size_t start, size_t end) {
    const mean_job *m = arg;
    const fr_sums *s = m->s;
    for (int64_t j = (int64_t)start; j < (int64_t)end; j++) {
        const double *sum = s->sum + j * s->width;
        float *c = m->centroids + j * s->width;
        if (!(s->weight[j] > 0)) continue;
        if (m->metric == FR_COSINE) {
            cosine_mean(sum, s->width, c);
            continue;
        }
        /* By the reciprocal, in half the time: what it rounds is far below what a float rounds. */
        double by = 1 / s->weight[j];
        for (int64_t d = 0; d < s->width; d++) c[d] = (float)(sum[d] * by);
    }
}

void fr_update_means(const fr_sums *s, fr_metric metric, float *centroids, fr_pool *pool) {
    mean_job m = {s, metric, centroids};
    fr_pool_range(pool, (size_t)s->k, (size_t)FR_MAX_OF(1, MEAN_VALUES / s->width), mean_range, &m);
}
