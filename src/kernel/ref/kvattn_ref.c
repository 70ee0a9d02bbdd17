/* kvattn_ref.c: attention over pages in plain C, the meaning. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/ref/small_floats.h"

enum { ROWS = FR_KVATTN_ROWS, TOKENS = FR_KV_TOKENS };

/* ---- values of a page ---- */

static float value(const fr_kvattn_head *h, int t, int64_t d) {
    const uint8_t *row = (const uint8_t *)h->codes + (size_t)t * fr_kvattn_row(h->kind, h->dim);
    uint16_t bits;
    unsigned code = 0;
    float whole;
    switch (h->kind) {
    case FR_KV_F32: memcpy(&whole, row + 4 * d, 4); return whole;
    case FR_KV_BF16:
    case FR_KV_F16:
        memcpy(&bits, row + 2 * d, 2);
        return h->kind == FR_KV_F16 ? small_from_f16(bits) : small_from_bf16(bits);
    case FR_KV_8:
    case FR_KV_8_QOQ: code = row[d]; break;
    default: code = (unsigned)row[d / 2] >> (d % 2 * 4) & 15u;
    }
    float scale = small_from_f16(h->scale[t]), offset = small_from_f16(h->offset[t]);
    if (h->kind == FR_KV_8_QOQ || h->kind == FR_KV_4_QOQ) offset = -(scale * offset);
    float x = (float)code * scale;
    return x + offset;
}

static void read(const fr_kvattn_head *h, int token, int count, bool half, void *out) {
    for (int t = 0; t < count; t++)
        for (int64_t d = 0; d < h->dim; d++) {
            float x = value(h, token + t, d);
            if (half)
                ((uint16_t *)out)[t * h->dim + d] = small_to_bf16(x);
            else
                ((float *)out)[t * h->dim + d] = x;
        }
}

/* ---- attention ---- */

static void query(const float *q, int64_t ldq, int rows, int64_t dim, void *record) {
    float *to = record;
    memset(record, 0, fr_kvattn_query_bytes(dim));
    for (int r = 0; r < rows; r++)
        memcpy(to + r * fr_kvattn_ld(dim), q + r * ldq, (size_t)dim * sizeof *q);
}

static void score(const void *record, const fr_kvattn_head *k, float *s) {
    const float *q = record;
    for (int t = 0; t < TOKENS; t++)
        for (int r = 0; r < ROWS; r++) {
            float sum = 0;
            for (int64_t d = 0; d < k->dim; d++)
                sum += q[r * fr_kvattn_ld(k->dim) + d] * value(k, t, d);
            s[t * ROWS + r] = sum;
        }
}

static void softmax(float *s, const int32_t *lo, const int32_t *hi, float c, float *top, float *sum,
                    float *fade) {
    for (int r = 0; r < ROWS; r++) {
        float high = top[r], add = 0;
        for (int t = 0; t < TOKENS; t++) {
            if (t < lo[r] || t >= hi[r]) s[t * ROWS + r] = -INFINITY;
            if (s[t * ROWS + r] > high) high = s[t * ROWS + r];
        }
        const float base = high == -INFINITY ? 0.0f : high;
        for (int t = 0; t < TOKENS; t++)
            add += s[t * ROWS + r] = exp2f((s[t * ROWS + r] - base) * c);
        fade[r] = exp2f((top[r] - base) * c);
        sum[r] = sum[r] * fade[r] + add;
        top[r] = high;
    }
}

static void add(const float *p, const fr_kvattn_head *v, int lo, int hi, const float *fade,
                void *sums) {
    float *o = sums;
    for (int r = 0; r < ROWS; r++)
        for (int64_t d = 0; d < v->dim; d++) {
            float sum = 0;
            for (int t = lo; t < hi; t++) sum += p[t * ROWS + r] * value(v, t, d);
            float *to = &o[r * fr_kvattn_ld(v->dim) + d];
            *to = *to * fade[r] + sum;
        }
}

static void result(const void *sums, int64_t dim, float *out) {
    memcpy(out, sums, (size_t)(ROWS * fr_kvattn_ld(dim)) * sizeof *out);
}

/* ---- writing ---- */

/* The next f16 towards plus (up) or minus infinity, of a finite h. */
static uint16_t f16_step(uint16_t h, bool up) {
    if ((h & 0x7fff) == 0) return up ? 0x0001 : 0x8001;
    return (uint16_t)(up == !(h & 0x8000) ? h + 1 : h - 1);
}

static uint16_t to_f16(float x) {
    float a = fabsf(x);
    unsigned bits = a == 0 ? 0 : a >= 65504.0f ? 0x7bffu : small_nearest(a, 10, 15);
    return (uint16_t)(bits | (signbit(x) ? 0x8000u : 0u));
}

/* The offset below `least` and the scale that reaches `most`. */
static void spread_own(float least, float most, float top, uint16_t *scale, uint16_t *offset) {
    uint16_t h = to_f16(least);
    *offset = small_from_f16(h) > least ? f16_step(h, false) : h;
    float want = (most - small_from_f16(*offset)) / top;
    h = to_f16(want);
    *scale = small_from_f16(h) < want ? f16_step(h, true) : h;
}

/* QServe's. Where that is no number of f16, a middle value for all, and true. */
static bool spread_qoq(float least, float most, float top, uint16_t *scale, uint16_t *offset,
                       float *middle) {
    float range = most - least, zero = range > 0 ? -top * least / range : INFINITY;
    *scale = to_f16(range / top);
    *offset = to_f16(zero);
    if (*scale != 0 && fabsf(zero) <= 65504.0f) return false;
    *middle = least + range / 2;
    *scale = to_f16(fabsf(*middle));
    *offset = *middle < 0 ? 0x3c00 : 0;
    return true;
}

static float held(fr_kv_kind kind, float x) {
    const float most = kind == FR_KV_F32 ? FLT_MAX : kind == FR_KV_BF16 ? 0x1.fep127f : 65504.0f;
    return x != x ? 0.0f : x > most ? most : x < -most ? -most : x;
}

static unsigned clamp(float x, float top) {
    return x <= 0 ? 0 : x >= top ? (unsigned)top : (unsigned)x;
}

static void write_codes(fr_kv_kind kind, const float *x, int64_t dim, uint8_t *row, uint16_t *scale,
                        uint16_t *offset) {
    const bool own = kind == FR_KV_8 || kind == FR_KV_4,
               bytes = kind == FR_KV_8 || kind == FR_KV_8_QOQ;
    const float top = bytes ? 255.0f : 15.0f;
    float least = held(kind, x[0]), most = least, middle = 0;
    for (int64_t i = 1; i < dim; i++) {
        float v = held(kind, x[i]);
        least = v < least ? v : least;
        most = v > most ? v : most;
    }
    least += 0.0f; /* no negative zero */
    bool flat = false;
    if (own)
        spread_own(least, most, top, scale, offset);
    else
        flat = spread_qoq(least, most, top, scale, offset, &middle);
    const float s = small_from_f16(*scale), o = small_from_f16(*offset);
    for (int64_t i = 0; i < dim; i++) {
        float v = held(kind, x[i]);
        unsigned code = flat ? middle > 0 : clamp(rintf(own ? (v - o) / s : v / s + o), top);
        if (s == 0) code = 0;
        if (bytes)
            row[i] = (uint8_t)code;
        else
            row[i / 2] = (uint8_t)(i % 2 ? row[i / 2] | code << 4 : code);
    }
}

static void write(fr_kv_kind kind, const float *x, int64_t dim, void *row, uint16_t *scale,
                  uint16_t *offset) {
    if (kind > FR_KV_F32) {
        write_codes(kind, x, dim, row, scale, offset);
        return;
    }
    for (int64_t i = 0; i < dim; i++) {
        float v = held(kind, x[i]);
        if (kind == FR_KV_F32) {
            memcpy((uint8_t *)row + 4 * i, &v, 4);
            continue;
        }
        uint16_t bits = kind == FR_KV_F16 ? to_f16(v) : small_to_bf16(v);
        memcpy((uint8_t *)row + 2 * i, &bits, 2);
    }
}

void fr_kvattn_fill_ref(fr_kvattn_kernels *out) {
    for (int kind = 0; kind < FR_KV_KINDS; kind++)
        out->way[kind] = out->any[kind] = (fr_kvattn_way){1, query, score, add, result};
    out->softmax = softmax;
    out->read = read;
    out->write = write;
}
