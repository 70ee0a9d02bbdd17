/* embedding_few.c: rows of a table in few bits, by number: those that are asked for are decoded, and no others. */
#include "format/format.h"
#include "kernel/kernel.h"
#include "op/copy.h"
#include "op/op.h"

#include <string.h>

enum { IDS, PARTS, INPUTS = PARTS + FR_PARTS };

typedef struct few_attr {
    int32_t format; /* place in fr_formats + 1 */
    int32_t out;    /* fr_dtype */
    int64_t n, k;
} few_attr;

static const fr_attr_field fields[] = {
    {"format", FR_ATTR_FORMAT, offsetof(few_attr, format), 0},
    {"n", FR_ATTR_I64, offsetof(few_attr, n), 0},
    {"k", FR_ATTR_I64, offsetof(few_attr, k), 0},
    {"out", FR_ATTR_DTYPE, offsetof(few_attr, out), 0},
    {0},
};

static fr_status check_parts(const fr_call *c, const fr_qformat *f) {
    const few_attr *a = c->attr;
    fr_tensor want[FR_PARTS] = {{0}};
    char text[2][FR_SHAPE_TEXT];
    FR_TRY(f->describe(f, a->n, a->k, want));
    for (int i = 0; i < f->parts; i++) {
        const fr_tensor *have = &c->in[PARTS + i];
        if (!fr_has(c, PARTS + i) || have->dtype != want[i].dtype || !fr_same_shape(have, &want[i]))
            return fr_fail(FR_INVALID,
                           "embedding_few: the part '%s' of a table in %s is %s, and not %s",
                           f->part_name[i], f->name, fr_shape_text(&want[i], text[0]),
                           fr_has(c, PARTS + i) ? fr_shape_text(have, text[1]) : "missing");
    }
    return FR_OK;
}

static fr_status few_shape(const fr_call *c) {
    const few_attr *a = c->attr;
    const fr_tensor *ids = &c->in[IDS];
    char text[FR_SHAPE_TEXT];
    if (!a->format || !fr_attr_word(FR_ATTR_FORMAT, a->format))
        return fr_fail(FR_INVALID, "embedding_few wants a format for its table, not number %d",
                       (int)a->format);
    if (a->out != FR_F32 && a->out != FR_BF16)
        return fr_fail(FR_INVALID, "embedding_few gives f32 or bf16");
    if (ids->dtype != FR_I32 || ids->rank >= FR_MAX_DIMS)
        return fr_fail(FR_INVALID, "embedding_few: needs i32 ids, these are %s",
                       fr_shape_text(ids, text));
    FR_TRY(check_parts(c, fr_formats[a->format - 1]));
    fr_tensor *y = &c->out[0];
    y->dtype = (fr_dtype)a->out;
    y->rank = ids->rank + 1;
    memcpy(y->dim, ids->dim, sizeof ids->dim);
    y->dim[ids->rank] = a->k;
    return fr_shape_check("embedding_few", y->dtype, y->rank, y->dim);
}

typedef struct job {
    fr_quantized q;
    const int32_t *ids;
    char *out, *wide; /* wide: a row of floats for each thread */
    fr_dtype type;
} job;

static void one_row(void *arg, size_t thread, size_t i) {
    const job *j = arg;
    size_t width = (size_t)j->q.cols;
    if (j->type == FR_F32) {
        j->q.format->decode(&j->q, j->ids[i], 1, (float *)j->out + i * width);
        return;
    }
    float *wide = (float *)j->wide + thread * width;
    j->q.format->decode(&j->q, j->ids[i], 1, wide);
    fr_kernel()->convert.f32_to_bf16(wide, width, (uint16_t *)j->out + i * width);
}

static size_t few_scratch(const fr_call *c) {
    const few_attr *a = c->attr;
    return a->out == FR_F32 ? 0 : (size_t)fr_pool_threads(c->pool) * (size_t)a->k * 4;
}

static fr_status few_run(const fr_call *c) {
    const few_attr *a = c->attr;
    size_t count = (size_t)fr_values(&c->in[IDS]);
    job j = {.ids = c->in[IDS].data, .out = c->out[0].data, .wide = c->scratch};
    j.type = (fr_dtype)a->out;
    j.q = (fr_quantized){.format = fr_formats[a->format - 1], .rows = a->n, .cols = a->k};
    for (int i = 0; i < j.q.format->parts; i++) j.q.part[i] = c->in[PARTS + i];
    FR_TRY(fr_check_indices("embedding_few", j.ids, (int64_t)count, a->n));
    fr_pool_run_thread(count < 4 ? NULL : c->pool, count, one_row, &j);
    return FR_OK;
}

static void few_cost(const fr_call *c, fr_cost *cost) {
    double rows = (double)fr_values(&c->in[IDS]), bytes = 0;
    for (int i = PARTS; i < INPUTS; i++)
        if (fr_has(c, i)) bytes += (double)fr_bytes(&c->in[i]);
    cost->ops = 0;
    cost->read = rows * bytes / (double)((const few_attr *)c->attr)->n + 4 * rows;
    cost->write = (double)fr_bytes(&c->out[0]);
}

const fr_op fr_op_embedding_few = {
    .name = "embedding_few",
    .nin_min = 2,
    .nin_max = INPUTS,
    .nout = 1,
    .flags = FR_OP_NO_GRAD,
    .attr_bytes = sizeof(few_attr),
    .fields = fields,
    .shape = few_shape,
    .run = few_run,
    .scratch = few_scratch,
    .cost = few_cost,
};

fr_val fr_embedding_few(fr_graph *g, const fr_qweight *table, fr_val ids, fr_dtype out) {
    few_attr a = {.out = (int32_t)out, .n = table->n, .k = table->k};
    for (int32_t i = 0; fr_formats[i]; i++)
        if (table->format && !strcmp(fr_formats[i]->name, table->format)) a.format = i + 1;
    fr_val in[INPUTS] = {[IDS] = ids};
    for (int i = 0; i < FR_PARTS; i++) in[PARTS + i] = table->part[i];
    return fr_emit(g, &fr_op_embedding_few, INPUTS, in, &a);
}
