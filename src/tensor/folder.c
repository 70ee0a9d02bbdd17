/* folder.c: models that are more than one file: shards under an index, a Hugging Face folder, a
 * diffusers folder with one component in each subfolder.
 *
 * Of the weight files in a folder the first of these is taken:
 *
 *     model.safetensors, diffusion_pytorch_model.safetensors
 *     an index of shards: those two names + .index.json, or the only *.safetensors.index.json
 *     the only *.safetensors
 *     the only *.gguf
 *     pytorch_model.bin, pytorch_model.bin.index.json
 *
 * In the diffusers layout (there is a model_index.json) each subfolder that it names is looked
 * through in that way, and its tensors are called "<subfolder>/<name>". */
#include "tensor/store_parts.h"

#include <string.h>

/* ---- an index and its shards ---- */

/* The name of a file in the same folder, never a path out of it. */
static bool plain_name(const char *name) {
    return *name && !strchr(name, '/') && !strchr(name, '\\') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* The distinct shards of the map, in the order in which it names them. */
static fr_status list_shards(const char *path, const fr_json *map, fr_names *shards) {
    char shown[FR_NAME_TEXT], file[FR_NAME_TEXT];
    const char *name;
    json_t *value;
    size_t number;
    bool was_there;
    json_object_foreach((json_t *)(uintptr_t)map, name, value) {
        const char *shard = json_string_value(value);
        if (!shard)
            return fr_fail(FR_FORMAT, "%s: weight_map gives tensor '%s' no file name.", path,
                           fr_name_text(name, shown));
        if (!plain_name(shard))
            return fr_fail(FR_FORMAT,
                           "%s: weight_map puts tensor '%s' into '%s', which is not the name of a "
                           "file beside it.",
                           path, fr_name_text(name, shown), fr_name_text(shard, file));
        FR_TRY(fr_names_add(shards, shard, &number, &was_there));
    }
    return FR_OK;
}

static fr_status read_shard(fr_store *s, const char *path, const char *folder, const char *shard,
                            const char *prefix) {
    uint32_t file;
    char *full = fr_path_join(folder, shard);
    if (!full) return FR_NOMEM;
    fr_status st = FR_OK;
    if (!fr_path_exists(full)) st = fr_fail(FR_IO, "%s: the shard %s is missing.", path, full);
    if (st == FR_OK && fr_path_has_suffix(shard, ".bin"))
        st = fr_store_read_any(s, full, prefix);
    else if (st == FR_OK) {
        st = fr_store_map(s, full, &file);
        if (st == FR_OK) st = fr_store_read_safetensors(s, file, prefix);
    }
    fr_free(full);
    return st;
}

/* Every tensor of the map is in the shard that the map names. */
static fr_status check_map(const fr_store *s, const char *path, const fr_json *map,
                           const char *prefix) {
    char shown[FR_NAME_TEXT];
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, name, value) {
        char *full = fr_format("%s%s", prefix ? prefix : "", name);
        if (!full) return FR_NOMEM;
        size_t i = fr_names_find(&s->names, full);
        fr_free(full);
        const char *shard = json_string_value(value);
        if (i == FR_NO_NAME)
            return fr_fail(FR_FORMAT, "%s: tensor '%s' should be in %s, but is in no shard.", path,
                           fr_name_text(name, shown), shard);
        const char *in = fr_store_file(s, i), *slash = strrchr(in, '/');
        if (strcmp(slash ? slash + 1 : in, shard) != 0)
            return fr_fail(FR_FORMAT, "%s: tensor '%s' should be in %s, but is in %s.", path,
                           fr_name_text(name, shown), shard, in);
    }
    return FR_OK;
}

static fr_status read_shards(fr_store *s, const char *path, const char *folder, const fr_json *map,
                             const char *prefix) {
    fr_names shards = {0};
    fr_status st = list_shards(path, map, &shards);
    for (size_t i = 0; st == FR_OK && i < shards.count; i++)
        st = read_shard(s, path, folder, shards.name[i], prefix);
    if (st == FR_OK) st = check_map(s, path, map, prefix);
    fr_names_free(&shards);
    return st;
}

fr_status fr_store_read_index(fr_store *s, const char *path, const char *prefix) {
    fr_json *index;
    const char *slash = strrchr(path, '/');
    char *folder = slash ? fr_format("%.*s", (int)(slash - path + 1), path) : fr_strdup(".");
    if (!folder) return FR_NOMEM;
    fr_status st = fr_json_load(path, &index);
    if (st == FR_OK) {
        const fr_json *map = fr_json_get(index, "weight_map");
        if (json_is_object(map))
            st = read_shards(s, path, folder, map, prefix);
        else
            st = fr_fail(FR_FORMAT, "%s: an index has a \"weight_map\" object; this has none.",
                         path);
        fr_json_free(index);
    }
    fr_free(folder);
    return st;
}

/* ---- one folder ---- */

static const char *const usual[] = {"model.safetensors", "diffusion_pytorch_model.safetensors",
                                    "model.safetensors.index.json",
                                    "diffusion_pytorch_model.safetensors.index.json"};

static const char *const torch[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};

/* How many names end so, and one of them. */
static size_t count_suffix(char **names, size_t count, const char *suffix, const char **one) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (fr_path_has_suffix(names[i], suffix)) *one = names[i], n++;
    return n;
}

static bool pick_name(char **names, size_t count, const char *const *list, size_t length,
                      const char **pick) {
    for (size_t k = 0; k < length; k++)
        for (size_t i = 0; i < count; i++)
            if (strcmp(names[i], list[k]) == 0) {
                *pick = names[i];
                return true;
            }
    return false;
}

/* The weight file of a folder: FR_OK with *pick NULL when there is none. */
static fr_status pick_weights(const char *path, char **names, size_t count, const char **pick) {
    static const char *const suffix[] = {".safetensors.index.json", ".safetensors", ".gguf"};
    *pick = NULL;
    if (pick_name(names, count, usual, FR_COUNT(usual), pick)) return FR_OK;
    for (size_t k = 0; k < FR_COUNT(suffix); k++) {
        const char *one = NULL;
        size_t n = count_suffix(names, count, suffix[k], &one);
        if (n > 1)
            return fr_fail(FR_FORMAT,
                           "%s: the folder has %zu files that end in %s, and none has a usual "
                           "name; name the one you mean.",
                           path, n, suffix[k]);
        if (n == 1) {
            *pick = one;
            return FR_OK;
        }
    }
    pick_name(names, count, torch, FR_COUNT(torch), pick);
    return FR_OK;
}

/* Reads the weights of one folder; *found says whether there were any. */
static fr_status read_weights(fr_store *s, const char *path, const char *prefix, bool *found) {
    char **names;
    size_t count;
    const char *pick;
    *found = false;
    FR_TRY(fr_list_dir(path, &names, &count));
    fr_status st = pick_weights(path, names, count, &pick);
    if (st == FR_OK && pick) {
        char *full = fr_path_join(path, pick);
        *found = true;
        if (!full)
            st = FR_NOMEM;
        else if (fr_path_has_suffix(pick, ".index.json"))
            st = fr_store_read_index(s, full, prefix);
        else
            st = fr_store_read_any(s, full, prefix);
        fr_free(full);
    }
    fr_list_free(names, count);
    return st;
}

/* ---- the diffusers layout ---- */

static fr_status read_component(fr_store *s, const char *path, const char *name, bool *found) {
    char *folder = fr_path_join(path, name), *prefix = fr_format("%s/", name);
    fr_status st = folder && prefix ? FR_OK : FR_NOMEM;
    *found = false;
    if (st == FR_OK && fr_path_is_dir(folder)) st = read_weights(s, folder, prefix, found);
    fr_free(folder);
    fr_free(prefix);
    return st;
}

static fr_status read_components(fr_store *s, const char *path, const char *index_path) {
    char shown[FR_NAME_TEXT];
    fr_json *index;
    const char *name;
    json_t *value;
    bool any = false;
    FR_TRY(fr_json_load(index_path, &index));
    fr_status st = FR_OK;
    if (!json_is_object(index))
        st = fr_fail(FR_FORMAT, "%s: this should be a JSON object.", index_path);
    json_object_foreach(index, name, value) {
        bool found = false;
        /* A component is ["library", "Class"]; other keys are settings. */
        if (st != FR_OK || !json_is_array(value)) continue;
        if (!plain_name(name))
            st = fr_fail(FR_FORMAT, "%s: the component '%s' is not the name of a folder beside it.",
                         index_path, fr_name_text(name, shown));
        else
            st = read_component(s, path, name, &found);
        any = any || found;
    }
    fr_json_free(index);
    if (st == FR_OK && !any)
        st = fr_fail(FR_FORMAT, "%s: no component that it names has a .safetensors or .gguf file.",
                     index_path);
    return st;
}

fr_status fr_store_read_folder(fr_store *s, const char *path) {
    bool found;
    char *index = fr_path_join(path, "model_index.json");
    if (!index) return FR_NOMEM;
    if (fr_path_exists(index)) {
        fr_status st = read_components(s, path, index);
        fr_free(index);
        return st;
    }
    fr_free(index);
    FR_TRY(read_weights(s, path, NULL, &found));
    if (found) return FR_OK;
    return fr_fail(FR_FORMAT,
                   "%s: the folder holds no model: looked for model_index.json, model.safetensors, "
                   "an index *.safetensors.index.json, a single *.safetensors or *.gguf, and "
                   "pytorch_model.bin.",
                   path);
}
