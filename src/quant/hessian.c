/* hessian.c: see hessian.h. Only strips of the upper half are multiplied: row block i with the columns from i on. */
#include "quant/hessian.h"

#include <math.h>
#include <string.h>

#include "op/op.h"

enum {
    STRIP = 256, /* rows of H that are summed at once */
    PIECE = 1024 /* rows of x in one sum */
};

double fr_hessian_bytes(int64_t n, int64_t samples) {
    double k = (double)n;
    return 4 * (k * k + k + (double)samples * k + STRIP * k) + 8 * PIECE * k;
}

fr_status fr_hessian_new(int64_t n, int64_t total, int64_t samples, bool products,
                         fr_hessian *out) {
    size_t square = 0, kept = 0;
    *out = (fr_hessian){.n = n, .room = FR_MIN(samples, total)};
    if (n < 1 || !fr_size_mul((size_t)n, (size_t)n, &square) ||
        !fr_size_mul(square, sizeof(float), &square) ||
        !fr_size_mul((size_t)n * sizeof(float), (size_t)FR_MAX_OF(out->room, 1), &kept))
        return fr_fail(FR_INVALID, "There are no sums over rows of %lld values.", (long long)n);
    out->every = out->room > 0 ? (double)total / (double)out->room : INFINITY;
    out->most = fr_alloc(FR_MEM_OTHER, (size_t)n * sizeof(float));
    out->sample = fr_alloc(FR_MEM_OTHER, kept);
    if (products) out->h = fr_alloc(FR_MEM_OTHER, square);
    if (out->most && out->sample && (out->h || !products)) return FR_OK;
    fr_hessian_free(out);
    return FR_NOMEM;
}

void fr_hessian_free(fr_hessian *h) {
    fr_free(h->h);
    fr_free(h->most);
    fr_free(h->sample);
    fr_free(h->scratch);
    *h = (fr_hessian){0};
}

/* ---- adding ---- */

static void look(fr_hessian *h, const float *x, int64_t rows) {
    for (int64_t r = 0; r < rows; r++, x += h->n) {
        for (int64_t c = 0; c < h->n; c++) h->most[c] = FR_MAX_OF(h->most[c], fabsf(x[c]));
        if (h->samples < h->room && h->rows + (double)r >= (double)h->samples * h->every)
            memcpy(h->sample + h->samples++ * h->n, x, (size_t)h->n * sizeof *x);
    }
}

typedef struct sum {
    float *to;
    const float *from;
    int64_t ld, cols;
} sum;

static void add_row(void *arg, size_t r) {
    const sum *s = arg;
    float *to = s->to + (int64_t)r * s->ld;
    const float *from = s->from + (int64_t)r * s->cols;
    for (int64_t c = 0; c < s->cols; c++) to[c] += from[c];
}

static fr_gemm strip_of(const fr_hessian *h, const float *x, int64_t rows, int64_t i) {
    return (fr_gemm){.m = FR_MIN(STRIP, h->n - i),
                     .n = h->n - i,
                     .k = rows,
                     .a = x + i,
                     .lda = h->n,
                     .ta = true,
                     .a_type = FR_F32,
                     .b = x + i,
                     .ldb = h->n,
                     .b_type = FR_F32,
                     .ldc = h->n - i,
                     .c_type = FR_F32};
}

/* Room for the sum of a strip, and behind it what the product needs. */
static fr_status make_room(fr_hessian *h, const float *x, int64_t rows, const fr_pool *pool) {
    fr_gemm g = strip_of(h, x, rows, 0);
    size_t strip = fr_round_up(STRIP * (size_t)h->n * sizeof(float), FR_ALIGN);
    size_t bytes = strip + fr_gemm_scratch(&g, pool);
    for (int64_t i = STRIP; i < h->n; i += STRIP) { /* a narrow one may be cut otherwise */
        g = strip_of(h, x, rows, i);
        bytes = FR_MAX_OF(bytes, strip + fr_gemm_scratch(&g, pool));
    }
    if (bytes <= h->scratch_bytes) return FR_OK;
    fr_free(h->scratch);
    h->scratch = fr_alloc(FR_MEM_OTHER, bytes);
    h->scratch_bytes = h->scratch ? bytes : 0;
    return h->scratch ? FR_OK : FR_NOMEM;
}

fr_status fr_hessian_add(fr_hessian *h, const float *x, int64_t rows, fr_pool *pool) {
    while (rows > 0) {
        int64_t now = FR_MIN(rows, PIECE);
        look(h, x, now);
        if (h->h) {
            FR_TRY(make_room(h, x, now, pool));
            size_t strip = fr_round_up(STRIP * (size_t)h->n * sizeof(float), FR_ALIGN);
            for (int64_t i = 0; i < h->n; i += STRIP) {
                fr_gemm g = strip_of(h, x, now, i);
                g.c = h->scratch;
                fr_gemm_run(&g, (char *)h->scratch + strip, pool);
                sum s = {h->h + i * h->n + i, h->scratch, h->n, g.n};
                fr_pool_run(pool, (size_t)g.m, add_row, &s);
            }
        }
        h->rows += (double)now;
        x += now * h->n;
        rows -= now;
    }
    return FR_OK;
}

/* ---- the end ---- */

static void finish_row(void *arg, size_t r) {
    const fr_hessian *h = arg;
    float by = (float)(2 / h->rows);
    for (int64_t c = (int64_t)r; c < h->n; c++) h->h[(int64_t)r * h->n + c] *= by;
}

/* Rows of the lower half, from columns of the upper one, which is done. */
static void mirror_row(void *arg, size_t r) {
    const fr_hessian *h = arg;
    for (int64_t c = 0; c < (int64_t)r; c++)
        h->h[(int64_t)r * h->n + c] = h->h[c * h->n + (int64_t)r];
}

void fr_hessian_finish(fr_hessian *h, fr_pool *pool) {
    if (!h->h || h->rows <= 0) return;
    fr_pool_run(pool, (size_t)h->n, finish_row, h);
    fr_pool_run(pool, (size_t)h->n, mirror_row, h);
    fr_free(h->scratch);
    h->scratch = NULL;
    h->scratch_bytes = 0;
}
