/* conv.c (simd): depthwise convolution and pooling for any vector width.
 *
 * A depthwise row is walked in blocks of four output pixels, and inside a block over the channels:
 * the rows under the kernel are then read as a few forward streams, each input vector is loaded
 * once and multiplied into all the outputs that it touches. 3 and 5 taps at stride 1 and 2 are
 * unrolled by constant arguments; borders and all other forms go pixel by pixel with the range of
 * taps that lie inside. Sums run over the taps in the same order everywhere. */
#include "kernel/conv.h"
#include "kernel/simd/vec.h"

#define BLOCK 4

static inline vf32 load(const void *p, int64_t i, size_t n, bool half) {
    if (half) {
        const uint16_t *h = (const uint16_t *)p + i;
        return n == FR_VLEN ? vload_bf16(h) : vload_bf16_n(h, n);
    }
    const float *f = (const float *)p + i;
    return n == FR_VLEN ? vload(f) : vload_n(f, n);
}
static inline vf32 loadf(const float *p, size_t n) {
    return n == FR_VLEN ? vload(p) : vload_n(p, n);
}
static inline void storef(float *p, vf32 v, size_t n) {
    if (n == FR_VLEN)
        vstore(p, v);
    else
        vstore_n(p, v, n);
}

/* BLOCK outputs of one vector of channels; all taps inside, dilation 1. */
static inline __attribute__((always_inline)) void block_of(const fr_dw_row *d, float *out,
                                                           int64_t x, int64_t c, size_t n, int kw,
                                                           int stride, bool half) {
    vf32 acc[BLOCK], w[7];
    vf32 start = d->bias ? loadf(d->bias + c, n) : vzero();
    for (int i = 0; i < BLOCK; i++) acc[i] = start;
    for (int r = 0; r < d->rows; r++) {
        if (!d->in[r]) continue;
        int64_t at = (x * stride - d->before) * d->in_step + c;
        const float *wr = d->w + (int64_t)r * kw * d->w_step + c;
        for (int j = 0; j < kw; j++) w[j] = loadf(wr + j * d->w_step, n);
#pragma GCC unroll 16
        for (int col = 0; col < (BLOCK - 1) * stride + kw; col++) {
            vf32 v = load(d->in[r], at + col * d->in_step, n, half);
#pragma GCC unroll 4
            for (int i = 0; i < BLOCK; i++) {
                int j = col - i * stride;
                if (j >= 0 && j < kw) acc[i] = vfma(v, w[j], acc[i]);
            }
        }
    }
    for (int i = 0; i < BLOCK; i++) storef(out + (x + i) * d->out_step + c, acc[i], n);
}

static inline __attribute__((always_inline)) void
blocks_of(const fr_dw_row *d, float *out, int64_t x, int kw, int stride, bool half) {
    int64_t c = 0;
    for (; c + FR_VLEN <= d->channels; c += FR_VLEN)
        block_of(d, out, x, c, FR_VLEN, kw, stride, half);
    if (c < d->channels) block_of(d, out, x, c, (size_t)(d->channels - c), kw, stride, half);
}

/* One output pixel, taps lo .. hi-1 of each row lie inside. */
static inline __attribute__((always_inline)) void pixel(const fr_dw_row *d, float *out, int64_t x,
                                                        bool half) {
    int64_t first = x * d->stride - d->before;
    int lo = 0, hi = d->kw;
    while (lo < hi && first + (int64_t)lo * d->dilation < 0) lo++;
    while (hi > lo && first + (int64_t)(hi - 1) * d->dilation >= d->in_width) hi--;
    for (int64_t c = 0; c < d->channels; c += FR_VLEN) {
        size_t n = d->channels - c < FR_VLEN ? (size_t)(d->channels - c) : FR_VLEN;
        vf32 acc = d->bias ? loadf(d->bias + c, n) : vzero();
        for (int r = 0; r < d->rows; r++) {
            if (!d->in[r]) continue;
            for (int j = lo; j < hi; j++) {
                vf32 v =
                    load(d->in[r], (first + (int64_t)j * d->dilation) * d->in_step + c, n, half);
                acc = vfma(v, loadf(d->w + ((int64_t)r * d->kw + j) * d->w_step + c, n), acc);
            }
        }
        storef(out + x * d->out_step + c, acc, n);
    }
}

static inline __attribute__((always_inline)) void dw(const fr_dw_row *d, float *out, bool half) {
    bool k3 = d->kw == 3, k5 = d->kw == 5, s1 = d->stride == 1, s2 = d->stride == 2;
    /* Outputs lo .. hi-1 have all their taps inside. */
    int64_t lo = ((int64_t)d->before + d->stride - 1) / d->stride;
    int64_t room = d->in_width + d->before - d->kw;
    int64_t hi = room < 0 ? 0 : room / d->stride + 1;
    if (hi > d->out_width) hi = d->out_width;
    if (d->dilation != 1 || !(k3 || k5) || !(s1 || s2) || hi - lo < BLOCK) hi = lo = d->out_width;
    for (int64_t x = 0; x < lo; x++) pixel(d, out, x, half);
    for (int64_t x = lo; x < hi; x += BLOCK) {
        int64_t at = x + BLOCK > hi ? hi - BLOCK : x; /* the last block may overlap */
        if (k3 && s1) blocks_of(d, out, at, 3, 1, half);
        if (k3 && s2) blocks_of(d, out, at, 3, 2, half);
        if (k5 && s1) blocks_of(d, out, at, 5, 1, half);
        if (k5 && s2) blocks_of(d, out, at, 5, 2, half);
    }
    for (int64_t x = hi; x < d->out_width; x++) pixel(d, out, x, half);
}

void FR_NAME(dw_f32)(const fr_dw_row *d, float *out) {
    dw(d, out, false);
}
void FR_NAME(dw_bf16)(const fr_dw_row *d, float *out) {
    dw(d, out, true);
}

static inline __attribute__((always_inline)) void back(const fr_dw_row *d, float *out, bool half) {
    for (int64_t x = 0; x < d->out_width; x++)
        for (int64_t c = 0; c < d->channels; c += FR_VLEN) {
            size_t n = d->channels - c < FR_VLEN ? (size_t)(d->channels - c) : FR_VLEN;
            vf32 acc = d->bias ? loadf(d->bias + c, n) : vzero();
            for (int r = 0; r < d->rows; r++) {
                if (!d->in[r]) continue;
                for (int j = 0; j < d->kw; j++) {
                    int64_t p = x + d->before - (int64_t)j * d->dilation;
                    if (p < 0 || p % d->stride || p / d->stride >= d->in_width) continue;
                    vf32 v = load(d->in[r], p / d->stride * d->in_step + c, n, half);
                    acc = vfma(v, loadf(d->w + ((int64_t)r * d->kw + j) * d->w_step + c, n), acc);
                }
            }
            storef(out + x * d->out_step + c, acc, n);
        }
}

void FR_NAME(dw_back_f32)(const fr_dw_row *d, float *out) {
    back(d, out, false);
}
void FR_NAME(dw_back_bf16)(const fr_dw_row *d, float *out) {
    back(d, out, true);
}

static inline __attribute__((always_inline)) void weight(const fr_dw_row *d, const void *dy,
                                                         float *dw_out, bool half) {
    for (int64_t c = 0; c < d->channels; c += FR_VLEN) {
        size_t n = d->channels - c < FR_VLEN ? (size_t)(d->channels - c) : FR_VLEN;
        for (int r = 0; r < d->rows; r++) {
            if (!d->in[r]) continue;
            for (int j = 0; j < d->kw; j++) {
                float *o = dw_out + ((int64_t)r * d->kw + j) * d->w_step + c;
                vf32 sum = vzero();
                for (int64_t x = 0; x < d->out_width; x++) {
                    int64_t p = x * d->stride + (int64_t)j * d->dilation - d->before;
                    if (p < 0 || p >= d->in_width) continue;
                    sum = vfma(load(dy, x * d->out_step + c, n, half),
                               load(d->in[r], p * d->in_step + c, n, half), sum);
                }
                storef(o, vadd(loadf(o, n), sum), n);
            }
        }
    }
}

void FR_NAME(dw_weight_f32)(const fr_dw_row *d, const float *dy, float *dw_out) {
    weight(d, dy, dw_out, false);
}
void FR_NAME(dw_weight_bf16)(const fr_dw_row *d, const uint16_t *dy, float *dw_out) {
    weight(d, dy, dw_out, true);
}

static inline void pool_avg(float *out, const void *const *tap, int taps, float scale, size_t n,
                            bool half) {
    vf32 s = vset1(scale);
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t m = n - i < FR_VLEN ? n - i : FR_VLEN;
        vf32 sum = vzero();
        for (int t = 0; t < taps; t++) sum = vadd(sum, load(tap[t], (int64_t)i, m, half));
        storef(out + i, vmul(s, sum), m);
    }
}
void FR_NAME(pool_avg_f32)(float *out, const void *const *tap, int taps, float scale, size_t n) {
    pool_avg(out, tap, taps, scale, n, false);
}
void FR_NAME(pool_avg_bf16)(float *out, const void *const *tap, int taps, float scale, size_t n) {
    pool_avg(out, tap, taps, scale, n, true);
}

static inline void pool_max(float *out, const void *const *tap, int taps, size_t n, bool half) {
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t m = n - i < FR_VLEN ? n - i : FR_VLEN;
        vf32 best = vset1(-INFINITY);
        for (int t = 0; t < taps; t++) {
            vf32 v = load(tap[t], (int64_t)i, m, half);
            best = vsel(vmor(vlt(best, v), visnan(v)), v, best);
        }
        storef(out + i, best, m);
    }
}
void FR_NAME(pool_max_f32)(float *out, const void *const *tap, int taps, size_t n) {
    pool_max(out, tap, taps, n, false);
}
void FR_NAME(pool_max_bf16)(float *out, const void *const *tap, int taps, size_t n) {
    pool_max(out, tap, taps, n, true);
}

static inline void axpy(float *acc, float scale, const void *x, size_t n, bool half) {
    vf32 s = vset1(scale);
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t m = n - i < FR_VLEN ? n - i : FR_VLEN;
        storef(acc + i, vfma(load(x, (int64_t)i, m, half), s, loadf(acc + i, m)), m);
    }
}

void FR_NAME(conv_add_f32)(float *acc, const float *x, size_t n) {
    axpy(acc, 1, x, n, false);
}
void FR_NAME(conv_add_bf16)(float *acc, const uint16_t *x, size_t n) {
    axpy(acc, 1, x, n, true);
}
void FR_NAME(conv_axpy_f32)(float *acc, float scale, const float *x, size_t n) {
    axpy(acc, scale, x, n, false);
}
void FR_NAME(conv_axpy_bf16)(float *acc, float scale, const uint16_t *x, size_t n) {
    axpy(acc, scale, x, n, true);
}

static inline void max_of(float *best, int32_t *which, int32_t tap, const void *x, size_t n,
                          bool half) {
    vf32 t = vfrombits(viset1(tap));
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t m = n - i < FR_VLEN ? n - i : FR_VLEN;
        vf32 v = load(x, (int64_t)i, m, half), b = loadf(best + i, m);
        vmask take = vmor(vlt(b, v), visnan(v));
        storef(best + i, vsel(take, v, b), m);
        storef((float *)which + i, vsel(take, t, loadf((const float *)which + i, m)), m);
    }
}

void FR_NAME(conv_max_f32)(float *best, int32_t *which, int32_t tap, const float *x, size_t n) {
    max_of(best, which, tap, x, n, false);
}
void FR_NAME(conv_max_bf16)(float *best, int32_t *which, int32_t tap, const uint16_t *x, size_t n) {
    max_of(best, which, tap, x, n, true);
}

void FR_NAME(conv_add_where)(float *acc, const int32_t *which, int32_t tap, const float *x,
                             size_t n) {
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t m = n - i < FR_VLEN ? n - i : FR_VLEN;
        vi32 w = vbits(loadf((const float *)which + i, m));
        vf32 a = loadf(acc + i, m);
        storef(acc + i, vsel(vieq(w, viset1(tap)), vadd(a, loadf(x + i, m)), a), m);
    }
}
