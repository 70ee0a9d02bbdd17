/* descend.c: see descend.h. */
#include "quant/descend.h"

#include <math.h>
#include <string.h>

enum { ROWS = 16 }; /* an item of the pool */

typedef struct job {
    const fr_hessian *h;
    const float *w;
    fr_quantized *q;
    int sweeps;
    float *value;   /* [rows, n]: what the codes decode to */
    float *slope;   /* [rows, n]: H (value - w), half the slope of the error */
    int16_t *codes; /* [rows, n] */
} job;

/* Whether a code became another. */
static bool sweep(const job *j, int64_t row, float *value, float *slope, int16_t *codes) {
    const int64_t n = j->h->n;
    bool changed = false;
    for (int64_t c = 0; c < n; c++) {
        const float *h = j->h->h + c * n;
        float to;
        if (!(h[c] > 0)) continue;
        const int code = fr_grid_round(j->q, row, c, value[c] - slope[c] / h[c], &to);
        const float by = to - value[c];
        if (by == 0) continue;
        /* The parabola says how much is won; what is won by less than rounding errors would go on for ever. */
        const float won = -by * (2 * slope[c] + by * h[c]);
        if (!(won > 1e-6f * h[c] * to * to)) continue;
        for (int64_t k = 0; k < n; k++) slope[k] += by * h[k];
        value[c] = to;
        codes[c] = (int16_t)code;
        changed = true;
    }
    return changed;
}

static void improve(const job *j, int64_t row) {
    const int64_t n = j->h->n;
    float *value = j->value + row * n, *slope = j->slope + row * n;
    const float *w = j->w + row * n;
    int16_t *codes = j->codes + row * n;
    memset(slope, 0, (size_t)n * sizeof *slope);
    for (int64_t c = 0; c < n; c++) {
        const float *h = j->h->h + c * n, d = value[c] - w[c];
        for (int64_t k = 0; k < n; k++) slope[k] += d * h[k];
        float same;
        codes[c] = (int16_t)fr_grid_round(j->q, row, c, value[c], &same);
    }
    for (int i = 0; i < j->sweeps && sweep(j, row, value, slope, codes); i++) {
    }
    fr_grid_put(j->q, row, codes);
}

static void improve_rows(void *arg, size_t item) {
    const job *j = arg;
    const int64_t first = (int64_t)item * ROWS, end = FR_MIN(first + ROWS, j->q->rows);
    for (int64_t r = first; r < end; r++) improve(j, r);
}

fr_status fr_descend(const fr_hessian *h, const float *w, int sweeps, fr_quantized *q,
                     fr_pool *pool) {
    FR_TRY(fr_grid_check(q->format));
    if (!h->h || h->rows <= 0 || h->n != q->cols)
        return fr_fail(FR_INVALID,
                       "Codes are made better by inputs of %lld values that were shown.",
                       (long long)q->cols);
    const size_t all = (size_t)(q->rows * q->cols);
    job j = {.h = h, .w = w, .q = q, .sweeps = sweeps};
    j.value = fr_alloc_array(FR_MEM_OTHER, all, sizeof *j.value);
    j.slope = fr_alloc_array(FR_MEM_OTHER, all, sizeof *j.slope);
    j.codes = fr_alloc_array(FR_MEM_OTHER, all, sizeof *j.codes);
    fr_status st = j.value && j.slope && j.codes ? FR_OK : FR_NOMEM;
    if (!st) {
        q->format->decode(q, 0, q->rows, j.value);
        fr_pool_run(pool, (size_t)((q->rows + ROWS - 1) / ROWS), improve_rows, &j);
    }
    fr_free(j.value);
    fr_free(j.slope);
    fr_free(j.codes);
    return st;
}
