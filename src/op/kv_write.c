/* kv_write.c: new keys or values into their pages, quantized on the way; a state like those of state.c. */
#include <string.h>

#include "op/copy.h"
#include "op/paged.h"

enum { PAGES, X, TABLE, START };

typedef struct write_attr {
    int32_t kind;
} write_attr;

static const fr_attr_field fields[] = {
    {"kind", FR_ATTR_KV, offsetof(write_attr, kind), 0},
    {NULL, FR_ATTR_END, 0, 0},
};

static fr_status bad_shapes(const fr_call *c, const char *why) {
    char p[FR_SHAPE_TEXT], x[FR_SHAPE_TEXT], t[FR_SHAPE_TEXT], s[FR_SHAPE_TEXT];
    return fr_fail(FR_INVALID, "kv_write: pages are %s, x is %s, the table %s and start %s; %s",
                   fr_shape_text(&c->in[PAGES], p), fr_shape_text(&c->in[X], x),
                   fr_shape_text(&c->in[TABLE], t), fr_shape_text(&c->in[START], s), why);
}

static fr_status shape_rule(const fr_call *c) {
    const fr_tensor *pages = &c->in[PAGES], *x = &c->in[X], *table = &c->in[TABLE],
                    *start = &c->in[START];
    fr_kv_layout l;
    FR_TRY(fr_need_plain("kv_write", pages));
    if (x->rank != 4 || (x->dtype != FR_F32 && x->dtype != FR_BF16))
        return bad_shapes(c, "x must be [batch, tokens, heads, dim] in f32 or bf16");
    if (x->dim[1] > INT32_MAX || x->dim[2] > INT32_MAX || x->dim[3] > INT32_MAX)
        return bad_shapes(c, "x is too large");
    if (table->rank != 2 || table->dtype != FR_I32 || table->dim[0] != x->dim[0] ||
        table->dim[1] > INT32_MAX / FR_KV_TOKENS)
        return bad_shapes(c, "the table must be i32 [batch, most pages]");
    if (start->rank != 1 || start->dtype != FR_I32 || start->dim[0] != x->dim[0])
        return bad_shapes(c, "start must be i32 [batch]");
    FR_TRY(fr_kv_layout_of((fr_kv_kind)((const write_attr *)c->attr)->kind, (int32_t)x->dim[2],
                           (int32_t)x->dim[3], &l));
    if (pages->rank != 2 || pages->dtype != FR_U8 || pages->dim[1] != (int64_t)l.bytes)
        return fr_fail(FR_INVALID, "kv_write: pages for x must be u8 [pages, %zu]", l.bytes);
    c->out[0].dtype = pages->dtype;
    c->out[0].rank = 2;
    memcpy(c->out[0].dim, pages->dim, sizeof pages->dim);
    return FR_OK;
}

typedef struct write_run {
    fr_kv_layout l;
    const fr_call *c;
    int64_t tokens, most;
    char *scratch; /* a row of floats a thread */
    size_t per_thread;
} write_run;

static size_t row_bytes(const fr_call *c) {
    return fr_round_up((size_t)c->in[X].dim[3] * sizeof(float), FR_ALIGN);
}

static size_t scratch(const fr_call *c) {
    return c->in[X].dtype == FR_BF16 ? row_bytes(c) * (size_t)fr_pool_threads(c->pool) : 0;
}

/* Token i of all sequences one after another. */
static void item(void *arg, size_t thread, size_t i) {
    const write_run *r = arg;
    const fr_call *c = r->c;
    const int64_t b = (int64_t)i / r->tokens, dim = r->l.dim;
    const int64_t at = ((const int32_t *)c->in[START].data)[b] + (int64_t)i % r->tokens;
    const int32_t page = ((const int32_t *)c->in[TABLE].data)[b * r->most + at / FR_KV_TOKENS];
    if (page == FR_NOWHERE) return;
    uint8_t *to = (uint8_t *)c->out[0].data + (size_t)page * r->l.bytes;
    for (int64_t h = 0; h < r->l.heads; h++) {
        const int64_t from = ((int64_t)i * r->l.heads + h) * dim;
        const float *x = (const float *)c->in[X].data + from;
        if (c->in[X].dtype == FR_BF16) {
            float *row = (float *)(void *)(r->scratch + thread * r->per_thread);
            fr_kernel()->convert.bf16_to_f32((const uint16_t *)c->in[X].data + from, (size_t)dim,
                                             row);
            x = row;
        }
        const size_t token = (size_t)(h * FR_KV_TOKENS + at % FR_KV_TOKENS);
        uint16_t *scale = (uint16_t *)(void *)(to + r->l.scales),
                 *offset = (uint16_t *)(void *)(to + r->l.offsets);
        const bool coded = r->l.bits < 16;
        fr_kernel()->kvattn.write(r->l.kind, x, dim, to + token * r->l.row,
                                  coded ? scale + token : NULL, coded ? offset + token : NULL);
    }
}

static fr_status check_data(const write_run *r) {
    const fr_call *c = r->c;
    const int32_t *start = c->in[START].data, *table = c->in[TABLE].data;
    for (int64_t b = 0; b < c->in[X].dim[0]; b++) {
        const int64_t first = start[b], end = first + r->tokens;
        if (first < 0 || end > r->most * FR_KV_TOKENS)
            return fr_fail(FR_INVALID,
                           "kv_write: %lld tokens of sequence %lld from %lld on do not fit: the "
                           "table has room "
                           "for %lld",
                           (long long)r->tokens, (long long)b, (long long)first,
                           (long long)(r->most * FR_KV_TOKENS));
        const int64_t page = first / FR_KV_TOKENS, pages = (end + FR_KV_TOKENS - 1) / FR_KV_TOKENS;
        if (r->tokens)
            FR_TRY(paged_check_table("kv_write", table + b * r->most + page, b, pages - page,
                                     c->in[PAGES].dim[0]));
    }
    return FR_OK;
}

static fr_status run(const fr_call *c) {
    const fr_tensor *x = &c->in[X];
    write_run r = {.c = c,
                   .tokens = x->dim[1],
                   .most = c->in[TABLE].dim[1],
                   .scratch = c->scratch,
                   .per_thread = row_bytes(c)};
    FR_TRY(fr_kv_layout_of((fr_kv_kind)((const write_attr *)c->attr)->kind, (int32_t)x->dim[2],
                           (int32_t)x->dim[3], &r.l));
    FR_TRY(check_data(&r));
    const bool few = fr_values(x) < 8192; /* not worth waking threads */
    fr_pool_run_thread(few ? NULL : c->pool, (size_t)(x->dim[0] * x->dim[1]), item, &r);
    return FR_OK;
}

const fr_op fr_op_kv_write = {
    .name = "kv_write",
    .nin_min = 4,
    .nin_max = 4,
    .nout = 1,
    .flags = FR_OP_STATE | FR_OP_NO_GRAD,
    .attr_bytes = sizeof(write_attr),
    .fields = fields,
    .shape = shape_rule,
    .run = run,
    .scratch = scratch,
    .cost = fr_cost_move,
};

fr_val fr_kv_write(fr_graph *g, fr_val pages, fr_val x, fr_val table, fr_val start,
                   fr_kv_kind kind) {
    const fr_val in[] = {pages, x, table, start};
    const write_attr at = {(int32_t)kind};
    return fr_emit(g, &fr_op_kv_write, 4, in, &at);
}
