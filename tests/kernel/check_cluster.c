/* check_cluster.c: sums by label, distances and bounds of k-means: the same bits as plain C. */
#include "check.h"

static int32_t *labels(size_t n, uint32_t below) {
    int32_t *l = check_alloc(4 * n);
    for (size_t i = 0; i < n; i++) l[i] = (int32_t)(check_random() % below);
    return l;
}

static double *zeros(size_t n) {
    double *s = check_alloc(8 * n);
    for (size_t i = 0; i < n; i++) s[i] = 0;
    return s;
}

static float *zero_floats(size_t n) {
    float *s = check_alloc(4 * n);
    for (size_t i = 0; i < n; i++) s[i] = 0;
    return s;
}

static void run_sums(const fr_kernels *k, const fr_kernels *ref) {
    const size_t clusters = 7, counts[] = {0, 1, 5, 64, 131};
    for (size_t width = 1; width < 140; width += width < 20 ? 1 : 12)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            for (int weighted = 0; weighted < 2; weighted++) {
                size_t n = counts[c];
                if (!check_begin("cluster.add n=%zu width=%zu weighted=%d", n, width, weighted))
                    continue;
                float *x = check_f32(n * width, CHECK_NORMAL),
                      *w = weighted ? check_range(n, 0, 3) : NULL;
                int32_t *l = labels(n, 7), *order = labels(n, n ? (uint32_t)n : 1);
                float *f = zero_floats(clusters * width), *f2 = zero_floats(clusters * width);
                size_t now = n - n / 8;                                 /* the rest comes next */
                for (size_t i = 0; i < n; i += 3) order[i] = ~order[i]; /* taken off */
                k->cluster.add(x, l, w, now, n - now, width, f);
                ref->cluster.add(x, l, w, now, n - now, width, f2);
                check_same(f, f2, clusters * width, 4);
                double *s = zeros(clusters * width), *s2 = zeros(clusters * width);
                k->cluster.add_listed(x, order, l, w, now, n - now, width, s);
                ref->cluster.add_listed(x, order, l, w, now, n - now, width, s2);
                k->cluster.add_listed(x, order, NULL, w, now, n - now, width, s);
                ref->cluster.add_listed(x, order, NULL, w, now, n - now, width, s2);
                check_same(s, s2, clusters * width, 8);
                check_end();
            }
}

static void run_distance(const fr_kernels *k, const fr_kernels *ref) {
    for (size_t n = 0; n < 600; n += n < 70 ? 1 : 101)
        for (int kind = 0; kind <= CHECK_UNIFORM; kind++) {
            if (!check_begin("cluster.distance n=%zu kind=%d", n, kind)) continue;
            float *x = check_f32(n, (check_kind)kind), *c = check_f32(n, (check_kind)kind);
            double got[2] = {k->cluster.distance(x, c, n), k->cluster.square(x, n)};
            double want[2] = {ref->cluster.distance(x, c, n), ref->cluster.square(x, n)};
            check_same(got, want, 2, 8);
            check_end();
        }
}

static void run_distances(const fr_kernels *k, const fr_kernels *ref) {
    for (int kind = 0; kind < CHECK_EXTREME; kind++)
        for (size_t width = 1; width < 600; width = width < 20 ? width + 1 : width * 3 - 1)
            for (size_t rows = 0; rows < 30; rows = rows < 14 ? rows + 1 : rows + 9) {
                if (!check_begin("cluster.distances kind=%d width=%zu rows=%zu", kind, width, rows))
                    continue;
                size_t n = rows * FR_CLUSTER_PANEL;
                float *x = check_f32(rows * width, (check_kind)kind);
                float *panel = check_f32(width * FR_CLUSTER_PANEL, (check_kind)kind);
                /* The last point is the last row: no distance at all. */
                for (size_t j = 0; rows && j < width; j++)
                    panel[j * FR_CLUSTER_PANEL + 15] = x[(rows - 1) * width + j];
                float *got = check_alloc(4 * n), *want = check_alloc(4 * n);
                k->cluster.distances(x, rows, width, panel, got);
                ref->cluster.distances(x, rows, width, panel, want);
                check_same(got, want, n, 4);
                if (rows) check_value((double)got[n - 1], 0, 0, 0);
                check_end();
            }
}

static void run_bounds(const fr_kernels *k, const fr_kernels *ref) {
    for (size_t n = 0; n < 700; n += n < 70 ? 1 : 101) {
        if (!check_begin("cluster.unsure n=%zu", n)) continue;
        float *upper = check_range(n, -1, 2), *lower = check_range(n, 0, 4),
              *up = check_range(5, 0, 1), *down = check_range(5, 0, 1),
              *near = check_range(5, 0, 3);
        if (n > 3) lower[1] = INFINITY, lower[2] = NAN, upper[3] = NAN;
        int32_t *l = labels(n, 5), *a = check_alloc(4 * n), *b = check_alloc(4 * n);
        size_t found = k->cluster.unsure(upper, lower, l, up, down, near, 0.1f, n, a);
        size_t want = ref->cluster.unsure(upper, lower, l, up, down, near, 0.1f, n, b);
        check_value((double)found, (double)want, 0, 0);
        if (found == want) check_same(a, b, found, 4);
        float *move = check_range(n, 0, 1);
        for (size_t i = 0; i < n; i++)
            if (!(lower[i] < INFINITY)) lower[i] = 3;
        check_value((double)k->cluster.least(lower, move, n),
                    (double)ref->cluster.least(lower, move, n), 0, 0);
        check_end();
    }
}

static void run(const fr_kernels *k, const fr_kernels *ref) {
    run_sums(k, ref);
    run_distance(k, ref);
    run_distances(k, ref);
    run_bounds(k, ref);
}

enum { ROWS = 512, WIDTH = 128, CLUSTERS = 100 };
typedef struct given {
    const fr_kernels *k;
    float *x, *bound;
    int32_t *label, *list;
    float *sum, *panel, *out;
} given;

static void add_once(void *arg) {
    given *g = arg;
    g->k->cluster.add(g->x, g->label, NULL, ROWS, 0, WIDTH, g->sum);
}
static void unsure_once(void *arg) {
    given *g = arg;
    g->k->cluster.unsure(g->x, g->x + ROWS, g->label, g->bound, g->bound, g->bound, 0.1f, ROWS,
                         g->list);
}

static void distances_once(void *arg) {
    given *g = arg;
    g->k->cluster.distances(g->x, ROWS, WIDTH, g->panel, g->out);
}

static void bench(const fr_kernels *k) {
    given g = {k,
               check_f32(ROWS * WIDTH, CHECK_NORMAL),
               check_range(CLUSTERS, 0, 1),
               labels(ROWS, CLUSTERS),
               check_alloc(4 * ROWS),
               zero_floats(CLUSTERS * WIDTH),
               check_f32(FR_CLUSTER_PANEL * WIDTH, CHECK_NORMAL),
               check_alloc(4 * ROWS * FR_CLUSTER_PANEL)};
    check_bench("cluster.add 512x128, 100", CHECK_NO_PEAK, ROWS * WIDTH, ROWS * WIDTH * 4, add_once,
                &g);
    check_bench("cluster.distances 512x128", CHECK_F32, 3.0 * ROWS * WIDTH * FR_CLUSTER_PANEL,
                4.0 * ROWS * WIDTH, distances_once, &g);
    check_bench("cluster.unsure 512", CHECK_NO_PEAK, ROWS * 8, ROWS * 12, unsure_once, &g);
}

CHECK_FAMILY("cluster", run, bench)
