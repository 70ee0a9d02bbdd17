/* qrow.c: the layout of records of activations, and its part of the table. */
#include "base/base.h"
#include "kernel/kernel.h"

void fr_qrow_of(fr_rows_kind kind, int64_t k, int32_t group, fr_qrow *out) {
    static const int32_t groups[FR_ROWS_KINDS] = {
        [FR_ROWS_INT8] = 128, [FR_ROWS_INT4] = 64, [FR_ROWS_UINT4] = 64,
        [FR_ROWS_NVFP4] = 16, [FR_ROWS_FP8] = 128, [FR_ROWS_BF16] = 128,
    };
    if (kind != FR_ROWS_BF16 || !group) group = groups[kind];
    int32_t unit = group < 64 ? 64 : group;
    *out = (fr_qrow){.kind = kind, .k = k, .group = group};
    out->padded = (k + unit - 1) / unit * unit;
    out->groups = out->padded / group;
    out->code_bytes = kind == FR_ROWS_FP8 || kind == FR_ROWS_BF16 ? 2 : 1;
    size_t at = (size_t)out->padded * (size_t)out->code_bytes, n = (size_t)out->groups;
    out->scales = at;
    if (kind == FR_ROWS_INT8) at += 4;
    if (kind == FR_ROWS_INT4 || kind == FR_ROWS_UINT4 || kind == FR_ROWS_NVFP4 ||
        kind == FR_ROWS_FP8)
        at += 4 * n;
    out->start = at;
    if (kind == FR_ROWS_INT8) at += 4;
    out->less = at;
    if (kind != FR_ROWS_FP8) at += 4 * n;
    out->bytes = fr_round_up(at, 64);
    /* Rows a multiple of a page apart would fight for the same few lines of the first cache. */
    if (out->bytes % 1024 == 0) out->bytes += 64;
}

void fr_qrow_kernels_fill(unsigned cpu, fr_qrow_kernels *out) {
    out->quantize[FR_ROWS_FLOAT] = NULL;
    fr_qrow_fill_ref(out);
    (void)cpu;
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) fr_qrow_fill_avx2(out);
    if (cpu & FR_CPU_AVX512) fr_qrow_fill_avx512(out);
    if (cpu & FR_CPU_AVX512BF16) fr_qrow_fill_avx512bf16(out);
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) fr_qrow_fill_neon(out);
#endif
}
