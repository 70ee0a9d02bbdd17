/* folder.c: finding, opening and writing a model's folder. */
#include "model/folder.h"

#include <string.h>

#include "format/format.h"
#include "model/layouts.h"

/* ---- finding ---- */

fr_status fr_model_find(const char *name, char **path) {
    char where[2048];
    *path = NULL;
    if (!name || !*name) return fr_fail(FR_INVALID, "The model has no name.");
    if (fr_path_exists(name)) {
        *path = fr_strdup(name);
        return *path ? FR_OK : FR_NOMEM;
    }
    if (strchr(name, '/')) return fr_fail(FR_IO, "There is no model at %s.", name);
    char *config = fr_path_join(name, "config.json");
    if (!config) return FR_NOMEM;
    char *folder = fr_shipped_folder("models", "FRUGAL_MODELS", config, where, sizeof where);
    fr_free(config);
    if (!folder)
        return fr_fail(
            FR_IO,
            "There is no model \"%s\": neither a file or folder of that name here, nor a "
            "shipped model in %s.",
            name, where);
    *path = fr_path_join(folder, name);
    fr_free(folder);
    return *path ? FR_OK : FR_NOMEM;
}

/* ---- opening ---- */

/* Chat models end their turns by tokens that often only this file names. */
static fr_status read_generation(fr_model *m) {
    const fr_json *j = fr_store_config(m->store, "generation_config.json");
    if (!j) return fr_message()[0] ? FR_FORMAT : FR_OK;
    return fr_decoder_read_ends(j, &m->decoder);
}

/* A GGUF file says all by itself. */
static fr_status read_gguf(fr_model *m) {
    fr_json *config;
    FR_TRY(fr_gguf_config(m->store, &config));
    fr_status st = fr_decoder_read(config, &m->decoder);
    if (st) fr_fail_in(st, "%s", m->path);
    if (!st) st = fr_gguf_model(&m->store, config);
    fr_json_free(config);
    return st;
}

/* Quantized models say in how many bits keys and values are to be kept. */
static fr_status read_pages(fr_model *m, const fr_json *config) {
    static const char *const words[] = {[FR_KV_BF16] = "bf16",
                                        [FR_KV_F16] = "f16",
                                        [FR_KV_F32] = "f32",
                                        [FR_KV_8] = "8",
                                        [FR_KV_4] = "4"};
    const char *word;
    FR_TRY(fr_json_string(config, "frugal_kv", "bf16", &word));
    for (size_t i = 0; i < FR_COUNT(words); i++) {
        m->pages = (fr_kv_kind)i;
        if (!strcmp(word, words[i])) return FR_OK;
    }
    return fr_fail(FR_UNSUPPORTED,
                   "'frugal_kv' is '%s' and can be 'bf16', 'f16', 'f32', '8' or '4'.", word);
}

/* Encoders say nothing; their folders look much alike. */
static fr_status refuse_encoder(const fr_model *m, const fr_json *config) {
    const char *kind;
    FR_TRY(fr_json_string(config, "model_type", "", &kind));
    if (strcmp(kind, "bert")) return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "%s is an encoder, which makes vectors of texts and writes none: try frugal "
                   "embed %s.",
                   m->path, m->path);
}

static fr_status read_config(fr_model *m) {
    if (fr_gguf_is_model(m->store)) return read_gguf(m);
    const fr_json *config = fr_store_config(m->store, "config.json");
    if (config) {
        FR_TRY(refuse_encoder(m, config));
        fr_status st = fr_decoder_read(config, &m->decoder);
        if (!st) st = read_generation(m);
        if (!st) st = read_pages(m, config);
        if (!st) return fr_packed_model(&m->store, config);
        return fr_fail_in(st, "%s", m->path);
    }
    if (fr_message()[0]) return FR_FORMAT;
    return fr_fail(FR_FORMAT, "%s has no config.json, which says what kind of model it is.",
                   m->path);
}

fr_status fr_model_open(const char *name, fr_model *out) {
    *out = (fr_model){0};
    FR_TRY(fr_model_find(name, &out->path));
    fr_status st = fr_store_open(out->path, &out->store);
    if (!st) st = read_config(out);
    if (!st) fr_model_describe(out->store);
    if (st) fr_model_close(out);
    return st;
}

void fr_model_close(fr_model *m) {
    fr_store_close(m->store);
    fr_free(m->path);
    *m = (fr_model){0};
}

/* One parameter of the list: a tensor of the store, or a matrix that it holds in few bits. */
typedef struct parameter {
    const char *name;
    const fr_tensor *t; /* NULL: q */
    fr_quantized q;
} parameter;

static bool is_part(const fr_store *s, const char *name) {
    const char *dot = strrchr(name, '.');
    char *matrix = dot ? fr_format("%.*s", (int)(dot - name), name) : NULL;
    bool is = matrix && fr_quantized_is(s, matrix);
    fr_free(matrix);
    return is;
}

static fr_status list_parameters(const fr_model *m, parameter *out, size_t *count) {
    static const char prefix[] = "frugal.format.";
    const char *key;
    json_t *value;
    *count = 0;
    for (size_t i = 0; i < fr_store_count(m->store); i++) {
        const char *name = fr_store_name(m->store, i);
        if (is_part(m->store, name)) continue;
        out[*count] = (parameter){.name = name, .t = fr_store_tensor(m->store, i)};
        if (!out[(*count)++].t) return FR_NOMEM;
    }
    json_object_foreach((json_t *)(uintptr_t)fr_store_metadata(m->store), key, value) {
        if (strncmp(key, prefix, sizeof prefix - 1)) continue;
        parameter p = {.name = key + sizeof prefix - 1};
        /* The table of a tied model stands under both names. */
        if (m->decoder.tied && !strcmp(p.name, "lm_head.weight")) continue;
        FR_TRY(fr_quantized_open(m->store, p.name, &p.q));
        out[(*count)++] = p;
    }
    return FR_OK;
}

static fr_tensor shape_of(const parameter *p) {
    if (p->t) return fr_tensor_make(FR_F32, p->t->rank, p->t->dim, NULL);
    return fr_tensor_make(FR_F32, 2, (int64_t[]){p->q.rows, p->q.cols}, NULL);
}

/* The list, then the tensors, then their values. */
static fr_status fill_list(const parameter *from, size_t n, fr_named_tensor **list) {
    size_t head = fr_round_up(n * (sizeof **list + sizeof(fr_tensor)), FR_ALIGN), bytes = head;
    for (size_t i = 0; i < n; i++) {
        fr_tensor t = shape_of(&from[i]);
        size_t one;
        bool fits = fr_size_mul((size_t)fr_values(&t), sizeof(float), &one);
        if (!fits || !fr_size_add(bytes, fr_round_up(one, FR_ALIGN), &bytes)) return FR_NOMEM;
    }
    char *block = fr_alloc(FR_MEM_WEIGHTS, bytes);
    if (!block) return FR_NOMEM;
    fr_named_tensor *names = (void *)block;
    fr_tensor *tensors = (void *)(names + n);
    char *values = block + head;
    for (size_t i = 0; i < n; i++) {
        float *x = (float *)(void *)values;
        fr_status st = from[i].t ? fr_tensor_to_f32(from[i].t, x) : FR_OK;
        if (st) {
            fr_free(block);
            return st;
        }
        if (!from[i].t) from[i].q.format->decode(&from[i].q, 0, from[i].q.rows, x);
        tensors[i] = shape_of(&from[i]);
        tensors[i].data = values;
        names[i] = (fr_named_tensor){from[i].name, &tensors[i]};
        values += fr_round_up((size_t)fr_values(&tensors[i]) * sizeof(float), FR_ALIGN);
    }
    *list = names;
    return FR_OK;
}

fr_status fr_model_weights(const fr_model *m, fr_named_tensor **list, size_t *count) {
    size_t most = fr_store_count(m->store) + json_object_size(fr_store_metadata(m->store));
    parameter *all = fr_alloc_array(FR_MEM_OTHER, most + 1, sizeof *all);
    *list = NULL;
    fr_status st = all ? list_parameters(m, all, count) : FR_NOMEM;
    if (!st) st = fill_list(all, *count, list);
    fr_free(all);
    return st;
}

/* ---- writing ---- */

static fr_status write_json(const char *dir, const char *name, const fr_json *j) {
    char *path = fr_path_join(dir, name);
    if (!path) return FR_NOMEM;
    fr_status st = fr_json_save(j, path);
    fr_free(path);
    return st;
}

static fr_status write_config(const char *dir, const fr_decoder *m) {
    fr_json *config;
    FR_TRY(fr_decoder_write(m, FR_BF16, &config));
    fr_status st = write_json(dir, "config.json", config);
    fr_json_free(config);
    return st;
}

/* What transformers reads before it generates. */
static fr_status write_generation(const char *dir, const fr_decoder *m) {
    fr_json *j = json_object(), *ends = json_array();
    bool good = j && json_object_set_new(j, "_from_model_config", json_true()) == 0;
    if (good && m->bos >= 0)
        good = json_object_set_new(j, "bos_token_id", json_integer(m->bos)) == 0;
    for (int32_t i = 0; good && i < m->eos_count; i++)
        good = json_array_append_new(ends, json_integer(m->eos[i])) == 0;
    if (good && m->eos_count)
        good = json_object_set(j, "eos_token_id",
                               m->eos_count > 1 ? ends : json_array_get(ends, 0)) == 0;
    json_decref(ends);
    fr_status st = good ? write_json(dir, "generation_config.json", j) : FR_NOMEM;
    fr_json_free(j);
    return st;
}

/* Contiguous and in bf16; the caller frees its data. */
static fr_status halve(const char *name, const fr_tensor *t, fr_tensor *out) {
    size_t n = (size_t)fr_values(t);
    if (!t->data || !fr_dtype_get(t->dtype)->real)
        return fr_fail(FR_INVALID, "The tensor '%s' holds no numbers that a model has.", name);
    *out = fr_tensor_make(FR_BF16, t->rank, t->dim, NULL);
    float *x = fr_alloc_array(FR_MEM_OTHER, n, sizeof *x);
    out->data = fr_alloc_array(FR_MEM_OTHER, n, 2);
    fr_status st = x && out->data ? FR_OK : FR_NOMEM;
    if (!st && fr_is_contiguous(t))
        fr_decode(t->dtype, t->data, n, x);
    else if (!st)
        fr_decode_strided(t, x);
    if (!st) st = fr_encode(FR_BF16, x, n, out->data);
    fr_free(x);
    return st;
}

static fr_status write_weights(const char *dir, const fr_named_tensor *tensors, size_t count,
                               fr_named_tensor *named, fr_tensor *halves) {
    static const fr_meta_pair format = {"format", "pt"};
    for (size_t i = 0; i < count; i++) {
        FR_TRY(halve(tensors[i].name, tensors[i].tensor, &halves[i]));
        named[i] = (fr_named_tensor){tensors[i].name, &halves[i]};
    }
    char *path = fr_path_join(dir, "model.safetensors");
    if (!path) return FR_NOMEM;
    fr_status st = fr_safetensors_write(path, named, count, &format, 1);
    fr_free(path);
    return st;
}

fr_status fr_model_folder_write(const char *dir, const fr_decoder *m,
                                const fr_named_tensor *tensors, size_t count) {
    fr_named_tensor *named = fr_alloc_array(FR_MEM_OTHER, count + 1, sizeof *named);
    fr_tensor *halves = fr_alloc(FR_MEM_OTHER, (count + 1) * sizeof *halves);
    fr_status st = named && halves ? fr_make_dirs(dir) : FR_NOMEM;
    if (!st) st = write_weights(dir, tensors, count, named, halves);
    if (!st) st = write_generation(dir, m);
    if (!st) st = write_config(dir, m);
    for (size_t i = 0; halves && i < count; i++) fr_free(halves[i].data);
    fr_free(halves);
    fr_free(named);
    return st;
}

fr_status fr_decoder_save(const char *dir, const fr_decoder *m, fr_session *s, const fr_graph *g) {
    fr_named_tensor *list = fr_alloc_array(FR_MEM_OTHER, g->value_count + 1, sizeof *list);
    size_t count = 0;
    fr_status st = list ? FR_OK : FR_NOMEM;
    for (fr_val v = 1; !st && (size_t)v < g->value_count; v++) {
        const fr_value *value = fr_value_of(g, v);
        if (value->kind != FR_VALUE_PARAM || value->parts || strstr(value->name, ".lora_"))
            continue;
        const fr_tensor *t = fr_session_tensor(s, v);
        if (!t) st = fr_fail(FR_INVALID, "The parameter '%s' has no value to write.", value->name);
        list[count++] = (fr_named_tensor){value->name, t};
    }
    if (!st) st = fr_model_folder_write(dir, m, list, count);
    fr_free(list);
    return st;
}
