/* gptq.c: see gptq.h.
 *
 * GPTQ takes U, the upper Cholesky factor of H^-1, rounds column i, and takes e U[i, :] of the columns behind it,
 * with e = (w - w^)[i] / U[i, i]. Here neither the inverse nor U is made. Let columns stand in the opposite order,
 * so that rounding goes from the last to the first, and H = L LT. Then, with d = w - w^ of the columns that are done,
 *
 *     column j is rounded at   w[j] + sum over i > j of d[i] L[i, j] / L[j, j]
 *
 * which is the same number: rounding to the nearest plane, one after another (Babai 1986; that GPTQ is this was
 * seen by Chen et al. 2025). It takes half of the work, and a product over all done columns for each block of new
 * ones. Rows of w do not know of each other. */
#include "quant/gptq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "op/op.h"
#include "quant/cholesky.h"

enum {
    BLOCK = 128,
    ROWS = 16,   /* an item of the pool */
    TRIES = 250, /* each adds a thousandth of the mean of the diagonal */
};

/* ---- the factor ---- */

typedef struct place {
    float size;
    int32_t column;
} place;

/* Rising diagonal: the last is rounded first. Of equals the column that comes first in the file is rounded first. */
static int by_size(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return y->column - x->column;
}

static fr_status choose_order(fr_gptq_way *g, const fr_hessian *h, const fr_gptq_opts *o) {
    place *p = fr_alloc_array(FR_MEM_OTHER, (size_t)g->n, sizeof *p);
    if (!p) return FR_NOMEM;
    for (int64_t c = 0; c < g->n; c++) {
        float size = h->h[c * g->n + c];
        g->is_dead[c] = !(size > 0);
        g->dead += g->is_dead[c];
        p[c] = (place){g->is_dead[c] ? 1 : size, (int32_t)c};
        if (o->file_order) p[c].size = (float)(g->n - c);
    }
    qsort(p, (size_t)g->n, sizeof *p, by_size);
    for (int64_t i = 0; i < g->n; i++) g->order[i] = p[i].column;
    fr_free(p);
    return FR_OK;
}

typedef struct fill {
    const fr_gptq_way *g;
    const fr_hessian *h;
    float add;
} fill;

static void fill_row(void *arg, size_t r) {
    const fill *f = arg;
    int64_t n = f->g->n, row = f->g->order[r];
    float *to = f->g->l + (int64_t)r * n;
    const float *from = f->h->h + row * n;
    for (int64_t i = 0; i < (int64_t)r; i++) to[i] = from[f->g->order[i]];
    to[r] = (f->g->is_dead[row] ? 1 : from[row]) + f->add;
}

static fr_status factor(fr_gptq_way *g, const fr_hessian *h, float damp, fr_pool *pool) {
    double mean = 0;
    for (int64_t c = 0; c < g->n; c++)
        mean += g->is_dead[c] ? 1 : (double)h->h[c * g->n + c] / (double)g->n;
    if (!isfinite(mean))
        return fr_fail(FR_INVALID, "What flows into this linear is not finite: %g.", mean);
    bool positive = false;
    for (g->tries = 0; g->tries <= TRIES && !positive; g->tries++) {
        fill f = {g, h, (float)(mean * ((double)damp + 0.001 * g->tries))};
        fr_pool_run(pool, (size_t)g->n, fill_row, &f);
        FR_TRY(fr_cholesky(g->l, g->n, pool, &positive));
    }
    g->tries--;
    return positive ? FR_OK
                    : fr_fail(FR_INVALID,
                              "The sums over the inputs of this linear make no positive matrix, "
                              "not even with %g of their diagonal added.",
                              (double)damp + 0.001 * TRIES);
}

fr_status fr_gptq_prepare(const fr_hessian *h, const fr_gptq_opts *opts, fr_pool *pool,
                          fr_gptq_way *out) {
    static const fr_gptq_opts usual = {0};
    const fr_gptq_opts *o = opts ? opts : &usual;
    *out = (fr_gptq_way){.n = h->n};
    if (!h->h || h->rows <= 0)
        return fr_fail(FR_INVALID, "Rounding by GPTQ wants inputs to be shown first.");
    out->order = fr_alloc_array(FR_MEM_OTHER, (size_t)h->n, sizeof *out->order);
    out->is_dead = fr_alloc(FR_MEM_OTHER, (size_t)h->n * sizeof *out->is_dead);
    out->l = fr_alloc_array(FR_MEM_OTHER, (size_t)(h->n * h->n), sizeof *out->l);
    fr_status st = out->order && out->is_dead && out->l ? FR_OK : FR_NOMEM;
    if (!st) st = choose_order(out, h, o);
    if (!st) st = factor(out, h, o->damp > 0 ? o->damp : 0.01f, pool);
    if (st) fr_gptq_free(out);
    return st;
}

void fr_gptq_free(fr_gptq_way *g) {
    fr_free(g->order);
    fr_free(g->is_dead);
    fr_free(g->l);
    *g = (fr_gptq_way){0};
}

/* ---- rounding ---- */

typedef struct job {
    const fr_gptq_way *g;
    const float *w;
    fr_quantized *q;
    float *d;             /* [rows, n] in the order of the columns: what was wrong */
    float *sum;           /* [rows, BLOCK]: over the columns that were done before this block */
    int16_t *codes;       /* [rows, n] as in the file */
    int64_t first, count; /* the block */
} job;

static void round_in_row(const job *j, int64_t row) {
    const fr_gptq_way *g = j->g;
    float *sum = j->sum + row * BLOCK, *d = j->d + row * g->n;
    for (int64_t i = j->count - 1; i >= 0; i--) {
        int64_t at = j->first + i, column = g->order[at];
        const float *l = g->l + at * g->n;
        float w = g->is_dead[column] ? 0 : j->w[row * g->n + column], value;
        j->codes[row * g->n + column] =
            (int16_t)fr_grid_round(j->q, row, column, w + sum[i] / l[at], &value);
        d[at] = w - value;
        for (int64_t k = 0; k < i; k++) sum[k] += d[at] * l[j->first + k];
    }
}

static void round_rows(void *arg, size_t item) {
    const job *j = arg;
    int64_t first = (int64_t)item * ROWS, end = FR_MIN(first + ROWS, j->q->rows);
    for (int64_t r = first; r < end; r++) round_in_row(j, r);
}

/* Columns of the block are first .. ; done are those behind it. */
static fr_gemm before_block(const job *j, int64_t first) {
    int64_t n = j->g->n, done = FR_MIN(first + BLOCK, n);
    return (fr_gemm){.m = j->q->rows,
                     .n = done - first,
                     .k = n - done,
                     .a = j->d + done,
                     .lda = n,
                     .a_type = FR_F32,
                     .b = j->g->l + done * n + first,
                     .ldb = n,
                     .b_type = FR_F32,
                     .c = j->sum,
                     .ldc = BLOCK,
                     .c_type = FR_F32};
}

static fr_status run(job *j, fr_pool *pool) {
    size_t bytes = 64;
    int64_t blocks = (j->g->n + BLOCK - 1) / BLOCK;
    for (int64_t b = 0; b + 1 < blocks; b++) {
        fr_gemm p = before_block(j, b * BLOCK);
        bytes = FR_MAX_OF(bytes, fr_gemm_scratch(&p, pool));
    }
    void *scratch = fr_alloc(FR_MEM_OTHER, bytes);
    if (!scratch) return FR_NOMEM;
    for (int64_t b = blocks - 1; b >= 0; b--) {
        fr_gemm p = before_block(j, b * BLOCK);
        j->first = b * BLOCK;
        j->count = p.n;
        if (p.k) fr_gemm_run(&p, scratch, pool);
        fr_pool_run(pool, (size_t)((j->q->rows + ROWS - 1) / ROWS), round_rows, j);
    }
    for (int64_t r = 0; r < j->q->rows; r++) fr_grid_put(j->q, r, j->codes + r * j->g->n);
    fr_free(scratch);
    return FR_OK;
}

double fr_gptq_bytes(int64_t n, int64_t rows) {
    double k = (double)n, m = (double)rows;
    return 4 * k * k + 6 * k * m + 4 * BLOCK * m;
}

fr_status fr_gptq_round(const fr_gptq_way *g, const float *w, fr_quantized *q, fr_pool *pool) {
    FR_TRY(fr_grid_check(q->format));
    if (q->cols != g->n)
        return fr_fail(FR_INVALID, "Rows of %lld values do not go with sums over %lld.",
                       (long long)q->cols, (long long)g->n);
    job j = {.g = g, .w = w, .q = q};
    size_t all = (size_t)(q->rows * q->cols);
    j.d = fr_alloc_array(FR_MEM_OTHER, all, sizeof *j.d);
    j.sum = fr_alloc(FR_MEM_OTHER, (size_t)q->rows * BLOCK * sizeof *j.sum);
    j.codes = fr_alloc_array(FR_MEM_OTHER, all, sizeof *j.codes);
    fr_status st = j.d && j.sum && j.codes ? run(&j, pool) : FR_NOMEM;
    fr_free(j.d);
    fr_free(j.sum);
    fr_free(j.codes);
    return st;
}
