/* checkpoint.c: all that training needs to go on, in one safetensors file:
 *
 *     param/<name>    as the session holds it
 *     master/<name>   f32, for parameters of a smaller type
 *     m/<name> v/<name>   the optimizer's moments, f32
 *     metadata        "step", "optimizer"
 *
 * Every value is stored as its bits, so resuming gives the same bits as never having stopped. */
#include <stdlib.h>
#include <string.h>

#include "train/trainer.h"

static const char *optimizer_name(fr_optimizer_kind k) {
    return k == FR_ADAMW ? "adamw" : "sgd";
}

typedef struct part {
    const char *prefix;
    fr_tensor tensor;
} part;

/* What is kept of one parameter; returns how many parts. */
static int slot_parts(const fr_slot *s, part out[4]) {
    int n = 0;
    fr_tensor f = fr_tensor_make(FR_F32, s->storage->rank, s->storage->dim, NULL);
    out[n++] = (part){"param", *s->storage};
    if (s->storage->dtype != FR_F32) f.data = s->master, out[n++] = (part){"master", f};
    if (s->m) f.data = s->m, out[n++] = (part){"m", f};
    if (s->v) f.data = s->v, out[n++] = (part){"v", f};
    return n;
}

static fr_status write_parts(fr_trainer *t, const char *path, fr_named_tensor *list, part *parts,
                             fr_arena *arena) {
    size_t n = 0;
    for (size_t i = 0; i < t->slot_count; i++) {
        int count = slot_parts(&t->slots[i], parts + n);
        for (int k = 0; k < count; k++, n++) {
            char *name = fr_format("%s/%s", parts[n].prefix, t->slots[i].name);
            list[n].name = name ? fr_arena_strdup(arena, name) : NULL;
            list[n].tensor = &parts[n].tensor;
            fr_free(name);
            if (!list[n].name) return FR_NOMEM;
        }
    }
    char step[32];
    snprintf(step, sizeof step, "%lld", (long long)t->step);
    fr_meta_pair meta[] = {{"step", step}, {"optimizer", optimizer_name(t->opts.optimizer)}};
    return fr_safetensors_write(path, list, n, meta, FR_COUNT(meta));
}

fr_status fr_trainer_save(fr_trainer *t, const char *path) {
    FR_TRY(fr_trainer_prepare(t));
    fr_named_tensor *list = fr_alloc_array(FR_MEM_OTHER, t->slot_count, 4 * sizeof *list);
    part *parts = fr_alloc_array(FR_MEM_OTHER, t->slot_count, 4 * sizeof *parts);
    fr_arena *arena = fr_arena_new();
    fr_status st = list && parts && arena ? write_parts(t, path, list, parts, arena) : FR_NOMEM;
    fr_arena_free(arena);
    fr_free(parts);
    fr_free(list);
    return st;
}

/* Checks one parameter's parts against the file, and copies them when asked to. */
static fr_status read_slot(fr_slot *s, const fr_store *store, bool copy) {
    part parts[4];
    int count = slot_parts(s, parts);
    for (int k = 0; k < count; k++) {
        char name[300];
        snprintf(name, sizeof name, "%s/%s", parts[k].prefix, s->name);
        const fr_tensor *t = fr_store_find(store, name);
        if (!t) return fr_fail(FR_FORMAT, "the checkpoint has no %s", name);
        if (t->dtype != parts[k].tensor.dtype || !fr_same_shape(t, &parts[k].tensor)) {
            char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
            return fr_fail(FR_FORMAT, "%s is %s in the checkpoint and %s in the graph", name,
                           fr_shape_text(t, a), fr_shape_text(&parts[k].tensor, b));
        }
        if (copy) memcpy(parts[k].tensor.data, t->data, fr_bytes(t));
    }
    return FR_OK;
}

/* Metadata values are strings. */
static fr_status read_step(const fr_trainer *t, const fr_store *store, int64_t *step) {
    const char *text, *optimizer;
    FR_TRY(fr_json_string(fr_store_metadata(store), "step", "", &text));
    FR_TRY(fr_json_string(fr_store_metadata(store), "optimizer", "", &optimizer));
    if (strcmp(optimizer, optimizer_name(t->opts.optimizer)))
        return fr_fail(FR_FORMAT, "the checkpoint is of the optimizer \"%s\", not %s", optimizer,
                       optimizer_name(t->opts.optimizer));
    char *end;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || n < 0)
        return fr_fail(FR_FORMAT, "the checkpoint's step \"%s\" is no number", text);
    *step = n;
    return FR_OK;
}

fr_status fr_trainer_resume(fr_trainer *t, const char *path) {
    fr_store *store;
    FR_TRY(fr_store_open(path, &store));
    int64_t step = 0;
    fr_status st = read_step(t, store, &step);
    /* Parameters need not be bound before: zeros, then everything is overwritten. */
    if (!st && !t->ready) st = fr_session_init_random(t->session, 0, 0);
    if (!st) st = fr_trainer_prepare(t);
    /* All is checked before the first value is overwritten. */
    for (size_t i = 0; !st && i < t->slot_count; i++) st = read_slot(&t->slots[i], store, false);
    for (size_t i = 0; !st && i < t->slot_count; i++) st = read_slot(&t->slots[i], store, true);
    if (!st) t->step = step;
    fr_store_close(store);
    if (st) return fr_fail_in(st, "%s", path);
    fr_session_params_changed(t->session);
    return FR_OK;
}
