/* qgemm.c: the layout of panels of weights, and its part of the table. */
#include "base/base.h"
#include "kernel/kernel.h"

fr_rows_kind fr_qkind_rows(fr_qkind kind) {
    static const fr_rows_kind rows[FR_Q_KINDS] = {
        [FR_Q_W8A8] = FR_ROWS_INT8,      [FR_Q_W4A8] = FR_ROWS_INT8,
        [FR_Q_W4A8_G128] = FR_ROWS_INT8, [FR_Q_W4A4] = FR_ROWS_INT4,
        [FR_Q_NVFP4] = FR_ROWS_NVFP4,    [FR_Q_W4A16] = FR_ROWS_BF16,
        [FR_Q_FP8] = FR_ROWS_FP8,        [FR_Q_W4A16_OFF] = FR_ROWS_BF16,
        [FR_Q_W6A16] = FR_ROWS_BF16,     [FR_Q_W8A16] = FR_ROWS_BF16,
    };
    return rows[kind];
}

void fr_qpanel_of(fr_qkind kind, int64_t n, int64_t k, int32_t group, int nr, fr_qpanel *out) {
    fr_qrow row; /* the rows decide how k is cut and filled up */
    if (kind > FR_Q_FP8) group = 32;
    fr_qrow_of(fr_qkind_rows(kind), k, group, &row);
    *out = (fr_qpanel){.kind = kind, .n = n, .k = k, .nr = nr, .group = row.group};
    out->groups = row.groups;
    static const uint8_t bits[FR_Q_KINDS] = {8, 4, 4, 4, 4, 4, 8, 4, 6, 8};
    size_t lanes = (size_t)nr, groups = (size_t)row.groups;
    out->code_bytes = lanes * (size_t)row.group * bits[kind] / 8;
    static const int scale_bytes[FR_Q_KINDS] = {
        [FR_Q_W4A8_G128] = 1, [FR_Q_W4A4] = 2,      [FR_Q_NVFP4] = 1, [FR_Q_W4A16] = 2,
        [FR_Q_FP8] = 4,       [FR_Q_W4A16_OFF] = 2, [FR_Q_W6A16] = 2, [FR_Q_W8A16] = 2};
    static const int zero_bytes[FR_Q_KINDS] = {
        [FR_Q_W4A8_G128] = 2, [FR_Q_W4A16] = 1, [FR_Q_W4A16_OFF] = 2, [FR_Q_W6A16] = 2};
    out->scale_bytes = lanes * (size_t)scale_bytes[kind];
    out->zero_bytes = lanes * (size_t)zero_bytes[kind];
    size_t at = fr_round_up(out->scale_bytes * groups, 64);
    out->zeros = at;
    at = fr_round_up(at + out->zero_bytes * groups, 64);
    out->column_scale = at;
    if (kind != FR_Q_W4A4 && !fr_qkind_a16(kind)) at += lanes * 4;
    out->column_zero = at;
    if (kind == FR_Q_W4A8) at += lanes * 4;
    out->codes = fr_round_up(at, 64);
    out->bytes = out->codes + out->code_bytes * groups;
}

size_t fr_qpanel_code(const fr_qpanel *p, int j, int64_t k, int *shift) {
    size_t step = (size_t)(k / 4), in = (size_t)(k % 4), nr = (size_t)p->nr, col = (size_t)j;
    *shift = 0;
    if (p->code_bytes == nr * (size_t)p->group) return p->codes + (step * nr + col) * 4 + in;
    size_t half = nr / 2, high = col >= half;
    size_t word = p->codes + (step * half + col % half) * 4;
    if (p->kind == FR_Q_W6A16) word += step / 8 * nr * 8; /* high bits of the groups before */
    if (!fr_qkind_a16(p->kind)) {
        *shift = high ? 4 : 0;
        return word + in;
    }
    size_t nibble = in / 2 + 2 * high + 4 * (in % 2);
    *shift = (int)(nibble % 2) * 4;
    return word + nibble / 2;
}

size_t fr_qpanel_high(const fr_qpanel *p, int j, int64_t k, int *shift) {
    size_t half = (size_t)p->nr / 2, col = (size_t)j, in = (size_t)(k % 8), high = col >= half;
    size_t group = p->codes + (size_t)(k / 32) * p->code_bytes;
    size_t word = group + half * 32 + ((size_t)(k % 32 / 8) * half + col % half) * 4;
    *shift = (int)(in / 2 % 2 * 4 + high * 2);
    return word + in % 2 * 2 + in / 4;
}

void fr_qgemm_kernels_fill(unsigned cpu, fr_qgemm_kernels *out) {
    fr_qgemm_fill_ref(out);
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) {
        fr_qgemm_fill_finish_avx2(out);
        fr_qgemm_fill_avx2_int(out);
        fr_qgemm_fill_avx2_float(out);
        fr_qgemm_fill_groups_avx2(out);
    }
    if (cpu & FR_CPU_AVXVNNI) fr_qgemm_fill_avxvnni(out);
    if (cpu & FR_CPU_AVX512) {
        fr_qgemm_fill_finish_avx512(out);
        fr_qgemm_fill_groups_avx512(out);
    }
    if (cpu & FR_CPU_AVX512VNNI) {
        fr_qgemm_fill_avx512vnni_int(out);
        fr_qgemm_fill_avx512vnni_w4a4(out);
        fr_qgemm_fill_avx512vnni_nvfp4(out);
    }
    if (cpu & FR_CPU_AVX512BF16) {
        fr_qgemm_fill_avx512bf16_w4a16(out);
        fr_qgemm_fill_avx512bf16_groups(out);
        fr_qgemm_fill_avx512bf16_fp8(out);
    }
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) {
        fr_qgemm_fill_finish_neon(out);
        fr_qgemm_fill_neon_int(out);
        fr_qgemm_fill_neon_float(out);
        fr_qgemm_fill_groups_neon(out);
    }
    if (cpu & FR_CPU_NEON_DOT) fr_qgemm_fill_neon_dot(out);
#else
    (void)cpu;
#endif
}
