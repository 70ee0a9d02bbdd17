/* path.c: names of files and folders. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool fr_path_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool fr_path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool fr_path_has_suffix(const char *path, const char *suffix) {
    size_t n = strlen(path), s = strlen(suffix);
    return n >= s && memcmp(path + n - s, suffix, s) == 0;
}

char *fr_path_join(const char *dir, const char *name) {
    size_t n = strlen(dir);
    if (n == 0 || name[0] == '/') return fr_strdup(name);
    return fr_format(dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

static fr_status make_dir(const char *path) {
    if (mkdir(path, 0777) == 0) return FR_OK;
    int why = errno;
    if (why == EEXIST && fr_path_is_dir(path)) return FR_OK;
    return fr_fail(FR_IO, "the folder %s cannot be made: %s", path,
                   why == EEXIST ? "a file of that name is in the way" : strerror(why));
}

fr_status fr_make_dirs(const char *path) {
    if (!*path) return fr_fail(FR_INVALID, "a folder needs a name, and \"\" is none");
    char *part = fr_strdup(path);
    if (!part) return FR_NOMEM;
    fr_status status = FR_OK;
    for (char *p = part + 1; *p && status == FR_OK; p++) {
        if (*p != '/' || p[-1] == '/') continue;
        *p = 0;
        status = make_dir(part);
        *p = '/';
    }
    if (status == FR_OK) status = make_dir(part);
    fr_free(part);
    return status;
}

/* ---- listing ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static fr_status read_names(DIR *dir, const char *path, char ***names, size_t *count) {
    size_t cap = 0;
    struct dirent *entry;
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        FR_TRY(fr_grow((void **)names, &cap, *count + 1, sizeof **names));
        char *name = fr_strdup(entry->d_name);
        if (!name) return FR_NOMEM;
        (*names)[(*count)++] = name;
    }
    if (errno) return fr_fail(FR_IO, "the folder %s cannot be read: %s", path, strerror(errno));
    return FR_OK;
}

fr_status fr_list_dir(const char *path, char ***names, size_t *count) {
    *names = NULL;
    *count = 0;
    DIR *dir = opendir(path);
    if (!dir) return fr_fail(FR_IO, "the folder %s cannot be read: %s", path, strerror(errno));
    fr_status status = read_names(dir, path, names, count);
    closedir(dir);
    if (status != FR_OK) {
        fr_list_free(*names, *count);
        *names = NULL;
        *count = 0;
    } else if (*count) {
        qsort(*names, *count, sizeof **names, by_name);
    }
    return status;
}

void fr_list_free(char **names, size_t count) {
    for (size_t i = 0; i < count; i++) fr_free(names[i]);
    fr_free(names);
}
