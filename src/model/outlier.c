/* outlier.c: see outlier.h. Each place is two sides of a product: what grows on one shrinks on the other. */
#include "model/outlier.h"

#include <math.h>

#include "model/layer_weights.h"

typedef struct twin {
    fr_weights w;
    const fr_outlier_opts *o;
    int32_t *order; /* room for the channels of the widest place */
    int64_t scaled;
} twin;

/* ---- which channels ---- */

/* The first `result` of t->order are chosen ones of n, without repeats. */
static int64_t choose(twin *t, const char *place, int64_t n) {
    int64_t count = FR_MIN(FR_MAX_OF(llround(t->o->share * (double)n), 1), n);
    fr_rng rng = fr_rng_new(t->o->seed, fr_random_stream(place) + (uint64_t)t->w.layer);
    for (int64_t i = 0; i < n; i++) t->order[i] = (int32_t)i;
    for (int64_t i = 0; i < count; i++) {
        int64_t with = i + fr_rng_below(&rng, (uint32_t)(n - i));
        int32_t first = t->order[i];
        t->order[i] = t->order[with];
        t->order[with] = first;
    }
    t->scaled += count;
    return count;
}

/* ---- the places ---- */

static void scale_row(const fr_matrix *a, int64_t row, float by) {
    for (int64_t c = 0; c < a->cols; c++) a->data[row * a->cols + c] *= by;
    if (a->bias) a->bias[row] *= by;
}
static void unscale_row(const fr_matrix *a, int64_t row, float by) {
    for (int64_t c = 0; c < a->cols; c++) a->data[row * a->cols + c] /= by;
    if (a->bias) a->bias[row] /= by;
}
static void unscale_column(const fr_matrix *a, int64_t column, float by) {
    for (int64_t r = 0; r < a->rows; r++) a->data[r * a->cols + column] /= by;
}

/* The chosen channels of what a norm gives; who reads that follows by behind_norm. */
static int64_t scale_norm(twin *t, const char *place, const fr_matrix *norm) {
    const float one = t->w.m->norm_plus_one ? 1 : 0, by = (float)t->o->factor;
    int64_t n = choose(t, place, t->w.m->width);
    for (int64_t i = 0; i < n; i++) {
        float *x = &norm->data[t->order[i]];
        *x = (*x + one) * by - one;
    }
    return n;
}

static void behind_norm(const twin *t, int64_t n, const fr_matrix *reader) {
    for (int64_t i = 0; i < n; i++) unscale_column(reader, t->order[i], (float)t->o->factor);
}

/* A channel of a value head goes to as many columns of o as heads share it. */
static void values(twin *t, const fr_attention_weights *a) {
    const fr_decoder *m = t->w.m;
    float by = (float)t->o->factor;
    int64_t group = m->heads / m->kv_heads;
    int64_t n = choose(t, "values", m->kv_heads * m->head_dim);
    for (int64_t i = 0; i < n; i++) {
        int64_t head = t->order[i] / m->head_dim, at = t->order[i] % m->head_dim;
        scale_row(&a->v, t->order[i], by);
        for (int64_t g = 0; g < group; g++)
            unscale_column(&a->o, (head * group + g) * m->head_dim + at, by);
    }
}

/* Channel `at` of one head of keys, and of the queries that meet it. Norms of heads, where there are any, undo what
 * rows do; theirs are the weights to scale, and all heads share them. */
static void scale_key(const twin *t, const fr_attention_weights *a, int64_t head, int64_t at) {
    const fr_decoder *m = t->w.m;
    const float one = m->norm_plus_one ? 1 : 0, by = (float)t->o->factor;
    int64_t group = m->heads / m->kv_heads;
    if (m->head_norm) {
        a->k_norm.data[at] = (a->k_norm.data[at] + one) * by - one;
        a->q_norm.data[at] = (a->q_norm.data[at] + one) / by - one;
        return;
    }
    scale_row(&a->k, head * m->head_dim + at, by);
    for (int64_t g = 0; g < group; g++)
        unscale_row(&a->q, (head * group + g) * m->head_dim + at, by);
}

/* Rotation mixes value i of a head with value i + half; both must grow alike. */
static void keys(twin *t, const fr_attention_weights *a) {
    const fr_decoder *m = t->w.m;
    int64_t half = fr_rotation_pairs(m);
    int64_t n = choose(t, "keys", (m->head_norm ? 1 : m->kv_heads) * half);
    for (int64_t i = 0; i < n; i++)
        for (int side = 0; side < 2; side++)
            scale_key(t, a, t->order[i] / half, t->order[i] % half + side * half);
}

static void products(twin *t, const fr_mlp_weights *p) {
    int64_t n = choose(t, "products", t->w.m->hidden);
    for (int64_t i = 0; i < n; i++) {
        scale_row(&p->up, t->order[i], (float)t->o->factor);
        unscale_column(&p->down, t->order[i], (float)t->o->factor);
    }
}

static fr_status attention(twin *t) {
    fr_attention_weights a;
    FR_TRY(fr_weights_attention(&t->w, &a));
    int64_t n = scale_norm(t, "attention", &a.norm);
    behind_norm(t, n, &a.q);
    behind_norm(t, n, &a.k);
    behind_norm(t, n, &a.v);
    values(t, &a);
    keys(t, &a);
    return FR_OK;
}

static fr_status mlp(twin *t) {
    fr_matrix norm, router;
    fr_mlp_weights p;
    FR_TRY(fr_weights_mlp_front(&t->w, &norm, &router));
    int64_t n = scale_norm(t, "mlp", &norm);
    if (router.data) behind_norm(t, n, &router);
    for (int64_t e = 0; e < fr_weights_mlps(t->w.m); e++) {
        FR_TRY(fr_weights_mlp(&t->w, e, &p));
        behind_norm(t, n, &p.gate);
        behind_norm(t, n, &p.up);
    }
    for (int64_t e = 0; e < fr_weights_mlps(t->w.m); e++) {
        FR_TRY(fr_weights_mlp(&t->w, e, &p));
        products(t, &p);
    }
    return FR_OK;
}

static fr_status all_places(twin *t) {
    const fr_decoder *m = t->w.m;
    for (t->w.layer = 0; t->w.layer < m->layers; t->w.layer++) {
        FR_TRY(attention(t));
        FR_TRY(mlp(t));
    }
    t->w.layer = 0;            /* the number of the place's random stream */
    if (m->tied) return FR_OK; /* the embedding would change with the output's weight */
    fr_matrix norm, head;
    FR_TRY(fr_weights_find(&t->w, "model.norm.weight", 1, m->width, &norm));
    FR_TRY(fr_weights_find(&t->w, "lm_head.weight", m->vocab, m->width, &head));
    behind_norm(t, scale_norm(t, "output", &norm), &head);
    return FR_OK;
}

fr_status fr_outliers(const fr_decoder *m, const fr_outlier_opts *o, const fr_named_tensor *weights,
                      size_t count, int64_t *channels) {
    if (!(o->share >= 0 && o->share <= 1))
        return fr_fail(FR_INVALID, "The share of channels must be 0 .. 1, not %g.", o->share);
    if (!(o->factor > 0 && o->factor <= 1e6))
        return fr_fail(FR_INVALID, "The factor must be above 0 and at most 1e6, not %g.",
                       o->factor);
    int64_t widest = FR_MAX_OF(FR_MAX_OF(m->width, m->hidden), m->kv_heads * m->head_dim);
    twin t = {.w = {m, weights, count, 0}, .o = o};
    t.order = fr_alloc_array(FR_MEM_OTHER, (size_t)widest, sizeof *t.order);
    if (!t.order) return FR_NOMEM;
    fr_status st = all_places(&t);
    fr_free(t.order);
    if (channels) *channels = t.scaled;
    return st;
}
