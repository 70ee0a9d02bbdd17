/* range.c: see range.h. A ratio is tried for all rows at once: their errors times the kept inputs is one product. */
#include "quant/range.h"

#include <math.h>
#include <string.h>

#include "op/op.h"

enum { RATIOS = 81, ROWS = 16 };

typedef struct job {
    const float *w;
    fr_quantized *q;
    float ratio;         /* the one being tried */
    const float *chosen; /* or one a row */
    float *d;            /* [rows, cols]: w - w^ */
    fr_status *status;   /* of each item */
} job;

static size_t items_of(const fr_quantized *q) {
    return (size_t)((q->rows + ROWS - 1) / ROWS);
}

/* ---- a ratio, and what it makes wrong ---- */

static void choose_rows(void *arg, size_t item) {
    const job *j = arg;
    int64_t first = (int64_t)item * ROWS, end = FR_MIN(first + ROWS, j->q->rows);
    for (int64_t r = first; r < end && !j->status[item]; r++) {
        const float *w = j->w + r * j->q->cols;
        j->status[item] = fr_grid_choose(j->q, r, w, j->chosen ? j->chosen[r] : j->ratio);
        float value;
        for (int64_t c = 0; j->d && c < j->q->cols && !j->status[item]; c++) {
            fr_grid_round(j->q, r, c, w[c], &value);
            j->d[r * j->q->cols + c] = w[c] - value;
        }
    }
}

/* A message belongs to the thread that left it: what failed on another is done again here. */
static fr_status choose_all(job *j, fr_pool *pool) {
    fr_pool_run(pool, items_of(j->q), choose_rows, j);
    for (size_t i = 0; i < items_of(j->q); i++)
        if (j->status[i]) {
            j->status[i] = FR_OK;
            choose_rows(j, i);
            return j->status[i];
        }
    return FR_OK;
}

static fr_status check(const float *w, const fr_quantized *q) {
    FR_TRY(fr_grid_check(q->format));
    for (int64_t i = 0; i < q->rows * q->cols; i++)
        if (!isfinite(w[i]))
            return fr_fail(FR_FORMAT, "Row %lld, column %lld of the weight is %g.",
                           (long long)(i / q->cols), (long long)(i % q->cols), (double)w[i]);
    return FR_OK;
}

static fr_status choose_with(job *j, fr_pool *pool) {
    j->status = fr_alloc(FR_MEM_OTHER, items_of(j->q) * sizeof *j->status);
    fr_status st = j->status ? choose_all(j, pool) : FR_NOMEM;
    fr_free(j->status);
    j->status = NULL;
    return st;
}

fr_status fr_range_plain(const float *w, fr_quantized *q, fr_pool *pool) {
    FR_TRY(check(w, q));
    job j = {.w = w, .q = q, .ratio = 1};
    return choose_with(&j, pool);
}

/* ---- outputs ---- */

/* y [rows, samples] = d sampleT */
static fr_gemm outputs_of(const fr_quantized *q, const float *d, const fr_hessian *h, float *y) {
    return (fr_gemm){.m = q->rows,
                     .n = h->samples,
                     .k = q->cols,
                     .a = d,
                     .lda = q->cols,
                     .a_type = FR_F32,
                     .b = h->sample,
                     .ldb = q->cols,
                     .tb = true,
                     .b_type = FR_F32,
                     .c = y,
                     .ldc = h->samples,
                     .c_type = FR_F32};
}

static double square(const float *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)y[i] * (double)y[i];
    return sum;
}

typedef struct room {
    float *d, *y;
    void *scratch;
} room;

static fr_status room_new(const fr_quantized *q, const fr_hessian *h, const fr_pool *pool,
                          room *r) {
    *r = (room){0};
    if (h->n != q->cols || h->samples < 1)
        return fr_fail(FR_INVALID,
                       "Errors of outputs want inputs of %lld values to be shown first.",
                       (long long)q->cols);
    r->d = fr_alloc_array(FR_MEM_OTHER, (size_t)(q->rows * q->cols), sizeof(float));
    r->y = fr_alloc_array(FR_MEM_OTHER, (size_t)(q->rows * h->samples), sizeof(float));
    fr_gemm g = outputs_of(q, r->d, h, r->y);
    r->scratch = fr_alloc(FR_MEM_OTHER, fr_gemm_scratch(&g, pool) + 64);
    return r->d && r->y && r->scratch ? FR_OK : FR_NOMEM;
}

static void room_free(room *r) {
    fr_free(r->d);
    fr_free(r->y);
    fr_free(r->scratch);
}

/* ---- the search ---- */

static fr_status try_all(job *j, const fr_hessian *h, const room *r, float *best, float *chosen,
                         fr_pool *pool) {
    int64_t rows = j->q->rows;
    for (int i = 0; i < RATIOS; i++) {
        j->ratio = 1 - 0.8f * (float)i / (RATIOS - 1);
        FR_TRY(choose_all(j, pool));
        fr_gemm g = outputs_of(j->q, r->d, h, r->y);
        fr_gemm_run(&g, r->scratch, pool);
        for (int64_t row = 0; row < rows; row++) {
            float error = (float)square(r->y + row * h->samples, h->samples);
            if (i && !(error < best[row])) continue;
            best[row] = error;
            chosen[row] = j->ratio;
        }
    }
    j->chosen = chosen;
    return choose_all(j, pool);
}

fr_status fr_range_search(const float *w, const fr_hessian *h, fr_quantized *q, fr_pool *pool,
                          double *ratio) {
    FR_TRY(check(w, q));
    room r;
    fr_status st = room_new(q, h, pool, &r);
    job j = {.w = w, .q = q, .d = r.d};
    float *best = fr_alloc_array(FR_MEM_OTHER, (size_t)q->rows * 2, sizeof *best);
    j.status = fr_alloc(FR_MEM_OTHER, items_of(q) * sizeof *j.status);
    if (!st && (!best || !j.status)) st = FR_NOMEM;
    if (!st) st = try_all(&j, h, &r, best, best + q->rows, pool);
    double mean = 0;
    for (int64_t i = 0; !st && i < q->rows; i++) mean += (double)best[q->rows + i];
    if (ratio) *ratio = mean / (double)q->rows;
    fr_free(j.status);
    fr_free(best);
    room_free(&r);
    return st;
}

/* ---- rounding, and what came of it ---- */

typedef struct rounding {
    const float *w;
    fr_quantized *q;
    int16_t *codes;
} rounding;

static void round_rows(void *arg, size_t item) {
    const rounding *j = arg;
    int64_t first = (int64_t)item * ROWS, end = FR_MIN(first + ROWS, j->q->rows);
    float value;
    for (int64_t i = first * j->q->cols; i < end * j->q->cols; i++)
        j->codes[i] = (int16_t)fr_grid_round(j->q, i / j->q->cols, i % j->q->cols, j->w[i], &value);
    for (int64_t r = first; r < end; r++) fr_grid_put(j->q, r, j->codes + r * j->q->cols);
}

fr_status fr_range_round(const float *w, fr_quantized *q, fr_pool *pool) {
    rounding j = {.w = w, .q = q};
    j.codes = fr_alloc_array(FR_MEM_OTHER, (size_t)(q->rows * q->cols), sizeof *j.codes);
    if (!j.codes) return FR_NOMEM;
    fr_pool_run(pool, items_of(q), round_rows, &j);
    fr_free(j.codes);
    return FR_OK;
}

fr_status fr_output_error(const float *w, const fr_quantized *q, const fr_hessian *h, fr_pool *pool,
                          double *whole, double *error) {
    room r;
    fr_status st = room_new(q, h, pool, &r);
    if (!st) {
        fr_gemm g = outputs_of(q, w, h, r.y);
        fr_gemm_run(&g, r.scratch, pool);
        *whole = square(r.y, q->rows * h->samples);
        q->format->decode(q, 0, q->rows, r.d);
        for (int64_t i = 0; i < q->rows * q->cols; i++) r.d[i] = w[i] - r.d[i];
        g = outputs_of(q, r.d, h, r.y);
        fr_gemm_run(&g, r.scratch, pool);
        *error = square(r.y, q->rows * h->samples);
    }
    room_free(&r);
    return st;
}
