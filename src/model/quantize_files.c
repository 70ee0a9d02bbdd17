/* quantize_files.c: what a quantization leaves on the way, and the folder in the end.
 *
 * OUT/.partial: plan.json says what is being made of what; ends.safetensors and layer-N.safetensors hold what is done;
 * flow.safetensors what flows into the next layer, whose number is in its metadata. It is written after the layer
 * before it: so whatever stops the program, the layers below that number are whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/quantize_parts.h"

#define SHARD ((uint64_t)4 << 30)

/* out/.partial/name, fr_free it */
static char *partial(const char *out, const char *fmt, int64_t number) {
    char name[64];
    snprintf(name, sizeof name, fmt, (long long)number);
    char *dir = fr_path_join(out, ".partial"), *path = dir ? fr_path_join(dir, name) : NULL;
    fr_free(dir);
    return path;
}

/* ---- the plan ---- */

static uint64_t hash(uint64_t h, const void *data, size_t bytes) {
    for (const uint8_t *p = data; bytes > 0; bytes--) h = (h ^ *p++) * 0x100000001b3u;
    return h;
}

static fr_json *plan_of(const fr_model *m, const fr_quantizing *o) {
    const fr_quantize_recipe *r = &o->recipe;
    uint64_t texts = 0xcbf29ce484222325u, weights = texts;
    size_t ids = 0;
    char text[64];
    for (size_t i = 0; i < o->texts; i++) ids += (size_t)o->length[i];
    texts = hash(texts, o->ids, ids * sizeof *o->ids);
    texts = hash(texts, o->length, o->texts * sizeof *o->length);
    for (size_t i = 0; i < fr_store_count(m->store); i++) { /* names, shapes, and the first bytes */
        const fr_tensor *t = fr_store_shape(m->store, i);
        const char *name = fr_store_name(m->store, i);
        weights = hash(weights, name, strlen(name));
        weights = hash(weights, t->dim, sizeof t->dim);
        if (t->data) weights = hash(weights, t->data, FR_MIN(fr_bytes(t), (size_t)256));
    }
    snprintf(text, sizeof text, "%016llx %016llx", (unsigned long long)texts,
             (unsigned long long)weights);
    return json_pack("{ss ss sf sf si si sb sb sb sb ss sb ss}", "frugal", fr_version(), "format",
                     r->format, "alpha", r->alpha, "beta", r->beta, "kv", r->kv, "head", r->head,
                     "rotate", r->rotate, "reorder", r->reorder, "range_search", r->search, "gptq",
                     r->gptq, "smooth_attention", fr_keys_names[r->keys], "through_original",
                     o->through_original, "of", text);
}

static void remove_all(const char *out) {
    char *dir = fr_path_join(out, ".partial"), **names = NULL;
    size_t count = 0;
    if (dir && fr_path_is_dir(dir) && !fr_list_dir(dir, &names, &count)) {
        for (size_t i = 0; i < count; i++) {
            char *path = fr_path_join(dir, names[i]);
            if (path) unlink(path);
            fr_free(path);
        }
        fr_list_free(names, count);
        rmdir(dir);
    }
    fr_free(dir);
}

static fr_status check_plan(const char *path, const fr_json *plan) {
    fr_json *before;
    FR_TRY(fr_json_load(path, &before));
    bool same = json_equal(before, plan);
    fr_json_free(before);
    if (same) return FR_OK;
    return fr_fail(FR_INVALID,
                   "%s was begun with another model, recipe or text: call it as then, choose "
                   "another folder, or begin anew with --fresh.",
                   path);
}

static fr_status number_done(const char *out, int64_t *done) {
    char *path = partial(out, "flow.safetensors", 0);
    const char *text = NULL;
    fr_store *s;
    *done = -1;
    if (!path) return FR_NOMEM;
    if (!fr_path_exists(path)) {
        fr_free(path);
        return FR_OK;
    }
    fr_status st = fr_store_open(path, &s);
    fr_free(path);
    FR_TRY(st);
    st = fr_json_string(fr_store_metadata(s), "next", NULL, &text);
    if (!st && text) *done = strtoll(text, NULL, 10);
    fr_store_close(s);
    return st;
}

fr_status quant_files_open(const char *out, const fr_model *m, const fr_quantizing *o,
                           int64_t *done) {
    char *dir = fr_path_join(out, ".partial"), *path = partial(out, "plan.json", 0);
    fr_json *plan = plan_of(m, o);
    fr_status st = dir && path && plan ? FR_OK : FR_NOMEM;
    *done = -1;
    if (!st && o->fresh) remove_all(out);
    if (!st) st = fr_make_dirs(dir);
    if (!st && fr_path_exists(path)) {
        st = check_plan(path, plan);
        if (!st) st = number_done(out, done);
    } else if (!st) {
        st = fr_json_save(plan, path);
    }
    if (!st && *done > m->decoder.layers)
        st = fr_fail(FR_FORMAT, "%s holds more layers than the model has; begin anew with --fresh.",
                     dir);
    fr_json_free(plan);
    fr_free(dir);
    fr_free(path);
    return st;
}

/* ---- parts of the model ---- */

fr_status quant_list_new(size_t room, quant_list *l) {
    *l = (quant_list){.arena = fr_arena_new()};
    l->tensor = fr_alloc(FR_MEM_OTHER, room * sizeof *l->tensor);
    l->meta = fr_alloc(FR_MEM_OTHER, room * sizeof *l->meta);
    return l->arena && l->tensor && l->meta ? FR_OK : FR_NOMEM;
}

void quant_list_free(quant_list *l) {
    fr_arena_free(l->arena);
    fr_free(l->tensor);
    fr_free(l->meta);
}

fr_status quant_list_halved(quant_list *l, const char *name, const fr_tensor *t) {
    fr_tensor *half = fr_arena_alloc(l->arena, sizeof *half);
    if (!half) return FR_NOMEM;
    *half = fr_tensor_make(FR_BF16, t->rank, t->dim, NULL);
    half->data = fr_arena_alloc(l->arena, fr_bytes(half) + 1);
    if (!half->data) return FR_NOMEM;
    FR_TRY(fr_encode(FR_BF16, t->data, (size_t)fr_values(half), half->data));
    l->tensor[l->count++] = (fr_named_tensor){name, half};
    return FR_OK;
}

static bool rounded(const quant_result *r, const char *name) {
    for (size_t i = 0; i < r->count; i++)
        if (!strcmp(r->name[i], name)) return true;
    return false;
}

static fr_status add_report(quant_list *l, const quant_result *r) {
    const fr_layer_report *p = &r->report;
    char text[256];
    snprintf(text, sizeof text, "%.17g %.17g %.17g %.17g %.17g %.17g %.17g %s", p->weights,
             p->outputs, p->worst, p->key_alpha, p->key_beta, r->bits, r->values,
             p->linear[0] ? p->linear : "-");
    l->meta[l->metas++] = (fr_meta_pair){"report", fr_arena_strdup(l->arena, text)};
    return l->meta[l->metas - 1].value ? FR_OK : FR_NOMEM;
}

static fr_status list_layer(quant_list *l, const quant_layer *from, const quant_result *r) {
    for (size_t i = 0; i < from->count; i++)
        if (!rounded(r, from->list[i].name))
            FR_TRY(quant_list_halved(l, from->list[i].name, from->list[i].tensor));
    for (size_t i = 0; i < r->count; i++)
        FR_TRY(fr_quantized_list(&r->q[i], r->name[i], l->arena, l->tensor, &l->count, l->meta,
                                 &l->metas));
    return add_report(l, r);
}

static fr_status write_list(char *path, const quant_list *l) {
    fr_status st = path ? FR_OK : FR_NOMEM;
    if (!st) st = fr_safetensors_write(path, l->tensor, l->count, l->meta, l->metas);
    fr_free(path);
    return st;
}

fr_status quant_files_layer(const char *out, const quant_layer *from, const quant_result *r) {
    quant_list l;
    fr_status st = quant_list_new(from->count + r->count * FR_PARTS + 2, &l);
    if (!st) st = list_layer(&l, from, r);
    if (!st) st = write_list(partial(out, "layer-%05lld.safetensors", from->number), &l);
    quant_list_free(&l);
    return st;
}

fr_status quant_files_ends(const char *out, const fr_named_tensor *tensors, size_t count,
                           const fr_quantized *head) {
    quant_list l;
    fr_status st = quant_list_new(count + FR_PARTS + 1, &l);
    for (size_t i = 0; i < count && !st; i++)
        st = quant_list_halved(&l, tensors[i].name, tensors[i].tensor);
    if (!st && head)
        st = fr_quantized_list(head, "lm_head.weight", l.arena, l.tensor, &l.count, l.meta,
                               &l.metas);
    if (!st) st = write_list(partial(out, "ends.safetensors", 0), &l);
    quant_list_free(&l);
    return st;
}

/* ---- what flows ---- */

static fr_tensor flow_of(const quant_flow *f) {
    int64_t rows = FR_MAX_OF(f->tokens, (int64_t)1);
    return fr_tensor_make(FR_F32, 2, (int64_t[]){rows, f->m->width}, f->x);
}

fr_status quant_files_put_flow(const char *out, const quant_flow *f, int64_t next) {
    char number[32], *path = partial(out, "flow.safetensors", 0);
    snprintf(number, sizeof number, "%lld", (long long)next);
    fr_tensor x = flow_of(f);
    fr_status st = path ? FR_OK : FR_NOMEM;
    if (!st)
        st = fr_safetensors_write(path, &(fr_named_tensor){"x", &x}, 1,
                                  &(fr_meta_pair){"next", number}, 1);
    fr_free(path);
    return st;
}

fr_status quant_files_take_flow(const char *out, quant_flow *f, int64_t next) {
    char *path = partial(out, "flow.safetensors", 0);
    fr_tensor want = flow_of(f);
    fr_store *s;
    fr_status st = path ? fr_store_open(path, &s) : FR_NOMEM;
    if (!st) {
        const fr_tensor *x = fr_store_find(s, "x");
        if (!x || x->dtype != FR_F32 || !fr_same_shape(x, &want))
            st = fr_fail(FR_FORMAT,
                         "%s does not hold what flows into layer %lld; begin anew with "
                         "--fresh.",
                         path, (long long)next);
        if (!st) memcpy(f->x, x->data, fr_bytes(x));
        fr_store_close(s);
    }
    fr_free(path);
    return st;
}

/* ---- the folder ---- */

static fr_status take_report(const fr_store *s, int64_t layer, fr_quantize_report *r, double *bits,
                             double *values) {
    fr_layer_report *p = &r->layer[layer];
    const char *text = NULL;
    double b, v;
    FR_TRY(fr_json_string(fr_store_metadata(s), "report", NULL, &text));
    if (!text || sscanf(text, "%lf %lf %lf %lf %lf %lf %lf %47s", &p->weights, &p->outputs,
                        &p->worst, &p->key_alpha, &p->key_beta, &b, &v, p->linear) != 8)
        return fr_fail(FR_FORMAT, "%s is not whole; begin anew with --fresh.", fr_store_path(s));
    *bits += b, *values += v;
    return FR_OK;
}

static fr_status add_store(quant_list *l, const fr_store *s) {
    const char *key;
    json_t *value;
    for (size_t i = 0; i < fr_store_count(s); i++) {
        const fr_tensor *t = fr_store_tensor(s, i);
        if (!t) return FR_NOMEM;
        l->tensor[l->count++] = (fr_named_tensor){fr_store_name(s, i), t};
    }
    json_object_foreach((json_t *)(uintptr_t)fr_store_metadata(s), key, value) {
        if (!json_is_string(value) || !strcmp(key, "report")) continue;
        l->meta[l->metas++] = (fr_meta_pair){key, json_string_value(value)};
    }
    return FR_OK;
}

/* stores [layers + 1], the ends first */
static fr_status write_weights(const char *out, fr_store *const *stores, int64_t layers,
                               fr_quantize_report *report) {
    size_t room = 2;
    double bits = 0, values = 0;
    for (int64_t i = 0; i <= layers; i++)
        room += fr_store_count(stores[i]) + json_object_size(fr_store_metadata(stores[i]));
    quant_list l;
    fr_status st = quant_list_new(room, &l);
    if (!st) l.meta[l.metas++] = (fr_meta_pair){"format", "pt"};
    for (int64_t i = 0; i <= layers && !st; i++) {
        st = add_store(&l, stores[i]);
        if (!st && i) st = take_report(stores[i], i - 1, report, &bits, &values);
    }
    if (!st) st = fr_safetensors_write_sharded(out, l.tensor, l.count, l.meta, l.metas, SHARD);
    for (size_t i = 0; i < l.count && !st; i++)
        report->bytes += (double)fr_bytes(l.tensor[i].tensor);
    report->linear_bits = values > 0 ? bits / values : 16;
    quant_list_free(&l);
    return st;
}

static fr_status write_config(const char *out, const fr_decoder *made, const fr_quantizing *o,
                              const fr_quantize_report *report) {
    const fr_quantize_recipe *r = &o->recipe;
    fr_json *config;
    FR_TRY(fr_decoder_write(made, FR_BF16, &config));
    char kv[8];
    snprintf(kv, sizeof kv, r->kv == 16 ? "bf16" : "%d", r->kv);
    json_t *record = json_pack(
        "{ss ss sb sb ss sf sf sb sb si si sf}", "recipe", r->name, "weights", r->format, "rotate",
        r->rotate, "reorder", r->reorder, "smooth_attention", fr_keys_names[r->keys], "alpha",
        r->alpha, "beta", r->beta, "range_search", r->search, "gptq", r->gptq, "head_bits", r->head,
        "calibration_texts", (int)o->texts, "bits_a_weight", report->linear_bits);
    bool good = record && json_object_set_new(config, "frugal_kv", json_string(kv)) == 0 &&
                json_object_set(config, "frugal_quantization", record) == 0;
    json_decref(record);
    char *path = fr_path_join(out, "config.json");
    fr_status st = good && path ? fr_json_save(config, path) : FR_NOMEM;
    fr_json_free(config);
    fr_free(path);
    return st;
}

fr_status quant_files_copy(const char *path, const char *out, const char *const *names,
                           size_t count) {
    fr_status st = FR_OK;
    for (size_t i = 0; i < count && !st && fr_path_is_dir(path); i++) {
        char *from = fr_path_join(path, names[i]), *to = fr_path_join(out, names[i]);
        char *data = NULL;
        size_t bytes;
        if (!from || !to) st = FR_NOMEM;
        if (!st && fr_path_exists(from)) {
            st = fr_read_file(from, 0, &data, &bytes);
            if (!st) st = fr_write_file(to, data, bytes);
        }
        fr_free(from);
        fr_free(to);
        fr_free(data);
    }
    return st;
}

static fr_status copy_beside(const fr_model *m, const char *out) {
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "tokenizer.model",
                                        "special_tokens_map.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "generation_config.json"};
    return quant_files_copy(m->path, out, names, FR_COUNT(names));
}

static fr_status open_store(const char *out, int64_t i, fr_store **s) {
    char *path =
        i ? partial(out, "layer-%05lld.safetensors", i - 1) : partial(out, "ends.safetensors", 0);
    fr_status st = path ? fr_store_open(path, s) : FR_NOMEM;
    fr_free(path);
    return st;
}

fr_status quant_files_finish(const char *out, const fr_model *m, const fr_decoder *made,
                             const fr_quantizing *o, fr_quantize_report *report) {
    int64_t layers = report->layers = made->layers;
    fr_store **stores = fr_alloc(FR_MEM_OTHER, (size_t)(layers + 1) * sizeof *stores);
    report->layer = fr_alloc(FR_MEM_OTHER, (size_t)layers * sizeof *report->layer);
    fr_status st = stores && report->layer ? FR_OK : FR_NOMEM;
    for (int64_t i = 0; i <= layers && !st; i++) st = open_store(out, i, &stores[i]);
    if (!st) st = copy_beside(m, out);
    if (!st) st = write_weights(out, stores, layers, report);
    if (!st) st = write_config(out, made, o, report);
    for (int64_t i = 0; stores && i <= layers; i++) fr_store_close(stores[i]);
    fr_free(stores);
    if (!st) remove_all(out);
    return st;
}
