/* gemm_ref.c: the meaning of the product kernels in plain C; see kernel/gemm.h. */
#include <string.h>

#include "kernel/kernel.h"

#define MR 4
#define NR 8

static float from_bf16(uint32_t h) {
    uint32_t u = h << 16;
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static uint16_t to_bf16(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40); /* quiet NaN */
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

static void put(const float *sum, int rows, float *c, size_t ldc, bool add) {
    for (int i = 0; i < rows; i++, c += ldc, sum += NR)
        for (int j = 0; j < NR; j++) c[j] = add ? c[j] + sum[j] : sum[j];
}

static void gemm_f32_ref(int rows, size_t steps, const void *a, const void *b, float *c, size_t ldc,
                         bool add) {
    const float *pa = a, *pb = b;
    float sum[MR * NR] = {0};
    for (size_t p = 0; p < steps; p++, pa += rows, pb += NR)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < NR; j++) sum[i * NR + j] += pa[i] * pb[j];
    put(sum, rows, c, ldc, add);
}

static void gemm_f32_bf16_ref(int rows, size_t steps, const void *a, const void *b, float *c,
                              size_t ldc, bool add) {
    const float *pa = a;
    const uint32_t *pb = b;
    float sum[MR * NR] = {0};
    for (size_t p = 0; p < steps; p++, pb += NR) {
        for (int half = 0; half < 2; half++, pa += rows)
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < NR; j++)
                    sum[i * NR + j] += pa[i] * from_bf16(pb[j] >> (16 * half) & 0xffff);
    }
    put(sum, rows, c, ldc, add);
}

static void pack_rows_ref(const void *in, size_t stride, int rows, size_t count, int width,
                          void *out) {
    uint32_t *o = out;
    for (size_t p = 0; p < count; p++, o += width) {
        for (int i = 0; i < rows; i++) memcpy(o + i, (const char *)in + i * stride + p * 4, 4);
        for (int i = rows; i < width; i++) o[i] = 0;
    }
}

static void pack_cols_ref(const void *in, size_t stride, int cols, size_t count, int width,
                          void *out) {
    uint32_t *o = out;
    for (size_t p = 0; p < count; p++, o += width) {
        if (cols > 0) memcpy(o, (const char *)in + p * stride, (size_t)cols * 4);
        for (int j = cols; j < width; j++) o[j] = 0;
    }
}

static void pack_pairs_ref(const void *in, size_t stride, int cols, size_t count, int width,
                           void *out) {
    uint16_t *o = out;
    for (size_t p = 0; p < count; p += 2, o += 2 * width) {
        memset(o, 0, (size_t)width * 4);
        for (int half = 0; half < 2 && p + half < count; half++) {
            const uint16_t *h = (const void *)((const char *)in + (p + half) * stride);
            for (int j = 0; j < cols; j++) o[2 * j + half] = h[j];
        }
    }
}

static void scale_bias_ref(float *tile, size_t ld, int rows, int cols, float alpha,
                           const float *bias) {
    for (int i = 0; i < rows; i++, tile += ld)
        for (int j = 0; j < cols; j++) tile[j] = alpha * tile[j] + (bias ? bias[j] : 0);
}

static float load_value(const void *p, size_t i, bool bf16) {
    return bf16 ? from_bf16(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

static void store_ref(const fr_gemm_store *s) {
    for (int i = 0; i < s->rows; i++) {
        for (int j = 0; j < s->cols; j++) {
            size_t at = i * s->ldc + j;
            float x = s->tile[i * s->ld + j];
            if (s->residual) x += load_value(s->residual, i * s->ldr + j, s->residual_bf16);
            if (s->accumulate) x += load_value(s->c, at, s->c_bf16);
            if (s->c_bf16) {
                ((uint16_t *)s->c)[at] = to_bf16(x);
            } else {
                ((float *)s->c)[at] = x;
            }
        }
    }
}

void fr_gemm_fill_ref(fr_gemm_kernels *out) {
    *out = (fr_gemm_kernels){
        .mr = MR,
        .nr = NR,
        .tile = {gemm_f32_ref, gemm_f32_bf16_ref, NULL},
        .pack_rows = pack_rows_ref,
        .pack_cols = pack_cols_ref,
        .pack_pairs = pack_pairs_ref,
        .scale_bias = scale_bias_ref,
        .store = store_ref,
    };
}
