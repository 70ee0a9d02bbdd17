/* qoq.c: the weights of QoQ (QServe, W4A8KV4): four bits that become int8 by one multiplication and one
 * subtraction, so that products run on int8 units.
 *
 *   qoq-channel    s = h((max - min) / 15), z = h(-min), code = rn((w + z) / s), w^ = code * s - z
 *   qoq-g128       a row:   s1 = h(amax / 120), v = clamp(w / s1, -120, 120)
 *                  a group: s2 = clamp(rn((vmax - vmin) / 15), 1, 16), z = rn(-vmin),
 *                           code = rn((v + z) / s2), v^ = code * s2 - z, w^ = v^ * s1
 *   qoq-g128-pre   the older kind: 119 for 120, vmin <= 0 <= vmax by widening,
 *                  z = clamp(rn(-vmin / s2), 0, 15), code = rn(v / s2 + z), v^ = (code - z) * s2
 *
 * Codes are clamped to 0 .. 15; h() rounds to f16, rn() half to even. With 120 (119) every v^ fits
 * [-127, 127] without saturation and code * s2 <= 240 fits a byte: the "protective range". */
#include "format/qoq.h"

#include "format/families.h"
#include "format/parts.h"

enum { CODES, SCALES, GROUP_SCALES, GROUP_ZEROS, MOST_SCALE = 16 };

/* ---- a scale and a zero a row ---- */

static fr_status describe_row(const fr_qformat *f, int64_t rows, int64_t cols,
                              fr_tensor part[FR_PARTS]) {
    FR_TRY(fr_part_make(&part[0], f->name, FR_U8, rows, fr_nibble_bytes(cols)));
    FR_TRY(fr_part_make(&part[1], f->name, FR_F16, rows, -1));
    return fr_part_make(&part[2], f->name, FR_F16, rows, -1);
}

static fr_status too_large(const fr_qformat *f, int64_t row, float lo, float hi) {
    return fr_fail(FR_UNSUPPORTED,
                   "Row %lld reaches from %g to %g, too far for the f16 scales of %s.",
                   (long long)row, (double)lo, (double)hi, f->name);
}

static fr_status choose_row(const float *x, float shrink, fr_quantized *q, int64_t row) {
    float lo = x[0], hi = x[0];
    for (int64_t c = 1; c < q->cols; c++) {
        lo = FR_MIN(lo, x[c]);
        hi = FR_MAX_OF(hi, x[c]);
    }
    lo *= shrink, hi *= shrink;
    fr_put_scale(&q->part[1], row, (hi - lo) / 15);
    fr_put_scale(&q->part[2], row, 0 - lo);
    float s = fr_scale_at(&q->part[1], row), z = fr_scale_at(&q->part[2], row);
    if (!isfinite(s) || !isfinite(z)) return too_large(q->format, row, lo, hi);
    if (s == 0) fr_put_scale(&q->part[1], row, 1); /* one value: the zero point carries it */
    return FR_OK;
}

static int round_row(const fr_quantized *q, int64_t row, int64_t col, float x, float *value) {
    (void)col;
    float s = fr_scale_at(&q->part[1], row), z = fr_scale_at(&q->part[2], row);
    int code = fr_clamp_int(rintf((x + z) / s), 0, 15);
    *value = (float)code * s - z;
    return code;
}

static fr_status quantize_row(const fr_quant_opts *opts, const float *x, fr_quantized *q) {
    (void)opts;
    FR_TRY(fr_check_finite(x, q->rows, q->cols));
    memset(q->part[0].data, 0, fr_bytes(&q->part[0]));
    for (int64_t r = 0; r < q->rows; r++, x += q->cols) {
        FR_TRY(choose_row(x, 1, q, r));
        float s = fr_scale_at(&q->part[1], r), z = fr_scale_at(&q->part[2], r);
        uint8_t *codes = (uint8_t *)q->part[0].data + r * q->part[0].dim[1];
        for (int64_t c = 0; c < q->cols; c++)
            fr_put_nibble(codes, c, (unsigned)fr_clamp_int(rintf((x[c] + z) / s), 0, 15));
    }
    return FR_OK;
}

static void decode_row(const fr_quantized *q, int64_t row, int64_t count, float *out) {
    for (int64_t r = row; r < row + count; r++, out += q->cols) {
        float s = fr_scale_at(&q->part[1], r), z = fr_scale_at(&q->part[2], r);
        const uint8_t *codes = (const uint8_t *)q->part[0].data + r * q->part[0].dim[1];
        for (int64_t c = 0; c < q->cols; c++) out[c] = (float)fr_nibble(codes, c) * s - z;
    }
}

static fr_status check_row(const fr_quantized *q) {
    FR_TRY(fr_check_scales(q, 1, false));
    FR_TRY(fr_check_scales(q, 2, true));
    return fr_check_tails(q, 0);
}

/* ---- two levels ---- */

static bool is_pre(const fr_qformat *f) {
    return *(const bool *)f->own;
}

fr_qoq_group fr_qoq_choose(bool pre, float vmin, float vmax) {
    fr_qoq_group g = {.pre = pre};
    /* Zero points 0 .. 15 shift by no more than the width of the codes: 0 must lie between the ends. */
    if (pre) vmin = FR_MIN(vmin, 0), vmax = FR_MAX_OF(vmax, 0);
    g.scale = fr_clamp_int(rintf((vmax - vmin) / 15), 1, MOST_SCALE);
    g.zero = pre ? fr_clamp_int(rintf(-vmin / (float)g.scale), 0, 15)
                 : fr_clamp_int(rintf(-vmin), -128, 127);
    return g;
}

int fr_qoq_code(fr_qoq_group g, float v) {
    float code = g.pre ? v / (float)g.scale + (float)g.zero : (v + (float)g.zero) / (float)g.scale;
    return fr_clamp_int(rintf(code), 0, 15);
}

static fr_status describe_group(const fr_qformat *f, int64_t rows, int64_t cols,
                                fr_tensor part[FR_PARTS]) {
    int64_t n = fr_group_count(cols, f->group);
    FR_TRY(fr_part_make(&part[CODES], f->name, FR_U8, rows, fr_nibble_bytes(cols)));
    FR_TRY(fr_part_make(&part[SCALES], f->name, FR_F16, rows, -1));
    FR_TRY(fr_part_make(&part[GROUP_SCALES], f->name, FR_U8, rows, n));
    return fr_part_make(&part[GROUP_ZEROS], f->name, is_pre(f) ? FR_U8 : FR_I8, rows, n);
}

static fr_qoq_group group_at(const fr_quantized *q, int64_t i) {
    bool pre = is_pre(q->format);
    const void *zeros = q->part[GROUP_ZEROS].data;
    return (fr_qoq_group){pre, ((const uint8_t *)q->part[GROUP_SCALES].data)[i],
                          pre ? ((const uint8_t *)zeros)[i] : ((const int8_t *)zeros)[i]};
}

static void put_group(fr_quantized *q, int64_t i, fr_qoq_group g) {
    ((uint8_t *)q->part[GROUP_SCALES].data)[i] = (uint8_t)g.scale;
    ((uint8_t *)q->part[GROUP_ZEROS].data)[i] = (uint8_t)g.zero;
}

static float within(float v, float bound) {
    return v < -bound ? -bound : v > bound ? bound : v;
}

static float bound_of(const fr_qformat *f) {
    return is_pre(f) ? FR_QOQ_BOUND_PRE : FR_QOQ_BOUND;
}

/* Group i of the row, from x and the row's scale. */
static void choose_group(const float *x, float shrink, float s1, fr_quantized *q, int64_t row,
                         int64_t i) {
    float bound = bound_of(q->format), vmin = bound, vmax = -bound;
    int64_t first = i * q->format->group, end = FR_MIN(first + q->format->group, q->cols);
    for (int64_t c = first; c < end; c++) {
        float v = within(x[c] / s1, bound);
        vmin = FR_MIN(vmin, v);
        vmax = FR_MAX_OF(vmax, v);
    }
    put_group(q, row * q->part[GROUP_SCALES].dim[1] + i,
              fr_qoq_choose(is_pre(q->format), shrink * vmin, shrink * vmax));
}

static fr_status choose_groups(const float *x, float shrink, fr_quantized *q, int64_t row) {
    float amax = 0;
    for (int64_t c = 0; c < q->cols; c++) amax = FR_MAX_OF(amax, fabsf(x[c]));
    fr_put_scale(&q->part[SCALES], row, amax / bound_of(q->format));
    float s1 = fr_scale_at(&q->part[SCALES], row);
    if (!isfinite(s1)) return too_large(q->format, row, -amax, amax);
    if (s1 == 0) fr_put_scale(&q->part[SCALES], row, s1 = 1);
    for (int64_t i = 0; i < q->part[GROUP_SCALES].dim[1]; i++)
        choose_group(x, shrink, s1, q, row, i);
    return FR_OK;
}

static int round_group(const fr_quantized *q, int64_t row, int64_t col, float x, float *value) {
    fr_qoq_group g = group_at(q, row * q->part[GROUP_SCALES].dim[1] + col / q->format->group);
    float s1 = fr_scale_at(&q->part[SCALES], row);
    int code = fr_qoq_code(g, within(x / s1, bound_of(q->format)));
    *value = (float)fr_qoq_value(g, code) * s1;
    return code;
}

static fr_status quantize_group(const fr_quant_opts *opts, const float *x, fr_quantized *q) {
    (void)opts;
    FR_TRY(fr_check_finite(x, q->rows, q->cols));
    memset(q->part[CODES].data, 0, fr_bytes(&q->part[CODES]));
    for (int64_t r = 0; r < q->rows; r++, x += q->cols) {
        FR_TRY(choose_groups(x, 1, q, r));
        uint8_t *codes = (uint8_t *)q->part[CODES].data + r * q->part[CODES].dim[1];
        float value;
        for (int64_t c = 0; c < q->cols; c++)
            fr_put_nibble(codes, c, (unsigned)round_group(q, r, c, x[c], &value));
    }
    return FR_OK;
}

static void decode_group(const fr_quantized *q, int64_t row, int64_t count, float *out) {
    int64_t n = q->part[GROUP_SCALES].dim[1];
    for (int64_t r = row; r < row + count; r++, out += q->cols) {
        float s1 = fr_scale_at(&q->part[SCALES], r);
        const uint8_t *codes = (const uint8_t *)q->part[CODES].data + r * q->part[CODES].dim[1];
        for (int64_t c = 0; c < q->cols; c++) {
            fr_qoq_group g = group_at(q, r * n + c / q->format->group);
            out[c] = (float)fr_qoq_value(g, (int)fr_nibble(codes, c)) * s1;
        }
    }
}

static bool fits(fr_qoq_group g, int code) {
    int v = fr_qoq_value(g, code);
    return v >= -128 && v <= 127;
}

/* Kernels do not saturate: a file in which a code would leave eight bits is refused here. Values grow with codes, so
 * where 0 and 15 fit, as they mostly do, nobody needs to look at the codes. */
static fr_status check_codes(const fr_quantized *q, int64_t row) {
    const uint8_t *codes = (const uint8_t *)q->part[CODES].data + row * q->part[CODES].dim[1];
    const int64_t group = q->format->group, groups = q->part[GROUP_SCALES].dim[1];
    for (int64_t i = 0; i < groups; i++) {
        fr_qoq_group g = group_at(q, row * groups + i);
        if (fits(g, 0) && fits(g, 15)) continue;
        for (int64_t c = i * group; c < FR_MIN((i + 1) * group, q->cols); c++)
            if (!fits(g, (int)fr_nibble(codes, c)))
                return fr_fail(
                    FR_FORMAT, "Row %lld, column %lld becomes %d, which eight bits cannot hold.",
                    (long long)row, (long long)c, fr_qoq_value(g, (int)fr_nibble(codes, c)));
    }
    return FR_OK;
}

static fr_status check_group(const fr_quantized *q) {
    FR_TRY(fr_check_scales(q, SCALES, false));
    FR_TRY(fr_check_tails(q, CODES));
    for (int64_t i = 0; i < fr_values(&q->part[GROUP_SCALES]); i++) {
        fr_qoq_group g = group_at(q, i);
        if (g.scale < 1 || g.scale > MOST_SCALE)
            return fr_fail(FR_FORMAT,
                           "The part 'group_scales' holds %d at place %lld, not 1 to 16.", g.scale,
                           (long long)i);
        if (g.pre && g.zero > 15)
            return fr_fail(FR_FORMAT, "The part 'group_zeros' holds %d at place %lld, not 0 to 15.",
                           g.zero, (long long)i);
    }
    for (int64_t r = 0; r < q->rows; r++) FR_TRY(check_codes(q, r));
    return FR_OK;
}

static const bool post = false, pre = true;

const fr_qformat fr_qoq_channel = {
    .name = "qoq-channel",
    .parts = 3,
    .part_name = {"codes", "scales", "zeros"},
    .describe = describe_row,
    .quantize = quantize_row,
    .decode = decode_row,
    .check = check_row,
    .choose = choose_row,
    .round = round_row,
};

#define TWO_LEVELS(id, text, kind)                                                                 \
    const fr_qformat id = {                                                                        \
        .name = text,                                                                              \
        .parts = 4,                                                                                \
        .part_name = {"codes", "scales", "group_scales", "group_zeros"},                           \
        .group = 128,                                                                              \
        .own = &kind,                                                                              \
        .describe = describe_group,                                                                \
        .quantize = quantize_group,                                                                \
        .decode = decode_group,                                                                    \
        .check = check_group,                                                                      \
        .choose = choose_groups,                                                                   \
        .round = round_group,                                                                      \
    }

TWO_LEVELS(fr_qoq_g128, "qoq-g128", post);
TWO_LEVELS(fr_qoq_g128_pre, "qoq-g128-pre", pre);
