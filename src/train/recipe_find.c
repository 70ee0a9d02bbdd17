/* recipe_find.c: where a recipe lies, and whether a training was begun with the same one. */
#include <string.h>

#include "train/recipe.h"

/* ---- finding ---- */

char *fr_recipe_find(const char *name) {
    char where[2048] = "", *found = NULL;
    if (fr_path_exists(name) && !fr_path_is_dir(name)) return fr_strdup(name);
    char *file = fr_format("%s.recipe", name);
    char *folder = file && !strchr(name, '/')
                       ? fr_shipped_folder("recipes", "FRUGAL_RECIPES", file, where, sizeof where)
                       : NULL;
    if (folder) found = fr_path_join(folder, file);
    fr_free(folder);
    fr_free(file);
    if (!found)
        fr_fail(FR_IO, "There is no recipe %s: no such file%s%s", name,
                *where ? ", and none of that name in " : "", where);
    return found;
}

/* ---- comparing ---- */

/* The line of a key in a printed recipe; its length, or 0. */
static size_t line_of(const char *text, const char *key, size_t key_bytes, const char **out) {
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, "\n");
        if (n > key_bytes + 2 && !strncmp(at, key, key_bytes) &&
            !strncmp(at + key_bytes, " = ", 3)) {
            *out = at + key_bytes + 3;
            return n - key_bytes - 3;
        }
        at += n + (at[n] == '\n');
    }
    *out = "";
    return 0;
}

static bool is_free(const char *const *free_keys, const char *key, size_t bytes) {
    for (; free_keys && *free_keys; free_keys++)
        if (strlen(*free_keys) == bytes && !strncmp(*free_keys, key, bytes)) return true;
    return false;
}

/* Adds "width (64 before, now 32)" to a list that stays short. */
static void add_difference(char *list, size_t size, const char *key, size_t key_bytes,
                           const char *before, size_t before_bytes, const char *now,
                           size_t now_bytes) {
    size_t used = strlen(list);
    if (used > size / 2) {
        if (!strstr(list, " ...")) snprintf(list + used, size - used, " ...");
        return;
    }
    if (!before_bytes) before = "not there", before_bytes = strlen(before);
    if (!now_bytes) now = "not there", now_bytes = strlen(now);
    snprintf(list + used, size - used, "%s%.*s (%.*s before, now %.*s)", used ? ", " : "",
             (int)key_bytes, key, (int)FR_MIN(before_bytes, (size_t)60), before,
             (int)FR_MIN(now_bytes, (size_t)60), now);
}

/* Of each line of `a`: does it stand in `b`? now: what is in force, `a` is of that; else it is the file, and lines
 * that differ were told of already. */
static void compare(const char *a, const char *b, const char *const *free_keys,
                    const fr_recipe *now, char *list, size_t size) {
    for (const char *at = a; *at;) {
        size_t n = strcspn(at, "\n"), key = strcspn(at, " \n");
        size_t mine = n > key + 3 ? n - key - 3 : 0;
        const char *value = at + n - mine, *other;
        size_t bytes = line_of(b, at, key, &other);
        bool is_new = now && !bytes && !fr_recipe_holds(now, at, key);
        bool differs = now ? bytes != mine || strncmp(value, other, mine) : !bytes;
        if (differs && !is_new && !is_free(free_keys, at, key))
            add_difference(list, size, at, key, now ? other : value, now ? bytes : mine,
                           now ? value : "", now ? mine : 0);
        at += n + (at[n] == '\n');
    }
}

fr_status fr_recipe_same(const fr_recipe *r, const char *path, const char *const *free_keys) {
    char *before, *now, list[600] = "";
    size_t bytes;
    FR_TRY(fr_read_file(path, (size_t)1 << 20, &before, &bytes));
    now = fr_recipe_print(r);
    if (now) {
        compare(now, before, free_keys, r, list, sizeof list);
        compare(before, now, free_keys, NULL, list, sizeof list);
    }
    fr_free(before);
    fr_free(now);
    if (!now) return FR_NOMEM;
    return *list ? fr_fail(FR_INVALID, "%s is of another training: %s", path, list) : FR_OK;
}
