/* fp8.c: 8-bit floats with f32 scales: one a tensor, one a 1 x 128 block of a row (activations), or one a
 * 128 x 128 block (weights: square, so that W and its transpose have the same codes).
 *
 *   value = code * scale,  scale = amax / 448 (E4M3) or / 57344 (E5M2),  code = nearest even of x / scale
 *
 * amax is the largest magnitude of what is there; blocks at the right and lower edge are smaller. A block
 * of zeros has the scale 1, and no scale is denormal. FR_RULE_POWER makes scales powers of two, rounded
 * up, for engines that keep them as E8M0. As in the block-FP8 checkpoints of DeepSeek-V3, whose
 * "weight_scale_inv" is our "scales". */
#include <float.h>
#include <math.h>

#include "format/families.h"
#include "format/parts.h"

typedef struct kind {
    fr_dtype dtype;
    float top;          /* the largest finite code */
    int32_t rows, cols; /* of a block; 0: all */
} kind;

static const kind tensor_e4m3 = {FR_F8E4M3, 448.0f, 0, 0};
static const kind tensor_e5m2 = {FR_F8E5M2, 57344.0f, 0, 0};
static const kind row_block = {FR_F8E4M3, 448.0f, 1, 128};
static const kind square_block = {FR_F8E4M3, 448.0f, 128, 128};

static fr_status describe(const fr_qformat *f, int64_t rows, int64_t cols,
                          fr_tensor part[FR_PARTS]) {
    const kind *k = f->own;
    FR_TRY(fr_part_make(&part[0], f->name, k->dtype, rows, cols));
    if (!k->rows) return fr_part_make(&part[1], f->name, FR_F32, 1, -1);
    return fr_part_make(&part[1], f->name, FR_F32, fr_group_count(rows, k->rows),
                        fr_group_count(cols, k->cols));
}

static float scale_of(float amax, const kind *k, bool power) {
    if (amax == 0) return 1.0f;
    float s = amax / k->top;
    if (power) { /* top is 0.875 * 2^bits, and top * s stays finite */
        int e, bits = k->dtype == FR_F8E4M3 ? 9 : 16;
        bool above = frexpf(amax, &e) > 0.875f;
        e += above ? 1 - bits : -bits;
        s = ldexpf(1.0f, FR_MIN(e, 128 - bits));
    }
    if (s < FLT_MIN) return FLT_MIN;
    return isinf(s * k->top) ? nextafterf(s, 0.0f) : s;
}

static uint8_t code_of(const kind *k, float x) {
    if (k->dtype == FR_F8E4M3) return fr_f32_to_f8e4m3(x);
    return fr_f32_to_f8e5m2(fminf(fmaxf(x, -k->top), k->top));
}

static float value_of(const kind *k, uint8_t code) {
    return k->dtype == FR_F8E4M3 ? fr_f8e4m3_to_f32(code) : fr_f8e5m2_to_f32(code);
}

/* One block: rows r0 .. r1 - 1, columns c0 .. c1 - 1. */
static float encode_block(const kind *k, bool power, const float *x, uint8_t *codes, int64_t cols,
                          int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
    float amax = 0;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++) amax = fmaxf(amax, fabsf(x[r * cols + c]));
    float s = scale_of(amax, k, power);
    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++) codes[r * cols + c] = code_of(k, x[r * cols + c] / s);
    return s;
}

static fr_status quantize(const fr_quant_opts *o, const float *x, fr_quantized *q) {
    const kind *k = q->format->own;
    if (o && ((o->rule != FR_RULE_PLAIN && o->rule != FR_RULE_POWER) || o->stochastic))
        return fr_fail(FR_UNSUPPORTED, "%s rounds to nearest, with plain scales or powers of two.",
                       q->format->name);
    FR_TRY(fr_check_finite(x, q->rows, q->cols));
    int64_t height = k->rows ? k->rows : q->rows, width = k->cols ? k->cols : q->cols;
    float *scale = q->part[1].data;
    for (int64_t r = 0; r < q->rows; r += height)
        for (int64_t c = 0; c < q->cols; c += width)
            *scale++ = encode_block(k, o && o->rule == FR_RULE_POWER, x, q->part[0].data, q->cols,
                                    r, FR_MIN(r + height, q->rows), c, FR_MIN(c + width, q->cols));
    return FR_OK;
}

static void decode(const fr_quantized *q, int64_t row, int64_t count, float *out) {
    const kind *k = q->format->own;
    const uint8_t *codes = q->part[0].data;
    const float *scales = q->part[1].data;
    int64_t height = k->rows ? k->rows : q->rows, width = k->cols ? k->cols : q->cols;
    int64_t across = fr_group_count(q->cols, k->cols);
    for (int64_t r = row; r < row + count; r++)
        for (int64_t c = 0; c < q->cols; c++)
            *out++ = value_of(k, codes[r * q->cols + c]) * scales[r / height * across + c / width];
}

static fr_status check(const fr_quantized *q) {
    const kind *k = q->format->own;
    const uint8_t *codes = q->part[0].data;
    const float *scales = q->part[1].data;
    for (int64_t i = 0; i < q->rows * q->cols; i++)
        if (!isfinite(value_of(k, codes[i])))
            return fr_fail(FR_FORMAT, "Row %lld, column %lld is %s (code 0x%02x).",
                           (long long)(i / q->cols), (long long)(i % q->cols),
                           isnan(value_of(k, codes[i])) ? "not a number" : "infinite", codes[i]);
    int64_t n = fr_values(&q->part[1]);
    for (int64_t i = 0; i < n; i++)
        if (!(scales[i] > 0 && scales[i] <= FLT_MAX))
            return fr_fail(FR_FORMAT, "Scale %lld of %s is %g.", (long long)i, q->format->name,
                           (double)scales[i]);
    return FR_OK;
}

#define FP8(own_, name_, scales_, group_)                                                          \
    {                                                                                              \
        .name = name_, .parts = 2, .part_name = {"codes", scales_}, .group = group_, .own = &own_, \
        .describe = describe, .quantize = quantize, .decode = decode, .check = check               \
    }

const fr_qformat fr_fp8_e4m3_tensor = FP8(tensor_e4m3, "fp8-e4m3-tensor", "tensor_scale", 0);
const fr_qformat fr_fp8_e5m2_tensor = FP8(tensor_e5m2, "fp8-e5m2-tensor", "tensor_scale", 0);
const fr_qformat fr_fp8_1x128 = FP8(row_block, "fp8-1x128", "scales", 128);
const fr_qformat fr_fp8_128x128 = FP8(square_block, "fp8-128x128", "scales", 128);
