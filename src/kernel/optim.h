/* optim.h (kernel): runs over the memory of optimizers that keep it small: CAME's moments of rows and
 * columns, and moments in 8 bits. SGD and AdamW stand in rows.h.
 *
 * All arrays are f32 but for codes, at any alignment, of any length including 0; no two overlap but
 * where one is changed in place. Sums are taken in an order that depends on n alone. The reference in
 * ref/optim_ref.c states each in plain C. */
#ifndef FR_KERNEL_OPTIM_H
#define FR_KERNEL_OPTIM_H

#include <frugal/types.h>

/* A map of 256 values within -1..1 or 0..1 in seven decades, each with twice as many values as the one
 * below it, in equal steps (Dettmers et al. 2022). Places are counted from 0 upwards; a negative place
 * stands for the same value below 0.
 *
 * Place k > 0 that is nearest to y in decade d: slope[d] y + shift[d], cut to a whole number, at most
 * top[d]; a decade holds what lies above edge[its first place - 1]. */
typedef struct fr_map8 {
    int zero; /* the code of 0: 127 with signs, 0 without */
    int most; /* places above 0: 128, 255; the last is 1 */
    float value[256];
    float
        edge[256]; /* edge[k]: the largest float that is no farther from place k than from k + 1 */
    float above[7], slope[7], shift[7], top[7];
} fr_map8;
void fr_map8_make(fr_map8 *m, bool with_signs);

typedef struct fr_optim_kernels {
    /* sum += x^2; returns the sum of x^2 */
    float (*came_squares)(const float *x, size_t n, float *sum);
    /* the sum of (scale g col)^2 */
    float (*came_length)(const float *g, const float *col, float scale, size_t n);
    /* d = scale g col; m += (1 - beta) (d - m); sum += (d - m)^2, of which the sum is returned */
    float (*came_moment)(const float *g, const float *col, float scale, float beta, size_t n,
                         float *m, float *sum);
    /* p = keep p - scale m col */
    void (*came_step)(const float *m, const float *col, float scale, float keep, size_t n,
                      float *p);
    /* eps > 0; x = scale g; v += (1 - beta) (x^2 + eps - v); returns the sum of x^2 / v */
    float (*came_plain)(const float *g, float scale, float beta, float eps, size_t n, float *v);
    /* d = scale g / sqrt(v); m += (1 - beta) (d - m) */
    void (*came_plain_moment)(const float *g, const float *v, float scale, float beta, size_t n,
                              float *m);

    /* out[0] the smallest, out[1] the largest; both 0 when n is 0; of numbers */
    void (*range)(const float *x, size_t n, float out[2]);
    /* code = (x - low) scale + shift, cut to a whole number, which is 0..255 */
    void (*even8_encode)(const float *x, float low, float scale, float shift, size_t n,
                         uint8_t *code);
    /* x = low + scale (code - zero) */
    void (*even8_decode)(const uint8_t *code, float low, float scale, int zero, size_t n, float *x);
    /* The place nearest to x scale, which is within -1..1; of two as near, up to rounding, either. With
     * `keep` nothing but 0 gets the place of 0. */
    void (*map8_encode)(const fr_map8 *map, const float *x, float scale, bool keep, size_t n,
                        uint8_t *code);
    void (*map8_decode)(const fr_map8 *map, const uint8_t *code, float scale, size_t n, float *x);
} fr_optim_kernels;

void fr_optim_kernels_fill(unsigned cpu, fr_optim_kernels *out);

#endif
