/* recipe_find.c: where a recipe lies, and whether a training was begun with the same one. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "train/recipe.h"

/* ---- finding ---- */

static char *in_folder(const char *folder, const char *name) {
    char *path = fr_format("%s/%s.recipe", folder, name);
    if (path && fr_path_exists(path)) return path;
    fr_free(path);
    return NULL;
}

/* Beside the program: the tree it was built in, or share/frugal where it is installed. */
static char *beside_program(const char *name) {
    static const char *const up[] = {"../../recipes", "../share/frugal/recipes"};
    char self[4096], *found = NULL;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return NULL;
    self[n] = 0;
    char *slash = strrchr(self, '/');
    if (!slash) return NULL;
    *slash = 0;
    for (size_t i = 0; i < FR_COUNT(up) && !found; i++) {
        char *folder = fr_path_join(self, up[i]);
        if (folder) found = in_folder(folder, name);
        fr_free(folder);
    }
    return found;
}

char *fr_recipe_find(const char *name) {
    if (fr_path_exists(name) && !fr_path_is_dir(name)) return fr_strdup(name);
    const char *own = getenv("FRUGAL_RECIPES");
    char *found = NULL;
    if (!strchr(name, '/')) {
        if (own && *own) found = in_folder(own, name);
        if (!found) found = in_folder("recipes", name);
        if (!found) found = beside_program(name);
    }
    if (!found)
        fr_fail(FR_IO, "There is no recipe %s: no such file, and none of that name in recipes",
                name);
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

/* Every line of `a` must stand in `b`. now: which of the two is in force. */
static fr_status compare(const char *a, const char *b, const char *const *free_keys, bool now) {
    for (const char *at = a; *at;) {
        size_t n = strcspn(at, "\n"), key = strcspn(at, " ");
        const char *mine, *other;
        size_t mine_bytes = n > key + 3 ? n - key - 3 : 0, bytes = line_of(b, at, key, &other);
        mine = at + n - mine_bytes;
        if (!is_free(free_keys, at, key) && (bytes != mine_bytes || strncmp(mine, other, bytes))) {
            const char *before = now ? other : mine, *after = now ? mine : other;
            size_t before_bytes = now ? bytes : mine_bytes, after_bytes = now ? mine_bytes : bytes;
            return fr_fail(
                FR_INVALID, "the training was begun with %.*s = %.*s, and now it is %.*s", (int)key,
                at, before_bytes ? (int)before_bytes : 7, before_bytes ? before : "nothing",
                after_bytes ? (int)after_bytes : 7, after_bytes ? after : "nothing");
        }
        at += n + (at[n] == '\n');
    }
    return FR_OK;
}

fr_status fr_recipe_same(const fr_recipe *r, const char *path, const char *const *free_keys) {
    char *before, *now = fr_recipe_print(r);
    size_t bytes;
    if (!now) return FR_NOMEM;
    fr_status st = fr_read_file(path, (size_t)1 << 20, &before, &bytes);
    if (!st) {
        st = compare(now, before, free_keys, true);
        if (!st) st = compare(before, now, free_keys, false);
        if (st) st = fr_fail_in(st, "%s", path);
        fr_free(before);
    }
    fr_free(now);
    return st;
}
