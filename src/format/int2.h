/* int2.h: the inside of the 2-bit formats: their kinds, and the stages before the codes. */
#ifndef FR_FORMAT_INT2_H
#define FR_FORMAT_INT2_H

#include "format/format.h"

#define FR_INT2_CENTROIDS 256

typedef struct fr_int2_kind {
    int32_t group, stages;
    bool asymmetric;
} fr_int2_kind;

/* Rounded to bf16; what would become infinite becomes the largest. */
static inline uint16_t fr_int2_bf16(float x) {
    uint16_t h = fr_f32_to_bf16(x);
    return (h & 0x7fffu) == 0x7f80u ? (uint16_t)(h - 1) : h;
}

/* One stage. rest [rows, cols] is what is left to code. Fills centroids (bf16 [256, cols]; not all need be
 * used) and ids [rows] by k-means, and takes each row's centroid from rest, rounded to bf16. The same for
 * the same seed and stage, always. */
fr_status fr_int2_stage(float *rest, int64_t rows, int64_t cols, uint64_t seed, int stage,
                        uint16_t *centroids, uint8_t *ids);
/* The end of a stage, with centers from elsewhere (floats that are bf16 values): each row's nearest of the
 * `count` there are, at most 256, is named in ids and taken from the row. */
void fr_int2_take(float *rest, int64_t rows, int64_t cols, const float *centers, int64_t count,
                  uint8_t *ids);

#endif
