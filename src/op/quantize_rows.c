/* quantize_rows.c: rows of activations in few bits for qlinear, with the norm, product or function before
 * them and the low-rank branch's first half in the same pass; the work is done by qrows.c.
 *
 * Inputs: x, weight, bias, scale, shift, up, by, down. Outputs: the rows as bytes, and `low`, which has no
 * columns where there is no `down`. There is no gradient: training sees floats. */
#include "op/each.h"
#include "op/norm.h"
#include "op/qrows.h"

#include <math.h>

enum { X, WEIGHT, BIAS, SCALE, SHIFT, UP, BY, DOWN, INPUTS };
static const char *const names[INPUTS] = {"x",     "weight", "bias", "scale",
                                          "shift", "up",     "by",   "down"};

typedef struct rows_attr {
    int32_t kind, group; /* fr_rows_kind */
    int32_t before, fn;  /* fr_before, fr_fn */
    float eps, add;
} rows_attr;

/* ---- the shape rule ---- */

static bool is_norm(const rows_attr *a) {
    return a->before == FR_BEFORE_RMSNORM || a->before == FR_BEFORE_LAYERNORM;
}

/* Whether the last axis of x holds gate then up. */
static bool is_merged(const fr_call *c) {
    return ((const rows_attr *)c->attr)->before == FR_BEFORE_GLU && !fr_has(c, UP);
}

static fr_status check_attr(const rows_attr *a) {
    if (a->kind == FR_ROWS_FLOAT || !fr_attr_word(FR_ATTR_ROWS, a->kind))
        return fr_fail(FR_INVALID, "Rows in few bits are int8, int4, uint4, nvfp4, fp8 or bf16.");
    bool fits = a->group == 32 || a->group == 64 || a->group == 128;
    if (a->group && (a->kind != FR_ROWS_BF16 || !fits))
        return fr_fail(FR_INVALID,
                       "Rows of %s cannot have groups of %d: those of bf16 have 32, 64 or 128, the "
                       "others their own.",
                       fr_attr_word(FR_ATTR_ROWS, a->kind), a->group);
    if (!fr_attr_word(FR_ATTR_BEFORE, a->before))
        return fr_fail(FR_INVALID, "Nothing with number %d can stand before rows in few bits.",
                       a->before);
    if (!fr_attr_word(FR_ATTR_FN, a->fn))
        return fr_fail(FR_INVALID, "There is no function with number %d.", a->fn);
    if (!isfinite(a->add))
        return fr_fail(FR_INVALID, "What is added to rows is a number, not %g.", (double)a->add);
    if (!is_norm(a)) return FR_OK;
    return fr_norm_check(&(fr_norm_attr){a->eps, a->before == FR_BEFORE_LAYERNORM, 0},
                         a->before == FR_BEFORE_LAYERNORM);
}

/* Operands that stand without what they belong to. */
static fr_status check_company(const fr_call *c) {
    const rows_attr *a = c->attr;
    for (int i = WEIGHT; i <= SHIFT; i++) {
        bool welcome = i == BIAS ? a->before == FR_BEFORE_LAYERNORM : is_norm(a);
        if (fr_has(c, i) && !welcome)
            return fr_fail(FR_INVALID, "The %s belongs to a %s, and before these rows there is %s.",
                           names[i], i == BIAS ? "layernorm" : "norm",
                           fr_attr_word(FR_ATTR_BEFORE, a->before));
    }
    if (fr_has(c, UP) && a->before != FR_BEFORE_GLU)
        return fr_fail(FR_INVALID,
                       "The up operand belongs to a gated unit, and before these rows "
                       "there is %s.",
                       fr_attr_word(FR_ATTR_BEFORE, a->before));
    return FR_OK;
}

/* The values of a row; 0 when x has none. */
static int64_t width_of(const fr_call *c) {
    const fr_tensor *x = &c->in[X];
    int64_t last = x->rank < 1 ? 0 : x->dim[x->rank - 1];
    return is_merged(c) ? (last % 2 ? 0 : last / 2) : last;
}

static fr_status check_x(const fr_call *c) {
    char text[FR_SHAPE_TEXT];
    const fr_tensor *x = &c->in[X];
    FR_TRY(fr_want_float("operand of quantize_rows", x));
    int64_t k = width_of(c);
    if (k < 1)
        return fr_fail(FR_INVALID, "%s has no rows%s.", fr_shape_text(x, text),
                       is_merged(c) ? " of gate then up" : "");
    if (k > FR_Q_MAX_K)
        return fr_fail(FR_UNSUPPORTED, "Rows in few bits have at most %d values, and %s has more.",
                       FR_Q_MAX_K, fr_shape_text(x, text));
    return FR_OK;
}

static fr_status check_operand(const fr_call *c, int i) {
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    const fr_tensor *t = &c->in[i], *x = &c->in[X];
    int64_t k = width_of(c);
    bool fits = t->rank >= 1 && t->dim[t->rank - 1] == k;
    FR_TRY(fr_want_float(names[i], t));
    if (i == UP)
        fits = fr_same_shape(t, x);
    else if (i == DOWN)
        fits = fits && t->rank == 2 && t->dim[0] >= 1;
    else if (i != SCALE && i != SHIFT)
        fits = fits && t->rank == 1;
    else
        FR_TRY(fr_broadcasts_to(names[i], t, x));
    if (fits) return FR_OK;
    return fr_fail(FR_INVALID, "The %s is %s, which does not fit the rows of %s.", names[i],
                   fr_shape_text(t, a), fr_shape_text(x, b));
}

static fr_qrow row_of(const fr_call *c) {
    const rows_attr *a = c->attr;
    fr_qrow row;
    fr_qrow_of((fr_rows_kind)a->kind, width_of(c), a->group, &row);
    return row;
}

static fr_status rows_shape(const fr_call *c) {
    if (!fr_has(c, X)) return fr_fail(FR_INVALID, "quantize_rows needs x.");
    FR_TRY(check_attr(c->attr));
    FR_TRY(check_company(c));
    FR_TRY(check_x(c));
    for (int i = WEIGHT; i < INPUTS; i++)
        if (fr_has(c, i)) FR_TRY(check_operand(c, i));
    for (int i = 0; i < 2; i++) {
        fr_like(&c->out[i], &c->in[X]);
        c->out[i].dtype = i ? FR_F32 : FR_U8;
    }
    int last = c->in[X].rank - 1;
    c->out[0].dim[last] = (int64_t)row_of(c).bytes;
    c->out[1].dim[last] = fr_has(c, DOWN) ? c->in[DOWN].dim[0] : 0;
    return FR_OK;
}

/* ---- run ---- */

/* What fr_qrows points at, and the scratch memory: `down` unless it is packed already, the vectors that
 * are not f32, then what the rows need. */
typedef struct rows_call {
    fr_qrows q;
    fr_tensor x, up; /* gate and up of a merged x are views */
    size_t down_bytes, vector_bytes;
} rows_call;

static rows_call look(const fr_call *c) {
    const rows_attr *a = c->attr;
    rows_call r = {.x = c->in[X]};
    r.x.dim[r.x.rank - 1] = width_of(c);
    r.up = fr_has(c, UP) ? c->in[UP] : r.x;
    if (is_merged(c) && r.x.data)
        r.up.data = (char *)r.x.data + (size_t)width_of(c) * (r.x.dtype == FR_F32 ? 4 : 2);
    r.q = (fr_qrows){.row = row_of(c),
                     .m = 1,
                     .before = (fr_before)a->before,
                     .fn = (fr_fn)a->fn,
                     .eps = a->eps,
                     .add = a->add,
                     .rank = fr_has(c, DOWN) ? c->in[DOWN].dim[0] : 0};
    for (int i = 0; i < c->in[X].rank - 1; i++) r.q.m *= c->in[X].dim[i];
    if (r.q.rank && !c->packed)
        r.down_bytes = fr_round_up(fr_qrows_down_bytes(r.q.rank, r.q.row.k), FR_ALIGN);
    r.vector_bytes = fr_round_up((size_t)r.q.row.k * 4, FR_ALIGN);
    return r;
}

static const float *vector(const fr_call *c, int i, char **scratch, size_t bytes) {
    if (!fr_has(c, i)) return NULL;
    float *buf = (float *)*scratch;
    *scratch += bytes;
    return fr_block_in(&c->in[i], 0, (size_t)c->in[i].dim[0], buf);
}

static size_t rows_scratch(const fr_call *c) {
    rows_call r = look(c);
    return r.down_bytes + 3 * r.vector_bytes + fr_qrows_scratch(&r.q, c->pool);
}

static fr_status rows_run(const fr_call *c) {
    rows_call r = look(c);
    char *scratch = c->scratch;
    if (!r.q.m) return FR_OK;
    r.q.view = &r.x;
    if (r.q.before == FR_BEFORE_GLU) r.q.up = &r.up;
    if (fr_has(c, SCALE)) r.q.scale = &c->in[SCALE];
    if (fr_has(c, SHIFT)) r.q.shift = &c->in[SHIFT];
    r.q.down_packed = c->packed;
    if (r.down_bytes) {
        fr_qrows_down_pack(&c->in[DOWN], scratch);
        r.q.down_packed = scratch;
        scratch += r.down_bytes;
    }
    r.q.weight = vector(c, WEIGHT, &scratch, r.vector_bytes);
    r.q.bias = vector(c, BIAS, &scratch, r.vector_bytes);
    r.q.by = vector(c, BY, &scratch, r.vector_bytes);
    r.q.records = c->out[0].data;
    r.q.low = c->out[1].data;
    fr_qrows_run(&r.q, scratch, c->pool);
    return FR_OK;
}

static size_t rows_pack_bytes(const fr_call *c) {
    return fr_has(c, DOWN) ? fr_qrows_down_bytes(c->in[DOWN].dim[0], c->in[DOWN].dim[1]) : 0;
}

static fr_status rows_pack(const fr_call *c, void *out) {
    fr_qrows_down_pack(&c->in[DOWN], out);
    return FR_OK;
}

/* Finding the largest value, dividing and rounding; what comes before counts as its own operators do. */
static void rows_cost(const fr_call *c, fr_cost *cost) {
    const rows_attr *a = c->attr;
    fr_qrows q = look(c).q;
    double each = 3 + (a->add != 0) + fr_has(c, BY) + 2 * (double)q.rank;
    if (is_norm(a)) each += a->before == FR_BEFORE_LAYERNORM ? 7 : 4;
    for (int i = WEIGHT; i <= SHIFT; i++) each += fr_has(c, i);
    if (a->before == FR_BEFORE_GLU) each += 13;
    if (a->before == FR_BEFORE_FN) each += 1;
    cost->ops = each * (double)q.m * (double)q.row.k;
}

static const fr_attr_field rows_fields[] = {
    {"kind", FR_ATTR_ROWS, offsetof(rows_attr, kind), 0},
    {"group", FR_ATTR_I32, offsetof(rows_attr, group), 0},
    {"before", FR_ATTR_BEFORE, offsetof(rows_attr, before), 0},
    {"fn", FR_ATTR_FN, offsetof(rows_attr, fn), 0},
    {"eps", FR_ATTR_F32, offsetof(rows_attr, eps), 0},
    {"add", FR_ATTR_F32, offsetof(rows_attr, add), 0},
    {0},
};

const fr_op fr_op_quantize_rows = {
    .name = "quantize_rows",
    .nin_min = 1,
    .nin_max = INPUTS,
    .nout = 2,
    .flags = FR_OP_NO_GRAD,
    .strided = 1u << X | 1u << SCALE | 1u << SHIFT | 1u << UP,
    .attr_bytes = sizeof(rows_attr),
    .fields = rows_fields,
    .shape = rows_shape,
    .run = rows_run,
    .scratch = rows_scratch,
    .pack_inputs = 1u << DOWN,
    .pack_bytes = rows_pack_bytes,
    .pack = rows_pack,
    .cost = rows_cost,
};

fr_val fr_quantize_rows(fr_graph *g, fr_val x, const fr_quantize_opts *opts, fr_val *low) {
    rows_attr a = {.kind = (int32_t)opts->kind,
                   .group = opts->group,
                   .before = (int32_t)opts->before,
                   .fn = (int32_t)opts->fn,
                   .eps = opts->eps,
                   .add = opts->add};
    fr_val in[INPUTS] = {x,           opts->weight, opts->bias, opts->scale,
                         opts->shift, opts->up,     opts->by,   opts->down};
    fr_val rows = fr_emit(g, &fr_op_quantize_rows, INPUTS, in, &a);
    if (low) *low = rows == FR_NONE ? FR_NONE : rows + 1;
    return rows;
}
