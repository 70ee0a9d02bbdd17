/* lib_kmeans.c: what bench/kmeans.py needs beside the public interface: the plain ways to sum points by label, and
 * what memory was counted. */
#include <string.h>

#include <frugal/frugal.h>

#include "base/base.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define EVERY_WIDTH __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EVERY_WIDTH
#endif

enum { CHUNK = 2048 };
enum { PLAIN, ATOMIC, PRIVATE };

typedef struct scatter {
    const float *x;
    const int32_t *label;
    int64_t n, d, k;
    float *sum; /* [threads, k, d] with PRIVATE, else [k, d] */
    int32_t *count;
} scatter;

FR_API fr_pool *fr_bench_kmeans_pool(int threads);
FR_API int fr_bench_kmeans_scatter(fr_pool *pool, int kind, const float *x, const int32_t *label,
                                   int64_t n, int64_t d, int64_t k, float *sum, int32_t *count);
FR_API double fr_bench_kmeans_peak(int reset);
FR_API void fr_bench_kmeans_wake(fr_pool *pool, double seconds);
FR_API const void *const *fr_bench_kmeans_interface(void);

/* This library shows the public functions, too: named here, so that they are in it. */
const void *const *fr_bench_kmeans_interface(void) {
    static const void *all[7];
    all[0] = (const void *)(uintptr_t)&fr_kmeans;
    all[1] = (const void *)(uintptr_t)&fr_kmeans_predict;
    all[2] = (const void *)(uintptr_t)&fr_kmeans_order;
    all[3] = (const void *)(uintptr_t)&fr_kmeans_defaults;
    all[4] = (const void *)(uintptr_t)&fr_message;
    all[5] = (const void *)(uintptr_t)&fr_version;
    return all;
}

fr_pool *fr_bench_kmeans_pool(int threads) {
    fr_pool *pool = NULL;
    return fr_pool_new(threads, &pool) ? NULL : pool;
}

/* Bytes that Frugal held at most since the last reset, as it counts them. */
double fr_bench_kmeans_peak(int reset) {
    const double peak = (double)fr_memory_total().peak;
    if (reset) fr_memory_reset_peak();
    return peak;
}

static void stay_busy(void *arg, size_t thread, size_t item) {
    (void)thread, (void)item;
    const double *until = arg;
    while (fr_now() < *until) {
    }
}

/* All threads work on nothing for so long: afterwards the processors are awake and as fast as they get. */
void fr_bench_kmeans_wake(fr_pool *pool, double seconds) {
    double until = fr_now() + seconds;
    fr_pool_run_thread(pool, (size_t)fr_pool_threads(pool), stay_busy, &until);
}

EVERY_WIDTH static void add_rows(const scatter *s, int64_t first, int64_t end, float *sum,
                                 int32_t *count) {
    for (int64_t i = first; i < end; i++) {
        float *to = sum + s->label[i] * s->d;
        const float *x = s->x + i * s->d;
        for (int64_t j = 0; j < s->d; j++) to[j] += x[j];
        count[s->label[i]]++;
    }
}

static void add_atomic(float *to, float x) {
    uint32_t was = __atomic_load_n((uint32_t *)(void *)to, __ATOMIC_RELAXED), is;
    do {
        float f;
        memcpy(&f, &was, 4);
        f += x;
        memcpy(&is, &f, 4);
    } while (!__atomic_compare_exchange_n((uint32_t *)(void *)to, &was, is, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
}

static void atomic_item(void *arg, size_t item) {
    const scatter *s = arg;
    for (int64_t i = (int64_t)item * CHUNK; i < FR_MIN(s->n, (int64_t)(item + 1) * CHUNK); i++) {
        for (int64_t j = 0; j < s->d; j++)
            add_atomic(&s->sum[s->label[i] * s->d + j], s->x[i * s->d + j]);
        __atomic_fetch_add(&s->count[s->label[i]], 1, __ATOMIC_RELAXED);
    }
}

static void private_item(void *arg, size_t thread, size_t item) {
    const scatter *s = arg;
    add_rows(s, (int64_t)item * CHUNK, FR_MIN(s->n, (int64_t)(item + 1) * CHUNK),
             s->sum + (int64_t)thread * s->k * s->d, s->count + (int64_t)thread * s->k);
}

/* sum [threads, k, d] and count [threads, k] hold the result in their first part. */
int fr_bench_kmeans_scatter(fr_pool *pool, int kind, const float *x, const int32_t *label,
                            int64_t n, int64_t d, int64_t k, float *sum, int32_t *count) {
    const int threads = kind == PRIVATE ? fr_pool_threads(pool) : 1;
    scatter s = {.x = x, .label = label, .n = n, .d = d, .k = k, .sum = sum, .count = count};
    const size_t items = (size_t)(n + CHUNK - 1) / CHUNK;
    memset(sum, 0, (size_t)(threads * k * d) * sizeof *sum);
    memset(count, 0, (size_t)(threads * k) * sizeof *count);
    if (kind == PLAIN) add_rows(&s, 0, n, sum, count);
    if (kind == ATOMIC) fr_pool_run(pool, items, atomic_item, &s);
    if (kind == PRIVATE) fr_pool_run_thread(pool, items, private_item, &s);
    for (int t = 1; t < threads; t++) {
        for (int64_t j = 0; j < k * d; j++) sum[j] += sum[t * k * d + j];
        for (int64_t j = 0; j < k; j++) count[j] += count[t * k + j];
    }
    return 0;
}
