/* qrow_ref.c: what a row of activations becomes, in plain C; see kernel/qrow.h. */
#include <float.h>

#include "kernel/kernel.h"
#include "kernel/ref/small_floats.h"

static float *scales_of(const fr_qrow *r, void *record) {
    return (float *)((char *)record + r->scales);
}
static int32_t *less_of(const fr_qrow *r, void *record) {
    return (int32_t *)((char *)record + r->less);
}

static float value_at(const fr_qrow *r, const float *x, float add, const float *by, int64_t i) {
    if (i >= r->k) return 0;
    return by ? (x[i] + add) * by[i] : x[i] + add;
}

/* The largest of |v|, or of v where `positive`, from 0; NaN when something is not finite. */
static float largest(const fr_qrow *r, const float *x, float add, const float *by, int64_t i0,
                     int64_t count, bool positive) {
    float top = 0;
    for (int64_t i = i0; i < i0 + count; i++) {
        float v = value_at(r, x, add, by, i), a = positive ? v : fabsf(v);
        if (!isfinite(v)) return NAN;
        if (a > top) top = a;
    }
    return top;
}

static int code_of(float v, int lo, int hi) {
    float x = rintf(v);
    return x <= (float)lo ? lo : x >= (float)hi ? hi : (int)x;
}

static void int8_ref(const fr_qrow *r, const float *x, float add, const float *by, void *record) {
    int8_t *codes = record;
    float top = largest(r, x, add, by, 0, r->padded, false), s = top == 0 ? 1.0f : top / 127.0f;
    if (s == 0) s = 1.0f; /* denormal beyond use */
    int32_t *less = less_of(r, record), total = 0;
    *scales_of(r, record) = s;
    for (int64_t g = 0; g < r->groups; g++) {
        int32_t sum = 0;
        for (int64_t i = g * r->group; i < (g + 1) * r->group; i++) {
            codes[i] = s == s ? (int8_t)code_of(value_at(r, x, add, by, i) / s, -127, 127) : 0;
            sum += codes[i];
        }
        less[g] = -sum;
        total += sum;
    }
    int32_t start = -128 * total;
    memcpy((char *)record + r->start, &start, 4);
}

static void int4_group(const fr_qrow *r, const float *x, float add, const float *by, int64_t g,
                       void *record) {
    bool positive = r->kind == FR_ROWS_UINT4;
    int8_t *codes = record;
    float top = largest(r, x, add, by, g * r->group, r->group, positive);
    float s = small_round_f16(top / (positive ? 15.0f : 7.0f));
    if (s == 0) s = 1.0f;
    int32_t sum = 0;
    for (int64_t i = g * r->group; i < (g + 1) * r->group; i++) {
        float v = value_at(r, x, add, by, i) / s;
        codes[i] = s == s ? (int8_t)code_of(v, positive ? 0 : -7, positive ? 15 : 7) : 0;
        sum += codes[i];
    }
    scales_of(r, record)[g] = s;
    less_of(r, record)[g] = -8 * sum;
}

static void int4_ref(const fr_qrow *r, const float *x, float add, const float *by, void *record) {
    for (int64_t g = 0; g < r->groups; g++) int4_group(r, x, add, by, g, record);
}

/* Twice the E2M1 value nearest to v, ties to the even code. */
static int e2m1_doubled(float v) {
    float a = fabsf(v);
    int q = a < 2.0f ? (int)rintf(2.0f * a) : a < 4.0f ? 2 * (int)rintf(a) : a > 5.0f ? 12 : 8;
    return signbit(v) ? -q : q;
}

static void nvfp4_ref(const fr_qrow *r, const float *x, float add, const float *by, void *record) {
    int8_t *codes = record;
    for (int64_t g = 0; g < r->groups; g++) {
        float top = largest(r, x, add, by, g * r->group, r->group, false);
        float s = small_round_e4m3(top / 6.0f);
        if (s == 0) s = 1.0f; /* all codes are 0: what is there is below 2^-10 * 6 */
        int32_t sum = 0;
        for (int64_t i = g * r->group; i < (g + 1) * r->group; i++) {
            codes[i] = s == s ? (int8_t)e2m1_doubled(value_at(r, x, add, by, i) / s) : 0;
            sum += codes[i];
        }
        scales_of(r, record)[g] = s / 4;
        less_of(r, record)[g] = -12 * sum;
    }
}

static void fp8_ref(const fr_qrow *r, const float *x, float add, const float *by, void *record) {
    uint16_t *codes = record;
    for (int64_t g = 0; g < r->groups; g++) {
        float top = largest(r, x, add, by, g * r->group, r->group, false);
        float s = top == 0 ? 1.0f : top / 448.0f;
        if (s < FLT_MIN) s = FLT_MIN;
        for (int64_t i = g * r->group; i < (g + 1) * r->group; i++) {
            float v = value_at(r, x, add, by, i);
            codes[i] = s == s ? small_to_bf16(small_round_e4m3(v / s)) : 0;
        }
        scales_of(r, record)[g] = s;
    }
}

static void bf16_ref(const fr_qrow *r, const float *x, float add, const float *by, void *record) {
    uint16_t *codes = record;
    float *less = (float *)((char *)record + r->less);
    for (int64_t g = 0; g < r->groups; g++) {
        float sum = 0;
        for (int64_t i = g * r->group; i < (g + 1) * r->group; i++) {
            codes[i] = small_to_bf16(value_at(r, x, add, by, i));
            sum += small_from_bf16(codes[i]);
        }
        less[g] = -sum;
    }
}

/* ---- the low-rank branch ---- */

static void keep_ref(const float *x, int64_t k, void *out) {
    memcpy(out, x, (size_t)k * 4);
    memset((float *)out + k, 0, (size_t)(fr_qrow_kept(k, 4) - k * 4));
}

static void low_ref(const fr_qrow_low *t) {
    for (int i = 0; i < t->rows; i++)
        for (int64_t r = 0; r < t->ranks; r++) {
            const float *x = (const float *)((const char *)t->x + i * t->ldx);
            const float *d = (const float *)((const char *)t->down + r * t->ldd);
            float sum = 0;
            for (int64_t p = 0; p < t->k; p++) sum += x[p] * d[p];
            t->low[i * t->ldl + r] = sum;
        }
}

void fr_qrow_fill_ref(fr_qrow_kernels *out) {
    out->low_bytes = 4;
    out->keep = keep_ref;
    out->low = low_ref;
    out->quantize[FR_ROWS_INT8] = int8_ref;
    out->quantize[FR_ROWS_INT4] = int4_ref;
    out->quantize[FR_ROWS_UINT4] = int4_ref;
    out->quantize[FR_ROWS_NVFP4] = nvfp4_ref;
    out->quantize[FR_ROWS_FP8] = fp8_ref;
    out->quantize[FR_ROWS_BF16] = bf16_ref;
}
