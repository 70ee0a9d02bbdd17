/* decoder_config_rope.c: the rotation of positions out of a config.json.
 *
 * Until 2025 its base stood as rope_theta and its stretch in rope_scaling; later both stand in rope_parameters. */
#include "model/decoder_config.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    fr_stretch stretch;
} kinds[] = {{"default", FR_STRETCH_NONE},  {"linear", FR_STRETCH_LINEAR},
             {"llama3", FR_STRETCH_LLAMA3}, {"yarn", FR_STRETCH_YARN},
             {"longrope", FR_STRETCH_LONG}, {"su", FR_STRETCH_LONG}};

/* Files of Phi-3 from before it had a name call the stretch by two lists "yarn", too. */
static fr_status read_kind(const fr_json *r, const char *key, fr_decoder *m) {
    const char *kind;
    FR_TRY(fr_json_string(r, "rope_type", "", &kind));
    if (!*kind) FR_TRY(fr_json_string(r, "type", "default", &kind));
    if (m->family == FR_FAMILY_PHI3 && !strcmp(kind, "yarn")) kind = "longrope";
    for (size_t i = 0; i < FR_COUNT(kinds); i++)
        if (!strcmp(kind, kinds[i].name)) {
            m->rope.stretch = kinds[i].stretch;
            return FR_OK;
        }
    return fr_fail(FR_UNSUPPORTED,
                   "\"%s\" of the model's configuration is of the type \"%s\"; supported are "
                   "\"default\", \"linear\", \"llama3\", \"yarn\" and \"longrope\".",
                   key, kind);
}

/* A number that may be missing: then 0. */
static fr_status read_maybe(const fr_json *r, const char *key, float *out) {
    const fr_json *v = fr_json_get(r, key);
    *out = 0;
    return v && !json_is_null(v) ? fr_config_real(r, key, 0, out) : FR_OK;
}

static fr_status read_part(const fr_json *c, const fr_json *r, const char *key, fr_decoder *m) {
    double part;
    FR_TRY(fr_json_f64(c, "partial_rotary_factor", 1, &part));
    FR_TRY(fr_json_f64(r, "partial_rotary_factor", part, &part));
    if (part == 1) return FR_OK;
    if (m->family != FR_FAMILY_PHI3)
        return fr_fail(FR_UNSUPPORTED,
                       "\"%s\" of the model's configuration turns a part of each head "
                       "(partial_rotary_factor %g); only phi3 may do that.",
                       key, part);
    double turned = floor((double)m->head_dim * part);
    if (!(part > 0 && part < 1) || turned < 2 || fmod(turned, 2) != 0)
        return fr_fail(
            FR_FORMAT,
            "\"partial_rotary_factor\" of the model's configuration is %g, of heads of %lld "
            "values; it must leave pairs to turn.",
            part, (long long)m->head_dim);
    m->rope.turned = (int64_t)turned;
    return FR_OK;
}

/* The config's own number counts before that of the rotation. */
static fr_status read_original(const fr_json *c, const fr_json *r, fr_decoder *m) {
    static const char key[] = "original_max_position_embeddings";
    const fr_json *v = fr_json_get(c, key);
    const fr_json *from = v && !json_is_null(v) ? c : r;
    v = fr_json_get(from, key);
    if (v && !json_is_null(v)) return fr_config_size(from, key, 0, &m->rope.original);
    m->rope.original = m->family == FR_FAMILY_PHI3 ? 4096 : 0;
    return FR_OK;
}

static fr_status read_list(const fr_json *r, const char *key, int64_t pairs, float *out) {
    const fr_json *list = fr_json_get(r, key);
    if (!json_is_array(list) || (int64_t)json_array_size(list) != pairs)
        return fr_fail(
            FR_FORMAT,
            "\"%s\" of the model's configuration must be a list of %lld numbers, one for each "
            "pair of a head.",
            key, (long long)pairs);
    for (int64_t i = 0; i < pairs; i++) {
        const fr_json *v = json_array_get(list, (size_t)i);
        out[i] = json_is_number(v) ? (float)json_number_value(v) : 0;
        if (!(out[i] > 0) || !isfinite(out[i]))
            return fr_fail(FR_FORMAT,
                           "Number %lld of \"%s\" of the model's configuration must be above 0.",
                           (long long)i, key);
    }
    return FR_OK;
}

static fr_status read_llama3(const fr_json *r, fr_rotation *out) {
    FR_TRY(fr_config_real(r, "factor", 0, &out->factor));
    FR_TRY(fr_config_real(r, "low_freq_factor", 0, &out->low));
    FR_TRY(fr_config_real(r, "high_freq_factor", 0, &out->high));
    if (out->high > out->low) return FR_OK;
    return fr_fail(FR_FORMAT,
                   "\"high_freq_factor\" of the model's configuration is %g; it must be above "
                   "\"low_freq_factor\", which is %g.",
                   (double)out->high, (double)out->low);
}

static fr_status read_yarn(const fr_json *r, fr_decoder *m) {
    fr_rotation *out = &m->rope;
    const double original = (double)(out->original ? out->original : m->context);
    FR_TRY(fr_config_real(r, "factor", (double)m->context / original, &out->factor));
    FR_TRY(fr_config_real(r, "beta_fast", 32, &out->high));
    FR_TRY(fr_config_real(r, "beta_slow", 1, &out->low));
    FR_TRY(read_maybe(r, "attention_factor", &out->attention));
    FR_TRY(read_maybe(r, "mscale", &out->mscale));
    FR_TRY(read_maybe(r, "mscale_all_dim", &out->mscale_all));
    FR_TRY(fr_json_bool(r, "truncate", true, &out->truncate));
    if (out->theta > 1) return FR_OK;
    return fr_fail(
        FR_FORMAT,
        "\"rope_theta\" of the model's configuration is %g; with \"yarn\" it must be above 1.",
        (double)out->theta);
}

static fr_status read_long(const fr_json *r, fr_decoder *m) {
    const int64_t pairs = fr_rotation_pairs(m);
    FR_TRY(read_maybe(r, "factor", &m->rope.factor));
    FR_TRY(read_maybe(r, "attention_factor", &m->rope.attention));
    FR_TRY(read_list(r, "short_factor", pairs, m->rope.short_factor));
    FR_TRY(read_list(r, "long_factor", pairs, m->rope.long_factor));
    if ((m->rope.original ? m->rope.original : m->context) > 1) return FR_OK;
    return fr_fail(FR_FORMAT, "The model's configuration says that it was trained on texts of one "
                              "token, which nothing can be stretched from.");
}

static fr_status read_stretch(const fr_json *c, const fr_json *r, fr_decoder *m) {
    if (fr_rotation_pairs(m) > FR_ROPE_PAIRS)
        return fr_fail(
            FR_UNSUPPORTED,
            "The model's configuration has heads of %lld values and a stretched context; at "
            "most %d are supported.",
            (long long)m->head_dim, 2 * FR_ROPE_PAIRS);
    if (m->rope.stretch != FR_STRETCH_LINEAR) FR_TRY(read_original(c, r, m));
    switch (m->rope.stretch) {
    case FR_STRETCH_NONE: return FR_OK;
    case FR_STRETCH_LINEAR: return fr_config_real(r, "factor", 0, &m->rope.factor);
    case FR_STRETCH_LLAMA3: return read_llama3(r, &m->rope);
    case FR_STRETCH_YARN: return read_yarn(r, m);
    case FR_STRETCH_LONG: return read_long(r, m);
    }
    return FR_OK;
}

/* Numbers that are fine alone may still lead nowhere. */
static fr_status check_angles(const fr_decoder *m) {
    float f[2 * FR_ROPE_PAIRS];
    const int64_t n = fr_rotation_pairs(m) * (m->rope.stretch == FR_STRETCH_LONG ? 2 : 1);
    const float attention = fr_rotation_attention(m);
    bool good = attention > 0 && isfinite(attention);
    fr_rotation_frequencies(m, f);
    for (int64_t i = 0; i < n; i++) good = good && isfinite(f[i]);
    return good ? FR_OK
                : fr_fail(FR_FORMAT,
                          "The rotation of the model's configuration gives angles that are "
                          "no numbers.");
}

static fr_status check_object(const fr_json *c, const char *name) {
    json_t *r = json_object_get(c, name), *value;
    const char *key;
    if (r && !json_is_null(r) && !json_is_object(r))
        return fr_fail(FR_FORMAT, "\"%s\" of the model's configuration is no object.", name);
    json_object_foreach(r, key, value) {
        if (!json_is_object(value)) continue;
        return fr_fail(
            FR_UNSUPPORTED,
            "\"%s\" of the model's configuration has \"%s\", a rotation for some layers; only "
            "one for all of them is supported.",
            name, key);
    }
    return FR_OK;
}

fr_status fr_config_rope(const fr_json *c, fr_decoder *m) {
    const fr_json *scaling = fr_json_get(c, "rope_scaling"),
                  *later = fr_json_get(c, "rope_parameters");
    const bool old = json_is_object(scaling) && json_object_size(scaling) > 0;
    const fr_json *r = old ? scaling : later;
    const char *name = old ? "rope_scaling" : "rope_parameters";
    double theta;
    FR_TRY(check_object(c, "rope_scaling"));
    FR_TRY(check_object(c, "rope_parameters"));
    FR_TRY(fr_json_f64(c, "rope_theta", fr_family_infos[m->family].theta, &theta));
    if (old) FR_TRY(fr_json_f64(later, "rope_theta", theta, &theta));
    FR_TRY(fr_config_real(r, "rope_theta", theta, &m->rope.theta));
    FR_TRY(read_part(c, r, name, m));
    FR_TRY(read_kind(r, name, m));
    if (m->rope.stretch == FR_STRETCH_NONE) return FR_OK;
    FR_TRY(read_stretch(c, r, m));
    return check_angles(m);
}
