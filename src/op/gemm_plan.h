/* gemm_plan.h: how one product is cut. Only the gemm_*.c files of this room include it.
 *
 * Everything here follows from the sizes and types of the product and from the table of kernels in
 * use, never from the number of threads. From the outside in:
 *
 *     chunk    n_chunk x m_chunk x k_chunk: what is packed at once, so that the scratch memory is
 *              bounded and lies in the last cache
 *     task     m_block x n_block values of C: what one thread does between two looks at the pool
 *     block    `block` steps of k: the panels that stay in the second cache during a task
 *     tile     mr x nr: what the kernel keeps in registers
 *
 * The sums of a block are added to those of the blocks before: the order in which an element of C
 * is summed depends on k alone, so a row comes out the same in a product of any m and n. */
#ifndef FR_OP_GEMM_PLAN_H
#define FR_OP_GEMM_PLAN_H

#include "op/gemm.h"

#define GEMM_MAX_NR 64

typedef struct gemm_plan {
    const fr_gemm *g;
    const fr_gemm_kernels *kern;
    fr_gemm_tile_fn *tile;
    fr_gemm_kind kind;
    int per_step;    /* k in a step */
    int mr, nr;      /* mr balanced over m */
    size_t a_lane;   /* bytes of A in a step and row */
    int64_t steps;   /* of the whole k */
    int64_t block;   /* steps */
    int64_t k_chunk; /* steps, a multiple of block unless there is one chunk */
    int64_t m_chunk; /* rows, a multiple of mr */
    int64_t n_chunk; /* columns, a multiple of nr */
    int64_t m_group; /* panels of A in a task */
    int64_t m_block; /* panels of A that lie in the second cache together */
    int64_t n_block; /* panels of B in a task */
    bool own_a;      /* a task packs the A it needs a block at a time, in its thread's scratch */
    bool own_b;      /* a task packs the B it needs, in its thread's scratch */
    bool direct;     /* sums go to C at once */
    bool partial;    /* sums wait in scratch between blocks of k */
    /* Scratch: */
    size_t a_bytes, b_bytes, partial_bytes;
    size_t thread_bytes; /* for each thread: gemm_temp_bytes, or the A or B of a task */
} gemm_plan;

gemm_plan gemm_plan_make(const fr_gemm *g);

/* One panel of B, steps s0 .. s0 + count - 1, to out. */
void gemm_pack_b_panel(const gemm_plan *p, int64_t col, int64_t s0, int64_t count, void *out);
/* rows <= mr of A, the same steps, to out; temp: gemm_temp_bytes. */
void gemm_pack_a_panel(const gemm_plan *p, int64_t row, int rows, int64_t s0, int64_t count,
                       void *temp, void *out);
size_t gemm_temp_bytes(const gemm_plan *p);

/* The epilogue of a tile whose sums are complete: scale, bias, function, residual, store. */
void gemm_finish(const gemm_plan *p, float *tile, int rows, int cols, int64_t row, int64_t col);

static inline size_t gemm_type_bytes(fr_dtype t) {
    return t == FR_BF16 ? 2 : 4;
}
static inline int64_t gemm_div_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

#endif
