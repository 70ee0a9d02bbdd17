/* qgemm.h (op): products of rows in few bits with weights in few bits, on the pool: the tiling above the
 * micro-kernels of kernel/qgemm.h, and the repacking of a format's parts into their panels.
 *
 *     y = act(x wT + low upT + bias) + residual
 *
 * x: records (kernel/qrow.h). y: floats, or records again, for the next product. The bits do not depend on
 * the threads: an element of y is summed in the order of k by one task. */
#ifndef FR_OP_QGEMM_H
#define FR_OP_QGEMM_H

#include "format/format.h"
#include "op/qrows.h"

/* The panels of a weight, n x k, in the layout of the kernels in use. */
typedef struct fr_qweights {
    fr_qkind kind;
    fr_rows_kind rows; /* what it is multiplied with */
    fr_qpanel panel;
    int64_t panels;
    size_t bytes;
} fr_qweights;

/* rows: what it is to be multiplied with; FR_ROWS_FLOAT: what goes with the format. A sentence where no
 * kernel multiplies with this format, size or kind of rows. */
fr_status fr_qweights_of(const fr_qformat *f, fr_rows_kind rows, int64_t n, int64_t k,
                         fr_qweights *out);
/* Repacks; out: bytes, 64-byte aligned. */
void fr_qweights_pack(const fr_quantized *q, const fr_qweights *w, void *out, fr_pool *pool);

typedef struct fr_qgemm {
    int64_t m, n, k;
    const fr_qweights *w;
    const void *b; /* packed */
    /* Either records, or what they are made of, block by block, in scratch: x.records and x.low are
     * NULL then, and x.view too. */
    const void *a;
    fr_qrow row;
    const fr_qrows *x;
    /* The low-rank branch; rank 0: none. */
    int64_t rank;
    const float *low;      /* [m, rank], where records come with it */
    const void *up_packed; /* by fr_qgemm_up_pack */
    fr_dtype up_type; /* bf16: low is rounded to bf16 too where there is a dot instruction for it */
    const void *bias; /* [n] */
    fr_dtype bias_type;
    fr_fn act;
    const void *residual; /* [m, n] */
    fr_dtype residual_type;
    int64_t ldr;
    void *c; /* [m, n] */
    fr_dtype c_type;
    int64_t ldc;
    /* Instead of c: the next product's records (and low). Its x and m are filled in here; nothing comes
     * before `add`. */
    const fr_qrows *next;
} fr_qgemm;

/* up [n, rank], f32 or bf16, as fr_qgemm_run reads it beside the panels of w. */
size_t fr_qgemm_up_bytes(const fr_qweights *w, int64_t rank);
void fr_qgemm_up_pack(const fr_qweights *w, const fr_tensor *up, void *out);
size_t fr_qgemm_scratch(const fr_qgemm *g, const fr_pool *pool);
void fr_qgemm_run(const fr_qgemm *g, void *scratch, fr_pool *pool);

#endif
