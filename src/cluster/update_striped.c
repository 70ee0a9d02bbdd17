/* update_striped.c: sums of points by label, the striped way (update.h). */
#include "cluster/update_parts.h"

#include "kernel/kernel.h"

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
/* What a thread adds up of all stripes of a wave at once: doubles that stay in its own cache, while of each stripe so
 * much lies side by side that it streams from memory. */
#define MERGE_VALUES  8192
#define STRIPES_LEAST 16
#define STRIPES_MANY  48
#define WAVE_STRIPES  1024
/* Of a wave's sums, for each thread: the next wave finds them in the cache that all cores share. */
#define WAVE_BYTES ((int64_t)3 << 20)

/* Rows of a stripe: enough that adding up the stripes costs little beside adding their rows. */
static int64_t stripe_rows(int64_t n, int64_t k, int64_t width) {
    int64_t rows = fr_whole_blocks(8 * k);
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

bool fr_striped_fits(const fr_points *p, int64_t k) {
    int64_t n = p->rows, width = p->width;
    if (k > STRIPED_MOST || k * width > STRIPED_MOST || !tame_weights(p)) return false;
    if (n / stripe_rows(n, k, width) >= STRIPES_LEAST) return true;
    return (double)n * (double)k * (double)width <= (double)SMALL_PRODUCTS;
}

fr_status fr_striped_new(fr_adder *a, int64_t memory) {
    a->item = stripe_rows(a->p->rows, a->k, a->width);
    a->room = a->item / FLUSH_ROWS;
    int64_t rows = a->k + a->room;
    int64_t each = rows * a->width * 4 + a->k * 24 + a->room * 4 + 8;
    int64_t all = (a->p->rows + a->item - 1) / a->item;
    int64_t most = FR_MIN(FR_MIN(WAVE_BYTES * a->threads, memory / 4) / each, WAVE_STRIPES);
    int64_t waves = (all - 1) / FR_MAX_OF(1, most) + 1; /* of about the same size */
    a->stripes = FR_MAX_OF(1, FR_MIN(most, (all + waves - 1) / waves));
    size_t clusters = (size_t)(a->stripes * a->k);
    a->sum = fr_alloc_array(FR_MEM_OTHER, (size_t)(a->stripes * rows),
                            (size_t)a->width * sizeof *a->sum);
    a->full = fr_alloc_array(FR_MEM_OTHER, (size_t)a->stripes, (size_t)a->room * sizeof *a->full);
    a->flushed = fr_alloc_array(FR_MEM_OTHER, (size_t)a->stripes, sizeof *a->flushed);
    a->weight = fr_alloc_array(FR_MEM_OTHER, clusters, sizeof *a->weight);
    a->square = fr_alloc_array(FR_MEM_OTHER, clusters, sizeof *a->square);
    a->size = fr_alloc_array(FR_MEM_OTHER, clusters, sizeof *a->size);
    return a->square && a->sum && a->full && a->flushed && a->weight && a->size ? FR_OK : FR_NOMEM;
}

/* ---- adding ---- */

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
    double *weight = a->weight + stripe * k, *square = a->square + stripe * k;
    int64_t *size = a->size + stripe * k;
    const float *w = a->p->weights ? a->p->weights + first : NULL;
    if (first % a->item == 0) {
        memset(sum, 0, (size_t)(k * a->width) * sizeof *sum);
        memset(weight, 0, (size_t)k * sizeof *weight);
        memset(square, 0, (size_t)k * sizeof *square);
        memset(size, 0, (size_t)k * sizeof *size);
        a->flushed[stripe] = 0;
    }
    for (int64_t at = 0, n; at < count; at += n) {
        n = FR_MIN(PIECE_ROWS, count - at);
        fr_kernel()->cluster.add(rows + at * a->width, label + at, w ? w + at : NULL, (size_t)n,
                                 (size_t)(count - at - n), (size_t)a->width, sum);
        for (int64_t i = at; i < at + n; i++)
            if (++size[label[i]] % FLUSH_ROWS == 0) flush_sum(a, stripe, label[i]);
        for (int64_t i = at; a->squared && i < at + n; i++) {
            const double one = fr_kernel()->cluster.square(rows + i * a->width, (size_t)a->width);
            square[label[i]] += w ? (double)w[i] * one : one;
        }
    }
    for (int64_t i = 0; w && i < count; i++) weight[label[i]] += (double)w[i];
}

/* ---- merging ---- */

static void add_floats(const float *from, int64_t n, double *to) {
    fr_kernel()->cluster.add_listed(from, &(int32_t){0}, NULL, NULL, 1, 0, (size_t)n, to);
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
            if (a->squared) a->squares[j] += a->square[s * a->k + j];
            a->to->weight[j] += a->p->weights ? a->weight[s * a->k + j] : (double)size;
        }
    }
}

/* Whoever has some clusters adds the stripes up for them, in the order of the stripes. */
void fr_striped_merge(fr_adder *a, int64_t end, fr_pool *pool) {
    a->rows = end - a->wave_first;
    int64_t clusters = FR_MAX_OF(1, MERGE_VALUES / a->width);
    fr_pool_range(pool, (size_t)a->k, (size_t)clusters, merge_range, a);
    a->wave_first = end;
}
