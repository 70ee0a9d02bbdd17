/* quantize_flow.c: what flows from layer to layer: all calibration texts, one behind the other, without gaps.
 *
 * Texts of about the same length go through a layer together, padded to one width; what stands in the padding is
 * behind the text, so the text does not see it, and it is left out of all sums. */
#include <stdlib.h>
#include <string.h>

#include "model/quantize_parts.h"

enum { ROOM = 2048 }; /* tokens that go through at once, where no text is longer */

/* ---- the texts ---- */

typedef struct by_length {
    int32_t length, text;
} by_length;

static int shorter(const void *a, const void *b) {
    const by_length *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return x->text < y->text ? -1 : 1;
}

static fr_status sort_texts(quant_flow *f) {
    by_length *list = fr_alloc_array(FR_MEM_OTHER, f->texts, sizeof *list);
    if (!list) return FR_NOMEM;
    for (size_t i = 0; i < f->texts; i++) list[i] = (by_length){f->length[i], (int32_t)i};
    qsort(list, f->texts, sizeof *list, shorter);
    for (size_t i = 0; i < f->texts; i++) f->order[i] = list[i].text;
    fr_free(list);
    return FR_OK;
}

static fr_status check_texts(const fr_decoder *m, const fr_quantizing *o) {
    int64_t at = 0;
    for (size_t i = 0; i < o->texts; at += o->length[i++]) {
        if (o->length[i] < 1 || o->length[i] > m->context)
            return fr_fail(FR_INVALID,
                           "Calibration text %zu has %d tokens; the model takes 1 to %lld.", i,
                           o->length[i], (long long)m->context);
        for (int64_t k = at; k < at + o->length[i]; k++)
            if (o->ids[k] < 0 || o->ids[k] >= m->vocab)
                return fr_fail(FR_INVALID,
                               "Calibration text %zu holds the token %d; the model has %lld.", i,
                               o->ids[k], (long long)m->vocab);
    }
    return FR_OK;
}

fr_status quant_flow_new(const fr_decoder *m, const fr_quantizing *o, quant_flow *out) {
    *out = (quant_flow){.m = m, .pool = o->pool, .texts = o->texts, .length = o->length};
    FR_TRY(check_texts(m, o));
    out->first = fr_alloc(FR_MEM_OTHER, (o->texts + 1) * sizeof *out->first);
    out->order = fr_alloc(FR_MEM_OTHER, (o->texts + 1) * sizeof *out->order);
    size_t bytes;
    for (size_t i = 0; out->first && i < o->texts; i++) {
        out->first[i] = out->tokens;
        out->tokens += o->length[i];
    }
    if (out->first && out->order &&
        fr_size_mul((size_t)out->tokens + 1, (size_t)m->width * 4, &bytes))
        out->x = fr_alloc(FR_MEM_STATE, bytes);
    fr_status st = out->x ? sort_texts(out) : FR_NOMEM;
    if (st) quant_flow_free(out);
    return st;
}

void quant_flow_free(quant_flow *f) {
    fr_free(f->x);
    fr_free(f->first);
    fr_free(f->order);
    *f = (quant_flow){0};
}

/* ---- a layer as a graph ---- */

static fr_status build(const quant_flow *f, const fr_store *store, quant_layer *l) {
    fr_graph *g = l->graph = fr_graph_new();
    if (!g) return FR_NOMEM;
    fr_decoder_opts o = {.weights = FR_F32};
    fr_val x = fr_input(g, "x", FR_F32, 3, (int64_t[]){1, 16, f->m->width});
    fr_val pos = fr_input(g, "pos", FR_I32, 2, (int64_t[]){16, 1});
    fr_output(g, "y", fr_decoder_layer(g, f->m, &o, l->number, x, pos));
    FR_TRY(fr_taps_add(g, &l->taps));
    FR_TRY(fr_session_new_with(g, &(fr_session_opts){.pool = f->pool, .train = true}, &l->session));
    FR_TRY(fr_session_load(l->session, store));
    return fr_session_make_writable(l->session);
}

static fr_status list_params(quant_layer *l) {
    const fr_graph *g = l->graph;
    l->list = fr_alloc_array(FR_MEM_OTHER, g->value_count + 1, sizeof *l->list);
    if (!l->list) return FR_NOMEM;
    for (fr_val v = 1; (size_t)v < g->value_count; v++) {
        const fr_value *value = fr_value_of(g, v);
        fr_tensor *t = value->kind == FR_VALUE_PARAM ? fr_session_tensor(l->session, v) : NULL;
        if (t) l->list[l->count++] = (fr_named_tensor){value->name, t};
    }
    return FR_OK;
}

fr_status quant_layer_open(const quant_flow *f, const fr_store *store, int64_t number,
                           quant_layer *out) {
    *out = (quant_layer){.number = number};
    fr_status st = build(f, store, out);
    if (!st) st = list_params(out);
    if (st) quant_layer_close(out);
    return st;
}

void quant_layer_close(quant_layer *l) {
    fr_session_free(l->session);
    fr_taps_free(&l->taps);
    fr_graph_free(l->graph);
    fr_free(l->list);
    *l = (quant_layer){0};
}

fr_tensor *quant_layer_find(const quant_layer *l, const char *name) {
    fr_val v = fr_graph_find(l->graph, name);
    return v == FR_NONE ? NULL : fr_session_tensor(l->session, v);
}

/* ---- through it ---- */

static int64_t width_of(const quant_flow *f, size_t at) {
    return (int64_t)fr_round_up((size_t)f->length[f->order[at]], 16);
}

int64_t quant_batch_most(const quant_flow *f) {
    return FR_MAX_OF(width_of(f, f->texts - 1), (int64_t)ROOM);
}

bool quant_batch_next(quant_batch *b) {
    b->begin = b->end;
    b->width = 0;
    while (b->end < b->f->texts) {
        int64_t wide = width_of(b->f, b->end);
        if (b->width && wide * (int64_t)(b->end + 1 - b->begin) > ROOM) break;
        b->width = wide;
        b->end++;
    }
    return b->begin < b->f->texts;
}

void quant_batch_fill(const quant_batch *b) {
    const quant_flow *f = b->f;
    int64_t n = f->m->width;
    for (size_t i = b->begin; i < b->end; i++) {
        int32_t text = f->order[i];
        float *to = b->x + (int64_t)(i - b->begin) * b->width * n;
        size_t here = (size_t)(f->length[text] * n), all = (size_t)(b->width * n);
        memcpy(to, f->x + f->first[text] * n, here * sizeof *to);
        memset(to + here, 0, (all - here) * sizeof *to);
    }
}

int64_t quant_batch_gather(const quant_batch *b, const float *from, int64_t n, float *rows) {
    int64_t count = 0;
    for (size_t i = b->begin; i < b->end; i++) {
        int64_t length = b->f->length[b->f->order[i]];
        memcpy(rows + count * n, from + (int64_t)(i - b->begin) * b->width * n,
               (size_t)(length * n) * sizeof *rows);
        count += length;
    }
    return count;
}

void quant_batch_advance(const quant_batch *b, const float *y) {
    int64_t n = b->f->m->width;
    for (size_t i = b->begin; i < b->end; i++) {
        int32_t text = b->f->order[i];
        memcpy(b->f->x + b->f->first[text] * n, y + (int64_t)(i - b->begin) * b->width * n,
               (size_t)(b->f->length[text] * n) * sizeof *y);
    }
}

typedef struct batch {
    quant_batch q;
    float *rows; /* what of a value is text */
    int32_t *pos;
} batch;

/* Linears that read the same value look once. */
static bool first_of_slot(const fr_taps *t, size_t tap) {
    for (size_t i = 0; i < tap; i++)
        if (t->tap[i].slot == t->tap[tap].slot) return false;
    return true;
}

static fr_status look(const batch *b, const quant_layer *l, const quant_looks *k) {
    const fr_taps *t = &l->taps;
    for (size_t i = 0; i < t->count; i++) {
        fr_hessian *sum = k->sums[t->tap[i].slot];
        if (!sum || !first_of_slot(t, i)) continue;
        const fr_tensor *x = fr_taps_read(t, i, l->session);
        if (!x || x->dtype != FR_F32 || !fr_is_contiguous(x))
            return fr_fail(FR_UNSUPPORTED, "What flows into %s cannot be seen.", t->tap[i].name);
        int64_t rows = quant_batch_gather(&b->q, x->data, sum->n, b->rows);
        FR_TRY(fr_hessian_add(sum, b->rows, rows, b->q.f->pool));
    }
    return FR_OK;
}

static fr_status run_batch(const batch *b, const quant_layer *l, const quant_looks *k) {
    const quant_batch *q = &b->q;
    int64_t count = (int64_t)(q->end - q->begin), width = q->f->m->width;
    fr_tensor in[] = {fr_tensor_make(FR_F32, 3, (int64_t[]){count, q->width, width}, q->x),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){q->width, 1}, b->pos)};
    quant_batch_fill(q);
    FR_TRY(fr_interrupt_check());
    FR_TRY(fr_session_run(l->session, in, FR_COUNT(in)));
    if (k->sums) FR_TRY(look(b, l, k));
    if (k->advance) quant_batch_advance(q, fr_session_output(l->session, "y")->data);
    return FR_OK;
}

fr_status quant_flow_run(const quant_flow *f, const quant_layer *l, const quant_looks *k) {
    if (!f->texts) return FR_OK;
    int64_t most = quant_batch_most(f), widest = f->m->width;
    for (size_t i = 0; k->sums && i < l->taps.slots; i++)
        if (k->sums[i]) widest = FR_MAX_OF(widest, k->sums[i]->n);
    batch b = {.q = {.f = f}};
    b.q.x = fr_alloc_array(FR_MEM_OTHER, (size_t)(most * f->m->width), sizeof *b.q.x);
    b.rows = fr_alloc_array(FR_MEM_OTHER, (size_t)(most * widest), sizeof *b.rows);
    b.pos = fr_alloc_array(FR_MEM_OTHER, (size_t)most, sizeof *b.pos);
    fr_status st = b.q.x && b.rows && b.pos ? FR_OK : FR_NOMEM;
    for (int64_t i = 0; !st && i < most; i++) b.pos[i] = (int32_t)i;
    int64_t done = 0;
    while (!st && quant_batch_next(&b.q)) {
        st = run_batch(&b, l, k);
        for (size_t i = b.q.begin; i < b.q.end; i++) done += f->length[f->order[i]];
        if (!st && k->on_rows) k->on_rows(k->arg, (double)done / (double)f->tokens);
    }
    fr_free(b.q.x);
    fr_free(b.rows);
    fr_free(b.pos);
    return st;
}
