/* ggml.c: the blocks of GGUF files as formats, so that weights stay where they are in the file.
 *
 * One part, "blocks": the blocks of a row one after another, as bytes; what a block holds says tensor/blocks.c. Every
 * block has f16 scales, and every code is allowed. Made here by rounding to the nearest alone, as the simple formats
 * are made elsewhere too: Q4_0 and its kind scale the largest value to the end of the codes, the K formats round
 * the scales of their groups to whole numbers of an f16. */
#include "format/families.h"
#include "format/parts.h"

typedef struct own {
    fr_dtype type;
    int halves[2]; /* where a block keeps its f16 numbers; -1: no second one */
    bool (*encode)(const float *x, uint8_t *out); /* false: a scale does not fit f16 */
} own;

static const own *own_of(const fr_qformat *f) {
    return f->own;
}

/* ---- a block ---- */

static bool put_half(uint8_t *at, float x, float *rounded) {
    uint16_t h = fr_f32_to_f16(x);
    at[0] = (uint8_t)h, at[1] = (uint8_t)(h >> 8);
    *rounded = fr_f16_to_f32(h);
    return isfinite(*rounded);
}

/* Of scales so small that 1 / d is infinite, x is NaN where the value is 0. */
static int code_of(float x, int most) {
    return x > 0 ? fr_clamp_int(x, 0, most) : 0;
}

static void range(const float *x, int n, float *lo, float *hi) {
    *lo = *hi = x[0];
    for (int i = 1; i < n; i++) *lo = FR_MIN(*lo, x[i]), *hi = FR_MAX_OF(*hi, x[i]);
}

/* The value farthest from 0, the first of such. */
static float farthest(const float *x, int n) {
    float far = x[0];
    for (int i = 1; i < n; i++)
        if (fabsf(x[i]) > fabsf(far)) far = x[i];
    return far;
}

static void put_nibbles(uint8_t *out, const int *code) {
    for (int i = 0; i < 16; i++) out[i] = (uint8_t)((code[i] & 15) | (code[i + 16] & 15) << 4);
}

static void put_fifths(uint8_t *out, const int *code) {
    for (int i = 0; i < 32; i++) out[i / 8] = (uint8_t)(out[i / 8] | (code[i] >> 4) << i % 8);
}

/* 4 or 5 bits without an offset: the farthest value becomes the least code. */
static bool encode_0(const float *x, int bits, uint8_t *out) {
    int code[32], half = 1 << (bits - 1);
    float d = farthest(x, 32) / (float)-half, by = d != 0 ? 1 / d : 0, rounded;
    if (!put_half(out, d, &rounded)) return false;
    for (int i = 0; i < 32; i++)
        code[i] = code_of(truncf(x[i] * by + ((float)half + 0.5f)), 2 * half - 1);
    if (bits == 5) put_fifths(out + 2, code);
    put_nibbles(out + (bits == 5 ? 6 : 2), code);
    return true;
}

static bool encode_1(const float *x, int bits, uint8_t *out) {
    int code[32], top = (1 << bits) - 1;
    float lo, hi, rounded;
    range(x, 32, &lo, &hi);
    float d = (hi - lo) / (float)top, by = d != 0 ? 1 / d : 0;
    if (!put_half(out, d, &rounded) || !put_half(out + 2, lo, &rounded)) return false;
    for (int i = 0; i < 32; i++) code[i] = code_of(truncf((x[i] - lo) * by + 0.5f), top);
    if (bits == 5) put_fifths(out + 4, code);
    put_nibbles(out + (bits == 5 ? 8 : 4), code);
    return true;
}

static bool encode_q4_0(const float *x, uint8_t *out) {
    return encode_0(x, 4, out);
}
static bool encode_q4_1(const float *x, uint8_t *out) {
    return encode_1(x, 4, out);
}
static bool encode_q5_0(const float *x, uint8_t *out) {
    return encode_0(x, 5, out);
}
static bool encode_q5_1(const float *x, uint8_t *out) {
    return encode_1(x, 5, out);
}

static bool encode_q8_0(const float *x, uint8_t *out) {
    return fr_encode(FR_Q8_0, x, 32, out) == FR_OK && (out[1] & 0x7c) != 0x7c;
}

/* Group g's 6-bit scale and offset among the 12 packed bytes. */
static void put_pair(uint8_t *p, int g, int s, int m) {
    if (g < 4) {
        p[g] = (uint8_t)(p[g] | s);
        p[g + 4] = (uint8_t)(p[g + 4] | m);
        return;
    }
    p[g + 4] = (uint8_t)((s & 15) | (m & 15) << 4);
    p[g - 4] = (uint8_t)(p[g - 4] | (s >> 4) << 6);
    p[g] = (uint8_t)(p[g] | (m >> 4) << 6);
}

/* x = d s code - dmin m over 8 groups of 32. */
static bool encode_k(const float *x, int bits, uint8_t *out) {
    float scale[8], less[8], lo, hi, d, dmin, top_scale = 0, top_less = 0;
    int top = (1 << bits) - 1;
    for (int g = 0; g < 8; g++) {
        range(x + 32 * g, 32, &lo, &hi);
        lo = FR_MIN(lo, 0);
        scale[g] = (hi - lo) / (float)top, less[g] = -lo;
        top_scale = FR_MAX_OF(top_scale, scale[g]), top_less = FR_MAX_OF(top_less, less[g]);
    }
    if (!put_half(out, top_scale / 63, &d) || !put_half(out + 2, top_less / 63, &dmin))
        return false;
    for (int g = 0; g < 8; g++) {
        int s = d > 0 ? code_of(rintf(scale[g] / d), 63) : 0;
        int m = dmin > 0 ? code_of(rintf(less[g] / dmin), 63) : 0;
        float ds = d * (float)s, dm = dmin * (float)m;
        put_pair(out + 4, g, s, m);
        for (int i = 0; i < 32; i++) {
            int code = ds > 0 ? code_of(rintf((x[32 * g + i] + dm) / ds), top) : 0;
            uint8_t *nibble = out + (bits == 5 ? 48 : 16) + g / 2 * 32 + i;
            *nibble = (uint8_t)(*nibble | (code & 15) << (g & 1) * 4);
            if (bits == 5) out[16 + i] = (uint8_t)(out[16 + i] | (code >> 4) << g);
        }
    }
    return true;
}

static bool encode_q4_k(const float *x, uint8_t *out) {
    return encode_k(x, 4, out);
}
static bool encode_q5_k(const float *x, uint8_t *out) {
    return encode_k(x, 5, out);
}

/* x = d s (code - 32) over 16 groups of 16; the farthest value of a group becomes the code 0. */
static bool encode_q6_k(const float *x, uint8_t *out) {
    float scale[16], far = 0, d;
    for (int g = 0; g < 16; g++) {
        scale[g] = farthest(x + 16 * g, 16) / -32;
        if (fabsf(scale[g]) > fabsf(far)) far = scale[g];
    }
    if (!put_half(out + 208, far / -128, &d)) return false;
    for (int at = 0; at < 256; at++) {
        int s = d != 0 ? fr_clamp_int(rintf(scale[at / 16] / d), -128, 127) : 0;
        float ds = d * (float)s;
        int code = ds != 0 ? code_of(rintf(x[at] / ds) + 32, 63) : 32;
        int half = at / 128, row = at / 32 % 4, i = at % 32;
        uint8_t *low = out + half * 64 + (row & 1) * 32 + i, *high = out + 128 + half * 32 + i;
        *low = (uint8_t)(*low | (code & 15) << (row >> 1) * 4);
        *high = (uint8_t)(*high | (code >> 4) << row * 2);
        out[192 + at / 16] = (uint8_t)(int8_t)s;
    }
    return true;
}

/* ---- the hooks ---- */

static fr_status describe(const fr_qformat *f, int64_t rows, int64_t cols,
                          fr_tensor part[FR_PARTS]) {
    const fr_dtype_info *info = fr_dtype_get(own_of(f)->type);
    if (cols % info->block)
        return fr_fail(FR_UNSUPPORTED, "%s wants rows of whole blocks of %d values, not of %lld.",
                       f->name, info->block, (long long)cols);
    return fr_part_make(&part[0], f->name, FR_U8, rows, cols / info->block * info->bytes);
}

static fr_status quantize(const fr_quant_opts *opts, const float *x, fr_quantized *q) {
    const own *o = own_of(q->format);
    const fr_dtype_info *info = fr_dtype_get(o->type);
    (void)opts;
    FR_TRY(fr_check_finite(x, q->rows, q->cols));
    int64_t per_row = q->cols / info->block, blocks = q->rows * per_row;
    memset(q->part[0].data, 0, fr_bytes(&q->part[0]));
    for (int64_t b = 0; b < blocks; b++)
        if (!o->encode(x + b * info->block, (uint8_t *)q->part[0].data + b * info->bytes))
            return fr_fail(FR_UNSUPPORTED,
                           "Row %lld, columns from %lld on ask for a larger scale than %s has.",
                           (long long)(b / per_row), (long long)(b % per_row * info->block),
                           q->format->name);
    return FR_OK;
}

static void decode(const fr_quantized *q, int64_t row, int64_t count, float *out) {
    int64_t bytes = q->part[0].dim[1];
    fr_decode(own_of(q->format)->type, (const uint8_t *)q->part[0].data + row * bytes,
              (size_t)(count * q->cols), out);
}

/* No NaN or infinity among the scales. */
static fr_status check(const fr_quantized *q) {
    const own *o = own_of(q->format);
    const fr_dtype_info *info = fr_dtype_get(o->type);
    const uint8_t *at = q->part[0].data;
    int64_t per_row = q->cols / info->block;
    int second = o->halves[1] < 0 ? o->halves[0] : o->halves[1];
    for (int64_t b = 0; b < q->rows * per_row; b++, at += info->bytes)
        if ((at[o->halves[0] + 1] & 0x7c) == 0x7c || (at[second + 1] & 0x7c) == 0x7c)
            return fr_fail(FR_FORMAT, "Block %lld of row %lld has a scale that is no number.",
                           (long long)(b % per_row), (long long)(b / per_row));
    return FR_OK;
}

#define FORMAT(id, text, size, TYPE, first, second)                                                \
    static const own own_##id = {FR_##TYPE, {first, second}, encode_##id};                         \
    const fr_qformat fr_##id = {                                                                   \
        .name = text,                                                                              \
        .parts = 1,                                                                                \
        .part_name = {"blocks"},                                                                   \
        .group = size,                                                                             \
        .own = &own_##id,                                                                          \
        .describe = describe,                                                                      \
        .quantize = quantize,                                                                      \
        .decode = decode,                                                                          \
        .check = check,                                                                            \
    }

FORMAT(q4_0, "q4_0", 32, Q4_0, 0, -1);
FORMAT(q4_1, "q4_1", 32, Q4_1, 0, 2);
FORMAT(q5_0, "q5_0", 32, Q5_0, 0, -1);
FORMAT(q5_1, "q5_1", 32, Q5_1, 0, 2);
FORMAT(q8_0, "q8_0", 32, Q8_0, 0, -1);
FORMAT(q4_k, "q4_k", 32, Q4_K, 0, 2);
FORMAT(q5_k, "q5_k", 32, Q5_K, 0, 2);
FORMAT(q6_k, "q6_k", 16, Q6_K, 208, -1);

const fr_qformat *fr_format_of_blocks(fr_dtype t) {
    static const fr_qformat *const all[] = {&fr_q4_0, &fr_q4_1, &fr_q5_0, &fr_q5_1,
                                            &fr_q8_0, &fr_q4_k, &fr_q5_k, &fr_q6_k};
    for (size_t i = 0; i < FR_COUNT(all); i++)
        if (own_of(all[i])->type == t) return all[i];
    return NULL;
}
