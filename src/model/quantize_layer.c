/* quantize_layer.c: one layer: the passes in the order of the paper, then ranges and rounding, linear by linear. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/layer_weights.h"
#include "model/quantize_parts.h"
#include "model/reorder.h"
#include "model/rotate.h"
#include "model/smooth.h"

enum { SAMPLES = 512, KEY_SAMPLES = 256 };

/* How a layer's time is shared out, for the progress: looking, summing, rounding. */
enum { LOOK = 30, SUM = 50, ALL = 100 };

typedef struct making {
    const quant_flow *f;
    const quant_steps *s;
    const fr_quantize_recipe *r;
    quant_layer *l;
    quant_result *out;
    fr_hessian *sums;  /* [slots] */
    fr_hessian **seen; /* those that are wanted */
    double error, whole;
    int from, to; /* of ALL: the stage */
} making;

bool fr_quantize_wants_texts(const fr_quantize_recipe *r) {
    return r->gptq || r->search || r->reorder || r->keys != FR_KEYS_OFF || r->alpha > 0 ||
           r->beta > 0;
}

static void on_rows(void *arg, double share) {
    const making *m = arg;
    double part = m->from + (m->to - m->from) * share;
    if (m->s->on_progress) m->s->on_progress(m->s->arg, (double)m->l->number + part / ALL);
}

/* ---- seeing ---- */

static int64_t width_of(const making *m, const fr_tap *t) {
    return fr_values(&fr_value_of(m->l->graph, t->value)->desc) / 16; /* as built: 1 x 16 tokens */
}

static fr_status want(making *m, const fr_tap *t, int64_t samples, bool products) {
    if (m->seen[t->slot]) return FR_OK;
    FR_TRY(fr_hessian_new(width_of(m, t), m->f->tokens, samples, products, &m->sums[t->slot]));
    m->seen[t->slot] = &m->sums[t->slot];
    return FR_OK;
}

static void forget(making *m) {
    for (size_t i = 0; i < m->l->taps.slots; i++) {
        if (m->seen[i]) fr_hessian_free(m->seen[i]);
        m->seen[i] = NULL;
    }
}

static fr_status run(making *m, bool advance, int from, int to) {
    m->from = from, m->to = to;
    quant_looks k = {.sums = m->seen, .advance = advance, .on_rows = on_rows, .arg = m};
    return quant_flow_run(m->f, m->l, &k);
}

/* The tap of a linear by its name within the layer, or NULL. */
static const fr_tap *tap_of(const making *m, const char *linear) {
    char name[160];
    snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)m->l->number, linear);
    return fr_taps_find(&m->l->taps, FR_TAP_LINEAR, name);
}

static const fr_tap *tap_of_kind(const making *m, fr_tap_kind kind) {
    for (size_t i = 0; i < m->l->taps.count; i++)
        if (m->l->taps.tap[i].kind == kind) return &m->l->taps.tap[i];
    return NULL;
}

/* ---- passes ---- */

static fr_status rotate(making *m) {
    bool around = m->f->m->around; /* norms stand in the way: only heads turn */
    fr_rotate_opts o = {.fold = !around, .residual = !around, .heads = true};
    if (!m->r->rotate) return FR_OK;
    return fr_rotate(m->f->m, &o, m->l->list, m->l->count, m->l->number, m->f->pool);
}

/* Inputs in order of their magnitude; `most` follows them. */
static fr_status reorder(making *m, fr_place place, float *most) {
    const int64_t n = fr_place_inputs(m->f->m, place);
    int32_t *from = fr_alloc_array(FR_MEM_OTHER, (size_t)n, sizeof *from);
    float *before = fr_alloc_array(FR_MEM_OTHER, (size_t)n, sizeof *before);
    fr_status st = from && before ? FR_OK : FR_NOMEM;
    if (!st) st = fr_reorder(m->f->m, place, most, m->l->list, m->l->count, m->l->number, from);
    if (!st) {
        memcpy(before, most, (size_t)n * sizeof *most);
        for (int64_t i = 0; i < n; i++) most[i] = before[from[i]];
    }
    fr_free(from);
    fr_free(before);
    return st;
}

/* What leads back from the MLP, or from one of several. */
static const fr_tap *tap_back(const making *m, int64_t expert) {
    char name[64];
    if (!m->f->m->experts) return tap_of(m, "mlp.down_proj");
    snprintf(name, sizeof name, "block_sparse_moe.experts.%lld.w2", (long long)expert);
    return tap_of(m, name);
}

static fr_status want_back(making *m) {
    for (int64_t e = 0; e < fr_weights_mlps(m->f->m); e++) {
        const fr_tap *down = tap_back(m, e);
        if (!down)
            return fr_fail(FR_UNSUPPORTED, "Layer %lld has no MLP that can be smoothed.",
                           (long long)m->l->number);
        FR_TRY(want(m, down, 0, false));
    }
    return FR_OK;
}

/* The order of what flows into them, then its size; of all experts, one after the other. */
static fr_status change_back(making *m) {
    const int64_t hidden = m->f->m->hidden, all = fr_place_inputs(m->f->m, FR_PLACE_DOWN);
    fr_smooth_opts o = {.alpha = m->r->alpha, .beta = m->r->beta};
    float *most = fr_alloc_array(FR_MEM_OTHER, (size_t)all, sizeof *most);
    fr_status st = most ? FR_OK : FR_NOMEM;
    for (int64_t e = 0; e < fr_weights_mlps(m->f->m) && !st; e++)
        memcpy(most + e * hidden, m->seen[tap_back(m, e)->slot]->most,
               (size_t)hidden * sizeof *most);
    if (!st && m->r->reorder) st = reorder(m, FR_PLACE_DOWN, most);
    if (!st && (o.alpha > 0 || o.beta > 0))
        st = fr_smooth(m->f->m, FR_PLACE_DOWN, &o, most, m->l->list, m->l->count, m->l->number,
                       NULL);
    fr_free(most);
    return st;
}

static fr_status smooth_keys(making *m, const fr_hessian *keys, const fr_hessian *queries) {
    fr_layer_report *report = &m->out->report;
    fr_smooth_opts o = {.alpha = 0.5};
    if (m->r->keys == FR_KEYS_GRID)
        FR_TRY(quant_keys_choose(m->f->m, m->r->kv, keys, queries, &o.alpha, &o.beta));
    report->key_alpha = o.alpha, report->key_beta = o.beta;
    if (o.alpha == 0 && o.beta == 0) return FR_OK;
    return fr_smooth_keys(m->f->m, &o, keys->most, queries->most, m->l->list, m->l->count,
                          m->l->number, NULL);
}

static fr_status passes(making *m) {
    const fr_tap *o = tap_of(m, "self_attn.o_proj");
    const fr_tap *key = tap_of_kind(m, FR_TAP_KEY), *query = tap_of_kind(m, FR_TAP_QUERY);
    bool products = m->r->alpha > 0 || m->r->beta > 0, keys = m->r->keys != FR_KEYS_OFF;
    if (!products && !keys && !m->r->reorder) return FR_OK;
    if (!o || !key || !query)
        return fr_fail(FR_UNSUPPORTED, "Layer %lld has no attention that can be smoothed.",
                       (long long)m->l->number);
    if (m->r->reorder) FR_TRY(want(m, o, 0, false));
    if (m->r->reorder || products) FR_TRY(want_back(m));
    if (keys) FR_TRY(want(m, key, KEY_SAMPLES, false));
    if (keys) FR_TRY(want(m, query, KEY_SAMPLES, false));
    FR_TRY(run(m, false, 0, LOOK));
    if (m->r->reorder) FR_TRY(reorder(m, FR_PLACE_OUT, m->seen[o->slot]->most));
    if (keys) FR_TRY(smooth_keys(m, m->seen[key->slot], m->seen[query->slot]));
    if (m->r->reorder || products) FR_TRY(change_back(m));
    forget(m);
    fr_session_params_changed(m->l->session);
    return FR_OK;
}

/* ---- rounding ---- */

static double decibels(double whole, double error) {
    return error > 0 ? 10 * log10(whole / error) : 999;
}

static void report_outputs(making *m, const fr_tap *t, double whole, double error) {
    fr_layer_report *r = &m->out->report;
    double db = decibels(whole, error);
    m->whole += 1, m->error += error / whole; /* linears count alike, whatever their scale */
    if (r->linear[0] && db >= r->worst) return;
    char prefix[64];
    int skip = snprintf(prefix, sizeof prefix, "model.layers.%lld.", (long long)m->l->number);
    int length = (int)strlen(t->name) - skip - (int)strlen(".weight");
    r->worst = db;
    snprintf(r->linear, sizeof r->linear, "%.*s", length, t->name + skip);
}

static fr_status round_one(making *m, const fr_tap *t, const fr_gptq_way *way,
                           const fr_hessian *sum, const float *w, fr_quantized *q) {
    fr_pool *pool = m->f->pool;
    double whole, error;
    if (m->r->search)
        FR_TRY(fr_range_search(w, sum, q, pool, NULL));
    else
        FR_TRY(fr_range_plain(w, q, pool));
    if (m->r->gptq)
        FR_TRY(fr_gptq_round(way, w, q, pool));
    else
        FR_TRY(fr_range_round(w, q, pool));
    if (!sum) return FR_OK;
    FR_TRY(fr_output_error(w, q, sum, pool, &whole, &error));
    if (whole > 0) report_outputs(m, t, whole, error);
    return FR_OK;
}

/* How far the rounded weight is away; unless the original goes on through the layers, it becomes the parameter. */
static fr_status take_rounded(making *m, const fr_quantized *q, fr_tensor *w, double *whole,
                              double *error) {
    float *y = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(w), sizeof *y), *x = w->data;
    if (!y) return FR_NOMEM;
    q->format->decode(q, 0, q->rows, y);
    for (int64_t i = 0; i < fr_values(w); i++) {
        double d = (double)x[i] - (double)y[i];
        *whole += (double)x[i] * (double)x[i], *error += d * d;
    }
    if (!m->s->o->through_original) memcpy(x, y, (size_t)fr_values(w) * sizeof *y);
    fr_free(y);
    return FR_OK;
}

/* What chooses among experts stays as it is: it is small, and a choice that turns over cannot be made good. */
static bool is_router(const fr_tap *t) {
    return strstr(t->name, ".block_sparse_moe.gate.") != NULL;
}

static fr_status add_linear(making *m, const fr_tap *t, const fr_gptq_way *way,
                            const fr_hessian *sum, double *whole, double *error) {
    quant_result *out = m->out;
    fr_tensor *w = quant_layer_find(m->l, t->name);
    if (!w || w->rank != 2 || w->dtype != FR_F32)
        return fr_fail(FR_INVALID, "The weight '%s' is not there.", t->name);
    if (is_router(t) || !fr_qlinear_takes(m->s->format->name, w->dim[0], w->dim[1])) return FR_OK;
    fr_quantized *q = &out->q[out->count];
    double bits, n = (double)fr_values(w);
    FR_TRY(fr_quantized_new(m->s->format, w->dim[0], w->dim[1], q));
    out->name[out->count++] = t->name;
    fr_status st = round_one(m, t, way, sum, w->data, q);
    if (st) return fr_fail_in(st, "%s", t->name);
    FR_TRY(fr_format_bits(m->s->format, w->dim[0], w->dim[1], &bits));
    out->bits += bits * n, out->values += n;
    return take_rounded(m, q, w, whole, error);
}

static fr_status round_slot(making *m, size_t slot, double *whole, double *error) {
    const fr_taps *t = &m->l->taps;
    fr_hessian *sum = m->seen[slot];
    fr_gptq_way way = {0};
    fr_status st = FR_OK;
    if (sum) fr_hessian_finish(sum, m->f->pool);
    if (sum && m->r->gptq) st = fr_gptq_prepare(sum, NULL, m->f->pool, &way);
    for (size_t i = 0; i < t->count && !st; i++)
        if (t->tap[i].slot == slot && t->tap[i].kind == FR_TAP_LINEAR)
            st = add_linear(m, &t->tap[i], &way, sum, whole, error);
    fr_gptq_free(&way);
    if (sum) fr_hessian_free(sum);
    m->seen[slot] = NULL;
    return st ? st : fr_interrupt_check();
}

static fr_status round_all(making *m) {
    const fr_taps *t = &m->l->taps;
    bool texts = fr_quantize_wants_texts(m->r) && m->f->tokens > 0;
    double whole = 0, error = 0;
    for (size_t i = 0; i < t->count && texts; i++)
        if (t->tap[i].kind == FR_TAP_LINEAR) FR_TRY(want(m, &t->tap[i], SAMPLES, m->r->gptq));
    if (texts) FR_TRY(run(m, m->s->o->through_original, LOOK, LOOK + SUM));
    for (size_t i = 0; i < t->slots; i++) {
        FR_TRY(round_slot(m, i, &whole, &error));
        m->from = LOOK + SUM, m->to = texts && !m->s->o->through_original ? 90 : ALL;
        on_rows(m, (double)(i + 1) / (double)t->slots);
    }
    m->out->report.weights = decibels(whole, error);
    if (m->whole > 0) m->out->report.outputs = decibels(m->whole, m->error);
    if (!texts || m->s->o->through_original) return FR_OK;
    fr_session_params_changed(m->l->session);
    forget(m);
    return run(m, true, 90, ALL);
}

fr_status quant_layer_make(const quant_flow *f, const quant_steps *s, quant_layer *l,
                           quant_result *out) {
    making m = {.f = f, .s = s, .r = &s->o->recipe, .l = l, .out = out};
    size_t slots = l->taps.slots + 1;
    *out = (quant_result){0};
    m.sums = fr_alloc(FR_MEM_OTHER, slots * sizeof *m.sums);
    m.seen = fr_alloc(FR_MEM_OTHER, slots * sizeof *m.seen);
    out->q = fr_alloc(FR_MEM_OTHER, (l->taps.count + 1) * sizeof *out->q);
    out->name = fr_alloc(FR_MEM_OTHER, (l->taps.count + 1) * sizeof *out->name);
    fr_status st = m.sums && m.seen && out->q && out->name ? FR_OK : FR_NOMEM;
    if (!st) st = rotate(&m);
    if (!st) fr_session_params_changed(l->session);
    if (!st) st = passes(&m);
    if (!st) st = round_all(&m);
    if (m.seen) forget(&m);
    fr_free(m.sums);
    fr_free(m.seen);
    if (st) quant_result_free(out);
    return st;
}

void quant_result_free(quant_result *r) {
    for (size_t i = 0; r->q && i < r->count; i++) fr_quantized_free(&r->q[i]);
    fr_free(r->q);
    fr_free(r->name);
    *r = (quant_result){0};
}
