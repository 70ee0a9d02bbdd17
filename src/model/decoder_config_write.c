/* decoder_config_write.c: the config.json of a decoder, such that transformers and we read the same from it. The
 * stretch of positions stands in rope_scaling, which old and new versions know. */
#include "model/decoder_config.h"

#include <math.h>
#include <stdlib.h>

static bool put(fr_json *c, const char *key, fr_json *value) {
    return json_object_set_new(c, key, value) == 0; /* also when value is NULL */
}

/* A float as the shortest decimal number that is it: 1e-05, not 9.9999997e-06. */
static fr_json *real(float x) {
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x) break;
    }
    return json_real(strtod(text, NULL));
}

static bool put_maybe(fr_json *c, const char *key, float x) {
    return x == 0 || put(c, key, real(x));
}

static fr_json *cap(float x) {
    return x == 0 ? json_null() : real(x);
}

static fr_json *size_or_null(int64_t x) {
    return x ? json_integer(x) : json_null();
}

static fr_json *id(int32_t token) {
    return token < 0 ? json_null() : json_integer(token);
}

static bool append(fr_json *list, fr_json *value) {
    return json_array_append_new(list, value) == 0;
}

/* The list if it became one, else NULL. */
static fr_json *whole(fr_json *list, bool good) {
    if (good) return list;
    json_decref(list);
    return NULL;
}

static fr_json *ends(const fr_decoder *m) {
    if (m->eos_count < 2) return id(m->eos_count ? m->eos[0] : -1);
    fr_json *list = json_array();
    bool good = list;
    for (int32_t i = 0; good && i < m->eos_count; i++) good = append(list, json_integer(m->eos[i]));
    return whole(list, good);
}

/* ---- rotation ---- */

static fr_json *factors(const float *x, int64_t n) {
    fr_json *list = json_array();
    bool good = list;
    for (int64_t i = 0; good && i < n; i++) good = append(list, real(x[i]));
    return whole(list, good);
}

static bool write_stretch(fr_json *r, const fr_decoder *m) {
    static const char *const names[] = {"default", "linear", "llama3", "yarn", "longrope"};
    const fr_rotation *p = &m->rope;
    const int64_t n = fr_rotation_pairs(m);
    bool good = put(r, m->family == FR_FAMILY_PHI3 ? "type" : "rope_type",
                    json_string(names[p->stretch])) &&
                put_maybe(r, "factor", p->factor);
    if (p->original && m->family != FR_FAMILY_PHI3)
        good = good && put(r, "original_max_position_embeddings", json_integer(p->original));
    if (p->stretch == FR_STRETCH_LLAMA3)
        return good && put(r, "low_freq_factor", real(p->low)) &&
               put(r, "high_freq_factor", real(p->high));
    if (p->stretch == FR_STRETCH_LINEAR) return good;
    good = good && put_maybe(r, "attention_factor", p->attention);
    if (p->stretch == FR_STRETCH_YARN)
        return good && put(r, "beta_slow", real(p->low)) && put(r, "beta_fast", real(p->high)) &&
               put_maybe(r, "mscale", p->mscale) && put_maybe(r, "mscale_all_dim", p->mscale_all) &&
               put(r, "truncate", json_boolean(p->truncate));
    return good && put(r, "short_factor", factors(p->short_factor, n)) &&
           put(r, "long_factor", factors(p->long_factor, n));
}

/* As a share of a head that gives back the number of values, whichever way it is rounded. */
static bool write_part(fr_json *c, const fr_decoder *m) {
    double dim = (double)m->head_dim, part = (double)m->rope.turned / dim;
    if (!m->rope.turned || m->rope.turned == m->head_dim) return true;
    if (floor(dim * part) < (double)m->rope.turned) part = ((double)m->rope.turned + 0.5) / dim;
    return put(c, "partial_rotary_factor", json_real(part));
}

static bool write_rope(fr_json *c, const fr_decoder *m) {
    bool good = put(c, "rope_theta", real(m->rope.theta)) && write_part(c, m);
    if (good && m->family == FR_FAMILY_PHI3 && m->rope.stretch != FR_STRETCH_NONE)
        good = put(c, "original_max_position_embeddings",
                   json_integer(m->rope.original ? m->rope.original : m->context));
    if (m->rope.stretch == FR_STRETCH_NONE) return good && put(c, "rope_scaling", json_null());
    fr_json *r = json_object();
    good = good && r && write_stretch(r, m) && put(c, "rope_scaling", json_incref(r));
    json_decref(r);
    return good;
}

/* ---- families ---- */

static const char *act_name(fr_fn act) {
    return act == FR_FN_GELU_TANH ? "gelu_pytorch_tanh"
           : act == FR_FN_GELU    ? "gelu"
           : act == FR_FN_RELU    ? "relu"
                                  : "silu";
}

static bool write_types(fr_json *c, const fr_decoder *m) {
    fr_json *list = json_array();
    bool good = list;
    for (int64_t i = 0; good && i < m->layers; i++) {
        const bool slides = fr_decoder_window(m, i) != 0;
        good = append(list, json_string(slides ? "sliding_attention" : "full_attention"));
    }
    return put(c, "layer_types", whole(list, good));
}

/* A whole number where that gives the same scale; transformers wants one. */
static fr_json *scalar(float scale) {
    const double x = 1 / ((double)scale * (double)scale), near = round(x);
    return near < 1e9 && (float)(1 / sqrt(near)) == scale ? json_integer((json_int_t)near)
                                                          : json_real(x);
}

static bool write_gemma(fr_json *c, const fr_decoder *m) {
    const float scale = m->score_scale != 0 ? m->score_scale : 1 / sqrtf((float)m->head_dim);
    return put(c, "hidden_activation", json_string(act_name(m->act))) &&
           put(c, "query_pre_attn_scalar", scalar(scale)) &&
           put(c, "attn_logit_softcapping", cap(m->score_cap)) &&
           put(c, "final_logit_softcapping", cap(m->logit_cap)) &&
           put(c, "sliding_window", size_or_null(m->window)) && write_types(c, m);
}

static bool write_family(fr_json *c, const fr_decoder *m) {
    switch (m->family) {
    case FR_FAMILY_LLAMA:
        return put(c, "attention_bias", json_boolean(m->bias)) &&
               put(c, "mlp_bias", json_false()) && put(c, "pretraining_tp", json_integer(1));
    case FR_FAMILY_QWEN3:
        if (!put(c, "attention_bias", json_boolean(m->bias))) return false; /* fall through */
    case FR_FAMILY_QWEN2:
        return put(c, "use_sliding_window", json_boolean(m->window != 0)) &&
               put(c, "sliding_window", size_or_null(m->window)) &&
               put(c, "max_window_layers", json_integer(m->window ? m->window_from : m->layers)) &&
               write_types(c, m);
    case FR_FAMILY_GEMMA2:
        return put(c, "attention_bias", json_boolean(m->bias)) && write_gemma(c, m);
    case FR_FAMILY_MIXTRAL:
        if (!put(c, "num_local_experts", json_integer(m->experts)) ||
            !put(c, "num_experts_per_tok", json_integer(m->chosen)))
            return false; /* fall through */
    default: return put(c, "sliding_window", size_or_null(m->window));
    }
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
    return put(c, "rms_norm_eps", real(m->eps)) &&
           put(c, "hidden_act", json_string(act_name(m->act))) &&
           put(c, "attention_dropout", json_real(0)) &&
           put(c, "initializer_range", json_real(0.02)) &&
           put(c, "tie_word_embeddings", json_boolean(m->tied)) &&
           put(c, "bos_token_id", id(m->bos)) && put(c, "eos_token_id", ends(m)) &&
           put(c, "pad_token_id", json_null()) && /* defaults may lie outside of the vocabulary */
           put(c, "torch_dtype", json_string(dtype)) && put(c, "use_cache", json_true());
}

static bool write_all(fr_json *c, const fr_decoder *m, fr_dtype weights) {
    fr_json *names = json_array();
    bool good = names && append(names, json_string(fr_family_infos[m->family].architecture)) &&
                put(c, "architectures", json_incref(names)) &&
                put(c, "model_type", json_string(fr_family_names[m->family])) &&
                write_shape(c, m) && write_rope(c, m) && write_family(c, m) &&
                write_rest(c, m, weights);
    json_decref(names);
    return good;
}

fr_status fr_decoder_write(const fr_decoder *m, fr_dtype weights, fr_json **out) {
    fr_json *c = json_object();
    *out = NULL;
    if (c && write_all(c, m, weights)) {
        *out = c;
        return FR_OK;
    }
    json_decref(c);
    return fr_fail(FR_NOMEM, "There is no memory for the configuration of a model.");
}
