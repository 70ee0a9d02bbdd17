/* qgemm_finish.c: complete sums of a product with weights in few bits become y, in place; each value has
 * the operations of ref/qgemm_ref.c in their order, and so its bits. */
#include "kernel/kernel.h"
#include "kernel/simd/vec.h"

#ifdef FR_ISA

/* The columns that fill no vector are done as in plain C. */
static void FR_NAME(float_row)(float *y, const float *scale, int nr) {
    int j = 0;
    for (; j + FR_VLEN <= nr; j += FR_VLEN) vstore(y + j, vmul(vload(y + j), vload(scale + j)));
    for (; j < nr; j++) y[j] *= scale[j];
}

static void FR_NAME(int_row)(const int32_t *sum, const float *scale, float sx, float *y, int nr) {
    vf32 vx = vset1(sx);
    int j = 0;
    for (; j + FR_VLEN <= nr; j += FR_VLEN)
        vstore(y + j, vmul(vmul(vtof(viload(sum + j)), vload(scale + j)), vx));
    for (; j < nr; j++) y[j] = (float)sum[j] * scale[j] * sx;
}

static void FR_NAME(zero_row)(const int32_t *sum, const float *scale, const float *zero, float of,
                              float sx, float *y, int nr) {
    vf32 vx = vset1(sx), vof = vset1(of);
    int j = 0;
    for (; j + FR_VLEN <= nr; j += FR_VLEN) {
        vf32 less = vmul(vload(zero + j), vof);
        vstore(y + j, vmul(vfma(vtof(viload(sum + j)), vload(scale + j), less), vx));
    }
    for (; j < nr; j++) y[j] = fmaf((float)sum[j], scale[j], zero[j] * of) * sx;
}

static void FR_NAME(finish)(const fr_qtile *t) {
    const fr_qpanel *p = t->panel;
    if (p->kind == FR_Q_W4A4 || fr_qkind_a16(p->kind)) return;
    const float *scale = (const float *)((const char *)t->b + p->column_scale);
    const float *zero = (const float *)((const char *)t->b + p->column_zero);
    const char *a = t->a;
    float *y = t->sum;
    for (int i = 0; i < t->rows; i++, a += t->lda, y += t->lds) {
        const int32_t *sum = (const int32_t *)y;
        if (p->kind == FR_Q_NVFP4 || p->kind == FR_Q_FP8) {
            FR_NAME(float_row)(y, scale, p->nr);
            continue;
        }
        int32_t start;
        float sx;
        memcpy(&start, a + t->row->start, 4);
        memcpy(&sx, a + t->row->scales, 4);
        if (p->kind == FR_Q_W4A8)
            FR_NAME(zero_row)(sum, scale, zero, (float)start / 128.0f, sx, y, p->nr);
        else
            FR_NAME(int_row)(sum, scale, sx, y, p->nr);
    }
}

void FR_NAME(fr_qgemm_fill_finish)(fr_qgemm_kernels *out) {
    out->finish = FR_NAME(finish);
}

#endif
