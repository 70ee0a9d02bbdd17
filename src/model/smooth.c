/* smooth.c: see smooth.h. */
#include "model/smooth.h"

#include <math.h>
#include <string.h>

/* ---- factors ---- */

static float factor(const fr_smooth_opts *o, float x, float w) {
    double s = pow((double)x, o->alpha) / pow((double)w, o->beta);
    float by = (float)s; /* what is finite and above 0 in double may not be as a float */
    return by > 0 && isfinite(by) && isfinite(1 / by) ? by : 1;
}

static void inverse(const float *by, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = 1 / by[i];
}

/* ---- places ---- */

typedef struct smoothing {
    fr_weights w;
    const fr_smooth_opts *o;
    const float *most;
    float *by, *back; /* s and 1 / s of every input */
} smoothing;

/* s from what is in `by`: the largest magnitudes of the columns. */
static void finish(const smoothing *s, int64_t first, int64_t n) {
    for (int64_t i = first; i < first + n; i++) s->by[i] = factor(s->o, s->most[i], s->by[i]);
    inverse(s->by + first, n, s->back + first);
}

static void shrink_norm(const smoothing *s, const fr_matrix *norm) {
    const float one = s->w.m->norm_plus_one ? 1 : 0;
    for (int64_t i = 0; i < norm->cols; i++)
        norm->data[i] = (norm->data[i] + one) * s->back[i] - one;
}

static fr_status smooth_qkv(const smoothing *s) {
    fr_attention_weights a;
    FR_TRY(fr_weights_attention(&s->w, &a));
    const fr_matrix *readers[] = {&a.q, &a.k, &a.v};
    for (size_t i = 0; i < FR_COUNT(readers); i++) fr_matrix_column_most(readers[i], s->by);
    finish(s, 0, s->w.m->width);
    for (size_t i = 0; i < FR_COUNT(readers); i++) fr_matrix_scale_columns(readers[i], s->by);
    shrink_norm(s, &a.norm);
    return FR_OK;
}

/* Both linears of all experts, and the router, one after the other. */
static fr_status each_reader(const smoothing *s, const fr_matrix *router,
                             void (*change)(const fr_matrix *, float *)) {
    if (router->data) change(router, s->by);
    for (int64_t e = 0; e < fr_weights_mlps(s->w.m); e++) {
        fr_mlp_weights p;
        FR_TRY(fr_weights_mlp(&s->w, e, &p));
        change(&p.gate, s->by);
        change(&p.up, s->by);
    }
    return FR_OK;
}

static void grow_columns(const fr_matrix *a, float *by) {
    fr_matrix_scale_columns(a, by);
}

static fr_status smooth_up(const smoothing *s) {
    fr_matrix norm, router;
    FR_TRY(fr_weights_mlp_front(&s->w, &norm, &router));
    FR_TRY(each_reader(s, &router, fr_matrix_column_most));
    finish(s, 0, s->w.m->width);
    FR_TRY(each_reader(s, &router, grow_columns));
    shrink_norm(s, &norm);
    return FR_OK;
}

static fr_status smooth_down(const smoothing *s) {
    const int64_t n = s->w.m->hidden;
    for (int64_t e = 0; e < fr_weights_mlps(s->w.m); e++) {
        fr_mlp_weights p;
        FR_TRY(fr_weights_mlp(&s->w, e, &p));
        fr_matrix_column_most(&p.down, s->by + e * n);
        finish(s, e * n, n);
        fr_matrix_scale_columns(&p.down, s->by + e * n);
        fr_matrix_scale_rows(&p.up, s->back + e * n);
    }
    return FR_OK;
}

/* The largest of a channel over the heads of a group, in the place of the first of them. */
static float over_group(const fr_decoder *m, const float *x, int64_t kv, int64_t at) {
    const int64_t group = m->heads / m->kv_heads;
    float most = 0;
    for (int64_t g = 0; g < group; g++) most = fmaxf(most, x[(kv * group + g) * m->head_dim + at]);
    return most;
}

static fr_status smooth_out(const smoothing *s) {
    const fr_decoder *m = s->w.m;
    const int64_t group = m->heads / m->kv_heads, dim = m->head_dim;
    fr_attention_weights a;
    FR_TRY(fr_weights_attention(&s->w, &a));
    fr_matrix_column_most(&a.o, s->by);
    for (int64_t i = 0; i < m->kv_heads * dim; i++) {
        float w = over_group(m, s->by, i / dim, i % dim);
        float by = factor(s->o, over_group(m, s->most, i / dim, i % dim), w);
        s->back[i] = 1 / by; /* of the rows of v */
        for (int64_t g = 0; g < group; g++) s->by[(i / dim * group + g) * dim + i % dim] = by;
    }
    fr_matrix_scale_columns(&a.o, s->by);
    fr_matrix_scale_rows(&a.v, s->back);
    return FR_OK;
}

static fr_status at_place(const smoothing *s, fr_place place) {
    switch (place) {
    case FR_PLACE_QKV: return smooth_qkv(s);
    case FR_PLACE_OUT: return smooth_out(s);
    case FR_PLACE_UP: return smooth_up(s);
    default: return smooth_down(s);
    }
}

fr_status fr_smooth(const fr_decoder *m, fr_place place, const fr_smooth_opts *o, const float *most,
                    const fr_named_tensor *weights, size_t count, int64_t layer, float *by) {
    const size_t n = (size_t)fr_place_inputs(m, place);
    smoothing s = {.w = {m, weights, count, layer}, .o = o, .most = most};
    s.by = fr_alloc(FR_MEM_OTHER, 2 * n * sizeof *s.by);
    if (!s.by) return FR_NOMEM;
    s.back = s.by + n;
    fr_status st = at_place(&s, place);
    if (!st && by) memcpy(by, s.by, n * sizeof *by);
    fr_free(s.by);
    return st;
}

/* ---- keys ---- */

/* The channel that turns with this one; itself when none does. */
static int64_t partner(const fr_decoder *m, bool interleaved, int64_t at) {
    const int64_t turned = 2 * fr_rotation_pairs(m), half = turned / 2;
    if (at >= turned) return at;
    if (interleaved) return at ^ 1;
    return at < half ? at + half : at - half;
}

/* Over the pair, and over the heads of a group or all of them. */
void fr_key_factors(const fr_decoder *m, const fr_smooth_opts *o, const float *keys,
                    const float *queries, float *by) {
    const int64_t dim = m->head_dim, kv_heads = m->kv_heads;
    for (int64_t i = 0; i < kv_heads * dim; i++) {
        float k = 0, q = 0;
        const int64_t pair[] = {i % dim, partner(m, o->interleaved, i % dim)};
        for (int64_t h = 0; h < kv_heads; h++)
            for (int p = 0; p < 2 && (m->head_norm || h == i / dim); p++) {
                k = fmaxf(k, keys[h * dim + pair[p]]);
                q = fmaxf(q, over_group(m, queries, h, pair[p]));
            }
        by[i] = factor(o, k, q);
    }
}

/* Rows of k shrink and those of q grow; with norms of heads, whose factors all heads share, those do. */
static fr_status scale_keys(const fr_weights *w, const float *by, float *back, float *grow) {
    const fr_decoder *m = w->m;
    const int64_t dim = m->head_dim, group = m->heads / m->kv_heads;
    const float one = m->norm_plus_one ? 1 : 0;
    fr_attention_weights a;
    FR_TRY(fr_weights_attention(w, &a));
    for (int64_t i = 0; m->head_norm && i < dim; i++) {
        a.k_norm.data[i] = (a.k_norm.data[i] + one) / by[i] - one;
        a.q_norm.data[i] = (a.q_norm.data[i] + one) * by[i] - one;
    }
    if (m->head_norm) return FR_OK;
    inverse(by, m->kv_heads * dim, back);
    for (int64_t i = 0; i < m->heads * dim; i++) grow[i] = by[i / dim / group * dim + i % dim];
    fr_matrix_scale_rows(&a.k, back);
    fr_matrix_scale_rows(&a.q, grow);
    return FR_OK;
}

fr_status fr_smooth_keys(const fr_decoder *m, const fr_smooth_opts *o, const float *keys,
                         const float *queries, const fr_named_tensor *weights, size_t count,
                         int64_t layer, float *by) {
    const size_t n = (size_t)(m->kv_heads * m->head_dim), heads = (size_t)(m->heads * m->head_dim);
    float *s = fr_alloc(FR_MEM_OTHER, (2 * n + heads) * sizeof *s);
    if (!s) return FR_NOMEM;
    fr_key_factors(m, o, keys, queries, s);
    fr_status st = scale_keys(&(fr_weights){m, weights, count, layer}, s, s + n, s + 2 * n);
    if (!st && by) memcpy(by, s, n * sizeof *by);
    fr_free(s);
    return st;
}
