/* pool.c: the thread pool, over pthreadpool, which shares out the items and lets idle threads
 * steal.
 *
 * A pool used from inside one of its own items runs the inner work in place: the threads are busy
 * already, and waiting for them would never end. Workers are told from callers by `working`.
 * Idle threads spin for a while, so that the next job starts within a microsecond. With more threads
 * than processors that would be ruinous (tens of milliseconds a job, measured): there they sleep.
 * Denormals are left alone, or a sum would depend on the thread that made it. */
#include "base/base.h"

#include <errno.h>
#include <pthreadpool.h>
#include <stdatomic.h>
#include <stdlib.h>

#define THREADS_MOST 1024

struct fr_pool {
    pthreadpool_t threads;
    int count;
    uint32_t flags;
};

/* One call of fr_pool_run or its kin; lives on the caller's stack. */
typedef struct job {
    const fr_pool *pool;
    fr_pool_fn *fn;
    fr_pool_range_fn *range_fn;
    fr_pool_thread_fn *thread_fn;
    void *arg;
    size_t total, chunk;
    uint64_t id;         /* no two jobs have the same */
    atomic_size_t seats; /* threads that asked for a number so far */
} job;

/* The job that this thread is inside of, and the last one in which it asked for a number. */
static _Thread_local struct {
    job *inside;
    uint64_t seated_in;
    size_t seat;
} working;

/* ThreadSanitizer cannot see inside pthreadpool: tell it that a job starts after its caller and
 * ends before the caller goes on. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(WITH_TSAN)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
static void tsan_before(job *j) {
    __tsan_acquire(j);
}
static void tsan_after(job *j) {
    __tsan_release(j);
}
#else
static void tsan_before(job *j) {
    (void)j;
}
static void tsan_after(job *j) {
    (void)j;
}
#endif

/* ---- how many threads ---- */

static fr_status choose_threads(int asked, int *out) {
    const char *text = getenv("FRUGAL_THREADS");
    if (asked < 0 || asked > THREADS_MOST) {
        return fr_fail(FR_INVALID, "%d threads were asked for; 1 to %d make sense", asked,
                       THREADS_MOST);
    }
    if (asked > 0) {
        *out = asked;
    } else if (text && *text) {
        char *end;
        errno = 0;
        long n = strtol(text, &end, 10);
        if (*end || errno || n < 1 || n > THREADS_MOST) {
            return fr_fail(FR_INVALID, "FRUGAL_THREADS is \"%s\", not a number from 1 to %d", text,
                           THREADS_MOST);
        }
        *out = (int)n;
    } else {
        *out = FR_MIN(fr_processors(), THREADS_MOST);
    }
    return FR_OK;
}

fr_status fr_pool_new(int threads, fr_pool **out) {
    *out = NULL;
    int count = 1;
    FR_TRY(choose_threads(threads, &count));
    fr_pool *p = fr_alloc(FR_MEM_OTHER, sizeof *p);
    if (!p) return FR_NOMEM;
    p->count = count;
    p->flags = count > fr_processors() ? PTHREADPOOL_FLAG_YIELD_WORKERS : 0;
    if (count > 1) {
        p->threads = pthreadpool_create((size_t)count);
        if (!p->threads) {
            fr_free(p);
            return fr_fail(FR_NOMEM, "the system gives no %d threads", count);
        }
    }
    *out = p;
    return FR_OK;
}

void fr_pool_free(fr_pool *p) {
    if (!p) return;
    if (p->threads) pthreadpool_destroy(p->threads);
    fr_free(p);
}

int fr_pool_threads(const fr_pool *p) {
    return p ? p->count : 1;
}

/* ---- jobs ---- */

/* The number of the calling thread in a job: first come, first seated. No more threads come than
 * the pool has, so the numbers stay below fr_pool_threads(). */
static size_t seat_in(job *j) {
    if (working.seated_in != j->id) {
        working.seated_in = j->id;
        working.seat = atomic_fetch_add(&j->seats, 1);
    }
    return working.seat;
}

static void run_item(job *j, size_t i, size_t thread) {
    if (j->fn) {
        j->fn(j->arg, i);
    } else if (j->thread_fn) {
        j->thread_fn(j->arg, thread, i);
    } else {
        size_t start = i * j->chunk;
        j->range_fn(j->arg, start, j->total - start < j->chunk ? j->total : start + j->chunk);
    }
}

static void work_on(void *arg, size_t i) {
    job *j = arg;
    tsan_before(j);
    working.inside = j;
    run_item(j, i, j->thread_fn ? seat_in(j) : 0);
    working.inside = NULL;
    tsan_after(j);
}

static void run_job(fr_pool *p, size_t count, job *j) {
    static _Atomic uint64_t last_id;
    if (count <= 1 || !p || p->count == 1 || working.inside) {
        /* Inside an item of the same pool the thread keeps its number: its scratch is its own. */
        bool nested = p && working.inside && working.inside->pool == p;
        size_t thread = nested && j->thread_fn ? seat_in(working.inside) : 0;
        for (size_t i = 0; i < count; i++) run_item(j, i, thread);
        return;
    }
    j->pool = p;
    j->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    tsan_after(j);
    pthreadpool_parallelize_1d(p->threads, work_on, j, count, p->flags);
    tsan_before(j);
}

void fr_pool_run(fr_pool *p, size_t count, fr_pool_fn *fn, void *arg) {
    run_job(p, count, &(job){.fn = fn, .arg = arg});
}

void fr_pool_range(fr_pool *p, size_t total, size_t chunk, fr_pool_range_fn *fn, void *arg) {
    if (chunk == 0) chunk = total;
    size_t count = total ? (total - 1) / chunk + 1 : 0;
    run_job(p, count, &(job){.range_fn = fn, .arg = arg, .total = total, .chunk = chunk});
}

void fr_pool_run_thread(fr_pool *p, size_t count, fr_pool_thread_fn *fn, void *arg) {
    run_job(p, count, &(job){.thread_fn = fn, .arg = arg});
}
