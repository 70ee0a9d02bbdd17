/* qgemm_blocks.c: the blocks of GGUF files as panels of W4A16_OFF, W6A16 and W8A16 (kernel/qgemm.h). Codes go over as
 * they are; scales and offsets, which are products of two small numbers in files, are rounded to f16: by 2^-12 of
 * their size at most. */
#include <string.h>

#include "op/qgemm_plan.h"

#define CHUNK  512 /* values of k at a time: whole blocks */
#define GROUPS (CHUNK / 32)

/* Some k of all rows of a panel: codes, and the words that they become. */
typedef struct piece {
    uint64_t code[FR_Q_MAX_NR][CHUNK / 8];
    uint64_t low[FR_Q_MAX_NR / 2][CHUNK / 8];
    uint32_t high[FR_Q_MAX_NR / 2][CHUNK / 8];
} piece;

/* Of a file that means no good, scales may be larger than f16 has. */
static uint16_t half_of(float x) {
    return fr_f32_to_f16(x > 65504 ? 65504 : x < -65504 ? -65504 : x);
}

static void put_group(const fr_qpanel *p, char *panel, int64_t g, int i, const fr_block_group *b) {
    size_t at = (size_t)(g * p->nr + i);
    ((uint16_t *)(panel + p->scales))[at] = half_of(b->scale[0]);
    if (p->zero_bytes)
        ((uint16_t *)(panel + p->zeros))[at] = half_of(p->halves ? b->scale[1] : b->offset);
}

/* Codes k0 .. k0 + count - 1 of the rows of a panel, unsigned where the panel has them so; zeros behind them. */
static void take(const fr_quantized *q, const fr_qpanel *p, int64_t col, int cols, int64_t k0,
                 int64_t count, piece *x, char *panel) {
    fr_block_group groups[GROUPS];
    const uint64_t by = p->kind == FR_Q_W4A16_OFF ? 0x0808080808080808
                        : p->kind == FR_Q_W6A16   ? 0x2020202020202020
                                                  : 0;
    for (int i = 0; i < cols; i++) {
        const fr_tensor *t = &q->part[0];
        const uint8_t *row = (const uint8_t *)t->data + (col + i) * t->dim[1];
        uint64_t *c = x->code[i];
        memset((char *)c + count, 0, (size_t)(CHUNK - count));
        fr_blocks_codes(q->format, row, k0, count, (int8_t *)c, groups);
        /* Byte by byte, without a carry from one to the next. */
        for (int64_t w = 0; by && w < count / 8; w++) {
            const uint64_t top = 0x8080808080808080;
            c[w] = ((c[w] & ~top) + by) ^ (c[w] & top);
        }
        for (int64_t g = 0; g < count / 32; g++) put_group(p, panel, k0 / 32 + g, i, &groups[g]);
    }
    for (int i = cols; i < p->nr; i++) memset(x->code[i], 0, CHUNK);
}

/* Low nibbles of bytes v0 v1 v2 v3 become nibbles 0, 4, 1, 5 of a word. */
static uint64_t low_pairs(uint64_t bytes) {
    return (bytes & 0x0000000f0000000f) | (bytes >> 12 & 0x000000f0000000f0) |
           (bytes & 0x00000f0000000f00) << 8 | (bytes >> 4 & 0x00f0000000f00000);
}

/* Low nibbles of the bytes 0, 2, 4, 6 in one row. */
static uint32_t even_nibbles(uint64_t x) {
    x &= 0x000f000f000f000f;
    x = (x | x >> 12) & 0x000000ff000000ff;
    return (uint32_t)(x | x >> 24) & 0xffff;
}

static void weave(const fr_qpanel *p, piece *x) {
    int half = p->nr / 2;
    for (int i = 0; i < half; i++) {
        const uint64_t *a = x->code[i], *b = x->code[i + half];
        for (int w = 0; w < CHUNK / 8; w++) x->low[i][w] = low_pairs(a[w]) | low_pairs(b[w]) << 8;
        for (int w = 0; w < CHUNK / 8 && p->kind == FR_Q_W6A16; w++) {
            uint64_t high = (a[w] >> 4 & 0x0303030303030303) | (b[w] >> 2 & 0x0c0c0c0c0c0c0c0c);
            x->high[i][w] = even_nibbles(high) | even_nibbles(high >> 8) << 16;
        }
    }
}

/* room: values, of whole groups. */
static void put_codes(const fr_qpanel *p, const piece *x, int64_t k0, int64_t room, char *panel) {
    char *to = panel + p->codes + (size_t)(k0 / 32) * p->code_bytes;
    void (*turn)(const void *, size_t, int, size_t, int, void *) = fr_kernel()->gemm.pack_rows;
    int half = p->nr / 2;
    if (p->kind == FR_Q_W8A16)
        turn(x->code, CHUNK, p->nr, (size_t)room / 4, p->nr, to);
    else if (p->kind == FR_Q_W4A16_OFF)
        turn(x->low, CHUNK, half, (size_t)room / 4, half, to);
    else
        for (int64_t g = 0; g < room / 32; g++, to += p->code_bytes) {
            turn((const char *)x->low + g * 32, CHUNK, half, 8, half, to);
            turn((const char *)x->high + g * 16, CHUNK / 2, half, 4, half, to + half * 32);
        }
}

void qgemm_pack_blocks(const fr_quantized *q, const fr_qpanel *p, int64_t col, int cols,
                       char *panel) {
    piece x;
    int64_t padded = p->groups * 32;
    memset(panel, 0, p->codes);
    for (int64_t k0 = 0; k0 < padded; k0 += CHUNK) {
        int64_t count = FR_MAX_OF(FR_MIN(CHUNK, p->k - k0), 0);
        take(q, p, col, cols, k0, count, &x, panel);
        if (p->kind != FR_Q_W8A16) weave(p, &x);
        put_codes(p, &x, k0, FR_MIN(CHUNK, padded - k0), panel);
    }
}
