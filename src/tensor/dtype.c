/* dtype.c: the table of number types, and the conversions.
 *
 * The three small floats (f16, f8e4m3, f8e5m2) share one pair of functions: a float of `ebits`
 * exponent and `mbits` mantissa bits, subnormals included, is widened exactly and narrowed to
 * nearest even; what differs is only what the largest codes mean. NaN becomes quiet and keeps the
 * top of its payload, as the conversion instructions of processors do it. */
#include "tensor/dtype.h"

#include "base/base.h"
#include "tensor/blocks.h"

static const fr_dtype_info infos[FR_DTYPE_COUNT] = {
    [FR_NOTYPE] = {"none", NULL, -1, 1, 0, false},
    [FR_F32] = {"f32", "F32", 0, 1, 4, true},
    [FR_F16] = {"f16", "F16", 1, 1, 2, true},
    [FR_BF16] = {"bf16", "BF16", 30, 1, 2, true},
    [FR_F8E4M3] = {"f8e4m3", "F8_E4M3", -1, 1, 1, true},
    [FR_F8E5M2] = {"f8e5m2", "F8_E5M2", -1, 1, 1, true},
    [FR_I64] = {"i64", "I64", 27, 1, 8, false},
    [FR_I32] = {"i32", "I32", 26, 1, 4, false},
    [FR_I8] = {"i8", "I8", 24, 1, 1, false},
    [FR_U8] = {"u8", "U8", -1, 1, 1, false},
    [FR_BOOL] = {"bool", "BOOL", -1, 1, 1, false},
    [FR_F64] = {"f64", "F64", 28, 1, 8, true},
    [FR_I16] = {"i16", "I16", 25, 1, 2, false},
    [FR_U16] = {"u16", "U16", -1, 1, 2, false},
    [FR_U32] = {"u32", "U32", -1, 1, 4, false},
    [FR_U64] = {"u64", "U64", -1, 1, 8, false},
    [FR_Q4_0] = {"q4_0", NULL, 2, 32, 18, true},
    [FR_Q4_1] = {"q4_1", NULL, 3, 32, 20, true},
    [FR_Q5_0] = {"q5_0", NULL, 6, 32, 22, true},
    [FR_Q5_1] = {"q5_1", NULL, 7, 32, 24, true},
    [FR_Q8_0] = {"q8_0", NULL, 8, 32, 34, true},
    [FR_Q4_K] = {"q4_k", NULL, 12, 256, 144, true},
    [FR_Q5_K] = {"q5_k", NULL, 13, 256, 176, true},
    [FR_Q6_K] = {"q6_k", NULL, 14, 256, 210, true},
};

const fr_dtype_info *fr_dtype_get(fr_dtype t) {
    return &infos[(unsigned)t < FR_DTYPE_COUNT ? t : FR_NOTYPE];
}

const char *fr_dtype_name(fr_dtype t) {
    return fr_dtype_get(t)->name;
}

fr_dtype fr_dtype_from_safetensors(const char *name) {
    for (int t = 1; t < FR_DTYPE_COUNT; t++)
        if (infos[t].safetensors && strcmp(infos[t].safetensors, name) == 0) return (fr_dtype)t;
    return FR_NOTYPE;
}

fr_dtype fr_dtype_from_gguf(int type) {
    for (int t = 1; t < FR_DTYPE_COUNT; t++)
        if (type >= 0 && infos[t].gguf == type) return (fr_dtype)t;
    return FR_NOTYPE;
}

fr_dtype fr_dtype_from_name(const char *name) {
    for (int t = 1; t < FR_DTYPE_COUNT; t++)
        if (strcmp(infos[t].name, name) == 0) return (fr_dtype)t;
    return FR_NOTYPE;
}

/* ---- single values ---- */

/* The magnitude of a finite small float. */
static inline float widen(uint32_t code, int ebits, int mbits) {
    int bias = (1 << (ebits - 1)) - 1;
    uint32_t exp = code >> mbits, man = code & ((1u << mbits) - 1);
    if (exp == 0) { /* man * 2^(1 - bias - mbits): both factors are exact */
        return (float)man * fr_f32_from_bits((uint32_t)(127 + 1 - bias - mbits) << 23);
    }
    return fr_f32_from_bits((exp + (uint32_t)(127 - bias)) << 23 | man << (23 - mbits));
}

/* The code nearest to a magnitude given as float bits, ties to even. Codes go on past the largest
 * exponent: the caller says what those mean. */
static inline uint32_t narrow(uint32_t bits, int ebits, int mbits) {
    int bias = (1 << (ebits - 1)) - 1;
    int exp = (int)(bits >> 23) - 127;
    uint32_t value = bits - ((uint32_t)(127 - bias) << 23);
    int shift = 23 - mbits;
    if (exp < 1 - bias) { /* subnormal: the hidden one becomes visible and moves right */
        shift += 1 - bias - exp;
        if (shift > 24) return 0;
        value = (bits & 0x7fffffu) | 0x800000u;
    }
    return (value + (1u << (shift - 1)) - 1 + ((value >> shift) & 1)) >> shift;
}

static inline float with_sign(float magnitude, uint32_t negative) {
    return fr_f32_from_bits(fr_f32_bits(magnitude) | negative << 31);
}

float fr_f16_to_f32(uint16_t h) {
    uint32_t code = h & 0x7fffu, sign = (uint32_t)(h >> 15) << 31;
    if (code > 0x7c00u) return fr_f32_from_bits(sign | 0x7fc00000u | (code & 0x3ffu) << 13);
    if (code == 0x7c00u) return fr_f32_from_bits(sign | 0x7f800000u);
    return with_sign(widen(code, 5, 10), h >> 15);
}

uint16_t fr_f32_to_f16(float x) {
    uint32_t bits = fr_f32_bits(x) & 0x7fffffffu, sign = fr_f32_bits(x) >> 31 << 15;
    if (bits > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (bits >> 13 & 0x3ffu));
    uint32_t code = narrow(bits, 5, 10);
    return (uint16_t)(sign | FR_MIN(code, 0x7c00u));
}

float fr_f8e4m3_to_f32(uint8_t b) {
    uint32_t code = b & 0x7fu;
    if (code == 0x7fu) return fr_f32_from_bits((uint32_t)(b >> 7) << 31 | 0x7fc00000u);
    return with_sign(widen(code, 4, 3), b >> 7);
}

uint8_t fr_f32_to_f8e4m3(float x) {
    uint32_t bits = fr_f32_bits(x) & 0x7fffffffu, sign = fr_f32_bits(x) >> 31 << 7;
    if (bits > 0x7f800000u) return (uint8_t)(sign | 0x7fu);
    uint32_t code = narrow(bits, 4, 3);
    return (uint8_t)(sign | FR_MIN(code, 0x7eu));
}

float fr_f8e5m2_to_f32(uint8_t b) {
    uint32_t code = b & 0x7fu, sign = (uint32_t)(b >> 7) << 31;
    if (code > 0x7cu) return fr_f32_from_bits(sign | 0x7fc00000u | (code & 3u) << 21);
    if (code == 0x7cu) return fr_f32_from_bits(sign | 0x7f800000u);
    return with_sign(widen(code, 5, 2), b >> 7);
}

uint8_t fr_f32_to_f8e5m2(float x) {
    uint32_t bits = fr_f32_bits(x) & 0x7fffffffu, sign = fr_f32_bits(x) >> 31 << 7;
    if (bits > 0x7f800000u) return (uint8_t)(sign | 0x7eu | (bits >> 21 & 3u));
    uint32_t code = narrow(bits, 5, 2);
    return (uint8_t)(sign | FR_MIN(code, 0x7cu));
}

/* ---- many values ---- */

/* The loops of all plain types are one loop; the constant type argument leaves one case of it. */
static inline float load(fr_dtype t, const uint8_t *p) {
    uint16_t u16;
    int16_t i16;
    uint32_t u32;
    int32_t i32;
    uint64_t u64;
    int64_t i64;
    double f64;
    float f32;
    switch (t) {
    case FR_F32: memcpy(&f32, p, 4); return f32;
    case FR_F16: memcpy(&u16, p, 2); return fr_f16_to_f32(u16);
    case FR_BF16: memcpy(&u16, p, 2); return fr_bf16_to_f32(u16);
    case FR_F8E4M3: return fr_f8e4m3_to_f32(*p);
    case FR_F8E5M2: return fr_f8e5m2_to_f32(*p);
    case FR_I64: memcpy(&i64, p, 8); return (float)i64;
    case FR_I32: memcpy(&i32, p, 4); return (float)i32;
    case FR_I8: return (float)(int8_t)*p;
    case FR_U8: return (float)*p;
    case FR_BOOL: return *p ? 1.0f : 0.0f;
    case FR_F64: memcpy(&f64, p, 8); return (float)f64;
    case FR_I16: memcpy(&i16, p, 2); return (float)i16;
    case FR_U16: memcpy(&u16, p, 2); return (float)u16;
    case FR_U32: memcpy(&u32, p, 4); return (float)u32;
    case FR_U64: memcpy(&u64, p, 8); return (float)u64;
    default: return 0.0f;
    }
}

static inline void load_all(fr_dtype t, const uint8_t *in, size_t n, float *out, size_t bytes) {
    for (size_t i = 0; i < n; i++) out[i] = load(t, in + i * bytes);
}

void fr_decode(fr_dtype t, const void *in, size_t n, float *out) {
    if (n == 0) return;
    switch (t) {
    case FR_F32: memcpy(out, in, n * 4); return;
    case FR_F16: load_all(FR_F16, in, n, out, 2); return;
    case FR_BF16: load_all(FR_BF16, in, n, out, 2); return;
    default:
        if (!fr_decode_blocks(t, in, n, out)) load_all(t, in, n, out, (size_t)infos[t].bytes);
    }
}

static inline void store(fr_dtype t, float x, uint8_t *p) {
    uint16_t u16;
    double f64 = x;
    switch (t) {
    case FR_F16:
        u16 = fr_f32_to_f16(x);
        memcpy(p, &u16, 2);
        break;
    case FR_BF16:
        u16 = fr_f32_to_bf16(x);
        memcpy(p, &u16, 2);
        break;
    case FR_F8E4M3: *p = fr_f32_to_f8e4m3(x); break;
    case FR_F8E5M2: *p = fr_f32_to_f8e5m2(x); break;
    default: memcpy(p, &f64, 8); break;
    }
}

fr_status fr_encode(fr_dtype t, const float *in, size_t n, void *out) {
    const fr_dtype_info *info = fr_dtype_get(t);
    if (n % (size_t)info->block)
        return fr_fail(FR_INVALID, "%zu values are not whole blocks of %s, which hold %d.", n,
                       info->name, info->block);
    switch (t) {
    case FR_F32:
        if (n) memcpy(out, in, n * 4);
        return FR_OK;
    case FR_F16:
    case FR_BF16:
    case FR_F8E4M3:
    case FR_F8E5M2:
    case FR_F64:
        for (size_t i = 0; i < n; i++) store(t, in[i], (uint8_t *)out + i * (size_t)info->bytes);
        return FR_OK;
    case FR_Q8_0: fr_encode_q8_0(in, n, out); return FR_OK;
    default: return fr_fail(FR_UNSUPPORTED, "Floats cannot be encoded as %s.", info->name);
    }
}
