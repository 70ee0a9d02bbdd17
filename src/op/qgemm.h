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
#include "op/op.h"

/* The panels of a weight, n x k, in the layout of the kernels in use. */
typedef struct fr_qweights {
    fr_qkind kind;
    fr_qpanel panel;
    int64_t panels;
    size_t bytes;
} fr_qweights;

/* False, with a sentence, where no kernel multiplies with this format or size. */
fr_status fr_qweights_of(const fr_qformat *f, int64_t n, int64_t k, fr_qweights *out);
/* Repacks; out: bytes, 64-byte aligned. */
fr_status fr_qweights_pack(const fr_quantized *q, const fr_qweights *w, void *out, fr_pool *pool);

/* What rows of activations become on their way into a record; see fr_quantize_opts in frugal/ops.h. */
typedef struct fr_qrows {
    fr_qrow row;
    int64_t m;
    const void *x; /* m rows of row.k values, f32 or bf16 */
    fr_dtype x_type;
    int64_t ldx;
    /* What comes before: a norm, a product of two, a function. */
    fr_before before;
    fr_fn fn;
    float eps;
    const float *weight, *bias; /* of a norm */
    const void *scale, *shift;  /* of modulation, x_type; a row for every `per` rows of x */
    int64_t mod_per, mod_ld;
    const void *up; /* of FR_BEFORE_GLU */
    int64_t ldup;
    float add;
    const float *by; /* [k] or NULL */
    /* The low-rank branch: low [m, rank] = what is before `add` and `by` times down [rank, k], packed. */
    int64_t rank;
    const void *down_packed;
    float *low;
    void *records; /* m of row.bytes */
} fr_qrows;

/* The matrix down [rank, k] as fr_qrows_run reads it. */
size_t fr_qrows_down_bytes(int64_t rank, int64_t k);
void fr_qrows_down_pack(const fr_tensor *down, void *out);
/* Scratch memory for any number of threads of `pool`. */
size_t fr_qrows_scratch(const fr_qrows *q, const fr_pool *pool);
void fr_qrows_run(const fr_qrows *q, void *scratch, fr_pool *pool);
/* Rows row .. row + count - 1 on this thread; scratch: fr_qrows_scratch(q, NULL). For who owns rows already. */
void fr_qrows_some(const fr_qrows *q, int64_t row, int64_t count, void *scratch);

typedef struct fr_qgemm {
    int64_t m, n, k;
    const fr_qweights *w;
    const void *b; /* packed */
    /* Either records, or what they are made of, block by block, in scratch (x.records and x.low NULL). */
    const void *a;
    fr_qrow row;
    const float *low; /* [m, rank], where records come with it */
    const fr_qrows *x;
    /* The low-rank branch's second half: up [n, rank], packed by fr_qgemm_up_pack. */
    int64_t rank;
    const void *up_packed;
    const void *bias; /* [n] */
    fr_dtype bias_type;
    fr_fn act;
    const void *residual; /* [m, n], c_type's shape */
    fr_dtype residual_type;
    int64_t ldr;
    void *c; /* [m, n] */
    fr_dtype c_type;
    int64_t ldc;
    /* Instead of c: the next product's records; x, m and what comes before are filled in by the driver. */
    const fr_qrows *next;
} fr_qgemm;

size_t fr_qgemm_up_bytes(int64_t n, int64_t rank);
void fr_qgemm_up_pack(const fr_tensor *up, void *out);
size_t fr_qgemm_scratch(const fr_qgemm *g, const fr_pool *pool);
void fr_qgemm_run(const fr_qgemm *g, void *scratch, fr_pool *pool);

#endif
