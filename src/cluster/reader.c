/* reader.c: points in a mapped file larger than memory, read ahead.
 *
 * A thread of its own brings the next window into memory while the others work on the present one: it asks the system
 * for all of it at once, which is what makes disks fast, and then touches the pages, so that those who work find them
 * in place. Whoever comes for a window gives the one before back: what is mapped at any time are two windows. Behind
 * the last window of a pass comes the first one of the next. What the system keeps of the file beyond that is its own
 * affair: it is clean, and given up when memory is short. */
#include "cluster/points.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

/* Older systems refuse what they do not know. */
#ifndef MADV_COLD
#define MADV_COLD 20 /* Linux 5.4 */
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

/* What is touched at once, between two looks at whether it is still wanted. */
#define PIECE_BYTES ((size_t)8 << 20)

struct fr_reader {
    fr_tensor view;
    int64_t rows, window; /* all, of a window */
    int64_t last;         /* the window that is worked on, or -1 */
    size_t page;
    bool started;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t want, done; /* first rows of windows; -1: none */
    bool stop;
};

/* ---- where a window lies ---- */

typedef struct stretch {
    uintptr_t from, to;
} stretch;

static bool by_columns(const fr_tensor *v) {
    return v->dim[1] > 1 && v->stride[1] > v->stride[0];
}

/* Part i of rows first .. first + count - 1: all of it, or in Fortran's order one column. */
static stretch part(const fr_tensor *v, int64_t first, int64_t count, int64_t i) {
    int64_t size = fr_dtype_get(v->dtype)->bytes, wide = by_columns(v) ? 1 : v->dim[1];
    uintptr_t base = (uintptr_t)v->data;
    int64_t a = first * v->stride[0] + (by_columns(v) ? i * v->stride[1] : 0);
    int64_t b = a + (count - 1) * v->stride[0] + (wide - 1) * v->stride[1];
    return (stretch){base + (uintptr_t)(FR_MIN(a, b) * size),
                     base + (uintptr_t)((FR_MAX_OF(a, b) + 1) * size)};
}

static int64_t parts(const fr_tensor *v) {
    return by_columns(v) ? v->dim[1] : 1;
}

/* Cold first: pages that were used would else outlive those of the next window where the system is short of memory. */
static void forget(const fr_reader *r, int64_t first) {
    int64_t count = FR_MIN(r->window, r->rows - first);
    for (int64_t i = 0; i < parts(&r->view); i++) {
        stretch s = part(&r->view, first, count, i);
        uintptr_t from = s.from / r->page * r->page;
        madvise((void *)from, s.to - from, MADV_COLD);
        fr_map_forget((const void *)from, s.to - from);
    }
}

/* ---- the thread ---- */

static bool stopped(fr_reader *r) {
    pthread_mutex_lock(&r->lock);
    bool stop = r->stop;
    pthread_mutex_unlock(&r->lock);
    return stop;
}

static void touch(const fr_reader *r, uintptr_t from, size_t bytes) {
    if (madvise((void *)from, bytes, MADV_POPULATE_READ) == 0) return;
    for (size_t at = 0; at < bytes; at += r->page) (void)*(const volatile char *)(from + at);
}

static void read_stretch(fr_reader *r, stretch s) {
    uintptr_t from = s.from / r->page * r->page;
    size_t bytes = fr_round_up(s.to - from, r->page);
    madvise((void *)from, bytes, MADV_WILLNEED);
    for (size_t at = 0; at < bytes && !stopped(r); at += PIECE_BYTES)
        touch(r, from + at, FR_MIN(PIECE_BYTES, bytes - at));
}

static void *read_ahead(void *arg) {
    fr_reader *r = arg;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->stop && r->want == r->done) pthread_cond_wait(&r->changed, &r->lock);
        if (r->stop) break;
        int64_t first = r->want, count = FR_MIN(r->window, r->rows - first);
        pthread_mutex_unlock(&r->lock);
        for (int64_t i = 0; i < parts(&r->view); i++)
            read_stretch(r, part(&r->view, first, count, i));
        pthread_mutex_lock(&r->lock);
        r->done = first;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- windows ---- */

void fr_reader_forget(fr_reader *r) {
    if (!r || !r->started) return;
    for (int64_t first = 0; first < r->rows; first += r->window) forget(r, first);
}

fr_status fr_reader_new(const fr_points *p, int64_t bytes, fr_reader **out) {
    fr_reader *r = fr_alloc(FR_MEM_OTHER, sizeof *r);
    if (!r) return FR_NOMEM;
    int64_t apart = by_columns(&p->view) ? p->width : FR_MAX_OF(p->view.stride[0], p->width);
    int64_t block = FR_POINTS_BLOCK * apart * fr_dtype_get(p->view.dtype)->bytes;
    r->view = p->view;
    r->rows = p->rows;
    r->page = (size_t)sysconf(_SC_PAGESIZE);
    r->window = FR_MAX_OF(bytes / 2 / block, 1) * FR_POINTS_BLOCK;
    r->want = r->done = r->last = -1;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    *out = r;
    if (bytes <= 0 || r->window >= r->rows) {
        r->window = r->rows;
        return FR_OK;
    }
    r->started = pthread_create(&r->thread, NULL, read_ahead, r) == 0;
    if (r->started) return FR_OK;
    fr_reader_free(r);
    *out = NULL;
    return fr_fail(FR_NOMEM, "There is no thread to read the points ahead.");
}

int64_t fr_reader_window(fr_reader *r, const fr_points *p, int64_t first) {
    if (!r) return p->rows;
    int64_t end = FR_MIN(first + r->window, r->rows);
    if (!r->started) return end;
    if (r->last >= 0 && r->last != first) forget(r, r->last);
    r->last = first;
    pthread_mutex_lock(&r->lock);
    r->want = first;
    pthread_cond_broadcast(&r->changed);
    while (r->done != first) pthread_cond_wait(&r->changed, &r->lock);
    r->want = end < r->rows ? end : 0;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return end;
}

void fr_reader_free(fr_reader *r) {
    if (!r) return;
    if (r->started) {
        pthread_mutex_lock(&r->lock);
        r->stop = true;
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
        fr_reader_forget(r);
    }
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    fr_free(r);
}
