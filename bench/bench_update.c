/* bench_update.c: what the update of each optimizer costs: milliseconds for a model's worth of matrices,
 * bytes that it must move and their share of what the machine copies, bytes kept for each parameter.
 *
 *     bench_update [threads [layers]]        a layer has 0.74 million parameters */
#include <stdio.h>
#include <stdlib.h>

#include "train/train.h"

enum { RUNS = 41 };

static const int64_t shape[][2] = {{256, 256}, {128, 256}, {128, 256}, {256, 256},
                                   {704, 256}, {704, 256}, {256, 704}};

/* A gradient that costs little: that of squares. */
static fr_val build(fr_graph *g, int layers, double *values) {
    fr_val loss = FR_NONE;
    *values = 0;
    for (int l = 0; l < layers; l++)
        for (size_t i = 0; i < FR_COUNT(shape); i++) {
            char name[32];
            snprintf(name, sizeof name, "%d.%zu", l, i);
            fr_val w = fr_param(g, name, FR_F32, 2, shape[i]);
            fr_val sum = fr_reduce(g, fr_unary(g, w, FR_FN_SQUARE), FR_SUM, 3, false);
            loss = loss == FR_NONE ? sum : fr_add(g, loss, sum);
            *values += (double)(shape[i][0] * shape[i][1]);
        }
    return loss;
}

static fr_status updates(fr_trainer *t, double *best) {
    *best = 1e9;
    for (int i = 0; i < RUNS; i++) {
        FR_TRY(fr_trainer_accumulate(t, NULL, 0, NULL));
        double start = fr_now();
        FR_TRY(fr_trainer_update(t, NULL));
        double time = fr_now() - start;
        if (time < *best) *best = time;
    }
    return FR_OK;
}

/* ---- a copy of as much memory as parameters and gradients take ---- */

typedef struct copied {
    float *from, *to;
} copied;

static void copy_range(void *arg, size_t start, size_t end) {
    const copied *c = arg;
    fr_kernel()->rows.affine(c->from + start, 1, 1, end - start, c->to + start);
}

static double copy_rate(fr_pool *pool, size_t values) {
    copied c = {fr_alloc(FR_MEM_OTHER, 4 * values), fr_alloc(FR_MEM_OTHER, 4 * values)};
    double best = 1e9;
    for (int i = 0; i < RUNS && c.from && c.to; i++) {
        double start = fr_now();
        fr_pool_range(pool, values, 16384, copy_range, &c);
        double time = fr_now() - start;
        if (time < best) best = time;
    }
    fr_free(c.from);
    fr_free(c.to);
    return 8 * (double)values / best;
}

static fr_status one(fr_train_opts o, double traffic, int layers, fr_pool *pool, double rate) {
    fr_graph *g = fr_graph_new();
    fr_trainer *t = NULL;
    double values, best = 1;
    fr_val loss = build(g, layers, &values);
    o.lr = 1e-3f;
    o.clip = 1;
    o.weight_decay = 0.1f;
    fr_status st = fr_trainer_new(g, loss, &o, pool, &t);
    if (!st) st = fr_session_init_random(fr_trainer_session(t), 1, 0.02f);
    if (!st) st = updates(t, &best);
    if (!st)
        printf("%-7s%-4s %8.2f ms %6.2f ns/value %6.1f GB/s %4.0f%% of a copy %7.2f bytes "
               "kept/value\n",
               fr_optimizer_names[o.optimizer], o.ema > 0 ? "+ema" : "", best * 1e3,
               best * 1e9 / values, traffic * values / best / 1e9,
               100 * traffic * values / best / rate, (double)fr_trainer_state_bytes(t) / values);
    fr_trainer_free(t);
    fr_graph_free(g);
    return st;
}

int main(int argc, char **argv) {
    /* Bytes for each value: the gradient as often as it is read, parameter and moments there and back. */
    static const struct {
        fr_train_opts opts;
        double traffic;
    } runs[] = {{{.optimizer = FR_SGD, .momentum = 0.9f}, 8 + 16},
                {{.optimizer = FR_ADAMW}, 8 + 24},
                {{.optimizer = FR_ADAMW, .ema = 0.999f}, 8 + 32},
                {{.optimizer = FR_ADAMW8}, 8 + 12},
                {{.optimizer = FR_CAME}, 12 + 20},
                {{.optimizer = FR_CAME8}, 16 + 11}};
    int layers = argc > 2 ? atoi(argv[2]) : 4;
    fr_pool *pool;
    fr_status st = fr_pool_new(argc > 1 ? atoi(argv[1]) : 0, &pool);
    if (st) return 1;
    double rate = copy_rate(pool, (size_t)layers * 737280);
    printf("%d layers, %d threads; a copy goes at %.1f GB/s\n", layers, fr_pool_threads(pool),
           rate / 1e9);
    for (size_t i = 0; !st && i < FR_COUNT(runs); i++)
        st = one(runs[i].opts, runs[i].traffic, layers, pool, rate);
    if (st) fprintf(stderr, "bench_update: %s\n", fr_message());
    fr_pool_free(pool);
    return st != FR_OK;
}
