/* bring.c: values of a parameter that wait in a store, in another type or in few bits, become those of the graph.
 *
 * Whoever packs his weights gets them in memory that is lent for as long as that takes (whole.c); so a weight in f16, or in
 * a format that has no product, costs no second copy. Others get memory that stays. */
#include "format/format.h"
#include "graph/session.h"
#include "kernel/kernel.h"

enum { PIECE = 4096 }; /* values; whole blocks of any type */

typedef struct conversion {
    const fr_tensor *from, *to;
    const fr_quantized *q; /* instead of from: a matrix in few bits, a row an item */
    float *rows;           /* of q: one for each thread */
} conversion;

static void to_floats(fr_dtype t, const void *in, size_t n, float *out) {
    const fr_convert_kernels *k = &fr_kernel()->convert;
    if (t == FR_F16)
        k->f16_to_f32(in, n, out);
    else if (t == FR_BF16)
        k->bf16_to_f32(in, n, out);
    else
        fr_decode(t, in, n, out);
}

static void from_floats(fr_dtype t, const float *in, size_t n, void *out) {
    const fr_convert_kernels *k = &fr_kernel()->convert;
    if (t == FR_F16)
        k->f32_to_f16(in, n, out);
    else if (t == FR_BF16)
        k->f32_to_bf16(in, n, out);
    else
        (void)fr_encode(t, in, n, out); /* whole blocks: tried before */
}

/* Through floats, a piece at a time, so that a huge table needs no second copy of itself. */
static void convert_piece(void *arg, size_t item) {
    const conversion *c = arg;
    float piece[PIECE];
    const fr_dtype_info *a = fr_dtype_get(c->from->dtype), *b = fr_dtype_get(c->to->dtype);
    int64_t at = (int64_t)item * PIECE, n = FR_MIN(fr_values(c->from) - at, (int64_t)PIECE);
    to_floats(c->from->dtype, (const uint8_t *)c->from->data + at / a->block * a->bytes, (size_t)n,
              piece);
    from_floats(c->to->dtype, piece, (size_t)n, (uint8_t *)c->to->data + at / b->block * b->bytes);
}

fr_status fr_can_convert(const fr_tensor *from, const fr_tensor *to) {
    const fr_dtype_info *a = fr_dtype_get(from->dtype), *b = fr_dtype_get(to->dtype);
    float none = 0;
    if (!a->real || !b->real || !fr_is_contiguous(from))
        return fr_fail(FR_UNSUPPORTED, "%s cannot be converted to %s", a->name, b->name);
    FR_TRY(fr_encode(to->dtype, &none, 0, &none)); /* is it a type that can be written? */
    if (fr_values(from) % b->block) return fr_encode(to->dtype, &none, 1, &none);
    return FR_OK;
}

void fr_convert(const fr_tensor *from, const fr_tensor *to, fr_pool *pool) {
    fr_pool_run(pool, (size_t)((fr_values(from) + PIECE - 1) / PIECE), convert_piece,
                &(conversion){.from = from, .to = to});
}

static void decode_row(void *arg, size_t thread, size_t row) {
    const conversion *c = arg;
    size_t n = (size_t)c->q->cols;
    float *x = c->rows + thread * n;
    c->q->format->decode(c->q, (int64_t)row, 1, x);
    from_floats(c->to->dtype, x, n,
                (uint8_t *)c->to->data + row * n * (size_t)fr_dtype_get(c->to->dtype)->bytes);
}

fr_status fr_decode_few(const fr_quantized *q, const fr_tensor *to, fr_pool *pool) {
    size_t room;
    if (!fr_size_mul((size_t)fr_pool_threads(pool), (size_t)q->cols, &room)) return FR_NOMEM;
    float *rows = fr_alloc_array(FR_MEM_OTHER, room, sizeof *rows);
    if (!rows) return FR_NOMEM;
    fr_pool_run_thread(pool, (size_t)q->rows, decode_row,
                       &(conversion){.q = q, .to = to, .rows = rows});
    fr_free(rows);
    return FR_OK;
}

/* ---- waiting ---- */

bool fr_session_waits(const fr_session *s, fr_val v) {
    const fr_binding *b = &s->bound[v];
    return b->filled && !b->t.data && (b->from.data || b->few);
}

void fr_session_end_waiting(fr_session *s, fr_val v) {
    fr_free(s->bound[v].few);
    s->bound[v].few = NULL;
    s->bound[v].from = (fr_tensor){0};
}

fr_status fr_session_bring(const fr_session *s, fr_val v, void *to) {
    const fr_binding *b = &s->bound[v];
    fr_tensor t = s->desc[v];
    t.data = to;
    if (b->few) return fr_decode_few(b->few, &t, s->opts.pool);
    fr_convert(&b->from, &t, s->opts.pool);
    return FR_OK;
}
