/* rotate.c: see rotate.h. A linear's weight is [out, in]: what reads the stream gets W R, what writes it RT W. */
#include "model/rotate.h"

#include <string.h>

#include "quant/quant.h"

typedef struct rotation {
    const fr_rotate_opts *o;
    fr_weights w;
    fr_hadamard *stream, *head; /* NULL: not turned */
    fr_pool *pool;
} rotation;

/* ---- what can be done ---- */

static fr_status size_of(const char *what, int64_t n, fr_hadamard **out) {
    fr_status st = fr_hadamard_new(n, out);
    return st ? fr_fail_in(st, "%s cannot be rotated", what) : FR_OK;
}

static fr_status prepare(const fr_decoder *m, const fr_rotate_opts *o, rotation *r) {
    if ((o->fold || o->residual) && m->around)
        return fr_fail(FR_UNSUPPORTED,
                       "Models of the family %s cannot be rotated: the norms behind attention and "
                       "MLP have weights that stand between them and the residual stream.",
                       fr_family_names[m->family]);
    if ((o->fold || o->residual) && m->tied)
        return fr_fail(FR_INVALID, "The embedding of this model is the weight of its logits too: "
                                   "rotation needs a copy of it for them.");
    if (o->residual) FR_TRY(size_of("The residual stream", m->width, &r->stream));
    if (o->heads) FR_TRY(size_of("Heads", m->head_dim, &r->head));
    return FR_OK;
}

static void release(rotation *r) {
    fr_hadamard_free(r->stream);
    fr_hadamard_free(r->head);
}

fr_status fr_rotate_check(const fr_decoder *m, const fr_rotate_opts *o) {
    rotation r = {0};
    fr_status st = prepare(m, o, &r);
    release(&r);
    return st;
}

/* ---- one matrix ---- */

/* What a norm's weight is when it changes nothing. */
static float no_weight(const rotation *r) {
    return r->w.m->norm_plus_one ? 0 : 1;
}

/* From here to close_norm the weight is the factors, which go into who reads what the norm gives. */
static fr_status open_norm(const rotation *r, const fr_matrix *norm, const char *what) {
    for (int64_t i = 0; i < norm->cols; i++) {
        if (r->o->fold)
            norm->data[i] += 1 - no_weight(r);
        else if (r->stream && norm->data[i] != no_weight(r))
            return fr_fail(FR_INVALID,
                           "%s has weights; they must be folded into the linears behind it before "
                           "the stream is rotated.",
                           what);
    }
    return FR_OK;
}

static void close_norm(const rotation *r, const fr_matrix *norm) {
    for (int64_t i = 0; r->o->fold && i < norm->cols; i++) norm->data[i] = no_weight(r);
}

/* norm NULL: it reads the stream itself. */
static fr_status reads(const rotation *r, const fr_matrix *norm, const fr_matrix *a) {
    if (r->o->fold && norm) fr_matrix_scale_columns(a, norm->data);
    if (!r->stream) return FR_OK;
    return fr_hadamard_rows(r->stream, r->o->back, a->data, a->rows, a->cols, r->pool);
}

static fr_status writes(const rotation *r, const fr_matrix *a) {
    if (!r->stream) return FR_OK;
    if (a->bias) FR_TRY(fr_hadamard_rows(r->stream, r->o->back, a->bias, 1, a->rows, NULL));
    return fr_hadamard_columns(r->stream, r->o->back, a->data, a->cols, a->cols, r->pool);
}

/* ---- the places ---- */

/* Each head of v, and in o what reads it, turn by the same matrix; a head of v serves a group of heads. */
static fr_status turn_heads(const rotation *r, const fr_matrix *v, const fr_matrix *o) {
    const int64_t dim = r->w.m->head_dim;
    const bool back = r->o->back;
    if (!r->head) return FR_OK;
    for (int64_t h = 0; h < v->rows; h += dim)
        FR_TRY(
            fr_hadamard_columns(r->head, back, v->data + h * v->cols, v->cols, v->cols, r->pool));
    if (v->bias) FR_TRY(fr_hadamard_rows(r->head, back, v->bias, v->rows / dim, dim, NULL));
    return fr_hadamard_rows(r->head, back, o->data, o->rows * o->cols / dim, dim, r->pool);
}

static fr_status attention(const rotation *r) {
    fr_attention_weights a;
    FR_TRY(fr_weights_attention(&r->w, &a));
    FR_TRY(open_norm(r, &a.norm, "The norm before attention"));
    FR_TRY(reads(r, &a.norm, &a.q));
    FR_TRY(reads(r, &a.norm, &a.k));
    FR_TRY(reads(r, &a.norm, &a.v));
    close_norm(r, &a.norm);
    FR_TRY(turn_heads(r, &a.v, &a.o));
    return writes(r, &a.o);
}

static fr_status mlp(const rotation *r) {
    fr_matrix norm, router;
    FR_TRY(fr_weights_mlp_front(&r->w, &norm, &router));
    FR_TRY(open_norm(r, &norm, "The norm before the MLP"));
    if (router.data) FR_TRY(reads(r, &norm, &router));
    for (int64_t e = 0; e < fr_weights_mlps(r->w.m); e++) {
        fr_mlp_weights p;
        FR_TRY(fr_weights_mlp(&r->w, e, &p));
        FR_TRY(reads(r, &norm, &p.gate));
        FR_TRY(reads(r, &norm, &p.up));
        FR_TRY(writes(r, &p.down));
    }
    close_norm(r, &norm);
    return FR_OK;
}

static fr_status ends(const rotation *r) {
    const fr_decoder *m = r->w.m;
    fr_matrix table, norm, head;
    FR_TRY(fr_weights_find(&r->w, "model.embed_tokens.weight", m->vocab, m->width, &table));
    FR_TRY(fr_weights_find(&r->w, "model.norm.weight", 1, m->width, &norm));
    FR_TRY(fr_weights_find(&r->w, "lm_head.weight", m->vocab, m->width, &head));
    FR_TRY(open_norm(r, &norm, "The last norm"));
    FR_TRY(reads(r, &norm, &head));
    close_norm(r, &norm);
    return reads(r, NULL, &table); /* its rows are what flows */
}

static fr_status all(const rotation *r) {
    const bool stream = r->o->fold || r->o->residual;
    if (r->w.layer < 0) return stream ? ends(r) : FR_OK;
    FR_TRY(attention(r));
    return stream ? mlp(r) : FR_OK;
}

fr_status fr_rotate(const fr_decoder *m, const fr_rotate_opts *o, const fr_named_tensor *weights,
                    size_t count, int64_t layer, fr_pool *pool) {
    rotation r = {.o = o, .w = {m, weights, count, layer}, .pool = pool};
    fr_status st = prepare(m, o, &r);
    if (!st) st = all(&r);
    release(&r);
    return st;
}

/* ---- a weight of its own for the logits ---- */

/* Headers, then values, each tensor at a multiple of FR_ALIGN, then names. */
static fr_status copied(const fr_named_tensor *from, size_t n, fr_named_tensor **out) {
    const size_t heads = fr_round_up(n * (sizeof **out + sizeof(fr_tensor)), FR_ALIGN);
    size_t bytes = heads, names = 0;
    bool fits = true;
    for (size_t i = 0; i < n; i++) {
        fits &= fr_size_add(bytes, fr_round_up(fr_bytes(from[i].tensor), FR_ALIGN), &bytes);
        names += strlen(from[i].name) + 1;
    }
    fr_named_tensor *list = *out = fits ? fr_alloc(FR_MEM_WEIGHTS, bytes + names) : NULL;
    if (!list) return fr_fail(FR_NOMEM, "There is no memory for a copy of the embedding.");
    fr_tensor *t = (fr_tensor *)(list + n);
    char *at = (char *)list + heads, *name = (char *)list + bytes;
    for (size_t i = 0; i < n; i++) {
        const size_t size = fr_bytes(from[i].tensor);
        t[i] = *from[i].tensor;
        t[i].data = memcpy(at, from[i].tensor->data, size);
        list[i] = (fr_named_tensor){strcpy(name, from[i].name), &t[i]};
        at += fr_round_up(size, FR_ALIGN);
        name += strlen(name) + 1;
    }
    return FR_OK;
}

fr_status fr_decoder_untie(fr_decoder *m, fr_named_tensor **list, size_t *count) {
    fr_weights w = {m, *list, *count, -1};
    fr_named_tensor *more = NULL, *longer;
    fr_matrix table;
    if (!m->tied) return FR_OK;
    FR_TRY(fr_weights_find(&w, "model.embed_tokens.weight", m->vocab, m->width, &table));
    longer = fr_alloc_array(FR_MEM_OTHER, *count + 1, sizeof *longer);
    if (!longer) return FR_NOMEM;
    memcpy(longer, *list, *count * sizeof *longer);
    for (size_t i = 0; i < *count; i++)
        if (longer[i].tensor->data == table.data)
            longer[*count] = (fr_named_tensor){"lm_head.weight", longer[i].tensor};
    fr_status st = copied(longer, *count + 1, &more);
    fr_free(longer);
    if (st) return st;
    fr_free(*list);
    *list = more;
    *count += 1;
    m->tied = false;
    return FR_OK;
}
