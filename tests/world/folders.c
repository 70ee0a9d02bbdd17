/* folders.c: see folders.h. */
#include "folders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char dir[64];

const char *in_folder(const char *name) {
    static char path[8][512];
    static int turn;
    if (!dir[0]) {
        snprintf(dir, sizeof dir, "/tmp/frugal-world-XXXXXX");
        if (!mkdtemp(dir)) fail_msg("no folder in /tmp");
    }
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

void remove_tree(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void remove_folder(void) {
    if (dir[0]) remove_tree(dir);
    dir[0] = 0;
}

static uint64_t mix(uint64_t hash, const void *data, size_t bytes) {
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ p[i]) * 0x100000001b3ull;
    return hash;
}

uint64_t tree_hash(const char *path) {
    uint64_t hash = 0xcbf29ce484222325ull;
    char **names = NULL, *text;
    size_t count = 0, bytes;
    if (fr_path_is_dir(path)) {
        assert_int_equal(fr_list_dir(path, &names, &count), FR_OK);
        for (size_t i = 0; i < count; i++) {
            char *inside = fr_path_join(path, names[i]);
            uint64_t below = tree_hash(inside);
            hash = mix(mix(hash, names[i], strlen(names[i]) + 1), &below, sizeof below);
            fr_free(inside);
        }
        fr_list_free(names, count);
        return hash;
    }
    if (fr_read_file(path, 0, &text, &bytes)) fail_msg("%s", fr_message());
    hash = mix(hash, text, bytes);
    fr_free(text);
    return hash;
}

size_t names_in(const char *path) {
    char **names;
    size_t count;
    if (fr_list_dir(path, &names, &count)) fail_msg("%s", fr_message());
    fr_list_free(names, count);
    return count;
}

/* Some failures do no harm, so that one call that goes well is not the end; ten in a row are. */
int with_scarce_memory(fr_status (*write)(const char *path, void *arg), const char *path,
                       void *arg) {
    int failed = 0, well = 0;
    size_t before = names_in(dir);
    for (long n = 1; well < 10; n++) {
        fr_memory_fail_after(n);
        fr_status st = write(path, arg);
        fr_memory_fail_after(0);
        well = st ? 0 : well + 1;
        failed += st != FR_OK;
        if (st) {
            assert_int_equal(st, FR_NOMEM);
            assert_int_equal(names_in(dir), before);
        } else {
            assert_int_equal(names_in(dir), before + 1);
            remove_tree(path);
        }
    }
    return failed;
}
