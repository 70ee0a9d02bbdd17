/* lora.c: see lora.h. */
#include "model/lora.h"

#include <math.h>
#include <string.h>

#define BEFORE "base_model.model."
#define DOWN   ".lora_A.weight"
#define UP     ".lora_B.weight"

typedef struct part {
    const char *module; /* "model.layers.0.self_attn.q_proj" */
    fr_tensor a, b;     /* f32 [rank, in], [out, rank] */
} part;

struct fr_lora {
    fr_arena *arena; /* names and values */
    part *parts;
    size_t count, cap;
    int rank;
    float alpha, scale;
};

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), k = strlen(end);
    return n >= k && !strcmp(name + n - k, end);
}

bool fr_lora_trains(const char *param, void *unused) {
    (void)unused;
    return ends_with(param, DOWN) || ends_with(param, UP);
}

void fr_lora_free(fr_lora *l) {
    if (!l) return;
    fr_arena_free(l->arena);
    fr_free(l->parts);
    fr_free(l);
}
size_t fr_lora_count(const fr_lora *l) {
    return l->count;
}
int fr_lora_rank(const fr_lora *l) {
    return l->rank;
}

/* ---- gathering parts ---- */

static fr_status begin(fr_lora **out) {
    fr_lora *l = *out = fr_alloc(FR_MEM_OTHER, sizeof *l);
    if (!l) return FR_NOMEM;
    l->arena = fr_arena_new();
    return l->arena ? FR_OK : FR_NOMEM;
}

static fr_status copy(fr_lora *l, const fr_tensor *from, fr_tensor *to) {
    *to = fr_tensor_make(FR_F32, from->rank, from->dim, NULL);
    to->data = fr_arena_alloc(l->arena, fr_bytes(to));
    return to->data ? fr_tensor_to_f32(from, to->data) : FR_NOMEM;
}

/* name: of A. */
static fr_status add(fr_lora *l, const char *name, const fr_tensor *a, const fr_tensor *b) {
    const char *module = strncmp(name, BEFORE, strlen(BEFORE)) ? name : name + strlen(BEFORE);
    char x[FR_SHAPE_TEXT], y[FR_SHAPE_TEXT];
    if (!b) return fr_fail(FR_FORMAT, "the adapter has %s and no B beside it", name);
    if (a->rank != 2 || b->rank != 2 || a->dim[0] != b->dim[1] || a->dim[0] < 1 ||
        a->dim[0] > 65536 || (l->count && a->dim[0] != l->rank))
        return fr_fail(FR_FORMAT, "%s is %s and its B %s: that is no pair of one rank", name,
                       fr_shape_text(a, x), fr_shape_text(b, y));
    FR_TRY(fr_grow((void **)&l->parts, &l->cap, l->count + 1, sizeof *l->parts));
    part *p = &l->parts[l->count];
    char *own = fr_arena_strdup(l->arena, module);
    if (!own) return FR_NOMEM;
    own[strlen(own) - strlen(DOWN)] = 0;
    p->module = own;
    FR_TRY(copy(l, a, &p->a));
    FR_TRY(copy(l, b, &p->b));
    l->rank = (int)a->dim[0];
    l->count++;
    return FR_OK;
}

/* The name of B to that of A; fr_free it. */
static char *partner(const char *name) {
    return fr_format("%.*s%s", (int)(strlen(name) - strlen(DOWN)), name, UP);
}

static fr_status take(fr_session *s, const fr_graph *g, fr_lora *l) {
    for (fr_val v = 1; (size_t)v < g->value_count; v++) {
        const fr_value *value = fr_value_of(g, v);
        if (value->kind != FR_VALUE_PARAM || !ends_with(value->name, DOWN)) continue;
        const fr_tensor *a = fr_session_tensor(s, v);
        char *name = partner(value->name);
        if (!name) return FR_NOMEM;
        const fr_tensor *b = fr_session_tensor(s, fr_graph_find(g, name));
        fr_free(name);
        if (!a || !b) return fr_fail(FR_INVALID, "the adapter %s has no value", value->name);
        FR_TRY(add(l, value->name, a, b));
    }
    if (!l->count) return fr_fail(FR_INVALID, "the graph has no adapters");
    return FR_OK;
}

fr_status fr_lora_take(fr_session *s, const fr_graph *g, float alpha, fr_lora **out) {
    fr_lora *l;
    fr_status st = begin(&l);
    if (!st) st = take(s, g, l);
    if (st) {
        fr_lora_free(l);
        l = NULL;
    } else {
        l->alpha = alpha;
        l->scale = alpha / (float)l->rank;
    }
    *out = l;
    return st;
}

/* ---- folders ---- */

static fr_status refuse_set(const fr_json *c, const char *key) {
    bool set;
    FR_TRY(fr_json_bool(c, key, false, &set));
    if (set) return fr_fail(FR_UNSUPPORTED, "adapters with %s are not supported", key);
    return FR_OK;
}

static fr_status read_config(const fr_json *c, fr_lora *l, bool *root) {
    const char *kind, *bias;
    double alpha;
    int64_t rank;
    FR_TRY(fr_json_string(c, "peft_type", "", &kind));
    FR_TRY(fr_json_string(c, "bias", "none", &bias));
    FR_TRY(fr_json_f64(c, "lora_alpha", 8, &alpha));
    FR_TRY(fr_json_i64(c, "r", 8, &rank));
    FR_TRY(fr_json_bool(c, "use_rslora", false, root));
    FR_TRY(refuse_set(c, "use_dora"));
    FR_TRY(refuse_set(c, "lora_bias"));
    FR_TRY(refuse_set(c, "fan_in_fan_out"));
    if (strcmp(kind, "LORA"))
        return fr_fail(FR_UNSUPPORTED, "the adapter is of the kind \"%s\", not LORA", kind);
    if (strcmp(bias, "none"))
        return fr_fail(FR_UNSUPPORTED, "adapters with a bias (\"%s\") are not supported", bias);
    if (json_object_size(fr_json_get(c, "rank_pattern")) ||
        json_object_size(fr_json_get(c, "alpha_pattern")))
        return fr_fail(FR_UNSUPPORTED, "adapters of several ranks are not supported");
    if (!isfinite(alpha) || rank < 1 || rank > 65536)
        return fr_fail(FR_FORMAT, "rank %lld and alpha %g make no adapter", (long long)rank, alpha);
    l->alpha = (float)alpha;
    l->rank = (int)rank;
    return FR_OK;
}

static fr_status read_parts(const fr_store *store, fr_lora *l) {
    int rank = l->rank;
    size_t used = 0;
    for (size_t i = 0; i < fr_store_count(store); i++) {
        const char *name = fr_store_name(store, i);
        if (!ends_with(name, DOWN)) continue;
        char *other = partner(name);
        if (!other) return FR_NOMEM;
        const fr_tensor *b = fr_store_find(store, other);
        fr_free(other);
        FR_TRY(add(l, name, fr_store_tensor(store, i), b));
        used += 2;
    }
    if (!used || used != fr_store_count(store))
        return fr_fail(FR_FORMAT, "of %zu tensors %zu belong to an adapter", fr_store_count(store),
                       used);
    if (l->rank != rank)
        return fr_fail(FR_FORMAT, "the adapter has rank %d and its config says %d", l->rank, rank);
    return FR_OK;
}

static fr_status open_files(const char *config, const char *weights, fr_lora *l) {
    fr_json *j;
    fr_store *store;
    bool root = false;
    FR_TRY(fr_json_load(config, &j));
    fr_status st = read_config(j, l, &root);
    fr_json_free(j);
    if (st) return fr_fail_in(st, "%s", config);
    FR_TRY(fr_store_open(weights, &store));
    st = read_parts(store, l);
    fr_store_close(store);
    if (st) return fr_fail_in(st, "%s", weights);
    l->scale = l->alpha / (root ? sqrtf((float)l->rank) : (float)l->rank);
    return FR_OK;
}

fr_status fr_lora_open(const char *dir, fr_lora **out) {
    char *config = fr_path_join(dir, "adapter_config.json"),
         *weights = fr_path_join(dir, "adapter_model.safetensors");
    fr_lora *l = NULL;
    fr_status st = config && weights ? begin(&l) : FR_NOMEM;
    if (!st) st = open_files(config, weights, l);
    fr_free(config);
    fr_free(weights);
    if (st) {
        fr_lora_free(l);
        l = NULL;
    }
    *out = l;
    return st;
}

/* The last words of the modules, each once. */
static json_t *targets(const fr_lora *l) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < l->count; i++) {
        const char *dot = strrchr(l->parts[i].module, '.'),
                   *word = dot ? dot + 1 : l->parts[i].module;
        bool have = false;
        for (size_t k = 0; k < json_array_size(list); k++)
            have |= !strcmp(json_string_value(json_array_get(list, k)), word);
        if (!have) json_array_append_new(list, json_string(word));
    }
    return list;
}

static fr_status write_config(const fr_lora *l, const char *base, const char *path) {
    /* rsLoRA's scale and ours differ: alpha is written so that alpha / r is the scale in use. */
    json_t *j = json_pack("{s:s,s:s,s:i,s:f,s:f,s:s,s:b,s:b,s:b,s:b,s:s?,s:o}", "peft_type", "LORA",
                          "task_type", "CAUSAL_LM", "r", l->rank, "lora_alpha",
                          (double)(l->scale * (float)l->rank), "lora_dropout", 0.0, "bias", "none",
                          "fan_in_fan_out", 0, "use_rslora", 0, "use_dora", 0, "inference_mode", 1,
                          "base_model_name_or_path", base, "target_modules", targets(l));
    fr_status st = j ? fr_json_save(j, path) : FR_NOMEM;
    fr_json_free(j);
    return st;
}

static fr_status write_weights(const fr_lora *l, const char *path) {
    static const fr_meta_pair format = {"format", "pt"};
    fr_named_tensor *list = fr_alloc_array(FR_MEM_OTHER, 2 * l->count, sizeof *list);
    fr_arena *arena = fr_arena_new();
    fr_status st = list && arena ? FR_OK : FR_NOMEM;
    for (size_t i = 0; !st && i < 2 * l->count; i++) {
        const part *p = &l->parts[i / 2];
        char *name = fr_format("%s%s%s", BEFORE, p->module, i % 2 ? UP : DOWN);
        list[i] =
            (fr_named_tensor){name ? fr_arena_strdup(arena, name) : NULL, i % 2 ? &p->b : &p->a};
        fr_free(name);
        if (!list[i].name) st = FR_NOMEM;
    }
    if (!st) st = fr_safetensors_write(path, list, 2 * l->count, &format, 1);
    fr_arena_free(arena);
    fr_free(list);
    return st;
}

fr_status fr_lora_save(const fr_lora *l, const char *base, const char *dir) {
    char *config = fr_path_join(dir, "adapter_config.json"),
         *weights = fr_path_join(dir, "adapter_model.safetensors");
    fr_status st = config && weights ? fr_make_dirs(dir) : FR_NOMEM;
    if (!st) st = write_weights(l, weights);
    if (!st) st = write_config(l, base, config);
    fr_free(config);
    fr_free(weights);
    return st;
}

/* ---- merging ---- */

struct fr_lora_kept {
    fr_session *session;
    size_t count;
    fr_val *param;
    void **data;
};

void fr_lora_kept_free(fr_lora_kept *k) {
    if (!k) return;
    for (size_t i = 0; k->data && i < k->count; i++) fr_free(k->data[i]);
    fr_free(k->data);
    fr_free(k->param);
    fr_free(k);
}

fr_status fr_lora_restore(const fr_lora_kept *k) {
    FR_TRY(fr_session_make_writable(k->session));
    for (size_t i = 0; i < k->count; i++) {
        const fr_tensor *w = fr_session_tensor(k->session, k->param[i]);
        memcpy(w->data, k->data[i], fr_bytes(w));
    }
    fr_session_params_changed(k->session);
    return FR_OK;
}

/* W of each part, checked. */
static fr_status find_weights(const fr_lora *l, fr_session *s, const fr_graph *g, fr_val *param) {
    char x[FR_SHAPE_TEXT];
    for (size_t i = 0; i < l->count; i++) {
        const part *p = &l->parts[i];
        char *name = fr_format("%s.weight", p->module);
        if (!name) return FR_NOMEM;
        param[i] = fr_graph_find(g, name);
        fr_free(name);
        const fr_tensor *w = fr_session_tensor(s, param[i]);
        if (!w)
            return fr_fail(FR_INVALID, "the adapter changes %s, which the model does not have",
                           p->module);
        if (w->rank != 2 || w->dim[0] != p->b.dim[0] || w->dim[1] != p->a.dim[1])
            return fr_fail(FR_INVALID, "the adapter's %s is [%lld, %lld] and the model's %s",
                           p->module, (long long)p->b.dim[0], (long long)p->a.dim[1],
                           fr_shape_text(w, x));
        if (w->dtype != FR_F32 && w->dtype != FR_BF16 && w->dtype != FR_F16)
            return fr_fail(FR_UNSUPPORTED, "an adapter cannot be merged into %s of %s", p->module,
                           fr_dtype_name(w->dtype));
    }
    return FR_OK;
}

static fr_status keep(fr_session *s, const fr_val *param, size_t count, fr_lora_kept **out) {
    fr_lora_kept *k = *out = fr_alloc(FR_MEM_OTHER, sizeof *k);
    if (!k) return FR_NOMEM;
    k->session = s;
    k->param = fr_alloc_array(FR_MEM_OTHER, count, sizeof *k->param);
    k->data = fr_alloc(FR_MEM_OTHER, count * sizeof *k->data);
    if (!k->param || !k->data) return FR_NOMEM;
    for (; k->count < count; k->count++) {
        const fr_tensor *w = fr_session_tensor(s, param[k->count]);
        void *data = k->data[k->count] = fr_alloc_array(FR_MEM_WEIGHTS, fr_bytes(w), 1);
        if (!data) return FR_NOMEM;
        memcpy(data, w->data, fr_bytes(w));
        k->param[k->count] = param[k->count];
    }
    return FR_OK;
}

/* The change is made of itself first and then added: so it comes out as it went in. two: room for two
 * rows. */
static void add_to(const part *p, float by, fr_tensor *w, float *two) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    size_t cols = (size_t)w->dim[1], rank = (size_t)p->a.dim[0];
    size_t bytes = cols * (size_t)fr_dtype_get(w->dtype)->bytes;
    const float *a = p->a.data, *b = p->b.data;
    float *row = two, *change = two + cols;
    for (size_t i = 0; i < (size_t)w->dim[0]; i++) {
        uint8_t *at = (uint8_t *)w->data + i * bytes;
        memset(change, 0, cols * sizeof *change);
        for (size_t r = 0; r < rank; r++) k->axpy(b[i * rank + r], a + r * cols, cols, change);
        fr_decode(w->dtype, at, cols, row);
        k->axpy(by, change, cols, row);
        fr_encode(w->dtype, row, cols, at);
    }
}

static fr_status merge(const fr_lora *l, float by, fr_session *s, const fr_graph *g, fr_val *param,
                       fr_lora_kept **kept) {
    size_t widest = 0;
    FR_TRY(find_weights(l, s, g, param));
    for (size_t i = 0; i < l->count; i++) widest = FR_MAX_OF(widest, (size_t)l->parts[i].a.dim[1]);
    float *two = fr_alloc_array(FR_MEM_OTHER, widest, 2 * sizeof *two);
    if (!two) return FR_NOMEM;
    fr_status st = fr_session_make_writable(s);
    if (!st && kept) st = keep(s, param, l->count, kept);
    for (size_t i = 0; !st && i < l->count; i++)
        add_to(&l->parts[i], by, fr_session_tensor(s, param[i]), two);
    fr_free(two);
    if (!st) fr_session_params_changed(s);
    return st;
}

fr_status fr_lora_merge(const fr_lora *l, float times, fr_session *s, const fr_graph *g,
                        fr_lora_kept **kept) {
    if (kept) *kept = NULL;
    fr_val *param = fr_alloc_array(FR_MEM_OTHER, l->count, sizeof *param);
    if (!param) return FR_NOMEM;
    fr_status st = merge(l, times * l->scale, s, g, param, kept);
    fr_free(param);
    if (st && kept) {
        fr_lora_kept_free(*kept);
        *kept = NULL;
    }
    return st;
}
