/* int8.c: eight bits a value, one f32 scale a tensor or a row. Weights call a row a channel and activations
 * call it a token; the bytes are the same.
 *
 *   symmetric   s = amax / 127, codes -127 .. 127, value = code * s
 *   asymmetric  lo = min(x, 0), hi = max(x, 0); s = (hi - lo) / 255, z = rn(-lo / s), codes
 *               0 .. 255, value = (code - z) * s: zero is exact
 *
 * rn() rounds half to even, of an f32 quotient. A scale of 0 becomes 1, and the codes are then 0 (z). */
#include "format/families.h"
#include "format/parts.h"

typedef struct own {
    bool rows; /* a scale a row */
    bool zeros;
} own;

static const own *own_of(const fr_qformat *f) {
    return f->own;
}

static fr_status describe(const fr_qformat *f, int64_t rows, int64_t cols,
                          fr_tensor part[FR_PARTS]) {
    int64_t scales = own_of(f)->rows ? rows : 1;
    FR_TRY(fr_part_make(&part[0], f->name, own_of(f)->zeros ? FR_U8 : FR_I8, rows, cols));
    FR_TRY(fr_part_make(&part[1], f->name, FR_F32, scales, -1));
    return own_of(f)->zeros ? fr_part_make(&part[2], f->name, FR_U8, scales, -1) : FR_OK;
}

/* Scale (and zero point) number i for n values. */
static fr_status choose(const float *x, int64_t n, float shrink, fr_quantized *q, int64_t i) {
    bool zeros = own_of(q->format)->zeros;
    float lo = 0, hi = 0;
    for (int64_t c = 0; c < n; c++) {
        lo = FR_MIN(lo, x[c]);
        hi = FR_MAX_OF(hi, x[c]);
    }
    lo *= shrink, hi *= shrink;
    float s = zeros ? (float)(((double)hi - (double)lo) / 255) : FR_MAX_OF(-lo, hi) / 127;
    if (s == 0) s = 1;
    if (!isfinite(s * (zeros ? 255 : 127)))
        return fr_fail(FR_UNSUPPORTED,
                       "Values from %g to %g are too large for %s: decoding would overflow.",
                       (double)lo, (double)hi, q->format->name);
    ((float *)q->part[1].data)[i] = s;
    if (zeros) ((uint8_t *)q->part[2].data)[i] = (uint8_t)fr_clamp_int(rintf(-lo / s), 0, 255);
    return FR_OK;
}

static void encode(const float *x, int64_t n, fr_quantized *q, int64_t first, int64_t i) {
    float s = ((const float *)q->part[1].data)[i];
    if (own_of(q->format)->zeros) {
        float z = ((const uint8_t *)q->part[2].data)[i];
        uint8_t *codes = (uint8_t *)q->part[0].data + first;
        for (int64_t c = 0; c < n; c++)
            codes[c] = (uint8_t)fr_clamp_int(rintf(x[c] / s) + z, 0, 255);
    } else {
        int8_t *codes = (int8_t *)q->part[0].data + first;
        for (int64_t c = 0; c < n; c++) codes[c] = (int8_t)fr_clamp_int(rintf(x[c] / s), -127, 127);
    }
}

static fr_status quantize(const fr_quant_opts *opts, const float *x, fr_quantized *q) {
    (void)opts;
    FR_TRY(fr_check_finite(x, q->rows, q->cols));
    bool by_row = own_of(q->format)->rows;
    int64_t pieces = by_row ? q->rows : 1, n = by_row ? q->cols : q->rows * q->cols;
    for (int64_t i = 0; i < pieces; i++) {
        FR_TRY(choose(x + i * n, n, 1, q, i));
        encode(x + i * n, n, q, i * n, i);
    }
    return FR_OK;
}

static fr_status choose_row(const float *x, float shrink, fr_quantized *q, int64_t row) {
    return choose(x, q->cols, shrink, q, row);
}

static int round_value(const fr_quantized *q, int64_t row, int64_t col, float x, float *value) {
    (void)col;
    bool zeros = own_of(q->format)->zeros;
    float s = ((const float *)q->part[1].data)[row];
    float z = zeros ? ((const uint8_t *)q->part[2].data)[row] : 0;
    int code = fr_clamp_int(rintf(x / s) + z, zeros ? 0 : -127, zeros ? 255 : 127);
    *value = ((float)code - z) * s;
    return code;
}

static void decode(const fr_quantized *q, int64_t row, int64_t count, float *out) {
    bool by_row = own_of(q->format)->rows, zeros = own_of(q->format)->zeros;
    for (int64_t r = row; r < row + count; r++, out += q->cols) {
        int64_t at = r * q->cols, i = by_row ? r : 0;
        float s = ((const float *)q->part[1].data)[i];
        int z = zeros ? ((const uint8_t *)q->part[2].data)[i] : 0;
        for (int64_t c = 0; c < q->cols; c++) {
            int code = zeros ? ((const uint8_t *)q->part[0].data)[at + c]
                             : ((const int8_t *)q->part[0].data)[at + c];
            out[c] = (float)(code - z) * s;
        }
    }
}

static fr_status check(const fr_quantized *q) {
    FR_TRY(fr_check_scales(q, 1, false));
    if (own_of(q->format)->zeros) return FR_OK;
    const int8_t *codes = q->part[0].data;
    for (int64_t i = 0; i < q->rows * q->cols; i++)
        if (codes[i] == -128)
            return fr_fail(FR_FORMAT,
                           "Row %lld, column %lld holds the code -128, which %s does not have.",
                           (long long)(i / q->cols), (long long)(i % q->cols), q->format->name);
    return FR_OK;
}

static const own tensor = {false, false}, row = {true, false};
static const own utensor = {false, true}, urow = {true, true};

#define FORMAT(id, text, count, facts, chooser, rounder)                                           \
    const fr_qformat id = {                                                                        \
        .name = text,                                                                              \
        .parts = count,                                                                            \
        .part_name = {"codes", "scales", "zeros"},                                                 \
        .own = &facts,                                                                             \
        .describe = describe,                                                                      \
        .quantize = quantize,                                                                      \
        .decode = decode,                                                                          \
        .check = check,                                                                            \
        .choose = chooser,                                                                         \
        .round = rounder,                                                                          \
    }

FORMAT(fr_int8_tensor, "int8-tensor", 2, tensor, NULL, NULL);
FORMAT(fr_int8_channel, "int8-channel", 2, row, choose_row, round_value);
FORMAT(fr_int8_token, "int8-token", 2, row, choose_row, round_value);
FORMAT(fr_uint8_tensor, "uint8-tensor", 3, utensor, NULL, NULL);
FORMAT(fr_uint8_channel, "uint8-channel", 3, urow, choose_row, round_value);
FORMAT(fr_uint8_token, "uint8-token", 3, urow, choose_row, round_value);
