/* qgemm_plan.h: how one product with weights in few bits is cut. Only the qgemm*.c files of this room
 * include it.
 *
 * As in gemm_plan.h all follows from sizes, types and the table of kernels, never from the number of
 * threads. From the outside in:
 *
 *     chunk    m_chunk rows: whose records (and floats for `next`) lie in scratch together
 *     task     m_block rows x n_block panels: what one thread does between two looks at the pool
 *     block    `block` groups of k: the part of a panel that stays in the first cache for all tiles
 *     tile     mr x nr
 *
 * Where there are many rows a task owns its rows and all panels (`own`): it makes the records, multiplies
 * and makes the next product's records, and nothing but x and the result goes through memory. */
#ifndef FR_OP_QGEMM_PLAN_H
#define FR_OP_QGEMM_PLAN_H

#include "op/qgemm.h"

typedef struct qgemm_plan {
    const fr_qgemm *g;
    const fr_kernels *kern;
    struct fr_qgemm_way way; /* mr balanced over m */
    size_t lds;              /* lanes of a row of sums: whole panels of `up` */
    int64_t panels;
    int64_t block;   /* groups */
    int64_t m_block; /* rows, a multiple of mr */
    int64_t n_block; /* panels */
    int64_t m_chunk; /* rows, a multiple of m_block */
    bool own;
    bool alone; /* too short for the pool */
    /* Scratch, in bytes. Of a chunk, or where rows are owned of a thread: */
    size_t records, low, y, rows;
    /* Of a thread: the packed low of its rows, and sums of tiles. */
    size_t packed, tile, sums;
} qgemm_plan;

/* Some rows of the product, and where what belongs to them lies. */
typedef struct qgemm_rows {
    int64_t row, count;
    const char *a;    /* records */
    const float *low; /* or NULL */
    float *y;         /* floats for `next`, n a row; NULL: the result goes to c */
} qgemm_rows;

qgemm_plan qgemm_plan_make(const fr_qgemm *g);

/* Panels of f32 products that stand beside one panel of the weight. */
int qgemm_up_panels(const fr_qweights *w);
/* low of `rows` rows as panels of the tile kernel of f32 products, [rank][rows] for each call. */
void qgemm_pack_low(const qgemm_plan *p, const float *low, int64_t rows, float *out);
/* Asks for what a finished tile is stored over, and its residual, while the sums are made. */
void qgemm_fetch(const qgemm_plan *p, const qgemm_rows *at, int64_t row, int rows, int64_t panel);
/* The epilogue of a tile whose sums are complete. low: packed, of its first row. */
void qgemm_finish(const qgemm_plan *p, const fr_qtile *t, const qgemm_rows *at, int64_t row,
                  int64_t panel, const float *low);

/* qgemm_blocks.c: a panel of a weight in blocks, from column col of the result on. */
void qgemm_pack_blocks(const fr_quantized *q, const fr_qpanel *p, int64_t col, int cols,
                       char *panel);

static inline int64_t qgemm_div_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

#endif
