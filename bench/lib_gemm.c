/* lib_gemm.c: a linear without a graph around it, for bench/gemm.py: x [m, k] times a packed weight
 * [n, k], in f32 or bf16. */
#include "op/gemm.h"

typedef struct bench_linear {
    fr_gemm g;
    void *packed, *scratch;
    fr_pool *pool;
} bench_linear;

FR_API bench_linear *fr_bench_linear_new(int64_t m, int64_t n, int64_t k, int bf16, int threads,
                                         const void *x, const void *w, void *y);
FR_API void fr_bench_linear_run(bench_linear *b);
FR_API void fr_bench_linear_free(bench_linear *b);

bench_linear *fr_bench_linear_new(int64_t m, int64_t n, int64_t k, int bf16, int threads,
                                  const void *x, const void *w, void *y) {
    bench_linear *b = fr_alloc(FR_MEM_OTHER, sizeof *b);
    const fr_dtype type = bf16 ? FR_BF16 : FR_F32;
    if (!b) return NULL;
    b->g = (fr_gemm){.m = m, .n = n, .k = k, .a = x, .lda = k, .b = w, .ldb = k, .tb = true};
    b->g.c = y, b->g.ldc = n;
    b->g.a_type = b->g.b_type = b->g.c_type = type;
    b->packed = fr_alloc(FR_MEM_PACKED, fr_gemm_pack_bytes(&b->g));
    if (fr_pool_new(threads, &b->pool) || !b->packed) return NULL;
    fr_gemm_pack_b(&b->g, b->packed, b->pool);
    b->g.b_packed = b->packed;
    b->scratch = fr_alloc(FR_MEM_ARENA, fr_gemm_scratch(&b->g, b->pool));
    return b->scratch ? b : NULL;
}

void fr_bench_linear_run(bench_linear *b) {
    fr_gemm_run(&b->g, b->scratch, b->pool);
}

void fr_bench_linear_free(bench_linear *b) {
    fr_pool_free(b->pool);
    fr_free(b->packed);
    fr_free(b->scratch);
    fr_free(b);
}
