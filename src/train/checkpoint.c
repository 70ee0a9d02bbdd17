/* checkpoint.c: all that training needs to go on, in one safetensors file:
 *
 *     param/<name>        as the session holds it
 *     master/<name>       f32, for trained parameters of a smaller type
 *     ema/<name>          the average, f32
 *     m/<name> v/<name>   the optimizer's moments, f32
 *     m8/<name> ...       in 8 bits: codes, m8.scale and m8.low of each block; v8, v8.scale
 *     row/<name> ...      of a matrix: row, col, res_row, res_col
 *     state/<name>        the states of the graph
 *     metadata            "step", "optimizer"
 *
 * Every value is stored as its bits, so resuming gives the same bits as never having stopped. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "train/trainer.h"

/* ---- what is kept ---- */

typedef struct part {
    const char *prefix, *name;
    fr_tensor tensor; /* data NULL as long as nothing is bound */
} part;

typedef struct parts {
    part *list;
    size_t count;
} parts;

static void add(parts *p, const char *prefix, const char *name, const fr_tensor *shape,
                fr_dtype type, void *data) {
    fr_tensor t = fr_tensor_make(type, shape->rank, shape->dim, data);
    p->list[p->count++] = (part){prefix, name, t};
}

static void add_slot(parts *p, const fr_trainer *t, const fr_slot *s) {
    const fr_tensor *shape = &t->graph->values[s->param]->desc;
    add(p, "param", s->name, shape, shape->dtype, s->storage ? s->storage->data : NULL);
    for (int k = 0; k < s->kept_count; k++) {
        const fr_tensor *kept = &s->kept[k].tensor;
        add(p, s->kept[k].prefix, s->name, kept, kept->dtype, kept->data);
    }
}

/* States, and tables of integers, which are no parameters that somebody could have frozen. */
static void add_others(parts *p, const fr_trainer *t) {
    for (size_t v = 0; v < t->graph->value_count; v++) {
        const fr_value *value = t->graph->values[v];
        bool state = value->kind == FR_VALUE_STATE;
        bool table = value->kind == FR_VALUE_PARAM && !fr_dtype_get(value->desc.dtype)->real;
        if (!state && !table) continue;
        const fr_tensor *held = fr_session_tensor(t->session, (fr_val)v);
        add(p, state ? "state" : "param", value->name, &value->desc, value->desc.dtype,
            held ? held->data : NULL);
    }
}

/* p->list is to be freed. */
static fr_status list_parts(const fr_trainer *t, parts *p) {
    size_t most = (1 + FR_KEPT) * t->slot_count + t->graph->value_count;
    *p = (parts){.list = fr_alloc_array(FR_MEM_OTHER, most, sizeof *p->list)};
    if (!p->list) return FR_NOMEM;
    for (size_t i = 0; i < t->slot_count; i++) add_slot(p, t, &t->slots[i]);
    add_others(p, t);
    return FR_OK;
}

/* ---- saving ---- */

static fr_status write_parts(const fr_trainer *t, const parts *p, const char *path,
                             fr_named_tensor *list, fr_arena *arena) {
    for (size_t i = 0; i < p->count; i++) {
        char *name = fr_format("%s/%s", p->list[i].prefix, p->list[i].name);
        list[i].name = name ? fr_arena_strdup(arena, name) : NULL;
        list[i].tensor = &p->list[i].tensor;
        fr_free(name);
        if (!list[i].name) return FR_NOMEM;
        if (!p->list[i].tensor.data)
            return fr_fail(FR_INVALID, "%s: parameter %s has no value yet", path, p->list[i].name);
    }
    char step[32];
    snprintf(step, sizeof step, "%lld", (long long)t->step);
    fr_meta_pair meta[] = {{"step", step}, {"optimizer", fr_optimizer_names[t->opts.optimizer]}};
    return fr_safetensors_write(path, list, p->count, meta, FR_COUNT(meta));
}

fr_status fr_trainer_save(fr_trainer *t, const char *path) {
    parts p;
    FR_TRY(fr_trainer_prepare(t));
    if (t->swapped)
        return fr_fail(FR_INVALID, "%s: the session holds averages: swap back before saving", path);
    FR_TRY(list_parts(t, &p));
    fr_named_tensor *list = fr_alloc_array(FR_MEM_OTHER, p.count, sizeof *list);
    fr_arena *arena = fr_arena_new();
    fr_status st = list && arena ? write_parts(t, &p, path, list, arena) : FR_NOMEM;
    fr_arena_free(arena);
    fr_free(list);
    fr_free(p.list);
    return st;
}

/* ---- resuming ---- */

/* Where the file keeps a part; the message says what is wrong with it. */
static fr_status find_part(const part *p, const fr_store *store, const fr_tensor **out) {
    char *name = fr_format("%s/%s", p->prefix, p->name), a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    if (!name) return FR_NOMEM;
    const fr_tensor *t = *out = fr_store_find(store, name);
    fr_status st = FR_OK;
    if (!t)
        st = fr_fail(FR_FORMAT, "the checkpoint has no %s", name);
    else if (t->dtype != p->tensor.dtype || !fr_same_shape(t, &p->tensor))
        st = fr_fail(FR_FORMAT, "%s is %s in the checkpoint and %s in the graph", name,
                     fr_shape_text(t, a), fr_shape_text(&p->tensor, b));
    fr_free(name);
    return st;
}

static bool is_part(const parts *p, const char *name) {
    for (size_t i = 0; i < p->count; i++) {
        size_t n = strlen(p->list[i].prefix);
        if (!strncmp(name, p->list[i].prefix, n) && name[n] == '/' &&
            !strcmp(name + n + 1, p->list[i].name))
            return true;
    }
    return false;
}

/* The file must hold what the trainer keeps, and nothing else: then it is of this model. */
static fr_status check_parts(const parts *p, const fr_store *store) {
    const fr_tensor *t;
    for (size_t i = 0; i < p->count; i++) FR_TRY(find_part(&p->list[i], store, &t));
    if (fr_store_count(store) == p->count) return FR_OK;
    for (size_t i = 0; i < fr_store_count(store); i++)
        if (!is_part(p, fr_store_name(store, i)))
            return fr_fail(FR_FORMAT,
                           "the checkpoint holds %s, which has no place in this training",
                           fr_store_name(store, i));
    return FR_OK;
}

static fr_status copy_parts(const parts *p, const fr_store *store) {
    const fr_tensor *t;
    for (size_t i = 0; i < p->count; i++) {
        FR_TRY(find_part(&p->list[i], store, &t));
        memcpy(p->list[i].tensor.data, t->data, fr_bytes(t));
    }
    return FR_OK;
}

/* Metadata values are strings. */
static fr_status read_step(const fr_trainer *t, const fr_store *store, int64_t *step) {
    const char *text, *optimizer;
    FR_TRY(fr_json_string(fr_store_metadata(store), "step", "", &text));
    FR_TRY(fr_json_string(fr_store_metadata(store), "optimizer", "", &optimizer));
    if (!*optimizer || !*text)
        return fr_fail(FR_FORMAT, "this is no checkpoint: it does not say its step and optimizer");
    if (strcmp(optimizer, fr_optimizer_names[t->opts.optimizer]))
        return fr_fail(FR_FORMAT, "the checkpoint is of the optimizer \"%s\", not %s", optimizer,
                       fr_optimizer_names[t->opts.optimizer]);
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || n < 0 || n > (1LL << 53) || errno)
        return fr_fail(FR_FORMAT, "the checkpoint's step \"%s\" is no number of steps", text);
    *step = n;
    return FR_OK;
}

/* A checkpoint does not hold the parameters that stay as they are. */
static fr_status check_frozen(const fr_trainer *t) {
    for (size_t v = 0; v < t->graph->value_count; v++) {
        const fr_value *value = t->graph->values[v];
        if (value->kind != FR_VALUE_PARAM || !fr_dtype_get(value->desc.dtype)->real) continue;
        if (fr_session_tensor(t->session, (fr_val)v) || !t->opts.trainable) continue;
        if (!t->opts.trainable(value->name, t->opts.trainable_arg))
            return fr_fail(FR_INVALID,
                           "parameter %s does not train and has no value yet: load it before "
                           "training goes on",
                           value->name);
    }
    return FR_OK;
}

/* All is checked before the first value is overwritten. */
static fr_status resume(fr_trainer *t, const fr_store *store) {
    int64_t step = 0;
    parts p;
    if (t->swapped)
        return fr_fail(FR_INVALID, "the session holds averages: swap back before resuming");
    FR_TRY(check_frozen(t));
    FR_TRY(read_step(t, store, &step));
    FR_TRY(list_parts(t, &p));
    fr_status st = check_parts(&p, store);
    fr_free(p.list);
    FR_TRY(st);
    /* Parameters need not be bound before: zeros, then everything is overwritten. */
    FR_TRY(fr_session_init_random(t->session, 0, 0));
    FR_TRY(fr_trainer_prepare(t));
    FR_TRY(list_parts(t, &p));
    st = copy_parts(&p, store);
    fr_free(p.list);
    if (!st) t->step = step, t->pending = 0;
    return st;
}

fr_status fr_trainer_resume(fr_trainer *t, const char *path) {
    fr_store *store;
    FR_TRY(fr_store_open(path, &store));
    fr_status st = resume(t, store);
    fr_store_close(store);
    if (st) return fr_fail_in(st, "%s", path);
    fr_session_params_changed(t->session);
    return FR_OK;
}
