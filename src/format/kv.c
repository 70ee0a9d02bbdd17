/* kv.c: pages of keys and values (QServe's KV4 and KV8, Lin et al., 2024), quantized a token and a head.
 *
 * Our own pages keep the least value as the offset, in f16 rounded down, and the scale (max - offset) /
 * (2^bits - 1) rounded up: so no code leaves its range, and a vector of one value, or one far from zero,
 * is as good as f16 allows. QServe's keep scale = f16((max - min) / 15) and zero = f16(-15 min / (max -
 * min)), a real number, with code = nearest(x / scale + zero); ours clamps the code, and gives a vector too
 * narrow for that (a zero beyond f16, or a scale of 0) its middle value: scale |m|, zero 0 and code 1, or
 * zero 1 and code 0. */
#include "format/kv.h"

#include <float.h>
#include <math.h>

#include "tensor/tensor.h"

static const int kind_bits[FR_KV_KINDS] = {16, 16, 32, 8, 4, 8, 4};

fr_status fr_kv_layout_of(fr_kv_kind kind, int32_t heads, int32_t dim, fr_kv_layout *out) {
    *out = (fr_kv_layout){0};
    if ((unsigned)kind >= FR_KV_KINDS || heads < 1 || dim < 1)
        return fr_fail(FR_INVALID, "A page of kind %d, %d heads of %d channels makes no sense.",
                       (int)kind, heads, dim);
    fr_kv_layout l = {.kind = kind, .heads = heads, .dim = dim, .bits = kind_bits[kind]};
    if (l.bits == 4 && dim % 2)
        return fr_fail(FR_UNSUPPORTED,
                       "Heads of %d channels cannot be kept in 4 bits: the number is odd.", dim);
    size_t codes = 0, each = 0;
    l.row = (size_t)dim * (size_t)l.bits / 8;
    bool fits = fr_size_mul((size_t)heads, FR_KV_TOKENS, &each) && fr_size_mul(each, l.row, &codes);
    l.scales = codes;
    l.offsets = l.bytes = codes;
    if (fits && l.bits < 16)
        fits = fr_size_add(codes, each * 2, &l.offsets) && fr_size_add(codes, each * 4, &l.bytes);
    if (!fits) return fr_fail(FR_NOMEM, "A page of %d heads of %d is too large.", heads, dim);
    *out = l;
    return FR_OK;
}

size_t fr_kv_page_bytes(fr_kv_kind kind, int32_t heads, int32_t dim) {
    fr_kv_layout l;
    return fr_kv_layout_of(kind, heads, dim, &l) == FR_OK ? l.bytes : 0;
}

double fr_kv_bits(const fr_kv_layout *l) {
    return (double)l->bytes * 8 / ((double)FR_KV_TOKENS * l->heads * l->dim);
}

/* ---- one vector ---- */

/* The next f16 towards plus (up) or minus infinity, of a finite h. */
static uint16_t f16_step(uint16_t h, bool up) {
    if ((h & 0x7fff) == 0) return up ? 0x0001 : 0x8001;
    bool away = up == !(h & 0x8000);
    return (uint16_t)(away ? h + 1 : h - 1);
}
static uint16_t f16_down(float x) {
    uint16_t h = fr_f32_to_f16(x);
    return fr_f16_to_f32(h) > x ? f16_step(h, false) : h;
}
static uint16_t f16_up(float x) {
    uint16_t h = fr_f32_to_f16(x);
    return fr_f16_to_f32(h) < x ? f16_step(h, true) : h;
}

typedef struct spread {
    float least, most;
    uint16_t scale, offset;
} spread;

static void spread_own(spread *s, float top) {
    s->offset = f16_down(s->least);
    s->scale = f16_up((s->most - fr_f16_to_f32(s->offset)) / top);
}

static void spread_qoq(spread *s, float top) {
    float range = s->most - s->least;
    s->scale = fr_f32_to_f16(range / top);
    float zero = range > 0 ? -top * s->least / range : INFINITY;
    s->offset = fr_f32_to_f16(zero);
    if (s->scale != 0 && fabsf(zero) <= 65504.0f) return;
    float middle = s->least + range / 2; /* code 1 or 0 with zero 0 or 1 */
    s->scale = fr_f32_to_f16(fabsf(middle));
    s->offset = middle < 0 ? 0x3c00 : 0;
    s->least = s->most = middle;
}

static unsigned clamp(float x, float top) {
    return x <= 0 ? 0 : x >= top ? (unsigned)top : (unsigned)x;
}

static unsigned code_of(const fr_kv_layout *l, const spread *s, float x, float top) {
    float scale = fr_f16_to_f32(s->scale), offset = fr_f16_to_f32(s->offset);
    if (scale == 0) return 0;
    if (l->kind == FR_KV_8 || l->kind == FR_KV_4) return clamp(rintf((x - offset) / scale), top);
    if (s->least == s->most) return s->most > 0;
    return clamp(rintf(x / scale + offset), top);
}

static void write_codes(const fr_kv_layout *l, uint8_t *page, int head, int token, const float *x) {
    uint8_t *row = page + ((size_t)head * FR_KV_TOKENS + (size_t)token) * l->row;
    float top = (float)((1 << l->bits) - 1);
    spread s = {x[0], x[0], 0, 0};
    for (int32_t i = 1; i < l->dim; i++) {
        s.least = fminf(s.least, x[i]);
        s.most = fmaxf(s.most, x[i]);
    }
    if (l->kind == FR_KV_8 || l->kind == FR_KV_4)
        spread_own(&s, top);
    else
        spread_qoq(&s, top);
    for (int32_t i = 0; i < l->dim; i++) {
        unsigned code = code_of(l, &s, x[i], top);
        if (l->bits == 8)
            row[i] = (uint8_t)code;
        else if (i % 2 == 0)
            row[i / 2] = (uint8_t)code;
        else
            row[i / 2] = (uint8_t)(row[i / 2] | code << 4);
    }
    size_t at = ((size_t)head * FR_KV_TOKENS + (size_t)token) * 2;
    memcpy(page + l->scales + at, &s.scale, 2);
    memcpy(page + l->offsets + at, &s.offset, 2);
}

/* ---- pages ---- */

/* Of values that are no codes. */
static fr_dtype type_of(fr_kv_kind kind) {
    return kind == FR_KV_F32 ? FR_F32 : kind == FR_KV_F16 ? FR_F16 : FR_BF16;
}

fr_status fr_kv_page_write(const fr_kv_layout *l, void *page, int token, const float *x) {
    if (token < 0 || token >= FR_KV_TOKENS)
        return fr_fail(FR_INVALID, "A page has no token %d: it holds 0 to 63.", token);
    const float most = l->kind == FR_KV_F32    ? FLT_MAX
                       : l->kind == FR_KV_BF16 ? 0x1.fep127f
                                               : 65504.0f;
    for (int64_t i = 0; i < (int64_t)l->heads * l->dim; i++)
        if (!(fabsf(x[i]) <= most))
            return fr_fail(FR_INVALID,
                           "Head %lld, channel %lld is %g, which a page of %d bits lacks.",
                           (long long)(i / l->dim), (long long)(i % l->dim), (double)x[i], l->bits);
    for (int32_t h = 0; h < l->heads; h++) {
        const float *from = x + (size_t)h * (size_t)l->dim;
        if (l->bits < 16) {
            write_codes(l, page, h, token, from);
            continue;
        }
        uint8_t *row = (uint8_t *)page + ((size_t)h * FR_KV_TOKENS + (size_t)token) * l->row;
        FR_TRY(fr_encode(type_of(l->kind), from, (size_t)l->dim, row));
    }
    return FR_OK;
}

static void read_codes(const fr_kv_layout *l, const uint8_t *page, int head, int token,
                       float *out) {
    size_t at = (size_t)head * FR_KV_TOKENS + (size_t)token;
    const uint8_t *row = page + at * l->row;
    uint16_t bits[2];
    memcpy(&bits[0], page + l->scales + at * 2, 2);
    memcpy(&bits[1], page + l->offsets + at * 2, 2);
    float scale = fr_f16_to_f32(bits[0]), offset = fr_f16_to_f32(bits[1]);
    if (l->kind == FR_KV_8_QOQ || l->kind == FR_KV_4_QOQ) offset = -(scale * offset);
    for (int32_t i = 0; i < l->dim; i++) {
        unsigned code = l->bits == 8 ? row[i] : (unsigned)row[i / 2] >> (i % 2 * 4) & 15u;
        out[i] = (float)code * scale + offset;
    }
}

void fr_kv_page_read(const fr_kv_layout *l, const void *page, int head, int token, int count,
                     float *out) {
    for (int t = token; t < token + count; t++, out += l->dim) {
        if (l->bits < 16) {
            read_codes(l, page, head, t, out);
            continue;
        }
        size_t at = ((size_t)head * FR_KV_TOKENS + (size_t)t) * l->row;
        fr_decode(type_of(l->kind), (const uint8_t *)page + at, (size_t)l->dim, out);
    }
}
