/* convert_list.h: the conversions by name, one set an instruction set. */
#ifndef FR_KERNEL_CONVERT_LIST_H
#define FR_KERNEL_CONVERT_LIST_H

#include <stddef.h>
#include <stdint.h>

#define FR_CONVERT_SET(isa)                                                                        \
    void convert_bf16_to_f32_##isa(const uint16_t *in, size_t n, float *out);                      \
    void convert_f32_to_bf16_##isa(const float *in, size_t n, uint16_t *out);                      \
    void convert_f16_to_f32_##isa(const uint16_t *in, size_t n, float *out);                       \
    void convert_f32_to_f16_##isa(const float *in, size_t n, uint16_t *out);

FR_CONVERT_SET(ref)
FR_CONVERT_SET(avx2)
FR_CONVERT_SET(avx512)
FR_CONVERT_SET(neon)

#endif
