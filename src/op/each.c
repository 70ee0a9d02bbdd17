/* each.c: value-by-value operators on the pool; see each.h.
 *
 * Broadcasting becomes a stride of 0. Axes along which every operand runs on are joined first, so that
 * same shapes are one long run, a bias is a run per row, and only the odd cases have short runs. */
#include "op/each.h"

#include <string.h>

#define OPERANDS (FR_EACH_IN + 2)

typedef struct plan {
    const fr_each *e;
    int rank;
    size_t dim[FR_MAX_DIMS];
    size_t stride[FR_EACH_IN][FR_MAX_DIMS];
    bool direct; /* everything is f32, and no single value has to be spread */
} plan;

/* ---- 16-bit storage ---- */

static void *at(const fr_tensor *t, size_t first) {
    return (char *)t->data + first * (t->dtype == FR_F32 ? 4 : 2);
}

const float *fr_block_in(const fr_tensor *t, size_t first, size_t n, float *buf) {
    const void *p = at(t, first);
    if (t->dtype == FR_F32) return p;
    if (t->dtype == FR_BF16)
        fr_kernel()->convert.bf16_to_f32(p, n, buf);
    else
        fr_kernel()->convert.f16_to_f32(p, n, buf);
    return buf;
}

float *fr_block_at(const fr_tensor *t, size_t first, float *buf) {
    return t->dtype == FR_F32 ? at(t, first) : buf;
}

void fr_block_out(const fr_tensor *t, size_t first, size_t n, const float *buf) {
    if (t->dtype == FR_BF16)
        fr_kernel()->convert.f32_to_bf16(buf, n, at(t, first));
    else if (t->dtype == FR_F16)
        fr_kernel()->convert.f32_to_f16(buf, n, at(t, first));
}

/* ---- shapes ---- */

static int64_t dim_from_end(const fr_tensor *t, int i) {
    return i < t->rank ? t->dim[t->rank - 1 - i] : 1;
}

fr_status fr_broadcast_shape(const fr_tensor *a, const fr_tensor *b, fr_tensor *out) {
    char ta[FR_SHAPE_TEXT], tb[FR_SHAPE_TEXT];
    out->rank = FR_MAX_OF(a->rank, b->rank);
    for (int i = 0; i < out->rank; i++) {
        int64_t da = dim_from_end(a, i), db = dim_from_end(b, i);
        if (da != db && da != 1 && db != 1)
            return fr_fail(FR_INVALID, "%s and %s do not broadcast to one shape.",
                           fr_shape_text(a, ta), fr_shape_text(b, tb));
        out->dim[out->rank - 1 - i] = da == 1 ? db : da;
    }
    return FR_OK;
}

fr_status fr_broadcasts_to(const char *what, const fr_tensor *b, const fr_tensor *a) {
    char ta[FR_SHAPE_TEXT], tb[FR_SHAPE_TEXT];
    bool ok = b->rank <= a->rank;
    for (int i = 0; ok && i < b->rank; i++)
        ok = dim_from_end(b, i) == 1 || dim_from_end(b, i) == dim_from_end(a, i);
    if (ok) return FR_OK;
    return fr_fail(FR_INVALID, "The %s is %s, which does not broadcast to %s.", what,
                   fr_shape_text(b, tb), fr_shape_text(a, ta));
}

fr_status fr_want_float(const char *what, const fr_tensor *t) {
    char text[FR_SHAPE_TEXT];
    if (fr_is_float(t->dtype)) return FR_OK;
    return fr_fail(FR_INVALID, "The %s must be f32, bf16 or f16; it is %s.", what,
                   fr_shape_text(t, text));
}

void fr_like(fr_tensor *out, const fr_tensor *like) {
    out->dtype = like->dtype;
    out->rank = like->rank;
    for (int i = 0; i < like->rank; i++) out->dim[i] = like->dim[i];
}

fr_val fr_as_type(fr_graph *g, fr_val v, fr_val like) {
    if (v == FR_NONE) return v;
    fr_dtype t = fr_desc(g, like)->dtype;
    return fr_desc(g, v)->dtype == t ? v : fr_cast(g, v, t);
}

/* ---- the walk ---- */

/* The stride of input i along axis d of the output. */
static size_t stride_along(const fr_tensor *t, const fr_tensor *out, int d) {
    int own = d - (out->rank - t->rank);
    return own < 0 || t->dim[own] == 1 ? 0 : (size_t)t->stride[own];
}

static bool joins(const plan *p, const size_t *stride, size_t dim) {
    for (int i = 0; i < p->e->nin; i++)
        if (p->stride[i][p->rank - 1] != stride[i] * dim) return false;
    return true;
}

/* A run goes from value to value. Where a last axis of 1 left an operand that does not, runs are of one. */
static void end_in_runs(plan *p) {
    bool apart = !p->rank;
    for (int i = 0; i < p->e->nin && p->rank; i++) apart |= p->stride[i][p->rank - 1] > 1;
    if (!apart) return;
    p->dim[p->rank] = 1;
    for (int i = 0; i < p->e->nin; i++) p->stride[i][p->rank] = 0;
    p->rank++;
}

static void make_plan(plan *p, const fr_each *e) {
    const fr_tensor *out = e->out[0];
    p->e = e;
    p->rank = 0;
    for (int d = 0; d < out->rank; d++) {
        size_t stride[FR_EACH_IN], dim = (size_t)out->dim[d];
        if (dim == 1) continue;
        for (int i = 0; i < e->nin; i++) stride[i] = stride_along(e->in[i], out, d);
        if (p->rank && joins(p, stride, dim))
            p->dim[p->rank - 1] *= dim;
        else
            p->dim[p->rank++] = dim;
        for (int i = 0; i < e->nin; i++) p->stride[i][p->rank - 1] = stride[i];
    }
    end_in_runs(p);
    p->direct = true;
    for (int i = 0; i < e->nin; i++) {
        bool single = !p->stride[i][p->rank - 1];
        p->direct &= e->in[i]->dtype == FR_F32 && !(single && e->splat);
    }
    for (int i = 0; i < e->nout; i++) p->direct &= e->out[i]->dtype == FR_F32;
}

static void run_direct(const plan *p, const size_t *from, size_t to, size_t n) {
    const fr_each *e = p->e;
    const float *in[FR_EACH_IN];
    float *out[2];
    size_t step[FR_EACH_IN];
    for (int i = 0; i < e->nin; i++) {
        in[i] = (const float *)e->in[i]->data + from[i];
        step[i] = p->stride[i][p->rank - 1];
    }
    for (int i = 0; i < e->nout; i++) out[i] = (float *)e->out[i]->data + to;
    e->fn(e->arg, in, step, n, out);
}

/* One run through blocks of converted values. */
static void run_blocks(const plan *p, const size_t *from, size_t to, size_t n) {
    const fr_each *e = p->e;
    float buf[OPERANDS][FR_BLOCK];
    const float *in[FR_EACH_IN];
    float *out[2];
    size_t step[FR_EACH_IN];
    for (int i = 0; i < e->nin; i++) {
        step[i] = p->stride[i][p->rank - 1];
        if (step[i]) continue;
        in[i] = fr_block_in(e->in[i], from[i], 1, buf[i]);
        if (!e->splat) continue;
        float v = *in[i];
        for (size_t j = 0; j < FR_MIN(n, (size_t)FR_BLOCK); j++) buf[i][j] = v;
        in[i] = buf[i];
    }
    for (size_t done = 0; done < n; done += FR_BLOCK) {
        size_t count = FR_MIN(n - done, (size_t)FR_BLOCK);
        for (int i = 0; i < e->nin; i++)
            if (step[i]) in[i] = fr_block_in(e->in[i], from[i] + done, count, buf[i]);
        for (int i = 0; i < e->nout; i++)
            out[i] = fr_block_at(e->out[i], to + done, buf[FR_EACH_IN + i]);
        e->fn(e->arg, in, step, count, out);
        for (int i = 0; i < e->nout; i++) fr_block_out(e->out[i], to + done, count, out[i]);
    }
}

static void run_piece(void *arg, size_t start, size_t end) {
    const plan *p = arg;
    size_t inner = p->dim[p->rank - 1];
    while (start < end) {
        size_t row = start / inner, col = start - row * inner;
        size_t n = FR_MIN(end - start, inner - col), from[FR_EACH_IN];
        for (int i = 0; i < p->e->nin; i++) from[i] = col * p->stride[i][p->rank - 1];
        for (int d = p->rank - 2; d >= 0; d--) {
            size_t k = row % p->dim[d];
            row /= p->dim[d];
            for (int i = 0; i < p->e->nin; i++) from[i] += k * p->stride[i][d];
        }
        if (p->direct)
            run_direct(p, from, start, n);
        else
            run_blocks(p, from, start, n);
        start += n;
    }
}

void fr_each_run(const fr_each *e, fr_pool *pool) {
    size_t total = (size_t)fr_values(e->out[0]);
    if (!total) return;
    plan p;
    make_plan(&p, e);
    if (total <= FR_PIECE)
        run_piece(&p, 0, total);
    else
        fr_pool_range(pool, total, FR_PIECE, run_piece, &p);
}

fr_status fr_each_call(const fr_call *c, fr_each_fn *fn, const void *arg, int nin) {
    fr_each e = {.fn = fn, .arg = arg, .nin = nin, .nout = c->nout, .splat = true};
    for (int i = 0; i < nin; i++) e.in[i] = &c->in[i];
    for (int i = 0; i < c->nout; i++) e.out[i] = &c->out[i];
    fr_each_run(&e, c->pool);
    return FR_OK;
}
