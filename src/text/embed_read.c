/* embed_read.c: modules.json of sentence-transformers: a list of steps, each with its type and folder. */
#include <string.h>

#include "text/embed_parts.h"

/* NULL, and no failure, where there is no such file. */
static fr_status load(const char *folder, const char *name, fr_json **out) {
    *out = NULL;
    char *path = fr_path_join(folder, name);
    if (!path) return FR_NOMEM;
    fr_status st = fr_path_exists(path) ? fr_json_load(path, out) : FR_OK;
    fr_free(path);
    return st;
}

/* Newer folders say it by a word, older ones by switches of which one is set. */
static fr_status read_switches(const fr_json *j, fr_pooling *out) {
    static const char *const others[] = {
        "pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"};
    bool first, mean, other;
    for (size_t i = 0; i < FR_COUNT(others); i++) {
        FR_TRY(fr_json_bool(j, others[i], false, &other));
        if (other)
            return fr_fail(FR_UNSUPPORTED,
                           "The pooling has \"%s\"; supported are the mean and the first token.",
                           others[i]);
    }
    FR_TRY(fr_json_bool(j, "pooling_mode_cls_token", false, &first));
    FR_TRY(fr_json_bool(j, "pooling_mode_mean_tokens", !first, &mean));
    if (first == mean)
        return fr_fail(FR_UNSUPPORTED,
                       "The pooling is both the mean and the first token, or none of them.");
    out->first = first;
    return FR_OK;
}

static fr_status read_pooling(const char *folder, const char *path, fr_pooling *out) {
    fr_json *j;
    char *name = fr_path_join(path, "config.json");
    if (!name) return FR_NOMEM;
    fr_status st = load(folder, name, &j);
    if (!st && !j) st = fr_fail(FR_FORMAT, "%s has no %s.", folder, name);
    if (!st) st = read_switches(j, out);
    fr_json_free(j);
    fr_free(name);
    return st;
}

static fr_status read_module(const char *folder, const fr_json *j, fr_pooling *out) {
    const char *type, *path;
    FR_TRY(fr_json_string(j, "type", "", &type));
    FR_TRY(fr_json_string(j, "path", "", &path));
    const char *dot = strrchr(type, '.'), *kind = dot ? dot + 1 : type;
    if (path[0] == '/' || strstr(path, ".."))
        return fr_fail(FR_FORMAT, "modules.json names \"%s\", which is not inside of the folder.",
                       path);
    if (!strcmp(kind, "Pooling")) return read_pooling(folder, path, out);
    if (!strcmp(kind, "Normalize")) out->normalize = true;
    if (!strcmp(kind, "Normalize") || (!strcmp(kind, "Transformer") && !*path)) return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "modules.json has a step \"%s\" in \"%s\"; supported are Transformer (here), "
                   "Pooling and Normalize.",
                   kind, path);
}

static fr_status read_modules(const char *folder, const fr_json *j, fr_pooling *out) {
    if (!json_is_array(j)) return fr_fail(FR_FORMAT, "modules.json is not a list.");
    for (size_t i = 0; i < json_array_size(j); i++)
        FR_TRY(read_module(folder, json_array_get(j, i), out));
    return FR_OK;
}

static fr_status read_most(const fr_json *j, fr_pooling *out) {
    const fr_json *v = fr_json_get(j, "max_seq_length");
    if (!v || json_is_null(v)) return FR_OK;
    FR_TRY(fr_json_i64(j, "max_seq_length", 0, &out->most));
    if (out->most >= 1) return FR_OK;
    return fr_fail(FR_FORMAT, "\"max_seq_length\" is %lld; it must be 1 or more.",
                   (long long)out->most);
}

fr_status fr_pooling_read(const char *folder, fr_pooling *out) {
    fr_json *modules, *most;
    *out = (fr_pooling){0};
    FR_TRY(load(folder, "modules.json", &modules));
    fr_status st = modules ? read_modules(folder, modules, out) : FR_OK;
    fr_json_free(modules);
    if (st) return fr_fail_in(st, "%s", folder);
    FR_TRY(load(folder, "sentence_bert_config.json", &most));
    if (most) st = read_most(most, out);
    fr_json_free(most);
    return st ? fr_fail_in(st, "%s", folder) : FR_OK;
}
