/* group.c: integers with a 16-bit scale for every group of 32, 64 or 128 values of a row (or the whole row).
 *
 *   int4-g64      s = h(amax / 7), codes -7 .. 7, value = code * s (SVDQuant's weights and
 *                 activations; also groups of 32 and 128)
 *   uint4-g64     s = h(max(x, 0) / 15), codes 0 .. 15, value = code * s (SVDQuant's activations
 *                 behind a shifted GELU; what is below 0 becomes 0)
 *   uint4-z-g128  lo = min(x, 0), hi = max(x, 0); s = h((hi - lo) / 15), z = rn(-lo / s), codes
 *                 0 .. 15, value = (code - z) * s (AWQ, GPTQ); uint8-z with 255 in place of 15
 *   ...-perm      the same over the columns in the order that the part "order" gives (GPTQ "desc_act")
 *
 * h() rounds to f16, or to bf16 where the name ends so. What is divided by is the rounded scale; a scale
 * of 0 becomes 1. rn() rounds half to even, of an f32 quotient. The last group may be short. */
#include "format/families.h"
#include "format/parts.h"

typedef struct own {
    int lo, hi; /* codes */
    bool zeros, order;
    fr_dtype scale;
} own;

enum { CODES, SCALES, ZEROS, ORDER };

static const own *own_of(const fr_qformat *f) {
    return f->own;
}

static fr_status describe(const fr_qformat *f, int64_t rows, int64_t cols,
                          fr_tensor part[FR_PARTS]) {
    const own *o = own_of(f);
    int64_t bytes = o->hi > 15 ? cols : fr_nibble_bytes(cols), n = fr_group_count(cols, f->group);
    FR_TRY(fr_part_make(&part[CODES], f->name, FR_U8, rows, bytes));
    FR_TRY(fr_part_make(&part[SCALES], f->name, o->scale, rows, n));
    if (o->zeros) FR_TRY(fr_part_make(&part[ZEROS], f->name, FR_U8, rows, n));
    if (o->order && cols > INT32_MAX)
        return fr_fail(FR_UNSUPPORTED, "%s counts columns in 32 bits.", f->name);
    return o->order ? fr_part_make(&part[ORDER], f->name, FR_I32, cols, -1) : FR_OK;
}

/* Columns [first, end) of a group, and where its scale is. */
typedef struct span {
    int64_t row, first, end, scale;
} span;

static span span_of(const fr_quantized *q, int64_t row, int64_t g) {
    int64_t group = q->format->group ? q->format->group : q->cols;
    int64_t n = fr_group_count(q->cols, q->format->group);
    return (span){row, g * group, FR_MIN((g + 1) * group, q->cols), row * n + g};
}

static int64_t column(const fr_quantized *q, int64_t c) {
    return own_of(q->format)->order ? ((const int32_t *)q->part[ORDER].data)[c] : c;
}

static fr_status choose(const float *x, float shrink, fr_quantized *q, const span *g) {
    const own *o = own_of(q->format);
    float lo = 0, hi = 0;
    for (int64_t c = g->first; c < g->end; c++) {
        float v = x[column(q, c)];
        lo = FR_MIN(lo, v);
        hi = FR_MAX_OF(hi, v);
    }
    lo *= shrink, hi *= shrink;
    float range = o->zeros ? hi - lo : o->lo < 0 ? FR_MAX_OF(-lo, hi) : hi;
    fr_put_scale(&q->part[SCALES], g->scale, range / (float)o->hi);
    float s = fr_scale_at(&q->part[SCALES], g->scale);
    if (!isfinite(s * (float)o->hi))
        return fr_fail(FR_UNSUPPORTED,
                       "Row %lld, columns %lld to %lld reach from %g to %g, which asks for a "
                       "larger scale than %s has.",
                       (long long)g->row, (long long)g->first, (long long)g->end - 1, (double)lo,
                       (double)hi, q->format->name);
    if (s == 0) fr_put_scale(&q->part[SCALES], g->scale, s = 1);
    if (o->zeros)
        ((uint8_t *)q->part[ZEROS].data)[g->scale] =
            (uint8_t)fr_clamp_int(rintf(-lo / s), 0, o->hi);
    return FR_OK;
}

static void encode(const float *x, fr_quantized *q, const span *g) {
    const own *o = own_of(q->format);
    float s = fr_scale_at(&q->part[SCALES], g->scale);
    float z = o->zeros ? ((const uint8_t *)q->part[ZEROS].data)[g->scale] : 0;
    uint8_t *codes = (uint8_t *)q->part[CODES].data + g->row * q->part[CODES].dim[1];
    for (int64_t c = g->first; c < g->end; c++) {
        int code = fr_clamp_int(rintf(x[column(q, c)] / s) + z, o->lo, o->hi);
        if (o->hi > 15)
            codes[c] = (uint8_t)code;
        else
            fr_put_nibble(codes, c, (unsigned)code);
    }
}

static fr_status quantize(const fr_quant_opts *opts, const float *x, fr_quantized *q) {
    (void)opts;
    FR_TRY(fr_check_finite(x, q->rows, q->cols));
    memset(q->part[CODES].data, 0, fr_bytes(&q->part[CODES]));
    /* Which order is good depends on more than x: it is the business of who has one. */
    for (int64_t c = 0; own_of(q->format)->order && c < q->cols; c++)
        ((int32_t *)q->part[ORDER].data)[c] = (int32_t)c;
    int64_t n = fr_group_count(q->cols, q->format->group);
    for (int64_t r = 0; r < q->rows; r++)
        for (int64_t i = 0; i < n; i++) {
            span g = span_of(q, r, i);
            FR_TRY(choose(x + r * q->cols, 1, q, &g));
            encode(x + r * q->cols, q, &g);
        }
    return FR_OK;
}

/* ---- value by value ---- */

static fr_status choose_row(const float *x, float shrink, fr_quantized *q, int64_t row) {
    int64_t n = fr_group_count(q->cols, q->format->group);
    for (int64_t i = 0; i < n; i++) {
        span g = span_of(q, row, i);
        FR_TRY(choose(x, shrink, q, &g));
    }
    return FR_OK;
}

static int round_value(const fr_quantized *q, int64_t row, int64_t col, float x, float *value) {
    const own *o = own_of(q->format);
    int64_t group = q->format->group ? q->format->group : q->cols;
    int64_t at = row * fr_group_count(q->cols, q->format->group) + col / group;
    float s = fr_scale_at(&q->part[SCALES], at);
    float z = o->zeros ? ((const uint8_t *)q->part[ZEROS].data)[at] : 0;
    int code = fr_clamp_int(rintf(x / s) + z, o->lo, o->hi);
    *value = ((float)code - z) * s;
    return code;
}

/* ---- back ---- */

static void decode_group(const fr_quantized *q, const span *g, float *out) {
    const own *o = own_of(q->format);
    const uint8_t *codes = (const uint8_t *)q->part[CODES].data + g->row * q->part[CODES].dim[1];
    float s = fr_scale_at(&q->part[SCALES], g->scale);
    int z = o->zeros ? ((const uint8_t *)q->part[ZEROS].data)[g->scale] : 0;
    for (int64_t c = g->first; c < g->end; c++) {
        int code = o->hi > 15 ? codes[c] : (int)fr_nibble(codes, c);
        if (o->lo < 0) code = fr_signed_nibble((unsigned)code);
        out[column(q, c)] = (float)(code - z) * s;
    }
}

static void decode(const fr_quantized *q, int64_t row, int64_t count, float *out) {
    int64_t n = fr_group_count(q->cols, q->format->group);
    for (int64_t r = row; r < row + count; r++, out += q->cols)
        for (int64_t i = 0; i < n; i++) {
            span g = span_of(q, r, i);
            decode_group(q, &g, out);
        }
}

/* Every column once. */
static fr_status check_order(const fr_quantized *q) {
    const int32_t *order = q->part[ORDER].data;
    uint8_t *seen = fr_alloc(FR_MEM_OTHER, (size_t)q->cols);
    if (!seen) return FR_NOMEM;
    fr_status status = FR_OK;
    for (int64_t i = 0; i < q->cols && status == FR_OK; i++) {
        if (order[i] < 0 || order[i] >= q->cols || seen[order[i]])
            status = fr_fail(FR_FORMAT,
                             "The part 'order' holds %d at place %lld: it is not each of %lld "
                             "columns once.",
                             order[i], (long long)i, (long long)q->cols);
        else
            seen[order[i]] = 1;
    }
    fr_free(seen);
    return status;
}

static fr_status check(const fr_quantized *q) {
    const own *o = own_of(q->format);
    /* Other people's files with zero points may hold negative scales; they mean what they say. */
    FR_TRY(fr_check_scales(q, SCALES, o->zeros));
    if (o->hi <= 15) FR_TRY(fr_check_tails(q, CODES));
    const uint8_t *bytes = q->part[CODES].data, *zeros = q->part[ZEROS].data;
    for (int64_t i = 0; o->lo < 0 && i < fr_values(&q->part[CODES]); i++)
        if ((bytes[i] & 15) == 8 || bytes[i] >> 4 == 8)
            return fr_fail(FR_FORMAT, "Row %lld holds the code -8, which %s does not have.",
                           (long long)(i / q->part[CODES].dim[1]), q->format->name);
    for (int64_t i = 0; o->zeros && i < fr_values(&q->part[ZEROS]); i++)
        if (zeros[i] > o->hi)
            return fr_fail(FR_FORMAT, "The part 'zeros' holds %d at place %lld; %s ends at %d.",
                           zeros[i], (long long)i, q->format->name, o->hi);
    return o->order ? check_order(q) : FR_OK;
}

static const own int4 = {-7, 7, false, false, FR_F16}, int4_bf16 = {-7, 7, false, false, FR_BF16};
static const own uint4 = {0, 15, false, false, FR_F16}, uint4_bf16 = {0, 15, false, false, FR_BF16};
static const own uint4_z = {0, 15, true, false, FR_F16}, uint8_z = {0, 255, true, false, FR_F16};
static const own uint4_zo = {0, 15, true, true, FR_F16}, uint8_zo = {0, 255, true, true, FR_F16};

/* Where the columns stand in another order, whoever has that order is who rounds. */
#define FORMAT(id, text, count, size, facts)                                                       \
    const fr_qformat id = {                                                                        \
        .name = text,                                                                              \
        .parts = count,                                                                            \
        .part_name = {"codes", "scales", "zeros", "order"},                                        \
        .group = size,                                                                             \
        .own = &facts,                                                                             \
        .describe = describe,                                                                      \
        .quantize = quantize,                                                                      \
        .decode = decode,                                                                          \
        .check = check,                                                                            \
        .choose = count < 4 ? choose_row : NULL,                                                   \
        .round = count < 4 ? round_value : NULL,                                                   \
    }

FORMAT(fr_int4_g32, "int4-g32", 2, 32, int4);
FORMAT(fr_int4_g64, "int4-g64", 2, 64, int4);
FORMAT(fr_int4_g128, "int4-g128", 2, 128, int4);
FORMAT(fr_int4_g64_bf16, "int4-g64-bf16", 2, 64, int4_bf16);
FORMAT(fr_uint4_g64, "uint4-g64", 2, 64, uint4);
FORMAT(fr_uint4_g64_bf16, "uint4-g64-bf16", 2, 64, uint4_bf16);
FORMAT(fr_uint4_z_g32, "uint4-z-g32", 3, 32, uint4_z);
FORMAT(fr_uint4_z_g64, "uint4-z-g64", 3, 64, uint4_z);
FORMAT(fr_uint4_z_g128, "uint4-z-g128", 3, 128, uint4_z);
FORMAT(fr_uint4_z_row, "uint4-z-row", 3, 0, uint4_z);
FORMAT(fr_uint8_z_g32, "uint8-z-g32", 3, 32, uint8_z);
FORMAT(fr_uint8_z_g64, "uint8-z-g64", 3, 64, uint8_z);
FORMAT(fr_uint8_z_g128, "uint8-z-g128", 3, 128, uint8_z);
FORMAT(fr_uint8_z_row, "uint8-z-row", 3, 0, uint8_z);
FORMAT(fr_uint4_z_g32_perm, "uint4-z-g32-perm", 4, 32, uint4_zo);
FORMAT(fr_uint4_z_g64_perm, "uint4-z-g64-perm", 4, 64, uint4_zo);
FORMAT(fr_uint4_z_g128_perm, "uint4-z-g128-perm", 4, 128, uint4_zo);
FORMAT(fr_uint8_z_g32_perm, "uint8-z-g32-perm", 4, 32, uint8_zo);
FORMAT(fr_uint8_z_g64_perm, "uint8-z-g64-perm", 4, 64, uint8_zo);
FORMAT(fr_uint8_z_g128_perm, "uint8-z-g128-perm", 4, 128, uint8_zo);
