/* ggml_codes.c: the blocks of GGUF files as signed codes in groups of 32 values: x = scale code - offset, as products
 * want them. Q6_K has a scale for each 16. The offset belongs to a code in the middle, where it is small. */
#include "format/families.h"
#include "format/parts.h"

static float half_at(const uint8_t *p) {
    return fr_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

/* Eight codes at a time. */

#define EACH(byte) (0x0101010101010101u * (byte))

static uint64_t eight_at(const uint8_t *p) {
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

/* Unsigned codes below 128, less the one in the middle. */
static void put_eight(int8_t *out, uint64_t codes, unsigned middle) {
    codes = ((codes | EACH(0x80)) - EACH(middle)) ^ EACH(0x80);
    memcpy(out, &codes, 8);
}

/* Eight bits as bytes 0 and 1. */
static uint64_t spread_bits(unsigned bits) {
    return ((EACH(bits) & 0x8040201008040201) + EACH(0x7f)) >> 7 & EACH(1);
}

/* Q4_1, Q5_0, Q5_1: nibbles, behind a scale, and for some an offset and fifth bits. */
static void simple(const uint8_t *in, bool offset, bool five, int8_t *codes, fr_block_group *out) {
    const int middle = five ? 16 : 8;
    float d = half_at(in);
    const uint8_t *at = in + (offset ? 4 : 2);
    *out = (fr_block_group){.scale = {d, d}};
    if (offset) out->offset = -half_at(in + 2) - (float)middle * d;
    const uint8_t *nibbles = at + (five ? 4 : 0);
    for (int i = 0; i < 32; i += 8) {
        uint64_t c = eight_at(nibbles + i % 16) >> i / 16 * 4 & EACH(15);
        if (five) c |= spread_bits(at[i / 8]) << 4;
        put_eight(codes + i, c, (unsigned)middle);
    }
}

static void take_q4_1(const uint8_t *in, int8_t *codes, fr_block_group *out) {
    simple(in, true, false, codes, out);
}
static void take_q5_0(const uint8_t *in, int8_t *codes, fr_block_group *out) {
    simple(in, false, true, codes, out);
}
static void take_q5_1(const uint8_t *in, int8_t *codes, fr_block_group *out) {
    simple(in, true, true, codes, out);
}

static void take_q8_0(const uint8_t *in, int8_t *codes, fr_block_group *out) {
    float d = half_at(in);
    *out = (fr_block_group){.scale = {d, d}};
    memcpy(codes, in + 2, 32);
}

/* Group g's 6-bit scale and offset among the 12 packed bytes; see tensor/blocks.c. */
static fr_block_group k_group(const uint8_t *in, int g, int middle) {
    const uint8_t *p = in + 4;
    int s = g < 4 ? p[g] & 63 : (p[g + 4] & 15) | (p[g - 4] >> 6) << 4;
    int m = g < 4 ? p[g + 4] & 63 : p[g + 4] >> 4 | (p[g] >> 6) << 4;
    float ds = half_at(in) * (float)s;
    return (fr_block_group){{ds, ds}, half_at(in + 2) * (float)m - (float)middle * ds};
}

static void take_q4_k(const uint8_t *in, int8_t *codes, fr_block_group *out) {
    for (int g = 0; g < 8; g++, codes += 32) {
        const uint8_t *from = in + 16 + g / 2 * 32;
        int shift = g % 2 * 4;
        out[g] = k_group(in, g, 8);
        for (int i = 0; i < 32; i += 8)
            put_eight(codes + i, eight_at(from + i) >> shift & EACH(15), 8);
    }
}

static void take_q5_k(const uint8_t *in, int8_t *codes, fr_block_group *out) {
    const uint8_t *high = in + 16;
    for (int g = 0; g < 8; g++, codes += 32) {
        const uint8_t *from = in + 48 + g / 2 * 32;
        int shift = g % 2 * 4;
        out[g] = k_group(in, g, 16);
        for (int i = 0; i < 32; i += 8) {
            uint64_t fifth = eight_at(high + i) >> g & EACH(1);
            put_eight(codes + i, (eight_at(from + i) >> shift & EACH(15)) | fifth << 4, 16);
        }
    }
}

static void take_q6_k(const uint8_t *in, int8_t *codes, fr_block_group *out) {
    const int8_t *scale = (const int8_t *)in + 192;
    float d = half_at(in + 208);
    for (int g = 0; g < 8; g++, codes += 32) {
        const uint8_t *from = in + g / 4 * 64 + g % 2 * 32, *high = in + 128 + g / 4 * 32;
        int shift = g % 4 / 2 * 4, pair = g % 4 * 2;
        out[g] = (fr_block_group){{d * (float)scale[2 * g], d * (float)scale[2 * g + 1]}, 0};
        for (int i = 0; i < 32; i += 8) {
            uint64_t top = eight_at(high + i) >> pair & EACH(3);
            put_eight(codes + i, (eight_at(from + i) >> shift & EACH(15)) | top << 4, 32);
        }
    }
}

typedef struct taker {
    const fr_qformat *format;
    int groups, bytes; /* of a block */
    void (*take)(const uint8_t *in, int8_t *codes, fr_block_group *out);
} taker;
static const taker takers[] = {
    {&fr_q4_1, 1, 20, take_q4_1},  {&fr_q5_0, 1, 22, take_q5_0},  {&fr_q5_1, 1, 24, take_q5_1},
    {&fr_q8_0, 1, 34, take_q8_0},  {&fr_q4_k, 8, 144, take_q4_k}, {&fr_q5_k, 8, 176, take_q5_k},
    {&fr_q6_k, 8, 210, take_q6_k},
};

void fr_blocks_codes(const fr_qformat *f, const uint8_t *row, int64_t k0, int64_t count,
                     int8_t *codes, fr_block_group *groups) {
    const taker *t = takers;
    while (t->format != f) t++;
    int64_t values = 32 * (int64_t)t->groups;
    const uint8_t *in = row + k0 / values * t->bytes;
    for (int64_t at = 0; at < count; at += values, in += t->bytes)
        t->take(in, codes + at, groups + at / 32);
}
