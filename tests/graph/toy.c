/* toy.c: the toys, and an interpreter that knows nothing of plans. */
#include "toy.h"

int toy_packs, toy_unpacked_runs;

void toy_good(fr_status st) {
    if (st != FR_OK) fail_msg("%s", fr_message());
}

void toy_says(const char *words) {
    if (!strstr(fr_message(), words)) fail_msg("'%s' lacks '%s'", fr_message(), words);
}

static fr_status like_first(const fr_call *c) {
    for (int i = 0; i < c->nout; i++) c->out[i] = c->in[0];
    return FR_OK;
}

static fr_status like_both(const fr_call *c) {
    if (!fr_same_shape(&c->in[0], &c->in[1])) return fr_fail(FR_INVALID, "the shapes differ");
    return like_first(c);
}

static fr_status mix_run(const fr_call *c) {
    const uint32_t *a = c->in[0].data, *b = c->in[1].data;
    uint32_t *out = c->out[0].data;
    for (int64_t i = 0; i < fr_values(&c->out[0]); i++)
        out[i] = a[i] * 1664525u + b[i] * 22695477u + 1;
    return FR_OK;
}
const fr_op toy_mix = {.name = "mix",
                       .nin_min = 2,
                       .nin_max = 2,
                       .nout = 1,
                       .flags = FR_OP_INPLACE0 | FR_OP_INPLACE1,
                       .shape = like_both,
                       .run = mix_run};

static size_t rotate_scratch(const fr_call *c) {
    return fr_bytes(&c->out[0]);
}
static fr_status rotate_run(const fr_call *c) {
    const uint32_t *a = c->in[0].data;
    uint32_t *out = c->out[0].data, *s = c->scratch;
    int64_t n = fr_values(&c->out[0]);
    if ((uintptr_t)s % FR_ALIGN) return fr_fail(FR_INVALID, "scratch is not aligned");
    for (int64_t i = 0; i < n; i++) s[i] = a[(i + 1) % n];
    for (int64_t i = 0; i < n; i++) out[i] = s[i] + 3;
    return FR_OK;
}
const fr_op toy_rotate = {.name = "rotate",
                          .nin_min = 1,
                          .nin_max = 1,
                          .nout = 1,
                          .shape = like_first,
                          .scratch = rotate_scratch,
                          .run = rotate_run};

static fr_status two_run(const fr_call *c) {
    const uint32_t *a = c->in[0].data;
    uint32_t *x = c->out[0].data, *y = c->out[1].data;
    for (int64_t i = 0; i < fr_values(&c->out[0]); i++) {
        uint32_t v = a[i];
        x[i] = v + 1;
        y[i] = v * 3;
    }
    return FR_OK;
}
const fr_op toy_two = {.name = "two",
                       .nin_min = 1,
                       .nin_max = 1,
                       .nout = 2,
                       .flags = FR_OP_INPLACE0,
                       .shape = like_first,
                       .run = two_run};

static fr_status strided_run(const fr_call *c) {
    fr_tensor x = c->in[0];
    uint32_t *out = c->out[0].data;
    fr_copy_contiguous(&x, out);
    for (int64_t i = 0; i < fr_values(&c->out[0]); i++) out[i] = out[i] * 7 + 1;
    return FR_OK;
}
const fr_op toy_strided = {.name = "strided",
                           .nin_min = 1,
                           .nin_max = 1,
                           .nout = 1,
                           .strided = 1,
                           .shape = like_first,
                           .run = strided_run};

static fr_status weave_run(const fr_call *c) {
    const uint32_t *a = c->in[0].data, *b = c->in[1].data;
    uint32_t *out = c->out[0].data;
    const fr_tensor *t = &c->in[1];
    if (t->rank != 3) return fr_fail(FR_INVALID, "weave is for three axes");
    for (int64_t i = 0; i < t->dim[0]; i++)
        for (int64_t j = 0; j < t->dim[1]; j++)
            for (int64_t k = 0; k < t->dim[2]; k++, a++, out++)
                *out = *a * 5 + b[i * t->stride[0] + j * t->stride[1] + k * t->stride[2]] * 9;
    return FR_OK;
}
const fr_op toy_weave = {.name = "weave",
                         .nin_min = 2,
                         .nin_max = 2,
                         .nout = 1,
                         .flags = FR_OP_INPLACE0,
                         .strided = 2,
                         .shape = like_both,
                         .run = weave_run};

static fr_status fail_run(const fr_call *c) {
    (void)c;
    return fr_fail(FR_INVALID, "it broke");
}
const fr_op toy_fail = {
    .name = "fail", .nin_min = 1, .nin_max = 1, .nout = 1, .shape = like_first, .run = fail_run};

static fr_status refuse_shape(const fr_call *c) {
    (void)c;
    return fr_fail(FR_INVALID, "no shape is good enough");
}
const fr_op toy_refuse = {.name = "refuse",
                          .nin_min = 0,
                          .nin_max = 3,
                          .nout = 1,
                          .shape = refuse_shape,
                          .run = fail_run};

const fr_op toy_wide = {.name = "wide",
                        .nin_min = 1,
                        .nin_max = 1,
                        .nout = 1,
                        .attr_bytes = FR_ATTR_MAX + 1,
                        .shape = like_first,
                        .run = fail_run};

static uint32_t sum_of(const fr_tensor *w) {
    uint32_t s = 0;
    for (int64_t i = 0; i < fr_values(w); i++) s += ((const uint32_t *)w->data)[i];
    return s;
}
static size_t pack_bytes(const fr_call *c) {
    (void)c;
    return sizeof(uint32_t);
}
static fr_status pack(const fr_call *c, void *out) {
    toy_packs++;
    *(uint32_t *)out = sum_of(&c->in[1]);
    return FR_OK;
}
static fr_status pack_run(const fr_call *c) {
    uint32_t s;
    if (c->packed) {
        s = *(const uint32_t *)c->packed;
    } else {
        s = sum_of(&c->in[1]);
        toy_unpacked_runs++;
    }
    for (int64_t i = 0; i < fr_values(&c->out[0]); i++)
        ((uint32_t *)c->out[0].data)[i] = ((const uint32_t *)c->in[0].data)[i] + s;
    return FR_OK;
}
const fr_op toy_pack = {.name = "pack",
                        .nin_min = 2,
                        .nin_max = 2,
                        .nout = 1,
                        .pack_inputs = 2,
                        .shape = like_first,
                        .pack_bytes = pack_bytes,
                        .pack = pack,
                        .run = pack_run};

/* ---- the interpreter ---- */

static void run_plain(fr_graph *g, const fr_node *n, fr_tensor *value) {
    fr_tensor in[64] = {0}, out[8] = {0};
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] != FR_NONE) in[i] = value[n->in[i]];
    fr_call c = {
        .op = n->op, .attr = n->attr, .nin = n->nin, .nout = n->nout, .in = in, .out = out};
    toy_good(n->op->shape(&c));
    for (int i = 0; i < n->nout; i++) {
        fr_set_contiguous(&out[i]);
        bool state = (n->op->flags & FR_OP_STATE) && i == 0;
        out[i].data = state ? in[0].data : fr_alloc(FR_MEM_OTHER, fr_bytes(&out[i]));
    }
    c.scratch = n->op->scratch ? fr_alloc(FR_MEM_OTHER, n->op->scratch(&c)) : NULL;
    toy_good(n->op->run(&c));
    fr_free(c.scratch);
    for (int i = 0; i < n->nout; i++) value[n->out0 + i] = out[i];
    (void)g;
}

void toy_interpret(fr_session *s, fr_graph *g, const fr_tensor *inputs, fr_tensor *out) {
    fr_tensor *value = fr_alloc(FR_MEM_OTHER, g->value_count * sizeof *value);
    for (size_t v = 0; v < g->value_count; v++) {
        const fr_value *x = g->values[v];
        if (x->kind == FR_VALUE_INPUT) {
            value[v] = inputs[x->input];
            continue;
        }
        value[v] = x->desc;
        if (x->kind == FR_VALUE_NODE || x->kind == FR_VALUE_CONST) continue;
        const fr_tensor *t = fr_session_tensor(s, (fr_val)v);
        if (!t) continue;
        value[v].data = fr_alloc(FR_MEM_OTHER, fr_bytes(t));
        memcpy(value[v].data, t->data, fr_bytes(t));
    }
    for (size_t i = 0; i < g->node_count; i++) run_plain(g, g->nodes[i], value);
    for (size_t i = 0; i < g->output_count; i++) {
        out[i] = value[g->outputs[i]];
        out[i].data = fr_alloc(FR_MEM_OTHER, fr_bytes(&out[i]));
        memcpy(out[i].data, value[g->outputs[i]].data, fr_bytes(&out[i]));
    }
    for (size_t v = 0; v < g->value_count; v++) {
        const fr_value *x = g->values[v];
        bool state_out =
            x->kind == FR_VALUE_NODE && x->out == 0 && (g->nodes[x->node]->op->flags & FR_OP_STATE);
        if (x->kind != FR_VALUE_INPUT && x->kind != FR_VALUE_CONST && !state_out)
            fr_free(value[v].data);
    }
    fr_free(value);
}
