/* gemm.c: matrix products on the pool. First form: the meaning, one row after another. */
#include "op/gemm.h"

#include <math.h>

/* Until the row kernels serve: the functions that may stand behind a product. */
static float act(fr_fn fn, float x) {
    switch (fn) {
    case FR_FN_RELU: return x > 0 || x != x ? x : 0;
    case FR_FN_RELU6: return x != x ? x : fminf(fmaxf(x, 0), 6);
    case FR_FN_SILU: return x / (1 + expf(-x));
    case FR_FN_GELU: return 0.5f * x * (1 + erff(x * 0.70710678f));
    case FR_FN_GELU_TANH: return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case FR_FN_SIGMOID: return 1 / (1 + expf(-x));
    case FR_FN_TANH: return tanhf(x);
    case FR_FN_HSWISH: return x * (x != x ? x : fminf(fmaxf(x + 3, 0), 6)) * (1.0f / 6);
    default: return x;
    }
}

static float load(fr_dtype t, const void *p, int64_t i) {
    return t == FR_BF16 ? fr_bf16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

static void store(fr_dtype t, void *p, int64_t i, float x) {
    if (t == FR_BF16) {
        ((uint16_t *)p)[i] = fr_f32_to_bf16(x);
    } else {
        ((float *)p)[i] = x;
    }
}

size_t fr_gemm_pack_bytes(const fr_gemm *g) {
    return (size_t)g->k * (size_t)g->n * sizeof(float);
}

void fr_gemm_pack_b(const fr_gemm *g, void *out, fr_pool *pool) {
    (void)pool;
    float *o = out;
    for (int64_t p = 0; p < g->k; p++)
        for (int64_t j = 0; j < g->n; j++)
            *o++ = load(g->b_type, g->b, g->tb ? j * g->ldb + p : p * g->ldb + j);
}

size_t fr_gemm_scratch(const fr_gemm *g, const fr_pool *pool) {
    return (size_t)fr_pool_threads(pool) * fr_round_up((size_t)g->k * sizeof(float), FR_ALIGN);
}

typedef struct product {
    const fr_gemm *g;
    char *scratch;
    size_t row_bytes;
} product;

static void one_row(void *arg, size_t thread, size_t item) {
    const product *p = arg;
    const fr_gemm *g = p->g;
    int64_t i = (int64_t)item;
    const void *a = g->a;
    int64_t step = g->ta ? g->lda : 1, first = g->ta ? i : i * g->lda;
    if (g->a_rows) {
        void *row = p->scratch + thread * p->row_bytes;
        g->a_rows(g->a_arg, i, 1, 0, g->k, row, g->k);
        a = row, step = 1, first = 0;
    }
    for (int64_t j = 0; j < g->n; j++) {
        float sum = 0;
        for (int64_t q = 0; q < g->k; q++) {
            float b = g->b_packed ? ((const float *)g->b_packed)[q * g->n + j]
                                  : load(g->b_type, g->b, g->tb ? j * g->ldb + q : q * g->ldb + j);
            sum += load(g->a_type, a, first + q * step) * b;
        }
        float x = (g->alpha == 0 ? 1 : g->alpha) * sum;
        if (g->bias) x += load(g->bias_type, g->bias, j);
        x = act(g->act, x);
        if (g->residual) x += load(g->residual_type, g->residual, i * g->ldr + j);
        if (g->accumulate) x += load(g->c_type, g->c, i * g->ldc + j);
        store(g->c_type, g->c, i * g->ldc + j, x);
    }
}

void fr_gemm_run(const fr_gemm *g, void *scratch, fr_pool *pool) {
    product p = {g, scratch, fr_round_up((size_t)g->k * sizeof(float), FR_ALIGN)};
    fr_pool_run_thread(pool, (size_t)g->m, one_row, &p);
}

size_t fr_gemm_batch_scratch(const fr_gemm_batch *b, const fr_pool *pool) {
    return fr_gemm_scratch(&b->g, pool);
}

void fr_gemm_batch_run(const fr_gemm_batch *b, void *scratch, fr_pool *pool) {
    for (int64_t i = 0; i < b->count; i++) {
        fr_gemm g = b->g;
        size_t a_bytes = g.a_type == FR_BF16 ? 2 : 4, b_bytes = g.b_type == FR_BF16 ? 2 : 4;
        size_t c_bytes = g.c_type == FR_BF16 ? 2 : 4;
        if (g.a) g.a = (const char *)g.a + (size_t)(i * b->stride_a) * a_bytes;
        if (g.b) g.b = (const char *)g.b + (size_t)(i * b->stride_b) * b_bytes;
        g.c = (char *)g.c + (size_t)(i * b->stride_c) * c_bytes;
        fr_gemm_run(&g, scratch, pool);
    }
}
