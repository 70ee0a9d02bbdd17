/* adapter.c: LoRA (Hu et al. 2021) in the layout of PEFT: names begin with "base_model.model.", and the pair of a
 * weight X.weight is X.lora_A.weight [rank, in] and X.lora_B.weight [out, rank]. */
#include "train/adapter.h"

#include <string.h>

#define PREFIX "base_model.model."

bool fr_adapter_part(const char *param, void *unused) {
    (void)unused;
    return strstr(param, ".lora_") != NULL;
}

/* The parameters of the model (or of the adapter); list has room for all values of the graph. */
static size_t collect(fr_session *s, const fr_graph *g, bool adapter, fr_named_tensor *list) {
    size_t n = 0;
    for (size_t v = 0; v < g->value_count; v++) {
        const fr_value *value = g->values[v];
        const fr_tensor *t = fr_session_tensor(s, (fr_val)v);
        if (value->kind != FR_VALUE_PARAM || !t || !fr_dtype_get(t->dtype)->real) continue;
        if (fr_adapter_part(value->name, NULL) == adapter)
            list[n++] = (fr_named_tensor){value->name, t};
    }
    return n;
}

/* ---- the adapter alone ---- */

static fr_status write_config(const fr_job *job, const char *folder) {
    const fr_llama_opts *o = &job->model_opts;
    fr_json *j =
        json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:s, s:b, s:b, s:[s,s,s,s,s,s,s]}", "peft_type",
                  "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", job->base, "r",
                  o->lora_rank, "lora_alpha", (double)o->lora_alpha, "lora_dropout", 0.0, "bias",
                  "none", "fan_in_fan_out", 0, "inference_mode", 1, "target_modules", "q_proj",
                  "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj");
    char *path = fr_path_join(folder, "adapter_config.json");
    fr_status st = j && path ? fr_json_save(j, path) : FR_NOMEM;
    fr_free(path);
    fr_json_free(j);
    return st;
}

fr_status fr_adapter_write(const fr_job *job, fr_session *s, const fr_graph *g,
                           const char *folder) {
    fr_meta_pair meta = {"format", "pt"};
    fr_named_tensor *list = fr_alloc_array(FR_MEM_OTHER, g->value_count, sizeof *list);
    char *path = fr_path_join(folder, "adapter_model.safetensors");
    fr_status st = list && path ? fr_make_dirs(folder) : FR_NOMEM;
    if (!st) st = fr_safetensors_write(path, list, collect(s, g, true, list), &meta, 1);
    if (!st) st = write_config(job, folder);
    fr_free(path);
    fr_free(list);
    return st;
}

/* ---- added in ---- */

static const fr_tensor *half_of(fr_session *s, const fr_graph *g, const char *weight,
                                const char *half) {
    size_t n = strlen(weight) - strlen("weight");
    char *name = fr_format(PREFIX "%.*s%s", (int)n, weight, half);
    const fr_tensor *t = name ? fr_session_tensor(s, fr_graph_find(g, name)) : NULL;
    fr_free(name);
    return t;
}

/* w += scale b a. */
static void add_product(float *w, const float *b, const float *a, int64_t rows, int64_t cols,
                        int64_t rank, float scale) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t r = 0; r < rank; r++) {
            float x = scale * b[i * rank + r];
            for (int64_t k = 0; k < cols; k++) w[i * cols + k] += x * a[r * cols + k];
        }
}

static fr_status merge(const fr_job *job, const fr_tensor *down, const fr_tensor *up,
                       fr_tensor *w) {
    float *a = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(down), sizeof *a);
    float *b = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(up), sizeof *b);
    fr_status st = a && b ? fr_tensor_to_f32(down, a) : FR_NOMEM;
    if (!st) st = fr_tensor_to_f32(up, b);
    const fr_llama_opts *o = &job->model_opts;
    if (!st)
        add_product(w->data, b, a, w->dim[0], w->dim[1], down->dim[0],
                    o->lora_alpha / (float)o->lora_rank);
    fr_free(a);
    fr_free(b);
    return st;
}

static fr_status merge_all(const fr_job *job, fr_session *s, const fr_graph *g,
                           fr_named_tensor *list, size_t count, fr_tensor *merged) {
    for (size_t i = 0; i < count; i++) {
        const char *name = list[i].name;
        if (!strstr(name, "_proj.weight")) continue;
        const fr_tensor *t = list[i].tensor, *down = half_of(s, g, name, "lora_A.weight"),
                        *up = half_of(s, g, name, "lora_B.weight");
        if (!down || !up) continue;
        merged[i] = fr_tensor_make(FR_F32, t->rank, t->dim, NULL);
        merged[i].data = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(t), sizeof(float));
        if (!merged[i].data) return FR_NOMEM;
        FR_TRY(fr_tensor_to_f32(t, merged[i].data));
        FR_TRY(merge(job, down, up, &merged[i]));
        list[i].tensor = &merged[i];
    }
    return FR_OK;
}

fr_status fr_adapter_write_merged(const fr_job *job, const fr_llama *m, fr_session *s,
                                  const fr_graph *g, const char *folder) {
    fr_named_tensor *list = fr_alloc_array(FR_MEM_OTHER, g->value_count, sizeof *list);
    fr_tensor *merged = fr_alloc(FR_MEM_OTHER, g->value_count * sizeof *merged);
    size_t count = list && merged ? collect(s, g, false, list) : 0;
    fr_status st = count ? merge_all(job, s, g, list, count, merged) : FR_NOMEM;
    if (!st) st = fr_model_folder_write(folder, m, list, count);
    for (size_t i = 0; i < count; i++) fr_free(merged[i].data);
    fr_free(merged);
    fr_free(list);
    return st;
}
