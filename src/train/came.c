/* came.c: CAME (Luo et al. 2023, confidence-guided adaptive memory efficient optimization), and with a
 * first moment in 8 bits as SANA-1.5 trains.
 *
 *     u  = g^2 + eps                               the second moment of a matrix is that of its rows R
 *     U  = g / sqrt(R C / mean R)                  and columns C (beta2); other tensors keep all of it
 *     U /= max(1, rms U)
 *     m  = beta1 m + (1 - beta1) U
 *     S  = (U - m)^2 + eps2                        the instability; its rows and columns (beta3) divide
 *     p  = (1 - lr decay) p - lr m / sqrt(S)       the step of a matrix in the same way
 *
 * A mean over a tensor must be known before the next line can begin, so there are four sweeps over the
 * pieces. In each, a piece adds up its part of the rows and columns; then, tensor by tensor, the parts
 * are added in the order of the pieces. Moments in 8 bits are decoded in the third sweep and again in
 * the fourth, which also writes them: so the step is made with the moment before it is rounded. */
#include <math.h>
#include <string.h>

#include "train/trainer.h"

/* ---- parts of a piece ---- */

/* A run of values within one row. */
typedef struct span {
    size_t row, col, at, n; /* at: from the beginning of the part */
} span;

/* Of the `count` values that begin at `first`; begin with a span of zeros. */
static bool next_span(const fr_factors *f, size_t first, size_t count, span *s) {
    s->at += s->n;
    if (s->at == count) return false;
    s->row = (first + s->at) / f->cols;
    s->col = (first + s->at) % f->cols;
    s->n = FR_MIN(f->cols - s->col, count - s->at);
    return true;
}

/* The sums that belong to a piece. */
typedef struct sums {
    float *row, *col;
    size_t first_row;
} sums;

static sums sums_of(const fr_slot *s, const fr_piece *p, size_t i) {
    const fr_factors *f = &s->factors;
    size_t k = i - s->first_piece;
    sums r = {f->row_part + k * f->row_room, f->col_part + k * f->cols, p->first / f->cols};
    memset(r.row, 0, f->row_room * sizeof *r.row);
    memset(r.col, 0, f->cols * sizeof *r.col);
    return r;
}

/* Squares of x into the sums of its row and columns. */
static void add_squares(const sums *to, const span *s, const float *x) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    float *col = to->col + s->col;
    to->row[s->row - to->first_row] += k->sum_squares(x, s->n);
    k->mul_add(x, x, col, s->n, col);
}

/* ---- between the sweeps ---- */

/* row = beta row + (1 - beta) (scale * the mean of its sums + eps), the same for columns; and what
 * stands under the root of the factored moment, as factors of rows and columns. */
static void merge(const fr_slot *s, float beta, double scale, double eps, float *row, float *col,
                  float *by_row, float *by_col) {
    const fr_factors *f = &s->factors;
    memset(by_row, 0, f->rows * sizeof *by_row);
    memset(by_col, 0, f->cols * sizeof *by_col);
    for (size_t k = 0; k < s->piece_count; k++) {
        size_t first = k * s->piece / f->cols;
        size_t last = (FR_MIN((k + 1) * s->piece, s->values) - 1) / f->cols;
        const float *part = f->row_part + k * f->row_room;
        for (size_t i = first; i <= last; i++) by_row[i] += part[i - first];
        fr_kernel()->rows.axpy(1, f->col_part + k * f->cols, f->cols, by_col);
    }
    double sum = 0, keep = beta, add = 1 - (double)beta;
    for (size_t i = 0; i < f->rows; i++) {
        row[i] = (float)(keep * row[i] + add * (scale * by_row[i] / (double)f->cols + eps));
        sum += row[i];
    }
    double mean = sum / (double)f->rows;
    for (size_t i = 0; i < f->rows; i++) by_row[i] = (float)sqrt(mean / row[i]);
    for (size_t j = 0; j < f->cols; j++) {
        col[j] = (float)(keep * col[j] + add * (scale * by_col[j] / (double)f->rows + eps));
        by_col[j] = (float)(1 / sqrt(col[j]));
    }
}

static void merge_moments(void *arg, size_t i) {
    const fr_update *u = arg;
    const fr_train_opts *o = &u->t->opts;
    const fr_slot *s = &u->t->slots[i];
    const fr_factors *f = &s->factors;
    double scale = (double)u->scale * (double)u->scale;
    if (f->row) merge(s, o->beta2, scale, o->eps, f->row, f->col, f->by_row, f->by_col);
}

static void merge_instability(void *arg, size_t i) {
    const fr_update *u = arg;
    const fr_train_opts *o = &u->t->opts;
    const fr_slot *s = &u->t->slots[i];
    const fr_factors *f = &s->factors;
    if (f->row)
        merge(s, o->beta3, 1, o->eps2, f->res_row, f->res_col, f->res_by_row, f->res_by_col);
}

static void find_shrink(void *arg, size_t i) {
    const fr_update *u = arg;
    fr_slot *s = &u->t->slots[i];
    double sum = 0;
    for (size_t k = 0; k < s->piece_count; k++) sum += u->t->partial[s->first_piece + k];
    s->shrink = (float)(1 / fmax(1, sqrt(sum / (double)s->values)));
}

/* ---- first sweep: squares of the gradients ---- */

static void square_part(const fr_slot *s, const sums *to, size_t first, size_t n, const float *g) {
    span at = {0};
    while (next_span(&s->factors, first, n, &at)) add_squares(to, &at, g + at.at);
}

static void square_piece(void *arg, size_t i) {
    const fr_trainer *t = arg;
    const fr_piece *p = &t->pieces[i];
    const fr_slot *s = &t->slots[p->slot];
    float buf[FR_PIECE];
    sums to = {0};
    if (s->factors.row) to = sums_of(s, p, i);
    t->partial[i] = 0;
    for (size_t at = p->first, n; at < p->first + p->count; at += n) {
        n = FR_MIN((size_t)FR_PIECE, p->first + p->count - at);
        const float *g = fr_optimizer_gradient(t, p->slot, at, n, buf);
        if (to.row)
            square_part(s, &to, at, n, g);
        else
            t->partial[i] += fr_kernel()->rows.sum_squares(g, n);
    }
    size_t last = (p->first + p->count - 1) / (to.row ? s->factors.cols : 1);
    for (size_t r = to.first_row; to.row && r <= last; r++)
        t->partial[i] += to.row[r - to.first_row];
}

void fr_came_squares(fr_trainer *t) {
    fr_pool_run(t->pool, t->piece_count, square_piece, t);
}

/* ---- second sweep: how long U is ---- */

/* U of a matrix, but for `shrink`. */
static void direction(const fr_update *u, const fr_factors *f, const span *at, const float *g,
                      float shrink, float *out) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    k->binary(FR_MUL, g + at->at, f->by_col + at->col, at->n, out);
    k->affine(out, f->by_row[at->row] * u->scale * shrink, 0, at->n, out);
}

/* V and g / sqrt(V) of other tensors; the first has its new value already when `known`. */
static void plain_direction(const fr_update *u, const fr_slot *s, size_t first, size_t n,
                            const float *g, bool known, float *out) {
    const fr_train_opts *o = &u->t->opts;
    float *v = s->v + first;
    float shrink = known ? s->shrink : 1;
    for (size_t j = 0; j < n; j++) {
        float x = g[j] * u->scale;
        if (!known) v[j] = o->beta2 * v[j] + (1 - o->beta2) * (x * x + o->eps);
        out[j] = x / sqrtf(v[j]) * shrink;
    }
}

static void length_piece(void *arg, size_t i) {
    const fr_update *u = arg;
    const fr_trainer *t = u->t;
    const fr_piece *p = &t->pieces[i];
    const fr_slot *s = &t->slots[p->slot];
    float buf[FR_PIECE], d[FR_PIECE];
    double sum = 0;
    for (size_t at = p->first, n; at < p->first + p->count; at += n) {
        n = FR_MIN((size_t)FR_PIECE, p->first + p->count - at);
        const float *g = fr_optimizer_gradient(t, p->slot, at, n, buf);
        span part = {0};
        if (!s->factors.row)
            plain_direction(u, s, at, n, g, false, d);
        else
            while (next_span(&s->factors, at, n, &part))
                direction(u, &s->factors, &part, g, 1, d + part.at);
        sum += fr_kernel()->rows.sum_squares(d, n);
    }
    t->partial[i] = sum;
}

/* ---- third sweep: the moment and its instability ---- */

/* The new moment of a part of a tensor, in place of the old one. */
static void mix(const fr_update *u, const float *d, size_t n, float *m) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    float beta = u->t->opts.beta1;
    k->affine(m, beta, 0, n, m);
    k->axpy(1 - beta, d, n, m);
}

/* Decoded into buf when it is kept in 8 bits; parts begin where a block does. */
static float *old_moment(const fr_update *u, const fr_slot *s, size_t first, size_t n, float *buf) {
    if (!s->m8.code) return s->m + first;
    for (size_t at = 0, block = first / s->block; at < n; at += s->block, block++) {
        fr_even8 e = {s->m8.scale[block], s->m8.low ? s->m8.low[block] : 0};
        fr_even8_decode(e, s->m8.code + first + at, FR_MIN(s->block, n - at),
                        u->t->opts.around_zero8, buf + at);
    }
    return buf;
}

static void write_moment(const fr_update *u, const fr_slot *s, size_t first, size_t n,
                         const float *m) {
    for (size_t at = 0, block = first / s->block; at < n; at += s->block, block++) {
        fr_even8 e = fr_even8_encode(m + at, FR_MIN(s->block, n - at), u->t->opts.around_zero8,
                                     s->m8.code + first + at);
        s->m8.scale[block] = e.scale;
        if (s->m8.low) s->m8.low[block] = e.low;
    }
}

static void directions(const fr_update *u, const fr_slot *s, size_t first, size_t n, const float *g,
                       float *d) {
    span at = {0};
    while (next_span(&s->factors, first, n, &at))
        direction(u, &s->factors, &at, g, s->shrink, d + at.at);
}

static void moment_piece(void *arg, size_t i) {
    const fr_update *u = arg;
    const fr_piece *p = &u->t->pieces[i];
    const fr_slot *s = &u->t->slots[p->slot];
    if (!s->factors.row) return; /* all at once in the fourth */
    float buf[FR_PIECE], d[FR_PIECE], decoded[FR_PIECE];
    sums to = sums_of(s, p, i);
    for (size_t first = p->first, n; first < p->first + p->count; first += n) {
        n = FR_MIN((size_t)FR_PIECE, p->first + p->count - first);
        const float *g = fr_optimizer_gradient(u->t, p->slot, first, n, buf);
        float *m = old_moment(u, s, first, n, decoded);
        directions(u, s, first, n, g, d);
        mix(u, d, n, m);
        fr_kernel()->rows.axpy(-1, m, n, d);
        square_part(s, &to, first, n, d);
    }
}

/* ---- fourth sweep: the step ---- */

static float *new_moment(const fr_update *u, const fr_piece *p, const fr_slot *s, size_t first,
                         size_t n, float *decoded, float *d) {
    float buf[FR_PIECE];
    float *m = old_moment(u, s, first, n, decoded);
    if (s->factors.row && !s->m8.code) return m; /* the third sweep left it */
    const float *g = fr_optimizer_gradient(u->t, p->slot, first, n, buf);
    if (s->factors.row)
        directions(u, s, first, n, g, d);
    else
        plain_direction(u, s, first, n, g, true, d);
    mix(u, d, n, m);
    if (s->m8.code) write_moment(u, s, first, n, m);
    return m;
}

static void step_piece(void *arg, size_t i) {
    const fr_update *u = arg;
    const fr_rows_kernels *k = &fr_kernel()->rows;
    const fr_piece *p = &u->t->pieces[i];
    const fr_slot *s = &u->t->slots[p->slot];
    const fr_factors *f = &s->factors;
    float decoded[FR_PIECE], d[FR_PIECE];
    float left = 1 - u->lr * (s->decays ? u->t->opts.weight_decay : 0);
    for (size_t first = p->first, n; first < p->first + p->count; first += n) {
        n = FR_MIN((size_t)FR_PIECE, p->first + p->count - first);
        const float *m = new_moment(u, p, s, first, n, decoded, d);
        float *master = s->master + first;
        span at = {0};
        if (left != 1) k->affine(master, left, 0, n, master);
        if (!f->row) k->axpy(-u->lr, m, n, master);
        while (f->row && next_span(f, first, n, &at)) {
            k->binary(FR_MUL, m + at.at, f->res_by_col + at.col, at.n, d + at.at);
            k->axpy(-u->lr * f->res_by_row[at.row], d + at.at, at.n, master + at.at);
        }
        fr_optimizer_finish(u, s, first, n);
    }
}

void fr_came_update(const fr_update *update) {
    fr_update u = *update;
    fr_trainer *t = u.t;
    fr_pool_run(t->pool, t->slot_count, merge_moments, &u);
    fr_pool_run(t->pool, t->piece_count, length_piece, &u);
    fr_pool_run(t->pool, t->slot_count, find_shrink, &u);
    fr_pool_run(t->pool, t->piece_count, moment_piece, &u);
    fr_pool_run(t->pool, t->slot_count, merge_instability, &u);
    fr_pool_run(t->pool, t->piece_count, step_piece, &u);
}
