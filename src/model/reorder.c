/* reorder.c: see reorder.h. */
#include "model/reorder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ranked {
    float most;
    int32_t at;
} ranked;

typedef struct ordering {
    fr_weights w;
    const float *most;
    int32_t *from;
    ranked *rank;
    float *row; /* room for the longest row */
} ordering;

static int by_most(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->most != y->most) return x->most < y->most ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* rank[0 .. n - 1] in order; NaN counts as 0. */
static void sort(ranked *rank, int64_t n, int32_t *from) {
    for (int64_t i = 0; i < n; i++)
        if (!(rank[i].most > 0)) rank[i].most = 0;
    qsort(rank, (size_t)n, sizeof *rank, by_most);
    for (int64_t i = 0; i < n; i++) from[i] = rank[i].at;
}

/* Column first + i becomes what column first + from[i] was. */
static void move_columns(const ordering *o, const fr_matrix *a, int64_t first, const int32_t *from,
                         int64_t n) {
    for (int64_t r = 0; r < a->rows; r++) {
        float *row = a->data + r * a->cols + first;
        for (int64_t i = 0; i < n; i++) o->row[i] = row[from[i]];
        memcpy(row, o->row, (size_t)n * sizeof *row);
    }
}

/* The same for rows, in place: each circle of places is walked once, with one row held. left: n bytes. */
static void move_rows(const ordering *o, const fr_matrix *a, int64_t first, const int32_t *from,
                      int64_t n, bool *left) {
    const size_t bytes = (size_t)a->cols * sizeof *a->data;
    float *at = a->data + first * a->cols, *bias = a->bias ? a->bias + first : NULL;
    memset(left, true, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        if (!left[i]) continue;
        float held = bias ? bias[i] : 0;
        int64_t to = i;
        memcpy(o->row, at + i * a->cols, bytes);
        for (int64_t next = from[to]; next != i; to = next, next = from[to]) {
            memcpy(at + to * a->cols, at + next * a->cols, bytes);
            if (bias) bias[to] = bias[next];
            left[to] = false;
        }
        memcpy(at + to * a->cols, o->row, bytes);
        if (bias) bias[to] = held;
        left[to] = false;
    }
}

static fr_status order_out(const ordering *o, bool *left) {
    const fr_decoder *m = o->w.m;
    const int64_t dim = m->head_dim, group = m->heads / m->kv_heads;
    fr_attention_weights a;
    FR_TRY(fr_weights_attention(&o->w, &a));
    for (int64_t kv = 0; kv < m->kv_heads; kv++) {
        int32_t *from = o->from + kv * group * dim;
        for (int64_t d = 0; d < dim; d++) {
            o->rank[d] = (ranked){0, (int32_t)d};
            for (int64_t g = 0; g < group; g++)
                o->rank[d].most = fmaxf(o->rank[d].most, o->most[(kv * group + g) * dim + d]);
        }
        sort(o->rank, dim, from);
        move_rows(o, &a.v, kv * dim, from, dim, left);
        for (int64_t g = 0; g < group; g++)
            move_columns(o, &a.o, (kv * group + g) * dim, from, dim);
        for (int64_t i = group * dim - 1; i >= 0; i--) /* from the back: the first head is read */
            from[i] = from[i % dim] + (int32_t)((kv * group + i / dim) * dim);
    }
    return FR_OK;
}

static fr_status order_down(const ordering *o, bool *left) {
    const int64_t n = o->w.m->hidden;
    for (int64_t e = 0; e < fr_weights_mlps(o->w.m); e++) {
        int32_t *from = o->from + e * n;
        fr_mlp_weights p;
        FR_TRY(fr_weights_mlp(&o->w, e, &p));
        for (int64_t i = 0; i < n; i++) o->rank[i] = (ranked){o->most[e * n + i], (int32_t)i};
        sort(o->rank, n, from);
        move_rows(o, &p.gate, 0, from, n, left);
        move_rows(o, &p.up, 0, from, n, left);
        move_columns(o, &p.down, 0, from, n);
        for (int64_t i = 0; i < n; i++) from[i] += (int32_t)(e * n);
    }
    return FR_OK;
}

fr_status fr_reorder(const fr_decoder *m, fr_place place, const float *most,
                     const fr_named_tensor *weights, size_t count, int64_t layer, int32_t *from) {
    if (place != FR_PLACE_OUT && place != FR_PLACE_DOWN)
        return fr_fail(FR_INVALID,
                       "The inputs of '%s' cannot be reordered: all layers share their order.",
                       fr_place_names[place]);
    const size_t n = (size_t)fr_place_inputs(m, place);
    const size_t widest = (size_t)FR_MAX_OF(FR_MAX_OF(m->width, m->hidden), m->head_dim);
    const size_t block = (size_t)FR_MAX_OF(m->hidden, m->head_dim);
    ordering o = {.w = {m, weights, count, layer}, .most = most};
    o.from = fr_alloc_array(FR_MEM_OTHER, n, sizeof *o.from);
    o.rank = fr_alloc_array(FR_MEM_OTHER, block, sizeof *o.rank);
    o.row = fr_alloc_array(FR_MEM_OTHER, widest, sizeof *o.row);
    bool *left = fr_alloc_array(FR_MEM_OTHER, block, sizeof *left);
    fr_status st = o.from && o.rank && o.row && left ? FR_OK : FR_NOMEM;
    if (!st) st = place == FR_PLACE_OUT ? order_out(&o, left) : order_down(&o, left);
    if (!st && from) memcpy(from, o.from, n * sizeof *from);
    fr_free(o.from), fr_free(o.rank), fr_free(o.row), fr_free(left);
    return st;
}
