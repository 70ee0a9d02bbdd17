/* empty.c: centroids that no point chose. */
#include "cluster/lloyd.h"

#include "kernel/kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- farthest: the points farthest from their centroids become centroids, and leave their clusters ---- */

typedef struct far_point {
    double distance;
    int64_t row;
} far_point;

/* Rows whose distances are taken at a time. */
enum { FAR_ROWS = 64 * FR_POINTS_BLOCK };

typedef struct far_job {
    fr_lloyd *l;
    int64_t first, end;
    double *distance;
} far_job;

/* Distances to the centroids that the labels chose. */
static void far_block(void *arg, size_t thread, size_t i) {
    far_job *j = arg;
    fr_lloyd *l = j->l;
    int64_t first = j->first + (int64_t)i * FR_POINTS_BLOCK;
    int64_t n = FR_MIN(FR_POINTS_BLOCK, j->end - first);
    const float *rows = fr_points_rows(l->p, first, n, l->workers[thread].rows);
    for (int64_t r = 0; r < n; r++) {
        const float *c = l->before + l->label[first + r] * l->width;
        double *d = &j->distance[first - j->first + r];
        *d = fr_kernel()->cluster.distance(rows + r * l->width, c, (size_t)l->width);
        if (l->p->weights && !(l->p->weights[first + r] > 0)) *d = -1;
    }
}

/* a comes after b: nearer, or as far and later. */
static bool after(far_point a, far_point b) {
    return a.distance < b.distance || (a.distance == b.distance && a.row > b.row);
}

static void sift_down(far_point *heap, int64_t n, int64_t i) {
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && after(heap[child + 1], heap[child])) child++;
        if (!after(heap[child], heap[i])) return;
        far_point t = heap[i];
        heap[i] = heap[child];
        heap[child] = t;
    }
}

/* A heap of the `most` farthest, the last of them on top. */
static void heap_push(far_point *heap, int64_t *n, int64_t most, far_point x) {
    if (*n == most) {
        if (!after(heap[0], x)) return;
        heap[0] = x;
        sift_down(heap, *n, 0);
        return;
    }
    heap[(*n)++] = x;
    if (*n == most)
        for (int64_t i = most / 2; i-- > 0;) sift_down(heap, most, i);
}

static int farthest_first(const void *a, const void *b) {
    return after(*(const far_point *)a, *(const far_point *)b) ? 1 : -1;
}

static int64_t find_far(far_job *j, far_point *heap, int64_t most) {
    fr_lloyd *l = j->l;
    int64_t found = 0;
    for (int64_t first = 0; first < l->n;) {
        int64_t ready = fr_reader_window(l->reader, l->p, first);
        for (; first < ready; first = j->end) {
            j->first = first;
            j->end = FR_MIN(first + FAR_ROWS, ready);
            int64_t blocks = (j->end - first + FR_POINTS_BLOCK - 1) / FR_POINTS_BLOCK;
            fr_pool_run_thread(l->pool, (size_t)blocks, far_block, j);
            for (int64_t r = first; r < j->end; r++)
                if (j->distance[r - first] > 0)
                    heap_push(heap, &found, most, (far_point){j->distance[r - first], r});
        }
    }
    qsort(heap, (size_t)found, sizeof *heap, farthest_first);
    return found;
}

/* Point `row` leaves its cluster and is one of its own. */
static void move_point(fr_lloyd *l, int64_t row, int64_t to, float *x) {
    fr_sums *s = &l->sums;
    int64_t from = l->label[row], width = l->width;
    double w = l->p->weights ? (double)l->p->weights[row] : 1;
    fr_points_row(l->p, row, x);
    for (int64_t d = 0; d < width; d++) {
        s->sum[from * width + d] -= w * (double)x[d];
        s->sum[to * width + d] = w * (double)x[d];
    }
    s->weight[from] -= w;
    s->size[from]--;
    s->weight[to] = w;
    s->size[to] = 1;
}

static fr_status fill_farthest(fr_lloyd *l, int64_t empties) {
    /* Some of the farthest may be the last of their clusters; there are fewer of those than clusters. */
    int64_t most = FR_MIN(l->n, l->k), done = 0, used = 0;
    far_job j = {.l = l};
    j.distance = fr_alloc_array(FR_MEM_OTHER, FAR_ROWS, sizeof *j.distance);
    far_point *heap = fr_alloc_array(FR_MEM_OTHER, (size_t)most, sizeof *heap);
    float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)l->width, sizeof *x);
    fr_status st = j.distance && heap && x ? FR_OK : FR_NOMEM;
    int64_t found = st ? 0 : find_far(&j, heap, most);
    for (int64_t c = 0; c < l->k && done < empties && used < found; c++) {
        if (l->sums.weight[c] > 0) continue;
        while (used < found && l->sums.size[l->label[heap[used].row]] < 2) used++;
        if (used == found) break;
        move_point(l, heap[used++].row, c, x);
        done++;
    }
    fr_free(j.distance);
    fr_free(heap);
    fr_free(x);
    if (!st && done) fr_update_means(&l->sums, l->o->metric, l->centroid, l->pool);
    return st;
}

/* ---- split: half of a cluster that was drawn by its size ---- */

static int64_t draw_donor(fr_lloyd *l, fr_rng *rng) {
    int64_t all = 0;
    for (int64_t j = 0; j < l->k; j++) all += FR_MAX_OF(l->sums.size[j] - 1, 0);
    if (!all) return -1;
    int64_t at = (int64_t)(fr_rng_u64(rng) % (uint64_t)all);
    for (int64_t j = 0; j < l->k; j++) {
        at -= FR_MAX_OF(l->sums.size[j] - 1, 0);
        if (at < 0) return j;
    }
    return -1;
}

static void fill_split(fr_lloyd *l) {
    const float more = 1 + 1 / 1024.0f, less = 1 - 1 / 1024.0f;
    fr_rng rng = fr_rng_new(l->o->seed, fr_random_stream("kmeans split"));
    /* A place of its own in the stream for every update of every problem and attempt. */
    rng.index =
        (((uint64_t)l->problem << 12 ^ (uint64_t)l->attempt) << 20 ^ (uint64_t)l->stats.iterations)
        << 8;
    for (int64_t j = 0; j < l->k; j++) {
        if (l->sums.weight[j] > 0) continue;
        int64_t from = draw_donor(l, &rng);
        if (from < 0) return;
        float *a = l->centroid + j * l->width, *b = l->centroid + from * l->width;
        for (int64_t d = 0; d < l->width; d++) {
            a[d] = b[d] * (d % 2 ? less : more);
            b[d] *= d % 2 ? more : less;
        }
        if (l->o->metric == FR_COSINE) {
            fr_unit_rows(a, 1, l->width);
            fr_unit_rows(b, 1, l->width);
        }
        l->sums.size[j] = l->sums.size[from] / 2;
        l->sums.size[from] -= l->sums.size[j];
        l->sums.weight[j] = l->sums.weight[from] /= 2;
    }
}

fr_status fr_empty_fill(fr_lloyd *l) {
    int64_t empties = 0, which = -1;
    for (int64_t j = l->k; j-- > 0;)
        if (!(l->sums.weight[j] > 0)) empties++, which = j;
    if (!empties) return FR_OK;
    l->stats.empty += empties;
    /* Sums will be those of points that moved without their labels. */
    if (l->o->empty != FR_EMPTY_KEEP) fr_adder_forget(l->adder);
    switch (l->o->empty) {
    case FR_EMPTY_FARTHEST: return fill_farthest(l, empties);
    case FR_EMPTY_SPLIT: fill_split(l); return FR_OK;
    case FR_EMPTY_REFUSE:
        return fr_fail(FR_INVALID,
                       "after iteration %lld no point is nearest to centroid %lld, and empty "
                       "clusters are refused",
                       (long long)l->stats.iterations, (long long)which);
    default: return FR_OK;
    }
}
