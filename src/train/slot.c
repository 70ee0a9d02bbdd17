/* slot.c: the parameters of a trainer one by one: which of them train, their gradients as outputs of
 * the graph, and the memory that is kept for each. */
#include "train/trainer.h"

/* The parameters that train, in the order in which they were made. */
static size_t collect(const fr_trainer *t, fr_val *out) {
    const fr_train_opts *o = &t->opts;
    size_t n = 0;
    for (size_t i = 0; i < t->graph->value_count; i++) {
        const fr_value *v = t->graph->values[i];
        if (v->kind != FR_VALUE_PARAM || !fr_dtype_get(v->desc.dtype)->real) continue;
        if (o->trainable && !o->trainable(v->name, o->trainable_arg)) continue;
        if (out) out[n] = (fr_val)i;
        n++;
    }
    return n;
}

/* ---- memory ---- */

static void *take(fr_trainer *t, size_t bytes) {
    void *data = fr_alloc(FR_MEM_STATE, bytes);
    if (data) t->state_bytes += bytes;
    return data;
}

/* NULL when there is no memory. */
static void *keep(fr_trainer *t, fr_slot *s, const char *prefix, fr_dtype type, int rank,
                  const int64_t *dim) {
    fr_tensor shape = fr_tensor_make(type, rank, dim, NULL);
    shape.data = take(t, fr_bytes(&shape));
    if (shape.data) s->kept[s->kept_count++] = (fr_kept){prefix, shape};
    return shape.data;
}

/* As many floats as the parameter has values. */
static void *keep_like(fr_trainer *t, fr_slot *s, const char *prefix) {
    const fr_tensor *shape = &t->graph->values[s->param]->desc;
    return keep(t, s, prefix, FR_F32, shape->rank, shape->dim);
}

static size_t blocks_of(const fr_slot *s) {
    return (s->values + s->block - 1) / s->block;
}

static fr_status keep_codes(fr_trainer *t, fr_slot *s, fr_codes *c, const char *const prefix[3]) {
    const fr_tensor *shape = &t->graph->values[s->param]->desc;
    int64_t blocks = (int64_t)blocks_of(s);
    c->code = keep(t, s, prefix[0], FR_U8, shape->rank, shape->dim);
    c->scale = keep(t, s, prefix[1], FR_F32, 1, &blocks);
    if (prefix[2]) c->low = keep(t, s, prefix[2], FR_F32, 1, &blocks);
    return c->code && c->scale && (!prefix[2] || c->low) ? FR_OK : FR_NOMEM;
}

static fr_status keep_moments(fr_trainer *t, fr_slot *s, bool second) {
    if (!(s->m = keep_like(t, s, "m"))) return FR_NOMEM;
    return !second || (s->v = keep_like(t, s, "v")) ? FR_OK : FR_NOMEM;
}

static fr_status make_adamw8(fr_trainer *t, fr_slot *s) {
    static const char *const m[3] = {"m8", "m8.scale"}, *const v[3] = {"v8", "v8.scale"};
    if (s->values < (size_t)t->opts.least8) return keep_moments(t, s, true);
    s->block = t->opts.block8 ? (size_t)t->opts.block8 : s->values < 32768 ? 256 : 2048;
    FR_TRY(keep_codes(t, s, &s->m8, m));
    memset(s->m8.code, t->maps[0].zero, s->values);
    return keep_codes(t, s, &s->v8, v);
}

/* Matrices, also those of convolutions with kernels of one value. */
static bool find_factors(const fr_tensor *shape, fr_factors *f) {
    if (shape->rank < 2) return false;
    f->rows = (size_t)shape->dim[0];
    f->cols = (size_t)shape->dim[shape->rank - 1];
    for (int i = 1; i + 1 < shape->rank; i++)
        if (shape->dim[i] != 1) return false;
    return f->rows && f->cols;
}

/* Pieces are long enough that their sums of columns stay small beside the matrix. */
static fr_status make_factors(fr_trainer *t, fr_slot *s) {
    fr_factors *f = &s->factors;
    int64_t rows = (int64_t)f->rows, cols = (int64_t)f->cols;
    f->row = keep(t, s, "row", FR_F32, 1, &rows);
    f->col = keep(t, s, "col", FR_F32, 1, &cols);
    f->res_row = keep(t, s, "res_row", FR_F32, 1, &rows);
    f->res_col = keep(t, s, "res_col", FR_F32, 1, &cols);
    s->piece = fr_round_up(64 * f->cols, FR_PIECE);
    size_t pieces = (s->values + s->piece - 1) / s->piece;
    f->row_room = FR_MIN(f->rows, s->piece / f->cols + 2);
    f->by_row = take(t, f->rows * sizeof(float));
    f->by_col = take(t, f->cols * sizeof(float));
    f->res_by_row = take(t, f->rows * sizeof(float));
    f->res_by_col = take(t, f->cols * sizeof(float));
    f->row_part = take(t, pieces * f->row_room * sizeof(float));
    f->col_part = take(t, pieces * f->cols * sizeof(float));
    return f->row && f->col && f->res_row && f->res_col && f->by_row && f->by_col &&
                   f->res_by_row && f->res_by_col && f->row_part && f->col_part
               ? FR_OK
               : FR_NOMEM;
}

static fr_status make_came(fr_trainer *t, fr_slot *s) {
    static const char *const names[3] = {"m8", "m8.scale", "m8.low"}, *const around[3] = {
                                                                          "m8", "m8.scale"};
    const fr_train_opts *o = &t->opts;
    bool matrix = find_factors(&t->graph->values[s->param]->desc, &s->factors);
    if (matrix) FR_TRY(make_factors(t, s));
    if (!matrix || o->optimizer == FR_CAME || s->values < (size_t)o->least8)
        return keep_moments(t, s, !matrix);
    s->block = o->block8 ? (size_t)o->block8 : 2048;
    FR_TRY(keep_codes(t, s, &s->m8, o->around_zero8 ? around : names));
    if (o->around_zero8) memset(s->m8.code, 127, s->values);
    return FR_OK;
}

static fr_status make_memory(fr_trainer *t, fr_slot *s) {
    if (t->opts.optimizer == FR_ADAMW) return keep_moments(t, s, true);
    if (t->opts.optimizer == FR_ADAMW8) return make_adamw8(t, s);
    if (t->opts.optimizer != FR_SGD) return make_came(t, s);
    return t->opts.momentum != 0 ? keep_moments(t, s, false) : FR_OK;
}

static fr_status make_maps(fr_trainer *t) {
    if (t->opts.optimizer != FR_ADAMW8) return FR_OK;
    t->maps = fr_alloc(FR_MEM_OTHER, 2 * sizeof *t->maps);
    if (!t->maps) return FR_NOMEM;
    fr_map8_make(&t->maps[0], true);
    fr_map8_make(&t->maps[1], false);
    return FR_OK;
}

static fr_status make_slot(fr_trainer *t, fr_slot *s, fr_val param, fr_val grad) {
    const fr_value *v = t->graph->values[param];
    *s = (fr_slot){.param = param, .grad = grad, .name = v->name};
    s->values = (size_t)fr_values(&v->desc);
    s->decays = t->opts.decay ? t->opts.decay(v->name) : v->desc.rank >= 2;
    s->owns = v->desc.dtype != FR_F32;
    s->piece = FR_PIECE;
    if (s->owns && !(s->master = keep_like(t, s, "master"))) return FR_NOMEM;
    if (t->opts.ema > 0 && !(s->ema = keep_like(t, s, "ema"))) return FR_NOMEM;
    return make_memory(t, s);
}

fr_status fr_slots_add_sums(fr_trainer *t) {
    for (size_t i = 0; i < t->slot_count; i++) {
        fr_slot *s = &t->slots[i];
        if (!s->sum && !(s->sum = take(t, s->values * sizeof(float)))) return FR_NOMEM;
    }
    return FR_OK;
}

void fr_slots_free(fr_trainer *t) {
    for (size_t i = 0; i < t->slot_count; i++) {
        fr_slot *s = &t->slots[i];
        for (int k = 0; k < s->kept_count; k++) fr_free(s->kept[k].tensor.data);
        fr_free(s->sum);
        fr_free(s->factors.by_row);
        fr_free(s->factors.by_col);
        fr_free(s->factors.res_by_row);
        fr_free(s->factors.res_by_col);
        fr_free(s->factors.row_part);
        fr_free(s->factors.col_part);
    }
    fr_free(t->slots);
    fr_free(t->maps);
    fr_free(t->grads);
    fr_free(t->pieces);
    fr_free(t->partial);
}

static fr_status make_pieces(fr_trainer *t) {
    size_t n = 0;
    for (size_t i = 0; i < t->slot_count; i++) {
        fr_slot *s = &t->slots[i];
        s->first_piece = n;
        s->piece_count = (s->values + s->piece - 1) / s->piece;
        n += s->piece_count;
    }
    t->piece_count = n;
    t->pieces = fr_alloc_array(FR_MEM_OTHER, n, sizeof *t->pieces);
    t->partial = fr_alloc_array(FR_MEM_OTHER, n, sizeof *t->partial);
    if (!t->pieces || !t->partial) return FR_NOMEM;
    for (size_t i = 0; i < t->slot_count; i++) {
        const fr_slot *s = &t->slots[i];
        for (size_t k = 0; k < s->piece_count; k++)
            t->pieces[s->first_piece + k] =
                (fr_piece){.slot = (uint32_t)i,
                           .first = k * s->piece,
                           .count = FR_MIN(s->piece, s->values - k * s->piece)};
    }
    return FR_OK;
}

/* ---- gradients ---- */

/* The gradient becomes an output of the graph. */
static fr_status name_gradient(fr_trainer *t, fr_slot *slot) {
    fr_graph *g = t->graph;
    char *name = fr_format("grad/%s", slot->name);
    if (!name) return FR_NOMEM;
    fr_output(g, name, slot->grad);
    fr_free(name);
    FR_TRY(fr_graph_check(g));
    slot->grad_name = g->output_names[g->output_count - 1];
    return FR_OK;
}

fr_status fr_slots_new(fr_trainer *t, fr_val loss) {
    size_t n = collect(t, NULL);
    if (!n)
        return fr_fail(FR_INVALID, t->opts.trainable
                                       ? "none of the graph's parameters is chosen to train"
                                       : "the graph has no parameters to train");
    fr_val *param = fr_alloc_array(FR_MEM_OTHER, n, 2 * sizeof *param);
    t->slots = fr_alloc(FR_MEM_OTHER, n * sizeof *t->slots);
    t->grads = fr_alloc_array(FR_MEM_OTHER, n, sizeof *t->grads);
    if (!param || !t->slots || !t->grads) {
        fr_free(param);
        return FR_NOMEM;
    }
    fr_val *grad = param + n;
    collect(t, param);
    fr_status st = make_maps(t);
    if (!st) st = fr_gradients(t->graph, loss, (int)n, param, grad);
    for (size_t i = 0; !st && i < n; i++) {
        st = make_slot(t, &t->slots[i], param[i], grad[i]);
        t->slot_count = i + 1;
        if (!st) st = name_gradient(t, &t->slots[i]);
    }
    fr_free(param);
    return st ? st : make_pieces(t);
}

/* ---- between masters and parameters ---- */

/* Does the session still keep every parameter where the masters were taken from? */
static bool in_place(const fr_trainer *t) {
    for (size_t i = 0; i < t->slot_count; i++)
        if (t->slots[i].storage->data != t->slots[i].seen) return false;
    return true;
}

fr_status fr_trainer_prepare(fr_trainer *t) {
    if (t->ready && in_place(t)) return FR_OK;
    t->ready = t->swapped = false;
    FR_TRY(fr_session_make_writable(t->session));
    for (size_t i = 0; i < t->slot_count; i++) {
        fr_slot *s = &t->slots[i];
        s->storage = fr_session_tensor(t->session, s->param);
        if (!s->storage || !s->storage->data)
            return fr_fail(FR_INVALID,
                           "parameter %s has no value yet: load a file or start from random values",
                           s->name);
        s->seen = s->storage->data;
        if (s->owns)
            FR_TRY(fr_tensor_to_f32(s->storage, s->master));
        else
            s->master = s->storage->data;
        if (s->ema) memcpy(s->ema, s->master, s->values * sizeof(float));
    }
    t->ready = true;
    return FR_OK;
}

void fr_slot_store(const fr_slot *s, size_t first, size_t count) {
    if (!s->owns) return;
    size_t bytes = (size_t)fr_dtype_get(s->storage->dtype)->bytes;
    fr_encode(s->storage->dtype, s->master + first, count,
              (char *)s->storage->data + first * bytes);
}
