/* parts.h: what the families of formats share: shapes of parts, nibbles, scales of 16 or 32 bits. */
#ifndef FR_FORMAT_PARTS_H
#define FR_FORMAT_PARTS_H

#include <math.h>

#include "format/format.h"

/* Groups of a row; the last may be short. group 0: the row is one. */
static inline int64_t fr_group_count(int64_t cols, int32_t group) {
    return group ? cols / group + (cols % group != 0) : 1;
}

/* Two codes a byte: the even column is the low nibble. */
static inline int64_t fr_nibble_bytes(int64_t cols) {
    return cols / 2 + cols % 2;
}
static inline unsigned fr_nibble(const uint8_t *row, int64_t col) {
    return (unsigned)(row[col / 2] >> (col % 2 * 4)) & 15u;
}
/* Into zeroed memory. */
static inline void fr_put_nibble(uint8_t *row, int64_t col, unsigned code) {
    row[col / 2] = (uint8_t)(row[col / 2] | (code & 15u) << (col % 2 * 4));
}

/* Codes 0 to 15 or -8 to 7 (two's complement). */
static inline int fr_signed_nibble(unsigned code) {
    return (int)(code ^ 8u) - 8;
}

static inline float fr_scale_at(const fr_tensor *t, int64_t i) {
    if (t->dtype == FR_F32) return ((const float *)t->data)[i];
    uint16_t bits = ((const uint16_t *)t->data)[i];
    return t->dtype == FR_F16 ? fr_f16_to_f32(bits) : fr_bf16_to_f32(bits);
}
/* Rounds to nearest even. */
static inline void fr_put_scale(fr_tensor *t, int64_t i, float s) {
    if (t->dtype == FR_F32)
        ((float *)t->data)[i] = s;
    else
        ((uint16_t *)t->data)[i] = t->dtype == FR_F16 ? fr_f32_to_f16(s) : fr_f32_to_bf16(s);
}

static inline int fr_clamp_int(float x, int lo, int hi) {
    return x <= (float)lo ? lo : x >= (float)hi ? hi : (int)x;
}

/* A part of rank 1 or 2 (d1 < 0: 1), without data. */
fr_status fr_part_make(fr_tensor *part, const char *what, fr_dtype t, int64_t d0, int64_t d1);
/* The error that names row and column of the first NaN or infinity. */
fr_status fr_check_finite(const float *x, int64_t rows, int64_t cols);
/* Every value of a part of scales: finite, and not negative unless that is allowed. */
fr_status fr_check_scales(const fr_quantized *q, int part, bool negative);
/* The high nibble of the last byte of each row of codes is 0 when cols is odd. */
fr_status fr_check_tails(const fr_quantized *q, int part);

#endif
