/* start_parallel.c: k-means|| (Bahmani et al. 2012): in each of a few rounds 2k points are drawn at once, with a chance
 * that is their weight times their squared distance to the nearest of those drawn so far. Of all of them, each
 * weighing as much as the points that are nearest to it, k-means++ takes k, and some iterations of Lloyd make them
 * better: all that costs little, for they are few.
 *
 * Of a point only the nearest of those drawn is kept; the distance is computed again from it. Labels are found by the
 * assignment of k-means itself, against the new ones of each round. */
#include "cluster/start_parts.h"

#include <string.h>

#include "cluster/lloyd.h"
#include "kernel/kernel.h"

enum { ROUNDS = 5, AT_ONCE = 2, POLISH = 5 };

typedef struct drawn {
    const fr_points *p;
    const fr_kmeans_opts *o;
    int64_t width;
    float *row;         /* [cap, width]: the points drawn */
    int64_t count, old; /* how many; those before `old` were compared already */
    fr_centroids *c;    /* the new ones */
    int32_t *label;     /* [rows]: the nearest of all */
    double *upto;       /* [grains] */
    float *scratch;     /* [threads, each] */
    size_t rows_each, assign_each, each;
    int64_t first;
    fr_pool *pool;
} drawn;

static float *scratch_of(const drawn *s, size_t thread) {
    return s->scratch + thread * s->each;
}

static float square_between(const float *a, const float *b, int64_t width, float *scratch) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    k->binary(FR_SUB, a, b, (size_t)width, scratch);
    return k->sum_squares(scratch, (size_t)width);
}

/* ---- distances, and nearer ones ---- */

static void distances(void *arg, size_t thread, int64_t first, int64_t count, float *out) {
    const drawn *s = arg;
    float *scratch = scratch_of(s, thread), *one = scratch + s->rows_each;
    const float *x = fr_points_rows(s->p, first, count, scratch);
    for (int64_t r = 0; r < count; r++)
        out[r] = square_between(x + r * s->width, s->row + s->label[first + r] * s->width, s->width,
                                one);
}

static void compare_block(void *arg, size_t thread, size_t i) {
    drawn *s = arg;
    int64_t first = s->first + (int64_t)i * FR_POINTS_BLOCK;
    int64_t n = FR_MIN(FR_POINTS_BLOCK, s->p->rows - first);
    float *scratch = scratch_of(s, thread), *one = scratch + s->rows_each;
    const float *x = fr_points_rows(s->p, first, n, scratch);
    int32_t nearest[FR_POINTS_BLOCK];
    fr_assigned found = {.label = nearest};
    fr_assign_rows(s->c, n, x, one + fr_round_up((size_t)s->width, 16), &found);
    for (int64_t r = 0; r < n; r++) {
        double *upto = &s->upto[(first + r) / FR_GRAIN];
        const float *row = x + r * s->width;
        int32_t *label = &s->label[first + r];
        float before = square_between(row, s->row + *label * s->width, s->width, one);
        float now = square_between(row, s->row + (s->old + nearest[r]) * s->width, s->width, one);
        if (now < before) *label = (int32_t)(s->old + nearest[r]);
        if (r % FR_GRAIN == 0) *upto = 0;
        *upto += (double)fr_weight(s->p, first + r) * (double)FR_MIN(now, before);
    }
}

/* Compares all points with those drawn last, and gives the sum of what is left. */
static fr_status compare(drawn *s, fr_reader *reader, double *left) {
    fr_metric metric = s->o->metric == FR_DOT ? FR_EUCLID : s->o->metric;
    FR_TRY(fr_centroids_new(s->count - s->old, s->width, metric, s->o->products, &s->c));
    fr_centroids_set(s->c, s->row + s->old * s->width, s->pool);
    s->assign_each = fr_round_up(fr_assign_scratch(s->c, s->p), 64) / sizeof(float);
    s->each = s->rows_each + fr_round_up((size_t)s->width, 16) + s->assign_each;
    s->scratch = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_pool_threads(s->pool),
                                s->each * sizeof *s->scratch);
    if (!s->scratch) return FR_NOMEM;
    for (int64_t first = 0, end; first < s->p->rows; first = end) {
        end = fr_reader_window(reader, s->p, first);
        s->first = first;
        fr_pool_run_thread(s->pool, (size_t)((end - first + FR_POINTS_BLOCK - 1) / FR_POINTS_BLOCK),
                           compare_block, s);
    }
    int64_t grains = fr_grains(s->p);
    for (int64_t g = 1; g < grains; g++) s->upto[g] += s->upto[g - 1];
    *left = s->upto[grains - 1];
    s->old = s->count;
    return FR_OK;
}

static void forget(drawn *s) {
    fr_centroids_free(s->c);
    fr_free(s->scratch);
    s->c = NULL;
    s->scratch = NULL;
}

/* ---- rounds ---- */

static void draw_round(drawn *s, fr_rng *rng, fr_reader *reader, int64_t many, double *at,
                       int64_t *row) {
    const fr_far far = {s->p, s->pool, s->upto, distances, s};
    fr_far_draw(&far, many, rng, at, row);
    fr_start_rows(s->p, many, row, reader, s->row + s->count * s->width);
    s->count += many;
}

static fr_status draw_all(drawn *s, fr_rng *rng, fr_reader *reader, double *at, int64_t *row) {
    double left;
    fr_points_row(s->p, fr_start_one(s->p, rng), s->row);
    s->count = 1;
    for (int round = 0; round <= ROUNDS; round++) {
        fr_status st = compare(s, reader, &left);
        if (st == FR_OK && left > 0 && round < ROUNDS)
            draw_round(s, rng, reader, AT_ONCE * s->o->k, at, row);
        forget(s);
        if (st != FR_OK) return st;
        if (s->count == s->old) break;
    }
    return FR_OK;
}

/* ---- k of them ---- */

static fr_status polish(const fr_points *few, const drawn *s, float *centroids) {
    fr_lloyd l;
    fr_kmeans_opts o = fr_kmeans_defaults(s->o->k);
    o.metric = few->unit ? FR_COSINE : FR_EUCLID;
    o.products = s->o->products;
    o.iterations = POLISH;
    o.empty = FR_EMPTY_KEEP;
    int32_t *label = fr_alloc_array(FR_MEM_OTHER, (size_t)few->rows, sizeof *label);
    if (!label) return FR_NOMEM;
    fr_status st = fr_lloyd_init(&l, few, &o, o.memory, NULL, s->pool, centroids, label);
    if (st == FR_OK) {
        st = fr_lloyd_run(&l);
        fr_lloyd_free(&l);
    }
    fr_free(label);
    return st;
}

static fr_status choose(const drawn *s, fr_rng *rng, fr_reader *reader, float *weight,
                        float *centroids) {
    fr_points few;
    fr_tensor t = fr_tensor_make(FR_F32, 2, (int64_t[]){s->count, s->width}, s->row);
    int64_t heavy = 0;
    for (int64_t i = 0; i < s->p->rows; i++) weight[s->label[i]] += fr_weight(s->p, i);
    for (int64_t i = 0; i < s->count; i++) heavy += weight[i] > 0;
    /* Points that coincide leave too few: those that differ must all be found, and then some that do not. */
    if (heavy < s->o->k) return fr_start_plusplus(s->p, s->o->k, rng, reader, s->pool, centroids);
    FR_TRY(fr_points_of(&t, 0, s->p->unit, &few));
    few.weights = weight;
    FR_TRY(fr_points_check(&few, NULL, s->pool));
    FR_TRY(fr_start_plusplus(&few, s->o->k, rng, NULL, s->pool, centroids));
    return polish(&few, s, centroids);
}

fr_status fr_start_parallel(const fr_points *p, const fr_kmeans_opts *o, fr_rng *rng,
                            fr_reader *reader, fr_pool *pool, float *centroids) {
    int64_t many = 1 + ROUNDS * AT_ONCE * o->k;
    if (p->rows <= many) return fr_start_plusplus(p, o->k, rng, reader, pool, centroids);
    drawn s = {.p = p, .o = o, .width = p->width, .pool = pool};
    size_t once = (size_t)(AT_ONCE * o->k);
    s.rows_each = fr_round_up(fr_points_scratch(p, FR_POINTS_BLOCK), 16);
    s.row = fr_alloc_array(FR_MEM_OTHER, (size_t)many, (size_t)p->width * sizeof *s.row);
    s.label = fr_alloc(FR_MEM_OTHER, (size_t)p->rows * sizeof *s.label);
    s.upto = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_grains(p), sizeof *s.upto);
    double *at = fr_alloc_array(FR_MEM_OTHER, once, sizeof *at);
    int64_t *row = fr_alloc_array(FR_MEM_OTHER, once, sizeof *row);
    float *weight = fr_alloc(FR_MEM_OTHER, (size_t)many * sizeof *weight);
    fr_status st = s.row && s.label && s.upto && at && row && weight ? FR_OK : FR_NOMEM;
    if (st == FR_OK) st = draw_all(&s, rng, reader, at, row);
    if (st == FR_OK) st = choose(&s, rng, reader, weight, centroids);
    fr_free(s.row);
    fr_free(s.label);
    fr_free(s.upto);
    fr_free(at);
    fr_free(row);
    fr_free(weight);
    return st;
}
