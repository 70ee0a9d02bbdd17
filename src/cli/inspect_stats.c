/* inspect_stats.c: the figures of a tensor's values.
 *
 * A tensor is cut into pieces of fixed size. Each gives count, mean and the sum of squared distances
 * from its mean; these are merged in order (Chan, Golub and LeVeque 1979), which is steady where the
 * sum of squares is not, and gives the same bits for any number of threads. */
#include "cli/inspect.h"

#include <math.h>

enum { PIECE = 16384, PIECES = 64 }; /* a multiple of every block; pieces at once */

typedef struct piece {
    double nans, infinities, finite, min, max, mean, squares;
} piece;

typedef struct work {
    const fr_tensor *t;
    size_t first, values; /* of this round */
    piece pieces[PIECES];
} work;

static piece look(const float *x, size_t n) {
    piece p = {.min = INFINITY, .max = -INFINITY};
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]))
            p.nans++;
        else if (isinf(x[i]))
            p.infinities++;
        else {
            p.finite++;
            sum += (double)x[i];
            p.min = fmin(p.min, (double)x[i]);
            p.max = fmax(p.max, (double)x[i]);
        }
    }
    p.mean = p.finite ? sum / p.finite : 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i])) p.squares += ((double)x[i] - p.mean) * ((double)x[i] - p.mean);
    return p;
}

static void look_at(void *arg, size_t i) {
    work *w = arg;
    float values[PIECE];
    const fr_dtype_info *info = fr_dtype_get(w->t->dtype);
    size_t at = w->first + i * PIECE, n = FR_MIN((size_t)PIECE, w->values - at);
    const uint8_t *data = w->t->data;
    fr_decode(w->t->dtype, data + at / (size_t)info->block * (size_t)info->bytes, n, values);
    w->pieces[i] = look(values, n);
}

static void merge(piece *a, const piece *b) {
    double n = a->finite + b->finite, apart = b->mean - a->mean;
    if (n > 0) {
        a->squares += b->squares + apart * apart * (a->finite * b->finite / n);
        a->mean += apart * (b->finite / n);
    }
    a->finite = n;
    a->nans += b->nans;
    a->infinities += b->infinities;
    a->min = fmin(a->min, b->min);
    a->max = fmax(a->max, b->max);
}

fr_status fr_inspect_stats(const fr_tensor *t, fr_pool *pool, fr_tensor_stats *out) {
    work *w = fr_alloc(FR_MEM_OTHER, sizeof *w);
    if (!w) return FR_NOMEM;
    piece all = {.min = INFINITY, .max = -INFINITY};
    fr_status st = FR_OK;
    w->t = t;
    w->values = (size_t)fr_values(t);
    for (; st == FR_OK && w->first < w->values; w->first += (size_t)PIECE * PIECES) {
        size_t left = w->values - w->first,
               count = FR_MIN((left + PIECE - 1) / PIECE, (size_t)PIECES);
        fr_pool_run(pool, count, look_at, w);
        for (size_t i = 0; i < count; i++) merge(&all, &w->pieces[i]);
        st = fr_interrupt_check();
    }
    *out = (fr_tensor_stats){.values = (double)w->values, .finite = all.finite, .nans = all.nans};
    out->infinities = all.infinities;
    out->min = all.finite > 0 ? all.min : NAN;
    out->max = all.finite > 0 ? all.max : NAN;
    out->mean = all.finite > 0 ? all.mean : NAN;
    out->std = all.finite > 0 ? sqrt(all.squares / all.finite) : NAN;
    fr_free(w);
    return st;
}

fr_status fr_inspect_all_stats(const fr_inspect *in, fr_tensor_stats **out) {
    fr_pool *pool;
    size_t shown = FR_MIN(in->count, in->limit);
    double bytes = 0, done = 0;
    for (size_t i = 0; i < shown; i++)
        bytes += (double)fr_bytes(fr_store_shape(in->store, in->chosen[i]));
    FR_TRY(fr_cli_pool(&pool));
    *out = fr_alloc_array(FR_MEM_OTHER, shown, sizeof **out);
    if (!*out) return FR_NOMEM;
    fr_progress bar = fr_progress_start("reading values", bytes, "B");
    fr_status st = FR_OK;
    for (size_t i = 0; st == FR_OK && i < shown; i++) {
        const fr_tensor *t = fr_store_tensor(in->store, in->chosen[i]);
        st = t ? fr_inspect_stats(t, pool, &(*out)[i]) : FR_NOMEM;
        if (t) fr_progress_update(&bar, done += (double)fr_bytes(t));
    }
    fr_progress_end(&bar);
    if (st == FR_OK) return FR_OK;
    fr_free(*out);
    *out = NULL;
    return st;
}
