/* import_qserve.c: weights of QServe become QoQ matrices, without loss.
 *
 * qweight [out, in / 2] lies in tiles of 32 x 32 codes, 512 bytes each: for output 32 ot + 16 a + 8 b + c
 * and input 32 kt + 16 d + 4 e + f the byte is (ot (in / 32) + kt) 512 + (4 c + e) 16 + 8 d + 4 b + f, its
 * low nibble where a = 0. s2_scales and s2_zeros are [in / 128, out], output 8 j + c of each 32 at 4 c + j;
 * a zero point is stored as 256 - z', where v^ = code * s2 - z'. */
#include "format/families.h"
#include "format/import.h"
#include "format/parts.h"

typedef struct layer {
    const char *name;
    int64_t in, out;
    const uint8_t *weight;
    const fr_tensor *s1, *s1_zeros; /* s1_zeros NULL: groups */
    const uint8_t *s2_scales, *s2_zeros;
} layer;

static fr_status take(const fr_store *s, const char *name, const char *part, bool needed,
                      fr_dtype t, int64_t d0, int64_t d1, const fr_tensor **out) {
    char *full = fr_format("%s.%s", name, part), text[FR_SHAPE_TEXT];
    if (!full) return FR_NOMEM;
    fr_message_clear();
    const fr_tensor *x = *out = fr_store_find(s, full);
    fr_status status = FR_OK;
    if (!x && *fr_message())
        status = FR_NOMEM;
    else if (!x && needed)
        status = fr_fail(FR_FORMAT, "There is no tensor '%s'.", full);
    else if (x && (x->dtype != t || x->rank != (d1 < 0 ? 1 : 2) || (d0 >= 0 && x->dim[0] != d0) ||
                   (d1 >= 0 && x->dim[1] != d1)))
        status = fr_fail(FR_FORMAT, "'%s' is %s, which does not go with the other tensors.", full,
                         fr_shape_text(x, text));
    fr_free(full);
    return status;
}

static fr_status open_layer(const fr_store *s, layer *l) {
    const fr_tensor *w, *scales = NULL, *zeros = NULL;
    FR_TRY(take(s, l->name, "s1_scales", true, FR_F16, -1, -1, &l->s1));
    l->out = l->s1->dim[0];
    char *full = fr_format("%s.qweight", l->name);
    if (!full) return FR_NOMEM;
    w = fr_store_find(s, full);
    fr_free(full);
    if (!w || w->dtype != FR_I8 || w->rank != 2 || w->dim[0] != l->out || w->dim[1] > INT32_MAX ||
        w->dim[1] < 1 || l->out < 1 || l->out % 32 || w->dim[1] % 16)
        return fr_fail(FR_FORMAT,
                       "'%s.qweight' is not i8 [%lld, inputs / 2] with outputs and inputs in "
                       "multiples of 32.",
                       l->name, (long long)l->out);
    l->in = w->dim[1] * 2;
    l->weight = w->data;
    FR_TRY(take(s, l->name, "s1_szeros", false, FR_F16, l->out, -1, &l->s1_zeros));
    if (l->s1_zeros) return FR_OK;
    if (l->in % 128)
        return fr_fail(FR_FORMAT, "'%s' has %lld inputs, which are not groups of 128.", l->name,
                       (long long)l->in);
    FR_TRY(take(s, l->name, "s2_scales", true, FR_I8, l->in / 128, l->out, &scales));
    FR_TRY(take(s, l->name, "s2_zeros", true, FR_I8, l->in / 128, l->out, &zeros));
    l->s2_scales = scales->data;
    l->s2_zeros = zeros->data;
    return FR_OK;
}

/* A tile of 32 x 32 codes, in order. */
static void take_tile(const uint8_t *tile, uint8_t out[32][32]) {
    for (int i = 0; i < 512; i++) {
        int c = i / 64, e = i / 16 % 4, d = i / 8 % 2, b = i / 4 % 2, f = i % 4;
        int row = 8 * b + c, col = 16 * d + 4 * e + f;
        out[row][col] = tile[i] & 15;
        out[row + 16][col] = tile[i] >> 4;
    }
}

static void take_codes(const layer *l, uint8_t *to) {
    uint8_t code[32][32];
    for (int64_t ot = 0; ot < l->out / 32; ot++)
        for (int64_t kt = 0; kt < l->in / 32; kt++) {
            take_tile(l->weight + (ot * (l->in / 32) + kt) * 512, code);
            for (int64_t r = 0; r < 32; r++) {
                uint8_t *row = to + (32 * ot + r) * (l->in / 2) + 16 * kt;
                for (int c = 0; c < 16; c++)
                    row[c] = (uint8_t)(code[r][2 * c] | code[r][2 * c + 1] << 4);
            }
        }
}

/* Where group g of output o lies in s2_scales and s2_zeros. */
static int64_t group_place(const layer *l, int64_t g, int64_t o) {
    return g * l->out + o / 32 * 32 + o % 8 * 4 + o % 32 / 8;
}

static int zero_at(const layer *l, int64_t g, int64_t o) {
    return (256 - l->s2_zeros[group_place(l, g, o)]) % 256;
}

/* z' up to 128 fits qoq-g128; above it must be a multiple of the scale. */
static bool needs_pre(const layer *l) {
    for (int64_t o = 0; o < l->out; o++)
        for (int64_t g = 0; g < l->in / 128; g++)
            if (zero_at(l, g, o) > 127) return true;
    return false;
}

static fr_status take_groups(const layer *l, fr_quantized *q) {
    bool pre = q->format == &fr_qoq_g128_pre;
    for (int64_t o = 0; o < l->out; o++)
        for (int64_t g = 0; g < l->in / 128; g++) {
            int64_t at = o * (l->in / 128) + g;
            int scale = l->s2_scales[group_place(l, g, o)], z = zero_at(l, g, o);
            if (pre && (scale == 0 || z % scale || z / scale > 15))
                return fr_fail(FR_FORMAT,
                               "'%s' holds the zero point %d with the scale %d in group %lld of "
                               "output %lld, which no kind of QServe's files has.",
                               l->name, z, scale, (long long)g, (long long)o);
            ((uint8_t *)q->part[2].data)[at] = (uint8_t)scale;
            ((uint8_t *)q->part[3].data)[at] = (uint8_t)(pre ? z / scale : z);
        }
    return FR_OK;
}

fr_status fr_import_qserve(const fr_store *s, const char *name, fr_quantized *out) {
    layer l = {.name = name};
    *out = (fr_quantized){0};
    FR_TRY(open_layer(s, &l));
    const fr_qformat *f = l.s1_zeros      ? &fr_qoq_channel
                          : needs_pre(&l) ? &fr_qoq_g128_pre
                                          : &fr_qoq_g128;
    FR_TRY(fr_quantized_new(f, l.out, l.in, out));
    take_codes(&l, out->part[0].data);
    memcpy(out->part[1].data, l.s1->data, (size_t)l.out * 2);
    fr_status status = FR_OK;
    if (l.s1_zeros)
        memcpy(out->part[2].data, l.s1_zeros->data, (size_t)l.out * 2);
    else
        status = take_groups(&l, out);
    if (status == FR_OK && (status = f->check(out)) != FR_OK) fr_fail_in(status, "'%s'", name);
    if (status != FR_OK) fr_quantized_free(out);
    return status;
}
