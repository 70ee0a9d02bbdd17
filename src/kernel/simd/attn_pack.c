/* attn_pack.c: rows into the tiles of kernel/attn.h, and sums back into rows. */
#include "kernel/simd/attn.h"

/* FR_VLEN rows, n of their values from d on, into lanes of the panel. */
static inline void turn_in(const void *const *row, bool half, int64_t d, int n, float *out) {
    vf32 v[FR_VLEN];
    for (int i = 0; i < FR_VLEN; i++) {
        if (!row[i])
            v[i] = vzero();
        else
            v[i] =
                n == FR_VLEN ? attn_load(row[i], half, d) : attn_load_n(row[i], half, d, (size_t)n);
    }
    vturn(v);
    for (int j = 0; j < FR_VLEN; j++)
        if (j < n) vstore(out + j * LANES, v[j]);
}

void FR_NAME(attn_pack_panel)(const void *const *row, bool half, int64_t dim, void *panel) {
    for (int g = 0; g < LANES; g += FR_VLEN)
        for (int64_t d = 0; d < dim; d += FR_VLEN) {
            float *to = (float *)panel + d * LANES + g;
            if (dim - d >= FR_VLEN)
                turn_in(row + g, half, d, FR_VLEN, to);
            else
                turn_in(row + g, half, d, (int)(dim - d), to);
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

/* n values of the sums of FR_VLEN lanes to their rows. */
static inline void turn_out(const float *o, int lanes, const float *by, bool half, int64_t d, int n,
                            void *const *row) {
    vf32 v[FR_VLEN];
    for (int j = 0; j < FR_VLEN; j++) v[j] = j < n ? vload(o + j * lanes) : vzero();
    vturn(v);
    for (int i = 0; i < FR_VLEN; i++) {
        if (!row[i]) continue;
        vf32 x = vmul(v[i], vset1(by[i]));
        uint16_t *h = (uint16_t *)row[i] + d;
        float *f = (float *)row[i] + d;
        if (n == FR_VLEN && half)
            vstore_bf16(h, x);
        else if (n == FR_VLEN)
            vstore(f, x);
        else if (half)
            vstore_bf16_n(h, x, (size_t)n);
        else
            vstore_n(f, x, (size_t)n);
    }
}

void FR_NAME(attn_store)(const float *o, int lanes, int64_t dim, const float *by, bool half,
                         void *const *row) {
    for (int g = 0; g < lanes; g += FR_VLEN)
        for (int64_t d = 0; d < dim; d += FR_VLEN) {
            const float *from = o + d * lanes + g;
            if (dim - d >= FR_VLEN)
                turn_out(from, lanes, by + g, half, d, FR_VLEN, row + g);
            else
                turn_out(from, lanes, by + g, half, d, (int)(dim - d), row + g);
        }
}
