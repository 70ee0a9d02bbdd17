/* format.c: the list of all formats, memory for a quantized matrix, and the checks that families share. */
#include "format/format.h"

#include <string.h>

#include "format/families.h"
#include "format/parts.h"

const fr_qformat *const fr_formats[] = {
    &fr_int8_tensor,
    &fr_int8_channel,
    &fr_int8_token,
    &fr_uint8_tensor,
    &fr_uint8_channel,
    &fr_uint8_token,
    &fr_int4_g32,
    &fr_int4_g64,
    &fr_int4_g64_bf16,
    &fr_int4_g128,
    &fr_uint4_g64,
    &fr_uint4_g64_bf16,
    &fr_uint4_z_g32,
    &fr_uint4_z_g64,
    &fr_uint4_z_g128,
    &fr_uint4_z_row,
    &fr_uint8_z_g32,
    &fr_uint8_z_g64,
    &fr_uint8_z_g128,
    &fr_uint8_z_row,
    &fr_uint4_z_g32_perm,
    &fr_uint4_z_g64_perm,
    &fr_uint4_z_g128_perm,
    &fr_uint8_z_g32_perm,
    &fr_uint8_z_g64_perm,
    &fr_uint8_z_g128_perm,
    &fr_qoq_channel,
    &fr_qoq_g128,
    &fr_qoq_g128_pre,
    &fr_nvfp4,
    &fr_mxfp4,
    &fr_fp8_e4m3_tensor,
    &fr_fp8_e5m2_tensor,
    &fr_fp8_1x128,
    &fr_fp8_128x128,
    &fr_int2_g16,
    &fr_int2_g64,
    &fr_int2a_g16,
    &fr_int2a_g64,
    &fr_int2_g64_s1,
    &fr_int2_g16_s2,
    &fr_int2_g16_s4,
    &fr_int2a_g16_s1,
    &fr_q4_0,
    &fr_q4_1,
    &fr_q5_0,
    &fr_q5_1,
    &fr_q8_0,
    &fr_q4_k,
    &fr_q5_k,
    &fr_q6_k,
    NULL,
};

const fr_qformat *fr_format_find(const char *name) {
    for (int i = 0; name && fr_formats[i]; i++)
        if (!strcmp(fr_formats[i]->name, name)) return fr_formats[i];
    return NULL;
}

static fr_status describe(const fr_qformat *f, int64_t rows, int64_t cols, fr_quantized *q) {
    if (rows < 1 || cols < 1)
        return fr_fail(FR_INVALID, "A matrix of %lld x %lld cannot be %s: it has no values.",
                       (long long)rows, (long long)cols, f->name);
    *q = (fr_quantized){.format = f, .rows = rows, .cols = cols};
    int64_t shape[2] = {rows, cols};
    FR_TRY(fr_shape_check(f->name, FR_F32, 2, shape)); /* so decoding has room too */
    return f->describe(f, rows, cols, q->part);
}

fr_status fr_format_bits(const fr_qformat *f, int64_t rows, int64_t cols, double *bits) {
    fr_quantized q;
    FR_TRY(describe(f, rows, cols, &q));
    double sum = 0;
    for (int i = 0; i < f->parts; i++) sum += (double)fr_bytes(&q.part[i]);
    *bits = sum * 8 / ((double)rows * (double)cols);
    return FR_OK;
}

fr_status fr_quantized_new(const fr_qformat *f, int64_t rows, int64_t cols, fr_quantized *out) {
    fr_quantized q;
    *out = (fr_quantized){0};
    FR_TRY(describe(f, rows, cols, &q));
    size_t total = 0, at[FR_PARTS];
    for (int i = 0; i < f->parts; i++) {
        at[i] = total;
        size_t bytes = fr_bytes(&q.part[i]);
        if (!fr_size_add(bytes, FR_ALIGN - 1, &bytes) ||
            !fr_size_add(total, bytes / FR_ALIGN * FR_ALIGN, &total))
            return fr_fail(FR_NOMEM, "%s of %lld x %lld does not fit memory.", f->name,
                           (long long)rows, (long long)cols);
    }
    q.memory = fr_alloc(FR_MEM_WEIGHTS, total);
    if (!q.memory) return FR_NOMEM;
    for (int i = 0; i < f->parts; i++) q.part[i].data = (uint8_t *)q.memory + at[i];
    *out = q;
    return FR_OK;
}

void fr_quantized_free(fr_quantized *q) {
    fr_free(q->memory);
    *q = (fr_quantized){0};
}

fr_status fr_quantize(const fr_qformat *f, const fr_quant_opts *opts, const float *x, int64_t rows,
                      int64_t cols, fr_quantized *out) {
    FR_TRY(fr_quantized_new(f, rows, cols, out));
    fr_status status = f->quantize(opts, x, out);
    if (status != FR_OK) fr_quantized_free(out);
    return status;
}

fr_status fr_part_make(fr_tensor *part, const char *what, fr_dtype t, int64_t d0, int64_t d1) {
    int64_t dim[2] = {d0, d1};
    int rank = d1 < 0 ? 1 : 2;
    FR_TRY(fr_shape_check(what, t, rank, dim));
    *part = fr_tensor_make(t, rank, dim, NULL);
    return FR_OK;
}

fr_status fr_check_finite(const float *x, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            if (!isfinite(x[r * cols + c]))
                return fr_fail(FR_INVALID, "Row %lld, column %lld is %s and cannot be quantized.",
                               (long long)r, (long long)c,
                               isnan(x[r * cols + c]) ? "not a number" : "infinite");
    return FR_OK;
}

fr_status fr_check_scales(const fr_quantized *q, int part, bool negative) {
    const fr_tensor *t = &q->part[part];
    int64_t n = fr_values(t);
    for (int64_t i = 0; i < n; i++) {
        float s = fr_scale_at(t, i);
        if (!isfinite(s) || (!negative && s < 0))
            return fr_fail(FR_FORMAT, "The part '%s' of %s holds %g at place %lld.",
                           q->format->part_name[part], q->format->name, (double)s, (long long)i);
    }
    return FR_OK;
}

fr_status fr_check_tails(const fr_quantized *q, int part) {
    if (q->cols % 2 == 0) return FR_OK;
    int64_t bytes = fr_nibble_bytes(q->cols);
    const uint8_t *codes = q->part[part].data;
    for (int64_t r = 0; r < q->rows; r++)
        if (codes[r * bytes + bytes - 1] >> 4)
            return fr_fail(FR_FORMAT, "Row %lld of '%s' does not end with the nibble 0.",
                           (long long)r, q->format->part_name[part]);
    return FR_OK;
}
