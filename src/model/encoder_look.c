/* encoder_look.c: a layer of an encoder as a graph, and what its linears' inputs and outputs say when texts go through
 * it: encoder_sums, from which encoder_round.c makes what is to be rounded. */
#include <stdio.h>
#include <string.h>

#include "model/encoder_parts.h"

enum { SAMPLES = 512 };

#define KEEP 0.01f /* of the mean's square */

/* ---- the layer as graphs ---- */

fr_status encoder_layer_open(const encoder_job *j, int64_t number, quant_layer *l) {
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

void encoder_name(const encoder_job *j, int64_t layer, int linear, const char *what, char *name) {
    snprintf(name, 160, "%sencoder.layer.%lld.%s.%s", fr_encoder_prefix(j->store), (long long)layer,
             fr_encoder_linears[linear], what);
}

fr_tensor *encoder_param(const encoder_job *j, const quant_layer *l, int linear, const char *what) {
    char name[160];
    encoder_name(j, l->number, linear, what, name);
    return quant_layer_find(l, name);
}

/* What flows into a linear, padded. */
static const fr_tensor *input_of(const encoder_job *j, const quant_layer *l, int linear) {
    char name[160];
    encoder_name(j, l->number, linear, "weight", name);
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

fr_status encoder_advance(encoder_job *j, const quant_layer *now) {
    quant_batch b = {.f = &j->now};
    while (quant_batch_next(&b)) {
        FR_TRY(run(j, now, &b));
        quant_batch_advance(&b, fr_session_output(now->session, "y")->data);
    }
    return FR_OK;
}

/* ---- what goes together ---- */

void encoder_sums_free(encoder_sums *s) {
    fr_hessian_free(&s->x);
    fr_free(s->mean);
    for (int i = 0; i < 3; i++) {
        fr_free(s->lack[i]);
        fr_free(s->off[i]);
    }
    *s = (encoder_sums){0};
}

static fr_status sums_new(const encoder_job *j, const quant_layer *l, encoder_place p,
                          encoder_sums *s) {
    const fr_tensor *w = encoder_param(j, l, p.first, "weight");
    s->n = w->dim[1];
    FR_TRY(fr_hessian_new(s->n, j->now.tokens, SAMPLES, true, &s->x));
    s->mean = fr_alloc_array(FR_MEM_OTHER, (size_t)s->n, sizeof *s->mean);
    if (!s->mean) return FR_NOMEM;
    memset(s->mean, 0, (size_t)s->n * sizeof *s->mean);
    for (int i = 0; i < p.count; i++) {
        s->rows[i] = encoder_param(j, l, p.first + i, "weight")->dim[0];
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

fr_status encoder_multiply(encoder_job *j, const fr_gemm *g) {
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
                          const quant_layer *was, int linear, int i, encoder_sums *s) {
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
    return encoder_multiply(j, &g);
}

/* All texts through both; what flows through the original goes on with the last place. */
static fr_status look(encoder_job *j, const quant_layer *now, const quant_layer *was,
                      encoder_place p, encoder_sums *s) {
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
static void finish(const encoder_job *j, encoder_place p, encoder_sums *s) {
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

fr_status encoder_look(encoder_job *j, const quant_layer *now, const quant_layer *was,
                       encoder_place p, encoder_sums *s) {
    FR_TRY(sums_new(j, now, p, s));
    FR_TRY(look(j, now, was, p, s));
    finish(j, p, s);
    return FR_OK;
}
