/* gemm.h (kernel): micro-kernels of the matrix products. The tiling and the threads are in
 * op/gemm.c; who wants to follow a product from the top starts there.
 *
 * A product is cut along its inner dimension into steps: one k for f32, a pair of neighbouring k
 * for bf16, since the dot instruction takes pairs and a 32-bit lane holds one. Both operands come
 * packed into panels that the tile kernel reads from front to back:
 *
 *     A panel   [steps][rows]     rows <= mr, each value one lane (f32, or a bf16 pair);
 *                                 FR_GEMM_F32_BF16: [2 steps][rows] of f32
 *     B panel   [steps][nr]       lanes, columns past n filled with zeros
 *
 * With an odd k the missing half of the last pair is zero on both sides. */
#ifndef FR_KERNEL_GEMM_H
#define FR_KERNEL_GEMM_H

#include <frugal/ops.h>

typedef enum fr_gemm_kind {
    FR_GEMM_F32,      /* f32 x f32 */
    FR_GEMM_F32_BF16, /* f32 x bf16, widened in the kernel: the products and sums are f32 */
    FR_GEMM_BF16,     /* bf16 x bf16 by the dot instruction; NULL where there is none */
    FR_GEMM_KINDS
} fr_gemm_kind;

/* c[i * ldc + j] = (add ? c : 0) + sum over the steps, for rows x nr values. Every element is one
 * chain of fused multiply-adds in the order of k, whatever the tile it falls in. */
typedef void fr_gemm_tile_fn(int rows, size_t steps, const void *a, const void *b, float *c,
                             size_t ldc, bool add);

/* The same for f32 with B as it lies in memory, ldb values from one k to the next: its panel is
 * written to `packed` in passing, between the multiply-adds, where that costs nothing. */
typedef void fr_gemm_first_fn(int rows, size_t steps, const float *a, const float *b, size_t ldb,
                              float *packed, float *c, size_t ldc, bool add);

/* What happens to a finished tile before it is forgotten; see fr_gemm_kernels.store. */
typedef struct fr_gemm_store {
    const float *tile;
    size_t ld; /* of the tile */
    int rows, cols;
    void *c;
    size_t ldc;
    const void *residual; /* NULL: none */
    size_t ldr;
    bool accumulate;
    bool c_bf16, residual_bf16;
} fr_gemm_store;

typedef struct fr_gemm_kernels {
    int mr, nr; /* largest tile */
    fr_gemm_tile_fn *tile[FR_GEMM_KINDS];
    fr_gemm_first_fn *first; /* or NULL */

    /* Packing, in lanes of 32 bits; strides in bytes, no alignment asked.
     * rows: `rows` rows of `count` lanes become out[j * width + i]; i in rows .. width-1 is zero.
     * cols: `count` rows of `cols` lanes become out[j * width + i], filled in the same way.
     * pairs: the same as cols from 2-byte values, two rows of the input to one of the output; an
     * odd last row is paired with zeros. */
    void (*pack_rows)(const void *in, size_t stride, int rows, size_t count, int width, void *out);
    void (*pack_cols)(const void *in, size_t stride, int cols, size_t count, int width, void *out);
    void (*pack_pairs)(const void *in, size_t stride, int cols, size_t count, int width, void *out);

    /* tile = alpha * tile + bias (NULL: 0), in place. */
    void (*scale_bias)(float *tile, size_t ld, int rows, int cols, float alpha, const float *bias);
    /* c = tile + residual + (accumulate ? c : 0), rounded once. */
    void (*store)(const fr_gemm_store *s);
} fr_gemm_kernels;

void fr_gemm_kernels_fill(unsigned cpu, fr_gemm_kernels *out);

/* ---- between gemm.c and the files that hold the kernels ---- */

void fr_gemm_fill_ref(fr_gemm_kernels *out);
void fr_gemm_fill_avx2(fr_gemm_kernels *out);
void fr_gemm_fill_avx512(fr_gemm_kernels *out);
void fr_gemm_fill_avx512bf16(fr_gemm_kernels *out);
void fr_gemm_fill_neon(fr_gemm_kernels *out);
/* The parts that the compiler vectorizes by itself: packing by columns and the epilogue. */
void fr_gemm_fill_rows_avx2(fr_gemm_kernels *out);
void fr_gemm_fill_rows_avx512(fr_gemm_kernels *out);
void fr_gemm_fill_rows_neon(fr_gemm_kernels *out);

#endif
