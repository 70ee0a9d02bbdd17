/* writer.c: writes a file so that a reader sees the old one or the new one, never half.
 *
 * Bytes go to path.tmp.<pid>.<n> in the same folder. The commit brings them to the disk, renames
 * the file over the old one, and brings the folder's entry to the disk too. What is not a plain
 * file
 * (/dev/stdout, a pipe) cannot be replaced and is written in place. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)64 << 10)

static _Thread_local bool no_sync;

struct fr_writer {
    int fd;
    char *path; /* where it is to be, with links followed */
    char *temp; /* where it is written; NULL: in place */
    uint64_t offset;
    bool failed; /* a write went wrong: nothing of this may be put in place */
    size_t held; /* bytes in the buffer */
    uint8_t buffer[BUFFER_BYTES];
};

static fr_status writer_fail(const fr_writer *w, const char *what, int why) {
    return fr_fail(FR_IO, "%s cannot be %s: %s", w->path, what, strerror(why));
}

static fr_status open_temp(fr_writer *w) {
    static atomic_uint serial;
    for (int attempt = 0; attempt < 100; attempt++) {
        fr_free(w->temp);
        w->temp = fr_format("%s.tmp.%ld.%u", w->path, (long)getpid(), atomic_fetch_add(&serial, 1));
        if (!w->temp) return FR_NOMEM;
        w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0) return FR_OK;
        if (errno != EEXIST) break;
    }
    int why = errno;
    fr_free(w->temp);
    w->temp = NULL;
    return writer_fail(w, "written", why);
}

static fr_status open_place(fr_writer *w) {
    struct stat st;
    bool there = stat(w->path, &st) == 0;
    if (there && S_ISDIR(st.st_mode)) {
        return fr_fail(FR_IO, "%s is a folder, where a file is to be written", w->path);
    }
    if (!there || S_ISREG(st.st_mode)) {
        FR_TRY(open_temp(w));
        if (there) fchmod(w->fd, st.st_mode & 07777); /* as before, where the system lets us */
        return FR_OK;
    }
    w->fd = open(w->path, O_WRONLY | O_CLOEXEC);
    return w->fd < 0 ? writer_fail(w, "written", errno) : FR_OK;
}

/* The file that a link points to is the one to replace, not the link. */
static char *follow_links(const char *path) {
    char *real = realpath(path, NULL);
    char *copy = fr_strdup(real ? real : path);
    free(real);
    return copy;
}

fr_status fr_writer_open(const char *path, fr_writer **out) {
    *out = NULL;
    fr_writer *w = fr_alloc(FR_MEM_OTHER, sizeof *w);
    if (!w) return FR_NOMEM;
    w->fd = -1;
    w->path = follow_links(path);
    fr_status status = w->path ? open_place(w) : FR_NOMEM;
    if (status != FR_OK) {
        fr_writer_close(w);
        return status;
    }
    *out = w;
    return FR_OK;
}

void fr_writer_close(fr_writer *w) {
    if (!w) return;
    if (w->fd >= 0) close(w->fd);
    if (w->temp) unlink(w->temp);
    fr_free(w->temp);
    fr_free(w->path);
    fr_free(w);
}

uint64_t fr_writer_offset(const fr_writer *w) {
    return w->offset;
}

static fr_status put(fr_writer *w, const uint8_t *data, size_t bytes) {
    while (bytes) {
        ssize_t n = write(w->fd, data, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            w->failed = true;
            return writer_fail(w, "written", errno);
        }
        data += n;
        bytes -= (size_t)n;
    }
    return FR_OK;
}

static fr_status flush(fr_writer *w) {
    size_t held = w->held;
    w->held = 0;
    return put(w, w->buffer, held);
}

fr_status fr_writer_write(fr_writer *w, const void *data, size_t bytes) {
    if (bytes > BUFFER_BYTES - w->held) FR_TRY(flush(w));
    if (bytes >= BUFFER_BYTES) {
        FR_TRY(put(w, data, bytes));
    } else if (bytes) {
        memcpy(w->buffer + w->held, data, bytes);
        w->held += bytes;
    }
    w->offset += bytes;
    return FR_OK;
}

/* Without this the rename may be lost in a power cut; the file itself is whole either way. */
static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *dir = slash ? fr_format("%.*s", (int)(slash - path + 1), path) : fr_strdup(".");
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    fr_free(dir);
}

static fr_status put_in_place(fr_writer *w) {
    if (!no_sync && fsync(w->fd) != 0) return writer_fail(w, "brought to the disk", errno);
    int bad = close(w->fd);
    w->fd = -1;
    if (bad) return writer_fail(w, "written", errno);
    if (rename(w->temp, w->path) != 0) return writer_fail(w, "replaced", errno);
    fr_free(w->temp);
    w->temp = NULL;
    if (!no_sync) sync_folder(w->path);
    return FR_OK;
}

fr_status fr_writer_commit(fr_writer *w) {
    fr_status status =
        w->failed ? fr_fail(FR_IO, "%s could not be written in full", w->path) : flush(w);
    if (status == FR_OK && w->temp) status = put_in_place(w);
    fr_writer_close(w);
    return status;
}

bool fr_writer_sync(bool on) {
    bool before = !no_sync;
    no_sync = !on;
    return before;
}

fr_status fr_write_file(const char *path, const void *data, size_t bytes) {
    fr_writer *w;
    FR_TRY(fr_writer_open(path, &w));
    fr_status status = fr_writer_write(w, data, bytes);
    if (status == FR_OK) return fr_writer_commit(w);
    fr_writer_close(w);
    return status;
}
