/* attn_decode.c: attention of one query over keys as they lie in memory. Short work per byte: the
 * keys and values are read once, so nothing is packed. */
#include "kernel/simd/attn.h"

static inline const void *row_at(const void *x, bool half, int64_t at) {
    return half ? (const void *)((const uint16_t *)x + at) : (const void *)((const float *)x + at);
}

/* Four keys at once: four chains of sums. */
static inline void dot4(const float *q, const void *const k[4], bool half, int64_t dim,
                        float out[4]) {
    vf32 acc[4] = {vzero(), vzero(), vzero(), vzero()};
    int64_t d = 0;
    for (; d + FR_VLEN <= dim; d += FR_VLEN) {
        vf32 x = vload(q + d);
        for (int i = 0; i < 4; i++) acc[i] = vfma(attn_load(k[i], half, d), x, acc[i]);
    }
    if (d < dim) {
        size_t n = (size_t)(dim - d);
        vf32 x = vload_n(q + d, n);
        for (int i = 0; i < 4; i++) acc[i] = vfma(attn_load_n(k[i], half, d, n), x, acc[i]);
    }
    for (int i = 0; i < 4; i++) out[i] = vsum(acc[i]);
}

static void dots(const float *q, const void *k, int64_t stride, bool half, int64_t count,
                 int64_t dim, float *s) {
    for (int64_t j = 0; j < count; j += 4) {
        const void *row[4];
        float out[4];
        for (int i = 0; i < 4; i++) {
            int64_t at = j + i < count ? j + i : count - 1;
            row[i] = row_at(k, half, at * stride);
        }
        dot4(q, row, half, dim, out);
        for (int i = 0; i < 4 && j + i < count; i++) s[j + i] = out[i];
    }
}

/* o[d ..] = sum_j p[j] v[j][d ..], `cols` vectors of it held in registers. */
static inline void gather(const float *p, const void *v, int64_t stride, bool half, int64_t count,
                          int64_t d, int cols, float *o) {
    vf32 acc[4] = {vzero(), vzero(), vzero(), vzero()};
    for (int64_t j = 0; j < count; j++) {
        const void *row = row_at(v, half, j * stride);
        vf32 x = vset1(p[j]);
        for (int i = 0; i < cols; i++)
            acc[i] = vfma(attn_load(row, half, d + i * FR_VLEN), x, acc[i]);
    }
    for (int i = 0; i < cols; i++) vstore(o + d + i * FR_VLEN, acc[i]);
}

static void weigh(const float *p, const void *v, int64_t stride, bool half, int64_t count,
                  int64_t dim, float *o) {
    int64_t d = 0;
    for (; d + 4 * FR_VLEN <= dim; d += 4 * FR_VLEN) gather(p, v, stride, half, count, d, 4, o);
    for (; d + FR_VLEN <= dim; d += FR_VLEN) gather(p, v, stride, half, count, d, 1, o);
    if (d < dim) {
        size_t n = (size_t)(dim - d);
        vf32 acc = vzero();
        for (int64_t j = 0; j < count; j++)
            acc = vfma(attn_load_n(row_at(v, half, j * stride), half, d, n), vset1(p[j]), acc);
        vstore_n(o + d, acc, n);
    }
}

void FR_NAME(attn_decode)(const float *q, const void *k, const void *v, int64_t k_stride,
                          int64_t v_stride, bool half, int64_t count, int64_t dim, float c,
                          float *s, float *top, float *sum, float *o) {
    dots(q, k, k_stride, half, count, dim, s);
    float high = -INFINITY, total = 0.0f;
    for (int64_t j = 0; j < count; j++) high = s[j] > high ? s[j] : high;
    const vf32 base = vset1(high == -INFINITY ? 0.0f : high * c), scale = vset1(c);
    vf32 add = vzero();
    int64_t j = 0;
    for (; j + FR_VLEN <= count; j += FR_VLEN) {
        vf32 p = attn_exp2(vsub(vmul(vload(s + j), scale), base));
        add = vadd(add, p);
        vstore(s + j, p);
    }
    if (j < count) {
        size_t n = (size_t)(count - j);
        float rest[FR_VLEN];
        vstore(rest, attn_exp2(vsub(vmul(vload_n(s + j, n), scale), base)));
        for (size_t i = 0; i < n; i++) total += s[j + (int64_t)i] = rest[i];
    }
    weigh(s, v, v_stride, half, count, dim, o);
    *top = high;
    *sum = total + vsum(add);
}
