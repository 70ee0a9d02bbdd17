/* linear_attention.c: attention with relu in place of the softmax, linear in tokens (Katharopoulos et
 * al. 2020; EfficientViT, Cai et al. 2023; SANA, Xie et al. 2024). Sums are f32.
 *
 * The two products are those of tiled attention: with v in the lanes and relu(k) broadcast
 * `accumulate` sums the state, and with the state as a panel `score` multiplies it by relu(q). */
#include <math.h>
#include <string.h>

#include "op/linear_attention.h"

enum { TILE = 128, LEAST_CHUNK = 256, MOST_CHUNKS = 16 };

typedef struct lin_run {
    const lin_shape *s;
    const fr_attn_kernels *kernels;
    attn_side q, k, v, y;
    float *states, *blocks;
    int64_t chunk, chunks;
} lin_run;

lin_shape lin_shape_of(const fr_tensor *q, const fr_tensor *k, float eps) {
    lin_shape s = {.batch = q->dim[0],
                   .m = q->dim[1],
                   .heads = q->dim[2],
                   .dim = q->dim[3],
                   .n = k->dim[1],
                   .half = q->dtype == FR_BF16,
                   .eps = eps};
    s.ld = fr_attn_ld(s.dim);
    s.lanes = fr_kernel()->attn.f32.lanes;
    s.panels = (int)((s.dim + s.lanes - 1) / s.lanes);
    s.width = (int64_t)s.panels * s.lanes;
    s.state = s.ld * (s.width + 1);
    return s;
}

int64_t lin_chunk(int64_t tokens) {
    int64_t chunk = FR_MAX_OF((int64_t)LEAST_CHUNK, (tokens + MOST_CHUNKS - 1) / MOST_CHUNKS);
    return (chunk + TILE - 1) / TILE * TILE;
}

int64_t lin_state_values(const lin_shape *s, int64_t tokens) {
    return s->batch * s->heads * FR_MAX_OF(lin_chunks(tokens), (int64_t)1) * s->state;
}

/* Two packed tiles, and one tile a panel wide. */
int64_t lin_thread_values(const lin_shape *s) {
    return (2 * TILE * s->ld + TILE * FR_ATTN_LANES + 15) / 16 * 16;
}

static void relu(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = x[i] < 0.0f ? 0.0f : x[i]; /* keeps NaN */
}

/* ---- the state ---- */

static void add_tile(const lin_run *r, int64_t b, int64_t h, int64_t first, int64_t count,
                     float *state, float *block) {
    const lin_shape *s = r->s;
    const fr_attn_path *path = &r->kernels->f32;
    const void *k[TILE], *v[TILE];
    float *cols = block, *rows = block + TILE * s->ld, *wide = rows + TILE * s->ld;
    for (int64_t j = 0; j < count; j++) {
        k[j] = attn_row(&r->k, b, first + j, h);
        v[j] = attn_row(&r->v, b, first + j, h);
    }
    path->pack_rows(k, count, s->half, s->dim, rows);
    relu(rows, count * s->ld);
    float *z = state + s->ld * s->width;
    for (int64_t j = 0; j < count; j++)
        for (int64_t d = 0; d < s->dim; d++) z[d] += rows[j * s->ld + d];
    path->pack_cols(k, count, s->half, s->dim, TILE, cols);
    for (int64_t d = 0; d < s->dim; d += path->group) relu(cols + d * TILE, count * path->group);
    path->pack_rows(v, count, s->half, s->dim, rows);
    for (int p = 0; p < s->panels; p++) {
        const int64_t at = (int64_t)p * s->lanes, n = FR_MIN((int64_t)s->lanes, s->ld - at);
        memset(wide, 0, (size_t)(count * s->lanes) * sizeof *wide);
        for (int64_t j = 0; j < count; j++)
            memcpy(wide + j * s->lanes, rows + j * s->ld + at, (size_t)n * sizeof *wide);
        path->accumulate(wide, cols, count, s->dim, TILE, NULL, state + p * s->ld * s->lanes);
    }
}

static void chunk_item(void *arg, size_t thread, size_t i) {
    const lin_run *r = arg;
    const lin_shape *s = r->s;
    const int64_t pair = (int64_t)i / r->chunks, first = (int64_t)i % r->chunks * r->chunk;
    const int64_t end = FR_MIN(first + r->chunk, s->n);
    float *state = r->states + (int64_t)i * s->state;
    float *block = r->blocks + (int64_t)thread * lin_thread_values(s);
    memset(state, 0, (size_t)s->state * sizeof *state);
    for (int64_t at = first; at < end; at += TILE)
        add_tile(r, pair / s->heads, pair % s->heads, at, FR_MIN((int64_t)TILE, end - at), state,
                 block);
}

typedef struct join_run {
    const lin_shape *s;
    float *states;
    int64_t chunks;
} join_run;

static void join_item(void *arg, size_t pair) {
    const join_run *r = arg;
    float *sum = r->states + (int64_t)pair * r->chunks * r->s->state;
    for (int64_t c = 1; c < r->chunks; c++)
        for (int64_t i = 0; i < r->s->state; i++) sum[i] += sum[c * r->s->state + i];
}

void lin_join(const lin_shape *s, int64_t chunks, float *states, fr_pool *pool) {
    join_run r = {s, states, chunks};
    fr_pool_run(pool, (size_t)(s->batch * s->heads), join_item, &r);
}

void lin_states(const lin_shape *s, const fr_tensor *k, const fr_tensor *v, float *states,
                float *blocks, fr_pool *pool) {
    lin_run r = {.s = s,
                 .kernels = &fr_kernel()->attn,
                 .k = attn_side_of(k),
                 .v = attn_side_of(v),
                 .states = states,
                 .blocks = blocks,
                 .chunk = lin_chunk(s->n),
                 .chunks = lin_chunks(s->n)};
    if (!r.chunks) {
        memset(states, 0, (size_t)lin_state_values(s, 0) * sizeof *states);
        return;
    }
    fr_pool_run_thread(pool, (size_t)(s->batch * s->heads * r.chunks), chunk_item, &r);
    lin_join(s, r.chunks, states, pool);
}

/* ---- the outputs ---- */

static void put(void *row, bool half, int64_t d, float x) {
    if (half)
        ((uint16_t *)row)[d] = fr_f32_to_bf16(x);
    else
        ((float *)row)[d] = x;
}

static void output_item(void *arg, size_t thread, size_t i) {
    const lin_run *r = arg;
    const lin_shape *s = r->s;
    const int64_t tiles = (s->m + TILE - 1) / TILE, pair = (int64_t)i / tiles;
    const int64_t b = pair / s->heads, h = pair % s->heads, first = (int64_t)i % tiles * TILE;
    const int64_t count = FR_MIN((int64_t)TILE, s->m - first);
    const float *state = r->states + pair * r->chunks * s->state, *z = state + s->ld * s->width;
    float *rows = r->blocks + (int64_t)thread * lin_thread_values(s), by[TILE];
    float *out = rows + 2 * TILE * s->ld;
    const void *q[TILE] = {0};
    for (int64_t j = 0; j < count; j++) q[j] = attn_row(&r->q, b, first + j, h);
    r->kernels->f32.pack_rows(q, count, s->half, s->dim, rows);
    relu(rows, count * s->ld);
    for (int64_t j = 0; j < count; j++) {
        float sum = 0.0f;
        for (int64_t d = 0; d < s->dim; d++) sum += rows[j * s->ld + d] * z[d];
        by[j] = 1.0f / (sum + s->eps);
    }
    for (int p = 0; p < s->panels; p++) {
        const int64_t at = (int64_t)p * s->lanes, n = FR_MIN((int64_t)s->lanes, s->dim - at);
        r->kernels->f32.score(state + p * s->ld * s->lanes, rows, count, s->dim, out);
        for (int64_t j = 0; j < count; j++) {
            void *y = attn_row(&r->y, b, first + j, h);
            for (int64_t d = 0; d < n; d++) put(y, s->half, at + d, out[j * s->lanes + d] * by[j]);
        }
    }
}

/* ---- the operator ---- */

fr_status lin_check(const char *op, const fr_tensor *q, const fr_tensor *k, const fr_tensor *v,
                    const lin_attr *a) {
    bool types =
        (q->dtype == FR_F32 || q->dtype == FR_BF16) && k->dtype == q->dtype && v->dtype == q->dtype;
    bool ranks = q->rank == 4 && k->rank == 4 && v->rank == 4;
    if (!types || !ranks || !fr_same_shape(k, v) || q->dim[0] != k->dim[0] ||
        q->dim[2] != k->dim[2] || q->dim[3] != k->dim[3]) {
        char tq[FR_SHAPE_TEXT], tk[FR_SHAPE_TEXT], tv[FR_SHAPE_TEXT];
        return fr_fail(FR_INVALID,
                       "%s: q is %s, k is %s and v is %s; wanted all f32 or all bf16, "
                       "[batch, tokens, heads, dim], differing in the tokens of q alone",
                       op, fr_shape_text(q, tq), fr_shape_text(k, tk), fr_shape_text(v, tv));
    }
    if (!(a->eps >= 0.0f) || !isfinite(a->eps))
        return fr_fail(FR_INVALID, "%s: eps must be a number from 0 up, not %g", op,
                       (double)a->eps);
    return FR_OK;
}

static fr_status shape(const fr_call *c) {
    const fr_tensor *q = &c->in[0];
    FR_TRY(lin_check("linear_attention", q, &c->in[1], &c->in[2], c->attr));
    c->out[0].dtype = q->dtype;
    c->out[0].rank = 4;
    for (int i = 0; i < 4; i++) c->out[0].dim[i] = q->dim[i];
    return FR_OK;
}

static lin_shape shape_of(const fr_call *c) {
    return lin_shape_of(&c->in[0], &c->in[1], ((const lin_attr *)c->attr)->eps);
}

static size_t carve(const lin_shape *s, const fr_call *c, attn_carve *space, lin_run *r) {
    r->states = attn_take(space, lin_state_values(s, s->n), sizeof(float));
    r->blocks = attn_take(space, lin_thread_values(s) * fr_pool_threads(c->pool), sizeof(float));
    return space->used;
}

static size_t scratch(const fr_call *c) {
    lin_shape s = shape_of(c);
    attn_carve space = {0};
    lin_run r;
    return fr_values(&c->out[0]) ? carve(&s, c, &space, &r) : 0;
}

static fr_status run(const fr_call *c) {
    lin_shape s = shape_of(c);
    if (!fr_values(&c->out[0])) return FR_OK;
    attn_carve space = {.base = c->scratch};
    lin_run r = {.s = &s,
                 .kernels = &fr_kernel()->attn,
                 .q = attn_side_of(&c->in[0]),
                 .y = attn_side_of(&c->out[0]),
                 .chunks = FR_MAX_OF(lin_chunks(s.n), (int64_t)1)};
    carve(&s, c, &space, &r);
    lin_states(&s, &c->in[1], &c->in[2], r.states, r.blocks, c->pool);
    const int64_t tiles = (s.m + TILE - 1) / TILE;
    fr_pool_run_thread(c->pool, (size_t)(s.batch * s.heads * tiles), output_item, &r);
    return FR_OK;
}

static void cost(const fr_call *c, fr_cost *out) {
    lin_shape s = shape_of(c);
    out->ops = (double)(s.batch * s.heads) * (double)(s.m + s.n) * (double)s.dim *
               (2.0 * (double)s.dim + 2.0);
}

const fr_attr_field lin_fields[] = {
    {"eps", FR_ATTR_F32, offsetof(lin_attr, eps), 0},
    {NULL, FR_ATTR_END, 0, 0},
};

const fr_op fr_op_linear_attention = {
    .name = "linear_attention",
    .nin_min = 3,
    .nin_max = 3,
    .nout = 1,
    .strided = 7,
    .attr_bytes = sizeof(lin_attr),
    .fields = lin_fields,
    .shape = shape,
    .run = run,
    .scratch = scratch,
    .grad = lin_grad_rule,
    .cost = cost,
};

fr_val fr_linear_attention(fr_graph *g, fr_val q, fr_val k, fr_val v, float eps) {
    const fr_val in[3] = {q, k, v};
    const lin_attr at = {eps};
    return fr_emit(g, &fr_op_linear_attention, 3, in, &at);
}
