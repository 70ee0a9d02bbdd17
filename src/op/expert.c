/* expert.c: one expert of several (Jiang et al., Mixtral of experts, 2024): a gated MLP for the rows that go to it.
 *
 *     sum + share[.., expert] * down(act(gate x) * (up x))
 *
 * Which rows those are is known when it runs: those whose share (route.c) is not 0. They are brought together some
 * hundred at a time, so that products are as large as the rows allow and the memory for them is small; an expert
 * without rows is not read at all. Products are the calls of linear and qlinear, so each of the three weights may be
 * floats or in few bits. The sum goes from expert to expert, so it is taken in their order. */
#include <string.h>

#include "op/copy.h"
#include "op/each.h"
#include "op/grads.h"
#include "op/qlinear.h"

#define SOME 256 /* rows at a time */

enum { SUM, FROM, SHARE, WEIGHTS, EXPERT_INPUTS = WEIGHTS + 3 * FR_PARTS };
enum { GATE, UP_TO, BACK };

typedef struct expert_attr {
    int32_t expert, act;
    int32_t format[3]; /* place in fr_formats + 1; 0: floats */
    int32_t chosen;    /* how many experts a row takes, for what it costs */
    int64_t hidden;
} expert_attr;

/* ---- products ---- */

/* Product i of some rows, as a call of its own. It points into itself. */
typedef struct product {
    fr_call c;
    fr_tensor in[FR_QLINEAR_INPUTS], out[2];
    fr_linear_attr plain;
    fr_qlinear_attr few;
} product;

static void make(const fr_call *c, int i, int64_t rows, product *p) {
    const expert_attr *a = c->attr;
    const fr_tensor *w = &c->in[WEIGHTS + i * FR_PARTS];
    const fr_dtype type = c->in[FROM].dtype;
    const int64_t width = fr_dim(&c->in[FROM], -1);
    const int64_t n = i == BACK ? width : a->hidden, k = i == BACK ? a->hidden : width;
    memset(p, 0, sizeof *p);
    p->c = (fr_call){.in = p->in, .out = p->out, .pool = c->pool};
    p->in[0] = fr_tensor_make(type, 2, (int64_t[]){rows, k}, NULL);
    p->out[0] = fr_tensor_make(type, 2, (int64_t[]){rows, n}, NULL);
    if (!a->format[i]) {
        p->c.op = &fr_op_linear, p->c.attr = &p->plain;
        p->c.nin = 2, p->c.nout = 1;
        p->in[1] = w[0];
        return;
    }
    p->few = (fr_qlinear_attr){.format = a->format[i], .out = (int32_t)type, .n = n, .k = k};
    p->c.op = &fr_op_qlinear, p->c.attr = &p->few;
    p->c.nin = FR_QLINEAR_INPUTS, p->c.nout = 2;
    for (int part = 0; part < FR_PARTS && WEIGHTS + i * FR_PARTS + part < c->nin; part++)
        p->in[FR_QLINEAR_PARTS + part] = w[part];
    p->out[1] = fr_tensor_make(FR_F32, 2, (int64_t[]){rows, 0}, NULL);
}

/* ---- shapes ---- */

static int64_t row_count(const fr_call *c) {
    int64_t rows = 1;
    for (int i = 0; i < c->in[FROM].rank - 1; i++) rows *= c->in[FROM].dim[i];
    return rows;
}

static fr_status check_product(const fr_call *c, int i) {
    char text[FR_SHAPE_TEXT];
    product p;
    make(c, i, row_count(c), &p);
    const int64_t n = p.out[0].dim[1];
    FR_TRY(p.c.op->shape(&p.c));
    if (p.out[0].dim[1] == n && p.out[0].dtype == c->in[FROM].dtype) return FR_OK;
    return fr_fail(FR_INVALID, "An expert wants a matrix of %lld rows, not %s.", (long long)n,
                   fr_shape_text(&p.in[1], text));
}

static fr_status expert_shape(const fr_call *c) {
    const expert_attr *a = c->attr;
    char x[FR_SHAPE_TEXT], y[FR_SHAPE_TEXT];
    if (!fr_has(c, SUM) || !fr_has(c, FROM) || !fr_has(c, SHARE) || !fr_has(c, WEIGHTS))
        return fr_fail(FR_INVALID, "An expert wants a sum, x, shares and three weights.");
    FR_TRY(fr_share_check("expert", &c->in[FROM], &c->in[SHARE], a->expert));
    if (!fr_same_shape(&c->in[SUM], &c->in[FROM]) || c->in[SUM].dtype != c->in[FROM].dtype)
        return fr_fail(FR_INVALID, "What an expert is added to is %s and x %s; they must agree.",
                       fr_shape_text(&c->in[SUM], y), fr_shape_text(&c->in[FROM], x));
    if (a->act < 0 || a->act >= FR_FN_COUNT || a->hidden < 1 || a->chosen < 1 ||
        a->chosen > fr_dim(&c->in[SHARE], -1) || row_count(c) > INT32_MAX)
        return fr_fail(FR_INVALID, "An expert of %lld values with function %d makes no sense.",
                       (long long)a->hidden, (int)a->act);
    for (int i = 0; i < 3; i++)
        if (!fr_has(c, WEIGHTS + i * FR_PARTS) || a->format[i] < 0 ||
            (a->format[i] && !fr_attr_word(FR_ATTR_FORMAT, a->format[i])))
            return fr_fail(FR_INVALID, "Weight %d of an expert is not there.", i);
    const int64_t largest = FR_MAX_OF(row_count(c), fr_dim(&c->in[FROM], -1));
    FR_TRY(fr_shape_check("expert", FR_F32, 2, (int64_t[]){largest, a->hidden}));
    for (int i = 0; i < 3; i++) FR_TRY(check_product(c, i));
    fr_like(&c->out[0], &c->in[SUM]);
    return FR_OK;
}

/* ---- packing ---- */

static size_t packed_bytes(const fr_call *c, int i) {
    product p;
    make(c, i, 1, &p);
    return fr_round_up(p.c.op->pack_bytes(&p.c), FR_ALIGN);
}

static size_t expert_pack_bytes(const fr_call *c) {
    return packed_bytes(c, GATE) + packed_bytes(c, UP_TO) + packed_bytes(c, BACK);
}

static fr_status expert_pack(const fr_call *c, void *out) {
    for (int i = 0; i < 3; i++) {
        product p;
        make(c, i, 1, &p);
        FR_TRY(p.c.op->pack(&p.c, out));
        out = (char *)out + packed_bytes(c, i);
    }
    return FR_OK;
}

/* ---- running ---- */

/* Where things lie in scratch. */
typedef struct room {
    size_t x, gate, up, product, bytes;
} room;

static size_t product_scratch(const fr_call *c, int64_t rows) {
    size_t most = 0;
    for (int i = 0; i < 3; i++) {
        product p;
        make(c, i, rows, &p);
        p.c.packed = c->packed;
        most = FR_MAX_OF(most, p.c.op->scratch(&p.c));
    }
    return most;
}

static room rooms(const fr_call *c) {
    const expert_attr *a = c->attr;
    const size_t size = fr_value_bytes(c->in[FROM].dtype), all = (size_t)row_count(c);
    const size_t rows = FR_MIN(all, (size_t)SOME);
    room r = {.x = fr_round_up(all * sizeof(int32_t), FR_ALIGN)};
    r.gate = r.x + fr_round_up(rows * (size_t)fr_dim(&c->in[FROM], -1) * size, FR_ALIGN);
    r.up = r.gate + fr_round_up(rows * (size_t)a->hidden * size, FR_ALIGN);
    r.product = r.up + fr_round_up(rows * (size_t)a->hidden * size, FR_ALIGN);
    return r;
}

/* Fewer rows may want more: plans change with them. */
static size_t expert_scratch(const fr_call *c) {
    const int64_t rows = FR_MIN(row_count(c), (int64_t)SOME);
    size_t most = 0;
    for (int64_t i = 1; i <= rows; i++) most = FR_MAX_OF(most, product_scratch(c, i));
    return rooms(c).product + most;
}

typedef struct work {
    const fr_call *c;
    const int32_t *row; /* those of this expert */
    char *x;            /* they, one after the other; then what becomes of them */
} work;

static void bring(void *arg, size_t start, size_t end) {
    const work *w = arg;
    const fr_tensor *x = &w->c->in[FROM];
    const size_t bytes = (size_t)fr_dim(x, -1) * fr_value_bytes(x->dtype);
    for (size_t i = start; i < end; i++)
        memcpy(w->x + i * bytes, (const char *)x->data + (size_t)w->row[i] * bytes, bytes);
}

static void add(void *arg, size_t start, size_t end) {
    const work *w = arg;
    const fr_tensor *sum = &w->c->out[0], *share = &w->c->in[SHARE];
    const size_t n = (size_t)fr_dim(sum, -1), experts = (size_t)fr_dim(share, -1);
    fr_tensor y = *sum;
    y.data = w->x;
    for (size_t i = start; i < end; i++) {
        const size_t row = (size_t)w->row[i];
        const float by =
            ((const float *)
                 share->data)[row * experts + (size_t)((const expert_attr *)w->c->attr)->expert];
        for (size_t k = 0; k < n; k += FR_BLOCK) {
            const size_t count = FR_MIN(n - k, (size_t)FR_BLOCK);
            float from[FR_BLOCK], to[FR_BLOCK], out[FR_BLOCK];
            const float *v = fr_block_in(&y, i * n + k, count, from);
            const float *old = fr_block_in(sum, row * n + k, count, to);
            float *now = fr_block_at(sum, row * n + k, out);
            for (size_t j = 0; j < count; j++) now[j] = old[j] + by * v[j];
            fr_block_out(sum, row * n + k, count, now);
        }
    }
}

static fr_status multiply(const fr_call *c, int i, int64_t rows, void *x, void *y) {
    const char *packed = c->packed;
    product p;
    for (int j = 0; packed && j < i; j++) packed += packed_bytes(c, j);
    make(c, i, rows, &p);
    p.in[0].data = x, p.out[0].data = y;
    p.c.packed = packed;
    p.c.scratch = (char *)c->scratch + rooms(c).product;
    return p.c.op->run(&p.c);
}

static fr_status run_some(const work *w, int64_t rows) {
    const fr_call *c = w->c;
    const expert_attr *a = c->attr;
    const room r = rooms(c);
    char *gate = (char *)c->scratch + r.gate, *up = (char *)c->scratch + r.up;
    const int64_t dim[] = {rows, a->hidden};
    fr_tensor both[] = {fr_tensor_make(c->in[FROM].dtype, 2, dim, gate),
                        fr_tensor_make(c->in[FROM].dtype, 2, dim, up)};
    const size_t piece = FR_PIECE / FR_MAX_OF((size_t)fr_dim(&c->in[FROM], -1), (size_t)1) + 1;
    fr_call unit = {.op = &fr_op_glu, .attr = &a->act, .nin = 2, .nout = 1};
    unit.in = both, unit.out = &both[0], unit.pool = c->pool;
    fr_pool_range(c->pool, (size_t)rows, piece, bring, (void *)(uintptr_t)w);
    FR_TRY(multiply(c, GATE, rows, w->x, gate));
    FR_TRY(multiply(c, UP_TO, rows, w->x, up));
    FR_TRY(fr_op_glu.run(&unit));
    FR_TRY(multiply(c, BACK, rows, gate, w->x));
    fr_pool_range(c->pool, (size_t)rows, piece, add, (void *)(uintptr_t)w);
    return FR_OK;
}

static fr_status expert_run(const fr_call *c) {
    const expert_attr *a = c->attr;
    const fr_tensor *share = &c->in[SHARE];
    const int64_t rows = row_count(c), experts = fr_dim(share, -1);
    int32_t *mine = c->scratch;
    int64_t count = 0;
    if (c->out[0].data == c->in[FROM].data && rows)
        return fr_fail(FR_INVALID, "An expert cannot be added to what it reads.");
    if (c->out[0].data != c->in[SUM].data && rows)
        memcpy(c->out[0].data, c->in[SUM].data, fr_bytes(&c->in[SUM]));
    for (int64_t i = 0; i < rows; i++)
        if (((const float *)share->data)[i * experts + a->expert] != 0) mine[count++] = (int32_t)i;
    for (int64_t i = 0; i < count; i += SOME) {
        work w = {.c = c, .row = mine + i, .x = (char *)c->scratch + rooms(c).x};
        FR_TRY(run_some(&w, FR_MIN(count - i, (int64_t)SOME)));
    }
    return FR_OK;
}

static fr_status expert_grad(fr_grad *r) {
    (void)r;
    return fr_fail(FR_UNSUPPORTED, "An expert in one piece has no gradient: to learn, build it of "
                                   "linears over expert_rows.");
}

/* As if all experts were chosen alike. */
static void expert_cost(const fr_call *c, fr_cost *cost) {
    const expert_attr *a = c->attr;
    const double experts = (double)fr_dim(&c->in[SHARE], -1),
                 width = (double)fr_dim(&c->in[FROM], -1);
    const double rows = (double)row_count(c) * (double)a->chosen / experts;
    cost->ops = rows * (6 * width * (double)a->hidden + 13 * (double)a->hidden + 2 * width);
}

static const fr_attr_field fields[] = {
    {"expert", FR_ATTR_I32, offsetof(expert_attr, expert), 0},
    {"act", FR_ATTR_FN, offsetof(expert_attr, act), 0},
    {"format", FR_ATTR_FORMAT, offsetof(expert_attr, format), 3},
    {"chosen", FR_ATTR_I32, offsetof(expert_attr, chosen), 0},
    {"hidden", FR_ATTR_I64, offsetof(expert_attr, hidden), 0},
    {0},
};

const fr_op fr_op_expert = {
    .name = "expert",
    .nin_min = WEIGHTS + 1,
    .nin_max = EXPERT_INPUTS,
    .nout = 1,
    .flags = FR_OP_INPLACE0,
    .attr_bytes = sizeof(expert_attr),
    .fields = fields,
    .shape = expert_shape,
    .run = expert_run,
    .scratch = expert_scratch,
    .pack_inputs = ((1u << 3 * FR_PARTS) - 1) << WEIGHTS,
    .pack_bytes = expert_pack_bytes,
    .pack = expert_pack,
    .grad = expert_grad,
    .cost = expert_cost,
};

fr_val fr_expert(fr_graph *g, fr_val sum, fr_val x, fr_val share, const fr_expert_opts *o) {
    expert_attr a = {.expert = o->expert, .act = (int32_t)o->act, .chosen = o->chosen};
    fr_val in[EXPERT_INPUTS] = {sum, x, share};
    int nin = EXPERT_INPUTS;
    a.hidden = o->weight[0].n;
    if (sum == x && x != FR_NONE)
        return fr_emit_fail(g, fr_fail(FR_INVALID, "An expert cannot be added to what it reads."));
    for (int i = 0; i < 3; i++) {
        const fr_qweight *w = &o->weight[i];
        for (int32_t f = 0; w->format && fr_formats[f]; f++)
            if (!strcmp(fr_formats[f]->name, w->format)) a.format[i] = f + 1;
        if (w->format && !a.format[i])
            return fr_emit_fail(
                g, fr_fail(FR_INVALID, "There is no format '%s' for a weight.", w->format));
        for (int part = 0; part < (w->format ? FR_PARTS : 1); part++)
            in[WEIGHTS + i * FR_PARTS + part] = w->part[part];
    }
    while (nin > WEIGHTS + 1 && in[nin - 1] == FR_NONE) nin--;
    return fr_emit(g, &fr_op_expert, nin, in, &a);
}
