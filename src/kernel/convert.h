/* convert.h (kernel): number type conversions of whole rows, exact, round to nearest even. The
 * exact meaning is that of the single-value functions of tensor/dtype.h. */
#ifndef FR_KERNEL_CONVERT_H
#define FR_KERNEL_CONVERT_H

#include <stddef.h>
#include <stdint.h>

typedef struct fr_convert_kernels {
    void (*bf16_to_f32)(const uint16_t *in, size_t n, float *out);
    void (*f32_to_bf16)(const float *in, size_t n, uint16_t *out); /* NaN stays a quiet NaN */
    void (*f16_to_f32)(const uint16_t *in, size_t n, float *out);
    void (*f32_to_f16)(const float *in, size_t n, uint16_t *out);
} fr_convert_kernels;

void fr_convert_kernels_fill(unsigned cpu, fr_convert_kernels *out);

#endif
