/* decoder_config.c: the numbers of a model of the Llama kind, from and to a config.json.
 *
 * Read is what transformers has written since 2023: the base of the rotation stands as rope_theta or, later, in
 * rope_parameters; numbers that are left out have the library's defaults. */
#include "model/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LAYERS 4096 /* each costs memory before its first weight is looked for */

/* ---- reading ---- */

static fr_status read_size(const fr_json *c, const char *key, int64_t fallback, int64_t *out) {
    FR_TRY(fr_json_i64(c, key, fallback, out));
    if (*out >= 1 && *out <= 1 << 24) return FR_OK;
    if (!*out && !fr_json_get(c, key))
        return fr_fail(FR_FORMAT, "The configuration of the model does not say \"%s\".", key);
    return fr_fail(FR_FORMAT, "\"%s\" of the model's configuration is %lld; it must be 1 .. %d.",
                   key, (long long)*out, 1 << 24);
}

static fr_status want_word(const fr_json *c, const char *key, const char *want) {
    const char *word;
    FR_TRY(fr_json_string(c, key, want, &word));
    if (!strcmp(word, want)) return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "The model's configuration has \"%s\" = \"%s\"; only \"%s\" is supported.", key,
                   word, want);
}

static fr_status want_false(const fr_json *c, const char *key) {
    bool set;
    FR_TRY(fr_json_bool(c, key, false, &set));
    if (!set) return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "The model's configuration has \"%s\"; linears with biases are not supported.",
                   key);
}

/* How positions turn: only the plain way, without any stretching of the context. */
static fr_status check_rope(const fr_json *rope, const char *key) {
    const char *kind;
    double part;
    if (!rope || json_is_null(rope)) return FR_OK;
    FR_TRY(fr_json_string(rope, "rope_type", "", &kind));
    if (!*kind) FR_TRY(fr_json_string(rope, "type", "default", &kind));
    FR_TRY(fr_json_f64(rope, "partial_rotary_factor", 1, &part));
    if (strcmp(kind, "default") != 0)
        return fr_fail(FR_UNSUPPORTED,
                       "\"%s\" of the model's configuration is of the type \"%s\"; only "
                       "\"default\", which scales nothing, is supported.",
                       key, kind);
    if (part != 1)
        return fr_fail(FR_UNSUPPORTED,
                       "\"%s\" of the model's configuration turns a part of each head "
                       "(partial_rotary_factor %g); only all of it is supported.",
                       key, part);
    return FR_OK;
}

static fr_status read_real(const fr_json *c, const char *key, double fallback, float *out) {
    double x;
    FR_TRY(fr_json_f64(c, key, fallback, &x));
    *out = (float)x;
    if (*out > 0 && isfinite(*out)) return FR_OK; /* 1e-206 is 0 as a float */
    return fr_fail(FR_FORMAT, "\"%s\" of the model's configuration is %g; it must be above 0.", key,
                   x);
}

static fr_status read_rope(const fr_json *c, fr_decoder *m) {
    const fr_json *later = fr_json_get(c, "rope_parameters");
    double theta;
    FR_TRY(check_rope(fr_json_get(c, "rope_scaling"), "rope_scaling"));
    FR_TRY(check_rope(later, "rope_parameters"));
    FR_TRY(fr_json_f64(c, "rope_theta", 10000, &theta));
    return read_real(later, "rope_theta", theta, &m->rope.theta);
}

/* -1: none, also when it is no token of the vocabulary. */
static fr_status read_id(const fr_json *v, const char *key, int64_t vocab, int32_t *out) {
    int64_t id = -1;
    if (v && !json_is_null(v)) {
        if (!json_is_integer(v))
            return fr_fail(FR_FORMAT,
                           "\"%s\" of the model's configuration is not a token's number.", key);
        id = json_integer_value(v);
    }
    *out = id >= 0 && id < vocab ? (int32_t)id : -1;
    return FR_OK;
}

/* One id, or a list. */
static fr_status read_ends(const fr_json *c, fr_decoder *m) {
    const fr_json *v = fr_json_get(c, "eos_token_id");
    size_t count = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; i < count && m->eos_count < (int32_t)FR_COUNT(m->eos); i++) {
        int32_t id = -1;
        FR_TRY(read_id(json_is_array(v) ? json_array_get(v, i) : v, "eos_token_id", m->vocab, &id));
        if (id >= 0) m->eos[m->eos_count++] = id;
    }
    return FR_OK;
}

static fr_status read_shape(const fr_json *c, fr_decoder *m) {
    FR_TRY(read_size(c, "vocab_size", 0, &m->vocab));
    FR_TRY(read_size(c, "hidden_size", 0, &m->width));
    FR_TRY(read_size(c, "intermediate_size", 0, &m->hidden));
    FR_TRY(read_size(c, "num_hidden_layers", 0, &m->layers));
    FR_TRY(read_size(c, "num_attention_heads", 0, &m->heads));
    FR_TRY(read_size(c, "num_key_value_heads", m->heads, &m->kv_heads));
    FR_TRY(read_size(c, "head_dim", m->width / m->heads, &m->head_dim));
    FR_TRY(read_size(c, "max_position_embeddings", 2048, &m->context));
    if (m->heads % m->kv_heads)
        return fr_fail(FR_FORMAT, "%lld attention heads cannot share %lld heads of keys evenly.",
                       (long long)m->heads, (long long)m->kv_heads);
    if (m->head_dim % 2)
        return fr_fail(FR_FORMAT, "Heads of %lld values cannot be turned in pairs.",
                       (long long)m->head_dim);
    return FR_OK;
}

/* So that values and operations can be counted in 63 bits. */
static fr_status check_size(const fr_decoder *m) {
    double heads = (double)(m->heads + m->kv_heads) * (double)m->head_dim;
    double layer = (double)m->width * (2 * heads + 3 * (double)m->hidden + 2);
    double values = (double)m->layers * layer + 2 * (double)m->vocab * (double)m->width;
    if (m->layers > MOST_LAYERS)
        return fr_fail(FR_UNSUPPORTED,
                       "The model's configuration has %lld layers; at most %d are supported.",
                       (long long)m->layers, MOST_LAYERS);
    if (values > 0x1p62)
        return fr_fail(FR_FORMAT, "The model's configuration asks for %.3g values.", values);
    return FR_OK;
}

fr_status fr_decoder_read(const fr_json *c, fr_decoder *out) {
    fr_decoder m = {0};
    *out = m;
    if (!json_is_object(c)) return fr_fail(FR_FORMAT, "The model's configuration is no object.");
    FR_TRY(want_word(c, "model_type", "llama"));
    FR_TRY(want_word(c, "hidden_act", "silu"));
    FR_TRY(want_false(c, "attention_bias"));
    FR_TRY(want_false(c, "mlp_bias"));
    FR_TRY(read_shape(c, &m));
    FR_TRY(check_size(&m));
    FR_TRY(read_rope(c, &m));
    FR_TRY(read_real(c, "rms_norm_eps", 1e-6, &m.eps));
    FR_TRY(fr_json_bool(c, "tie_word_embeddings", false, &m.tied));
    FR_TRY(read_id(fr_json_get(c, "bos_token_id"), "bos_token_id", m.vocab, &m.bos));
    FR_TRY(read_ends(c, &m));
    *out = m;
    return FR_OK;
}

/* ---- writing ---- */

/* A float as the shortest decimal number that is it: 1e-05, not 9.9999997e-06. */
static fr_json *real(float x) {
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x) break;
    }
    return json_real(strtod(text, NULL));
}

static fr_json *id(int32_t token) {
    return token < 0 ? json_null() : json_integer(token);
}

static fr_json *ends(const fr_decoder *m) {
    if (m->eos_count < 2) return id(m->eos_count ? m->eos[0] : -1);
    fr_json *list = json_array();
    for (int32_t i = 0; i < m->eos_count; i++)
        if (json_array_append_new(list, json_integer(m->eos[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static bool put(fr_json *c, const char *key, fr_json *value) {
    return json_object_set_new(c, key, value) == 0; /* also when value is NULL */
}

static bool write_shape(fr_json *c, const fr_decoder *m) {
    return put(c, "vocab_size", json_integer(m->vocab)) &&
           put(c, "hidden_size", json_integer(m->width)) &&
           put(c, "intermediate_size", json_integer(m->hidden)) &&
           put(c, "num_hidden_layers", json_integer(m->layers)) &&
           put(c, "num_attention_heads", json_integer(m->heads)) &&
           put(c, "num_key_value_heads", json_integer(m->kv_heads)) &&
           put(c, "head_dim", json_integer(m->head_dim)) &&
           put(c, "max_position_embeddings", json_integer(m->context));
}

static bool write_rest(fr_json *c, const fr_decoder *m, fr_dtype weights) {
    const char *dtype = weights == FR_BF16 ? "bfloat16" : weights == FR_F16 ? "float16" : "float32";
    return put(c, "rms_norm_eps", real(m->eps)) && put(c, "rope_theta", real(m->rope.theta)) &&
           put(c, "rope_scaling", json_null()) && put(c, "hidden_act", json_string("silu")) &&
           put(c, "attention_bias", json_false()) && put(c, "mlp_bias", json_false()) &&
           put(c, "attention_dropout", json_real(0)) &&
           put(c, "initializer_range", json_real(0.02)) &&
           put(c, "pretraining_tp", json_integer(1)) &&
           put(c, "tie_word_embeddings", json_boolean(m->tied)) &&
           put(c, "bos_token_id", id(m->bos)) && put(c, "eos_token_id", ends(m)) &&
           put(c, "torch_dtype", json_string(dtype)) && put(c, "use_cache", json_true());
}

fr_status fr_decoder_write(const fr_decoder *m, fr_dtype weights, fr_json **out) {
    fr_json *c = json_object(), *names = json_array();
    *out = NULL;
    bool good = c && names && json_array_append_new(names, json_string("LlamaForCausalLM")) == 0;
    good = good && put(c, "architectures", json_incref(names)) &&
           put(c, "model_type", json_string("llama")) && write_shape(c, m) &&
           write_rest(c, m, weights);
    json_decref(names);
    if (good) {
        *out = c;
        return FR_OK;
    }
    json_decref(c);
    return fr_fail(FR_NOMEM, "There is no memory for the configuration of a model.");
}

/* ---- counting ---- */

/* Values of the matrices of a layer. */
static int64_t layer_values(const fr_decoder *m) {
    int64_t q = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim;
    return m->width * (2 * q + 2 * kv + 3 * m->hidden);
}

int64_t fr_decoder_params(const fr_decoder *m) {
    return (m->tied ? 1 : 2) * m->vocab * m->width + m->layers * (layer_values(m) + 2 * m->width) +
           m->width;
}

/* Two operations a value of a matrix forward and four backward; keys that a query does not see cost nothing. */
double fr_decoder_train_flops(const fr_decoder *m, int64_t tokens) {
    double matrices = (double)(m->layers * layer_values(m) + m->vocab * m->width);
    double seen = ((double)tokens + 1) / 2;
    double attention = (double)(m->layers * m->heads * m->head_dim) * 2 * seen;
    return 6 * (matrices + attention);
}
