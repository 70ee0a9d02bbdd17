/* outlier.c: see outlier.h. Each place is two sides of a product: what grows on one shrinks on the other. */
#include "model/outlier.h"

#include <math.h>
#include <string.h>

typedef struct twin {
    const fr_decoder *m;
    const fr_outlier_opts *o;
    const fr_named_tensor *weights;
    size_t count;
    int32_t *order; /* room for the channels of the widest place */
    int64_t scaled;
} twin;

/* ---- parameters ---- */

typedef struct matrix {
    float *data;
    int64_t rows, cols;
} matrix;

static fr_status find(const twin *t, const char *name, int64_t rows, int64_t cols, matrix *out) {
    char have[FR_SHAPE_TEXT];
    for (size_t i = 0; i < t->count; i++) {
        const fr_tensor *x = t->weights[i].tensor;
        if (strcmp(t->weights[i].name, name) != 0) continue;
        bool fits = x->dtype == FR_F32 && fr_is_contiguous(x) && fr_values(x) == rows * cols &&
                    fr_dim(x, -1) == cols && x->rank == (rows == 1 ? 1 : 2);
        *out = (matrix){x->data, rows, cols};
        if (fits) return FR_OK;
        return fr_fail(FR_INVALID, "The parameter '%s' is %s, and should be f32 [%lld, %lld].",
                       name, fr_shape_text(x, have), (long long)rows, (long long)cols);
    }
    return fr_fail(FR_INVALID, "The model has no parameter '%s'.", name);
}

static fr_status of_layer(const twin *t, int64_t layer, const char *what, int64_t rows,
                          int64_t cols, matrix *out) {
    char name[120];
    snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)layer, what);
    return find(t, name, rows, cols, out);
}

static void scale_row(const matrix *m, int64_t row, float by) {
    for (int64_t c = 0; c < m->cols; c++) m->data[row * m->cols + c] *= by;
}
static void unscale_row(const matrix *m, int64_t row, float by) {
    for (int64_t c = 0; c < m->cols; c++) m->data[row * m->cols + c] /= by;
}
static void unscale_column(const matrix *m, int64_t column, float by) {
    for (int64_t r = 0; r < m->rows; r++) m->data[r * m->cols + column] /= by;
}

/* ---- which channels ---- */

/* The first `result` of t->order are chosen ones of n, without repeats. */
static int64_t choose(twin *t, const char *place, int64_t layer, int64_t n) {
    int64_t count = FR_MIN(FR_MAX_OF(llround(t->o->share * (double)n), 1), n);
    fr_rng rng = fr_rng_new(t->o->seed, fr_random_stream(place) + (uint64_t)layer);
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

static void behind_norm(twin *t, const char *place, int64_t layer, const matrix *norm,
                        const matrix *const *readers, int count) {
    float by = (float)t->o->factor;
    int64_t n = choose(t, place, layer, t->m->width);
    for (int64_t i = 0; i < n; i++) {
        norm->data[t->order[i]] *= by;
        for (int r = 0; r < count; r++) unscale_column(readers[r], t->order[i], by);
    }
}

/* A channel of a value head goes to as many columns of o as heads share it. */
static void values(twin *t, int64_t layer, const matrix *v, const matrix *o) {
    const fr_decoder *m = t->m;
    float by = (float)t->o->factor;
    int64_t group = m->heads / m->kv_heads;
    int64_t n = choose(t, "values", layer, m->kv_heads * m->head_dim);
    for (int64_t i = 0; i < n; i++) {
        int64_t head = t->order[i] / m->head_dim, at = t->order[i] % m->head_dim;
        scale_row(v, t->order[i], by);
        for (int64_t g = 0; g < group; g++)
            unscale_column(o, (head * group + g) * m->head_dim + at, by);
    }
}

/* Rotation mixes value i of a head with value i + half; both must grow alike. */
static void keys(twin *t, int64_t layer, const matrix *q, const matrix *k) {
    const fr_decoder *m = t->m;
    float by = (float)t->o->factor;
    int64_t group = m->heads / m->kv_heads, half = m->head_dim / 2;
    int64_t n = choose(t, "keys", layer, m->kv_heads * half);
    for (int64_t i = 0; i < n; i++)
        for (int side = 0; side < 2; side++) {
            int64_t head = t->order[i] / half, at = t->order[i] % half + side * half;
            scale_row(k, head * m->head_dim + at, by);
            for (int64_t g = 0; g < group; g++)
                unscale_row(q, (head * group + g) * m->head_dim + at, by);
        }
}

static void products(twin *t, int64_t layer, const matrix *up, const matrix *down) {
    float by = (float)t->o->factor;
    int64_t n = choose(t, "products", layer, t->m->hidden);
    for (int64_t i = 0; i < n; i++) {
        scale_row(up, t->order[i], by);
        unscale_column(down, t->order[i], by);
    }
}

static fr_status one_layer(twin *t, int64_t layer) {
    const fr_decoder *m = t->m;
    int64_t q_rows = m->heads * m->head_dim, kv_rows = m->kv_heads * m->head_dim;
    matrix before, after, q, k, v, o, gate, up, down;
    FR_TRY(of_layer(t, layer, "input_layernorm", 1, m->width, &before));
    FR_TRY(of_layer(t, layer, "post_attention_layernorm", 1, m->width, &after));
    FR_TRY(of_layer(t, layer, "self_attn.q_proj", q_rows, m->width, &q));
    FR_TRY(of_layer(t, layer, "self_attn.k_proj", kv_rows, m->width, &k));
    FR_TRY(of_layer(t, layer, "self_attn.v_proj", kv_rows, m->width, &v));
    FR_TRY(of_layer(t, layer, "self_attn.o_proj", m->width, q_rows, &o));
    FR_TRY(of_layer(t, layer, "mlp.gate_proj", m->hidden, m->width, &gate));
    FR_TRY(of_layer(t, layer, "mlp.up_proj", m->hidden, m->width, &up));
    FR_TRY(of_layer(t, layer, "mlp.down_proj", m->width, m->hidden, &down));
    behind_norm(t, "attention", layer, &before, (const matrix *const[]){&q, &k, &v}, 3);
    behind_norm(t, "mlp", layer, &after, (const matrix *const[]){&gate, &up}, 2);
    values(t, layer, &v, &o);
    keys(t, layer, &q, &k);
    products(t, layer, &up, &down);
    return FR_OK;
}

static fr_status all_places(twin *t) {
    for (int64_t i = 0; i < t->m->layers; i++) FR_TRY(one_layer(t, i));
    if (t->m->tied) return FR_OK; /* the embedding would change with the output's weight */
    matrix norm, head;
    FR_TRY(find(t, "model.norm.weight", 1, t->m->width, &norm));
    FR_TRY(find(t, "lm_head.weight", t->m->vocab, t->m->width, &head));
    behind_norm(t, "output", 0, &norm, (const matrix *const[]){&head}, 1);
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
    twin t = {.m = m, .o = o, .weights = weights, .count = count};
    t.order = fr_alloc_array(FR_MEM_OTHER, (size_t)widest, sizeof *t.order);
    if (!t.order) return FR_NOMEM;
    fr_status st = all_places(&t);
    fr_free(t.order);
    if (channels) *channels = t.scaled;
    return st;
}
