/* shipped.c: finds what comes with the program: models, recipes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

/* The folder of the running program, without a slash at the end; "" where the system does not say. */
static void program_dir(char *out, size_t bytes) {
    ssize_t n = readlink("/proc/self/exe", out, bytes - 1);
    out[n > 0 ? n : 0] = 0;
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = 0;
    else
        *out = 0;
}

char *fr_shipped_folder(const char *kind, const char *variable, const char *probe, char *where,
                        size_t bytes) {
    static const char *const beside[] = {"../..", "../share/frugal"};
    char program[1024], folder[3][1200] = {{0}};
    const char *own = getenv(variable);
    program_dir(program, sizeof program);
    snprintf(folder[0], sizeof folder[0], "%s", kind);
    for (int i = 0; i < 2 && *program; i++)
        snprintf(folder[1 + i], sizeof folder[1 + i], "%s/%s/%s", program, beside[i], kind);
    const char *const places[] = {own ? own : "", folder[0], folder[1], folder[2]};
    *where = 0;
    for (size_t i = 0; i < FR_COUNT(places); i++) {
        if (!*places[i]) continue;
        size_t at = strlen(where);
        snprintf(where + at, bytes - at, "%s%s", at ? ", " : "", places[i]);
        char *path = fr_path_join(places[i], probe);
        bool there = path && fr_path_exists(path);
        fr_free(path);
        if (there) return fr_strdup(places[i]);
    }
    return NULL;
}
