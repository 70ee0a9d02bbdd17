/* cluster.c: k-means from points to centroids and labels: what was asked for is checked, a batch is shared out, and of
 * several attempts the best is kept. */
#include "cluster/cluster.h"

#include "cluster/bounds.h"
#include "cluster/check.h"
#include "cluster/minibatch.h"
#include "cluster/start.h"

#include <math.h>
#include <string.h>

/* A problem below so many products an iteration is one thread's, where there are more problems than threads. */
#define ALONE_PRODUCTS 3e8

fr_kmeans_opts fr_kmeans_defaults(int64_t k) {
    return (fr_kmeans_opts){.k = k,
                            .iterations = 300,
                            .tolerance = 1e-4,
                            .attempts = 1,
                            .batch = 1024,
                            .memory = (int64_t)64 << 20};
}

/* A call, and what all its problems share. */
typedef struct call {
    const fr_tensor *points;
    const fr_kmeans_opts *o;
    const fr_kmeans_out *out;
    int64_t problems, n, width, memory;
    double began;
    struct failure *failures; /* [problems], of those done side by side */
} call;

typedef struct failure {
    fr_status status;
    char *message;
} failure;

/* ---- one problem ---- */

static void count_sizes(const int32_t *label, int64_t n, int64_t k, int64_t *size) {
    memset(size, 0, (size_t)k * sizeof *size);
    for (int64_t i = 0; i < n; i++) size[label[i]]++;
}

/* The best attempt so far: centroids alone, for labels follow from them. */
typedef struct kept {
    float *centroid;
    fr_kmeans_stats stats;
    int64_t attempt;
} kept;

static fr_status attempt(fr_lloyd *l, int64_t number, kept *best) {
    size_t bytes = (size_t)(l->k * l->width) * sizeof(float);
    double start = fr_now();
    l->stats = (fr_kmeans_stats){0};
    l->attempt = number;
    FR_TRY(fr_start(l->p, l->o, l->problem, number, l->reader, l->pool, l->centroid));
    l->stats.start_seconds = fr_now() - start;
    bool few = l->o->method == FR_KMEANS_MINIBATCH;
    FR_TRY(few ? fr_minibatch_run(l) : fr_lloyd_run(l));
    if (best->attempt >= 0 && !(l->stats.inertia < best->stats.inertia)) return FR_OK;
    best->attempt = number;
    best->stats = l->stats;
    if (best->centroid) memcpy(best->centroid, l->centroid, bytes);
    return FR_OK;
}

static fr_status attempts(fr_lloyd *l) {
    kept best = {.attempt = -1};
    size_t values = (size_t)(l->k * l->width);
    fr_status st = FR_OK;
    if (l->o->attempts > 1) {
        best.centroid = fr_alloc_array(FR_MEM_OTHER, values, sizeof(float));
        if (!best.centroid) return FR_NOMEM;
    }
    for (int64_t a = 0; !st && a < l->o->attempts; a++) st = attempt(l, a, &best);
    if (!st && best.attempt != l->o->attempts - 1) {
        memcpy(l->centroid, best.centroid, values * sizeof(float));
        fr_lloyd_relabel(l);
    }
    l->stats = best.stats;
    fr_free(best.centroid);
    return st;
}

static fr_status solve_with(const call *c, const fr_points *p, int64_t problem, int64_t memory,
                            fr_reader *reader, fr_pool *pool, int32_t *label) {
    fr_lloyd l;
    float *centroid = c->out->centroids + problem * c->o->k * c->width;
    FR_TRY(fr_lloyd_init(&l, p, c->o, memory, reader, pool, centroid, label));
    l.problem = problem;
    l.began = c->began;
    fr_status st = attempts(&l);
    if (!st && c->out->sizes) count_sizes(label, c->n, c->o->k, c->out->sizes + problem * c->o->k);
    if (!st && c->out->stats) c->out->stats[problem] = l.stats;
    fr_lloyd_free(&l);
    return st;
}

static fr_status solve_read(const call *c, fr_points *p, int64_t problem, int64_t memory,
                            fr_reader *reader, fr_pool *pool) {
    FR_TRY(fr_points_check(p, reader, pool));
    if (c->out->labels)
        return solve_with(c, p, problem, memory, reader, pool, c->out->labels + problem * c->n);
    int32_t *label = fr_alloc_array(FR_MEM_OTHER, (size_t)c->n, sizeof *label);
    if (!label) return FR_NOMEM;
    fr_status st = solve_with(c, p, problem, memory, reader, pool, label);
    fr_free(label);
    return st;
}

static fr_status solve(const call *c, int64_t problem, int64_t memory, fr_pool *pool) {
    fr_points p;
    fr_reader *reader = NULL;
    const fr_tensor *w = c->o->weights;
    FR_TRY(fr_points_of(c->points, problem, c->o->metric == FR_COSINE, &p));
    p.plain = !(c->o->tolerance > 0);
    if (w) p.weights = (const float *)w->data + (w->rank == 2 ? problem * c->n : 0);
    if (c->o->out_of_core) {
        FR_TRY(fr_reader_new(&p, memory / 2, &reader));
        memory -= memory / 2;
    }
    fr_status st = solve_read(c, &p, problem, memory, reader, pool);
    fr_reader_free(reader);
    return st;
}

/* ---- a batch ---- */

static void solve_item(void *arg, size_t i) {
    call *c = arg;
    failure *f = &c->failures[i];
    f->status = solve(c, (int64_t)i, c->memory, NULL);
    if (f->status) f->message = fr_strdup(fr_message());
}

/* Small problems side by side, each by one thread: the same bits, for the number of threads never shows. */
static fr_status solve_beside(call *c, fr_pool *pool) {
    fr_status st = FR_OK;
    c->memory = c->o->memory / fr_pool_threads(pool);
    c->failures = fr_alloc(FR_MEM_OTHER, (size_t)c->problems * sizeof *c->failures);
    if (!c->failures) return FR_NOMEM;
    fr_pool_run(pool, (size_t)c->problems, solve_item, c);
    for (int64_t i = 0; i < c->problems; i++) {
        failure *f = &c->failures[i];
        if (f->status && !st)
            st = fr_fail(f->status, "%s", f->message ? f->message : "out of memory");
        fr_free(f->message);
    }
    fr_free(c->failures);
    return st;
}

static bool small(const call *c, const fr_pool *pool) {
    double products = (double)c->n * (double)c->o->k * (double)c->width;
    int threads = fr_pool_threads(pool);
    /* Whoever watches gets its problems one after another. */
    return threads > 1 && c->problems >= threads && products < ALONE_PRODUCTS &&
           !c->o->on_iteration && !c->o->out_of_core;
}

fr_status fr_kmeans(const fr_tensor *points, const fr_kmeans_opts *opts, const fr_kmeans_out *out) {
    call c = {.points = points, .o = opts, .out = out, .began = fr_now()};
    FR_TRY(fr_kmeans_check(points, opts, out));
    c.problems = points->rank == 3 ? points->dim[0] : 1;
    c.n = points->dim[points->rank - 2];
    c.width = points->dim[points->rank - 1];
    if (!c.problems) return FR_OK;
    fr_pool *pool;
    FR_TRY(fr_pool_new(opts->threads, &pool));
    fr_status st = FR_OK;
    if (small(&c, pool))
        st = solve_beside(&c, pool);
    else
        for (int64_t i = 0; !st && i < c.problems; i++) st = solve(&c, i, opts->memory, pool);
    fr_pool_free(pool);
    return st;
}
