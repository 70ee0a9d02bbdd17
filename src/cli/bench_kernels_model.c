/* bench_kernels_model.c: small graphs around one product, and timing them in turn. */
#include "cli/bench_kernels.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Values make no difference to a time, so few are drawn (or quantized) and repeated. */
enum { DRAWN = 1 << 16, DIFFERENT_ROWS = 128 };

/* ---- memory of a group ---- */

void *kb_memory(kb_group *g, size_t bytes) {
    void *p = g->memories < KB_MEMORY ? fr_alloc(FR_MEM_OTHER, bytes) : NULL;
    if (!p)
        fr_fail(FR_NOMEM, "There is no memory for the %zu bytes that %s wants.", bytes, g->title);
    if (p) g->memory[g->memories++] = p;
    return p;
}

void kb_group_free(kb_group *g) {
    for (int i = 0; i < g->models; i++) {
        for (int j = 0; j < g->model[i].copies; j++) fr_session_free(g->model[i].session[j]);
        fr_graph_free(g->model[i].g);
    }
    for (int i = 0; i < g->memories; i++) fr_free(g->memory[i]);
    g->models = g->runs = g->memories = 0;
}

/* Fills `bytes` with copies of the first `have`. */
static void repeat(uint8_t *p, size_t have, size_t bytes) {
    for (size_t n; have < bytes; have += n) {
        n = FR_MIN(have, bytes - have);
        memcpy(p + have, p, n);
    }
}

fr_status kb_random(kb_group *g, fr_dtype type, int rank, const int64_t *dim, fr_tensor *out) {
    static float drawn[DRAWN];
    *out = fr_tensor_make(type, rank, dim, NULL);
    size_t bytes = fr_bytes(out), one = (size_t)fr_dtype_get(type)->bytes;
    size_t n = FR_MIN(bytes / one, (size_t)DRAWN);
    out->data = kb_memory(g, bytes);
    if (!out->data) return FR_NOMEM;
    fr_random_normal(7, fr_random_stream("bench/kernels"), 0, drawn, n);
    FR_TRY(fr_encode(type, drawn, n, out->data));
    repeat(out->data, n * one, bytes);
    return FR_OK;
}

/* ---- models ---- */

fr_status kb_model_of(kb_group *g, fr_graph *graph, int copies, kb_model **out) {
    if (g->models == KB_MODELS || copies > KB_COPIES) {
        fr_graph_free(graph);
        return fr_fail(FR_INVALID, "%s has too many models.", g->title);
    }
    kb_model *m = *out = &g->model[g->models++];
    *m = (kb_model){.g = graph};
    FR_TRY(fr_graph_check(graph));
    while (m->copies < copies) {
        FR_TRY(fr_session_new_with(graph, &(fr_session_opts){.pool = g->pool},
                                   &m->session[m->copies]));
        m->copies++;
    }
    return FR_OK;
}

/* A weight of few rows, quantized and repeated down to n rows. */
static fr_status weight_parts(kb_group *g, const fr_qformat *f, int64_t n, int64_t k,
                              fr_tensor *part) {
    fr_tensor x;
    fr_quantized q;
    FR_TRY(kb_random(g, FR_F32, 2, (int64_t[]){DIFFERENT_ROWS, k}, &x));
    FR_TRY(f->describe(f, n, k, part));
    FR_TRY(fr_quantize(f, NULL, x.data, DIFFERENT_ROWS, k, &q));
    fr_status st = FR_OK;
    for (int i = 0; i < f->parts && !st; i++) {
        part[i].data = kb_memory(g, fr_bytes(&part[i]));
        if (!part[i].data) {
            st = FR_NOMEM;
            break;
        }
        size_t have = FR_MIN(fr_bytes(&q.part[i]), fr_bytes(&part[i]));
        memcpy(part[i].data, q.part[i].data, have);
        repeat(part[i].data, have, fr_bytes(&part[i]));
    }
    fr_quantized_free(&q);
    return st;
}

/* act(x wT) + (x downT) upT as one node, or each step as a node of its own. */
static fr_val product_of(fr_graph *g, const kb_product *p, fr_val x, const fr_qweight *w) {
    fr_qlinear_opts o = {.out = p->type};
    fr_val down = FR_NONE, up = FR_NONE;
    if (p->rank) {
        o.by = fr_param(g, "by", FR_F32, 1, (int64_t[]){p->k});
        down = fr_param(g, "down", FR_BF16, 2, (int64_t[]){p->rank, p->k});
        up = fr_param(g, "up", FR_BF16, 2, (int64_t[]){p->n, p->rank});
    }
    if (!p->apart) {
        o.down = down;
        o.up = up;
        return fr_qlinear(g, x, w, &o, NULL);
    }
    fr_quantize_opts q = {.kind = FR_ROWS_INT4, .by = o.by};
    o.by = FR_NONE;
    fr_val rows = fr_quantize_rows(g, x, &q, NULL);
    fr_val low = fr_linear(g, x, down, FR_NONE, FR_NONE, FR_FN_NONE);
    fr_val y = fr_qlinear(g, rows, w, &o, NULL);
    return fr_add(g, y, fr_linear(g, low, up, FR_NONE, FR_NONE, FR_FN_NONE));
}

fr_status kb_model_product(kb_group *group, const kb_product *p, kb_model **out) {
    const fr_qformat *f = p->format ? fr_format_find(p->format) : NULL;
    fr_tensor part[FR_PARTS];
    fr_qweight w = {.format = p->format, .n = p->n, .k = p->k};
    if (f) FR_TRY(weight_parts(group, f, p->n, p->k, part));
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", p->type, 2, (int64_t[]){1, p->k}), y;
    for (int i = 0; f && i < f->parts; i++)
        w.part[i] = fr_param(g, f->part_name[i], part[i].dtype, part[i].rank, part[i].dim);
    if (f)
        y = product_of(g, p, x, &w);
    else
        y = fr_linear(g, x, fr_param(g, "weight", p->type, 2, (int64_t[]){p->n, p->k}), FR_NONE,
                      FR_NONE, FR_FN_NONE);
    fr_output(g, "y", y);
    FR_TRY(kb_model_of(group, g, FR_MAX_OF(p->copies, 1), out));
    for (int copy = 0; copy < (*out)->copies; copy++) {
        fr_session *s = (*out)->session[copy];
        for (int i = 0; f && i < f->parts; i++) FR_TRY(fr_session_set(s, w.part[i], &part[i]));
        FR_TRY(fr_session_init_random(s, 1, 0.02f));
    }
    for (int i = 0; f && i < f->parts; i++) (*out)->weight_bytes += (double)fr_bytes(&part[i]);
    return FR_OK;
}

kb_run *kb_run_add(kb_group *g, kb_model *model, int64_t m, int64_t n, int64_t k, const char *fmt,
                   ...) {
    va_list args;
    kb_run *r = &g->run[g->runs++];
    *r = (kb_run){.m = m, .n = n, .k = k, .model = model, .beside = -1};
    va_start(args, fmt);
    vsnprintf(r->what, sizeof r->what, fmt, args);
    va_end(args);
    return r;
}

/* ---- timing ---- */

static fr_status once(kb_run *r) {
    kb_model *m = r->model;
    fr_tensor in[KB_INPUTS];
    m->at = (m->at + 1) % m->copies;
    r->turn = (r->turn + 1) % FR_MAX_OF(r->turns, 1);
    for (int i = 0; i < r->ins; i++) {
        in[i] = r->in[i];
        in[i].data = (uint8_t *)in[i].data + (size_t)r->turn * r->step[i];
    }
    return fr_session_run(m->session[m->at], in, r->ins);
}

/* One thread is timed by its processor time: what else the machine does then counts less. */
static double clock_of(const kb_group *g) {
    return fr_pool_threads(g->pool) == 1 ? fr_thread_cpu() : fr_now();
}

static fr_status sample(const kb_group *g, kb_run *r) {
    double start = clock_of(g);
    FR_TRY(once(r));
    r->sample[r->samples++] = clock_of(g) - start;
    return FR_OK;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, by_size);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Weights are packed in the first run of a session. A short run is repeated within its turn, after one that
 * is not counted: the turn of another has emptied the caches. */
fr_status kb_measure(kb_group *g) {
    enum { ROUNDS = 3, REPEATS = 8 };
    const double brief = 2e-3, seconds = g->quick ? 0.1 : 1;
    for (int i = 0; i < g->runs; i++) {
        kb_run *r = &g->run[i];
        for (int copy = 0; copy < r->model->copies; copy++) FR_TRY(once(r));
        FR_TRY(fr_interrupt_check());
    }
    double start = fr_now();
    for (int round = 0; round < ROUNDS || fr_now() - start < seconds; round++)
        for (int i = 0; i < g->runs; i++) {
            kb_run *r = &g->run[i];
            FR_TRY(fr_interrupt_check());
            if (r->samples + REPEATS > KB_SAMPLES) continue;
            FR_TRY(sample(g, r));
            if (r->sample[r->samples - 1] > brief) continue;
            r->samples--;
            for (int j = 0; j < REPEATS; j++) FR_TRY(sample(g, r));
        }
    for (int i = 0; i < g->runs; i++)
        g->run[i].seconds = median(g->run[i].sample, g->run[i].samples);
    return FR_OK;
}
