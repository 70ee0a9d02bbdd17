/* qgemm_ref.c: see qgemm_ref.h. */
#include "qgemm_ref.h"

const qgemm_pair qgemm_pairs[] = {
    {&fr_int8_channel, FR_ROWS_INT8, true},    {&fr_int8_tensor, FR_ROWS_INT8, true},
    {&fr_qoq_channel, FR_ROWS_INT8, true},     {&fr_qoq_g128, FR_ROWS_INT8, true},
    {&fr_qoq_g128_pre, FR_ROWS_INT8, true},    {&fr_int4_g64, FR_ROWS_INT4, true},
    {&fr_int4_g64, FR_ROWS_UINT4, true},       {&fr_int4_g64_bf16, FR_ROWS_INT4, true},
    {&fr_nvfp4, FR_ROWS_NVFP4, true},          {&fr_int4_g32, FR_ROWS_BF16, false},
    {&fr_int4_g64, FR_ROWS_BF16, false},       {&fr_int4_g64_bf16, FR_ROWS_BF16, false},
    {&fr_int4_g128, FR_ROWS_BF16, false},      {&fr_uint4_z_g32, FR_ROWS_BF16, false},
    {&fr_uint4_z_g64, FR_ROWS_BF16, false},    {&fr_uint4_z_g128, FR_ROWS_BF16, false},
    {&fr_fp8_128x128, FR_ROWS_FP8, false},     {&fr_fp8_e4m3_tensor, FR_ROWS_FP8, false},
    {&fr_fp8_e5m2_tensor, FR_ROWS_FP8, false},
};
const size_t qgemm_pair_count = FR_COUNT(qgemm_pairs);

static double e2m1(double v) {
    static const double values[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    double a = fabs(v);
    int best = 0;
    for (int i = 1; i < 8; i++) {
        double old = fabs(a - values[best]), now = fabs(a - values[i]);
        if (now < old || (now == old && i % 2 == 0)) best = i;
    }
    return copysign(values[best], v);
}

/* To three bits of fraction, ties to even; multiples of 2^-9 below 2^-6. */
static double e4m3(double v) {
    int e;
    frexp(v, &e);
    double unit = ldexp(1, FR_MAX_OF(e - 4, -9));
    return fmin(nearbyint(v / unit) * unit, 448);
}

static void nvfp4_rows(const float *x, int64_t m, int64_t k, double *out) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t g = 0; g < k; g += 16) {
            int64_t end = FR_MIN(g + 16, k);
            float top = 0;
            for (int64_t j = g; j < end; j++) top = fmaxf(top, fabsf(x[i * k + j]));
            double s = e4m3(top / 6.0f);
            if (s == 0) s = 1;
            for (int64_t j = g; j < end; j++) out[i * k + j] = e2m1(x[i * k + j] / (float)s) * s;
        }
}

void qgemm_weights_f64(const fr_quantized *q, double *out) {
    float *f = fr_alloc_array(FR_MEM_OTHER, (size_t)q->cols, sizeof *f);
    for (int64_t r = 0; r < q->rows; r++) {
        q->format->decode(q, r, 1, f);
        for (int64_t i = 0; i < q->cols; i++) out[r * q->cols + i] = f[i];
    }
    fr_free(f);
}

void qgemm_rows_f64(fr_rows_kind kind, const float *x, int64_t m, int64_t k, double *out) {
    static const fr_qformat *const formats[FR_ROWS_KINDS] = {
        [FR_ROWS_INT8] = &fr_int8_token,
        [FR_ROWS_INT4] = &fr_int4_g64,
        [FR_ROWS_UINT4] = &fr_uint4_g64,
        [FR_ROWS_FP8] = &fr_fp8_1x128,
    };
    fr_quantized q;
    if (kind == FR_ROWS_NVFP4) {
        nvfp4_rows(x, m, k, out);
    } else if (kind == FR_ROWS_BF16) {
        for (int64_t i = 0; i < m * k; i++) out[i] = fr_bf16_to_f32(fr_f32_to_bf16(x[i]));
    } else {
        assert_int_equal(fr_quantize(formats[kind], NULL, x, m, k, &q), FR_OK);
        qgemm_weights_f64(&q, out);
        fr_quantized_free(&q);
    }
}

double qgemm_act_f64(fr_fn fn, double x) {
    if (fn == FR_FN_SILU) return x / (1 + exp(-x));
    if (fn == FR_FN_GELU) return 0.5 * x * (1 + erf(x / sqrt(2)));
    if (fn == FR_FN_RELU) return fmax(x, 0);
    return x;
}

float *qgemm_values(uint64_t stream, size_t n, bool positive) {
    float *x = fr_alloc_array(FR_MEM_OTHER, n + 1, sizeof *x);
    fr_random_normal(9, stream, 0, x, n);
    for (size_t i = 0; i < n; i++) {
        if (i % 97 == 5) x[i] *= 20;
        if (positive) x[i] = fabsf(x[i]);
    }
    return x;
}
