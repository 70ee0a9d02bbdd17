/* index.c: rows by number: embedding, gather, and scatter_add, which is the gradient of both.
 *
 * Indices come from outside (token ids), so each run looks at all of them first and refuses a bad
 * one with its value and place. scatter_add sorts the numbers of its rows by target (a counting
 * sort, which is stable), so that every target row is summed by one thread, in rising order of the
 * sources: parallel, and the same bits for any number of threads. */
#include "op/copy.h"
#include "op/op.h"

#include <string.h>

typedef struct axis_attr {
    int32_t axis;
    int64_t rows; /* scatter_add only */
} axis_attr;

static const fr_attr_field axis_fields[] = {
    {"axis", FR_ATTR_I32, offsetof(axis_attr, axis), 0},
    {"rows", FR_ATTR_I64, offsetof(axis_attr, rows), 0},
    {0},
};

fr_status fr_check_indices(const char *op, const int32_t *index, int64_t n, int64_t rows) {
    int32_t low = 0, high = -1;
    for (int64_t i = 0; i < n; i++) {
        low = FR_MIN(low, index[i]);
        high = FR_MAX_OF(high, index[i]);
    }
    if (low >= 0 && high < rows) return FR_OK;
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= rows)
            return fr_fail(FR_INVALID, "%s: index %d at position %lld is not one of 0 .. %lld", op,
                           index[i], (long long)i, (long long)rows - 1);
    return FR_OK;
}

/* out[o][i] = x[o][index[i]], rows of `bytes`. */
typedef struct pick {
    const char *x;
    char *out;
    const int32_t *index;
    int64_t n, rows;
    size_t bytes;
} pick;

static void pick_range(void *arg, size_t start, size_t end) {
    const pick *p = arg;
    for (size_t i = start; i < end; i++) {
        int64_t o = (int64_t)i / p->n, row = p->index[(int64_t)i % p->n];
        memcpy(p->out + i * p->bytes, p->x + (size_t)(o * p->rows + row) * p->bytes, p->bytes);
    }
}

static void pick_run(const pick *p, int64_t outer, fr_pool *pool) {
    size_t total = (size_t)(outer * p->n), chunk = FR_MAX_OF(65536 / FR_MAX_OF(p->bytes, 1), 1);
    if (total == 0 || p->bytes == 0) return;
    fr_pool_range(total <= chunk ? NULL : pool, total, chunk, pick_range, (void *)p);
}

/* ---- embedding ---- */

static fr_status embedding_shape(const fr_call *c) {
    const fr_tensor *table = &c->in[0], *ids = &c->in[1];
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    FR_TRY(fr_need_plain("embedding", table));
    if (table->rank != 2 || ids->dtype != FR_I32 || ids->rank >= FR_MAX_DIMS)
        return fr_fail(FR_INVALID,
                       "embedding: needs a table [rows, dim] and i32 ids, these are %s and %s",
                       fr_shape_text(table, a), fr_shape_text(ids, b));
    c->out[0].dtype = table->dtype;
    c->out[0].rank = ids->rank + 1;
    memcpy(c->out[0].dim, ids->dim, sizeof ids->dim);
    c->out[0].dim[ids->rank] = table->dim[1];
    return fr_shape_check("embedding", table->dtype, ids->rank + 1, c->out[0].dim);
}

static fr_status embedding_run(const fr_call *c) {
    const fr_tensor *table = &c->in[0];
    pick p = {.x = table->data,
              .out = c->out[0].data,
              .index = c->in[1].data,
              .n = fr_values(&c->in[1]),
              .rows = table->dim[0],
              .bytes = (size_t)table->dim[1] * fr_value_bytes(table->dtype)};
    FR_TRY(fr_check_indices("embedding", p.index, p.n, p.rows));
    pick_run(&p, 1, c->pool);
    return FR_OK;
}

static fr_status embedding_grad(fr_grad *r) {
    if (!r->need[0]) return FR_OK;
    const fr_tensor *table = fr_desc(r->g, r->in[0]);
    int64_t rows = fr_values(fr_desc(r->g, r->in[1]));
    fr_val ids = fr_reshape(r->g, r->in[1], 1, (int64_t[]){-1});
    /* The number of ids may be another one at run time. */
    int64_t flat[2] = {table->dim[1] > 0 ? -1 : rows, table->dim[1]};
    fr_val d = fr_reshape(r->g, r->dout[0], 2, flat);
    r->din[0] = fr_scatter_add(r->g, d, ids, 0, table->dim[0]);
    return FR_OK;
}

/* Only the rows that are named are read. */
static void move_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = 0;
    cost->read = (double)fr_bytes(&c->out[0]) + (double)fr_bytes(&c->in[1]);
}

const fr_op fr_op_embedding = {
    .name = "embedding",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .shape = embedding_shape,
    .run = embedding_run,
    .grad = embedding_grad,
    .cost = move_cost,
};

fr_val fr_embedding(fr_graph *g, fr_val table, fr_val ids) {
    fr_val in[2] = {table, ids};
    return fr_emit(g, &fr_op_embedding, 2, in, NULL);
}

/* ---- gather ---- */

static fr_status need_index(const char *op, const fr_call *c, int *axis) {
    const axis_attr *a = c->attr;
    char text[FR_SHAPE_TEXT];
    FR_TRY(fr_need_axis(op, &c->in[0], a->axis, axis));
    if (c->in[1].dtype != FR_I32 || c->in[1].rank != 1)
        return fr_fail(FR_INVALID, "%s: the index must be i32 with one axis, this is %s", op,
                       fr_shape_text(&c->in[1], text));
    return FR_OK;
}

/* Values before and after the axis. */
static void around(const fr_tensor *t, int axis, int64_t *outer, int64_t *inner) {
    *outer = *inner = 1;
    for (int i = 0; i < axis; i++) *outer *= t->dim[i];
    for (int i = axis + 1; i < t->rank; i++) *inner *= t->dim[i];
}

static fr_status gather_shape(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    int axis;
    FR_TRY(fr_need_plain("gather", x));
    FR_TRY(need_index("gather", c, &axis));
    c->out[0].dtype = x->dtype;
    c->out[0].rank = x->rank;
    memcpy(c->out[0].dim, x->dim, sizeof x->dim);
    c->out[0].dim[axis] = c->in[1].dim[0];
    return fr_shape_check("gather", x->dtype, x->rank, c->out[0].dim);
}

static fr_status gather_run(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    int axis;
    int64_t outer, inner;
    FR_TRY(need_index("gather", c, &axis));
    around(x, axis, &outer, &inner);
    pick p = {.x = x->data,
              .out = c->out[0].data,
              .index = c->in[1].data,
              .n = c->in[1].dim[0],
              .rows = x->dim[axis],
              .bytes = (size_t)inner * fr_value_bytes(x->dtype)};
    FR_TRY(fr_check_indices("gather", p.index, p.n, p.rows));
    pick_run(&p, outer, c->pool);
    return FR_OK;
}

static fr_status gather_grad(fr_grad *r) {
    const axis_attr *a = r->attr;
    const fr_tensor *x = fr_desc(r->g, r->in[0]);
    if (!r->need[0]) return FR_OK;
    int64_t rows = fr_dim(x, a->axis);
    r->din[0] = fr_scatter_add(r->g, r->dout[0], r->in[1], a->axis, rows);
    return FR_OK;
}

const fr_op fr_op_gather = {
    .name = "gather",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .attr_bytes = sizeof(axis_attr),
    .fields = axis_fields,
    .shape = gather_shape,
    .run = gather_run,
    .grad = gather_grad,
    .cost = move_cost,
};

fr_val fr_gather(fr_graph *g, fr_val x, fr_val index, int axis) {
    fr_val in[2] = {x, index};
    axis_attr a = {.axis = axis};
    return fr_emit(g, &fr_op_gather, 2, in, &a);
}

/* ---- scatter_add ---- */

static fr_status scatter_shape(const fr_call *c) {
    const axis_attr *a = c->attr;
    const fr_tensor *x = &c->in[0];
    char text[FR_SHAPE_TEXT], index[FR_SHAPE_TEXT];
    int axis;
    FR_TRY(need_index("scatter_add", c, &axis));
    if (x->dtype != FR_F32 && x->dtype != FR_BF16)
        return fr_fail(FR_UNSUPPORTED, "scatter_add of %s: only f32 and bf16 can be summed",
                       fr_shape_text(x, text));
    if (c->in[1].dim[0] != x->dim[axis] || x->dim[axis] > INT32_MAX)
        return fr_fail(FR_INVALID, "scatter_add of %s: axis %d needs one index a row, these are %s",
                       fr_shape_text(x, text), axis, fr_shape_text(&c->in[1], index));
    if (a->rows < 0 || a->rows > INT32_MAX)
        return fr_fail(FR_INVALID, "scatter_add of %s: %lld rows make no sense",
                       fr_shape_text(x, text), (long long)a->rows);
    c->out[0].dtype = x->dtype;
    c->out[0].rank = x->rank;
    memcpy(c->out[0].dim, x->dim, sizeof x->dim);
    c->out[0].dim[axis] = a->rows;
    return fr_shape_check("scatter_add", x->dtype, x->rank, c->out[0].dim);
}

/* start[rows + 1], then order[n]: the sources of target r are order[start[r] .. start[r + 1]). */
static size_t scatter_scratch(const fr_call *c) {
    const axis_attr *a = c->attr;
    return ((size_t)a->rows + 1) * sizeof(int64_t) + (size_t)c->in[1].dim[0] * sizeof(int32_t);
}

static void sort_sources(const int32_t *index, int64_t n, int64_t rows, int64_t *start,
                         int32_t *order) {
    memset(start, 0, ((size_t)rows + 1) * sizeof *start);
    for (int64_t i = 0; i < n; i++) start[index[i] + 1]++;
    for (int64_t r = 0; r < rows; r++) start[r + 1] += start[r];
    for (int64_t i = 0; i < n; i++) order[start[index[i]]++] = (int32_t)i;
    for (int64_t r = rows; r > 0; r--) start[r] = start[r - 1];
    start[0] = 0;
}

#define COLUMNS 2048

typedef struct scatter {
    fr_dtype dtype;
    const char *x;
    char *out;
    const int64_t *start;
    const int32_t *order;
    int64_t n, rows, inner, blocks; /* blocks of COLUMNS in a row */
} scatter;

/* One block of columns of one target row; sums in f32. */
static void scatter_block(const scatter *s, int64_t o, int64_t row, int64_t column, int64_t count) {
    float sum[COLUMNS];
    size_t at = (size_t)((o * s->rows + row) * s->inner + column);
    bool half = s->dtype == FR_BF16;
    float *acc = half ? sum : (float *)s->out + at;
    memset(acc, 0, (size_t)count * sizeof *acc);
    for (int64_t i = s->start[row]; i < s->start[row + 1]; i++) {
        size_t from = (size_t)((o * s->n + s->order[i]) * s->inner + column);
        if (half)
            fr_kernel()->conv.add_bf16(acc, (const uint16_t *)s->x + from, (size_t)count);
        else
            fr_kernel()->conv.add_f32(acc, (const float *)s->x + from, (size_t)count);
    }
    if (half) fr_kernel()->convert.f32_to_bf16(sum, (size_t)count, (uint16_t *)s->out + at);
}

static void scatter_range(void *arg, size_t start, size_t end) {
    const scatter *s = arg;
    for (size_t i = start; i < end; i++) {
        int64_t block = (int64_t)i % s->blocks, row = (int64_t)i / s->blocks;
        int64_t column = block * COLUMNS;
        scatter_block(s, row / s->rows, row % s->rows, column, FR_MIN(COLUMNS, s->inner - column));
    }
}

static fr_status scatter_run(const fr_call *c) {
    const fr_tensor *x = &c->in[0];
    int axis;
    int64_t outer;
    FR_TRY(need_index("scatter_add", c, &axis));
    scatter s = {.dtype = x->dtype, .x = x->data, .out = c->out[0].data};
    around(x, axis, &outer, &s.inner);
    s.n = x->dim[axis];
    s.rows = c->out[0].dim[axis];
    FR_TRY(fr_check_indices("scatter_add", c->in[1].data, s.n, s.rows));
    int64_t *start = c->scratch;
    int32_t *order = (int32_t *)(start + s.rows + 1);
    sort_sources(c->in[1].data, s.n, s.rows, start, order);
    s.start = start;
    s.order = order;
    s.blocks = (s.inner + COLUMNS - 1) / COLUMNS;
    size_t total = (size_t)(outer * s.rows * s.blocks);
    size_t chunk = (size_t)FR_MAX_OF(16384 / FR_MAX_OF(FR_MIN(s.inner, COLUMNS), 1), 1);
    if (total > 0) fr_pool_range(total <= chunk ? NULL : c->pool, total, chunk, scatter_range, &s);
    return FR_OK;
}

static fr_status scatter_grad(fr_grad *r) {
    const axis_attr *a = r->attr;
    if (r->need[0]) r->din[0] = fr_gather(r->g, r->dout[0], r->in[1], a->axis);
    return FR_OK;
}

static void scatter_cost(const fr_call *c, fr_cost *cost) {
    cost->ops = (double)fr_values(&c->in[0]);
}

const fr_op fr_op_scatter_add = {
    .name = "scatter_add",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .attr_bytes = sizeof(axis_attr),
    .fields = axis_fields,
    .shape = scatter_shape,
    .scratch = scatter_scratch,
    .run = scatter_run,
    .grad = scatter_grad,
    .cost = scatter_cost,
};

fr_val fr_scatter_add(fr_graph *g, fr_val x, fr_val index, int axis, int64_t rows) {
    fr_val in[2] = {x, index};
    axis_attr a = {.axis = axis, .rows = rows};
    return fr_emit(g, &fr_op_scatter_add, 2, in, &a);
}
