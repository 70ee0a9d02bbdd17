/* int2.c: 2 bits a value, for caches of keys and values (Quant VideoGen, 2026).
 *
 * A matrix is the keys or the values of one head: a row a token. First come T stages (0 to 4): each finds
 * 256 centroids among the rows, replaces a row by its nearest centroid's number, and hands on the rest.
 * What the last stage leaves is coded in groups of G values of a row, with scales in E4M3:
 *
 *   symmetric    value = (code - 1) * scale      codes 0, 1, 2;  scale = e4m3(largest magnitude)
 *   asymmetric   value = code * scale + zero     codes 0 to 3;   scale = e4m3((max - min) / 3), zero = e4m3(min)
 *
 * to which decoding adds the centroid of each stage, in order, and rounds to bf16. Codes are rounded half
 * away from zero with the rounded scale; a scale that rounds to 0 makes the code of 0. Scales above 448 are
 * cut to 448. Four columns are a byte, the first in the highest bits. */
#include <math.h>

#include "format/families.h"
#include "format/int2.h"
#include "format/parts.h"

enum { CODES = 0, SCALES = 1 };

static int zeros_part(const fr_int2_kind *k) {
    return k->asymmetric ? 2 : -1;
}
static int ids_part(const fr_int2_kind *k) {
    return k->asymmetric ? 3 : 2; /* and the centroids after it */
}

static fr_status describe(const fr_qformat *f, int64_t rows, int64_t cols,
                          fr_tensor part[FR_PARTS]) {
    const fr_int2_kind *k = f->own;
    if (cols % k->group)
        return fr_fail(FR_UNSUPPORTED, "%s has groups of %d, which do not divide rows of %lld.",
                       f->name, k->group, (long long)cols);
    FR_TRY(fr_part_make(&part[CODES], f->name, FR_U8, rows, cols / 4));
    FR_TRY(fr_part_make(&part[SCALES], f->name, FR_F8E4M3, rows, cols / k->group));
    if (k->asymmetric) FR_TRY(fr_part_make(&part[2], f->name, FR_F8E4M3, rows, cols / k->group));
    if (!k->stages) return FR_OK;
    fr_tensor *ids = &part[ids_part(k)];
    FR_TRY(fr_part_make(ids, f->name, FR_U8, k->stages, rows));
    return fr_part_make(ids + 1, f->name, FR_BF16, (int64_t)k->stages * FR_INT2_CENTROIDS, cols);
}

static float half_away(float x) {
    return copysignf(floorf(fabsf(x) + 0.5f), x);
}

static unsigned clamp_code(float x, int least, int most) {
    return (unsigned)(fr_clamp_int(half_away(x), least, most) - least);
}

static void encode_symmetric(const float *x, int32_t n, uint8_t *scale, uint8_t *code) {
    float largest = 1e-10f;
    for (int32_t i = 0; i < n; i++) largest = fmaxf(largest, fabsf(x[i]));
    *scale = fr_f32_to_f8e4m3(largest);
    float s = fr_f8e4m3_to_f32(*scale);
    for (int32_t i = 0; i < n; i++) code[i] = (uint8_t)(s > 0 ? clamp_code(x[i] / s, -1, 1) : 1u);
}

static void encode_asymmetric(const float *x, int32_t n, uint8_t *scale, uint8_t *zero,
                              uint8_t *code) {
    float least = x[0], most = x[0];
    for (int32_t i = 1; i < n; i++) {
        least = fminf(least, x[i]);
        most = fmaxf(most, x[i]);
    }
    *scale = fr_f32_to_f8e4m3(most / 3.0f - least / 3.0f); /* the range itself may overflow */
    *zero = fr_f32_to_f8e4m3(least);
    float s = fr_f8e4m3_to_f32(*scale), z = fr_f8e4m3_to_f32(*zero);
    for (int32_t i = 0; i < n; i++)
        code[i] = (uint8_t)(s > 0 ? clamp_code((x[i] - z) / s, 0, 3) : 0u);
}

static void encode_rows(const fr_int2_kind *k, const float *x, fr_quantized *q) {
    uint8_t *codes = q->part[CODES].data, *scales = q->part[SCALES].data;
    uint8_t *zeros = k->asymmetric ? q->part[zeros_part(k)].data : NULL;
    for (int64_t g = 0; g < q->rows * q->cols / k->group; g++) {
        uint8_t code[64];
        const float *from = x + g * k->group;
        if (zeros)
            encode_asymmetric(from, k->group, &scales[g], &zeros[g], code);
        else
            encode_symmetric(from, k->group, &scales[g], code);
        for (int32_t i = 0; i < k->group; i += 4)
            *codes++ = (uint8_t)(code[i] << 6 | code[i + 1] << 4 | code[i + 2] << 2 | code[i + 3]);
    }
}

static fr_status quantize(const fr_quant_opts *o, const float *x, fr_quantized *q) {
    const fr_int2_kind *k = q->format->own;
    if (o && (o->rule != FR_RULE_PLAIN || o->stochastic))
        return fr_fail(FR_UNSUPPORTED, "%s rounds to nearest, with scales by its one rule.",
                       q->format->name);
    FR_TRY(fr_check_finite(x, q->rows, q->cols));
    if (!k->stages) {
        encode_rows(k, x, q);
        return FR_OK;
    }
    size_t n = (size_t)(q->rows * q->cols);
    float *rest = fr_alloc_array(FR_MEM_OTHER, n, sizeof *rest);
    if (!rest) return FR_NOMEM;
    memcpy(rest, x, n * sizeof *rest);
    uint8_t *ids = q->part[ids_part(k)].data;
    uint16_t *centroids = q->part[ids_part(k) + 1].data;
    fr_status status = FR_OK;
    for (int t = 0; t < k->stages && status == FR_OK; t++)
        status =
            fr_int2_stage(rest, q->rows, q->cols, o ? o->seed : 0, t,
                          centroids + (int64_t)t * FR_INT2_CENTROIDS * q->cols, ids + t * q->rows);
    if (status == FR_OK) encode_rows(k, rest, q);
    fr_free(rest);
    return status;
}

static void decode_row(const fr_int2_kind *k, const fr_quantized *q, int64_t r, float *out) {
    const uint8_t *codes = (const uint8_t *)q->part[CODES].data + r * (q->cols / 4);
    const uint8_t *scales = (const uint8_t *)q->part[SCALES].data + r * (q->cols / k->group);
    const uint8_t *zeros = NULL, *ids = NULL;
    const uint16_t *centroids = NULL;
    if (k->asymmetric)
        zeros = (const uint8_t *)q->part[zeros_part(k)].data + r * (q->cols / k->group);
    if (k->stages) {
        ids = (const uint8_t *)q->part[ids_part(k)].data + r;
        centroids = q->part[ids_part(k) + 1].data;
    }
    for (int64_t c = 0; c < q->cols; c++) {
        float code = (float)(codes[c / 4] >> (6 - c % 4 * 2) & 3);
        float s = fr_f8e4m3_to_f32(scales[c / k->group]);
        float y = zeros ? code * s + fr_f8e4m3_to_f32(zeros[c / k->group]) : (code - 1) * s;
        for (int t = 0; t < k->stages; t++) {
            int64_t id = (int64_t)t * FR_INT2_CENTROIDS + ids[t * q->rows];
            y += fr_bf16_to_f32(centroids[id * q->cols + c]);
        }
        out[c] = fr_bf16_to_f32(fr_int2_bf16(y));
    }
}

static void decode(const fr_quantized *q, int64_t row, int64_t count, float *out) {
    for (int64_t i = 0; i < count; i++) decode_row(q->format->own, q, row + i, out + i * q->cols);
}

static fr_status check_scales(const fr_quantized *q, int part, bool negative) {
    const uint8_t *s = q->part[part].data;
    int64_t n = fr_values(&q->part[part]), across = q->part[part].dim[1];
    for (int64_t i = 0; i < n; i++)
        if ((s[i] & 0x7f) == 0x7f || (!negative && s[i] >> 7))
            return fr_fail(FR_FORMAT, "The part '%s' holds %s in row %lld, group %lld.",
                           q->format->part_name[part],
                           (s[i] & 0x7f) == 0x7f ? "what is not a number" : "a negative scale",
                           (long long)(i / across), (long long)(i % across));
    return FR_OK;
}

static fr_status check(const fr_quantized *q) {
    const fr_int2_kind *k = q->format->own;
    FR_TRY(check_scales(q, SCALES, false));
    if (k->asymmetric) FR_TRY(check_scales(q, zeros_part(k), true));
    const uint8_t *codes = q->part[CODES].data;
    for (int64_t i = 0; !k->asymmetric && i < q->rows * q->cols / 4; i++)
        if (codes[i] & codes[i] << 1 & 0xaa) /* 3 in one of the four places */
            return fr_fail(FR_FORMAT, "Row %lld of 'codes' holds the code 3, which %s lacks.",
                           (long long)(i / (q->cols / 4)), q->format->name);
    return k->stages ? fr_check_scales(q, ids_part(k) + 1, true) : FR_OK;
}

/* The list of parts grows with what a kind has. */
#define SYMMETRIC  "codes", "scales"
#define ASYMMETRIC SYMMETRIC, "zeros"
#define STAGES     "ids", "centroids"
#define HOOKS      .describe = describe, .quantize = quantize, .decode = decode, .check = check

static const fr_int2_kind kind_g16 = {16, 0, false};
static const fr_int2_kind kind_g64 = {64, 0, false};
static const fr_int2_kind kind_a_g16 = {16, 0, true};
static const fr_int2_kind kind_a_g64 = {64, 0, true};
static const fr_int2_kind kind_g64_s1 = {64, 1, false};
static const fr_int2_kind kind_g16_s2 = {16, 2, false};
static const fr_int2_kind kind_g16_s4 = {16, 4, false};
static const fr_int2_kind kind_a_g16_s1 = {16, 1, true};

const fr_qformat fr_int2_g16 = {
    .name = "int2-g16",
    .parts = 2,
    .part_name = {SYMMETRIC},
    .group = 16,
    .own = &kind_g16,
    HOOKS,
};
const fr_qformat fr_int2_g64 = {
    .name = "int2-g64",
    .parts = 2,
    .part_name = {SYMMETRIC},
    .group = 64,
    .own = &kind_g64,
    HOOKS,
};
const fr_qformat fr_int2a_g16 = {
    .name = "int2a-g16",
    .parts = 3,
    .part_name = {ASYMMETRIC},
    .group = 16,
    .own = &kind_a_g16,
    HOOKS,
};
const fr_qformat fr_int2a_g64 = {
    .name = "int2a-g64",
    .parts = 3,
    .part_name = {ASYMMETRIC},
    .group = 64,
    .own = &kind_a_g64,
    HOOKS,
};
const fr_qformat fr_int2_g64_s1 = {
    .name = "int2-g64-s1",
    .parts = 4,
    .part_name = {SYMMETRIC, STAGES},
    .group = 64,
    .own = &kind_g64_s1,
    HOOKS,
};
const fr_qformat fr_int2_g16_s2 = {
    .name = "int2-g16-s2",
    .parts = 4,
    .part_name = {SYMMETRIC, STAGES},
    .group = 16,
    .own = &kind_g16_s2,
    HOOKS,
};
const fr_qformat fr_int2_g16_s4 = {
    .name = "int2-g16-s4",
    .parts = 4,
    .part_name = {SYMMETRIC, STAGES},
    .group = 16,
    .own = &kind_g16_s4,
    HOOKS,
};
const fr_qformat fr_int2a_g16_s1 = {
    .name = "int2a-g16-s1",
    .parts = 5,
    .part_name = {ASYMMETRIC, STAGES},
    .group = 16,
    .own = &kind_a_g16_s1,
    HOOKS,
};
