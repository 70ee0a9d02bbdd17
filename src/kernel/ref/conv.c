/* conv.c (ref): the meaning of the convolution and pooling kernels, in plain C. */
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"

static float from_bf16(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static float at(const void *p, int64_t i, bool half) {
    return half ? from_bf16(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

/* The value under tap j of output pixel x in row r, 0 in the padding. */
static float under(const fr_dw_row *d, int r, int64_t p, int64_t c, bool half) {
    if (!d->in[r] || p < 0 || p >= d->in_width) return 0;
    return at(d->in[r], p * d->in_step + c, half);
}

static void dw(const fr_dw_row *d, float *out, bool half) {
    for (int64_t x = 0; x < d->out_width; x++)
        for (int64_t c = 0; c < d->channels; c++) {
            float sum = d->bias ? d->bias[c] : 0;
            for (int r = 0; r < d->rows; r++)
                for (int j = 0; j < d->kw; j++) {
                    int64_t p = x * d->stride + (int64_t)j * d->dilation - d->before;
                    sum += under(d, r, p, c, half) * d->w[(r * d->kw + j) * d->w_step + c];
                }
            out[x * d->out_step + c] = sum;
        }
}

void dw_f32_ref(const fr_dw_row *d, float *out) {
    dw(d, out, false);
}
void dw_bf16_ref(const fr_dw_row *d, float *out) {
    dw(d, out, true);
}

static void dw_back(const fr_dw_row *d, float *out, bool half) {
    for (int64_t x = 0; x < d->out_width; x++)
        for (int64_t c = 0; c < d->channels; c++) {
            float sum = d->bias ? d->bias[c] : 0;
            for (int r = 0; r < d->rows; r++)
                for (int j = 0; j < d->kw; j++) {
                    int64_t p = x + d->before - (int64_t)j * d->dilation;
                    if (p < 0 || p % d->stride) continue;
                    sum +=
                        under(d, r, p / d->stride, c, half) * d->w[(r * d->kw + j) * d->w_step + c];
                }
            out[x * d->out_step + c] = sum;
        }
}

void dw_back_f32_ref(const fr_dw_row *d, float *out) {
    dw_back(d, out, false);
}
void dw_back_bf16_ref(const fr_dw_row *d, float *out) {
    dw_back(d, out, true);
}

static void dw_weight(const fr_dw_row *d, const void *dy, float *dw_out, bool half) {
    for (int r = 0; r < d->rows; r++)
        for (int j = 0; j < d->kw; j++)
            for (int64_t c = 0; c < d->channels; c++) {
                float sum = 0;
                for (int64_t x = 0; x < d->out_width; x++) {
                    int64_t p = x * d->stride + (int64_t)j * d->dilation - d->before;
                    sum += at(dy, x * d->out_step + c, half) * under(d, r, p, c, half);
                }
                dw_out[(r * d->kw + j) * d->w_step + c] += sum;
            }
}

void dw_weight_f32_ref(const fr_dw_row *d, const float *dy, float *dw_out) {
    dw_weight(d, dy, dw_out, false);
}
void dw_weight_bf16_ref(const fr_dw_row *d, const uint16_t *dy, float *dw_out) {
    dw_weight(d, dy, dw_out, true);
}

static void pool_avg(float *out, const void *const *tap, int taps, float scale, size_t n,
                     bool half) {
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (int t = 0; t < taps; t++) sum += at(tap[t], (int64_t)i, half);
        out[i] = scale * sum;
    }
}
void pool_avg_f32_ref(float *out, const void *const *tap, int taps, float scale, size_t n) {
    pool_avg(out, tap, taps, scale, n, false);
}
void pool_avg_bf16_ref(float *out, const void *const *tap, int taps, float scale, size_t n) {
    pool_avg(out, tap, taps, scale, n, true);
}

static void pool_max(float *out, const void *const *tap, int taps, size_t n, bool half) {
    for (size_t i = 0; i < n; i++) {
        float best = -INFINITY;
        for (int t = 0; t < taps; t++) {
            float x = at(tap[t], (int64_t)i, half);
            if (x > best || x != x) best = x;
        }
        out[i] = best;
    }
}
void pool_max_f32_ref(float *out, const void *const *tap, int taps, size_t n) {
    pool_max(out, tap, taps, n, false);
}
void pool_max_bf16_ref(float *out, const void *const *tap, int taps, size_t n) {
    pool_max(out, tap, taps, n, true);
}

void conv_add_f32_ref(float *acc, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) acc[i] += x[i];
}
void conv_add_bf16_ref(float *acc, const uint16_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) acc[i] += from_bf16(x[i]);
}
void conv_axpy_f32_ref(float *acc, float scale, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) acc[i] += scale * x[i];
}
void conv_axpy_bf16_ref(float *acc, float scale, const uint16_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) acc[i] += scale * from_bf16(x[i]);
}

static void max_one(float *best, int32_t *which, int32_t tap, float x) {
    if (!(x > *best) && x == x) return;
    *best = x;
    *which = tap;
}
void conv_max_f32_ref(float *best, int32_t *which, int32_t tap, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) max_one(best + i, which + i, tap, x[i]);
}
void conv_max_bf16_ref(float *best, int32_t *which, int32_t tap, const uint16_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) max_one(best + i, which + i, tap, from_bf16(x[i]));
}
void conv_add_where_ref(float *acc, const int32_t *which, int32_t tap, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (which[i] == tap) acc[i] += x[i];
}
