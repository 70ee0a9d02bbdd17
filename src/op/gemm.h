/* gemm.h (op): matrix products on the pool: the tiling above the micro-kernels of kernel/gemm.h,
 * shared by linear, matmul, convolution and whoever else multiplies.
 *
 *     c = act(alpha * op(a) op(b) + bias) + residual        (c += ... with accumulate)
 *
 * c is m x n; op(a) is m x k, op(b) is k x n, either stored transposed. A weight [n, k] as PyTorch
 * keeps it is b with tb. Types: f32 or bf16 for each of a, b, c, residual; bias f32 or bf16;
 * sums are f32. Tiles depend on m, n, k alone, so the bits do not depend on the threads. */
#ifndef FR_OP_GEMM_H
#define FR_OP_GEMM_H

#include "op/op.h"

/* Rows of A made on the fly, for convolutions: writes rows row .. row+rows-1, columns k0 ..
 * k0+count-1 of A to out, out[i * ld + j], in the type of a_type. */
typedef void fr_gemm_rows_fn(void *arg, int64_t row, int64_t rows, int64_t k0, int64_t count,
                             void *out, int64_t ld);

typedef struct fr_gemm {
    int64_t m, n, k;
    const void *a;
    int64_t lda; /* values from one stored row to the next */
    bool ta;
    fr_dtype a_type;
    fr_gemm_rows_fn *a_rows; /* instead of a */
    void *a_arg;
    const void *b;
    int64_t ldb;
    bool tb;
    fr_dtype b_type;
    const void *b_packed; /* from fr_gemm_pack_b, or NULL */
    void *c;
    int64_t ldc;
    fr_dtype c_type;
    float alpha; /* 0 is read as 1 */
    bool accumulate;
    const void *bias; /* [n] */
    fr_dtype bias_type;
    const void *residual; /* m x n, may be c itself */
    int64_t ldr;
    fr_dtype residual_type;
    fr_fn act;
} fr_gemm;

/* Bytes of B in the layout of the kernels in use; depends on n, k, a_type and b_type only. */
size_t fr_gemm_pack_bytes(const fr_gemm *g);
void fr_gemm_pack_b(const fr_gemm *g, void *out, fr_pool *pool);

/* What fr_gemm_run needs beside: packed panels of A and B when they are not packed yet. Enough for
 * any number of threads of `pool`. */
size_t fr_gemm_scratch(const fr_gemm *g, const fr_pool *pool);
void fr_gemm_run(const fr_gemm *g, void *scratch, fr_pool *pool);

/* Many products of one shape at once, for attention and batched matmul: product i uses a + i *
 * stride_a values and so on (stride 0: shared). Cut over the products first, then inside. */
typedef struct fr_gemm_batch {
    fr_gemm g;
    int64_t count;
    int64_t stride_a, stride_b, stride_c;
} fr_gemm_batch;
size_t fr_gemm_batch_scratch(const fr_gemm_batch *b, const fr_pool *pool);
void fr_gemm_batch_run(const fr_gemm_batch *b, void *scratch, fr_pool *pool);

#endif
