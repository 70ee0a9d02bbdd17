/* nvfp4.c: NVFP4, 4-bit floats in blocks of 16, with two levels of scales.
 *
 *   value = E2M1 code * E4M3 scale of its block of 16 of a row * the f32 scale of the tensor
 *
 * With amax the largest magnitude of the tensor, bm that of a block, and `top` the largest block scale
 * (448), the tensor's scale is amax / (6 top) and a block's is e4m3(bm / 6 * (6 top / amax)), so that bm
 * becomes the code 6. Four Over Six (Cook et al., 2025) also tries a scale 1.5 times as large, by which bm
 * becomes 4: the grid 0 .. 4 is finer near its top than the grid 0 .. 6. It keeps what has the smaller
 * error over the block, measured on the decoded values; ties go to 6. It takes top = 256, so that
 * 1.5 * 256 is a scale too. Every step is one float operation in the order of the code, and errors are
 * summed in doubles, in order: that order is part of the format's meaning. */
#include <float.h>
#include <math.h>

#include "format/e2m1.h"
#include "format/families.h"
#include "format/parts.h"

enum { BLOCK = 16, CODES = 0, SCALES = 1, TENSOR_SCALE = 2 };

typedef struct rule {
    fr_block_rule choice;
    float peak;   /* what the largest value of a block becomes; 16/17 of it when unbiased */
    float encode; /* peak * top / amax */
    float decode; /* its inverse: the tensor's scale, of the matrix times `lift` */
    float lift;   /* a power of two that keeps tiny tensors clear of denormal numbers */
    bool two;     /* Four Over Six */
} rule;

typedef struct trial {
    uint8_t scale;
    uint8_t code[BLOCK];
    double error;
} trial;

static fr_status describe(const fr_qformat *f, int64_t rows, int64_t cols,
                          fr_tensor part[FR_PARTS]) {
    FR_TRY(fr_part_make(&part[CODES], f->name, FR_U8, rows, fr_nibble_bytes(cols)));
    FR_TRY(fr_part_make(&part[SCALES], f->name, FR_F8E4M3, rows, fr_group_count(cols, BLOCK)));
    return fr_part_make(&part[TENSOR_SCALE], f->name, FR_F32, 1, -1);
}

static float largest(const float *x, int64_t n) {
    float m = 0;
    for (int64_t i = 0; i < n; i++) m = fmaxf(m, fabsf(x[i]));
    return m;
}

static fr_status rule_of(const fr_quant_opts *o, float amax, rule *r) {
    *r = (rule){.choice = o ? o->rule : FR_RULE_PLAIN, .lift = 1};
    r->two = r->choice >= FR_RULE_46_MSE && r->choice <= FR_RULE_46_MAX;
    if (r->choice > FR_RULE_4)
        return fr_fail(FR_UNSUPPORTED, "NVFP4 has no rule %d for its scales.", (int)r->choice);
    int32_t top = o && o->top ? o->top : r->two ? 256 : 448;
    if (top != 256 && top != 448)
        return fr_fail(FR_INVALID, "The largest block scale of NVFP4 is 256 or 448, not %d.", top);
    r->peak = r->choice == FR_RULE_4 ? 4.0f : 6.0f;
    if (o && o->stochastic && o->unbiased) r->peak /= 1.0625f;
    if (amax == 0) return FR_OK;
    if (amax < 0x1p-60f) r->lift = 0x1p64f;
    amax *= r->lift;
    float full = r->peak * (float)top;
    r->encode = full / amax;
    r->decode = amax / full;
    if (isinf(r->decode * full)) r->decode = nextafterf(r->decode, 0.0f);
    return FR_OK;
}

/* The block with one scale. x is zero past the end of the row. */
static void try_scale(const rule *r, const float *x, const float *dither, float scale, trial *t) {
    t->scale = fr_f32_to_f8e4m3(scale);
    t->error = 0;
    float s = fr_f8e4m3_to_f32(t->scale);
    float inverse = s > 0 ? 1.0f / (r->decode * s) : 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        t->code[i] = s > 0 ? (uint8_t)fr_e2m1_code(x[i] * inverse, dither[i]) : 0;
        double e = fabs((double)(fr_e2m1_value(t->code[i]) * s * r->decode) - (double)x[i]);
        if (r->choice == FR_RULE_46_MSE)
            t->error += e * e;
        else if (r->choice == FR_RULE_46_MAE)
            t->error += e;
        else
            t->error = fmax(t->error, e);
    }
}

static void encode_block(const rule *r, const float *x, const float *dither, trial *best) {
    float scale = largest(x, BLOCK) / r->peak * r->encode;
    try_scale(r, x, dither, scale, best);
    float wide = scale * 1.5f;
    if (!r->two || wide > 448.0f) return; /* with top 448 not every block has the choice */
    trial four;
    try_scale(r, x, dither, wide, &four);
    if (four.error < best->error) *best = four;
}

static fr_status quantize(const fr_quant_opts *o, const float *x, fr_quantized *q) {
    FR_TRY(fr_check_finite(x, q->rows, q->cols));
    rule r;
    FR_TRY(rule_of(o, largest(x, q->rows * q->cols), &r));
    int64_t blocks = fr_group_count(q->cols, BLOCK), bytes = fr_nibble_bytes(q->cols);
    uint8_t *codes = q->part[CODES].data, *scales = q->part[SCALES].data;
    memset(codes, 0, fr_bytes(&q->part[CODES]));
    *(float *)q->part[TENSOR_SCALE].data = r.decode / r.lift;
    for (int64_t row = 0; row < q->rows; row++)
        for (int64_t b = 0; b < blocks; b++) {
            float values[BLOCK] = {0}, dither[BLOCK] = {0};
            int64_t first = b * BLOCK, n = FR_MIN(q->cols - first, BLOCK);
            for (int64_t i = 0; i < n; i++) {
                values[i] = x[row * q->cols + first + i] * r.lift;
                dither[i] = fr_dither(o, row * q->cols + first + i);
            }
            trial t;
            encode_block(&r, values, dither, &t);
            scales[row * blocks + b] = t.scale;
            for (int64_t i = 0; i < n; i++)
                fr_put_nibble(codes + row * bytes, first + i, t.code[i]);
        }
    return FR_OK;
}

static void decode(const fr_quantized *q, int64_t row, int64_t count, float *out) {
    int64_t blocks = fr_group_count(q->cols, BLOCK), bytes = fr_nibble_bytes(q->cols);
    const uint8_t *codes = q->part[CODES].data, *scales = q->part[SCALES].data;
    float tensor_scale = *(const float *)q->part[TENSOR_SCALE].data;
    for (int64_t r = row; r < row + count; r++)
        for (int64_t c = 0; c < q->cols; c++) {
            float s = fr_f8e4m3_to_f32(scales[r * blocks + c / BLOCK]);
            *out++ = fr_e2m1_value(fr_nibble(codes + r * bytes, c)) * s * tensor_scale;
        }
}

static fr_status check(const fr_quantized *q) {
    const uint8_t *scales = q->part[SCALES].data;
    int64_t blocks = fr_group_count(q->cols, BLOCK);
    for (int64_t i = 0; i < q->rows * blocks; i++)
        if (scales[i] >= 0x7f)
            return fr_fail(FR_FORMAT, "The scale of row %lld, block %lld is %s (code 0x%02x).",
                           (long long)(i / blocks), (long long)(i % blocks),
                           (scales[i] & 0x7f) == 0x7f ? "not a number" : "negative", scales[i]);
    float t = *(const float *)q->part[TENSOR_SCALE].data;
    if (!(t >= 0 && t <= FLT_MAX))
        return fr_fail(FR_FORMAT, "The tensor's scale of nvfp4 is %g.", (double)t);
    return fr_check_tails(q, CODES);
}

const fr_qformat fr_nvfp4 = {
    .name = "nvfp4",
    .parts = 3,
    .part_name = {"codes", "scales", "tensor_scale"},
    .group = BLOCK,
    .describe = describe,
    .quantize = quantize,
    .decode = decode,
    .check = check,
};
