/* attn_pack.c: rows into the tiles of kernel/attn.h, and sums back into rows. */
#include "kernel/simd/attn.h"

void FR_NAME(attn_pack_panel)(const void *const *row, bool half, int64_t dim, void *panel) {
    float *out = panel;
    for (int lane = 0; lane < LANES; lane++) {
        const float *x = row[lane];
        const uint16_t *h = row[lane];
        if (!x)
            for (int64_t d = 0; d < dim; d++) out[d * LANES + lane] = 0.0f;
        else if (half)
            for (int64_t d = 0; d < dim; d++) {
                uint32_t bits = (uint32_t)h[d] << 16;
                memcpy(&out[d * LANES + lane], &bits, 4);
            }
        else
            for (int64_t d = 0; d < dim; d++) out[d * LANES + lane] = x[d];
    }
}

static inline void copy_row(const void *row, bool half, int64_t dim, int64_t ld, float *out) {
    int64_t d = 0;
    for (; d + FR_VLEN <= dim; d += FR_VLEN) vstore(out + d, attn_load(row, half, d));
    if (d < dim) {
        vstore(out + d, attn_load_n(row, half, d, (size_t)(dim - d)));
        d += FR_VLEN;
    }
    for (; d < ld; d += FR_VLEN) vstore(out + d, vzero());
}

void FR_NAME(attn_pack_rows)(const void *const *row, int64_t count, bool half, int64_t dim,
                             void *rows) {
    const int64_t ld = fr_attn_ld(dim);
    float *out = rows;
    for (int64_t j = 0; j < count; j++) copy_row(row[j], half, dim, ld, out + j * ld);
    for (int64_t j = count; j % GROUP; j++) memset(out + j * ld, 0, (size_t)ld * sizeof *out);
}

void FR_NAME(attn_pack_spread)(const void *const *row, bool half, int64_t dim, void *out) {
    const int64_t ld = fr_attn_ld(dim);
    for (int lane = 0; lane < LANES; lane++) {
        float *to = (float *)out + lane * ld;
        if (row[lane])
            copy_row(row[lane], half, dim, ld, to);
        else
            memset(to, 0, (size_t)ld * sizeof *to);
    }
}

/* One vector into the column blocks that it spans. */
static inline void put_cols(vf32 v, int64_t cap, float *out) {
    float x[FR_VLEN];
    vstore(x, v);
    for (int i = 0; i < FR_VLEN; i += GROUP) memcpy(out + i * cap, x + i, GROUP * sizeof *x);
}

bool FR_NAME(attn_pack_cols)(const void *const *row, int64_t count, bool half, int64_t dim,
                             int64_t cap, void *cols) {
    float *out = cols;
    vf32 bad = vzero(); /* x * 0 is 0, or NaN when x is not finite */
    for (int64_t j = 0; j < count; j++) {
        int64_t d = 0;
        for (; d + FR_VLEN <= dim; d += FR_VLEN) {
            vf32 v = attn_load(row[j], half, d);
            bad = vfma(v, vzero(), bad);
            put_cols(v, cap, out + d * cap + j * GROUP);
        }
        if (d < dim) {
            vf32 v = attn_load_n(row[j], half, d, (size_t)(dim - d));
            bad = vfma(v, vzero(), bad);
            float x[FR_VLEN];
            vstore(x, v);
            for (int i = 0; d + i < dim; i += GROUP)
                memcpy(out + (d + i) * cap + j * GROUP, x + i, GROUP * sizeof *x);
        }
    }
    return !vany(visnan(bad));
}

void FR_NAME(attn_store)(const float *o, int lanes, int64_t dim, const float *by, bool half,
                         void *const *row) {
    float x[FR_VLEN];
    for (int lane = 0; lane < lanes; lane++) {
        if (!row[lane]) continue;
        vf32 scale = vset1(by[lane]);
        for (int64_t d = 0; d < dim; d += FR_VLEN) {
            int64_t n = dim - d < FR_VLEN ? dim - d : FR_VLEN;
            for (int64_t i = 0; i < FR_VLEN; i++) x[i] = i < n ? o[(d + i) * lanes + lane] : 0.0f;
            vf32 v = vmul(vload(x), scale);
            if (n == FR_VLEN) {
                if (half)
                    vstore_bf16((uint16_t *)row[lane] + d, v);
                else
                    vstore((float *)row[lane] + d, v);
            } else if (half)
                vstore_bf16_n((uint16_t *)row[lane] + d, v, (size_t)n);
            else
                vstore_n((float *)row[lane] + d, v, (size_t)n);
        }
    }
}
