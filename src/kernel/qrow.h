/* qrow.h (kernel): rows of activations in few bits, as the products of qgemm.h read them.
 *
 * A row of k values becomes one record: codes, padded with zeros to whole units, then scales and sums. It
 * lives for the length of a run only, so its layout may change; files hold the formats of the room `format`,
 * and the codes and scales here are those of its formats, bit for bit:
 *
 *   kind     codes                     group  scales f32               less
 *   INT8     i8                        128    one a row                i32 a group: -sum of codes
 *   INT4     i8, -7 .. 7               64     a group, rounded to f16  i32 a group: -8 times the sum
 *   UINT4    i8, 0 .. 15               64     a group, rounded to f16  i32 a group: -8 times the sum
 *   NVFP4    i8, twice E2M1: -12 .. 12 16     a block: E4M3 / 4        i32 a block: -12 times the sum
 *   FP8      bf16 that E4M3 can hold   128    a group                  none
 *   BF16     bf16                      given  none                     f32 a group: -sum of codes
 *
 * Weights are stored unsigned, with something added; `less` is what that costs, so that no product has to
 * subtract in its inner loop. INT8 has one more i32 before `less`, at `start`: -128 times the sum of the row.
 * A quarter in the scales of NVFP4 makes up for codes doubled on both sides.
 *
 * A group that holds NaN or an infinity gets codes 0 and a scale of NaN (BF16: stays as it is). */
#ifndef FR_KERNEL_QROW_H
#define FR_KERNEL_QROW_H

#include <frugal/ops.h>

typedef struct fr_qrow {
    fr_rows_kind kind;
    int64_t k, padded; /* values, and codes of a record */
    int32_t group;
    int32_t code_bytes; /* of one: 1 or 2 */
    int64_t groups;
    size_t scales, start, less; /* where they begin */
    size_t bytes;               /* of a record: a multiple of 64, and never one of 4096 */
} fr_qrow;

/* group: for BF16, 32, 64 or 128, or 0 for 128; otherwise left out. */
void fr_qrow_of(fr_rows_kind kind, int64_t k, int32_t group, fr_qrow *out);

/* The record of (x + add) * by, value by value; by NULL: 1. */
typedef void fr_qrow_fn(const fr_qrow *r, const float *x, float add, const float *by, void *record);

/* The low-rank branch's first half: low[i * ldl + r] = sum over k of row i times row r of `down`, in one
 * order whatever the rows and ranks beside it. Both lie as `keep` leaves them. */
typedef struct fr_qrow_low {
    int rows;
    int64_t ranks, k;
    const void *x, *down;
    int64_t ldx, ldd; /* bytes */
    float *low;
    int64_t ldl;
    /* What will be read after this, or NULL: it may be asked for in passing, where that costs nothing. */
    const void *next;
    int64_t next_bytes;
} fr_qrow_low;

typedef struct fr_qrow_kernels {
    fr_qrow_fn *quantize[FR_ROWS_KINDS]; /* [FR_ROWS_FLOAT] is NULL */
    /* k values for `low`: f32, or bf16 where that has a dot instruction (which takes denormals for zero),
     * and zeros up to fr_qrow_kept(k, low_bytes) bytes. */
    int low_bytes; /* of a value */
    void (*keep)(const float *x, int64_t k, void *out);
    void (*low)(const fr_qrow_low *t);
} fr_qrow_kernels;

static inline int64_t fr_qrow_kept(int64_t k, int bytes) {
    return (k * bytes + 63) / 64 * 64;
}

void fr_qrow_kernels_fill(unsigned cpu, fr_qrow_kernels *out);

/* ---- between qrow.c and the files that hold the kernels ---- */

void fr_qrow_fill_ref(fr_qrow_kernels *out);
void fr_qrow_fill_avx2(fr_qrow_kernels *out);
void fr_qrow_fill_avx512(fr_qrow_kernels *out);
void fr_qrow_fill_avx512bf16(fr_qrow_kernels *out);
void fr_qrow_fill_neon(fr_qrow_kernels *out);
#define FR_QROW_PARTS(isa)                                                                         \
    fr_qrow_fn fr_qrow_fp8_##isa, fr_qrow_bf16_##isa;                                              \
    void fr_qrow_keep_##isa(const float *x, int64_t k, void *out);                                 \
    void fr_qrow_low_##isa(const fr_qrow_low *t);
FR_QROW_PARTS(avx2)
FR_QROW_PARTS(avx512)
FR_QROW_PARTS(neon)

#endif
