/* bench_overhead.c: what Frugal itself costs around the arithmetic: the executor for each node of a
 * graph of tiny operators, finding a plan again for another shape, and handing work to the pool.
 *
 *     bench_overhead [threads] */
#include <stdio.h>
#include <stdlib.h>

#include "graph/graph.h"

#define NODES 1000
#define RUNS  401

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *t, int n) {
    qsort(t, (size_t)n, sizeof *t, by_value);
    return t[n / 2];
}

static fr_status nothing_shape(const fr_call *c) {
    c->out[0] = c->in[0];
    return FR_OK;
}
static fr_status nothing_run(const fr_call *c) {
    (void)c;
    return FR_OK;
}
static const fr_op nothing = {.name = "nothing",
                              .nin_min = 1,
                              .nin_max = 1,
                              .nout = 1,
                              .flags = FR_OP_INPLACE0,
                              .shape = nothing_shape,
                              .run = nothing_run};

static fr_status build(fr_graph *g, bool adds) {
    fr_val x = fr_input(g, "x", FR_F32, 1, (int64_t[]){4});
    fr_val y = x;
    for (int i = 0; i < NODES; i++) y = adds ? fr_add(g, y, x) : fr_emit(g, &nothing, 1, &y, NULL);
    fr_output(g, "y", y);
    return fr_graph_check(g);
}

static fr_status time_nodes(const char *what, bool adds, fr_pool *pool) {
    fr_graph *g = fr_graph_new();
    fr_session *s;
    float data[8] = {1, 2, 3, 4};
    double cpu[RUNS], wall[RUNS];
    FR_TRY(build(g, adds));
    FR_TRY(fr_session_new_with(g, &(fr_session_opts){.pool = pool}, &s));
    for (int i = -20; i < RUNS; i++) {
        fr_tensor in = fr_tensor_make(FR_F32, 1, (int64_t[]){4}, data);
        double c = fr_thread_cpu(), w = fr_now();
        FR_TRY(fr_session_run(s, &in, 1));
        if (i < 0) continue;
        cpu[i] = fr_thread_cpu() - c;
        wall[i] = fr_now() - w;
    }
    printf("%-44s %8.1f ns a node (wall %.1f)\n", what, median(cpu, RUNS) / NODES * 1e9,
           median(wall, RUNS) / NODES * 1e9);
    fr_session_free(s);
    fr_graph_free(g);
    return FR_OK;
}

/* Two shapes in turn: both plans are kept. */
static fr_status time_shapes(fr_pool *pool) {
    fr_graph *g = fr_graph_new();
    fr_session *s;
    float data[8] = {1, 2, 3, 4};
    double t[RUNS];
    FR_TRY(build(g, false));
    FR_TRY(fr_session_new_with(g, &(fr_session_opts){.pool = pool}, &s));
    for (int i = -20; i < RUNS; i++) {
        fr_tensor in = fr_tensor_make(FR_F32, 1, (int64_t[]){i & 1 ? 4 : 8}, data);
        double start = fr_thread_cpu();
        FR_TRY(fr_session_run(s, &in, 1));
        if (i >= 0) t[i] = fr_thread_cpu() - start;
    }
    printf("%-44s %8.1f ns a node\n", "the same, two input shapes in turn",
           median(t, RUNS) / NODES * 1e9);
    double start = fr_thread_cpu();
    for (int n = 100; n < 120; n++) {
        float many[128] = {0};
        fr_tensor in = fr_tensor_make(FR_F32, 1, (int64_t[]){n}, many);
        FR_TRY(fr_session_run(s, &in, 1));
    }
    printf("%-44s %8.1f ns a node\n", "making a plan for a new shape",
           (fr_thread_cpu() - start) / 20 / NODES * 1e9);
    fr_session_free(s);
    fr_graph_free(g);
    return FR_OK;
}

static void item(void *arg, size_t i) {
    ((char *)arg)[64 * i] = 1;
}

static void time_pool(fr_pool *pool) {
    static char touched[64 * 1024];
    double t[2001];
    size_t items = (size_t)fr_pool_threads(pool);
    for (int i = -200; i < 2001; i++) {
        double start = fr_now();
        fr_pool_run(pool, items, item, touched);
        if (i >= 0) t[i] = fr_now() - start;
    }
    printf("%-44s %8.2f us (%zu threads)\n", "dispatch to the pool and back", median(t, 2001) * 1e6,
           items);
}

int main(int argc, char **argv) {
    fr_pool *pool;
    fr_status st = fr_pool_new(argc > 1 ? atoi(argv[1]) : 0, &pool);
    if (!st) st = time_nodes("1000 nodes that do nothing", false, pool);
    if (!st) st = time_shapes(pool);
    if (!st) st = time_nodes("1000 additions of 4 values", true, pool);
    if (!st) time_pool(pool);
    if (st) fprintf(stderr, "bench_overhead: %s\n", fr_message());
    fr_pool_free(pool);
    return st != FR_OK;
}
