/* gemm_batch.c: many products of one shape. Small ones are dealt out whole, one thread each; large
 * ones come one after another with all threads inside. */
#include "op/gemm_plan.h"

#define LARGE 3e7 /* multiply-adds: from here on one product feeds the pool by itself */

static bool large(const fr_gemm *g) {
    return (double)g->m * (double)g->n * (double)g->k >= LARGE;
}

static fr_gemm product(const fr_gemm_batch *b, int64_t i) {
    fr_gemm g = b->g;
    if (g.a) g.a = (const char *)g.a + (size_t)(i * b->stride_a) * gemm_type_bytes(g.a_type);
    if (g.b) g.b = (const char *)g.b + (size_t)(i * b->stride_b) * gemm_type_bytes(g.b_type);
    g.c = (char *)g.c + (size_t)(i * b->stride_c) * gemm_type_bytes(g.c_type);
    return g;
}

size_t fr_gemm_batch_scratch(const fr_gemm_batch *b, const fr_pool *pool) {
    if (large(&b->g)) return fr_gemm_scratch(&b->g, pool);
    return fr_gemm_scratch(&b->g, NULL) * (size_t)fr_pool_threads(pool);
}

typedef struct deal {
    const fr_gemm_batch *b;
    char *scratch;
    size_t bytes;
} deal;

static void one(void *arg, size_t thread, size_t item) {
    const deal *d = arg;
    fr_gemm g = product(d->b, (int64_t)item);
    fr_gemm_run(&g, d->scratch + thread * d->bytes, NULL);
}

void fr_gemm_batch_run(const fr_gemm_batch *b, void *scratch, fr_pool *pool) {
    if (b->count <= 0) return;
    if (large(&b->g)) {
        for (int64_t i = 0; i < b->count; i++) {
            fr_gemm g = product(b, i);
            fr_gemm_run(&g, scratch, pool);
        }
        return;
    }
    double work = (double)b->count * (double)b->g.m * (double)b->g.n * (double)b->g.k;
    if (work < 1e5) pool = NULL;
    deal d = {b, scratch, fr_gemm_scratch(&b->g, NULL)};
    fr_pool_run_thread(pool, (size_t)b->count, one, &d);
}
