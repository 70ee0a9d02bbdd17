/* encoder_quantize.c: the way through an encoder's layers, and the folder; see encoder_quantize.h. */
#include "model/encoder_quantize.h"

#include <stdio.h>
#include <string.h>

#include "model/encoder_parts.h"
#include "op/op.h"

#define SHARD ((uint64_t)4 << 30)

const fr_quantize_recipe fr_encoder_recipes[] = {
    {.name = "w4a8-g128",
     .what = "4-bit weights in groups of 128, 8-bit activations",
     .format = "qoq-g128",
     .gptq = true},
    {.name = "w4a8-g128-mixed",
     .what = "the same, but what attention takes of tokens and gives back in 8 bits",
     .format = "qoq-g128",
     .mixed = true,
     .gptq = true},
    {.name = "w4a8",
     .what = "a scale for each row of weights, all in 4 bits",
     .format = "qoq-channel",
     .search = true,
     .gptq = true},
    {.name = "w8a8",
     .what = "8-bit weights and activations",
     .format = "int8-channel",
     .gptq = true},
    {.name = "w4a16-g128",
     .what = "4-bit weights in groups of 128 with zero points; activations in 16 bits",
     .format = "uint4-z-g128",
     .gptq = true},
    {.name = "rtn-w4a8-g128",
     .what = "the format of w4a8-g128, each weight to the nearest",
     .format = "qoq-g128"},
    {.name = "rtn-w8a8",
     .what = "the format of w8a8, each weight to the nearest",
     .format = "int8-channel"},
    {.name = NULL},
};

const fr_quantize_recipe *fr_encoder_recipe_find(const char *name) {
    for (const fr_quantize_recipe *r = fr_encoder_recipes; r->name; r++)
        if (!strcmp(r->name, name)) return r;
    return fr_quantize_recipe_find(name);
}

/* ---- the folder it is made of ---- */

fr_status fr_encoder_open(const char *name, fr_encoder_folder *out) {
    const char *kind = "";
    const fr_json *config = NULL;
    *out = (fr_encoder_folder){0};
    FR_TRY(fr_model_find(name, &out->path));
    fr_status st = fr_store_open(out->path, &out->store);
    if (!st) config = fr_store_config(out->store, "config.json");
    if (!st && config) st = fr_json_string(config, "model_type", "", &kind);
    const bool encoder = !st && !strcmp(kind, "bert");
    if (encoder) st = fr_encoder_read(config, &out->encoder);
    if (!encoder || st) fr_encoder_close(out);
    return encoder ? st : FR_OK;
}

void fr_encoder_close(fr_encoder_folder *f) {
    fr_store_close(f->store);
    fr_free(f->path);
    *f = (fr_encoder_folder){0};
}

/* ---- what can be done ---- */

static fr_status check(const fr_encoder_folder *m, const fr_quantizing *o, const fr_qformat *f) {
    const char *key;
    json_t *value;
    if (!f) return fr_fail(FR_INVALID, "There is no number format '%s'.", o->recipe.format);
    FR_TRY(fr_grid_check(f));
    json_object_foreach((json_t *)(uintptr_t)fr_store_metadata(m->store), key, value) {
        if (!strncmp(key, "frugal.format.", 14))
            return fr_fail(FR_INVALID,
                           "%s is in few bits already: %s. Quantize the encoder that it was made "
                           "from.",
                           m->path, json_string_value(value));
    }
    if ((o->recipe.gptq || o->recipe.search) && !o->texts)
        return fr_fail(FR_INVALID, "The recipe %s wants texts to calibrate on.", o->recipe.name);
    return FR_OK;
}

double fr_encoder_quantize_bytes(const fr_encoder *m, const fr_quantizing *o) {
    const double w = (double)m->width, h = (double)m->hidden, most = FR_MAX_OF(w, h);
    double tokens = 0, longest = 2048;
    for (size_t i = 0; i < o->texts; i++) {
        tokens += o->length[i];
        longest = FR_MAX_OF(longest, (double)o->length[i]);
    }
    const double layer = 4 * w * w + 2 * w * h, all = layer * (double)m->layers;
    const double run = 4 * longest * (10 * w + 3 * h);
    double bytes = 4 * layer * 3 + all + run; /* the layer, packed and in f32; all in few bits */
    if (o->texts) bytes += 8 * tokens * w + 2 * 4 * layer + run;
    if (o->recipe.gptq || o->recipe.search)
        bytes += fr_hessian_bytes((int64_t)most, 512) + 4 * (2 * most * most + 8 * w * most);
    /* Tables come before the layers and, in bf16, behind them. */
    const double tables = (double)(m->vocab + m->context + m->types) * w;
    return FR_MAX_OF(bytes, 8 * tables + 8 * tokens * w) + 2 * tables;
}

/* ---- what flows into the first layer ---- */

typedef struct front {
    fr_graph *graph;
    fr_session *session;
    int32_t *ids, *pos;
} front;

static fr_status front_open(const encoder_job *j, front *f) {
    fr_graph *g = f->graph = fr_graph_new();
    const size_t room = fr_round_up((size_t)j->m->context, 16);
    f->ids = fr_alloc_array(FR_MEM_OTHER, room, sizeof *f->ids);
    f->pos = fr_alloc_array(FR_MEM_OTHER, room, sizeof *f->pos);
    if (!g || !f->ids || !f->pos) return FR_NOMEM;
    const fr_encoder_opts o = {.weights = FR_F32, .store = j->store};
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){1, 16});
    fr_val pos = fr_input(g, "pos", FR_I32, 1, (int64_t[]){16});
    fr_output(g, "y", fr_encoder_embed(g, j->m, &o, ids, pos, FR_NONE));
    FR_TRY(fr_session_new_with(g, &(fr_session_opts){.pool = j->o->pool}, &f->session));
    return fr_session_load(f->session, j->store);
}

static void front_close(front *f) {
    fr_session_free(f->session);
    fr_graph_free(f->graph);
    fr_free(f->ids);
    fr_free(f->pos);
}

static fr_status embed(const front *f, const quant_flow *to, const fr_quantizing *o) {
    const int64_t width = to->m->width;
    for (size_t i = 0; i < to->texts; i++) {
        const int64_t n = to->length[i];
        const int64_t padded = FR_MIN((int64_t)fr_round_up((size_t)n, 16), to->m->context);
        for (int64_t k = 0; k < padded; k++) {
            f->ids[k] = k < n ? o->ids[to->first[i] + k] : 0;
            f->pos[k] = (int32_t)k;
        }
        const fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){1, padded}, f->ids),
                                fr_tensor_make(FR_I32, 1, &padded, f->pos)};
        FR_TRY(fr_session_run(f->session, in, FR_COUNT(in)));
        memcpy(to->x + to->first[i] * width, fr_session_output(f->session, "y")->data,
               (size_t)(n * width) * sizeof(float));
    }
    return FR_OK;
}

/* Tables as the written folder has them. */
static fr_status halve_tables(const front *f) {
    FR_TRY(fr_session_make_writable(f->session));
    for (fr_val v = 1; (size_t)v < f->graph->value_count; v++) {
        const fr_tensor *t = fr_session_tensor(f->session, v);
        if (!t || t->rank != 2 || t->dtype != FR_F32) continue;
        float *x = t->data;
        for (int64_t i = 0; i < fr_values(t); i++) x[i] = fr_bf16_to_f32(fr_f32_to_bf16(x[i]));
    }
    fr_session_params_changed(f->session);
    return FR_OK;
}

static fr_status embed_both(encoder_job *j) {
    front f = {0};
    fr_status st = front_open(j, &f);
    if (!st) st = embed(&f, &j->was, j->o);
    if (!st) st = halve_tables(&f);
    if (!st) st = embed(&f, &j->now, j->o);
    front_close(&f);
    return st;
}

/* ---- the folder that is written ---- */

static const encoder_linear *find(const encoder_linear *all, size_t count, const char *name,
                                  bool *bias) {
    const size_t n = strlen(name);
    *bias = n > 5 && !strcmp(name + n - 5, ".bias");
    const size_t stem = *bias ? n - 5 : n > 7 ? n - 7 : 0;
    for (size_t i = 0; i < count; i++)
        if (all[i].q.format && stem && !strncmp(all[i].name, name, stem) &&
            !strcmp(all[i].name + stem, ".weight"))
            return &all[i];
    return NULL;
}

static fr_status add_tensor(quant_list *l, const char *name, const fr_tensor *t) {
    const size_t n = strlen(name), tail = strlen("_embeddings.weight");
    if (t->rank != 2 || n < tail || strcmp(name + n - tail, "_embeddings.weight") ||
        t->dtype == FR_BF16 || t->dtype == FR_F16) {
        l->tensor[l->count++] = (fr_named_tensor){name, t};
        return FR_OK;
    }
    float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(t), sizeof *x);
    if (!x) return FR_NOMEM;
    fr_tensor plain = fr_tensor_make(FR_F32, t->rank, t->dim, x);
    fr_status st = fr_tensor_to_f32(t, x);
    if (!st) st = quant_list_halved(l, name, &plain);
    fr_free(x);
    return st;
}

static fr_status add_bias(quant_list *l, const char *name, const encoder_linear *of) {
    fr_tensor *t = fr_arena_alloc(l->arena, sizeof *t);
    if (!t) return FR_NOMEM;
    *t = fr_tensor_make(FR_F32, 1, (int64_t[]){of->q.rows}, of->bias);
    l->tensor[l->count++] = (fr_named_tensor){name, t};
    return FR_OK;
}

static fr_status list_all(const encoder_job *j, const encoder_linear *all, size_t linears,
                          quant_list *l) {
    l->meta[l->metas++] = (fr_meta_pair){"format", "pt"};
    for (size_t i = 0; i < fr_store_count(j->store); i++) {
        const char *name = fr_store_name(j->store, i);
        const fr_tensor *t = fr_store_tensor(j->store, i);
        bool bias;
        const encoder_linear *of = find(all, linears, name, &bias);
        if (!t) return FR_NOMEM;
        if (of && bias && of->bias)
            FR_TRY(add_bias(l, name, of));
        else if (of && !bias)
            FR_TRY(fr_quantized_list(&of->q, of->name, l->arena, l->tensor, &l->count, l->meta,
                                     &l->metas));
        else
            FR_TRY(add_tensor(l, name, t));
    }
    return FR_OK;
}

static fr_status write_weights(const encoder_job *j, const char *out, const encoder_linear *all,
                               size_t linears, fr_quantize_report *report) {
    quant_list l;
    const size_t room = fr_store_count(j->store) + (FR_PARTS + 1) * linears + 2;
    fr_status st = quant_list_new(room, &l);
    if (!st) st = list_all(j, all, linears, &l);
    if (!st) st = fr_safetensors_write_sharded(out, l.tensor, l.count, l.meta, l.metas, SHARD);
    for (size_t i = 0; i < l.count && !st; i++)
        report->bytes += (double)fr_bytes(l.tensor[i].tensor);
    quant_list_free(&l);
    return st;
}

/* The original's configuration, and how this was made. */
static fr_status write_config(const fr_encoder_folder *m, const char *out, const fr_quantizing *o,
                              const fr_quantize_report *report) {
    const fr_quantize_recipe *r = &o->recipe;
    fr_json *config = json_deep_copy(fr_store_config(m->store, "config.json"));
    json_t *record =
        json_pack("{ss ss sb sb sb si sf}", "recipe", r->name, "weights", r->format, "mixed",
                  r->mixed, "range_search", r->search, "gptq", r->gptq, "calibration_texts",
                  (int)o->texts, "bits_a_weight", report->linear_bits);
    const bool good =
        config && record && json_object_set(config, "frugal_quantization", record) == 0;
    json_decref(record);
    char *path = fr_path_join(out, "config.json");
    fr_status st = good && path ? fr_json_save(config, path) : FR_NOMEM;
    fr_json_free(config);
    fr_free(path);
    return st;
}

/* What modules.json names is a folder with a config.json; fr_pooling_read says what of it may be. */
static fr_status copy_modules(const fr_encoder_folder *m, const char *out) {
    const fr_json *modules = fr_store_config(m->store, "modules.json");
    fr_status st = FR_OK;
    for (size_t i = 0; modules && i < json_array_size(modules) && !st; i++) {
        const char *path = "";
        st = fr_json_string(json_array_get(modules, i), "path", "", &path);
        if (st || !*path || *path == '/' || strstr(path, "..")) continue;
        static const char *const names[] = {"config.json"};
        char *from = fr_path_join(m->path, path), *to = fr_path_join(out, path);
        st = from && to ? fr_make_dirs(to) : FR_NOMEM;
        if (!st) st = quant_files_copy(from, to, names, FR_COUNT(names));
        fr_free(from);
        fr_free(to);
    }
    return st;
}

static fr_status write_folder(const encoder_job *j, const fr_encoder_folder *m, const char *out,
                              const encoder_linear *all, size_t linears,
                              fr_quantize_report *report) {
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "vocab.txt",
                                        "added_tokens.json",
                                        "modules.json",
                                        "sentence_bert_config.json",
                                        "config_sentence_transformers.json"};
    FR_TRY(fr_make_dirs(out));
    FR_TRY(quant_files_copy(m->path, out, names, FR_COUNT(names)));
    FR_TRY(copy_modules(m, out));
    FR_TRY(write_weights(j, out, all, linears, report));
    return write_config(m, out, j->o, report);
}

/* ---- all of it ---- */

static fr_status job_open(const fr_encoder_folder *m, const fr_quantizing *o, encoder_job *j) {
    const fr_encoder *e = &m->encoder;
    *j = (encoder_job){.m = e, .store = m->store, .o = o};
    j->format = fr_format_find(o->recipe.format);
    j->texts = o->texts && (o->recipe.gptq || o->recipe.search);
    j->shape = (fr_decoder){
        .width = e->width, .context = e->context, .vocab = e->vocab, .layers = e->layers};
    if (!j->texts) return FR_OK;
    FR_TRY(quant_flow_new(&j->shape, o, &j->now));
    FR_TRY(quant_flow_new(&j->shape, o, &j->was));
    const int64_t most = quant_batch_most(&j->now);
    const size_t all = (size_t)(most * FR_MAX_OF(e->width, e->hidden));
    j->length = fr_alloc_array(FR_MEM_OTHER, (size_t)most, sizeof *j->length);
    j->in = fr_alloc_array(FR_MEM_OTHER, (size_t)(most * e->width), sizeof(float));
    for (int i = 0; i < 2; i++) j->rows[i] = fr_alloc_array(FR_MEM_OTHER, all, sizeof(float));
    if (!j->length || !j->in || !j->rows[0] || !j->rows[1]) return FR_NOMEM;
    return embed_both(j);
}

static void job_close(encoder_job *j) {
    quant_flow_free(&j->now);
    quant_flow_free(&j->was);
    fr_free(j->length);
    fr_free(j->in);
    fr_free(j->rows[0]);
    fr_free(j->rows[1]);
    fr_free(j->scratch);
}

static fr_status round_all(encoder_job *j, encoder_linear *all, fr_quantize_report *report) {
    double bits = 0, values = 0;
    for (int64_t i = 0; i < j->m->layers; i++)
        FR_TRY(
            encoder_round(j, i, all + i * FR_ENCODER_LINEARS, &report->layer[i], &bits, &values));
    report->linear_bits = values > 0 ? bits / values : 32;
    return FR_OK;
}

static double values_of(const fr_store *s) {
    double n = 0;
    for (size_t i = 0; i < fr_store_count(s); i++) n += (double)fr_values(fr_store_shape(s, i));
    return n;
}

fr_status fr_encoder_quantize(const fr_encoder_folder *m, const char *out, const fr_quantizing *o,
                              fr_quantize_report *report) {
    encoder_job j;
    const size_t layers = (size_t)m->encoder.layers, linears = layers * FR_ENCODER_LINEARS;
    *report = (fr_quantize_report){.layers = m->encoder.layers, .values = values_of(m->store)};
    FR_TRY(check(m, o, fr_format_find(o->recipe.format)));
    encoder_linear *all = fr_alloc_array(FR_MEM_OTHER, linears, sizeof *all);
    report->layer = fr_alloc(FR_MEM_OTHER, layers * sizeof *report->layer);
    fr_status st = all && report->layer ? FR_OK : FR_NOMEM;
    if (all) memset(all, 0, linears * sizeof *all);
    if (report->layer) memset(report->layer, 0, layers * sizeof *report->layer);
    if (!st) {
        st = job_open(m, o, &j);
        if (!st) st = round_all(&j, all, report);
        if (!st) st = write_folder(&j, m, out, all, linears, report);
        job_close(&j);
    }
    for (size_t i = 0; all && i < linears; i++) {
        fr_quantized_free(&all[i].q);
        fr_free(all[i].bias);
    }
    fr_free(all);
    if (st) {
        fr_free(report->layer);
        report->layer = NULL;
    }
    return st;
}
