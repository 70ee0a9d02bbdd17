/* gemm_pack.c: from matrices as they lie in memory to the panels that the tile kernels read. */
#include <string.h>

#include "op/gemm_plan.h"

static const void *at(const void *base, fr_dtype t, int64_t index) {
    return (const char *)base + (size_t)index * gemm_type_bytes(t);
}

/* Rows of bf16 whose k runs along the row: pairs are lanes already, but for an odd last one. */
static void pack_pair_rows(const fr_gemm_kernels *kern, const void *in, size_t stride, int rows,
                           int64_t k, int width, void *out) {
    kern->pack_rows(in, stride, rows, (size_t)k / 2, width, out);
    if (k % 2 == 0) return;
    uint32_t *last = (uint32_t *)out + (size_t)(k / 2) * width;
    memset(last, 0, (size_t)width * 4);
    for (int i = 0; i < rows; i++) {
        uint16_t h;
        memcpy(&h, (const char *)in + (size_t)i * stride + (size_t)(k - 1) * 2, 2);
        last[i] = h;
    }
}

void gemm_pack_b_panel(const gemm_plan *p, int64_t col, int64_t s0, int64_t count, void *out) {
    const fr_gemm *g = p->g;
    int cols = (int)FR_MIN(g->n - col, p->nr);
    int64_t k0 = s0 * p->per_step, k = FR_MIN(count * p->per_step, g->k - k0);
    if (k <= 0) return;
    size_t stride = (size_t)g->ldb * gemm_type_bytes(g->b_type);
    const void *in = at(g->b, g->b_type, g->tb ? col * g->ldb + k0 : k0 * g->ldb + col);
    if (g->b_type != FR_BF16) {
        (g->tb ? p->kern->pack_rows : p->kern->pack_cols)(in, stride, cols, (size_t)k, p->nr, out);
    } else if (g->tb) {
        pack_pair_rows(p->kern, in, stride, cols, k, p->nr, out);
    } else {
        p->kern->pack_pairs(in, stride, cols, (size_t)k, p->nr, out);
    }
}

/* What a panel of A may need in passing: made rows, and the same rows widened. */
size_t gemm_temp_bytes(const gemm_plan *p) {
    const fr_gemm *g = p->g;
    size_t values = (size_t)p->mr * (size_t)FR_MIN(p->block * p->per_step, FR_MAX_OF(g->k, 1));
    size_t bytes = 0;
    if (g->a_rows) bytes += values * gemm_type_bytes(g->a_type);
    if (g->a_type == FR_BF16 && p->kind != FR_GEMM_BF16) bytes += values * 4;
    return fr_round_up(bytes, FR_ALIGN);
}

static void widen(const uint16_t *in, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = fr_bf16_to_f32(in[i]);
}

/* A stored with k along the rows. */
static void pack_a_rows(const gemm_plan *p, const void *in, int64_t ld, int rows, int64_t k,
                        float *temp, void *out) {
    size_t stride = (size_t)ld * gemm_type_bytes(p->g->a_type);
    if (p->kind == FR_GEMM_BF16) {
        pack_pair_rows(p->kern, in, stride, rows, k, rows, out);
        return;
    }
    if (p->g->a_type == FR_BF16) {
        for (int i = 0; i < rows; i++)
            widen((const uint16_t *)in + i * ld, k, temp + (size_t)i * k);
        in = temp, stride = (size_t)k * 4;
    }
    p->kern->pack_rows(in, stride, rows, (size_t)k, rows, out);
}

/* A stored transposed, k from row to row. */
static void pack_a_cols(const gemm_plan *p, const void *in, int64_t ld, int rows, int64_t k,
                        void *out) {
    size_t stride = (size_t)ld * gemm_type_bytes(p->g->a_type);
    if (p->kind == FR_GEMM_BF16) {
        p->kern->pack_pairs(in, stride, rows, (size_t)k, rows, out);
    } else if (p->g->a_type == FR_BF16) {
        for (int64_t q = 0; q < k; q++)
            widen((const uint16_t *)in + q * ld, rows, (float *)out + q * rows);
    } else {
        p->kern->pack_cols(in, stride, rows, (size_t)k, rows, out);
    }
}

void gemm_pack_a_panel(const gemm_plan *p, int64_t row, int rows, int64_t s0, int64_t count,
                       void *temp, void *out) {
    const fr_gemm *g = p->g;
    int64_t k0 = s0 * p->per_step, k = FR_MIN(count * p->per_step, g->k - k0);
    if (k <= 0) return;
    if (g->a_rows) {
        g->a_rows(g->a_arg, row, rows, k0, k, temp, k);
        size_t made = (size_t)rows * (size_t)k * gemm_type_bytes(g->a_type);
        float *wide = (float *)((char *)temp + fr_round_up(made, 4));
        pack_a_rows(p, temp, k, rows, k, wide, out);
    } else if (g->ta) {
        pack_a_cols(p, at(g->a, g->a_type, k0 * g->lda + row), g->lda, rows, k, out);
    } else {
        pack_a_rows(p, at(g->a, g->a_type, row * g->lda + k0), g->lda, rows, k, temp, out);
    }
    /* The second half of an odd last pair, where A is f32. */
    if (p->kind == FR_GEMM_F32_BF16 && k % 2)
        memset((float *)out + (size_t)k * rows, 0, (size_t)rows * 4);
}
