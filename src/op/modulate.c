/* modulate.c: what an adaptive norm does with its conditioning: x * (1 + scale) + shift, and
 * residual + gate * x (Peebles & Xie, Scalable diffusion models with transformers, 2022). */
#include "op/each.h"
#include "op/grads.h"

static fr_status modulate_shape(const fr_call *c) {
    FR_TRY(fr_want_float("operand of modulate", &c->in[0]));
    FR_TRY(fr_want_float("scale of modulate", &c->in[1]));
    FR_TRY(fr_broadcasts_to("scale", &c->in[1], &c->in[0]));
    if (fr_has(c, 2)) {
        FR_TRY(fr_want_float("shift of modulate", &c->in[2]));
        FR_TRY(fr_broadcasts_to("shift", &c->in[2], &c->in[0]));
    }
    fr_like(&c->out[0], &c->in[0]);
    return FR_OK;
}

static void modulate_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                          float *const *out) {
    (void)step;
    fr_kernel()->rows.modulate(in[0], in[1], arg ? in[2] : NULL, n, out[0]);
}

static fr_status modulate_run(const fr_call *c) {
    bool shift = fr_has(c, 2);
    return fr_each_call(c, modulate_each, shift ? c : NULL, shift ? 3 : 2);
}

static fr_status modulate_grad(fr_grad *r) {
    fr_graph *g = r->g;
    fr_val x = r->in[0], scale = r->in[1], shift = r->nin > 2 ? r->in[2] : FR_NONE;
    fr_val dy = r->dout[0];
    if (dy == FR_NONE) return FR_OK;
    if (r->need[0]) r->din[0] = fr_as_type(g, fr_modulate(g, dy, scale, FR_NONE), x);
    if (r->need[1]) r->din[1] = fr_unbroadcast(g, fr_mul(g, dy, x), scale);
    if (shift != FR_NONE && r->need[2]) r->din[2] = fr_unbroadcast(g, dy, shift);
    return FR_OK;
}

/* ---- residual, gate, x ---- */

static fr_status gated_shape(const fr_call *c) {
    FR_TRY(fr_want_float("residual of gated_add", &c->in[0]));
    FR_TRY(fr_want_float("gate of gated_add", &c->in[1]));
    FR_TRY(fr_want_float("operand of gated_add", &c->in[2]));
    FR_TRY(fr_broadcasts_to("gate", &c->in[1], &c->in[0]));
    FR_TRY(fr_broadcasts_to("operand", &c->in[2], &c->in[0]));
    fr_like(&c->out[0], &c->in[0]);
    return FR_OK;
}

static void gated_each(const void *arg, const float *const *in, const size_t *step, size_t n,
                       float *const *out) {
    (void)arg;
    (void)step;
    fr_kernel()->rows.mul_add(in[1], in[2], in[0], n, out[0]);
}

static fr_status gated_run(const fr_call *c) {
    return fr_each_call(c, gated_each, NULL, 3);
}

static fr_status gated_grad(fr_grad *r) {
    fr_graph *g = r->g;
    fr_val dy = r->dout[0];
    if (dy == FR_NONE) return FR_OK;
    if (r->need[0]) r->din[0] = fr_as_type(g, dy, r->in[0]);
    if (r->need[1]) r->din[1] = fr_unbroadcast(g, fr_mul(g, dy, r->in[2]), r->in[1]);
    if (r->need[2]) r->din[2] = fr_unbroadcast(g, fr_mul(g, dy, r->in[1]), r->in[2]);
    return FR_OK;
}

static void two_ops_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = 2 * (double)fr_values(&c->out[0]);
    for (int i = 0; i < c->nin; i++)
        if (fr_has(c, i)) cost->read += (double)fr_bytes(&c->in[i]);
    cost->write = (double)fr_bytes(&c->out[0]);
}

const fr_op fr_op_modulate = {
    .name = "modulate",
    .nin_min = 2,
    .nin_max = 3,
    .nout = 1,
    .flags = FR_OP_INPLACE0,
    .strided = 7,
    .shape = modulate_shape,
    .run = modulate_run,
    .grad = modulate_grad,
    .cost = two_ops_cost,
};
const fr_op fr_op_gated_add = {
    .name = "gated_add",
    .nin_min = 3,
    .nin_max = 3,
    .nout = 1,
    .flags = FR_OP_INPLACE0,
    .strided = 7,
    .shape = gated_shape,
    .run = gated_run,
    .grad = gated_grad,
    .cost = two_ops_cost,
};

fr_val fr_modulate(fr_graph *g, fr_val x, fr_val scale, fr_val shift) {
    return fr_emit(g, &fr_op_modulate, shift == FR_NONE ? 2 : 3, (fr_val[]){x, scale, shift}, NULL);
}
fr_val fr_gated_add(fr_graph *g, fr_val residual, fr_val gate, fr_val x) {
    return fr_emit(g, &fr_op_gated_add, 3, (fr_val[]){residual, gate, x}, NULL);
}
