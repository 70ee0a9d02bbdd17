/* cholesky.c: see cholesky.h.
 *
 * Columns are done in blocks, from the left: a block of columns gives away what the finished ones left of it account
 * for (one product), its square on the diagonal is factored in f64, and the rows below are multiplied with the
 * inverse of that square (another product). So nearly all work is in products, and each value is the end of one
 * sum over the columns before. */
#include "quant/cholesky.h"

#include <math.h>
#include <string.h>

#include "op/op.h"

enum { B = 128 };

/* The square s [B, B] = L LT (lower half, in place) and inv = L^-1, in f64. */
static bool factor_square(double *s, double *inv, int64_t b) {
    for (int64_t j = 0; j < b; j++) {
        for (int64_t i = j; i < b; i++) {
            double x = s[i * B + j];
            for (int64_t k = 0; k < j; k++) x -= s[i * B + k] * s[j * B + k];
            if (i == j && !(x > 0 && isfinite(x))) return false;
            s[i * B + j] = i == j ? sqrt(x) : x / s[j * B + j];
        }
    }
    for (int64_t j = 0; j < b; j++)
        for (int64_t i = 0; i < b; i++) {
            double x = i == j;
            for (int64_t k = j; k < i; k++) x -= s[i * B + k] * inv[k * B + j];
            inv[i * B + j] = i < j ? 0 : x / s[i * B + i];
        }
    return true;
}

typedef struct work {
    float *a;
    int64_t n;
    fr_pool *pool;
    double *square, *inverse;
    float *small; /* [B, B]: the inverse */
    float *panel; /* [n, B] */
    void *scratch;
} work;

/* Rows from j on of columns j .. j + b: minus the products of the finished columns. */
static fr_gemm update_of(const work *w, int64_t j, int64_t b) {
    float *at = w->a + j * w->n;
    return (fr_gemm){.m = w->n - j,
                     .n = b,
                     .k = j,
                     .a = at,
                     .lda = w->n,
                     .a_type = FR_F32,
                     .b = at,
                     .ldb = w->n,
                     .tb = true,
                     .b_type = FR_F32,
                     .c = at + j,
                     .ldc = w->n,
                     .c_type = FR_F32,
                     .alpha = -1,
                     .residual = at + j,
                     .ldr = w->n,
                     .residual_type = FR_F32};
}

/* panel = rows below the square times its inverse, transposed */
static fr_gemm below_of(const work *w, int64_t j, int64_t b) {
    return (fr_gemm){.m = w->n - j - b,
                     .n = b,
                     .k = b,
                     .a = w->a + (j + b) * w->n + j,
                     .lda = w->n,
                     .a_type = FR_F32,
                     .b = w->small,
                     .ldb = B,
                     .tb = true,
                     .b_type = FR_F32,
                     .c = w->panel,
                     .ldc = B,
                     .c_type = FR_F32};
}

static size_t scratch_of(const work *w) {
    size_t bytes = 64;
    for (int64_t j = 0; j < w->n; j += B) {
        int64_t b = FR_MIN(B, w->n - j);
        fr_gemm up = update_of(w, j, b), below = below_of(w, j, b);
        if (j) bytes = FR_MAX_OF(bytes, fr_gemm_scratch(&up, w->pool));
        if (below.m) bytes = FR_MAX_OF(bytes, fr_gemm_scratch(&below, w->pool));
    }
    return bytes;
}

static bool block(const work *w, int64_t j) {
    int64_t b = FR_MIN(B, w->n - j), n = w->n;
    float *at = w->a + j * n + j;
    fr_gemm up = update_of(w, j, b), below = below_of(w, j, b);
    if (j) fr_gemm_run(&up, w->scratch, w->pool);
    for (int64_t r = 0; r < b; r++)
        for (int64_t c = 0; c <= r; c++) w->square[r * B + c] = (double)at[r * n + c];
    if (!factor_square(w->square, w->inverse, b)) return false;
    for (int64_t r = 0; r < b; r++)
        for (int64_t c = 0; c < b; c++) {
            if (c <= r) at[r * n + c] = (float)w->square[r * B + c];
            w->small[r * B + c] = (float)w->inverse[r * B + c];
        }
    if (!below.m) return true;
    fr_gemm_run(&below, w->scratch, w->pool);
    for (int64_t r = 0; r < below.m; r++)
        memcpy(at + (b + r) * n, w->panel + r * B, (size_t)b * sizeof(float));
    return true;
}

fr_status fr_cholesky(float *a, int64_t n, fr_pool *pool, bool *positive) {
    work w = {.a = a, .n = n, .pool = pool};
    *positive = false;
    w.square = fr_alloc(FR_MEM_OTHER, B * B * sizeof(double));
    w.inverse = fr_alloc(FR_MEM_OTHER, B * B * sizeof(double));
    w.small = fr_alloc(FR_MEM_OTHER, B * B * sizeof(float));
    w.panel = fr_alloc_array(FR_MEM_OTHER, (size_t)n, B * sizeof(float));
    if (w.square && w.inverse && w.small && w.panel)
        w.scratch = fr_alloc(FR_MEM_OTHER, scratch_of(&w));
    fr_status st = w.scratch ? FR_OK : FR_NOMEM;
    *positive = !st;
    for (int64_t j = 0; j < n && *positive; j += B) *positive = block(&w, j);
    fr_free(w.square);
    fr_free(w.inverse);
    fr_free(w.small);
    fr_free(w.panel);
    fr_free(w.scratch);
    return st;
}
