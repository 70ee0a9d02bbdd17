/* encoder_config.c: the numbers of an encoder out of a config.json of Hugging Face's BertModel. */
#include <string.h>

#include "model/decoder_config.h"
#include "model/encoder.h"

#define MOST_LAYERS 4096 /* each costs memory before its first weight is looked for */

static fr_status want_word(const fr_json *c, const char *key, const char *word) {
    const char *is;
    FR_TRY(fr_json_string(c, key, word, &is));
    if (!strcmp(is, word)) return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "The encoder's configuration has \"%s\" = \"%s\"; supported is \"%s\".", key, is,
                   word);
}

static fr_status want_no(const fr_json *c, const char *key) {
    bool set;
    FR_TRY(fr_json_bool(c, key, false, &set));
    if (!set) return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "The encoder's configuration has \"%s\"; only encoders that see the whole text "
                   "are supported.",
                   key);
}

static fr_status read_act(const fr_json *c, fr_encoder *m) {
    static const struct {
        const char *name;
        fr_fn fn;
    } acts[] = {{"gelu", FR_FN_GELU},
                {"gelu_new", FR_FN_GELU_TANH},
                {"gelu_pytorch_tanh", FR_FN_GELU_TANH},
                {"relu", FR_FN_RELU},
                {"silu", FR_FN_SILU}};
    const char *word;
    FR_TRY(fr_json_string(c, "hidden_act", "gelu", &word));
    for (size_t i = 0; i < FR_COUNT(acts); i++)
        if (!strcmp(word, acts[i].name)) {
            m->act = acts[i].fn;
            return FR_OK;
        }
    return fr_fail(FR_UNSUPPORTED,
                   "The encoder's configuration has \"hidden_act\" = \"%s\"; supported are gelu, "
                   "gelu_new, gelu_pytorch_tanh, relu and silu.",
                   word);
}

fr_status fr_encoder_read(const fr_json *c, fr_encoder *out) {
    fr_encoder m = {0};
    FR_TRY(want_word(c, "model_type", "bert"));
    FR_TRY(want_word(c, "position_embedding_type", "absolute"));
    FR_TRY(want_no(c, "is_decoder"));
    FR_TRY(want_no(c, "add_cross_attention"));
    FR_TRY(fr_config_size(c, "vocab_size", 30522, &m.vocab));
    FR_TRY(fr_config_size(c, "hidden_size", 768, &m.width));
    FR_TRY(fr_config_size(c, "intermediate_size", 3072, &m.hidden));
    FR_TRY(fr_config_size(c, "num_hidden_layers", 12, &m.layers));
    FR_TRY(fr_config_size(c, "num_attention_heads", 12, &m.heads));
    FR_TRY(fr_config_size(c, "max_position_embeddings", 512, &m.context));
    FR_TRY(fr_config_size(c, "type_vocab_size", 2, &m.types));
    FR_TRY(fr_config_real(c, "layer_norm_eps", 1e-12, &m.eps));
    FR_TRY(read_act(c, &m));
    if (m.layers > MOST_LAYERS)
        return fr_fail(FR_UNSUPPORTED, "The encoder has %lld layers; at most %d are supported.",
                       (long long)m.layers, MOST_LAYERS);
    if (m.width % m.heads)
        return fr_fail(FR_FORMAT, "The encoder's %lld values do not fall into %lld heads.",
                       (long long)m.width, (long long)m.heads);
    *out = m;
    return FR_OK;
}
