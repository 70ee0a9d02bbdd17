/* attn.c (ref): tiled attention in plain C: 8 lanes, groups of 4. Short loops that state the
 * meaning of each kernel; the vector versions may add in another order. */
#include "kernel/ref/attn.h"

#include <math.h>
#include <string.h>

enum { LANES = 8, GROUP = 4 };

static float value(const void *row, bool half, int64_t at) {
    if (!half) return ((const float *)row)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)row)[at] << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* To bf16: to nearest, ties to even; NaN stays NaN. */
static void put(void *row, bool half, int64_t at, float x) {
    if (!half) {
        ((float *)row)[at] = x;
        return;
    }
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        u |= 0x400000u;
    else
        u += 0x7fffu + ((u >> 16) & 1);
    ((uint16_t *)row)[at] = (uint16_t)(u >> 16);
}

static void pack_panel(const void *const *row, bool half, int64_t dim, void *panel) {
    float *out = panel;
    for (int64_t d = 0; d < dim; d++)
        for (int lane = 0; lane < LANES; lane++)
            out[d * LANES + lane] = row[lane] ? value(row[lane], half, d) : 0.0f;
}

static int64_t whole_groups(int64_t n) {
    return (n + GROUP - 1) / GROUP * GROUP;
}

static void pack_rows(const void *const *row, int64_t count, bool half, int64_t dim, void *rows) {
    const int64_t ld = fr_attn_ld(dim);
    float *out = rows;
    for (int64_t j = 0; j < whole_groups(count); j++)
        for (int64_t d = 0; d < ld; d++)
            out[j * ld + d] = j < count && d < dim ? value(row[j], half, d) : 0.0f;
}

static bool pack_cols(const void *const *row, int64_t count, bool half, int64_t dim, int64_t cap,
                      void *cols) {
    float *out = cols;
    bool finite = true;
    for (int64_t j = 0; j < count; j++)
        for (int64_t d = 0; d < whole_groups(dim); d += GROUP)
            for (int64_t e = 0; e < GROUP; e++) {
                float x = d + e < dim ? value(row[j], half, d + e) : 0.0f;
                out[d * cap + j * GROUP + e] = x;
                if (!isfinite(x)) finite = false;
            }
    return finite;
}

static void score(const void *panel, const void *rows, int64_t count, int64_t dim, float *s) {
    const int64_t ld = fr_attn_ld(dim);
    const float *q = panel, *k = rows;
    for (int64_t j = 0; j < count; j++)
        for (int lane = 0; lane < LANES; lane++) {
            float sum = 0.0f;
            for (int64_t d = 0; d < dim; d++) sum += k[j * ld + d] * q[d * LANES + lane];
            s[j * LANES + lane] = sum;
        }
}

static void softmax(float *s, int64_t count, float c, float *top, float *sum, float *fade) {
    for (int lane = 0; lane < LANES; lane++) {
        float high = top[lane], add = 0.0f;
        for (int64_t j = 0; j < count; j++)
            if (s[j * LANES + lane] > high) high = s[j * LANES + lane];
        float base = high == -INFINITY ? 0.0f : high * c;
        fade[lane] = exp2f(top[lane] * c - base);
        top[lane] = high;
        for (int64_t j = 0; j < count; j++)
            add += s[j * LANES + lane] = exp2f(s[j * LANES + lane] * c - base);
        sum[lane] = sum[lane] * fade[lane] + add;
    }
}

static void accumulate(const void *p, const void *cols, int64_t count, int64_t dim, int64_t cap,
                       const float *fade, float *o) {
    const float *weight = p, *v = cols;
    for (int64_t d = 0; d < dim; d++)
        for (int lane = 0; lane < LANES; lane++) {
            float sum = o[d * LANES + lane] * (fade ? fade[lane] : 1.0f);
            for (int64_t j = 0; j < count; j++)
                sum +=
                    v[d / GROUP * GROUP * cap + j * GROUP + d % GROUP] * weight[j * LANES + lane];
            o[d * LANES + lane] = sum;
        }
}

static void mask_lanes(float *s, int64_t count, int lanes, const int32_t *lo, const int32_t *hi) {
    for (int64_t j = 0; j < count; j++)
        for (int lane = 0; lane < lanes; lane++)
            if (j < lo[lane] || j >= hi[lane]) s[j * lanes + lane] = -INFINITY;
}

static void mask_rows(float *s, int64_t count, int lanes, const int32_t *lo, const int32_t *hi) {
    for (int64_t j = 0; j < count; j++)
        for (int lane = 0; lane < lanes; lane++)
            if (lane < lo[j] || lane >= hi[j]) s[j * lanes + lane] = -INFINITY;
}

static void store(const float *o, int lanes, int64_t dim, const float *by, bool half,
                  void *const *row) {
    for (int lane = 0; lane < lanes; lane++)
        for (int64_t d = 0; row[lane] && d < dim; d++)
            put(row[lane], half, d, o[d * lanes + lane] * by[lane]);
}

static void grad_lanes(float *s, float *dp, int64_t count, float c, const float *lse,
                       const float *delta) {
    for (int64_t j = 0; j < count; j++)
        for (int lane = 0; lane < LANES; lane++) {
            float p = exp2f(s[j * LANES + lane] * c - lse[lane]);
            dp[j * LANES + lane] = p * (dp[j * LANES + lane] - delta[lane]);
        }
}

static void grad_rows(float *s, float *dp, int64_t count, float c, const float *lse,
                      const float *delta) {
    for (int64_t j = 0; j < count; j++)
        for (int lane = 0; lane < LANES; lane++) {
            float p = exp2f(s[j * LANES + lane] * c - lse[j]);
            s[j * LANES + lane] = p;
            dp[j * LANES + lane] = p * (dp[j * LANES + lane] - delta[j]);
        }
}

static void grad(float *s, float *dp, int64_t count, float c, const float *lse, const float *delta,
                 void *pairs) {
    const int64_t whole = (count + FR_ATTN_GROUP - 1) / FR_ATTN_GROUP * FR_ATTN_GROUP;
    (void)pairs;
    for (int64_t j = 0; j < whole; j++)
        for (int lane = 0; lane < LANES; lane++) {
            float *x = s + j * LANES + lane, *y = dp + j * LANES + lane;
            float p = j < count ? exp2f(*x * c - lse[lane]) : 0.0f;
            *y = j < count ? p * (*y - delta[lane]) : 0.0f;
            *x = p;
        }
}

static void pack_spread(const void *const *row, bool half, int64_t dim, void *out) {
    const int64_t ld = fr_attn_ld(dim);
    for (int lane = 0; lane < LANES; lane++)
        for (int64_t d = 0; d < ld; d++)
            ((float *)out)[lane * ld + d] = row[lane] && d < dim ? value(row[lane], half, d) : 0.0f;
}

static void spread(const void *w, const void *rows, int64_t count, int64_t dim, float *out) {
    const int64_t ld = fr_attn_ld(dim);
    for (int64_t j = 0; j < count; j++)
        for (int lane = 0; lane < LANES; lane++)
            for (int64_t d = 0; d < ld; d++)
                out[j * ld + d] +=
                    ((const float *)w)[j * LANES + lane] * ((const float *)rows)[lane * ld + d];
}

static void decode(const float *q, const void *k, const void *v, int64_t k_stride, int64_t v_stride,
                   bool half, int64_t count, int64_t dim, float c, float *s, float *top, float *sum,
                   float *o) {
    float high = -INFINITY, total = 0.0f;
    for (int64_t j = 0; j < count; j++) {
        s[j] = 0.0f;
        for (int64_t d = 0; d < dim; d++) s[j] += q[d] * value(k, half, j * k_stride + d);
        if (s[j] > high) high = s[j];
    }
    for (int64_t d = 0; d < dim; d++) o[d] = 0.0f;
    for (int64_t j = 0; j < count; j++) {
        float p = exp2f(s[j] * c - (high == -INFINITY ? 0.0f : high * c));
        total += p;
        for (int64_t d = 0; d < dim; d++) o[d] += p * value(v, half, j * v_stride + d);
    }
    *top = high;
    *sum = total;
}

static void rope(const void *x, void *out, bool half, int64_t a, int64_t b, float c, float s) {
    float u = value(x, half, a), v = value(x, half, b);
    put(out, half, a, fmaf(-v, s, u * c));
    put(out, half, b, fmaf(u, s, v * c));
}

static void rope_split(const void *x, void *out, bool half, int64_t pairs, const float *cosine,
                       const float *sine) {
    for (int64_t i = 0; i < pairs; i++) rope(x, out, half, i, pairs + i, cosine[i], sine[i]);
}

static void rope_pairs(const void *x, void *out, bool half, int64_t pairs, const float *cosine,
                       const float *sine) {
    for (int64_t i = 0; i < pairs; i++) rope(x, out, half, 2 * i, 2 * i + 1, cosine[i], sine[i]);
}

void fr_attn_ref_fill(fr_attn_kernels *out) {
    *out = (fr_attn_kernels){
        .f32 = {.lanes = LANES,
                .group = GROUP,
                .pack_panel = pack_panel,
                .pack_rows = pack_rows,
                .pack_cols = pack_cols,
                .score = score,
                .softmax = softmax,
                .accumulate = accumulate,
                .grad = grad,
                .pack_spread = pack_spread,
                .spread = spread},
        .mask_lanes = mask_lanes,
        .mask_rows = mask_rows,
        .store = store,
        .grad_lanes = grad_lanes,
        .grad_rows = grad_rows,
        .decode = decode,
        .rope_split = rope_split,
        .rope_pairs = rope_pairs,
    };
}
