/* convert.c: conversions of whole rows over vec.h. */
#include "kernel/simd/vec.h"

#include "kernel/convert_list.h"

void FR_NAME(convert_bf16_to_f32)(const uint16_t *in, size_t n, float *out) {
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore(out + i, vload_bf16(in + i));
    vstore_n(out + i, vload_bf16_n(in + i, n - i), n - i);
}

void FR_NAME(convert_f32_to_bf16)(const float *in, size_t n, uint16_t *out) {
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore_bf16(out + i, vload(in + i));
    vstore_bf16_n(out + i, vload_n(in + i, n - i), n - i);
}

void FR_NAME(convert_f16_to_f32)(const uint16_t *in, size_t n, float *out) {
    size_t i = 0;
    uint16_t t[FR_VLEN] = {0};
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore(out + i, vload_f16(in + i));
    memcpy(t, in + i, (n - i) * 2);
    vstore_n(out + i, vload_f16(t), n - i);
}

void FR_NAME(convert_f32_to_f16)(const float *in, size_t n, uint16_t *out) {
    size_t i = 0;
    uint16_t t[FR_VLEN];
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore_f16(out + i, vload(in + i));
    vstore_f16(t, vload_n(in + i, n - i));
    memcpy(out + i, t, (n - i) * 2);
}
