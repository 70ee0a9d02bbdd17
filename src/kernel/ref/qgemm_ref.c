/* qgemm_ref.c: the meaning of the products with weights in few bits, in plain C; see kernel/qgemm.h. */
#include <math.h>

#include "kernel/kernel.h"
#include "kernel/ref/small_floats.h"

#define MR 4
#define NR 8

static float scale16(const fr_qpanel *p, const uint16_t *at) {
    return p->bf16_scales ? small_from_bf16(*at) : small_from_f16(*at);
}

/* The stored weight of column j at value k: what the row's code is multiplied with. */
static float weight(const fr_qpanel *p, const uint8_t *b, int j, int64_t k) {
    static const uint8_t doubled[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    int shift;
    unsigned byte = b[fr_qpanel_code(p, j, k, &shift)];
    if (p->kind == FR_Q_W8A8) return (float)byte;
    if (p->kind == FR_Q_W8A16) return (float)(int8_t)byte;
    if (p->kind == FR_Q_FP8) return p->e5m2 ? small_from_e5m2(byte) : small_from_e4m3(byte);
    unsigned code = byte >> shift & 15;
    if (p->kind == FR_Q_W4A16_OFF) return (float)code - 8;
    if (p->kind == FR_Q_W6A16) {
        byte = b[fr_qpanel_high(p, j, k, &shift)];
        return (float)(code | (byte >> shift & 3) << 4) - 32;
    }
    return (float)(p->kind == FR_Q_NVFP4 ? doubled[code] : code);
}

static float code(const fr_qrow *r, const char *a, int64_t k) {
    if (r->code_bytes == 1) return (float)((const int8_t *)a)[k];
    return small_from_bf16(((const uint16_t *)a)[k]);
}

static float sum_of(const fr_qtile *t, const char *a, int j, int64_t k, int64_t count) {
    float sum = 0; /* whole numbers below 2^24 for the integer kinds */
    for (int64_t end = k + count; k < end; k++)
        sum += code(t->row, a, k) * weight(t->panel, t->b, j, k);
    return sum;
}

/* A_g of row a and column j: exact, but for W.A16 and FP8. */
static float group_sum(const fr_qtile *t, const char *a, int j, int64_t g) {
    return sum_of(t, a, j, g * t->panel->group, t->panel->group);
}

static int32_t int_sum(const fr_qtile *t, const char *a, int j, int64_t g, int32_t sum) {
    const fr_qpanel *p = t->panel;
    const uint8_t *b = t->b;
    size_t at = (size_t)g * (size_t)p->nr + (size_t)j;
    int32_t in_group = (int32_t)group_sum(t, a, j, g);
    if (p->kind != FR_Q_W4A8_G128) return sum + in_group;
    int32_t less = ((const int32_t *)(a + t->row->less))[g];
    return sum + in_group * b[p->scales + at] + less * ((const int16_t *)(b + p->zeros))[at];
}

/* Of the kinds with an offset, or with scales of halves. */
static float offset_sum(const fr_qtile *t, const char *a, int j, int64_t g, float sum) {
    const fr_qpanel *p = t->panel;
    const uint8_t *b = t->b;
    size_t at = (size_t)g * (size_t)p->nr + (size_t)j;
    float s = small_from_f16(((const uint16_t *)(b + p->scales))[at]);
    if (p->kind == FR_Q_W8A16) return fmaf(group_sum(t, a, j, g), s, sum);
    float second = small_from_f16(((const uint16_t *)(b + p->zeros))[at]);
    if (!p->halves) {
        sum = fmaf(second, ((const float *)(a + t->row->less))[g], sum);
        return fmaf(group_sum(t, a, j, g), s, sum);
    }
    sum = fmaf(sum_of(t, a, j, g * 32, 16), s, sum);
    return fmaf(sum_of(t, a, j, g * 32 + 16, 16), second, sum);
}

static float float_sum(const fr_qtile *t, const char *a, int j, int64_t g, float sum) {
    const fr_qpanel *p = t->panel;
    const uint8_t *b = t->b;
    size_t at = (size_t)g * (size_t)p->nr + (size_t)j;
    if (p->kind > FR_Q_FP8) return offset_sum(t, a, j, g, sum);
    float in_group = group_sum(t, a, j, g);
    if (p->kind == FR_Q_W4A16) {
        float less = ((const float *)(a + t->row->less))[g], zero = b[p->zeros + at];
        return fmaf(fmaf(zero, less, in_group), scale16(p, (const uint16_t *)(b + p->scales) + at),
                    sum);
    }
    float s = p->kind == FR_Q_W4A4    ? scale16(p, (const uint16_t *)(b + p->scales) + at)
              : p->kind == FR_Q_NVFP4 ? small_from_e4m3(b[p->scales + at])
                                      : ((const float *)(b + p->scales))[at];
    if (p->kind != FR_Q_FP8) in_group += (float)((const int32_t *)(a + t->row->less))[g];
    return fmaf(in_group, ((const float *)(a + t->row->scales))[g] * s, sum);
}

static bool is_int(fr_qkind kind) {
    return kind == FR_Q_W8A8 || kind == FR_Q_W4A8 || kind == FR_Q_W4A8_G128;
}

static void tile_ref(const fr_qtile *t) {
    const fr_qpanel *p = t->panel;
    for (int i = 0; i < t->rows; i++) {
        const char *a = (const char *)t->a + (size_t)i * t->lda;
        int32_t *sum = (int32_t *)t->sum + (size_t)i * t->lds, start = 0;
        float *fsum = (float *)t->sum + (size_t)i * t->lds;
        if (p->kind == FR_Q_W8A8) memcpy(&start, a + t->row->start, 4);
        for (int j = 0; j < p->nr; j++) {
            if (is_int(p->kind)) {
                int32_t s = t->add ? sum[j] : start;
                for (int64_t g = t->g0; g < t->g0 + t->groups; g++) s = int_sum(t, a, j, g, s);
                sum[j] = s;
            } else {
                float s = t->add ? fsum[j] : 0;
                for (int64_t g = t->g0; g < t->g0 + t->groups; g++) s = float_sum(t, a, j, g, s);
                fsum[j] = s;
            }
        }
    }
}

static void finish_ref(const fr_qtile *t) {
    const fr_qpanel *p = t->panel;
    const float *scale = (const float *)((const char *)t->b + p->column_scale);
    const float *zero = (const float *)((const char *)t->b + p->column_zero);
    if (p->kind == FR_Q_W4A4 || fr_qkind_a16(p->kind)) return;
    for (int i = 0; i < t->rows; i++) {
        const char *a = (const char *)t->a + (size_t)i * t->lda;
        int32_t *sum = (int32_t *)t->sum + (size_t)i * t->lds, start = 0;
        float *y = (float *)t->sum + (size_t)i * t->lds, sx = 1;
        if (is_int(p->kind)) {
            memcpy(&start, a + t->row->start, 4);
            memcpy(&sx, a + t->row->scales, 4);
        }
        for (int j = 0; j < p->nr; j++) {
            if (p->kind == FR_Q_W4A8)
                y[j] = fmaf((float)sum[j], scale[j], zero[j] * ((float)start / 128.0f)) * sx;
            else if (is_int(p->kind))
                y[j] = (float)sum[j] * scale[j] * sx;
            else
                y[j] *= scale[j];
        }
    }
}

void fr_qgemm_fill_ref(fr_qgemm_kernels *out) {
    for (int kind = 0; kind < FR_Q_KINDS; kind++)
        out->way[kind] = (struct fr_qgemm_way){MR, NR, tile_ref};
    out->finish = finish_ref;
}
