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
    to->row[s->row - to->first_row] += fr_kernel()->optim.came_squares(x, s->n, to->col + s->col);
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

static void length_piece(void *arg, size_t i) {
    const fr_update *u = arg;
    const fr_train_opts *o = &u->t->opts;
    const fr_optim_kernels *k = &fr_kernel()->optim;
    const fr_piece *p = &u->t->pieces[i];
    const fr_slot *s = &u->t->slots[p->slot];
    const fr_factors *f = &s->factors;
    float buf[FR_PIECE];
    double sum = 0;
    for (size_t first = p->first, n; first < p->first + p->count; first += n) {
        n = FR_MIN((size_t)FR_PIECE, p->first + p->count - first);
        const float *g = fr_optimizer_gradient(u->t, p->slot, first, n, buf);
        span at = {0};
        if (!f->row) sum += k->came_plain(g, u->scale, o->beta2, o->eps, n, s->v + first);
        while (f->row && next_span(f, first, n, &at))
            sum +=
                k->came_length(g + at.at, f->by_col + at.col, f->by_row[at.row] * u->scale, at.n);
    }
    u->t->partial[i] = sum;
}

/* ---- third sweep: the moment and its instability ---- */

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

/* The new moment of a part of a matrix in place of the old one, and its instability. */
static void mix(const fr_update *u, const fr_slot *s, const sums *to, size_t first, size_t n,
                const float *g, float *m) {
    const fr_factors *f = &s->factors;
    float by = u->scale * s->shrink;
    span at = {0};
    while (next_span(f, first, n, &at))
        to->row[at.row - to->first_row] +=
            fr_kernel()->optim.came_moment(g + at.at, f->by_col + at.col, f->by_row[at.row] * by,
                                           u->t->opts.beta1, at.n, m + at.at, to->col + at.col);
}

static void moment_piece(void *arg, size_t i) {
    const fr_update *u = arg;
    const fr_piece *p = &u->t->pieces[i];
    const fr_slot *s = &u->t->slots[p->slot];
    if (!s->factors.row) return; /* all at once in the fourth */
    float buf[FR_PIECE], decoded[FR_PIECE];
    sums to = sums_of(s, p, i);
    for (size_t first = p->first, n; first < p->first + p->count; first += n) {
        n = FR_MIN((size_t)FR_PIECE, p->first + p->count - first);
        const float *g = fr_optimizer_gradient(u->t, p->slot, first, n, buf);
        mix(u, s, &to, first, n, g, old_moment(u, s, first, n, decoded));
    }
}

/* ---- fourth sweep: the step ---- */

/* That of a matrix in f32 is what the third sweep left. */
static const float *new_moment(const fr_update *u, const fr_piece *p, size_t i, size_t first,
                               size_t n, float *decoded) {
    const fr_slot *s = &u->t->slots[p->slot];
    float buf[FR_PIECE];
    float *m = old_moment(u, s, first, n, decoded);
    if (s->factors.row && !s->m8.code) return m;
    const float *g = fr_optimizer_gradient(u->t, p->slot, first, n, buf);
    if (!s->factors.row) {
        fr_kernel()->optim.came_plain_moment(g, s->v + first, u->scale * s->shrink,
                                             u->t->opts.beta1, n, m);
        return m;
    }
    sums unused = sums_of(s, p, i); /* they have been added up */
    mix(u, s, &unused, first, n, g, m);
    write_moment(u, s, first, n, m);
    return m;
}

static void step_piece(void *arg, size_t i) {
    const fr_update *u = arg;
    const fr_kernels *k = fr_kernel();
    const fr_piece *p = &u->t->pieces[i];
    const fr_slot *s = &u->t->slots[p->slot];
    const fr_factors *f = &s->factors;
    float decoded[FR_PIECE];
    float left = 1 - u->lr * (s->decays ? u->t->opts.weight_decay : 0);
    for (size_t first = p->first, n; first < p->first + p->count; first += n) {
        n = FR_MIN((size_t)FR_PIECE, p->first + p->count - first);
        const float *m = new_moment(u, p, i, first, n, decoded);
        float *master = s->master + first;
        span at = {0};
        if (!f->row && left != 1) k->rows.affine(master, left, 0, n, master);
        if (!f->row) k->rows.axpy(-u->lr, m, n, master);
        while (f->row && next_span(f, first, n, &at))
            k->optim.came_step(m + at.at, f->res_by_col + at.col, u->lr * f->res_by_row[at.row],
                               left, at.n, master + at.at);
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
