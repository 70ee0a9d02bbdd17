/* update_sorted.c: sums of points by label, the sorted way (update.h). The labels of a wave of rows are counted by
 * chunk, chunks at a time; a chunk then knows where its rows of each cluster go, and puts them there. */
#include "cluster/update_parts.h"

#include "kernel/kernel.h"

#include <string.h>

/* Rows of a wave that should still lie in the cache that all cores share. */
#define SORTED_BYTES ((int64_t)16 << 20)
#define SORTED_MOST  ((int64_t)1 << 20)
#define CHUNKS_MOST  64
#define RANGES_MOST  64

fr_status fr_sorted_new(fr_adder *a, int64_t memory) {
    int64_t rows = FR_MIN(SORTED_BYTES / (4 * a->width), FR_MIN(SORTED_MOST, memory / 16));
    /* A wave's counts should cost less than its rows. */
    rows = FR_MAX_OF(rows, FR_MIN(2 * a->k, SORTED_MOST));
    a->wave = fr_whole_blocks(FR_MAX_OF(1, FR_MIN(rows, a->p->rows)));
    a->chunk = fr_whole_blocks(FR_MAX_OF(FR_MAX_OF(2048, a->k), a->wave / CHUNKS_MOST));
    size_t chunks = (size_t)((a->wave + a->chunk - 1) / a->chunk);
    a->order = fr_alloc_array(FR_MEM_OTHER, (size_t)a->wave, sizeof *a->order);
    a->count = fr_alloc_array(FR_MEM_OTHER, chunks * (size_t)a->k, sizeof *a->count);
    a->offset = fr_alloc_array(FR_MEM_OTHER, (size_t)a->k + 1, sizeof *a->offset);
    return a->order && a->count && a->offset ? FR_OK : FR_NOMEM;
}

static void count_chunk(void *arg, size_t i) {
    fr_adder *a = arg;
    int64_t from = (int64_t)i * a->chunk, end = FR_MIN(from + a->chunk, a->rows);
    int64_t *count = a->count + (int64_t)i * a->k;
    memset(count, 0, (size_t)a->k * sizeof *count);
    for (int64_t r = from; r < end; r++) count[a->label[r]]++;
}

static void place_chunk(void *arg, size_t i) {
    fr_adder *a = arg;
    int64_t from = (int64_t)i * a->chunk, end = FR_MIN(from + a->chunk, a->rows);
    int64_t *at = a->count + (int64_t)i * a->k;
    for (int64_t r = from; r < end; r++) a->order[at[a->label[r]]++] = (int32_t)r;
}

/* Counts become the places where each chunk's rows of a cluster begin. */
static void place_counts(fr_adder *a, int64_t chunks) {
    int64_t at = 0;
    for (int64_t j = 0; j < a->k; j++) {
        a->offset[j] = at;
        for (int64_t c = 0; c < chunks; c++) {
            int64_t n = a->count[c * a->k + j];
            a->count[c * a->k + j] = at;
            at += n;
        }
    }
    a->offset[a->k] = at;
}

static void add_cluster(fr_adder *a, int64_t j, const float *dense, float *row) {
    const int32_t *order = a->order + a->offset[j];
    int64_t n = a->offset[j + 1] - a->offset[j], width = a->width;
    const float *w = a->p->weights ? a->p->weights + a->first : NULL;
    double *sum = a->to->sum + j * width;
    const fr_cluster_kernels *k = &fr_kernel()->cluster;
    const int32_t zero = 0;
    if (dense) {
        size_t more = (size_t)(a->rows - a->offset[j + 1]);
        k->add_listed(dense, order, NULL, w, (size_t)n, more, (size_t)width, sum);
    }
    for (int64_t i = 0; i < n; i++) {
        const double weight = w ? (double)w[order[i]] : 1;
        if (!dense) {
            fr_points_row(a->p, a->first + order[i], row);
            k->add_listed(row, &zero, NULL, w ? w + order[i] : NULL, 1, 0, (size_t)width, sum);
        }
        a->to->weight[j] += weight;
        if (!a->squared) continue;
        const float *x = dense ? dense + order[i] * width : row;
        a->squares[j] += weight * k->square(x, (size_t)width);
    }
    a->to->size[j] += n;
}

/* Ranges of clusters with about as many rows each. */
static int64_t range_begin(const fr_adder *a, int64_t range, int64_t ranges) {
    int64_t rows = a->rows / ranges * range, low = 0, high = a->k;
    if (range == ranges) return a->k;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (a->offset[middle] < rows)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add_range(void *arg, size_t thread, size_t i) {
    fr_adder *a = arg;
    int64_t end = range_begin(a, (int64_t)i + 1, RANGES_MOST);
    const float *dense = NULL;
    if (!fr_points_scratch(a->p, 1)) dense = fr_points_rows(a->p, a->first, a->rows, NULL);
    for (int64_t j = range_begin(a, (int64_t)i, RANGES_MOST); j < end; j++)
        add_cluster(a, j, dense, a->row + (int64_t)thread * a->width);
}

void fr_sorted_add(fr_adder *a, int64_t end, const int32_t *label, fr_pool *pool) {
    a->rows = end - a->first;
    a->label = label;
    int64_t chunks = (a->rows + a->chunk - 1) / a->chunk;
    fr_pool_run(pool, (size_t)chunks, count_chunk, a);
    place_counts(a, chunks);
    fr_pool_run(pool, (size_t)chunks, place_chunk, a);
    fr_pool_run_thread(pool, RANGES_MOST, add_range, a);
}
