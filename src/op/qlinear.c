/* qlinear.c: act(x wT + low upT + bias) + residual, with the weight in few bits, in any format that has a
 * product (qgemm.h). x is floats, or rows that fr_quantize_rows or another qlinear made; what comes out is
 * floats or the rows of the next product. The two halves of a low-rank branch (SVDQuant) ride along: `down`
 * reads x where it is made into rows, `up` adds to a tile before it is stored.
 *
 * The parts of a weight that never changes, and the branches, are packed once. */
#include <string.h>

#include "op/qlinear.h"

/* ---- the constructor ---- */

static int32_t format_place(const char *name) {
    for (int32_t i = 0; name && fr_formats[i]; i++)
        if (!strcmp(fr_formats[i]->name, name)) return i + 1;
    return 0;
}

bool fr_qlinear_takes(const char *format, int64_t n, int64_t k) {
    fr_qweights w;
    int32_t place = format_place(format);
    if (place && fr_qweights_of(fr_formats[place - 1], FR_ROWS_FLOAT, n, k, &w) == FR_OK)
        return true;
    fr_message_clear();
    return false;
}

fr_rows_kind fr_qlinear_rows(const fr_qlinear_attr *a, int32_t *group) {
    const fr_qformat *f = fr_formats[a->format - 1];
    fr_qweights w = {.rows = FR_ROWS_FLOAT};
    if (fr_qweights_of(f, (fr_rows_kind)a->rows, a->n, a->k, &w)) fr_message_clear();
    *group = w.rows == FR_ROWS_BF16 ? w.panel.group : 0;
    return w.rows;
}

fr_val fr_qlinear(fr_graph *g, fr_val x, const fr_qweight *w, const fr_qlinear_opts *opts,
                  fr_val *next_low) {
    static const fr_qlinear_opts none;
    if (!opts) opts = &none;
    if (next_low) *next_low = FR_NONE;
    fr_qlinear_attr a = {.format = format_place(w->format), .n = w->n, .k = w->k};
    if (!a.format)
        return fr_emit_fail(g, fr_fail(FR_INVALID, "There is no format '%s' for a weight.",
                                       w->format ? w->format : ""));
    a.rows = (int32_t)opts->rows, a.act = (int32_t)opts->act, a.out = (int32_t)opts->out;
    if (!a.out) a.out = fr_desc(g, x)->dtype == FR_BF16 ? FR_BF16 : FR_F32;
    a.next = (int32_t)opts->next, a.next_group = opts->next_group;
    a.add = opts->add, a.next_add = opts->next_add;
    fr_val in[INPUTS] = {
        [X] = x,
        [BY] = opts->by,
        [DOWN] = opts->down,
        [LOW] = opts->low,
        [UP] = opts->up,
        [BIAS] = opts->bias,
        [RESIDUAL] = opts->residual,
        [NEXT_BY] = opts->next_by,
        [NEXT_DOWN] = opts->next_down,
    };
    for (int i = 0; i < FR_PARTS; i++) in[PARTS + i] = w->part[i];
    fr_val y = fr_emit(g, &fr_op_qlinear, INPUTS, in, &a);
    if (next_low && y != FR_NONE && opts->next_down != FR_NONE) *next_low = y + 1;
    return y;
}

/* ---- what a call is ---- */

typedef struct parsed {
    const fr_qformat *format;
    fr_qweights w;
    fr_qrow row, next;
    bool floats; /* x is */
    int64_t m, rank, next_rank;
    size_t weight_bytes, down_bytes, up_bytes, next_down_bytes; /* packed */
} parsed;

/* Of a call whose shapes are right. */
static parsed parse(const fr_call *c) {
    const fr_qlinear_attr *a = c->attr;
    const fr_tensor *x = &c->in[X];
    parsed p = {.format = fr_formats[a->format - 1], .m = 1, .floats = x->dtype != FR_U8};
    fr_qweights_of(p.format, (fr_rows_kind)a->rows, a->n, a->k, &p.w);
    fr_qrow_of(p.w.rows, a->k, p.w.panel.group, &p.row);
    if (a->next) fr_qrow_of((fr_rows_kind)a->next, a->n, a->next_group, &p.next);
    for (int i = 0; i < x->rank - 1; i++) p.m *= x->dim[i];
    p.rank = fr_has(c, UP) ? c->in[UP].dim[1] : 0;
    p.next_rank = fr_qlinear_rank(c, NEXT_DOWN);
    p.weight_bytes = p.w.bytes;
    p.down_bytes = fr_round_up(fr_qrows_down_bytes(fr_qlinear_rank(c, DOWN), a->k), FR_ALIGN);
    p.up_bytes = fr_round_up(fr_qgemm_up_bytes(&p.w, p.rank), FR_ALIGN);
    p.next_down_bytes = fr_round_up(fr_qrows_down_bytes(p.next_rank, a->n), FR_ALIGN);
    return p;
}

/* ---- packing ---- */

static size_t packed_bytes(const parsed *p) {
    return p->weight_bytes + p->down_bytes + p->up_bytes + p->next_down_bytes;
}

static size_t qlinear_pack_bytes(const fr_call *c) {
    parsed p = parse(c);
    return packed_bytes(&p);
}

static void pack(const fr_call *c, const parsed *p, char *out) {
    const fr_qlinear_attr *a = c->attr;
    fr_quantized q = {.format = p->format, .rows = a->n, .cols = a->k};
    for (int i = 0; i < p->format->parts; i++) q.part[i] = c->in[PARTS + i];
    fr_qweights_pack(&q, &p->w, out, c->pool);
    out += p->weight_bytes;
    if (fr_has(c, DOWN)) fr_qrows_down_pack(&c->in[DOWN], out);
    out += p->down_bytes;
    if (fr_has(c, UP)) fr_qgemm_up_pack(&p->w, &c->in[UP], out);
    out += p->up_bytes;
    if (fr_has(c, NEXT_DOWN)) fr_qrows_down_pack(&c->in[NEXT_DOWN], out);
}

static fr_status qlinear_pack(const fr_call *c, void *out) {
    parsed p = parse(c);
    pack(c, &p, out);
    return FR_OK;
}

/* ---- running ---- */

static const void *data_of(const fr_call *c, int i) {
    return fr_has(c, i) ? c->in[i].data : NULL;
}

/* The product, with what it points to. */
typedef struct product {
    parsed p;
    fr_qrows x, next;
    fr_qgemm g;
} product;

static void make_product(const fr_call *c, const char *packed, product *out) {
    const fr_qlinear_attr *a = c->attr;
    const parsed p = parse(c);
    *out = (product){.p = p};
    const char *up = NULL, *down = NULL, *next_down = NULL;
    if (packed) {
        down = packed + p.weight_bytes, up = down + p.down_bytes, next_down = up + p.up_bytes;
    }
    fr_qgemm g = {.m = p.m, .n = a->n, .k = a->k, .w = &out->p.w, .b = packed, .row = p.row};
    g.rank = p.rank, g.up_packed = up, g.up_type = fr_has(c, UP) ? c->in[UP].dtype : FR_NOTYPE;
    g.act = (fr_fn)a->act;
    g.bias = data_of(c, BIAS);
    if (fr_has(c, BIAS)) g.bias_type = c->in[BIAS].dtype;
    g.residual = data_of(c, RESIDUAL), g.ldr = a->n;
    if (fr_has(c, RESIDUAL)) g.residual_type = c->in[RESIDUAL].dtype;
    g.c = c->out[0].data, g.c_type = (fr_dtype)a->out, g.ldc = a->n;
    if (p.floats) {
        out->x = (fr_qrows){.row = p.row, .m = p.m, .x = c->in[X].data, .ldx = a->k};
        out->x.x_type = c->in[X].dtype, out->x.add = a->add, out->x.by = data_of(c, BY);
        out->x.rank = p.rank, out->x.down_packed = down;
        g.x = &out->x;
    } else {
        g.a = c->in[X].data, g.low = data_of(c, LOW);
    }
    if (a->next) {
        out->next = (fr_qrows){.row = p.next, .add = a->next_add, .by = data_of(c, NEXT_BY)};
        out->next.rank = p.next_rank, out->next.down_packed = next_down;
        out->next.low = c->out[1].data, out->next.records = c->out[0].data;
        g.next = &out->next;
    }
    out->g = g;
}

static size_t qlinear_scratch(const fr_call *c) {
    product t;
    make_product(c, NULL, &t);
    return fr_qgemm_scratch(&t.g, c->pool) + (c->packed ? 0 : packed_bytes(&t.p));
}

static fr_status qlinear_run(const fr_call *c) {
    product t;
    const char *packed = c->packed;
    char *scratch = c->scratch;
    if (!packed) {
        parsed p = parse(c);
        pack(c, &p, scratch);
        packed = scratch;
        scratch += packed_bytes(&p);
    }
    make_product(c, packed, &t);
    if (!t.p.floats && (uintptr_t)c->in[X].data % FR_ALIGN)
        return fr_fail(FR_INVALID, "qlinear wants rows that begin at a multiple of %d bytes",
                       FR_ALIGN);
    fr_qgemm_run(&t.g, scratch, c->pool);
    return FR_OK;
}

static double bytes_of(const fr_call *c, int i) {
    return fr_has(c, i) ? (double)fr_bytes(&c->in[i]) : 0;
}

static void qlinear_cost(const fr_call *c, fr_cost *cost) {
    const fr_qlinear_attr *a = c->attr;
    parsed p = parse(c);
    double m = (double)p.m, n = (double)a->n, k = (double)a->k;
    cost->ops = 2 * m * n * (k + (double)p.rank + (double)p.next_rank);
    if (p.floats) cost->ops += 2 * m * k * (double)p.rank;
    if (fr_has(c, BIAS)) cost->ops += m * n;
    if (fr_has(c, RESIDUAL)) cost->ops += m * n;
    if (a->act != FR_FN_NONE) cost->ops += m * n;
    cost->read = bytes_of(c, X) + bytes_of(c, LOW) + bytes_of(c, RESIDUAL);
    cost->write = (double)fr_bytes(&c->out[0]) + (double)fr_bytes(&c->out[1]);
}

static const fr_attr_field fields[] = {
    {"format", FR_ATTR_FORMAT, offsetof(fr_qlinear_attr, format), 0},
    {"n", FR_ATTR_I64, offsetof(fr_qlinear_attr, n), 0},
    {"k", FR_ATTR_I64, offsetof(fr_qlinear_attr, k), 0},
    {"rows", FR_ATTR_ROWS, offsetof(fr_qlinear_attr, rows), 0},
    {"add", FR_ATTR_F32, offsetof(fr_qlinear_attr, add), 0},
    {"act", FR_ATTR_FN, offsetof(fr_qlinear_attr, act), 0},
    {"out", FR_ATTR_DTYPE, offsetof(fr_qlinear_attr, out), 0},
    {"next", FR_ATTR_ROWS, offsetof(fr_qlinear_attr, next), 0},
    {"next_group", FR_ATTR_I32, offsetof(fr_qlinear_attr, next_group), 0},
    {"next_add", FR_ATTR_F32, offsetof(fr_qlinear_attr, next_add), 0},
    {0},
};

const fr_op fr_op_qlinear = {
    .name = "qlinear",
    .nin_min = 2,
    .nin_max = INPUTS,
    .nout = 2,
    .flags = FR_OP_NO_GRAD,
    .attr_bytes = sizeof(fr_qlinear_attr),
    .fields = fields,
    .shape = fr_qlinear_shape,
    .run = qlinear_run,
    .scratch = qlinear_scratch,
    .pack_inputs = 31u << PARTS | 1u << DOWN | 1u << UP | 1u << NEXT_DOWN,
    .pack_bytes = qlinear_pack_bytes,
    .pack = qlinear_pack,
    .cost = qlinear_cost,
};
