/* peaks.c: runs the loops of kernel/peak.h on one thread and on all. */
#include "op/peaks.h"

#include <string.h>

#include "kernel/kernel.h"

#define RUN_SECONDS 0.002 /* short, so that some runs are not disturbed */
#define RUNS        60
#define READ_RUNS   5
#define READ_BYTES  ((size_t)384 << 20) /* far beyond the last cache */
#define READ_CHUNK  ((size_t)1 << 20)

typedef struct arithmetic {
    fr_peak_fn *fn;
    size_t rounds;
} arithmetic;

static void one_thread(void *arg, size_t i) {
    const arithmetic *a = arg;
    float sink = 0;
    (void)i;
    a->fn(a->rounds, &sink);
}

/* So many rounds that a run takes about RUN_SECONDS. */
static size_t rounds_for(fr_peak_fn *fn) {
    float sink = 0;
    for (size_t rounds = 1000;; rounds *= 2) {
        double t = 1; /* the shortest of some: one may be disturbed by other work */
        for (int i = 0; i < 5; i++) {
            double start = fr_now();
            fn(rounds, &sink);
            t = FR_MIN(t, fr_now() - start);
        }
        if (t > RUN_SECONDS / 4) return (size_t)((double)rounds * RUN_SECONDS / t) + 1;
    }
}

static double rate(fr_peak_fn *fn, int threads, fr_pool *pool) {
    if (!fn) return 0;
    float sink = 0;
    double per_round = fn(1000, &sink) / 1000, best = 0;
    arithmetic a = {fn, rounds_for(fn)};
    for (int i = 0; i < RUNS; i++) {
        double t = fr_now();
        fr_pool_run(pool, (size_t)threads, one_thread, &a);
        t = fr_now() - t;
        best = FR_MAX_OF(best, per_round * (double)a.rounds * threads / t);
    }
    return best;
}

typedef struct reading {
    const char *data;
    uint64_t sums[READ_BYTES / READ_CHUNK];
} reading;

static void read_chunk(void *arg, size_t i) {
    reading *r = arg;
    r->sums[i] = fr_kernel()->peak.read(r->data + i * READ_CHUNK, READ_CHUNK);
}

static double read_rate(reading *r, fr_pool *pool) {
    double best = 0;
    for (int i = 0; i < READ_RUNS; i++) {
        double t = fr_now();
        fr_pool_run(pool, READ_BYTES / READ_CHUNK, read_chunk, r);
        best = FR_MAX_OF(best, (double)READ_BYTES / (fr_now() - t));
    }
    return best;
}

void fr_peaks_measure_floats(fr_pool *pool, fr_peaks *out) {
    const fr_kernels *k = fr_kernel();
    *out = (fr_peaks){.table = k->name, .threads = fr_pool_threads(pool)};
    out->f32[1] = rate(k->peak.f32, out->threads, pool);
    out->bf16[1] = rate(k->peak.bf16, out->threads, pool);
}

void fr_peaks_measure_core(fr_peaks *out) {
    const fr_kernels *k = fr_kernel();
    *out = (fr_peaks){.table = k->name, .threads = 1};
    out->f32[0] = out->f32[1] = rate(k->peak.f32, 1, NULL);
    out->bf16[0] = out->bf16[1] = rate(k->peak.bf16, 1, NULL);
    out->int8[0] = out->int8[1] = rate(k->peak.int8, 1, NULL);
}

fr_status fr_peaks_measure(fr_pool *pool, fr_peaks *out) {
    const fr_kernels *k = fr_kernel();
    char *data = fr_alloc_array(FR_MEM_OTHER, READ_BYTES, 1);
    reading *r = fr_alloc(FR_MEM_OTHER, sizeof *r);
    if (!data || !r) {
        fr_free(data);
        fr_free(r);
        return FR_NOMEM;
    }
    memset(data, 1, READ_BYTES); /* untouched pages would all be one page of zeros */
    r->data = data;
    fr_peaks_measure_core(out);
    out->threads = fr_pool_threads(pool);
    out->f32[1] = rate(k->peak.f32, out->threads, pool);
    out->bf16[1] = rate(k->peak.bf16, out->threads, pool);
    out->int8[1] = rate(k->peak.int8, out->threads, pool);
    out->read[0] = read_rate(r, NULL);
    out->read[1] = read_rate(r, pool);
    fr_free(data);
    fr_free(r);
    return FR_OK;
}
