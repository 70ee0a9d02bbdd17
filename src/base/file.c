/* file.c: reading files, whole or mapped. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* O_NONBLOCK: a named pipe that nobody writes to must not hang the program here. */
static fr_status open_to_read(const char *path, int *fd, struct stat *st) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return fr_fail(FR_IO, "%s cannot be opened: %s", path, strerror(errno));
    fr_status status = FR_OK;
    if (fstat(*fd, st) != 0) {
        status = fr_fail(FR_IO, "%s cannot be examined: %s", path, strerror(errno));
    } else if (S_ISDIR(st->st_mode)) {
        status = fr_fail(FR_IO, "%s is a folder, where a file is needed", path);
    }
    if (status != FR_OK) close(*fd);
    return status;
}

/* ---- mapped ---- */

static const uint8_t no_bytes[1];

/* Those that are open; what has no place here is only never forgotten. */
static struct {
    pthread_mutex_t lock;
    fr_map map[256];
} open_maps = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void note(const void *data, size_t bytes, const void *instead, size_t instead_bytes) {
    pthread_mutex_lock(&open_maps.lock);
    for (size_t i = 0; i < FR_COUNT(open_maps.map); i++) {
        if (open_maps.map[i].data != data || open_maps.map[i].bytes != bytes) continue;
        open_maps.map[i] = (fr_map){instead, instead_bytes};
        break;
    }
    pthread_mutex_unlock(&open_maps.lock);
}

static bool is_mapped(const uint8_t *from, const uint8_t *to) {
    bool found = false;
    pthread_mutex_lock(&open_maps.lock);
    for (size_t i = 0; i < FR_COUNT(open_maps.map); i++) {
        const fr_map *m = &open_maps.map[i];
        found |= m->bytes && from >= m->data && to <= m->data + m->bytes;
    }
    pthread_mutex_unlock(&open_maps.lock);
    return found;
}

fr_status fr_map_open(const char *path, fr_map *out) {
    *out = (fr_map){no_bytes, 0};
    int fd;
    struct stat st;
    FR_TRY(open_to_read(path, &fd, &st));
    fr_status status = FR_OK;
    if (!S_ISREG(st.st_mode)) {
        status = fr_fail(FR_IO, "%s is not a plain file and cannot be mapped", path);
    } else if (st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status = fr_fail(FR_IO, "%s cannot be mapped: %s", path, strerror(errno));
        } else {
            *out = (fr_map){data, (size_t)st.st_size};
            note(NULL, 0, data, out->bytes);
        }
    }
    close(fd);
    return status;
}

void fr_map_close(fr_map *m) {
    if (m->bytes) {
        note(m->data, m->bytes, NULL, 0);
        munmap((void *)(uintptr_t)m->data, m->bytes);
    }
    *m = (fr_map){no_bytes, 0};
}

void fr_map_forget(const void *data, size_t bytes) {
    const uint8_t *from = data, *to = from + bytes;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!is_mapped(from, to)) return;
    uintptr_t first = fr_round_up((uintptr_t)from, page), last = (uintptr_t)to / page * page;
    if (last > first) madvise((void *)first, last - first, MADV_DONTNEED);
}

/* ---- whole ---- */

static fr_status too_long(const char *path, size_t limit) {
    return fr_fail(FR_FORMAT, "%s is longer than the %zu bytes that such a file may have", path,
                   limit);
}

/* Reads until the end, whatever the size that the system told: it may be a pipe, or growing. */
static fr_status read_all(int fd, const char *path, size_t limit, size_t expected, char **data,
                          size_t *bytes) {
    char *text = NULL;
    size_t used = 0, cap = 0;
    fr_status status = fr_grow((void **)&text, &cap, expected + 2, 1);
    while (status == FR_OK) {
        ssize_t got = read(fd, text + used, cap - used - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = fr_fail(FR_IO, "%s cannot be read: %s", path, strerror(errno));
        if (got <= 0) break;
        used += (size_t)got;
        if (limit && used > limit) status = too_long(path, limit);
        if (status == FR_OK && cap - used < 2) {
            status = fr_grow((void **)&text, &cap, cap + 1, 1);
        }
    }
    if (status != FR_OK) {
        fr_free(text);
        return status;
    }
    text[used] = 0;
    *data = text;
    *bytes = used;
    return FR_OK;
}

fr_status fr_read_file(const char *path, size_t limit, char **data, size_t *bytes) {
    *data = NULL;
    *bytes = 0;
    int fd;
    struct stat st;
    FR_TRY(open_to_read(path, &fd, &st));
    size_t expected = S_ISREG(st.st_mode) ? (size_t)st.st_size : 4096;
    fcntl(fd, F_SETFL, 0); /* a pipe is waited for from here on */
    fr_status status = limit && S_ISREG(st.st_mode) && expected > limit
                           ? too_long(path, limit)
                           : read_all(fd, path, limit, expected, data, bytes);
    close(fd);
    return status;
}
