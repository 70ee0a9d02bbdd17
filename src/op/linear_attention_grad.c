/* linear_attention_grad.c: the backward pass of linear attention.
 *
 *     num = a S, den = a z + eps, y = num / den
 *     g = dy / den                 h = -(dy y) / den
 *     dq = (g ST + h z) [q > 0]    dS = sum_i a_iT g_i    dz = sum_i h_i a_i
 *     dv = b dS                    dk = (v dST + dz) [k > 0]
 *
 * S and z are made again from k and v; dS and dz have the layout of a state and are summed over
 * chunks of queries in the same way. Plain loops: this is run in training only. */
#include <string.h>

#include "op/linear_attention.h"

enum { IN_Q, IN_K, IN_V, IN_DY };

typedef struct lin_grad_run {
    lin_shape s;
    attn_side q, k, v, dy, dq, dk, dv;
    float *states, *dstates, *blocks, *vectors;
    int64_t chunk, chunks, state_chunks;
} lin_grad_run;

/* Five vectors as wide as a state, a thread. */
static int64_t vector_values(const lin_shape *s) {
    return s->ld + s->width;
}

static void load(const void *row, const lin_shape *s, bool positive, float *out) {
    for (int64_t d = 0; d < vector_values(s); d++) out[d] = 0.0f;
    for (int64_t d = 0; d < s->dim; d++) {
        float x = s->half ? fr_bf16_to_f32(((const uint16_t *)row)[d]) : ((const float *)row)[d];
        out[d] = positive && x < 0.0f ? 0.0f : x;
    }
}

/* Where the input was not above zero the gradient stops. */
static void save(void *row, const lin_shape *s, const float *gate, const float *x) {
    for (int64_t d = 0; d < s->dim; d++) {
        float value = gate && gate[d] <= 0.0f ? 0.0f : x[d];
        if (s->half)
            ((uint16_t *)row)[d] = fr_f32_to_bf16(value);
        else
            ((float *)row)[d] = value;
    }
}

/* out = x S */
static void through(const lin_shape *s, const float *state, const float *x, float *out) {
    memset(out, 0, (size_t)s->width * sizeof *out);
    for (int p = 0; p < s->panels; p++)
        for (int64_t d = 0; d < s->dim; d++) {
            const float *line = state + (p * s->ld + d) * s->lanes;
            for (int e = 0; e < s->lanes; e++) out[p * s->lanes + e] += x[d] * line[e];
        }
}

/* out = x ST + scale z */
static void back(const lin_shape *s, const float *state, const float *x, float scale, float *out) {
    const float *z = state + s->ld * s->width;
    for (int64_t d = 0; d < s->dim; d++) {
        float sum = scale * z[d];
        for (int p = 0; p < s->panels; p++) {
            const float *line = state + (p * s->ld + d) * s->lanes;
            for (int e = 0; e < s->lanes; e++) sum += x[p * s->lanes + e] * line[e];
        }
        out[d] = sum;
    }
}

/* S += aT g, z += h a */
static void add(const lin_shape *s, float *state, const float *a, const float *g, float h) {
    float *z = state + s->ld * s->width;
    for (int p = 0; p < s->panels; p++)
        for (int64_t d = 0; d < s->dim; d++) {
            float *line = state + (p * s->ld + d) * s->lanes;
            for (int e = 0; e < s->lanes; e++) line[e] += a[d] * g[p * s->lanes + e];
        }
    for (int64_t d = 0; d < s->dim; d++) z[d] += h * a[d];
}

static void query_item(void *arg, size_t thread, size_t i) {
    const lin_grad_run *r = arg;
    const lin_shape *s = &r->s;
    const int64_t pair = (int64_t)i / r->chunks, b = pair / s->heads, h = pair % s->heads;
    const int64_t first = (int64_t)i % r->chunks * r->chunk, end = FR_MIN(first + r->chunk, s->m);
    const float *state = r->states + pair * r->state_chunks * s->state;
    const float *z = state + s->ld * s->width;
    float *dstate = r->dstates + (int64_t)i * s->state;
    const int64_t size = vector_values(s);
    float *a = r->vectors + (int64_t)thread * 4 * size, *g = a + size, *num = g + size;
    float *da = num + size;
    memset(dstate, 0, (size_t)s->state * sizeof *dstate);
    for (int64_t t = first; t < end; t++) {
        load(attn_row(&r->q, b, t, h), s, true, a);
        load(attn_row(&r->dy, b, t, h), s, false, g);
        through(s, state, a, num);
        float den = s->eps, dot = 0.0f;
        for (int64_t d = 0; d < s->dim; d++) den += a[d] * z[d];
        for (int64_t d = 0; d < s->dim; d++) {
            g[d] /= den;
            dot -= g[d] * num[d];
        }
        dot /= den;
        back(s, state, g, dot, da);
        save(attn_row(&r->dq, b, t, h), s, a, da);
        add(s, dstate, a, g, dot);
    }
}

static void key_item(void *arg, size_t thread, size_t i) {
    const lin_grad_run *r = arg;
    const lin_shape *s = &r->s;
    const int64_t tiles = (s->n + 63) / 64, pair = (int64_t)i / tiles;
    const int64_t b = pair / s->heads, h = pair % s->heads, first = (int64_t)i % tiles * 64;
    const float *dstate = r->dstates + pair * r->chunks * s->state;
    const int64_t size = vector_values(s);
    float *k = r->vectors + (int64_t)thread * 4 * size, *v = k + size, *out = v + size;
    for (int64_t t = first; t < FR_MIN(first + 64, s->n); t++) {
        load(attn_row(&r->k, b, t, h), s, true, k);
        load(attn_row(&r->v, b, t, h), s, false, v);
        through(s, dstate, k, out);
        save(attn_row(&r->dv, b, t, h), s, NULL, out);
        back(s, dstate, v, 1.0f, out);
        save(attn_row(&r->dk, b, t, h), s, k, out);
    }
}

static fr_status shape(const fr_call *c) {
    const fr_tensor *q = &c->in[IN_Q], *dy = &c->in[IN_DY];
    char have[FR_SHAPE_TEXT], want[FR_SHAPE_TEXT];
    FR_TRY(lin_check("linear_attention_grad", q, &c->in[IN_K], &c->in[IN_V], c->attr));
    if (dy->dtype != q->dtype || !fr_same_shape(dy, q))
        return fr_fail(FR_INVALID, "linear_attention_grad: dy is %s and must be %s",
                       fr_shape_text(dy, have), fr_shape_text(q, want));
    for (int i = 0; i < 3; i++) {
        c->out[i].dtype = c->in[i].dtype;
        c->out[i].rank = 4;
        for (int d = 0; d < 4; d++) c->out[i].dim[d] = c->in[i].dim[d];
    }
    return FR_OK;
}

static void carve(lin_grad_run *r, const fr_call *c, attn_carve *space) {
    const lin_shape *s = &r->s;
    const int64_t threads = fr_pool_threads(c->pool);
    r->states = attn_take(space, lin_state_values(s, s->n), sizeof(float));
    r->dstates = attn_take(space, lin_state_values(s, s->m), sizeof(float));
    r->blocks = attn_take(space, lin_thread_values(s) * threads, sizeof(float));
    r->vectors = attn_take(space, threads * 4 * vector_values(s), sizeof(float));
}

static lin_grad_run run_of(const fr_call *c) {
    return (lin_grad_run){
        .s = lin_shape_of(&c->in[IN_Q], &c->in[IN_K], ((const lin_attr *)c->attr)->eps),
        .q = attn_side_of(&c->in[IN_Q]),
        .k = attn_side_of(&c->in[IN_K]),
        .v = attn_side_of(&c->in[IN_V]),
        .dy = attn_side_of(&c->in[IN_DY]),
        .dq = attn_side_of(&c->out[0]),
        .dk = attn_side_of(&c->out[1]),
        .dv = attn_side_of(&c->out[2])};
}

/* Nothing to sum over: then the gradients are zero, where there are any. */
static bool no_pairs(const fr_call *c) {
    return !fr_values(&c->in[IN_Q]) || !fr_values(&c->in[IN_K]);
}

static size_t scratch(const fr_call *c) {
    lin_grad_run r = run_of(c);
    attn_carve space = {0};
    if (no_pairs(c)) return 0;
    carve(&r, c, &space);
    return space.used;
}

static fr_status run(const fr_call *c) {
    lin_grad_run r = run_of(c);
    const lin_shape *s = &r.s;
    if (no_pairs(c)) {
        for (int i = 0; i < 3; i++) memset(c->out[i].data, 0, fr_bytes(&c->out[i]));
        return FR_OK;
    }
    attn_carve space = {.base = c->scratch};
    carve(&r, c, &space);
    r.chunk = lin_chunk(s->m);
    r.chunks = FR_MAX_OF(lin_chunks(s->m), (int64_t)1);
    r.state_chunks = FR_MAX_OF(lin_chunks(s->n), (int64_t)1);
    lin_states(s, &c->in[IN_K], &c->in[IN_V], r.states, r.blocks, c->pool);
    fr_pool_run_thread(c->pool, (size_t)(s->batch * s->heads * r.chunks), query_item, &r);
    lin_join(s, r.chunks, r.dstates, c->pool);
    const int64_t tiles = (s->n + 63) / 64;
    fr_pool_run_thread(c->pool, (size_t)(s->batch * s->heads * tiles), key_item, &r);
    return FR_OK;
}

static void cost(const fr_call *c, fr_cost *out) {
    lin_shape s = lin_shape_of(&c->in[IN_Q], &c->in[IN_K], 0.0f);
    out->ops =
        (double)(s.batch * s.heads) * (double)(s.m + s.n) * (double)s.dim * 6.0 * (double)s.dim;
}

const fr_op fr_op_linear_attention_grad = {
    .name = "linear_attention_grad",
    .nin_min = 4,
    .nin_max = 4,
    .nout = 3,
    .flags = FR_OP_NO_GRAD,
    .strided = 7,
    .attr_bytes = sizeof(lin_attr),
    .fields = lin_fields,
    .shape = shape,
    .run = run,
    .scratch = scratch,
    .cost = cost,
};

fr_status lin_grad_rule(fr_grad *r) {
    if (r->dout[0] == FR_NONE) return FR_OK;
    const fr_val in[4] = {r->in[0], r->in[1], r->in[2], r->dout[0]};
    fr_val first = fr_emit(r->g, &fr_op_linear_attention_grad, 4, in, r->attr);
    for (int i = 0; i < 3; i++)
        if (r->need[i]) r->din[i] = first == FR_NONE ? FR_NONE : first + i;
    return FR_OK;
}
