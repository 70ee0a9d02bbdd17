/* block8.h: blocks of floats in 8 bits, for what optimizers remember.
 *
 * Two ways. The dynamic maps of Dettmers et al. 2022 (8-bit optimizers via block-wise quantization)
 * have 256 values within -1..1 or 0..1, denser towards zero: seven decades, each with twice as many
 * values as the one below it. A block keeps its largest magnitude, and each value the place of its
 * nearest in the map. Even codes instead go in equal steps, from the smallest value of the block to
 * the largest (SANA-1.5), or around zero. */
#ifndef FR_TRAIN_BLOCK8_H
#define FR_TRAIN_BLOCK8_H

#include "kernel/kernel.h"

/* One block over a map (kernel/optim.h makes them); returns its largest magnitude. What is below the smallest normal float becomes zeros.
 * No value but 0 becomes the code of 0 when `keep` says so. */
float fr_map8_encode(const fr_map8 *m, const float *x, size_t n, bool keep, uint8_t *code);
void fr_map8_decode(const fr_map8 *m, const uint8_t *code, size_t n, float largest, float *x);

/* x = low + scale code; or, around zero, scale (code - 127). A block of one value only has scale 0. */
typedef struct fr_even8 {
    float scale, low;
} fr_even8;
fr_even8 fr_even8_encode(const float *x, size_t n, bool around_zero, uint8_t *code);
void fr_even8_decode(fr_even8 e, const uint8_t *code, size_t n, bool around_zero, float *x);

#endif
