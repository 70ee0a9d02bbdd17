/* reader.c: points in a mapped file larger than memory, read ahead.
 *
 * A thread of its own brings windows of the file into memory while the others work on one, so that those who work find
 * every page in place. Two windows are there at any time, the one that is worked on and the next; whoever comes for a
 * window gives the one before back. Behind the last window of a pass comes the first one of the next.
 *
 * Memory that windows do not need keeps the first rows: they are read once, and later passes read only what follows.
 * What the system keeps of the file beyond that is its own affair: it is clean, and given up when memory is short.
 *
 * Pages of 4 KiB cost more than the disk: most systems read a mapped file in pieces of 2 MiB, which are also mapped as
 * one, where huge pages are asked for; to ask for a window in advance would get it in small pages. */
#include "cluster/points.h"

#include <pthread.h>
#include <string.h>
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
/* In memory at once, beside the rows that are kept. */
#define WINDOWS 2
/* The system may map as much around a page. */
#define AROUND ((uintptr_t)65536)
/* A window, at most: longer ones gain nothing, so what more is allowed keeps rows. */
#define WINDOW_BYTES ((int64_t)16 << 20)

/* A window by its first row, and whether it is in memory yet. */
typedef struct ahead {
    int64_t first;
    bool read;
} ahead;

struct fr_reader {
    fr_tensor view;
    int64_t rows, window;
    int64_t keep, kept; /* so many of the first rows stay, are there already */
    int64_t at;         /* the window that is worked on and does not stay, or -1 */
    size_t page;
    bool started, single; /* rows are read one by one */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    ahead ahead[WINDOWS]; /* what will be worked on, in this order; the last may be being read */
    int count;            /* of them */
    int64_t next;         /* the window after these */
    int64_t passed;       /* rows that were read since the kept ones were touched */
    bool busy, skip;      /* a window is being read; is not wanted any more */
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

/* How pages that are missing come: with those around them, in large ones, or alone. */
static void expect(fr_reader *r, bool single) {
    if (r->single == single) return;
    r->single = single;
    for (int64_t i = 0; i < parts(&r->view); i++) {
        stretch s = part(&r->view, 0, r->rows, i);
        uintptr_t from = s.from / r->page * r->page;
        bool large = !single && !by_columns(&r->view);
        madvise((void *)from, s.to - from, large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        madvise((void *)from, s.to - from, single ? MADV_RANDOM : MADV_NORMAL);
    }
}

/* Cold first: pages that were used would else outlive those of the next window where the system is short of memory. */
static void forget(const fr_reader *r, int64_t first, int64_t count) {
    for (int64_t i = 0; i < parts(&r->view); i++) {
        stretch s = part(&r->view, first, count, i);
        uintptr_t from = s.from / r->page * r->page;
        madvise((void *)from, s.to - from, MADV_COLD);
        fr_map_forget((const void *)from, s.to - from);
    }
}

static void forget_window(const fr_reader *r, int64_t first) {
    if (first >= r->keep) forget(r, first, FR_MIN(r->window, r->rows - first));
}

/* ---- the thread ---- */

static bool skipped(fr_reader *r) {
    pthread_mutex_lock(&r->lock);
    bool skip = r->stop || r->skip;
    pthread_mutex_unlock(&r->lock);
    return skip;
}

static void touch(const fr_reader *r, uintptr_t from, size_t bytes) {
    if (madvise((void *)from, bytes, MADV_POPULATE_READ) == 0) return;
    madvise((void *)from, bytes, MADV_WILLNEED);
    for (size_t at = 0; at < bytes; at += r->page) (void)*(const volatile char *)(from + at);
}

/* Of columns, all are asked for before the first is waited for. */
static void read_rows(fr_reader *r, int64_t first, int64_t count) {
    for (int64_t i = 0; i < parts(&r->view) && by_columns(&r->view); i++) {
        stretch s = part(&r->view, first, count, i);
        uintptr_t from = s.from / r->page * r->page;
        madvise((void *)from, s.to - from, MADV_WILLNEED);
    }
    for (int64_t i = 0; i < parts(&r->view); i++) {
        stretch s = part(&r->view, first, count, i);
        uintptr_t from = s.from / r->page * r->page;
        size_t bytes = fr_round_up(s.to - from, r->page);
        for (size_t at = 0; at < bytes && !skipped(r); at += PIECE_BYTES)
            touch(r, from + at, FR_MIN(PIECE_BYTES, bytes - at));
    }
}

static bool wants(const fr_reader *r) {
    return !r->skip && r->next >= 0 && r->count + (r->at >= 0) < WINDOWS;
}

static void read_next(fr_reader *r) {
    int64_t first = r->next, end = FR_MIN(first + r->window, r->rows);
    bool look = r->kept && r->passed >= r->keep / 4;
    r->passed = look ? 0 : r->passed + end - first;
    r->ahead[r->count++] = (ahead){.first = first};
    r->busy = true;
    pthread_mutex_unlock(&r->lock);
    /* Now and then, or the system takes what is kept for pages that nobody needs. */
    if (look) read_rows(r, 0, r->kept);
    read_rows(r, first, end - first);
    pthread_mutex_lock(&r->lock);
    r->busy = false;
    if (!r->skip) {
        r->ahead[r->count - 1].read = true;
        if (first == r->kept && first < r->keep) r->kept = end;
        r->next = end < r->rows ? end : r->kept;
    }
    pthread_cond_broadcast(&r->changed);
}

static void *read_ahead(void *arg) {
    fr_reader *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->stop) {
        if (wants(r))
            read_next(r);
        else
            pthread_cond_wait(&r->changed, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- windows ---- */

fr_status fr_reader_new(const fr_points *p, int64_t bytes, fr_reader **out) {
    fr_reader *r = fr_alloc(FR_MEM_OTHER, sizeof *r);
    if (!r) return FR_NOMEM;
    int64_t apart = by_columns(&p->view) ? p->width : FR_MAX_OF(p->view.stride[0], p->width);
    int64_t block = FR_POINTS_BLOCK * apart * fr_dtype_get(p->view.dtype)->bytes;
    r->view = p->view;
    r->rows = p->rows;
    r->page = (size_t)sysconf(_SC_PAGESIZE);
    int64_t blocks = FR_MAX_OF(bytes / block, WINDOWS);
    int64_t window = FR_MAX_OF(FR_MIN(blocks / 4, WINDOW_BYTES / block), 1);
    r->window = window * FR_POINTS_BLOCK;
    r->keep = (blocks / window - WINDOWS) * r->window;
    r->at = r->next = -1;
    r->single = true;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    *out = r;
    if (bytes <= 0 || blocks * FR_POINTS_BLOCK >= r->rows) {
        r->window = r->rows;
        return FR_OK;
    }
    r->started = pthread_create(&r->thread, NULL, read_ahead, r) == 0;
    if (r->started) return FR_OK;
    fr_reader_free(r);
    *out = NULL;
    return fr_fail(FR_NOMEM, "There is no thread to read the points ahead.");
}

/* What was read ahead is not what is wanted: from here on, or (-1) nothing. */
static void begin(fr_reader *r, int64_t first) {
    r->skip = true;
    while (r->busy) pthread_cond_wait(&r->changed, &r->lock);
    for (int i = 0; i < r->count; i++) forget_window(r, r->ahead[i].first);
    r->count = 0;
    r->skip = false;
    r->next = first;
}

int64_t fr_reader_window(fr_reader *r, const fr_points *p, int64_t first) {
    if (!r) return p->rows;
    int64_t end = FR_MIN(first + r->window, r->rows);
    if (!r->started || r->at == first) return end;
    if (r->at >= 0) forget_window(r, r->at);
    pthread_mutex_lock(&r->lock);
    expect(r, false);
    r->at = -1;
    bool here = r->count && r->ahead[0].first == first;
    int64_t expected = here ? first : FR_MAX_OF(first, r->kept);
    if (!r->count || r->ahead[0].first != expected) begin(r, expected);
    pthread_cond_broadcast(&r->changed);
    if (expected == first) {
        while (!r->count || !r->ahead[0].read) pthread_cond_wait(&r->changed, &r->lock);
        memmove(r->ahead, r->ahead + 1, (size_t)--r->count * sizeof *r->ahead);
        r->at = first;
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return end;
}

/* ---- single rows ---- */

static void ask_for_row(const fr_reader *r, int64_t row) {
    for (int64_t i = 0; i < parts(&r->view); i++) {
        stretch s = part(&r->view, row, 1, i);
        uintptr_t from = s.from / r->page * r->page;
        madvise((void *)from, s.to - from, MADV_WILLNEED);
    }
}

/* With the pages that the system maps around one, where it has them. */
static void forget_row(const fr_reader *r, int64_t row) {
    for (int64_t i = 0; i < parts(&r->view) && row >= r->keep; i++) {
        stretch s = part(&r->view, row, 1, i), all = part(&r->view, 0, r->rows, i);
        uintptr_t from = FR_MAX_OF(s.from / AROUND * AROUND, all.from);
        uintptr_t to = FR_MIN(fr_round_up(s.to, AROUND), all.to);
        madvise((void *)(s.from / r->page * r->page), s.to - s.from, MADV_COLD);
        fr_map_forget((void *)from, to - from);
    }
}

/* All are asked for before the first is waited for, so that the disk may do many at a time, and none brings others. */
void fr_reader_rows(fr_reader *r, const fr_points *p, const int64_t *row, int64_t count,
                    float *out) {
    bool ask = r && r->started;
    if (ask) {
        pthread_mutex_lock(&r->lock);
        if (!r->single) begin(r, -1);
        expect(r, true);
        pthread_mutex_unlock(&r->lock);
    }
    for (int64_t k = 0; ask && k < count; k++) ask_for_row(r, row[k]);
    for (int64_t k = 0; k < count; k++) fr_points_row(p, row[k], out + k * p->width);
    for (int64_t k = 0; ask && k < count; k++) forget_row(r, row[k]);
}

void fr_reader_free(fr_reader *r) {
    if (!r) return;
    if (r->started) {
        pthread_mutex_lock(&r->lock);
        r->stop = true;
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
        expect(r, false);
        forget(r, 0, r->rows);
    }
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    fr_free(r);
}
