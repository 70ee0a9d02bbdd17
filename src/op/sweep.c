/* sweep.c: the reduction of any set of axes.
 *
 * Neighbouring axes with the same fate are joined. Then the last axis is either reduced, and each
 * output is a sum over runs ("along"), or kept, and rows are added to a row of outputs ("across").
 * Both are cut into pieces whose sizes follow from the shape alone; a piece leaves a partial result
 * in the scratch, and a second step joins the partials of an output in their order. */
#include "op/sweep.h"

#include <math.h>

typedef struct sweep {
    const fr_tensor *x, *out;
    fr_reduction kind;
    int rank;
    size_t dim[FR_MAX_DIMS], stride[FR_MAX_DIMS];
    bool gone[FR_MAX_DIMS]; /* reduced */
    bool along;             /* the last axis is reduced */
    size_t units;           /* combinations of the kept axes before the last */
    size_t rows;            /* combinations of the reduced axes before the last */
    size_t n;               /* the last axis */
    size_t piece, pieces;   /* along: values; across: rows */
    size_t blocks;          /* across: blocks of columns */
    float scale;
    void *scratch; /* along: double [units][pieces]; across: float [units][pieces][n] */
} sweep;

static void describe(sweep *s, const fr_tensor *x, unsigned axes) {
    s->rank = 0;
    for (int d = 0; d < x->rank; d++) {
        bool gone = axes >> d & 1;
        if (x->dim[d] == 1 && s->rank + x->rank - d > 1) continue;
        if (s->rank && s->gone[s->rank - 1] == gone) {
            s->dim[s->rank - 1] *= (size_t)x->dim[d];
        } else {
            s->dim[s->rank] = (size_t)x->dim[d];
            s->gone[s->rank++] = gone;
        }
    }
    if (!s->rank) {
        s->rank = 1;
        s->dim[0] = 1;
        s->gone[0] = false;
    }
    size_t stride = 1, count = 1;
    for (int d = s->rank - 1; d >= 0; d--) {
        s->stride[d] = stride;
        stride *= s->dim[d];
        if (s->gone[d]) count *= s->dim[d];
    }
    int last = s->rank - 1;
    s->x = x;
    s->along = s->gone[last];
    s->n = s->dim[last];
    s->units = s->rows = 1;
    for (int d = 0; d < last; d++) *(s->gone[d] ? &s->rows : &s->units) *= s->dim[d];
    s->piece = FR_PIECE;
    if (!s->along) s->piece = FR_MIN(FR_MAX_OF(FR_PIECE / FR_MAX_OF(s->n, 1), 64), 512);
    size_t length = s->along ? s->rows * s->n : s->rows;
    s->pieces = FR_MAX_OF((length + s->piece - 1) / s->piece, 1);
    s->blocks = (s->n + FR_BLOCK - 1) / FR_BLOCK;
    s->scale = 1.0f / (float)count;
}

/* Where the run of row r of unit u begins in x. */
static size_t row_start(const sweep *s, size_t u, size_t r) {
    size_t at = 0;
    for (int d = s->rank - 2; d >= 0; d--) {
        size_t *left = s->gone[d] ? &r : &u;
        at += *left % s->dim[d] * s->stride[d];
        *left /= s->dim[d];
    }
    return at;
}

static double join(fr_reduction kind, double a, double b) {
    if (kind != FR_AMAX) return a + b;
    return a != a || a > b ? a : b;
}
static double nothing(fr_reduction kind) {
    return kind == FR_AMAX ? -INFINITY : 0;
}

/* ---- along ---- */

static double reduce_run(const sweep *s, size_t first, size_t n) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    float buf[FR_BLOCK];
    size_t most = s->x->dtype == FR_F32 ? n : FR_BLOCK;
    double sum = nothing(s->kind);
    for (size_t i = 0; i < n; i += most) {
        size_t count = FR_MIN(n - i, most);
        const float *x = fr_block_in(s->x, first + i, count, buf);
        sum = join(s->kind, sum, (double)(s->kind == FR_AMAX ? k->max : k->sum)(x, count));
    }
    return sum;
}

static double reduce_piece(const sweep *s, size_t unit, size_t piece) {
    size_t i = piece * s->piece, end = FR_MIN(i + s->piece, s->rows * s->n);
    double sum = nothing(s->kind);
    while (i < end) {
        size_t row = i / s->n, col = i - row * s->n, count = FR_MIN(end - i, s->n - col);
        sum = join(s->kind, sum, reduce_run(s, row_start(s, unit, row) + col, count));
        i += count;
    }
    return sum;
}

static void store_one(const sweep *s, size_t unit, double v) {
    float buf[1], *y = fr_block_at(s->out, unit, buf);
    *y = (float)(s->kind == FR_MEAN ? v * (double)s->scale : v);
    fr_block_out(s->out, unit, 1, y);
}

static void along_units(void *arg, size_t start, size_t end) {
    const sweep *s = arg;
    for (size_t u = start; u < end; u++) store_one(s, u, reduce_piece(s, u, 0));
}

static void along_piece(void *arg, size_t i) {
    const sweep *s = arg;
    ((double *)s->scratch)[i] = reduce_piece(s, i / s->pieces, i % s->pieces);
}

static void run_along(sweep *s, fr_pool *pool) {
    if (s->pieces == 1) {
        size_t length = FR_MAX_OF(s->rows * s->n, 1);
        fr_pool_range(pool, s->units, FR_MAX_OF(FR_PIECE / length, 1), along_units, s);
        return;
    }
    fr_pool_run(pool, s->units * s->pieces, along_piece, s);
    for (size_t u = 0; u < s->units; u++) {
        const double *part = (const double *)s->scratch + u * s->pieces;
        double sum = nothing(s->kind);
        for (size_t i = 0; i < s->pieces; i++) sum = join(s->kind, sum, part[i]);
        store_one(s, u, sum);
    }
}

/* ---- across ---- */

static void add_row(fr_reduction kind, const float *x, size_t n, float *sum) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    k->binary(kind == FR_AMAX ? FR_MAX : FR_ADD, sum, x, n, sum);
}

static void fill(float *y, size_t n, float v) {
    for (size_t i = 0; i < n; i++) y[i] = v;
}

/* Item: unit, then piece of rows, then block of columns. */
static void across_item(void *arg, size_t i) {
    const sweep *s = arg;
    size_t block = i % s->blocks, piece = i / s->blocks % s->pieces,
           unit = i / s->blocks / s->pieces;
    size_t col = block * FR_BLOCK, n = FR_MIN(s->n - col, (size_t)FR_BLOCK);
    size_t row = piece * s->piece, end = FR_MIN(row + s->piece, s->rows);
    float buf[FR_BLOCK], *sum = (float *)s->scratch + (unit * s->pieces + piece) * s->n + col;
    fill(sum, n, (float)nothing(s->kind));
    for (; row < end; row++)
        add_row(s->kind, fr_block_in(s->x, row_start(s, unit, row) + col, n, buf), n, sum);
}

static void across_join(void *arg, size_t i) {
    const sweep *s = arg;
    size_t block = i % s->blocks, unit = i / s->blocks;
    size_t col = block * FR_BLOCK, n = FR_MIN(s->n - col, (size_t)FR_BLOCK);
    float *part = (float *)s->scratch + unit * s->pieces * s->n + col, buf[FR_BLOCK];
    for (size_t p = 1; p < s->pieces; p++) add_row(s->kind, part + p * s->n, n, part);
    float *y = fr_block_at(s->out, unit * s->n + col, buf);
    fr_kernel()->rows.affine(part, s->kind == FR_MEAN ? s->scale : 1.0f, 0, n, y);
    fr_block_out(s->out, unit * s->n + col, n, y);
}

size_t fr_sweep_scratch(const fr_tensor *x, unsigned axes) {
    sweep s;
    describe(&s, x, axes);
    if (s.along) return s.pieces > 1 ? s.units * s.pieces * sizeof(double) : 0;
    return s.units * s.pieces * s.n * sizeof(float);
}

void fr_sweep_run(const fr_tensor *x, unsigned axes, fr_reduction kind, const fr_tensor *out,
                  void *scratch, fr_pool *pool) {
    sweep s;
    describe(&s, x, axes);
    s.out = out;
    s.kind = kind;
    s.scratch = scratch;
    if (!s.units || (!s.along && !s.n)) return;
    if (s.along) {
        run_along(&s, pool);
        return;
    }
    size_t items = s.units * s.pieces * s.blocks;
    bool tiny = (size_t)fr_values(x) <= FR_PIECE;
    fr_pool_run(tiny ? NULL : pool, items, across_item, &s);
    fr_pool_run(tiny ? NULL : pool, s.units * s.blocks, across_join, &s);
}
