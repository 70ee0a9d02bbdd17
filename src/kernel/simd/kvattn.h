/* kvattn.h (simd): what the sources of attention over pages share. */
#ifndef FR_KERNEL_SIMD_KVATTN_H
#define FR_KERNEL_SIMD_KVATTN_H

#include "kernel/kvattn.h"
#include "kernel/simd/vec.h"

enum { ROWS = FR_KVATTN_ROWS, TOKENS = FR_KV_TOKENS };

/* How codes lie, whatever is done with them. */
typedef enum kv_codes { CODES_BF16, CODES_F16, CODES_F32, CODES_8, CODES_4 } kv_codes;

static inline kv_codes kv_codes_of(fr_kv_kind kind) {
    static const kv_codes of[FR_KV_KINDS] = {CODES_BF16, CODES_F16, CODES_F32, CODES_8,
                                             CODES_4,    CODES_8,   CODES_4};
    return of[kind];
}

/* Scale and offset of the tokens, as value = code * scale + offset wants them. */
static inline void kv_affine(const fr_kvattn_head *h, float *scale, float *offset) {
    const bool qoq = h->kind == FR_KV_8_QOQ || h->kind == FR_KV_4_QOQ;
    for (int t = 0; t < TOKENS; t += FR_VLEN) {
        vf32 s = vload_f16(h->scale + t), o = vload_f16(h->offset + t);
        vstore(scale + t, s);
        vstore(offset + t, qoq ? vneg(vmul(s, o)) : o);
    }
}

/* Codes d .. d + n - 1 of a row (d even), followed by zeros up to whole vectors. */
static inline void kv_unpack(kv_codes how, const uint8_t *row, int64_t d, int n, float *x) {
    int i = 0;
    if (how == CODES_F32) {
        const float *from = (const float *)(const void *)row + d;
        for (; i + FR_VLEN <= n; i += FR_VLEN) vstore(x + i, vload(from + i));
        if (i < n) vstore(x + i, vload_n(from + i, (size_t)(n - i)));
        return;
    }
    if (how == CODES_BF16 || how == CODES_F16) {
        const uint16_t *from = (const uint16_t *)(const void *)row + d;
        uint16_t rest[FR_VLEN] = {0};
        for (; i + FR_VLEN <= n; i += FR_VLEN)
            vstore(x + i, how == CODES_F16 ? vload_f16(from + i) : vload_bf16(from + i));
        if (i == n) return;
        memcpy(rest, from + i, (size_t)(n - i) * 2);
        vstore(x + i, how == CODES_F16 ? vload_f16(rest) : vload_bf16(rest));
        return;
    }
    if (how == CODES_8)
        for (; i < n; i++) x[i] = (float)row[d + i];
    else
        for (; i < n; i += 2) {
            x[i] = (float)(row[(d + i) / 2] & 15);
            x[i + 1] = (float)(row[(d + i) / 2] >> 4);
        }
    for (; i % FR_VLEN; i++) x[i] = 0.0f;
}

void FR_NAME(kvattn_softmax)(float *s, const int32_t *lo, const int32_t *hi, float c, float *top,
                             float *sum, float *fade);
void FR_NAME(kvattn_read)(const fr_kvattn_head *h, int token, int count, bool half, void *out);
void FR_NAME(kvattn_write)(fr_kv_kind kind, const float *x, int64_t dim, void *row, uint16_t *scale,
                           uint16_t *offset);

#endif
