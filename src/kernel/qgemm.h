/* qgemm.h (kernel): micro-kernels of the products with weights in few bits. The driver is op/qgemm.c.
 *
 *   kind        weights (formats)                         rows (qrow.h)  sums in
 *   W8A8        int8-channel, int8-tensor                 INT8           i32, exact
 *   W4A8        qoq-channel                               INT8           i32, exact
 *   W4A8_G128   qoq-g128, qoq-g128-pre                    INT8           i32, exact
 *   W4A4        int4-g64, int4-g64-bf16                   INT4, UINT4    i32 a group, f32 over groups
 *   NVFP4       nvfp4                                     NVFP4          i32 a block, f32 over blocks
 *   W4A16       uint4-z-g32, -g64, -g128, int4-g..        BF16           f32
 *   W4A16_OFF   q4_1, q4_k                                BF16           f32
 *   W6A16       q5_0, q5_1, q5_k, q6_k                    BF16           f32
 *   W8A16       q8_0                                      BF16           f32
 *   FP8         fp8-128x128, fp8-e4m3-tensor, -e5m2-      FP8            f32
 *
 * Weights [n, k] are repacked once, when a model is loaded, into panels of nr columns of the result (rows
 * of the weight). A panel ends with its codes, in steps of 4 k:
 *
 *   W8A8, FP8             byte  [column][4]; W8A8: weight + 128
 *   W4A8, W4A4, NVFP4     byte  [column of the first half][4]: low nibble; the column nr/2 further on: high.
 *                         W4A8: the code; W4A4: code + 8; NVFP4: the E2M1 code as in files
 *   W4A16                 32-bit word [column of the first half]: nibble i + 4 j holds value 2 i + j, i < 2, of
 *                         that column, nibble 2 + i + 4 j the same of the column nr/2 further on: what
 *                         word >> 4 i & 0x000f000f leaves is a pair of neighbouring k, one in each half.
 *                         The code; int4: code + 8
 *   W4A16_OFF             the same: code + 8
 *   W6A16                 for each group, code + 32: first its low nibbles, the same, then its high pairs of bits,
 *                         a word [column of the first half] for 8 k: a pair for k lies at bit 16 (k % 2)
 *                         + 4 (k / 2 % 2) + 8 (k / 4 % 2), of the column nr/2 further on 2 bits higher
 *   W8A16                 byte  [column][4]: the signed code
 *
 * Before them lie, for all groups, their scales and zeros, and what columns have for themselves (0 past n), in
 * the order in which a product of one row reads a panel, so that memory is read as one stream:
 *
 *   kind        scales [groups][nr]  zeros [groups][nr]  column scale  column zero
 *   W8A8        -                    -                   f32           -
 *   W4A8        -                    -                   f32           f32
 *   W4A8_G128   u8, s2               i16, z              f32, s1       -
 *   W4A4        f16 or bf16          -                   -             -
 *   NVFP4       e4m3                 -                   f32           -
 *   W4A16       f16 or bf16          u8                  -             -
 *   W4A16_OFF   f16                  f16, offset         -             -
 *   W6A16       f16                  f16, offset         -             -
 *     halves    f16, of 16 k         f16, of the others  -             -
 *   W8A16       f16                  -                   -             -
 *   FP8         f32                  -                   f32           -
 *
 * (z = code zero that stands before s1: (code s2 - z) s1; for -pre it is zero times s2.)
 *
 * A group cut short by the end of k is filled up: with rows whose codes are 0 there, any weight does.
 *
 * Meaning, and order of the float operations, the same on every instruction set, so that the bits are too
 * for all but W.A16 and FP8 (A_g: the sum over group g of row code times stored weight; exact):
 *
 *   W8A8        sum += A_g, begun at start;                         y = ((f32)sum * scale) * sx
 *   W4A8        sum += A_g;         y = fma((f32)sum, scale, zero * ((f32)start / 128)) * sx
 *   W4A8_G128   sum += s2 A_g + z less_g;                           y = ((f32)sum * scale) * sx
 *   W4A4        sum = fma((f32)(A_g + less_g), sx_g * s_g, sum);    y = sum
 *   NVFP4       sum = fma((f32)(A_g + less_g), sx_g * s_g, sum);    y = sum * scale
 *               (weights count as 2 * E2M1 + 12)
 *   W4A16       sum = fma(A_g + zero less_g, s_g, sum) or as good;  y = sum
 *   W4A16_OFF   sum = fma(A_g, s_g, fma(o_g, less_g, sum)) or as good, W6A16 too, with signed codes: a weight is
 *               s code - o. W8A16, and halves, have no o, and halves an A_g and s_g for each 16 k
 *   FP8         sum = fma(A_g, sx_g * s_g, sum) or as good;         y = sum * scale
 *
 * A tile call does some groups of k; `finish` turns complete sums into y. */
#ifndef FR_KERNEL_QGEMM_H
#define FR_KERNEL_QGEMM_H

#include "kernel/qrow.h"

typedef enum fr_qkind {
    FR_Q_W8A8,
    FR_Q_W4A8,
    FR_Q_W4A8_G128,
    FR_Q_W4A4,
    FR_Q_NVFP4,
    FR_Q_W4A16,
    FR_Q_FP8,
    FR_Q_W4A16_OFF,
    FR_Q_W6A16,
    FR_Q_W8A16,
    FR_Q_KINDS
} fr_qkind;

#define FR_Q_MAX_NR 32
#define FR_Q_MAX_MR 16
/* Longer rows could overflow 32-bit sums. */
#define FR_Q_MAX_K 131072

typedef struct fr_qpanel {
    fr_qkind kind;
    int64_t n, k;
    int nr;
    int32_t group; /* 128, 64, 32 or 16 */
    int64_t groups;
    bool bf16_scales; /* W4A4, W4A16: not f16 */
    bool e5m2;        /* FP8 */
    bool halves;      /* W6A16: a scale for each 16 values, and no offset */
    /* Offsets in a panel, and bytes of one group. */
    size_t scales, scale_bytes;
    size_t zeros, zero_bytes;
    size_t column_scale, column_zero;
    size_t codes, code_bytes;
    size_t bytes; /* of a panel: a multiple of 64 */
} fr_qpanel;

typedef struct fr_qtile {
    int rows;           /* 1 .. mr */
    int64_t g0, groups; /* groups of this call */
    const fr_qrow *row;
    const void *a; /* record of the first row */
    size_t lda;    /* bytes from one record to the next; 64-byte aligned like a */
    const fr_qpanel *panel;
    const void *b; /* the panel, 64-byte aligned */
    void *sum;     /* [rows][nr] of i32 or f32, 64-byte aligned */
    size_t lds;    /* lanes from one row to the next */
    bool add;      /* continues sums; otherwise begins them */
} fr_qtile;
typedef void fr_qtile_fn(const fr_qtile *t);

typedef struct fr_qgemm_kernels {
    struct fr_qgemm_way {
        int mr, nr;
        fr_qtile_fn *tile;
    } way[FR_Q_KINDS];
    /* Turns complete sums into y, in place, for t->rows rows. */
    void (*finish)(const fr_qtile *t);
} fr_qgemm_kernels;

/* The kind of rows that a kind of weights is multiplied with (W4A4: INT4, and UINT4 as well). */
fr_rows_kind fr_qkind_rows(fr_qkind kind);

/* Whose codes have 16 bits of activations and an epilogue without scales: W4A16 and those after FP8. */
static inline bool fr_qkind_a16(fr_qkind kind) {
    return kind == FR_Q_W4A16 || kind > FR_Q_FP8;
}

/* group: W4A16's; otherwise left out. */
void fr_qpanel_of(fr_qkind kind, int64_t n, int64_t k, int32_t group, int nr, fr_qpanel *out);

/* The codes of a panel b from a group on. */
static inline const void *fr_qpanel_codes(const fr_qpanel *p, const void *b, int64_t group) {
    return (const char *)b + p->codes + (size_t)group * p->code_bytes;
}

/* Where the code of column j of a panel and value k (of the whole row) lies: the byte, and the shift in it
 * (0 or 4; whole bytes: 0). */
size_t fr_qpanel_code(const fr_qpanel *p, int j, int64_t k, int *shift);
/* The same of W6A16's two high bits; fr_qpanel_code tells where its low nibble lies. */
size_t fr_qpanel_high(const fr_qpanel *p, int j, int64_t k, int *shift);

void fr_qgemm_kernels_fill(unsigned cpu, fr_qgemm_kernels *out);

/* ---- between qgemm.c and the files that hold the kernels ---- */

void fr_qgemm_fill_ref(fr_qgemm_kernels *out);
void fr_qgemm_fill_finish_avx2(fr_qgemm_kernels *out);
void fr_qgemm_fill_finish_avx512(fr_qgemm_kernels *out);
void fr_qgemm_fill_finish_neon(fr_qgemm_kernels *out);
void fr_qgemm_fill_groups_avx2(fr_qgemm_kernels *out);
void fr_qgemm_fill_groups_avx512(fr_qgemm_kernels *out);
void fr_qgemm_fill_groups_neon(fr_qgemm_kernels *out);
void fr_qgemm_fill_neon_int(fr_qgemm_kernels *out);
void fr_qgemm_fill_neon_float(fr_qgemm_kernels *out);
void fr_qgemm_fill_neon_dot(fr_qgemm_kernels *out);
void fr_qgemm_fill_avx2_int(fr_qgemm_kernels *out);
void fr_qgemm_fill_avx2_float(fr_qgemm_kernels *out);
void fr_qgemm_fill_avxvnni(fr_qgemm_kernels *out);
void fr_qgemm_fill_avx512vnni_w4a4(fr_qgemm_kernels *out);
void fr_qgemm_fill_avx512vnni_nvfp4(fr_qgemm_kernels *out);
void fr_qgemm_fill_avx512vnni_int(fr_qgemm_kernels *out);
void fr_qgemm_fill_avx512bf16_w4a16(fr_qgemm_kernels *out);
void fr_qgemm_fill_avx512bf16_groups(fr_qgemm_kernels *out);
void fr_qgemm_fill_avx512bf16_fp8(fr_qgemm_kernels *out);

#endif
