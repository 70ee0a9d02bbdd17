/* update.c: sums of points by label, striped or sorted (update.h). */
#include "cluster/update.h"

#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

/* Striped up to so many values in all sums: 512 KiB, half of a core's own cache. */
#define STRIPED_MOST ((int64_t)131072)
/* Floats add up at most FLUSH_ROWS + PIECE_ROWS rows before their sum goes to doubles. */
#define FLUSH_ROWS 64
#define PIECE_ROWS 128
/* Weights of which floats of sums of products lose nothing; others are left to the doubles of the sorted way. */
#define WEIGHT_LEAST 0x1p-24f
#define WEIGHT_MOST  0x1p24f
/* Below so many products of all points with all centroids nobody waits for a second thread. */
#define SMALL_PRODUCTS ((int64_t)1 << 26)
/* What a thread adds up of all stripes of a wave at once: it stays in the nearest cache. */
#define MERGE_VALUES  2048
#define STRIPES_LEAST 16
#define STRIPES_MANY  48
#define WAVE_STRIPES  1024
#define WAVE_BYTES    ((int64_t)16 << 20)
/* Sorted: rows of a wave that should still lie in the cache that all cores share. */
#define SORTED_BYTES ((int64_t)16 << 20)
#define SORTED_MOST  ((int64_t)1 << 20)
#define CHUNKS_MOST  64
#define RANGES_MOST  64

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

struct fr_adder {
    const fr_points *p;
    fr_sums *to;
    int64_t k, width, item, wave; /* rows of an item and of a wave */
    bool striped;
    /* Striped: the sums of each stripe of a wave in floats, and the first row of the wave's first stripe. Behind the
     * sums of its clusters a stripe has room for those that were full: flushed of them, sums of clusters full[]. */
    int64_t stripes, wave_first, room;
    float *sum;
    double *weight;
    int64_t *size, *flushed;
    int32_t *full;
    /* Sorted: labels of a wave by chunk, counted; rows in the order of their labels. */
    int64_t chunk;
    int32_t *order;
    int64_t *count, *offset;
    float *row;
    int threads;
    /* What a job reads. */
    int64_t first, rows;
    const int32_t *label;
};

/* ---- making ---- */

static int64_t round_rows(int64_t n) {
    return (n + FR_POINTS_BLOCK - 1) / FR_POINTS_BLOCK * FR_POINTS_BLOCK;
}

/* Rows of a stripe: enough that adding up the stripes costs little beside adding their rows. */
static int64_t stripe_rows(int64_t n, int64_t k, int64_t width) {
    int64_t rows = round_rows(8 * k);
    if (k * width < 1024) rows = FR_MAX_OF(rows, 4 * FR_POINTS_BLOCK);
    while (n / rows > STRIPES_MANY && rows < 32 * k) rows *= 2;
    return rows;
}

static bool tame_weights(const fr_points *p) {
    bool tame = true;
    for (int64_t i = 0; p->weights && i < p->rows; i++) {
        float w = p->weights[i];
        tame &= (w == 0) | ((w >= WEIGHT_LEAST) & (w <= WEIGHT_MOST));
    }
    return tame;
}

static bool choose_striped(const fr_points *p, int64_t k) {
    int64_t n = p->rows, width = p->width;
    if (k > STRIPED_MOST || k * width > STRIPED_MOST || !tame_weights(p)) return false;
    if (n / stripe_rows(n, k, width) >= STRIPES_LEAST) return true;
    return (double)n * (double)k * (double)width <= (double)SMALL_PRODUCTS;
}

static fr_status new_striped(fr_adder *a, int64_t memory) {
    a->room = a->item / FLUSH_ROWS;
    int64_t rows = a->k + a->room;
    int64_t each = rows * a->width * 4 + a->k * 16 + a->room * 4 + 8;
    int64_t all = (a->p->rows + a->item - 1) / a->item;
    int64_t most = FR_MIN(FR_MIN(WAVE_BYTES, memory / 4) / each, WAVE_STRIPES);
    int64_t waves = (all - 1) / FR_MAX_OF(1, most) + 1; /* of about the same size */
    a->stripes = FR_MAX_OF(1, FR_MIN(most, (all + waves - 1) / waves));
    a->wave = a->stripes * a->item;
    size_t clusters = (size_t)(a->stripes * a->k);
    a->sum = fr_alloc_array(FR_MEM_OTHER, (size_t)(a->stripes * rows),
                            (size_t)a->width * sizeof *a->sum);
    a->full = fr_alloc_array(FR_MEM_OTHER, (size_t)a->stripes, (size_t)a->room * sizeof *a->full);
    a->flushed = fr_alloc_array(FR_MEM_OTHER, (size_t)a->stripes, sizeof *a->flushed);
    a->weight = fr_alloc_array(FR_MEM_OTHER, clusters, sizeof *a->weight);
    a->size = fr_alloc_array(FR_MEM_OTHER, clusters, sizeof *a->size);
    return a->sum && a->full && a->flushed && a->weight && a->size ? FR_OK : FR_NOMEM;
}

static fr_status new_sorted(fr_adder *a, int64_t memory) {
    int64_t rows = FR_MIN(SORTED_BYTES / (4 * a->width), FR_MIN(SORTED_MOST, memory / 16));
    /* A wave's counts should cost less than its rows. */
    rows = FR_MAX_OF(rows, FR_MIN(2 * a->k, SORTED_MOST));
    a->wave = round_rows(FR_MAX_OF(1, FR_MIN(rows, a->p->rows)));
    a->chunk = round_rows(FR_MAX_OF(FR_MAX_OF(2048, a->k), a->wave / CHUNKS_MOST));
    size_t chunks = (size_t)((a->wave + a->chunk - 1) / a->chunk);
    a->order = fr_alloc_array(FR_MEM_OTHER, (size_t)a->wave, sizeof *a->order);
    a->count = fr_alloc_array(FR_MEM_OTHER, chunks * (size_t)a->k, sizeof *a->count);
    a->offset = fr_alloc_array(FR_MEM_OTHER, (size_t)a->k + 1, sizeof *a->offset);
    a->row = fr_alloc_array(FR_MEM_OTHER, (size_t)a->threads, (size_t)a->width * sizeof *a->row);
    return a->order && a->count && a->offset && a->row ? FR_OK : FR_NOMEM;
}

fr_status fr_adder_new(const fr_points *p, int64_t k, int64_t memory, int threads, fr_adder **out) {
    *out = NULL;
    fr_adder *a = fr_alloc(FR_MEM_OTHER, sizeof *a);
    if (!a) return FR_NOMEM;
    *a = (fr_adder){.p = p, .k = k, .width = p->width, .threads = threads};
    a->striped = choose_striped(p, k);
    a->item = a->striped ? stripe_rows(p->rows, k, p->width) : FR_POINTS_BLOCK;
    fr_status st = a->striped ? new_striped(a, memory) : new_sorted(a, memory);
    if (st) {
        fr_adder_free(a);
        return st;
    }
    *out = a;
    return FR_OK;
}

void fr_adder_free(fr_adder *a) {
    if (!a) return;
    void *all[] = {a->sum,   a->weight, a->size,   a->full, a->flushed,
                   a->order, a->count,  a->offset, a->row};
    for (size_t i = 0; i < FR_COUNT(all); i++) fr_free(all[i]);
    fr_free(a);
}

bool fr_adder_striped(const fr_adder *a) {
    return a->striped;
}
int64_t fr_adder_item(const fr_adder *a) {
    return a->item;
}
int64_t fr_adder_wave_rows(const fr_adder *a) {
    return a->wave;
}

void fr_adder_begin(fr_adder *a, fr_sums *s) {
    a->to = s;
    a->wave_first = 0;
    if (s) fr_sums_clear(s);
}

int64_t fr_adder_wave(const fr_adder *a, int64_t first, int64_t end) {
    return FR_MIN(end, (a->striped ? a->wave_first : first) + a->wave);
}

/* ---- striped ---- */

static float *stripe_sums(const fr_adder *a, int64_t stripe) {
    return a->sum + stripe * (a->k + a->room) * a->width;
}

/* The sum of a cluster of a stripe is set aside and begins anew. */
static void flush_sum(fr_adder *a, int64_t stripe, int32_t cluster) {
    float *sums = stripe_sums(a, stripe), *sum = sums + cluster * a->width;
    size_t bytes = (size_t)a->width * sizeof *sum;
    int64_t at = a->flushed[stripe]++;
    a->full[stripe * a->room + at] = cluster;
    memcpy(sums + (a->k + at) * a->width, sum, bytes);
    memset(sum, 0, bytes);
}

void fr_adder_block(fr_adder *a, int64_t first, int64_t count, const float *rows,
                    const int32_t *label) {
    int64_t stripe = (first - a->wave_first) / a->item, k = a->k;
    float *sum = stripe_sums(a, stripe);
    double *weight = a->weight + stripe * k;
    int64_t *size = a->size + stripe * k;
    const float *w = a->p->weights ? a->p->weights + first : NULL;
    if (first % a->item == 0) {
        memset(sum, 0, (size_t)(k * a->width) * sizeof *sum);
        memset(weight, 0, (size_t)k * sizeof *weight);
        memset(size, 0, (size_t)k * sizeof *size);
        a->flushed[stripe] = 0;
    }
    for (int64_t at = 0, n; at < count; at += n) {
        n = FR_MIN(PIECE_ROWS, count - at);
        fr_kernel()->cluster.add(rows + at * a->width, label + at, w ? w + at : NULL, (size_t)n,
                                 (size_t)a->width, sum);
        for (int64_t i = at; i < at + n; i++)
            if (++size[label[i]] % FLUSH_ROWS == 0) flush_sum(a, stripe, label[i]);
    }
    for (int64_t i = 0; w && i < count; i++) weight[label[i]] += (double)w[i];
}

static void add_floats(const float *from, int64_t n, double *to) {
    fr_kernel()->cluster.add_listed(from, &(int32_t){0}, NULL, 1, (size_t)n, to);
}

static void merge_range(void *arg, size_t start, size_t end) {
    fr_adder *a = arg;
    int64_t used = (a->rows + a->item - 1) / a->item, width = a->width, first = (int64_t)start,
            last = (int64_t)end;
    for (int64_t s = 0; s < used; s++) {
        const float *from = stripe_sums(a, s);
        const int32_t *full = a->full + s * a->room;
        add_floats(from + first * width, (last - first) * width, a->to->sum + first * width);
        for (int64_t i = 0; i < a->flushed[s]; i++)
            if (full[i] >= first && full[i] < last)
                add_floats(from + (a->k + i) * width, width, a->to->sum + full[i] * width);
        for (int64_t j = first; j < last; j++) {
            int64_t size = a->size[s * a->k + j];
            a->to->size[j] += size;
            a->to->weight[j] += a->p->weights ? a->weight[s * a->k + j] : (double)size;
        }
    }
}

/* Whoever has some clusters adds the stripes up for them, in the order of the stripes. */
static void merge_stripes(fr_adder *a, int64_t end, fr_pool *pool) {
    a->rows = end - a->wave_first;
    int64_t clusters = FR_MAX_OF(1, MERGE_VALUES / a->width);
    fr_pool_range(pool, (size_t)a->k, (size_t)clusters, merge_range, a);
    a->wave_first = end;
}

/* ---- sorted ---- */

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
        k->add_listed(dense, order, w, (size_t)n, (size_t)width, sum);
    } else {
        for (int64_t i = 0; i < n; i++) {
            fr_points_row(a->p, a->first + order[i], row);
            k->add_listed(row, &zero, w ? w + order[i] : NULL, 1, (size_t)width, sum);
        }
    }
    a->to->size[j] += n;
    if (!w) a->to->weight[j] += (double)n;
    for (int64_t i = 0; w && i < n; i++) a->to->weight[j] += (double)w[order[i]];
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

static void add_sorted(fr_adder *a, int64_t first, int64_t end, const int32_t *label,
                       fr_pool *pool) {
    a->first = first;
    a->rows = end - first;
    a->label = label + first;
    int64_t chunks = (a->rows + a->chunk - 1) / a->chunk;
    fr_pool_run(pool, (size_t)chunks, count_chunk, a);
    place_counts(a, chunks);
    fr_pool_run(pool, (size_t)chunks, place_chunk, a);
    fr_pool_run_thread(pool, RANGES_MOST, add_range, a);
}

void fr_adder_end(fr_adder *a, int64_t first, int64_t end, const int32_t *label, fr_pool *pool) {
    if (!a->striped)
        add_sorted(a, first, end, label, pool);
    else if (end == a->p->rows || end == a->wave_first + a->wave)
        merge_stripes(a, end, pool);
}

void fr_adder_skip(fr_adder *a, int64_t end) {
    if (end == a->wave_first + a->wave) a->wave_first = end;
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
    int64_t item = j->a->item, start = (j->first / item + (int64_t)i) * item;
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
            int64_t items = (j->end - 1) / a->item - first / a->item + 1;
            if (a->striped) fr_pool_run_thread(pool, (size_t)items, sum_item, j);
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

void fr_update_means(const fr_sums *s, fr_metric metric, float *centroids) {
    for (int64_t j = 0; j < s->k; j++) {
        const double *sum = s->sum + j * s->width;
        float *c = centroids + j * s->width;
        if (!(s->weight[j] > 0)) continue;
        if (metric == FR_COSINE) {
            cosine_mean(sum, s->width, c);
            continue;
        }
        for (int64_t d = 0; d < s->width; d++) c[d] = (float)(sum[d] / s->weight[j]);
    }
}
