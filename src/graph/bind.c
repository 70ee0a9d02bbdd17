/* bind.c: giving parameters their values.
 *
 * A weight whose type in the file is the type of the graph stays where it is, in the mapped file
 * (the store must then outlive the session). Of another type, or a matrix in few bits where the graph
 * wants floats, it waits there until somebody reads it (bring.c). A parameter that a pass has stacked
 * with others lies inside the whole. */
#include "graph/session.h"

#include <string.h>

#include "format/format.h"

static const char *name_of(const fr_session *s, fr_val v) {
    return s->graph->values[v]->name;
}

static bool is_param(const fr_session *s, fr_val v) {
    return v > 0 && (size_t)v < s->value_count && s->graph->values[v]->kind == FR_VALUE_PARAM;
}

/* ---- storage ---- */

/* Memory of the session's own for a parameter that stands for itself. */
static fr_status own(fr_session *s, fr_val v) {
    fr_binding *b = &s->bound[v];
    if (b->owned) return FR_OK;
    void *data = fr_alloc(FR_MEM_WEIGHTS, fr_bytes(&s->desc[v]));
    if (!data)
        return fr_fail(FR_NOMEM, "There is no memory for the parameter '%s' of %zu bytes.",
                       name_of(s, v), fr_bytes(&s->desc[v]));
    fr_session_end_waiting(s, v);
    b->t = s->desc[v];
    b->t.data = data;
    b->owned = true;
    s->epoch++;
    return FR_OK;
}

/* Memory that may be written, inside the whole when there is one. */
static fr_status writable(fr_session *s, fr_val v) {
    const fr_value *value = s->graph->values[v];
    if (value->whole == FR_NONE) return own(s, v);
    FR_TRY(fr_session_join(s, value->whole));
    const fr_tensor *whole = &s->bound[value->whole].t;
    size_t row = whole->dim[0] ? fr_bytes(whole) / (size_t)whole->dim[0] : 0;
    s->bound[v].t = s->desc[v];
    s->bound[v].t.data = (uint8_t *)whole->data + (size_t)value->whole_row * row;
    return FR_OK;
}

static void mark_filled(fr_session *s, fr_val v) {
    const fr_value *value = s->graph->values[v];
    s->bound[v].filled = true;
    fr_session_params_changed(s);
    if (value->whole == FR_NONE) return;
    const fr_value *whole = s->graph->values[value->whole];
    bool all = true;
    for (int i = 0; i < whole->parts; i++) all &= s->bound[whole->part[i]].filled;
    s->bound[value->whole].filled = all;
}

/* ---- binding ---- */

/* Inside a whole that has memory of its own already. */
static bool is_joined(const fr_session *s, fr_val v) {
    fr_val whole = s->graph->values[v]->whole;
    return whole != FR_NONE && s->bound[whole].owned;
}

static bool can_map(const fr_session *s, fr_val v, const fr_tensor *t) {
    size_t align = (size_t)fr_dtype_get(t->dtype)->bytes;
    return !is_joined(s, v) && t->dtype == s->desc[v].dtype && fr_is_contiguous(t) &&
           ((align & (align - 1)) || !((uintptr_t)t->data & (align - 1)));
}

static void map(fr_session *s, fr_val v, const fr_tensor *t) {
    fr_binding *b = &s->bound[v];
    if (b->owned) fr_free(b->t.data);
    fr_session_end_waiting(s, v);
    b->t = *t;
    fr_set_contiguous(&b->t);
    b->owned = false;
    s->epoch++;
}

/* Until it is read: there, or in few bits there. */
static void wait(fr_session *s, fr_val v, const fr_tensor *t, fr_quantized *few) {
    fr_binding *b = &s->bound[v];
    if (b->owned) fr_free(b->t.data);
    fr_session_end_waiting(s, v);
    *b = (fr_binding){.t = s->desc[v], .few = few};
    b->t.data = NULL;
    if (t) b->from = *t;
    s->epoch++;
}

/* from: what messages call the source. */
static fr_status bind(fr_session *s, fr_val v, const fr_tensor *t, const char *from, bool may_map) {
    char have[FR_SHAPE_TEXT], want[FR_SHAPE_TEXT];
    if (!fr_same_shape(t, &s->desc[v]))
        return fr_fail(FR_INVALID, "The tensor '%s' of %s is %s, and the graph wants %s.",
                       name_of(s, v), from, fr_shape_text(t, have),
                       fr_shape_text(&s->desc[v], want));
    bool same = t->dtype == s->desc[v].dtype;
    fr_status st = same ? FR_OK : fr_can_convert(t, &s->desc[v]);
    if (st)
        return fr_fail(st, "The tensor '%s' of %s is %s, and the graph wants %s: %s.",
                       name_of(s, v), from, fr_shape_text(t, have),
                       fr_shape_text(&s->desc[v], want), fr_message());
    if (may_map && can_map(s, v, t)) {
        map(s, v, t);
    } else if (may_map && !same && !is_joined(s, v)) {
        wait(s, v, t, NULL);
    } else {
        FR_TRY(writable(s, v));
        if (same)
            fr_copy_contiguous(t, s->bound[v].t.data);
        else
            fr_convert(t, &s->bound[v].t, s->opts.pool);
    }
    mark_filled(s, v);
    return FR_OK;
}

/* A parameter of floats that the store holds in few bits. */
static fr_status bind_few_bits(fr_session *s, fr_val v, const fr_store *store) {
    char want[FR_SHAPE_TEXT];
    const fr_tensor *t = &s->desc[v];
    fr_quantized q;
    FR_TRY(fr_quantized_open(store, name_of(s, v), &q));
    bool floats = t->dtype == FR_F32 || t->dtype == FR_F16 || t->dtype == FR_BF16;
    if (!floats || t->rank != 2 || t->dim[0] != q.rows || t->dim[1] != q.cols)
        return fr_fail(FR_INVALID,
                       "The tensor '%s' of %s is %s [%lld, %lld], and the graph wants %s.",
                       name_of(s, v), fr_store_path(store), q.format->name, (long long)q.rows,
                       (long long)q.cols, fr_shape_text(t, want));
    if (is_joined(s, v)) {
        FR_TRY(writable(s, v));
        FR_TRY(fr_decode_few(&q, &s->bound[v].t, s->opts.pool));
    } else {
        fr_quantized *few = fr_alloc(FR_MEM_OTHER, sizeof *few);
        if (!few) return FR_NOMEM;
        *few = q;
        wait(s, v, NULL, few);
    }
    mark_filled(s, v);
    return FR_OK;
}

/* ---- missing ones ---- */

typedef struct missing {
    char list[600];
    size_t at, count;
} missing;

static void look(const fr_session *s, fr_val v, missing *m) {
    if (s->bound[v].filled) return;
    const char *name = name_of(s, v);
    if (m->count < 4 && m->at + strlen(name) + 8 < sizeof m->list)
        m->at += (size_t)snprintf(m->list + m->at, sizeof m->list - m->at, "%s'%s'",
                                  m->count ? ", " : "", name);
    m->count++;
}

static fr_status report(const fr_session *s, const char *where) {
    missing m = {0};
    for (fr_val v = 0; (size_t)v < s->value_count; v++) {
        const fr_value *value = s->graph->values[v];
        if (value->kind != FR_VALUE_PARAM || !s->needed[v]) continue;
        for (int i = 0; i < value->parts; i++) look(s, value->part[i], &m);
        if (!value->parts) look(s, v, &m);
    }
    if (!m.count) return FR_OK;
    if (m.count == 1) return fr_fail(FR_INVALID, "%s the parameter %s.", where, m.list);
    return fr_fail(FR_INVALID, "%s %zu parameters: %s%s.", where, m.count, m.list,
                   m.count > 4 ? " and others" : "");
}

fr_status fr_session_check_params(const fr_session *s) {
    return report(s, "The session cannot run without values for");
}

/* ---- the face ---- */

fr_status fr_session_load(fr_session *s, const fr_store *store) {
    if (!s || !store) return fr_fail(FR_INVALID, "fr_session_load needs a session and a store.");
    const char *path = fr_store_path(store);
    for (fr_val v = 0; (size_t)v < s->value_count; v++) {
        const fr_value *value = s->graph->values[v];
        bool wanted = s->needed[v] || (value->whole != FR_NONE && s->needed[value->whole]);
        if (value->kind != FR_VALUE_PARAM || value->parts || !wanted) continue;
        const fr_tensor *t = fr_store_find(store, value->name);
        if (t)
            FR_TRY(bind(s, v, t, path, true));
        else if (fr_quantized_is(store, value->name))
            FR_TRY(bind_few_bits(s, v, store));
    }
    char where[400];
    snprintf(where, sizeof where, "%.340s does not hold", path);
    return report(s, where);
}

fr_status fr_session_set(fr_session *s, fr_val v, const fr_tensor *value) {
    if (!s || !value || !is_param(s, v))
        return fr_fail(FR_INVALID, "fr_session_set needs a session, a parameter and a value.");
    if (s->graph->values[v]->parts)
        return fr_fail(FR_INVALID, "The parameter '%s' is made of others; set those.",
                       name_of(s, v));
    if (!value->data && fr_values(value))
        return fr_fail(FR_INVALID, "The value given for '%s' has no data.", name_of(s, v));
    return bind(s, v, value, "the caller", false);
}

fr_status fr_session_make_writable(fr_session *s) {
    FR_TRY(fr_session_join_all(s));
    for (fr_val v = 0; (size_t)v < s->value_count; v++) {
        fr_binding *b = &s->bound[v];
        if (!is_param(s, v) || b->owned || !b->filled || s->graph->values[v]->whole != FR_NONE)
            continue;
        fr_tensor mapped = b->t;
        FR_TRY(own(s, v));
        fr_copy_contiguous(&mapped, b->t.data);
    }
    return FR_OK;
}

static fr_status fill_random(fr_session *s, fr_val v, uint64_t seed, float deviation) {
    enum { PIECE = 4096 };
    float piece[PIECE];
    FR_TRY(writable(s, v));
    const fr_tensor *t = &s->bound[v].t;
    const fr_dtype_info *type = fr_dtype_get(t->dtype);
    uint64_t stream = fr_random_stream(name_of(s, v));
    for (int64_t at = 0, n; type->real && at < fr_values(t); at += n) {
        n = FR_MIN(fr_values(t) - at, (int64_t)PIECE);
        fr_random_normal(seed, stream, (uint64_t)at, piece, (size_t)n);
        for (int64_t i = 0; i < n; i++) piece[i] *= deviation;
        FR_TRY(fr_encode(t->dtype, piece, (size_t)n,
                         (uint8_t *)t->data + at / type->block * type->bytes));
    }
    mark_filled(s, v);
    return FR_OK;
}

fr_status fr_session_init_random(fr_session *s, uint64_t seed, float deviation) {
    for (fr_val v = 0; (size_t)v < s->value_count; v++)
        if (is_param(s, v) && !s->graph->values[v]->parts && !s->bound[v].filled)
            FR_TRY(fill_random(s, v, seed, deviation));
    return FR_OK;
}

void fr_session_params_changed(fr_session *s) {
    for (size_t i = 0; i < s->node_count; i++) {
        if (!s->packed[i].data || s->packed[i].stale) continue;
        s->packed[i].stale = true;
        s->epoch++;
    }
}
