/* gemm_finish.c: the epilogue of a product, tile by tile while the sums are in the first cache:
 *
 *     c = act(alpha * sum + bias) + residual + (accumulate ? c : 0) */
#include <math.h>

#include "op/gemm_plan.h"

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

static const float *bias_of(const fr_gemm *g, int64_t col, int cols, float *wide) {
    if (!g->bias) return NULL;
    if (g->bias_type != FR_BF16) return (const float *)g->bias + col;
    const uint16_t *h = (const uint16_t *)g->bias + col;
    for (int j = 0; j < cols; j++) wide[j] = fr_bf16_to_f32(h[j]);
    return wide;
}

void gemm_finish(const gemm_plan *p, float *tile, int rows, int cols, int64_t row, int64_t col) {
    const fr_gemm *g = p->g;
    float alpha = g->alpha == 0 ? 1 : g->alpha;
    float wide[GEMM_MAX_NR];
    const float *bias = bias_of(g, col, cols, wide);
    size_t ld = (size_t)p->nr;
    if (bias || alpha != 1) p->kern->scale_bias(tile, ld, rows, cols, alpha, bias);
    if (g->act != FR_FN_NONE)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++) tile[i * ld + j] = act(g->act, tile[i * ld + j]);
    fr_gemm_store s = {
        .tile = tile,
        .ld = ld,
        .rows = rows,
        .cols = cols,
        .c = (char *)g->c + (size_t)(row * g->ldc + col) * gemm_type_bytes(g->c_type),
        .ldc = (size_t)g->ldc,
        .accumulate = g->accumulate,
        .c_bf16 = g->c_type == FR_BF16,
        .residual_bf16 = g->residual_type == FR_BF16,
    };
    if (g->residual) {
        size_t at = (size_t)(row * g->ldr + col) * gemm_type_bytes(g->residual_type);
        s.residual = (const char *)g->residual + at;
        s.ldr = (size_t)g->ldr;
    }
    p->kern->store(&s);
}
