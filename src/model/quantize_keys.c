/* quantize_keys.c: alpha and beta for keys: those that make the least error in scores.
 *
 * Keys k become k / s, in few bits k^, and queries q become s q; so scores go wrong by sum_i q_i s_i (k^ - k / s)_i.
 * Its square, summed over the queries that a key may meet, is a form of the error with G = sum q qT, which is summed
 * once. Tried are no change, (i/20, 0) and (i/20, 1 - i/20), i = 1 .. 19. */
#include <math.h>
#include <string.h>

#include "model/quantize_parts.h"
#include "model/smooth.h"

typedef struct trial {
    const fr_decoder *m;
    float top; /* 15 or 255 */
    const fr_hessian *keys;
    double *g; /* [kv_heads, dim, dim] */
    float *by; /* [kv_heads, dim] */
} trial;

static void sum_queries(const trial *t, const fr_hessian *queries) {
    int64_t dim = t->m->head_dim, group = t->m->heads / t->m->kv_heads;
    for (int64_t r = 0; r < queries->samples; r++)
        for (int64_t h = 0; h < t->m->heads; h++) {
            const float *q = queries->sample + r * queries->n + h * dim;
            double *g = t->g + h / group * dim * dim;
            for (int64_t i = 0; i < dim; i++)
                for (int64_t j = 0; j < dim; j++) g[i * dim + j] += (double)q[i] * (double)q[j];
        }
}

/* What one key is wrong by, times s. */
static void wrong(const trial *t, const float *k, const float *by, double *out) {
    float lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < t->m->head_dim; i++) {
        float x = k[i] / by[i];
        lo = fminf(lo, x);
        hi = fmaxf(hi, x);
    }
    float step = (hi - lo) / t->top;
    for (int64_t i = 0; i < t->m->head_dim; i++) {
        float x = k[i] / by[i];
        float near = step > 0 ? rintf((x - lo) / step) * step + lo : lo;
        out[i] = (double)(near - x) * (double)by[i];
    }
}

static double error_of(const trial *t) {
    int64_t dim = t->m->head_dim;
    double sum = 0, d[2 * FR_ROPE_PAIRS];
    for (int64_t r = 0; r < t->keys->samples; r++)
        for (int64_t h = 0; h < t->m->kv_heads; h++) {
            const double *g = t->g + h * dim * dim;
            wrong(t, t->keys->sample + r * t->keys->n + h * dim, t->by + h * dim, d);
            for (int64_t i = 0; i < dim; i++) {
                double row = 0;
                for (int64_t j = 0; j < dim; j++) row += g[i * dim + j] * d[j];
                sum += d[i] * row;
            }
        }
    return sum;
}

static void try_all(const trial *t, const fr_hessian *queries, double *alpha, double *beta) {
    double least = INFINITY;
    for (int i = 0; i < 20; i++)
        for (int both = 0; both < (i ? 2 : 1); both++) {
            double a = i / 20.0, b = both ? 1 - a : 0;
            fr_smooth_opts o = {.alpha = a, .beta = b};
            fr_key_factors(t->m, &o, t->keys->most, queries->most, t->by);
            double error = error_of(t);
            if (!(error < least)) continue;
            least = error;
            *alpha = a, *beta = b;
        }
}

fr_status quant_keys_choose(const fr_decoder *m, int bits, const fr_hessian *keys,
                            const fr_hessian *queries, double *alpha, double *beta) {
    size_t n = (size_t)(m->kv_heads * m->head_dim);
    trial t = {.m = m, .top = bits == 8 ? 255 : 15, .keys = keys};
    *alpha = *beta = 0;
    if (m->head_dim > 2 * FR_ROPE_PAIRS)
        return fr_fail(FR_UNSUPPORTED, "Heads of %lld values are too wide to search over.",
                       (long long)m->head_dim);
    t.g = fr_alloc(FR_MEM_OTHER, n * (size_t)m->head_dim * sizeof *t.g);
    t.by = fr_alloc(FR_MEM_OTHER, n * sizeof *t.by);
    fr_status st = t.g && t.by ? FR_OK : FR_NOMEM;
    if (!st) {
        sum_queries(&t, queries);
        try_all(&t, queries, alpha, beta);
    }
    fr_free(t.g);
    fr_free(t.by);
    return st;
}
