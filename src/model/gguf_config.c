/* gguf_config.c: what a GGUF file says of its model, as the config.json that Hugging Face's files have, so that one
 * reader (decoder_config.c) holds all of it against what can be.
 *
 * Keys are "<architecture>.<name>". What a file leaves out means here what it means to llama.cpp, which is not always
 * what it means in a config.json; such defaults are written out. */
#include <math.h>
#include <string.h>

#include "model/layouts.h"

typedef struct reader {
    const fr_store *s;
    const fr_json *meta;
    const char *path, *arch;
    fr_json *out;
} reader;

static const char *const known[] = {"llama", "qwen2", "qwen3", "gemma2", "phi3"};

bool fr_gguf_is_model(const fr_store *s) {
    return json_is_string(fr_json_get(fr_store_metadata(s), "general.architecture"));
}

/* ---- getting and putting ---- */

static const fr_json *get(const reader *r, const char *name) {
    char key[128];
    snprintf(key, sizeof key, "%.40s.%.80s", r->arch, name);
    return fr_json_get(r->meta, key);
}

static double number(const reader *r, const char *name, double fallback) {
    const fr_json *v = get(r, name);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

static fr_status put(fr_json *to, const char *key, fr_json *value) {
    if (json_object_set_new(to, key, value) == 0) return FR_OK;
    return fr_fail(FR_NOMEM, "There is no memory for the configuration of a model.");
}

/* A number, copied as it is. */
static fr_status copy(const reader *r, const char *name, const char *key, bool needed) {
    const fr_json *v = get(r, name);
    if (v && !json_is_number(v))
        return fr_fail(FR_UNSUPPORTED,
                       "%s: the metadata \"%s.%s\" is not one number for all layers.", r->path,
                       r->arch, name);
    if (v) return put(r->out, key, json_deep_copy(v));
    if (!needed) return FR_OK;
    return fr_fail(FR_FORMAT, "%s: the metadata does not say \"%s.%s\".", r->path, r->arch, name);
}

static const fr_tensor *shape_of(const fr_store *s, const char *name) {
    for (size_t i = 0; i < fr_store_count(s); i++)
        if (!strcmp(fr_store_name(s, i), name)) return fr_store_shape(s, i);
    return NULL;
}

/* ---- shapes ---- */

static fr_status put_vocab(const reader *r) {
    const fr_tensor *t = shape_of(r->s, "token_embd.weight");
    const fr_meta_array *words = fr_store_meta_array(r->s, "tokenizer.ggml.tokens");
    if (!t || t->rank != 2)
        return fr_fail(FR_FORMAT, "%s: the model has no table 'token_embd.weight' of its tokens.",
                       r->path);
    double said = number(r, "vocab_size", (double)t->dim[0]);
    if (said != (double)t->dim[0])
        return fr_fail(FR_FORMAT,
                       "%s: \"%s.vocab_size\" is %.0f, but 'token_embd.weight' has %lld "
                       "rows.",
                       r->path, r->arch, said, (long long)t->dim[0]);
    if (words && words->count > (size_t)t->dim[0])
        return fr_fail(FR_FORMAT,
                       "%s: the tokenizer has %zu tokens, but 'token_embd.weight' has %lld rows.",
                       r->path, words->count, (long long)t->dim[0]);
    return put(r->out, "vocab_size", json_integer(t->dim[0]));
}

static fr_status put_heads(const reader *r) {
    FR_TRY(copy(r, "attention.head_count", "num_attention_heads", true));
    FR_TRY(copy(r, "attention.head_count_kv", "num_key_value_heads", false));
    double heads = number(r, "attention.head_count", 0), width = number(r, "embedding_length", 0);
    double dim = number(r, "attention.key_length", heads >= 1 ? floor(width / heads) : 0);
    if (number(r, "attention.value_length", dim) != dim)
        return fr_fail(FR_UNSUPPORTED,
                       "%s: heads of keys have %.0f values and those of values %.0f; only as many "
                       "are supported.",
                       r->path, dim, number(r, "attention.value_length", dim));
    if (!get(r, "attention.head_count_kv"))
        FR_TRY(copy(r, "attention.head_count", "num_key_value_heads", true));
    if (!(dim >= 1 && dim < 1e9)) return FR_OK; /* the reader of configs refuses it */
    FR_TRY(put(r->out, "head_dim", json_integer((json_int_t)dim)));
    double turned = number(r, "rope.dimension_count", dim);
    return turned == dim ? FR_OK : put(r->out, "partial_rotary_factor", json_real(turned / dim));
}

static fr_status put_experts(const reader *r) {
    if (number(r, "expert_count", 0) < 1) return FR_OK;
    if (strcmp(r->arch, "llama"))
        return fr_fail(FR_UNSUPPORTED, "%s: models of the kind %s with experts are not supported.",
                       r->path, r->arch);
    FR_TRY(put(r->out, "model_type", json_string("mixtral")));
    FR_TRY(copy(r, "expert_count", "num_local_experts", true));
    return copy(r, "expert_used_count", "num_experts_per_tok", true);
}

/* ---- how positions turn ---- */

/* A tensor of factors as a list. */
static fr_status put_factors(const reader *r, const fr_tensor *t, fr_json *to, const char *key) {
    float x[512];
    fr_json *list = json_array();
    fr_status st = list ? FR_OK : FR_NOMEM;
    if (fr_values(t) > (int64_t)FR_COUNT(x))
        st = fr_fail(FR_UNSUPPORTED,
                     "%s: there are %lld factors of the rotation; at most %zu are "
                     "supported.",
                     r->path, (long long)fr_values(t), FR_COUNT(x));
    if (!st) st = fr_tensor_to_f32(t, x);
    for (int64_t i = 0; !st && i < fr_values(t);
         i++) /* what is no number becomes 0 and is refused */
        if (json_array_append_new(list, json_real(isfinite(x[i]) ? (double)x[i] : 0)))
            st = FR_NOMEM;
    if (!st) return put(to, key, list);
    json_decref(list);
    return st;
}

/* Llama 3.1's stretch comes as one factor for each pair: that is a list for short texts and the same for long ones. */
static fr_status put_lists(const reader *r, const fr_tensor *few, const fr_tensor *many,
                           fr_json *to) {
    bool same = few == many;
    double attention = number(r, "rope.scaling.attn_factor", same ? 1 : 0);
    FR_TRY(put(to, "rope_type", json_string("longrope")));
    FR_TRY(put_factors(r, few, to, "short_factor"));
    FR_TRY(put_factors(r, many, to, "long_factor"));
    if (attention > 0) FR_TRY(put(to, "attention_factor", json_real(attention)));
    return same ? put(to, "original_max_position_embeddings",
                      json_deep_copy(fr_json_get(r->out, "max_position_embeddings")))
                : FR_OK;
}

static fr_status put_scaling(const reader *r, fr_json *to) {
    const fr_tensor *freqs = fr_store_find(r->s, "rope_freqs.weight");
    const fr_tensor *few = fr_store_find(r->s, "rope_factors_short.weight");
    const fr_tensor *many = fr_store_find(r->s, "rope_factors_long.weight");
    const char *type = json_string_value(get(r, "rope.scaling.type"));
    double factor = number(r, "rope.scaling.factor", number(r, "rope.scale_linear", 0));
    double original = number(r, "rope.scaling.original_context_length", 0);
    if (!type) type = factor > 0 && factor != 1 && !few && !freqs ? "linear" : "none";
    if (original >= 1)
        FR_TRY(put(to, "original_max_position_embeddings",
                   json_deep_copy(get(r, "rope.scaling.original_context_length"))));
    if (few && many) return put_lists(r, few, many, to);
    if (freqs && (!strcmp(type, "none") || factor == 0 || factor == 1))
        return put_lists(r, freqs, freqs, to);
    if (freqs || few || many)
        return fr_fail(FR_UNSUPPORTED,
                       "%s: the rotation is stretched in two ways, by \"%s\" and by factors of "
                       "its own, which is not supported.",
                       r->path, type);
    if (!strcmp(type, "none")) return FR_OK;
    FR_TRY(put(to, "rope_type", json_string(type))); /* an unknown one is refused by the reader */
    return factor > 0 ? put(to, "factor", json_real(factor)) : FR_OK;
}

static fr_status put_rope(const reader *r) {
    fr_json *scaling = json_object();
    if (!scaling) return FR_NOMEM;
    fr_status st = put(r->out, "rope_theta", json_real(number(r, "rope.freq_base", 10000)));
    if (!st) st = put_scaling(r, scaling);
    if (!st && fr_json_get(scaling, "rope_type"))
        st = put(r->out, "rope_scaling", json_incref(scaling));
    json_decref(scaling);
    return st;
}

/* ---- the rest ---- */

/* The 27B model (46 layers) divides scores by the root of width / heads, the others by that of the head. */
static fr_status put_gemma(const reader *r) {
    double dim = (double)json_integer_value(fr_json_get(r->out, "head_dim"));
    if (number(r, "block_count", 0) == 46)
        dim = number(r, "embedding_length", 0) / FR_MAX_OF(number(r, "attention.head_count", 1), 1);
    FR_TRY(put(r->out, "query_pre_attn_scalar", json_real(dim)));
    FR_TRY(copy(r, "attn_logit_softcapping", "attn_logit_softcapping", false));
    return copy(r, "final_logit_softcapping", "final_logit_softcapping", false);
}

static fr_status put_window(const reader *r) {
    double window = number(r, "attention.sliding_window", 0);
    bool llama = !strcmp(r->arch, "llama"),
         takes = !strncmp(r->arch, "gemma", 5) || llama || !strcmp(r->arch, "phi3");
    if (!takes) return FR_OK;
    if (!(window >= 1)) return put(r->out, "sliding_window", json_null());
    /* Of those that share the name llama, Mistral is the one with a window. */
    if (llama && !fr_json_get(r->out, "num_local_experts"))
        FR_TRY(put(r->out, "model_type", json_string("mistral")));
    return copy(r, "attention.sliding_window", "sliding_window", true);
}

static fr_status put_tokens(const reader *r) {
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    const fr_json *bos = fr_json_get(r->meta, "tokenizer.ggml.bos_token_id");
    fr_json *list = json_array();
    if (!list) return FR_NOMEM;
    for (size_t i = 0; i < FR_COUNT(ends); i++) {
        const fr_json *v = fr_json_get(r->meta, ends[i]);
        if (v) json_array_append_new(list, json_deep_copy(v));
    }
    FR_TRY(put(r->out, "eos_token_id", list));
    return bos ? put(r->out, "bos_token_id", json_deep_copy(bos)) : FR_OK;
}

static fr_status put_all(const reader *r) {
    FR_TRY(put(r->out, "model_type", json_string(r->arch)));
    FR_TRY(put_vocab(r));
    FR_TRY(copy(r, "block_count", "num_hidden_layers", true));
    FR_TRY(copy(r, "embedding_length", "hidden_size", true));
    FR_TRY(copy(r, "feed_forward_length", "intermediate_size", true));
    FR_TRY(copy(r, "context_length", "max_position_embeddings", true));
    FR_TRY(copy(r, "attention.layer_norm_rms_epsilon", "rms_norm_eps", true));
    FR_TRY(put_heads(r));
    FR_TRY(put_experts(r));
    FR_TRY(put_window(r));
    FR_TRY(put_rope(r));
    FR_TRY(put_tokens(r));
    if (!strcmp(r->arch, "gemma2")) FR_TRY(put_gemma(r));
    if (!strcmp(r->arch, "llama") && shape_of(r->s, "blk.0.attn_q.bias"))
        FR_TRY(put(r->out, "attention_bias", json_true()));
    bool tied = !shape_of(r->s, "output.weight");
    return put(r->out, "tie_word_embeddings", json_boolean(tied));
}

static fr_status check_arch(const reader *r) {
    for (size_t i = 0; i < FR_COUNT(known); i++)
        if (!strcmp(r->arch, known[i])) return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "%s: the model is of the kind \"%.60s\"; Frugal runs GGUF models of the kinds "
                   "llama, qwen2, qwen3, gemma2 and phi3.",
                   r->path, r->arch);
}

fr_status fr_gguf_config(const fr_store *s, fr_json **out) {
    const fr_json *meta = fr_store_metadata(s);
    reader r = {.s = s, .meta = meta, .path = fr_store_path(s)};
    int64_t parts;
    *out = NULL;
    r.arch = json_string_value(fr_json_get(meta, "general.architecture"));
    FR_TRY(check_arch(&r));
    FR_TRY(fr_json_i64(meta, "split.count", 1, &parts));
    if (parts > 1)
        return fr_fail(FR_UNSUPPORTED,
                       "%s is one of %lld parts of a model; join them into one file first.", r.path,
                       (long long)parts);
    r.out = json_object();
    fr_status st = r.out ? put_all(&r) : FR_NOMEM;
    if (!st) *out = r.out;
    if (st) fr_json_free(r.out);
    return st;
}
