/* gemm_rows.c: what stands around the tiles of a matrix product: packing by columns, and the
 * epilogue over a tile that is still in the first cache. */
#include "kernel/kernel.h"
#include "kernel/simd/vec.h"

#ifdef FR_ISA

static void FR_NAME(scale_bias)(float *tile, size_t ld, int rows, int cols, float alpha,
                                const float *bias) {
    vf32 va = vset1(alpha);
    for (int j = 0; j < cols; j += FR_VLEN) {
        size_t left = (size_t)(cols - j);
        vf32 vb = vzero();
        if (bias) vb = left >= FR_VLEN ? vload(bias + j) : vload_n(bias + j, left);
        float *t = tile + j;
        for (int i = 0; i < rows; i++, t += ld) {
            if (left >= FR_VLEN) {
                vstore(t, vfma(va, vload(t), vb));
            } else {
                vstore_n(t, vfma(va, vload_n(t, left), vb), left);
            }
        }
    }
}

static inline vf32 FR_NAME(load_some)(const void *row, size_t j, size_t left, bool bf16) {
    const uint16_t *h = (const uint16_t *)row + j;
    const float *f = (const float *)row + j;
    if (bf16) return left >= FR_VLEN ? vload_bf16(h) : vload_bf16_n(h, left);
    return left >= FR_VLEN ? vload(f) : vload_n(f, left);
}

static inline void FR_NAME(store_some)(void *row, size_t j, size_t left, bool bf16, vf32 v) {
    uint16_t *h = (uint16_t *)row + j;
    float *f = (float *)row + j;
    if (bf16 && left >= FR_VLEN) {
        vstore_bf16(h, v);
    } else if (bf16) {
        vstore_bf16_n(h, v, left);
    } else if (left >= FR_VLEN) {
        vstore(f, v);
    } else {
        vstore_n(f, v, left);
    }
}

static void FR_NAME(store)(const fr_gemm_store *s) {
    char *c = s->c;
    const char *r = s->residual;
    const float *t = s->tile;
    size_t c_step = s->ldc * (s->c_bf16 ? 2 : 4), r_step = s->ldr * (s->residual_bf16 ? 2 : 4);
    size_t cols = (size_t)s->cols;
    for (int i = 0; i < s->rows; i++, c += c_step, t += s->ld) {
        for (size_t j = 0; j < cols; j += FR_VLEN) {
            size_t left = cols - j;
            vf32 v = left >= FR_VLEN ? vload(t + j) : vload_n(t + j, left);
            if (r) v = vadd(v, FR_NAME(load_some)(r, j, left, s->residual_bf16));
            if (s->accumulate) v = vadd(v, FR_NAME(load_some)(c, j, left, s->c_bf16));
            FR_NAME(store_some)(c, j, left, s->c_bf16, v);
        }
        if (r) r += r_step;
    }
}

static void FR_NAME(pack_cols)(const void *in, size_t stride, int cols, size_t count, int width,
                               void *out) {
    const char *row = in;
    float *o = out;
    for (size_t p = 0; p < count; p++, row += stride, o += width) {
        const float *f = (const float *)row;
        int j = 0;
        for (; j + FR_VLEN <= cols; j += FR_VLEN) vstore(o + j, vload(f + j));
        if (j < cols) memcpy(o + j, f + j, (size_t)(cols - j) * 4);
        if (cols < width) memset(o + cols, 0, (size_t)(width - cols) * 4);
    }
}

static void FR_NAME(pack_pairs)(const void *in, size_t stride, int cols, size_t count, int width,
                                void *out) {
    const char *row = in;
    uint32_t *o = out;
    for (size_t p = 0; p < count; p += 2, row += 2 * stride, o += width) {
        const uint16_t *h0 = (const uint16_t *)row, *h1 = (const uint16_t *)(row + stride);
        if (p + 1 < count) {
            for (int j = 0; j < cols; j++) o[j] = h0[j] | (uint32_t)h1[j] << 16;
        } else {
            for (int j = 0; j < cols; j++) o[j] = h0[j];
        }
        for (int j = cols; j < width; j++) o[j] = 0;
    }
}

void FR_NAME(fr_gemm_fill_rows)(fr_gemm_kernels *out) {
    out->scale_bias = FR_NAME(scale_bias);
    out->store = FR_NAME(store);
    out->pack_cols = FR_NAME(pack_cols);
    out->pack_pairs = FR_NAME(pack_pairs);
}

#endif
