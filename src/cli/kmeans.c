/* kmeans.c: `frugal kmeans`: vectors of a file become clusters. */
#include "cli/kmeans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- memory ---- */

/* What the system could give at once, as Linux counts it. */
static double free_memory(void) {
    char *text = NULL;
    size_t bytes;
    double kb = 0;
    if (!fr_read_file("/proc/meminfo", 1 << 16, &text, &bytes)) {
        const char *at = strstr(text, "MemAvailable:");
        if (at) kb = strtod(at + strlen("MemAvailable:"), NULL);
        fr_free(text);
    }
    fr_message_clear();
    if (kb > 0) return 1024 * kb;
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 2;
}

/* Points that do not fit stay in their file and are read piece by piece. */
static fr_status plan_memory(fr_kmeans_call *c, fr_kmeans_data *points, double others) {
    char a[32], b[32];
    const double allowed = c->memory > 0 ? c->memory : 0.8 * free_memory(), least = 8 << 20;
    double rest = allowed - others;
    if (rest < least)
        return fr_fail(
            FR_NOMEM,
            "%s of memory are allowed; labels and centroids of %s take %s, and the work 8 MB.",
            fr_show_bytes(b, allowed), c->data, fr_show_bytes(a, others));
    if (!fr_kmeans_takes(points->view.dtype)) FR_TRY(fr_kmeans_floats(points, rest - least));
    const double bytes = (double)fr_bytes(&points->view);
    c->o.out_of_core = !points->copy && bytes + least > rest;
    if (!c->o.out_of_core) rest -= bytes;
    if (!c->o.out_of_core && (double)c->o.memory <= rest) return FR_OK;
    c->o.memory = (int64_t)rest;
    if (c->o.out_of_core && !fr_is_quiet())
        fprintf(stderr, "%s: %s, read in pieces within %s\n", c->data, fr_show_bytes(a, bytes),
                fr_show_bytes(b, rest));
    return FR_OK;
}

/* ---- one call ---- */

typedef struct watching {
    const fr_kmeans_call *c;
    fr_progress bar;
    bool stopped;
} watching;

static bool on_iteration(void *arg, const fr_kmeans_progress *p) {
    watching *w = arg;
    const int64_t runs = (p->problem < 0 ? 0 : p->problem) * w->c->o.attempts + p->attempt - 1;
    fr_progress_note(&w->bar, "inertia %.6g, %lld moved", p->inertia, (long long)p->moved);
    fr_progress_update(&w->bar, (double)(runs * w->c->o.iterations + p->iteration));
    w->stopped = fr_interrupted();
    return !w->stopped;
}

static fr_status make_room(const fr_kmeans_call *c, fr_kmeans_made *m) {
    const size_t b = (size_t)m->problems, n = b * (size_t)m->rows, k = b * (size_t)m->k;
    m->labels = fr_alloc_array(FR_MEM_OTHER, n, sizeof *m->labels);
    if (c->predict) {
        m->distances = fr_alloc_array(FR_MEM_OTHER, n, sizeof *m->distances);
        return m->labels && m->distances ? FR_OK : FR_NOMEM;
    }
    m->centroids = fr_alloc_array(FR_MEM_OTHER, k, (size_t)m->width * sizeof *m->centroids);
    m->sizes = fr_alloc_array(FR_MEM_OTHER, k, sizeof *m->sizes);
    m->stats = fr_alloc(FR_MEM_OTHER, b * sizeof *m->stats);
    return m->labels && m->centroids && m->sizes && m->stats ? FR_OK : FR_NOMEM;
}

static fr_status draw(const fr_kmeans_call *c, const fr_kmeans_made *m, const fr_tensor *points,
                      const float *centroids) {
    char title[160];
    fr_kmeans_picture p = {.points = points,
                           .labels = m->labels,
                           .centroids = centroids,
                           .k = m->k,
                           .unit = c->o.metric == FR_COSINE,
                           .seed = c->o.seed,
                           .title = title};
    if (c->predict)
        snprintf(title, sizeof title, "%lld points and the nearest of %lld centroids",
                 (long long)m->rows, (long long)m->k);
    else
        snprintf(title, sizeof title, "%lld points in %lld clusters: inertia %.6g, %lld iterations",
                 (long long)m->rows, (long long)m->k, m->inertia, (long long)m->iterations);
    return fr_kmeans_plot(&p, c->plot);
}

static fr_status cluster(fr_kmeans_call *c, const fr_kmeans_data *points, fr_kmeans_made *m) {
    watching w = {.c = c,
                  .bar = fr_progress_start("clustering",
                                           (double)(c->o.iterations * c->o.attempts * m->problems),
                                           "iterations")};
    c->o.on_iteration = on_iteration, c->o.arg = &w;
    fr_kmeans_out out = {
        .centroids = m->centroids, .labels = m->labels, .sizes = m->sizes, .stats = m->stats};
    const double begin = fr_now();
    fr_status st = fr_kmeans(&points->view, &c->o, &out);
    m->seconds = fr_now() - begin;
    fr_progress_end(&w.bar);
    if (st) return fr_fail_in(st, "%s", c->data);
    m->stopped = w.stopped;
    m->converged = true;
    for (int64_t b = 0; b < m->problems; b++) {
        m->inertia += m->stats[b].inertia;
        m->iterations = FR_MAX_OF(m->iterations, m->stats[b].iterations);
        m->converged = m->converged && m->stats[b].converged;
    }
    FR_TRY(fr_kmeans_write(c, m));
    if (c->plot) FR_TRY(draw(c, m, &points->view, m->centroids));
    return fr_kmeans_print(c, m);
}

static fr_status predict(fr_kmeans_call *c, const fr_kmeans_data *points,
                         const fr_tensor *centroids, fr_kmeans_made *m) {
    const double begin = fr_now();
    const fr_status st =
        fr_kmeans_predict(&points->view, centroids, &c->o, m->labels, m->distances);
    if (st) return fr_fail_in(st, "%s", c->data);
    m->seconds = fr_now() - begin;
    for (int64_t i = 0; i < m->problems * m->rows; i++) m->inertia += (double)m->distances[i];
    FR_TRY(fr_kmeans_write(c, m));
    if (c->plot) FR_TRY(draw(c, m, &points->view, centroids->data));
    return fr_kmeans_print_predicted(c, m);
}

/* ---- what goes in ---- */

/* Centroids that this command wrote know by which metric. */
static void take_metric(fr_kmeans_call *c, const fr_store *s) {
    const char *word = NULL;
    if (c->metric_chosen || fr_json_string(fr_store_metadata(s), "metric", NULL, &word) || !word)
        return;
    for (int i = 0; i < 3; i++)
        if (!strcmp(word, fr_kmeans_metrics[i])) c->o.metric = (fr_metric)i;
}

static fr_status take_centroids(fr_kmeans_call *c, const char *path, const fr_tensor *points,
                                fr_kmeans_data *d) {
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    FR_TRY(fr_kmeans_open(path, NULL, "centroids", 2, 3, d));
    take_metric(c, d->store);
    FR_TRY(fr_kmeans_dense_floats(d));
    const fr_tensor *t = &d->view;
    if (fr_dim(t, -1) != fr_dim(points, -1) ||
        (t->rank == 3 && (points->rank < 3 || t->dim[0] != points->dim[0])))
        return fr_fail(FR_INVALID,
                       "The centroids of %s are %s, which does not go with points of %s.", path,
                       fr_shape_text(t, a), fr_shape_text(points, b));
    if (c->o.k && c->o.k != fr_dim(t, -2))
        return fr_fail(FR_INVALID, "%s holds %lld centroids, and %lld clusters are wanted.", path,
                       (long long)fr_dim(t, -2), (long long)c->o.k);
    c->o.k = fr_dim(t, -2);
    return FR_OK;
}

static fr_status take_weights(fr_kmeans_call *c, const fr_tensor *points, fr_kmeans_data *d) {
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    FR_TRY(fr_kmeans_open(c->weights, NULL, "weights", 1, 2, d));
    FR_TRY(fr_kmeans_dense_floats(d));
    const fr_tensor *t = &d->view;
    bool fits = t->rank == points->rank - 1;
    for (int i = 0; fits && i < t->rank; i++) fits = t->dim[i] == points->dim[i];
    if (fits) return FR_OK;
    return fr_fail(FR_INVALID, "The weights of %s are %s, which does not go with points of %s.",
                   c->weights, fr_shape_text(t, a), fr_shape_text(points, b));
}

static fr_status with_data(fr_kmeans_call *c, fr_kmeans_data *points, fr_kmeans_data *centroids,
                           fr_kmeans_data *weights, fr_kmeans_made *m) {
    char shape[FR_SHAPE_TEXT];
    const fr_tensor *t = &points->view;
    fr_pool *pool;
    FR_TRY(fr_kmeans_open(c->data, c->tensor, "points", 2, 3, points));
    m->batched = t->rank == 3;
    m->problems = m->batched ? t->dim[0] : 1;
    m->rows = fr_dim(t, -2), m->width = fr_dim(t, -1);
    FR_TRY(fr_kmeans_can_write(c, m->batched));
    if (c->plot && m->batched)
        return fr_fail(FR_INVALID, "%s holds %s: a picture shows one problem.", c->data,
                       fr_shape_text(t, shape));
    if (c->predict || c->start)
        FR_TRY(take_centroids(c, c->predict ? c->predict : c->start, t, centroids));
    if (c->start) c->o.given = &centroids->view;
    if (c->weights) FR_TRY(take_weights(c, t, weights));
    if (c->weights) c->o.weights = &weights->view;
    m->k = c->o.k;
    if (!c->predict && m->k > m->rows)
        return fr_fail(FR_INVALID, "%s holds %lld points%s, too few for %lld clusters.", c->data,
                       (long long)m->rows, m->batched ? " a problem" : "", (long long)m->k);
    const double kept = (double)m->problems * (4.0 * (c->predict ? 2 : 1) * (double)m->rows +
                                               (4.0 * (double)m->width + 8) * (double)m->k);
    FR_TRY(plan_memory(c, points, kept));
    FR_TRY(make_room(c, m));
    FR_TRY(fr_cli_pool(&pool));
    c->o.threads = fr_pool_threads(pool);
    return c->predict ? predict(c, points, &centroids->view, m) : cluster(c, points, m);
}

/* ---- the call ---- */

static int run(int argc, char **argv) {
    fr_kmeans_call c = {.o = fr_kmeans_defaults(0)};
    fr_kmeans_data points = {0}, centroids = {0}, weights = {0};
    fr_kmeans_made m = {0};
    int code = 0;
    if ((code = fr_kmeans_options(argc, argv, &c))) return code;
    fr_status st = with_data(&c, &points, &centroids, &weights, &m);
    code = st ? fr_cli_failed(st) : m.stopped ? FR_EXIT_INTERRUPTED : FR_EXIT_OK;
    fr_kmeans_close(&points);
    fr_kmeans_close(&centroids);
    fr_kmeans_close(&weights);
    fr_free(m.centroids);
    fr_free(m.labels);
    fr_free(m.distances);
    fr_free(m.sizes);
    fr_free(m.stats);
    return code;
}

const fr_command fr_command_kmeans = {
    .name = "kmeans",
    .summary = "vectors into clusters, exactly, also from files larger than memory",
    .help =
        "usage: frugal kmeans DATA -k N [-o OUT] [--labels FILE] [--plot FILE.svg] [--json]\n"
        "       frugal kmeans DATA --predict CENTROIDS [-o OUT]\n\n"
        "Finds N centroids so that points lie near to theirs (k-means, Lloyd's algorithm). Each\n"
        "point is with the nearest centroid of all: what is not compared is proven not to matter,\n"
        "and the result has the same bits for any number of threads.\n\n"
        "DATA is .npy, .fvecs, .bvecs, .safetensors or .gguf: points [N, D], or [B, N, D] for B\n"
        "problems of their own. f32, bf16 and f16 are used where they lie; other numbers become\n"
        "f32 in memory. A file that does not fit into memory is read piece by piece, each "
        "round.\n\n"
        "OUT by its ending: .safetensors holds centroids, labels and sizes; .npy and .fvecs the\n"
        "centroids. With --predict: labels as .npy, .ivecs, or with distances as .safetensors.\n\n"
        "  -k, --clusters N      how many; not needed where a file of centroids says it\n"
        "  -o, --output OUT      where results go\n"
        "  --labels FILE         labels apart, as .npy or .ivecs\n"
        "  --plot FILE.svg       a picture: two dimensions as they are, more on the two in which\n"
        "                        points differ most\n"
        "  --json                the figures as JSON\n"
        "  --predict CENTROIDS   no clustering: the nearest of these for each point\n"
        "  --tensor NAME         which one of a file that holds several\n"
        "  --metric M            euclid (the default), cosine, dot\n"
        "  --start S             ++ (k-means++, the default), parallel (k-means||, for many\n"
        "                        points), random, or a file of centroids to go on from\n"
        "  --attempts N          so many starts; the best is kept (default: 1)\n"
        "  --iterations N        at most (default: 300)\n"
        "  --tolerance T         stop when centroids move less than this, relative to the\n"
        "                        variance of the points (default: 1e-4; -1: never)\n"
        "  --weights FILE        how much each point counts\n"
        "  --empty E             a centroid without points moves to the farthest point\n"
        "                        (farthest, the default), stays (keep), takes half of a large\n"
        "                        cluster (split), or is an error (refuse)\n"
        "  --method M            auto, lloyd, hamerly, yinyang: all the same result; or\n"
        "                        minibatch, another algorithm that only comes near to it\n"
        "  --batch N             points a step of minibatch (default: 1024)\n"
        "  --products P          auto, f32, or bf16 or int8 with f32 where these do not prove a\n"
        "                        label: the same labels\n"
        "  --seed N              of all chance (default: 0)\n"
        "  --memory SIZE         at most so much memory, points included: 8G, 500M\n\n"
        "examples:\n"
        "  frugal kmeans vectors.npy -k 100 -o clusters.safetensors --plot clusters.svg\n"
        "  frugal kmeans new.npy --predict clusters.safetensors -o labels.npy\n"
        "  frugal kmeans sift.bvecs -k 4096 --start parallel -o codebook.fvecs --memory 4G\n",
    .run = run,
};
