/* mxfp4.c: MXFP4 of the OCP Microscaling Formats: E2M1 codes in blocks of 32, with a power of two each.
 *
 *   value = E2M1 code * 2^(scale byte - 127)                              (E8M0, byte 255 is NaN)
 *
 * The usual rule is OCP's: the exponent floor(log2 bm) - 2 for the largest magnitude bm of the block, so
 * that bm becomes 4 to 8, and what is above 6 is cut off there. FR_RULE_POWER takes the least power of two
 * that cuts nothing off, ceil(log2(bm / 6)). Exponents go from -127 (also of blocks of zeros) to 125, above
 * which the codes 4 and 6 would be infinite. */
#include <math.h>

#include "format/e2m1.h"
#include "format/families.h"
#include "format/parts.h"

enum { BLOCK = 32, CODES = 0, SCALES = 1, LEAST = -127, MOST = 125 };

static fr_status describe(const fr_qformat *f, int64_t rows, int64_t cols,
                          fr_tensor part[FR_PARTS]) {
    FR_TRY(fr_part_make(&part[CODES], f->name, FR_U8, rows, fr_nibble_bytes(cols)));
    return fr_part_make(&part[SCALES], f->name, FR_U8, rows, fr_group_count(cols, BLOCK));
}

static int exponent_of(float largest, bool power) {
    if (largest == 0) return LEAST;
    int e;
    float m = frexpf(largest, &e); /* largest = m * 2^e, m in [0.5, 1) */
    int exponent = power ? (m <= 0.75f ? e - 3 : e - 2) : e - 3;
    return exponent < LEAST ? LEAST : exponent > MOST ? MOST : exponent;
}

static void encode_block(const fr_quant_opts *o, const float *x, int64_t n, int64_t place,
                         uint8_t *scale, uint8_t *codes, int64_t col) {
    float largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmaxf(largest, fabsf(x[i]));
    int e = exponent_of(largest, o && o->rule == FR_RULE_POWER);
    *scale = (uint8_t)(e - LEAST);
    for (int64_t i = 0; i < n; i++) /* -e is at most 127: 2^-e is a normal float */
        fr_put_nibble(codes, col + i,
                      fr_e2m1_code(x[i] * ldexpf(1.0f, -e), fr_dither(o, place + i)));
}

static fr_status quantize(const fr_quant_opts *o, const float *x, fr_quantized *q) {
    if (o && o->rule != FR_RULE_PLAIN && o->rule != FR_RULE_POWER)
        return fr_fail(FR_UNSUPPORTED, "MXFP4 has no rule %d for its scales.", (int)o->rule);
    FR_TRY(fr_check_finite(x, q->rows, q->cols));
    int64_t blocks = fr_group_count(q->cols, BLOCK), bytes = fr_nibble_bytes(q->cols);
    uint8_t *codes = q->part[CODES].data, *scales = q->part[SCALES].data;
    memset(codes, 0, fr_bytes(&q->part[CODES]));
    for (int64_t row = 0; row < q->rows; row++)
        for (int64_t b = 0; b < blocks; b++) {
            int64_t first = b * BLOCK, place = row * q->cols + first;
            encode_block(o, x + place, FR_MIN(q->cols - first, BLOCK), place,
                         &scales[row * blocks + b], codes + row * bytes, first);
        }
    return FR_OK;
}

static void decode(const fr_quantized *q, int64_t row, int64_t count, float *out) {
    int64_t blocks = fr_group_count(q->cols, BLOCK), bytes = fr_nibble_bytes(q->cols);
    const uint8_t *codes = q->part[CODES].data, *scales = q->part[SCALES].data;
    for (int64_t r = row; r < row + count; r++)
        for (int64_t c = 0; c < q->cols; c++)
            *out++ = ldexpf(fr_e2m1_value(fr_nibble(codes + r * bytes, c)),
                            scales[r * blocks + c / BLOCK] + LEAST);
}

static fr_status check(const fr_quantized *q) {
    const uint8_t *scales = q->part[SCALES].data;
    int64_t blocks = fr_group_count(q->cols, BLOCK);
    for (int64_t i = 0; i < q->rows * blocks; i++)
        if (scales[i] > MOST - LEAST)
            return fr_fail(FR_FORMAT, "The scale of row %lld, block %lld is %s (code 0x%02x).",
                           (long long)(i / blocks), (long long)(i % blocks),
                           scales[i] == 255 ? "not a number" : "too large", scales[i]);
    return fr_check_tails(q, CODES);
}

const fr_qformat fr_mxfp4 = {
    .name = "mxfp4",
    .parts = 2,
    .part_name = {"codes", "scales"},
    .group = BLOCK,
    .describe = describe,
    .quantize = quantize,
    .decode = decode,
    .check = check,
};
