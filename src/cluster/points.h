/* points.h: the points of one problem, wherever they lie and whatever their type, a block of rows at a time.
 *
 * Everything that reads points goes through blocks of FR_POINTS_BLOCK rows that begin at multiples of it, counted from
 * the first row of the problem; what is summed is summed by block, or by stripes of blocks (update.h), in their order.
 * So neither threads nor the pieces in which a file is read ever show in a result. */
#ifndef FR_CLUSTER_POINTS_H
#define FR_CLUSTER_POINTS_H

#include "base/base.h"
#include "tensor/tensor.h"

enum { FR_POINTS_BLOCK = 512 };

/* Reading ahead, for points in a mapped file larger than memory. A pass goes over windows of whole blocks; while the
 * threads work on one window, a thread of its own reads the next into memory, and windows behind are given back.
 * fr_reader_window returns the end of the window that begins at `first`, once it can be read fast; first 0 begins a
 * pass. With bytes 0, or without a reader (NULL) where one is asked for, there is one window, all rows, and no
 * thread. `bytes` is what all windows and the first rows, which are kept, may take together. */
typedef struct fr_reader fr_reader;

typedef struct fr_points {
    fr_tensor view;       /* [N, D] of any plain type, any strides */
    int64_t rows, width;  /* N, D */
    int64_t problem;      /* which of a batch; -1: there is only one */
    bool unit;            /* rows are brought to length 1 as they are read (cosine) */
    const float *weights; /* [rows], contiguous, or NULL */
    bool plain;           /* nobody asks for mean_variance */
    /* Of `view`, by fr_points_check: */
    float largest_square; /* no row has a larger squared length, as fr_points_rows gives it */
    double mean_variance; /* of a coordinate, over all rows; likewise */
} fr_points;

/* One problem of a [N, D] or [B, N, D] tensor. */
fr_status fr_points_of(const fr_tensor *points, int64_t problem, bool unit, fr_points *out);
/* One pass over all points: NaN and infinities are errors that name the row (and, of a batch, the problem), as are
 * rows so long that squared distances would overflow, and rows of zeros where `unit`. So are weights that are negative
 * or no numbers, and weights that are all zero. Fills what the pass finds. */
fr_status fr_points_check(fr_points *p, fr_reader *reader, fr_pool *pool);

/* Floats that fr_points_rows may need to hold `count` rows; 0 where it never copies (f32, dense rows). */
size_t fr_points_scratch(const fr_points *p, int64_t count);
/* Rows first .. first + count - 1 as dense floats: where they lie, or written to scratch. */
const float *fr_points_rows(const fr_points *p, int64_t first, int64_t count, float *scratch);
/* One row, for who needs a few from all over. */
void fr_points_row(const fr_points *p, int64_t row, float *out);

fr_status fr_reader_new(const fr_points *p, int64_t bytes, fr_reader **out);
int64_t fr_reader_window(fr_reader *r, const fr_points *p, int64_t first);
/* Rows from all over, some hundred at a time; without a reader, too. Threads may come at once. */
void fr_reader_rows(fr_reader *r, const fr_points *p, const int64_t *row, int64_t count,
                    float *out);
void fr_reader_free(fr_reader *r);

#endif
