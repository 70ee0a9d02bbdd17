/* predict.c: labels of points by centroids that are known. */
#include "cluster/assign.h"
#include "cluster/check.h"
#include "cluster/lloyd.h"
#include "kernel/kernel.h"

#include <string.h>

/* Blocks of a pool's item; a window is cut into these. */
enum { ITEM = FR_POINTS_BLOCK };

typedef struct predictor {
    const fr_points *p;
    fr_centroids *c;
    fr_metric metric;
    int64_t first, end;
    int32_t *label;
    float *distance, *rows; /* rows: scratch of all threads */
    char *scratch;
    size_t rows_each, scratch_each;
} predictor;

static float distance_of(const predictor *w, const float *x, const float *c) {
    size_t n = (size_t)w->p->width;
    if (w->metric != FR_DOT) {
        double d = fr_kernel()->cluster.distance(x, c, n);
        return (float)(w->metric == FR_COSINE ? d / 2 : d);
    }
    double dot = 0;
    for (size_t i = 0; i < n; i++) dot += (double)x[i] * (double)c[i];
    return (float)-dot;
}

static void label_item(void *arg, size_t thread, size_t i) {
    predictor *w = arg;
    int64_t first = w->first + (int64_t)i * ITEM, n = FR_MIN(ITEM, w->end - first);
    const float *rows = fr_points_rows(w->p, first, n, w->rows + thread * w->rows_each);
    fr_assigned found = {.label = w->label + first};
    fr_assign_rows(w->c, n, rows, w->scratch + thread * w->scratch_each, &found);
    for (int64_t r = 0; w->distance && r < n; r++)
        w->distance[first + r] = distance_of(
            w, rows + r * w->p->width, fr_centroids_rows(w->c) + w->label[first + r] * w->p->width);
}

static fr_status label_points(predictor *w, fr_reader *reader, fr_pool *pool) {
    size_t threads = (size_t)fr_pool_threads(pool);
    w->rows_each = fr_points_scratch(w->p, FR_POINTS_BLOCK);
    w->scratch_each = fr_round_up(fr_assign_scratch(w->c, w->p), FR_ALIGN);
    w->rows = fr_alloc_array(FR_MEM_OTHER, threads * w->rows_each, sizeof *w->rows);
    w->scratch = fr_alloc(FR_MEM_OTHER, threads * w->scratch_each);
    bool made = w->rows && w->scratch;
    if (made) fr_centroids_try(w->c, w->p, reader, w->scratch, pool);
    for (w->first = 0; made && w->first < w->p->rows; w->first = w->end) {
        w->end = fr_reader_window(reader, w->p, w->first);
        fr_pool_run_thread(pool, (size_t)((w->end - w->first + ITEM - 1) / ITEM), label_item, w);
    }
    fr_free(w->rows);
    fr_free(w->scratch);
    return made ? FR_OK : FR_NOMEM;
}

/* Centroids of one problem as dense floats, of length 1 for cosine. */
static fr_status read_centroids(const fr_tensor *t, int64_t problem, bool unit, fr_centroids *c,
                                fr_pool *pool) {
    fr_points p;
    fr_status st = fr_points_of(t, t->rank == 3 ? problem : 0, unit, &p);
    if (!st) st = fr_points_check(&p, NULL, NULL);
    if (st) return fr_fail_in(st, "centroids");
    float *rows = fr_alloc_array(FR_MEM_OTHER, (size_t)p.rows, (size_t)p.width * sizeof *rows);
    if (!rows) return FR_NOMEM;
    for (int64_t j = 0; j < p.rows; j++) fr_points_row(&p, j, rows + j * p.width);
    fr_centroids_forget(c);
    fr_centroids_set(c, rows, pool);
    fr_free(rows);
    return FR_OK;
}

static fr_status predict_problem(const fr_tensor *points, const fr_tensor *centroids,
                                 const fr_kmeans_opts *o, int64_t problem, fr_centroids *c,
                                 fr_pool *pool, int32_t *labels, float *distance) {
    fr_points p;
    fr_reader *reader = NULL;
    bool unit = o->metric == FR_COSINE;
    FR_TRY(fr_points_of(points, problem, unit, &p));
    p.plain = true;
    FR_TRY(read_centroids(centroids, problem, unit, c, pool));
    if (o->out_of_core) FR_TRY(fr_reader_new(&p, o->memory / 2, &reader));
    predictor w = {.p = &p,
                   .c = c,
                   .metric = o->metric,
                   .label = labels + problem * p.rows,
                   .distance = distance ? distance + problem * p.rows : NULL};
    fr_status st = fr_points_check(&p, reader, pool);
    if (!st) st = label_points(&w, reader, pool);
    fr_reader_free(reader);
    return st;
}

static fr_status check(const fr_tensor *points, const fr_tensor *centroids, const fr_kmeans_opts *o,
                       const int32_t *labels) {
    char text[FR_SHAPE_TEXT], other[FR_SHAPE_TEXT];
    FR_TRY(fr_kmeans_check_points("points", points));
    FR_TRY(fr_kmeans_check_points("centroids", centroids));
    if (!o || !labels) return fr_fail(FR_INVALID, "labels need options and a place");
    if ((int)o->metric < 0 || o->metric > FR_DOT || (int)o->products < 0 ||
        o->products > FR_PRODUCTS_INT8)
        return fr_fail(FR_INVALID, "the metric %d with products %d stands for nothing",
                       (int)o->metric, (int)o->products);
    bool fits = fr_dim(points, -1) == fr_dim(centroids, -1);
    if (centroids->rank == 3)
        fits = fits && points->rank == 3 && points->dim[0] == centroids->dim[0];
    if (fits && fr_dim(centroids, -2) <= INT32_MAX / 2) return FR_OK;
    return fr_fail(FR_INVALID, "centroids %s do not fit points %s", fr_shape_text(centroids, text),
                   fr_shape_text(points, other));
}

fr_status fr_kmeans_predict(const fr_tensor *points, const fr_tensor *centroids,
                            const fr_kmeans_opts *opts, int32_t *labels, float *distance) {
    FR_TRY(check(points, centroids, opts, labels));
    int64_t problems = points->rank == 3 ? points->dim[0] : 1;
    fr_pool *pool;
    fr_centroids *c = NULL;
    FR_TRY(fr_pool_new(opts->threads, &pool));
    fr_status st = fr_centroids_new(fr_dim(centroids, -2), fr_dim(points, -1), opts->metric,
                                    opts->products, &c);
    for (int64_t i = 0; !st && i < problems; i++)
        st = predict_problem(points, centroids, opts, i, c, pool, labels, distance);
    fr_centroids_free(c);
    fr_pool_free(pool);
    return st;
}
