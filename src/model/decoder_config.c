/* decoder_config.c: the numbers of a decoder out of a config.json, as transformers has written it since 2023. What is
 * left out has the library's default for the family; what we cannot do is refused by name. */
#include "model/decoder_config.h"

#include <math.h>
#include <string.h>

#define MOST_LAYERS  4096 /* each costs memory before its first weight is looked for */
#define MOST_EXPERTS 1024

const char *const fr_family_names[FR_FAMILIES] = {"llama", "mistral", "mixtral", "qwen2",
                                                  "qwen3", "gemma2",  "phi3"};

const fr_family_info fr_family_infos[FR_FAMILIES] = {
    [FR_FAMILY_LLAMA] = {"LlamaForCausalLM", 0, 0, 2048, 0, 1e4, 1e-6, false},
    [FR_FAMILY_MISTRAL] = {"MistralForCausalLM", 8, 0, 131072, 4096, 1e4, 1e-6, false},
    [FR_FAMILY_MIXTRAL] = {"MixtralForCausalLM", 8, 0, 131072, 0, 1e6, 1e-5, false},
    [FR_FAMILY_QWEN2] = {"Qwen2ForCausalLM", 32, 0, 32768, 4096, 1e4, 1e-6, false},
    [FR_FAMILY_QWEN3] = {"Qwen3ForCausalLM", 32, 128, 32768, 4096, 1e4, 1e-6, false},
    [FR_FAMILY_GEMMA2] = {"Gemma2ForCausalLM", 4, 256, 8192, 4096, 1e4, 1e-6, true},
    [FR_FAMILY_PHI3] = {"Phi3ForCausalLM", 0, 0, 4096, 0, 1e4, 1e-5, false},
};

/* ---- numbers ---- */

fr_status fr_config_size(const fr_json *c, const char *key, int64_t fallback, int64_t *out) {
    FR_TRY(fr_json_i64(c, key, fallback, out));
    if (*out >= 1 && *out <= FR_MOST_SIZE) return FR_OK;
    if (!*out && !fr_json_get(c, key))
        return fr_fail(FR_FORMAT, "The configuration of the model does not say \"%s\".", key);
    return fr_fail(FR_FORMAT, "\"%s\" of the model's configuration is %lld; it must be 1 .. %d.",
                   key, (long long)*out, FR_MOST_SIZE);
}

fr_status fr_config_real(const fr_json *c, const char *key, double fallback, float *out) {
    double x;
    FR_TRY(fr_json_f64(c, key, fallback, &x));
    *out = (float)x;
    if (*out > 0 && isfinite(*out)) return FR_OK; /* 1e-206 is 0 as a float */
    if (x == 0 && !fr_json_get(c, key))
        return fr_fail(FR_FORMAT, "The configuration of the model does not say \"%s\".", key);
    return fr_fail(FR_FORMAT, "\"%s\" of the model's configuration is %g; it must be above 0.", key,
                   x);
}

static bool is_null(const fr_json *c, const char *key) {
    const fr_json *v = fr_json_get(c, key);
    return v && json_is_null(v);
}

/* A cap: null is none. */
static fr_status read_cap(const fr_json *c, const char *key, double fallback, float *out) {
    *out = 0;
    return is_null(c, key) ? FR_OK : fr_config_real(c, key, fallback, out);
}

static fr_status want_false(const fr_json *c, const char *key, const char *what) {
    bool set;
    FR_TRY(fr_json_bool(c, key, false, &set));
    if (!set) return FR_OK;
    return fr_fail(FR_UNSUPPORTED, "The model's configuration has \"%s\"; %s.", key, what);
}

/* ---- words ---- */

static fr_status read_family(const fr_json *c, fr_family *out) {
    const char *word;
    FR_TRY(fr_json_string(c, "model_type", fr_family_names[FR_FAMILY_LLAMA], &word));
    for (int i = 0; i < FR_FAMILIES; i++)
        if (!strcmp(word, fr_family_names[i])) {
            *out = (fr_family)i;
            return FR_OK;
        }
    return fr_fail(
        FR_UNSUPPORTED,
        "The model's configuration has \"model_type\" = \"%s\"; supported are llama, mistral, "
        "mixtral, qwen2, qwen3, gemma2 and phi3.",
        word);
}

static fr_status read_act(const fr_json *c, fr_decoder *m) {
    static const struct {
        const char *name;
        fr_fn fn;
    } acts[] = {{"silu", FR_FN_NONE}, /* of the struct: SiLU */
                {"swish", FR_FN_NONE},         {"gelu_pytorch_tanh", FR_FN_GELU_TANH},
                {"gelu_new", FR_FN_GELU_TANH}, {"gelu", FR_FN_GELU},
                {"relu", FR_FN_RELU}};
    const bool gemma = m->family == FR_FAMILY_GEMMA2;
    const char *key = gemma ? "hidden_activation" : "hidden_act", *word;
    FR_TRY(fr_json_string(c, key, gemma ? "gelu_pytorch_tanh" : "silu", &word));
    for (size_t i = 0; i < FR_COUNT(acts); i++)
        if (!strcmp(word, acts[i].name)) {
            m->act = acts[i].fn;
            return FR_OK;
        }
    return fr_fail(FR_UNSUPPORTED,
                   "The model's configuration has \"%s\" = \"%s\"; supported are \"silu\", "
                   "\"gelu_pytorch_tanh\", \"gelu\" and \"relu\".",
                   key, word);
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

static bool is_end(const fr_decoder *m, int32_t id) {
    for (int32_t i = 0; i < m->eos_count; i++)
        if (m->eos[i] == id) return true;
    return false;
}

/* One id, or a list. */
fr_status fr_decoder_read_ends(const fr_json *c, fr_decoder *m) {
    const fr_json *v = fr_json_get(c, "eos_token_id");
    size_t count = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; i < count && m->eos_count < (int32_t)FR_COUNT(m->eos); i++) {
        int32_t id = -1;
        FR_TRY(read_id(json_is_array(v) ? json_array_get(v, i) : v, "eos_token_id", m->vocab, &id));
        if (id >= 0 && !is_end(m, id)) m->eos[m->eos_count++] = id;
    }
    return FR_OK;
}

/* ---- shapes ---- */

static fr_status read_heads(const fr_json *c, fr_decoder *m) {
    const fr_family_info *f = &fr_family_infos[m->family];
    int64_t kv = f->kv_heads && !is_null(c, "num_key_value_heads") ? f->kv_heads : m->heads;
    int64_t dim = f->head_dim ? f->head_dim : m->width / m->heads;
    FR_TRY(fr_config_size(c, "num_key_value_heads", kv, &m->kv_heads));
    FR_TRY(fr_config_size(c, "head_dim", dim, &m->head_dim));
    if (m->heads % m->kv_heads)
        return fr_fail(FR_FORMAT, "%lld attention heads cannot share %lld heads of keys evenly.",
                       (long long)m->heads, (long long)m->kv_heads);
    if (m->head_dim % 2)
        return fr_fail(FR_FORMAT, "Heads of %lld values cannot be turned in pairs.",
                       (long long)m->head_dim);
    return FR_OK;
}

static fr_status read_shape(const fr_json *c, fr_decoder *m) {
    FR_TRY(fr_config_size(c, "vocab_size", 0, &m->vocab));
    FR_TRY(fr_config_size(c, "hidden_size", 0, &m->width));
    FR_TRY(fr_config_size(c, "intermediate_size", 0, &m->hidden));
    FR_TRY(fr_config_size(c, "num_hidden_layers", 0, &m->layers));
    FR_TRY(fr_config_size(c, "num_attention_heads", 0, &m->heads));
    FR_TRY(fr_config_size(c, "max_position_embeddings", fr_family_infos[m->family].context,
                          &m->context));
    return read_heads(c, m);
}

static fr_status read_experts(const fr_json *c, fr_decoder *m) {
    if (m->family != FR_FAMILY_MIXTRAL) return FR_OK;
    FR_TRY(fr_config_size(c, "num_local_experts", 8, &m->experts));
    FR_TRY(fr_config_size(c, "num_experts_per_tok", 2, &m->chosen));
    if (m->chosen <= m->experts && m->experts <= MOST_EXPERTS) return FR_OK;
    return fr_fail(
        FR_FORMAT,
        "The model's configuration chooses %lld of %lld experts; there can be %d, and no more "
        "chosen than there are.",
        (long long)m->chosen, (long long)m->experts, MOST_EXPERTS);
}

/* So that values and operations can be counted in 63 bits. */
static fr_status check_size(const fr_decoder *m) {
    double heads = (double)(m->heads + m->kv_heads) * (double)m->head_dim;
    double mlps = (double)FR_MAX_OF(m->experts, 1) * (3 * (double)m->hidden + 1);
    double layer = (double)m->width * (2 * heads + mlps + 8) + 4 * heads;
    double values = (double)m->layers * layer + 2 * (double)m->vocab * (double)m->width;
    if (m->layers > MOST_LAYERS)
        return fr_fail(FR_UNSUPPORTED,
                       "The model's configuration has %lld layers; at most %d are supported.",
                       (long long)m->layers, MOST_LAYERS);
    if (values > 0x1p62)
        return fr_fail(FR_FORMAT, "The model's configuration asks for %.3g values.", values);
    return FR_OK;
}

/* ---- which layers have a window ---- */

/* Of layer i: -1: the config says neither. */
static int slides(const fr_json *types, int64_t i) {
    const char *word = json_string_value(json_array_get(types, (size_t)i));
    if (word && !strcmp(word, "sliding_attention")) return 1;
    return word && !strcmp(word, "full_attention") ? 0 : -1;
}

/* The list must be what the two numbers of the struct can say. */
static fr_status read_types(const fr_json *types, fr_decoder *m) {
    bool all = true, none = true;
    m->window_from = m->layers;
    for (int64_t i = 0; i < m->layers; i++) {
        const int s = slides(types, i);
        if (s < 0 || (int64_t)json_array_size(types) != m->layers)
            return fr_fail(FR_FORMAT,
                           "\"layer_types\" of the model's configuration must say "
                           "\"full_attention\" or \"sliding_attention\" for each layer.");
        if (s && m->window_from == m->layers) m->window_from = i;
        all &= s == (i % 2 == 0);
        none &= !s;
    }
    m->window_even = all && m->layers > 1;
    for (int64_t i = 0; i < m->layers && !all; i++)
        if (slides(types, i) != (i >= m->window_from))
            return fr_fail(
                FR_UNSUPPORTED,
                "\"layer_types\" of the model's configuration changes at layer %lld; supported "
                "are a window in every second layer, or from one layer on.",
                (long long)i);
    if (none) m->window = m->window_from = 0;
    return FR_OK;
}

static fr_status read_window(const fr_json *c, fr_decoder *m) {
    const bool qwen = m->family == FR_FAMILY_QWEN2 || m->family == FR_FAMILY_QWEN3;
    const int64_t fallback = fr_family_infos[m->family].window;
    const fr_json *types = fr_json_get(c, "layer_types");
    bool used = !qwen;
    if (qwen) FR_TRY(fr_json_bool(c, "use_sliding_window", false, &used));
    if (!used || m->family == FR_FAMILY_LLAMA || is_null(c, "sliding_window")) return FR_OK;
    if (!fallback && !fr_json_get(c, "sliding_window")) return FR_OK;
    FR_TRY(fr_config_size(c, "sliding_window", fallback, &m->window));
    if (!qwen && m->family != FR_FAMILY_GEMMA2) return FR_OK;
    if (json_is_array(types)) return read_types(types, m);
    m->window_even = !qwen && m->layers > 1;
    if (qwen) FR_TRY(fr_json_i64(c, "max_window_layers", 28, &m->window_from));
    if (m->window_from < 0)
        return fr_fail(FR_FORMAT,
                       "\"max_window_layers\" of the model's configuration is %lld, below 0.",
                       (long long)m->window_from);
    if (m->window_from >= m->layers) m->window = m->window_from = 0;
    return FR_OK;
}

/* ---- what else a family is ---- */

static fr_status read_biases(const fr_json *c, fr_decoder *m) {
    static const char only[] = "linears with biases are not supported here";
    const fr_family f = m->family;
    FR_TRY(want_false(c, "mlp_bias", only));
    if (f == FR_FAMILY_MISTRAL || f == FR_FAMILY_MIXTRAL || f == FR_FAMILY_PHI3)
        return want_false(c, "attention_bias", only);
    if (f != FR_FAMILY_QWEN2) FR_TRY(fr_json_bool(c, "attention_bias", false, &m->bias));
    m->bias_out = m->bias;
    m->bias |= f == FR_FAMILY_QWEN2;
    return FR_OK;
}

static fr_status read_gemma(const fr_json *c, fr_decoder *m) {
    float scalar;
    FR_TRY(want_false(c, "use_bidirectional_attention", "only causal attention is supported"));
    FR_TRY(fr_config_real(c, "query_pre_attn_scalar", 256, &scalar));
    FR_TRY(read_cap(c, "attn_logit_softcapping", 50, &m->score_cap));
    FR_TRY(read_cap(c, "final_logit_softcapping", 30, &m->logit_cap));
    m->score_scale = (float)(1 / sqrt((double)scalar));
    m->embed_scale = (float)sqrt((double)m->width);
    m->around = m->norm_plus_one = true;
    return FR_OK;
}

static fr_status read_switches(const fr_json *c, fr_decoder *m) {
    const fr_family_info *f = &fr_family_infos[m->family];
    FR_TRY(read_act(c, m));
    FR_TRY(read_biases(c, m));
    FR_TRY(read_window(c, m));
    m->head_norm = m->family == FR_FAMILY_QWEN3;
    m->fused = m->family == FR_FAMILY_PHI3;
    if (m->family == FR_FAMILY_GEMMA2) FR_TRY(read_gemma(c, m));
    FR_TRY(fr_config_real(c, "rms_norm_eps", f->eps, &m->eps));
    return fr_json_bool(c, "tie_word_embeddings", f->tied, &m->tied);
}

fr_status fr_decoder_read(const fr_json *c, fr_decoder *out) {
    fr_decoder m = {0};
    *out = m;
    if (!json_is_object(c)) return fr_fail(FR_FORMAT, "The model's configuration is no object.");
    FR_TRY(read_family(c, &m.family));
    FR_TRY(read_shape(c, &m));
    FR_TRY(read_experts(c, &m));
    FR_TRY(check_size(&m));
    FR_TRY(read_switches(c, &m));
    FR_TRY(fr_config_rope(c, &m));
    FR_TRY(read_id(fr_json_get(c, "bos_token_id"), "bos_token_id", m.vocab, &m.bos));
    FR_TRY(fr_decoder_read_ends(c, &m));
    *out = m;
    return FR_OK;
}
