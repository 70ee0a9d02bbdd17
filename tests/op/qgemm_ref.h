/* qgemm_ref.h: what a product with weights in few bits means, in doubles, from the formats alone. */
#ifndef QGEMM_REF_H
#define QGEMM_REF_H

#include "op/qgemm.h"
#include "op_test.h"

/* Weights in a format, and the rows that they are multiplied with. */
typedef struct qgemm_pair {
    const fr_qformat *format;
    fr_rows_kind rows;
    bool exact; /* the same bits on every instruction set */
} qgemm_pair;
extern const qgemm_pair qgemm_pairs[];
extern const size_t qgemm_pair_count;

/* What x [m, k] is as rows of this kind, as doubles: by the formats of files where there is one. */
void qgemm_rows_f64(fr_rows_kind kind, const float *x, int64_t m, int64_t k, double *out);
/* All rows of q, as doubles. */
void qgemm_weights_f64(const fr_quantized *q, double *out);
double qgemm_act_f64(fr_fn fn, double x);

/* Values for weights and rows: normal, with a few large ones; UINT4 wants none below 0. */
float *qgemm_values(uint64_t stream, size_t n, bool positive);

#endif
