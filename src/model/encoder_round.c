/* encoder_round.c: one layer of an encoder in few bits.
 *
 * Of a linear y = W x + b the inputs x come through what is rounded already, and d is what its outputs then lack of
 * those that the original has, residual and all. With C = cov(x) and D = cov(d, x) the best linear is W + D C^-1
 * (damped; Frantar and Alistarh's OBC rounds towards such a target, too), GPTQ rounds that by C to Q, and the bias
 * becomes b + mean(d) + (W - Q) mean(x): then the outputs are right on average, and only what varies can be wrong. So C
 * is the covariance and not the sum of squares; a hundredth of the mean's stays in it, for inputs that the texts never
 * moved. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/encoder_parts.h"

enum { PLACES = 4, SWEEPS = 8, RATIOS = 8 };

#define DAMP 0.1f /* of the mean of C's diagonal, where W is moved */

/* Linears that read the same value. */
static const encoder_place places[PLACES] = {{0, 3}, {3, 1}, {4, 1}, {5, 1}};

/* ---- the target ---- */

typedef struct moving {
    const float *l; /* [n, n]: L LT = C, damped */
    float *lack;    /* a linear's D; becomes D C^-1 + W */
    const float *w;
    int64_t n;
} moving;

static void move_row(void *arg, size_t row) {
    const moving *m = arg;
    float *d = m->lack + (int64_t)row * m->n;
    const float *w = m->w + (int64_t)row * m->n;
    for (int64_t i = 0; i < m->n; i++) {
        const float *l = m->l + i * m->n;
        float sum = d[i];
        for (int64_t k = 0; k < i; k++) sum -= l[k] * d[k];
        d[i] = sum / l[i];
    }
    for (int64_t i = m->n - 1; i >= 0; i--) {
        const float *l = m->l + i * m->n;
        d[i] /= l[i];
        for (int64_t k = 0; k < i; k++) d[k] -= d[i] * l[k];
    }
    for (int64_t i = 0; i < m->n; i++) d[i] += w[i];
}

/* lack of each linear becomes the weight that is to be rounded. */
static fr_status aim(const encoder_job *j, const quant_layer *now, encoder_place p,
                     encoder_sums *s) {
    const int64_t n = s->n;
    double mean = 0;
    bool positive = false;
    for (int64_t c = 0; c < n; c++) mean += (double)s->x.h[c * n + c] / (double)n;
    float *l = fr_alloc_array(FR_MEM_OTHER, (size_t)(n * n), sizeof *l);
    if (!l) return FR_NOMEM;
    memcpy(l, s->x.h, (size_t)(n * n) * sizeof *l);
    for (int64_t c = 0; c < n; c++) l[c * n + c] += DAMP * (float)mean;
    fr_status st = fr_cholesky(l, n, j->o->pool, &positive);
    for (int i = 0; i < p.count && !st; i++) {
        const float *w = encoder_param(j, now, p.first + i, "weight")->data;
        moving m = {l, s->lack[i], w, n};
        if (positive)
            fr_pool_run(j->o->pool, (size_t)s->rows[i], move_row, &m);
        else
            memcpy(s->lack[i], w, (size_t)(s->rows[i] * n) * sizeof *w);
    }
    fr_free(l);
    return st;
}

/* ---- rounding ---- */

typedef struct rounding {
    encoder_job *j;
    fr_layer_report *report;
    double weights, wrong; /* squares of weights, and of what is wrong with them */
    double share;          /* sum of the linears' shares of wrong outputs */
    int seen;
} rounding;

/* tr(a C aT) */
static fr_status spread(encoder_job *j, const float *a, int64_t rows, const encoder_sums *s,
                        float *room, double *out) {
    const fr_gemm g = {.m = rows,
                       .n = s->n,
                       .k = s->n,
                       .a = a,
                       .lda = s->n,
                       .a_type = FR_F32,
                       .b = s->x.h,
                       .ldb = s->n,
                       .b_type = FR_F32,
                       .c = room,
                       .ldc = s->n,
                       .c_type = FR_F32};
    FR_TRY(encoder_multiply(j, &g));
    *out = 0;
    for (int64_t i = 0; i < rows * s->n; i++) *out += (double)a[i] * (double)room[i];
    return FR_OK;
}

static double decibels(double whole, double error) {
    return error > 0 ? 10 * log10(whole / error) : 999;
}

/* d: the target less what it was rounded to. */
static fr_status report_outputs(rounding *r, const encoder_sums *s, const float *w, const float *d,
                                int64_t rows, int linear) {
    double whole, error;
    float *room = fr_alloc_array(FR_MEM_OTHER, (size_t)(rows * s->n), sizeof *room);
    fr_status st = room ? FR_OK : FR_NOMEM;
    if (!st) st = spread(r->j, w, rows, s, room, &whole);
    if (!st) st = spread(r->j, d, rows, s, room, &error);
    fr_free(room);
    if (st || !(whole > 0)) return st;
    const double db = decibels(whole, error);
    r->share += error / whole, r->seen++;
    if (r->report->linear[0] && db >= r->report->worst) return FR_OK;
    r->report->worst = db;
    snprintf(r->report->linear, sizeof r->report->linear, "%s", fr_encoder_linears[linear]);
    return FR_OK;
}

/* Squares of what is wrong with a row, weighed by how much each input varies. */
static double wrong_in_row(const fr_quantized *q, const fr_hessian *h, int64_t row,
                           const float *w) {
    double sum = 0;
    for (int64_t c = 0; c < q->cols; c++) {
        float value;
        fr_grid_round(q, row, c, w[c], &value);
        sum += (double)h->h[c * h->n + c] * (double)(w[c] - value) * (double)(w[c] - value);
    }
    return sum;
}

typedef struct ranging {
    const fr_hessian *h;
    const float *w;
    fr_quantized *q;
} ranging;

/* Scales were chosen once for all rows, so none of these can fail. */
static void range_row(void *arg, size_t row) {
    const ranging *r = arg;
    const int64_t at = (int64_t)row;
    const float *w = r->w + at * r->q->cols;
    float best = 1;
    double least = INFINITY;
    for (int i = 0; i < RATIOS; i++) {
        const float ratio = 1 - 0.04f * (float)i;
        if (fr_grid_choose(r->q, at, w, ratio)) continue;
        const double wrong = wrong_in_row(r->q, r->h, at, w);
        if (wrong < least) least = wrong, best = ratio;
    }
    (void)fr_grid_choose(r->q, at, w, best);
}

static fr_status choose_and_round(const rounding *r, const encoder_sums *s, const fr_gptq_way *way,
                                  const float *target, fr_quantized *q) {
    fr_pool *pool = r->j->o->pool;
    if (s && r->j->o->recipe.search)
        FR_TRY(fr_range_search(target, &s->x, q, pool, NULL));
    else
        FR_TRY(fr_range_plain(target, q, pool));
    if (way && !r->j->o->recipe.search) {
        ranging all = {&s->x, target, q};
        fr_pool_run(pool, (size_t)q->rows, range_row, &all);
    }
    if (!way) return fr_range_round(target, q, pool);
    FR_TRY(fr_gptq_round(way, target, q, pool));
    return fr_descend(&s->x, target, SWEEPS, q, pool);
}

/* The bias takes what is wrong on average, and the layer goes on with what was rounded. */
static fr_status take(rounding *r, const encoder_sums *s, int i, int linear, const float *target,
                      fr_tensor *w, fr_tensor *bias, encoder_linear *out) {
    const int64_t rows = w->dim[0], n = w->dim[1];
    float *x = w->data, *b = bias->data, *y;
    y = fr_alloc_array(FR_MEM_OTHER, (size_t)(rows * n), sizeof *y);
    if (!y) return FR_NOMEM;
    out->q.format->decode(&out->q, 0, rows, y);
    for (int64_t row = 0; row < rows; row++) {
        double more = s ? s->off[i][row] : 0;
        for (int64_t c = 0; c < n; c++) {
            const double d = (double)x[row * n + c] - (double)y[row * n + c];
            r->weights += (double)x[row * n + c] * (double)x[row * n + c], r->wrong += d * d;
            if (s) more += d * s->mean[c];
        }
        b[row] += (float)more;
    }
    fr_status st = FR_OK;
    if (s) {
        float *d = s->lack[i];
        for (int64_t k = 0; k < rows * n; k++) d[k] = target[k] - y[k];
        st = report_outputs(r, s, x, d, rows, linear);
        out->bias = fr_alloc_array(FR_MEM_OTHER, (size_t)rows, sizeof *out->bias);
        if (!out->bias) st = FR_NOMEM;
        if (!st) memcpy(out->bias, b, (size_t)rows * sizeof *b);
    }
    memcpy(x, y, (size_t)(rows * n) * sizeof *y);
    fr_free(y);
    return st;
}

/* What attention takes of tokens and gives back is summed with nothing else that could make errors smaller. */
static const fr_qformat *format_of(const rounding *r, int linear) {
    return r->j->o->recipe.mixed && (linear == 2 || linear == 3) ? &fr_int8_channel : r->j->format;
}

/* s and way NULL: to the nearest. */
static fr_status round_one(rounding *r, const quant_layer *now, encoder_sums *s,
                           const fr_gptq_way *way, int i, int linear, encoder_linear *out) {
    fr_tensor *w = encoder_param(r->j, now, linear, "weight"),
              *bias = encoder_param(r->j, now, linear, "bias");
    encoder_name(r->j, now->number, linear, "weight", out->name);
    const fr_qformat *f = format_of(r, linear);
    if (!fr_qlinear_takes(f->name, w->dim[0], w->dim[1])) return FR_OK;
    FR_TRY(fr_quantized_new(f, w->dim[0], w->dim[1], &out->q));
    const float *target = s ? s->lack[i] : w->data;
    fr_status st = choose_and_round(r, s, way, target, &out->q);
    if (!st) st = take(r, s, i, linear, target, w, bias, out);
    return st ? fr_fail_in(st, "%s", out->name) : FR_OK;
}

static fr_status round_place(rounding *r, const quant_layer *now, const quant_layer *was,
                             encoder_place p, encoder_linear *out) {
    encoder_job *j = r->j;
    encoder_sums s = {0};
    fr_gptq_way way = {0};
    fr_status st = FR_OK;
    const bool gptq = j->texts && j->o->recipe.gptq;
    if (j->texts) st = encoder_look(j, now, was, p, &s);
    if (!st && j->texts) st = aim(j, now, p, &s);
    if (!st && gptq) st = fr_gptq_prepare(&s.x, NULL, j->o->pool, &way);
    for (int i = 0; i < p.count && !st; i++)
        st = round_one(r, now, j->texts ? &s : NULL, gptq ? &way : NULL, i, p.first + i,
                       out + p.first + i);
    fr_session_params_changed(now->session);
    fr_gptq_free(&way);
    encoder_sums_free(&s);
    return st;
}

static fr_status round_layer(rounding *r, const quant_layer *now, const quant_layer *was,
                             encoder_linear *out) {
    const fr_quantizing *o = r->j->o;
    for (int i = 0; i < PLACES; i++) {
        if (o->on_progress) o->on_progress(o->arg, (double)now->number + (double)i / PLACES);
        FR_TRY(round_place(r, now, was, places[i], out));
        FR_TRY(fr_interrupt_check());
    }
    r->report->weights = decibels(r->weights, r->wrong);
    if (r->seen) r->report->outputs = decibels(r->seen, r->share);
    return r->j->texts ? encoder_advance(r->j, now) : FR_OK;
}

fr_status encoder_round(encoder_job *j, int64_t layer, encoder_linear *linear,
                        fr_layer_report *report, double *bits, double *values) {
    quant_layer now = {0}, was = {0};
    rounding r = {.j = j, .report = report};
    fr_status st = encoder_layer_open(j, layer, &now);
    if (!st && j->texts) st = encoder_layer_open(j, layer, &was);
    if (!st) st = round_layer(&r, &now, &was, linear);
    for (int i = 0; i < FR_ENCODER_LINEARS && !st; i++) {
        const fr_quantized *q = &linear[i].q;
        double one = 0;
        if (!q->format) continue;
        st = fr_format_bits(q->format, q->rows, q->cols, &one);
        *bits += one * (double)(q->rows * q->cols), *values += (double)(q->rows * q->cols);
    }
    quant_layer_close(&was);
    quant_layer_close(&now);
    return st;
}
