/* folder.c: folders that appear at once, by renaming, and items whose failures keep their order. */
#include "world/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The same without slashes at its end. */
static char *plain_path(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return fr_format("%.*s", (int)n, path);
}

static fr_status check_free(const char *path) {
    if (!fr_path_exists(path)) return FR_OK;
    if (!fr_path_is_dir(path))
        return fr_fail(FR_IO, "%s is a file, where a folder is to be made.", path);
    char **names;
    size_t count;
    FR_TRY(fr_list_dir(path, &names, &count));
    fr_list_free(names, count);
    if (!count) return FR_OK;
    return fr_fail(FR_IO, "The folder %s is there already; remove it or choose another name.",
                   path);
}

fr_status fr_folder_new(const char *path, char **temp) {
    *temp = NULL;
    if (!*path) return fr_fail(FR_INVALID, "A folder needs a name, and \"\" is none.");
    FR_TRY(check_free(path));
    char *plain = plain_path(path);
    if (plain) *temp = fr_format("%s.tmp.%ld", plain, (long)getpid());
    fr_free(plain);
    if (!*temp) return FR_NOMEM;
    fr_status st = fr_make_dirs(*temp);
    if (!st) return FR_OK;
    fr_free(*temp);
    *temp = NULL;
    return st;
}

/* All files below at once, which takes as long as a few of them one by one. */
static bool on_disk(const char *temp) {
    int fd = open(temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && syncfs(fd) == 0;
    if (fd >= 0) close(fd);
    return good;
}

fr_status fr_folder_commit(const char *path, char *temp) {
    fr_status st = FR_OK;
    char *plain = plain_path(path);
    if (!plain)
        st = FR_NOMEM;
    else if (!on_disk(temp))
        st = fr_fail(FR_IO, "The folder %s cannot be brought to the disk: %s.", path,
                     strerror(errno));
    else if (rename(temp, plain) != 0)
        st = fr_fail(FR_IO, "The folder %s cannot be put in its place: %s.", path, strerror(errno));
    fr_free(plain);
    if (st)
        fr_folder_drop(temp);
    else
        fr_free(temp);
    return st;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    remove(path); /* what cannot be removed stays; the rest goes */
    return 0;
}

void fr_folder_drop(char *temp) {
    if (temp) nftw(temp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    fr_free(temp);
}

/* ---- items ---- */

typedef struct items {
    fr_item_fn *fn;
    void *arg;
    pthread_mutex_t lock;
    size_t first; /* that failed */
    fr_status status;
    char message[512];
} items;

static void run_item(void *arg, size_t i) {
    items *w = arg;
    bool sync = fr_writer_sync(false);
    fr_status st = w->fn(w->arg, i);
    fr_writer_sync(sync);
    if (!st) return;
    pthread_mutex_lock(&w->lock);
    if (!w->status || i < w->first) {
        w->first = i, w->status = st;
        snprintf(w->message, sizeof w->message, "%s", fr_message());
    }
    pthread_mutex_unlock(&w->lock);
}

fr_status fr_items_run(fr_pool *pool, size_t count, fr_item_fn *fn, void *arg) {
    items w = {.fn = fn, .arg = arg, .lock = PTHREAD_MUTEX_INITIALIZER};
    fr_pool_run(pool, count, run_item, &w);
    if (w.status) fr_fail(w.status, "%s", w.message);
    return w.status;
}
