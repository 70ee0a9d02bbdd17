/* qrows.h: rows of activations on their way into records (kernel/qrow.h), on the pool.
 *
 *     h = what `before` makes of a row: a norm, a product of two, a function
 *     low[row] = h downT                       the low-rank branch's first half
 *     records[row] = (h + add) * by, in few bits
 *
 * A row is read from memory once; all else happens while it is in the first caches. The bits of a row do
 * not depend on the rows beside it, nor on the threads. */
#ifndef FR_OP_QROWS_H
#define FR_OP_QROWS_H

#include "op/op.h"

typedef struct fr_qrows {
    fr_qrow row;
    int64_t m;
    const void *x; /* m rows of row.k values, f32, bf16 or f16, ldx values apart */
    fr_dtype x_type;
    int64_t ldx;
    /* Instead of these: x [..., k] with any strides, m rows in all. The other three go with a view only,
     * and broadcast to it: what x is multiplied with (FR_BEFORE_GLU), and the modulation after a norm. */
    const fr_tensor *view, *up, *scale, *shift;
    fr_before before;
    fr_fn fn;
    float eps;
    const float *weight, *bias; /* of a norm, [k] or NULL */
    float add;
    const float *by; /* [k] or NULL */
    int64_t rank;    /* 0: no low-rank branch */
    const void *down_packed;
    float *low;    /* [m, rank] */
    void *records; /* m of row.bytes, 64-byte aligned */
} fr_qrows;

/* The matrix down [rank, k] as fr_qrows_run reads it; out is 64-byte aligned. */
size_t fr_qrows_down_bytes(int64_t rank, int64_t k);
void fr_qrows_down_pack(const fr_tensor *down, void *out);
/* Scratch memory for any number of threads of `pool`. */
size_t fr_qrows_scratch(const fr_qrows *q, const fr_pool *pool);
void fr_qrows_run(const fr_qrows *q, void *scratch, fr_pool *pool);
/* Rows row .. row + count - 1 on this thread; scratch: fr_qrows_scratch(q, NULL). For who owns rows already. */
void fr_qrows_some(const fr_qrows *q, int64_t row, int64_t count, void *scratch);

#endif
