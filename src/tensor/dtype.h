/* dtype.h: what is known about each number type, and the conversions of single values.
 *
 * The conversions are exact and round to nearest even. They are inline because everything uses
 * them; bulk conversion is fr_decode / fr_encode. */
#ifndef FR_TENSOR_DTYPE_H
#define FR_TENSOR_DTYPE_H

#include <string.h>

#include <frugal/types.h>

typedef struct fr_dtype_info {
    const char *name;        /* "f32" */
    const char *safetensors; /* "F32", NULL when the format has none */
    int gguf;                /* ggml type number, -1 when the format has none */
    int block;               /* values in a block; 1 for plain types */
    int bytes;               /* of a block */
    bool real;               /* holds real numbers */
} fr_dtype_info;

const fr_dtype_info *fr_dtype_get(fr_dtype t); /* never NULL */
fr_dtype fr_dtype_from_safetensors(const char *name);
fr_dtype fr_dtype_from_gguf(int type);
fr_dtype fr_dtype_from_name(const char *name);

static inline uint32_t fr_f32_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}
static inline float fr_f32_from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}
static inline float fr_bf16_to_f32(uint16_t h) {
    return fr_f32_from_bits((uint32_t)h << 16);
}
static inline uint16_t fr_f32_to_bf16(float x) {
    uint32_t u = fr_f32_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40); /* quiet NaN */
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
float fr_f16_to_f32(uint16_t h);
uint16_t fr_f32_to_f16(float x);
float fr_f8e4m3_to_f32(
    uint8_t b); /* the "fn" kind: no infinity, 0x7f and 0xff are NaN, largest 448 */
uint8_t fr_f32_to_f8e4m3(float x); /* saturates */
float fr_f8e5m2_to_f32(uint8_t b);
uint8_t fr_f32_to_f8e5m2(float x); /* too large becomes infinity */

/* n values, a whole number of blocks. Integers and f64 are rounded to the nearest float. `in` may lie
 * at any address, aligned or not. */
void fr_decode(fr_dtype t, const void *in, size_t n, float *out);
/* Plain real types and Q8_0; FR_UNSUPPORTED for others. `out` may lie at any address. */
fr_status fr_encode(fr_dtype t, const float *in, size_t n, void *out);

#endif
