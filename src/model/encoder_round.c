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
#include "op/op.h"

enum { SAMPLES = 512, PLACES = 4, SWEEPS = 8, RATIOS = 8 };

#define KEEP 0.01f /* of the mean's square */
#define DAMP 0.1f  /* of the mean of C's diagonal, where W is moved */

/* Linears that read the same value. */
static const struct place { int first, count; } places[PLACES] = {{0, 3}, {3, 1}, {4, 1}, {5, 1}};

/* ---- the layer as graphs ---- */

static fr_status build(const encoder_job *j, int64_t number, quant_layer *l) {
    fr_graph *g = l->graph = fr_graph_new();
    l->number = number;
    if (!g) return FR_NOMEM;
    const fr_encoder_opts o = {.weights = FR_F32, .store = j->store};
    fr_val sums[FR_ENCODER_LINEARS];
    fr_val x = fr_input(g, "x", FR_F32, 3, (int64_t[]){1, 16, j->m->width});
    fr_val length = fr_input(g, "length", FR_I32, 1, (int64_t[]){1});
    fr_output(g, "y", fr_encoder_layer(g, j->m, &o, number, x, length, sums));
    for (int i = 0; i < FR_ENCODER_LINEARS; i++) {
        char name[16];
        snprintf(name, sizeof name, "sum.%d", i);
        fr_output(g, name, sums[i]);
    }
    FR_TRY(fr_taps_add(g, &l->taps));
    FR_TRY(
        fr_session_new_with(g, &(fr_session_opts){.pool = j->o->pool, .train = true}, &l->session));
    FR_TRY(fr_session_load(l->session, j->store));
    return fr_session_make_writable(l->session);
}

static const float *sum_of(const quant_layer *l, int linear) {
    char name[16];
    snprintf(name, sizeof name, "sum.%d", linear);
    return fr_session_output(l->session, name)->data;
}

static void name_of(const encoder_job *j, int64_t layer, int linear, const char *what, char *name) {
    snprintf(name, 160, "%sencoder.layer.%lld.%s.%s", fr_encoder_prefix(j->store), (long long)layer,
             fr_encoder_linears[linear], what);
}

static fr_tensor *param(const encoder_job *j, const quant_layer *l, int linear, const char *what) {
    char name[160];
    name_of(j, l->number, linear, what, name);
    return quant_layer_find(l, name);
}

/* What flows into a linear, padded. */
static const fr_tensor *input_of(const encoder_job *j, const quant_layer *l, int linear) {
    char name[160];
    name_of(j, l->number, linear, "weight", name);
    const fr_tap *t = fr_taps_find(&l->taps, FR_TAP_LINEAR, name);
    return t ? fr_taps_read(&l->taps, (size_t)(t - l->taps.tap), l->session) : NULL;
}

static fr_status run(encoder_job *j, const quant_layer *l, quant_batch *b) {
    const int64_t count = (int64_t)(b->end - b->begin);
    b->x = j->in;
    quant_batch_fill(b);
    for (int64_t i = 0; i < count; i++)
        j->length[i] = b->f->length[b->f->order[(int64_t)b->begin + i]];
    const fr_tensor in[] = {
        fr_tensor_make(FR_F32, 3, (int64_t[]){count, b->width, j->m->width}, b->x),
        fr_tensor_make(FR_I32, 1, &count, j->length)};
    FR_TRY(fr_interrupt_check());
    return fr_session_run(l->session, in, FR_COUNT(in));
}

/* ---- what goes together ---- */

typedef struct sums {
    int64_t n;
    fr_hessian x; /* C in the end, times 2 */
    double *mean; /* [n] of x */
    float
        *lack[3]; /* [rows, n], of each linear: the sum of d xT; 2 D, then the target, in the end */
    double *off[3]; /* [rows]: mean of d */
    int64_t rows[3];
} sums;

static void sums_free(sums *s) {
    fr_hessian_free(&s->x);
    fr_free(s->mean);
    for (int i = 0; i < 3; i++) {
        fr_free(s->lack[i]);
        fr_free(s->off[i]);
    }
    *s = (sums){0};
}

static fr_status sums_new(const encoder_job *j, const quant_layer *l, struct place p, sums *s) {
    const fr_tensor *w = param(j, l, p.first, "weight");
    s->n = w->dim[1];
    FR_TRY(fr_hessian_new(s->n, j->now.tokens, SAMPLES, true, &s->x));
    s->mean = fr_alloc_array(FR_MEM_OTHER, (size_t)s->n, sizeof *s->mean);
    if (!s->mean) return FR_NOMEM;
    memset(s->mean, 0, (size_t)s->n * sizeof *s->mean);
    for (int i = 0; i < p.count; i++) {
        s->rows[i] = param(j, l, p.first + i, "weight")->dim[0];
        const size_t all = (size_t)(s->rows[i] * s->n), rows = (size_t)s->rows[i];
        s->lack[i] = fr_alloc_array(FR_MEM_OTHER, all, sizeof(float));
        s->off[i] = fr_alloc_array(FR_MEM_OTHER, rows, sizeof(double));
        if (!s->lack[i] || !s->off[i]) return FR_NOMEM;
        memset(s->lack[i], 0, all * sizeof(float));
        memset(s->off[i], 0, rows * sizeof(double));
    }
    return FR_OK;
}

static void add_means(const float *x, int64_t rows, int64_t n, double *mean) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < n; c++) mean[c] += (double)x[r * n + c];
}

static fr_status multiply(encoder_job *j, const fr_gemm *g) {
    const size_t bytes = fr_gemm_scratch(g, j->o->pool) + 64;
    if (bytes > j->scratch_bytes) {
        fr_free(j->scratch);
        j->scratch = fr_alloc(FR_MEM_OTHER, bytes);
        j->scratch_bytes = j->scratch ? bytes : 0;
        if (!j->scratch) return FR_NOMEM;
    }
    fr_gemm_run(g, j->scratch, j->o->pool);
    return FR_OK;
}

/* d of one linear, padded as it comes: original less rounded. Overwrites what `was` gave. */
static fr_status add_lack(encoder_job *j, const quant_batch *b, const quant_layer *now,
                          const quant_layer *was, int linear, int i, sums *s) {
    const int64_t n = s->rows[i];
    const int64_t rows = quant_batch_gather(b, sum_of(was, linear), n, j->rows[1]);
    /* The rows of x stand in rows[0]: what is taken away is read where it lies. */
    int64_t at = 0;
    for (size_t t = b->begin; t < b->end; t++) {
        const float *y = sum_of(now, linear) + (int64_t)(t - b->begin) * b->width * n;
        const int64_t values = (int64_t)b->f->length[b->f->order[t]] * n;
        for (int64_t k = 0; k < values; k++) j->rows[1][at + k] -= y[k];
        at += values;
    }
    add_means(j->rows[1], rows, n, s->off[i]);
    const fr_gemm g = {.m = n,
                       .n = s->n,
                       .k = rows,
                       .a = j->rows[1],
                       .lda = n,
                       .ta = true,
                       .a_type = FR_F32,
                       .b = j->rows[0],
                       .ldb = s->n,
                       .b_type = FR_F32,
                       .c = s->lack[i],
                       .ldc = s->n,
                       .c_type = FR_F32,
                       .accumulate = true};
    return multiply(j, &g);
}

/* All texts through both; what flows through the original goes on with the last place. */
static fr_status look(encoder_job *j, const quant_layer *now, const quant_layer *was,
                      struct place p, sums *s) {
    quant_batch b = {.f = &j->now}, o = {.f = &j->was};
    while (quant_batch_next(&b) && quant_batch_next(&o)) {
        FR_TRY(run(j, was, &o));
        FR_TRY(run(j, now, &b));
        const fr_tensor *x = input_of(j, now, p.first);
        if (!x || x->dtype != FR_F32 || !fr_is_contiguous(x))
            return fr_fail(FR_UNSUPPORTED, "What flows into %s cannot be seen.",
                           fr_encoder_linears[p.first]);
        const int64_t rows = quant_batch_gather(&b, x->data, s->n, j->rows[0]);
        add_means(j->rows[0], rows, s->n, s->mean);
        FR_TRY(fr_hessian_add(&s->x, j->rows[0], rows, j->o->pool));
        for (int i = 0; i < p.count; i++) FR_TRY(add_lack(j, &b, now, was, p.first + i, i, s));
        if (p.first + p.count == FR_ENCODER_LINEARS)
            quant_batch_advance(&o, fr_session_output(was->session, "y")->data);
    }
    return FR_OK;
}

/* Sums become C and D, both times 2 as GPTQ has it. */
static void finish(const encoder_job *j, struct place p, sums *s) {
    const double n = s->x.rows;
    fr_hessian_finish(&s->x, j->o->pool);
    for (int64_t c = 0; c < s->n; c++) s->mean[c] /= n;
    for (int i = 0; i < p.count; i++)
        for (int64_t r = 0; r < s->rows[i]; r++) {
            float *row = s->lack[i] + r * s->n;
            s->off[i][r] /= n;
            for (int64_t c = 0; c < s->n; c++)
                row[c] = (float)(2 * ((double)row[c] / n - s->off[i][r] * s->mean[c]));
        }
    for (int64_t r = 0; r < s->n; r++)
        for (int64_t c = 0; c < s->n; c++)
            s->x.h[r * s->n + c] -= (float)(2 * (1 - (double)KEEP) * s->mean[r] * s->mean[c]);
    double mean = 0;
    for (int64_t c = 0; c < s->n; c++) mean += (double)s->x.h[c * s->n + c] / (double)s->n;
    for (int64_t c = 0; c < s->n; c++) s->x.h[c * s->n + c] += (float)(0.01 * mean);
}

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
static fr_status aim(const encoder_job *j, const quant_layer *now, struct place p, sums *s) {
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
        const float *w = param(j, now, p.first + i, "weight")->data;
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
static fr_status spread(encoder_job *j, const float *a, int64_t rows, const sums *s, float *room,
                        double *out) {
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
    FR_TRY(multiply(j, &g));
    *out = 0;
    for (int64_t i = 0; i < rows * s->n; i++) *out += (double)a[i] * (double)room[i];
    return FR_OK;
}

static double decibels(double whole, double error) {
    return error > 0 ? 10 * log10(whole / error) : 999;
}

/* d: the target less what it was rounded to. */
static fr_status report_outputs(rounding *r, const sums *s, const float *w, const float *d,
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

static fr_status choose_and_round(const rounding *r, const sums *s, const fr_gptq_way *way,
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
static fr_status take(rounding *r, const sums *s, int i, int linear, const float *target,
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
static fr_status round_one(rounding *r, const quant_layer *now, sums *s, const fr_gptq_way *way,
                           int i, int linear, encoder_linear *out) {
    fr_tensor *w = param(r->j, now, linear, "weight"), *bias = param(r->j, now, linear, "bias");
    name_of(r->j, now->number, linear, "weight", out->name);
    const fr_qformat *f = format_of(r, linear);
    if (!fr_qlinear_takes(f->name, w->dim[0], w->dim[1])) return FR_OK;
    FR_TRY(fr_quantized_new(f, w->dim[0], w->dim[1], &out->q));
    const float *target = s ? s->lack[i] : w->data;
    fr_status st = choose_and_round(r, s, way, target, &out->q);
    if (!st) st = take(r, s, i, linear, target, w, bias, out);
    return st ? fr_fail_in(st, "%s", out->name) : FR_OK;
}

static fr_status round_place(rounding *r, const quant_layer *now, const quant_layer *was,
                             struct place p, encoder_linear *out) {
    encoder_job *j = r->j;
    sums s = {0};
    fr_gptq_way way = {0};
    fr_status st = FR_OK;
    const bool gptq = j->texts && j->o->recipe.gptq;
    if (j->texts) st = sums_new(j, now, p, &s);
    if (!st && j->texts) st = look(j, now, was, p, &s);
    if (!st && j->texts) {
        finish(j, p, &s);
        st = aim(j, now, p, &s);
    }
    if (!st && gptq) st = fr_gptq_prepare(&s.x, NULL, j->o->pool, &way);
    for (int i = 0; i < p.count && !st; i++)
        st = round_one(r, now, j->texts ? &s : NULL, gptq ? &way : NULL, i, p.first + i,
                       out + p.first + i);
    fr_session_params_changed(now->session);
    fr_gptq_free(&way);
    sums_free(&s);
    return st;
}

static fr_status advance(encoder_job *j, const quant_layer *now) {
    quant_batch b = {.f = &j->now};
    while (quant_batch_next(&b)) {
        FR_TRY(run(j, now, &b));
        quant_batch_advance(&b, fr_session_output(now->session, "y")->data);
    }
    return FR_OK;
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
    return r->j->texts ? advance(r->j, now) : FR_OK;
}

fr_status encoder_round(encoder_job *j, int64_t layer, encoder_linear *linear,
                        fr_layer_report *report, double *bits, double *values) {
    quant_layer now = {0}, was = {0};
    rounding r = {.j = j, .report = report};
    fr_status st = build(j, layer, &now);
    if (!st && j->texts) st = build(j, layer, &was);
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
