/* gemm_finish.c: the epilogue of a product, tile by tile while the sums are in the first cache:
 *
 *     c = act(alpha * sum + bias) + residual + (accumulate ? c : 0) */
#include "op/gemm_plan.h"

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
    /* The whole tile is one row: what lies past n is finite or not, and never stored. */
    if (g->act != FR_FN_NONE) fr_kernel()->rows.unary(g->act, tile, (size_t)rows * ld, tile);
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
